//! What scripts do not show: moments, who goes while something is under way, and what a worker does while somebody waits.

use crate::engine::testing::{Client, TestServer};
use crate::engine::worker::Rest;
use kv_core::families::testing::show;
use kv_core::resp::reply::TEXT_LINE_END as END;
use std::sync::atomic::Ordering::Relaxed;

/// A client whose request waits.
fn waiting(server: &mut TestServer, worker: usize, line: &str) -> Client {
    let client = server.connect(worker);
    server.send(client, &format!("{line}{END}"));
    assert_eq!(server.reply(client), None, "{line}");
    client
}

fn answer(server: &mut TestServer, client: Client) -> Option<String> {
    server.reply(client).map(|value| show(&value))
}

/// A key of a shard.
fn key_on(server: &TestServer, shard: usize) -> String {
    let count = server.workers.len();
    let hasher = &server.workers[0].hasher;
    (0..).map(|n| format!("key{n}")).find(|key| hasher.place(key.as_bytes(), count) == shard).expect("there are many")
}

#[test]
fn a_time_is_over_in_its_millisecond_and_nobody_looks_before() {
    for workers in [1, 3] {
        let mut server = TestServer::new(workers);
        for (words, key) in [("BLPOP a", 0), ("BLPOP a b c d e", 1), ("BZPOPMIN z", 2), ("BLMOVE m n LEFT LEFT", 3)] {
            let worker = key % workers;
            let client = waiting(&mut server, worker, &format!("{words} 0.5"));
            let due = server.now_us / 1000 + 500;
            server.pass(499);
            assert_eq!(answer(&mut server, client), None, "{words}");
            assert_eq!(server.workers[worker].rest(), Rest::Until(due), "{words}");
            server.pass(1);
            assert_eq!(answer(&mut server, client).as_deref(), Some("nil array"), "{words}");
        }
        // A part of a millisecond counts as one.
        let client = waiting(&mut server, 0, "BLPOP a 0.0001");
        server.pass(1);
        assert_eq!(answer(&mut server, client).as_deref(), Some("nil array"));
        assert_eq!(server.field(client, "clients_in_timeout_table"), "0");
    }
}

#[test]
fn who_waits_for_ever_costs_nothing() {
    let mut server = TestServer::new(2);
    let clients: Vec<Client> =
        (0..1000).map(|n| waiting(&mut server, n % 2, &format!("BLPOP k{} l{n} m{n} 0", n / 10))).collect();
    server.pass(2000);
    server.pass(2000);
    for worker in &server.workers {
        assert_eq!(worker.rest(), Rest::Forever);
    }
    let other = server.connect(0);
    assert_eq!(server.field(other, "blocked_clients"), "1000");
    for n in 0..100 {
        server.run(other, &format!("RPUSH k{n} a b c d e f g h i j k"));
    }
    for client in clients {
        assert!(answer(&mut server, client).is_some());
    }
    assert_eq!(
        (server.run(other, "LRANGE k7 0 -1"), server.field(other, "blocked_clients")),
        ("[\"k\"]".into(), "0".into())
    );
}

#[test]
fn who_goes_takes_nothing_wherever_its_request_is() {
    for workers in [1, 3] {
        for turns in 0..4 {
            let mut server = TestServer::new(workers);
            let key = key_on(&server, workers - 1);
            let gone = server.connect(0);
            server.give(gone, &format!("BLPOP {key} 0{END}"));
            // Its request is in the input, on its way, in the line, known to be there.
            for turn in 0..turns {
                server.turn([0, workers - 1, 0][turn]);
            }
            server.hang_up(gone);
            server.work();
            let other = server.connect(0);
            assert_eq!(server.run(other, &format!("RPUSH {key} 1")), ":1", "{workers} workers, {turns} turns");
            assert_eq!(server.run(other, &format!("BLPOP {key} 0")), format!("[\"{key}\" \"1\"]"));
            assert_eq!(server.field(other, "blocked_clients"), "0");
            #[cfg(feature = "faults")]
            assert!(server.workers.iter().all(|worker| worker.left_over().waiting == 0));
        }
    }
}

