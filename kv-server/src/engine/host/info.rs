//! INFO: figures of all workers, added up, in Redis's sections and with its names.
//!
//! Fields of Redis about what does not exist here (its defragmenter, its forks' copies) are left out rather than made
//! up; a field whose subject exists but is not in use says so (`aof_enabled:0`). `# Shards` is ours.

use super::{Call, Done, HostFn, Process, REDIS_VERSION};
use crate::engine::costs::Cost;
use crate::engine::durability::Figures;
use crate::engine::pubsub::Kind;
use crate::engine::stats::ERROR_CODES;
use crate::engine::worker::Worker;
use kv_core::command::{Args, RowId};
use kv_core::resp::Reply;
use kv_core::resp::reply::TEXT_LINE_END;
use kv_core::store::UnixMs;
use std::fmt::{Display, Write};

pub(super) const HANDLERS: &[(&str, HostFn)] = &[("INFO", info)];

/// What one shard and its worker report.
pub(super) struct ShardFigures {
    pub used_memory: u64,
    clients: u64,
    commands: u64,
    ops_per_sec: u64,
    remote_requests: u64,
    rendezvous: u64,
    longest_turn_us: u64,
    turns: u64,
    batches: u64,
    keys: u64,
    expires: u64,
}

pub(super) struct Database {
    pub index: usize,
    pub keys: u64,
    pub expires: u64,
}

/// The figures of the server at this moment.
pub(super) struct Totals {
    pub process: Process,
    pub databases: Vec<Database>,
    pub shards: Vec<ShardFigures>,
    /// Bytes of keys, values and tables.
    pub dataset_bytes: u64,
    /// Bytes of connections and their buffers.
    pub client_bytes: u64,
    /// The sum of the shards' peaks, which is never below the peak of the sum, and the connections.
    pub peak_memory: u64,
}

impl Totals {
    pub fn of(worker: &mut Worker) -> Totals {
        worker.publish_figures();
        let net = &worker.net;
        let databases = (0..worker.config.databases as usize).map(|index| {
            let of_shards = (0..net.workers()).map(|w| net.stats(w).database(index));
            let (keys, expires) = of_shards.fold((0, 0), |(k, e), (keys, expires)| (k + keys, e + expires));
            Database { index, keys, expires }
        });
        let shards = (0..net.workers()).map(|w| {
            let stats = net.stats(w);
            let (keys, expires) = (0..worker.config.databases as usize)
                .map(|index| stats.database(index))
                .fold((0, 0), |(k, e), (keys, expires)| (k + keys, e + expires));
            ShardFigures {
                used_memory: stats.used_memory(),
                clients: stats.clients(),
                commands: stats.commands(),
                ops_per_sec: stats.ops_per_sec(),
                remote_requests: stats.remote_requests(),
                rendezvous: stats.rendezvous(),
                longest_turn_us: stats.longest_turn_us(),
                turns: stats.turns(),
                batches: stats.batches(),
                keys,
                expires,
            }
        });
        Totals {
            databases: databases.collect(),
            shards: shards.collect(),
            dataset_bytes: net.total(|s| s.used_memory()),
            client_bytes: net.total(|s| s.client_bytes()),
            peak_memory: net.total(|s| s.peak_memory() + s.client_bytes()),
            process: worker.system.process(),
        }
    }

    pub fn used_memory(&self) -> u64 {
        self.dataset_bytes + self.client_bytes
    }

    pub fn overhead(&self) -> u64 {
        self.client_bytes
    }

    pub fn fragmentation(&self) -> f64 {
        self.process.resident_bytes as f64 / self.used_memory().max(1) as f64
    }
}

/// A section under way: lines of `name:value`.
struct Text(String);

impl Text {
    fn line(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{name}:{value}{TEXT_LINE_END}");
    }

    /// A number of bytes, and the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.line(name, bytes);
        self.line(&format!("{name}_human"), human(bytes));
    }

    fn zeros(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.line(name, 0));
    }
}

type SectionFn = fn(&Worker, &Totals, &mut Text);

