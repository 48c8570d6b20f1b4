//! What shards hold, as text, whatever their form in memory: for comparisons.

use kv_core::persist::value::State;
use kv_core::store::{Db, Shard, UnixMs};
use kv_core::structs::packed::Item;
use kv_core::types::stream::{Stream, StreamId};
use std::collections::{BTreeMap, BTreeSet};

/// Calls `f` for the keys of a database that are not due, each once.
pub fn each(db: &Db, now: UnixMs, mut f: impl FnMut(&[u8], Option<UnixMs>, State<'_>)) {
    let (mut cursor, mut seen) = (0, BTreeSet::new());
    loop {
        cursor = db.scan(cursor, now, |entry| {
            if seen.insert(entry.key().to_vec()) {
                f(entry.key(), entry.expire_at(), entry.value().state());
            }
        });
        if cursor == 0 {
            return;
        }
    }
}

/// In place of the number of a database: what is shown is a library of functions.
pub const LIBRARIES: usize = usize::MAX;

/// Database and name of a key; its expiry and what it holds, as text.
pub type Shown = BTreeMap<(usize, Vec<u8>), (Option<UnixMs>, Vec<String>)>;

/// All that the keys of a shard show at a moment, whatever their form in memory; with the first shard libraries of functions.
pub fn shown(shard: &Shard, now: UnixMs) -> Shown {
    let mut shown = BTreeMap::new();
    for (number, db) in shard.dbs.iter().enumerate() {
        each(db, now, |key, expire_at, state| {
            shown.insert((number, key.to_vec()), (expire_at, content(state, now)));
        });
    }
    for library in shard.libraries.iter().filter(|_| shard.index == 0) {
        let functions = library.functions().iter().map(|function| format!("{function:?}"));
        let lines = std::iter::once(library.code().escape_ascii().to_string()).chain(functions);
        shown.insert((LIBRARIES, library.name().to_vec()), (None, lines.collect()));
    }
    shown
}

fn text(item: Item<'_>) -> String {
    item.to_vec().escape_ascii().to_string()
}

/// A string; of a HyperLogLog all but the estimate that PFCOUNT keeps in bytes 8 to 15, which is not logged.
fn string(bytes: &[u8]) -> String {
    match bytes {
        [b'H', b'Y', b'L', b'L', ..] if bytes.len() >= 16 => {
            format!("{} ... {}", bytes[..8].escape_ascii(), bytes[16..].escape_ascii())
        }
        _ => bytes.escape_ascii().to_string(),
    }
}

/// What a value holds, a line an element, after the name of its type.
pub fn content(state: State<'_>, now: UnixMs) -> Vec<String> {
    let (kind, mut lines): (_, Vec<String>) = match state {
        State::Int(int) => ("string", vec![int.to_string()]),
        State::Str(bytes) => ("string", vec![string(bytes)]),
        State::List(list) => ("list", list.iter().map(text).collect()),
        State::Set(set) => ("set", set.iter().map(text).collect()),
        State::ZSet(zset) => {
            ("zset", zset.all().map(|(member, score)| format!("{score:?} {}", text(member))).collect())
        }
        State::Hash(hash) => {
            let live = hash.fields().filter(|(_, _, at)| at.is_none_or(|at| at > now));
            ("hash", live.map(|(field, value, at)| format!("{}: {} {at:?}", text(field), text(value))).collect())
        }
        State::Stream(stream) => ("stream", stream_lines(stream)),
    };
    if matches!(kind, "set" | "hash") {
        lines.sort_unstable();
    }
    lines.insert(0, kind.into());
    lines
}

/// All but when a consumer was last seen without getting anything, which is not logged.
fn stream_lines(stream: &Stream) -> Vec<String> {
    let counters = (stream.len(), stream.first_id(), stream.last_id(), stream.max_deleted_id(), stream.entries_added());
    let mut lines = vec![format!("{counters:?}")];
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        let pairs: Vec<_> = entry.pairs().map(|(f, v)| format!("{}={}", f.escape_ascii(), v.escape_ascii())).collect();
        lines.push(format!("{:?} {}", entry.id, pairs.join(" ")));
    }
    for (name, group) in stream.groups().into_iter().flat_map(|groups| groups.iter()) {
        let lag = stream.lag(group);
        lines.push(format!("group {} {:?} {:?} {lag:?}", name.escape_ascii(), group.last_id, group.entries_read));
        for consumer in group.each_consumer() {
            lines.push(format!("consumer {} {:?}", consumer.name().escape_ascii(), consumer.active_at));
            for id in consumer.pending_from(StreamId::MIN) {
                let pending = group.pending_at(id).expect("it is pending");
                lines.push(format!("pending {id:?} {} {}", pending.delivered_at, pending.deliveries));
            }
        }
    }
    lines
}
