//! Sorted sets: BZMPOP ... ZUNIONSTORE.
//!
//! What a sorted set looks like inside (`types::zset`) no command here knows. An empty one is never stored: who takes the
//! last member takes the key. Here are the rows and what concerns single members; ranges are in `range`, commands over
//! several sets in `combine`.

use super::row_words::{
    ACCESS, CHANGE, CHANGING_OUTPUT, DELETE, GROW, LOOK, READ, READ_FAST, TAKE, UPDATE, WRITE, WRITE_FAST,
};
use super::scan::{WalkOptions, reply_walk, walk_cursor};
use super::{Drawn, reply_item};
use crate::command::{
    Args, Arity, Begin, CommandError, CommandSpec, Ctx, Event, Find, Flags, Group, Handler, KeyAccess, KeySpec, LogAs,
    Outcome, StoreFn, row,
};
use crate::resp::{Reply, number};
use crate::store::Key;
use crate::structs::packed::PackedRef;
use crate::types::zset::{Added, Member, NotANumber, Rule};
use crate::types::{ZSet, ZSetRef};
use Arity::{AtLeast, Exactly};
use Outcome::Done;

mod combine;
mod range;

const READ_MANY: Flags = READ.and(Flags::MOVABLE_KEYS);
const GROW_MANY: Flags = GROW.and(Flags::MOVABLE_KEYS);

const NUMBERED: &[KeySpec] = &[numbered(1, &["RO", "access"])];
const POP_NUMBERED: &[KeySpec] = &[numbered(1, &["RW", "access", "delete"])];
const WAIT_NUMBERED: &[KeySpec] = &[numbered(2, &["RW", "access", "delete"])];
const WAIT_ALL: &[KeySpec] = &[KeySpec::range(1, -2, 1, &["RW", "access", "delete"])];
const WAITS: Flags = WRITE_FAST.and(Flags::NOSCRIPT).and(Flags::BLOCKING);
const STORE: KeySpec = KeySpec::one(1, &["OW", "update"]);
const STORE_NUMBERED: &[KeySpec] = &[STORE, numbered(2, &["RO", "access"])];

/// Keys behind their number, which is word `at`.
const fn numbered(at: u16, access: &'static [&'static str]) -> KeySpec {
    let find = Find::KeyNum { at: 0, first: 1, step: 1 };
    KeySpec { begin: Begin::Index(at), find, access: KeyAccess(access) }
}

const fn zset(
    name: &'static str,
    handler: StoreFn,
    arity: Arity,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    row(name, Handler::Store(handler), arity, keys, flags).group(Group::SortedSet)
}

