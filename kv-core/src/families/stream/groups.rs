//! Groups of consumers: XGROUP, XREADGROUP, XACK, XPENDING, XCLAIM, XAUTOCLAIM.
//!
//! What is pending changes without an event that others could listen to, as in Redis: `Event::XPending` has no name there.

use super::options::{Range, ReadOptions, loose_id, parse_id, strict_id};
use super::{GROUP_STREAMS_FROM, GROW, push_entry, push_id, push_key, push_streams, stream, wait_for_entries};
use crate::command::{Args, Arity, CommandError, CommandSpec, Ctx, Event, Flags, KeySpec, LogAs, Outcome};
use crate::resp::Reply;
use crate::store::Key;
use crate::types::stream::{Consumer, ConsumerNo, Group, Log, Pending, Stream, StreamId};
use Outcome::Done;
use std::borrow::Cow;

const MAKE_SUB_KEY: &[KeySpec] = &[KeySpec::one(2, &["RW", "insert"])];
const UPDATE_SUB_KEY: &[KeySpec] = &[KeySpec::one(2, &["RW", "update"])];
const REMOVE_SUB_KEY: &[KeySpec] = &[KeySpec::one(2, &["RW", "delete"])];

pub(super) const XGROUP_ROWS: &[CommandSpec] = &[
    stream("CREATE", create, Arity::AtLeast(5), MAKE_SUB_KEY, GROW)
        .log(LogAs::Words)
        .syntax("key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]")
        .summary("Makes a group that is to read what comes behind an id."),
    stream("CREATECONSUMER", create_consumer, Arity::Exactly(5), MAKE_SUB_KEY, GROW)
        .log(LogAs::Words)
        .syntax("key group consumer")
        .summary("Makes a consumer in a group; tells whether it is new.")
        .since("6.2.0"),
    stream("DELCONSUMER", delete_consumer, Arity::Exactly(5), REMOVE_SUB_KEY, Flags::WRITE)
        .log(LogAs::Words)
        .syntax("key group consumer")
        .summary("Removes a consumer with what is pending with it, and tells how much that was.")
        .complexity("O(n) in what is pending with it"),
    stream("DESTROY", destroy, Arity::Exactly(4), REMOVE_SUB_KEY, Flags::WRITE)
        .log(LogAs::Words)
        .syntax("key group")
        .summary("Removes a group; tells whether it was there.")
        .complexity("O(n) in what is pending in it"),
    stream("HELP", help, Arity::Exactly(2), &[], Flags::LOADING.and(Flags::STALE)).summary("Lists the subcommands."),
    stream("SETID", set_id, Arity::AtLeast(5), UPDATE_SUB_KEY, Flags::WRITE)
        .log(LogAs::Words)
        .syntax("key group <id | $> [ENTRIESREAD entries-read]")
        .summary("Lets a group read on behind an id."),
];

fn no_group(key: Key<'_>, group: &[u8], where_else: &str) -> CommandError {
    let (key, group) = (String::from_utf8_lossy(key.bytes), String::from_utf8_lossy(group));
    CommandError::Coded(format!("NOGROUP No such key '{key}' or consumer group '{group}'{where_else}").into())
}

/// The stream is there, but not the group.
pub(super) fn no_group_for_key(key: Key<'_>, group: &[u8]) -> CommandError {
    let (key, group) = (String::from_utf8_lossy(key.bytes), String::from_utf8_lossy(group));
    CommandError::Coded(format!("NOGROUP No such consumer group '{group}' for key name '{key}'").into())
}

const NO_STREAM: CommandError = CommandError::Err(std::borrow::Cow::Borrowed(
    "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to \
     create an empty stream automatically.",
));

/// A word that does not fit a subcommand. Redis quotes the subcommand as it was written.
pub(super) fn subcommand_syntax(container: &str, args: &Args) -> CommandError {
    let sub = String::from_utf8_lossy(args.word(1));
    CommandError::err(format!("unknown subcommand or wrong number of arguments for '{sub}'. Try {container} HELP."))
}

