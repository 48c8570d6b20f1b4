//! CONFIG. Every worker has its own copy of the options; SET reaches all of them in the one order of commands, so that
//! none differs from another for longer than that takes, and a later command on the same connection sees the change.

use super::{Call, Done, HostFn, help};
use crate::engine::durability::ToKeeper;
use kv_core::command::{Args, CommandError};
use kv_core::resp::Reply;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("CONFIG|GET", get),
    ("CONFIG|HELP", help),
    ("CONFIG|RESETSTAT", resetstat),
    ("CONFIG|REWRITE", rewrite),
    ("CONFIG|SET", set),
];

fn rest<'a>(args: &mut Args<'a>) -> Result<Vec<&'a [u8]>, CommandError> {
    (0..args.left()).map(|_| args.next()).collect()
}

fn get(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let options = call.worker.config.get_matching(&rest(args)?);
    reply.map(options.len());
    for (name, value) in options {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// Errors: those of the options; all workers find the same one, and nothing is changed then.
fn set(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let words = rest(args)?;
    let (pairs, odd) = words.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(CommandError::Syntax);
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    let worker = &mut *call.worker;
    let had_password = worker.config.requirepass.is_set();
    worker.config.set(&pairs).map_err(|error| CommandError::Coded(error.to_string().into()))?;
    worker.options_changed();
    if had_password && !worker.config.requirepass.is_set() {
        // Without a password everybody is the default user.
        worker.connections.iter_mut().flatten().for_each(|c| c.session.authenticated = true);
    }
    if call.is_first_worker() {
        call.worker.system.options_changed(&call.worker.config);
        call.worker.link.tell(ToKeeper::Options(Box::new(call.worker.config.clone())));
    }
    reply.ok();
    Ok(())
}

fn rewrite(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let system = &call.worker.system;
    if system.config_file().is_none() {
        return Err(CommandError::err("The server is running without a config file"));
    }
    let failed = |why: &dyn std::fmt::Display| CommandError::err(format!("Rewriting config file: {why}"));
    let old = system.read_config().map_err(|error| failed(&error))?;
    let mut included = |path: &str| system.read_file(path);
    let new = call.worker.config.rewrite(&old, &mut included).map_err(|error| failed(&error))?;
    if new != old {
        system.write_config(&new).map_err(|error| failed(&error))?;
    }
    reply.ok();
    Ok(())
}

fn resetstat(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    call.worker.reset_figures();
    reply.ok();
    Ok(())
}
