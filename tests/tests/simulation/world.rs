//! Workers, each in some step of its turn, and connections whose two ends are byte buffers.
//!
//! Who may do what when is the caller's choice: [`World::step`] takes one worker one step on, [`World::feed`] lets bytes
//! arrive. The order of the steps within a turn is the one `io` keeps, or a broken one.

use crate::command::{LIBRARY, RUN};
use crossbeam_channel::Receiver;
use kv_core::store::{Garbage, KeyHasher, Libraries, Shard};
use kv_core::structs::random::Random;
use kv_core::types::Library;
use kv_core::types::library::{Function, FunctionFlags};
use kv_server::config::Config;
use kv_server::engine::durability::testing::TestDisk;
use kv_server::engine::durability::{
    Keeper, KeeperSetup, Link, Loaded, Marker, Observer, Saver, SaverSetup, Status, ToKeeper, ToSaver,
};
use kv_server::engine::host::{Process, ShutDown, System};
use kv_server::engine::mail::Mail;
use kv_server::engine::net::NeverAsleep;
use kv_server::engine::worker::Rest;
use kv_server::engine::{ConnId, Faults, Net, Publish, Session, Setup, Wake, Worker};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A machine without files or a process of its own.
#[derive(Default)]
struct NoMachine {
    looked_ns: AtomicU64,
}

impl System for NoMachine {
    fn process(&self) -> Process {
        Process::default()
    }
    fn ns(&self) -> u64 {
        // Looking at the clock is what takes time.
        self.looked_ns.fetch_add(15_000_000, Relaxed)
    }
    fn config_file(&self) -> Option<PathBuf> {
        None
    }
    fn read_config(&self) -> io::Result<String> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn read_file(&self, _: &str) -> io::Result<String> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn write_config(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn shut_down(&self, _: ShutDown) {}
    fn options_changed(&self, _: &Config) {}
    fn log(&self, _: &str) {}
}

/// The order of a turn's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    AsDesigned,
    /// Broken: local commands run before the mailbox is looked at.
    LocalFirst,
}

/// What is the worker's next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Between two turns: bytes may arrive.
    Between,
    Mail,
    Clock,
    Run,
    Local,
    Publish,
    Duties,
    Flush,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// Something.
    Work,
    /// A part of the turn's batches is out, another is not.
    HalfPublished,
    /// Nothing: another worker has to go on first.
    Waited,
    /// The last step of its turn.
    TurnOver,
}

struct Station {
    worker: Worker,
    stage: Stage,
    /// Bytes arrived, or a connection came or went, since the last turn.
    stirred: bool,
    dirty: Vec<ConnId>,
    garbage: Vec<Garbage>,
    /// Which peer is at the other end of a connection.
    peers: Vec<Option<PeerId>>,
}

pub type PeerId = usize;

/// The client's end of a connection.
pub struct Peer {
    pub worker: usize,
    /// As CLIENT ID tells it.
    pub number: u64,
    /// None once either side has closed.
    conn: Option<ConnId>,
    /// Bytes that have arrived and were not taken yet.
    pub received: Vec<u8>,
    /// It reads nothing, and its socket is full.
    pub is_stuck: bool,
}

impl Peer {
    pub fn is_open(&self) -> bool {
        self.conn.is_some()
    }
}

/// Keeper and saver, and what they have not been told yet.
struct Keeping {
    keeper: Keeper,
    inbox: Receiver<ToKeeper>,
    /// It was told something since it worked last.
    is_told: bool,
    next: Option<u64>,
    /// How often it has wanted to be called again at once.
    hurries: u32,
    saver: Saver,
    pieces: Receiver<ToSaver>,
}

/// What a world that keeps its data begins with.
pub struct Data {
    pub disk: TestDisk,
    pub config: Config,
    pub loaded: Loaded,
    pub shards: Vec<Box<Shard>>,
    pub observer: Observer,
    pub now_us: u64,
}

pub struct World {
    stations: Vec<Station>,
    keeping: Option<Keeping>,
    pub link: Link,
    pub peers: Vec<Peer>,
    pub hasher: Arc<KeyHasher>,
    pub now_us: u64,
    order: Order,
    net: Arc<Net>,
}

/// Some moment in 2023.
pub const BEGINNING_US: u64 = 1_700_000_000_000_000;

