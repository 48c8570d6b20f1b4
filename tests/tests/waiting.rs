//! Requests that wait, of several clients, in transactions and scripts as well, to kv-server and to a real redis-server: the same
//! ones must wait, be served, be told errors, with the same answers in the same order. After each step both servers come to rest:
//! as many wait with the one as with the other.
//!
//! Then a crowd: every element of a queue goes to one of many who wait, whoever comes and goes.
//!
//! `KV_WAIT_CASES=1000` and `KV_WAIT_ELEMENTS=100000` for more than in the normal run, `KV_TESTS_SEED=77` for other cases.

#![allow(clippy::disallowed_methods)] // limits for servers that hang are measured on the real clock

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use kv_core::families::testing::show;
use kv_core::resp::client::Value;
use kv_core::structs::random::Random;
use kv_tests::client::{ANSWER_MAX, Client};
use kv_tests::process::{Server, wait_until};
use kv_tests::redis::Redis;
use kv_tests::requests::{look_by_type, setting, shortest};
use rustix::process::Signal;

const CASES: u64 = 400;
const STEPS: usize = 40;
const SESSIONS: usize = 5;

/// What is waited for is of one kind for each key, as Redis puts who waits for another kind at the end of its line; what is
/// written to it is of any.
const LISTS: [&str; 3] = ["{a}1", "{a}2", "l"];
const ZSETS: [&str; 2] = ["z", "{a}z"];
const STREAMS: [&str; 2] = ["s", "{a}s"];

#[derive(Clone)]
enum Step {
    /// One that may wait, or several that do not.
    Ask(usize, Vec<String>),
    Unblock(usize, &'static str),
    Kill(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Ask(session, lines) => write!(f, "{session}> {}", lines.join("; ")),
            Step::Unblock(session, how) => write!(f, "CLIENT UNBLOCK <{session}> {how}"),
            Step::Kill(session) => write!(f, "CLIENT KILL ID <{session}>"),
        }
    }
}

fn pick<'a>(from: &[&'a str], random: &mut Random) -> &'a str {
    from[random.index(from.len())]
}

/// Some of them, each once, in any order.
fn some(from: &[&str], random: &mut Random) -> Vec<String> {
    let mut keys: Vec<String> = from.iter().map(|key| key.to_string()).collect();
    (0..keys.len()).for_each(|at| keys.swap(at, random.index(from.len())));
    keys.truncate(1 + random.index(from.len()));
    keys
}

struct Cases {
    random: Random,
    fresh: u64,
}

impl Cases {
    fn case(seed: u64) -> Vec<Step> {
        let mut cases = Cases { random: Random::new(seed), fresh: 0 };
        (0..STEPS).map(|_| cases.step()).collect()
    }

    fn step(&mut self) -> Step {
        let session = self.random.index(SESSIONS);
        match self.random.index(24) {
            0 => Step::Unblock(session, ["TIMEOUT", "ERROR", ""][self.random.index(3)]),
            1 => Step::Kill(session),
            2..=4 => {
                let mut lines = vec!["MULTI".to_string()];
                for _ in 0..1 + self.random.index(5) {
                    let line = match self.random.index(12) {
                        0 | 1 => self.waiting(),
                        2 => self.script(),
                        _ => self.plain(),
                    };
                    lines.push(line);
                }
                lines.push("EXEC".into());
                Step::Ask(session, lines)
            }
            5..=10 => Step::Ask(session, vec![self.plain()]),
            11 | 12 => Step::Ask(session, vec![self.script()]),
            _ => Step::Ask(session, vec![self.waiting()]),
        }
    }