/// The lines of HELP, made of the rows.
pub(super) fn push_help(reply: &mut Reply, container: &str, rows: &[CommandSpec]) {
    reply.array(1 + 2 * rows.len());
    reply.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for row in rows {
        let space = if row.syntax.is_empty() { "" } else { " " };
        reply.simple(&format!("{}{space}{}", row.name, row.syntax));
        reply.simple(&format!("    {}", row.summary));
    }
}

/// Reply: array of lines.
fn help(_ctx: &mut Ctx, _args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    push_help(reply, "XGROUP", XGROUP_ROWS);
    Ok(Done)
}

/// Changes a group of a stream.
///
/// Errors: there is no such stream or no such group, in the words of XGROUP; WRONGTYPE.
fn edit_group<R>(
    ctx: &mut Ctx,
    key: Key<'_>,
    name: &[u8],
    edit: impl FnOnce(&mut Group, &Log<'_>) -> R,
) -> Result<R, CommandError> {
    let edited = ctx.edit::<Stream, _>(key, |stream, _| stream.edit_group(name, edit))?;
    edited.ok_or(NO_STREAM)?.ok_or_else(|| no_group_for_key(key, name))
}

/// Options of XGROUP CREATE and SETID.
struct GroupOptions {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl GroupOptions {
    fn parse(args: &mut Args, may_make: bool) -> Result<GroupOptions, CommandError> {
        let mut options = GroupOptions { make_stream: false, entries_read: None };
        while args.left() > 0 {
            if may_make && args.keyword("MKSTREAM") {
                options.make_stream = true;
            } else if args.left() > 1 && args.keyword("ENTRIESREAD") {
                options.entries_read = match args.int()? {
                    -1 => None,
                    count => Some(
                        u64::try_from(count)
                            .map_err(|_| CommandError::err("value for ENTRIESREAD must be positive or -1"))?,
                    ),
                };
            } else {
                return Err(subcommand_syntax("XGROUP", args));
            }
        }
        Ok(options)
    }
}

/// Reply: OK.
/// Errors: no such stream (without MKSTREAM), not an id, syntax; BUSYGROUP when there is such a group; WRONGTYPE.
/// Effect: event `xgroup-create`.
fn create(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, name, word) = (args.key()?, args.next()?, args.next()?);
    let options = GroupOptions::parse(args, true)?;
    let last_id = |stream: Option<&Stream>| match word {
        b"$" => Ok(stream.map_or(StreamId::MIN, Stream::last_id)),
        word => parse_id(word, 0),
    };
    // Looked at first: what is refused must leave no stream behind.
    let stream = ctx.peek::<Stream>(key)?;
    let is_new = stream.is_none();
    if is_new && !options.make_stream {
        return Err(NO_STREAM);
    }
    let last_id = last_id(stream)?;
    let created = ctx.edit_or_new::<Stream, _>(key, |stream, _| {
        let read = options.entries_read.map(|read| read.min(stream.entries_added()));
        stream.create_group(name, last_id, read)
    })?;
    if !created {
        return Err(CommandError::Coded("BUSYGROUP Consumer Group name already exists".into()));
    }
    reply.ok();
    ctx.wrote(key, if is_new { Event::XGroupCreateStream } else { Event::XGroupCreate });
    Ok(Done)
}

/// Reply: OK.
/// Errors: no such stream or group, not an id, syntax; WRONGTYPE.
/// Effect: event `xgroup-setid`.
fn set_id(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, name, word) = (args.key()?, args.next()?, args.next()?);
    let options = GroupOptions::parse(args, false)?;
    edit_group(ctx, key, name, |group, log| {
        group.last_id = match word {
            b"$" => log.last_id(),
            word => loose_id(word, 0)?,
        };
        group.entries_read = options.entries_read.map(|read| read.min(log.entries_added()));
        Ok::<_, CommandError>(())
    })??;
    reply.ok();
    ctx.wrote(key, Event::XGroupSetId);
    Ok(Done)
}

/// Reply: int, 1 when there was such a group.
/// Errors: no such stream; WRONGTYPE.
/// Effect: event `xgroup-destroy`.
fn destroy(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, name) = (args.key()?, args.next()?);
    let destroyed = ctx.edit::<Stream, _>(key, |stream, _| stream.destroy_group(name))?.ok_or(NO_STREAM)?;
    reply.int(i64::from(destroyed));
    if destroyed {
        ctx.wrote(key, Event::XGroupDestroy);
    }
    Ok(Done)
}

