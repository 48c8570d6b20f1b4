//! The TTLs of fields: HEXPIRE ... HTTL, and HGETDEL, HGETEX, HSETEX.
//!
//! Moments end in the year 4199, as in Redis. A moment that has passed removes the field at once.

use super::{bulk_or_nil, hash, wrote};
use crate::command::{Args, Arity, CommandError, CommandSpec, Ctx, Event, LogAs, Outcome};
use crate::families::row_words::{ACCESS, CHANGE, CHANGING_OUTPUT, GROW_FAST, READ_FAST, TAKE, UPDATE, WRITE_FAST};
use crate::resp::Reply;
use crate::store::UnixMs;
use crate::types::hash::{Hash, HashRef, Ttl};
use Arity::AtLeast;
use Outcome::Done;

/// The last moment that Redis keeps for a field, ms.
const MOMENT_MAX: UnixMs = (1 << 46) - 1;

pub(crate) const ROWS: &[CommandSpec] = &[
    hash("HEXPIRE", hexpire, AtLeast(6), UPDATE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]")
        .summary("Lets fields of a hash expire in so many seconds.")
        .since("7.4.0")
        .complexity("O(log n) a field"),
    hash("HEXPIREAT", hexpireat, AtLeast(6), UPDATE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]")
        .summary("Lets fields of a hash expire at a moment, in Unix seconds.")
        .since("7.4.0")
        .complexity("O(log n) a field"),
    hash("HEXPIRETIME", hexpiretime, AtLeast(5), ACCESS, READ_FAST)
        .syntax("key FIELDS numfields field [field ...]")
        .summary("Tells when fields of a hash expire, in Unix seconds.")
        .since("7.4.0")
        .complexity("O(1) a field"),
    hash("HGETDEL", hgetdel, AtLeast(5), TAKE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key FIELDS numfields field [field ...]")
        .summary("Tells the values of fields of a hash and removes them.")
        .since("8.0.0")
        .complexity("O(1) a field"),
    hash("HGETEX", hgetex, AtLeast(5), CHANGE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax(
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] \
             FIELDS numfields field [field ...]",
        )
        .summary("Tells the values of fields of a hash and sets, moves or takes away their TTLs.")
        .since("8.0.0")
        .complexity("O(log n) a field"),
    hash("HPERSIST", hpersist, AtLeast(5), UPDATE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key FIELDS numfields field [field ...]")
        .summary("Takes the TTLs of fields of a hash away.")
        .since("7.4.0")
        .complexity("O(log n) a field"),
    hash("HPEXPIRE", hpexpire, AtLeast(6), UPDATE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]")
        .summary("Lets fields of a hash expire in so many milliseconds.")
        .since("7.4.0")
        .complexity("O(log n) a field"),
    hash("HPEXPIREAT", hpexpireat, AtLeast(6), UPDATE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]")
        .summary("Lets fields of a hash expire at a moment, in Unix milliseconds.")
        .since("7.4.0")
        .complexity("O(log n) a field"),
    hash("HPEXPIRETIME", hpexpiretime, AtLeast(5), ACCESS, READ_FAST)
        .syntax("key FIELDS numfields field [field ...]")
        .summary("Tells when fields of a hash expire, in Unix milliseconds.")
        .since("7.4.0")
        .complexity("O(1) a field"),
    hash("HPTTL", hpttl, AtLeast(5), ACCESS, READ_FAST)
        .syntax("key FIELDS numfields field [field ...]")
        .summary("Tells how long fields of a hash still live, in milliseconds.")
        .since("7.4.0")
        .complexity("O(1) a field")
        .tips(CHANGING_OUTPUT),
    hash("HSETEX", hsetex, AtLeast(6), UPDATE, GROW_FAST)
        .log(LogAs::Words)
        .syntax(
            "key [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | \
             KEEPTTL] FIELDS numfields field value [field value ...]",
        )
        .summary("Sets the values and TTLs of fields of a hash, all of them or none.")
        .since("8.0.0")
        .complexity("O(log n) a field"),
    hash("HTTL", httl, AtLeast(5), ACCESS, READ_FAST)
        .syntax("key FIELDS numfields field [field ...]")
        .summary("Tells how long fields of a hash still live, in seconds.")
        .since("7.4.0")
        .complexity("O(1) a field")
        .tips(CHANGING_OUTPUT),
];

const COUNT_OF_HEXPIRE: &str = "Parameter `numFields` should be greater than 0";
const COUNT_OF_OTHERS: &str = "Number of fields must be a positive integer";

/// The words FIELDS numfields, behind which nothing but so many fields may stand; they are left to be read.
///
/// Errors: each in the words of Redis; `bad_count` is the one for a number that is none or not positive.
fn fields(args: &mut Args, bad_count: &'static str) -> Result<usize, CommandError> {
    if !args.keyword("FIELDS") {
        return Err(CommandError::err("Mandatory argument FIELDS is missing or not at the right position"));
    }
    let count = args.int().ok().filter(|&count| count > 0).ok_or(CommandError::err(bad_count))?;
    if count != args.left() as i64 {
        return Err(CommandError::err("The `numfields` parameter must match the number of arguments"));
    }
    Ok(args.left())
}

/// What a number given for an expiry counts.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
}

impl Unit {
    /// The unit of EX, PX, EXAT and PXAT.
    fn of_keyword(args: &mut Args) -> Option<Unit> {
        [("EX", Unit::Seconds), ("PX", Unit::Millis), ("EXAT", Unit::UnixSeconds), ("PXAT", Unit::UnixMillis)]
            .into_iter()
            .find_map(|(name, unit)| args.keyword(name).then_some(unit))
    }

    /// The moment that the next word means.
    ///
    /// Errors: not an integer, negative; invalid expire in `command` beyond `MOMENT_MAX`.
    fn moment(self, args: &mut Args, now: UnixMs, command: &'static str) -> Result<UnixMs, CommandError> {
        let number = args.int()?;
        let number = UnixMs::try_from(number).map_err(|_| CommandError::err("invalid expire time, must be >= 0"))?;
        let (factor, base) = match self {
            Unit::Seconds => (1000, now),
            Unit::Millis => (1, now),
            Unit::UnixSeconds => (1000, 0),
            Unit::UnixMillis => (1, 0),
        };
        let moment = number.checked_mul(factor).and_then(|ms| ms.checked_add(base));
        moment.filter(|&at| at <= MOMENT_MAX).ok_or(CommandError::InvalidExpire(command))
    }
}

/// NX, XX, GT, LT: which fields get the new expiry.
#[derive(Clone, Copy)]
enum Condition {
    Always,
    WithoutTtl,
    WithTtl,
    Later,
    Earlier,
}

impl Condition {
    fn parse(args: &mut Args) -> Condition {
        [
            ("NX", Condition::WithoutTtl),
            ("XX", Condition::WithTtl),
            ("GT", Condition::Later),
            ("LT", Condition::Earlier),
        ]
        .into_iter()
        .find_map(|(name, condition)| args.keyword(name).then_some(condition))
        .unwrap_or(Condition::Always)
    }

    /// A field without a TTL expires later than any other.
    fn holds(self, old: Option<UnixMs>, new: UnixMs) -> bool {
        match self {
            Condition::Always => true,
            Condition::WithoutTtl => old.is_none(),
            Condition::WithTtl => old.is_some(),
            Condition::Later => old.is_some_and(|old| new > old),
            Condition::Earlier => old.is_none_or(|old| new < old),
        }
    }
}

/// No such field, or no such key.
const MISSING: i64 = -2;
const WITHOUT_TTL: i64 = -1;

fn hexpire(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    expire(ctx, args, reply, Unit::Seconds, "hexpire")
}

fn hpexpire(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    expire(ctx, args, reply, Unit::Millis, "hpexpire")
}

fn hexpireat(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    expire(ctx, args, reply, Unit::UnixSeconds, "hexpireat")
}

fn hpexpireat(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    expire(ctx, args, reply, Unit::UnixMillis, "hpexpireat")
}

/// Reply: array, for each field 1 when it got the expiry, 0 when the condition forbade it, 2 when it is gone because the
/// moment has passed, -2 when there is no such field.
/// Errors: WRONGTYPE, not an integer, negative, invalid expire, those of FIELDS.
/// Effect: event `hexpire`, or `hdel`, then `del` when it was the last; none when all stay as they were.
fn expire(
    ctx: &mut Ctx,
    args: &mut Args,
    reply: &mut Reply,
    unit: Unit,
    command: &'static str,
) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    ctx.peek::<Hash>(key)?;
    let now = ctx.now;
    let at = unit.moment(args, now, command)?;
    let condition = Condition::parse(args);
    let count = fields(args, COUNT_OF_HEXPIRE)?;
    let mut changed = false;
    let found = ctx.edit::<Hash, _>(key, |hash, limits| {
        reply.array(count);
        while let Ok(field) = args.next() {
            let told = match hash.as_ref().expire_at(field, now) {
                None => MISSING,
                Some(old) if !condition.holds(old, at) => 0,
                Some(_) if at <= now => {
                    hash.remove(field, now);
                    2
                }
                Some(_) => {
                    hash.set_expire(field, Some(at), now, limits);
                    1
                }
            };
            changed |= told > 0;
            reply.int(told);
        }
        hash.clear_if_gone(now);
    })?;
    if found.is_none() {
        reply_missing(reply, count);
    }
    if changed {
        wrote(ctx, key, if at <= now { Event::HDel } else { Event::HExpire });
    }
    Ok(Done)
}

