//! PING ECHO HELLO AUTH SELECT QUIT RESET.

use super::{Call, Done, HostFn};
use crate::engine::session::{ReplyMode, Session};
use kv_core::command::{Args, CommandError};
use kv_core::resp::{Proto, Reply, number};

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("PING", ping),
    ("ECHO", echo),
    ("HELLO", hello),
    ("AUTH", auth),
    ("SELECT", select),
    ("QUIT", quit),
    ("RESET", reset),
];

/// Reply: PONG or the message; while only some commands are allowed, in the form that messages have.
fn ping(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    match args.left() {
        0 | 1 if call.session().is_subscribed => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(args.next().unwrap_or(b""));
        }
        0 => reply.simple("PONG"),
        1 => reply.bulk(args.next()?),
        _ => return Err(CommandError::WrongArity("ping".into())),
    }
    Ok(())
}

fn echo(_: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.bulk(args.next()?);
    Ok(())
}

/// There is one user, `default`, with the password of `requirepass`.
fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Done {
    let secret = &call.worker.config.requirepass;
    if user != b"default" || (secret.is_set() && !secret.matches(password)) {
        return Err(CommandError::Coded("WRONGPASS invalid username-password pair or user is disabled.".into()));
    }
    call.session().authenticated = true;
    Ok(())
}

fn auth(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    if args.left() > 2 {
        return Err(CommandError::Syntax);
    }
    let first = args.next()?;
    match args.peek() {
        Some(password) => authenticate(call, first, password)?,
        None if !call.worker.config.requirepass.is_set() => {
            return Err(CommandError::err(
                "AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        None => authenticate(call, b"default", first)?,
    }
    reply.ok();
    Ok(())
}

/// Reply: a map that describes the server, already in the protocol chosen. Nothing changes when an error is found.
fn hello(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let mut proto = call.session().proto;
    if args.left() > 0 {
        proto = match number::parse_i64(args.next()?) {
            Some(2) => Proto::Resp2,
            Some(3) => Proto::Resp3,
            Some(_) => return Err(CommandError::Coded("NOPROTO unsupported protocol version".into())),
            None => return Err(CommandError::err("Protocol version is not an integer or out of range")),
        };
    }
    let (mut name, mut credentials) = (None, None);
    while let Some(option) = args.peek() {
        if args.left() >= 3 && args.keyword("AUTH") {
            credentials = Some((args.next()?, args.next()?));
        } else if args.left() >= 2 && args.keyword("SETNAME") {
            name = Some(super::client::checked_name(args.next()?)?);
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(CommandError::err(format!("Syntax error in HELLO option '{option}'")));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(call, user, password)?;
    }
    if !call.session().authenticated {
        return Err(CommandError::Coded(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time"
                .into(),
        ));
    }
    let session = call.session();
    if let Some(name) = name {
        session.name = name;
    }
    session.proto = proto;
    let id = session.id;
    let conn = call.conn.expect("a command of the session has one");
    call.worker.note_mode(conn);
    let mut reply = Reply::new(reply.out(), proto);
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(super::REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(if proto == Proto::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.int(id as i64);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

fn select(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let index = args.int()?;
    let databases = call.worker.config.databases as usize;
    match usize::try_from(index).ok().filter(|&i| i < databases) {
        Some(index) => call.session().db = index,
        None => return Err(CommandError::DbIndex),
    }
    reply.ok();
    Ok(())
}

fn quit(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.ok();
    let conn = call.conn.expect("a command of the session has one");
    call.worker.close_after_replies(conn);
    Ok(())
}

fn reset(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let authenticated = !call.worker.config.requirepass.is_set();
    let conn = call.conn.expect("a command of the session has one");
    call.worker.drop_transaction(conn);
    call.worker.end_subscriptions(conn);
    call.worker.end_tracking(conn);
    call.worker.end_monitoring(conn);
    let session = call.session();
    let Session { id, created, unix_socket, fd, .. } = *session;
    let (peer, local) = (std::mem::take(&mut session.peer), std::mem::take(&mut session.local));
    let (lib_name, lib_version) = (std::mem::take(&mut session.lib_name), std::mem::take(&mut session.lib_version));
    let fresh = Session::new(id, peer, local, created, authenticated);
    *session = Session { unix_socket, fd, lib_name, lib_version, reply_mode: ReplyMode::On, ..fresh };
    Reply::new(reply.out(), Proto::Resp2).simple("RESET");
    Ok(())
}
