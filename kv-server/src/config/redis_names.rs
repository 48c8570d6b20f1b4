//! Names of options that Redis has and kv has not, so that an error can tell them from misspelt ones.
//!
//! From CONFIG GET of Redis 7.0.15 and 8.2.3, and what only a file can say (`rename-command` and the like). An option
//! that becomes kv's own gets a row and leaves this list; a test sees to it.

/// In alphabetical order, without those of [`super::ROWS`].
#[rustfmt::skip] // filled lines: a list to be searched, not read
pub(super) const KNOWN_TO_REDIS: &[&str] = &[
    "acl-pubsub-default", "aclfile", "acllog-max-len", "active-defrag-cycle-max", "active-defrag-cycle-min",
    "active-defrag-ignore-bytes", "active-defrag-max-scan-fields", "active-defrag-threshold-lower",
    "active-defrag-threshold-upper", "active-expire-effort", "activedefrag", "activerehashing", "always-show-logo",
    "aof-disable-auto-gc", "aof-rewrite-cpulist", "aof-rewrite-incremental-fsync", "aof-timestamp-enabled",
    "aof_rewrite_cpulist", "appenddirname", "appendfilename", "bgsave-cpulist", "bgsave_cpulist",
    "bind-source-addr", "bio-cpulist", "bio_cpulist", "cluster-allow-pubsubshard-when-down",
    "cluster-allow-reads-when-down", "cluster-allow-replica-migration", "cluster-announce-bus-port",
    "cluster-announce-hostname", "cluster-announce-human-nodename", "cluster-announce-ip", "cluster-announce-port",
    "cluster-announce-tls-port", "cluster-compatibility-sample-ratio", "cluster-config-file", "cluster-enabled",
    "cluster-link-sendbuf-limit", "cluster-migration-barrier", "cluster-node-timeout", "cluster-port",
    "cluster-preferred-endpoint-type", "cluster-replica-no-failover", "cluster-replica-validity-factor",
    "cluster-require-full-coverage", "cluster-slave-no-failover", "cluster-slave-validity-factor",
    "cluster-slot-stats-enabled", "crash-log-enabled", "crash-memcheck-enabled", "dbfilename", "disable-thp",
    "dynamic-hz", "enable-debug-command", "enable-module-command", "enable-protected-configs",
    "hide-user-data-from-log", "hz", "ignore-warnings", "io-threads", "io-threads-do-reads", "jemalloc-bg-thread",
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire", "lazyfree-lazy-server-del", "lazyfree-lazy-user-del", "lazyfree-lazy-user-flush",
    "lfu-decay-time", "lfu-log-factor", "loadmodule", "locale-collate", "masterauth",
    "masteruser", "max-new-connections-per-cycle", "max-new-tls-connections-per-cycle", "maxmemory-clients",
    "maxmemory-eviction-tenacity", "maxmemory-samples", "min-replicas-max-lag", "min-replicas-to-write",
    "min-slaves-max-lag", "min-slaves-to-write", "oom-score-adj", "oom-score-adj-values",
    "pidfile", "proc-title-template", "propagation-error-behavior", "rdb-del-sync-files",
    "rdb-save-incremental-fsync", "rename-command", "repl-backlog-size", "repl-backlog-ttl",
    "repl-disable-tcp-nodelay", "repl-diskless-load", "repl-diskless-sync", "repl-diskless-sync-delay",
    "repl-diskless-sync-max-replicas", "repl-ping-replica-period", "repl-ping-slave-period", "repl-timeout",
    "replica-announce-ip", "replica-announce-port", "replica-announced", "replica-full-sync-buffer-limit",
    "replica-ignore-disk-write-errors", "replica-ignore-maxmemory", "replica-lazy-flush", "replica-priority",
    "replica-read-only", "replica-serve-stale-data", "replicaof", "sanitize-dump-payload", "server-cpulist",
    "server_cpulist", "set-proc-title", "shutdown-on-sigint", "shutdown-on-sigterm", "shutdown-timeout",
    "slave-announce-ip", "slave-announce-port", "slave-ignore-maxmemory", "slave-lazy-flush", "slave-priority",
    "slave-read-only", "slave-serve-stale-data", "slaveof",
    "socket-mark-id", "supervised", "syslog-enabled", "syslog-facility", "syslog-ident", "tls-auth-clients",
    "tls-ca-cert-dir", "tls-ca-cert-file", "tls-cert-file", "tls-ciphers", "tls-ciphersuites",
    "tls-client-cert-file", "tls-client-key-file", "tls-client-key-file-pass", "tls-cluster", "tls-dh-params-file",
    "tls-key-file", "tls-key-file-pass", "tls-port", "tls-prefer-server-ciphers", "tls-protocols",
    "tls-replication", "tls-session-cache-size", "tls-session-cache-timeout", "tls-session-caching",
    "user", "vset-force-single-threaded-execution",
];

/// The name as Redis writes it, if Redis has such an option; letters of either case.
pub(super) fn find(name: &str) -> Option<&'static str> {
    KNOWN_TO_REDIS.iter().find(|known| known.eq_ignore_ascii_case(name)).copied()
}

/// Why an option of the list is refused.
pub(super) fn why_refused(known: &str) -> &'static str {
    match known {
        "appenddirname" | "appendfilename" | "dbfilename" => {
            "kv has several files, which it names itself, in the folder `dir`"
        }
        _ => "known to Redis but not supported by kv yet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::find_row;

    #[test]
    fn the_list_is_in_order_without_repetition_and_without_options_of_kv() {
        assert!(KNOWN_TO_REDIS.is_sorted_by(|a, b| a < b));
        let ours: Vec<_> = KNOWN_TO_REDIS.iter().filter(|name| find_row(name).is_some()).collect();
        assert!(ours.is_empty(), "these have rows: {ours:?}");
    }

    #[test]
    fn letters_may_be_of_either_case() {
        assert_eq!(find("Cluster-Enabled"), Some("cluster-enabled"));
        assert_eq!(find("cluster-enable"), None);
    }
}
