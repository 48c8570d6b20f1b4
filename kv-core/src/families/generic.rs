//! Keys of any type: COPY ... UNLINK, expiry, walks over the keyspace, whole databases.
//!
//! Walks (KEYS, SCAN) work in slices: KEYS returns `Again` and goes on in a later turn, SCAN lets the client come again.
//! Whole databases (FLUSHDB, FLUSHALL, SWAPDB) change hands without being looked at.

use super::prefetch_groups;
use super::row_words::{ACCESS, CHANGE, CHANGING_OUTPUT, LOOK, UPDATE, WRITE_FAST};
use crate::command::{
    Args, Arity, CommandError, CommandSpec, Ctx, Event, Flags, Group, Handler, Join, KeySpec, LogAs, Outcome, Spread,
    StoreFn, row,
};
use crate::resp::{Reply, number};
use crate::store::entry::ACCESS_BITS;
use crate::store::{Db, EntryRef, Key, Shard, UnixMs, Value};
use crate::types::{Limits, pattern};
use Outcome::Done;

const ASK_SUB_KEY: &[KeySpec] = &[KeySpec::one(2, &["RO"])];
const ASK_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, &["RO"])];
const REMOVE_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, &["RM", "delete"])];

const ASK: Flags = Flags::READONLY.and(Flags::FAST).and(Flags::NO_TOUCH);
const FLUSH: Flags = Flags::WRITE.and(Flags::DANGEROUS);
const OBJECT: Flags = Flags::READONLY.and(Flags::NO_TOUCH);

const PER_KEY: Spread = Spread::Parts { unit: 1, join: Join::Sum };
const PER_KEY_TIPS: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const ALL_SUCCEED: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

const fn generic(
    name: &'static str,
    handler: StoreFn,
    arity: Arity,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    row(name, Handler::Store(handler), arity, keys, flags).group(Group::Generic).complexity("O(1)")
}

