//! Keyspace events: after every random request, what kv tells of the keys is what redis-server tells, event by event, with one shard
//! and with several.

use kv_core::command::{Spread, table};
use kv_core::resp::client::Value;
use kv_core::resp::line;
use kv_tests::client::Client;
use kv_tests::differences::none_differs;
use kv_tests::process::Server;
use kv_tests::redis::Redis;
use kv_tests::requests::{Grammar, Step, agree};

const CASES: u64 = 12;
const SHARDS: [&str; 2] = ["1", "4"];
/// Commands that tell of other misses (docs/compatibility.md).
const MISSES_DIFFER: &[&[u8]] = &[b"object", b"smove", b"sort", b"sort_ro", b"xack", b"xread"];
/// All but misses, which are told where they are counted, and shard by shard, and but `expired`, which comes in its own time.
const CLASSES: &str = "KEg$lshzetdn";
/// Requests other than XGROUP make a consumer also when it gets nothing, as since 7.2.
const LATER: &str = "xgroup-createconsumer";

/// A server, and who listens to it.
struct Side {
    client: Client,
    listener: Client,
    marks: u64,
}

impl Side {
    fn new(mut client: Client, mut listener: Client, classes: &str) -> Side {
        client.ask(&["CONFIG", "SET", "notify-keyspace-events", classes]);
        listener.ask(&["PSUBSCRIBE", "__key*__:*"]);
        listener.ask(&["SUBSCRIBE", "mark"]);
        Side { client, listener, marks: 0 }
    }

    /// The reply, and the events, as `channel text`.
    fn ask(&mut self, words: &[Vec<u8>]) -> (Value, Vec<String>) {
        let reply = self.client.ask(words);
        let mut events = self.events();
        if !words[0].eq_ignore_ascii_case(b"XGROUP") {
            events.retain(|event| !event.contains(LATER));
        }
        (reply, events)
    }

    /// What has been told since the last call.
    fn events(&mut self) -> Vec<String> {
        self.marks += 1;
        let mark = self.marks.to_string();
        assert_eq!(self.client.ask(&["PUBLISH", "mark", &mark]), Value::Int(1));
        let mut events = Vec::new();
        loop {
            let Value::Array(message) = self.listener.receive() else { panic!("a message is an array") };
            let text = |at: usize| line::quote(message[at].bytes().expect("a text"));
            match &message[..] {
                [Value::Bulk(kind), _, Value::Bulk(text)] if kind == b"message" => {
                    assert_eq!(text, mark.as_bytes());
                    return events;
                }
                [_, _, _, _] => events.push(format!("{} {}", text(2), text(3))),
                other => panic!("{other:?} is no message"),
            }
        }
    }
}

/// Whether each shard tells what happened to its own keys, in an order that is not that of the keys.
fn is_in_parts(words: &[Vec<u8>]) -> bool {
    let row = std::str::from_utf8(&words[0]).ok().and_then(|name| table().by_full_name(name.to_lowercase().as_bytes()));
    row.is_some_and(|id| matches!(table().row(id).spec.spread, Spread::Parts { .. }))
}

/// Runs the steps on empty servers; tells where their events differ first. `several`: shards.
fn differ(
    steps: &[Step],
    ours: &mut Side,
    theirs: &mut Side,
    several: bool,
    may_differ: fn(&[u8]) -> bool,
) -> Option<String> {
    for side in [&mut *ours, &mut *theirs] {
        side.client.ask(&["FLUSHALL"]);
        side.client.ask(&["SELECT", "0"]);
        side.events();
    }
    for words in steps.iter().flat_map(Step::requests) {
        let (our_reply, mut our_events) = ours.ask(&words);
        let (their_reply, mut their_events) = theirs.ask(&words);
        if several && is_in_parts(&words) {
            our_events.sort();
            their_events.sort();
        }
        // Where the replies differ another test looks why.
        let is_error = matches!(our_reply, Value::Error(_));
        if our_events != their_events
            && agree(&words, &our_reply, &their_reply)
            && !may_differ(&words[0].to_ascii_lowercase())
            && !is_error
        {
            let said = Step::Request(words);
            return Some(format!("{said}: we tell {our_events:#?}, Redis tells {their_events:#?}"));
        }
    }
    None
}

/// Looks for differences in random cases.
fn compare(classes: &str, shards: &[&str], may_differ: fn(&[u8]) -> bool) {
    let begin = |server: &Server, redis: &Redis, shards: &str| {
        let ours = Side::new(server.client(), server.client(), classes);
        (ours, Side::new(redis.client(), redis.client(), classes), shards != "1")
    };
    none_differs(&Grammar::of_store(), CASES, shards, begin, |(ours, theirs, several), _, steps| {
        differ(steps, ours, theirs, *several, may_differ)
    });
}

#[test]
fn random_requests_are_told_of_as_redis_tells_of_them() {
    compare(CLASSES, &SHARDS, |_| false);
}

#[test]
fn random_reads_that_find_nothing_are_told_of_as_redis_tells_of_them() {
    compare("KEm", &SHARDS[..1], |name| MISSES_DIFFER.contains(&name));
}
