//! HyperLogLogs: PFADD PFCOUNT PFMERGE.
//!
//! A HyperLogLog is a string in Redis's own form (`types::hll`), which GET and SET carry from one server to another. Any
//! string may come in that way: one without the header is refused as of the wrong type, one that only has the header as
//! corrupt.

use super::row_words::{GROW, INSERT};
use super::text;
use crate::command::{
    Args, Arity, CommandError, CommandSpec, Ctx, Event, Flags, Group, Handler, KeySpec, LogAs, Outcome, StoreFn, row,
};
use crate::resp::Reply;
use crate::store::{EntryRef, Key};
use crate::types::hll::{self, Corrupt, Registers};
use Outcome::Done;

const fn hyperloglog(name: &'static str, handler: StoreFn, keys: &'static [KeySpec], flags: Flags) -> CommandSpec {
    row(name, Handler::Store(handler), Arity::AtLeast(2), keys, flags).group(Group::Hyperloglog).since("2.8.9")
}

/// Redis keeps the number that it finds, in the key and its replicas.
const COUNT: Flags = Flags::READONLY.and(Flags::PAUSED_AS_WRITE);

pub(crate) const ROWS: &[CommandSpec] = &[
    hyperloglog("PFADD", pfadd, INSERT, GROW.and(Flags::FAST))
        .log(LogAs::Words)
        .syntax("key [element [element ...]]")
        .summary("Counts elements in a HyperLogLog; tells whether it changed.")
        .complexity("O(1) an element"),
    hyperloglog("PFCOUNT", pfcount, &[KeySpec::range(1, -1, 1, &["RW", "access"])], COUNT)
        .syntax("key [key ...]")
        .summary("Estimates how many different elements one or several HyperLogLogs have seen.")
        .complexity("O(1) for one key, from then on a cached number; O(n) for n keys, with a large constant"),
    hyperloglog(
        "PFMERGE",
        pfmerge,
        &[KeySpec::one(1, &["RW", "access", "insert"]), KeySpec::range(2, -1, 1, &["RO", "access"])],
        GROW,
    )
    .syntax("destkey [sourcekey [sourcekey ...]]")
    .summary("Lets a HyperLogLog have seen what others have seen.")
    .complexity("O(n) in the number of keys, with a large constant"),
];

/// Hands the bytes of a HyperLogLog to `f`.
///
/// Errors: WRONGTYPE, also for a string that is none; those of `f`.
fn with_hll<R>(entry: EntryRef<'_>, f: impl FnOnce(&[u8]) -> Result<R, Corrupt>) -> Result<R, CommandError> {
    let mut digits = itoa::Buffer::new();
    let value = text(entry, &mut digits)?;
    if !hll::is_hll(value) {
        return Err(CommandError::Coded("WRONGTYPE Key is not a valid HyperLogLog string value.".into()));
    }
    Ok(f(value)?)
}

/// Reply: 1 when a register changed or the key is new, else 0.
/// Errors: WRONGTYPE, corrupt. Elements before the one that met the damage have been added then.
/// Effect: event `pfadd`, when something changed.
fn pfadd(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let exists = match ctx.find(key) {
        Some(entry) => with_hll(entry, |_| Ok(true))?,
        None => false,
    };
    let sparse_max = ctx.settings.hll_sparse_max;
    let mut changed = !exists;
    let added = ctx.edit_string(key, |value| {
        if !exists {
            *value = hll::empty();
        }
        while let Ok(element) = args.next() {
            changed |= hll::add(value, element, sparse_max)?;
        }
        Ok::<_, Corrupt>(())
    });
    // Said even after an error: what has changed must not go unnoticed. A replay would take that error for damage.
    if changed {
        if added.is_err() {
            ctx.effect_state(key);
        }
        ctx.wrote(key, Event::PfAdd);
    }
    added?;
    reply.int(i64::from(changed));
    Ok(Done)
}

/// Reply: int, the estimate; 0 for keys that are missing.
/// Errors: WRONGTYPE, corrupt.
/// Effect: none. One key's estimate is kept in its header, which says the same before and after.
fn pfcount(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    if args.left() == 1 {
        let key = args.key()?;
        reply.int(count_one(ctx, key)? as i64);
        return Ok(Done);
    }
    let mut all = Registers::new();
    while args.left() > 0 {
        if let Some(entry) = ctx.read(args.key()?) {
            with_hll(entry, |value| all.merge(value))?;
        }
    }
    reply.int(all.count() as i64);
    Ok(Done)
}

fn count_one(ctx: &mut Ctx, key: Key<'_>) -> Result<u64, CommandError> {
    let Some(entry) = ctx.read(key) else { return Ok(0) };
    let (count, cached) = with_hll(entry, |value| match hll::cached_count(value) {
        Some(count) => Ok((count, true)),
        None => Ok((hll::count(value)?, false)),
    })?;
    if !cached {
        ctx.edit_string(key, |value| hll::cache_count(value, count));
    }
    Ok(count)
}

/// Reply: OK.
/// Errors: WRONGTYPE, corrupt; nothing is written then.
/// Effect: event `pfadd` for the destination, which is made if it is missing.
fn pfmerge(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let target = args.fork().key()?;
    let mut all = Registers::new();
    let mut dense = false;
    let mut exists = false;
    while args.left() > 0 {
        let key = args.key()?;
        if let Some(entry) = ctx.read(key) {
            exists |= key.bytes == target.bytes;
            with_hll(entry, |value| {
                dense |= hll::is_dense(value);
                all.merge(value)
            })?;
        }
    }
    let sparse_max = ctx.settings.hll_sparse_max;
    let stored = ctx.edit_string(target, |value| {
        if !exists {
            *value = hll::empty();
        }
        all.store_into(value, dense, sparse_max)
    });
    ctx.wrote(target, Event::PfAdd);
    stored?;
    reply.ok();
    Ok(Done)
}

#[cfg(test)]
mod tests;
