//! CLIENT: what is known of connections, and changes to them.
//!
//! A connection is its worker's. What is about one's own runs there in its place; what is about all (LIST, KILL, PAUSE)
//! every worker does for its own connections, and the answers are joined.

use super::{Call, Done, HostFn, Pause, help};
use crate::engine::connection::{Connection, Life};
use crate::engine::pubsub::Kind;
use crate::engine::session::ReplyMode;
use crate::engine::tracking::Mode;
use kv_core::command::{Args, CommandError};
use kv_core::resp::{Proto, Reply, number};
use std::fmt::Write;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("CLIENT|GETNAME", getname),
    ("CLIENT|HELP", help),
    ("CLIENT|ID", id),
    ("CLIENT|INFO", info),
    ("CLIENT|KILL", kill),
    ("CLIENT|LIST", list),
    ("CLIENT|NO-EVICT", no_evict),
    ("CLIENT|NO-TOUCH", no_touch),
    ("CLIENT|PAUSE", pause),
    ("CLIENT|REPLY", reply_mode),
    ("CLIENT|SETINFO", setinfo),
    ("CLIENT|SETNAME", setname),
    ("CLIENT|UNBLOCK", unblock),
    ("CLIENT|UNPAUSE", unpause),
];

/// The one user there is.
const USER: &[u8] = b"default";

fn id(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.int(call.session().id as i64);
    Ok(())
}

fn getname(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    match call.session().name.as_slice() {
        b"" => reply.nil(),
        name => reply.bulk(name),
    }
    Ok(())
}

/// What CLIENT LIST shows must stay one line of words. Errors: the text has spaces, line ends or other bytes that would
/// break it; `what` names it in the error.
fn checked_word(text: &[u8], what: &str) -> Result<Vec<u8>, CommandError> {
    if text.iter().any(|b| !(b'!'..=b'~').contains(b)) {
        return Err(CommandError::err(format!("{what} cannot contain spaces, newlines or special characters.")));
    }
    Ok(text.to_vec())
}

/// A name for a connection.
pub(super) fn checked_name(name: &[u8]) -> Result<Vec<u8>, CommandError> {
    checked_word(name, "Client names")
}

fn setname(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    call.session().name = checked_name(args.next()?)?;
    reply.ok();
    Ok(())
}

fn setinfo(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let option = args.next()?;
    let text = args.next()?;
    let session = call.session();
    if option.eq_ignore_ascii_case(b"LIB-NAME") {
        session.lib_name = checked_word(text, "lib-name")?;
    } else if option.eq_ignore_ascii_case(b"LIB-VER") {
        session.lib_version = checked_word(text, "lib-ver")?;
    } else {
        return Err(CommandError::err(format!("Unrecognized option '{}'", String::from_utf8_lossy(option))));
    }
    reply.ok();
    Ok(())
}

fn on_or_off(args: &mut Args<'_>) -> Result<bool, CommandError> {
    if args.keyword("ON") {
        Ok(true)
    } else if args.keyword("OFF") {
        Ok(false)
    } else {
        Err(CommandError::Syntax)
    }
}

fn no_evict(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    call.session().no_evict = on_or_off(args)?;
    reply.ok();
    Ok(())
}

fn no_touch(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    call.session().no_touch = on_or_off(args)?;
    reply.ok();
    Ok(())
}

