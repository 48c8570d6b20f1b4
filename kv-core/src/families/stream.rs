//! Streams: XADD ... XTRIM. Groups of consumers are in `stream::groups`, XINFO in `stream::info`.
//!
//! A stream stays when its last entry goes, as in Redis: only DEL and its like remove it. XADD and XREAD are the hot path;
//! a range is counted by its nodes (`types::stream`) before it is written, so nothing is collected.

mod groups;
mod info;
mod options;
#[cfg(test)]
mod tests;

use super::row_words::{ACCESS, CHANGING_OUTPUT, DELETE, GROW, LOOK, READ, UPDATE, WRITE_FAST};
use super::wait::until_ms;
use crate::command::{
    Args, Arity, CommandError, CommandSpec, Ctx, Event, Find, Flags, Group, Handler, KeySpec, LogAs, Outcome, StoreFn,
    row,
};
use crate::command::{Begin, KeyAccess};
use crate::resp::{Proto, Reply};
use crate::store::Key;
use crate::types::stream::{ENTRY_BYTES_MAX, Entries, Entry, ID_TEXT_MAX, NewId, NodeLimits, Stream, StreamId};
use Outcome::Done;
use options::{AddOptions, Range, ReadOptions, TrimOptions, strict_id};

/// The first half of what follows the word STREAMS, searched from word `from` on.
const fn keys_behind_streams(from: i16) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword { word: "STREAMS", from },
        find: Find::Range { last: -1, step: 1, limit: 2 },
        access: KeyAccess(&["RO", "access"]),
    }
}

/// The word from which on XREADGROUP's row looks for STREAMS.
const GROUP_STREAMS_FROM: usize = 4;

const READ_STREAMS: &[KeySpec] = &[keys_behind_streams(1)];
const READ_GROUP_STREAMS: &[KeySpec] = &[keys_behind_streams(GROUP_STREAMS_FROM as i16)];

const MAY_WAIT: Flags = Flags::BLOCKING.and(Flags::MOVABLE_KEYS);

const fn stream(
    name: &'static str,
    handler: StoreFn,
    arity: Arity,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    row(name, Handler::Store(handler), arity, keys, flags).group(Group::Stream).since("5.0.0").complexity("O(1)")
}

