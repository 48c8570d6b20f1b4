//! The slow log: the last calls that took longer than `slowlog-log-slower-than`.

use kv_core::resp::Arg;
use kv_core::store::UnixMs;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Words of a call that are kept, and bytes of each; Redis's.
const WORDS_MAX: usize = 32;
const WORD_BYTES_MAX: usize = 128;

/// What was asked for, cut to what a log can hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<Box<[u8]>>);

impl Words {
    /// The words of a request, long ones and many of them shortened in the way of Redis.
    pub fn of(data: &[u8], words: &[Arg]) -> Words {
        let kept = if words.len() > WORDS_MAX { WORDS_MAX - 1 } else { words.len() };
        let short = |word: &Arg| {
            let bytes = word.get(data);
            let Some(left) = bytes.len().checked_sub(WORD_BYTES_MAX).filter(|left| *left > 0) else {
                return bytes.into();
            };
            let mut short = bytes[..WORD_BYTES_MAX].to_vec();
            short.extend_from_slice(format!("... ({left} more bytes)").as_bytes());
            short.into_boxed_slice()
        };
        let mut all: Vec<Box<[u8]>> = words[..kept].iter().map(short).collect();
        if kept < words.len() {
            all.push(format!("... ({} more arguments)", words.len() - kept).into_bytes().into());
        }
        Words(all)
    }

    /// The same, but for those at which there is a secret; never the first.
    pub fn without_secrets(data: &[u8], words: &[Arg], is_secret: impl Fn(usize) -> bool) -> Words {
        let mut all = Words::of(data, words);
        let kept = all.0.iter_mut().zip(0..words.len()).skip(1);
        kept.filter(|(_, at)| is_secret(*at)).for_each(|(word, _)| *word = b"(redacted)"[..].into());
        all
    }
}

/// A call that took too long, as the worker that ran it knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowCall {
    pub client: u64,
    /// The worker of its connection.
    pub from: usize,
    pub shard: usize,
    pub us: u64,
    /// From when it was read to when it began: it waited for other calls, and for its shard.
    pub wait_us: u64,
    pub words: Words,
}

/// Who asked. Empty if the connection is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    pub address: String,
    pub name: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts the entries since the start.
    pub id: u64,
    pub time: UnixMs,
    pub call: SlowCall,
    pub client: Client,
}

#[derive(Default)]
struct Inner {
    next_id: u64,
    /// The last one first.
    entries: VecDeque<Entry>,
}

/// Shared by all workers.
#[derive(Default)]
pub struct SlowLog(Mutex<Inner>);

impl SlowLog {
    /// Adds a call; of more than `most` entries the oldest go.
    pub fn add(&self, call: SlowCall, client: Client, time: UnixMs, most: usize) {
        let mut inner = self.inner();
        let id = inner.next_id;
        inner.next_id += 1;
        inner.entries.push_front(Entry { id, time, call, client });
        inner.entries.truncate(most);
    }

    /// The last `count` entries, the last one first.
    pub fn last(&self, count: usize) -> Vec<Entry> {
        self.inner().entries.iter().take(count).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.inner().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn clear(&self) {
        self.inner().entries.clear();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