fn reply_missing(reply: &mut Reply, count: usize) {
    reply.array(count);
    (0..count).for_each(|_| reply.int(MISSING));
}

fn httl(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let now = ctx.now;
    tell(ctx, args, reply, |at| (at - now).div_ceil(1000))
}

fn hpttl(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let now = ctx.now;
    tell(ctx, args, reply, |at| at - now)
}

fn hexpiretime(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    tell(ctx, args, reply, |at| at.div_ceil(1000))
}

fn hpexpiretime(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    tell(ctx, args, reply, |at| at)
}

/// Reply: array, for each field -2 when there is no such field, -1 when it has no TTL, else what `show` makes of the
/// moment.
/// Errors: WRONGTYPE, those of FIELDS.
fn tell(
    ctx: &mut Ctx,
    args: &mut Args,
    reply: &mut Reply,
    show: impl Fn(UnixMs) -> UnixMs,
) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let now = ctx.now;
    let hash = ctx.view::<Hash>(key)?;
    reply.array(fields(args, COUNT_OF_OTHERS)?);
    while let Ok(field) = args.next() {
        reply.int(match hash.and_then(|hash| hash.expire_at(field, now)) {
            None => MISSING,
            Some(None) => WITHOUT_TTL,
            Some(Some(at)) => show(at) as i64,
        });
    }
    Ok(Done)
}

