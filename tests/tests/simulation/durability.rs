//! Servers that keep their data on a disk which fails and forgets, and machines that stop at any step.
//!
//! A story has several lives. In each, some sessions send commands whose effects are known, one sends commands of all kinds, the
//! disk fails now and then, options change, snapshots are taken; then the machine stops: in the middle of a step of the disk,
//! between two steps of anybody, or after everything was kept. What is left is loaded, and:
//!
//! - it loads: a crash leaves nothing that is refused;
//! - it is what the shards had at the marker of the epoch that the load tells, all keys of all types, to the letter;
//! - it is what one order of the commands gives that were carried out up to some moment, so no part of a command is missing;
//! - with `appendfsync always` it is what an order of *all* commands gives that were answered, whether they wrote or read: nothing
//!   that anybody has seen is missing. The same after a stop that said that everything is kept;
//! - a bank, among whose accounts one more session transfers, has the sum that it had.
//!
//! The next life goes on from there, perhaps with another number of workers.

use crate::command::{Command, LISTS, Mixture, Text, Values, names_on, strings_of};
use crate::history::{History, Operation};
use crate::number;
use crate::outbox::Outbox;
use crate::pause::Pause;
use crate::world::{BEGINNING_US, Data, PeerId, World};
use kv_core::command::{Flags, Found, Group, table};
use kv_core::persist::manifest::Manifest;
use kv_core::resp::client::{ReplyDecoder, Value};
use kv_core::resp::line;
use kv_core::store::{KeyHasher, Shard};
use kv_core::structs::random::Random;
use kv_server::config::{Config, Fsync, SavePoint, SavePoints};
use kv_server::engine::Faults;
use kv_server::engine::durability::recover::{self, Alone, Progress, Recovered, Wanted};
use kv_server::engine::durability::testing::{Broken, Crash, Fails, INPUT_OUTPUT, NO_SPACE, READ_ONLY, TestDisk};
use kv_server::engine::durability::{End, Loaded, Marker, Observer, ToKeeper};
use kv_server::engine::worker::settings;
use kv_tests::bank::Bank;
use kv_tests::requests::{Grammar, Step};
use kv_tests::shown::{Shown, shown};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What is to be noticed.
#[derive(Clone, Copy, Debug, Default)]
struct Wrong {
    disk: Broken,
    engine: Faults,
    /// What is answered is taken for kept, and is not held back.
    unsynced: bool,
    /// A load that cuts each shard's part of the log by itself.
    cut_by_shard: bool,
    /// It is to be noticed by the bank alone.
    looks_at_bank: bool,
}

/// How often stories have come to what they are about.
#[derive(Default)]
struct Reached([AtomicU64; 10]);

#[derive(Clone, Copy, Debug)]
enum Place {
    /// A snapshot with a log behind it was loaded.
    BaseAndLog,
    /// The log ended torn.
    Torn,
    /// Shards became more or fewer.
    Resharded,
    /// With `always` something was answered before the machine stopped.
    AnsweredAndCrashed,
    /// The machine stopped in the middle of a step of the disk.
    CrashedInAStep,
    /// The process alone was killed.
    Killed,
    /// Everything was said to be kept.
    Kept,
    /// Writes were refused, and accepted again.
    Recovered,
    /// A snapshot failed.
    SnapshotFailed,
    /// Less was loaded than there was, as it may be without `always`.
    Lost,
}

impl Reached {
    fn count(&self, place: Place) {
        self.0[place as usize].fetch_add(1, Ordering::Relaxed);
    }
}

const PLACES: [Place; 10] = [
    Place::BaseAndLog,
    Place::Torn,
    Place::Resharded,
    Place::AnsweredAndCrashed,
    Place::CrashedInAStep,
    Place::Killed,
    Place::Kept,
    Place::Recovered,
    Place::SnapshotFailed,
    Place::Lost,
];

/// Commands with known effects in a life.
const COMMANDS: usize = 20;
const STEPS_MAX: u64 = 60_000;

/// What all shards showed at markers, by epoch and shard.
type Markers = Arc<Mutex<BTreeMap<u64, BTreeMap<usize, Shown>>>>;

enum Ask {
    Known(Command),
    /// Its answer does not matter.
    Any(Vec<Vec<u8>>),
}

