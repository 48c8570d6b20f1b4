//! Hashes: HDEL ... HVALS. The TTLs of fields are in `hash::expiry`.
//!
//! How a hash is kept (`types::hash`) no command here knows. An empty hash is never stored: who takes the last field
//! takes the key. A field that is due is missing, for every command, from its millisecond on.

use super::row_words::{
    ACCESS, CHANGE, CHANGING_ORDER, CHANGING_OUTPUT, DELETE, GROW_FAST, INSERT, LOOK, READ, READ_FAST, UPDATE,
    WRITE_FAST,
};
use super::scan::{WalkOptions, reply_walk, walk_cursor};
use super::{Drawn, reply_item};
use crate::command::{
    Args, Arity, CommandError, CommandSpec, Ctx, Event, Flags, Group, Handler, KeySpec, LogAs, Outcome, StoreFn, row,
};
use crate::resp::number::{self, DecimalError};
use crate::resp::{Proto, Reply};
use crate::store::Key;
use crate::structs::packed::Item;
use crate::types::hash::{Hash, Ttl};
use Arity::{AtLeast, Exactly};
use Outcome::Done;

pub mod expiry;

const fn hash(
    name: &'static str,
    handler: StoreFn,
    arity: Arity,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    row(name, Handler::Store(handler), arity, keys, flags).group(Group::Hash).since("2.0.0")
}

