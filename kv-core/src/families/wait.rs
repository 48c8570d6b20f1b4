//! What commands that wait have in common: how long, where they look, and what they take.
//!
//! A handler looks at its keys in order, at first; when it has waited, at the one that was written (`Ctx::looks_at`). Before it
//! takes anything it asks for the right to answer (`Ctx::may_answer`): a client that has gone, or whose time is over, gets
//! nothing. What it logs is what it did, never that it waited.

use crate::command::{Args, CommandError, Ctx};
use crate::resp::number;
use crate::store::{Collection, Key, UnixMs};

/// The moment that is so many ms from now; none for 0, which is for ever.
///
/// Errors: below 0; beyond all clocks.
pub(super) fn until_ms(now: UnixMs, ms: i64) -> Result<Option<UnixMs>, CommandError> {
    let ms = u64::try_from(ms).map_err(|_| CommandError::err("timeout is negative"))?;
    let until = now.checked_add(ms).filter(|&until| i64::try_from(until).is_ok());
    let until = until.ok_or(CommandError::err("timeout is out of range"))?;
    Ok((ms > 0).then_some(until))
}

/// The moment that is so many seconds from now, as `until_ms`. A part of a millisecond counts as one.
pub(super) fn until(now: UnixMs, seconds: &[u8]) -> Result<Option<UnixMs>, CommandError> {
    let wrong = CommandError::err("timeout is not a float or out of range");
    let seconds = number::parse_f64(seconds).ok_or(wrong)?;
    let ms = (seconds * 1000.0).ceil();
    if ms >= i64::MAX as f64 {
        return Err(CommandError::err("timeout is out of range"));
    }
    until_ms(now, ms as i64)
}

/// The first of the keys to look at that has a collection; none: there is nothing to take.
///
/// Errors: WRONGTYPE of a key in front of it.
pub(super) fn first_of<'k, C: Collection>(ctx: &Ctx, keys: &mut Args<'k>) -> Result<Option<Key<'k>>, CommandError> {
    while keys.left() > 0 {
        let key = keys.key()?;
        if ctx.looks_at(key) && ctx.peek::<C>(key)?.is_some() {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// What LMPOP, ZMPOP and their forms that wait are to take out of the first of some keys.
pub(super) struct PopOptions<'a, E> {
    pub keys: Args<'a>,
    pub end: E,
    pub count: usize,
}

impl<'a, E> PopOptions<'a, E> {
    /// `end_of`: reads at which end.
    ///
    /// Errors: syntax; a count or number of keys that is none.
    pub fn parse(
        args: &mut Args<'a>,
        end_of: fn(&mut Args) -> Result<E, CommandError>,
    ) -> Result<PopOptions<'a, E>, CommandError> {
        let keys = at_least_one(args.next()?, "numkeys should be greater than 0")?;
        if keys >= args.left() {
            return Err(CommandError::Syntax);
        }
        let keys = args.take(keys);
        let end = end_of(args)?;
        let count =
            if args.keyword("COUNT") { at_least_one(args.next()?, "count should be greater than 0")? } else { 1 };
        if args.left() > 0 {
            return Err(CommandError::Syntax);
        }
        Ok(PopOptions { keys, end, count })
    }
}

/// A count that is at least 1. Errors: the text.
fn at_least_one(word: &[u8], error: &'static str) -> Result<usize, CommandError> {
    let count = number::parse_i64(word).and_then(|count| usize::try_from(count).ok()).filter(|&count| count > 0);
    count.ok_or(CommandError::err(error))
}
