//! Streams: their entries in listpacks, then what they remember, then their groups.
//!
//! ```text
//! listpacks | [first id of the listpack (16 bytes, big-endian), listpack] ...
//! entries | last id
//! since 7.0: first id | greatest deleted id | entries ever added
//! groups | [name, last id, since 7.0: entries read (all ones: not known),
//!           pending | [id (16 bytes), delivered at (8), how often] ...
//!           consumers | [name, seen at (8), since 7.2: active at (8; -1: never), pending | [id (16 bytes)] ...] ...] ...
//!
//! listpack: entries, deleted, fields, field ..., 0, then each entry:
//!           1 deleted | 2 fields as above, id as distance (2), [fields, field, value ... | value ...], elements of the entry
//! ```
//!
//! Entries have the names of fields that stand once in their listpack, and so are much longer than what is read: a part
//! may end within a listpack.

use std::collections::HashMap;
use std::io::BufRead;

use super::input::Input;
use super::listpack::{self, Element, Elements, Place};
use super::value::{PART_BYTES, PART_ELEMENTS};
use super::{Damage, Malformed};
use crate::transfer::item::{Bytes, Consumer, Entry, Group, Id, Pending, StreamPart, StreamState};

/// What is still to be read of a stream.
pub(super) struct StreamRest {
    /// The type's number: 15 of Redis 5, 19 of 7.0, 21 of 7.2.
    form: u8,
    listpacks: u64,
    open: Option<OpenListpack>,
    /// `None` until what follows the entries is read.
    groups: Option<u64>,
}

/// A listpack of which entries are still to be read.
struct OpenListpack {
    bytes: Bytes,
    /// Where it begins in the file.
    offset: u64,
    first: Id,
    names: Vec<Bytes>,
    place: Place,
}

const SINCE_7_0: u8 = 19;
const SINCE_7_2: u8 = 21;

impl StreamRest {
    pub(super) fn begin<R: BufRead>(input: &mut Input<R>, form: u8) -> Result<StreamRest, Damage> {
        Ok(StreamRest { form, listpacks: input.number()?, open: None, groups: None })
    }

    pub(super) fn is_done(&self) -> bool {
        self.groups == Some(0)
    }

    pub(super) fn next_part<R: BufRead>(&mut self, input: &mut Input<R>) -> Result<StreamPart, Damage> {
        let begin = input.offset();
        let mut part = StreamPart::default();
        // Bytes of entries, and of what follows them.
        let mut size = 0;
        while part.entries.len() < PART_ELEMENTS
            && size < PART_BYTES
            && input.offset() - begin < PART_BYTES as u64
            && !self.is_done()
        {
            if let Some(open) = &mut self.open {
                match open.next_entry() {
                    Ok(Some(entry)) => {
                        size += entry.fields.iter().map(|field| field.0.len()).sum::<usize>();
                        part.entries.push(entry);
                    }
                    Ok(None) => self.open = None,
                    Err(malformed) => return Err(malformed.in_file(open.offset)),
                }
            } else if self.listpacks > 0 {
                self.listpacks -= 1;
                self.open = Some(OpenListpack::read(input)?);
            } else if let Some(groups) = &mut self.groups {
                *groups = groups.saturating_sub(1);
                part.groups.push(group(input, self.form)?);
            } else {
                part.state = Some(self.state(input)?);
                self.groups = Some(input.number()?);
            }
        }
        Ok(part)
    }

    fn state<R: BufRead>(&self, input: &mut Input<R>) -> Result<StreamState, Damage> {
        // How many entries there are is known.
        input.number()?;
        let last_id = two_numbers(input)?;
        let (mut entries_added, mut max_deleted_id) = (None, None);
        if self.form >= SINCE_7_0 {
            two_numbers(input)?;
            max_deleted_id = Some(two_numbers(input)?);
            entries_added = Some(input.number()?);
        }
        Ok(StreamState { last_id, entries_added, max_deleted_id })
    }
}

fn two_numbers<R: BufRead>(input: &mut Input<R>) -> Result<Id, Damage> {
    Ok(Id::new(input.number()?, input.number()?))
}

fn id_of_bytes(bytes: &[u8; 16]) -> Id {
    let all = u128::from_be_bytes(*bytes);
    Id::new((all >> 64) as u64, all as u64)
}