/// Reply: int, 1 when there was no such consumer.
/// Errors: no such stream or group; WRONGTYPE.
/// Effect: event `xgroup-createconsumer`.
fn create_consumer(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, name, consumer) = (args.key()?, args.next()?, args.next()?);
    let now = ctx.now;
    let created = edit_group(ctx, key, name, |group, _| group.create(consumer, now).is_some())?;
    reply.int(i64::from(created));
    if created {
        ctx.wrote(key, Event::XGroupCreateConsumer);
    }
    Ok(Done)
}

/// Reply: int, how much was pending with it; 0 when there was no such consumer.
/// Errors: no such stream or group; WRONGTYPE.
/// Effect: event `xgroup-delconsumer`.
fn delete_consumer(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, name, consumer) = (args.key()?, args.next()?, args.next()?);
    let deleted = edit_group(ctx, key, name, |group, _| group.delete(consumer))?;
    reply.int(deleted.unwrap_or(0) as i64);
    if deleted.is_some() {
        ctx.wrote(key, Event::XGroupDelConsumer);
    }
    Ok(Done)
}

/// What XREADGROUP wants of a stream.
#[derive(Clone, Copy)]
enum Wanted {
    /// What nobody in the group has had.
    New,
    /// What is pending with the consumer, behind an id.
    Pending(StreamId),
}

impl Wanted {
    fn parse(word: &[u8]) -> Result<Wanted, CommandError> {
        match word {
            b">" => Ok(Wanted::New),
            b"$" => Err(CommandError::err(
                "The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
                 specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result \
                 set.",
            )),
            word => Ok(Wanted::Pending(parse_id(word, 0)?)),
        }
    }
}

/// To who waits when the stream goes, or becomes another type of value.
const STREAM_GONE: CommandError = CommandError::Coded(Cow::Borrowed("UNBLOCKED the stream key no longer exists"));
/// To who waits when the group goes.
const GROUP_GONE: CommandError =
    CommandError::Coded(Cow::Borrowed("NOGROUP the consumer group this client was blocked on no longer exists"));

/// Reply: the streams with their entries: of those asked for new ones the streams that have some, of those asked for
/// pending ones each, nil in place of an entry that was deleted. Nil when there is no stream to tell of.
/// Errors: syntax, not an id, no such stream or group; WRONGTYPE. Nothing is changed then.
/// Effect: event `xgroup-createconsumer` when the consumer is new, made even if there is nothing for it.
pub(super) fn xreadgroup(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let options = ReadOptions::parse(args, true)?;
    let (name, consumer) = options.group.expect("it is required");
    // The row's keys stand behind the first word STREAMS from there on: those must be the keys that are meant.
    let streams_at = args.total() - args.left() - 1;
    if (GROUP_STREAMS_FROM..streams_at).any(|at| args.word(at).eq_ignore_ascii_case(b"STREAMS")) {
        return Err(CommandError::err(
            "a group or consumer named 'streams' must stand in front of other options: XREADGROUP GROUP group consumer ...",
        ));
    }
    let is_served = ctx.is_served();
    let mut has_some = false;
    let mut checked = args.fork();
    for _ in 0..options.streams {
        let (key, word) = options.next_stream(&mut checked)?;
        if !ctx.looks_at(key) {
            continue;
        }
        let stream = match ctx.view::<Stream>(key) {
            Ok(Some(stream)) => Some(stream),
            Ok(None) | Err(CommandError::WrongType) if is_served => return Err(STREAM_GONE),
            stream => stream?,
        };
        let group = stream.and_then(|stream| Some((stream, stream.group(name)?)));
        let (stream, group) = match group {
            None if is_served => return Err(GROUP_GONE),
            group => group.ok_or_else(|| no_group(key, name, " in XREADGROUP with GROUP option"))?,
        };
        has_some |= match Wanted::parse(word)? {
            Wanted::Pending(_) => true,
            Wanted::New => {
                group.last_id.next().is_some_and(|next| stream.range(next, StreamId::MAX).count_up_to(1) > 0)
            }
        };
    }
    // Who has waited has been noted as a consumer then.
    if is_served && !has_some || has_some && !ctx.may_answer() {
        return Ok(Outcome::Wait);
    }
    let start = reply.out().len();
    // Most often all have something.
    push_streams(reply, options.streams);
    let header = reply.out().len();
    let mut told = 0;
    for _ in 0..options.streams {
        let (key, word) = options.next_stream(args)?;
        if !ctx.looks_at(key) {
            continue;
        }
        let wanted = Wanted::parse(word)?;
        told += usize::from(read_one(ctx, key, (name, consumer), word, wanted, &options, reply)?);
    }
    if told == 0 {
        reply.out().truncate(start);
        return wait_for_entries(ctx, &options, reply);
    }
    if told < options.streams {
        let answers = reply.out().split_off(header);
        reply.out().truncate(start);
        push_streams(reply, told);
        reply.raw(&answers);
    }
    Ok(Done)
}