struct Client {
    peer: PeerId,
    decoder: ReplyDecoder,
    script: VecDeque<Vec<Ask>>,
    outbox: Outbox,
    /// Requests without a reply, in order; the last `outbox.requests()` of them have not arrived.
    waiting: VecDeque<Awaited>,
}

/// What the reply to a request is.
#[derive(Clone, Copy)]
enum Awaited {
    /// That of an operation.
    Of(usize),
    /// Of no matter, or to a part of an operation.
    Nothing,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The machine stops at some moment.
    Crash,
    /// Everything is said to be kept.
    Kept,
    /// The end of all commands, and no stop.
    Open,
}

struct Life<'a> {
    world: World,
    random: Random,
    disk: TestDisk,
    config: Config,
    clients: Vec<Client>,
    history: &'a mut History,
    clock: u64,
    pause: Pause,
    /// The disk fails until then.
    fails_until: Option<u64>,
    /// The log was on all the time, with `always`.
    is_strict: bool,
    was_refusing: bool,
    reached: Arc<Reached>,
    crash_at: Option<u64>,
}

/// Not commands that would change what the others know about, nor such that may wait for ever.
fn is_noise(words: &[Vec<u8>]) -> bool {
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let waits = match table().find(&words[0], None) {
        Found::Row(id) => {
            table().row(id).spec.flags.has(Flags::BLOCKING) && table().row(id).spec.group != Group::Stream
        }
        _ => false,
    };
    !waits
        && !["FLUSHALL", "FLUSHDB", "SWAPDB"].iter().any(|name| is(&words[0], name))
        && !words.iter().any(|word| is(word, "BLOCK"))
}

/// Some commands of all kinds.
fn noise(grammar: &Grammar, random: &mut Random) -> Vec<Vec<Vec<u8>>> {
    let case = grammar.case(random.next_u64());
    let steps = (0..random.index(40)).map(|_| case[random.index(case.len())].clone());
    let words = steps.filter_map(|step| match step {
        Step::Request(words) => Some(words),
        Step::Chance(mut words, key) => {
            words[1] = key;
            Some(words)
        }
        Step::Select(_) | Step::Script(_) => None,
    });
    let mut noise: Vec<_> = words.filter(|words| is_noise(words)).collect();
    for _ in 0..random.index(6) {
        let at = random.index(noise.len() + 1);
        noise.insert(at, about_functions(random));
    }
    noise
}

/// A library is added, replaced, or goes; or a function is called, which writes a key of nobody else.
fn about_functions(random: &mut Random) -> Vec<Vec<u8>> {
    let library = ["one", "two"][random.index(2)];
    let text = match random.index(6) {
        0 => format!("FUNCTION DELETE {library}"),
        1 if random.one_in(3) => "FUNCTION FLUSH".into(),
        1 | 2 => format!("FCALL {library} 1 called:{}", random.index(4)),
        _ => {
            let (replace, by) = (["", "REPLACE "][random.index(2)], random.below(1000));
            let body = format!("function(keys) return redis.call('incrby', keys[1], {by}) end");
            format!(
                "FUNCTION LOAD {replace}\"#!lua name={library}\\nredis.register_function('{library}', {body}) \
                 redis.register_function('{library}_{by}', {body})\""
            )
        }
    };
    line::split(text.as_bytes()).expect("quotes that fit")
}

impl<'a> Life<'a> {
    fn send(&mut self, client: usize) {
        let c = &mut self.clients[client];
        if c.outbox.is_empty() {
            for ask in c.script.pop_front().expect("a client without a script has no move") {
                match ask {
                    Ask::Known(command) => {
                        for (words, part) in command.requests(&self.history.names) {
                            c.outbox.push(&words);
                            let of = Awaited::Of(self.history.operations.len());
                            c.waiting.push_back(part.map_or(of, |_| Awaited::Nothing));
                        }
                        self.history.operations.push(Operation::new(client, command, u64::MAX));
                    }
                    Ask::Any(words) => {
                        c.outbox.push(&words);
                        c.waiting.push_back(Awaited::Nothing);
                    }
                }
            }
        }
        let bytes = c.outbox.bytes();
        let n = if self.random.one_in(3) { 1 + self.random.index(bytes.len()) } else { bytes.len() };
        let n = self.world.feed(c.peer, &bytes[..n]);
        let first_unsent = c.waiting.len() - c.outbox.requests();
        let arrived = c.outbox.arrived(n);
        for awaited in c.waiting.range(first_unsent..first_unsent + arrived) {
            if let Awaited::Of(operation) = awaited {
                self.history.operations[*operation].arrived(self.clock, self.world.now_ms());
            }
        }
    }

