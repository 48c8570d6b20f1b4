//! Random commands, said to one of our stores and to a real redis-server: the replies must be the same.
//!
//! The generator reads the rows: a request is a sentence of the row's syntax with words from small pools, now and then
//! damaged. A case is a sequence of requests on an empty store; one that shows a difference is made as short as
//! possible first.
//!
//! Left out is what cannot be compared: cursors and random choices, waiting for replicas, how often values are shared.
//! Every number that may end up as an expiry is so large or so small that nothing expires while a case runs.

use std::time::{SystemTime, UNIX_EPOCH};

use kv_core::command::{Group, Handler, Row, RowId, table};
use kv_core::families::testing::{World, decode, show};
use kv_core::resp::Proto;
use kv_core::resp::client::Value;
use kv_core::resp::line;
use kv_core::structs::random::Random;
use kv_tests::client::Client;
use kv_tests::redis::Redis;

const CASES: u64 = 200;
/// Requests of a case, those included that ask what the others did.
const REQUESTS: usize = 300;
const DATABASES: u64 = 2;

/// More cases than in the normal run, or another first seed: `KV_TESTS_CASES=10000`, `KV_TESTS_SEED=77`.
fn setting(name: &str, normal: u64) -> u64 {
    std::env::var(name).map_or(normal, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[derive(Clone, Debug)]
enum Step {
    Select(usize),
    Request(Vec<Vec<u8>>),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Select(db) => write!(f, "SELECT {db}"),
            Step::Request(words) => {
                let words: Vec<String> = words.iter().map(|word| line::quote(word)).collect();
                f.write_str(&words.join(" "))
            }
        }
    }
}

/// The rows to try: commands on the store that have an answer to compare.
fn rows() -> Vec<&'static Row> {
    const LEFT_OUT: &[&str] =
        &["wait", "scan", "randomkey", "object|help", "object|refcount", "object|idletime", "memory|usage", "dbsize"];
    (0..table().len() as RowId)
        .map(|id| table().row(id))
        .filter(|row| matches!(row.spec.handler, Handler::Store(_)) && !LEFT_OUT.contains(&row.full_name.as_str()))
        .collect()
}

/// The syntax of a row, read.
enum Syntax {
    /// One after the other.
    All(Vec<Syntax>),
    OneOf(Vec<Syntax>),
    /// May be missing; `repeats`: may also stand there several times.
    Optional {
        inner: Box<Syntax>,
        repeats: bool,
    },
    Word(String),
}

impl Syntax {
    fn read(text: &str) -> Syntax {
        let spaced = text.replace('[', " [ ").replace(']', " ] ");
        let mut tokens = spaced.split_ascii_whitespace().peekable();
        let (syntax, _) = Syntax::alternatives(&mut tokens);
        assert!(tokens.next().is_none(), "brackets are balanced: {text}");
        syntax
    }

    fn alternatives<'a>(tokens: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> (Syntax, bool) {
        let (mut choices, mut sequence, mut repeats) = (Vec::new(), Vec::new(), false);
        while let Some(&token) = tokens.peek() {
            if token == "]" {
                break;
            }
            tokens.next();
            match token {
                "[" => {
                    let (inner, repeats) = Syntax::alternatives(tokens);
                    assert_eq!(tokens.next(), Some("]"), "brackets are balanced");
                    sequence.push(Syntax::Optional { inner: Box::new(inner), repeats });
                }
                "|" => choices.push(Syntax::All(std::mem::take(&mut sequence))),
                "..." => repeats = true,
                word => sequence.push(Syntax::Word(word.to_string())),
            }
        }
        choices.push(Syntax::All(sequence));
        (Syntax::OneOf(choices), repeats)
    }

    fn say(&self, random: &mut Random, out: &mut Vec<Vec<u8>>) {
        match self {
            Syntax::All(parts) => parts.iter().for_each(|part| part.say(random, out)),
            Syntax::OneOf(choices) => choices[random.index(choices.len())].say(random, out),
            Syntax::Optional { inner, repeats } => {
                let times = if *repeats { random.below(6) } else { random.below(2) };
                (0..times).for_each(|_| inner.say(random, out));
            }
            Syntax::Word(word) => out.push(fill_in(word, random)),
        }
    }
}

fn pick<'a>(pool: &[&'a str], random: &mut Random) -> &'a str {
    pool[random.index(pool.len())]
}

const KEYS: &[&str] = &["a", "b", "{t}c", "{t}d", "h1", "h2"];

