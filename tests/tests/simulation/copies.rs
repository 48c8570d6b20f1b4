//! Clients that keep copies of what they read (CLIENT TRACKING): when all is quiet, no copy is wrong.
//!
//! Readers and writers of a few keys on up to four workers: commands of one key and of several, transactions, keys that change their
//! names, expire, are flushed. A reader keeps what it is answered and drops what it is told to, in the order in which it comes.

use crate::number;
use crate::outbox::Outbox;
use crate::scheduler::{Next, Scheduler};
use crate::world::{Order, PeerId, World};
use kv_core::resp::client::{ReplyDecoder, Value};
use kv_core::structs::random::Random;
use kv_server::engine::Faults;
use kv_server::engine::worker::LeftOver;
use std::collections::{HashMap, VecDeque};

const KEYS: [&str; 5] = ["a", "b", "c", "ab", "ba"];
/// Prefixes: of a key without one, no copy is kept.
const PREFIXES: [&[&str]; 3] = [&[], &["a", "b", "c"], &["ab", "ba", "c"]];
/// Requests of a run.
const REQUESTS: usize = 60;
const STEPS_MAX: u64 = 200_000;
/// Seeds of a normal run.
const SEEDS: u64 = 1500;

/// How a client keeps copies.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// It keeps none, and writes.
    None,
    All,
    OptIn,
    OptOut,
    /// With one of `PREFIXES`.
    Broadcast(usize),
}

