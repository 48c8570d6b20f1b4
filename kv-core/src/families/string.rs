//! Strings: APPEND ... SUBSTR.
//!
//! A value that is the canonical decimal form of a 64-bit integer is kept as that integer; `families::text` gives the
//! bytes of either form, so only INCR and OBJECT ENCODING can tell. GET, SET, INCR, MGET and MSET are the hot path:
//! they allocate nothing but the entry itself, and the two with many keys fetch the keys' memory in groups ahead of use.

use super::row_words::{ACCESS, CHANGE, GROW, GROW_FAST, INSERT, LOOK, READ, READ_FAST, TAKE, UPDATE, WRITE_FAST};
use super::{integer, prefetch_groups, text, text_len};
use crate::command::{
    Args, Arity, CommandError, CommandSpec, Ctx, Event, Flags, Group, Handler, Join, KeySpec, LogAs, Outcome, Spread,
    StoreFn, row,
};
use crate::resp::{Reply, number};
use crate::store::{Expire, Key, StrValue, UnixMs};
use crate::types::lcs::{self, Lcs};

const SET_KEY: &[KeySpec] = &[KeySpec::one(1, &["RW", "access", "update", "variable_flags"])];
const OVERWRITE_KEY: &[KeySpec] = &[KeySpec::one(1, &["OW", "update"])];
const NEW_KEY: &[KeySpec] = &[KeySpec::one(1, &["OW", "insert"])];

const fn string(
    name: &'static str,
    handler: StoreFn,
    arity: Arity,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    row(name, Handler::Store(handler), arity, keys, flags).group(Group::String)
}