/// A word for a placeholder; a keyword stands for itself, in any case of letters.
fn fill_in(word: &str, random: &mut Random) -> Vec<u8> {
    const VALUES: &[&str] = &[
        "",
        "x",
        "abc",
        "77777777",
        "-5",
        "3.5",
        "01",
        "9223372036854775807",
        "a longer text, of 45 bytes \
        to be exact ......",
        "HYLL",
        "\r\n\0",
    ];
    const SPANS: &[&str] =
        &["100000", "200000", "200000", "300000000", "300000000", "0", "-1", "9223372036854775807", "9223372036854775"];
    const MOMENTS: &[&str] =
        &["99999999999999", "99999999999999", "88888888888888", "88888888888888", "99999999999", "100000", "-1"];
    const NUMBERS: &[&str] = &["0", "1", "-1", "2", "5", "-7", "100", "9223372036854775807", "-9223372036854775808"];
    const DECIMALS: &[&str] = &["0", "1.5", "-0.1", "0.2", "1e3", "3", "1e-7", "inf", "5.0e3", "123456789.123456789"];
    const PATTERNS: &[&str] = &["*", "a", "?", "[a-c]", "*t*", "[^a]", "{t}*", "x*", "\\a"];
    let text = match word {
        "key" | "key1" | "key2" | "newkey" | "source" | "destination" | "destkey" | "sourcekey" => {
            // Some keys more often than others, so that requests meet.
            KEYS[random.index(KEYS.len()).min(random.index(KEYS.len()))]
        }
        "value" | "element" => pick(VALUES, random),
        "seconds" | "milliseconds" => pick(SPANS, random),
        "unix-time-seconds" | "unix-time-milliseconds" => pick(MOMENTS, random),
        "increment" | "decrement" if random.one_in(2) => pick(DECIMALS, random),
        "increment" | "decrement" | "start" | "end" | "offset" | "min-match-len" => pick(NUMBERS, random),
        "pattern" => pick(PATTERNS, random),
        "db" | "destination-db" | "index1" | "index2" => pick(&["0", "1", "2", "16", "-1"], random),
        keyword if keyword.chars().all(|c| c.is_ascii_uppercase()) => {
            return if random.one_in(4) { keyword.to_lowercase() } else { keyword.to_string() }.into_bytes();
        }
        other => panic!("words for the placeholder {other}"),
    };
    text.as_bytes().to_vec()
}

/// What makes a request wrong, or another one.
fn damage(words: &mut Vec<Vec<u8>>, name_words: usize, random: &mut Random) {
    const ODD: &[&str] =
        &["", "abc", "1.5", "+1", " 1", "NX", "XX", "GT", "LT", "EX", "PX", "GET", "KEEPTTL", "9223372036854775808"];
    let last = words.len();
    let at = name_words + random.index(last - name_words + 1);
    match random.below(4) {
        0 if at < last => drop(words.remove(at)),
        1 if at < last => words[at] = pick(ODD, random).into(),
        2 if last - name_words >= 2 => {
            let other = name_words + random.index(last - name_words);
            words.swap(at.min(last - 1), other);
        }
        _ => words.insert(at, pick(ODD, random).into()),
    }
}

