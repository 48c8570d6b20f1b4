//! The machine around the engine: event loops, sockets, signals, the clock, threads, files.
//!
//! ```text
//! main thread     listeners and signals: accepts a connection, gives it to the worker with the fewest; the end of the server
//! shard-0 ..      one event loop each: sockets <-> engine::Worker
//! keeper          loads the data at the start (with threads loader-0 ..), then runs the engine's Keeper: the log, the manifest
//! saver           runs the engine's Saver: snapshots
//! scripts         runs scripts that take long (engine::script::Job)
//! reclaimer       frees what would take too long on a worker: huge values, flushed databases
//! memory          makes huge pages before they are needed
//! ```

mod acceptor;
mod check;
mod clock;
mod data;
mod disk;
mod event_loop;
mod huge;
mod machine;
mod socket;
mod stop;

use crate::config::{Config, StartError};
use crate::engine::durability::{Link, Marker};
use crate::engine::{Net, Setup, Wake, Worker};
use acceptor::Acceptor;
pub use check::check_data;
use clock::Clock;
use crossbeam_channel::{Receiver, Sender, unbounded};
use data::Data;
use event_loop::EventLoop;
use kv_core::store::{Garbage, Shard};
use machine::Machine;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use stop::{Ending, Stop};

/// What the threads share besides the engine's net.
struct Shared {
    net: Arc<Net>,
    /// That this process may use.
    cores: usize,
    clock: Clock,
    stop: Stop,
    /// `maxclients`.
    connections_max: AtomicUsize,
    /// Only local peers are let in: `protected-mode` and no password.
    protected: AtomicBool,
    /// `tcp-keepalive`, seconds.
    keepalive: AtomicUsize,
    password_set: AtomicBool,
    /// There are save points.
    saves_by_itself: AtomicBool,
}

/// How long a thread on which output waits that waits itself looks for something to do before it sleeps. A fast disk syncs in
/// about 200 us, and to wake a thread of a virtual machine takes 50: without this every group of writes pays for it three
/// times, and each request that comes during a sync once.
const LOOK_US: u64 = 100;

impl Shared {
    /// Stays awake for [`LOOK_US`] or until there is something to do, if no worker needs the core; whether there is.
    fn look_around(&self, mut is_there: impl FnMut() -> bool) -> bool {
        if self.net.awake() >= self.cores {
            return false;
        }
        let until = self.clock.now_us() + LOOK_US;
        loop {
            if is_there() {
                return true;
            }
            if self.clock.now_us() >= until {
                return false;
            }
            thread::yield_now();
        }
    }

    fn options_changed(&self, config: &Config) {
        self.connections_max.store(config.maxclients as usize, Ordering::Relaxed);
        self.password_set.store(config.requirepass.is_set(), Ordering::Relaxed);
        self.protected.store(config.protected_mode && !config.requirepass.is_set(), Ordering::Relaxed);
        self.keepalive.store(config.tcp_keepalive as usize, Ordering::Relaxed);
        self.saves_by_itself.store(!config.save.0.is_empty(), Ordering::Relaxed);
    }

    fn saves_by_itself(&self) -> bool {
        self.saves_by_itself.load(Ordering::Relaxed)
    }

    fn wake_workers(&self) {
        (0..self.net.workers()).for_each(|worker| self.net.wake(worker));
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_us() / 1000
    }
}

struct MioWaker(mio::Waker);

impl Wake for MioWaker {
    fn wake(&self) {
        // The only failure is a full counter, and then the worker is awake.
        let _ = self.0.wake();
    }
}

/// A server that listens and has not begun to serve.
pub struct Server {
    acceptor: Acceptor,
    loops: Vec<EventLoop>,
    shared: Arc<Shared>,
    link: Link,
    data: Data,
    garbage: Receiver<Vec<Garbage>>,
    line: String,
}

