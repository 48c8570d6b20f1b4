//! A dozen commands of a few sessions on two to four workers, scheduled with malice, and every history searched.
//!
//! The scheduler picks any worker for one step, or lets bytes of a session arrive; now and then a worker loses its core
//! for a while, most often when it has published one half of its turn.

use crate::command::{Command, LISTS, Mixture, names_on, strings_of};
use crate::history::{History, Operation};
use crate::number;
use crate::outbox::Outbox;
use crate::pause::Pause;
use crate::world::{Did, Order, PeerId, World};
use kv_core::resp::client::{ReplyDecoder, Value};
use kv_core::structs::random::Random;
use kv_server::engine::Faults;
use kv_server::engine::worker::LeftOver;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The engine under test, whole or with a part of the rule of order left out.
#[derive(Clone, Copy)]
struct Engine {
    order: Order,
    faults: Faults,
}

const WHOLE: Engine = Engine { order: Order::AsDesigned, faults: Faults::NONE };

/// How many commands a history has besides the last look at all keys.
const COMMANDS: usize = 24;

/// More steps than any run needs: a run that takes them turns in circles.
const STEPS_MAX: u64 = 50_000;

struct Client {
    peer: PeerId,
    decoder: ReplyDecoder,
    /// Pipelines not begun.
    script: VecDeque<Vec<Command>>,
    outbox: Outbox,
    /// Requests without a reply, in order; the last `outbox.requests()` of them have not arrived.
    waiting: VecDeque<Awaited>,
}

/// What the reply to a request is.
enum Awaited {
    /// That of an operation.
    Of(usize),
    /// This one: to a request that is only a part of an operation.
    This(Value),
}

struct Run {
    world: World,
    random: Random,
    clients: Vec<Client>,
    history: History,
    /// Counts what happens; the time of the history.
    clock: u64,
    pause: Pause,
    half_published: Vec<bool>,
    /// Who waits for one that has published a half; not stepped until that one has gone on.
    waits: Vec<bool>,
    /// How strongly sessions wait for such moments.
    patience: u64,
    /// Now and then a client hangs up while its request waits.
    hangs_up: bool,
}

impl Run {
    fn new(engine: Engine, seed: u64, commands: usize) -> Run {
        let mut random = Random::new(seed);
        let workers = 2 + random.index(3);
        let mut world = World::new(workers, engine.order, engine.faults, &mut random);
        let shards: Vec<usize> = (0..3).map(|i| i % workers).collect();
        let names = names_on(&shards, workers, &world.hasher);
        let sessions = 3 + random.index(5);
        let mut clients: Vec<Client> = (0..sessions)
            .map(|_| {
                let worker = random.index(workers);
                Client {
                    peer: world.connect(worker),
                    decoder: ReplyDecoder::default(),
                    script: VecDeque::new(),
                    outbox: Outbox::default(),
                    waiting: VecDeque::new(),
                }
            })
            .collect();
        let mixture = Mixture::random(&mut random).with_functions();
        let pipelined = 1 + random.below(4);
        let mut fresh = 0;
        let mut left = commands;
        while left > 0 {
            let count = if random.one_in(pipelined) { 1 + random.index(4) } else { 1 }.min(left);
            left -= count;
            let keys = strings_of(&names);
            let pipeline: Vec<Command> = (0..count).map(|_| mixture.command(keys, &mut fresh, &mut random)).collect();
            let watches = pipeline.iter().any(|command| matches!(command, Command::Watch(_)));
            let waits = pipeline.iter().any(|command| command.may_wait().is_some());
            let session = random.index(sessions);
            clients[session].script.push_back(pipeline);
            // Else most watches would be for nothing.
            if watches && left > 0 {
                left -= 1;
                clients[session].script.push_back(vec![mixture.transaction(keys, &mut fresh, &mut random)]);
            }
            if waits && left > 0 && random.one_in(4) {
                left -= 1;
                let number = world.peers[clients[session].peer].number;
                let unblock = Command::Unblock { session, number, error: random.one_in(2) };
                // By one that goes on when it is answered: it sees who waits when it is run, also who was asked to do so later.
                clients[1 + random.index(sessions - 1)].script.push_back(vec![unblock]);
            }
        }
        let history = History { names, operations: Vec::new() };
        let (half_published, waits) = (vec![false; workers], vec![false; workers]);
        let patience = 1 + random.below(8);
        let hangs_up = random.one_in(3);
        Run {
            world,
            random,
            clients,
            history,
            clock: 0,
            pause: Pause::default(),
            half_published,
            waits,
            patience,
            hangs_up,
        }
    }

