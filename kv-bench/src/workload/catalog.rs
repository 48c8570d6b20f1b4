//! Workloads by name: redis-benchmark's tests, mixes of them and of commands, YCSB, cache-aside, and preloading.

use kv_core::resp::line;

use super::keys::KeyPattern;
use super::{After, FollowUp, KeyRole, Operation, Shape, Words, Workload};

/// What `-t` knows: redis-benchmark's tests, and the commands around them. What stands between brackets is repeated
/// `--multi-keys` times.
pub const TESTS: &[(&str, &str)] = &[
    ("ping_inline", "PING"),
    ("ping_mbulk", "PING"),
    ("set", "SET key:__rand_int__ __data__"),
    ("get", "GET key:__rand_int__"),
    ("incr", "INCR counter:__rand_int__"),
    ("lpush", "LPUSH mylist __data__"),
    ("rpush", "RPUSH mylist __data__"),
    ("lpop", "LPOP mylist"),
    ("rpop", "RPOP mylist"),
    ("sadd", "SADD myset element:__rand_int__"),
    ("hset", "HSET myhash element:__rand_int__ __data__"),
    ("spop", "SPOP myset"),
    ("zadd", "ZADD myzset __rand_int__ element:__rand_int__"),
    ("zpopmin", "ZPOPMIN myzset"),
    ("lrange_100", "LRANGE mylist 0 99"),
    ("lrange_300", "LRANGE mylist 0 299"),
    ("lrange_500", "LRANGE mylist 0 499"),
    ("lrange_600", "LRANGE mylist 0 599"),
    ("mset", "MSET [ key:__rand_int__ __data__ ]"),
    ("mget", "MGET [ key:__rand_int__ ]"),
    ("xadd", "XADD mystream * myfield __data__"),
    ("del", "DEL key:__rand_int__"),
    ("exists", "EXISTS key:__rand_int__"),
    ("append", "APPEND key:__rand_int__ __data__"),
    ("strlen", "STRLEN key:__rand_int__"),
    ("getset", "GETSET key:__rand_int__ __data__"),
    ("setex", "SETEX key:__rand_int__ 100 __data__"),
    ("expire", "EXPIRE key:__rand_int__ 100"),
    ("ttl", "TTL key:__rand_int__"),
    ("hget", "HGET myhash element:__rand_int__"),
    ("sismember", "SISMEMBER myset element:__rand_int__"),
    ("zscore", "ZSCORE myzset element:__rand_int__"),
    ("pfadd", "PFADD hll __rand_int__"),
];

/// Names that stand for several tests, as in redis-benchmark.
const GROUPS: &[(&str, &str)] =
    &[("ping", "ping_inline,ping_mbulk"), ("lrange", "lpush,lrange_100,lrange_300,lrange_500,lrange_600")];

pub const DEFAULT_TESTS: &str = "ping_mbulk,set,get,incr,mset,mget";

/// The name of a group is too a test's in a mix.
fn words_of(name: &str) -> Option<&'static str> {
    TESTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, words)| *words)
}

/// How the tests' commands are completed.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Keys of one MSET or MGET.
    pub multi_keys: u32,
    /// Seconds that the keys of SET and of cache-aside live, from and to.
    pub ttl: Option<(u64, u64)>,
}

impl Completion {
    fn ttl_words(&self) -> Vec<String> {
        match self.ttl {
            None => Vec::new(),
            Some((low, high)) if low == high => vec!["EX".to_owned(), low.to_string()],
            Some((low, high)) => vec!["EX".to_owned(), format!("__int:{low}:{high}__")],
        }
    }

    fn set(&self, key: &str) -> Vec<String> {
        let mut words: Vec<String> = ["SET", key, "__data__"].map(str::to_owned).to_vec();
        words.extend(self.ttl_words());
        words
    }
}

/// The tests of a list of names. Errors: a name that is none.
pub fn tests(names: &str, completion: &Completion, shape: &Shape) -> Result<Vec<Workload>, String> {
    let mut tests = Vec::new();
    for name in names.split(',') {
        let group = GROUPS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        for name in group.map_or(name, |(_, names)| names).split(',') {
            let operation = test(name, 1.0, completion).ok_or_else(|| {
                let known = GROUPS.iter().chain(TESTS).map(|(name, _)| *name).collect::<Vec<_>>().join(",");
                format!("no test '{name}'; there are {known}")
            })?;
            tests.push(single(operation, shape));
        }
    }
    Ok(tests)
}

/// A workload of one operation, called as it is.
pub fn single(operation: Operation, shape: &Shape) -> Workload {
    Workload { name: operation.name.clone(), operations: vec![operation], shape: shape.clone() }
}

/// A command of the user's own, with places.
pub fn command(words: &[String], shape: &Shape) -> Workload {
    single(Operation::plain(words.join(" "), 1.0, words), shape)
}

