//! BGREWRITEAOF BGSAVE LASTSAVE SAVE SHUTDOWN: what is asked of the keeper.

use super::info::last_save;
use super::{Call, Done, HostFn, ShutDown};
use crate::engine::durability::Question;
use kv_core::command::{Args, CommandError};
use kv_core::resp::Reply;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("BGREWRITEAOF", bgrewriteaof),
    ("BGSAVE", bgsave),
    ("LASTSAVE", lastsave),
    ("SAVE", save),
    ("SHUTDOWN", shutdown),
];

/// Reply: a status, when it has begun or is to come after what is under way. Errors: one is under way.
fn bgrewriteaof(call: &mut Call<'_>, _: &mut Args<'_>, _: &mut Reply<'_>) -> Done {
    call.ask(Question::BackgroundRewrite);
    Ok(())
}

/// Reply: a status, when it has begun or is to come after what is under way. Errors: one is under way.
fn bgsave(call: &mut Call<'_>, args: &mut Args<'_>, _: &mut Reply<'_>) -> Done {
    let schedule = args.left() == 1 && args.keyword("SCHEDULE");
    if args.left() > 0 {
        return Err(CommandError::Syntax);
    }
    call.ask(Question::BackgroundSave { schedule });
    Ok(())
}

/// Reply: OK, when the snapshot is on disk. Only this connection waits. Errors: one is under way, or could not be written.
fn save(call: &mut Call<'_>, _: &mut Args<'_>, _: &mut Reply<'_>) -> Done {
    call.ask(Question::Save);
    Ok(())
}

/// Reply: a second since 1970; the start of the server before the first snapshot, as in Redis.
fn lastsave(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let worker = &call.worker;
    reply.int((last_save(&worker.link.status().figures(), &worker.system.process()) / 1000) as i64);
    Ok(())
}

/// Reply: none, the connection closes with the server. Errors: what cannot be done, or that not everything could be kept; the
/// server goes on then.
fn shutdown(call: &mut Call<'_>, args: &mut Args<'_>, _: &mut Reply<'_>) -> Done {
    let (mut save, mut nosave, mut abort, mut now, mut force) = (false, false, false, false, false);
    while args.left() > 0 {
        if args.keyword("SAVE") {
            save = true;
        } else if args.keyword("NOSAVE") {
            nosave = true;
        } else if args.keyword("ABORT") {
            abort = true;
        } else if args.keyword("NOW") {
            // There are no replicas to wait for.
            now = true;
        } else if args.keyword("FORCE") {
            force = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if (save && nosave) || (abort && (save || nosave || now || force)) {
        return Err(CommandError::Syntax);
    }
    if abort {
        // While it ends the server reads nothing, so nobody can say this in time.
        return Err(CommandError::err("No shutdown in progress."));
    }
    call.shut_down(ShutDown { save: (save || nosave).then_some(save), force });
    Ok(())
}