    /// Lets some bytes of a client arrive; begins its next pipeline when the last one has arrived.
    fn send(&mut self, client: usize) {
        let c = &mut self.clients[client];
        if c.outbox.is_empty() {
            let pipeline = c.script.pop_front().expect("a client without a script has no move");
            for command in pipeline {
                for (words, reply) in command.requests(&self.history.names) {
                    c.outbox.push(&words);
                    let of = Awaited::Of(self.history.operations.len());
                    c.waiting.push_back(reply.map_or(of, Awaited::This));
                }
                self.history.operations.push(Operation::new(client, command, 0));
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

    /// Takes the replies that have left the engine.
    fn receive(&mut self) -> Result<(), String> {
        for (session, c) in self.clients.iter_mut().enumerate() {
            let received = &mut self.world.peers[c.peer].received;
            if received.is_empty() {
                continue;
            }
            c.decoder.feed(received);
            received.clear();
            while let Some(reply) =
                c.decoder.next_value().map_err(|e| format!("session {session} got no reply: {e:?}"))?
            {
                let arrived = c.waiting.len() - c.outbox.requests();
                if arrived == 0 {
                    return Err(format!("session {session} got a reply that it did not ask for"));
                }
                match c.waiting.pop_front().expect("one has arrived") {
                    Awaited::Of(operation) => {
                        let operation = &mut self.history.operations[operation];
                        operation.reply = operation.command.told(reply, &self.history.names);
                        operation.end = self.clock;
                    }
                    Awaited::This(expected) if reply == expected => {}
                    Awaited::This(expected) => {
                        return Err(format!("session {session} got {reply:?} instead of {expected:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn may_send(&mut self, client: usize) -> bool {
        let c = &self.clients[client];
        // Most clients wait for their replies before they go on; some do not.
        let goes_on = !c.script.is_empty() && (c.waiting.is_empty() || client == 0);
        (!c.outbox.is_empty() || goes_on) && self.world.may_feed(c.peer)
    }

    /// A client whose request waits is gone from one moment to the next.
    fn hang_up(&mut self) {
        let may_go = |c: &usize| {
            let peer = self.clients[*c].peer;
            self.world.is_blocked(peer) && self.world.is_between_turns(self.world.peers[peer].worker)
        };
        // The first one is to have a last look.
        let Some(client) = (1..self.clients.len()).find(may_go) else { return };
        let c = &mut self.clients[client];
        self.world.hang_up(c.peer);
        c.script.clear();
        c.waiting.clear();
        c.outbox = Outbox::default();
        let left = self.history.operations.iter_mut().filter(|o| o.session == client && o.end == u64::MAX);
        left.for_each(|operation| operation.gone = self.clock);
    }

    /// Until everything is answered and all workers rest.
    fn run_out(&mut self) -> Result<(), String> {
        loop {
            self.clock += 1;
            if self.clock > STEPS_MAX {
                return Err("the workers turn in circles".into());
            }
            self.world.now_us += self.random.below(20);
            if self.hangs_up && self.random.one_in(300) {
                self.hang_up();
            }
            let (world, clients) = (&self.world, &self.clients);
            self.history.go_on(self.clock, world.now_ms(), |session| world.is_blocked(clients[session].peer));
            let workers: Vec<usize> = (0..self.world.workers()).filter(|&w| self.world.has_work(w)).collect();
            let mut clients: Vec<usize> = (0..self.clients.len()).filter(|&c| self.may_send(c)).collect();
            if workers.is_empty() && clients.is_empty() {
                // Those who wait are waited for.
                match self.world.next_moment() {
                    Some(moment) if self.clients.iter().any(|c| !c.waiting.is_empty()) => {
                        self.world.now_us = self.world.now_us.max(moment * 1000);
                        continue;
                    }
                    _ => return self.is_over(),
                }
            }
            self.pause.look(self.clock);
            let unpaused = |w: &usize| !self.pause.is_of(*w) && !self.waits[*w];
            let mut awake: Vec<usize> = workers.iter().copied().filter(unpaused).collect();
            if awake.is_empty() && clients.is_empty() {
                awake = workers;
                self.pause.end();
            }
            // Commands are kept for the moments when some turn is published by half.
            if !awake.is_empty() && !self.half_published.contains(&true) && !self.random.one_in(self.patience) {
                clients.clear();
            }
            let choice = self.random.index(awake.len() + clients.len());
            if choice < awake.len() {
                let worker = awake[choice];
                let did = self.world.step(worker, &mut self.random);
                if self.half_published[worker] {
                    self.waits.fill(false);
                }
                self.waits[worker] = did == Did::Waited;
                self.half_published[worker] = did == Did::HalfPublished;
                // Of every length, from some steps to several commands of everybody else.
                self.pause.perhaps(worker, did.pauses_once_in(2, 25), 7, self.clock, &mut self.random);
                self.receive()?;
            } else {
                self.send(clients[choice - awake.len()]);
            }
        }
    }

    fn is_over(&mut self) -> Result<(), String> {
        if let Some(session) = self.clients.iter().position(|c| !c.waiting.is_empty() || !c.script.is_empty()) {
            return Err(format!("session {session} waits for ever"));
        }
        for worker in 0..self.world.workers() {
            let left = self.world.worker(worker).left_over();
            if !left.is_nothing() {
                return Err(format!("worker {worker} rests, but there is {left:?}"));
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        self.run_out()?;
        // A last look, so that what the last writes did is part of the history.
        let (strings, all) = (strings_of(&self.history.names), self.history.names.len());
        let looks = std::iter::once(Command::MGet((0..strings).collect()));
        let looks = looks.chain((all - LISTS..all).map(Command::Range)).collect();
        self.clients[0].script.push_back(vec![Command::Transaction(looks)]);
        self.run_out()?;
        for client in 0..self.clients.len() {
            self.world.hang_up(self.clients[client].peer);
        }
        self.run_out()?;
        if let Some(worker) =
            (0..self.world.workers()).find(|&w| self.world.worker(w).left_over() != LeftOver::default())
        {
            return Err(format!("all are gone, but worker {worker} has {:?}", self.world.worker(worker).left_over()));
        }
        if self.history.is_explained() { Ok(()) } else { Err("no order of the commands explains the replies".into()) }
    }
}

/// What went wrong with a seed, told with the shortest history that was found to go wrong.
fn failure(engine: Engine, seed: u64) -> Option<String> {
    let why = Run::new(engine, seed, COMMANDS).check().err()?;
    let mut shortest = (COMMANDS, seed, why);
    'shorter: for commands in 2..COMMANDS {
        for seed in seed..seed + 200 {
            if let Err(why) = Run::new(engine, seed, commands).check() {
                shortest = (commands, seed, why);
                break 'shorter;
            }
        }
    }
    let (commands, small_seed, why) = shortest;
    let mut run = Run::new(engine, small_seed, commands);
    run.check().expect_err("the same seed goes the same way");
    let workers = run.world.workers();
    let of: Vec<_> = run.clients.iter().map(|c| run.world.peers[c.peer].worker).collect();
    let keys: Vec<_> = run.history.names.iter().map(|k| (k, run.world.hasher.place(k.as_bytes(), workers))).collect();
    Some(format!(
        "seed {seed} fails; shortest found: seed {small_seed} with {commands} commands: {why}\n{}  workers of the \
         sessions {of:?}, shards of the keys {keys:?}",
        run.history
    ))
}

/// The first seed that fails, of `count` seeds beginning with `first`, on all cores; and what went wrong. Counts the histories in
/// which all kinds of requests meet.
fn first_failure(engine: Engine, first: u64, count: u64, mixed: &AtomicU64) -> Option<(u64, String)> {
    let next = AtomicU64::new(first);
    let failed = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let found = std::thread::scope(|scope| {
        let one = || {
            let mut found = None;
            while !failed.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    break;
                }
                let mut run = Run::new(engine, seed, COMMANDS);
                let is_right = run.check().is_ok();
                mixed.fetch_add(run.history.mixes_all().into(), Ordering::Relaxed);
                if !is_right {
                    failed.store(true, Ordering::Relaxed);
                    found = Some(seed);
                }
            }
            found
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(one)).collect();
        threads.into_iter().filter_map(|t| t.join().expect("a run does not panic")).min()
    });
    found.map(|seed| (seed, failure(engine, seed).expect("the same seed goes the same way")))
}

/// Seeds of the normal run.
const SEEDS: u64 = 4_000;

#[test]
fn every_history_is_strictly_serializable_and_in_the_order_of_its_sessions() {
    let first = number("KV_SIM_FIRST", 0);
    let (count, mixed) = (number("KV_SIM_SEEDS", SEEDS), AtomicU64::new(0));
    if let Some((_, text)) = first_failure(WHOLE, first, count, &mixed) {
        panic!("{text}");
    }
    let mixed = mixed.into_inner();
    println!("{count} histories; transactions, watches, scripts and who waits met in {mixed}");
    assert!(mixed >= count / 50, "they hardly ever meet");
}

/// A broken engine must be caught by the seeds of the normal run.
fn is_caught(what: &str, engine: Engine) {
    let (seed, text) = first_failure(engine, 0, SEEDS, &AtomicU64::new(0))
        .unwrap_or_else(|| panic!("{what}: not noticed in {SEEDS} seeds"));
    println!("{what}: caught at seed {seed}\n{text}");
}

#[test]
fn running_local_commands_before_the_mailbox_is_caught() {
    is_caught("local commands first", Engine { order: Order::LocalFirst, ..WHOLE });
}

#[test]
fn publishing_without_the_lock_is_caught() {
    is_caught("no lock", Engine { faults: Faults { no_lock: true, ..WHOLE.faults }, ..WHOLE });
}

#[test]
fn running_mail_of_a_turn_that_is_not_published_everywhere_is_caught() {
    is_caught("no flag", Engine { faults: Faults { no_published_flag: true, ..WHOLE.faults }, ..WHOLE });
}

#[test]
fn running_a_connections_commands_out_of_order_is_caught() {
    is_caught("no order", Engine { faults: Faults { no_connection_order: true, ..WHOLE.faults }, ..WHOLE });
}

#[test]
fn a_transaction_that_runs_shard_by_shard_is_caught() {
    is_caught("pieces", Engine { faults: Faults { transaction_in_pieces: true, ..WHOLE.faults }, ..WHOLE });
}

#[test]
fn a_watch_that_is_not_looked_at_on_one_shard_is_caught() {
    is_caught("no look", Engine { faults: Faults { watch_unchecked: true, ..WHOLE.faults }, ..WHOLE });
}

#[test]
fn an_element_that_is_taken_for_a_client_before_the_right_to_answer_it_is_caught() {
    is_caught("claims late", Engine { faults: Faults { claims_late: true, ..WHOLE.faults }, ..WHOLE });
}

#[test]
fn a_wake_up_that_is_lost_is_caught() {
    is_caught("no wake-up", Engine { faults: Faults { no_wake_up: true, ..WHOLE.faults }, ..WHOLE });
}

#[test]
fn serving_the_last_who_came_is_caught() {
    is_caught("last first", Engine { faults: Faults { last_first: true, ..WHOLE.faults }, ..WHOLE });
}

#[test]
fn keeping_what_a_script_did_before_it_was_run_anew_is_caught() {
    is_caught("twice", Engine { faults: Faults { script_not_taken_back: true, ..WHOLE.faults }, ..WHOLE });
}