pub(crate) const ROWS: &[CommandSpec] = &[
    stream("XACK", groups::xack, Arity::AtLeast(4), UPDATE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key group id [id ...]")
        .summary("Takes entries off what is pending in a group and counts them.")
        .complexity("O(log n) an entry, n being those pending"),
    stream("XADD", xadd, Arity::AtLeast(5), UPDATE, GROW.and(Flags::FAST))
        .log(LogAs::Words)
        .tips(CHANGING_OUTPUT)
        .syntax(
            "key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value \
             [field value ...]",
        )
        .summary("Adds an entry to a stream and tells its id; may trim the stream, too.")
        .complexity("O(1), and O(n) in the entries that are trimmed"),
    stream("XAUTOCLAIM", groups::xautoclaim, Arity::AtLeast(6), DELETE, WRITE_FAST)
        .log(LogAs::Words)
        .tips(CHANGING_OUTPUT)
        .syntax("key group consumer min-idle-time start [COUNT count] [JUSTID]")
        .summary("Gives a consumer what was pending with others for long, from an id on.")
        .since("6.2.0")
        .complexity("O(log n) for a small COUNT"),
    stream("XCLAIM", groups::xclaim, Arity::AtLeast(6), UPDATE, WRITE_FAST)
        .log(LogAs::Words)
        .tips(CHANGING_OUTPUT)
        .syntax(
            "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] \
             [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
        )
        .summary("Gives a consumer certain entries that were pending with others for long.")
        .complexity("O(log n) an entry, n being those pending"),
    stream("XDEL", xdel, Arity::AtLeast(3), DELETE, WRITE_FAST)
        .log(LogAs::Words)
        .syntax("key id [id ...]")
        .summary("Deletes entries of a stream and counts them.")
        .complexity("O(log n) an entry"),
    row("XGROUP", Handler::Container, Arity::AtLeast(2), &[], Flags::NONE)
        .subs(groups::XGROUP_ROWS)
        .group(Group::Stream)
        .syntax("subcommand [argument ...]")
        .summary("Makes, changes and removes groups of consumers.")
        .since("5.0.0")
        .complexity("see the subcommands"),
    row("XINFO", Handler::Container, Arity::AtLeast(2), &[], Flags::NONE)
        .subs(info::XINFO_ROWS)
        .group(Group::Stream)
        .syntax("subcommand [argument ...]")
        .summary("Tells about streams, their groups and consumers.")
        .since("5.0.0")
        .complexity("see the subcommands"),
    stream("XLEN", xlen, Arity::Exactly(2), LOOK, READ.and(Flags::FAST))
        .syntax("key")
        .summary("Counts the entries of a stream."),
    stream("XPENDING", groups::xpending, Arity::AtLeast(3), ACCESS, READ)
        .tips(CHANGING_OUTPUT)
        .syntax("key group [[IDLE min-idle-time] start end count [consumer]]")
        .summary("Tells what is pending in a group, as a whole or entry by entry.")
        .complexity("O(log n) for a small count, O(n) with IDLE; O(1) as a whole, and for each consumer"),
    stream("XRANGE", xrange, Arity::AtLeast(4), ACCESS, READ)
        .syntax("key start end [COUNT count]")
        .summary("Lists the entries of a stream from one id to another.")
        .complexity("O(log n), and O(m) in the entries returned"),
    stream("XREAD", xread, Arity::AtLeast(4), READ_STREAMS, READ.and(MAY_WAIT))
        .syntax("[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]")
        .summary("Lists the entries of several streams behind an id each; may wait for some.")
        .complexity("O(log n) a stream, and O(m) in the entries returned"),
    stream("XREADGROUP", groups::xreadgroup, Arity::AtLeast(7), READ_GROUP_STREAMS, Flags::WRITE.and(MAY_WAIT))
        .log(LogAs::Words)
        .syntax("GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]")
        .summary(
            "Hands entries of several streams that nobody in the group has had to a consumer, or what is pending with it; \
             may wait for some.",
        )
        .complexity("O(log n) a stream, and O(m log n) in the entries returned"),
    stream("XREVRANGE", xrevrange, Arity::AtLeast(4), ACCESS, READ)
        .syntax("key end start [COUNT count]")
        .summary("Lists the entries of a stream from one id back to another.")
        .complexity("O(log n), and O(m) in the entries returned"),
    stream("XSETID", xsetid, Arity::AtLeast(3), UPDATE, GROW.and(Flags::FAST))
        .log(LogAs::Words)
        .syntax("key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]")
        .summary("Sets the last id of a stream, and counters, as they were in another server."),
    stream("XTRIM", xtrim, Arity::AtLeast(4), DELETE, Flags::WRITE)
        .log(LogAs::Words)
        .tips(CHANGING_OUTPUT)
        .syntax("key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]")
        .summary("Removes the oldest entries of a stream and counts them.")
        .complexity("O(n) in the entries removed; a hundredth of that with ~"),
];

fn push_id(reply: &mut Reply, id: StreamId) {
    reply.bulk(id.text(&mut [0; ID_TEXT_MAX]));
}

/// An entry: its id, and its fields and values in one array.
#[inline]
fn push_entry(reply: &mut Reply, entry: Entry<'_>) {
    reply.array(2);
    push_id(reply, entry.id);
    reply.array(2 * entry.len());
    for (field, value) in entry.pairs() {
        reply.bulk(field);
        reply.bulk(value);
    }
}

/// An array of the first entries of a range, at most `max`; returns how many.
#[inline]
fn push_entries(reply: &mut Reply, entries: Entries<'_>, max: usize) -> usize {
    let count = entries.count_up_to(max);
    reply.array(count);
    entries.take(count).for_each(|entry| push_entry(reply, entry));
    count
}

/// Begins the answer about one of several streams.
fn push_key(reply: &mut Reply, key: Key<'_>) {
    if reply.proto() == Proto::Resp2 {
        reply.array(2);
    }
    reply.bulk(key.bytes);
}

/// Begins the answer about `count` streams: a map in RESP3, but an array of pairs in RESP2.
fn push_streams(reply: &mut Reply, count: usize) {
    match reply.proto() {
        Proto::Resp2 => reply.array(count),
        Proto::Resp3 => reply.map(count),
    }
}

/// Why an entry was not added.
enum Refused {
    Exhausted,
    NotAbove,
}

/// Reply: bulk, the id; nil when there is no such stream and NOMKSTREAM was given.
/// Errors: syntax, not an id, not above the last id; WRONGTYPE.
/// Effect: events `xadd`, and `xtrim` when entries were trimmed.
fn xadd(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let options = AddOptions::parse(args, ctx.limits())?;
    let fields_at = args.total() - args.left();
    if args.left() < 2 || !args.left().is_multiple_of(2) {
        return Err(CommandError::WrongArity("xadd".into()));
    }
    if options.id == NewId::Exactly(StreamId::MIN) {
        return Err(CommandError::err("The ID specified in XADD must be greater than 0-0"));
    }
    let words = &*args;
    let pairs = (fields_at..words.total()).step_by(2).map(|at| (words.word(at), words.word(at + 1)));
    let size: usize = pairs.clone().map(|(field, value)| field.len() + value.len()).sum();
    if size > ENTRY_BYTES_MAX {
        return Err(CommandError::err("Elements are too large to be stored"));
    }
    let now = ctx.now;
    let count = (words.total() - fields_at) / 2;
    let add = |stream: &mut Stream, limits: &crate::types::Limits| {
        if stream.last_id() == StreamId::MAX {
            return Err(Refused::Exhausted);
        }
        let id = stream.next_id(options.id, now).ok_or(Refused::NotAbove)?;
        let node = NodeLimits { bytes: limits.stream_node_bytes, entries: limits.stream_node_entries };
        stream.append(id, count, size, pairs, node);
        Ok((id, options.trim.map_or(0, |trim| stream.trim(trim)), stream.len()))
    };
    let added = if options.only_existing {
        let Some(added) = ctx.edit(key, add)? else {
            reply.nil();
            return Ok(Done);
        };
        added
    } else {
        // A new stream takes any id but 0-0, so no empty one is left behind.
        ctx.edit_or_new(key, add)?
    };
    let (id, trimmed, len) = added.map_err(|refused| {
        CommandError::err(match refused {
            Refused::Exhausted => "The stream has exhausted the last possible ID, unable to add more items",
            Refused::NotAbove => "The ID specified in XADD is equal or smaller than the target stream top item",
        })
    })?;
    push_id(reply, id);
    if options.trim.is_some_and(|trim| trim.approximate) && ctx.is_logged(key) {
        let mut text = [0; ID_TEXT_MAX];
        let mut words: Vec<&[u8]> = vec![b"XADD", key.bytes, id.text(&mut text)];
        words.extend((fields_at..args.total()).map(|at| args.word(at)));
        ctx.effect(key, words);
        log_trimmed(ctx, key, trimmed, len);
    }
    ctx.wrote(key, Event::XAdd);
    if trimmed > 0 {
        ctx.also(key, Event::XTrim);
    }
    Ok(Done)
}

/// Reply: int.
/// Errors: WRONGTYPE.
fn xlen(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let len = ctx.view::<Stream>(args.key()?)?.map_or(0, Stream::len);
    reply.int(len as i64);
    Ok(Done)
}

/// Reply: array of entries; nil when there is a stream and COUNT is 0.
/// Errors: not an id, syntax; WRONGTYPE.
fn xrange(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let (range, count) = Range::parse(args, false)?;
    let Some(entries) = range_of(ctx, key, range, count, reply)? else { return Ok(Done) };
    push_entries(reply, entries, count);
    Ok(Done)
}

/// Reply, errors: as XRANGE.
fn xrevrange(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let (range, count) = Range::parse(args, true)?;
    let Some(entries) = range_of(ctx, key, range, count, reply)? else { return Ok(Done) };
    let count = entries.count_up_to(count);
    reply.array(count);
    entries.rev().take(count).for_each(|entry| push_entry(reply, entry));
    Ok(Done)
}

/// The entries of a range; none when the reply has been given already.
fn range_of<'c>(
    ctx: &'c mut Ctx,
    key: Key<'_>,
    range: Range,
    count: usize,
    reply: &mut Reply,
) -> Result<Option<Entries<'c>>, CommandError> {
    let Some(stream) = ctx.view::<Stream>(key)? else {
        reply.array(0);
        return Ok(None);
    };
    if count == 0 {
        reply.nil_array();
        return Ok(None);
    }
    Ok(Some(stream.range(range.start, range.end)))
}

