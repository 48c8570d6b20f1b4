//! What a shard has to tell the log since the last epoch ended.
//!
//! Records lie one behind the other, encoded. Whoever carries a command out adds its effects; the engine takes everything
//! when the shard passes a marker. With the log off nothing is added.

/// The records of one shard that no epoch holds yet.
#[derive(Default)]
pub struct ShardLog {
    /// Whether effects are to be added.
    pub on: bool,
    /// The last epoch that something of this log was taken for; 0 before the first.
    pub written: u64,
    bytes: Vec<u8>,
}

impl ShardLog {
    /// Whether nothing was added since the last `take`.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes added since the last `take`.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All records added since the last call; they belong to `epoch`.
    pub fn take(&mut self, epoch: u64) -> Vec<u8> {
        if !self.is_empty() {
            self.written = epoch;
        }
        std::mem::take(&mut self.bytes)
    }
}