/// Answers about one stream; says whether there was something to tell.
fn read_one(
    ctx: &mut Ctx,
    key: Key<'_>,
    (name, consumer): (&[u8], &[u8]),
    word: &[u8],
    wanted: Wanted,
    options: &ReadOptions<'_>,
    reply: &mut Reply,
) -> Result<bool, CommandError> {
    let now = ctx.now;
    let (told, new_consumer, changed) = edit_group(ctx, key, name, |group, log| {
        let (number, new_consumer) = group.seen(consumer, now);
        match wanted {
            Wanted::New => {
                let read = read_new(group, log, key, number, now, options, reply);
                (read, new_consumer, read)
            }
            Wanted::Pending(behind) => {
                push_key(reply, key);
                let read = read_pending(group, log, behind, number, now, options.count, reply);
                (true, new_consumer, read)
            }
        }
    })?;
    if (new_consumer || changed) && ctx.is_logged(key) {
        let count = options.count.to_string();
        let mut words: Vec<&[u8]> = vec![b"XREADGROUP", b"GROUP", name, consumer];
        if options.count != usize::MAX {
            words.extend([b"COUNT", count.as_bytes()]);
        }
        if options.no_ack {
            words.push(b"NOACK");
        }
        words.extend([b"STREAMS", key.bytes, word]);
        ctx.effect(key, words);
    }
    if new_consumer {
        ctx.wrote(key, Event::XGroupCreateConsumer);
    }
    if changed {
        ctx.wrote(key, Event::XPending);
    }
    Ok(told)
}

/// Hands new entries to a consumer; says whether there were some.
fn read_new(
    group: &mut Group,
    log: &Log<'_>,
    key: Key<'_>,
    consumer: ConsumerNo,
    now: u64,
    options: &ReadOptions<'_>,
    reply: &mut Reply,
) -> bool {
    let Some(next) = group.last_id.next() else { return false };
    let entries = log.range(next, StreamId::MAX);
    let count = entries.count_up_to(options.count);
    if count == 0 {
        return false;
    }
    push_key(reply, key);
    reply.array(count);
    for entry in entries.take(count) {
        push_entry(reply, entry);
        log.count_read(group, entry.id);
        if !options.no_ack {
            group.deliver(entry.id, consumer, now);
        }
    }
    // What is not to be acknowledged leaves no trace at the consumer.
    if !options.no_ack {
        group.consumer_mut(consumer).active_at = Some(now);
    }
    true
}

/// Tells a consumer again what is pending with it; says whether that counted as a delivery.
fn read_pending(
    group: &mut Group,
    log: &Log<'_>,
    behind: StreamId,
    consumer: ConsumerNo,
    now: u64,
    count: usize,
    reply: &mut Reply,
) -> bool {
    let own = group.consumer(consumer);
    let ids: Vec<StreamId> = match behind.next() {
        Some(next) => own.pending_from(next).take(count).collect(),
        None => Vec::new(),
    };
    reply.array(ids.len());
    let mut delivered = false;
    for id in ids {
        let (Some(entry), Some(pending)) = (log.get(id), group.pending_at(id)) else {
            reply.array(2);
            push_id(reply, id);
            reply.nil_array();
            continue;
        };
        push_entry(reply, entry);
        group.set_pending(id, Pending { delivered_at: now, deliveries: pending.deliveries + 1, ..pending });
        delivered = true;
    }
    delivered
}