struct Section {
    /// Only told when it, or everything, is asked for.
    is_extra: bool,
    name: &'static str,
    title: &'static str,
    write: SectionFn,
}

const SECTIONS: &[Section] = &[
    Section { is_extra: false, name: "server", title: "Server", write: server },
    Section { is_extra: false, name: "clients", title: "Clients", write: clients },
    Section { is_extra: false, name: "memory", title: "Memory", write: memory },
    Section { is_extra: false, name: "persistence", title: "Persistence", write: persistence },
    Section { is_extra: false, name: "stats", title: "Stats", write: stats },
    Section { is_extra: false, name: "replication", title: "Replication", write: replication },
    Section { is_extra: false, name: "cpu", title: "CPU", write: cpu },
    Section { is_extra: false, name: "modules", title: "Modules", write: modules },
    Section { is_extra: true, name: "commandstats", title: "Commandstats", write: commandstats },
    Section { is_extra: false, name: "errorstats", title: "Errorstats", write: errorstats },
    Section { is_extra: true, name: "latencystats", title: "Latencystats", write: latencystats },
    Section { is_extra: false, name: "cluster", title: "Cluster", write: cluster },
    Section { is_extra: false, name: "keyspace", title: "Keyspace", write: keyspace },
    Section { is_extra: false, name: "shards", title: "Shards", write: shards },
];

/// Words that stand for all sections.
const EVERYTHING: &[&str] = &["all", "everything"];

fn info(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let (mut all, mut default) = (false, args.left() == 0);
    let mut chosen = [false; SECTIONS.len()];
    while args.left() > 0 {
        let word = args.next()?;
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        all |= EVERYTHING.iter().any(|name| is(name));
        default |= is("default");
        SECTIONS.iter().zip(&mut chosen).for_each(|(section, chosen)| *chosen |= is(section.name));
    }
    let totals = Totals::of(call.worker);
    let mut text = Text(String::new());
    for (section, chosen) in SECTIONS.iter().zip(chosen) {
        if all || chosen || default && !section.is_extra {
            if !text.0.is_empty() {
                text.0.push_str(TEXT_LINE_END);
            }
            let _ = write!(text.0, "# {}{TEXT_LINE_END}", section.title);
            (section.write)(call.worker, &totals, &mut text);
        }
    }
    reply.verbatim("txt", text.0.as_bytes());
    Ok(())
}

fn server(worker: &Worker, totals: &Totals, text: &mut Text) {
    let process = &totals.process;
    let uptime_s = worker.now.saturating_sub(process.started) / 1000;
    text.line("redis_version", REDIS_VERSION);
    text.line("redis_git_sha1", "00000000");
    text.line("redis_git_dirty", 0);
    text.line("redis_mode", "standalone");
    text.line("kv_version", env!("CARGO_PKG_VERSION"));
    text.line("os", &process.os);
    text.line("arch_bits", usize::BITS);
    text.line("monotonic_clock", "POSIX clock_gettime");
    text.line("multiplexing_api", "epoll");
    text.line("process_id", process.id);
    text.line("process_supervised", "no");
    text.line("run_id", &process.run_id);
    text.line("tcp_port", process.port);
    text.line("server_time_usec", worker.now_us);
    text.line("uptime_in_seconds", uptime_s);
    text.line("uptime_in_days", uptime_s / 86_400);
    text.line("executable", &process.executable);
    text.line("config_file", worker.system.config_file().unwrap_or_default().display());
    text.line("io_threads_active", 0);
    text.line("shards", worker.net.workers());
}

fn clients(worker: &Worker, _: &Totals, text: &mut Text) {
    text.line("connected_clients", worker.net.total(|s| s.clients()));
    text.line("cluster_connections", 0);
    text.line("maxclients", worker.config.maxclients);
    text.line("blocked_clients", worker.net.total(|s| s.blocked_clients()));
    text.line("tracking_clients", worker.net.tracking_clients());
    text.line("pubsub_clients", worker.net.total(|s| s.pubsub_clients()));
    text.line("watching_clients", worker.net.total(|s| s.watching_clients()));
    text.line("clients_in_timeout_table", worker.net.total(|s| s.timed_clients()));
    text.line("total_watched_keys", worker.net.total(|s| s.watched_keys()));
}

