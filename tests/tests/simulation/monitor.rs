//! MONITOR over workers: what is shown, line by line, explains every answer.
//!
//! Clients send pipelines of commands over one key and several, transactions with watches, scripts, also such as touch what they
//! did not declare. What a monitor was shown is then sent to a server with one shard, one line after the other, each by its client.
//! Every client must be answered there as it was before, and a monitor there must be shown the same lines, those of scripts included.
//! So lines stand in the order of each connection, of each key, and of everything else.

use crate::number;
use crate::outbox::Outbox;
use crate::scheduler::{Next, Scheduler};
use crate::world::{Order, PeerId, World};
use kv_core::resp::client::{ReplyDecoder, Value};
use kv_core::resp::line;
use kv_core::structs::random::Random;
use kv_server::engine::Faults;
use kv_server::engine::worker::LeftOver;

/// Pipelines of a run.
const PIPELINES: usize = 20;
const STEPS_MAX: u64 = 200_000;
/// Seeds of a normal run.
const SEEDS: u64 = 700;

const DECLARED: &str = "local n = redis.call('append', KEYS[1], ARGV[1]) return {n, redis.call('get', KEYS[1])}";
const STRAYS: &str = "redis.call('append', KEYS[1], ARGV[1]) return redis.call('getset', ARGV[2], ARGV[1])";
const READS: &str = "return {redis.call('mget', 'k0', 'k1', 'k2', 'k3'), redis.pcall('incr', KEYS[1])}";

type Words = Vec<Vec<u8>>;