pub(crate) const ROWS: &[CommandSpec] = &[
    zset("BZMPOP", range::bzmpop, AtLeast(5), WAIT_NUMBERED, WRITE.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS))
        .log(LogAs::Told)
        .syntax("timeout numkeys key [key ...] <MIN | MAX> [COUNT count]")
        .summary("As ZMPOP; waits for one of the sorted sets to have members.")
        .since("7.0.0")
        .complexity("O(k + m log n), k the number of keys, m the members taken out"),
    zset("BZPOPMAX", range::bzpopmax, AtLeast(3), WAIT_ALL, WAITS)
        .log(LogAs::Told)
        .syntax("key [key ...] timeout")
        .summary("Takes the member with the highest score out of the first sorted set that has any; waits for one.")
        .since("5.0.0")
        .complexity("O(log n)"),
    zset("BZPOPMIN", range::bzpopmin, AtLeast(3), WAIT_ALL, WAITS)
        .log(LogAs::Told)
        .syntax("key [key ...] timeout")
        .summary("Takes the member with the lowest score out of the first sorted set that has any; waits for one.")
        .since("5.0.0")
        .complexity("O(log n)"),
    zset("ZADD", zadd, AtLeast(4), UPDATE, GROW.and(Flags::FAST))
        .log(LogAs::Words)
        .syntax("key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]")
        .summary("Adds members to a sorted set or changes their scores.")
        .since("1.2.0")
        .complexity("O(log n) a member"),
    zset("ZCARD", zcard, Exactly(2), LOOK, READ_FAST)
        .syntax("key")
        .summary("Counts the members of a sorted set.")
        .since("1.2.0")
        .complexity("O(1)"),
    zset("ZCOUNT", range::zcount, Exactly(4), ACCESS, READ_FAST)
        .syntax("key min max")
        .summary("Counts the members whose scores are in a range.")
        .since("2.0.0")
        .complexity("O(log n)"),
    zset("ZDIFF", combine::zdiff, AtLeast(3), NUMBERED, READ_MANY)
        .syntax("numkeys key [key ...] [WITHSCORES]")
        .summary("Returns the members of the first sorted set that no other one has.")
        .since("6.2.0")
        .complexity("O(n*m + k log k), n the members of the first, m the number of sets, k the members returned"),
    zset("ZDIFFSTORE", combine::zdiffstore, AtLeast(4), STORE_NUMBERED, GROW_MANY)
        .syntax("destination numkeys key [key ...]")
        .summary("Stores the members of the first sorted set that no other one has.")
        .since("6.2.0")
        .complexity("O(n*m + k log k), n the members of the first, m the number of sets, k the members stored"),
    zset("ZINCRBY", zincrby, Exactly(4), CHANGE, GROW.and(Flags::FAST))
        .log(LogAs::Words)
        .syntax("key increment member")
        .summary("Adds to the score of a member and returns the sum.")
        .since("1.2.0")
        .complexity("O(log n)"),
    zset("ZINTER", combine::zinter, AtLeast(3), NUMBERED, READ_MANY)
        .syntax("numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]")
        .summary("Returns the members that all sorted sets have.")
        .since("6.2.0")
        .complexity("O(n*m + k log k), n the members of the smallest, m the number of sets, k the members returned"),
    zset("ZINTERCARD", combine::zintercard, AtLeast(3), NUMBERED, READ_MANY)
        .syntax("numkeys key [key ...] [LIMIT limit]")
        .summary("Counts the members that all sorted sets have, up to a limit.")
        .since("7.0.0")
        .complexity("O(n*m), n the members of the smallest, m the number of sets"),
    zset("ZINTERSTORE", combine::zinterstore, AtLeast(4), STORE_NUMBERED, GROW_MANY)
        .syntax("destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]")
        .summary("Stores the members that all sorted sets have.")
        .since("2.0.0")
        .complexity("O(n*m + k log k), n the members of the smallest, m the number of sets, k the members stored"),
    zset("ZLEXCOUNT", range::zlexcount, Exactly(4), ACCESS, READ_FAST)
        .syntax("key min max")
        .summary("Counts the members between two, where all scores are the same.")
        .since("2.8.9")
        .complexity("O(log n)"),
    zset("ZMPOP", range::zmpop, AtLeast(4), POP_NUMBERED, WRITE.and(Flags::MOVABLE_KEYS))
        .log(LogAs::Told)
        .syntax("numkeys key [key ...] <MIN | MAX> [COUNT count]")
        .summary("Takes members with the lowest or highest scores out of the first sorted set that is not empty.")
        .since("7.0.0")
        .complexity("O(k + m log n), k the number of keys, m the members taken out"),
    zset("ZMSCORE", zmscore, AtLeast(3), ACCESS, READ_FAST)
        .syntax("key member [member ...]")
        .summary("Returns the scores of some members.")
        .since("6.2.0")
        .complexity("O(1) a member"),
    zset("ZPOPMAX", range::zpopmax, AtLeast(2), TAKE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key [count]")
        .summary("Takes the members with the highest scores out of a sorted set and returns them.")
        .since("5.0.0")
        .complexity("O(log n) a member"),
    zset("ZPOPMIN", range::zpopmin, AtLeast(2), TAKE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key [count]")
        .summary("Takes the members with the lowest scores out of a sorted set and returns them.")
        .since("5.0.0")
        .complexity("O(log n) a member"),
    zset("ZRANDMEMBER", zrandmember, AtLeast(2), ACCESS, READ)
        .syntax("key [count [WITHSCORES]]")
        .summary("Returns members of a sorted set, chosen at random; a negative count may return one several times.")
        .since("6.2.0")
        .complexity("O(log n) a member")
        .tips(CHANGING_OUTPUT),
    zset("ZRANGE", range::zrange, AtLeast(4), ACCESS, READ)
        .syntax("key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]")
        .summary("Returns the members of a range of ranks, of scores or of members.")
        .since("1.2.0")
        .complexity("O(log n + k), k the members returned"),
    zset("ZRANGEBYLEX", range::zrangebylex, AtLeast(4), ACCESS, READ)
        .syntax("key min max [LIMIT offset count]")
        .summary("Returns the members between two, where all scores are the same.")
        .since("2.8.9")
        .complexity("O(log n + k), k the members returned"),
    zset("ZRANGEBYSCORE", range::zrangebyscore, AtLeast(4), ACCESS, READ)
        .syntax("key min max [WITHSCORES] [LIMIT offset count]")
        .summary("Returns the members whose scores are in a range.")
        .since("1.0.5")
        .complexity("O(log n + k), k the members returned"),
    zset("ZRANGESTORE", range::zrangestore, AtLeast(5), &[STORE, KeySpec::one(2, &["RO", "access"])], GROW)
        .syntax("dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]")
        .summary("Stores the members of a range of ranks, of scores or of members.")
        .since("6.2.0")
        .complexity("O(log n + k), k the members stored"),
    zset("ZRANK", zrank, AtLeast(3), ACCESS, READ_FAST)
        .syntax("key member [WITHSCORE]")
        .summary("Tells how many members have lower scores than a member.")
        .since("2.0.0")
        .complexity("O(log n)"),
    zset("ZREM", zrem, AtLeast(3), DELETE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key member [member ...]")
        .summary("Removes members from a sorted set and counts those that were there.")
        .since("1.2.0")
        .complexity("O(log n) a member"),
    zset("ZREMRANGEBYLEX", range::zremrangebylex, Exactly(4), DELETE, WRITE)
        .log(LogAs::Words)
        .syntax("key min max")
        .summary("Removes the members between two, where all scores are the same.")
        .since("2.8.9")
        .complexity("O(log n + k), k the members removed"),
    zset("ZREMRANGEBYRANK", range::zremrangebyrank, Exactly(4), DELETE, WRITE)
        .log(LogAs::Words)
        .syntax("key start stop")
        .summary("Removes the members of a range of ranks.")
        .since("2.0.0")
        .complexity("O(log n + k), k the members removed"),
    zset("ZREMRANGEBYSCORE", range::zremrangebyscore, Exactly(4), DELETE, WRITE)
        .log(LogAs::Words)
        .syntax("key min max")
        .summary("Removes the members whose scores are in a range.")
        .since("1.2.0")
        .complexity("O(log n + k), k the members removed"),
    zset("ZREVRANGE", range::zrevrange, AtLeast(4), ACCESS, READ)
        .syntax("key start stop [WITHSCORES]")
        .summary("Returns the members of a range of ranks counted from the highest score.")
        .since("1.2.0")
        .complexity("O(log n + k), k the members returned"),
    zset("ZREVRANGEBYLEX", range::zrevrangebylex, AtLeast(4), ACCESS, READ)
        .syntax("key max min [LIMIT offset count]")
        .summary("Returns the members between two, where all scores are the same, in reverse order.")
        .since("2.8.9")
        .complexity("O(log n + k), k the members returned"),
    zset("ZREVRANGEBYSCORE", range::zrevrangebyscore, AtLeast(4), ACCESS, READ)
        .syntax("key max min [WITHSCORES] [LIMIT offset count]")
        .summary("Returns the members whose scores are in a range, the highest first.")
        .since("2.2.0")
        .complexity("O(log n + k), k the members returned"),
    zset("ZREVRANK", zrevrank, AtLeast(3), ACCESS, READ_FAST)
        .syntax("key member [WITHSCORE]")
        .summary("Tells how many members have higher scores than a member.")
        .since("2.0.0")
        .complexity("O(log n)"),
    zset("ZSCAN", zscan, AtLeast(3), ACCESS, READ)
        .syntax("key cursor [MATCH pattern] [COUNT count]")
        .summary("Returns a part of the members of a sorted set with their scores, and a cursor for the next part.")
        .since("2.8.0")
        .complexity("O(1) a call; O(n) for all parts")
        .tips(CHANGING_OUTPUT),
    zset("ZSCORE", zscore, Exactly(3), ACCESS, READ_FAST)
        .syntax("key member")
        .summary("Returns the score of a member.")
        .since("1.2.0")
        .complexity("O(1)"),
    zset("ZUNION", combine::zunion, AtLeast(3), NUMBERED, READ_MANY)
        .syntax("numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]")
        .summary("Returns the members that at least one of the sorted sets has.")
        .since("6.2.0")
        .complexity("O(n + k log k), n the members of all sets, k the members returned"),
    zset("ZUNIONSTORE", combine::zunionstore, AtLeast(4), STORE_NUMBERED, GROW_MANY)
        .syntax("destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]")
        .summary("Stores the members that at least one of the sorted sets has.")
        .since("2.0.0")
        .complexity("O(n + k log k), n the members of all sets, k the members stored"),
];

/// One without members, for a key that is missing.
const EMPTY: ZSetRef<'static> = ZSetRef::Packed(PackedRef::from_bytes(&[]));

/// The sorted set at a key, or an empty one.
fn view<'c>(ctx: &'c mut Ctx, key: Key<'_>) -> Result<ZSetRef<'c>, CommandError> {
    Ok(ctx.view::<ZSet>(key)?.unwrap_or(EMPTY))
}

/// An array of members; with scores, of pairs.
fn put_all<'a>(reply: &mut Reply, members: impl ExactSizeIterator<Item = (Member<'a>, f64)>, scores: bool) {
    if scores {
        reply.pairs(members.len());
        members.for_each(|(member, score)| put_pair(reply, member, score));
    } else {
        reply.array(members.len());
        members.for_each(|(member, _)| reply_item(reply, member));
    }
}

