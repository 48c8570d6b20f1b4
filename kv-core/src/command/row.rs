//! The row of a command, and the vocabulary of its fields.

use super::{Args, CommandError, Ctx, KeySpec, Outcome};
use crate::resp::Reply;

/// Runs on the shard (or, for a command over several shards, on all involved ones at once).
pub type StoreFn = fn(&mut Ctx<'_>, &mut Args<'_>, &mut Reply<'_>) -> Result<Outcome, CommandError>;

/// Who carries a command out.
#[derive(Clone, Copy)]
pub enum Handler {
    /// A handler of this crate, on the store.
    Store(StoreFn),
    /// The program around the shards (sessions, options, statistics); it binds its own handler to the row by name.
    Host,
    /// Has only subcommands; the second word chooses one.
    Container,
    /// The commands that the session has put in line, as one.
    Transaction,
    /// What scripts are run by: on the store, but not without an interpreter.
    Script(ScriptRow),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptRow {
    /// Runs a script, or a function; its commands run on the shards of the keys that the request declares.
    Run {
        by: ScriptName,
        /// It may not write.
        readonly: bool,
    },
    /// Changes the libraries of functions, which all shards know. The program around the shards binds its own handler to the row by
    /// name.
    Libraries,
}

/// What word 1 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptName {
    Code,
    Sha1,
    Function,
}

/// How many words a request has, the command's name included (for a subcommand: the container's name, too).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    Exactly(u16),
    AtLeast(u16),
}

impl Arity {
    pub fn accepts(self, words: usize) -> bool {
        match self {
            Arity::Exactly(n) => words == usize::from(n),
            Arity::AtLeast(n) => words >= usize::from(n),
        }
    }

    /// As COMMAND prints it: negative for a minimum.
    pub fn as_redis(self) -> i64 {
        match self {
            Arity::Exactly(n) => i64::from(n),
            Arity::AtLeast(n) => -i64::from(n),
        }
    }
}

/// What is true of a command; a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    pub const NONE: Flags = Flags(0);
    /// May change the data.
    pub const WRITE: Flags = Flags(1);
    /// Reads the data and never changes it.
    pub const READONLY: Flags = Flags(1 << 1);
    /// Refused when memory is used up.
    pub const DENYOOM: Flags = Flags(1 << 2);
    pub const ADMIN: Flags = Flags(1 << 3);
    pub const PUBSUB: Flags = Flags(1 << 4);
    pub const NOSCRIPT: Flags = Flags(1 << 5);
    pub const BLOCKING: Flags = Flags(1 << 6);
    pub const LOADING: Flags = Flags(1 << 7);
    pub const STALE: Flags = Flags(1 << 8);
    pub const SKIP_MONITOR: Flags = Flags(1 << 9);
    pub const SKIP_SLOWLOG: Flags = Flags(1 << 10);
    /// O(1) or O(log n).
    pub const FAST: Flags = Flags(1 << 11);
    /// Allowed before AUTH.
    pub const NO_AUTH: Flags = Flags(1 << 12);
    pub const MAY_REPLICATE: Flags = Flags(1 << 13);
    pub const NO_MANDATORY_KEYS: Flags = Flags(1 << 14);
    pub const NO_MULTI: Flags = Flags(1 << 15);
    pub const MOVABLE_KEYS: Flags = Flags(1 << 16);
    pub const ALLOW_BUSY: Flags = Flags(1 << 17);
    pub const NO_ASYNC_LOADING: Flags = Flags(1 << 18);
    /// Access categories that do not follow from the group and the other flags.
    pub const DANGEROUS: Flags = Flags(1 << 19);
    /// Has effects beyond its reply, so that CLIENT PAUSE WRITE holds it back and read-only scripts may not call it, although it is
    /// no WRITE.
    pub const PAUSED_AS_WRITE: Flags = Flags(1 << 20);
    /// Does not change a key's access data (OBJECT, TYPE, TTL ...).
    pub const NO_TOUCH: Flags = Flags(1 << 21);
    /// What CLIENT CACHING has said about the next command is still true behind it.
    pub const KEEPS_CACHING: Flags = Flags(1 << 25);
    /// Runs at once also between MULTI and EXEC.
    pub const NOT_QUEUED: Flags = Flags(1 << 27);
    /// Changes how later commands of the session run on the store (the database, the protocol ...), and nothing else that
    /// could not be taken back.
    pub const SETS_SESSION: Flags = Flags(1 << 28);
    /// Watches its keys for the session.
    pub const WATCHES: Flags = Flags(1 << 29);
    /// Allowed to a connection in RESP2 that has subscriptions.
    pub const WHILE_SUBSCRIBED: Flags = Flags(1 << 23);
    /// Its answers are pushes, which CLIENT REPLY does not switch off.
    pub const PUSHES: Flags = Flags(1 << 24);
    /// Writes more than its keys in the session's database.
    pub const WRITES_ELSEWHERE: Flags = Flags(1 << 30);
    /// Never held back by CLIENT PAUSE ALL.
    pub const NEVER_PAUSED: Flags = Flags(1 << 22);

    /// The flags that COMMAND shows, with its words for them, in its order.
    pub const SHOWN: &[(Flags, &'static str)] = &[
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::BLOCKING, "blocking"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::SKIP_MONITOR, "skip_monitor"),
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::MAY_REPLICATE, "may_replicate"),
        (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLE_KEYS, "movablekeys"),
        (Flags::ALLOW_BUSY, "allow_busy"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
    ];

    /// What is true of a transaction when it is true of one of its commands.
    pub const OF_ANY: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::PAUSED_AS_WRITE);

    /// COMMAND's words for the flags that are set.
    pub fn shown(self) -> impl Iterator<Item = &'static str> {
        Flags::SHOWN.iter().filter(move |(flag, _)| self.has(*flag)).map(|&(_, name)| name)
    }

    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    pub const fn common(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }

    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        self.and(other)
    }
}

