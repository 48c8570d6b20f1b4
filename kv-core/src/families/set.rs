//! Sets: SADD ... SSCAN.
//!
//! What a set looks like inside (`types::set`) no command here knows. An empty set is never stored: who takes the last
//! member takes the key. Commands over several sets treat a missing key as an empty one.

use super::row_words::{ACCESS, CHANGING_ORDER, CHANGING_OUTPUT, DELETE, FAST, GROW, INSERT, LOOK, READ, TAKE, WRITE};
use super::scan::{WalkOptions, reply_walk, walk_cursor};
use super::{Drawn, reply_item};
use crate::command::{
    Args, Arity, Begin, Collected, CommandError, CommandSpec, Ctx, Event, Find, Flags, Group, Handler, KeyAccess,
    KeySpec, LogAs, Outcome, StoreFn, row,
};
use crate::resp::{Reply, number};
use crate::store::Key;
use crate::structs::ints::IntsRef;
use crate::types::set::{self, Combined, Member, Set, SetRef};
use Arity::{AtLeast, Exactly};
use Outcome::Done;
use std::ops::ControlFlow;

const ACCESS_ALL: &[KeySpec] = &[KeySpec::range(1, -1, 1, &["RO", "access"])];
const SOURCES: KeySpec = KeySpec::range(2, -1, 1, &["RO", "access"]);

const fn set(
    name: &'static str,
    handler: StoreFn,
    arity: Arity,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    row(name, Handler::Store(handler), arity, keys, flags).group(Group::Set).since("1.0.0")
}

pub(crate) const ROWS: &[CommandSpec] = &[
    set("SADD", sadd, AtLeast(3), INSERT, GROW.and(FAST))
        .log(LogAs::Words)
        .syntax("key member [member ...]")
        .summary("Adds members to a set and counts the new ones.")
        .complexity("O(1) a member"),
    set("SCARD", scard, Exactly(2), LOOK, READ.and(FAST))
        .syntax("key")
        .summary("Counts the members of a set.")
        .complexity("O(1)"),
    set("SDIFF", sdiff, AtLeast(2), ACCESS_ALL, READ)
        .syntax("key [key ...]")
        .summary("Returns the members of the first set that no other one has.")
        .complexity("O(n) in the number of members of all sets")
        .tips(CHANGING_ORDER),
    set("SDIFFSTORE", sdiffstore, AtLeast(3), &[KeySpec::one(1, &["OW", "update"]), SOURCES], GROW)
        .syntax("destination key [key ...]")
        .summary("Stores the members of the first set that no other one has.")
        .complexity("O(n) in the number of members of all sets"),
    set("SINTER", sinter, AtLeast(2), ACCESS_ALL, READ)
        .syntax("key [key ...]")
        .summary("Returns the members that all sets have.")
        .complexity("O(n*m), n the members of the smallest set, m the number of sets")
        .tips(CHANGING_ORDER),
    set(
        "SINTERCARD",
        sintercard,
        AtLeast(3),
        &[KeySpec {
            begin: Begin::Index(1),
            find: Find::KeyNum { at: 0, first: 1, step: 1 },
            access: KeyAccess(&["RO", "access"]),
        }],
        READ.and(Flags::MOVABLE_KEYS),
    )
    .syntax("numkeys key [key ...] [LIMIT limit]")
    .summary("Counts the members that all sets have, up to a limit.")
    .since("7.0.0")
    .complexity("O(n*m), n the members of the smallest set, m the number of sets"),
    set("SINTERSTORE", sinterstore, AtLeast(3), &[KeySpec::one(1, &["RW", "update"]), SOURCES], GROW)
        .syntax("destination key [key ...]")
        .summary("Stores the members that all sets have.")
        .complexity("O(n*m), n the members of the smallest set, m the number of sets"),
    set("SISMEMBER", sismember, Exactly(3), LOOK, READ.and(FAST))
        .syntax("key member")
        .summary("Tells whether a set has a member.")
        .complexity("O(1)"),
    set("SMEMBERS", smembers, Exactly(2), ACCESS, READ)
        .syntax("key")
        .summary("Returns all members of a set.")
        .complexity("O(n) in the number of members")
        .tips(CHANGING_ORDER),
    set("SMISMEMBER", smismember, AtLeast(3), ACCESS, READ.and(FAST))
        .syntax("key member [member ...]")
        .summary("Tells for each of some members whether a set has it.")
        .since("6.2.0")
        .complexity("O(1) a member"),
    set(
        "SMOVE",
        smove,
        Exactly(4),
        &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["RW", "insert"])],
        WRITE.and(FAST),
    )
    .log(LogAs::Told)
    .syntax("source destination member")
    .summary("Moves a member from one set to another.")
    .complexity("O(1)"),
    set("SPOP", spop, AtLeast(2), TAKE, WRITE.and(FAST))
        .log(LogAs::Told)
        .syntax("key [count]")
        .summary("Takes members out of a set at random and returns them.")
        .complexity("O(1) a member")
        .tips(CHANGING_OUTPUT),
    set("SRANDMEMBER", srandmember, AtLeast(2), ACCESS, READ)
        .syntax("key [count]")
        .summary("Returns members of a set, chosen at random; a negative count may return one several times.")
        .complexity("O(1) a member")
        .tips(CHANGING_OUTPUT),
    set("SREM", srem, AtLeast(3), DELETE, WRITE.and(FAST))
        .log(LogAs::Words)
        .syntax("key member [member ...]")
        .summary("Removes members from a set and counts those that were there.")
        .complexity("O(1) a member"),
    set("SSCAN", sscan, AtLeast(3), ACCESS, READ)
        .syntax("key cursor [MATCH pattern] [COUNT count]")
        .summary("Returns a part of the members of a set and a cursor for the next part.")
        .since("2.8.0")
        .complexity("O(1) a call; O(n) for all parts")
        .tips(CHANGING_OUTPUT),
    set("SUNION", sunion, AtLeast(2), ACCESS_ALL, READ)
        .syntax("key [key ...]")
        .summary("Returns the members that at least one of the sets has.")
        .complexity("O(n) in the number of members of all sets")
        .tips(CHANGING_ORDER),
    set("SUNIONSTORE", sunionstore, AtLeast(3), &[KeySpec::one(1, &["OW", "update"]), SOURCES], GROW)
        .syntax("destination key [key ...]")
        .summary("Stores the members that at least one of the sets has.")
        .complexity("O(n) in the number of members of all sets"),
];