/// Reply: int, how many were pending.
/// Errors: not an id, when there is such a group: nothing is acknowledged then; WRONGTYPE.
/// Effect: what is pending changes.
pub(super) fn xack(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, name) = (args.key()?, args.next()?);
    let acknowledged = ctx.edit::<Stream, _>(key, |stream, _| {
        stream.edit_group(name, |group, _| {
            let mut ids = args.fork();
            while ids.left() > 0 {
                strict_id(&mut ids)?;
            }
            let mut acknowledged = 0;
            while args.left() > 0 {
                acknowledged += i64::from(group.acknowledge(strict_id(args)?));
            }
            Ok::<_, CommandError>(acknowledged)
        })
    })?;
    let acknowledged = acknowledged.flatten().transpose()?.unwrap_or(0);
    reply.int(acknowledged);
    if acknowledged > 0 {
        ctx.wrote(key, Event::XPending);
    }
    Ok(Done)
}

/// Reply: how much is pending, the smallest and greatest id of it, consumers with how much of it is theirs (as text); or,
/// with a range, an array of entries: id, consumer, milliseconds since its delivery, deliveries.
/// Errors: syntax, not an id, no such group; WRONGTYPE.
pub(super) fn xpending(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, name) = (args.key()?, args.next()?);
    let options = if args.left() == 0 { None } else { Some(PendingOptions::parse(args)?) };
    let now = ctx.now;
    let group = ctx.view::<Stream>(key)?.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_group(key, name, ""))?;
    match options {
        Some(options) => push_pending(reply, group, &options, now),
        None => push_pending_summary(reply, group),
    }
    Ok(Done)
}

struct PendingOptions<'a> {
    idle_min: u64,
    range: Range,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> PendingOptions<'a> {
    fn parse(args: &mut Args<'a>) -> Result<PendingOptions<'a>, CommandError> {
        // A word too many behind the consumer is taken, as in Redis.
        if !(3..=6).contains(&args.left()) {
            return Err(CommandError::Syntax);
        }
        let mut idle_min = 0;
        if args.keyword("IDLE") {
            idle_min = args.int()?.max(0) as u64;
            if args.left() < 3 {
                return Err(CommandError::Syntax);
            }
        }
        let (start, end) = (args.next()?, args.next()?);
        let count = args.int()?.max(0) as usize;
        let range = Range { start: Range::start(start)?, end: Range::end(end)? };
        Ok(PendingOptions { idle_min, range, count, consumer: args.next().ok() })
    }
}

fn push_pending_summary(reply: &mut Reply, group: &Group) {
    reply.array(4);
    reply.int(group.pending() as i64);
    let Some((first, last)) = group.pending_ends() else {
        reply.nil();
        reply.nil();
        reply.nil_array();
        return;
    };
    push_id(reply, first);
    push_id(reply, last);
    let busy = || group.each_consumer().filter(|consumer| consumer.pending() > 0);
    reply.array(busy().count());
    for consumer in busy() {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_int(consumer.pending() as i64);
    }
}

fn push_pending(reply: &mut Reply, group: &Group, options: &PendingOptions<'_>, now: u64) {
    let Range { start, end } = options.range;
    let idle = |pending: &Pending| now.saturating_sub(pending.delivered_at);
    let fits = |(_, pending): &(StreamId, Pending)| idle(pending) >= options.idle_min;
    let found: Vec<(StreamId, Pending)> = match options.consumer.map(|name| group.find(name)) {
        None => group.pending_from(start).take_while(|&(id, _)| id <= end).filter(fits).take(options.count).collect(),
        Some(None) => Vec::new(),
        Some(Some(number)) => {
            let own = group.consumer(number).pending_from(start).take_while(|&id| id <= end);
            own.filter_map(|id| Some((id, group.pending_at(id)?))).filter(fits).take(options.count).collect()
        }
    };
    reply.array(found.len());
    for (id, pending) in found {
        reply.array(4);
        push_id(reply, id);
        reply.bulk(group.consumer(pending.consumer).name());
        reply.int(idle(&pending) as i64);
        reply.int(pending.deliveries as i64);
    }
}

/// What a claim changed.
#[derive(Default)]
struct Claimed {
    new_consumer: bool,
    changed: bool,
}