    fn waiting(&mut self) -> String {
        let random = &mut self.random;
        let (lists, zsets, streams) = (some(&LISTS, random), some(&ZSETS, random), some(&STREAMS, random));
        let side = |random: &mut Random| pick(&["LEFT", "RIGHT"], random);
        // With both keys on one shard: else it is served a little later, and others may come first.
        let (from, to) = (LISTS[random.index(2)], LISTS[random.index(2)]);
        let group = format!("GROUP g c{}", random.index(3));
        match random.index(10) {
            0 | 1 => format!("BLPOP {} 0", lists.join(" ")),
            2 => format!("BRPOP {} 0", lists.join(" ")),
            3 => format!("BLMOVE {from} {to} {} {} 0", side(random), side(random)),
            4 => format!("BRPOPLPUSH {from} {to} 0"),
            5 => {
                let count = 1 + random.index(3);
                format!("BLMPOP 0 {} {} {} COUNT {count}", lists.len(), lists.join(" "), side(random))
            }
            6 => format!("{} {} 0", pick(&["BZPOPMIN", "BZPOPMAX"], random), zsets.join(" ")),
            7 => format!("BZMPOP 0 {} {} MIN COUNT 2", zsets.len(), zsets.join(" ")),
            8 => format!("XREAD COUNT 2 BLOCK 0 STREAMS {} {}", streams.join(" "), vec!["$"; streams.len()].join(" ")),
            _ => format!(
                "XREADGROUP {group} COUNT 2 BLOCK 0 STREAMS {} {}",
                streams.join(" "),
                vec![">"; streams.len()].join(" ")
            ),
        }
    }

    /// Several in a script, which declares their keys or does not. It has no blanks, since these end a word.
    fn script(&mut self) -> String {
        let calls: Vec<String> = (0..1 + self.random.index(4))
            .map(|_| if self.random.one_in(5) { self.waiting() } else { self.plain() })
            .map(|line| format!("redis.pcall('{}')", line.replace(' ', "','")))
            .collect();
        let keys = ["0", "2 {a}1 {a}2", "1 l", "7 {a}1 {a}2 l z {a}z s {a}s"][self.random.index(4)];
        format!("EVAL return{{{}}} {keys}", calls.join(","))
    }

    fn plain(&mut self) -> String {
        let random = &mut self.random;
        self.fresh += 1;
        let fresh = self.fresh;
        // Now and then of another type than is waited for.
        let anything = random.one_in(12);
        let all = [&LISTS[..], &ZSETS[..], &STREAMS[..]].concat();
        let of = |own: &[&'static str], random: &mut Random| pick(if anything { &all } else { own }, random);
        let (list, zset, stream) = (of(&LISTS, random), of(&ZSETS, random), of(&STREAMS, random));
        let (any, other) = (pick(&all, random), pick(&all, random));
        match random.index(26) {
            0..=3 => {
                let elements: Vec<String> = (0..1 + random.index(4)).map(|at| format!("{fresh}.{at}")).collect();
                format!("{} {list} {}", pick(&["RPUSH", "LPUSH"], random), elements.join(" "))
            }
            4 => format!("LPOP {list}"),
            5 => format!("LMOVE {list} {} LEFT RIGHT", pick(&LISTS, random)),
            6..=8 => format!("ZADD {zset} {} m{fresh} {} n{fresh}", random.index(9), random.index(9)),
            9 => format!("ZPOPMIN {zset}"),
            10 => format!("ZUNIONSTORE {zset} 1 {}", pick(&ZSETS, random)),
            11..=14 => format!("XADD {stream} {fresh}-1 f {fresh}"),
            15 | 16 => format!("XGROUP CREATE {stream} g $ MKSTREAM"),
            17 => format!("XGROUP DESTROY {stream} g"),
            18 => format!("DEL {any} {other}"),
            19 => format!("RENAME {any} {other}"),
            20 => format!("COPY {any} {other} REPLACE"),
            21 => format!("SET {any} {fresh}"),
            22 => format!("SORT {list} BY nosort STORE {}", pick(&LISTS, random)),
            23 => format!("LINSERT {list} BEFORE {fresh}.0 x"),
            24 => format!("PEXPIRE {any} 0"),
            _ => {
                if random.one_in(3) {
                    "FLUSHALL".into()
                } else {
                    format!("UNLINK {any}")
                }
            }
        }
    }
}

/// One of the two servers, with everybody who talks to it.
struct Side<'a> {
    connect: &'a dyn Fn() -> Client,
    control: Client,
    sessions: Vec<(Client, i64)>,
}