pub(crate) const ROWS: &[CommandSpec] = &[
    generic(
        "COPY",
        copy,
        Arity::AtLeast(3),
        &[KeySpec::one(1, &["RO", "access"]), KeySpec::one(2, &["OW", "update"])],
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::WRITES_ELSEWHERE),
    )
    .syntax("source destination [DB destination-db] [REPLACE]")
    .summary("Copies the value and expiry of a key to another key.")
    .since("6.2.0")
    .complexity("O(n) in the size of the value"),
    generic("DEL", del, Arity::AtLeast(2), REMOVE_KEYS, Flags::WRITE)
        .spread(PER_KEY)
        .tips(PER_KEY_TIPS)
        .syntax("key [key ...]")
        .summary("Removes keys and counts those that existed.")
        .since("1.0.0")
        .complexity("O(n) in the number of keys; big values are freed in the background"),
    generic("EXISTS", exists, Arity::AtLeast(2), ASK_KEYS, ASK)
        .spread(PER_KEY)
        .tips(PER_KEY_TIPS)
        .syntax("key [key ...]")
        .summary("Counts those of the keys that exist; a key named twice counts twice.")
        .since("1.0.0")
        .complexity("O(n) in the number of keys"),
    generic("EXPIRE", expire, Arity::AtLeast(3), UPDATE, WRITE_FAST)
        .log(LogAs::Expiry)
        .syntax("key seconds [NX | XX | GT | LT]")
        .summary("Lets a key expire after some seconds.")
        .since("1.0.0"),
    generic("EXPIREAT", expireat, Arity::AtLeast(3), UPDATE, WRITE_FAST)
        .log(LogAs::Expiry)
        .syntax("key unix-time-seconds [NX | XX | GT | LT]")
        .summary("Lets a key expire at a second since 1970.")
        .since("1.2.0"),
    generic("EXPIRETIME", expiretime, Arity::Exactly(2), ACCESS, ASK)
        .syntax("key")
        .summary("Tells the second since 1970 at which a key expires.")
        .since("7.0.0"),
    generic("KEYS", keys, Arity::Exactly(2), &[], Flags::READONLY.and(Flags::DANGEROUS))
        .spread(Spread::All { join: Join::Concat })
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .syntax("pattern")
        .summary("Lists all keys that match a pattern; others are served while it walks.")
        .since("1.0.0")
        .complexity("O(n) in the number of keys of the database"),
    generic("MOVE", r#move, Arity::Exactly(3), CHANGE, WRITE_FAST.and(Flags::WRITES_ELSEWHERE))
        .log(LogAs::Words)
        .syntax("key db")
        .summary("Moves a key to another database.")
        .since("1.0.0"),
    row("OBJECT", Handler::Container, Arity::AtLeast(2), &[], Flags::NONE)
        .subs(OBJECT_ROWS)
        .syntax("subcommand [argument ...]")
        .summary("Tells how a value is kept.")
        .since("2.2.3")
        .complexity("see the subcommands"),
    generic("PERSIST", persist, Arity::Exactly(2), UPDATE, WRITE_FAST)
        .log(LogAs::Expiry)
        .syntax("key")
        .summary("Takes the expiry of a key away.")
        .since("2.2.0"),
    generic("PEXPIRE", pexpire, Arity::AtLeast(3), UPDATE, WRITE_FAST)
        .log(LogAs::Expiry)
        .syntax("key milliseconds [NX | XX | GT | LT]")
        .summary("Lets a key expire after some milliseconds.")
        .since("2.6.0"),
    generic("PEXPIREAT", pexpireat, Arity::AtLeast(3), UPDATE, WRITE_FAST)
        .log(LogAs::Expiry)
        .syntax("key unix-time-milliseconds [NX | XX | GT | LT]")
        .summary("Lets a key expire at a millisecond since 1970.")
        .since("2.6.0"),
    generic("PEXPIRETIME", pexpiretime, Arity::Exactly(2), ACCESS, ASK)
        .syntax("key")
        .summary("Tells the millisecond since 1970 at which a key expires.")
        .since("7.0.0"),
    generic("PTTL", pttl, Arity::Exactly(2), ACCESS, ASK)
        .tips(CHANGING_OUTPUT)
        .syntax("key")
        .summary("Tells in how many milliseconds a key expires.")
        .since("2.6.0"),
    generic("RANDOMKEY", randomkey, Arity::Exactly(1), &[], Flags::READONLY.and(Flags::NO_TOUCH))
        .spread(Spread::All { join: Join::AnyOf })
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .summary("Picks a key of the database at random.")
        .since("1.0.0"),
    generic(
        "RENAME",
        rename,
        Arity::Exactly(3),
        &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["OW", "update"])],
        Flags::WRITE,
    )
    .syntax("key newkey")
    .summary("Gives a key another name, in place of whatever had it.")
    .since("1.0.0"),
    generic(
        "RENAMENX",
        renamenx,
        Arity::Exactly(3),
        &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["OW", "insert"])],
        WRITE_FAST,
    )
    .syntax("key newkey")
    .summary("Gives a key another name that is free.")
    .since("1.0.0"),
    generic("SCAN", scan, Arity::AtLeast(2), &[], Flags::READONLY)
        .spread(Spread::Cursor { at: 1 })
        .tips(&["nondeterministic_output", "request_policy:special"])
        .syntax("cursor [MATCH pattern] [COUNT count] [TYPE type]")
        .summary("Lists the keys of the database piece by piece; the returned cursor leads on, 0 is the end.")
        .since("2.8.0")
        .complexity("O(1) a call for a small COUNT, O(n) for the whole walk"),
    generic("TOUCH", touch, Arity::AtLeast(2), ASK_KEYS, Flags::READONLY.and(Flags::FAST))
        .spread(PER_KEY)
        .tips(PER_KEY_TIPS)
        .syntax("key [key ...]")
        .summary("Marks keys as used just now and counts those that exist.")
        .since("3.2.1")
        .complexity("O(n) in the number of keys"),
    generic("TTL", ttl, Arity::Exactly(2), ACCESS, ASK)
        .tips(CHANGING_OUTPUT)
        .syntax("key")
        .summary("Tells in how many seconds a key expires.")
        .since("1.0.0"),
    generic("TYPE", r#type, Arity::Exactly(2), LOOK, ASK)
        .syntax("key")
        .summary("Tells the type of a key's value, or none.")
        .since("1.0.0"),
    generic("UNLINK", del, Arity::AtLeast(2), REMOVE_KEYS, WRITE_FAST)
        .spread(PER_KEY)
        .tips(PER_KEY_TIPS)
        .syntax("key [key ...]")
        .summary("As DEL, which frees big values in the background, too.")
        .since("4.0.0")
        .complexity("O(n) in the number of keys"),
    generic("WAIT", wait, Arity::Exactly(3), &[], Flags::NOSCRIPT)
        .category("connection")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .syntax("numreplicas timeout")
        .summary("Counts the replicas that have the writes so far: none, as there are no replicas.")
        .since("3.0.0"),
    generic("DBSIZE", dbsize, Arity::Exactly(1), &[], Flags::READONLY.and(Flags::FAST))
        .category("keyspace")
        .group(Group::Server)
        .spread(Spread::All { join: Join::Sum })
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .summary("Counts the keys of the database.")
        .since("1.0.0"),
    generic("FLUSHALL", flushall, Arity::AtLeast(1), &[], FLUSH)
        .log(LogAs::Told)
        .category("keyspace")
        .group(Group::Server)
        .spread(Spread::All { join: Join::First })
        .tips(ALL_SUCCEED)
        .syntax("[ASYNC | SYNC]")
        .summary("Removes all keys of all databases; memory is always freed in the background.")
        .since("1.0.0")
        .complexity("O(1) in the number of keys"),
    generic("FLUSHDB", flushdb, Arity::AtLeast(1), &[], FLUSH)
        .log(LogAs::Told)
        .category("keyspace")
        .group(Group::Server)
        .spread(Spread::All { join: Join::First })
        .tips(ALL_SUCCEED)
        .syntax("[ASYNC | SYNC]")
        .summary("Removes all keys of the database; memory is always freed in the background.")
        .since("1.0.0")
        .complexity("O(1) in the number of keys"),
    generic("SWAPDB", swapdb, Arity::Exactly(3), &[], WRITE_FAST.and(Flags::DANGEROUS))
        .log(LogAs::Told)
        .category("keyspace")
        .group(Group::Server)
        .spread(Spread::All { join: Join::First })
        .syntax("index1 index2")
        .summary("Lets two databases change places, for all connections at once.")
        .since("4.0.0"),
];