/// A set without members, for a key that is missing.
const EMPTY: SetRef<'static> = SetRef::Ints(IntsRef::EMPTY);

/// The set at a key, or an empty one.
fn view<'c>(ctx: &'c mut Ctx, key: Key<'_>) -> Result<SetRef<'c>, CommandError> {
    Ok(ctx.view::<Set>(key)?.unwrap_or(EMPTY))
}

/// Reply: int, the number of members that were not there before.
/// Errors: WRONGTYPE.
/// Effect: event `sadd`, when there were any.
fn sadd(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let (count, first) = (args.left(), args.peek().ok_or(CommandError::Syntax)?);
    let added = ctx.edit_or_new::<Set, _>(key, |set, limits| {
        if !set.is_empty() {
            set.expect(count, limits);
        } else if count > 1 {
            *set = Set::for_members(first, count, limits);
        }
        let mut added = 0;
        while let Ok(member) = args.next() {
            added += i64::from(set.add(member, limits));
        }
        added
    })?;
    if added > 0 {
        ctx.wrote(key, Event::SAdd);
    }
    reply.int(added);
    Ok(Done)
}

/// Reply: int, the number of members that were there.
/// Errors: WRONGTYPE.
/// Effect: event `srem`, when there were any; `del` with the last of the set.
fn srem(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let removed = ctx.edit::<Set, _>(key, |set, _| {
        let mut removed = 0;
        while let Ok(member) = args.next() {
            removed += i64::from(set.remove(member));
        }
        (removed, set.is_empty())
    })?;
    let (removed, gone) = removed.unwrap_or((0, false));
    if removed > 0 {
        ctx.wrote_less(key, Event::SRem, gone);
    }
    reply.int(removed);
    Ok(Done)
}

/// Reply: int, 0 for a missing key.
/// Errors: WRONGTYPE.
fn scard(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let len = view(ctx, args.key()?)?.len();
    reply.int(len as i64);
    Ok(Done)
}

/// Reply: 1 or 0.
/// Errors: WRONGTYPE.
fn sismember(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let set = view(ctx, args.key()?)?;
    reply.int(i64::from(set.contains(args.next()?)));
    Ok(Done)
}

/// Reply: array of 1 and 0, in the order of the members asked for.
/// Errors: WRONGTYPE.
fn smismember(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let set = view(ctx, args.key()?)?;
    reply.array(args.left());
    while let Ok(member) = args.next() {
        reply.int(i64::from(set.contains(member)));
    }
    Ok(Done)
}

