use super::*;

/// Hashes of different names, of which `a` and `A` have the same.
fn hash(name: &[u8]) -> u64 {
    name.iter().fold(7, |hash, byte| hash * 31 + u64::from(byte.to_ascii_lowercase()))
}

fn subscribe(hub: &mut Hub, kind: Kind, name: &str, conn: ConnId) -> Option<u64> {
    let id = hub.await_topic(kind, hash(name.as_bytes()), name.as_bytes());
    let number = hub.must_await(&[id]);
    let topic = hub.topic_mut(id);
    topic.subscribers.push(conn);
    hub.subscribed(id);
    number
}

fn unsubscribe(hub: &mut Hub, kind: Kind, name: &str) {
    let id = hub.find(kind, hash(name.as_bytes()), name.as_bytes()).expect("it was subscribed to");
    hub.topic_mut(id).subscribers.pop();
    hub.drop_if_idle(id);
}

fn targets(hub: &Hub, kind: Kind, name: &str) -> Vec<u16> {
    let mut to = Vec::new();
    hub.targets(kind, hash(name.as_bytes()), name.as_bytes(), &mut to);
    to
}

/// Lets all of `hubs` note what `from` has to say; gives the number of its message.
fn tell(hubs: &mut [Hub], from: usize) -> u64 {
    let interest = hubs[from].take_changes().expect("something has changed");
    (0..hubs.len()).filter(|&to| to != from).for_each(|to| hubs[to].note(&interest));
    interest.number
}

fn hubs(count: usize) -> Vec<Hub> {
    (0..count).map(|id| Hub::new(id, count)).collect()
}

#[test]
fn one_worker_waits_for_nobody_and_tells_nobody() {
    let mut hub = Hub::new(0, 1);
    assert_eq!(subscribe(&mut hub, Kind::Channel, "c", 1), None);
    assert_eq!(targets(&hub, Kind::Channel, "c"), [0]);
    assert!(!hub.has_news());
    unsubscribe(&mut hub, Kind::Channel, "c");
    assert!(targets(&hub, Kind::Channel, "c").is_empty() && hub.places.is_empty() && !hub.is_telling());
}

#[test]
fn messages_go_to_workers_with_an_interest_alone() {
    let mut hubs = hubs(130);
    for worker in [3, 64, 129] {
        subscribe(&mut hubs[worker], Kind::Channel, "c", 1);
        tell(&mut hubs, worker);
    }
    subscribe(&mut hubs[5], Kind::Shard, "c", 1);
    tell(&mut hubs, 5);
    subscribe(&mut hubs[7], Kind::Pattern, "c*", 1);
    tell(&mut hubs, 7);
    assert_eq!(targets(&hubs[0], Kind::Channel, "c"), [3, 7, 64, 129]);
    assert_eq!(targets(&hubs[64], Kind::Channel, "c"), [3, 7, 64, 129]);
    assert_eq!(targets(&hubs[0], Kind::Shard, "c"), [5]);
    assert_eq!(targets(&hubs[0], Kind::Channel, "d"), []);
    unsubscribe(&mut hubs[64], Kind::Channel, "c");
    tell(&mut hubs, 64);
    unsubscribe(&mut hubs[7], Kind::Pattern, "c*");
    tell(&mut hubs, 7);
    assert_eq!(targets(&hubs[0], Kind::Channel, "c"), [3, 129]);
    assert_eq!((hubs[0].known(Kind::Channel), hubs[0].known(Kind::Shard), hubs[0].known(Kind::Pattern)), (1, 1, 0));
}

#[test]
fn a_name_that_others_share_the_hash_of_keeps_its_interest() {
    let mut hubs = hubs(2);
    subscribe(&mut hubs[0], Kind::Channel, "a", 1);
    subscribe(&mut hubs[0], Kind::Channel, "A", 2);
    subscribe(&mut hubs[0], Kind::Channel, "A", 3);
    tell(&mut hubs, 0);
    assert_eq!(targets(&hubs[1], Kind::Channel, "a"), [0]);
    unsubscribe(&mut hubs[0], Kind::Channel, "a");
    assert!(hubs[0].take_changes().is_none(), "the other name is still of interest");
    assert_eq!(hubs[0].find(Kind::Channel, hash(b"a"), b"a"), None);
    unsubscribe(&mut hubs[0], Kind::Channel, "A");
    assert!(hubs[0].take_changes().is_none());
    unsubscribe(&mut hubs[0], Kind::Channel, "A");
    tell(&mut hubs, 0);
    assert_eq!(targets(&hubs[1], Kind::Channel, "a"), []);
    assert_eq!((hubs[0].known(Kind::Channel), hubs[1].known(Kind::Channel)), (0, 0));
}

