//! MONITOR: a session is shown all commands (`engine/monitor.rs` tells how).

use super::{Call, Done, HostFn};
use kv_core::command::{Args, CommandError};
use kv_core::resp::Reply;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[("MONITOR", monitor)];

/// Reply: OK, when all workers know; none to who monitors already.
/// Errors: in a transaction, which is answered as a whole.
fn monitor(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let conn = call.conn.expect("a command of the session has one");
    if call.worker.connection(conn).transaction.executing.is_some() {
        return Err(CommandError::err("MONITOR isn't allowed for DENY BLOCKING client"));
    }
    if !call.session().is_monitor {
        call.monitor(reply);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
