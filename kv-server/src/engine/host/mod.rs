//! Commands about the session and the server: what is not the store's.
//!
//! Their rows stand with all others in `kv_core::families`; here are their handlers, bound by name once at the start. A
//! row with `Spread::Session` runs on the connection's worker, in its place in the pipeline; one with `Spread::All` runs
//! on every worker, in the one order of commands, and its answers are joined.

mod client;
mod command;
mod config;
mod connection;
mod costs;
mod info;
mod monitor;
mod persistence;
mod pubsub;
mod scripting;
mod server;
mod tracking;
mod transaction;

pub(super) use self::tracking::no_such_client;
use super::connection::{Connection, Life};
use super::durability::{Question, ToKeeper};
use super::mail::Dest;
use super::pubsub::Kind;
use super::session::{ReplyMode, Session};
use super::tracking::{Tracking, Wish};
use super::worker::{ConnId, Worker};
use crate::config::Config;
use kv_core::command::{Args, CommandError, Flags, Handler, RowId, table as rows};
use kv_core::resp::Reply;
use kv_core::store::UnixMs;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The version of Redis whose commands and replies clients may expect of us.
pub const REDIS_VERSION: &str = "7.4.0";

/// A handler of the server. The reply of an error is written by the caller.
pub type HostFn = fn(&mut Call<'_>, &mut Args<'_>, &mut Reply<'_>) -> Result<(), CommandError>;

type Done = Result<(), CommandError>;

/// One call of such a handler.
pub struct Call<'a> {
    pub worker: &'a mut Worker,
    /// The connection, when it is this worker's and the command is about its own session.
    pub conn: Option<ConnId>,
    /// The number of the client that asked.
    pub client: u64,
    pub row: RowId,
}

impl Call<'_> {
    /// The session that asked. Panics when the row is not `Spread::Session`.
    pub fn session(&mut self) -> &mut Session {
        let conn = self.conn.expect("a command of the session has one");
        &mut self.worker.connection(conn).session
    }

    /// Leaves the answer to somebody else, who gives it to this place; what follows on the connection waits for it. The handler
    /// writes no reply then.
    fn answer_later(&mut self, mute: bool) -> Dest {
        let conn = self.conn.expect("a command of the session has one");
        let c = self.worker.connection(conn);
        if c.transaction.executing.is_some() {
            c.transaction.awaits_element = true;
            Dest::Element { conn }
        } else {
            c.awaits_walk = true;
            Dest::Ticket { conn, ticket: c.tickets.wait(mute) }
        }
    }

    /// Leaves the answer to the keeper.
    pub fn ask(&mut self, question: Question) {
        let session = self.session();
        let (mute, proto) = (session.reply_mode != ReplyMode::On, session.proto);
        let dest = self.answer_later(mute);
        self.worker.link.tell(ToKeeper::Ask { question, from: self.worker.id, dest, proto });
    }

    /// Subscribes the connection. The answer comes later if other workers have to know first.
    pub fn subscribe(&mut self, kind: Kind, names: &[&[u8]], out: &mut Vec<u8>) {
        let conn = self.conn.expect("a command of the session has one");
        if let Some((topics, number)) = self.worker.subscribe(conn, kind, names, out) {
            let dest = self.answer_later(false);
            self.worker.hub.await_noted(conn, dest, topics, number);
        }
    }

    /// Turns tracking on or off. The answer comes later if other workers have to know first, or to be asked.
    fn track(&mut self, redirect: u64, wanted: Option<Tracking>, reply: &mut Reply<'_>) -> Done {
        let conn = self.conn.expect("a command of the session has one");
        if self.worker.is_rehearsing() {
            self.session().tracking = wanted.map(Box::new);
            return Ok(());
        }
        let mute = self.session().reply_mode != ReplyMode::On;
        match self.worker.find_client(redirect) {
            Some(false) => return Err(tracking::no_such_client()),
            Some(true) => match self.worker.set_tracking(conn, wanted) {
                None => reply.ok(),
                Some(number) => {
                    let dest = self.answer_later(mute);
                    self.worker.hub.await_ok(conn, dest, number);
                }
            },
            None => {
                let dest = self.answer_later(mute);
                self.worker.seek(Wish { conn, dest, wanted, redirect });
            }
        }
        Ok(())
    }

    /// Begins to show the connection all commands. The answer comes later if other workers have to know first.
    fn monitor(&mut self, reply: &mut Reply<'_>) {
        let conn = self.conn.expect("a command of the session has one");
        let mute = self.session().reply_mode != ReplyMode::On;
        match self.worker.begin_monitoring(conn) {
            None => reply.ok(),
            Some(number) => {
                let dest = self.answer_later(mute);
                self.worker.hub.await_ok(conn, dest, number);
            }
        }
    }

    /// Asks the server to end. There is no reply, unless it cannot.
    pub fn shut_down(&mut self, how: ShutDown) {
        let conn = self.conn.expect("a command of the session has one");
        let c = self.worker.connection(conn);
        let mute = c.session.reply_mode != ReplyMode::On;
        c.asks_to_end = Some(c.tickets.wait(mute));
        c.awaits_walk = true;
        self.worker.system.shut_down(how);
    }

    pub fn is_first_worker(&self) -> bool {
        self.worker.id == 0
    }

    /// The open connections of this worker.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, &Connection)> {
        let places = self.worker.connections.iter().enumerate();
        places.filter_map(|(id, c)| Some((id as ConnId, &**c.as_ref()?))).filter(|(_, c)| c.life != Life::Gone)
    }
}