fn test(name: &str, weight: f64, completion: &Completion) -> Option<Operation> {
    let line = words_of(name)?;
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let upper = name.to_ascii_uppercase();
    let Some((start, rest)) = line.split_once('[') else {
        let args = if upper == "SET" { completion.set("key:__rand_int__") } else { words(line) };
        let mut operation = Operation::plain(&upper, weight, args);
        if upper == "PING_INLINE" {
            operation.request = Words::Inline(line.to_owned());
        }
        return Some(operation);
    };
    let repeated = words(rest.trim_end_matches(']'));
    let times = completion.multi_keys as usize;
    let all = repeated.iter().cycle().take(repeated.len() * times).cloned();
    Some(Operation::plain(format!("{upper} ({times} keys)"), weight, words(start).into_iter().chain(all)))
}

/// `get:80,set:15,HSET h:__rand_int__ f __data__:5`: names of tests or whole commands, with weights.
pub fn mix(text: &str, completion: &Completion, shape: &Shape) -> Result<Workload, String> {
    let mut operations = Vec::new();
    for item in unquoted_parts(text) {
        let (what, weight) = item.rsplit_once(':').ok_or_else(|| format!("'{item}' has no weight"))?;
        let weight = weight.parse().ok().filter(|weight: &f64| *weight > 0.0 && weight.is_finite());
        let weight = weight.ok_or_else(|| format!("'{item}' has no positive weight"))?;
        let what = what.trim();
        let operation = if what.contains(' ') {
            let words = line::split(what.as_bytes()).map_err(|problem| format!("'{what}': {problem}"))?;
            let words: Result<Vec<String>, _> = words.into_iter().map(String::from_utf8).collect();
            Operation::plain(what, weight, words.map_err(|_| format!("'{what}' is no text"))?)
        } else {
            test(what, weight, completion).ok_or_else(|| format!("no test '{what}'"))?
        };
        operations.push(operation);
    }
    if operations.len() > usize::from(u16::MAX) {
        return Err("too many operations".to_owned());
    }
    Ok(Workload { name: format!("mix {text}"), operations, shape: shape.clone() })
}

