//! A bank on the real process: transfers and looks of all kinds (`kv_tests::bank`) by several clients at once, and servers that are
//! killed in the middle of it. Whoever looks finds the same sum.
//!
//! `KV_BANK_DEEDS=100000` for more than in the normal run, `KV_TESTS_SEED=77` for others.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use kv_core::families::testing::show;
use kv_core::resp::client::{Value, encode_request};
use kv_core::structs::random::Random;
use kv_tests::bank::{Bank, Deed, Words, sum_of};
use kv_tests::client::Client;
use kv_tests::process::{Server, wait_until};
use kv_tests::requests::setting;

const CLIENTS: u64 = 4;
/// What all clients do together in the normal run.
const DEEDS: u64 = 2000;

/// One of several clients.
struct Teller<'a> {
    client: Client,
    random: Random,
    bank: Bank,
    done: &'a AtomicUsize,
}

impl Teller<'_> {
    /// The last answer; none: the connection has ended.
    fn ask(&mut self, requests: &[Words]) -> Option<Value> {
        let mut bytes = Vec::new();
        requests.iter().for_each(|words| encode_request(&mut bytes, words));
        self.client.try_send_bytes(&bytes).ok()?;
        let mut last = None;
        for _ in requests {
            let answer = self.client.try_receive()?;
            assert!(!answer.is_error(), "{}", show(&answer));
            last = Some(answer);
        }
        last
    }

    fn act(&mut self) -> Option<()> {
        match self.bank.deed(&mut self.random) {
            Deed::Transfer(requests) => _ = self.ask(&requests)?,
            Deed::Look(requests) => {
                let answer = self.ask(&requests)?;
                assert_eq!(sum_of(&answer), Some(Bank::SUM), "a look finds {}", show(&answer));
            }
            Deed::Watch(requests, two) => {
                let balances = self.ask(&requests)?;
                let requests = self.bank.exchange(two, &balances, &mut self.random).expect("two balances");
                self.ask(&requests)?;
            }
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    /// Until all is over, or the server is gone.
    fn work(mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) && self.act().is_some() {}
    }
}

/// Lets clients work until they have done so much; then `end` is called, and all come back.
fn open_hours(address: SocketAddr, seed: u64, deeds: u64, end: impl FnOnce()) {
    let (done, is_over) = (&AtomicUsize::new(0), &AtomicBool::new(false));
    thread::scope(|scope| {
        let tellers: Vec<_> = (0..CLIENTS)
            .map(|at| {
                let client = Client::tcp(address).expect("the server accepts connections");
                let random = Random::new(seed.wrapping_mul(CLIENTS).wrapping_add(at));
                scope.spawn(move || Teller { client, random, bank: Bank::new(), done }.work(is_over))
            })
            .collect();
        wait_until("the clients have done their part", || {
            done.load(Ordering::Relaxed) >= deeds as usize || tellers.iter().any(|teller| teller.is_finished())
        });
        end();
        is_over.store(true, Ordering::Relaxed);
    });
}

fn sum(server: &Server) -> Option<i64> {
    sum_of(&server.client().ask(&Bank::new().balances()))
}

#[test]
fn whoever_looks_at_a_bank_finds_the_same_sum() {
    let seed = setting("KV_TESTS_SEED", 1);
    println!("seed {seed}");
    for shards in ["1", "4"] {
        let server = Server::start(&["--shards", shards]);
        server.client().ask(&Bank::new().open());
        open_hours(server.address(), seed, setting("KV_BANK_DEEDS", DEEDS) / 2, || {});
        assert_eq!(sum(&server), Some(Bank::SUM), "{shards} shards");
    }
}

#[test]
fn after_a_crash_a_bank_has_the_same_sum() {
    let seed = setting("KV_TESTS_SEED", 1);
    println!("seed {seed}");
    for fsync in ["always", "everysec"] {
        let mut server = Server::start(&["--shards", "4", "--appendonly", "yes", "--appendfsync", fsync]);
        for (life, shards) in ["2", "4", "3"].into_iter().enumerate() {
            server.client().ask(&Bank::new().open());
            let address = server.address();
            let mut folder = None;
            let deeds = setting("KV_BANK_DEEDS", DEEDS) / 12;
            open_hours(address, seed + life as u64, deeds, || folder = Some(server.kill()));
            let options = ["--shards", shards, "--appendonly", "yes", "--appendfsync", fsync];
            server = Server::start_in(folder.expect("it was killed"), &[] as &[&str], &options);
            let mut client = server.client();
            wait_until("the data is loaded", || !client.ask(&Bank::new().balances()).is_error());
            let found = sum(&server);
            // What is synced every second may have lost all that there was, but no part of a transfer.
            let is_lost = fsync == "everysec" && found == Some(0);
            assert!(found == Some(Bank::SUM) || is_lost, "{fsync}, life {life}: {found:?}");
        }
    }
}
