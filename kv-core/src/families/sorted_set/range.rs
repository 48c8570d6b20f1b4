//! Ranges of sorted sets: by rank, by score, by member.
//!
//! Every range becomes one of ranks, ascending; LIMIT and REV are arithmetic on it.

use super::{Done, put_all, put_pair, store, view};
use crate::command::{Args, CommandError, Ctx, Event, Outcome};
use crate::families::reply_item;
use crate::families::wait::{PopOptions, first_of, until};
use crate::resp::{Reply, number};
use crate::store::Key;
use crate::types::zset::{LexBound, LexRange, Member, ScoreBound, ScoreRange};
use crate::types::{ZSet, ZSetRef};
use std::ops::Range;

type Handled = Result<Outcome, CommandError>;

/// An end of a range of scores: a number, `(` in front of it if it is not in the range.
///
/// Errors: min or max is not a float. As C's `strtod` reads it: blanks in front are passed over, no digits are 0, a number
/// too large is infinite.
fn score_bound(word: &[u8]) -> Result<ScoreBound, CommandError> {
    let (exclusive, text) = match word {
        [b'(', text @ ..] => (true, text),
        text => (false, text),
    };
    let trimmed = text.trim_ascii_start();
    let score = match number::parse_f64(trimmed) {
        Some(score) => Some(score),
        None if text.is_empty() => Some(0.0),
        None => {
            std::str::from_utf8(trimmed).ok().and_then(|text| text.parse().ok()).filter(|score: &f64| !score.is_nan())
        }
    };
    let score = score.ok_or(CommandError::err("min or max is not a float"))?;
    Ok(ScoreBound { score, exclusive })
}

fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange, CommandError> {
    Ok(ScoreRange { min: score_bound(min)?, max: score_bound(max)? })
}

/// An end of a range of members: `[member`, `(member`, `-` or `+`.
///
/// Errors: min or max not valid string range item.
fn lex_bound(word: &[u8]) -> Result<LexBound<'_>, CommandError> {
    match word {
        b"-" => Ok(LexBound::Lowest),
        b"+" => Ok(LexBound::Highest),
        [b'[', member @ ..] => Ok(LexBound::Included(member)),
        [b'(', member @ ..] => Ok(LexBound::Excluded(member)),
        _ => Err(CommandError::err("min or max not valid string range item")),
    }
}

fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>, CommandError> {
    Ok(LexRange { min: lex_bound(min)?, max: lex_bound(max)? })
}

/// A range of ranks as Redis counts: both ends belong to it, and negative ones count from the end.
#[derive(Clone, Copy)]
struct RankRange {
    start: i64,
    stop: i64,
}

impl RankRange {
    /// Errors: not an integer.
    fn parse(start: &[u8], stop: &[u8]) -> Result<RankRange, CommandError> {
        let int = |word| number::parse_i64(word).ok_or(CommandError::NotInteger);
        Ok(RankRange { start: int(start)?, stop: int(stop)? })
    }

    fn among(self, len: usize) -> Range<usize> {
        let from_start = |rank: i64| if rank < 0 { rank.saturating_add(len as i64) } else { rank };
        let start = from_start(self.start).max(0) as usize;
        let end = from_start(self.stop).saturating_add(1).clamp(0, len as i64) as usize;
        start.min(end)..end
    }
}

/// What a range is told by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// The two ends of a range.
enum Ends<'a> {
    Rank(RankRange),
    Score(ScoreRange),
    Lex(LexRange<'a>),
}

impl<'a> Ends<'a> {
    /// `back`: the words come from the highest to the lowest, unless they are ranks.
    fn parse(by: By, first: &'a [u8], second: &'a [u8], back: bool) -> Result<Ends<'a>, CommandError> {
        let (min, max) = if back { (second, first) } else { (first, second) };
        Ok(match by {
            By::Rank => Ends::Rank(RankRange::parse(first, second)?),
            By::Score => Ends::Score(score_range(min, max)?),
            By::Lex => Ends::Lex(lex_range(min, max)?),
        })
    }

    /// The ranks, ascending; `back`: ranks are counted from the highest.
    fn ranks(&self, zset: ZSetRef<'_>, back: bool) -> Range<usize> {
        match self {
            Ends::Rank(range) => {
                let (len, range) = (zset.len(), range.among(zset.len()));
                if back { len - range.end..len - range.start } else { range }
            }
            Ends::Score(range) => zset.ranks_by_score(range),
            Ends::Lex(range) => zset.ranks_by_lex(range, back),
        }
    }
}