/// The parts between commas that stand in no quotes.
fn unquoted_parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut open, mut escaped) = (Vec::new(), 0, None, false);
    for (at, c) in text.char_indices() {
        match (open, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(quote), _) if quote == c => open = None,
            (None, '"' | '\'') => open = Some(c),
            (None, ',') => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A cache beside a slower store: what is not found is put there.
pub fn cache_aside(completion: &Completion, shape: &Shape) -> Workload {
    let mut get = Operation::plain("GET", 1.0, ["GET", "__key__"]);
    get.follow_up = Some(FollowUp { after: After::Miss, operation: 1 });
    let fill = Operation::plain("SET after a miss", 0.0, completion.set("__key__"));
    Workload { name: "cache-aside".to_owned(), operations: vec![get, fill], shape: shape.clone() }
}

/// Fields of a record, as in YCSB's core workloads.
const YCSB_FIELDS: usize = 10;

/// Bytes of a field, when -d does not say.
pub const YCSB_FIELD_BYTES: usize = 100;

/// The longest scan of workload E.
const YCSB_SCAN_MAX: u64 = 100;

/// Words that write a whole record.
fn ycsb_record() -> Vec<String> {
    let fields = (0..YCSB_FIELDS).flat_map(|n| [format!("field{n}"), "__data__".to_owned()]);
    ["HSET", "__key__"].map(str::to_owned).into_iter().chain(fields).collect()
}

/// YCSB's core workloads A to F over hashes (Cooper et al. 2010). A scan reads records of consecutive numbers, since a
/// key-value store has no order of keys to look them up by. `pattern` replaces the one that belongs to the workload.
pub fn ycsb(letter: char, pattern: Option<KeyPattern>, shape: &Shape) -> Result<Workload, String> {
    let read = |weight| Operation::plain("read", weight, ["HGETALL", "__key__"]);
    let update = |weight| Operation::plain("update", weight, ["HSET", "__key__", "field__int:0:9__", "__data__"]);
    let insert = |weight| Operation { key: KeyRole::Inserted, ..Operation::plain("insert", weight, ycsb_record()) };
    let letter = letter.to_ascii_uppercase();
    let operations = match letter {
        'A' => vec![read(50.0), update(50.0)],
        'B' => vec![read(95.0), update(5.0)],
        'C' => vec![read(100.0)],
        'D' => vec![read(95.0), insert(5.0)],
        'E' => vec![Operation { name: "scan".to_owned(), requests_max: YCSB_SCAN_MAX, ..read(95.0) }, insert(5.0)],
        'F' => {
            let modify = FollowUp { after: After::AnyReply, operation: 2 };
            let first = Operation { name: "read to modify".to_owned(), follow_up: Some(modify), ..read(50.0) };
            vec![read(50.0), first, Operation { name: "modify".to_owned(), ..update(0.0) }]
        }
        _ => return Err(format!("YCSB has the workloads A to F, not '{letter}'")),
    };
    let exponent = 0.99;
    let usual = if letter == 'D' { KeyPattern::Latest { exponent } } else { KeyPattern::Zipfian { exponent } };
    let shape = Shape { pattern: pattern.unwrap_or(usual), ..shape.clone() };
    Ok(Workload { name: format!("YCSB {letter}"), operations, shape })
}

/// Writes every key of a key space once.
pub fn preload(records: bool, completion: &Completion, shape: &Shape) -> Workload {
    let args = if records { ycsb_record() } else { completion.set("__key__") };
    let shape = Shape { pattern: KeyPattern::Sequential, ..shape.clone() };
    single(Operation::plain("preload", 1.0, args), &shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::values::ValueSize;

    fn shape() -> Shape {
        let pattern = KeyPattern::Uniform;
        Shape { keys: Some(10), pattern, values: ValueSize::Fixed(3), verified: false, seed: 1 }
    }

    const COMPLETION: Completion = Completion { multi_keys: 3, ttl: None };

    fn args(workload: &Workload, operation: usize) -> String {
        match &workload.operations[operation].request {
            Words::Args(args) => args.join(" "),
            Words::Inline(line) => format!("inline {line}"),
        }
    }

    #[test]
    fn tests_come_in_the_order_given_groups_spread_and_unknown_ones_are_named() {
        let names = |text: &str| {
            tests(text, &COMPLETION, &shape()).map(|tests| tests.into_iter().map(|t| t.name).collect::<Vec<_>>())
        };
        assert_eq!(names("get,set").unwrap(), ["GET", "SET"]);
        assert_eq!(names("ping,MSET").unwrap(), ["PING_INLINE", "PING_MBULK", "MSET (3 keys)"]);
        assert_eq!(names("lrange").unwrap().len(), 5);
        assert!(names("get,nope").unwrap_err().starts_with("no test 'nope'; there are ping,lrange,"));
        assert_eq!(names(DEFAULT_TESTS).unwrap().len(), DEFAULT_TESTS.split(',').count());
    }

    #[test]
    fn every_test_is_well_formed() {
        for (name, _) in TESTS {
            let test = tests(name, &COMPLETION, &shape()).unwrap().remove(0);
            assert_eq!(test.check(), Ok(()), "{name}");
        }
        for letter in "abcdef".chars() {
            assert_eq!(ycsb(letter, None, &shape()).unwrap().check(), Ok(()), "{letter}");
        }
        for load in [cache_aside(&COMPLETION, &shape()), preload(true, &COMPLETION, &shape())] {
            assert_eq!(load.check(), Ok(()));
        }
    }

    #[test]
    fn brackets_repeat_what_they_hold_and_ttls_stand_behind_a_set() {
        let mset = tests("mset", &COMPLETION, &shape()).unwrap().remove(0);
        assert_eq!(
            args(&mset, 0),
            "MSET key:__rand_int__ __data__ key:__rand_int__ __data__ key:__rand_int__ __data__"
        );
        let with = |ttl| args(&tests("set", &Completion { multi_keys: 1, ttl }, &shape()).unwrap()[0], 0);
        assert_eq!(with(None), "SET key:__rand_int__ __data__");
        assert_eq!(with(Some((60, 60))), "SET key:__rand_int__ __data__ EX 60");
        assert_eq!(with(Some((5, 60))), "SET key:__rand_int__ __data__ EX __int:5:60__");
    }

    #[test]
    fn a_mix_takes_names_and_commands_with_weights() {
        let load = mix("get:80,set:15,HSET h:__rand_int__ f __data__:5", &COMPLETION, &shape()).unwrap();
        let all: Vec<_> = load.operations.iter().map(|o| (o.name.as_str(), o.weight)).collect();
        assert_eq!(all, [("GET", 80.0), ("SET", 15.0), ("HSET h:__rand_int__ f __data__", 5.0)]);
        let quoted = r#"EVAL "return redis.call('set', KEYS[1], ARGV[1])" 1 __key__ 'a, b':2,get:1"#;
        let load = mix(quoted, &COMPLETION, &shape()).unwrap();
        let Words::Args(words) = &load.operations[0].request else { panic!("words") };
        assert_eq!(words[..], ["EVAL", "return redis.call('set', KEYS[1], ARGV[1])", "1", "__key__", "a, b"]);
        assert_eq!((load.operations[0].weight, load.operations.len()), (2.0, 2));
        for wrong in ["get", "get:0", "get:x", "nope:1", "get:1,", "SET k \"v:1", "SET k \"\\xff\":1"] {
            assert!(mix(wrong, &COMPLETION, &shape()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ycsb_has_its_patterns_unless_told_otherwise() {
        let pattern = |letter, asked| ycsb(letter, asked, &shape()).unwrap().shape.pattern;
        assert_eq!(pattern('a', None), KeyPattern::Zipfian { exponent: 0.99 });
        assert_eq!(pattern('d', None), KeyPattern::Latest { exponent: 0.99 });
        assert_eq!(pattern('d', Some(KeyPattern::Uniform)), KeyPattern::Uniform);
        assert!(ycsb('g', None, &shape()).is_err());
    }
}