impl Claimed {
    fn tell(self, ctx: &mut Ctx, key: Key<'_>) {
        if self.new_consumer {
            ctx.wrote(key, Event::XGroupCreateConsumer);
        }
        if self.changed {
            ctx.wrote(key, Event::XPending);
        }
    }
}

/// Checks that there is such a group, in the words of XCLAIM.
fn group_of<'c>(ctx: &'c mut Ctx, key: Key<'_>, name: &[u8]) -> Result<&'c Group, CommandError> {
    ctx.peek::<Stream>(key)?.and_then(|stream| stream.group(name)).ok_or_else(|| no_group(key, name, ""))
}

fn idle_min(args: &mut Args, command: &str) -> Result<u64, CommandError> {
    let idle = args.int().map_err(|_| CommandError::err(format!("Invalid min-idle-time argument for {command}")))?;
    Ok(idle.max(0) as u64)
}

struct ClaimOptions {
    delivered_at: u64,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: Option<StreamId>,
}

impl ClaimOptions {
    fn parse(args: &mut Args, now: u64) -> Result<ClaimOptions, CommandError> {
        fn number(args: &mut Args, option: &str) -> Result<i64, CommandError> {
            args.int().map_err(|_| CommandError::err(format!("Invalid {option} option argument for XCLAIM")))
        }
        let mut options =
            ClaimOptions { delivered_at: now, deliveries: None, force: false, just_id: false, last_id: None };
        while args.left() > 0 {
            let more = args.left() > 1;
            if args.keyword("FORCE") {
                options.force = true;
            } else if args.keyword("JUSTID") {
                options.just_id = true;
            } else if more && args.keyword("IDLE") {
                // A moment before 1970, or one that has not come yet, stands for the present.
                let idle = u64::try_from(number(args, "IDLE")?).unwrap_or(0);
                options.delivered_at = now.checked_sub(idle).unwrap_or(now);
            } else if more && args.keyword("TIME") {
                options.delivered_at = u64::try_from(number(args, "TIME")?).unwrap_or(now).min(now);
            } else if more && args.keyword("RETRYCOUNT") {
                options.deliveries = u64::try_from(number(args, "RETRYCOUNT")?).ok();
            } else if more && args.keyword("LASTID") {
                options.last_id = Some(strict_id(args)?);
            } else {
                let word = String::from_utf8_lossy(args.next()?);
                return Err(CommandError::err(format!("Unrecognized XCLAIM option '{word}'")));
            }
        }
        Ok(options)
    }
}

/// Reply: array of the entries that changed hands, or of their ids with JUSTID.
/// Errors: no such group, not a number, syntax; WRONGTYPE. Nothing is changed then.
/// Effect: event `xgroup-createconsumer` when the consumer is new; what is pending changes. What was pending, but is
/// deleted from the stream, is pending no longer.
pub(super) fn xclaim(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, name, consumer) = (args.key()?, args.next()?, args.next()?);
    group_of(ctx, key, name)?;
    let idle_min = idle_min(args, "XCLAIM")?;
    let mut ids = args.fork();
    while args.peek().is_some_and(|word| StreamId::parse(word, 0).is_some()) {
        args.next()?;
    }
    let count = ids.left() - args.left();
    let now = ctx.now;
    let options = ClaimOptions::parse(args, now)?;
    let ids = (0..count).map(|_| strict_id(&mut ids)).collect::<Result<Vec<_>, _>>()?;
    let claimed = edit_group(ctx, key, name, |group, log| {
        let (number, new_consumer) = group.seen(consumer, now);
        let mut claimed = Claimed { new_consumer, changed: false };
        if let Some(last_id) = options.last_id.filter(|&last_id| last_id > group.last_id) {
            group.last_id = last_id;
            claimed.changed = true;
        }
        let mut given = Vec::new();
        for id in ids {
            let pending = group.pending_at(id);
            if log.get(id).is_none() {
                claimed.changed |= group.acknowledge(id);
                continue;
            }
            let deliveries = match pending {
                Some(pending) if now.saturating_sub(pending.delivered_at) < idle_min => continue,
                Some(pending) => pending.deliveries,
                None if options.force => 1,
                None => continue,
            };
            let deliveries = options.deliveries.unwrap_or(deliveries + u64::from(!options.just_id));
            let delivered_at = options.delivered_at;
            group.set_pending(id, Pending { consumer: number, delivered_at, deliveries });
            given.push(id);
        }
        if !given.is_empty() {
            claimed.changed = true;
            group.consumer_mut(number).active_at = Some(now);
        }
        reply.array(given.len());
        given.into_iter().for_each(|id| push_claimed(reply, log, id, options.just_id));
        claimed
    })?;
    claimed.tell(ctx, key);
    Ok(Done)
}