pub(crate) const ROWS: &[CommandSpec] = &[
    hash("HDEL", hdel, AtLeast(3), DELETE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key field [field ...]")
        .summary("Removes fields of a hash and counts those that were there; the key goes with the last one.")
        .complexity("O(1) a field"),
    hash("HEXISTS", hexists, Exactly(3), LOOK, READ_FAST)
        .syntax("key field")
        .summary("Tells whether a hash has a field.")
        .complexity("O(1)"),
    hash("HGET", hget, Exactly(3), ACCESS, READ_FAST)
        .syntax("key field")
        .summary("Tells the value of a field.")
        .complexity("O(1)"),
    hash("HGETALL", hgetall, Exactly(2), ACCESS, READ)
        .syntax("key")
        .summary("Tells all fields of a hash and their values.")
        .complexity("O(n) in the number of fields")
        .tips(CHANGING_ORDER),
    hash("HINCRBY", hincrby, Exactly(4), CHANGE, GROW_FAST)
        .log(LogAs::Words)
        .syntax("key field increment")
        .summary("Adds a number to the integer of a field; a missing field counts as 0.")
        .complexity("O(1)"),
    hash("HINCRBYFLOAT", hincrbyfloat, Exactly(4), CHANGE, GROW_FAST)
        .log(LogAs::Words)
        .syntax("key field increment")
        .summary("Adds a decimal fraction to the number of a field; a missing field counts as 0.")
        .since("2.6.0")
        .complexity("O(1)"),
    hash("HKEYS", hkeys, Exactly(2), ACCESS, READ)
        .syntax("key")
        .summary("Tells all fields of a hash.")
        .complexity("O(n) in the number of fields")
        .tips(CHANGING_ORDER),
    hash("HLEN", hlen, Exactly(2), LOOK, READ_FAST)
        .syntax("key")
        .summary("Counts the fields of a hash.")
        .complexity("O(1), and O(n) in the fields that are due but not yet removed"),
    hash("HMGET", hmget, AtLeast(3), ACCESS, READ_FAST)
        .syntax("key field [field ...]")
        .summary("Tells the values of several fields, nil for those that are missing.")
        .complexity("O(1) a field"),
    hash("HMSET", hmset, AtLeast(4), UPDATE, GROW_FAST)
        .log(LogAs::Words)
        .syntax("key field value [field value ...]")
        .summary("Sets the values of fields.")
        .complexity("O(1) a field"),
    hash("HRANDFIELD", hrandfield, AtLeast(2), ACCESS, READ)
        .syntax("key [count [WITHVALUES]]")
        .summary("Tells fields chosen at random: different ones, or with a negative count each time among all.")
        .since("6.2.0")
        .complexity("O(n) in the number of fields returned, or in those of a small hash")
        .tips(CHANGING_OUTPUT),
    hash("HSCAN", hscan, AtLeast(3), ACCESS, READ)
        .syntax("key cursor [MATCH pattern] [COUNT count] [NOVALUES]")
        .summary("Walks through the fields of a hash, some at each call.")
        .since("2.8.0")
        .complexity("O(1) a call, O(n) for the whole walk")
        .tips(CHANGING_OUTPUT),
    hash("HSET", hset, AtLeast(4), UPDATE, GROW_FAST)
        .log(LogAs::Words)
        .syntax("key field value [field value ...]")
        .summary("Sets the values of fields and counts the new ones.")
        .complexity("O(1) a field"),
    hash("HSETNX", hsetnx, Exactly(4), INSERT, GROW_FAST)
        .log(LogAs::Words)
        .syntax("key field value")
        .summary("Sets the value of a field that is not there yet.")
        .complexity("O(1)"),
    hash("HSTRLEN", hstrlen, Exactly(3), LOOK, READ_FAST)
        .syntax("key field")
        .summary("Tells how many bytes the value of a field has.")
        .since("3.2.0")
        .complexity("O(1)"),
    hash("HVALS", hvals, Exactly(2), ACCESS, READ)
        .syntax("key")
        .summary("Tells the values of all fields of a hash.")
        .complexity("O(n) in the number of fields")
        .tips(CHANGING_ORDER),
];

fn bulk_or_nil(reply: &mut Reply, item: Option<Item<'_>>) {
    match item {
        Some(item) => reply_item(reply, item),
        None => reply.nil(),
    }
}

/// Says `event`, and that the key is gone if it is.
fn wrote(ctx: &mut Ctx, key: Key<'_>, event: Event) {
    let gone = !ctx.exists(key);
    ctx.wrote_less(key, event, gone);
}

/// Reply: int, the number of fields that were not there before.
/// Errors: WRONGTYPE; arity when a value is missing. Nothing is written then.
/// Effect: event `hset`; the fields lose their TTLs.
fn hset(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let added = set_pairs(ctx, args, "hset")?;
    reply.int(added);
    Ok(Done)
}

/// As HSET. Reply: OK.
fn hmset(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    set_pairs(ctx, args, "hmset")?;
    reply.ok();
    Ok(Done)
}

fn set_pairs(ctx: &mut Ctx, args: &mut Args, command: &str) -> Result<i64, CommandError> {
    let key = args.key()?;
    if !args.left().is_multiple_of(2) {
        return Err(CommandError::WrongArity(command.into()));
    }
    let now = ctx.now;
    let added = ctx.edit_or_new::<Hash, _>(key, |hash, limits| {
        let mut added = 0;
        while let (Ok(field), Ok(value)) = (args.next(), args.next()) {
            added += i64::from(hash.set(field, value, now, limits));
        }
        added
    })?;
    ctx.wrote(key, Event::HSet);
    Ok(added)
}

/// Reply: 1 when it was set, 0 when there is such a field.
/// Errors: WRONGTYPE.
/// Effect: event `hset`.
fn hsetnx(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let (field, value) = (args.next()?, args.next()?);
    let now = ctx.now;
    let missing = ctx.peek::<Hash>(key)?.is_none_or(|hash| !hash.contains(field, now));
    if missing {
        ctx.edit_or_new::<Hash, _>(key, |hash, limits| hash.set(field, value, now, limits))?;
        ctx.wrote(key, Event::HSet);
    }
    reply.int(i64::from(missing));
    Ok(Done)
}

/// Reply: bulk, or nil.
/// Errors: WRONGTYPE.
fn hget(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let now = ctx.now;
    let hash = ctx.view::<Hash>(key)?;
    let field = args.next()?;
    bulk_or_nil(reply, hash.and_then(|hash| hash.get(field, now)));
    Ok(Done)
}

/// Reply: array of bulks, nil for a field that is missing.
/// Errors: WRONGTYPE.
fn hmget(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let now = ctx.now;
    let hash = ctx.view::<Hash>(key)?;
    reply.array(args.left());
    while let Ok(field) = args.next() {
        bulk_or_nil(reply, hash.and_then(|hash| hash.get(field, now)));
    }
    Ok(Done)
}

/// Reply: map of the fields to their values; empty when there is no such key.
/// Errors: WRONGTYPE.
fn hgetall(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let now = ctx.now;
    let Some(hash) = ctx.view::<Hash>(args.key()?)? else {
        reply.map(0);
        return Ok(Done);
    };
    reply.map(hash.live(now));
    hash.iter(now).for_each(|(field, value)| {
        reply_item(reply, field);
        reply_item(reply, value);
    });
    Ok(Done)
}

/// Reply: array of the fields.
/// Errors: WRONGTYPE.
fn hkeys(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    reply_each(ctx, args, reply, |(field, _)| field)
}

/// Reply: array of the values.
/// Errors: WRONGTYPE.
fn hvals(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    reply_each(ctx, args, reply, |(_, value)| value)
}

fn reply_each(
    ctx: &mut Ctx,
    args: &mut Args,
    reply: &mut Reply,
    choose: for<'a> fn((Item<'a>, Item<'a>)) -> Item<'a>,
) -> Result<Outcome, CommandError> {
    let now = ctx.now;
    let hash = ctx.view::<Hash>(args.key()?)?;
    reply.array(hash.map_or(0, |hash| hash.live(now)));
    if let Some(hash) = hash {
        hash.iter(now).for_each(|pair| reply_item(reply, choose(pair)));
    }
    Ok(Done)
}

/// Reply: int, 0 when there is no such key.
/// Errors: WRONGTYPE.
fn hlen(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let now = ctx.now;
    let hash = ctx.view::<Hash>(args.key()?)?;
    reply.int(hash.map_or(0, |hash| hash.live(now)) as i64);
    Ok(Done)
}

/// Reply: int, 0 when there is no such field.
/// Errors: WRONGTYPE.
fn hstrlen(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let now = ctx.now;
    let hash = ctx.view::<Hash>(args.key()?)?;
    let field = args.next()?;
    reply.int(hash.and_then(|hash| hash.get(field, now)).map_or(0, Item::len) as i64);
    Ok(Done)
}

/// Reply: 1 or 0.
/// Errors: WRONGTYPE.
fn hexists(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let now = ctx.now;
    let hash = ctx.view::<Hash>(args.key()?)?;
    let field = args.next()?;
    reply.int(i64::from(hash.is_some_and(|hash| hash.contains(field, now))));
    Ok(Done)
}

/// Reply: int, how many fields were there.
/// Errors: WRONGTYPE.
/// Effect: event `hdel` when there was one, then `del` when it was the last.
fn hdel(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let now = ctx.now;
    let removed = ctx.edit::<Hash, _>(key, |hash, _| {
        let mut removed = 0;
        while let Ok(field) = args.next() {
            removed += i64::from(hash.remove(field, now));
        }
        hash.clear_if_gone(now);
        removed
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        wrote(ctx, key, Event::HDel);
    }
    reply.int(removed);
    Ok(Done)
}

/// Reply: int, the new value.
/// Errors: not an integer, WRONGTYPE, the value is not an integer, overflow; nothing is written then.
/// Effect: event `hincrby`; a TTL stays.
fn hincrby(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let field = args.next()?;
    let by = args.int()?;
    let now = ctx.now;
    let new = ctx.edit_or_new::<Hash, _>(key, |hash, limits| {
        let old = match hash.as_ref().get(field, now) {
            Some(value) => value.int().ok_or(CommandError::err("hash value is not an integer"))?,
            None => 0,
        };
        let new = old.checked_add(by).ok_or(CommandError::Overflow)?;
        hash.set_with(field, itoa::Buffer::new().format(new).as_bytes(), Ttl::Keep, now, limits);
        Ok::<_, CommandError>(new)
    })??;
    ctx.wrote(key, Event::HIncrBy);
    reply.int(new);
    Ok(Done)
}

/// Reply: bulk, the new value.
/// Errors: not a float, not finite, WRONGTYPE, the value is not a float, the result is not finite; nothing is written then.
/// Effect: event `hincrbyfloat`; a TTL stays.
fn hincrbyfloat(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let (field, by) = (args.next()?, args.next()?);
    number::add_decimal(b"0", by).map_err(|error| match error {
        DecimalError::NotAFloat => CommandError::NotFloat,
        DecimalError::NotFinite => CommandError::err("value is NaN or Infinity"),
    })?;
    let now = ctx.now;
    let new = ctx.edit_or_new::<Hash, _>(key, |hash, limits| {
        let mut digits = itoa::Buffer::new();
        let old = hash.as_ref().get(field, now).map_or(&b"0"[..], |value| value.text(&mut digits));
        let new = number::add_decimal(old, by).map_err(|error| match error {
            DecimalError::NotAFloat => CommandError::err("hash value is not a float"),
            DecimalError::NotFinite => CommandError::NanOrInfinity,
        })?;
        hash.set_with(field, new.as_bytes(), Ttl::Keep, now, limits);
        Ok::<_, CommandError>(new)
    })??;
    ctx.wrote(key, Event::HIncrByFloat);
    reply.bulk(new.as_bytes());
    Ok(Done)
}

/// Reply: bulk or nil; with a count an array of bulks, in RESP3 of pairs if values are wanted.
/// Errors: not an integer, out of range, syntax, WRONGTYPE.
fn hrandfield(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let now = ctx.now;
    let mut random = ctx.random();
    if args.left() == 0 {
        let field = ctx.view::<Hash>(key)?.and_then(|hash| hash.random(&mut random, now));
        bulk_or_nil(reply, field.map(|(field, _)| field));
        return Ok(Done);
    }
    let count = args.int()?;
    if count == i64::MIN {
        let text = "value is out of range, value must between -9223372036854775807 and 9223372036854775807";
        return Err(CommandError::err(text));
    }
    let with_values = args.keyword("WITHVALUES");
    if args.left() > 0 {
        return Err(CommandError::Syntax);
    }
    if with_values && count.unsigned_abs() > (i64::MAX / 2) as u64 {
        return Err(CommandError::err("value is out of range"));
    }
    let Some(hash) = ctx.view::<Hash>(key)? else {
        reply.array(0);
        return Ok(Done);
    };
    let live = hash.live(now);
    let several = count.is_negative() && live > 0;
    let (limit, draws) = Drawn::begin(reply, if several { count } else { 0 })?;
    let drawn = if several { draws } else { live.min(count.max(0) as usize) };
    let pairs = with_values && reply.proto() == Proto::Resp3;
    reply.array(if with_values && !pairs { 2 * drawn } else { drawn });
    let mut show = |field: Item<'_>, value: Item<'_>| {
        if pairs {
            reply.array(2);
        }
        reply_item(reply, field);
        if with_values {
            reply_item(reply, value);
        }
        limit.has_room(reply)
    };
    if several {
        hash.draw(drawn, &mut random, now, show);
        limit.end(reply)?;
    } else {
        hash.sample(drawn, &mut random, now, |field, value| {
            show(field, value);
        });
    }
    Ok(Done)
}

/// Reply: array of the next cursor and an array of fields with their values.
/// Errors: invalid cursor, WRONGTYPE, not an integer, syntax; for a missing key only the first.
fn hscan(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let cursor = walk_cursor(args)?;
    let now = ctx.now;
    let Some(hash) = ctx.view::<Hash>(key)? else {
        reply_walk(reply, |_| (0, 0));
        return Ok(Done);
    };
    let options = WalkOptions::parse(args, true)?;
    reply_walk(reply, |list| {
        let mut elements = 0;
        let next = hash.scan(cursor, options.count, now, |field, value| {
            if options.wants(field.text(&mut itoa::Buffer::new())) {
                reply_item(list, field);
                elements += 1;
                if !options.no_values {
                    reply_item(list, value);
                    elements += 1;
                }
            }
        });
        (next, elements)
    });
    Ok(Done)
}

#[cfg(test)]
mod tests;
