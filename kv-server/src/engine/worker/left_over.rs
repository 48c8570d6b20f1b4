//! What a worker still holds of the requests it has had; nothing once all are answered. For tests.

use super::super::pubsub::Kind;
use super::Worker;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOver {
    pub connections: usize,
    /// Places of connections that are gone but still referred to.
    pub ghosts: usize,
    pub tickets: usize,
    pub joins: usize,
    /// Batches that have not been run.
    pub batches: usize,
    pub walks: usize,
    /// Requests decoded or gathered for a turn that is not over.
    pub requests: usize,
    /// What connections have subscribed to, here or anywhere.
    pub topics: usize,
    /// What the other workers have yet to be told of it, or to confirm.
    pub news: bool,
    /// Clients that watch something.
    pub watching: usize,
    /// Clients in lines of the shard.
    pub waiting: usize,
    /// Transactions that are not over.
    pub transactions: usize,
    /// Replies that other workers wait for.
    pub relays: usize,
    /// The shard is away.
    pub shard_away: bool,
}

impl LeftOver {
    /// Whether nothing is left but open connections. (What these watch, wait for, or have subscribed to, is not left over.)
    pub fn is_nothing(&self) -> bool {
        let LeftOver { connections, watching, waiting, topics, .. } = *self;
        *self == LeftOver { connections, watching, waiting, topics, ..LeftOver::default() }
    }
}

impl Worker {
    pub fn left_over(&self) -> LeftOver {
        let connections = || self.connections.iter().flatten();
        LeftOver {
            connections: self.open,
            ghosts: connections().count() - self.open,
            tickets: connections().map(|c| c.requests_left()).sum(),
            joins: self.joins.len() - self.free_joins.len(),
            batches: self.queue.len() + self.outgoing.iter().flatten().count() + self.mailbox.len(),
            walks: self.walks.len(),
            requests: self.requests.len()
                + self.gathering.iter().map(|g| g.work.items.len() + g.work.wakes.len()).sum::<usize>()
                + self.to_serve.len(),
            topics: Kind::ALL.iter().map(|&kind| self.hub.known(kind)).sum(),
            news: self.hub.is_telling(),
            watching: self.shard.as_ref().map_or(0, |shard| shard.watches.clients()) + self.forgotten.len(),
            waiting: self.shard.as_ref().map_or(0, |shard| shard.waits.clients()) + self.leavers.len(),
            transactions: connections().filter(|c| c.transaction.commands().is_some()).count(),
            relays: self.relays.iter().flatten().count(),
            shard_away: self.shard.is_none(),
        }
    }
}
