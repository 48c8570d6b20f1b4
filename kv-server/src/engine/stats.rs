//! Figures of one worker and its shard that others may read at any time; INFO adds them up.
//!
//! A worker stores its own once a turn. A shard's are stored by whoever has the shard: at the end of a turn, and before
//! replies leave for another worker, so that who has seen a reply finds its effect counted.

use kv_core::store::Shard;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The codes that error replies begin with, for INFO's errorstats. The first also stands for any that is not here.
pub const ERROR_CODES: [&str; 13] = [
    "ERR",
    "WRONGTYPE",
    "NOAUTH",
    "WRONGPASS",
    "NOPROTO",
    "INVALIDOBJ",
    "LOADING",
    "MISCONF",
    "UNBLOCKED",
    "BUSY",
    "NOTBUSY",
    "NOSCRIPT",
    "UNKILLABLE",
];

impl Figures {
    /// Takes over the errors that another has counted, and sets it back.
    pub(super) fn add_errors(&mut self, other: &mut Figures) {
        if other.error_replies > 0 {
            self.error_replies += std::mem::take(&mut other.error_replies);
            self.errors.iter_mut().zip(&mut other.errors).for_each(|(sum, more)| *sum += std::mem::take(more));
        }
    }

    /// Counts an error reply; `text` is what follows its marker.
    #[cold]
    pub fn count_error(&mut self, text: &[u8]) {
        let code = text.split(|&byte| byte == b' ').next().unwrap_or(text);
        let place = ERROR_CODES.iter().position(|known| known.as_bytes() == code).unwrap_or(0);
        self.errors[place] += 1;
        self.error_replies += 1;
    }
}

macro_rules! figures {
    (worker { $($(#[$doc:meta])* $name:ident),* $(,)? } shard { $($(#[$shard_doc:meta])* $shard_name:ident),* $(,)? }) => {
        pub struct WorkerStats {
            $($(#[$doc])* $name: AtomicU64,)*
            $($(#[$shard_doc])* $shard_name: AtomicU64,)*
            /// Keys and keys with an expiry, per database.
            databases: Vec<(AtomicU64, AtomicU64)>,
            /// Error replies, by their place in `ERROR_CODES`.
            errors: [AtomicU64; ERROR_CODES.len()],
        }

        impl WorkerStats {
            pub fn new(databases: usize) -> WorkerStats {
                WorkerStats {
                    $($name: AtomicU64::new(0),)*
                    $($shard_name: AtomicU64::new(0),)*
                    databases: (0..databases).map(|_| Default::default()).collect(),
                    errors: Default::default(),
                }
            }
            $(pub fn $name(&self) -> u64 { self.$name.load(Relaxed) })*
            $(pub fn $shard_name(&self) -> u64 { self.$shard_name.load(Relaxed) })*

            /// Stores a worker's own figures.
            pub(super) fn publish(&self, own: &Figures) {
                $(self.$name.store(own.$name, Relaxed);)*
                self.errors.iter().zip(own.errors).for_each(|(shared, own)| shared.store(own, Relaxed));
            }
        }

        /// A worker's own figures as plain numbers, counted by it.
        #[derive(Clone, Default)]
        pub struct Figures {
            $(pub $name: u64,)*
            pub(super) errors: [u64; ERROR_CODES.len()],
        }
    };
}

figures! {
    worker {
        /// Requests carried out, also those answered with an error.
        commands,
        /// As of the last full second: requests, and bytes from and to sockets, per second.
        ops_per_sec,
        input_per_sec,
        output_per_sec,
        /// Connections taken since the start.
        connections_received,
        /// Open connections.
        clients,
        /// Connections whose request waits for keys, and those of them that wait for a time.
        blocked_clients,
        timed_clients,
        /// Connections that watch keys, and these keys.
        watching_clients,
        watched_keys,
        /// Those of them that have subscriptions.
        pubsub_clients,
        /// Bytes read from and written to sockets.
        net_input_bytes,
        net_output_bytes,
        /// Error replies.
        error_replies,
        /// Bytes of connections and their buffers, as of the last full second.
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
        /// The longest turn so far, from reading the sockets to the last write: how long a request may have had to wait
        /// for others. Wall-clock microseconds, so it also counts what the machine did meanwhile.
        longest_turn_us,
    }
    shard {
        /// Bytes of keys, values and tables.
        used_memory,
        /// The most that `used_memory` has been.
        peak_memory,
        keyspace_hits,
        keyspace_misses,
        expired_keys,
        /// Writes since the start.
        dirty,
        /// Keys that tracking clients have read, and their readers.
        tracked_keys,
        tracked_items,
    }
}

impl WorkerStats {
    /// Error replies of a code, by its place in [`ERROR_CODES`].
    pub fn errors(&self, place: usize) -> u64 {
        self.errors[place].load(Relaxed)
    }

    pub fn database(&self, index: usize) -> (u64, u64) {
        let (keys, expires) = &self.databases[index];
        (keys.load(Relaxed), expires.load(Relaxed))
    }

    /// Stores the figures of the shard. Only its holder may call this.
    pub(super) fn publish_shard(&self, shard: &Shard) {
        self.keyspace_hits.store(shard.stats.hits, Relaxed);
        self.keyspace_misses.store(shard.stats.misses, Relaxed);
        self.publish_tracking(shard);
        // Without writes and expiries there is nothing else that a client could have noticed.
        if self.dirty() != shard.dirty || self.expired_keys() != shard.stats.expired {
            self.publish_whole_shard(shard);
        }
    }

    fn publish_tracking(&self, shard: &Shard) {
        let (keys, items) = shard.tracking.counts();
        self.tracked_keys.store(keys as u64, Relaxed);
        self.tracked_items.store(items as u64, Relaxed);
    }

    /// As `publish_shard`, and what changes by itself.
    pub(super) fn publish_whole_shard(&self, shard: &Shard) {
        let used = shard.used_memory() as u64;
        self.used_memory.store(used, Relaxed);
        self.peak_memory.store(used.max(self.peak_memory()), Relaxed);
        self.keyspace_hits.store(shard.stats.hits, Relaxed);
        self.keyspace_misses.store(shard.stats.misses, Relaxed);
        self.expired_keys.store(shard.stats.expired, Relaxed);
        self.dirty.store(shard.dirty, Relaxed);
        self.publish_tracking(shard);
        for (db, (keys, expires)) in shard.dbs.iter().zip(&self.databases) {
            keys.store(db.len() as u64, Relaxed);
            expires.store(db.ttl_keys() as u64, Relaxed);
        }
    }
}
