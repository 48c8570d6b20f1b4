//! Commands of the session and the server that scripts may call: those that need neither. The rest is refused there, as what
//! Redis itself refuses.

use super::run::Running;
use kv_core::command::{Args, CommandError, RowId, table};
use kv_core::resp::Reply;
use std::sync::OnceLock;

type ScriptFn = fn(&mut Running, &mut Args<'_>, &mut Reply<'_>) -> Result<(), CommandError>;

/// By full name.
pub(super) const HANDLERS: &[(&str, ScriptFn)] = &[("ECHO", echo), ("PING", ping), ("SELECT", select), ("TIME", time)];

/// The handler of a row, if scripts may call it.
pub(super) fn find(row: RowId) -> Option<ScriptFn> {
    static TABLE: OnceLock<Vec<Option<ScriptFn>>> = OnceLock::new();
    let by_row = TABLE.get_or_init(|| {
        let mut by_row: Vec<Option<ScriptFn>> = vec![None; table().len()];
        for (name, handler) in HANDLERS {
            let row = table().by_full_name(name.as_bytes()).unwrap_or_else(|| panic!("no row is named {name}"));
            by_row[usize::from(row)] = Some(*handler);
        }
        by_row
    });
    by_row[usize::from(row)]
}

fn echo(_: &mut Running, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.bulk(args.next()?);
    Ok(())
}

fn ping(_: &mut Running, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match args.left() {
        0 => reply.simple("PONG"),
        1 => reply.bulk(args.next()?),
        _ => return Err(CommandError::WrongArity("ping".into())),
    }
    Ok(())
}

/// For the rest of the script; its client stays where it is.
fn select(run: &mut Running, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let index = args.int()?;
    run.db = usize::try_from(index).ok().filter(|&i| i < run.databases()).ok_or(CommandError::DbIndex)?;
    reply.ok();
    Ok(())
}

/// The moment at which the script began.
fn time(run: &mut Running, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.array(2);
    reply.bulk_int((run.now_us / 1_000_000) as i64);
    reply.bulk_int((run.now_us % 1_000_000) as i64);
    Ok(())
}