/// Reply: int, how many entries were there.
/// Errors: WRONGTYPE; not an id, when there is such a stream: nothing is deleted then.
/// Effect: event `xdel`, when something was deleted.
fn xdel(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let deleted = ctx.edit::<Stream, _>(key, |stream, _| {
        let mut ids = args.fork();
        while ids.left() > 0 {
            strict_id(&mut ids)?;
        }
        let mut deleted = 0;
        while args.left() > 0 {
            deleted += i64::from(stream.delete(strict_id(args)?));
        }
        Ok::<_, CommandError>(deleted)
    })?;
    let deleted = deleted.transpose()?.unwrap_or(0);
    reply.int(deleted);
    if deleted > 0 {
        ctx.wrote(key, Event::XDel);
    }
    Ok(Done)
}

/// What an approximate trim removes hangs on where nodes end, so the log is told what is left.
fn log_trimmed(ctx: &mut Ctx, key: Key<'_>, trimmed: u64, len: u64) {
    if trimmed > 0 {
        ctx.effect(key, [b"XTRIM", key.bytes, b"MAXLEN", b"=", itoa::Buffer::new().format(len).as_bytes()]);
    }
}

/// Reply: int, how many entries were removed.
/// Errors: syntax; WRONGTYPE.
/// Effect: event `xtrim`, when something was removed.
fn xtrim(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let trim = TrimOptions::parse_all(args, ctx.limits())?;
    let (trimmed, len) = ctx.edit::<Stream, _>(key, |stream, _| (stream.trim(trim), stream.len()))?.unwrap_or_default();
    reply.int(trimmed as i64);
    if trimmed > 0 {
        if trim.approximate {
            log_trimmed(ctx, key, trimmed, len);
        }
        ctx.wrote(key, Event::XTrim);
    }
    Ok(Done)
}