fn words(list: &[&str]) -> Words {
    list.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn key(random: &mut Random) -> String {
    format!("k{}", random.index(5))
}

/// A command on keys, with a word of its own.
fn command(random: &mut Random, own: &str) -> Words {
    let (a, b) = (&*key(random), &*key(random));
    match random.index(12) {
        0 | 1 => words(&["GETSET", a, own]),
        2 | 3 => words(&["APPEND", a, own]),
        4 => words(&["GET", a]),
        5 => words(&["MSET", a, own, b, own]),
        6 => words(&["MGET", a, b]),
        7 => words(&["RENAME", a, b]),
        8 => words(&["DEL", a, b]),
        9 => words(&["EVAL", DECLARED, "1", a, own]),
        10 => words(&["EVAL", STRAYS, "1", a, own, b]),
        _ => words(&["EVAL", READS, "1", a]),
    }
}

/// What a client sends in one piece.
fn pipeline(random: &mut Random, own: &str) -> Vec<Words> {
    let mut all = Vec::new();
    let some = |all: &mut Vec<Words>, random: &mut Random| {
        (0..1 + random.index(4)).for_each(|i| all.push(command(random, &format!("{own}{i}"))));
    };
    match random.index(4) {
        0 | 1 => some(&mut all, random),
        transaction => {
            if transaction == 2 {
                all.push(words(&["WATCH", &key(random), &key(random)]));
            }
            if random.one_in(2) {
                all.push(command(random, own));
            }
            all.push(words(&["MULTI"]));
            some(&mut all, random);
            if random.one_in(3) {
                all.push(words(&["PING"]));
            }
            all.push(words(&["EXEC"]));
        }
    }
    if random.one_in(3) {
        all.push(words(&["ECHO", own]));
        all.push(command(random, own));
    }
    all
}

struct Peer {
    peer: PeerId,
    outbox: Outbox,
    decoder: ReplyDecoder,
    got: Vec<Value>,
}

impl Peer {
    fn new(world: &mut World, worker: usize) -> Peer {
        let peer = world.connect(worker);
        Peer { peer, outbox: Outbox::default(), decoder: ReplyDecoder::default(), got: Vec::new() }
    }

    fn receive(&mut self, world: &mut World) -> Result<(), String> {
        self.decoder.feed(&std::mem::take(&mut world.peers[self.peer].received));
        while let Some(value) = self.decoder.next_value().map_err(|error| error.to_string())? {
            self.got.push(value);
        }
        Ok(())
    }

    /// The answers, without those that tell that a command is put in line: what is never carried out is not shown.
    fn answers(&self) -> Vec<&Value> {
        self.got.iter().filter(|value| !matches!(value, Value::Simple(text) if **text == *b"QUEUED")).collect()
    }

    /// The lines that it was shown, without their moments; of a monitor that begins with OK.
    fn lines(&self) -> Result<Vec<String>, String> {
        let mut all = self.got.iter().map(|value| match value {
            Value::Simple(text) => Ok(String::from_utf8_lossy(text).into_owned()),
            other => Err(format!("{other:?} is no line")),
        });
        match all.next() {
            Some(Ok(ok)) if ok == "OK" => {}
            other => return Err(format!("{other:?} instead of OK")),
        }
        all.map(|line| Ok(line?.split_once(' ').ok_or("a line without a moment")?.1.to_owned())).collect()
    }
}

struct Run {
    world: World,
    random: Random,
    /// Clients, and then monitors.
    peers: Vec<Peer>,
    clients: usize,
    left: usize,
    scheduler: Scheduler,
}

impl Run {
    fn new(seed: u64, faults: Faults) -> Run {
        let mut random = Random::new(seed);
        let workers = 1 + random.index(4);
        let mut world = World::new(workers, Order::AsDesigned, faults, &mut random);
        let clients = 2 + random.index(3);
        let monitors = 1 + random.index(3);
        let peers = (0..clients + monitors).map(|_| Peer::new(&mut world, random.index(workers))).collect();
        Run { world, random, peers, clients, left: 0, scheduler: Scheduler::new(STEPS_MAX) }
    }

    fn run_out(&mut self) -> Result<(), String> {
        loop {
            let mut senders = Vec::new();
            for at in 0..self.peers.len() {
                let goes_on = at < self.clients && self.left > 0;
                if (goes_on || !self.peers[at].outbox.is_empty()) && self.world.may_feed(self.peers[at].peer) {
                    senders.push(at);
                }
            }
            match self.scheduler.next(&mut self.world, &mut self.random, &senders)? {
                Next::Over => return Ok(()),
                Next::Worked => self.peers.iter_mut().try_for_each(|peer| peer.receive(&mut self.world))?,
                Next::Sends(at) => self.send(at),
            }
        }
    }

    /// Lets some bytes of a peer arrive; of a client also those of something new.
    fn send(&mut self, at: usize) {
        let Peer { peer, outbox, .. } = &mut self.peers[at];
        if outbox.is_empty() {
            self.left -= 1;
            pipeline(&mut self.random, &format!("{at}:{}.", self.left)).iter().for_each(|words| outbox.push(words));
        }
        let n = 1 + self.random.index(outbox.bytes().len());
        let bytes = outbox.bytes()[..n].to_vec();
        let n = self.world.feed(*peer, &bytes);
        outbox.arrived(n);
    }

    fn check(&mut self) -> Result<(), String> {
        let first = self.clients;
        // The first ones monitor from the beginning; the last one comes and goes, unless it is the only one.
        let last = self.peers.len() - 1;
        let fleeting = (last > first).then_some(last);
        for at in first..self.peers.len() {
            if Some(at) != fleeting {
                self.peers[at].outbox.push(&words(&["MONITOR"]));
            }
        }
        self.run_out()?;
        self.left = PIPELINES;
        if let Some(at) = fleeting {
            self.peers[at].outbox.push(&words(&["MONITOR"]));
            self.peers[at].outbox.push(&words(&["RESET"]));
        }
        self.run_out()?;
        let shown = self.peers[first].lines()?;
        for at in first + 1..self.peers.len() {
            if Some(at) != fleeting && self.peers[at].lines()? != shown {
                return Err(format!("two monitors: {shown:#?} and {:#?}", self.peers[at].lines()?));
            }
        }
        if let Some(at) = fleeting {
            self.check_fleeting(at, &shown)?;
        }
        self.check_answers(&shown)?;
        for at in 0..self.peers.len() {
            self.world.hang_up(self.peers[at].peer);
        }
        self.run_out()?;
        let left = (0..self.world.workers()).map(|w| self.world.worker(w).left_over());
        match left.enumerate().find(|(_, left)| *left != LeftOver::default()) {
            Some((worker, left)) => Err(format!("all are gone, but worker {worker} has {left:?}")),
            None => Ok(()),
        }
    }

    /// One that came and went was shown some of it, in the same order, and nothing behind its RESET.
    fn check_fleeting(&mut self, at: usize, shown: &[String]) -> Result<(), String> {
        let reset = self.peers[at].got.pop();
        if !matches!(&reset, Some(Value::Simple(text)) if **text == *b"RESET") {
            return Err(format!("{reset:?} came last, not the answer to RESET"));
        }
        let mut shown = shown.iter();
        let lines = self.peers[at].lines()?;
        match lines.iter().find(|line| !shown.any(|other| other == *line)) {
            Some(line) => Err(format!("one that came later was shown {line} in another order")),
            None => Ok(()),
        }
    }

    /// The lines, sent to one shard one after the other, bring the answers that there were.
    fn check_answers(&mut self, shown: &[String]) -> Result<(), String> {
        let mut world = World::new(1, Order::AsDesigned, Faults::default(), &mut self.random);
        let mut peers: Vec<Peer> = (0..=self.clients).map(|_| Peer::new(&mut world, 0)).collect();
        let monitor = self.clients;
        ask(&mut world, &mut peers, monitor, &words(&["MONITOR"]), &mut self.random)?;
        let of_clients: Vec<&String> = shown.iter().filter(|line| !line.ends_with("\"RESET\"")).collect();
        for line in &of_clients {
            let (from, request) = line.split_once("] ").ok_or("a line without an address")?;
            if from == "[0 lua" {
                continue;
            }
            let from = from.strip_prefix("[0 peer:").and_then(|number| number.parse().ok()).ok_or(from)?;
            let request = line::split(request.as_bytes()).map_err(|error| format!("{line}: {error}"))?;
            ask(&mut world, &mut peers, from, &request, &mut self.random)?;
        }
        let again = peers[monitor].lines()?;
        if let Some(at) =
            (0..again.len().max(of_clients.len())).find(|&at| again.get(at) != of_clients.get(at).copied())
        {
            let of_clients = &of_clients[..=at.min(of_clients.len() - 1)];
            return Err(format!("{of_clients:#?} on one shard is {:?}", again.get(at)));
        }
        for (client, peer) in peers[..monitor].iter().enumerate() {
            if peer.answers() != self.peers[client].answers() {
                let (was, would) = (self.peers[client].answers(), peer.answers());
                return Err(format!(
                    "client {client} got {was:?}, and by the lines would have got {would:?}: {shown:#?}"
                ));
            }
        }
        Ok(())
    }
}

/// Asks, and waits until all is done.
fn ask(world: &mut World, peers: &mut [Peer], from: usize, request: &Words, random: &mut Random) -> Result<(), String> {
    peers[from].outbox.push(request);
    while !peers[from].outbox.is_empty() || world.has_work(0) {
        let Peer { peer, outbox, .. } = &mut peers[from];
        if !outbox.is_empty() && world.may_feed(*peer) {
            let bytes = outbox.bytes().to_vec();
            let n = world.feed(*peer, &bytes);
            outbox.arrived(n);
        }
        world.step(0, random);
    }
    peers.iter_mut().try_for_each(|peer| peer.receive(world))
}

#[test]
fn what_monitors_are_shown_explains_every_answer() {
    let first = number("KV_SIM_FIRST", 0);
    for seed in first..first + number("KV_SIM_SEEDS", SEEDS) {
        if let Err(error) = Run::new(seed, Faults::default()).check() {
            panic!("seed {seed}: {error}");
        }
    }
}

#[test]
fn lines_that_overtake_others_are_caught() {
    let faults = Faults { lines_overtake: true, ..Faults::default() };
    let caught = (0..SEEDS).find_map(|seed| Some((seed, Run::new(seed, faults).check().err()?)));
    let (seed, error) = caught.unwrap_or_else(|| panic!("not noticed in {SEEDS} seeds"));
    println!("caught at seed {seed}: {error}");
}