#[test]
fn a_subscription_waits_until_all_others_have_noted_it() {
    let mut hubs = hubs(3);
    let number = subscribe(&mut hubs[0], Kind::Channel, "c", 1).expect("nobody knows");
    let dest = Dest::Ticket { conn: 1, ticket: 0 };
    hubs[0].await_noted(1, dest, Vec::new(), number);
    assert_eq!(tell(&mut hubs, 0), number);
    for by in [1, 2] {
        assert!(hubs[0].next_noted().is_none());
        assert_eq!(hubs[by].take_to_confirm(), [(0, number)]);
        hubs[0].confirmed(by, number);
    }
    assert_eq!(hubs[0].next_noted().map(|first| first.conn), Some(1));
    assert_eq!(subscribe(&mut hubs[0], Kind::Channel, "c", 2), None, "all know already");
    assert!(subscribe(&mut hubs[0], Kind::Channel, "d", 2).is_some());
}

#[test]
fn a_name_that_was_given_up_is_told_anew() {
    let mut hubs = hubs(2);
    let first = subscribe(&mut hubs[0], Kind::Channel, "c", 1).expect("nobody knows");
    tell(&mut hubs, 0);
    hubs[0].confirmed(1, first);
    unsubscribe(&mut hubs[0], Kind::Channel, "c");
    let again = subscribe(&mut hubs[0], Kind::Channel, "c", 1).expect("it is not known any more");
    assert!(again > first);
    tell(&mut hubs, 0);
    assert_eq!(targets(&hubs[1], Kind::Channel, "c"), [0]);
}

#[test]
fn patterns_are_counted_once_wherever_they_are() {
    let mut hubs = hubs(3);
    for worker in [0, 1] {
        subscribe(&mut hubs[worker], Kind::Pattern, "p*", 1);
        subscribe(&mut hubs[worker], Kind::Pattern, &format!("{worker}*"), 1);
        tell(&mut hubs, worker);
    }
    hubs.iter().for_each(|hub| assert_eq!(hub.known(Kind::Pattern), 3));
    unsubscribe(&mut hubs[0], Kind::Pattern, "p*");
    tell(&mut hubs, 0);
    hubs.iter().for_each(|hub| assert_eq!(hub.known(Kind::Pattern), 3));
    assert_eq!(targets(&hubs[2], Kind::Channel, "px"), [1]);
    assert_eq!(hubs[0].patterns().len(), 1);
}

#[test]
fn places_are_used_again() {
    let mut hub = Hub::new(0, 1);
    for round in 0..3 {
        for i in 0..2000 {
            subscribe(&mut hub, Kind::Channel, &format!("c{i}"), 1);
        }
        assert_eq!((hub.known(Kind::Channel), hub.topics.len()), (2000, 2000), "round {round}");
        (0..2000).for_each(|i| unsubscribe(&mut hub, Kind::Channel, &format!("c{i}")));
        assert!(hub.places.is_empty() && !hub.is_telling() && hub.topics.is_empty());
    }
}

#[test]
fn all_workers_know_who_has_prefixes_of_a_key() {
    let mut hubs = hubs(3);
    for (worker, prefix) in [(0, ""), (0, "user:"), (1, "user:"), (2, "u")] {
        subscribe(&mut hubs[worker], Kind::Prefix, prefix, 1);
        tell(&mut hubs, worker);
    }
    let prefixes = |hub: &Hub, key: &str| {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        hub.prefixes_of(key.as_bytes(), hash, &mut own, &mut others);
        let own: Vec<String> = own.iter().map(|&id| String::from_utf8_lossy(&hub.topic(id).name).into()).collect();
        others.sort_unstable();
        (own, others)
    };
    assert_eq!(prefixes(&hubs[0], "user:7"), (vec![String::new(), "user:".into()], vec![1, 2]));
    assert_eq!(prefixes(&hubs[1], "user"), (vec![], vec![0, 2]));
    assert_eq!(prefixes(&hubs[2], ""), (vec![], vec![0]));
    hubs.iter().for_each(|hub| assert_eq!(hub.known(Kind::Prefix), 3));
    for (worker, prefix) in [(0, "user:"), (0, ""), (1, "user:")] {
        unsubscribe(&mut hubs[worker], Kind::Prefix, prefix);
        tell(&mut hubs, worker);
    }
    assert_eq!(prefixes(&hubs[0], "user:7"), (vec![], vec![2]));
    unsubscribe(&mut hubs[2], Kind::Prefix, "u");
    tell(&mut hubs, 2);
    hubs.iter().for_each(|hub| assert!(!hub.has_prefixes() && hub.known(Kind::Prefix) == 0));
}