pub(crate) const ROWS: &[CommandSpec] = &[
    string("APPEND", append, Arity::Exactly(3), INSERT, GROW_FAST)
        .log(LogAs::Words)
        .syntax("key value")
        .summary("Adds bytes at the end of a string, or makes the string, and tells its new length.")
        .since("2.0.0")
        .complexity("O(1) amortized, for a short addition"),
    string("DECR", decr, Arity::Exactly(2), CHANGE, GROW_FAST)
        .log(LogAs::Words)
        .syntax("key")
        .summary("Takes one from the integer of a key; a missing key counts as 0.")
        .since("1.0.0")
        .complexity("O(1)"),
    string("DECRBY", decrby, Arity::Exactly(3), CHANGE, GROW_FAST)
        .log(LogAs::Words)
        .syntax("key decrement")
        .summary("Takes a number from the integer of a key; a missing key counts as 0.")
        .since("1.0.0")
        .complexity("O(1)"),
    string("GET", get, Arity::Exactly(2), ACCESS, READ_FAST)
        .syntax("key")
        .summary("Tells the string value of a key.")
        .since("1.0.0")
        .complexity("O(1)"),
    string("GETDEL", getdel, Arity::Exactly(2), TAKE, WRITE_FAST)
        .syntax("key")
        .summary("Tells the string value of a key and removes the key.")
        .since("6.2.0")
        .complexity("O(1)"),
    string("GETEX", getex, Arity::AtLeast(2), CHANGE, WRITE_FAST)
        .log(LogAs::Expiry)
        .syntax("key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]")
        .summary("Tells the string value of a key and sets, moves or takes away its expiry.")
        .since("6.2.0")
        .complexity("O(1)"),
    string("GETRANGE", getrange, Arity::Exactly(4), ACCESS, READ)
        .syntax("key start end")
        .summary("Tells the bytes of a string from one position to another, both included.")
        .since("2.4.0")
        .complexity("O(n) in the bytes returned"),
    string("GETSET", getset, Arity::Exactly(3), CHANGE, GROW_FAST)
        .syntax("key value")
        .summary("Sets the string value of a key and tells the one before.")
        .since("1.0.0")
        .complexity("O(1)"),
    string("INCR", incr, Arity::Exactly(2), CHANGE, GROW_FAST)
        .log(LogAs::Words)
        .syntax("key")
        .summary("Adds one to the integer of a key; a missing key counts as 0.")
        .since("1.0.0")
        .complexity("O(1)"),
    string("INCRBY", incrby, Arity::Exactly(3), CHANGE, GROW_FAST)
        .log(LogAs::Words)
        .syntax("key increment")
        .summary("Adds a number to the integer of a key; a missing key counts as 0.")
        .since("1.0.0")
        .complexity("O(1)"),
    string("INCRBYFLOAT", incrbyfloat, Arity::Exactly(3), CHANGE, GROW_FAST)
        .syntax("key increment")
        .summary("Adds a decimal fraction to the number of a key; a missing key counts as 0.")
        .since("2.6.0")
        .complexity("O(1)"),
    string("LCS", lcs, Arity::AtLeast(3), &[KeySpec::range(1, 2, 1, &["RO", "access"])], READ)
        .syntax("key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]")
        .summary("Finds the longest common subsequence of two strings.")
        .since("7.0.0")
        .complexity("O(n*m) in the lengths of the two strings"),
    string("MGET", mget, Arity::AtLeast(2), &[KeySpec::range(1, -1, 1, &["RO", "access"])], READ_FAST)
        .spread(Spread::Parts { unit: 1, join: Join::InOrder })
        .tips(&["request_policy:multi_shard"])
        .syntax("key [key ...]")
        .summary("Tells the string values of several keys, nil for those that have none.")
        .since("1.0.0")
        .complexity("O(n) in the number of keys"),
    string("MSET", mset, Arity::AtLeast(3), &[KeySpec::range(1, -1, 2, &["OW", "update"])], GROW)
        .spread(Spread::Parts { unit: 2, join: Join::First })
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .syntax("key value [key value ...]")
        .summary("Sets the string values of several keys at one moment.")
        .since("1.0.1")
        .complexity("O(n) in the number of keys"),
    string("MSETNX", msetnx, Arity::AtLeast(3), &[KeySpec::range(1, -1, 2, &["OW", "insert"])], GROW)
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .syntax("key value [key value ...]")
        .summary("Sets the string values of several keys, but none of them when one exists.")
        .since("1.0.1")
        .complexity("O(n) in the number of keys"),
    string("PSETEX", psetex, Arity::Exactly(4), OVERWRITE_KEY, GROW)
        .syntax("key milliseconds value")
        .summary("Sets the string value of a key that expires after some milliseconds.")
        .since("2.6.0")
        .complexity("O(1)"),
    string("SET", set, Arity::AtLeast(3), SET_KEY, GROW)
        .syntax(
            "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
             PXAT unix-time-milliseconds | KEEPTTL]",
        )
        .summary("Sets the string value of a key, on a condition and with an expiry if wanted.")
        .since("1.0.0")
        .complexity("O(1)"),
    string("SETEX", setex, Arity::Exactly(4), OVERWRITE_KEY, GROW)
        .syntax("key seconds value")
        .summary("Sets the string value of a key that expires after some seconds.")
        .since("2.0.0")
        .complexity("O(1)"),
    string("SETNX", setnx, Arity::Exactly(3), NEW_KEY, GROW_FAST)
        .syntax("key value")
        .summary("Sets the string value of a key that does not exist yet.")
        .since("1.0.0")
        .complexity("O(1)"),
    string("SETRANGE", setrange, Arity::Exactly(4), UPDATE, GROW)
        .log(LogAs::Words)
        .syntax("key offset value")
        .summary("Overwrites a string from a position on; what lies between is filled with zero bytes.")
        .since("2.2.0")
        .complexity("O(n) in the bytes written, and O(m) once in the bytes the string grows by"),
    string("STRLEN", strlen, Arity::Exactly(2), LOOK, READ_FAST)
        .syntax("key")
        .summary("Tells how many bytes a string has.")
        .since("2.2.0")
        .complexity("O(1)"),
    string("SUBSTR", getrange, Arity::Exactly(4), ACCESS, READ)
        .syntax("key start end")
        .summary("The older name of GETRANGE.")
        .since("1.0.0")
        .complexity("O(n) in the bytes returned"),
];

use Outcome::Done;

