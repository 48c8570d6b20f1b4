//! Collections of very many elements, and elements of very many bytes, of none, and with zero bytes in them.
//!
//! Smaller by default than what must work, so that every test run has them: `KV_BIG_ELEMENTS=1000000
//! KV_BIG_BYTES=100000000 cargo test --release -p kv-tests --test big_values` is the full size.

use std::collections::HashSet;

use kv_core::resp::client::{Value, encode_request};
use kv_core::resp::line;
use kv_tests::client::Client;
use kv_tests::process::Server;
use kv_tests::requests::setting;

const ELEMENTS: u64 = 100_000;
const BYTES: u64 = 4 << 20;
/// Items a request adds.
const PER_REQUEST: u64 = 500;
/// How much the memory in use may differ when all is gone: tables of keys do not shrink to nothing.
const SLACK_BYTES: u64 = 100_000;

fn elements() -> u64 {
    setting("KV_BIG_ELEMENTS", ELEMENTS)
}

fn big_bytes() -> usize {
    setting("KV_BIG_BYTES", BYTES) as usize
}

/// A server with one client, empty; at the end its memory must be free again.
struct Session {
    client: Client,
    server: Server,
    used: u64,
}

impl Session {
    fn start(shards: &str) -> Session {
        let server = Server::start(&["--shards", shards]);
        let mut session = Session { client: server.client(), server, used: 0 };
        session.used = session.used_memory();
        session
    }

