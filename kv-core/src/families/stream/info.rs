//! XINFO: what there is to know of a stream, its groups and their consumers.

use super::groups::{no_group_for_key, pending_of, push_help, subcommand_syntax};
use super::{CHANGING_OUTPUT, push_entries, push_entry, push_id, stream};
use crate::command::{Args, Arity, CommandError, CommandSpec, Ctx, Flags, KeySpec, Outcome};
use crate::resp::Reply;
use crate::types::stream::{Consumer, Group, Stream, StreamId};
use Outcome::Done;

const READ_SUB_KEY: &[KeySpec] = &[KeySpec::one(2, &["RO", "access"])];

pub(super) const XINFO_ROWS: &[CommandSpec] = &[
    stream("CONSUMERS", consumers, Arity::Exactly(4), READ_SUB_KEY, Flags::READONLY)
        .tips(CHANGING_OUTPUT)
        .syntax("key group")
        .summary("Tells about the consumers of a group.")
        .complexity("O(n) in the number of consumers"),
    stream("GROUPS", groups, Arity::Exactly(3), READ_SUB_KEY, Flags::READONLY)
        .syntax("key")
        .summary("Tells about the groups of a stream.")
        .complexity("O(n) in the number of groups"),
    stream("HELP", help, Arity::Exactly(2), &[], Flags::LOADING.and(Flags::STALE)).summary("Lists the subcommands."),
    stream("STREAM", about, Arity::AtLeast(3), READ_SUB_KEY, Flags::READONLY)
        .syntax("key [FULL [COUNT count]]")
        .summary("Tells about a stream; with FULL also entries, groups, consumers and what is pending.")
        .complexity("O(1); with FULL O(n) in what is listed"),
];

/// Entries, and pending ones of each group and consumer, that FULL lists unless it is told otherwise.
const FULL_COUNT: usize = 10;

/// Reply: array of lines.
fn help(_ctx: &mut Ctx, _args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    push_help(reply, "XINFO", XINFO_ROWS);
    Ok(Done)
}

fn field(reply: &mut Reply, name: &str, value: u64) {
    reply.bulk(name.as_bytes());
    reply.int(value as i64);
}

fn id_field(reply: &mut Reply, name: &str, id: StreamId) {
    reply.bulk(name.as_bytes());
    push_id(reply, id);
}

/// An integer, or nil.
fn known(reply: &mut Reply, name: &str, value: Option<i64>) {
    reply.bulk(name.as_bytes());
    match value {
        Some(value) => reply.int(value),
        None => reply.nil(),
    }
}

/// Reply: array of maps.
/// Errors: no such key, no such group; WRONGTYPE.
fn consumers(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, name) = (args.key()?, args.next()?);
    let now = ctx.now;
    let stream = ctx.view::<Stream>(key)?.ok_or(CommandError::NoSuchKey)?;
    let group = stream.group(name).ok_or_else(|| no_group_for_key(key, name))?;
    reply.array(group.consumers());
    for consumer in group.each_consumer() {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        field(reply, "pending", consumer.pending() as u64);
        field(reply, "idle", now.saturating_sub(consumer.seen_at));
        let inactive = consumer.active_at.map_or(-1, |at| now.saturating_sub(at) as i64);
        known(reply, "inactive", Some(inactive));
    }
    Ok(Done)
}

/// Reply: array of maps.
/// Errors: no such key; WRONGTYPE.
fn groups(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let stream = ctx.view::<Stream>(args.key()?)?.ok_or(CommandError::NoSuchKey)?;
    let Some(groups) = stream.groups() else {
        reply.array(0);
        return Ok(Done);
    };
    reply.array(groups.len());
    for (name, group) in groups.iter() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        field(reply, "consumers", group.consumers() as u64);
        field(reply, "pending", group.pending() as u64);
        push_progress(reply, stream, group);
    }
    Ok(Done)
}