/// Reply: bulk, or nil when there is no such key.
/// Errors: WRONGTYPE.
fn get(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    reply_value(ctx, args.key()?, reply)?;
    Ok(Done)
}

/// Writes the string of a key as a bulk, or nil. True when there was one.
fn reply_value(ctx: &mut Ctx, key: Key<'_>, reply: &mut Reply) -> Result<bool, CommandError> {
    let Some(entry) = ctx.read(key) else {
        reply.nil();
        return Ok(false);
    };
    reply.bulk(text(entry, &mut itoa::Buffer::new())?);
    Ok(true)
}

/// What an expiry option's number means.
#[derive(Clone, Copy)]
enum Span {
    /// From now on.
    Seconds,
    Millis,
    /// Since 1970.
    UnixSeconds,
    UnixMillis,
}

impl Span {
    fn of_keyword(word: &[u8]) -> Option<Span> {
        [("EX", Span::Seconds), ("PX", Span::Millis), ("EXAT", Span::UnixSeconds), ("PXAT", Span::UnixMillis)]
            .into_iter()
            .find_map(|(name, span)| word.eq_ignore_ascii_case(name.as_bytes()).then_some(span))
    }

    /// Whether it names a moment that may have passed; a span from now on cannot.
    fn is_moment(self) -> bool {
        matches!(self, Span::UnixSeconds | Span::UnixMillis)
    }

    /// The moment that `number` means. `command`: for the error.
    ///
    /// Errors: not an integer; invalid expire when it is not positive or lies beyond what a moment can be.
    fn moment(self, number: &[u8], now: UnixMs, command: &'static str) -> Result<UnixMs, CommandError> {
        let number = number::parse_i64(number).ok_or(CommandError::NotInteger)?;
        let ms = match self {
            Span::Seconds | Span::UnixSeconds => number.checked_mul(1000),
            Span::Millis | Span::UnixMillis => Some(number),
        };
        let base = if self.is_moment() { 0 } else { now as i64 };
        ms.filter(|&ms| ms > 0)
            .and_then(|ms| ms.checked_add(base))
            .map(|ms| ms as UnixMs)
            .ok_or(CommandError::InvalidExpire(command))
    }
}

/// The options of SET and, without the first four, of GETEX.
#[derive(Default)]
struct SetOptions<'a> {
    only_new: bool,
    only_existing: bool,
    get: bool,
    keep_ttl: bool,
    persist: bool,
    /// Not parsed before the syntax of all options is known to be right: that error comes first.
    expire: Option<(Span, &'a [u8])>,
}