fn memory(worker: &Worker, totals: &Totals, text: &mut Text) {
    let used = totals.used_memory();
    let percent =
        |part: u64, whole: u64| format!("{:.2}%", if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 });
    text.bytes("used_memory", used);
    text.bytes("used_memory_rss", totals.process.resident_bytes);
    text.bytes("used_memory_peak", totals.peak_memory);
    text.line("used_memory_peak_perc", percent(used, totals.peak_memory));
    text.line("used_memory_rss_peak", totals.process.peak_resident_bytes);
    text.line("used_memory_overhead", totals.overhead());
    text.line("used_memory_startup", 0);
    text.line("used_memory_dataset", totals.dataset_bytes);
    text.line("used_memory_dataset_perc", percent(totals.dataset_bytes, used));
    text.bytes("total_system_memory", totals.process.machine_bytes);
    let (scripts, libraries) = (worker.net.scripts.known(), worker.net.scripts.libraries());
    text.bytes("used_memory_lua", 0);
    text.line("used_memory_scripts_eval", scripts.bytes);
    text.line("number_of_cached_scripts", scripts.scripts);
    text.line("evicted_scripts", scripts.forgotten);
    text.line("number_of_functions", libraries.functions());
    text.line("number_of_libraries", libraries.len());
    text.line("used_memory_functions", libraries.bytes());
    text.bytes("used_memory_scripts", (scripts.bytes + libraries.bytes()) as u64);
    text.bytes("maxmemory", 0);
    text.line("maxmemory_policy", "noeviction");
    text.line("mem_fragmentation_ratio", format_args!("{:.2}", totals.fragmentation()));
    text.line("mem_fragmentation_bytes", totals.process.resident_bytes as i64 - used as i64);
    text.zeros(&["mem_not_counted_for_evict", "mem_replication_backlog", "mem_total_replication_buffers"]);
    text.line("mem_clients_slaves", 0);
    text.line("mem_clients_normal", totals.client_bytes);
    text.zeros(&["mem_cluster_links", "mem_aof_buffer"]);
    text.line("mem_allocator", "mimalloc");
    text.line("active_defrag_running", 0);
}

