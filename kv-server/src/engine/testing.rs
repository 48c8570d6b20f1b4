//! A server without sockets, threads or clock: some workers, stepped in turn until nothing is left to do.

use super::Session;
use super::durability::{Link, LoadedShard, Marker, Status};
use super::host::{Process, ShutDown, System};
use super::mail::Mail;
use super::net::{Net, NeverAsleep, Wake};
use super::worker::{ConnId, Publish, Rest, Setup, Worker};
use crate::config::Config;
use kv_core::families::testing::show;
use kv_core::persist::value::Loaded;
use kv_core::resp::client::{ReplyDecoder, Value};
use kv_core::resp::reply::TEXT_LINE_END;
use kv_core::store::{KeyHasher, Shard};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// The machine, as far as the engine asks: one configuration file in memory, and what was asked for.
#[derive(Default)]
pub struct TestSystem {
    pub file: Mutex<Option<String>>,
    pub shut_down: Mutex<Option<ShutDown>>,
    pub options_changed: Mutex<usize>,
    /// How far the clock of spans goes with each look at it.
    pub look_ns: AtomicU64,
    pub ns: AtomicU64,
    pub logged: Mutex<Vec<String>>,
}

impl System for TestSystem {
    fn process(&self) -> Process {
        Process { id: 1, run_id: "7".repeat(40), started: START_MS, resident_bytes: 1 << 20, ..Process::default() }
    }
    fn ns(&self) -> u64 {
        self.ns.fetch_add(self.look_ns.load(Relaxed), Relaxed)
    }
    fn config_file(&self) -> Option<PathBuf> {
        self.file.lock().unwrap().as_ref().map(|_| PathBuf::from("/etc/kv.conf"))
    }
    fn read_config(&self) -> io::Result<String> {
        self.file.lock().unwrap().clone().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
    fn read_file(&self, _: &str) -> io::Result<String> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
    fn write_config(&self, text: &str) -> io::Result<()> {
        *self.file.lock().unwrap() = Some(text.into());
        Ok(())
    }
    fn shut_down(&self, how: ShutDown) {
        *self.shut_down.lock().unwrap() = Some(how);
    }
    fn options_changed(&self, _: &Config) {
        *self.options_changed.lock().unwrap() += 1;
    }
    fn log(&self, text: &str) {
        self.logged.lock().unwrap().push(text.into());
    }
}

pub const START_MS: u64 = 1_700_000_000_000;

/// A connection of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    worker: usize,
    conn: ConnId,
    pub id: u64,
}

pub struct TestServer {
    pub status: Arc<Status>,
    pub workers: Vec<Worker>,
    pub net: Arc<Net>,
    pub system: Arc<TestSystem>,
    pub now_us: u64,
    /// Replies not asked for yet, and whether the connection is closed, by client.
    received: Vec<(Client, ReplyDecoder, bool)>,
    /// Clients that do not read what is sent to them.
    pub deaf: Vec<Client>,
    /// A worker that never gets to its duties.
    pub without_duties: Option<usize>,
    /// How many scripts have run alone.
    pub ran_alone: usize,
}

impl TestServer {
    pub fn new(workers: usize) -> TestServer {
        TestServer::with_config(workers, Config::default())
    }

    pub fn with_config(workers: usize, config: Config) -> TestServer {
        TestServer::with_status(workers, config, Arc::default())
    }

    /// A server at its start: see `load` and `end_of_load`.
    pub fn loading(workers: usize) -> TestServer {
        let status = Arc::new(Status::default());
        status.load.begin(START_MS);
        TestServer::with_status(workers, Config::default(), status)
    }

    /// Gives a worker its shard, with those of the keys `0` to `9` that belong there; the value is the key.
    pub fn load(&mut self, worker: usize) {
        let hasher = Arc::new(KeyHasher::new([3; 16]));
        let mut shard = Box::new(Shard::new(worker, 16, hasher, 1));
        for n in 0..10 {
            // Refused when it belongs elsewhere.
            let _ = shard.load(START_MS, self.workers.len(), 0, n.to_string().as_bytes(), None, Loaded::Int(n));
        }
        self.net.send(worker, Mail::Loaded(Box::new(LoadedShard { shard, last: Marker::NEVER })));
        self.work();
    }

    /// A server whose shards are logged, and whose output waits until what it shows is durable. Nobody keeps anything: the test
    /// says by `status.set_durable` what is.
    pub fn holding(workers: usize) -> TestServer {
        let last = Marker { log: true, hold: true, ..Marker::NEVER };
        TestServer::with_marker(workers, Config::default(), Arc::default(), last)
    }

    fn with_status(workers: usize, config: Config, status: Arc<Status>) -> TestServer {
        TestServer::with_marker(workers, config, status, Marker::NEVER)
    }

    fn with_marker(workers: usize, config: Config, status: Arc<Status>, last: Marker) -> TestServer {
        let (link, _) = Link::new(status.clone());
        let wakers = (0..workers).map(|_| Box::new(NeverAsleep) as Box<dyn Wake>).collect();
        let (net, mailboxes) = Net::new(wakers, config.databases as usize);
        let hasher = Arc::new(KeyHasher::new([3; 16]));
        let system = Arc::new(TestSystem::default());
        let now_us = START_MS * 1000;
        let worker = |(id, mailbox)| {
            let shard = Shard::new(id, config.databases as usize, hasher.clone(), id as u64 + 1);
            Worker::new(Setup {
                net: net.clone(),
                mailbox,
                shard: Box::new(shard),
                config: config.clone(),
                system: system.clone(),
                link: link.clone(),
                last,
                seed: id as u64 + 1,
                now_us,
            })
        };
        let workers = mailboxes.into_iter().enumerate().map(worker).collect();
        TestServer {
            status,
            workers,
            net,
            system,
            now_us,
            received: Vec::new(),
            deaf: Vec::new(),
            without_duties: None,
            ran_alone: 0,
        }
    }