/// LIMIT: how many are passed over, and how many follow at most.
#[derive(Clone, Copy)]
struct Limit {
    offset: i64,
    count: i64,
}

impl Limit {
    const NONE: Limit = Limit { offset: 0, count: -1 };

    /// A negative offset passes over everything, a negative count is no limit.
    fn cut(self, ranks: Range<usize>, back: bool) -> Range<usize> {
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX).min(ranks.len());
        let count = usize::try_from(self.count).unwrap_or(usize::MAX).min(ranks.len() - offset);
        if back {
            ranks.end - offset - count..ranks.end - offset
        } else {
            ranks.start + offset..ranks.start + offset + count
        }
    }
}

/// A range with all its options.
struct Query<'a> {
    ends: Ends<'a>,
    back: bool,
    limit: Limit,
    with_scores: bool,
}

/// What the name of a command has already said.
#[derive(Clone, Copy, Default)]
struct Said {
    by: Option<By>,
    back: Option<bool>,
    /// There is no WITHSCORES.
    stores: bool,
}

impl<'a> Query<'a> {
    /// Reads the ends and the options.
    ///
    /// Errors: syntax, not an integer, options that exclude each other; ends that are none.
    fn parse(args: &mut Args<'a>, said: Said) -> Result<Query<'a>, CommandError> {
        let (first, second) = (args.next()?, args.next()?);
        let (mut by, mut back, mut limit, mut with_scores) = (said.by, said.back, Limit::NONE, false);
        while args.left() > 0 {
            if !said.stores && args.keyword("WITHSCORES") {
                with_scores = true;
            } else if args.left() > 2 && args.keyword("LIMIT") {
                limit = Limit { offset: args.int()?, count: args.int()? };
            } else if back.is_none() && args.keyword("REV") {
                back = Some(true);
            } else if by.is_none() && args.keyword("BYLEX") {
                by = Some(By::Lex);
            } else if by.is_none() && args.keyword("BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let (by, back) = (by.unwrap_or(By::Rank), back.unwrap_or(false));
        if by == By::Rank && limit.count != -1 {
            return Err(CommandError::err(
                "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if by == By::Lex && with_scores {
            return Err(CommandError::err("syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        if by == By::Rank {
            limit = Limit::NONE;
        }
        Ok(Query { ends: Ends::parse(by, first, second, back)?, back, limit, with_scores })
    }

    /// The ranks asked for, ascending.
    fn ranks(&self, zset: ZSetRef<'_>) -> Range<usize> {
        self.limit.cut(self.ends.ranks(zset, self.back), self.back)
    }
}

/// Reply: array of members; with WITHSCORES, of pairs.
/// Errors: those of the range; WRONGTYPE.
fn range(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, said: Said) -> Handled {
    let key = args.key()?;
    let query = Query::parse(args, said)?;
    let zset = view(ctx, key)?;
    let ranks = query.ranks(zset);
    let members = if query.back { zset.iter_back(ranks) } else { zset.iter(ranks) };
    put_all(reply, members, query.with_scores);
    Ok(Done)
}

pub(super) fn zrange(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    range(ctx, args, reply, Said::default())
}

pub(super) fn zrevrange(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    range(ctx, args, reply, Said { by: Some(By::Rank), back: Some(true), stores: false })
}

pub(super) fn zrangebyscore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    range(ctx, args, reply, Said { by: Some(By::Score), back: Some(false), stores: false })
}

pub(super) fn zrevrangebyscore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    range(ctx, args, reply, Said { by: Some(By::Score), back: Some(true), stores: false })
}

pub(super) fn zrangebylex(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    range(ctx, args, reply, Said { by: Some(By::Lex), back: Some(false), stores: false })
}

pub(super) fn zrevrangebylex(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    range(ctx, args, reply, Said { by: Some(By::Lex), back: Some(true), stores: false })
}

/// Reply: int, how many members were stored.
/// Errors: those of the range; WRONGTYPE of the source.
/// Effect: event `zrangestore`; `del` when nothing is stored and something was there.
pub(super) fn zrangestore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    let (target, source) = (args.key()?, args.key()?);
    let query = Query::parse(args, Said { stores: true, ..Said::default() })?;
    let limits = ctx.limits();
    let zset = view(ctx, source)?;
    let result = ZSet::from_sorted(zset.iter(query.ranks(zset)), limits);
    store(ctx, reply, target, result, Event::ZRangeStore);
    Ok(Done)
}

/// Reply: int.
/// Errors: min or max is not a float; WRONGTYPE.
pub(super) fn zcount(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    count(ctx, args, reply, By::Score)
}

/// Reply: int.
/// Errors: min or max not valid; WRONGTYPE.
pub(super) fn zlexcount(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    count(ctx, args, reply, By::Lex)
}

fn count(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, by: By) -> Handled {
    let key = args.key()?;
    let ends = Ends::parse(by, args.next()?, args.next()?, false)?;
    let len = ends.ranks(view(ctx, key)?, false).len();
    reply.int(len as i64);
    Ok(Done)
}

pub(super) fn zremrangebyrank(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    remove(ctx, args, reply, By::Rank, Event::ZRemRangeByRank)
}

pub(super) fn zremrangebyscore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    remove(ctx, args, reply, By::Score, Event::ZRemRangeByScore)
}

pub(super) fn zremrangebylex(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    remove(ctx, args, reply, By::Lex, Event::ZRemRangeByLex)
}

/// Reply: int, how many members were removed.
/// Errors: those of the ends; WRONGTYPE.
/// Effect: the event, when there were any; `del` with the last member.
fn remove(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, by: By, event: Event) -> Handled {
    let key = args.key()?;
    let ends = Ends::parse(by, args.next()?, args.next()?, false)?;
    let removed = ctx.edit::<ZSet, _>(key, |zset, _| {
        let ranks = ends.ranks(zset.as_ref(), false);
        zset.remove_ranks(ranks.clone(), |_, _| {});
        (ranks.len(), zset.is_empty())
    })?;
    let (removed, gone) = removed.unwrap_or((0, false));
    if removed > 0 {
        ctx.wrote_less(key, event, gone);
    }
    reply.int(removed as i64);
    Ok(Done)
}

/// Which end members are taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn event(self) -> Event {
        match self {
            End::Min => Event::ZPopMin,
            End::Max => Event::ZPopMax,
        }
    }

    fn command(self) -> &'static [u8] {
        match self {
            End::Min => b"ZPOPMIN",
            End::Max => b"ZPOPMAX",
        }
    }
}

