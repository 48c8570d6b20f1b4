//! Streams: entries of fields and values, ordered by ids that only grow, and groups of consumers that share the reading.
//!
//! ```text
//! Stream   nodes     entries, packed (stream::nodes)
//!          groups    who has read what (stream::groups)
//!          length, first id, last id, greatest deleted id, entries ever added
//! ```
//!
//! The last id is that of the last entry ever added, or what `set_last_id` said: new ids lie above it. From the counters
//! follows how far behind a group is without counting entries (`lag`); where deletions make that impossible, it says so.
//!
//! A stream without entries is a stream still. It does not know its key or the time.

mod fuzz;
mod groups;
mod id;
mod nodes;
#[cfg(test)]
mod tests;

pub use fuzz::fuzz_stream;
pub use groups::{Consumer, ConsumerNo, Group, Groups, Pending};
pub use id::{ID_TEXT_MAX, StreamId};
use nodes::Nodes;
pub use nodes::{Entries, Entry, NodeLimits, Pairs};

/// Bytes of an entry's fields and values together, at most.
pub const ENTRY_BYTES_MAX: usize = 1 << 30;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    nodes: Nodes,
    groups: Option<Box<Groups>>,
    len: u64,
    /// That of the first living entry; of no meaning when there is none.
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
}

/// The id that a new entry is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// The present moment, or what comes after the last id.
    Auto,
    /// This moment, with the next number in it.
    At(u64),
    Exactly(StreamId),
}

/// What is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// The oldest entries, but for so many.
    MaxLen(u64),
    /// Entries below an id.
    MinId(StreamId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub to: TrimTo,
    /// Only nodes that go as a whole.
    pub approximate: bool,
    /// No more entries than this; 0 is no limit.
    pub limit: u64,
}

impl Stream {
    pub fn new() -> Stream {
        Stream::default()
    }

    /// How many entries there are.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Heap bytes held. Cost: O(1).
    #[inline]
    pub fn bytes(&self) -> usize {
        self.nodes.bytes() + self.groups.as_ref().map_or(0, |groups| size_of::<Groups>() + groups.bytes())
    }

    /// The stream as it is now, whatever becomes of this one. Cost: O(nodes), and that of a copy of the groups.
    pub fn freeze(&mut self) -> Stream {
        Stream { nodes: self.nodes.freeze(), groups: self.groups.clone(), ..*self }
    }

    /// How many nodes the entries are in.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The id of the first entry, 0-0 when there is none.
    pub fn first_id(&self) -> StreamId {
        if self.len == 0 { StreamId::MIN } else { self.first_id }
    }

    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// The id that a new entry gets; none when it would not be above the last id.
    #[inline]
    pub fn next_id(&self, wanted: NewId, now: u64) -> Option<StreamId> {
        let id = match wanted {
            NewId::Exactly(id) => id,
            NewId::Auto if now > self.last_id.ms => StreamId::new(now, 0),
            NewId::Auto => self.last_id.next()?,
            NewId::At(ms) if ms == self.last_id.ms => StreamId::new(ms, self.last_id.seq.checked_add(1)?),
            NewId::At(ms) => StreamId::new(ms, 0),
        };
        (id > self.last_id).then_some(id)
    }