impl<'a> Side<'a> {
    fn new(connect: &'a dyn Fn() -> Client) -> Side<'a> {
        let sessions = (0..SESSIONS).map(|_| Side::session(connect)).collect();
        Side { connect, control: connect(), sessions }
    }

    fn session(connect: &dyn Fn() -> Client) -> (Client, i64) {
        let mut client = connect();
        let Value::Int(id) = client.ask(&["CLIENT", "ID"]) else { panic!("CLIENT ID tells a number") };
        (client, id)
    }

    fn blocked(&mut self) -> usize {
        Side::blocked_of(&mut self.control)
    }

    /// How many wait.
    fn blocked_of(control: &mut Client) -> usize {
        let info = control.ask(&["INFO", "clients"]);
        let text = String::from_utf8_lossy(info.bytes().expect("a text")).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
        line.and_then(|count| count.parse().ok()).expect("it is told")
    }

    /// Until so many wait; false: they do not.
    fn settles(&mut self, count: usize) -> bool {
        let begun = Instant::now();
        while self.blocked() != count {
            if begun.elapsed() > ANSWER_MAX {
                return false;
            }
        }
        true
    }

    /// The answers of a session to a pipeline; of the last request None if it waits, of which there are `before` so far.
    fn ask(&mut self, session: usize, lines: &[String], before: usize) -> Vec<Option<Value>> {
        let (client, _) = &mut self.sessions[session];
        lines.iter().for_each(|line| client.send(&line.split(' ').collect::<Vec<_>>()));
        let mut answers: Vec<_> = lines[1..].iter().map(|_| Some(client.receive())).collect();
        let begun = Instant::now();
        loop {
            // In this order: who has waited and is served is not counted any more when the answer is there.
            let waits = self.blocked() > before;
            if let Some(answer) = self.sessions[session].0.poll() {
                answers.push(Some(answer));
                return answers;
            }
            if waits {
                answers.push(None);
                return answers;
            }
            assert!(begun.elapsed() < ANSWER_MAX, "{lines:?} is neither answered nor waits");
        }
    }

    fn reset(&mut self) {
        let connect = self.connect;
        self.sessions = (0..SESSIONS).map(|_| Side::session(connect)).collect();
        assert!(self.settles(0), "who is gone waits no more");
        self.control.ask(&["FLUSHALL"]);
    }
}

struct Pair<'a> {
    ours: Side<'a>,
    theirs: Side<'a>,
    /// What each session waits with.
    waiting: [Option<String>; SESSIONS],
}

