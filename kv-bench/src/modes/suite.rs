//! `suite types --against HOST:PORT`: the commands of every data type, one case after the other, on two servers.
//!
//! Before each run a server is emptied and gets the data of the case, the same on both; then it is waited for until what it
//! frees in the background is freed, and only then measured. A case whose command one of them does not have is passed over.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use kv_core::resp::client::{Value, encode_request};

use super::against::{compare, tell};
use crate::args::Suite;
use crate::driver::{Limit, Load, Pace, Traffic};
use crate::report::Report;
use crate::server::{Client, Server};
use crate::workload::catalog::{self, Completion};
use crate::workload::keys::KeyPattern;
use crate::workload::values::ValueSize;
use crate::workload::{Shape, Workload};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// Lists, sets, hashes, sorted sets, geo and streams
    Types,
}

/// Requests that make the data of a case.
type Data = fn(&mut dyn FnMut(&[&str]));

struct Case {
    name: &'static str,
    /// A test of `-t` in lower case, or a command with places.
    what: &'static str,
    /// Requests at a scale of 1.
    requests: u64,
    /// What `__rand_int__` is below.
    range: u64,
    data: Option<Data>,
}

const fn case(name: &'static str, what: &'static str, requests: u64) -> Case {
    Case { name, what, requests, range: 1_000_000, data: None }
}

impl Case {
    const fn on(self, range: u64, data: Data) -> Case {
        Case { range, data: Some(data), ..self }
    }
}

const MANY: u64 = 1_000_000;

/// Those that answer much, or combine whole sets, run fewer times.
const TYPES: &[Case] = &[
    case("lpush", "lpush", MANY),
    case("rpush", "rpush", MANY),
    case("lpop", "lpop", MANY).on(MANY, |send| list(MANY, send)),
    case("rpop", "rpop", MANY).on(MANY, |send| list(MANY, send)),
    case("sadd", "sadd", MANY),
    case("hset", "hset", MANY),
    case("spop", "spop", MANY).on(MANY, |send| set("myset", 0, MANY, send)),
    case("zadd", "zadd", MANY),
    case("zpopmin", "zpopmin", MANY).on(MANY, |send| zset("myzset", 0, MANY, send)),
    case("lrange 100", "lrange_100", 100_000).on(1, |send| list(10_000, send)),
    case("lrange 600", "lrange_600", 30_000).on(1, |send| list(10_000, send)),
    case("mset 10", "mset", 200_000),
    case("zrank", "ZRANK z element:__rand_int__", MANY).on(100_000, |send| zset("z", 0, 100_000, send)),
    case("zrange by score, 10", "ZRANGE z __rand_int__ +inf BYSCORE LIMIT 0 10", 500_000)
        .on(900_000, |send| zset("z", 0, 100_000, send)),
    case("sinter 10,000", "SINTER s1 s2", 1_000).on(1, |send| {
        set("s1", 0, 10_000, send);
        set("s2", 5_000, 10_000, send);
    }),
    case("zunionstore 10,000", "ZUNIONSTORE to 2 z1 z2", 400).on(1, |send| {
        zset("z1", 0, 10_000, send);
        zset("z2", 5_000, 10_000, send);
    }),
    case("geosearch 50 km", "GEOSEARCH geo FROMMEMBER element:__rand_int__ BYRADIUS 50 km ASC", 50_000).on(20_000, geo),
    case("xadd", "xadd", MANY),
    case("xread 10", "XREAD COUNT 10 STREAMS stream 1__rand_int__-0", 500_000).on(90_000, stream),
];

/// Words of one request that adds to a collection.
const BATCH: u64 = 100;

fn member(number: u64) -> String {
    format!("element:{number:012}")
}

/// A number that hangs on another one without order.
fn scattered(number: u64, below: u64) -> u64 {
    number * 7_919_987 % below
}

/// Sends `COMMAND key` with the words of `count` items, some at a time.
fn items(command: &str, key: &str, count: u64, words: impl Fn(u64) -> Vec<String>, send: &mut dyn FnMut(&[&str])) {
    for start in (0..count).step_by(BATCH as usize) {
        let words: Vec<String> = (start..count.min(start + BATCH)).flat_map(&words).collect();
        let request: Vec<&str> = [command, key].into_iter().chain(words.iter().map(String::as_str)).collect();
        send(&request);
    }
}

fn list(count: u64, send: &mut dyn FnMut(&[&str])) {
    items("RPUSH", "mylist", count, |_| vec!["xxx".to_owned()], send);
}

fn set(key: &str, first: u64, count: u64, send: &mut dyn FnMut(&[&str])) {
    items("SADD", key, count, |number| vec![member(first + number)], send);
}

fn zset(key: &str, first: u64, count: u64, send: &mut dyn FnMut(&[&str])) {
    items("ZADD", key, count, |number| vec![scattered(number, 1_000_003).to_string(), member(first + number)], send);
}

/// Places over some thousand kilometres: some forty within 50 km of each.
fn geo(send: &mut dyn FnMut(&[&str])) {
    let place = |number| {
        let (east, north) =
            (scattered(number, 10_007) as f64 / 1000.0, 45.0 + scattered(number, 7_919) as f64 / 1000.0);
        vec![east.to_string(), north.to_string(), member(number)]
    };
    items("GEOADD", "geo", 20_000, place, send);
}

fn stream(send: &mut dyn FnMut(&[&str])) {
    (0..100_000).for_each(|number| send(&["XADD", "stream", &format!("1{number:012}-0"), "field", "xxx"]));
}