/// How the members taken out are told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// A member and its score.
    One,
    /// Pairs, in RESP2 one after the other.
    Pairs,
    /// Pairs as arrays of their own.
    Arrays,
    /// Member and score as elements of an array that is begun.
    Loose,
}

/// Takes up to `count` members out and tells them; those from the upper end descending. Says whether there is such a key.
fn pop(
    ctx: &mut Ctx,
    key: Key<'_>,
    end: End,
    count: usize,
    told: Told,
    reply: &mut Reply,
) -> Result<bool, CommandError> {
    let popped = ctx.edit::<ZSet, _>(key, |zset, _| {
        let count = count.min(zset.len());
        match told {
            Told::One => reply.array(2 * count),
            Told::Pairs => reply.pairs(count),
            Told::Arrays => reply.array(count),
            Told::Loose => {}
        }
        let tell = |member: Member<'_>, score| match told {
            Told::Pairs => put_pair(reply, member, score),
            Told::One | Told::Arrays | Told::Loose => {
                if told == Told::Arrays {
                    reply.array(2);
                }
                reply_item(reply, member);
                reply.double(score);
            }
        };
        match end {
            End::Min => zset.pop_first(count, tell),
            End::Max => zset.pop_last(count, tell),
        }
        (count, zset.is_empty())
    })?;
    if let Some((1.., gone)) = popped {
        ctx.wrote_less(key, end.event(), gone);
    }
    Ok(popped.is_some())
}