fn put_pair(reply: &mut Reply, member: Member<'_>, score: f64) {
    reply.pair();
    reply_item(reply, member);
    reply.double(score);
}

/// Stores a result in place of whatever was there, nothing if it is empty. Reply: int, its members.
fn store(ctx: &mut Ctx, reply: &mut Reply, target: Key<'_>, result: ZSet, event: Event) {
    let len = result.len();
    if len > 0 {
        ctx.store_new(target, result);
        ctx.wrote(target, event);
    } else if ctx.remove(target) {
        ctx.wrote(target, Event::Del);
    }
    reply.int(len as i64);
}

/// The options of ZADD.
#[derive(Default)]
struct AddOptions {
    rule: Rule,
    /// CH: members with another score count, too.
    count_changed: bool,
}

impl AddOptions {
    /// Takes the words that are options.
    fn parse(args: &mut Args) -> AddOptions {
        let mut o = AddOptions::default();
        loop {
            if args.keyword("NX") {
                o.rule.new_only = true;
            } else if args.keyword("XX") {
                o.rule.existing_only = true;
            } else if args.keyword("GT") {
                o.rule.greater = true;
            } else if args.keyword("LT") {
                o.rule.less = true;
            } else if args.keyword("CH") {
                o.count_changed = true;
            } else if args.keyword("INCR") {
                o.rule.increment = true;
            } else {
                return o;
            }
        }
    }

