//! Client tracking: after every random request, of the tracking client or of another, it is told of the same keys by kv, with one
//! shard and with several, as by redis-server.

use kv_core::resp::client::Value;
use kv_core::resp::line;
use kv_tests::client::Client;
use kv_tests::differences::none_differs;
use kv_tests::process::Server;
use kv_tests::redis::Redis;
use kv_tests::requests::{Grammar, Step, agree};

const CASES: u64 = 12;
const SHARDS: [&str; 2] = ["1", "4"];
const MODES: [&[&str]; 4] =
    [&[], &["NOLOOP"], &["BCAST"], &["BCAST", "NOLOOP", "PREFIX", "{", "PREFIX", "s", "PREFIX", "z"]];

/// A server with a client that tracks and one that does not.
struct Side {
    clients: [Client; 2],
}

impl Side {
    fn new(mut tracker: Client, other: Client) -> Side {
        assert!(matches!(tracker.ask(&["HELLO", "3"]), Value::Map(_)));
        Side { clients: [tracker, other] }
    }

    fn begin(&mut self, mode: &[&str]) {
        let [tracker, other] = &mut self.clients;
        tracker.ask(&["CLIENT", "TRACKING", "OFF"]);
        other.ask(&["FLUSHALL"]);
        for client in [&mut *tracker, other] {
            client.ask(&["SELECT", "0"]);
        }
        let words = [&["CLIENT", "TRACKING", "ON"], mode].concat();
        assert_eq!(tracker.ask(&words), Value::Simple(b"OK".to_vec()));
        self.told();
    }

    /// The reply, and the keys of which the tracker is told then.
    fn ask(&mut self, client: usize, words: &[Vec<u8>]) -> (Value, Vec<String>) {
        let reply = self.clients[client].ask(words);
        (reply, self.told())
    }

    /// All keys that the tracker was told since the last call.
    fn told(&mut self) -> Vec<String> {
        self.clients[0].ask(&["PING"]);
        let mut told = Vec::new();
        for push in self.clients[0].take_pushes() {
            match push {
                Value::Push(push) => match &push[..] {
                    [_, Value::Array(keys)] => {
                        told.extend(keys.iter().map(|key| line::quote(key.bytes().expect("a key"))))
                    }
                    [_, Value::Nil] => told.push("all".into()),
                    other => panic!("{other:?} tells of no keys"),
                },
                other => panic!("{other:?} is no push"),
            }
        }
        told.sort();
        told
    }
}

/// What tells of other keys (docs/compatibility.md), or, since Redis tells all of the prefix when something has expired, at another time.
fn is_left_out(words: &[Vec<u8>], mode: &[&str]) -> bool {
    const EXPIRE: &[&str] = &[
        "ex",
        "px",
        "exat",
        "pxat",
        "setex",
        "psetex",
        "expire",
        "pexpire",
        "expireat",
        "pexpireat",
        "restore",
        "getex",
    ];
    let has = |word: &str| words.iter().any(|other| other.eq_ignore_ascii_case(word.as_bytes()));
    let expires = mode.contains(&"BCAST") && EXPIRE.iter().any(|word| has(word));
    expires || has("swapdb") || has("pfcount") || (has("bitfield") && has("fail"))
}

/// Runs the steps on empty servers; tells where they tell of other keys first.
fn differ(steps: &[Step], mode: &[&str], ours: &mut Side, theirs: &mut Side) -> Option<String> {
    ours.begin(mode);
    theirs.begin(mode);
    for words in steps.iter().flat_map(Step::requests) {
        // Who asks hangs on the request alone, so that it stays the same when others are left out.
        let client = usize::from(
            words.iter().flatten().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte)) % 3 == 0,
        );
        if is_left_out(&words, mode) {
            continue;
        }
        let (our_reply, our_keys) = ours.ask(client, &words);
        // What it has read then is remembered by Redis alone.
        if matches!(&our_reply, Value::Error(text) if !text.starts_with(b"WRONGTYPE") && text != b"ERR no such key") {
            continue;
        }
        let (their_reply, their_keys) = theirs.ask(client, &words);
        // Where the replies differ another test looks why.
        if our_keys != their_keys && agree(&words, &our_reply, &their_reply) {
            let (said, who) = (Step::Request(words), ["the tracker", "the other"][client]);
            return Some(format!("{said} by {who}, {mode:?}: we tell {our_keys:?}, Redis tells {their_keys:?}"));
        }
    }
    None
}

#[test]
fn random_requests_are_told_to_trackers_as_redis_tells_them() {
    let begin = |server: &Server, redis: &Redis, _: &str| {
        (Side::new(server.client(), server.client()), Side::new(redis.client(), redis.client()))
    };
    none_differs(&Grammar::of_store(), CASES, &SHARDS, begin, |(ours, theirs), seed, steps| {
        differ(steps, MODES[seed as usize / SHARDS.len() % MODES.len()], ours, theirs)
    });
}
