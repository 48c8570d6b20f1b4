//! The rows: every option of kv-server, in the order in which help, documentation and CONFIG GET give them.
//!
//! To add an option: a field in [`Config`] with its default, and a row here. A setter may narrow without a check, since
//! the row's limits were checked before; a test sets both limits and reads them back.

use std::path::{Path, PathBuf};

use kv_core::store::Classes;

use super::row::Change::{AtRunTime, AtStart};
use super::row::Section::{Clients, Keyspace, Monitoring, Network, Persistence, Process, Protocol, Scripts, Security};
use super::row::{Kind, Row, int, memory, only, row, text, words, yes_no};
use super::{Config, Fsync, LogLevel, SavePoints, Secret};

/// More threads than any machine has cores.
pub(super) const SHARDS_MAX: u64 = 1024;
/// Redis's limit.
const BIND_MAX: usize = 16;
/// Each database is a table in each shard.
const DATABASES_MAX: u64 = 65_536;
/// The largest span in seconds, Redis's limit.
const SECONDS_MAX: u64 = i32::MAX as u64;
const U32_MAX: u64 = u32::MAX as u64;
const MIB: u64 = 1 << 20;
/// A compact form is searched from its beginning; larger ones than this would count their elements wrongly.
const ENTRIES_MAX: u64 = 16_384;