    /// Errors: what does not go together.
    fn check(&self, words: usize) -> Result<(), CommandError> {
        let rule = self.rule;
        if words == 0 || !words.is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        if rule.new_only && rule.existing_only {
            return Err(CommandError::err("XX and NX options at the same time are not compatible"));
        }
        if (rule.greater && rule.less) || (rule.new_only && (rule.greater || rule.less)) {
            return Err(CommandError::err("GT, LT, and/or NX options at the same time are not compatible"));
        }
        if rule.increment && words > 2 {
            return Err(CommandError::err("INCR option supports a single increment-element pair"));
        }
        Ok(())
    }
}

/// Reply: int, how many members are new (CH: or have another score); with INCR, the new score, nil if a rule forbids it.
/// Errors: syntax, options that exclude each other, not a float, WRONGTYPE, the sum is no number.
/// Effect: event `zadd` (`zincr` with INCR), when something changed.
fn zadd(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let options = AddOptions::parse(args);
    options.check(args.left())?;
    add(ctx, key, args, options, reply)
}

/// Reply: double, the new score.
/// Errors: syntax, not a float, WRONGTYPE, the sum is no number.
/// Effect: event `zincr`, when the score is another one.
fn zincrby(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    // It is ZADD with INCR to Redis, too: an option in place of the increment leaves a word too few.
    let mut options = AddOptions::parse(args);
    options.rule.increment = true;
    options.check(args.left())?;
    add(ctx, key, args, options, reply)
}