    /// A connection at a worker.
    pub fn connect(&mut self, worker: usize) -> Client {
        let id = self.net.next_client(worker);
        let config = self.workers[worker].config();
        let (peer, authenticated) = (format!("127.0.0.1:{}", 50_000 + id), !config.requirepass.is_set());
        let session = Session::new(id, peer, "127.0.0.1:6379".into(), self.now_us / 1000, authenticated);
        let conn = self.workers[worker].connect(session);
        let client = Client { worker, conn, id };
        self.received.push((client, ReplyDecoder::default(), false));
        client
    }

    /// Sends a text as it is, and lets the server work.
    pub fn send(&mut self, client: Client, text: &str) {
        self.give(client, text);
        self.work();
    }

    pub fn wants_input(&mut self, client: Client) -> bool {
        self.workers[client.worker].wants_input(client.conn)
    }

    /// Sends a text as it is.
    pub fn give(&mut self, client: Client, text: &str) {
        let worker = &mut self.workers[client.worker];
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let space = worker.input_space(client.conn);
            let n = space.len().min(rest.len());
            space[..n].copy_from_slice(&rest[..n]);
            worker.received(client.conn, n);
            rest = &rest[n..];
        }
    }

    /// Runs turns of all workers until none changes anything any more.
    pub fn work(&mut self) {
        let mut quiet = 0;
        while quiet < 3 {
            quiet += 1;
            for worker in 0..self.workers.len() {
                if self.turn(worker) {
                    quiet = 0;
                }
            }
            while let Ok(job) = self.net.scripts.jobs().try_recv() {
                job.run();
                self.ran_alone += 1;
                quiet = 0;
            }
        }
    }

    /// The client is gone from one moment to the next.
    pub fn hang_up(&mut self, client: Client) {
        let (_, _, closed) = self.received.iter_mut().find(|(c, ..)| *c == client).expect("a client of this server");
        *closed = true;
        self.workers[client.worker].disconnected(client.conn);
    }

    /// One turn of a worker; whether something moved.
    pub fn turn(&mut self, id: usize) -> bool {
        let worker = &mut self.workers[id];
        let mut moved = worker.has_news();
        worker.decode();
        worker.take_mail();
        worker.set_time(self.now_us);
        while worker.run_mail() {
            moved = true;
        }
        worker.run_local();
        while worker.publish() != Publish::Done {
            moved = true;
        }
        if self.without_duties != Some(id) {
            worker.duties(&mut Vec::new());
        }
        moved |= worker.rest() == Rest::None;
        let mut dirty = Vec::new();
        worker.take_dirty(&mut dirty);
        for conn in dirty {
            moved = true;
            let (client, decoder, closed) = self
                .received
                .iter_mut()
                .find(|(c, _, closed)| c.worker == id && c.conn == conn && !closed)
                .expect("it was connected here");
            loop {
                let bytes = worker.output(conn);
                if bytes.is_empty() || worker.should_close(conn) || self.deaf.contains(client) {
                    break;
                }
                let n = bytes.len();
                decoder.feed(bytes);
                worker.sent(conn, n);
            }
            if worker.should_close(conn) {
                *closed = true;
                worker.disconnected(conn);
            }
        }
        moved
    }

    /// Moves the clock, and lets the server work.
    pub fn pass(&mut self, ms: u64) {
        self.now_us += ms * 1000;
        self.work();
    }

    /// The next reply that has come.
    pub fn reply(&mut self, client: Client) -> Option<Value> {
        let (_, decoder, _) = self.received.iter_mut().find(|(c, ..)| *c == client).expect("a client of this server");
        decoder.next_value().expect("a valid reply")
    }

    pub fn is_closed(&self, client: Client) -> bool {
        self.received.iter().any(|(c, _, closed)| *c == client && *closed)
    }

    /// Sends a line and gives its reply, the last of all that have come; panics when there is none.
    pub fn value(&mut self, client: Client, line: &str) -> Value {
        self.send(client, &format!("{line}{TEXT_LINE_END}"));
        let mut last = None;
        while let Some(value) = self.reply(client) {
            last = Some(value);
        }
        last.unwrap_or_else(|| panic!("no reply to {line}"))
    }

    /// As `value`, in the short form of `kv_core`'s tests: `+OK`, `:1`, `"bulk"`, `-ERR ...`.
    pub fn run(&mut self, client: Client, line: &str) -> String {
        show(&self.value(client, line))
    }

    /// Sends lines in one piece and gives all replies in the short form.
    pub fn pipeline(&mut self, client: Client, lines: &[&str]) -> Vec<String> {
        self.send(client, &lines.iter().map(|line| format!("{line}{TEXT_LINE_END}")).collect::<String>());
        std::iter::from_fn(|| self.reply(client)).map(|value| show(&value)).collect()
    }

    /// The text of a bulk or verbatim reply.
    pub fn text(&mut self, client: Client, line: &str) -> String {
        match self.value(client, line) {
            Value::Bulk(bytes) | Value::Verbatim(_, bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{line}: {other:?}"),
        }
    }

    /// A field of INFO.
    pub fn field(&mut self, client: Client, name: &str) -> String {
        let text = self.text(client, "INFO everything");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no field {name} in {text}")).to_string()
    }
}
