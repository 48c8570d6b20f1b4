//! What is sent: named tests, and requests prepared so that only digits change between two of them.
//!
//! A request is encoded once, with twelve digits wherever a number is wanted. A [`Burst`] repeats it as often as a
//! connection sends at once; sending again means writing new digits over the old ones.

use kv_core::resp::client::encode_request;
use kv_core::structs::random::Random;

/// In a command's arguments: twelve digits of a number, which this text is as long as.
const NUMBER: &str = "__rand_int__";
const NUMBER_LEN: usize = NUMBER.len();

/// In a command's arguments: a value of `-d` bytes.
const DATA: &str = "__data__";

/// What `-t` knows. What stands between brackets is repeated `--multi-keys` times.
pub const TESTS: &[(&str, &str)] = &[
    ("ping", "PING"),
    ("set", "SET key:__rand_int__ __data__"),
    ("get", "GET key:__rand_int__"),
    ("incr", "INCR counter:__rand_int__"),
    ("mset", "MSET [ key:__rand_int__ __data__ ]"),
    ("mget", "MGET [ key:__rand_int__ ]"),
    ("del", "DEL key:__rand_int__"),
    ("exists", "EXISTS key:__rand_int__"),
    ("append", "APPEND key:__rand_int__ __data__"),
    ("strlen", "STRLEN key:__rand_int__"),
    ("getset", "GETSET key:__rand_int__ __data__"),
    ("setex", "SETEX key:__rand_int__ 100 __data__"),
    ("expire", "EXPIRE key:__rand_int__ 100"),
    ("ttl", "TTL key:__rand_int__"),
    ("pfadd", "PFADD hll __rand_int__"),
    ("lpush", "LPUSH mylist __data__"),
    ("rpush", "RPUSH mylist __data__"),
    ("lpop", "LPOP mylist"),
    ("rpop", "RPOP mylist"),
    ("lrange_100", "LRANGE mylist 0 99"),
    ("lrange_300", "LRANGE mylist 0 299"),
    ("lrange_600", "LRANGE mylist 0 599"),
    ("sadd", "SADD myset element:__rand_int__"),
    ("spop", "SPOP myset"),
    ("hset", "HSET myhash element:__rand_int__ __data__"),
    ("zadd", "ZADD myzset __rand_int__ element:__rand_int__"),
    ("zpopmin", "ZPOPMIN myzset"),
];

pub const DEFAULT_TESTS: &str = "ping,set,get,incr,mset,mget";

/// What the tests' commands leave open.
#[derive(Debug)]
pub struct Shape {
    pub multi_keys: u32,
}

/// One command to measure.
#[derive(Debug)]
pub struct Test {
    pub name: String,
    pub args: Vec<String>,
}

impl Test {
    pub fn named(name: &str, shape: &Shape) -> Option<Test> {
        let (name, line) = TESTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        let name = name.to_ascii_uppercase();
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let Some((start, rest)) = line.split_once('[') else {
            return Some(Test { name, args: words(line) });
        };
        let repeated = words(rest.trim_end_matches(']'));
        let times = shape.multi_keys as usize;
        let args =
            words(start).into_iter().chain(repeated.iter().cycle().take(repeated.len() * times).cloned()).collect();
        Some(Test { name: format!("{name} ({times} keys)"), args })
    }

    pub fn of_command(args: &[String]) -> Test {
        Test { name: args.join(" "), args: args.to_vec() }
    }
}

/// Where the numbers in requests come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Always 0: every request is the same.
    Zero,
    Random {
        keys: u64,
        seed: u64,
    },
    /// 0, 1, 2 ... over all connections together.
    Sequence {
        keys: u64,
    },
}

impl Numbers {
    /// How many different ones there are.
    fn keys(&self) -> u64 {
        match *self {
            Numbers::Zero => 1,
            Numbers::Random { keys, .. } | Numbers::Sequence { keys } => keys,
        }
    }
}

/// A request with the places of its numbers.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    /// Where each number's twelve digits begin.
    places: Vec<usize>,
}

impl Template {
    pub fn new(args: &[String], data_bytes: usize) -> Template {
        let data = "x".repeat(data_bytes);
        let args: Vec<String> = args.iter().map(|arg| arg.replace(DATA, &data)).collect();
        let mut bytes = Vec::new();
        encode_request(&mut bytes, &args);
        let mut places = Vec::new();
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(NUMBER_LEN).position(|window| window == NUMBER.as_bytes()) {
            at += found;
            bytes[at..at + NUMBER_LEN].fill(b'0');
            places.push(at);
            at += NUMBER_LEN;
        }
        Template { bytes, places }
    }
}