impl Pair<'_> {
    fn waits(&self) -> usize {
        self.waiting.iter().flatten().count()
    }

    /// Runs the steps on empty servers; tells where they differ first.
    fn difference(&mut self, steps: &[Step]) -> Option<String> {
        self.ours.reset();
        self.theirs.reset();
        self.waiting = Default::default();
        for (at, step) in steps.iter().enumerate() {
            if let Some(found) = self.run(step).or_else(|| self.come_to_rest()) {
                return Some(format!("at step {} ({step}): {found}", at + 1));
            }
        }
        let keys = [&LISTS[..], &ZSETS[..], &STREAMS[..]].concat();
        keys.into_iter().find_map(|key| {
            let (ours, theirs) = (self.ours.control.ask(&["TYPE", key]), self.theirs.control.ask(&["TYPE", key]));
            let kind = match &theirs {
                Value::Simple(kind) if ours == theirs => String::from_utf8_lossy(kind).into_owned(),
                _ => return differ(&format!("in the end {key} is"), Some(&ours), Some(&theirs)),
            };
            if kind == "none" {
                return None;
            }
            let look = look_by_type(&kind, key.as_bytes());
            let (ours, theirs) = (self.ours.control.ask(&look), self.theirs.control.ask(&look));
            differ(&format!("in the end {key} holds"), Some(&ours), Some(&theirs))
        })
    }

    fn run(&mut self, step: &Step) -> Option<String> {
        match step {
            Step::Ask(session, _) if self.waiting[*session].is_some() => None,
            Step::Ask(session, lines) => {
                let before = self.waits();
                let theirs = self.theirs.ask(*session, lines, before);
                let ours = self.ours.ask(*session, lines, before);
                if theirs.last().is_some_and(Option::is_none) {
                    self.waiting[*session] = lines.last().cloned();
                }
                let pairs = lines.iter().zip(ours.iter().zip(&theirs));
                pairs.into_iter().find_map(|(line, (ours, theirs))| differ(line, ours.as_ref(), theirs.as_ref()))
            }
            Step::Unblock(session, how) => {
                let ask = |side: &mut Side<'_>| {
                    let id = side.sessions[*session].1.to_string();
                    side.control.ask(&["CLIENT", "UNBLOCK", &id, how][..if how.is_empty() { 3 } else { 4 }])
                };
                let (theirs, ours) = (ask(&mut self.theirs), ask(&mut self.ours));
                differ("CLIENT UNBLOCK", Some(&ours), Some(&theirs))
            }
            Step::Kill(session) => {
                for side in [&mut self.theirs, &mut self.ours] {
                    let id = side.sessions[*session].1.to_string();
                    side.control.ask(&["CLIENT", "KILL", "ID", &id]);
                    side.sessions[*session] = Side::session(side.connect);
                }
                self.waiting[*session] = None;
                None
            }
        }
    }

    /// Whoever Redis has answered is answered, and nobody else.
    fn come_to_rest(&mut self) -> Option<String> {
        let left = self.theirs.blocked();
        if !self.ours.settles(left) {
            return Some(format!("{} wait instead of {left}", self.ours.blocked()));
        }
        for session in 0..SESSIONS {
            let Some(line) = self.waiting[session].clone() else { continue };
            let theirs = self.theirs.sessions[session].0.poll();
            let ours = match theirs {
                Some(_) => Some(self.ours.sessions[session].0.receive()),
                None => self.ours.sessions[session].0.poll(),
            };
            if theirs.is_some() {
                self.waiting[session] = None;
            }
            if let Some(found) = differ(&format!("{line} of {session}, which waited,"), ours.as_ref(), theirs.as_ref())
            {
                return Some(found);
            }
        }
        (self.waits() != left).then(|| format!("Redis says that {left} wait"))
    }
}

fn differ(what: &str, ours: Option<&Value>, theirs: Option<&Value>) -> Option<String> {
    let shown = |value: Option<&Value>| value.map_or("that it waits".into(), show);
    (ours != theirs).then(|| format!("{what}: we say {}, Redis says {}", shown(ours), shown(theirs)))
}

fn compare(shards: &str, first: u64) {
    let Some(redis) = Redis::start() else { return };
    let server = Server::start(&["--shards", shards]);
    let (to_us, to_them) = (|| server.client(), || redis.client());
    let (ours, theirs) = (Side::new(&to_us), Side::new(&to_them));
    let mut pair = Pair { ours, theirs, waiting: Default::default() };
    let seeds = setting("KV_TESTS_SEED", 1).wrapping_mul(1 << 32) + first;
    for seed in seeds..seeds + setting("KV_WAIT_CASES", CASES) / 2 {
        let steps = Cases::case(seed);
        let Some(found) = pair.difference(&steps) else { continue };
        let steps = shortest(steps, |steps| pair.difference(steps).is_some());
        let found = pair.difference(&steps).unwrap_or(found);
        let lines: Vec<String> = steps.iter().map(Step::to_string).collect();
        panic!("seed {seed}, {shards} shards: {found}\n{}", lines.join("\n"));
    }
}

#[test]
fn who_waits_is_served_as_by_redis_with_one_shard() {
    compare("1", 0);
}

#[test]
fn who_waits_is_served_as_by_redis_with_several_shards() {
    compare("4", 1 << 20);
}

/// The name of those who may be cut.
const KILLED_NAME: &str = "victim";

/// Elements that are pushed to queues, each under a name of its own.
struct Queues {
    address: SocketAddr,
    keys: Vec<String>,
    /// All are pushed and taken.
    is_over: AtomicBool,
    /// Requests whose clients were gone before the answer: what was taken for them may be lost with it.
    unanswered: AtomicUsize,
}