const OBJECT_ROWS: &[CommandSpec] = &[
    generic("ENCODING", object_encoding, Arity::Exactly(3), ASK_SUB_KEY, OBJECT)
        .tips(CHANGING_OUTPUT)
        .syntax("key")
        .summary("Tells in which form a value is kept, in Redis's terms.")
        .since("2.2.3"),
    generic("FREQ", object_freq, Arity::Exactly(3), ASK_SUB_KEY, OBJECT)
        .tips(CHANGING_OUTPUT)
        .syntax("key")
        .summary("Tells how often a key is used, under an LFU policy.")
        .since("4.0.0"),
    generic("HELP", object_help, Arity::Exactly(2), &[], Flags::LOADING.and(Flags::STALE))
        .summary("Lists the subcommands.")
        .since("6.2.0"),
    generic("IDLETIME", object_idletime, Arity::Exactly(3), ASK_SUB_KEY, OBJECT)
        .tips(CHANGING_OUTPUT)
        .syntax("key")
        .summary("Tells for how many seconds a key has not been used.")
        .since("2.2.3"),
    generic("REFCOUNT", object_refcount, Arity::Exactly(3), ASK_SUB_KEY, OBJECT)
        .tips(CHANGING_OUTPUT)
        .syntax("key")
        .summary("Tells how many keys share a value: always 1.")
        .since("2.2.3"),
];

/// Calls `each` for every key of the request, with the keys' memory fetched ahead.
fn for_keys<'a>(
    ctx: &mut Ctx,
    args: &mut Args<'a>,
    mut each: impl FnMut(&mut Ctx, Key<'a>),
) -> Result<(), CommandError> {
    prefetch_groups(ctx, args, |args| Ok((args.key()?, ())), |ctx, key, ()| each(ctx, key))
}