    fn receive(&mut self) -> Result<(), String> {
        for (session, c) in self.clients.iter_mut().enumerate() {
            c.decoder.feed(&std::mem::take(&mut self.world.peers[c.peer].received));
            while let Some(mut reply) =
                c.decoder.next_value().map_err(|e| format!("session {session} got no reply: {e:?}"))?
            {
                let Awaited::Of(operation) = c.waiting.pop_front().expect("a reply to a request") else { continue };
                let operation = &mut self.history.operations[operation];
                operation.command.note_refusals(&mut reply);
                match &reply {
                    // Refused because of the disk: it has not happened, and says nothing.
                    Value::Error(text) if text.starts_with(b"MISCONF") => {
                        operation.begin = u64::MAX;
                        continue;
                    }
                    // The same of something in a transaction: what is left of it is that it ends the watches.
                    Value::Error(text) if text.starts_with(b"EXECABORT") => {
                        (operation.command, operation.reply) = (Command::Unwatch, Value::Simple(b"OK".to_vec()));
                    }
                    _ => operation.reply = operation.command.told(reply, &self.history.names),
                }
                operation.end = self.clock;
            }
        }
        Ok(())
    }

    fn may_send(&mut self, client: usize) -> bool {
        let c = &self.clients[client];
        let goes_on = !c.script.is_empty() && (c.waiting.is_empty() || client == 0);
        (!c.outbox.is_empty() || goes_on) && self.world.may_feed(c.peer)
    }

    /// Things that happen to a server.
    fn happen(&mut self) {
        let is_refusing = self.world.link.status().refuses_writes();
        if self.was_refusing && !is_refusing {
            self.reached.count(Place::Recovered);
        }
        self.was_refusing = is_refusing;
        if is_refusing {
            let arrived = self.history.operations.iter_mut().filter(|o| o.begin < u64::MAX && o.end == u64::MAX);
            arrived.for_each(|o| o.perhaps_refused = o.command.may_be_refused());
        }
        if self.fails_until.is_some_and(|until| until <= self.clock) {
            self.fails_until = None;
            self.disk.fail(None);
        }
        if self.random.one_in(1500) && self.fails_until.is_none() {
            let error = [NO_SPACE, INPUT_OUTPUT, READ_ONLY][self.random.index(3)];
            let chance = |random: &mut Random| random.one_in(2);
            let (writes, syncs, names) = (chance(&mut self.random), chance(&mut self.random), chance(&mut self.random));
            let after = self.random.below(4);
            self.disk.fail(Some(Fails { error, writes, syncs, names, after }));
            self.fails_until = Some(self.clock + self.random.below(1000));
        }
        if self.random.one_in(400) {
            // A rewrite, if anything has been logged.
            let rewrite =
                Config { auto_aof_rewrite_percentage: 1, auto_aof_rewrite_min_size: 0, ..self.config.clone() };
            self.world.link.tell(ToKeeper::Options(Box::new(rewrite)));
        } else if self.random.one_in(100) {
            self.world.link.tell(ToKeeper::Options(Box::new(self.config.clone())));
        }
        if !self.is_strict && self.random.one_in(800) {
            match self.random.below(3) {
                0 => self.config.appendonly = !self.config.appendonly,
                _ => self.config.appendfsync = any_fsync(&mut self.random),
            }
            self.world.link.tell(ToKeeper::Options(Box::new(self.config.clone())));
        }
    }