/// What the server asks of the machine: answered by `io`, and by a stand-in under simulation.
pub trait System: Send + Sync {
    fn process(&self) -> Process;
    /// Nanoseconds of a clock that only goes forward and that all threads share: for spans of time.
    fn ns(&self) -> u64;
    /// The configuration file, if the server was started with one.
    fn config_file(&self) -> Option<PathBuf>;
    fn read_config(&self) -> io::Result<String>;
    /// Reads a file that the configuration file includes.
    fn read_file(&self, path: &str) -> io::Result<String>;
    /// Replaces the configuration file as a whole.
    fn write_config(&self, text: &str) -> io::Result<()>;
    /// Asks the server to end. It goes on if not everything can be kept: then [`Worker::cannot_end`] is called.
    fn shut_down(&self, how: ShutDown);
    /// Options that concern the listening side have changed.
    fn options_changed(&self, config: &Config);
    /// One line for the server's log.
    fn log(&self, text: &str);
}

/// How the server is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutDown {
    /// Whether a snapshot is taken before; `None`: if there are save points.
    pub save: Option<bool>,
    /// Also when not everything can be kept.
    pub force: bool,
}

/// Facts about the process, for INFO.
#[derive(Clone, Debug, Default)]
pub struct Process {
    pub id: u32,
    /// A random name of this run: 40 hexadecimal digits.
    pub run_id: String,
    pub os: String,
    pub executable: String,
    pub started: UnixMs,
    pub resident_bytes: u64,
    pub peak_resident_bytes: u64,
    pub machine_bytes: u64,
    /// CPU seconds of the process.
    pub cpu_user: f64,
    pub cpu_system: f64,
    pub port: u16,
}

/// CLIENT PAUSE.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pause {
    pub until: UnixMs,
    /// Everything, not only writes.
    pub all: bool,
}

impl Pause {
    pub fn is_on(&self, now: UnixMs) -> bool {
        now < self.until
    }

    /// Whether a command with these flags has to wait.
    #[inline]
    pub fn holds(&self, flags: Flags, now: UnixMs) -> bool {
        if now >= self.until || flags.has(Flags::NEVER_PAUSED) {
            return false;
        }
        self.all || flags.has(Flags::WRITE) || flags.has(Flags::PAUSED_AS_WRITE)
    }
}

/// HELP of any container: its subcommands as their rows describe them.
fn help(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let rows = rows();
    let parent = rows.row(call.row).parent.expect("HELP is a subcommand");
    let parent = rows.row(parent);
    reply.array(1 + 2 * parent.subs.len());
    reply.simple(&format!("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", parent.spec.name));
    for &sub in &parent.subs {
        let spec = rows.row(sub).spec;
        reply.simple(format!("{} {}", spec.name, spec.syntax).trim_end());
        reply.simple(&format!("    {}", spec.summary));
    }
    Ok(())
}

/// The handlers by row.
pub struct HostTable {
    by_row: Vec<Option<HostFn>>,
}

impl HostTable {
    #[inline]
    pub fn get(&self, row: RowId) -> Option<HostFn> {
        self.by_row[usize::from(row)]
    }
}

/// All handlers by full name.
fn bindings() -> impl Iterator<Item = (&'static str, HostFn)> {
    [
        connection::HANDLERS,
        client::HANDLERS,
        server::HANDLERS,
        config::HANDLERS,
        command::HANDLERS,
        info::HANDLERS,
        monitor::HANDLERS,
        pubsub::HANDLERS,
        costs::HANDLERS,
        persistence::HANDLERS,
        scripting::HANDLERS,
        tracking::HANDLERS,
        transaction::HANDLERS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The table, made once.
///
/// Panics: when a row has no handler or a handler no row, a mistake that the first test finds.
pub fn table() -> &'static HostTable {
    static TABLE: OnceLock<HostTable> = OnceLock::new();
    TABLE.get_or_init(|| {
        let rows = rows();
        let mut by_row: Vec<Option<HostFn>> = vec![None; rows.len()];
        for (name, handler) in bindings() {
            let row = rows.by_full_name(name.as_bytes()).unwrap_or_else(|| panic!("no row is named {name}"));
            by_row[usize::from(row)] = Some(handler);
        }
        for (id, bound) in by_row.iter().enumerate() {
            let row = rows.row(id as RowId);
            let host = matches!(row.spec.handler, Handler::Host);
            assert!(host == bound.is_some(), "row {} and its handler do not fit", row.full_name);
        }
        HostTable { by_row }
    })
}

#[cfg(test)]
mod tests;
