//! Figures of one worker that others may read at any time: each worker stores them once a turn, INFO adds them up.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The figures of one worker, as of its last turn.
        pub struct WorkerStats {
            $($(#[$doc])* $name: AtomicU64,)*
            /// Keys and keys with an expiry, per database.
            databases: Vec<(AtomicU64, AtomicU64)>,
        }

        impl WorkerStats {
            pub fn new(databases: usize) -> WorkerStats {
                WorkerStats {
                    $($name: AtomicU64::new(0),)*
                    databases: (0..databases).map(|_| Default::default()).collect(),
                }
            }
            $(pub fn $name(&self) -> u64 { self.$name.load(Ordering::Relaxed) })*

            /// Stores a worker's own figures.
            pub(super) fn publish(&self, own: &Figures) {
                $(self.$name.store(own.$name, Ordering::Relaxed);)*
            }
        }

        /// The same figures as plain numbers, counted by their worker.
        #[derive(Clone, Default)]
        pub struct Figures { $(pub $name: u64,)* }
    };
}

figures! {
    /// Requests carried out, also those answered with an error.
    commands,
    /// Connections taken since the start.
    connections_received,
    /// Open connections.
    clients,
    /// Bytes read from and written to sockets.
    net_input_bytes,
    net_output_bytes,
    /// Bytes of keys, values and tables of the shard.
    used_memory,
    keyspace_hits,
    keyspace_misses,
    expired_keys,
    /// Writes since the start.
    dirty,
    /// Error replies.
    error_replies,
    /// Bytes in input and output buffers.
    client_bytes,
    /// Connections cut at their output limit.
    output_limit_disconnections,
    /// Connections cut at their input limit.
    query_limit_disconnections,
    /// Turns that published something; batches sent; requests sent to another shard; rendezvous run here.
    turns,
    batches,
    remote_requests,
    rendezvous,
}

impl WorkerStats {
    pub fn database(&self, index: usize) -> (u64, u64) {
        let (keys, expires) = &self.databases[index];
        (keys.load(Ordering::Relaxed), expires.load(Ordering::Relaxed))
    }

    pub(super) fn set_database(&self, index: usize, keys: u64, expires: u64) {
        let (k, e) = &self.databases[index];
        k.store(keys, Ordering::Relaxed);
        e.store(expires, Ordering::Relaxed);
    }
}