    /// Everybody who can takes a step; false when nobody can.
    fn step(&mut self) -> Result<bool, String> {
        self.clock += 1;
        if self.clock > STEPS_MAX {
            return Err("the server turns in circles".into());
        }
        self.world.now_us += if self.random.one_in(40) { self.random.below(400_000) } else { self.random.below(20) };
        self.happen();
        let (world, clients) = (&self.world, &self.clients);
        self.history.go_on(self.clock, world.now_ms(), |session| world.is_blocked(clients[session].peer));
        let workers = self.world.workers();
        let (keeper, saver) = (workers, workers + 1);
        let mut able: Vec<usize> = (0..workers).filter(|&w| self.world.has_work(w)).collect();
        able.extend(self.world.keeper_has_work().then_some(keeper));
        able.extend(self.world.saver_has_work().then_some(saver));
        able.extend((0..self.clients.len()).filter(|&c| self.may_send(c)).map(|c| saver + 1 + c));
        if able.is_empty() {
            return Ok(false);
        }
        self.pause.look(self.clock);
        let unpaused: Vec<usize> = able.iter().copied().filter(|&s| !self.pause.is_of(s)).collect();
        let able = if unpaused.is_empty() { able } else { unpaused };
        let who = able[self.random.index(able.len())];
        if who < workers {
            let did = self.world.step(who, &mut self.random);
            self.pause(who, did.pauses_once_in(2, 25));
        } else if who == keeper {
            self.world.step_keeper(&mut self.random);
            self.pause(who, 10);
        } else if who == saver {
            self.world.step_saver();
            self.pause(who, 10);
        } else {
            self.send(who - saver - 1);
        }
        self.receive()?;
        Ok(true)
    }

    fn pause(&mut self, who: usize, often: u64) {
        self.pause.perhaps(who, often, 7, self.clock, &mut self.random);
    }

    /// Until the end of the life.
    fn live(&mut self, stops: bool) -> Result<Ending, String> {
        loop {
            if self.crash_at.is_some_and(|at| self.clock >= at) {
                return Ok(Ending::Crash);
            }
            if self.step()? {
                continue;
            }
            let is_answered = self.clients.iter().all(|c| c.waiting.is_empty() && c.script.is_empty());
            match self.world.next_moment() {
                _ if is_answered => break,
                Some(moment) => self.world.now_us = self.world.now_us.max(moment * 1000),
                None if self.fails_until.is_none() => {
                    let left: Vec<_> = (0..self.world.workers()).map(|w| self.world.worker(w).left_over()).collect();
                    let status = &self.world.link.status();
                    let waiting: Vec<usize> = self.clients.iter().map(|c| c.waiting.len()).collect();
                    return Err(format!(
                        "somebody waits for ever: {waiting:?}, durable {}, {:?}, {left:?}",
                        status.durable(),
                        status.figures()
                    ));
                }
                None => {}
            }
        }
        if !stops {
            return Ok(Ending::Open);
        }
        let save = self.random.one_in(2);
        self.world.link.tell(ToKeeper::Stop { save });
        while self.world.link.status().end() == End::Open {
            if self.crash_at.is_some_and(|at| self.clock >= at) {
                return Ok(Ending::Crash);
            }
            if self.step()? || self.world.link.status().end() != End::Open {
                continue;
            }
            match self.world.next_moment() {
                Some(moment) => self.world.now_us = self.world.now_us.max(moment * 1000),
                None if self.fails_until.is_none() => return Err("the stop never ends".into()),
                None => {}
            }
        }
        let is_kept = self.world.link.status().end() == End::Kept;
        let is_log_on = self.world.link.status().figures().is_log_on;
        Ok(if is_kept && (save || is_log_on) { Ending::Kept } else { Ending::Crash })
    }
}

fn any_fsync(random: &mut Random) -> Fsync {
    [Fsync::Always, Fsync::EverySecond, Fsync::No][random.index(3)]
}

/// What is left of it at a later moment.
fn at(shown: &Shown, now: u64) -> Shown {
    let is_due = |line: &String| {
        let moment = line.rsplit_once(" Some(").and_then(|(_, rest)| rest.strip_suffix(')')?.parse::<u64>().ok());
        moment.is_some_and(|moment| moment <= now)
    };
    let mut left = Shown::new();
    for (key, (expire_at, lines)) in shown {
        if expire_at.is_some_and(|at| at <= now) {
            continue;
        }
        let mut lines = lines.clone();
        if lines[0] == "hash" {
            lines.retain(|line| !is_due(line));
            if lines.len() == 1 {
                continue;
            }
        }
        left.insert(key.clone(), (*expire_at, lines));
    }
    left
}

