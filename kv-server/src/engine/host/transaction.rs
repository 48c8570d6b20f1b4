//! MULTI DISCARD UNWATCH: the session's side of transactions. (EXEC is the worker's, WATCH the store's.)

use super::{Call, Done, HostFn};
use kv_core::command::{Args, CommandError};
use kv_core::resp::Reply;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[("DISCARD", discard), ("MULTI", multi), ("UNWATCH", unwatch)];

/// Errors: there is a transaction already, which goes on.
fn multi(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let conn = call.conn.expect("a command of the session has one");
    call.worker.begin_transaction(conn)?;
    reply.ok();
    Ok(())
}

/// Errors: there is no transaction; watches go on then.
fn discard(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let conn = call.conn.expect("a command of the session has one");
    if call.worker.connection(conn).transaction.queued.is_none() {
        return Err(CommandError::err("DISCARD without MULTI"));
    }
    call.worker.drop_transaction(conn);
    reply.ok();
    Ok(())
}

fn unwatch(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let conn = call.conn.expect("a command of the session has one");
    call.worker.unwatch(conn);
    reply.ok();
    Ok(())
}