/// What a reply is about.
enum Asked {
    Other,
    /// Values of keys; kept or not.
    Read(Vec<&'static str>, bool),
    /// A transaction that chooses a database, reads a key and writes to it.
    ReadAndWrote(&'static str),
    /// The client knows that it has written these itself.
    Wrote(Vec<&'static str>),
}

struct Client {
    peer: PeerId,
    mode: Mode,
    noloop: bool,
    decoder: ReplyDecoder,
    outbox: Outbox,
    asked: VecDeque<Asked>,
    copies: HashMap<&'static str, Value>,
    /// How often it was told to drop something.
    told: usize,
}

impl Client {
    fn ask(&mut self, words: &[&str], asked: Asked) {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.outbox.push(&words);
        self.asked.push_back(asked);
    }

    fn begin(&mut self, random: &mut Random) {
        self.ask(&["HELLO", "3"], Asked::Other);
        let mut words = vec!["CLIENT", "TRACKING", "ON"];
        match self.mode {
            Mode::None => return,
            Mode::All => {}
            Mode::OptIn => words.push("OPTIN"),
            Mode::OptOut => words.push("OPTOUT"),
            Mode::Broadcast(at) => {
                words.push("BCAST");
                words.extend(PREFIXES[at].iter().flat_map(|prefix| ["PREFIX", prefix]));
            }
        }
        self.noloop = random.one_in(3);
        words.extend(self.noloop.then_some("NOLOOP"));
        self.ask(&words, Asked::Other);
    }

    /// Whether it is told of a key that it has read.
    fn is_told_of(&self, key: &str) -> bool {
        match self.mode {
            Mode::Broadcast(at) => PREFIXES[at].is_empty() || PREFIXES[at].iter().any(|prefix| key.starts_with(prefix)),
            _ => true,
        }
    }

    fn read(&mut self, random: &mut Random) {
        let mut keep = self.mode != Mode::None;
        match self.mode {
            Mode::OptIn if random.one_in(2) => self.ask(&["CLIENT", "CACHING", "YES"], Asked::Other),
            Mode::OptIn => keep = false,
            Mode::OptOut if random.one_in(3) => {
                self.ask(&["CLIENT", "CACHING", "NO"], Asked::Other);
                keep = false;
            }
            _ => {}
        }
        let (one, other) = (KEYS[random.index(KEYS.len())], KEYS[random.index(KEYS.len())]);
        match random.below(4) {
            0 | 1 => self.ask(&["GET", one], Asked::Read(vec![one], keep)),
            2 => self.ask(&["MGET", one, other], Asked::Read(vec![one, other], keep)),
            _ => {
                self.ask(&["MULTI"], Asked::Other);
                self.ask(&["GET", one], Asked::Other);
                self.ask(&["GET", other], Asked::Other);
                self.ask(&["EXEC"], Asked::Read(vec![one, other], keep));
            }
        }
    }

    fn write(&mut self, random: &mut Random, number: u64) {
        let (one, other) = (KEYS[random.index(KEYS.len())], KEYS[random.index(KEYS.len())]);
        let number = number.to_string();
        let ms = (1 + random.below(3)).to_string();
        let both = vec![one, other];
        match random.below(20) {
            0..=6 => self.ask(&["SET", one, &number], Asked::Wrote(vec![one])),
            7 | 8 => self.ask(&["MSET", one, &number, other, &number], Asked::Wrote(both)),
            9 => self.ask(&["DEL", one, other], Asked::Wrote(both)),
            10 | 11 => self.ask(&["RENAME", one, other], Asked::Wrote(both)),
            12 => self.ask(&["COPY", one, other, "REPLACE"], Asked::Wrote(both)),
            13 | 14 => self.ask(&["SET", one, &number, "PX", &ms], Asked::Wrote(vec![one])),
            15 => self.ask(&["PEXPIRE", one, &ms], Asked::Wrote(vec![one])),
            16 => {
                self.ask(&["MULTI"], Asked::Other);
                self.ask(&["SELECT", "0"], Asked::Other);
                self.ask(&["GET", one], Asked::Other);
                self.ask(&["SET", one, &number], Asked::Other);
                self.ask(&["EXEC"], Asked::ReadAndWrote(one));
            }
            17 => {
                self.ask(&["MULTI"], Asked::Other);
                self.ask(&["SET", one, &number], Asked::Other);
                self.ask(&["APPEND", other, "0"], Asked::Other);
                self.ask(&["EXEC"], Asked::Wrote(both));
            }
            18 => self.ask(&["SWAPDB", "0", "1"], Asked::Wrote(KEYS.to_vec())),
            _ => self.ask(&["FLUSHALL"], Asked::Wrote(KEYS.to_vec())),
        }
    }

    fn take(&mut self, value: Value) -> Result<(), String> {
        if let Value::Push(push) = &value {
            self.told += 1;
            return match &push[..] {
                [Value::Bulk(word), Value::Array(keys)] if word == b"invalidate" => {
                    self.copies.retain(|key, _| keys.iter().all(|stale| stale.bytes() != Some(key.as_bytes())));
                    Ok(())
                }
                [Value::Bulk(word), Value::Nil] if word == b"invalidate" => {
                    self.copies.clear();
                    Ok(())
                }
                other => Err(format!("{other:?} is no news of keys")),
            };
        }
        match (self.asked.pop_front().ok_or("a reply that nobody waits for")?, value) {
            (Asked::Other, Value::Error(error)) => return Err(String::from_utf8_lossy(&error).into_owned()),
            (Asked::Other, _) => {}
            (Asked::Read(keys, true), Value::Array(values)) => self.keep(keys.into_iter().zip(values)),
            (Asked::Read(keys, true), value) => self.keep(keys.into_iter().zip([value])),
            (Asked::Read(_, false), _) => {}
            (Asked::ReadAndWrote(key), Value::Array(mut values)) => {
                // What OPTIN would have it say is said by `read`.
                if !matches!(self.mode, Mode::None | Mode::OptIn) {
                    self.keep([(key, values.swap_remove(1))].into_iter());
                }
                self.copies.retain(|copy, _| !self.noloop || *copy != key);
            }
            (Asked::ReadAndWrote(_), other) => return Err(format!("{other:?} is no reply to EXEC")),
            (Asked::Wrote(keys), _) => keys.iter().filter(|_| self.noloop).for_each(|key| _ = self.copies.remove(key)),
        }
        Ok(())
    }

    fn keep(&mut self, values: impl Iterator<Item = (&'static str, Value)>) {
        for (key, value) in values {
            if self.is_told_of(key) {
                self.copies.insert(key, value);
            }
        }
    }
}

struct Run {
    world: World,
    random: Random,
    clients: Vec<Client>,
    left: usize,
    scheduler: Scheduler,
}

impl Run {
    fn new(seed: u64, faults: Faults) -> Run {
        let mut random = Random::new(seed);
        let workers = 1 + random.index(4);
        let mut world = World::new(workers, Order::AsDesigned, faults, &mut random);
        let count = 2 + random.index(5);
        let clients = (0..count).map(|at| {
            let mode = match random.below(6) {
                _ if at == 0 => Mode::None,
                0 | 1 => Mode::All,
                2 => Mode::OptIn,
                3 => Mode::OptOut,
                _ => Mode::Broadcast(random.index(PREFIXES.len())),
            };
            let mut client = Client {
                peer: world.connect(random.index(workers)),
                mode,
                noloop: false,
                decoder: ReplyDecoder::default(),
                outbox: Outbox::default(),
                asked: VecDeque::new(),
                copies: HashMap::new(),
                told: 0,
            };
            client.begin(&mut random);
            client
        });
        let clients = clients.collect();
        Run { world, random, clients, left: REQUESTS, scheduler: Scheduler::new(STEPS_MAX) }
    }

    fn receive(&mut self) -> Result<(), String> {
        for (at, c) in self.clients.iter_mut().enumerate() {
            c.decoder.feed(&std::mem::take(&mut self.world.peers[c.peer].received));
            while let Some(value) = c.decoder.next_value().map_err(|error| error.to_string())? {
                c.take(value).map_err(|error| format!("client {at}: {error}"))?;
            }
        }
        Ok(())
    }

    fn run_out(&mut self) -> Result<(), String> {
        loop {
            let ready = |c: &Client| !c.outbox.is_empty() || (self.left > 0 && c.asked.len() < 8);
            let clients: Vec<usize> = (0..self.clients.len())
                .filter(|&at| ready(&self.clients[at]) && self.world.may_feed(self.clients[at].peer))
                .collect();
            let client = match self.scheduler.next(&mut self.world, &mut self.random, &clients)? {
                Next::Over => return Ok(()),
                Next::Worked => {
                    self.receive()?;
                    continue;
                }
                Next::Sends(client) => client,
            };
            let c = &mut self.clients[client];
            if c.outbox.is_empty() {
                self.left -= 1;
                let writes = c.mode == Mode::None || self.random.one_in(5);
                if writes { c.write(&mut self.random, self.scheduler.clock()) } else { c.read(&mut self.random) }
            }
            let n = 1 + self.random.index(c.outbox.bytes().len());
            let bytes = c.outbox.bytes()[..n].to_vec();
            let n = self.world.feed(c.peer, &bytes);
            c.outbox.arrived(n);
        }
    }

    /// Gives how many copies there were in the end, and how often clients were told.
    fn check(&mut self) -> Result<(usize, usize), String> {
        self.run_out()?;
        // What is due goes.
        self.world.now_us += 1_000_000;
        self.run_out()?;
        let (copies, told) = self.clients.iter().fold((0, 0), |sum, c| (sum.0 + c.copies.len(), sum.1 + c.told));
        let kept: Vec<_> = self.clients.iter_mut().map(|c| std::mem::take(&mut c.copies)).collect();
        let looker = &mut self.clients[0];
        looker.mode = Mode::All;
        looker.ask(&[&["MGET"], &KEYS[..]].concat(), Asked::Read(KEYS.to_vec(), true));
        self.run_out()?;
        if let Some(at) = self.clients.iter().position(|c| !c.asked.is_empty()) {
            return Err(format!("client {at} waits for ever"));
        }
        let right = &self.clients[0].copies;
        for (at, copies) in kept.iter().enumerate() {
            let wrong = KEYS.iter().find(|key| copies.get(*key).is_some_and(|copy| *copy != right[*key]));
            if let Some(key) = wrong {
                return Err(format!(
                    "client {at} believes that {key} is {:?}, but it is {:?}",
                    copies[key], right[key]
                ));
            }
        }
        for c in &self.clients {
            self.world.hang_up(c.peer);
        }
        self.clients.clear();
        self.run_out()?;
        let left = (0..self.world.workers()).map(|w| self.world.worker(w).left_over());
        match left.enumerate().find(|(_, left)| *left != LeftOver::default()) {
            Some((worker, left)) => Err(format!("all are gone, but worker {worker} has {left:?}")),
            None => Ok((copies, told)),
        }
    }
}

#[test]
fn when_all_is_quiet_no_client_has_a_wrong_copy() {
    let first = number("KV_SIM_FIRST", 0);
    let (mut copies, mut told) = (0, 0);
    for seed in first..first + number("KV_SIM_SEEDS", SEEDS) {
        match Run::new(seed, Faults::default()).check() {
            Ok(more) => (copies, told) = (copies + more.0, told + more.1),
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(copies > 0 && told > 0, "there were copies to be wrong, and news of others");
}

#[test]
fn news_that_overtake_replies_are_caught() {
    let faults = Faults { news_overtake: true, ..Faults::default() };
    let caught = (0..SEEDS).find_map(|seed| Some((seed, Run::new(seed, faults).check().err()?)));
    let (seed, error) = caught.expect("noticed in some seed");
    println!("caught at seed {seed}: {error}");
}