/// Reply: set of all members.
/// Errors: WRONGTYPE.
fn smembers(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let set = view(ctx, args.key()?)?;
    reply.set(set.len());
    set.iter().for_each(|member| reply_item(reply, member));
    Ok(Done)
}

/// Reply: 1, or 0 when the source does not have the member.
/// Errors: WRONGTYPE, of the destination only if there is a source.
/// Effect: event `srem` for the source, `del` with its last member; `sadd` for the destination unless it had the member.
fn smove(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (source, target, member) = (args.key()?, args.key()?, args.next()?);
    let Some(has) = ctx.view::<Set>(source)?.map(|set| set.contains(member)) else {
        reply.int(0);
        return Ok(Done);
    };
    ctx.peek::<Set>(target)?;
    reply.int(i64::from(has));
    if !has || source.bytes == target.bytes {
        return Ok(Done);
    }
    let gone = ctx.edit::<Set, _>(source, |set, _| {
        set.remove(member);
        set.is_empty()
    })?;
    ctx.effect(source, [b"SREM", source.bytes, member]);
    ctx.wrote_less(source, Event::SRem, gone == Some(true));
    if ctx.edit_or_new::<Set, _>(target, |set, limits| set.add(member, limits))? {
        ctx.effect(target, [b"SADD", target.bytes, member]);
        ctx.wrote(target, Event::SAdd);
    }
    Ok(Done)
}

/// Reply: a bulk or nil; with a count, a set.
/// Errors: WRONGTYPE; a count that is no integer from 0 on; syntax.
/// Effect: event `spop`; `del` with the last member.
fn spop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let mut random = ctx.random();
    let mut effect = ctx.is_logged(key).then(|| Collected::new([b"SREM", key.bytes]));
    let mut tell = |reply: &mut Reply, member: Member<'_>| {
        reply_item(reply, member);
        if let Some(effect) = &mut effect {
            effect.push(member.text(&mut itoa::Buffer::new()));
        }
    };
    let popped = if args.left() == 0 {
        ctx.edit::<Set, _>(key, |set, _| {
            set.pop(&mut random, |member| tell(reply, member));
            (1, set.is_empty())
        })?
    } else {
        let count = positive_count(args)?;
        ctx.edit::<Set, _>(key, |set, _| {
            let count = count.min(set.len());
            reply.set(count);
            set.pop_many(count, &mut random, |member| tell(reply, member));
            (count, set.is_empty())
        })?
    };
    match popped {
        None if args.total() == 2 => reply.nil(),
        None => reply.set(0),
        Some((0, _)) => {}
        Some((_, gone)) => {
            match effect {
                Some(effect) if !gone => ctx.effect(key, effect.iter()),
                _ => ctx.effect_state(key),
            }
            ctx.wrote_less(key, Event::SPop, gone);
        }
    }
    Ok(Done)
}

/// The last word, a count.
fn positive_count(args: &mut Args) -> Result<usize, CommandError> {
    let word = args.next()?;
    if args.left() > 0 {
        return Err(CommandError::Syntax);
    }
    let count = number::parse_i64(word).and_then(|count| usize::try_from(count).ok());
    count.ok_or(CommandError::err("value is out of range, must be positive"))
}