fn of_all<'a>(shards: impl Iterator<Item = &'a Shown>) -> Shown {
    shards.flat_map(|shown| shown.iter().map(|(key, held)| (key.clone(), held.clone()))).collect()
}

/// The keys that histories know.
fn values_of(names: &[String], all: &Shown) -> Values {
    let value = |(at, name): (usize, &String)| {
        let (_, lines) = all.get(&(0, name.clone().into_bytes()))?;
        let text = if at == names.len() - LISTS - 1 { "index".into() } else { lines[1..].join(" ") };
        Some(Text::from(text.into_bytes()))
    };
    names.iter().enumerate().map(value).collect()
}

/// Whether the accounts that are left have the sum of all, or, where FLUSHALL was before it, none.
fn is_bank_whole(all: &Shown) -> Result<(), String> {
    let balance = |account: &Vec<u8>| all.get(&(0, account.clone())).map(|(_, lines)| lines[1].clone());
    let balances: Vec<Option<String>> = Bank::new().accounts().iter().map(balance).collect();
    let number = |text: &String| text.trim_matches('"').parse::<i64>().expect("a number");
    match balances.iter().flatten().map(number).sum() {
        0 | Bank::SUM => Ok(()),
        sum => Err(format!("the accounts have {sum} together: {balances:?}")),
    }
}

struct Story {
    random: Random,
    wrong: Wrong,
    disk: TestDisk,
    names: Vec<String>,
    mixture: Mixture,
    fresh: u64,
    now_us: u64,
    /// What all shards showed at the end of each epoch that may be loaded.
    epochs: BTreeMap<u64, Shown>,
    reached: Arc<Reached>,
}

impl Story {
    fn new(seed: u64, wrong: Wrong, reached: Arc<Reached>) -> Story {
        let mut random = Random::new(seed);
        let disk = TestDisk::new(random.next_u64());
        disk.set_broken(wrong.disk);
        let mut hash_seed = [0; 16];
        hash_seed[..8].copy_from_slice(&random.next_u64().to_le_bytes());
        recover::begin(&disk, hash_seed).expect("the disk is well");
        let shards: Vec<usize> = (0..3).collect();
        let names = names_on(&shards, 3, &KeyHasher::new(hash_seed));
        let mixture = Mixture::random(&mut random);
        let epochs = BTreeMap::from([(0, Shown::new())]);
        Story { random, wrong, disk, names, mixture, fresh: 0, now_us: BEGINNING_US, epochs, reached }
    }

    fn config(&mut self) -> Config {
        let random = &mut self.random;
        let points = if random.one_in(4) { vec![SavePoint { seconds: 1, changes: 5 }] } else { Vec::new() };
        let appendfsync = if random.one_in(2) { Fsync::Always } else { any_fsync(random) };
        Config {
            databases: 2,
            appendonly: !random.one_in(5),
            appendfsync,
            save: SavePoints(points),
            rdbcompression: random.one_in(2),
            auto_aof_rewrite_percentage: 0,
            ..Config::default()
        }
    }

    fn load(&mut self, config: &Config, workers: usize) -> Result<(Manifest, Recovered), String> {
        let refused = |error: recover::RecoverError| format!("it does not load: {error}");
        let manifest = recover::read_manifest(&self.disk).map_err(refused)?.ok_or("there is no manifest")?;
        let hasher = KeyHasher::new(manifest.hash_seed);
        let wanted = Wanted {
            shards: workers,
            databases: config.databases as usize,
            settings: settings(config, &hasher),
            seed: self.random.next_u64(),
            now: self.now_us / 1000,
        };
        let found = recover::recover(&self.disk, &manifest, &wanted, &Alone, &Progress::default()).map_err(refused)?;
        if manifest.base.is_some() && found.epochs > 0 {
            self.reached.count(Place::BaseAndLog);
        }
        if found.cut.is_some() {
            self.reached.count(Place::Torn);
        }
        let before = manifest.base.as_ref().map(|base| base.bytes.len());
        if before.is_some_and(|before| before != workers) {
            self.reached.count(Place::Resharded);
        }
        Ok((manifest, found))
    }