/// The requests that one connection sends at once.
#[derive(Debug)]
pub struct Burst {
    bytes: Vec<u8>,
    request_len: usize,
    places: Vec<usize>,
    numbers: Numbers,
    /// Digits that change; the others stay 0.
    digits: usize,
    random: Random,
}

impl Burst {
    /// Bursts of up to `requests`; `connection` makes their random numbers differ.
    pub fn new(template: &Template, requests: u32, numbers: Numbers, connection: u64) -> Burst {
        let seed = if let Numbers::Random { seed, .. } = numbers { seed } else { 0 };
        Burst {
            bytes: template.bytes.repeat(requests as usize),
            request_len: template.bytes.len(),
            places: template.places.clone(),
            numbers,
            digits: (numbers.keys() - 1).to_string().len().min(NUMBER_LEN),
            random: Random::new(Random::new(seed.wrapping_add(connection)).next_u64()),
        }
    }

    /// Writes new numbers into the first `count` requests, of which `first` have been made before by anyone.
    pub fn prepare(&mut self, first: u64, count: u32) {
        let len = count as usize * self.request_len;
        for (i, request) in self.bytes[..len].chunks_exact_mut(self.request_len).enumerate() {
            for &place in &self.places {
                let number = match self.numbers {
                    Numbers::Zero => return,
                    Numbers::Random { keys, .. } => self.random.below(keys),
                    Numbers::Sequence { keys } => (first + i as u64) % keys,
                };
                write_digits(&mut request[place + NUMBER_LEN - self.digits..place + NUMBER_LEN], number);
            }
        }
    }

    /// The bytes of the first `count` requests.
    pub fn bytes(&self, count: u32) -> &[u8] {
        &self.bytes[..count as usize * self.request_len]
    }
}

fn write_digits(field: &mut [u8], mut number: u64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(line: &str) -> Template {
        Template::new(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), 5)
    }

    fn keys(burst: &Burst, count: u32) -> Vec<u64> {
        let text = String::from_utf8(burst.bytes(count).to_vec()).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("key:")).map(|digits| digits.parse().unwrap()).collect()
    }

    #[test]
    fn a_request_is_encoded_once_and_only_its_digits_change() {
        let template = template("SET key:__rand_int__ __data__");
        let mut burst = Burst::new(&template, 3, Numbers::Random { keys: 1_000_000, seed: 7 }, 0);
        let request = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$5\r\nxxxxx\r\n";
        assert_eq!(burst.bytes(2), request.repeat(2));
        burst.prepare(0, 3);
        let first = keys(&burst, 3);
        burst.prepare(3, 3);
        let second = keys(&burst, 3);
        assert_eq!(burst.bytes(3).len(), request.len() * 3);
        assert!(first.iter().chain(&second).all(|key| *key < 1_000_000));
        assert_ne!(first, second);
    }

    #[test]
    fn random_numbers_come_from_the_seed_and_reach_the_whole_key_space() {
        let template = template("MGET key:__rand_int__ key:__rand_int__");
        let drawn = |seed, connection| {
            let mut burst = Burst::new(&template, 50, Numbers::Random { keys: 10, seed }, connection);
            burst.prepare(0, 50);
            keys(&burst, 50)
        };
        assert_eq!(drawn(1, 0), drawn(1, 0));
        assert_ne!(drawn(1, 0), drawn(1, 1));
        assert_ne!(drawn(1, 0), drawn(2, 0));
        let mut seen = drawn(1, 0);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (0..10).collect::<Vec<u64>>());
    }

    #[test]
    fn a_sequence_goes_on_where_the_claim_says() {
        let mut burst = Burst::new(&template("SET key:__rand_int__ v"), 4, Numbers::Sequence { keys: 1000 }, 0);
        burst.prepare(996, 4);
        assert_eq!(keys(&burst, 4), [996, 997, 998, 999]);
    }

    #[test]
    fn without_a_key_space_every_request_is_the_same() {
        let mut burst = Burst::new(&template("GET key:__rand_int__"), 2, Numbers::Zero, 3);
        burst.prepare(9, 2);
        assert_eq!(keys(&burst, 2), [0, 0]);
    }

    #[test]
    fn brackets_repeat_what_they_hold() {
        let mset = Test::named("MSET", &Shape { multi_keys: 3 }).unwrap();
        assert_eq!(mset.name, "MSET (3 keys)");
        assert_eq!(mset.args.len(), 7);
        let template = Template::new(&mset.args, 1);
        assert_eq!(template.places.len(), 3);
        assert!(Test::named("nope", &Shape { multi_keys: 3 }).is_none());
    }

    #[test]
    fn every_default_test_exists() {
        for name in DEFAULT_TESTS.split(',') {
            assert!(Test::named(name, &Shape { multi_keys: 2 }).is_some(), "{name}");
        }
    }
}