pub(super) fn zpopmin(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    pop_one_key(ctx, args, reply, End::Min)
}

pub(super) fn zpopmax(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    pop_one_key(ctx, args, reply, End::Max)
}

/// Reply: array of a member and its score, empty if there is none; with a count, of pairs.
/// Errors: syntax; a count that is no integer from 0 on; WRONGTYPE.
/// Effect: event `zpopmin` or `zpopmax`; `del` with the last member.
fn pop_one_key(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, end: End) -> Handled {
    let key = args.key()?;
    if args.left() > 1 {
        return Err(CommandError::Syntax);
    }
    let (count, told) = match args.next() {
        Ok(word) => {
            let count = number::parse_i64(word).and_then(|count| usize::try_from(count).ok());
            (count.ok_or(CommandError::err("value is out of range, must be positive"))?, Told::Pairs)
        }
        Err(_) => (1, Told::One),
    };
    if !pop(ctx, key, end, count, told, reply)? {
        reply.array(0);
    }
    Ok(Done)
}

fn end_of(args: &mut Args) -> Result<End, CommandError> {
    if args.keyword("MIN") {
        Ok(End::Min)
    } else if args.keyword("MAX") {
        Ok(End::Max)
    } else {
        Err(CommandError::Syntax)
    }
}

/// Takes members out of a sorted set that is there. Reply: array of the key and an array of pairs.
/// Effect: event `zpopmin` or `zpopmax`; `del` with the last member.
fn pop_many(ctx: &mut Ctx, reply: &mut Reply, key: Key<'_>, end: End, count: usize) -> Handled {
    reply.array(2);
    reply.bulk(key.bytes);
    ctx.effect(key, [end.command(), key.bytes, itoa::Buffer::new().format(count).as_bytes()]);
    pop(ctx, key, end, count, Told::Arrays, reply)?;
    Ok(Done)
}

/// Reply: array of the key and an array of pairs; a nil array when all are empty.
/// Errors: the number of keys; syntax; count; WRONGTYPE of a key in front of the first one that is not empty.
/// Effect: as `pop_many`.
pub(super) fn zmpop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    let mut options = PopOptions::parse(args, end_of)?;
    match first_of::<ZSet>(ctx, &mut options.keys)? {
        Some(key) => pop_many(ctx, reply, key, options.end, options.count),
        None => {
            reply.nil_array();
            Ok(Done)
        }
    }
}

/// Reply, errors and effect: as `zmpop`; nil when its time is over.
pub(super) fn bzmpop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    let timeout = args.next()?;
    let mut options = PopOptions::parse(args, end_of)?;
    let until = until(ctx.now, timeout)?;
    match first_of::<ZSet>(ctx, &mut options.keys)? {
        Some(key) if ctx.may_answer() => pop_many(ctx, reply, key, options.end, options.count),
        Some(_) => Ok(Outcome::Wait),
        None => Ok(ctx.wait(until, reply, Reply::nil_array)),
    }
}

/// Reply: array of the key, the member and its score; nil when its time is over.
/// Errors: a timeout that is none; WRONGTYPE of a key in front of the first one that is not empty.
/// Effect: event `zpopmin` or `zpopmax`; `del` with the last member.
fn pop_waiting(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, end: End) -> Handled {
    let mut keys = args.take(args.left() - 1);
    let until = until(ctx.now, args.next()?)?;
    match first_of::<ZSet>(ctx, &mut keys)? {
        Some(key) if ctx.may_answer() => {
            reply.array(3);
            reply.bulk(key.bytes);
            ctx.effect(key, [end.command(), key.bytes]);
            pop(ctx, key, end, 1, Told::Loose, reply)?;
            Ok(Done)
        }
        Some(_) => Ok(Outcome::Wait),
        None => Ok(ctx.wait(until, reply, Reply::nil_array)),
    }
}

pub(super) fn bzpopmin(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    pop_waiting(ctx, args, reply, End::Min)
}

pub(super) fn bzpopmax(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    pop_waiting(ctx, args, reply, End::Max)
}