/// DEL and UNLINK, which differ only in Redis.
///
/// Reply: int, how many existed.
/// Effect: event `del` for each of them.
fn del(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let mut removed = 0;
    for_keys(ctx, args, |ctx, key| {
        if ctx.remove(key) {
            ctx.wrote(key, Event::Del);
            removed += 1;
        }
    })?;
    reply.int(removed);
    Ok(Done)
}

fn exists(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    count_existing(ctx, args, reply)
}

/// Differs from EXISTS in that it marks the keys as used, even under CLIENT NO-TOUCH.
fn touch(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    ctx.touch = true;
    count_existing(ctx, args, reply)
}

fn count_existing(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let mut found = 0;
    for_keys(ctx, args, |ctx, key| found += i64::from(ctx.read(key).is_some()))?;
    reply.int(found);
    Ok(Done)
}

/// A database's number as Redis reads it.
///
/// Errors: not an integer, out of an `int`'s range, no such database.
fn database(ctx: &mut Ctx, args: &mut Args) -> Result<usize, CommandError> {
    let number = i32::try_from(args.int()?)
        .map_err(|_| CommandError::err("value is out of range, value must between -2147483648 and 2147483647"))?;
    usize::try_from(number).ok().filter(|&index| index < ctx.databases()).ok_or(CommandError::DbIndex)
}

const SAME_OBJECT: CommandError =
    CommandError::Err(std::borrow::Cow::Borrowed("source and destination objects are the same"));

