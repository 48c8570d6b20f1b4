//! Time is moved as a machine would move it: when all workers rest, to the next moment one of them asks for.

use crate::outbox::Outbox;
use crate::world::{Order, PeerId, World};
use kv_core::resp::client::{ReplyDecoder, Value};
use kv_core::structs::random::Random;
use kv_server::engine::Faults;

/// How late a key may be removed, in ms.
const LAG_MAX: u64 = 10;

fn run_until_rest(world: &mut World, random: &mut Random) {
    while (0..world.workers()).any(|w| world.has_work(w)) {
        for worker in 0..world.workers() {
            if world.has_work(worker) {
                world.step(worker, random);
            }
        }
    }
}

/// Asks, and waits for the answer, at one moment.
fn ask(world: &mut World, random: &mut Random, peer: PeerId, words: &[&str]) -> Value {
    let mut outbox = Outbox::default();
    outbox.push(&words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
    while !outbox.is_empty() {
        let n = world.feed(peer, outbox.bytes());
        outbox.arrived(n);
        run_until_rest(world, random);
    }
    let mut decoder = ReplyDecoder::default();
    decoder.feed(&std::mem::take(&mut world.peers[peer].received));
    decoder.next_value().expect("well formed").expect("answered")
}

#[test]
fn due_keys_are_removed_within_ten_milliseconds_without_being_touched() {
    let mut random = Random::new(11);
    let mut world = World::new(3, Order::AsDesigned, Faults::default(), &mut random);
    let peer = world.connect(0);
    let mut due = Vec::new();
    for i in 0..3000 {
        // Near and far moments: several levels of the timing wheel.
        let scale = 4 + random.below(18);
        let span = 1 + random.below(1 << scale);
        due.push(world.now_ms() + span);
        let reply = ask(&mut world, &mut random, peer, &["SET", &format!("k{i}"), "v", "PX", &span.to_string()]);
        assert_eq!(reply, Value::Simple(b"OK".to_vec()));
        if i % 100 == 0 {
            world.now_us += 700;
        }
    }
    due.sort_unstable();
    while let Some(moment) = world.next_moment() {
        world.now_us = world.now_us.max(moment * 1000);
        run_until_rest(&mut world, &mut random);
        let now = world.now_ms();
        let left = world.keys() as usize;
        let (due_now, due_long_ago) =
            (due.partition_point(|&d| d <= now), due.partition_point(|&d| d + LAG_MAX <= now));
        assert!(left >= due.len() - due_now, "at {now} a key has vanished before its time");
        assert!(left <= due.len() - due_long_ago, "at {now} a key is left that was due {LAG_MAX} ms ago");
        // Nobody asks to be woken so late that a key would be late.
        let next_due = due.get(due_now);
        assert!(next_due.is_none_or(|d| world.next_moment().is_some_and(|next| next < d + LAG_MAX)));
    }
    assert_eq!(world.keys(), 0);
}

#[test]
fn a_key_is_there_in_the_millisecond_before_it_is_due_and_not_in_the_one_it_is_due() {
    let mut random = Random::new(12);
    let mut world = World::new(3, Order::AsDesigned, Faults::default(), &mut random);
    let peers = [0, 1, 2].map(|w| world.connect(w));
    for i in 0..200 {
        let key = format!("k{i}");
        let span = 1 + random.below(40);
        ask(&mut world, &mut random, peers[0], &["SET", &key, "v", "PX", &span.to_string()]);
        let due = world.now_ms() + span;
        let asker = peers[random.index(3)];
        world.now_us = world.now_us.max(due * 1000 - 1);
        assert_eq!(ask(&mut world, &mut random, asker, &["GET", &key]), Value::Bulk(b"v".to_vec()));
        assert_eq!(ask(&mut world, &mut random, asker, &["MGET", &key, "other"]).to_owned(), {
            Value::Array(vec![Value::Bulk(b"v".to_vec()), Value::Nil])
        });
        world.now_us += 1;
        let read = [vec!["GET", &key], vec!["GETDEL", &key], vec!["RENAME", &key, "x"]];
        let read = &read[random.index(3)];
        let reply = ask(&mut world, &mut random, asker, read);
        assert!(reply == Value::Nil || reply == Value::Error(b"ERR no such key".to_vec()), "{read:?}: {reply:?}");
    }
}
