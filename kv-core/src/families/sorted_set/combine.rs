//! Commands over several sorted sets; plain sets may stand among them.

use super::{Done, put_all, store};
use crate::command::{Args, CommandError, Ctx, Event, Outcome};
use crate::resp::{Reply, number};
use crate::store::Collection;
use crate::types::zset::{self, Aggregate, Input, Source};
use crate::types::{Limits, Set, ZSet};
use Operation::{Difference, Intersection, Union};

type Handled = Result<Outcome, CommandError>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What stands behind the keys.
#[derive(Default)]
struct Options {
    /// None: all are 1.
    weights: Option<Vec<f64>>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Options {
    /// Errors: syntax, a weight that is no float.
    fn parse(args: &mut Args, keys: usize, operation: Operation, stores: bool) -> Result<Options, CommandError> {
        let mut o = Options::default();
        while args.left() > 0 {
            if operation != Difference && args.left() > keys && args.keyword("WEIGHTS") {
                let weight =
                    |_| number::parse_f64(args.next()?).ok_or(CommandError::err("weight value is not a float"));
                o.weights = Some((0..keys).map(weight).collect::<Result<_, _>>()?);
            } else if operation != Difference && args.left() > 1 && args.keyword("AGGREGATE") {
                o.aggregate = if args.keyword("SUM") {
                    Aggregate::Sum
                } else if args.keyword("MIN") {
                    Aggregate::Min
                } else if args.keyword("MAX") {
                    Aggregate::Max
                } else {
                    return Err(CommandError::Syntax);
                };
            } else if !stores && args.keyword("WITHSCORES") {
                o.with_scores = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(o)
    }
}

/// The keys behind their number, counted as read.
///
/// Errors: the number; syntax when there are fewer; WRONGTYPE.
fn keys<'a>(ctx: &mut Ctx, args: &mut Args<'a>, name: &str) -> Result<Args<'a>, CommandError> {
    let count = args.int()?;
    if count < 1 {
        return Err(CommandError::err(format!("at least 1 input key is needed for '{name}' command")));
    }
    let count = usize::try_from(count).ok().filter(|&count| count <= args.left()).ok_or(CommandError::Syntax)?;
    let keys = args.take(count);
    let mut each = keys.fork();
    while each.left() > 0 {
        let key = each.key()?;
        ctx.read(key);
        source(ctx, key)?;
    }
    Ok(keys)
}

/// A sorted set or a set; none if the key is missing.
///
/// Errors: WRONGTYPE.
fn source<'c>(ctx: &'c Ctx, key: crate::store::Key<'_>) -> Result<Option<Source<'c>>, CommandError> {
    let Some(entry) = ctx.peek_entry(key) else { return Ok(None) };
    let value = entry.value();
    if let Some(zset) = ZSet::view(value) {
        return Ok(Some(Source::ZSet(zset)));
    }
    Set::view(value).map(|set| Some(Source::Set(set))).ok_or(CommandError::WrongType)
}

/// All sources at once; of a missing key, an empty one.
fn sources<'c>(ctx: &'c Ctx, mut keys: Args) -> Result<Vec<Source<'c>>, CommandError> {
    let mut sources = Vec::with_capacity(keys.left());
    while keys.left() > 0 {
        sources.push(source(ctx, keys.key()?)?.unwrap_or(Source::ZSet(super::EMPTY)));
    }
    Ok(sources)
}

fn combine(
    operation: Operation,
    ctx: &Ctx,
    keys: Args,
    options: &Options,
    limits: &Limits,
) -> Result<ZSet, CommandError> {
    let sources = sources(ctx, keys)?;
    let weight = |at: usize| options.weights.as_ref().map_or(1.0, |weights| weights[at]);
    let inputs = || {
        let input = |(at, &source)| Input { source, weight: weight(at) };
        sources.iter().enumerate().map(input).collect::<Vec<_>>()
    };
    Ok(match operation {
        Union => zset::union(&inputs(), options.aggregate, limits),
        Intersection => zset::intersection(&inputs(), options.aggregate, limits),
        Difference => zset::difference(&sources, limits),
    })
}

/// Reply: array of members; with WITHSCORES, of pairs.
/// Errors: the number of keys, WRONGTYPE, syntax, a weight that is no float.
fn tell(operation: Operation, name: &str, ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    let keys = keys(ctx, args, name)?;
    let options = Options::parse(args, keys.left(), operation, false)?;
    // A result that is only told is not packed.
    let limits = Limits { zset_packed_entries: 0, ..*ctx.limits() };
    let result = combine(operation, ctx, keys, &options, &limits)?;
    put_all(reply, result.as_ref().all(), options.with_scores);
    Ok(Done)
}

/// Reply: int, how many members were stored.
/// Errors: as `tell`; nothing is written then.
/// Effect: the event; `del` when nothing is stored and something was there.
fn tell_stored(
    operation: Operation,
    (name, event): (&str, Event),
    ctx: &mut Ctx,
    args: &mut Args,
    reply: &mut Reply,
) -> Handled {
    let target = args.key()?;
    let keys = keys(ctx, args, name)?;
    let options = Options::parse(args, keys.left(), operation, true)?;
    let result = combine(operation, ctx, keys, &options, ctx.limits())?;
    store(ctx, reply, target, result, event);
    Ok(Done)
}

pub(super) fn zunion(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    tell(Union, "zunion", ctx, args, reply)
}

pub(super) fn zinter(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    tell(Intersection, "zinter", ctx, args, reply)
}

pub(super) fn zdiff(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    tell(Difference, "zdiff", ctx, args, reply)
}

pub(super) fn zunionstore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    tell_stored(Union, ("zunionstore", Event::ZUnionStore), ctx, args, reply)
}

pub(super) fn zinterstore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    tell_stored(Intersection, ("zinterstore", Event::ZInterStore), ctx, args, reply)
}

pub(super) fn zdiffstore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    tell_stored(Difference, ("zdiffstore", Event::ZDiffStore), ctx, args, reply)
}

/// Reply: int.
/// Errors: the number of keys, WRONGTYPE, syntax, a negative limit.
pub(super) fn zintercard(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Handled {
    let keys = keys(ctx, args, "zintercard")?;
    let mut max = 0;
    while args.left() > 0 {
        if args.left() < 2 || !args.keyword("LIMIT") {
            return Err(CommandError::Syntax);
        }
        let limit = number::parse_i64(args.next()?).and_then(|limit| usize::try_from(limit).ok());
        max = limit.ok_or(CommandError::err("LIMIT can't be negative"))?;
    }
    // No limit is said as 0.
    let count = zset::intersection_len(&sources(ctx, keys)?, if max == 0 { usize::MAX } else { max });
    reply.int(count as i64);
    Ok(Done)
}