fn persistence(worker: &Worker, totals: &Totals, text: &mut Text) {
    let status = worker.link.status();
    let figures = status.figures();
    let state = |failed: bool| if failed { "err" } else { "ok" };
    let seconds = |ms: Option<u64>| ms.map_or(-1, |ms| (ms / 1000) as i64);
    let running = figures.saving_since.map(|since| worker.now.saturating_sub(since));
    let (saving, rewriting) = (running.filter(|_| figures.is_save), running.filter(|_| figures.is_rewrite));
    text.line("loading", u8::from(worker.is_loading()));
    text.zeros(&["async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    text.line(
        "rdb_changes_since_last_save",
        worker.net.total(|s| s.dirty()).saturating_sub(figures.dirty_at_last_save),
    );
    text.line("rdb_bgsave_in_progress", u8::from(saving.is_some()));
    text.line("rdb_last_save_time", last_save(&figures, &totals.process) / 1000);
    text.line("rdb_last_bgsave_status", state(figures.last_save_failed));
    text.line("rdb_last_bgsave_time_sec", seconds(figures.last_save_ms));
    text.line("rdb_current_bgsave_time_sec", seconds(saving));
    text.line("rdb_saves", figures.saves);
    text.zeros(&["rdb_last_cow_size"]);
    text.line("rdb_last_load_keys_loaded", status.load.progress.keys());
    // Until the keeper has switched it off there is a log.
    let is_log_on = worker.config.appendonly || figures.is_log_on;
    text.line("aof_enabled", u8::from(is_log_on));
    text.line("aof_rewrite_in_progress", u8::from(rewriting.is_some()));
    // Switching the log on begins with a rewrite, which the keeper may not have heard of yet.
    let is_scheduled = figures.is_rewrite_scheduled || (worker.config.appendonly && !figures.is_log_on);
    text.line("aof_rewrite_scheduled", u8::from(is_scheduled && rewriting.is_none()));
    text.line("aof_last_rewrite_time_sec", seconds(figures.last_rewrite_ms));
    text.line("aof_current_rewrite_time_sec", seconds(rewriting));
    text.line("aof_last_bgrewrite_status", state(figures.last_rewrite_failed));
    text.line("aof_rewrites", figures.rewrites);
    text.line("aof_last_write_status", state(figures.last_log_write_failed));
    text.zeros(&["aof_last_cow_size"]);
    if is_log_on {
        text.line("aof_current_size", figures.base_bytes + figures.log_bytes);
        text.line("aof_base_size", figures.base_bytes);
        text.line("aof_pending_rewrite", 0);
        text.line("aof_buffer_length", figures.unwritten_bytes);
        text.line("aof_pending_bio_fsync", u8::from(figures.unsynced_bytes > 0));
        text.line("aof_delayed_fsync", figures.delayed_syncs);
    }
    if worker.is_loading() {
        loading(worker, text);
    }
}

fn loading(worker: &Worker, text: &mut Text) {
    let load = &worker.link.status().load;
    let (read, total) = (load.progress.read_bytes(), load.progress.total_bytes());
    let elapsed_s = worker.now.saturating_sub(load.since()) / 1000;
    text.line("loading_start_time", load.since() / 1000);
    text.line("loading_total_bytes", total);
    text.line("loading_loaded_bytes", read);
    text.line("loading_loaded_perc", format_args!("{:.2}", load.progress.percent()));
    // As long again for as much again.
    let eta_s = (elapsed_s * total.saturating_sub(read)).checked_div(read).unwrap_or(1);
    text.line("loading_eta_seconds", eta_s);
}

/// When the last snapshot was whole; the start of the server before the first.
pub(super) fn last_save(figures: &Figures, process: &Process) -> UnixMs {
    figures.last_save.max(process.started)
}

fn stats(worker: &Worker, _: &Totals, text: &mut Text) {
    let net = &worker.net;
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    text.line("total_connections_received", net.total(|s| s.connections_received()));
    text.line("total_commands_processed", net.total(|s| s.commands()));
    text.line("instantaneous_ops_per_sec", net.total(|s| s.ops_per_sec()));
    text.line("total_net_input_bytes", net.total(|s| s.net_input_bytes()));
    text.line("total_net_output_bytes", net.total(|s| s.net_output_bytes()));
    text.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    text.line("instantaneous_input_kbps", kilobytes(net.total(|s| s.input_per_sec())));
    text.line("instantaneous_output_kbps", kilobytes(net.total(|s| s.output_per_sec())));
    text.line("rejected_connections", net.rejected());
    text.zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"]);
    text.line("expired_keys", net.total(|s| s.expired_keys()));
    text.zeros(&["evicted_keys", "evicted_clients"]);
    text.line("keyspace_hits", net.total(|s| s.keyspace_hits()));
    text.line("keyspace_misses", net.total(|s| s.keyspace_misses()));
    text.line("pubsub_channels", worker.hub.known(Kind::Channel));
    text.line("pubsub_patterns", worker.hub.known(Kind::Pattern));
    text.line("pubsubshard_channels", worker.hub.known(Kind::Shard));
    text.zeros(&["latest_fork_usec", "total_forks"]);
    text.line("tracking_total_keys", net.total(|s| s.tracked_keys()));
    text.line("tracking_total_items", net.total(|s| s.tracked_items()));
    text.line("tracking_total_prefixes", worker.hub.known(Kind::Prefix));
    text.line("unexpected_error_replies", 0);
    text.line("total_error_replies", net.total(|s| s.error_replies()));
    text.line("client_query_buffer_limit_disconnections", net.total(|s| s.query_limit_disconnections()));
    text.line("client_output_buffer_limit_disconnections", net.total(|s| s.output_limit_disconnections()));
}

fn replication(_: &Worker, totals: &Totals, text: &mut Text) {
    text.line("role", "master");
    text.line("connected_slaves", 0);
    text.line("master_failover_state", "no-failover");
    text.line("master_replid", &totals.process.run_id);
    text.line("master_replid2", "0".repeat(40));
    text.line("master_repl_offset", 0);
    text.line("second_repl_offset", -1);
    text.zeros(&["repl_backlog_active", "repl_backlog_size", "repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
}

fn cpu(_: &Worker, totals: &Totals, text: &mut Text) {
    text.line("used_cpu_sys", format_args!("{:.6}", totals.process.cpu_system));
    text.line("used_cpu_user", format_args!("{:.6}", totals.process.cpu_user));
    text.line("used_cpu_sys_children", "0.000000");
    text.line("used_cpu_user_children", "0.000000");
}

fn modules(_: &Worker, _: &Totals, _: &mut Text) {}

fn errorstats(worker: &Worker, _: &Totals, text: &mut Text) {
    for (place, code) in ERROR_CODES.iter().enumerate() {
        let count = worker.net.total(|s| s.errors(place));
        if count > 0 {
            text.line(&format!("errorstat_{code}"), format_args!("count={count}"));
        }
    }
}

/// The rows of which something is known, with their names as Redis writes them here.
fn costly(worker: &Worker) -> impl Iterator<Item = (RowId, String, Cost)> + '_ {
    let rows = kv_core::command::table();
    (0..rows.len() as RowId).filter_map(|id| {
        let cost = worker.net.cost(id);
        cost.is_any().then(|| (id, rows.row(id).full_name.to_lowercase(), cost))
    })
}

fn commandstats(worker: &Worker, _: &Totals, text: &mut Text) {
    for (_, name, Cost { calls, ns, rejected, failed }) in costly(worker) {
        let us = ns as f64 / 1000.0;
        text.line(
            &format!("cmdstat_{name}"),
            format_args!(
                "calls={calls},usec={us:.0},usec_per_call={:.2},rejected_calls={rejected},failed_calls={failed}",
                us / calls.max(1) as f64
            ),
        );
    }
}

fn latencystats(worker: &Worker, _: &Totals, text: &mut Text) {
    if !worker.config.latency_tracking {
        return;
    }
    for (id, name, _) in costly(worker) {
        let histogram = worker.net.histogram(id);
        if histogram.calls() > 0 {
            let percentiles = worker.config.latency_tracking_info_percentiles.iter().map(|word| {
                let us = histogram.percentile(word.parse().unwrap_or_default());
                format!("p{word}={us:.3}")
            });
            let percentiles: Vec<String> = percentiles.collect();
            text.line(&format!("latency_percentiles_usec_{name}"), percentiles.join(","));
        }
    }
}

fn cluster(_: &Worker, _: &Totals, text: &mut Text) {
    text.line("cluster_enabled", 0);
}

fn keyspace(_: &Worker, totals: &Totals, text: &mut Text) {
    for db in totals.databases.iter().filter(|db| db.keys > 0) {
        text.line(&format!("db{}", db.index), format_args!("keys={},expires={},avg_ttl=0", db.keys, db.expires));
    }
}

fn shards(_: &Worker, totals: &Totals, text: &mut Text) {
    for (index, s) in totals.shards.iter().enumerate() {
        text.line(
            &format!("shard{index}"),
            format_args!(
                "keys={},expires={},used_memory={},clients={},commands={},ops_per_sec={},remote_requests={},\
                 rendezvous={},turns={},batches={},longest_turn_us={}",
                s.keys,
                s.expires,
                s.used_memory,
                s.clients,
                s.commands,
                s.ops_per_sec,
                s.remote_requests,
                s.rendezvous,
                s.turns,
                s.batches,
                s.longest_turn_us
            ),
        );
    }
}

/// Bytes for people, as Redis writes them.
fn human(bytes: u64) -> String {
    const UNITS: [(&str, u32); 5] = [("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50)];
    match UNITS.iter().rev().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => format!("{:.2}{unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people_have_two_digits_and_a_unit() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1024), "1.00K");
        assert_eq!(human(1_434_608), "1.37M");
        assert_eq!(human(25_274_793_984), "23.54G");
        assert_eq!(human(u64::MAX), "16384.00P");
    }
}