/// Reply: 1, or 0 when there is no source, or a destination without REPLACE.
/// Errors: syntax, no such database, source and destination are the same.
/// Effect: event `copy_to` for the destination.
fn copy(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let source = args.key()?;
    let target = args.key()?;
    let (mut to, mut replace) = (ctx.db_index, false);
    while args.left() > 0 {
        if args.keyword("REPLACE") {
            replace = true;
        } else if args.left() > 1 && args.keyword("DB") {
            to = database(ctx, args)?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if to == ctx.db_index && source.bytes == target.bytes {
        return Err(SAME_OBJECT);
    }
    // The copy is made last: it may be large, and a destination may forbid it.
    let wanted = ctx.read(source).is_some() && (replace || !ctx.contains_in(to, target));
    if wanted {
        let copy = ctx.copy(source).expect("found a moment ago");
        ctx.insert_in(to, target, copy);
        ctx.wrote_in(to, target, Event::CopyTo);
    }
    reply.int(i64::from(wanted));
    Ok(Done)
}

/// Reply: 1, or 0 when the key is missing here or there is one there.
/// Errors: not an integer, no such database, the database is this one.
/// Effect: events `move_from` here and `move_to` there.
fn r#move(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let to = database(ctx, args)?;
    if to == ctx.db_index {
        return Err(SAME_OBJECT);
    }
    let wanted = ctx.find(key).is_some() && !ctx.contains_in(to, key);
    if wanted {
        let value = ctx.take(key).expect("found a moment ago");
        ctx.insert_in(to, key, value);
        ctx.wrote(key, Event::MoveFrom);
        ctx.wrote_in(to, key, Event::MoveTo);
    }
    reply.int(i64::from(wanted));
    Ok(Done)
}

/// Reply: OK.
/// Errors: no such key.
/// Effect: events `rename_from` and `rename_to`; none when both names are the same.
fn rename(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    rename_if(ctx, args, true)?;
    reply.ok();
    Ok(Done)
}

/// Reply: 1, or 0 when the new name is taken, also by the key itself.
/// Errors and effect: as RENAME.
fn renamenx(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let renamed = rename_if(ctx, args, false)?;
    reply.int(i64::from(renamed));
    Ok(Done)
}

fn rename_if(ctx: &mut Ctx, args: &mut Args, replace: bool) -> Result<bool, CommandError> {
    let source = args.key()?;
    let target = args.key()?;
    if ctx.find(source).is_none() {
        return Err(CommandError::NoSuchKey);
    }
    if source.bytes == target.bytes || (!replace && ctx.find(target).is_some()) {
        return Ok(false);
    }
    let value = ctx.take(source).expect("found a moment ago");
    let here = ctx.db_index;
    ctx.insert_in(here, target, value);
    ctx.wrote(source, Event::RenameFrom);
    ctx.wrote(target, Event::RenameTo);
    Ok(true)
}

/// Units and direction of an expiry command's number.
#[derive(Clone, Copy)]
struct When {
    command: &'static str,
    seconds: bool,
    /// Counted from now on, not since 1970.
    from_now: bool,
}

fn expire(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    expire_when(ctx, args, reply, When { command: "expire", seconds: true, from_now: true })
}

fn pexpire(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    expire_when(ctx, args, reply, When { command: "pexpire", seconds: false, from_now: true })
}

fn expireat(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    expire_when(ctx, args, reply, When { command: "expireat", seconds: true, from_now: false })
}

fn pexpireat(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    expire_when(ctx, args, reply, When { command: "pexpireat", seconds: false, from_now: false })
}

/// NX, XX, GT, LT: when an expiry may be set. A key without one counts as one that expires last.
#[derive(Default)]
struct Condition {
    none_yet: bool,
    one_already: bool,
    later: bool,
    sooner: bool,
}

impl Condition {
    /// Errors: an unknown word; words that exclude each other.
    fn parse(args: &mut Args) -> Result<Condition, CommandError> {
        let mut c = Condition::default();
        while args.left() > 0 {
            if args.keyword("NX") {
                c.none_yet = true;
            } else if args.keyword("XX") {
                c.one_already = true;
            } else if args.keyword("GT") {
                c.later = true;
            } else if args.keyword("LT") {
                c.sooner = true;
            } else {
                let word = String::from_utf8_lossy(args.next()?).into_owned();
                return Err(CommandError::err(format!("Unsupported option {word}")));
            }
        }
        if c.none_yet && (c.one_already || c.later || c.sooner) {
            return Err(CommandError::err("NX and XX, GT or LT options at the same time are not compatible"));
        }
        if c.later && c.sooner {
            return Err(CommandError::err("GT and LT options at the same time are not compatible"));
        }
        Ok(c)
    }

    fn allows(&self, old: Option<UnixMs>, new: i64) -> bool {
        match old {
            None => !self.one_already && !self.later,
            Some(old) => {
                let old = old as i64;
                !self.none_yet && (!self.later || new > old) && (!self.sooner || new < old)
            }
        }
    }
}

/// Reply: 1, or 0 when there is no such key or the condition forbids it.
/// Errors: those of the condition, not an integer, invalid expire.
/// Effect: event `expire`; `del` when the moment has passed.
fn expire_when(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, when: When) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let number = args.next()?;
    let condition = Condition::parse(args)?;
    let number = number::parse_i64(number).ok_or(CommandError::NotInteger)?;
    let moment = (if when.seconds { number.checked_mul(1000) } else { Some(number) })
        .and_then(|ms| ms.checked_add(if when.from_now { ctx.now as i64 } else { 0 }))
        .ok_or(CommandError::InvalidExpire(when.command))?;
    let allowed = ctx.find(key).is_some_and(|entry| condition.allows(entry.expire_at(), moment));
    if allowed {
        if moment <= ctx.now as i64 {
            ctx.remove(key);
            ctx.wrote(key, Event::Del);
        } else {
            ctx.set_expire(key, Some(moment as UnixMs));
            ctx.wrote(key, Event::Expire);
        }
    }
    reply.int(i64::from(allowed));
    Ok(Done)
}

/// Reply: 1, or 0 when there was no expiry to take away.
/// Effect: event `persist`.
fn persist(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let had_expiry = ctx.find(key).is_some_and(|entry| entry.expire_at().is_some());
    if had_expiry {
        ctx.set_expire(key, None);
        ctx.wrote(key, Event::Persist);
    }
    reply.int(i64::from(had_expiry));
    Ok(Done)
}

