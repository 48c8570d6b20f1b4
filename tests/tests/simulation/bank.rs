//! A bank on up to four workers: transfers by transactions, with watches, by scripts that declare their accounts or do not, looks by
//! MGET, transactions and scripts. Every look finds the same sum.

use crate::number;
use crate::outbox::Outbox;
use crate::scheduler::{Next, Scheduler};
use crate::world::{Order, PeerId, World};
use kv_core::resp::client::{ReplyDecoder, Value};
use kv_core::structs::random::Random;
use kv_server::engine::Faults;
use kv_tests::bank::{Bank, Deed, Words, sum_of};
use std::collections::VecDeque;

/// Deeds of a run.
const DEEDS: usize = 60;
const STEPS_MAX: u64 = 400_000;
/// Seeds of a normal run.
const SEEDS: u64 = 1500;

/// What a reply is about.
enum Asked {
    Nothing,
    Sum,
    Balances([usize; 2]),
    /// EXEC after a watch: carried out or not.
    Exchange,
}

struct Client {
    peer: PeerId,
    decoder: ReplyDecoder,
    outbox: Outbox,
    asked: VecDeque<Asked>,
    /// What it watched, and they held.
    watched: Option<([usize; 2], Value)>,
}

impl Client {
    /// Requests, whose last answer is about something.
    fn ask(&mut self, requests: Vec<Words>, last: Asked) {
        let others = requests.len() - 1;
        requests.iter().for_each(|words| self.outbox.push(words));
        self.asked.extend((0..others).map(|_| Asked::Nothing));
        self.asked.push_back(last);
    }

    fn act(&mut self, bank: &Bank, random: &mut Random) {
        if let Some((two, balances)) = self.watched.take()
            && let Some(requests) = bank.exchange(two, &balances, random)
        {
            return self.ask(requests, Asked::Exchange);
        }
        match bank.deed(random) {
            Deed::Transfer(requests) => self.ask(requests, Asked::Nothing),
            Deed::Look(requests) => self.ask(requests, Asked::Sum),
            Deed::Watch(requests, two) => self.ask(requests, Asked::Balances(two)),
        }
    }

    fn take(&mut self, value: Value, seen: &mut Seen) -> Result<(), String> {
        let asked = self.asked.pop_front().ok_or("a reply that nobody waits for")?;
        match (asked, value) {
            (_, Value::Error(error)) => return Err(String::from_utf8_lossy(&error).into_owned()),
            (Asked::Nothing, _) => {}
            (Asked::Sum, value) => {
                seen.looks += 1;
                let sum = sum_of(&value);
                if sum != Some(Bank::SUM) {
                    return Err(format!("a look finds {sum:?}: {value:?}"));
                }
            }
            (Asked::Balances(two), value) => self.watched = Some((two, value)),
            (Asked::Exchange, Value::NilArray) => seen.touched += 1,
            (Asked::Exchange, _) => seen.exchanged += 1,
        }
        Ok(())
    }
}

/// What a run has come to.
#[derive(Default)]
struct Seen {
    looks: usize,
    exchanged: usize,
    touched: usize,
}

struct Run {
    world: World,
    random: Random,
    bank: Bank,
    clients: Vec<Client>,
    left: usize,
    scheduler: Scheduler,
    seen: Seen,
}

impl Run {
    fn new(seed: u64, faults: Faults) -> Run {
        let mut random = Random::new(seed);
        let workers = 1 + random.index(4);
        let mut world = World::new(workers, Order::AsDesigned, faults, &mut random);
        let clients = (0..2 + random.index(5)).map(|_| Client {
            peer: world.connect(random.index(workers)),
            decoder: ReplyDecoder::default(),
            outbox: Outbox::default(),
            asked: VecDeque::new(),
            watched: None,
        });
        let clients = clients.collect();
        Run {
            world,
            random,
            bank: Bank::new(),
            clients,
            left: 0,
            scheduler: Scheduler::new(STEPS_MAX),
            seen: Seen::default(),
        }
    }

