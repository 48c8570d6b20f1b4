//! What a client has yet to send, and which of its requests have wholly arrived.

use kv_core::resp::client::encode_request;
use std::collections::VecDeque;

#[derive(Default)]
pub struct Outbox {
    bytes: VecDeque<u8>,
    /// Where the requests in `bytes` end.
    ends: VecDeque<usize>,
}

impl Outbox {
    pub fn push(&mut self, words: &[Vec<u8>]) {
        let mut bytes = Vec::new();
        encode_request(&mut bytes, words);
        self.push_bytes(&bytes);
    }

    /// Bytes that are a request, or something that is answered as one.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.ends.push_back(self.bytes.len());
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn bytes(&mut self) -> &[u8] {
        self.bytes.make_contiguous()
    }

    /// How many requests have not wholly arrived.
    pub fn requests(&self) -> usize {
        self.ends.len()
    }

    /// The first `n` bytes have arrived. Returns how many requests did with them.
    pub fn arrived(&mut self, n: usize) -> usize {
        self.bytes.drain(..n);
        let requests = self.ends.iter().filter(|&&end| end <= n).count();
        self.ends.drain(..requests);
        self.ends.iter_mut().for_each(|end| *end -= n);
        requests
    }
}