/// A row, the more often the more options it has.
fn choose(rows: &[(&'static Row, Syntax)], random: &mut Random) -> usize {
    let weight = |row: &Row| 2 + row.spec.syntax.matches(['[', '|']).count() as u64;
    let mut left = random.below(rows.iter().map(|(row, _)| weight(row)).sum());
    let chosen = rows.iter().position(|(row, _)| match left.checked_sub(weight(row)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    chosen.expect("weights add up")
}

fn case(seed: u64, rows: &[(&'static Row, Syntax)]) -> Vec<Step> {
    let random = &mut Random::new(seed);
    let request = |line: &str| Step::Request(line.split(' ').map(|word| word.into()).collect());
    let mut steps = vec![request("SET a 12 EX 500000"), request("SETEX b 600000 text"), request("PFADD h1 x y z")];
    while steps.len() < REQUESTS {
        if random.one_in(30) {
            steps.push(Step::Select(random.below(DATABASES) as usize));
            continue;
        }
        let (row, syntax) = &rows[choose(rows, random)];
        // Seldom, or nothing else would be compared on more than an empty store.
        if row.full_name.starts_with("flush") && !random.one_in(10) {
            continue;
        }
        let mut words: Vec<Vec<u8>> = row.full_name.split('|').map(|word| word.as_bytes().to_vec()).collect();
        syntax.say(random, &mut words);
        if random.one_in(6) {
            damage(&mut words, row.name_words, random);
        }
        // HyperLogLogs are strings: their commands have to meet one now and then.
        if row.spec.group == Group::Hyperloglog && random.one_in(2) && words.len() > 1 {
            words[1] = pick(&["h1", "h2"], random).into();
        }
        // What a write has done shows only when somebody asks.
        let asked: Vec<Vec<u8>> =
            words.iter().filter(|word| KEYS.iter().any(|key| key.as_bytes() == word.as_slice())).cloned().collect();
        steps.push(Step::Request(words));
        for key in asked.into_iter().take(2) {
            for name in ["PTTL", "GET", "OBJECT ENCODING"] {
                let mut words: Vec<Vec<u8>> = name.split(' ').map(|word| word.into()).collect();
                words.push(key.clone());
                steps.push(Step::Request(words));
            }
        }
    }
    steps
}

/// Whether two replies mean the same. Spans shrink while a case runs, and the order of KEYS is free.
fn agree(name: &str, ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Int(ours), Value::Int(theirs)) if matches!(name, "ttl" | "pttl" | "expiretime" | "pexpiretime") => {
            ours.abs_diff(*theirs) <= if name.starts_with('p') { 5000 } else { 5 } && (*ours < 0) == (*theirs < 0)
        }
        (Value::Array(ours), Value::Array(theirs)) if name == "keys" => {
            let sorted = |values: &[Value]| {
                let mut shown: Vec<String> = values.iter().map(show).collect();
                shown.sort();
                shown
            };
            sorted(ours) == sorted(theirs)
        }
        // A whole sum of INCRBYFLOAT is kept as an integer here.
        (Value::Bulk(ours), Value::Bulk(theirs)) if name == "object" && ours == b"int" => {
            theirs == b"int" || theirs == b"embstr"
        }
        _ => ours == theirs,
    }
}

/// Runs the steps on empty stores; tells where they differ first.
fn differ(steps: &[Step], proto: Proto, shards: usize, redis: &mut Client) -> Option<String> {
    redis.ask(&["FLUSHALL"]);
    redis.ask(&["SELECT", "0"]);
    let mut world = World::new(shards);
    world.proto = proto;
    for step in steps {
        match step {
            Step::Select(db) => {
                world.db = *db;
                redis.ask(&["SELECT", &db.to_string()]);
            }
            Step::Request(words) => {
                let theirs = redis.ask(words);
                world.now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
                let ours = decode(&world.run_words(words));
                let name = String::from_utf8_lossy(&words[0]).to_lowercase();
                if !agree(&name, &ours, &theirs) {
                    return Some(format!("we say {}, Redis says {}", show(&ours), show(&theirs)));
                }
            }
        }
    }
    None
}

/// The steps that are needed for a difference.
fn shorten(mut steps: Vec<Step>, proto: Proto, shards: usize, redis: &mut Client) -> Vec<Step> {
    let mut at = steps.len();
    while at > 0 {
        at -= 1;
        let mut fewer = steps.clone();
        fewer.remove(at);
        if differ(&fewer, proto, shards, redis).is_some() {
            steps = fewer;
            at = at.min(steps.len());
        }
    }
    steps
}

#[test]
fn random_commands_are_answered_as_redis_answers_them() {
    let Some(redis) = Redis::start() else { return };
    let rows: Vec<_> = rows().into_iter().map(|row| (row, Syntax::read(row.spec.syntax))).collect();
    let first = setting("KV_TESTS_SEED", 1);
    let cases = setting("KV_TESTS_CASES", CASES);
    for proto in [Proto::Resp2, Proto::Resp3] {
        let mut session = redis.client();
        session.ask(&["HELLO", if proto == Proto::Resp2 { "2" } else { "3" }]);
        for seed in (first..first + cases).filter(|seed| (seed % 2 == 0) == (proto == Proto::Resp2)) {
            let shards = [1, 3][seed as usize / 2 % 2];
            let steps = case(seed, &rows);
            if differ(&steps, proto, shards, &mut session).is_none() {
                continue;
            }
            let steps = shorten(steps, proto, shards, &mut session);
            let difference = differ(&steps, proto, shards, &mut session).unwrap_or_default();
            let lines: Vec<String> = steps.iter().map(Step::to_string).collect();
            panic!("seed {seed}, {proto:?}, {shards} shards: {difference}\n{}", lines.join("\n"));
        }
    }
}

#[test]
fn a_syntax_is_read_as_it_is_meant() {
    let random = &mut Random::new(5);
    let syntax = Syntax::read("key value [NX | XX] [EX seconds | KEEPTTL] [key ...]");
    let mut lengths = std::collections::BTreeSet::new();
    for _ in 0..500 {
        let mut words = Vec::new();
        syntax.say(random, &mut words);
        lengths.insert(words.len());
    }
    // Two words at least; one, two and five more at most.
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), (2..=10).collect::<Vec<_>>());
}