fn push_claimed(reply: &mut Reply, log: &Log<'_>, id: StreamId, just_id: bool) {
    match log.get(id) {
        Some(entry) if !just_id => push_entry(reply, entry),
        _ => push_id(reply, id),
    }
}

/// Entries that XAUTOCLAIM looks at for each that it may give.
const LOOKS_PER_COUNT: usize = 10;

/// Reply: the id to go on with (0-0 at the end), an array of the entries that changed hands (or of their ids), and one of
/// ids that were pending, but are deleted from the stream: they are pending no longer.
/// Errors: not a number, not an id, syntax, no such group; WRONGTYPE. Nothing is changed then.
/// Effect: as XCLAIM.
pub(super) fn xautoclaim(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, name, consumer) = (args.key()?, args.next()?, args.next()?);
    let idle_min = idle_min(args, "XAUTOCLAIM")?;
    let start = Range::start(args.next()?)?;
    let (mut count, mut just_id) = (100, false);
    while args.left() > 0 {
        if args.left() > 1 && args.keyword("COUNT") {
            let max = i64::MAX / 24;
            count = match args.int() {
                Ok(number) if (1..=max).contains(&number) => number as usize,
                _ => return Err(CommandError::err("COUNT must be > 0")),
            };
        } else if args.keyword("JUSTID") {
            just_id = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    group_of(ctx, key, name)?;
    let now = ctx.now;
    let claimed = edit_group(ctx, key, name, |group, log| {
        let (number, new_consumer) = group.seen(consumer, now);
        let mut claimed = Claimed { new_consumer, changed: false };
        let (mut given, mut deleted) = (Vec::new(), Vec::new());
        let mut next = Some(start);
        let mut looks = count.saturating_mul(LOOKS_PER_COUNT);
        // What is looked at is taken out in portions, as it changes under the walk.
        let mut at_end = false;
        while looks > 0 && given.len() + deleted.len() < count && !at_end {
            let Some(from) = next else { break };
            const PORTION: usize = 64;
            let portion: Vec<(StreamId, Pending)> = group.pending_from(from).take(PORTION.min(looks)).collect();
            at_end = portion.is_empty();
            for (id, pending) in portion {
                if given.len() + deleted.len() == count {
                    break;
                }
                looks -= 1;
                next = id.next();
                if log.get(id).is_none() {
                    group.acknowledge(id);
                    deleted.push(id);
                } else if now.saturating_sub(pending.delivered_at) >= idle_min {
                    let deliveries = pending.deliveries + u64::from(!just_id);
                    group.set_pending(id, Pending { consumer: number, delivered_at: now, deliveries });
                    given.push(id);
                }
            }
        }
        if !given.is_empty() {
            group.consumer_mut(number).active_at = Some(now);
        }
        claimed.changed = !given.is_empty() || !deleted.is_empty();
        let next = next.and_then(|from| group.pending_from(from).next());
        reply.array(3);
        push_id(reply, next.map_or(StreamId::MIN, |(id, _)| id));
        reply.array(given.len());
        given.into_iter().for_each(|id| push_claimed(reply, log, id, just_id));
        reply.array(deleted.len());
        deleted.into_iter().for_each(|id| push_id(reply, id));
        claimed
    })?;
    claimed.tell(ctx, key);
    Ok(Done)
}

/// Of a consumer, for XINFO: what is pending with it.
pub(super) fn pending_of<'g>(
    group: &'g Group,
    consumer: &'g Consumer,
) -> impl Iterator<Item = (StreamId, Pending)> + 'g {
    consumer.pending_from(StreamId::MIN).filter_map(|id| Some((id, group.pending_at(id)?)))
}