/// True if every reply was what it should be.
pub fn run(server: &Server, options: &Suite, mut report: Report) -> Result<bool> {
    let Name::Types = options.name;
    let (host, port) = options.against.clone();
    let other = Server { host, port, socket: None, ..server.clone() };
    let servers = [server, &other];
    for server in servers {
        let keys = server.connect()?.info()?.map_or(0, |info| info.keys());
        if keys > 0 && !options.flush {
            bail!("{} has {keys} keys, which the suite would delete: say --flush if that is meant", server.address());
        }
    }
    let is_wanted = |case: &&Case| {
        options.only.is_empty() || options.only.iter().any(|part| case.name.contains(&part.to_lowercase()))
    };
    for case in TYPES.iter().filter(is_wanted) {
        let load = case.load(options)?;
        let mut lacks = None;
        for server in servers {
            if !knows(&mut server.connect()?, &case.command())? {
                lacks.get_or_insert(server.address());
            }
        }
        if let Some(place) = lacks {
            report.say(&format!("{}: {place} does not know {}", case.name, case.command()));
            continue;
        }
        let comparison = compare(servers, &load, options.rounds as usize, &mut |server, load| {
            case.prepare(&mut server.connect()?)?;
            report.run_part(server, load)
        })?;
        tell(&comparison, &mut report);
    }
    report.finish()
}

/// Whether a server has a command; one that cannot be asked is taken to have it.
fn knows(client: &mut Client, command: &str) -> Result<bool> {
    Ok(match client.ask(&["COMMAND", "INFO", command])? {
        Value::Array(rows) => !matches!(rows.first(), Some(Value::Nil | Value::NilArray)),
        _ => true,
    })
}

impl Case {
    fn workload(&self, options: &Suite) -> Result<Workload> {
        let shape = Shape {
            keys: Some(self.range),
            pattern: KeyPattern::Uniform,
            values: ValueSize::Fixed(options.data),
            verified: false,
            seed: 1,
        };
        let mut workload = if self.what.contains(' ') {
            let words: Vec<String> = self.what.split(' ').map(str::to_owned).collect();
            catalog::command(&words, &shape)
        } else {
            let completion = Completion { multi_keys: 10, ttl: None };
            catalog::tests(self.what, &completion, &shape).map_err(anyhow::Error::msg)?.remove(0)
        };
        workload.name = self.name.to_owned();
        Ok(workload)
    }

    /// The command that is measured.
    fn command(&self) -> String {
        self.what.split([' ', '_']).next().unwrap_or_default().to_uppercase()
    }

    fn load(&self, options: &Suite) -> Result<Load> {
        /// Fewer say nothing at any scale.
        const LEAST: u64 = 50;
        let requests = ((self.requests as f64 * options.scale) as u64).max(LEAST);
        Ok(Load {
            traffic: Traffic::Made(self.workload(options)?),
            connections: options.clients,
            keep_alive: true,
            pipeline: options.pipeline,
            threads: 1,
            pace: Pace::Closed,
            limit: Limit { requests: Some(requests), time: None },
            warm_up: Duration::ZERO,
        })
    }

    /// Empties a server, writes the data of this case, and waits until it has nothing left to do.
    fn prepare(&self, client: &mut Client) -> Result<()> {
        /// Requests of one round trip.
        const AT_ONCE: usize = 500;
        client.must(&["FLUSHALL"])?;
        if let Some(data) = self.data {
            let mut parts: Vec<(Vec<u8>, usize)> = Vec::new();
            data(&mut |words| {
                if parts.last().is_none_or(|(_, count)| *count == AT_ONCE) {
                    parts.push((Vec::new(), 0));
                }
                if let Some((requests, count)) = parts.last_mut() {
                    encode_request(requests, words);
                    *count += 1;
                }
            });
            for (requests, count) in parts {
                client.must_all(&requests, count)?;
            }
        }
        settle(client)
    }
}

/// Waits, for a few seconds at most, until a server uses next to no CPU.
#[allow(clippy::disallowed_methods)] // there is nothing to wait for but time
fn settle(client: &mut Client) -> Result<()> {
    const LOOKS_MAX: usize = 200;
    const LOOK: Duration = Duration::from_millis(50);
    /// Half of a tick in which some servers count their time.
    const IDLE_NS: u64 = 5_000_000;
    let mut before = None;
    for _ in 0..LOOKS_MAX {
        let now = client.info()?.and_then(|info| info.cpu_ns(""));
        match (before, now) {
            (Some(before), Some(now)) if now - before < IDLE_NS => break,
            (_, None) => break,
            _ => before = now,
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{CommandLine, Mode};

    fn suite(line: &str) -> Suite {
        let words = ["kv-bench", "suite", "types", "--against", "h:1"].into_iter().chain(line.split_whitespace());
        match CommandLine::try_parse_from(words).expect("the line is right").mode {
            Some(Mode::Suite(suite)) => suite,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_case_can_be_sent_and_has_as_many_requests_as_its_scale_says() {
        let options = suite("--scale 0.001 -d 8");
        for case in TYPES {
            let load = case.load(&options).expect(case.name);
            assert_eq!(load.name(), case.name);
            assert_eq!(load.limit.requests, Some((case.requests / 1000).max(50)), "{}", case.name);
            let Traffic::Made(workload) = &load.traffic else { panic!("{}", case.name) };
            workload.check().expect(case.name);
        }
    }

    #[test]
    fn data_comes_in_batches_and_is_complete() {
        let (mut requests, mut words) = (0, 0);
        zset("z", 5, 250, &mut |request| {
            assert_eq!(request[..2], ["ZADD", "z"]);
            requests += 1;
            words += request.len() - 2;
        });
        assert_eq!((requests, words), (3, 500));
        assert_eq!((TYPES[0].command(), TYPES[9].command()), ("LPUSH".to_owned(), "LRANGE".to_owned()));
    }
}
