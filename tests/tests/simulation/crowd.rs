//! Many sessions on four workers: thousands of commands, pipelines, big values, long walks, connections that break off.
//!
//! No search here. Every reply is checked by what is known of it: a session alone knows its own keys, so the answers about
//! them are known exactly; what sessions share keeps an invariant (a number of tokens, a set of names, and the sum of accounts,
//! among which they transfer by MSET, by transactions and by WATCH, and which they read by MGET and by transactions).

use crate::number;
use crate::outbox::Outbox;
use crate::pause::Pause;
use crate::world::{Order, PeerId, World};
use kv_core::resp::client::{ReplyDecoder, Value};
use kv_core::resp::number::parse_i64;
use kv_core::structs::random::Random;
use kv_server::engine::Faults;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

const WORKERS: usize = 4;
const SESSIONS: usize = 30;
const COMMANDS: usize = 4000;
/// Crowds in a normal run.
const CROWDS: u64 = 6;

/// Keys whose values always have the same sum.
const ACCOUNTS: usize = 7;
const SUM: i64 = 1000;
/// Places, and the tokens that move among them.
const PLACES: usize = 8;
const TOKENS: usize = 3;
/// Keys that stay; more than one slice of a walk on each shard.
const STAYING: usize = 12_000;
const BIG: usize = 200_000;
const OWN_KEYS: usize = 8;

/// What is known of a reply.
enum Expected {
    Exactly(Value),
    /// Integers with this sum.
    Sum(i64),
    /// This many of the places are taken, by different tokens.
    Tokens(usize),
    /// A token was moved, or not; a client was killed, or had left.
    ZeroOrOne,
    /// What two accounts hold after a transfer.
    TwoNumbers,
    /// What two accounts hold, which are watched and get other values next.
    Balances {
        from: usize,
        to: usize,
    },
    /// They have them, or were touched meanwhile.
    Swapped,
    /// The names of all staying keys.
    Staying,
    /// OK, and the key is due so many ms later.
    Expiring {
        key: Vec<u8>,
        span: u64,
    },
    /// The value of such a key, as long as it is not due.
    IfNotDue {
        key: Vec<u8>,
    },
}

/// A request that has been sent or is going to be.
struct Asked {
    words: Vec<Vec<u8>>,
    expected: Expected,
    /// When it arrived, in ms.
    begin: u64,
}

struct Client {
    peer: PeerId,
    decoder: ReplyDecoder,
    outbox: Outbox,
    waiting: VecDeque<Asked>,
    /// How many of `waiting` have arrived at the engine.
    arrived: usize,
    /// The values of its own keys, as of its last request.
    own: HashMap<Vec<u8>, Vec<u8>>,
    /// It watches two accounts.
    is_watching: bool,
    /// What they are to hold.
    swap: Option<[(Vec<u8>, i64); 2]>,
    /// The earliest and the latest moment at which keys with an expiry are due.
    due: BTreeMap<Vec<u8>, (u64, u64)>,
    asked: usize,
    /// The server closes after the last expected reply.
    is_ending: bool,
    /// Someone kills it: the server closes at any moment.
    is_killed: bool,
}

struct Crowd {
    world: World,
    random: Random,
    clients: Vec<Client>,
    left: usize,
    pause: Pause,
    steps: u64,
    answered: usize,
}