#[rustfmt::skip] // a table: one subject a block, name and kind on top, the sentence under it
pub const ROWS: &[Row] = &[
    // section  name  kind  when it may be set  summary
    row(Network, "bind", words(|c| c.bind.clone(), set_bind), AtStart,
        "Addresses to listen on. `*` is every IPv4 and `::*` every IPv6 address of the machine; a leading `-` makes an \
         address optional. An empty value turns TCP off.")
        .form("ADDRESS [ADDRESS ...]"),
    row(Network, "port", int(0, 65_535, |c| c.port.into(), |c, v| c.port = v as u16), AtStart,
        "TCP port. 0 turns TCP off if there is a `unixsocket`, and takes any free port otherwise."),
    row(Network, "unixsocket", text(|c| show_path(c.unixsocket.as_deref()), |c, v| { c.unixsocket = path(v); Ok(()) }), AtStart,
        "Path of a Unix socket to listen on as well; empty for none.")
        .form("PATH"),
    row(Network, "unixsocketperm", Kind::Octal { max: 0o777, get: |c| c.unixsocketperm, set: |c, v| c.unixsocketperm = v }, AtStart,
        "Permissions of the Unix socket; 0 leaves what the umask gives."),
    row(Network, "tcp-backlog", int(0, SECONDS_MAX, |c| c.tcp_backlog.into(), |c, v| c.tcp_backlog = v as u32), AtStart,
        "Connections that may wait to be accepted; the kernel has a limit of its own."),
    row(Network, "tcp-keepalive", int(0, SECONDS_MAX, |c| c.tcp_keepalive.into(), |c, v| c.tcp_keepalive = v as u32), AtRunTime,
        "Seconds of silence after which the kernel probes whether a client is still there; 0 is off. Holds for new connections."),

    row(Security, "protected-mode", yes_no(|c| c.protected_mode, |c, v| c.protected_mode = v), AtRunTime,
        "While there is no password, refuse clients that are not on this machine."),
    row(Security, "requirepass", text(|c| c.requirepass.reveal().into(), |c, v| { c.requirepass = Secret::new(v); Ok(()) }), AtRunTime,
        "Password that clients must give with AUTH; empty for none.")
        .form("PASSWORD").secret(),

    row(Clients, "maxclients", int(1, U32_MAX, |c| c.maxclients.into(), |c, v| c.maxclients = v as u32), AtRunTime,
        "Connections at a time; further ones get an error and are closed."),
    row(Clients, "timeout", int(0, SECONDS_MAX, |c| c.timeout.into(), |c, v| c.timeout = v as u32), AtRunTime,
        "Seconds after which an idle client is disconnected; 0 is never."),
    row(Clients, "client-output-buffer-limit", words(|c| c.client_output_buffer_limit.words(), set_output_limits), AtRunTime,
        "Unread output at which a client is disconnected: at once at `hard` bytes, and at `soft` bytes after so many \
         seconds above them; 0 is no limit. Classes are normal, replica (or slave) and pubsub; those not named stay as they are.")
        .form("CLASS HARD SOFT SECONDS [...]"),
    row(Clients, "client-query-buffer-limit", memory(MIB, U32_MAX, |c| c.client_query_buffer_limit, |c, v| c.client_query_buffer_limit = v), AtRunTime,
        "Largest request, in bytes as sent; a client that sends more without completing one is disconnected."),

    row(Protocol, "proto-max-bulk-len", memory(MIB, U32_MAX, |c| c.proto_max_bulk_len, |c, v| c.proto_max_bulk_len = v), AtRunTime,
        "Largest single argument, and so the largest string value."),
    row(Protocol, "proto-max-args", int(1024, SECONDS_MAX, |c| c.proto_max_args.into(), |c, v| c.proto_max_args = v as u32), AtRunTime,
        "Most arguments of one request. An option of kv; in Redis the number is fixed."),
    row(Protocol, "proto-max-line-len", memory(1024, 512 * MIB, |c| c.proto_max_line_len, |c, v| c.proto_max_line_len = v), AtRunTime,
        "Longest request in the form of a line, and longest header. An option of kv; in Redis the number is fixed."),

    row(Keyspace, "shards", int(0, SHARDS_MAX, |c| c.shards.into(), |c, v| c.shards = v as u16), AtStart,
        "Shards, each with a thread of its own, among which keys and connections are spread; 0 is one per core. An option of kv."),
    row(Keyspace, "databases", int(1, DATABASES_MAX, |c| c.databases.into(), |c, v| c.databases = v as u32), AtStart,
        "Number of databases, chosen with SELECT."),
    row(Keyspace, "notify-keyspace-events", text(|c| c.notify_keyspace_events.letters(), set_notices), AtRunTime,
        "Events of keys that are published: letters for their classes, with K on channels of the keys, with E on channels of the events; \
         empty for none.")
        .form("LETTERS"),
    row(Keyspace, "hll-sparse-max-bytes", memory(0, i64::MAX as u64, |c| c.hll_sparse_max_bytes, |c, v| c.hll_sparse_max_bytes = v), AtRunTime,
        "Size at which a HyperLogLog goes from the sparse to the dense form."),
    row(Keyspace, "hash-max-listpack-entries", int(0, ENTRIES_MAX, |c| c.limits.hash_packed_entries as u64, |c, v| c.limits.hash_packed_entries = v as usize), AtRunTime,
        "Most fields of a hash in the compact form.").formerly("hash-max-ziplist-entries"),
    row(Keyspace, "hash-max-listpack-value", memory(0, U32_MAX, |c| c.limits.hash_packed_value as u64, |c, v| c.limits.hash_packed_value = v as usize), AtRunTime,
        "Longest field or value of a hash in the compact form.").formerly("hash-max-ziplist-value"),
    row(Keyspace, "list-max-listpack-size", Kind::Signed { min: i32::MIN, max: i32::MAX, get: |c| c.list_max_listpack_size, set: |c, v| c.list_max_listpack_size = v }, AtRunTime,
        "Size of a node of a list: elements, or, if negative, -1 to -5 for 4, 8, 16, 32 and 64 KiB.").formerly("list-max-ziplist-size"),
    row(Keyspace, "list-compress-depth", only("0", "lists are not compressed: only 0 is accepted"), AtRunTime,
        "Only 0: lists are not compressed."),
    row(Keyspace, "set-max-intset-entries", int(0, ENTRIES_MAX, |c| c.limits.set_int_entries as u64, |c, v| c.limits.set_int_entries = v as usize), AtRunTime,
        "Most members of a set of integers in the compact form for integers."),
    row(Keyspace, "set-max-listpack-entries", int(0, ENTRIES_MAX, |c| c.limits.set_packed_entries as u64, |c, v| c.limits.set_packed_entries = v as usize), AtRunTime,
        "Most members of a set in the compact form."),
    row(Keyspace, "set-max-listpack-value", memory(0, U32_MAX, |c| c.limits.set_packed_value as u64, |c, v| c.limits.set_packed_value = v as usize), AtRunTime,
        "Longest member of a set in the compact form."),
    row(Keyspace, "zset-max-listpack-entries", int(0, ENTRIES_MAX, |c| c.limits.zset_packed_entries as u64, |c, v| c.limits.zset_packed_entries = v as usize), AtRunTime,
        "Most members of a sorted set in the compact form.").formerly("zset-max-ziplist-entries"),
    row(Keyspace, "zset-max-listpack-value", memory(0, U32_MAX, |c| c.limits.zset_packed_value as u64, |c, v| c.limits.zset_packed_value = v as usize), AtRunTime,
        "Longest member of a sorted set in the compact form.").formerly("zset-max-ziplist-value"),
    row(Keyspace, "stream-node-max-bytes", memory(0, U32_MAX, |c| c.limits.stream_node_bytes as u64, |c, v| c.limits.stream_node_bytes = v as usize), AtRunTime,
        "Bytes of a node of a stream; 0 is no limit."),
    row(Keyspace, "stream-node-max-entries", int(0, U32_MAX, |c| c.limits.stream_node_entries as u64, |c, v| c.limits.stream_node_entries = v as usize), AtRunTime,
        "Entries of a node of a stream; 0 is no limit."),
    row(Keyspace, "maxmemory", only("0", "a memory limit is not available yet: only 0 is accepted"), AtRunTime,
        "Only 0, no limit: a memory limit is not available yet."),
    row(Keyspace, "maxmemory-policy", only("noeviction", "eviction is not available yet: only noeviction is accepted"), AtRunTime,
        "Only noeviction: eviction is not available yet."),

    row(Keyspace, "tracking-table-max-keys", int(0, i64::MAX as u64, |c| c.tracking_table_max_keys, |c, v| c.tracking_table_max_keys = v), AtRunTime,
        "Most keys for which it is remembered who has read them (CLIENT TRACKING), each shard its part; 0 is no limit."),

    row(Scripts, "busy-reply-threshold", int(0, i64::MAX as u64, |c| c.busy_reply_threshold, |c, v| c.busy_reply_threshold = v), AtRunTime,
        "Milliseconds after which a script that takes long lets the server answer BUSY to what needs the data, and can be ended with \
         SCRIPT KILL; 0 is never.").formerly("lua-time-limit"),
    row(Scripts, "script-strict-keys", yes_no(|c| c.script_strict_keys, |c, v| c.script_strict_keys = v), AtRunTime,
        "Refuse a script a key that it did not declare. Without this, a script that touches keys of other shards than those it \
         declared is run again on all of them. An option of kv."),

    row(Persistence, "dir", text(|c| show_path(Some(&c.dir)), set_dir), AtStart,
        "Folder of the data.")
        .form("PATH"),
    row(Persistence, "save", Kind::Lines { get: |c| c.save.words(), set: set_save, add: add_save }, AtRunTime,
        "When a snapshot is taken by itself: once so many seconds have passed since the last and so many writes have happened, any \
         pair of those given; empty for never. Lines of a file add up.")
        .form("SECONDS CHANGES [...]"),
    row(Persistence, "stop-writes-on-bgsave-error", yes_no(|c| c.stop_writes_on_bgsave_error, |c, v| c.stop_writes_on_bgsave_error = v), AtRunTime,
        "Refuse writes while the last snapshot has failed, if snapshots are taken by themselves."),
    row(Persistence, "rdbcompression", yes_no(|c| c.rdbcompression, |c, v| c.rdbcompression = v), AtRunTime,
        "Compress snapshots."),
    row(Persistence, "rdbchecksum", only("yes", "snapshots always have checksums: only yes is accepted"), AtRunTime,
        "Only yes: snapshots always have checksums."),
    row(Persistence, "appendonly", yes_no(|c| c.appendonly, |c, v| c.appendonly = v), AtRunTime,
        "Keep a log of all writes."),
    row(Persistence, "appendfsync", Kind::Choice { names: Fsync::NAMES, get: |c| c.appendfsync.name(), set: set_appendfsync }, AtRunTime,
        "When the log is synced: `always` before anything leaves the server that it would lose, `everysec` each second, `no` when the \
         system does it by itself."),
    row(Persistence, "no-appendfsync-on-rewrite", only("no", "the log is synced while it is rewritten, too: only no is accepted"), AtRunTime,
        "Only no: the log is synced while it is rewritten, too."),
    row(Persistence, "auto-aof-rewrite-percentage", int(0, SECONDS_MAX, |c| c.auto_aof_rewrite_percentage.into(), |c, v| c.auto_aof_rewrite_percentage = v as u32), AtRunTime,
        "Rewrite the log by itself once it has grown by so many percent since the last time; 0 is never."),
    row(Persistence, "auto-aof-rewrite-min-size", memory(0, i64::MAX as u64, |c| c.auto_aof_rewrite_min_size, |c, v| c.auto_aof_rewrite_min_size = v), AtRunTime,
        "Size below which the log is not rewritten by itself."),
    row(Persistence, "aof-use-rdb-preamble", only("yes", "a rewritten log always begins with a snapshot: only yes is accepted"), AtRunTime,
        "Only yes: a rewritten log begins with a snapshot."),
    row(Persistence, "aof-load-truncated", only("yes", "a log whose end was cut off by a crash is always loaded: only yes is accepted"), AtRunTime,
        "Only yes: a log whose end was cut off by a crash is loaded up to there."),

    row(Monitoring, "slowlog-log-slower-than", Kind::Signed { min: -1, max: i32::MAX, get: |c| c.slowlog_log_slower_than, set: |c, v| c.slowlog_log_slower_than = v }, AtRunTime,
        "Microseconds from which on a call stands in the slow log; 0 is every call, -1 none. Below 1000 every call is timed by itself, which \
         costs pipelines of quick commands some speed."),
    row(Monitoring, "slowlog-max-len", int(0, U32_MAX, |c| c.slowlog_max_len.into(), |c, v| c.slowlog_max_len = v as u32), AtRunTime,
        "Entries of the slow log; the oldest go."),
    row(Monitoring, "latency-tracking", yes_no(|c| c.latency_tracking, |c, v| c.latency_tracking = v), AtRunTime,
        "Keep how long calls of each command take, for INFO latencystats and LATENCY HISTOGRAM."),
    row(Monitoring, "latency-tracking-info-percentiles", words(|c| c.latency_tracking_info_percentiles.clone(), set_percentiles), AtRunTime,
        "Which percentiles INFO latencystats tells.").form("PERCENT [...]"),
    row(Monitoring, "latency-monitor-threshold", int(0, SECONDS_MAX, |c| c.latency_monitor_threshold, |c, v| c.latency_monitor_threshold = v), AtRunTime,
        "Milliseconds from which on LATENCY notes that something took long; 0 is never."),

    row(Process, "loglevel", Kind::Choice { names: LogLevel::NAMES, get: |c| c.loglevel.name(), set: set_loglevel }, AtRunTime,
        "How much the log tells."),
    row(Process, "logfile", text(|c| show_path(c.logfile.as_deref()), |c, v| { c.logfile = path(v); Ok(()) }), AtStart,
        "File to append the log to; empty for standard output.")
        .form("PATH"),
    row(Process, "daemonize", only("no", "kv-server stays in the foreground: only no is accepted"), AtStart,
        "Only no: kv-server stays in the foreground; leave the rest to a service manager."),
];