    fn used_memory(&mut self) -> u64 {
        let info = self.client.ask(&["INFO", "memory"]);
        let text = String::from_utf8_lossy(info.bytes().expect("a text")).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|number| number.parse().ok()).expect("used_memory is told")
    }

    /// Says a line and shows its answer in the short form.
    fn run(&mut self, text: &str) -> String {
        kv_core::families::testing::show(&self.client.run(text))
    }

    /// Says a line, in which each `$` stands for the next of `words`.
    fn say(&mut self, text: &str, words: &[&[u8]]) -> Value {
        let mut words = words.iter();
        let request: Vec<&[u8]> = text
            .split(' ')
            .map(|word| if word == "$" { words.next().expect("a word for each $") } else { word.as_bytes() })
            .collect();
        self.client.ask(&request)
    }

    fn int(&mut self, text: &str) -> u64 {
        match self.client.run(text) {
            Value::Int(number) => number as u64,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// Adds `count` items, each of the words that `item` gives, in pipelines.
    fn fill(&mut self, command: &str, count: u64, item: impl Fn(u64) -> Vec<String>) {
        let mut first = 0;
        while first < count {
            let mut bytes = Vec::new();
            let mut requests = 0;
            while first < count && requests < 20 {
                let end = count.min(first + PER_REQUEST);
                let mut words: Vec<String> = command.split(' ').map(String::from).collect();
                words.extend((first..end).flat_map(&item));
                encode_request(&mut bytes, &words);
                (first, requests) = (end, requests + 1);
            }
            self.client.send_bytes(&bytes);
            for _ in 0..requests {
                let reply = self.client.receive();
                assert!(!reply.is_error(), "{command}: {reply:?}");
            }
        }
    }

    /// All elements that a walk tells, `width` values each, the first of them.
    fn walk(&mut self, command: &str, key: &str, width: usize) -> HashSet<Vec<u8>> {
        let mut found = HashSet::new();
        let mut cursor = b"0".to_vec();
        loop {
            let reply = self.client.ask(&[command.as_bytes(), key.as_bytes(), &cursor, b"COUNT", b"1000"]);
            let Value::Array(parts) = reply else { panic!("{command}: {reply:?}") };
            let [Value::Bulk(next), Value::Array(elements)] = &parts[..] else { panic!("a cursor and elements") };
            found.extend(elements.chunks(width).map(|run| run[0].bytes().expect("an element").to_vec()));
            cursor.clone_from(next);
            if cursor == b"0" {
                return found;
            }
        }
    }

    /// Removes the keys; nothing is left then.
    fn end(mut self, keys: &str) {
        self.run(&format!("DEL {keys}"));
        assert_eq!(self.run("DBSIZE"), ":0");
        let used = self.used_memory();
        assert!(used.abs_diff(self.used) < SLACK_BYTES, "{} bytes before, {used} when all is gone", self.used);
        self.server.stop();
    }
}

fn names(from: u64, to: u64) -> HashSet<Vec<u8>> {
    (from..to).map(|i| format!("element:{i}").into_bytes()).collect()
}

#[test]
fn a_list_of_very_many_elements_works() {
    let (mut s, n) = (Session::start("1"), elements());
    s.fill("RPUSH list", n, |i| vec![format!("element:{i}")]);
    let last = n - 1;
    assert_eq!(s.int("LLEN list"), n);
    assert_eq!(s.run(&format!("LINDEX list {}", n / 2)), format!("\"element:{}\"", n / 2));
    assert_eq!(s.run("LRANGE list -2 -1"), format!("[\"element:{}\" \"element:{last}\"]", n - 2));
    assert_eq!(s.int(&format!("LPOS list element:{last}")), last);
    assert_eq!(s.int(&format!("LINSERT list BEFORE element:{} between", n / 2)), n + 1);
    assert_eq!(s.int("LPOS list between"), n / 2);
    assert_eq!(s.run(&format!("LSET list {} other", n / 2)), "+OK");
    assert_eq!(s.int("LREM list 0 other"), 1);
    assert_eq!(s.int("COPY list copy"), 1);
    assert_eq!(s.run(&format!("LTRIM copy {} -2", n / 3)), "+OK");
    assert_eq!(s.int("LLEN copy"), n - n / 3 - 1);
    assert_eq!(s.run("LPOP copy"), format!("\"element:{}\"", n / 3));
    let Value::Array(all) = s.client.run("LRANGE list 0 -1") else { panic!("LRANGE answers with an array") };
    let all: HashSet<Vec<u8>> = all.iter().map(|value| value.bytes().expect("an element").to_vec()).collect();
    assert_eq!(all, names(0, n));
    s.end("list copy");
}

#[test]
fn a_set_of_very_many_members_works() {
    let (mut s, n) = (Session::start("2"), elements());
    s.fill("SADD {t}set", n, |i| vec![format!("element:{i}")]);
    s.fill("SADD {t}half", n, |i| vec![format!("element:{}", i + n / 2)]);
    assert_eq!(s.int("SCARD {t}set"), n);
    assert_eq!(s.run(&format!("SMISMEMBER {{t}}set element:0 element:{} element:{n}", n - 1)), "[:1 :1 :0]");
    assert!(s.walk("SSCAN", "{t}set", 1) == names(0, n), "a walk tells all members");
    assert_eq!(s.int("SINTERSTORE {t}both {t}set {t}half"), n - n / 2);
    assert_eq!(s.int("SUNIONSTORE {t}all {t}set {t}half"), n + n / 2);
    assert_eq!(s.int("SDIFFSTORE {t}first {t}set {t}half"), n / 2);
    assert!(s.walk("SSCAN", "{t}first", 1) == names(0, n / 2), "a walk tells all members");
    let Value::Array(popped) = s.client.run(&format!("SPOP {{t}}set {}", n / 2)) else {
        panic!("SPOP answers with an array")
    };
    let popped: HashSet<&[u8]> = popped.iter().filter_map(Value::bytes).collect();
    assert_eq!(popped.len() as u64, n / 2, "no member is popped twice");
    assert_eq!(s.int("SCARD {t}set"), n - n / 2);
    s.fill("SADD ints", n, |i| vec![(i * 3).to_string()]);
    assert_eq!(s.int("SCARD ints"), n);
    assert_eq!(s.run("SISMEMBER ints 3"), ":1");
    s.end("{t}set {t}half {t}both {t}all {t}first ints");
}

#[test]
fn a_hash_of_very_many_fields_works() {
    let (mut s, n) = (Session::start("2"), elements());
    s.fill("HSET hash", n, |i| vec![format!("element:{i}"), i.to_string()]);
    assert_eq!(s.int("HLEN hash"), n);
    assert_eq!(
        s.run(&format!("HMGET hash element:0 element:{} element:{n}", n - 1)),
        format!("[\"0\" \"{}\" nil]", n - 1)
    );
    assert!(s.walk("HSCAN", "hash", 2) == names(0, n), "a walk tells all fields");
    assert_eq!(s.int("HINCRBY hash element:7 -8"), u64::MAX);
    let Value::Array(all) = s.client.run("HGETALL hash") else { panic!("HGETALL answers with an array") };
    assert_eq!(all.len() as u64, 2 * n);
    assert_eq!(s.int("COPY hash copy"), 1);
    s.fill("HDEL copy", n / 2, |i| vec![format!("element:{i}")]);
    assert!(s.walk("HSCAN", "copy", 2) == names(n / 2, n), "a walk tells all fields");
    s.end("hash copy");
}

#[test]
fn a_sorted_set_of_very_many_members_works() {
    let (mut s, n) = (Session::start("2"), elements());
    // In an order that is not that of the scores.
    s.fill("ZADD {t}z", n, |i| vec![(i * 7_919 % n).to_string(), format!("element:{}", i * 7_919 % n)]);
    assert_eq!(s.int("ZCARD {t}z"), n, "7919 and the number of elements have no common divisor");
    assert_eq!(s.int(&format!("ZRANK {{t}}z element:{}", n / 3)), n / 3);
    assert_eq!(s.int(&format!("ZREVRANK {{t}}z element:{}", n / 3)), n - 1 - n / 3);
    assert_eq!(
        s.run(&format!("ZRANGE {{t}}z {} {}", n / 2, n / 2 + 1)),
        format!("[\"element:{}\" \"element:{}\"]", n / 2, n / 2 + 1)
    );
    assert_eq!(
        s.run(&format!("ZRANGE {{t}}z 10 +inf BYSCORE LIMIT {} 1", n / 2)),
        format!("[\"element:{}\"]", n / 2 + 10)
    );
    assert_eq!(s.int(&format!("ZCOUNT {{t}}z 5 ({}", n - 5)), n - 10);
    assert!(s.walk("ZSCAN", "{t}z", 2) == names(0, n), "a walk tells all members");
    assert_eq!(s.int(&format!("ZREMRANGEBYRANK {{t}}z 0 {}", n / 2 - 1)), n / 2);
    assert_eq!(s.run("ZPOPMIN {t}z"), format!("[\"element:{0}\" \"{0}\"]", n / 2));
    s.fill("ZADD {t}y", n, |i| vec![i.to_string(), format!("element:{i}")]);
    assert_eq!(s.int("ZUNIONSTORE {t}u 2 {t}z {t}y"), n);
    assert_eq!(s.run(&format!("ZSCORE {{t}}u element:{}", n - 1)), format!("\"{}\"", 2 * (n - 1)));
    s.end("{t}z {t}y {t}u");
}

#[test]
fn a_stream_of_very_many_entries_works() {
    let (mut s, n) = (Session::start("1"), elements());
    let mut bytes = Vec::new();
    for first in (1..=n).step_by(5_000) {
        let ids = first..(first + 5_000).min(n + 1);
        bytes.clear();
        ids.clone()
            .for_each(|id| encode_request(&mut bytes, &["XADD", "x", &id.to_string(), "field", &id.to_string()]));
        s.client.send_bytes(&bytes);
        ids.for_each(|_| assert!(!s.client.receive().is_error()));
    }
    assert_eq!(s.int("XLEN x"), n);
    let (half, next) = (n / 2, n / 2 + 1);
    let entry = format!("[[\"{half}-0\" [\"field\" \"{half}\"]]]");
    assert_eq!(s.run(&format!("XRANGE x {half} + COUNT 1")), entry);
    assert_eq!(s.run(&format!("XREVRANGE x {half} - COUNT 1")), entry);
    assert_eq!(
        s.run(&format!("XREAD COUNT 1 STREAMS x {half}")),
        format!("[[\"x\" [[\"{next}-0\" [\"field\" \"{next}\"]]]]]")
    );
    assert_eq!(s.int(&format!("XDEL x {half} {next}")), 2);
    assert_eq!(s.int("XTRIM x MAXLEN 100"), n - 102);
    assert_eq!(s.int("XLEN x"), 100);
    s.run("XGROUP CREATE x g 0");
    let Value::Array(_) = s.client.run("XREADGROUP GROUP g c STREAMS x >") else { panic!("entries") };
    assert_eq!(s.int(&format!("XACK x g {n}")), 1);
    s.end("x");
}

#[test]
fn a_string_of_very_many_bytes_works() {
    let mut s = Session::start("1");
    let len = (5 * big_bytes()).min(512 << 20) as u64;
    assert_eq!(s.int(&format!("SETRANGE k {} end", len - 3)), len);
    assert_eq!(s.int(&format!("SETBIT k {} 1", 8 * (len / 2))), 0);
    assert_eq!(s.int("BITCOUNT k"), 1 + u64::from(b"end".iter().map(|byte| byte.count_ones()).sum::<u32>()));
    assert_eq!(s.int("BITPOS k 1"), 8 * (len / 2));
    assert_eq!(s.int("BITOP NOT n k"), len);
    assert_eq!(s.int(&format!("BITPOS n 0 {} -1", len / 2 + 1)), 8 * (len - 3) + 1);
    assert_eq!(s.run("GETRANGE k -4 -1"), "\"\\x00end\"");
    assert_eq!(s.client.ask(&["GET", "k"]).bytes().map(<[u8]>::len), Some(len as usize));
    s.end("k n");
}

/// An element of so many bytes that no other has.
fn element(len: usize, kind: u8) -> Vec<u8> {
    let mut element: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
    element[len - 1] = kind;
    element
}

#[test]
fn elements_of_very_many_bytes_come_back_as_they_were() {
    let mut s = Session::start("2");
    let (one, two) = (element(big_bytes(), 1), element(big_bytes(), 2));
    let (one, two) = (&one[..], &two[..]);
    let int = |reply: Value, expected: i64| assert!(reply == Value::Int(expected), "not {expected}");
    let is = |reply: Value, expected: &[u8]| assert!(reply.bytes() == Some(expected), "the bytes that were stored");

    int(s.say("RPUSH list $ small $", &[one, two]), 3);
    is(s.say("LINDEX list 2", &[]), two);
    int(s.say("LPOS list $", &[two]), 2);
    is(s.say("LPOP list", &[]), one);

    int(s.say("SADD set $ small $ $", &[one, two, two]), 3);
    int(s.say("SISMEMBER set $", &[two]), 1);
    int(s.say("SREM set $", &[one]), 1);
    int(s.say("SISMEMBER set $", &[one]), 0);

    int(s.say("HSET hash $ $ small $", &[one, two, one]), 2);
    is(s.say("HGET hash $", &[one]), two);
    is(s.say("HGET hash small", &[]), one);
    int(s.say("HDEL hash $", &[one]), 1);

    int(s.say("ZADD z 1 $ 1 $ 0 small", &[two, one]), 3);
    int(s.say("ZRANK z $", &[two]), 2);
    is(s.say("ZINCRBY z 5 $", &[one]), b"6");
    let Value::Array(range) = s.say("ZRANGE z 0 -1", &[]) else { panic!("ZRANGE answers with an array") };
    assert!(range.iter().map(Value::bytes).eq([Some(&b"small"[..]), Some(two), Some(one)]), "in order");

    is(s.say("XADD x 1-1 field $ $ value", &[one, two]), b"1-1");
    let reply = s.say("XRANGE x - +", &[]);
    let fields = [&b"field"[..], one, two, b"value"].map(|bytes| Value::Bulk(bytes.to_vec()));
    let entry = Value::Array(vec![Value::Bulk(b"1-1".to_vec()), Value::Array(fields.to_vec())]);
    assert!(reply == Value::Array(vec![entry]), "the entry that was added");
    s.end("list set hash z x");
}

#[test]
fn empty_elements_and_zero_bytes_are_elements_like_others() {
    // One form after the other: packed, and past the limits.
    for filler in [0, 700] {
        let mut s = Session::start("2");
        if filler > 0 {
            s.fill("SADD set", filler, |i| vec![format!("f{i}")]);
            s.fill("HSET hash", filler, |i| vec![format!("f{i}"), String::new()]);
            s.fill("ZADD z", filler, |i| vec!["-1".into(), format!("f{i}")]);
            s.fill("RPUSH list", 30 * filler, |i| vec![format!("f{i}")]);
        }
        let filler = filler as usize;
        let odd: [&[u8]; 5] = [b"", b"\0", b"\0\0", b"a\0", b"a"];
        for (index, word) in odd.into_iter().enumerate() {
            let (at, said) = (index.to_string().into_bytes(), line::quote(word));
            let id = format!("1-{}", index + 1).into_bytes();
            assert_eq!(s.say("SADD set $", &[word]), Value::Int(1), "{said}");
            assert_eq!(s.say("HSET hash $ $", &[word, &at]), Value::Int(1), "{said}");
            assert_eq!(s.say("ZADD z 0 $", &[word]), Value::Int(1), "{said}");
            assert_eq!(s.say("LPUSH list $", &[word]), Value::Int((30 * filler + index + 1) as i64), "{said}");
            assert_eq!(s.say("XADD x $ $ $", &[&id, word, word]).bytes(), Some(&id[..]), "{said}");
            assert_eq!(s.say("SET $ $", &[word, word]), Value::Simple(b"OK".to_vec()), "{said}");
        }
        for (index, word) in odd.into_iter().enumerate() {
            let said = line::quote(word);
            assert_eq!(s.say("SISMEMBER set $", &[word]), Value::Int(1), "{said}");
            assert_eq!(s.say("HGET hash $", &[word]).bytes(), Some(index.to_string().as_bytes()), "{said}");
            assert_eq!(s.say("HSTRLEN hash $", &[word]), Value::Int(1), "{said}");
            // "" < "\0" < "\0\0" < "a" < "a\0"
            let rank = filler + [0, 1, 2, 4, 3][index];
            assert_eq!(s.say("ZRANK z $", &[word]), Value::Int(rank as i64), "{said}");
            assert_eq!(s.say("LPOS list $", &[word]), Value::Int(4 - index as i64), "{said}");
            assert_eq!(s.say("GET $", &[word]).bytes(), Some(word), "{said}");
        }
        assert_eq!(s.run("XRANGE x 1-4 1-4"), "[[\"1-4\" [\"a\\x00\" \"a\\x00\"]]]");
        assert_eq!(s.run("LRANGE list 0 4"), "[\"a\" \"a\\x00\" \"\\x00\\x00\" \"\\x00\" \"\"]");
        assert_eq!(s.say("DEL $ $ $ $ $", &odd), Value::Int(5));
        s.end("set hash z list x");
    }
}