/// Reply: OK for ON; nothing for OFF and SKIP (whoever sends replies looks at the mode, after this command already).
fn reply_mode(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let session = call.session();
    if args.keyword("ON") {
        session.reply_mode = ReplyMode::On;
        reply.ok();
    } else if args.keyword("OFF") {
        session.reply_mode = ReplyMode::Off;
    } else if args.keyword("SKIP") {
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(())
}

/// A later PAUSE never shortens or loosens the one that is on, as in Redis.
fn pause(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    if args.left() > 2 {
        return Err(CommandError::err("unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP."));
    }
    let ms = number::parse_i64(args.next()?)
        .ok_or_else(|| CommandError::err("timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| CommandError::err("timeout is negative"))?;
    let all = if args.left() == 0 || args.keyword("ALL") {
        true
    } else if args.keyword("WRITE") {
        false
    } else {
        return Err(CommandError::err("CLIENT PAUSE mode must be WRITE or ALL"));
    };
    let now = call.worker.now;
    let until = now.checked_add(ms).filter(|&until| i64::try_from(until).is_ok());
    let until = until.ok_or_else(|| CommandError::err("timeout is out of range"))?;
    let before = call.worker.pause;
    call.worker.pause = Pause { until: until.max(before.until), all: all || (before.is_on(now) && before.all) };
    reply.ok();
    Ok(())
}

fn unpause(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    call.worker.pause = Pause::default();
    reply.ok();
    Ok(())
}

/// Reply: 1 if the client waited for keys, else 0. It is answered as if its time was over, or by an error.
fn unblock(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    if args.left() > 2 {
        let text = "unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.";
        return Err(CommandError::err(text));
    }
    let reason = args.word(args.total() - 1);
    let answer: fn(&mut Reply<'_>) = match args.left() {
        1 => |reply| reply.nil_array(),
        _ if reason.eq_ignore_ascii_case(b"TIMEOUT") => |reply| reply.nil_array(),
        _ if reason.eq_ignore_ascii_case(b"ERROR") => {
            |reply| reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
        }
        _ => return Err(CommandError::err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = args.int()?;
    // Who asks does not wait; what it sends behind this may do so already.
    let client = call.client;
    let is_meant = |c: &Connection| i64::try_from(c.session.id) == Ok(id) && c.session.id != client;
    let found = call.connections().find(|(_, c)| is_meant(c)).map(|(conn, _)| conn);
    let conn = found.filter(|&conn| call.worker.is_blocked(conn));
    let was_blocked = conn.is_some_and(|conn| call.worker.answer_blocked(conn, answer));
    reply.int(was_blocked.into());
    Ok(())
}

fn info(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let conn = call.conn.expect("a command of the session has one");
    let now = call.worker.now;
    let mut text = String::new();
    describe(call.worker.connection(conn), now, &mut text);
    reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Reply: a bulk, joined with those of the other workers.
fn list(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let mut ids = None;
    let mut only = None;
    if args.left() == 2 && args.keyword("TYPE") {
        only = Some(type_of(args.next()?)?);
    } else if args.left() > 1 && args.keyword("ID") {
        let mut wanted = Vec::with_capacity(args.left());
        while args.left() > 0 {
            let id = number::parse_i64(args.next()?).ok_or_else(|| CommandError::err("Invalid client ID"))?;
            // No client has a number below 1.
            wanted.extend(u64::try_from(id));
        }
        wanted.sort_unstable();
        ids = Some(wanted);
    } else if args.left() > 0 {
        return Err(CommandError::Syntax);
    }
    let mut text = String::new();
    for (_, c) in call.connections() {
        if only.is_none_or(|only| only == Type::of(c))
            && ids.as_ref().is_none_or(|ids| ids.binary_search(&c.session.id).is_ok())
        {
            describe(c, call.worker.now, &mut text);
        }
    }
    reply.bulk(text.as_bytes());
    Ok(())
}

/// What kind of client a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Normal,
    Pubsub,
    /// Of which there are none.
    Other,
}

impl Type {
    fn of(c: &Connection) -> Type {
        if c.subscriptions.is_some() { Type::Pubsub } else { Type::Normal }
    }
}

/// Errors: no such type.
fn type_of(name: &[u8]) -> Result<Type, CommandError> {
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    match () {
        () if is("normal") => Ok(Type::Normal),
        () if is("pubsub") => Ok(Type::Pubsub),
        () if ["master", "replica", "slave"].into_iter().any(is) => Ok(Type::Other),
        () => Err(CommandError::err(format!("Unknown client type '{}'", String::from_utf8_lossy(name)))),
    }
}

/// Which connections CLIENT KILL is about.
#[derive(Default)]
struct Filters<'a> {
    id: Option<u64>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    client_type: Option<Type>,
    age_min: u64,
    skip_me: bool,
}

impl<'a> Filters<'a> {
    fn parse(args: &mut Args<'a>) -> Result<Filters<'a>, CommandError> {
        let mut filters = Filters { skip_me: true, ..Filters::default() };
        while args.left() > 0 {
            if args.left() < 2 {
                return Err(CommandError::Syntax);
            }
            if args.keyword("ID") {
                let id = number::parse_i64(args.next()?).filter(|&id| id > 0);
                let id = id.ok_or_else(|| CommandError::err("client-id should be greater than 0"))?;
                filters.id = Some(id as u64);
            } else if args.keyword("TYPE") {
                filters.client_type = Some(type_of(args.next()?)?);
            } else if args.keyword("USER") {
                let user = args.next()?;
                if user != USER {
                    return Err(CommandError::err(format!("No such user '{}'", String::from_utf8_lossy(user))));
                }
            } else if args.keyword("ADDR") {
                filters.addr = Some(args.next()?);
            } else if args.keyword("LADDR") {
                filters.laddr = Some(args.next()?);
            } else if args.keyword("SKIPME") {
                filters.skip_me = if args.keyword("YES") {
                    true
                } else if args.keyword("NO") {
                    false
                } else {
                    return Err(CommandError::Syntax);
                };
            } else if args.keyword("MAXAGE") {
                let age = number::parse_i64(args.next()?)
                    .ok_or_else(|| CommandError::err("maxage is not an integer or out of range"))?;
                if age <= 0 {
                    return Err(CommandError::err("maxage should be greater than 0"));
                }
                filters.age_min = age as u64;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(filters)
    }

    fn fit(&self, c: &Connection, now: u64, asker: u64) -> bool {
        let session = &c.session;
        self.client_type.is_none_or(|only| only == Type::of(c))
            && self.id.is_none_or(|id| id == session.id)
            && self.addr.is_none_or(|addr| addr == session.peer.as_bytes())
            && self.laddr.is_none_or(|addr| addr == session.local.as_bytes())
            && now.saturating_sub(session.created) / 1000 >= self.age_min
            && !(self.skip_me && session.id == asker)
    }
}

/// Reply: with filters the number of connections closed; in the old form, an address, OK or an error. The one that asks is
/// closed only after its reply.
fn kill(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let old_form = args.left() == 1;
    let filters =
        if old_form { Filters { addr: Some(args.next()?), ..Filters::default() } } else { Filters::parse(args)? };
    let (now, asker) = (call.worker.now, call.client);
    let fitting: Vec<_> = call
        .connections()
        .filter(|(_, c)| c.life != Life::Killed && filters.fit(c, now, asker))
        .map(|(conn, c)| (conn, c.session.id == asker))
        .collect();
    for &(conn, is_asker) in &fitting {
        if is_asker { call.worker.close_after_replies(conn) } else { call.worker.kill(conn) }
    }
    match fitting.len() {
        count if !old_form => reply.int(count as i64),
        0 => return Err(CommandError::err("No such client")),
        _ => reply.ok(),
    }
    Ok(())
}

/// A line of CLIENT LIST, with the fields of Redis in its order.
fn describe(c: &Connection, now: u64, to: &mut String) {
    let s = &c.session;
    let seconds_since = |moment: u64| now.saturating_sub(moment) / 1000;
    let text = String::from_utf8_lossy;
    let tracking = s.tracking.as_ref();
    let mut flags = String::new();
    let marks = [
        ('O', s.is_monitor),
        ('P', c.subscriptions.is_some()),
        ('x', c.transaction.commands().is_some()),
        ('b', c.blocked.as_ref().is_some_and(|blocked| blocked.waits())),
        ('t', tracking.is_some()),
        ('R', tracking.is_some_and(|tracking| tracking.is_broken)),
        ('B', tracking.is_some_and(|tracking| tracking.mode == Mode::Broadcast)),
        ('c', c.life == Life::Closing),
        ('A', c.life == Life::Killed),
        ('U', s.unix_socket),
        ('e', s.no_evict),
        ('T', s.no_touch),
    ];
    flags.extend(marks.iter().filter(|(_, on)| *on).map(|(mark, _)| mark));
    if flags.is_empty() {
        flags.push('N');
    }
    let waiting = c.output.chunk_bytes() + c.tickets.bytes();
    let memory = c.memory();
    let subscriptions = |kind| c.subscriptions.as_ref().map_or(0, |own| own.count(kind));
    // Writing to a string cannot fail.
    let _ = write!(
        to,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={} psub={} ssub={} multi={} watch={} ",
        s.id,
        s.peer,
        s.local,
        s.fd,
        text(&s.name),
        seconds_since(s.created),
        seconds_since(s.last_active),
        s.db,
        subscriptions(Kind::Channel),
        subscriptions(Kind::Pattern),
        subscriptions(Kind::Shard),
        c.transaction.commands().map_or(-1, |commands| commands as i64),
        c.transaction.watched_keys(),
    );
    let _ = write!(
        to,
        "qbuf={} qbuf-free={} argv-mem=0 multi-mem={} rbs={} rbp={} obl={} oll={} omem={waiting} tot-mem={memory} ",
        c.input.len(),
        // (0 while its own requests run: they hold the buffer.)
        c.input.data.len().saturating_sub(c.input.len()),
        c.transaction.memory(),
        c.output.tail.capacity(),
        c.output.tail.capacity(),
        c.output.len() - c.output.chunk_bytes(),
        c.output.chunks(),
    );
    let _ = writeln!(
        to,
        "events={} cmd={} user=default redir={} resp={} lib-name={} lib-ver={}",
        if c.output.is_empty() { "r" } else { "rw" },
        s.last_command,
        s.redirect(),
        if s.proto == Proto::Resp3 { 3 } else { 2 },
        text(&s.lib_name),
        text(&s.lib_version),
    );
}