/// Adds the pairs that are left to read.
fn add(
    ctx: &mut Ctx,
    key: Key<'_>,
    args: &mut Args,
    options: AddOptions,
    reply: &mut Reply,
) -> Result<Outcome, CommandError> {
    let rule = options.rule;
    // Nothing is written unless all scores are numbers. Mostly there is one pair.
    let mut check = args.fork();
    let first = check.float()?;
    let longest = check.next()?.len();
    while check.left() > 0 {
        check.float()?;
        check.next()?;
    }
    let count = args.left() / 2;
    let mut counts = (0, 0);
    let mut last = Added::Refused;
    let mut add_all = |zset: &mut ZSet, limits: &_| {
        if zset.is_empty() {
            if count > 1 {
                *zset = ZSet::for_members(longest, count, limits);
            }
        } else {
            zset.expect(count, limits);
        }
        let mut score = first;
        args.next()?;
        loop {
            last = zset.add(args.next()?, score, rule, limits)?;
            match last {
                Added::New(_) => counts.0 += 1,
                Added::Changed(_) => counts.1 += 1,
                Added::Same(_) | Added::Refused => {}
            }
            if args.left() == 0 {
                return Ok(());
            }
            score = args.float()?;
        }
    };
    let result: Result<(), CommandError> = if rule.existing_only {
        ctx.edit(key, |zset, limits| add_all(zset, limits))?.unwrap_or(Ok(()))
    } else {
        ctx.edit_or_new(key, |zset, limits| add_all(zset, limits))?
    };
    result?;
    let (added, changed) = counts;
    if added + changed > 0 {
        ctx.wrote(key, if rule.increment { Event::ZIncr } else { Event::ZAdd });
    }
    match last {
        _ if !rule.increment => reply.int(added + if options.count_changed { changed } else { 0 }),
        Added::New(score) | Added::Changed(score) | Added::Same(score) => reply.double(score),
        Added::Refused => reply.nil(),
    }
    Ok(Done)
}

impl From<NotANumber> for CommandError {
    fn from(NotANumber: NotANumber) -> CommandError {
        CommandError::err("resulting score is not a number (NaN)")
    }
}

/// Reply: int, the number of members that were there.
/// Errors: WRONGTYPE.
/// Effect: event `zrem`, when there were any; `del` with the last member.
fn zrem(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let removed = ctx.edit::<ZSet, _>(key, |zset, _| {
        let mut removed = 0;
        while let Ok(member) = args.next() {
            removed += i64::from(zset.remove(member));
        }
        (removed, zset.is_empty())
    })?;
    let (removed, gone) = removed.unwrap_or((0, false));
    if removed > 0 {
        ctx.wrote_less(key, Event::ZRem, gone);
    }
    reply.int(removed);
    Ok(Done)
}

/// Reply: int, 0 for a missing key.
/// Errors: WRONGTYPE.
fn zcard(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let len = view(ctx, args.key()?)?.len();
    reply.int(len as i64);
    Ok(Done)
}

fn put_score(reply: &mut Reply, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.nil(),
    }
}

/// Reply: double, or nil.
/// Errors: WRONGTYPE.
fn zscore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let zset = view(ctx, args.key()?)?;
    put_score(reply, zset.score(args.next()?));
    Ok(Done)
}