/// Reply: OK.
/// Errors: not an id, syntax, a counter that cannot be; no such key; WRONGTYPE. Nothing is changed then.
/// Effect: event `xsetid`.
fn xsetid(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let id = strict_id(args)?;
    let (mut entries_added, mut max_deleted) = (None, StreamId::MIN);
    while args.left() > 0 {
        if args.left() > 1 && args.keyword("ENTRIESADDED") {
            let count = args.int()?;
            entries_added =
                Some(u64::try_from(count).map_err(|_| CommandError::err("entries_added must be positive"))?);
        } else if args.left() > 1 && args.keyword("MAXDELETEDID") {
            max_deleted = strict_id(args)?;
            if id < max_deleted {
                return Err(CommandError::err(
                    "The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let set = ctx.edit::<Stream, _>(key, |stream, _| {
        if stream.last_entry_id().is_some_and(|last| id < last) {
            return Err(CommandError::err("The ID specified in XSETID is smaller than the target stream top item"));
        }
        if entries_added.is_some_and(|count| count < stream.len()) {
            return Err(CommandError::err(
                "The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
        stream.set_last_id(id);
        if let Some(count) = entries_added {
            stream.set_entries_added(count);
        }
        if max_deleted != StreamId::MIN {
            stream.set_max_deleted_id(max_deleted);
        }
        Ok(())
    })?;
    set.ok_or(CommandError::NoSuchKey)??;
    reply.ok();
    ctx.wrote(key, Event::XSetId);
    Ok(Done)
}

/// Where a reader of a stream stands.
#[derive(Clone, Copy)]
enum From {
    /// What comes behind an id.
    Behind(StreamId),
    /// The last entry alone.
    Last,
}

/// Reads the id in front of what XREAD wants of a stream.
fn read_from(word: &[u8], stream: Option<&Stream>) -> Result<From, CommandError> {
    match word {
        b"$" => Ok(From::Behind(stream.map_or(StreamId::MIN, Stream::last_id))),
        b"+" => Ok(From::Last),
        b">" => Err(CommandError::err(
            "The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        word => Ok(From::Behind(options::parse_id(word, 0)?)),
    }
}

/// The entries that XREAD finds, if any.
#[inline]
fn entries_from(stream: &Stream, from: From) -> Option<Entries<'_>> {
    let entries = match from {
        From::Behind(id) if id >= stream.last_id() => return None,
        From::Behind(id) => stream.range(id.next()?, StreamId::MAX),
        From::Last => stream.range(stream.last_entry_id()?, StreamId::MAX),
    };
    (entries.count_up_to(1) > 0).then_some(entries)
}

/// Waits for entries if XREAD or XREADGROUP may; else, and when its time is over, the reply is nil.
fn wait_for_entries(ctx: &mut Ctx, options: &ReadOptions<'_>, reply: &mut Reply) -> Result<Outcome, CommandError> {
    match options.block {
        Some(ms) => Ok(ctx.wait(until_ms(ctx.now, ms)?, reply, Reply::nil_array)),
        None => {
            reply.nil_array();
            Ok(Done)
        }
    }
}

/// The ids in place of `$` and `+`, which mean the end of a stream as it is now.
fn fix_ends<'a>(ctx: &mut Ctx, options: &ReadOptions<'a>, mut args: Args<'a>) -> Result<(), CommandError> {
    for _ in 0..options.streams {
        let at = args.total() - args.left() + options.streams;
        let (key, word) = options.next_stream(&mut args)?;
        if matches!(word, b"$" | b"+") {
            let last_id = ctx.peek::<Stream>(key)?.map_or(StreamId::MIN, Stream::last_id);
            ctx.wish.words.push((at, last_id.to_string().into_bytes()));
        }
    }
    Ok(())
}

/// Reply: the streams that have such entries, each with an array of them; nil when none has, after the time to wait.
/// Errors: syntax, not an id, as many ids as keys are needed; WRONGTYPE.
fn xread(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let options = ReadOptions::parse(args, false)?;
    let ids = args.fork();
    // Most often it is one stream, which needs to be looked up only once.
    if options.streams == 1 && options.block.is_none() {
        let (key, word) = options.next_stream(args)?;
        let stream = ctx.view::<Stream>(key)?;
        let from = read_from(word, stream)?;
        match stream.and_then(|stream| entries_from(stream, from)) {
            Some(entries) => {
                push_streams(reply, 1);
                push_key(reply, key);
                push_entries(reply, entries, options.count);
            }
            None => reply.nil_array(),
        }
        return Ok(Done);
    }
    let is_served = ctx.is_served();
    let mut found = Vec::with_capacity(options.streams);
    for _ in 0..options.streams {
        let (key, word) = options.next_stream(args)?;
        if !ctx.looks_at(key) {
            continue;
        }
        let stream = match ctx.view::<Stream>(key) {
            // Whoever waits goes on waiting for a stream.
            Err(CommandError::WrongType) if is_served => None,
            stream => stream?,
        };
        let from = read_from(word, stream)?;
        if stream.is_some_and(|stream| entries_from(stream, from).is_some()) {
            found.push((key, from));
        }
    }
    if found.is_empty() {
        if options.block.is_some() && !is_served {
            fix_ends(ctx, &options, ids)?;
        }
        return wait_for_entries(ctx, &options, reply);
    }
    push_streams(reply, found.len());
    for (key, from) in found {
        let entries = ctx.peek::<Stream>(key)?.and_then(|stream| entries_from(stream, from));
        push_key(reply, key);
        push_entries(reply, entries.expect("it was there a moment ago"), options.count);
    }
    Ok(Done)
}