/// Reply: array, for each field 1 when its TTL was taken away, -1 when it had none, -2 when there is no such field.
/// Errors: WRONGTYPE, those of FIELDS.
/// Effect: event `hpersist`, when a TTL was taken away.
fn hpersist(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    ctx.peek::<Hash>(key)?;
    let now = ctx.now;
    let count = fields(args, COUNT_OF_OTHERS)?;
    let mut changed = false;
    let found = ctx.edit::<Hash, _>(key, |hash, limits| {
        reply.array(count);
        while let Ok(field) = args.next() {
            let told = match hash.as_ref().expire_at(field, now) {
                None => MISSING,
                Some(None) => WITHOUT_TTL,
                Some(Some(_)) => {
                    hash.set_expire(field, None, now, limits);
                    changed = true;
                    1
                }
            };
            reply.int(told);
        }
    })?;
    if found.is_none() {
        reply_missing(reply, count);
    }
    if changed {
        ctx.wrote(key, Event::HPersist);
    }
    Ok(Done)
}

/// Reply: array of the values, nil for a field that is missing.
/// Errors: WRONGTYPE, those of FIELDS.
/// Effect: event `hdel` when there was one, then `del` when it was the last.
fn hgetdel(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    ctx.peek::<Hash>(key)?;
    let now = ctx.now;
    let count = fields(args, COUNT_OF_OTHERS)?;
    let mut removed = false;
    reply.array(count);
    let found = ctx.edit::<Hash, _>(key, |hash, _| {
        while let Ok(field) = args.next() {
            bulk_or_nil(reply, hash.as_ref().get(field, now));
            removed |= hash.remove(field, now);
        }
        hash.clear_if_gone(now);
    })?;
    if found.is_none() {
        (0..count).for_each(|_| reply.nil());
    }
    if removed {
        wrote(ctx, key, Event::HDel);
    }
    Ok(Done)
}

/// What HGETEX does with the TTLs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Persist,
    At(UnixMs),
}