/// Reply: array of doubles and nils, in the order of the members asked for.
/// Errors: WRONGTYPE.
fn zmscore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let zset = view(ctx, args.key()?)?;
    reply.array(args.left());
    while let Ok(member) = args.next() {
        put_score(reply, zset.score(member));
    }
    Ok(Done)
}

fn zrank(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    rank(ctx, args, reply, "zrank", |rank, _| rank)
}

fn zrevrank(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    rank(ctx, args, reply, "zrevrank", |rank, len| len - 1 - rank)
}

/// Reply: int, or nil; with WITHSCORE, an array of the rank and the score.
/// Errors: syntax, arity, WRONGTYPE.
fn rank(
    ctx: &mut Ctx,
    args: &mut Args,
    reply: &mut Reply,
    name: &str,
    told: impl Fn(usize, usize) -> usize,
) -> Result<Outcome, CommandError> {
    let (key, member) = (args.key()?, args.next()?);
    if args.left() > 1 {
        return Err(CommandError::WrongArity(name.into()));
    }
    let with_score = args.keyword("WITHSCORE");
    if args.left() > 0 {
        return Err(CommandError::Syntax);
    }
    let zset = view(ctx, key)?;
    match (zset.rank(member), with_score) {
        (Some((rank, _)), false) => reply.int(told(rank, zset.len()) as i64),
        (Some((rank, score)), true) => {
            reply.array(2);
            reply.int(told(rank, zset.len()) as i64);
            reply.double(score);
        }
        (None, false) => reply.nil(),
        (None, true) => reply.nil_array(),
    }
    Ok(Done)
}

/// Reply: a bulk or nil; with a count, an array of different members, with a negative one of any; WITHSCORES, of pairs.
/// Errors: a count that is no integer or out of range; syntax; WRONGTYPE.
fn zrandmember(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let mut random = ctx.random();
    if args.left() == 0 {
        match view(ctx, key)?.random(&mut random) {
            Some((member, _)) => reply_item(reply, member),
            None => reply.nil(),
        }
        return Ok(Done);
    }
    let count = args.int()?;
    if count == i64::MIN {
        return Err(CommandError::err(
            "value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let with_scores = args.left() == 1 && args.keyword("WITHSCORES");
    if args.left() > 0 {
        return Err(CommandError::Syntax);
    }
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(CommandError::err("value is out of range"));
    }
    let zset = view(ctx, key)?;
    if count >= 0 {
        let ranks = zset.sample(count as usize, &mut random);
        put_all(
            reply,
            ranks.into_iter().filter_map(|rank| zset.nth(rank)).collect::<Vec<_>>().into_iter(),
            with_scores,
        );
        return Ok(Done);
    }
    let (limit, draws) = Drawn::begin(reply, if zset.is_empty() { 0 } else { count })?;
    let mut chosen = (0..draws).map_while(|_| zset.random(&mut random));
    if with_scores {
        reply.pairs(draws);
        chosen.all(|(member, score)| {
            put_pair(reply, member, score);
            limit.has_room(reply)
        });
    } else {
        reply.array(draws);
        chosen.all(|(member, _)| {
            reply_item(reply, member);
            limit.has_room(reply)
        });
    }
    limit.end(reply)?;
    Ok(Done)
}

/// Reply: array of the next cursor, 0 at the end, and an array of members and scores in turn.
/// Errors: invalid cursor, WRONGTYPE, syntax, not an integer.
fn zscan(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let cursor = walk_cursor(args)?;
    let Some(zset) = ctx.view::<ZSet>(key)? else {
        reply_walk(reply, |_| (0, 0));
        return Ok(Done);
    };
    let options = WalkOptions::parse(args, false)?;
    reply_walk(reply, |list| {
        let (mut found, mut score_text) = (0, number::F64Buffer::new());
        let next = zset.scan(cursor, options.count, |member, score| {
            if options.wants(member.text(&mut itoa::Buffer::new())) {
                reply_item(list, member);
                list.bulk(score_text.format(score));
                found += 2;
            }
        });
        (next, found)
    });
    Ok(Done)
}

#[cfg(test)]
mod tests;