    fn receive(&mut self) -> Result<(), String> {
        for (at, c) in self.clients.iter_mut().enumerate() {
            c.decoder.feed(&std::mem::take(&mut self.world.peers[c.peer].received));
            while let Some(value) = c.decoder.next_value().map_err(|error| error.to_string())? {
                c.take(value, &mut self.seen).map_err(|error| format!("client {at}: {error}"))?;
            }
        }
        Ok(())
    }

    /// Until all is done and answered.
    fn run_out(&mut self) -> Result<(), String> {
        loop {
            // Whoever has read what it watches waits for it.
            let ready = |c: &Client| {
                !c.outbox.is_empty()
                    || self.left > 0 && c.asked.len() < 12 && !c.asked.iter().any(|a| matches!(a, Asked::Balances(_)))
            };
            let clients: Vec<usize> = (0..self.clients.len())
                .filter(|&at| ready(&self.clients[at]) && self.world.may_feed(self.clients[at].peer))
                .collect();
            let client = match self.scheduler.next(&mut self.world, &mut self.random, &clients)? {
                Next::Over => {
                    return match self.clients.iter().position(|c| !c.asked.is_empty()) {
                        Some(at) => Err(format!("client {at} waits for ever")),
                        None => Ok(()),
                    };
                }
                Next::Worked => {
                    self.receive()?;
                    continue;
                }
                Next::Sends(client) => client,
            };
            let c = &mut self.clients[client];
            if c.outbox.is_empty() {
                self.left -= 1;
                c.act(&self.bank, &mut self.random);
            }
            let n = if self.random.one_in(3) {
                1 + self.random.index(c.outbox.bytes().len())
            } else {
                c.outbox.bytes().len()
            };
            let bytes = c.outbox.bytes()[..n].to_vec();
            let n = self.world.feed(c.peer, &bytes);
            c.outbox.arrived(n);
        }
    }

    fn check(seed: u64, faults: Faults) -> Result<Seen, String> {
        let mut run = Run::new(seed, faults);
        run.clients[0].ask(vec![run.bank.open()], Asked::Nothing);
        run.run_out()?;
        run.left = DEEDS;
        run.run_out()?;
        run.clients[0].ask(vec![run.bank.balances()], Asked::Sum);
        run.run_out()?;
        match (0..run.world.workers()).map(|w| run.world.worker(w).left_over()).find(|left| !left.is_nothing()) {
            Some(left) => Err(format!("all is done, but there is {left:?}")),
            None => Ok(run.seen),
        }
    }
}

#[test]
fn whoever_looks_at_a_bank_finds_the_same_sum() {
    let first = number("KV_SIM_FIRST", 0);
    let mut all = Seen::default();
    for seed in first..first + number("KV_SIM_SEEDS", SEEDS) {
        match Run::check(seed, Faults::default()) {
            Ok(seen) => {
                all.looks += seen.looks;
                all.exchanged += seen.exchanged;
                all.touched += seen.touched;
            }
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    let Seen { looks, exchanged, touched } = all;
    println!("{looks} looks; of exchanges {exchanged} were carried out and {touched} were not");
    assert!(looks > 0 && exchanged > 0 && touched > 0, "the runs come to everything");
}

#[test]
fn a_bank_notices_transfers_that_are_seen_by_half_or_done_twice() {
    let whole = Faults::default();
    for faults in [
        Faults { no_lock: true, ..whole },
        Faults { transaction_in_pieces: true, ..whole },
        Faults { watch_unchecked: true, ..whole },
        Faults { script_not_taken_back: true, ..whole },
    ] {
        let noticed = (0..SEEDS).find_map(|seed| Some((seed, Run::check(seed, faults).err()?)));
        let (seed, why) = noticed.unwrap_or_else(|| panic!("{faults:?}: not noticed"));
        println!("{faults:?}: noticed at seed {seed}: {why}");
    }
}