/// The family a command is listed under; the text is what COMMAND DOCS prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Generic,
    String,
    Hyperloglog,
    Connection,
    Server,
    Hash,
    List,
    Set,
    SortedSet,
    Stream,
    Bitmap,
    Geo,
    Pubsub,
    Transactions,
    Scripting,
}

impl Group {
    pub fn as_str(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::Hyperloglog => "hyperloglog",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Hash => "hash",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::Bitmap => "bitmap",
            Group::Geo => "geo",
            Group::Pubsub => "pubsub",
            Group::Transactions => "transactions",
            Group::Scripting => "scripting",
        }
    }
}

/// How a command is carried out when it concerns more than one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// On one shard, that of its keys; when they lie on several, all of these come together for it (rendezvous).
    Keys,
    /// What happens on one shard does not depend on another: each shard runs the command on its own keys, `unit` words a
    /// key, and the answers are joined. Words in front of the first key are given to every part.
    Parts { unit: u8, join: Join },
    /// Every shard runs it, in its place in the one order of commands; the answers are joined.
    All { join: Join },
    /// The shard is the remainder of the cursor (word `at`) by the number of shards.
    Cursor { at: u8 },
    /// On the worker of the connection, at once; it touches nothing but the session and shared statistics.
    Session,
    /// On all shards at once that the commands in line and the watched keys of the session are on.
    Transaction,
    /// On all workers that have subscribers of the channel (word 1), in its place in the one order of commands; the answers are
    /// summed. `shard`: it is a shard channel.
    Channel { shard: bool },
}

/// How the answers of several shards become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The sum of integers.
    Sum,
    /// The first answer; an error answer goes before others.
    First,
    /// Arrays whose elements are put back in the order of the keys.
    InOrder,
    /// Runs of elements without a header (`Reply::count_element`): one array of them all.
    Concat,
    /// One of the answers that are not nil, any of them.
    AnyOf,
    /// Texts (bulk strings), one after the other in one verbatim string.
    Text,
    /// Arrays of texts: one array of all that differ.
    Union,
    /// Arrays that are alike but for the integers in them, which are summed, each with those in its place.
    SumEach,
    /// Integers are summed; of other answers the first that is no error: one part is enough to have what was looked for.
    Found,
}

/// What a command that has written leaves in the log of each shard it has written on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogAs {
    /// The whole state of each key that was written: its value with its expiry, or that it is gone. For commands that
    /// write all of a value anyway, or all there is of a small one.
    State,
    /// The command as it was received, once, under the moment at which it ran: for commands of one key whose effect hangs
    /// on nothing but that key's value, the moment and the words (a span of time is one from that moment on). They cost
    /// the log no more than the client. A handler may say its effect otherwise ([`Ctx::effect`]).
    Words,
    /// When each key that was written expires, or that it is gone.
    Expiry,
    /// What the handler says: effects on single keys ([`Ctx::effect`]) that are smaller than the state and, other than the
    /// words, hang on neither chance nor another key.
    Told,
}

/// Everything there is to know about a command. Built by [`row`] and the methods below, in constants.
#[derive(Clone, Copy)]
pub struct CommandSpec {
    /// Upper case. A subcommand's row bears the subcommand's word alone.
    pub name: &'static str,
    pub handler: Handler,
    pub arity: Arity,
    pub keys: &'static [KeySpec],
    pub flags: Flags,
    pub spread: Spread,
    /// Of meaning for a WRITE alone.
    pub log: LogAs,
    pub group: Group,
    /// The access category where it is not the one of the group.
    pub category: Option<&'static str>,
    /// Further ones.
    pub categories: &'static [&'static str],
    /// What follows the name, as in Redis's documentation.
    pub syntax: &'static str,
    pub summary: &'static str,
    pub since: &'static str,
    pub complexity: &'static str,
    /// Hints for clients and proxies, as in COMMAND.
    pub tips: &'static [&'static str],
    pub subs: &'static [CommandSpec],
}

/// A row with the fields that every command has; the rest by the methods, in the same expression.
pub const fn row(
    name: &'static str,
    handler: Handler,
    arity: Arity,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    CommandSpec {
        name,
        handler,
        arity,
        keys,
        flags,
        spread: Spread::Keys,
        log: LogAs::State,
        group: Group::Generic,
        category: None,
        categories: &[],
        syntax: "",
        summary: "",
        since: "",
        complexity: "",
        tips: &[],
        subs: &[],
    }
}

impl CommandSpec {
    pub const fn spread(mut self, spread: Spread) -> Self {
        self.spread = spread;
        self
    }
    pub const fn log(mut self, log: LogAs) -> Self {
        self.log = log;
        self
    }
    pub const fn group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }
    pub const fn category(mut self, category: &'static str) -> Self {
        self.category = Some(category);
        self
    }
    pub const fn and_categories(mut self, categories: &'static [&'static str]) -> Self {
        self.categories = categories;
        self
    }
    pub const fn syntax(mut self, syntax: &'static str) -> Self {
        self.syntax = syntax;
        self
    }
    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }
    pub const fn since(mut self, since: &'static str) -> Self {
        self.since = since;
        self
    }
    pub const fn complexity(mut self, complexity: &'static str) -> Self {
        self.complexity = complexity;
        self
    }
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }
    pub const fn subs(mut self, subs: &'static [CommandSpec]) -> Self {
        self.subs = subs;
        self
    }
}
