//! Questions of kv-cli's own, beside the user's conversation: names of keys to complete, how many keys there are.
//!
//! They go over a connection of their own, which a transaction or a subscription does not concern, with little patience: a
//! server that does not answer in time costs a completion, never the prompt.

use std::time::{Duration, Instant};

use kv_core::resp::client::Value;

use crate::args::Target;
use crate::connection::Connection;
use crate::info::Info;
use crate::modes::keys::scanned;

/// For connecting, and for each reply.
const PATIENCE: Duration = Duration::from_millis(300);

/// For all SCANs of one completion.
const SEARCH: Duration = Duration::from_millis(150);

/// Keys that each SCAN looks at: some 100 us of the server's time.
const SCAN_KEYS: &str = "500";

/// Names that are offered at most.
const NAMES_MAX: usize = 200;

pub struct Aside {
    target: Target,
    connection: Option<Connection>,
}

impl Aside {
    pub fn new(target: &Target) -> Aside {
        Aside { target: Aside::patient(target), connection: None }
    }

    fn patient(target: &Target) -> Target {
        Target { resp3: false, timeout: Some(PATIENCE), ..target.clone() }
    }

    /// Goes where the conversation has gone.
    pub fn follow(&mut self, target: &Target) {
        let target = Aside::patient(target);
        if self.target != target {
            *self = Aside { target, connection: None };
        }
    }

    /// None: there is no answer in time, or an error.
    pub fn ask<A: AsRef<[u8]>>(&mut self, request: &[A]) -> Option<Value> {
        let reply = self.exchange(request);
        if reply.is_none() {
            // A reply that is late must not be taken for the next one.
            self.connection = None;
        }
        reply.filter(|reply| !reply.is_error())
    }

    fn exchange<A: AsRef<[u8]>>(&mut self, request: &[A]) -> Option<Value> {
        if self.connection.is_none() {
            let (connection, refusals) = Connection::open(&self.target).ok()?;
            connection.set_patience(Some(PATIENCE)).ok()?;
            // Without a login, or in another database, answers would be wrong.
            self.connection = refusals.is_empty().then_some(connection);
        }
        let connection = self.connection.as_mut()?;
        connection.send(request).ok()?;
        connection.read().ok()
    }

    /// Keys that begin so, as many as are found in a short time.
    #[allow(clippy::disallowed_methods)] // the person who pressed Tab waits
    pub fn keys(&mut self, prefix: &[u8]) -> Vec<Vec<u8>> {
        let pattern = [&literal(prefix)[..], b"*"].concat();
        let begin = Instant::now();
        let mut found = Vec::new();
        let mut cursor = b"0".to_vec();
        while found.len() < NAMES_MAX && begin.elapsed() < SEARCH {
            let request = [&b"SCAN"[..], &cursor, b"MATCH", &pattern, b"COUNT", SCAN_KEYS.as_bytes()];
            let Some((next, keys)) = self.ask(&request).as_ref().and_then(scanned) else { break };
            found.extend(keys);
            if next == b"0" {
                break;
            }
            cursor = next;
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(NAMES_MAX);
        found
    }

    /// Names of settings that begin so.
    pub fn settings(&mut self, prefix: &[u8]) -> Vec<Vec<u8>> {
        let pattern = [&literal(prefix)[..], b"*"].concat();
        let reply = self.ask(&[&b"CONFIG"[..], b"GET", &pattern]);
        let Some(Value::Array(items)) = reply else { return Vec::new() };
        let mut names: Vec<Vec<u8>> = items.iter().step_by(2).filter_map(|name| Some(name.bytes()?.to_vec())).collect();
        names.sort_unstable();
        names
    }

    /// Keys of this database, and of all.
    pub fn sizes(&mut self) -> Option<(u64, u64)> {
        let Value::Int(here) = self.ask(&["DBSIZE"])? else { return None };
        let all = Info::read(&self.ask(&["INFO", "keyspace"])?).keys();
        Some((u64::try_from(here).ok()?, all))
    }
}

/// A pattern that only this text matches.
fn literal(text: &[u8]) -> Vec<u8> {
    let escaped = |&byte: &u8| {
        let special = matches!(byte, b'*' | b'?' | b'[' | b']' | b'^' | b'\\');
        special.then_some(b'\\').into_iter().chain([byte])
    };
    text.iter().flat_map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_core::types::pattern::matches;

    #[test]
    fn what_was_typed_is_no_pattern() {
        for text in ["a*b", "a?[x]", "\\", "plain", "^", "[", "]"] {
            assert!(matches(&literal(text.as_bytes()), text.as_bytes()), "{text}");
        }
        assert!(!matches(&literal(b"a*"), b"ab"));
    }
}