/// Three fields: how far a group is.
fn push_progress(reply: &mut Reply, stream: &Stream, group: &Group) {
    id_field(reply, "last-delivered-id", group.last_id);
    known(reply, "entries-read", group.entries_read.map(|read| read as i64));
    known(reply, "lag", stream.lag(group));
}

/// Reply: map.
/// Errors: no such key, syntax; WRONGTYPE.
fn about(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let stream = ctx.view::<Stream>(args.key()?)?.ok_or(CommandError::NoSuchKey)?;
    if args.left() == 0 {
        reply.map(10);
        push_counters(reply, stream);
        field(reply, "groups", stream.groups().map_or(0, |groups| groups.len()) as u64);
        let mut entries = stream.range(StreamId::MIN, StreamId::MAX);
        let (first, last) = (entries.clone().next(), entries.next_back());
        for (name, entry) in [("first-entry", first), ("last-entry", last)] {
            reply.bulk(name.as_bytes());
            match entry {
                Some(entry) => push_entry(reply, entry),
                None => reply.nil(),
            }
        }
        return Ok(Done);
    }
    if !args.keyword("FULL") {
        return Err(subcommand_syntax("XINFO", args));
    }
    let mut count = FULL_COUNT;
    if args.left() > 0 {
        if args.left() != 2 || !args.keyword("COUNT") {
            return Err(subcommand_syntax("XINFO", args));
        }
        count = match args.int()? {
            0 => usize::MAX,
            ..0 => FULL_COUNT,
            count => count as usize,
        };
    }
    reply.map(9);
    push_counters(reply, stream);
    reply.bulk(b"entries");
    push_entries(reply, stream.range(StreamId::MIN, StreamId::MAX), count);
    reply.bulk(b"groups");
    reply.array(stream.groups().map_or(0, |groups| groups.len()));
    for (name, group) in stream.groups().into_iter().flat_map(|groups| groups.iter()) {
        push_group(reply, stream, name, group, count);
    }
    Ok(Done)
}

/// Seven fields. Redis's radix tree is our list of nodes: its keys are the nodes, and it has one node more.
fn push_counters(reply: &mut Reply, stream: &Stream) {
    field(reply, "length", stream.len());
    field(reply, "radix-tree-keys", stream.nodes() as u64);
    field(reply, "radix-tree-nodes", stream.nodes() as u64 + 1);
    id_field(reply, "last-generated-id", stream.last_id());
    id_field(reply, "max-deleted-entry-id", stream.max_deleted_id());
    field(reply, "entries-added", stream.entries_added());
    id_field(reply, "recorded-first-entry-id", stream.first_id());
}

fn push_group(reply: &mut Reply, stream: &Stream, name: &[u8], group: &Group, count: usize) {
    reply.map(7);
    reply.bulk(b"name");
    reply.bulk(name);
    push_progress(reply, stream, group);
    field(reply, "pel-count", group.pending() as u64);
    reply.bulk(b"pending");
    reply.array(group.pending().min(count));
    for (id, pending) in group.pending_from(StreamId::MIN).take(count) {
        reply.array(4);
        push_id(reply, id);
        reply.bulk(group.consumer(pending.consumer).name());
        reply.int(pending.delivered_at as i64);
        reply.int(pending.deliveries as i64);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers());
    group.each_consumer().for_each(|consumer| push_consumer(reply, group, consumer, count));
}

fn push_consumer(reply: &mut Reply, group: &Group, consumer: &Consumer, count: usize) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(consumer.name());
    field(reply, "seen-time", consumer.seen_at);
    known(reply, "active-time", Some(consumer.active_at.map_or(-1, |at| at as i64)));
    field(reply, "pel-count", consumer.pending() as u64);
    reply.bulk(b"pending");
    reply.array(consumer.pending().min(count));
    for (id, pending) in pending_of(group, consumer).take(count) {
        reply.array(3);
        push_id(reply, id);
        reply.int(pending.delivered_at as i64);
        reply.int(pending.deliveries as i64);
    }
}