/// A moment; below 0: never.
fn moment<R: BufRead>(input: &mut Input<R>) -> Result<Option<u64>, Damage> {
    Ok(u64::try_from(i64::from_le_bytes(input.exact()?)).ok())
}

impl OpenListpack {
    fn read<R: BufRead>(input: &mut Input<R>) -> Result<OpenListpack, Damage> {
        let first = input.string()?;
        let first =
            <[u8; 16]>::try_from(first.0).map_err(|_| input.damage("the first id of a listpack has 16 bytes"))?;
        let (offset, bytes) = (input.offset(), input.string()?);
        let begin = || {
            let mut elements = listpack::elements(&bytes.0)?;
            let _count = elements.need_int()?;
            let _deleted = elements.need_int()?;
            let names = many(&mut elements, 1)?;
            elements.need_int()?;
            Ok((names, elements.place()))
        };
        let (names, place) = begin().map_err(|malformed: Malformed| malformed.in_file(offset))?;
        Ok(OpenListpack { bytes, offset, first: id_of_bytes(&first), names, place })
    }

    /// The next entry that is not deleted; none at the end.
    fn next_entry(&mut self) -> Result<Option<Entry>, Malformed> {
        const DELETED: i64 = 1;
        const SAME_FIELDS: i64 = 2;
        let mut elements = listpack::elements_from(&self.bytes.0, self.place)?;
        loop {
            let at = elements.offset();
            let Some(flags) = elements.next() else { return Ok(None) };
            let flags = flags?.to_int().ok_or(Malformed { at, what: "an entry begins with a number" })?;
            // A distance may be longer than a signed number: what is stored then is what is left of it.
            let ms = self.first.0.ms.wrapping_add(elements.need_int()? as u64);
            let seq = self.first.0.seq.wrapping_add(elements.need_int()? as u64);
            let deleted = flags & DELETED != 0;
            let mut fields = Vec::new();
            if flags & SAME_FIELDS == 0 {
                fields = many(&mut elements, 2)?;
            } else {
                for name in &self.names {
                    let value = elements.need()?.to_bytes();
                    if !deleted {
                        fields.extend([name.clone(), value]);
                    }
                }
            }
            elements.need_int()?;
            self.place = elements.place();
            if !deleted {
                return Ok(Some(Entry { id: Id::new(ms, seq), fields }));
            }
        }
    }
}

/// A number, and so many elements, or so many pairs.
fn many(elements: &mut Elements<'_>, each: u64) -> Result<Vec<Bytes>, Malformed> {
    let at = elements.offset();
    let count = u64::try_from(elements.need_int()?).ok().and_then(|count| count.checked_mul(each));
    let count = count.ok_or(Malformed { at, what: "no number of fields" })?;
    // One by one: there may be fewer than the number says.
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(elements.need().map(Element::to_bytes)?);
    }
    Ok(all)
}

fn group<R: BufRead>(input: &mut Input<R>, form: u8) -> Result<Group, Damage> {
    let (name, last_id) = (input.string()?, two_numbers(input)?);
    let entries_read = if form >= SINCE_7_0 { i64::try_from(input.number()?).ok() } else { None };
    let mut pending = HashMap::new();
    for _ in 0..input.number()? {
        let id = id_of_bytes(&input.exact()?);
        let delivered_at = moment(input)?.unwrap_or(0);
        pending.insert(id, Pending { id, delivered_at, deliveries: input.number()? });
    }
    let mut consumers = Vec::new();
    for _ in 0..input.number()? {
        let (name, seen_at) = (input.string()?, moment(input)?);
        let active_at = if form >= SINCE_7_2 { moment(input)? } else { None };
        let mut own = Vec::new();
        for _ in 0..input.number()? {
            let id = id_of_bytes(&input.exact()?);
            let found = pending.remove(&id);
            own.push(
                found.ok_or_else(|| input.damage(format!("entry {id} is pending with two consumers, or unknown")))?,
            );
        }
        consumers.push(Consumer { name, seen_at, active_at, pending: own });
    }
    match pending.keys().next() {
        Some(id) => Err(input.damage(format!("entry {id} is pending with no consumer"))),
        None => {
            Ok(Group { name, last_id: Some(last_id), entries_read: entries_read.map(i64::cast_unsigned), consumers })
        }
    }
}