#[test]
fn what_is_told_of_a_client_that_is_gone_is_not_taken_for_another_at_its_place() {
    let mut server = TestServer::new(2);
    let key = key_on(&server, 1);
    let gone = server.connect(0);
    server.give(gone, &format!("BLPOP {key} 0.05{END}"));
    server.turn(0);
    server.turn(1);
    // That it waits is on its way back.
    server.hang_up(gone);
    let next = server.connect(0);
    server.give(next, &format!("BLPOP {key} 0{END}"));
    server.work();
    let other = server.connect(1);
    assert_eq!(server.field(other, "blocked_clients"), "1");
    server.pass(100);
    assert_eq!(answer(&mut server, next), None);
    assert_eq!(server.run(other, &format!("RPUSH {key} 1 2")), ":2");
    assert_eq!(answer(&mut server, next), Some(format!("[\"{key}\" \"1\"]")));
    assert_eq!(server.field(other, "blocked_clients"), "0");
}

#[test]
fn an_element_between_two_shards_is_always_on_one_of_them() {
    let mut server = TestServer::new(2);
    let (source, target) = (key_on(&server, 0), key_on(&server, 1));
    let mover = waiting(&mut server, 1, &format!("BLMOVE {source} {target} LEFT RIGHT 0"));
    let behind = waiting(&mut server, 0, &format!("BLPOP {source} 0"));
    let (pusher, thief, reader) = (server.connect(0), server.connect(0), server.connect(1));
    // Taken by who does not wait, before the other shard has come: both go on waiting.
    server.send(pusher, &format!("RPUSH {source} 1{END}LPOP {source}{END}"));
    assert_eq!(answer(&mut server, pusher).zip(answer(&mut server, pusher)), Some((":1".into(), "\"1\"".into())));
    assert_eq!((answer(&mut server, mover), answer(&mut server, behind)), (None, None));
    // Looked at in every turn until it has moved.
    server.give(pusher, &format!("RPUSH {source} 2{END}"));
    let mut sums = Vec::new();
    for turn in 0..40 {
        if turn % 4 == 0 {
            server.give(reader, &format!("MULTI{END}LRANGE {source} 0 -1{END}LRANGE {target} 0 -1{END}EXEC{END}"));
        }
        server.turn(turn % 2);
        while let Some(reply) = answer(&mut server, reader) {
            sums.extend(reply.starts_with('[').then_some(reply));
        }
    }
    let moved = sums.iter().position(|seen| seen == "[[] [\"2\"]]").expect("it arrives");
    assert!(sums[..moved].iter().all(|seen| seen == "[[] []]" || seen == "[[\"2\"] []]"), "{sums:?}");
    assert!(sums[moved..].iter().all(|seen| seen == "[[] [\"2\"]]"), "{sums:?}");
    assert_eq!(answer(&mut server, mover).as_deref(), Some("\"2\""));
    assert_eq!(answer(&mut server, behind), None);
    // Who stands in front goes while his shards are on their way: the next is served.
    let mover = waiting(&mut server, 1, &format!("BLMOVE {source} {target} LEFT RIGHT 0"));
    let last = waiting(&mut server, 1, &format!("BLPOP {source} 0"));
    server.run(thief, &format!("RPUSH {source} 3"));
    assert_eq!(answer(&mut server, behind), Some(format!("[\"{source}\" \"3\"]")));
    server.give(pusher, &format!("RPUSH {source} 4{END}"));
    server.turn(0);
    server.hang_up(mover);
    server.work();
    assert_eq!(answer(&mut server, last), Some(format!("[\"{source}\" \"4\"]")));
}

#[test]
fn an_answer_waits_for_the_disk_as_the_push_does_that_it_tells_of() {
    let mut server = TestServer::holding(2);
    let key = key_on(&server, 1);
    let client = waiting(&mut server, 0, &format!("BLPOP {key} 0"));
    let pusher = server.connect(1);
    server.send(pusher, &format!("RPUSH {key} 1{END}"));
    assert_eq!((answer(&mut server, client), answer(&mut server, pusher)), (None, None));
    server.status.set_durable(1);
    server.work();
    assert_eq!(answer(&mut server, pusher).as_deref(), Some(":1"));
    assert_eq!(answer(&mut server, client), Some(format!("[\"{key}\" \"1\"]")));
}