impl<'a> SetOptions<'a> {
    /// Errors: syntax, also for options that exclude each other. The same option twice is allowed; the last one counts.
    fn parse(args: &mut Args<'a>, for_set: bool) -> Result<SetOptions<'a>, CommandError> {
        let mut o = SetOptions::default();
        while args.left() > 0 {
            let word = args.next()?;
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if for_set && is("NX") && !o.only_existing {
                o.only_new = true;
            } else if for_set && is("XX") && !o.only_new {
                o.only_existing = true;
            } else if for_set && is("GET") {
                o.get = true;
            } else if for_set && is("KEEPTTL") && o.expire.is_none() {
                o.keep_ttl = true;
            } else if !for_set && is("PERSIST") && o.expire.is_none() {
                o.persist = true;
            } else if let Some(span) = Span::of_keyword(word)
                && !o.keep_ttl
                && !o.persist
                && o.expire.is_none_or(|(other, _)| other as u8 == span as u8)
            {
                o.expire = Some((span, args.next()?));
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(o)
    }
}

/// Reply: OK; nil when NX or XX forbade it; with GET the value before, or nil.
/// Errors: syntax, not an integer, invalid expire; WRONGTYPE with GET. Nothing is written then.
/// Effect: event `set`, and `expire` when it got an expiry.
fn set(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let value = args.next()?;
    if args.left() == 0 {
        ctx.put_string(key, value, Expire::Clear);
        reply.ok();
        return Ok(Done);
    }
    let options = SetOptions::parse(args, true)?;
    let expire = match options.expire {
        Some((span, number)) => Expire::At(span.moment(number, ctx.now, "set")?),
        None if options.keep_ttl => Expire::Keep,
        None => Expire::Clear,
    };
    let exists = if options.get {
        reply_value(ctx, key, reply)?
    } else {
        (options.only_new || options.only_existing) && ctx.find(key).is_some()
    };
    if (options.only_new && exists) || (options.only_existing && !exists) {
        if !options.get {
            reply.nil();
        }
        return Ok(Done);
    }
    ctx.put_string(key, value, expire);
    if !options.get {
        reply.ok();
    }
    Ok(Done)
}

/// Reply: 1 when it was set, 0 when the key existed.
/// Effect: event `set`.
fn setnx(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let value = args.next()?;
    let exists = ctx.find(key).is_some();
    if !exists {
        ctx.put_string(key, value, Expire::Clear);
    }
    reply.int(i64::from(!exists));
    Ok(Done)
}

fn setex(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    set_for(ctx, args, reply, Span::Seconds, "setex")
}

fn psetex(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    set_for(ctx, args, reply, Span::Millis, "psetex")
}

/// Reply: OK.
/// Errors: not an integer, invalid expire.
/// Effect: events `set` and `expire`.
fn set_for(
    ctx: &mut Ctx,
    args: &mut Args,
    reply: &mut Reply,
    span: Span,
    command: &'static str,
) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let moment = span.moment(args.next()?, ctx.now, command)?;
    ctx.put_string(key, args.next()?, Expire::At(moment));
    reply.ok();
    Ok(Done)
}

/// Reply: the value before, or nil.
/// Errors: WRONGTYPE; nothing is written then.
/// Effect: event `set`; an expiry is taken away.
fn getset(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    reply_value(ctx, key, reply)?;
    ctx.put_string(key, args.next()?, Expire::Clear);
    Ok(Done)
}

/// Reply: the value, or nil.
/// Errors: WRONGTYPE.
/// Effect: event `del`.
fn getdel(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    if reply_value(ctx, key, reply)? {
        ctx.remove(key);
        ctx.wrote(key, Event::Del);
    }
    Ok(Done)
}

/// Reply: the value, or nil; then the options' number is not even looked at.
/// Errors: syntax, WRONGTYPE, not an integer, invalid expire.
/// Effect: event `expire`, `persist`, or `del` when the moment has passed; none without options.
fn getex(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let options = SetOptions::parse(args, false)?;
    let now = ctx.now;
    let Some(entry) = ctx.read(key) else {
        reply.nil();
        return Ok(Done);
    };
    let mut digits = itoa::Buffer::new();
    let had_expiry = entry.expire_at().is_some();
    let value = text(entry, &mut digits)?;
    let expire = match options.expire {
        Some((span, number)) => Some((span, span.moment(number, now, "getex")?)),
        None => None,
    };
    reply.bulk(value);
    match expire {
        Some((span, moment)) if span.is_moment() && moment <= now => {
            ctx.remove(key);
            ctx.wrote(key, Event::Del);
        }
        Some((_, moment)) => {
            ctx.set_expire(key, Some(moment));
            ctx.wrote(key, Event::Expire);
        }
        None if options.persist && had_expiry => {
            ctx.set_expire(key, None);
            ctx.wrote(key, Event::Persist);
        }
        None => {}
    }
    Ok(Done)
}

/// Reply: array of bulks; nil for a key that is missing or holds no string.
fn mget(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    reply.array(args.left());
    prefetch_groups(
        ctx,
        args,
        |args| Ok((args.key()?, ())),
        |ctx, key, ()| match ctx
            .read(key)
            .map(|entry| text(entry, &mut itoa::Buffer::new()).map(|value| reply.bulk(value)))
        {
            Some(Ok(())) => {}
            Some(Err(_)) | None => reply.nil(),
        },
    )?;
    Ok(Done)
}

/// Reply: OK.
/// Errors: arity when a value is missing; nothing is written then.
/// Effect: event `set` for every key.
fn mset(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    if !args.left().is_multiple_of(2) {
        return Err(CommandError::WrongArity("mset".into()));
    }
    set_pairs(ctx, args)?;
    reply.ok();
    Ok(Done)
}

fn set_pairs(ctx: &mut Ctx, args: &mut Args) -> Result<(), CommandError> {
    prefetch_groups(
        ctx,
        args,
        |args| Ok((args.key()?, args.next()?)),
        |ctx, key, value| ctx.put_string(key, value, Expire::Clear),
    )
}

/// Reply: 1 when all were set, 0 when none was, because one exists.
/// Errors: arity when a value is missing.
/// Effect: event `set` for every key.
fn msetnx(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    if !args.left().is_multiple_of(2) {
        return Err(CommandError::WrongArity("msetnx".into()));
    }
    let mut look = args.fork();
    while look.left() > 0 {
        let key = look.key()?;
        look.next()?;
        if ctx.find(key).is_some() {
            reply.int(0);
            return Ok(Done);
        }
    }
    set_pairs(ctx, args)?;
    reply.int(1);
    Ok(Done)
}

fn incr(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    add(ctx, key, 1, reply)
}

fn decr(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    add(ctx, key, -1, reply)
}

fn incrby(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let by = args.int()?;
    add(ctx, key, by, reply)
}

fn decrby(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let by = args.int()?.checked_neg().ok_or(CommandError::err("decrement would overflow"))?;
    add(ctx, key, by, reply)
}

/// Reply: int, the new value.
/// Errors: WRONGTYPE, not an integer, overflow.
/// Effect: event `incrby`; an expiry stays.
fn add(ctx: &mut Ctx, key: Key<'_>, by: i64, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let old = match ctx.find(key) {
        Some(entry) => integer(entry)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(CommandError::Overflow)?;
    ctx.set_string(key, StrValue::Int(new), Expire::Keep);
    ctx.wrote(key, Event::IncrBy);
    reply.int(new);
    Ok(Done)
}

/// Reply: bulk, the new value.
/// Errors: WRONGTYPE, not a float, the result is not finite.
/// Effect: event `incrbyfloat`; an expiry stays.
fn incrbyfloat(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let by = args.next()?;
    let mut digits = itoa::Buffer::new();
    let old = match ctx.find(key) {
        Some(entry) => text(entry, &mut digits)?,
        None => b"0",
    };
    let new = number::add_decimal(old, by).map_err(CommandError::from)?;
    ctx.set_string(key, StrValue::Bytes(new.as_bytes()), Expire::Keep);
    ctx.wrote(key, Event::IncrByFloat);
    reply.bulk(new.as_bytes());
    Ok(Done)
}

/// Reply: int, the new length.
/// Errors: WRONGTYPE, too long.
/// Effect: event `append`, also when nothing was added; an expiry stays.
fn append(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let more = args.next()?;
    let old_len = match ctx.find(key) {
        Some(entry) => Some(text_len(entry)?),
        None => None,
    };
    let len = match old_len {
        Some(old_len) => {
            check_len(ctx, old_len, more.len())?;
            ctx.edit_string(key, |value| value.extend_from_slice(more));
            old_len + more.len()
        }
        None => {
            ctx.set_string(key, StrValue::Bytes(more), Expire::Clear);
            more.len()
        }
    };
    ctx.wrote(key, Event::Append);
    reply.int(len as i64);
    Ok(Done)
}

/// Errors: the string would be longer than a bulk may be.
fn check_len(ctx: &Ctx, len: usize, more: usize) -> Result<(), CommandError> {
    match len.checked_add(more) {
        Some(len) if len <= ctx.settings.string_max => Ok(()),
        _ => Err(CommandError::StringTooLong),
    }
}

/// Reply: int, the new length.
/// Errors: not an integer, negative offset, WRONGTYPE, too long.
/// Effect: event `setrange`; none for an empty value, which writes nothing and makes no key.
fn setrange(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let offset = usize::try_from(args.int()?).map_err(|_| CommandError::err("offset is out of range"))?;
    let part = args.next()?;
    let old_len = match ctx.find(key) {
        Some(entry) => text_len(entry)?,
        None => 0,
    };
    if part.is_empty() {
        reply.int(old_len as i64);
        return Ok(Done);
    }
    check_len(ctx, offset, part.len())?;
    let end = offset + part.len();
    ctx.edit_string(key, |value| {
        if value.len() < end {
            value.resize(end, 0);
        }
        value[offset..end].copy_from_slice(part);
    });
    ctx.wrote(key, Event::SetRange);
    reply.int(old_len.max(end) as i64);
    Ok(Done)
}

/// Reply: int, 0 when there is no such key.
/// Errors: WRONGTYPE.
fn strlen(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let len = match ctx.read(key) {
        Some(entry) => text_len(entry)?,
        None => 0,
    };
    reply.int(len as i64);
    Ok(Done)
}

/// Reply: bulk, empty when nothing lies in the range or there is no such key.
/// Errors: not an integer, WRONGTYPE.
fn getrange(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let (start, end) = (args.int()?, args.int()?);
    let mut digits = itoa::Buffer::new();
    let value = match ctx.read(key) {
        Some(entry) => text(entry, &mut digits)?,
        None => b"",
    };
    reply.bulk(slice(value, start, end));
    Ok(Done)
}

/// The bytes from `start` to `end`, both included; negative positions count from the end, others are cut to the value.
fn slice(value: &[u8], start: i64, end: i64) -> &[u8] {
    let len = value.len() as i64;
    // Two negative positions in the wrong order select nothing, even where both would be cut to position 0.
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    let from_start = |at: i64| if at < 0 { (len + at).max(0) } else { at };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end { b"" } else { &value[start as usize..=end as usize] }
}

/// The options of LCS.
#[derive(Default)]
struct LcsOptions {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: usize,
}

impl LcsOptions {
    fn parse(args: &mut Args) -> Result<LcsOptions, CommandError> {
        let mut o = LcsOptions::default();
        while args.left() > 0 {
            if args.keyword("IDX") {
                o.idx = true;
            } else if args.keyword("LEN") {
                o.len = true;
            } else if args.keyword("WITHMATCHLEN") {
                o.with_match_len = true;
            } else if args.left() > 1 && args.keyword("MINMATCHLEN") {
                o.min_match_len = usize::try_from(args.int()?).unwrap_or(0);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if o.len && o.idx {
            return Err(CommandError::err("If you want both the length and indexes, please just use IDX."));
        }
        Ok(o)
    }
}

/// Reply: bulk, the subsequence; LEN: int; IDX: map of `matches` (ranges in both strings, the last first) and `len`.
/// Errors: a key holds no string, syntax, not an integer, strings too long to compare.
/// Cost: a step for 64 pairs of bytes. What Redis's table may have bounds it: 512 MiB by default.
fn lcs(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    // The two values may lie in different shards, of which only one is borrowed at a time.
    let value = |ctx: &mut Ctx, key: Key<'_>| match ctx.read(key) {
        Some(entry) => text(entry, &mut itoa::Buffer::new())
            .map(<[u8]>::to_vec)
            .map_err(|_| CommandError::err("The specified keys must contain string values")),
        None => Ok(Vec::new()),
    };
    let a = value(ctx, args.key()?)?;
    let b = value(ctx, args.key()?)?;
    let options = LcsOptions::parse(args)?;
    let limit = ctx.settings.string_max as u64;
    if options.len {
        reply.int(lcs::length(&a, &b, limit)? as i64);
        return Ok(Done);
    }
    let found = Lcs::new(&a, &b, limit)?;
    if !options.idx {
        reply.bulk(&found.string());
        return Ok(Done);
    }
    let matches = found.matches(options.min_match_len);
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(matches.len());
    for run in matches {
        reply.array(if options.with_match_len { 3 } else { 2 });
        for start in [run.a_start, run.b_start] {
            reply.array(2);
            reply.int(start as i64);
            reply.int((start + run.len - 1) as i64);
        }
        if options.with_match_len {
            reply.int(run.len as i64);
        }
    }
    reply.bulk(b"len");
    reply.int(found.len() as i64);
    Ok(Done)
}

#[cfg(test)]
mod tests;
