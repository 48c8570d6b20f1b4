//! Publish and subscribe over workers: every subscriber gets every message of the time of its subscription once, in one order for
//! all, and never sooner than what the publisher wrote before it.
//!
//! Publishers write a number to a key of their own and publish it then, in one pipeline. A message that tells of a number which a
//! reader does not find is caught, and so is one that a subscriber has missed: in the pipeline of its SUBSCRIBE it reads the numbers,
//! and all later ones have to come. Scripts do the same with a number that all of them share, and transactions with another: what they
//! publish has to come in the order in which they have run.

use crate::number;
use crate::outbox::Outbox;
use crate::scheduler::{Next, Scheduler};
use crate::world::{Order, PeerId, World};
use kv_core::resp::client::{ReplyDecoder, Value};
use kv_core::structs::random::Random;
use kv_server::engine::Faults;
use kv_server::engine::worker::LeftOver;
use std::collections::{HashMap, VecDeque};

const CHANNELS: [&str; 3] = ["a", "b", "ab"];
/// What subscribers have subscriptions to: the kind of its confirmation, its name, and the channels.
const TOPICS: [(&str, &str, &[usize]); 5] = [
    ("subscribe", "a", &[0]),
    ("subscribe", "b", &[1]),
    ("subscribe", "ab", &[2]),
    ("psubscribe", "a*", &[0, 2]),
    ("psubscribe", "?", &[0, 1]),
];
/// Messages of a run.
const MESSAGES: usize = 40;
const STEPS_MAX: u64 = 200_000;
/// Seeds of a normal run.
const SEEDS: u64 = 1500;

/// The publisher, behind the last one scripts and transactions, and its number.
type Message = (usize, i64);

struct Published {
    message: Message,
    channel: usize,
    begin: u64,
    /// The answer, and when it came.
    count: i64,
    end: u64,
}

/// From the confirmation to the UNSUBSCRIBE.
struct Span {
    topic: usize,
    begin: u64,
    end: u64,
    /// The number of each publisher that was read right behind SUBSCRIBE.
    seen: Vec<i64>,
}

/// What a reply is about.
enum Asked {
    Publish(usize),
    Script(usize),
    /// The end of a transaction.
    Exec(usize),
    Write,
    /// A read behind the SUBSCRIBE of this span.
    Look(usize, usize),
    /// A read after a message with this number of a publisher.
    After(usize, i64),
}

struct Client {
    peer: PeerId,
    decoder: ReplyDecoder,
    outbox: Outbox,
    asked: VecDeque<Asked>,
    /// Of a subscriber: its spans; the open one of each topic.
    spans: Vec<Span>,
    open: [Option<usize>; TOPICS.len()],
    /// By topic, as far as it was confirmed.
    is_on: [bool; TOPICS.len()],
    /// SUBSCRIBEs without a confirmation: topic and span.
    awaited: VecDeque<(usize, usize)>,
    /// What it has got, by topic, and in which order.
    got: Vec<(usize, Message)>,
}

struct Run {
    world: World,
    random: Random,
    clients: Vec<Client>,
    publishers: usize,
    published: Vec<Published>,
    numbers: Vec<i64>,
    left: usize,
    scheduler: Scheduler,
}