#[test]
fn that_there_was_nothing_is_told_when_what_took_it_is_on_disk() {
    for line in ["BLPOP KEY 0.01", "BLPOP KEY other 0.01", "BLMOVE KEY other LEFT LEFT 0.01"] {
        let mut server = TestServer::holding(2);
        let key = key_on(&server, 1);
        let writer = server.connect(1);
        server.send(writer, &format!("RPUSH {key} 1{END}FLUSHALL{END}"));
        let client = waiting(&mut server, 0, &line.replace("KEY", &key));
        server.pass(20);
        assert_eq!(answer(&mut server, client), None, "{line}");
        server.status.set_durable(1);
        server.work();
        assert_eq!(answer(&mut server, client).as_deref(), Some("nil array"), "{line}");
    }
}

#[test]
fn who_asks_to_be_unblocked_itself_is_not() {
    let mut server = TestServer::new(2);
    let client = server.connect(0);
    let lines = [format!("CLIENT UNBLOCK {}", client.id), "BLPOP a b c d 0".into()];
    server.send(client, &lines.map(|line| format!("{line}{END}")).concat());
    assert_eq!((answer(&mut server, client).as_deref(), answer(&mut server, client)), (Some(":0"), None));
}

#[test]
fn a_pause_holds_what_begins_in_it_and_not_who_waits_already() {
    let mut server = TestServer::new(2);
    let (a, pauser) = (waiting(&mut server, 0, "BLPOP k 0.1"), server.connect(1));
    assert_eq!(server.run(pauser, "CLIENT PAUSE 1000 WRITE"), "+OK");
    let held = waiting(&mut server, 1, "BLPOP k 0.1");
    server.pass(100);
    assert_eq!((answer(&mut server, a).as_deref(), answer(&mut server, held)), (Some("nil array"), None));
    assert_eq!(server.field(pauser, "blocked_clients"), "0");
    server.pass(900);
    assert_eq!(server.field(pauser, "blocked_clients"), "1");
    server.pass(100);
    assert_eq!(answer(&mut server, held).as_deref(), Some("nil array"));
}

#[test]
fn the_server_does_not_wait_for_who_waits_when_it_ends() {
    let mut server = TestServer::new(3);
    waiting(&mut server, 0, "BLPOP a b c d 0");
    waiting(&mut server, 1, "XREAD BLOCK 0 STREAMS s $");
    assert!(server.workers.iter().all(|worker| worker.is_drained()));
}

#[test]
fn what_serving_takes_is_added_to_the_one_call_and_told_of_the_one_who_waits() {
    for workers in [1, 3] {
        let mut server = TestServer::new(workers);
        server.system.look_ns.store(1_000_000, Relaxed);
        let other = server.connect(0);
        server.run(other, "CONFIG SET slowlog-log-slower-than 0");
        let client = server.connect(workers - 1);
        server.run(client, "CLIENT SETNAME waiter");
        server.run(other, "SLOWLOG RESET");
        server.send(client, &format!("BLPOP k 0{END}"));
        server.run(other, "RPUSH k 1");
        assert!(answer(&mut server, client).is_some());
        let stats = server.text(other, "INFO commandstats");
        let line = stats.lines().find(|line| line.starts_with("cmdstat_blpop")).expect("it was called");
        assert!(line.starts_with("cmdstat_blpop:calls=1,usec=2000,") && line.ends_with("failed_calls=0"), "{line}");
        // Once in vain, once with an element.
        let log = server.run(other, "SLOWLOG GET");
        assert_eq!(log.matches("[\"BLPOP\" \"k\" \"0\"]").count(), 2, "{log}");
        assert_eq!(log.matches("\"waiter\"").count(), 2, "{log}");
    }
}