/// The row of that name, letters of either case.
pub fn find_row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| {
        row.name.eq_ignore_ascii_case(name) || row.older_name.is_some_and(|old| old.eq_ignore_ascii_case(name))
    })
}

fn set_bind(config: &mut Config, words: &[&str]) -> Result<(), String> {
    if words.len() > BIND_MAX {
        return Err("Too many bind addresses specified.".into());
    }
    if words.iter().any(|word| word.trim_start_matches('-').is_empty()) {
        return Err("an address is missing after '-'".into());
    }
    config.bind = words.iter().map(|word| (*word).to_owned()).collect();
    Ok(())
}

fn set_output_limits(config: &mut Config, words: &[&str]) -> Result<(), String> {
    config.client_output_buffer_limit = config.client_output_buffer_limit.merged(words)?;
    Ok(())
}

fn set_notices(config: &mut Config, letters: &str) -> Result<(), String> {
    let classes = Classes::from_letters(letters);
    config.notify_keyspace_events = classes.ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
    Ok(())
}

fn set_save(config: &mut Config, words: &[&str]) -> Result<(), String> {
    config.save = SavePoints::parse(words)?;
    Ok(())
}

/// Another line of a file: `save ""` takes back those before it, as in Redis.
fn add_save(config: &mut Config, words: &[&str]) -> Result<(), String> {
    let points = SavePoints::parse(words)?.0;
    if points.is_empty() {
        config.save.0.clear();
    }
    config.save.0.extend(points);
    Ok(())
}

/// Errors: not a number from 0 to 100.
fn set_percentiles(config: &mut Config, words: &[&str]) -> Result<(), String> {
    let percentile = |word: &&str| match word.parse::<f64>() {
        Ok(percentile) if (0.0..=100.0).contains(&percentile) => Ok(percentile.to_string()),
        _ => Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_owned()),
    };
    config.latency_tracking_info_percentiles = words.iter().map(percentile).collect::<Result<_, _>>()?;
    Ok(())
}

fn set_appendfsync(config: &mut Config, name: &'static str) {
    if let Some(fsync) = Fsync::from_name(name) {
        config.appendfsync = fsync;
    }
}

fn set_dir(config: &mut Config, value: &str) -> Result<(), String> {
    config.dir = path(value).ok_or("argument must be the path of a folder")?;
    Ok(())
}

fn set_loglevel(config: &mut Config, name: &'static str) {
    if let Some(level) = LogLevel::from_name(name) {
        config.loglevel = level;
    }
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn show_path(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| path.to_string_lossy().into_owned())
}