impl Server {
    /// Binds the addresses and makes the workers. Errors: an address in use or not permitted, a folder that cannot be
    /// used or is in use, no random numbers; each with the option's name.
    pub fn bind(mut config: Config, config_file: Option<PathBuf>) -> Result<Server, StartError> {
        let cores = thread::available_parallelism().map_or(1, |n| n.get());
        let shards = config.shard_count(cores);
        let failed = |error: io::Error| StartError::other(format!("an event loop could not be made: {error}"));
        machine::check_folder(&config.dir)?;
        config.dir = machine::absolute_folder(&config.dir);
        machine::raise_file_limit(config.maxclients);
        let clock = Clock::new();
        let main_poll = mio::Poll::new().map_err(failed)?;
        let stop = Stop::new(mio::Waker::new(main_poll.registry(), acceptor::STOP).map_err(failed)?);

        let mut polls = Vec::new();
        let mut wakers: Vec<Box<dyn Wake>> = Vec::new();
        for _ in 0..shards {
            let poll = mio::Poll::new().map_err(failed)?;
            let waker = mio::Waker::new(poll.registry(), event_loop::WAKE).map_err(failed)?;
            polls.push(poll);
            wakers.push(Box::new(MioWaker(waker)));
        }
        let (net, mailboxes) = Net::new(wakers, config.databases as usize);
        let shared = Arc::new(Shared {
            net: net.clone(),
            cores,
            clock,
            stop,
            connections_max: AtomicUsize::new(0),
            protected: AtomicBool::new(true),
            keepalive: AtomicUsize::new(0),
            password_set: AtomicBool::new(false),
            saves_by_itself: AtomicBool::new(false),
        });
        shared.options_changed(&config);

        let mut senders = Vec::new();
        let mut receivers = Vec::new();
        for _ in 0..shards {
            let (sender, receiver) = unbounded();
            senders.push(sender);
            receivers.push(receiver);
        }
        let acceptor = Acceptor::bind(&config, main_poll, shared.clone(), senders)?;
        let port = acceptor.port().unwrap_or(0);
        let machine = Arc::new(Machine::new(shared.clone(), port, config_file)?);
        // Only now: who cannot listen changes nothing in the folder.
        let (data, link) = Data::open(&config, shards, shared.now_ms())?;
        let hasher = data.hasher();
        let (trash, garbage): (Sender<Vec<Garbage>>, _) = unbounded();
        let mut loops = Vec::new();
        for (id, ((poll, mailbox), incoming)) in polls.into_iter().zip(mailboxes).zip(receivers).enumerate() {
            let seed = u64::from_le_bytes(machine::random_bytes()?);
            let now_us = shared.clock.now_us();
            let system = machine.clone();
            // Until what was kept is loaded.
            let shard = Box::new(Shard::new(id, config.databases as usize, hasher.clone(), seed));
            let worker = Worker::new(Setup {
                net: net.clone(),
                mailbox,
                shard,
                config: config.clone(),
                system,
                link: link.clone(),
                last: Marker::NEVER,
                seed,
                now_us,
            });
            loops.push(EventLoop::new(worker, poll, incoming, shared.clone(), trash.clone()));
        }
        let line = format!(
            "kv-server {} is ready on {} (shards: {shards}, data folder: {})",
            env!("CARGO_PKG_VERSION"),
            acceptor.addresses().join(", "),
            config.dir.display(),
        );
        Ok(Server { acceptor, loops, shared, link, data, garbage, line })
    }

    /// The TCP port in use if it listens on TCP.
    pub fn port(&self) -> Option<u16> {
        self.acceptor.port()
    }

    /// Loads the data and serves until SIGTERM, SIGINT or SHUTDOWN. `ready` gets a line to print when everything is loaded.
    ///
    /// Errors: the data cannot be loaded; a thread cannot be started.
    pub fn run(self, ready: impl FnOnce(&str) + Send + 'static) -> Result<(), StartError> {
        let failed = |error: io::Error| StartError::other(format!("a thread could not be started: {error}"));
        let Server { mut acceptor, loops, shared, link, data, garbage, line } = self;
        huge::start().map_err(failed)?;
        let reclaimer = thread::Builder::new().name("reclaimer".into()).spawn(move || {
            for trash in garbage {
                drop(trash);
            }
        });
        let scripts = {
            let jobs = shared.net.scripts.jobs();
            thread::Builder::new().name("scripts".into()).spawn(move || {
                jobs.iter().for_each(|job| job.run());
            })
        };
        let mut threads = Vec::new();
        for event_loop in loops {
            let name = format!("shard-{}", threads.len());
            threads.push(thread::Builder::new().name(name).spawn(move || event_loop.run()).map_err(failed)?);
        }
        let outcome = data.keep(shared.clone(), &link, move || ready(&line)).map_err(failed)?;
        let served = acceptor.run(&mut Ending::new(shared.clone(), link));
        if let Err(error) = served {
            return Err(StartError::other(format!("the server cannot wait for connections: {error}")));
        }
        for thread in threads {
            // A worker that panicked has ended the process already.
            let _ = thread.join();
        }
        // What waits to be freed goes with the process.
        drop(reclaimer.map_err(failed)?);
        drop(scripts.map_err(failed)?);
        outcome.try_recv().map_or(Ok(()), Err)
    }
}