    /// Loads what is left, and checks it against the epoch that it is said to be.
    fn loaded(&mut self, config: &Config, workers: usize) -> Result<(Manifest, Recovered, Shown), String> {
        let (manifest, recovered) = self.load(config, workers)?;
        let now = self.now_us / 1000;
        let mut all = of_all(recovered.shards.iter().map(|shard| shown(shard, now)).collect::<Vec<_>>().iter());
        if self.wrong.cut_by_shard {
            // Of one shard the epoch before is the last.
            let before = self.epochs.range(..recovered.epoch).next_back().map(|(_, shown)| at(shown, now));
            let hasher = &recovered.shards[0].hasher;
            let is_first = |key: &(usize, Vec<u8>)| hasher.place(&key.1, 2) == 0;
            if let Some(before) = before {
                all.retain(|key, _| !is_first(key));
                all.extend(before.into_iter().filter(|(key, _)| is_first(key)));
            }
            return Ok((manifest, recovered, all));
        }
        let Some(expected) = self.epochs.get(&recovered.epoch) else {
            return Err(format!("epoch {} was loaded, and never ended", recovered.epoch));
        };
        let expected = at(expected, now);
        if all != expected {
            let differs = |(key, held): &(&(usize, Vec<u8>), &_)| expected.get(*key) != Some(*held);
            let wrong: Vec<_> = all.iter().filter(differs).collect();
            let missing: Vec<_> = expected.iter().filter(|(key, _)| !all.contains_key(*key)).collect();
            return Err(format!("epoch {} is not what it was: {wrong:?}, missing {missing:?}", recovered.epoch));
        }
        Ok((manifest, recovered, all))
    }

    fn clients(&mut self, world: &mut World, grammar: &Grammar) -> Vec<Client> {
        let sessions = 2 + self.random.index(4);
        let mut clients: Vec<Client> = (0..sessions + 2)
            .map(|_| Client {
                peer: world.connect(self.random.index(world.workers())),
                decoder: ReplyDecoder::default(),
                script: VecDeque::new(),
                outbox: Outbox::default(),
                waiting: VecDeque::new(),
            })
            .collect();
        let mut left = COMMANDS;
        while left > 0 {
            let count = if self.random.one_in(3) { 1 + self.random.index(4) } else { 1 }.min(left);
            left -= count;
            let pipeline = (0..count)
                .map(|_| {
                    loop {
                        let keys = strings_of(&self.names);
                        let command = self.mixture.command(keys, &mut self.fresh, &mut self.random);
                        // That counts the keys of the others, too.
                        if !command.counts_keys() {
                            return Ask::Known(command);
                        }
                    }
                })
                .collect();
            clients[self.random.index(sessions)].script.push_back(pipeline);
        }
        let noise = noise(grammar, &mut self.random);
        clients[sessions].script.extend(noise.into_iter().map(|words| vec![Ask::Any(words)]));
        let bank = Bank::new();
        let transfers = (0..self.random.index(20)).map(|_| bank.transfer(&mut self.random));
        let deeds = std::iter::once(vec![bank.open()]).chain(transfers);
        clients[sessions + 1].script.extend(deeds.map(|requests| requests.into_iter().map(Ask::Any).collect()));
        clients
    }

