//! SCRIPT: the scripts that the server knows. FUNCTION: what is no matter of the store.

use super::{Call, Done, HostFn, help};
use crate::engine::script::{self, LongCall};
use kv_core::command::{Args, CommandError};
use kv_core::resp::Reply;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("FUNCTION|HELP", help),
    ("FUNCTION|KILL", kill_function),
    ("FUNCTION|STATS", function_stats),
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
    call.worker.net.scripts.kill(false)?;
    reply.ok();
    Ok(())
}

fn kill_function(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    call.worker.net.scripts.kill(true)?;
    reply.ok();
    Ok(())
}

/// Errors: a script takes long.
fn function_stats(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let scripts = &call.worker.net.scripts;
    let (running, libraries) = (scripts.long_function()?, scripts.libraries());
    reply.map(2);
    reply.bulk(b"running_script");
    match running {
        Some(LongCall { function, data, words, since }) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(function.as_bytes());
            reply.bulk(b"command");
            reply.array(words.len());
            words.iter().for_each(|word| reply.bulk(word.get(&data)));
            reply.bulk(b"duration_ms");
            reply.int(call.worker.now.saturating_sub(since) as i64);
        }
        None => reply.nil(),
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.int(libraries.len() as i64);
    reply.bulk(b"functions_count");
    reply.int(libraries.functions() as i64);
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
