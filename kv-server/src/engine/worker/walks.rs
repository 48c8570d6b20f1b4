//! Walks that are cut into slices (KEYS), and whose slice is next.
//!
//! The clients with walks take turns, and of one client's walks only the first is under way: a pipeline of a thousand
//! KEYS makes neither others wait a thousand slices long nor a thousand replies grow at once.

use super::super::mail::Dest;
use kv_core::command::RowId;
use kv_core::resp::{Arg, Proto};
use std::collections::VecDeque;

/// Walks under way from which on another one does not begin at once.
const AT_ONCE: usize = 4;

pub(super) struct Walk {
    /// Who waits for it.
    pub client: u64,
    pub from: usize,
    pub dest: Dest,
    pub row: RowId,
    pub db: usize,
    pub proto: Proto,
    pub bytes: Vec<u8>,
    pub words: Vec<Arg>,
    pub cursor: u64,
    /// The reply so far: whole pieces, and the one being written.
    pub pieces: Vec<Vec<u8>>,
    pub reply: Vec<u8>,
    pub elements: u64,
}

/// The walks of each client that has some, in the order of the next slices.
#[derive(Default)]
pub(super) struct Walks {
    clients: VecDeque<(u64, VecDeque<Walk>)>,
}

impl Walks {
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// How many there are.
    #[cfg(feature = "faults")]
    pub fn len(&self) -> usize {
        self.clients.iter().map(|(_, walks)| walks.len()).sum()
    }

    /// Whether the client's next walk may begin where it stands, instead of in its turn.
    pub fn may_begin(&self, client: u64) -> bool {
        self.clients.len() < AT_ONCE && self.clients.iter().all(|(other, _)| *other != client)
    }

    /// Adds a client's newest walk.
    pub fn push(&mut self, walk: Walk) {
        match self.clients.iter_mut().find(|(client, _)| *client == walk.client) {
            Some((_, walks)) => walks.push_back(walk),
            None => self.clients.push_back((walk.client, VecDeque::from([walk]))),
        }
    }

    /// The walk whose slice is next. Its client comes last after that.
    pub fn take(&mut self) -> Option<Walk> {
        let (client, mut walks) = self.clients.pop_front()?;
        let walk = walks.pop_front();
        if !walks.is_empty() {
            self.clients.push_back((client, walks));
        }
        walk
    }

    /// Takes back one that was taken and is not at its end.
    pub fn put_back(&mut self, walk: Walk) {
        match self.clients.back_mut() {
            Some((client, walks)) if *client == walk.client => walks.push_front(walk),
            _ => self.push(walk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(client: u64, cursor: u64) -> Walk {
        Walk {
            client,
            from: 0,
            dest: Dest::Join { join: 0, part: 0 },
            row: 0,
            db: 0,
            proto: Proto::Resp2,
            bytes: Vec::new(),
            words: Vec::new(),
            cursor,
            pieces: Vec::new(),
            reply: Vec::new(),
            elements: 0,
        }
    }

    #[test]
    fn clients_take_turns_and_each_ends_its_first_walk_first() {
        let mut walks = Walks::default();
        for i in 0..3 {
            walks.push(walk(7, i));
        }
        assert!(!walks.may_begin(7) && walks.may_begin(8));
        walks.push(walk(8, 10));
        let mut order = Vec::new();
        // Each walk has two slices.
        let mut begun = std::collections::HashSet::new();
        while let Some(walk) = walks.take() {
            order.push(walk.cursor);
            if begun.insert(walk.cursor) {
                walks.put_back(walk);
            }
        }
        assert_eq!(order, [0, 10, 0, 10, 1, 1, 2, 2]);
        assert!(walks.is_empty());
    }

    #[test]
    fn no_more_walks_begin_at_once_when_some_are_under_way() {
        let mut walks = Walks::default();
        for client in 0..AT_ONCE as u64 {
            assert!(walks.may_begin(100));
            walks.push(walk(client, 0));
        }
        assert!(!walks.may_begin(100));
    }
}