    /// A life, and its end.
    fn life(&mut self, grammar: &Grammar) -> Result<(), String> {
        let config = self.config();
        let workers = 1 + self.random.index(4);
        let (manifest, recovered, all) = self.loaded(&config, workers)?;
        is_bank_whole(&all)?;
        let before = values_of(&self.names, &all);
        let first = recovered.epoch;
        // Later epochs will be other ones; and this one is what the next load may find as well.
        self.epochs.retain(|&epoch, _| epoch <= first);
        let markers = Markers::default();
        let observer: Observer = {
            let markers = markers.clone();
            Arc::new(move |marker: Marker, shard: &Shard| {
                markers.lock().unwrap().entry(marker.epoch).or_default().insert(shard.index, shown(shard, 0));
            })
        };
        let mut random = Random::new(self.random.next_u64());
        let mut engine_config = config.clone();
        if self.wrong.unsynced && config.appendfsync == Fsync::Always {
            engine_config.appendfsync = Fsync::EverySecond;
        }
        let data = Data {
            disk: self.disk.clone(),
            config: engine_config.clone(),
            loaded: Loaded { manifest, epoch: first },
            shards: recovered.shards,
            observer,
            now_us: self.now_us,
        };
        if random.one_in(2) {
            self.disk.crash_in(Some(random.below(80)));
        }
        let mut history = History { names: self.names.clone(), operations: Vec::new() };
        let is_always = config.appendonly && config.appendfsync == Fsync::Always;
        let has_served;
        let lived = {
            let story = &mut *self;
            let history = &mut history;
            let (now_us, is_serving) = (&mut 0, &mut false);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let mut world = World::keeping(data, story.wrong.engine, &mut random);
                *is_serving = true;
                let clients = story.clients(&mut world, grammar);
                let crash_at = random.one_in(2).then(|| 1 << random.below(12)).map(|most| random.below(most));
                let stops = random.one_in(2);
                let disk = story.disk.clone();
                let mut life = Life {
                    world,
                    random,
                    disk,
                    config: engine_config,
                    clients,
                    history,
                    clock: 0,
                    pause: Pause::default(),
                    fails_until: None,
                    is_strict: is_always,
                    was_refusing: false,
                    reached: story.reached.clone(),
                    crash_at,
                };
                // A crash that unwinds takes the life with it, but not the time.
                let ending = catch_unwind(AssertUnwindSafe(|| life.live(stops)));
                *now_us = life.world.now_us;
                if life.world.link.status().aborted() > 0 {
                    life.reached.count(Place::SnapshotFailed);
                }
                match ending {
                    Ok(ending) => ending,
                    Err(why) => resume_unwind(why),
                }
            }));
            story.now_us = story.now_us.max(*now_us);
            has_served = *is_serving;
            match outcome {
                Ok(ending) => ending?,
                Err(why) if why.is::<Crash>() => {
                    story.reached.count(Place::CrashedInAStep);
                    Ending::Crash
                }
                Err(why) => resume_unwind(why),
            }
        };
        self.disk.crash_in(None);
        self.disk.fail(None);
        for (epoch, shards) in std::mem::take(&mut *markers.lock().unwrap()) {
            if shards.len() == workers {
                self.epochs.insert(epoch, of_all(shards.values()));
            }
        }
        if !self.random.one_in(4) || self.wrong.disk != Broken::default() {
            // The system stops as well, and not only the process.
            self.disk = self.disk.after_crash(&mut self.random);
        } else {
            self.reached.count(Place::Killed);
            self.disk = self.disk.after_kill();
        }
        let last = self.epochs.keys().next_back().copied();
        let (_, recovered, all) = self.loaded(&config, 1 + self.random.clone().index(4))?;
        is_bank_whole(&all)?;
        if self.wrong.looks_at_bank {
            return Ok(());
        }
        let after = values_of(&self.names, &all);
        history.operations.retain(|operation| operation.begin < u64::MAX);
        if lived == Ending::Kept && last != Some(recovered.epoch) {
            let shown = |epoch: Option<u64>| epoch.and_then(|epoch| self.epochs.get(&epoch));
            if shown(last) != shown(Some(recovered.epoch)) {
                return Err(format!("everything was kept up to epoch {last:?}, and {} was loaded", recovered.epoch));
            }
        }
        if recovered.epoch < first {
            // Without a log nobody makes safe what was loaded from one; with it that comes before anybody is served.
            let is_right = !config.appendonly || !has_served;
            return if is_right { Ok(()) } else { Err(format!("epoch {first} was loaded before")) };
        }
        if lived == Ending::Kept {
            self.reached.count(Place::Kept);
        }
        if is_always && lived == Ending::Crash && history.operations.iter().any(|o| o.end < u64::MAX) {
            self.reached.count(Place::AnsweredAndCrashed);
        }
        if last > Some(recovered.epoch) {
            self.reached.count(Place::Lost);
        }
        let is_kept = lived == Ending::Kept || is_always;
        let is_explained = if is_kept { history.leads_to(&before, &after) } else { history.comes_by(&before, &after) };
        if !is_explained {
            let what = if is_kept { "all that was answered" } else { "what happened up to some moment" };
            let told = format!("before {before:?}\n{history}\n  after {after:?}");
            let kind = (config.appendonly, config.appendfsync);
            return Err(format!("log and sync {kind:?}: {what} does not lead to what is left ({lived:?}):\n{told}"));
        }
        Ok(())
    }

    fn tell(mut self, grammar: &Grammar) -> Result<(), String> {
        let lives = 1 + self.random.below(4);
        (0..lives).try_for_each(|life| self.life(grammar).map_err(|why| format!("life {} of {lives}: {why}", life + 1)))
    }
}