impl Queues {
    fn connect(&self) -> Client {
        Client::tcp(self.address).expect("the server accepts connections")
    }

    fn are_empty(&self, client: &mut Client) -> bool {
        let keys = self.keys.iter().map(String::as_str);
        client.ask(&["EXISTS"].into_iter().chain(keys).collect::<Vec<_>>()) == Value::Int(0)
    }

    fn key(&self, random: &mut Random) -> &str {
        &self.keys[random.index(self.keys.len())]
    }

    fn produce(&self, producer: usize, count: usize) {
        let (mut client, mut random) = (self.connect(), Random::new(producer as u64 + 1));
        let mut left: Vec<String> = (0..count).map(|at| format!("{producer}.{at}")).collect();
        while !left.is_empty() {
            let some = left.split_off(left.len() - left.len().min(1 + random.index(4)));
            match random.index(4) {
                0 => {
                    client.run("MULTI");
                    for element in &some {
                        client.ask(&["RPUSH", self.key(&mut random), element]);
                    }
                    assert!(matches!(client.run("EXEC"), Value::Array(_)));
                }
                1 => {
                    let own = format!("own{producer}");
                    for element in &some {
                        client.ask(&["RPUSH", &own, element]);
                        client.ask(&["LMOVE", &own, self.key(&mut random), "LEFT", "RIGHT"]);
                    }
                }
                _ => {
                    let words = ["RPUSH", self.key(&mut random)].into_iter().chain(some.iter().map(String::as_str));
                    assert!(!client.ask(&words.collect::<Vec<_>>()).is_error());
                }
            }
            // Most come when somebody waits.
            if !random.one_in(4) {
                wait_until("the queues are emptied", || self.are_empty(&mut client));
            }
        }
    }

    /// Takes elements until the end; gives them. `is_victim`: it may be cut, or goes away before it is answered.
    fn consume(&self, consumer: usize, is_victim: bool) -> Vec<String> {
        let mut random = Random::new(1000 + consumer as u64);
        let (mut client, mut taken) = (self.consumer(is_victim), Vec::new());
        let timeout = ["0.001", "0.004", "0.02"][random.index(3)];
        while !self.is_over.load(Ordering::Relaxed) {
            let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
            let (first, second) = (keys[random.index(keys.len())], keys[random.index(keys.len())]);
            match random.index(3) {
                0 => client.send(&[&["BLPOP"], &keys[..], &[timeout]].concat()),
                1 => client.send(&["BRPOP", first, second, timeout]),
                _ => client.send(&["BLMPOP", timeout, "2", first, second, "LEFT", "COUNT", "2"]),
            }
            if is_victim && random.one_in(5) {
                self.unanswered.fetch_add(2, Ordering::Relaxed);
                client = self.consumer(is_victim);
                continue;
            }
            match client.try_receive() {
                Some(Value::Array(answer)) => {
                    let elements = match &answer[1] {
                        Value::Array(elements) => &elements[..],
                        element => std::slice::from_ref(element),
                    };
                    let text = |element: &Value| String::from_utf8_lossy(element.bytes().expect("a text")).into_owned();
                    taken.extend(elements.iter().map(text));
                }
                Some(answer) => assert_eq!(answer, Value::NilArray),
                None => {
                    assert!(is_victim);
                    // BLMPOP takes two.
                    self.unanswered.fetch_add(2, Ordering::Relaxed);
                    client = self.consumer(is_victim);
                }
            }
        }
        taken
    }

    fn consumer(&self, is_victim: bool) -> Client {
        let mut client = self.connect();
        if is_victim {
            client.ask_or_end(&["CLIENT", "SETNAME", KILLED_NAME]);
        }
        client
    }