/// Reply: a bulk or nil; with a count, an array of different members, with a negative one of any.
/// Errors: WRONGTYPE; a count that is no integer or out of range; syntax.
fn srandmember(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let mut random = ctx.random();
    if args.left() == 0 {
        match view(ctx, key)?.random(&mut random) {
            Some(member) => reply_item(reply, member),
            None => reply.nil(),
        }
        return Ok(Done);
    }
    if args.left() > 1 {
        return Err(CommandError::Syntax);
    }
    let count = args.int()?;
    if count == i64::MIN {
        return Err(CommandError::err(
            "value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let set = view(ctx, key)?;
    match usize::try_from(count) {
        Ok(count) => {
            let count = count.min(set.len());
            reply.array(count);
            set.sample(count, &mut random, |member| reply_item(reply, member));
        }
        Err(_) => {
            let (limit, draws) = Drawn::begin(reply, if set.is_empty() { 0 } else { count })?;
            reply.array(draws);
            set.draw(draws as u64, &mut random, |member| {
                reply_item(reply, member);
                limit.has_room(reply)
            });
            limit.end(reply)?;
        }
    }
    Ok(Done)
}

/// The sets at all keys left to read, missing ones empty.
///
/// Errors: WRONGTYPE.
fn views<'c>(ctx: &'c mut Ctx, args: &mut Args) -> Result<Vec<SetRef<'c>>, CommandError> {
    // A first pass for what an access has for effects, a second one to have all in view at once.
    let mut again = args.fork();
    while args.left() > 0 {
        view(ctx, args.key()?)?;
    }
    let ctx = &*ctx;
    let mut sets = Vec::with_capacity(again.left());
    while again.left() > 0 {
        sets.push(ctx.peek::<Set>(again.key()?)?.unwrap_or(EMPTY));
    }
    Ok(sets)
}

fn combine(how: Combined, ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let limits = ctx.limits();
    let sets = views(ctx, args)?;
    reply.set_counted(how.len_max(&sets), |reply| {
        let mut len = 0;
        how.each(&sets, limits, |member| {
            reply_item(reply, member);
            len += 1;
        });
        len
    });
    Ok(Done)
}

fn combine_into(
    how: Combined,
    event: Event,
    ctx: &mut Ctx,
    args: &mut Args,
    reply: &mut Reply,
) -> Result<Outcome, CommandError> {
    let target = args.key()?;
    let limits = ctx.limits();
    let result = how.collect(&views(ctx, args)?, limits);
    let len = result.len();
    if len > 0 {
        ctx.store_new(target, result);
        ctx.wrote(target, event);
    } else if ctx.remove(target) {
        ctx.wrote(target, Event::Del);
    }
    reply.int(len as i64);
    Ok(Done)
}

/// Reply: set.
/// Errors: WRONGTYPE, of any key.
fn sinter(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    combine(Combined::Intersection, ctx, args, reply)
}

/// Reply: set.
/// Errors: WRONGTYPE, of any key.
fn sunion(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    combine(Combined::Union, ctx, args, reply)
}

/// Reply: set.
/// Errors: WRONGTYPE, of any key.
fn sdiff(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    combine(Combined::Difference, ctx, args, reply)
}

/// Reply: int, the number of members stored.
/// Errors: WRONGTYPE, of any source; nothing is written then.
/// Effect: event `sinterstore`, whatever the destination was; `del` when nothing is left of it.
fn sinterstore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    combine_into(Combined::Intersection, Event::SInterStore, ctx, args, reply)
}

/// As `sinterstore`; event `sunionstore`.
fn sunionstore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    combine_into(Combined::Union, Event::SUnionStore, ctx, args, reply)
}

/// As `sinterstore`; event `sdiffstore`.
fn sdiffstore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    combine_into(Combined::Difference, Event::SDiffStore, ctx, args, reply)
}

/// Reply: int, the number of common members, at most the limit if that is not 0.
/// Errors: WRONGTYPE, of any key; a number of keys or a limit that cannot be; syntax.
fn sintercard(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let keys = number::parse_i64(args.next()?).and_then(|keys| usize::try_from(keys).ok()).filter(|&keys| keys > 0);
    let keys = keys.ok_or(CommandError::err("numkeys should be greater than 0"))?;
    if keys > args.left() {
        return Err(CommandError::err("Number of keys can't be greater than number of args"));
    }
    let mut names = args.take(keys);
    let mut limit = 0;
    while args.left() > 0 {
        if !args.keyword("LIMIT") || args.left() == 0 {
            return Err(CommandError::Syntax);
        }
        let word = number::parse_i64(args.next()?).and_then(|limit| usize::try_from(limit).ok());
        limit = word.ok_or(CommandError::err("LIMIT can't be negative"))?;
    }
    let mut found = 0;
    set::intersection(&views(ctx, &mut names)?, |_| {
        found += 1;
        if found == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    reply.int(found as i64);
    Ok(Done)
}

/// Reply: array of the next cursor and of the members found; each that is there all the time is found at least once.
/// Errors: invalid cursor; WRONGTYPE; those of the options, unless the key is missing.
fn sscan(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let cursor = walk_cursor(args)?;
    let Some(set) = ctx.view::<Set>(key)? else {
        reply_walk(reply, |_| (0, 0));
        return Ok(Done);
    };
    let options = WalkOptions::parse(args, false)?;
    reply_walk(reply, |list| {
        let mut found = 0;
        let next = set.scan(cursor, options.count, |member| {
            if options.wants(member.text(&mut itoa::Buffer::new())) {
                reply_item(list, member);
                found += 1;
            }
        });
        (next, found)
    });
    Ok(Done)
}

#[cfg(test)]
mod tests;