impl World {
    /// A world that keeps nothing.
    pub fn new(workers: usize, order: Order, faults: Faults, random: &mut Random) -> World {
        let config = Config { databases: 1, ..Config::default() };
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&random.next_u64().to_le_bytes());
        let hasher = Arc::new(KeyHasher::new(seed));
        let run =
            |name: &str| Function { name: name.as_bytes().into(), description: None, flags: FunctionFlags::default() };
        let library = Library::new(b"runs", LIBRARY.as_bytes(), RUN.map(run).to_vec()).expect("a library");
        let mut libraries = Libraries::default();
        libraries.add(Arc::new(library), false).expect("the only one");
        let libraries = Arc::new(libraries);
        let shard = |id| {
            let mut shard = Shard::new(id, config.databases as usize, hasher.clone(), random.next_u64());
            shard.libraries = libraries.clone();
            Box::new(shard)
        };
        let shards = (0..workers).map(shard).collect();
        let (net, mailboxes) = net(workers, &config, faults);
        World::of(order, net, mailboxes, Link::to_nobody(), shards, &config, Marker::NEVER, BEGINNING_US, random)
    }

    /// A world that keeps its data on a disk.
    pub fn keeping(data: Data, faults: Faults, random: &mut Random) -> World {
        let Data { disk, config, loaded, shards, observer, now_us } = data;
        let (net, mailboxes) = net(shards.len(), &config, faults);
        let status = Arc::new(Status::default());
        let (mut link, inboxes) = Link::new(status.clone());
        link.observer = Some(observer);
        let last = loaded.marker(&config);
        let saver = SaverSetup {
            disk: Arc::new(disk.clone()),
            net: net.clone(),
            status: status.clone(),
            keeper: link.keeper().clone(),
        };
        let keeper = KeeperSetup {
            disk: Arc::new(disk),
            net: net.clone(),
            status,
            saver: link.saver().clone(),
            config: Box::new(config.clone()),
            loaded,
            seed: random.next_u64(),
            report: Box::new(|_| {}),
            now: now_us / 1000,
        };
        let keeping = Keeping {
            keeper: Keeper::new(keeper),
            inbox: inboxes.keeper,
            is_told: true,
            next: None,
            hurries: 0,
            saver: Saver::new(saver),
            pieces: inboxes.saver,
        };
        let order = Order::AsDesigned;
        let mut world = World::of(order, net, mailboxes, link, shards, &config, last, now_us, random);
        world.keeping = Some(keeping);
        world
    }

    #[allow(clippy::too_many_arguments)] // both kinds of worlds are made of these
    fn of(
        order: Order,
        net: Arc<Net>,
        mailboxes: Vec<Receiver<Mail>>,
        link: Link,
        shards: Vec<Box<Shard>>,
        config: &Config,
        last: Marker,
        now_us: u64,
        random: &mut Random,
    ) -> World {
        let hasher = shards[0].hasher.clone();
        let system: Arc<dyn System> = Arc::new(NoMachine::default());
        let stations = mailboxes
            .into_iter()
            .zip(shards)
            .map(|(mailbox, shard)| Station {
                worker: Worker::new(Setup {
                    net: net.clone(),
                    mailbox,
                    shard,
                    config: config.clone(),
                    system: system.clone(),
                    link: link.clone(),
                    last,
                    seed: random.next_u64(),
                    now_us,
                }),
                stage: Stage::Between,
                stirred: false,
                dirty: Vec::new(),
                garbage: Vec::new(),
                peers: Vec::new(),
            })
            .collect();
        World { stations, keeping: None, link, peers: Vec::new(), hasher, now_us, order, net }
    }

    /// Whether the keeper has something to do.
    pub fn keeper_has_work(&self) -> bool {
        let now = self.now_ms();
        self.keeping
            .as_ref()
            .is_some_and(|k| k.is_told || !k.inbox.is_empty() || k.next.is_some_and(|moment| moment <= now))
    }

    /// The keeper takes a message, or works.
    pub fn step_keeper(&mut self, random: &mut Random) {
        let now = self.now_ms();
        let k = self.keeping.as_mut().expect("the world keeps its data");
        match if k.is_told && random.one_in(3) { None } else { k.inbox.try_recv().ok() } {
            Some(message) => {
                k.is_told = true;
                k.keeper.handle(message, now);
            }
            None => {
                k.is_told = false;
                k.next = k.keeper.work(now);
                k.hurries = if k.next.is_some_and(|next| next <= now) { k.hurries + 1 } else { 0 };
                assert!(k.hurries < 3, "the keeper wants to be called all the time");
            }
        }
    }

    pub fn saver_has_work(&self) -> bool {
        self.keeping.as_ref().is_some_and(|k| !k.pieces.is_empty())
    }

    /// The saver takes a message.
    pub fn step_saver(&mut self) {
        let k = self.keeping.as_mut().expect("the world keeps its data");
        if let Ok(message) = k.pieces.try_recv() {
            k.saver.handle(message);
        }
    }

    pub fn workers(&self) -> usize {
        self.stations.len()
    }

    pub fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    pub fn worker(&self, worker: usize) -> &Worker {
        &self.stations[worker].worker
    }

    /// Keys in the shards, as of the last turn of each worker.
    pub fn keys(&self) -> u64 {
        (0..self.workers()).map(|w| self.net.stats(w).database(0).0).sum()
    }

    /// A new connection. Only between two turns of the worker.
    pub fn connect(&mut self, worker: usize) -> PeerId {
        assert!(self.is_between_turns(worker));
        let station = &mut self.stations[worker];
        let id = self.peers.len();
        let number = self.net.next_client(worker);
        let session = Session::new(number, format!("peer:{id}"), "here:1".into(), self.now_us / 1000, true);
        let conn = station.worker.connect(session);
        if station.peers.len() <= conn as usize {
            station.peers.resize(conn as usize + 1, None);
        }
        station.peers[conn as usize] = Some(id);
        self.peers.push(Peer { worker, number, conn: Some(conn), received: Vec::new(), is_stuck: false });
        id
    }

    pub fn is_between_turns(&self, worker: usize) -> bool {
        self.stations[worker].stage == Stage::Between
    }

    /// Whether the worker reads from this connection now.
    pub fn may_feed(&mut self, peer: PeerId) -> bool {
        let Peer { worker, conn, .. } = self.peers[peer];
        self.is_between_turns(worker) && conn.is_some_and(|conn| self.stations[worker].worker.wants_input(conn))
    }

    /// Whether its request waits for keys.
    pub fn is_blocked(&self, peer: PeerId) -> bool {
        let Peer { worker, conn, .. } = self.peers[peer];
        conn.is_some_and(|conn| self.stations[worker].worker.is_blocked(conn))
    }

    /// Lets the first of these bytes arrive in one read; says how many.
    pub fn feed(&mut self, peer: PeerId, bytes: &[u8]) -> usize {
        assert!(self.may_feed(peer));
        let conn = self.peers[peer].conn.expect("just seen");
        let station = &mut self.stations[self.peers[peer].worker];
        let space = station.worker.input_space(conn);
        let n = bytes.len().min(space.len());
        space[..n].copy_from_slice(&bytes[..n]);
        station.worker.received(conn, n);
        station.stirred = true;
        n
    }

    /// The client closes its sending side. Only between two turns of the worker.
    pub fn end_input(&mut self, peer: PeerId) {
        assert!(self.is_between_turns(self.peers[peer].worker));
        let Some(conn) = self.peers[peer].conn else { return };
        let station = &mut self.stations[self.peers[peer].worker];
        station.worker.end_of_input(conn);
        station.stirred = true;
    }

    /// The client is gone from one moment to the next. Only between two turns of the worker.
    pub fn hang_up(&mut self, peer: PeerId) {
        assert!(self.is_between_turns(self.peers[peer].worker));
        let Some(conn) = self.peers[peer].conn.take() else { return };
        let station = &mut self.stations[self.peers[peer].worker];
        station.peers[conn as usize] = None;
        station.worker.disconnected(conn);
        station.stirred = true;
    }

    /// Whether a turn is under way, or there is something to begin one for.
    pub fn has_work(&self, worker: usize) -> bool {
        let station = &self.stations[worker];
        // What runs alone does so between the turns of the first worker.
        worker == 0 && !self.net.scripts.jobs().is_empty()
            || station.stage != Stage::Between
            || station.stirred
            || match station.worker.rest() {
                Rest::None | Rest::Yield => true,
                Rest::Until(moment) => moment <= self.now_us / 1000,
                Rest::Forever => false,
            }
    }

    /// The next moment at which some worker wants to do something by itself.
    pub fn next_moment(&self) -> Option<u64> {
        let moments = self.stations.iter().filter_map(|s| match s.worker.rest() {
            Rest::Until(moment) => Some(moment),
            Rest::None | Rest::Yield | Rest::Forever => None,
        });
        moments.chain(self.keeping.as_ref().and_then(|k| k.next)).min()
    }

    /// One step of a worker's turn.
    pub fn step(&mut self, worker: usize, random: &mut Random) -> Did {
        let now_us = self.now_us;
        let local_first = self.order == Order::LocalFirst;
        let id = worker;
        let Station { worker, stage, stirred, dirty, garbage, .. } = &mut self.stations[id];
        match *stage {
            Stage::Between => {
                if id == 0
                    && random.one_in(3)
                    && let Ok(job) = self.net.scripts.jobs().try_recv()
                {
                    job.run();
                }
                *stirred = false;
                worker.decode();
                *stage = if local_first { Stage::Local } else { Stage::Mail };
                Did::Work
            }
            Stage::Mail => {
                worker.take_mail();
                *stage = Stage::Clock;
                Did::Work
            }
            Stage::Clock => {
                worker.set_time(now_us);
                *stage = Stage::Run;
                Did::Work
            }
            Stage::Run => {
                if !worker.run_mail() {
                    *stage = if local_first { Stage::Publish } else { Stage::Local };
                }
                Did::Work
            }
            Stage::Local => {
                worker.run_local();
                *stage = if local_first { Stage::Mail } else { Stage::Publish };
                Did::Work
            }
            Stage::Publish => match worker.publish() {
                Publish::More => Did::HalfPublished,
                Publish::Blocked => Did::Waited,
                // As the event loop does.
                Publish::Done if worker.has_published_marker() => {
                    *stage = if local_first { Stage::Local } else { Stage::Mail };
                    Did::Work
                }
                Publish::Done => {
                    *stage = Stage::Duties;
                    Did::Work
                }
            },
            Stage::Duties => {
                worker.duties(garbage);
                garbage.clear();
                worker.take_dirty(dirty);
                *stage = Stage::Flush;
                Did::Work
            }
            Stage::Flush => self.flush_next(id, random),
        }
    }

    /// Sends what one connection has to send, in pieces; closes it when the engine says so.
    fn flush_next(&mut self, worker: usize, random: &mut Random) -> Did {
        let station = &mut self.stations[worker];
        let Some(conn) = station.dirty.pop() else {
            station.stage = Stage::Between;
            return Did::TurnOver;
        };
        if let Some(peer) = station.peers[conn as usize] {
            self.flush(peer, random);
        }
        Did::Work
    }

    /// The client reads again. Only between two turns of the worker.
    pub fn unstick(&mut self, peer: PeerId, random: &mut Random) {
        assert!(self.is_between_turns(self.peers[peer].worker));
        self.peers[peer].is_stuck = false;
        self.flush(peer, random);
    }

    fn flush(&mut self, peer: PeerId, random: &mut Random) {
        let Some(conn) = self.peers[peer].conn else { return };
        let station = &mut self.stations[self.peers[peer].worker];
        while !self.peers[peer].is_stuck && !station.worker.should_close(conn) {
            let output = station.worker.output(conn);
            if output.is_empty() {
                break;
            }
            let n = 1 + random.index(output.len());
            self.peers[peer].received.extend_from_slice(&output[..n]);
            station.worker.sent(conn, n);
        }
        if station.worker.should_close(conn) {
            station.peers[conn as usize] = None;
            self.peers[peer].conn = None;
            station.worker.disconnected(conn);
            station.stirred = true;
        }
    }
}

/// What workers share, with the mailbox of each.
fn net(workers: usize, config: &Config, faults: Faults) -> (Arc<Net>, Vec<Receiver<Mail>>) {
    let wakers = (0..workers).map(|_| Box::new(NeverAsleep) as Box<dyn Wake>).collect();
    Net::with_faults(wakers, config.databases as usize, faults)
}