    /// Moves elements to a list of its own until the end, and is cut now and then.
    fn keep(&self, keeper: usize) {
        let (mut client, mut random) = (self.consumer(true), Random::new(2000 + keeper as u64));
        let own = format!("kept{keeper}");
        while !self.is_over.load(Ordering::Relaxed) {
            client.send(&["BLMOVE", self.key(&mut random), &own, "LEFT", "RIGHT", "0.004"]);
            if random.one_in(5) || client.try_receive().is_none() {
                client = self.consumer(true);
            }
        }
    }

    /// Cuts some of those who wait.
    fn kill(&self) {
        let (mut client, mut random) = (self.connect(), Random::new(7));
        while !self.is_over.load(Ordering::Relaxed) {
            let list = client.ask(&["CLIENT", "LIST"]);
            let list = String::from_utf8_lossy(list.bytes().expect("a text")).into_owned();
            let victims = list.lines().filter(|line| line.contains(KILLED_NAME) && line.contains("flags=b "));
            for id in victims.filter_map(|line| line.split(' ').next()?.strip_prefix("id=")) {
                if random.one_in(4) {
                    let kill: &[&str] =
                        if random.one_in(2) { &["CLIENT", "KILL", "ID", id] } else { &["CLIENT", "UNBLOCK", id] };
                    client.ask(kill);
                }
            }
        }
    }
}

#[test]
fn every_element_goes_to_one_who_waits_and_once_though_many_come_and_go() {
    const PRODUCERS: usize = 3;
    const KEEPERS: usize = 3;
    let server = Server::start(&["--shards", "3"]);
    let elements = setting("KV_WAIT_ELEMENTS", 6_000) as usize / PRODUCERS;
    let queues = Queues {
        address: server.address(),
        keys: (0..6).map(|n| format!("queue{n}")).collect(),
        is_over: AtomicBool::new(false),
        unanswered: AtomicUsize::new(0),
    };
    let mut control = server.client();
    let mut taken: Vec<String> = thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|n| {
                scope.spawn({
                    let queues = &queues;
                    move || queues.produce(n, elements)
                })
            })
            .collect();
        let consumers: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let queues = &queues;
                    move || queues.consume(n, n % 2 == 0)
                })
            })
            .collect();
        (0..KEEPERS).for_each(|n| {
            _ = scope.spawn({
                let queues = &queues;
                move || queues.keep(n)
            })
        });
        scope.spawn(|| queues.kill());
        producers.into_iter().for_each(|producer| producer.join().expect("it pushes all"));
        wait_until("everything is taken", || queues.are_empty(&mut control));
        queues.is_over.store(true, Ordering::Relaxed);
        consumers.into_iter().flat_map(|consumer| consumer.join().expect("it ends")).collect()
    });
    for keeper in 0..KEEPERS {
        let Value::Array(kept) = control.ask(&["LRANGE", &format!("kept{keeper}"), "0", "-1"]) else {
            panic!("a list")
        };
        assert!(!kept.is_empty(), "keeper {keeper} has got something");
        taken.extend(kept.iter().map(|element| String::from_utf8_lossy(element.bytes().expect("a text")).into_owned()));
    }
    let all = taken.len();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), all, "nothing is taken twice");
    let lost = elements * PRODUCERS - all;
    let unanswered = queues.unanswered.into_inner();
    assert!(lost <= unanswered, "{lost} are lost, with {unanswered} that nobody was there for");
    wait_until("nobody waits any more", || Side::blocked_of(&mut control) == 0);
}

#[test]
fn the_server_ends_while_clients_wait() {
    for signal in [true, false] {
        let mut server = Server::start(&["--shards", "2"]);
        let mut waiting: Vec<Client> = (0..20).map(|_| server.client()).collect();
        for (at, client) in waiting.iter_mut().enumerate() {
            client.send(&["BLPOP", &format!("k{at}"), "l", "0"]);
        }
        let mut control = server.client();
        wait_until("all wait", || Side::blocked_of(&mut control) == 20);
        if signal {
            server.signal(Signal::TERM);
        } else {
            assert_eq!(control.ask_or_end(&["SHUTDOWN"]), None);
        }
        assert_eq!(server.wait().code(), Some(0));
        assert!(waiting.iter_mut().all(|client| client.try_receive().is_none()));
    }
}
