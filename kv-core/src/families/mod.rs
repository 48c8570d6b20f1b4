//! The commands, one file per family: rows on top, handlers under them, tests last.
//!
//! Here is what several families need: the two forms of a string as one, and the walk over many keys that fetches their
//! memory ahead of use.

use crate::command::{Args, CommandError, CommandSpec, Ctx};
use crate::resp::{Reply, number};
use crate::store::{EntryRef, Key, Object, Value};
use crate::structs::packed::Item;

pub mod bitmap;
pub mod connection;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod pubsub;
mod row_words;
mod scan;
pub mod scripting;
pub mod server;
pub mod set;
pub mod sort;
pub mod sorted_set;
pub mod stream;
pub mod string;
pub mod testing;
pub mod transactions;
mod wait;

/// All rows, family by family.
pub const ALL: &[&[CommandSpec]] = &[
    string::ROWS,
    generic::ROWS,
    hash::ROWS,
    hash::expiry::ROWS,
    bitmap::ROWS,
    hyperloglog::ROWS,
    list::ROWS,
    set::ROWS,
    sort::ROWS,
    sorted_set::ROWS,
    geo::ROWS,
    stream::ROWS,
    pubsub::ROWS,
    connection::ROWS,
    server::ROWS,
    transactions::ROWS,
    scripting::ROWS,
];

/// How often HRANDFIELD, SRANDMEMBER and ZRANDMEMBER draw at most for a negative count.
const DRAWS_MAX: u64 = 1 << 24;

/// Bytes of what they draw at most, by a whole element more.
const DRAWN_BYTES_MAX: usize = if cfg!(test) { 1 << 20 } else { 512 << 20 };

/// A reply of elements drawn again and again. However small a value is, a count may ask for more than there is memory,
/// and for as long a turn; beyond the two limits it is refused.
pub(crate) struct Drawn {
    from: usize,
}

impl Drawn {
    /// Begins a reply, and tells how often to draw for a negative count.
    ///
    /// Errors: out of range.
    pub fn begin(reply: &mut Reply, count: i64) -> Result<(Drawn, usize), CommandError> {
        match count.unsigned_abs() {
            draws @ ..=DRAWS_MAX => Ok((Drawn { from: reply.out().len() }, draws as usize)),
            _ => Err(Drawn::too_much()),
        }
    }

    /// Whether another element may be added. If not, `end` fails, and it does not matter what is added still.
    #[inline]
    pub fn has_room(&self, reply: &mut Reply) -> bool {
        reply.out().len() - self.from <= DRAWN_BYTES_MAX
    }

    /// Ends the reply.
    ///
    /// Errors: out of range; nothing is left of the reply then.
    pub fn end(self, reply: &mut Reply) -> Result<(), CommandError> {
        if self.has_room(reply) {
            return Ok(());
        }
        reply.out().truncate(self.from);
        Err(Drawn::too_much())
    }

    fn too_much() -> CommandError {
        CommandError::err("value is out of range")
    }
}

/// The bytes of a string value; `digits` has room for those of an integer.
///
/// Errors: WRONGTYPE.
#[inline]
pub(crate) fn text<'a>(entry: EntryRef<'a>, digits: &'a mut itoa::Buffer) -> Result<&'a [u8], CommandError> {
    match entry.value() {
        Value::Bytes(bytes) => Ok(bytes),
        Value::Int(number) => Ok(digits.format(number).as_bytes()),
        Value::Object(Object::Str(bytes)) => Ok(bytes),
        Value::Packed(..) | Value::Object(_) => Err(CommandError::WrongType),
    }
}

/// How many bytes a string value has.
///
/// Errors: WRONGTYPE.
pub(crate) fn text_len(entry: EntryRef<'_>) -> Result<usize, CommandError> {
    Ok(text(entry, &mut itoa::Buffer::new())?.len())
}

/// The integer that a string value is.
///
/// Errors: WRONGTYPE, not an integer.
#[inline]
pub(crate) fn integer(entry: EntryRef<'_>) -> Result<i64, CommandError> {
    match entry.value() {
        Value::Int(number) => Ok(number),
        // A string that was changed in place stays bytes, whatever they look like.
        _ => number::parse_i64(text(entry, &mut itoa::Buffer::new())?).ok_or(CommandError::NotInteger),
    }
}

/// Replies an element of a collection.
#[inline]
pub(crate) fn reply_item(reply: &mut Reply, item: Item<'_>) {
    match item {
        Item::Bytes(bytes) => reply.bulk(bytes),
        Item::Int(int) => reply.bulk_int(int),
    }
}

/// Keys whose memory is fetched at the same time: enough to hide the misses behind each other, few enough for the
/// processor's queue of them.
const GROUP: usize = 16;

/// Reads items from the request with `item`, each beginning with a key, and calls `run` for them in order; buckets, then
/// entries, of a group are fetched before any of them is used.
///
/// Errors: those of `item`. The items of the groups before have been run then: what must not happen is to be checked
/// before.
#[inline]
pub(crate) fn prefetch_groups<'a, T: Copy>(
    ctx: &mut Ctx,
    args: &mut Args<'a>,
    mut item: impl FnMut(&mut Args<'a>) -> Result<(Key<'a>, T), CommandError>,
    mut run: impl FnMut(&mut Ctx, Key<'a>, T),
) -> Result<(), CommandError> {
    while args.left() > 0 {
        let first = item(args)?;
        if args.left() == 0 {
            run(ctx, first.0, first.1);
            break;
        }
        let mut group = [first; GROUP];
        let mut len = 1;
        while len < GROUP && args.left() > 0 {
            group[len] = item(args)?;
            len += 1;
        }
        let items = &group[..len];
        items.iter().for_each(|(key, _)| ctx.db(*key).prefetch_bucket(key.hash));
        items.iter().for_each(|(key, _)| ctx.db(*key).prefetch_entry(key.hash));
        items.iter().for_each(|&(key, rest)| run(ctx, key, rest));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