/// The first of `count` seeds beginning with `first` whose story goes wrong, and how.
fn first_failure(wrong: Wrong, first: u64, count: u64, reached: &Arc<Reached>) -> Option<(u64, String)> {
    let grammar = Grammar::of_all_of_store();
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        let one = || {
            while !failed.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    break;
                }
                let told = catch_unwind(AssertUnwindSafe(|| Story::new(seed, wrong, reached.clone()).tell(&grammar)));
                let why = match told {
                    Ok(Ok(())) => continue,
                    Ok(Err(why)) => why,
                    // An assertion has told the rest.
                    Err(why) => why.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".into()),
                };
                failed.store(true, Ordering::Relaxed);
                return Some((seed, why));
            }
            None
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(one)).collect();
        threads.into_iter().filter_map(|t| t.join().expect("panics are caught")).min()
    })
}

/// Seeds of the normal run.
const STORIES: u64 = 600;

#[test]
fn what_is_left_after_a_crash_is_what_there_was() {
    let first = number("KV_SIM_FIRST", 0);
    let (count, reached) = (number("KV_SIM_CRASHES", STORIES), Arc::default());
    if let Some((seed, why)) = first_failure(Wrong::default(), first, count, &reached) {
        panic!("seed {seed}: {why}");
    }
    let times = PLACES.map(|place| (place, reached.0[place as usize].load(Ordering::Relaxed)));
    println!("{times:?}");
    let seldom: Vec<_> = times.iter().filter(|(_, times)| *times < count / 60).collect();
    assert!(seldom.is_empty(), "stories hardly ever come to {seldom:?}");
}

/// What is broken must be noticed within the seeds of the normal run.
fn is_noticed(what: &str, wrong: Wrong) {
    let (seed, why) = first_failure(wrong, 0, STORIES, &Arc::default())
        .unwrap_or_else(|| panic!("{what}: not noticed in {STORIES} seeds"));
    println!("{what}: noticed at seed {seed}: {why}");
}

#[test]
fn answering_before_the_sync_is_noticed() {
    is_noticed("answers before the sync", Wrong { unsynced: true, ..Wrong::default() });
}

#[test]
fn a_sync_that_does_nothing_is_noticed() {
    let disk = Broken { no_sync: true, ..Broken::default() };
    is_noticed("no sync", Wrong { disk, ..Wrong::default() });
}

#[test]
fn a_folder_that_is_not_synced_is_noticed() {
    let disk = Broken { no_folder_sync: true, ..Broken::default() };
    is_noticed("no sync of the folder", Wrong { disk, ..Wrong::default() });
}

#[test]
fn a_manifest_that_names_a_segment_after_its_first_frame_is_noticed() {
    let disk = Broken { late_renames: true, ..Broken::default() };
    is_noticed("late manifest", Wrong { disk, ..Wrong::default() });
}

#[test]
fn cutting_the_log_of_each_shard_by_itself_is_noticed() {
    is_noticed("cut by shard", Wrong { cut_by_shard: true, ..Wrong::default() });
}

#[test]
fn what_is_done_for_those_who_wait_and_not_logged_is_noticed() {
    let engine = Faults { serves_unlogged: true, ..Faults::default() };
    is_noticed("serves without the log", Wrong { engine, ..Wrong::default() });
}

#[test]
fn a_bank_notices_half_of_a_transfer_after_a_crash() {
    let bank = Wrong { looks_at_bank: true, ..Wrong::default() };
    is_noticed("cut by shard", Wrong { cut_by_shard: true, ..bank });
    let engine = Faults { transaction_in_pieces: true, ..Faults::default() };
    is_noticed("transactions in pieces", Wrong { engine, ..bank });
    let engine = Faults { script_not_taken_back: true, ..Faults::default() };
    is_noticed("scripts that count twice", Wrong { engine, ..bank });
}

#[test]
fn a_marker_that_is_not_published_at_one_moment_is_noticed() {
    let engine = Faults { no_lock: true, ..Faults::default() };
    is_noticed("markers without the lock", Wrong { engine, ..Wrong::default() });
}