impl Run {
    fn new(seed: u64, faults: Faults) -> Run {
        let mut random = Random::new(seed);
        let workers = 1 + random.index(4);
        let mut world = World::new(workers, Order::AsDesigned, faults, &mut random);
        let publishers = 1 + random.index(3);
        let clients = (0..publishers + 1 + random.index(5)).map(|_| {
            let peer = world.connect(random.index(workers));
            let mut outbox = Outbox::default();
            outbox.push_bytes(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
            Client {
                peer,
                decoder: ReplyDecoder::default(),
                outbox,
                asked: VecDeque::from([Asked::Write]),
                spans: Vec::new(),
                open: [None; TOPICS.len()],
                is_on: [false; TOPICS.len()],
                awaited: VecDeque::new(),
                got: Vec::new(),
            }
        });
        let clients = clients.collect();
        let numbers = vec![0; publishers];
        Run {
            world,
            random,
            clients,
            publishers,
            published: Vec::new(),
            numbers,
            left: MESSAGES,
            scheduler: Scheduler::new(STEPS_MAX),
        }
    }

    fn ask(&mut self, client: usize, words: &[&str], asked: Option<Asked>) {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.clients[client].outbox.push(&words);
        self.clients[client].asked.extend(asked);
    }

    /// Something new to ask.
    fn begin(&mut self, client: usize) {
        if client < self.publishers {
            for _ in 0..1 + self.random.index(3) {
                self.left = self.left.saturating_sub(1);
                let channel = self.random.index(CHANNELS.len());
                match self.random.index(6) {
                    0 | 1 => self.script(client, channel),
                    2 => self.transaction(client, channel),
                    _ => self.write(client, channel),
                }
            }
            return;
        }
        self.subscribe_or_not(client);
    }

    /// A write to a key of one's own, and the message that tells of it.
    fn write(&mut self, client: usize, channel: usize) {
        self.numbers[client] += 1;
        let number = self.numbers[client];
        self.ask(client, &["SET", &format!("n{client}"), &number.to_string()], Some(Asked::Write));
        let text = format!("{client}:{number}");
        self.ask(client, &["PUBLISH", CHANNELS[channel], &text], Some(Asked::Publish(self.published.len())));
        self.publishes((client, number), channel);
    }

    fn publishes(&mut self, message: Message, channel: usize) {
        self.published.push(Published { message, channel, begin: self.scheduler.clock(), count: 0, end: u64::MAX });
    }

    fn subscribe_or_not(&mut self, client: usize) {
        let topic = self.random.index(TOPICS.len());
        let (kind, name, _) = TOPICS[topic];
        if let Some(span) = self.clients[client].open[topic].take() {
            self.clients[client].spans[span].end = self.scheduler.clock();
            let kind = if kind == "subscribe" { "UNSUBSCRIBE" } else { "PUNSUBSCRIBE" };
            return self.ask(client, &[kind, name], None);
        }
        let span = self.clients[client].spans.len();
        let seen = vec![0; self.publishers + 2];
        self.clients[client].spans.push(Span { topic, begin: u64::MAX, end: u64::MAX, seen });
        self.clients[client].open[topic] = Some(span);
        self.clients[client].awaited.push_back((topic, span));
        self.ask(client, &[&kind.to_uppercase(), name], None);
        for publisher in 0..self.publishers + 2 {
            self.ask(client, &["GET", &format!("n{publisher}")], Some(Asked::Look(span, publisher)));
        }
    }

    /// A script that publishes the next of the numbers of all scripts; some need more than the shard that they declare.
    fn script(&mut self, client: usize, channel: usize) {
        let other = if self.random.one_in(3) { "redis.call('get', 'n0') redis.call('get', 'n1')" } else { "" };
        let code = format!(
            "local n = redis.call('incr', KEYS[1]) {other} \
             return {{n, redis.call('publish', ARGV[1], '{}:' .. n)}}",
            self.publishers
        );
        let key = format!("n{}", self.publishers);
        self.ask(client, &["EVAL", &code, "1", &key, CHANNELS[channel]], Some(Asked::Script(self.published.len())));
        self.publishes((self.publishers, 0), channel);
    }

    /// The same by a transaction, which cannot know its number: it leaves a key of its own, perhaps on another shard.
    fn transaction(&mut self, client: usize, channel: usize) {
        let (publisher, at) = (self.publishers + 1, self.published.len());
        self.ask(client, &["MULTI"], Some(Asked::Write));
        self.ask(client, &["INCR", &format!("n{publisher}")], Some(Asked::Write));
        self.ask(client, &["PUBLISH", CHANNELS[channel], &format!("{publisher}:{at}")], Some(Asked::Write));
        self.ask(client, &["SET", &format!("of{at}"), "1"], Some(Asked::Write));
        if self.random.one_in(2) {
            self.ask(client, &["PING"], Some(Asked::Write));
        }
        self.ask(client, &["EXEC"], Some(Asked::Exec(at)));
        self.publishes((publisher, 0), channel);
    }

    fn receive(&mut self) -> Result<(), String> {
        for client in 0..self.clients.len() {
            let c = &mut self.clients[client];
            c.decoder.feed(&std::mem::take(&mut self.world.peers[c.peer].received));
            while let Some(value) = self.clients[client].decoder.next_value().map_err(|error| error.to_string())? {
                self.take(client, value).map_err(|error| format!("client {client}: {error}"))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, client: usize, value: Value) -> Result<(), String> {
        if let Value::Push(push) = &value {
            let text = |at: usize| String::from_utf8_lossy(push[at].bytes().unwrap_or(b"")).into_owned();
            return match text(0).as_str() {
                "message" => self.take_message(client, &text(1), &text(2), None),
                "pmessage" => self.take_message(client, &text(2), &text(3), Some(&text(1))),
                "unsubscribe" | "punsubscribe" => {
                    let topic = TOPICS.iter().position(|topic| topic.1 == text(1)).ok_or("no such topic")?;
                    self.clients[client].is_on[topic] = false;
                    Ok(())
                }
                kind => {
                    let c = &mut self.clients[client];
                    let (topic, span) = c.awaited.pop_front().ok_or("a confirmation that nobody waits for")?;
                    c.spans[span].begin = self.scheduler.clock();
                    c.is_on[topic] = true;
                    if (TOPICS[topic].0, TOPICS[topic].1) == (kind, &*text(1)) {
                        Ok(())
                    } else {
                        Err(format!("{push:?} instead of a confirmation of {:?}", TOPICS[topic]))
                    }
                }
            };
        }
        let int = value.bytes().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0);
        match (self.clients[client].asked.pop_front().ok_or("a reply that nobody waits for")?, value) {
            (Asked::Write, Value::Simple(_) | Value::Map(_)) => {}
            (Asked::Publish(at), Value::Int(count)) => {
                (self.published[at].count, self.published[at].end) = (count, self.scheduler.clock());
            }
            (Asked::Script(at), Value::Array(items)) => {
                let [Value::Int(number), Value::Int(count)] = items[..] else { return Err(format!("{items:?}")) };
                (self.published[at].message.1, self.published[at].count) = (number, count);
                self.published[at].end = self.scheduler.clock();
            }
            (Asked::Exec(at), Value::Array(items)) => {
                let [Value::Int(number), Value::Int(count), ..] = items[..] else { return Err(format!("{items:?}")) };
                (self.published[at].message.1, self.published[at].count) = (number, count);
                self.published[at].end = self.scheduler.clock();
            }
            (Asked::Look(span, publisher), _) => self.clients[client].spans[span].seen[publisher] = int,
            (Asked::After(publisher, number), _) if int < number => {
                return Err(format!("a message told of {number} of {publisher}, but there was {int}"));
            }
            (Asked::After(..), _) => {}
            (_, other) => return Err(format!("{other:?} is no such reply")),
        }
        Ok(())
    }

    fn take_message(&mut self, client: usize, channel: &str, text: &str, pattern: Option<&str>) -> Result<(), String> {
        let name = pattern.unwrap_or(channel);
        let topic = TOPICS.iter().position(|topic| topic.1 == name).ok_or("no such topic")?;
        let (publisher, number) = text.split_once(':').ok_or("no message of ours")?;
        let message = (publisher.parse().map_err(|_| "no publisher")?, number.parse().map_err(|_| "no number")?);
        if !self.clients[client].is_on[topic] {
            return Err(format!("{text} on {name} without a subscription"));
        }
        self.clients[client].got.push((topic, message));
        // A transaction has written that it was there, not which number it has got.
        let (key, least) = match message {
            (publisher, at) if publisher > self.publishers => (format!("of{at}"), 1),
            (publisher, number) => (format!("n{publisher}"), number),
        };
        self.ask(client, &["GET", &key], Some(Asked::After(message.0, least)));
        Ok(())
    }

    fn run_out(&mut self) -> Result<(), String> {
        loop {
            let mut clients = Vec::new();
            for client in 0..self.clients.len() {
                let c = &self.clients[client];
                // Who publishes goes on without waiting, sometimes; who subscribes does as long as there are messages to come.
                let waits = !c.asked.is_empty() || !c.awaited.is_empty();
                let goes_on = self.left > 0 && (!waits || client == 0) && c.asked.len() < 8;
                let has_bytes = !c.outbox.is_empty();
                if (has_bytes || goes_on) && self.world.may_feed(self.clients[client].peer) {
                    clients.push(client);
                }
            }
            let client = match self.scheduler.next(&mut self.world, &mut self.random, &clients)? {
                Next::Over => return Ok(()),
                Next::Worked => {
                    self.receive()?;
                    continue;
                }
                Next::Sends(client) => client,
            };
            if self.clients[client].outbox.is_empty() {
                self.begin(client);
            }
            let c = &mut self.clients[client];
            let n = 1 + self.random.index(c.outbox.bytes().len());
            let bytes = c.outbox.bytes()[..n].to_vec();
            let n = self.world.feed(c.peer, &bytes);
            self.clients[client].outbox.arrived(n);
        }
    }

    fn check(&mut self) -> Result<(), String> {
        self.run_out()?;
        for (client, c) in self.clients.iter().enumerate() {
            if !c.asked.is_empty() || !c.awaited.is_empty() {
                return Err(format!("client {client} waits for ever"));
            }
        }
        self.number_transactions();
        self.check_counts()?;
        self.check_nothing_missed()?;
        self.check_order()?;
        for client in 0..self.clients.len() {
            self.world.hang_up(self.clients[client].peer);
        }
        self.run_out()?;
        let left = (0..self.world.workers()).map(|w| self.world.worker(w).left_over());
        match left.enumerate().find(|(_, left)| *left != LeftOver::default()) {
            Some((worker, left)) => Err(format!("all are gone, but worker {worker} has {left:?}")),
            None => Ok(()),
        }
    }

    /// What was got of transactions is known by the numbers that these were answered.
    fn number_transactions(&mut self) {
        for (_, message) in self.clients.iter_mut().flat_map(|c| &mut c.got) {
            if message.0 > self.publishers {
                *message = self.published[message.1 as usize].message;
            }
        }
    }

    /// Every PUBLISH says how many have got its message, and nobody gets one twice.
    fn check_counts(&self) -> Result<(), String> {
        let mut counts: HashMap<Message, i64> = HashMap::new();
        for (client, c) in self.clients.iter().enumerate() {
            let mut seen = HashMap::new();
            for &(topic, message) in &c.got {
                *counts.entry(message).or_default() += 1;
                if seen.insert((topic, message), ()).is_some() {
                    return Err(format!("client {client} got {message:?} twice"));
                }
            }
        }
        // Scripts and transactions are told who listens when they ask; by the time of the message somebody may have come or gone.
        for p in self.published.iter().filter(|p| p.message.0 >= self.publishers) {
            let spans = self.clients.iter().flat_map(|c| &c.spans).filter(|s| TOPICS[s.topic].2.contains(&p.channel));
            let surely = spans.clone().filter(|s| s.begin < p.begin && p.end < s.end).count() as i64;
            if p.count < surely || p.count > spans.count() as i64 {
                return Err(format!("{:?} was told of {} listeners", p.message, p.count));
            }
        }
        let mut exact = self.published.iter().filter(|p| p.message.0 < self.publishers);
        let wrong = exact.find(|p| counts.get(&p.message).copied().unwrap_or(0) != p.count);
        wrong.map_or(Ok(()), |p| {
            Err(format!("{:?} was got by {:?}, not {}", p.message, counts.get(&p.message), p.count))
        })
    }

    fn check_nothing_missed(&self) -> Result<(), String> {
        for (client, c) in self.clients.iter().enumerate() {
            for span in &c.spans {
                for p in self.published.iter().filter(|p| TOPICS[span.topic].2.contains(&p.channel)) {
                    let (publisher, number) = p.message;
                    // Published when the subscription was there, or not yet when the numbers were read behind SUBSCRIBE.
                    let due = p.begin > span.begin || number > span.seen[publisher];
                    // The answer to a script, or a transaction, does not wait for those who get its messages.
                    let is_in_time = if publisher < self.publishers { p.end < span.end } else { span.end == u64::MAX };
                    if due && is_in_time && !c.got.contains(&(span.topic, p.message)) {
                        return Err(format!("client {client} missed {:?} on {:?}", p.message, TOPICS[span.topic]));
                    }
                }
            }
        }
        Ok(())
    }

    /// What two have got, both have got in one order; what one publisher sent, in the order in which it did.
    fn check_order(&self) -> Result<(), String> {
        for c in &self.clients {
            let mut latest = HashMap::new();
            for &(_, (publisher, number)) in &c.got {
                if latest.insert(publisher, number).is_some_and(|before| before > number) {
                    return Err(format!("{number} of {publisher} came behind a later one"));
                }
            }
        }
        for one in &self.clients {
            for other in &self.clients {
                let place: HashMap<Message, usize> =
                    other.got.iter().enumerate().map(|(at, &(_, message))| (message, at)).collect();
                let places: Vec<usize> =
                    one.got.iter().filter_map(|(_, message)| place.get(message).copied()).collect();
                if !places.is_sorted() {
                    return Err("two subscribers saw two messages in two orders".into());
                }
            }
        }
        Ok(())
    }
}

#[test]
fn every_subscriber_gets_every_message_once_and_in_one_order() {
    let first = number("KV_SIM_FIRST", 0);
    for seed in first..first + number("KV_SIM_SEEDS", SEEDS) {
        if let Err(error) = Run::new(seed, Faults::default()).check() {
            panic!("seed {seed}: {error}");
        }
    }
}

fn is_caught(what: &str, faults: Faults) {
    let caught = (0..SEEDS).find_map(|seed| Some((seed, Run::new(seed, faults).check().err()?)));
    let (seed, error) = caught.unwrap_or_else(|| panic!("{what}: not noticed in {SEEDS} seeds"));
    println!("{what}: caught at seed {seed}: {error}");
}

#[test]
fn messages_to_several_workers_without_the_lock_are_caught() {
    is_caught("no lock", Faults { no_lock: true, ..Faults::default() });
}

/// Bytes arrive and workers turn, as chance will have it, until nothing is left to do.
fn run_out(world: &mut World, random: &mut Random, outboxes: &mut [(PeerId, Outbox)]) {
    loop {
        world.now_us += random.below(20);
        let workers: Vec<usize> = (0..world.workers()).filter(|&w| world.has_work(w)).collect();
        let ready: Vec<usize> =
            (0..outboxes.len()).filter(|&i| !outboxes[i].1.is_empty() && world.may_feed(outboxes[i].0)).collect();
        if workers.is_empty() && ready.is_empty() {
            return;
        }
        let choice = random.index(workers.len() + ready.len());
        if choice < workers.len() {
            // Some run much faster than others.
            for _ in 0..1 << random.below(5) {
                if world.has_work(workers[choice]) {
                    world.step(workers[choice], random);
                }
            }
            continue;
        }
        let (peer, outbox) = &mut outboxes[ready[choice - workers.len()]];
        let n = 1 + random.index(outbox.bytes().len());
        let bytes = outbox.bytes()[..n].to_vec();
        let n = world.feed(*peer, &bytes);
        outbox.arrived(n);
    }
}

/// One connection writes to two keys and lets them change their names, which takes both shards together or not. For each key, the
/// events come in the order of the writes.
#[test]
fn events_of_a_key_come_in_the_order_of_its_writes_wherever_they_are_done() {
    let round: [(&[&str], [&str; 2]); 6] = [
        (&["SET", "k", "1"], ["set", ""]),
        (&["RENAME", "k", "j"], ["rename_from", "rename_to"]),
        (&["APPEND", "j", "2"], ["", "append"]),
        (&["COPY", "j", "k"], ["copy_to", ""]),
        (&["SMOVE", "none", "k", "x"], ["", ""]),
        (&["DEL", "k", "j"], ["del", "del"]),
    ];
    for seed in 0..number("KV_SIM_SEEDS", 300) {
        let random = &mut Random::new(seed);
        let workers = 1 + random.index(4);
        let mut world = World::new(workers, Order::AsDesigned, Faults::default(), random);
        let (listener, writer) = (world.connect(random.index(workers)), world.connect(random.index(workers)));
        let mut begin = Outbox::default();
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        begin.push(&words(&["CONFIG", "SET", "notify-keyspace-events", "KA"]));
        begin.push(&words(&["PSUBSCRIBE", "__keyspace@0__:?"]));
        run_out(&mut world, random, &mut [(listener, begin)]);
        world.peers[listener].received.clear();
        let mut writes = Outbox::default();
        for _ in 0..4 {
            round.iter().for_each(|(request, _)| writes.push(&words(request)));
        }
        run_out(&mut world, random, &mut [(writer, writes)]);
        let mut decoder = ReplyDecoder::default();
        decoder.feed(&world.peers[listener].received);
        let mut told = [Vec::new(), Vec::new()];
        while let Some(Value::Array(message)) = decoder.next_value().expect("well formed") {
            let text = |at: usize| String::from_utf8_lossy(message[at].bytes().expect("a text")).into_owned();
            let of = if text(2) == "__keyspace@0__:k" { 0 } else { 1 };
            told[of].push(text(3));
        }
        for (of, told) in told.iter().enumerate() {
            let wanted =
                (0..4).flat_map(|_| round.iter().map(|(_, events)| events[of]).filter(|event| !event.is_empty()));
            assert_eq!(*told, wanted.collect::<Vec<_>>(), "seed {seed}, {workers} workers, key {of}");
        }
    }
}