/// Reply: array of the values, nil for a field that is missing.
/// Errors: WRONGTYPE, not an integer, negative, invalid expire, those of FIELDS.
/// Effect: event `hexpire`, `hpersist`, or `hdel` when the moment has passed, then `del` when the last field went; none
/// without options.
fn hgetex(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    ctx.peek::<Hash>(key)?;
    let now = ctx.now;
    let change = match Unit::of_keyword(args) {
        Some(unit) => Change::At(unit.moment(args, now, "hgetex")?),
        None if args.keyword("PERSIST") => Change::Persist,
        None => Change::None,
    };
    let count = fields(args, COUNT_OF_OTHERS)?;
    reply.array(count);
    if change == Change::None {
        let hash = ctx.view::<Hash>(key)?;
        while let Ok(field) = args.next() {
            bulk_or_nil(reply, hash.and_then(|hash| hash.get(field, now)));
        }
        return Ok(Done);
    }
    let mut changed = false;
    let found = ctx.edit::<Hash, _>(key, |hash, limits| {
        while let Ok(field) = args.next() {
            let old = hash.as_ref().expire_at(field, now);
            bulk_or_nil(reply, hash.as_ref().get(field, now));
            changed |= match (change, old) {
                (_, None) | (Change::None, _) | (Change::Persist, Some(None)) => false,
                (Change::Persist, Some(Some(_))) => hash.set_expire(field, None, now, limits),
                (Change::At(at), Some(_)) if at <= now => hash.remove(field, now),
                (Change::At(at), Some(_)) => hash.set_expire(field, Some(at), now, limits),
            };
        }
        hash.clear_if_gone(now);
    })?;
    if found.is_none() {
        (0..count).for_each(|_| reply.nil());
    }
    if changed {
        let event = match change {
            Change::At(at) if at <= now => Event::HDel,
            Change::At(_) => Event::HExpire,
            Change::Persist | Change::None => Event::HPersist,
        };
        wrote(ctx, key, event);
    }
    Ok(Done)
}

/// FNX, FXX: which fields HSETEX may find.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Only {
    New,
    Existing,
}

/// The options of HSETEX; what is left to be read are the fields and values.
struct SetOptions {
    only: Option<Only>,
    ttl: Ttl,
}

impl SetOptions {
    fn parse(args: &mut Args, now: UnixMs) -> Result<SetOptions, CommandError> {
        let mut only = None;
        let mut ttl = None;
        while !args.keyword("FIELDS") {
            let wanted = [("FNX", Only::New), ("FXX", Only::Existing)].into_iter().find(|(name, _)| args.keyword(name));
            if let Some((_, wanted)) = wanted {
                if only.replace(wanted).is_some() {
                    return Err(CommandError::err("Only one of FXX or FNX arguments can be specified"));
                }
                continue;
            }
            let unit = Unit::of_keyword(args);
            if unit.is_none() && !args.keyword("KEEPTTL") {
                let word = String::from_utf8_lossy(args.next()?);
                return Err(CommandError::err(format!("unknown argument: {word}")));
            }
            if ttl.is_some() {
                let text = "Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
                return Err(CommandError::err(text));
            }
            ttl = Some(match unit {
                Some(unit) => Ttl::At(unit.moment(args, now, "hsetex")?),
                None => Ttl::Keep,
            });
        }
        let arity = || CommandError::WrongArity("hsetex".into());
        args.peek().ok_or_else(arity)?;
        let count = args.int().ok().filter(|count| (1..=i64::from(i32::MAX)).contains(count));
        let count = count.ok_or(CommandError::err("invalid number of fields"))?;
        if args.left() as i64 != 2 * count {
            return Err(arity());
        }
        Ok(SetOptions { only, ttl: ttl.unwrap_or(Ttl::Clear) })
    }

    /// Whether FNX or FXX let the fields be set.
    fn allow(&self, hash: Option<HashRef<'_>>, mut args: Args, now: UnixMs) -> bool {
        let Some(only) = self.only else { return true };
        while let (Ok(field), Ok(_)) = (args.next(), args.next()) {
            let there = hash.is_some_and(|hash| hash.contains(field, now));
            if there != (only == Only::Existing) {
                return false;
            }
        }
        true
    }
}

/// Reply: 1 when all were set, 0 when FNX or FXX forbade one of them, and so all.
/// Errors: syntax in the words of Redis, not an integer, negative, invalid expire, WRONGTYPE.
/// Effect: event `hset`, then `hexpire`, or `hdel` and perhaps `del` when the moment has passed.
fn hsetex(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let now = ctx.now;
    let options = SetOptions::parse(args, now)?;
    if !options.allow(ctx.peek::<Hash>(key)?, args.fork(), now) {
        reply.int(0);
        return Ok(Done);
    }
    let past = matches!(options.ttl, Ttl::At(at) if at <= now);
    ctx.edit_or_new::<Hash, _>(key, |hash, limits| {
        while let (Ok(field), Ok(value)) = (args.next(), args.next()) {
            if past {
                hash.remove(field, now);
            } else {
                hash.set_with(field, value, options.ttl, now, limits);
            }
        }
        hash.clear_if_gone(now);
    })?;
    ctx.wrote(key, Event::HSet);
    match options.ttl {
        Ttl::At(_) if past => {
            ctx.also(key, Event::HDel);
            if !ctx.exists(key) {
                ctx.also(key, Event::Del);
            }
        }
        Ttl::At(_) => ctx.also(key, Event::HExpire),
        Ttl::Keep | Ttl::Clear => {}
    }
    reply.int(1);
    Ok(Done)
}