fn ttl(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let now = ctx.now;
    expiry(ctx, args, reply, |at| (at - now + 500) / 1000)
}

fn pttl(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let now = ctx.now;
    expiry(ctx, args, reply, |at| at - now)
}

fn expiretime(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    expiry(ctx, args, reply, |at| (at + 500) / 1000)
}

fn pexpiretime(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    expiry(ctx, args, reply, |at| at)
}

/// Reply: -2 without the key, -1 without an expiry, else what `tell` makes of the moment.
fn expiry(
    ctx: &mut Ctx,
    args: &mut Args,
    reply: &mut Reply,
    tell: impl FnOnce(UnixMs) -> UnixMs,
) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    reply.int(match ctx.read(key).map(EntryRef::expire_at) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => tell(at) as i64,
    });
    Ok(Done)
}

/// A type's name, as TYPE and SCAN know it.
fn type_name(entry: EntryRef<'_>) -> &'static str {
    entry.value().type_name()
}

/// Reply: simple, `none` when there is no such key.
fn r#type(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    reply.simple(ctx.read(key).map_or("none", type_name));
    Ok(Done)
}

/// Entries and buckets looked at before a walk lets others go first: some 100 us.
const SLICE: usize = 2000;

/// Reply: the matching keys, as elements of an array whose header the caller writes.
fn keys(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let pattern = args.next()?;
    let all = pattern::matches_all(pattern);
    let (now, sliced, index, mut cursor) = (ctx.now, ctx.sliced, ctx.db_index, ctx.cursor);
    let db = &mut ctx.this_shard().dbs[index];
    let mut looked_at = 0;
    loop {
        cursor = db.scan(cursor, now, |entry| {
            looked_at += 1;
            if all || pattern::matches(pattern, entry.key()) {
                reply.bulk(entry.key());
                reply.count_element();
            }
        });
        looked_at += 1;
        if cursor == 0 {
            return Ok(Done);
        }
        if sliced && looked_at >= SLICE {
            return Ok(Outcome::Again(cursor));
        }
    }
}

/// What COUNT may ask of one call at most, in entries and buckets: about a millisecond. The promise of SCAN is about the
/// whole walk, and a call may always return fewer.
pub(super) const SCAN_WORK_MAX: usize = 16_384;