    /// Adds an entry of `count` pairs, whose bytes are `size` in all, at most `ENTRY_BYTES_MAX`.
    ///
    /// Panics: when the id is not above the last id.
    #[inline]
    pub fn append<'p>(
        &mut self,
        id: StreamId,
        count: usize,
        size: usize,
        pairs: impl Iterator<Item = (&'p [u8], &'p [u8])> + Clone,
        limits: NodeLimits,
    ) {
        assert!(id > self.last_id, "ids only grow");
        self.nodes.append(id, count, size, pairs, limits);
        self.len += 1;
        self.entries_added += 1;
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
    }

    /// The entries from one id to another, both included.
    #[inline]
    pub fn range(&self, from: StreamId, to: StreamId) -> Entries<'_> {
        self.nodes.range(from, to)
    }

    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.nodes.get(id)
    }

    /// The greatest id of an entry.
    pub fn last_entry_id(&self) -> Option<StreamId> {
        self.range(StreamId::MIN, StreamId::MAX).next_back().map(|entry| entry.id)
    }

    /// Deletes an entry; says whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        if !self.nodes.delete(id) {
            return false;
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id {
            self.find_first();
        }
        true
    }

    /// Removes the oldest entries; tells how many.
    ///
    /// Cost: O(1) a node that goes as a whole, O(n) in one node.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let mut removed = 0;
        while let Some((living, last_in_node)) = self.nodes.first_node() {
            if matches!(trim.to, TrimTo::MaxLen(max) if self.len <= max) {
                break;
            }
            if trim.limit > 0 && removed + living > trim.limit {
                break;
            }
            let whole = match trim.to {
                TrimTo::MaxLen(max) => self.len - living >= max,
                TrimTo::MinId(min) => last_in_node < min,
            };
            if whole {
                self.nodes.drop_first_node();
                self.len -= living;
                removed += living;
                continue;
            }
            if !trim.approximate {
                let mut left = self.len;
                let deleted = self.nodes.delete_in_first(|id| match trim.to {
                    TrimTo::MaxLen(max) => {
                        left -= 1;
                        left >= max
                    }
                    TrimTo::MinId(min) => id < min,
                });
                self.len -= deleted;
                removed += deleted;
            }
            break;
        }
        if removed > 0 {
            self.find_first();
        }
        removed
    }

    fn find_first(&mut self) {
        let first = self.nodes.range(StreamId::MIN, StreamId::MAX).next();
        self.first_id = first.map_or(StreamId::MIN, |entry| entry.id);
    }

    /// Sets the last id, which must not be below that of an entry.
    pub fn set_last_id(&mut self, id: StreamId) {
        self.nodes.forget_dead_behind(id);
        self.last_id = id;
    }

    pub fn set_entries_added(&mut self, count: u64) {
        self.entries_added = count;
    }

    pub fn set_max_deleted_id(&mut self, id: StreamId) {
        self.max_deleted_id = id;
    }

    pub fn groups(&self) -> Option<&Groups> {
        self.groups.as_deref()
    }

    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.as_ref()?.get(name)
    }

    /// Makes a group; false when there is one of that name.
    pub fn create_group(&mut self, name: &[u8], last_id: StreamId, entries_read: Option<u64>) -> bool {
        self.groups.get_or_insert_default().create(name, last_id, entries_read)
    }

    /// Removes a group; false when there is none of that name.
    pub fn destroy_group(&mut self, name: &[u8]) -> bool {
        let Some(groups) = &mut self.groups else { return false };
        let destroyed = groups.destroy(name);
        if groups.is_empty() {
            self.groups = None;
        }
        destroyed
    }

    /// Changes a group, seeing the stream's entries and counters; none when there is none of that name.
    #[inline]
    pub fn edit_group<R>(&mut self, name: &[u8], edit: impl FnOnce(&mut Group, &Log<'_>) -> R) -> Option<R> {
        let Stream { nodes, groups, len, first_id, last_id, max_deleted_id, entries_added } = self;
        let log = Log {
            nodes,
            len: *len,
            first_id: *first_id,
            last_id: *last_id,
            max_deleted_id: *max_deleted_id,
            entries_added: *entries_added,
        };
        groups.as_mut()?.edit(name, |group| edit(group, &log))
    }

    fn log(&self) -> Log<'_> {
        Log {
            nodes: &self.nodes,
            len: self.len,
            first_id: self.first_id,
            last_id: self.last_id,
            max_deleted_id: self.max_deleted_id,
            entries_added: self.entries_added,
        }
    }

    /// How many entries a group has still to read; none when deletions make that uncertain.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        self.log().lag(group)
    }

    /// Panics: when an invariant does not hold. For tests.
    pub fn check(&self) {
        self.nodes.check();
        let mut entries = self.range(StreamId::MIN, StreamId::MAX);
        assert_eq!(entries.count_up_to(usize::MAX) as u64, self.len);
        assert_eq!(entries.next().map_or(StreamId::MIN, |entry| entry.id), self.first_id());
        assert!(self.last_entry_id().is_none_or(|id| id <= self.last_id));
        if let Some(groups) = &self.groups {
            groups.check();
        }
    }
}

/// What a stream has besides its groups: what a group's reader sees.
pub struct Log<'a> {
    nodes: &'a Nodes,
    len: u64,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
}

impl<'a> Log<'a> {
    #[inline]
    pub fn range(&self, from: StreamId, to: StreamId) -> Entries<'a> {
        self.nodes.range(from, to)
    }

    pub fn get(&self, id: StreamId) -> Option<Entry<'a>> {
        self.nodes.get(id)
    }

    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// Whether entries may have been deleted or trimmed behind `id`: counting on from there would go wrong.
    fn has_gaps_behind(&self, id: StreamId) -> bool {
        let deleted =
            self.max_deleted_id != StreamId::MIN && self.first_id <= self.max_deleted_id && id <= self.max_deleted_id;
        self.len > 0 && (deleted || id < self.first_id)
    }

    /// How many entries had been added when `id` was the last one; none when that cannot be told.
    fn added_up_to(&self, id: StreamId) -> Option<u64> {
        if id == self.last_id {
            return Some(self.entries_added);
        }
        if id > self.last_id {
            return None;
        }
        let no_gaps = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id;
        let before_first = self.entries_added.saturating_sub(self.len);
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less if no_gaps => Some(before_first),
            std::cmp::Ordering::Equal if no_gaps => Some(before_first + 1),
            _ => None,
        }
    }

    /// Counts an entry as read by a group: the next behind the group's last id.
    #[inline]
    pub fn count_read(&self, group: &mut Group, id: StreamId) {
        match &mut group.entries_read {
            Some(read) if !self.has_gaps_behind(group.last_id) => *read += 1,
            read => *read = self.added_up_to(id),
        }
        group.last_id = id;
    }

    fn lag(&self, group: &Group) -> Option<i64> {
        if self.len == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.has_gaps_behind(group.last_id) => Some(read),
            _ => self.added_up_to(group.last_id),
        };
        // XSETID may have set the counter below what was read.
        read.map(|read| self.entries_added.wrapping_sub(read) as i64)
    }
}
