//! SCRIPT: the scripts that the server knows.

use super::{Call, Done, HostFn, help};
use crate::engine::script;
use kv_core::command::{Args, CommandError};
use kv_core::resp::Reply;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("SCRIPT|EXISTS", exists),
    ("SCRIPT|FLUSH", flush),
    ("SCRIPT|HELP", help),
    ("SCRIPT|KILL", kill),
    ("SCRIPT|LOAD", load),
];

/// Reply: an array, for each name 1 or 0.
fn exists(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.array(args.left());
    while args.left() > 0 {
        let sha = <script::Sha>::try_from(args.next()?.to_ascii_lowercase());
        reply.int(i64::from(sha.is_ok_and(|sha| call.worker.net.scripts.find(&sha).is_some())));
    }
    Ok(())
}

/// Both ways are the same: what is left of a script is freed by the threads that have compiled it.
fn flush(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let known = args.left() == 0 || args.keyword("ASYNC") || args.keyword("SYNC");
    if !known || args.left() > 0 {
        return Err(CommandError::err("SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    call.worker.net.scripts.flush();
    reply.ok();
    Ok(())
}

fn kill(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    call.worker.net.scripts.kill()?;
    reply.ok();
    Ok(())
}

/// Reply: the name of the script. Errors: what is wrong with its code.
fn load(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    match script::load(&call.worker.scripting, args.next()?) {
        Ok(sha) => reply.bulk(&sha),
        Err(text) => return Err(CommandError::Coded(String::from_utf8_lossy(&text).into_owned().into())),
    }
    Ok(())
}