/// The options of SCAN.
struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    type_name: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    fn parse(args: &mut Args<'a>) -> Result<ScanOptions<'a>, CommandError> {
        let mut o = ScanOptions { pattern: None, count: 10, type_name: None };
        while args.left() > 0 {
            if args.left() < 2 {
                return Err(CommandError::Syntax);
            }
            if args.keyword("COUNT") {
                let count = args.int()?;
                o.count = usize::try_from(count).ok().filter(|&n| n > 0).ok_or(CommandError::Syntax)?;
            } else if args.keyword("MATCH") {
                let pattern = args.next()?;
                o.pattern = (!pattern::matches_all(pattern)).then_some(pattern);
            } else if args.keyword("TYPE") {
                o.type_name = Some(args.next()?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(o)
    }

    fn wants(&self, entry: EntryRef<'_>) -> bool {
        self.type_name.is_none_or(|name| name.eq_ignore_ascii_case(type_name(entry).as_bytes()))
            && self.pattern.is_none_or(|pattern| pattern::matches(pattern, entry.key()))
    }
}

/// A cursor as C's `strtoul` reads it: a sign is allowed, nothing counts as 0.
pub(super) fn scan_cursor(word: &[u8]) -> Result<u64, CommandError> {
    let (negative, digits) = match word {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut number = 0u64;
    for &digit in digits {
        number = Some(digit)
            .filter(u8::is_ascii_digit)
            .and_then(|digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
            .ok_or(CommandError::err("invalid cursor"))?;
    }
    // A lone sign is nothing that was read as a number, and so something left over.
    if digits.is_empty() && !word.is_empty() {
        return Err(CommandError::err("invalid cursor"));
    }
    Ok(if negative { number.wrapping_neg() } else { number })
}

/// The cursor on the wire is `place in the shard's table * shards + shard`. A walk goes through the shards in order; the
/// end of one is the beginning of the next.
///
/// Reply: array of the next cursor and the keys found; each key that is there all the time is found at least once.
/// Errors: invalid cursor, syntax, not an integer.
fn scan(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let cursor = scan_cursor(args.next()?)?;
    let options = ScanOptions::parse(args)?;
    let (now, index, shards) = (ctx.now, ctx.db_index, ctx.shards as u64);
    let shard = ctx.this_shard();
    let place = shard.index as u64;
    let mut inner = cursor / shards;
    let mut keys = Vec::new();
    let (mut found, mut looked_at) = (0, 0);
    let mut list = Reply::new(&mut keys, reply.proto());
    // Redis, too, gives up on a call after ten times as many buckets as entries were asked for.
    let work = options.count.saturating_mul(10).min(SCAN_WORK_MAX);
    let mut seen = 0;
    loop {
        inner = shard.dbs[index].scan(inner, now, |entry| {
            seen += 1;
            if options.wants(entry) {
                list.bulk(entry.key());
                found += 1;
            }
        });
        looked_at += 1;
        if inner == 0 || seen >= options.count || looked_at + seen >= work {
            break;
        }
    }
    let next = match inner {
        0 if place + 1 == shards => 0,
        0 => place + 1,
        inner => inner * shards + place,
    };
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(found);
    reply.raw(&keys);
    Ok(Done)
}

/// Reply: bulk, or nil when there are no keys here.
fn randomkey(ctx: &mut Ctx, _args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (now, index) = (ctx.now, ctx.db_index);
    let Shard { dbs, random, .. } = ctx.this_shard();
    let db = &dbs[index];
    match db.random(random, now) {
        Some(entry) => reply.bulk(entry.key()),
        None => match first_found(db, now) {
            Some(key) => reply.bulk(&key),
            None => reply.nil(),
        },
    }
    Ok(Done)
}

/// The first key a walk meets: for the moment when nearly all have just expired and luck does not find another one.
fn first_found(db: &Db, now: UnixMs) -> Option<Vec<u8>> {
    let (mut cursor, mut found) = (0, None);
    for _ in 0..SCAN_WORK_MAX {
        cursor = db.scan(cursor, now, |entry| {
            found.get_or_insert_with(|| entry.key().to_vec());
        });
        if cursor == 0 || found.is_some() {
            break;
        }
    }
    found
}

/// Reply: int, the keys of this shard; some may be due and not yet removed.
fn dbsize(ctx: &mut Ctx, _args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let index = ctx.db_index;
    reply.int(ctx.each_shard().map(|shard| shard.dbs[index].len() as i64).sum());
    Ok(Done)
}

/// ASYNC and SYNC are the same here: tables change hands and are freed elsewhere.
fn flush_mode(args: &mut Args) -> Result<(), CommandError> {
    match args.left() {
        0 => Ok(()),
        1 if args.keyword("SYNC") || args.keyword("ASYNC") => Ok(()),
        _ => Err(CommandError::Syntax),
    }
}

/// Reply: OK.
/// Errors: syntax.
fn flushdb(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    flush_mode(args)?;
    let index = ctx.db_index;
    ctx.flush(index..index + 1);
    reply.ok();
    Ok(Done)
}

/// Reply: OK.
/// Errors: syntax.
fn flushall(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    flush_mode(args)?;
    let all = 0..ctx.databases();
    ctx.flush(all);
    reply.ok();
    Ok(Done)
}

/// Reply: OK.
/// Errors: a word is no number, no such database.
fn swapdb(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let mut index = |text: &'static str| {
        let number = args.int().ok().and_then(|number| i32::try_from(number).ok());
        number.ok_or(CommandError::err(text))
    };
    let (first, second) = (index("invalid first DB index")?, index("invalid second DB index")?);
    let databases = ctx.databases();
    let valid = |index: i32| usize::try_from(index).ok().filter(|&i| i < databases).ok_or(CommandError::DbIndex);
    ctx.swap(valid(first)?, valid(second)?);
    reply.ok();
    Ok(Done)
}

/// Reply: 0, since there are no replicas; at once, since none can come while waiting.
/// Errors: not an integer, negative timeout.
fn wait(_ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    args.int()?;
    match args.int() {
        Err(_) => Err(CommandError::err("timeout is not an integer or out of range")),
        Ok(..0) => Err(CommandError::err("timeout is negative")),
        Ok(_) => {
            reply.int(0);
            Ok(Done)
        }
    }
}

/// Redis keeps strings up to this many bytes in one block with the object and calls that form `embstr`.
const EMBSTR_MAX: usize = 44;

/// Reply: bulk, one of Redis's names (a string is `int`, `embstr` or `raw`, by Redis's rules); nil when there is no such key.
fn object_encoding(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let limits = ctx.limits();
    match ctx.read(key) {
        None => reply.nil(),
        Some(entry) => reply.bulk(encoding(entry, limits).as_bytes()),
    }
    Ok(Done)
}

fn encoding(entry: EntryRef<'_>, limits: &Limits) -> &'static str {
    match entry.value() {
        Value::Int(_) => "int",
        Value::Bytes(bytes) if bytes.len() <= EMBSTR_MAX && !entry.is_raw() => "embstr",
        Value::Bytes(_) => "raw",
        Value::Packed(form, _) => form.encoding(),
        Value::Object(object) => object.encoding(limits),
    }
}

/// Reply: int, seconds since the last use; nil when there is no such key.
fn object_idletime(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let now = ctx.now;
    match ctx.read(key) {
        None => reply.nil(),
        Some(entry) => reply.int(i64::from(idle_s(entry, now))),
    }
    Ok(Done)
}

/// Seconds since the last use, as far as the 24 bits of access data tell them apart: some 194 days.
fn idle_s(entry: EntryRef<'_>, now: UnixMs) -> u32 {
    ((now / 1000) as u32).wrapping_sub(entry.access()) & ((1 << ACCESS_BITS) - 1)
}

/// Reply: nil when there is no such key.
/// Errors: there is no LFU policy.
fn object_freq(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    match ctx.read(key) {
        None => {
            reply.nil();
            Ok(Done)
        }
        Some(_) => Err(CommandError::err(
            "An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
             between policies at runtime LRU and LFU data will take some time to adjust.",
        )),
    }
}

/// Reply: int; nil when there is no such key.
fn object_refcount(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    match ctx.read(key) {
        None => reply.nil(),
        Some(_) => reply.int(1),
    }
    Ok(Done)
}

/// Reply: array of simple strings.
fn object_help(_ctx: &mut Ctx, _args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let lines = 1 + 2 * OBJECT_ROWS.len();
    reply.array(lines);
    reply.simple("OBJECT <subcommand> [<arg> ...]. Subcommands are:");
    for row in OBJECT_ROWS {
        match row.syntax {
            "" => reply.simple(row.name),
            syntax => reply.simple(&format!("{} <{syntax}>", row.name)),
        }
        reply.simple(&format!("    {}", row.summary));
    }
    Ok(Done)
}

/// What an entry takes besides its own memory: a place in the table and, with an expiry, one in the timing wheel.
fn overhead(entry: EntryRef<'_>) -> usize {
    const SLOT: usize = 8;
    const TOKEN: usize = 6;
    SLOT + if entry.expire_at().is_some() { TOKEN } else { 0 }
}

/// MEMORY USAGE; its row stands among the other subcommands of MEMORY.
///
/// Reply: int, bytes of the entry with its places in the table and the timing wheel; nil when there is no such key.
/// Errors: syntax, not an integer.
pub fn memory_usage(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    while args.left() > 0 {
        if args.left() < 2 || !args.keyword("SAMPLES") {
            return Err(CommandError::Syntax);
        }
        // How many parts of a collection to measure: strings have one.
        if args.int()? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    match ctx.read(key) {
        None => reply.nil(),
        Some(entry) => reply.int((entry.bytes() + overhead(entry)) as i64),
    }
    Ok(Done)
}

#[cfg(test)]
mod tests;