fn words(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

fn bulk(value: Option<&Vec<u8>>) -> Value {
    value.map_or(Value::Nil, |text| Value::Bulk(text.clone()))
}

fn error(text: &str) -> Value {
    Value::Error(text.as_bytes().to_vec())
}

fn accounts() -> impl Iterator<Item = Vec<u8>> {
    (0..ACCOUNTS).map(account)
}

fn account(i: usize) -> Vec<u8> {
    format!("account:{i}").into_bytes()
}

/// Two different accounts.
fn two_accounts(random: &mut Random) -> (usize, usize) {
    let from = random.index(ACCOUNTS);
    (from, (from + 1 + random.index(ACCOUNTS - 1)) % ACCOUNTS)
}

fn places() -> impl Iterator<Item = Vec<u8>> {
    (0..PLACES).map(|i| format!("place:{i}").into_bytes())
}

impl Client {
    fn new(peer: PeerId) -> Client {
        Client {
            peer,
            decoder: ReplyDecoder::default(),
            outbox: Outbox::default(),
            waiting: VecDeque::new(),
            arrived: 0,
            own: HashMap::new(),
            is_watching: false,
            swap: None,
            due: BTreeMap::new(),
            asked: 0,
            is_ending: false,
            is_killed: false,
        }
    }

    fn ask(&mut self, words: Vec<Vec<u8>>, expected: Expected) {
        self.outbox.push(&words);
        self.waiting.push_back(Asked { words, expected, begin: 0 });
        self.asked += 1;
    }

    /// A transaction; `expected` of what EXEC answers.
    fn ask_together(&mut self, commands: Vec<Vec<Vec<u8>>>, expected: Expected) {
        self.ask(words(&["MULTI"]), Expected::Exactly(ok()));
        for command in commands {
            self.ask(command, Expected::Exactly(Value::Simple(b"QUEUED".to_vec())));
        }
        self.ask(words(&["EXEC"]), expected);
    }

    fn own_key(&self, random: &mut Random) -> Vec<u8> {
        format!("own:{}:{}", self.peer, random.below(OWN_KEYS as u64)).into_bytes()
    }

    /// A random command, with what is known of its reply.
    fn ask_something(&mut self, random: &mut Random) {
        if let Some(accounts) = self.swap.take() {
            self.is_watching = false;
            let set = |(account, sum): (Vec<u8>, i64)| vec![b"SET".to_vec(), account, sum.to_string().into_bytes()];
            return self.ask_together(accounts.map(set).into(), Expected::Swapped);
        }
        let key = self.own_key(random);
        let other = self.own_key(random);
        let value = format!("{}", random.below(1000)).into_bytes();
        let named = |name: &str, rest: Vec<Vec<u8>>| [vec![name.as_bytes().to_vec()], rest].concat();
        let (request, reply) = match random.below(115) {
            0..8 => {
                self.own.insert(key.clone(), value.clone());
                (named("SET", vec![key, value]), ok())
            }
            8..20 => (named("GET", vec![key.clone()]), bulk(self.own.get(&key))),
            20..25 => {
                let text = self.own.entry(key.clone()).or_default();
                text.extend_from_slice(&value);
                let len = text.len() as i64;
                (named("APPEND", vec![key, value]), Value::Int(len))
            }
            25..30 => {
                let old = self.own.get(&key).map_or(Some(0), |text| parse_i64(text));
                let reply = match old.and_then(|old| old.checked_add(1)) {
                    Some(new) => {
                        self.own.insert(key.clone(), new.to_string().into_bytes());
                        Value::Int(new)
                    }
                    None if old.is_none() => error("ERR value is not an integer or out of range"),
                    None => error("ERR increment or decrement would overflow"),
                };
                (named("INCR", vec![key]), reply)
            }
            30..35 => {
                let count = [&key, &other].into_iter().filter(|k| self.own.remove(*k).is_some()).count();
                (named("DEL", vec![key, other]), Value::Int(count as i64))
            }
            35..43 => {
                let list = vec![key, b"nowhere".to_vec(), other];
                let values = list.iter().map(|k| bulk(self.own.get(k))).collect();
                (named("MGET", list), Value::Array(values))
            }
            43..48 => {
                self.own.insert(key.clone(), value.clone());
                self.own.insert(other.clone(), b"other".to_vec());
                (named("MSET", vec![key, value, other, b"other".to_vec()]), ok())
            }
            48..53 => {
                let reply = match self.own.remove(&key) {
                    Some(text) => {
                        self.own.insert(other.clone(), text);
                        ok()
                    }
                    None => error("ERR no such key"),
                };
                (named("RENAME", vec![key, other]), reply)
            }
            53..56 => {
                let big = vec![b'a' + random.below(26) as u8; BIG + random.index(1000)];
                self.own.insert(key.clone(), big.clone());
                (named("SET", vec![key, big]), ok())
            }
            56..61 => {
                let text = format!("{}:{}", self.peer, self.asked).into_bytes();
                (named("ECHO", vec![text.clone()]), Value::Bulk(text))
            }
            61..63 => (named("GET", vec![]), error("ERR wrong number of arguments for 'get' command")),
            63..64 => (named("NOSUCH", vec![]), error("ERR unknown command 'NOSUCH', with args beginning with: ")),
            64..70 => {
                let mut request = named("MSET", vec![]);
                let mut left = SUM;
                for (i, account) in accounts().enumerate() {
                    let share = if i + 1 == ACCOUNTS { left } else { random.below(left as u64 + 1) as i64 };
                    left -= share;
                    request.extend([account, share.to_string().into_bytes()]);
                }
                (request, ok())
            }
            70..77 => return self.ask(named("MGET", accounts().collect()), Expected::Sum(SUM)),
            77..83 => {
                let from = random.index(PLACES);
                let to = (from + 1 + random.index(PLACES - 1)) % PLACES;
                let [from, to] = [from, to].map(|p| places().nth(p).expect("a place"));
                return self.ask(named("RENAMENX", vec![from, to]), Expected::ZeroOrOne);
            }
            83..86 => (named("EXISTS", places().collect()), Value::Int(TOKENS as i64)),
            86..90 => return self.ask(named("MGET", places().collect()), Expected::Tokens(TOKENS)),
            90..94 => {
                let key = format!("due:{}:{}", self.peer, self.asked).into_bytes();
                let span = 1 + random.below(60);
                let request = named("SET", vec![key.clone(), key.clone(), b"PX".into(), span.to_string().into()]);
                self.due.insert(key.clone(), (0, u64::MAX));
                return self.ask(request, Expected::Expiring { key, span });
            }
            100.. if self.is_watching => (words(&["PING"]), Value::Simple(b"PONG".to_vec())),
            100..105 => {
                let (from, to) = two_accounts(random);
                let sum = random.below(100).to_string().into_bytes();
                let less = named("DECRBY", vec![account(from), sum.clone()]);
                let more = named("INCRBY", vec![account(to), sum]);
                return self.ask_together(vec![less, more], Expected::TwoNumbers);
            }
            105..110 => {
                let gets = accounts().map(|account| named("GET", vec![account])).collect();
                return self.ask_together(gets, Expected::Sum(SUM));
            }
            110..115 => {
                let (from, to) = two_accounts(random);
                self.is_watching = true;
                self.ask(named("WATCH", vec![account(from), account(to)]), Expected::Exactly(ok()));
                return self.ask(named("MGET", vec![account(from), account(to)]), Expected::Balances { from, to });
            }
            94..100 => {
                let Some(key) = self.due.keys().min_by_key(|_| random.next_u64()).cloned() else {
                    return self.ask(words(&["PING"]), Expected::Exactly(Value::Simple(b"PONG".to_vec())));
                };
                return self.ask(named("GET", vec![key.clone()]), Expected::IfNotDue { key });
            }
            _ => unreachable!("a number below 115"),
        };
        self.ask(request, Expected::Exactly(reply));
    }

    /// Takes the replies that have arrived, and says how many.
    fn receive(&mut self, bytes: &mut Vec<u8>, now: u64) -> Result<usize, String> {
        self.decoder.feed(bytes);
        bytes.clear();
        let mut count = 0;
        while let Some(reply) = self.decoder.next_value().map_err(|e| format!("no reply: {e:?}"))? {
            if self.arrived == 0 {
                return Err(format!("{reply:?} to nothing"));
            }
            let asked = self.waiting.pop_front().expect("one has arrived");
            self.arrived -= 1;
            count += 1;
            let shown = asked.words.iter().take(8).map(|w| w[..w.len().min(30)].escape_ascii().to_string());
            let shown = shown.collect::<Vec<_>>().join(" ");
            self.check(asked, &reply, now).map_err(|e| {
                let mut reply = format!("{reply:?}");
                reply.truncate(300);
                format!("{shown} -> {reply}: {e}")
            })?;
        }
        Ok(count)
    }

    fn check(&mut self, asked: Asked, reply: &Value, now: u64) -> Result<(), String> {
        let list = || match reply {
            Value::Array(list) => Ok(list),
            _ => Err("not an array".to_string()),
        };
        let right = match asked.expected {
            Expected::Exactly(expected) => *reply == expected,
            Expected::Sum(sum) => {
                let numbers = list()?.iter().map(|v| v.bytes().and_then(parse_i64).unwrap_or(i64::MIN / 100));
                numbers.sum::<i64>() == sum
            }
            Expected::Tokens(count) => {
                let tokens: Vec<_> = list()?.iter().filter_map(Value::bytes).collect();
                tokens.len() == count && tokens.iter().collect::<HashSet<_>>().len() == count
            }
            Expected::ZeroOrOne => matches!(reply, Value::Int(0 | 1)) || *reply == error("ERR no such key"),
            Expected::TwoNumbers => matches!(&list()?[..], [Value::Int(_), Value::Int(_)]),
            Expected::Balances { from, to } => {
                let numbers: Option<Vec<i64>> = list()?.iter().map(|v| v.bytes().and_then(parse_i64)).collect();
                let Some(&[less, more]) = numbers.as_deref() else { return Err("not two numbers".into()) };
                self.swap = Some([(account(from), less - 7), (account(to), more + 7)]);
                true
            }
            Expected::Swapped => matches!(reply, Value::NilArray) || *reply == Value::Array(vec![ok(), ok()]),
            Expected::Staying => {
                let names: HashSet<_> = list()?.iter().filter_map(Value::bytes).collect();
                if names.len() != STAYING {
                    return Err(format!("{} elements, {} different, instead of {STAYING}", list()?.len(), names.len()));
                }
                (0..STAYING).all(|i| names.contains(format!("stays:{i}").as_bytes()))
            }
            Expected::Expiring { key, span } => {
                self.due.insert(key, (asked.begin + span, now + span));
                *reply == ok()
            }
            Expected::IfNotDue { key } => {
                let (first, last) = self.due[&key];
                let may_be_there = asked.begin < last;
                let may_be_gone = now >= first;
                (may_be_there && reply.bytes() == Some(&key)) || (may_be_gone && *reply == Value::Nil)
            }
        };
        if right { Ok(()) } else { Err("not what it must be".into()) }
    }
}

impl Crowd {
    fn new(seed: u64, faults: Faults) -> Crowd {
        let mut random = Random::new(seed);
        let world = World::new(WORKERS, Order::AsDesigned, faults, &mut random);
        Crowd { world, random, clients: Vec::new(), left: 0, pause: Pause::default(), steps: 0, answered: 0 }
    }

    fn join(&mut self) {
        let between: Vec<usize> = (0..WORKERS).filter(|&w| self.world.is_between_turns(w)).collect();
        if !between.is_empty() {
            let worker = between[self.random.index(between.len())];
            let peer = self.world.connect(worker);
            self.clients.push(Client::new(peer));
        }
    }

    /// Fills the store with what sessions share.
    fn prepare(&mut self) -> Result<(), String> {
        self.join();
        let c = &mut self.clients[0];
        for first in (0..STAYING).step_by(1000) {
            let mut request = words(&["MSET"]);
            (first..first + 1000).for_each(|i| request.extend(words(&[&format!("stays:{i}"), ""])));
            c.ask(request, Expected::Exactly(ok()));
        }
        let mut request = words(&["MSET"]);
        accounts().enumerate().for_each(|(i, account)| {
            request.extend([account, if i == 0 { SUM } else { 0 }.to_string().into_bytes()]);
        });
        places().take(TOKENS).for_each(|place| request.extend([place.clone(), place]));
        c.ask(request, Expected::Exactly(ok()));
        self.run_out()
    }

    /// What a client does next: most ask, some break off.
    fn act(&mut self, client: usize) {
        let victim = self.random.index(self.clients.len());
        let number = self.world.peers[self.clients[victim].peer].number.to_string();
        if self.clients[client].is_ending {
            // It says nothing new.
        } else if victim != client && self.random.one_in(150) {
            self.clients[victim].is_killed = true;
            self.clients[client].ask(words(&["CLIENT", "KILL", "ID", &number]), Expected::ZeroOrOne);
        } else if self.random.one_in(100) {
            let span = self.random.below(20).to_string();
            let mode = ["WRITE", "ALL"][self.random.index(2)];
            self.clients[client].ask(words(&["CLIENT", "PAUSE", &span, mode]), Expected::Exactly(ok()));
        }
        let random = &mut self.random;
        let c = &mut self.clients[client];
        if c.outbox.is_empty() {
            let most = if random.one_in(20) { 100 } else { 6 };
            for _ in 0..1 + random.index(most).min(self.left) {
                c.ask_something(random);
                self.left = self.left.saturating_sub(1);
            }
            match random.below(300) {
                0 => c.ask(words(&["KEYS", "stays:*"]), Expected::Staying),
                1 => {
                    c.ask(words(&["QUIT"]), Expected::Exactly(ok()));
                    // Not answered any more.
                    c.outbox.push(&words(&["SET", "own:never", "x"]));
                    c.is_ending = true;
                }
                2 => {
                    c.outbox.push_bytes(b"*1\r\n!");
                    c.outbox.push_bytes(b"oops\r\nSET own:never x\r\n");
                    let expected = Expected::Exactly(error("ERR Protocol error: expected '$', got '!'"));
                    c.waiting.push_back(Asked { words: words(&["oops"]), expected, begin: 0 });
                    c.is_ending = true;
                }
                _ => {}
            }
        }
        let bytes = c.outbox.bytes();
        let n = if random.one_in(3) { 1 + random.index(bytes.len()) } else { bytes.len() };
        let n = self.world.feed(c.peer, &bytes[..n]);
        let arrived = c.outbox.arrived(n);
        c.waiting.iter_mut().skip(c.arrived).take(arrived).for_each(|asked| asked.begin = self.world.now_ms());
        c.arrived = (c.arrived + arrived).min(c.waiting.len());
    }

    fn may_act(&mut self, client: usize) -> bool {
        let c = &self.clients[client];
        let goes_on = self.left > 0 && !c.is_ending && c.waiting.len() < 500;
        (!c.outbox.is_empty() || goes_on) && self.world.may_feed(c.peer)
    }

    /// Something that happens to a connection from outside.
    fn mishap(&mut self) {
        let client = self.random.index(self.clients.len());
        let peer = self.clients[client].peer;
        if !self.world.is_between_turns(self.world.peers[peer].worker) {
            return;
        }
        match self.random.below(6) {
            0 => {
                self.world.hang_up(peer);
                self.clients.swap_remove(client);
            }
            // It sends no more, and is answered what has arrived.
            1 => {
                let c = &mut self.clients[client];
                if !c.is_ending {
                    self.world.end_input(peer);
                    c.waiting.truncate(c.arrived);
                    c.outbox = Outbox::default();
                    c.is_ending = true;
                }
            }
            2..4 => self.world.peers[peer].is_stuck = true,
            _ => self.world.unstick(peer, &mut self.random),
        }
    }

    fn receive(&mut self) -> Result<(), String> {
        let mut i = 0;
        while i < self.clients.len() {
            let c = &mut self.clients[i];
            let peer = &mut self.world.peers[c.peer];
            let now = self.world.now_us / 1000;
            if !peer.received.is_empty() {
                self.answered += c.receive(&mut peer.received, now).map_err(|e| format!("session {}: {e}", c.peer))?;
            }
            if !peer.is_open() {
                let unanswered = c.waiting.len();
                if !c.is_killed && (!c.is_ending || unanswered > 0) {
                    return Err(format!("session {} was closed with {unanswered} replies to come", c.peer));
                }
                self.clients.swap_remove(i);
                continue;
            }
            i += 1;
        }
        Ok(())
    }

    /// One step of somebody. False: there is nothing to do.
    fn step(&mut self) -> Result<bool, String> {
        self.steps += 1;
        self.world.now_us += self.random.below(30);
        self.pause.look(self.steps);
        let awake: Vec<usize> = (0..WORKERS).filter(|&w| !self.pause.is_of(w) && self.world.has_work(w)).collect();
        let clients: Vec<usize> = (0..self.clients.len()).filter(|&c| self.may_act(c)).collect();
        if awake.is_empty() && clients.is_empty() {
            // What is left to do waits for a paused worker, or for a moment.
            let waits = self.clients.iter().any(|c| c.arrived > 0);
            let moment = self.world.next_moment().filter(|_| waits && !self.pause.is_on());
            self.world.now_us = self.world.now_us.max(moment.unwrap_or(0) * 1000);
            return Ok(self.pause.end() || moment.is_some());
        }
        // Each worker and the clients together have the same chance.
        let choice = self.random.index(awake.len() + usize::from(!clients.is_empty()));
        if let Some(&worker) = awake.get(choice) {
            let did = self.world.step(worker, &mut self.random);
            self.pause.perhaps(worker, did.pauses_once_in(10, 100), 7, self.steps, &mut self.random);
            self.receive()?;
        } else {
            let client = clients[self.random.index(clients.len())];
            self.act(client);
        }
        Ok(true)
    }

    fn run_out(&mut self) -> Result<(), String> {
        let limit = self.steps + 2_000_000;
        loop {
            while self.step()? {
                if self.steps > limit {
                    return Err("the workers turn in circles".into());
                }
            }
            let stuck: Vec<PeerId> =
                self.clients.iter().map(|c| c.peer).filter(|&p| self.world.peers[p].is_stuck).collect();
            if stuck.is_empty() {
                break;
            }
            stuck.into_iter().for_each(|peer| self.world.unstick(peer, &mut self.random));
            self.receive()?;
        }
        if let Some(c) = self.clients.iter().find(|c| !c.waiting.is_empty()) {
            return Err(format!("session {} waits for {} replies for ever", c.peer, c.waiting.len()));
        }
        for worker in 0..WORKERS {
            let left = self.world.worker(worker).left_over();
            let clients = self.clients.iter().filter(|c| self.world.peers[c.peer].worker == worker).count();
            if !left.is_nothing() || left.connections != clients {
                return Err(format!("worker {worker} rests with {clients} sessions, but there is {left:?}"));
            }
        }
        Ok(())
    }

    fn check(seed: u64, commands: usize, faults: Faults) -> Result<Crowd, String> {
        let mut crowd = Crowd::new(seed, faults);
        crowd.prepare()?;
        crowd.left = commands;
        crowd.run()?;
        Ok(crowd)
    }

    fn run(&mut self) -> Result<(), String> {
        while self.left > 0 {
            if self.clients.len() < SESSIONS {
                self.join();
            }
            if self.random.one_in(200) {
                self.mishap();
            }
            self.step()?;
        }
        self.run_out()?;
        // All hang up; one comes back and looks.
        while let Some(c) = self.clients.pop() {
            self.world.hang_up(c.peer);
        }
        self.run_out()?;
        self.join();
        let request = [words(&["MGET"]), accounts().collect()].concat();
        self.clients[0].ask(request, Expected::Sum(SUM));
        self.clients[0].ask(words(&["KEYS", "stays:*"]), Expected::Staying);
        self.clients[0].ask(words(&["EXISTS", "own:never"]), Expected::Exactly(Value::Int(0)));
        // A walk sees what later commands do, even those of its own session, so they have to wait.
        self.run_out()?;
        self.clients[0].ask(words(&["FLUSHALL"]), Expected::Exactly(ok()));
        self.clients[0].ask(words(&["DBSIZE"]), Expected::Exactly(Value::Int(0)));
        self.run_out()
    }
}

#[test]
fn a_crowd_of_sessions_gets_the_right_replies_in_order_and_leaves_nothing_behind() {
    let first = number("KV_SIM_FIRST", 0);
    for seed in first..first + number("KV_SIM_CROWDS", CROWDS) {
        let why = match Crowd::check(seed, COMMANDS, Faults::default()) {
            Err(why) => why,
            Ok(crowd) => {
                println!("seed {seed}: {} replies in {} steps", crowd.answered, crowd.steps);
                continue;
            }
        };
        let sizes = [10, 30, 100, 300, 1000, 2000];
        let shorter = sizes.into_iter().find_map(|n| Some((n, Crowd::check(seed, n, Faults::default()).err()?)));
        let (commands, why) = shorter.unwrap_or((COMMANDS, why));
        panic!("seed {seed}, with {commands} commands: {why}");
    }
}

#[test]
fn a_crowd_notices_an_engine_that_breaks_the_rule_of_order() {
    let whole = Faults::default();
    for faults in [
        Faults { no_lock: true, ..whole },
        Faults { no_connection_order: true, ..whole },
        Faults { transaction_in_pieces: true, ..whole },
        Faults { watch_unchecked: true, ..whole },
    ] {
        let noticed = (0..CROWDS).find_map(|seed| Some((seed, Crowd::check(seed, COMMANDS, faults).err()?)));
        let (seed, why) = noticed.unwrap_or_else(|| panic!("{faults:?}: not noticed"));
        println!("{faults:?}: noticed at seed {seed}: {why}");
    }
}

#[test]
fn a_seed_goes_the_same_way_every_time() {
    let steps = || Crowd::check(1, 500, Faults::default()).map(|crowd| (crowd.steps, crowd.answered));
    let first = steps();
    assert!(first.is_ok(), "{first:?}");
    assert_eq!(first, steps());
}
