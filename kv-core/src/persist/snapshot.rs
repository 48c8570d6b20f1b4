//! A snapshot file: the keys of one shard at one moment, in checksummed blocks.
//!
//! ```text
//! file     header block block ... footer                 numbers little-endian
//! header   "KVSNAP\0\0" version:4 shard:4 shards:4 number:8 epoch:8 time:8 crc:4           48 bytes
//! block    length:8 raw length:8 codec:1 crc:4 payload   21 bytes and the payload as it lies in the file
//!          codec 0: the payload is records as they are;  codec 1: a block of LZ4, `raw length` when unpacked
//! footer   a block with codec 255 whose payload is       keys:8 blocks:8
//! ```
//!
//! A checksum is CRC-32C over all bytes of the file in front of it but the checksums: each goes on from the one before. So
//! a block that is missing, comes twice or in another place is found as surely as one with a wrong bit.
//!
//! A block holds whole records (`record`: 1, 7 to 9, and 10), about `BLOCK_BYTES` of them. A value that would make a block large
//! is written in parts, so that neither writer nor reader ever holds a second copy of it; only a single element is never
//! divided, nor a string that somebody adds as a record.
//!
//! A file without its footer is not whole. The reader says so, and nothing about the manifest, which knows the files' sizes.

use super::msgpack;
pub use super::record::Put;
use super::record::{self, Line, Record};
use super::value::{self, Assembly, Kind, Loaded, State};
use super::{Damage, FORMAT_VERSION, ReadError, UnixMs, check_start, read_up_to, u32_at, u64_at};
use crate::types::stream::{Consumer, Entry, Group, StreamId};
use crate::types::{Library, Limits};
use crc32c::crc32c_append;
use lz4_flex::block;
use std::io::Read;

const MAGIC: &[u8; 8] = b"KVSNAP\0\0";
const HEADER: usize = 48;
const BLOCK_HEAD: usize = 21;
const BLOCK_CRC_AT: usize = 17;
const FOOTER: usize = 16;

/// A block is closed when it holds so much. The window of LZ4 is as large: more would not make it smaller.
pub const BLOCK_BYTES: usize = 64 * 1024;
/// Larger blocks, which hold one large element, are not compressed, and no reader unpacks more.
const LZ4_RAW_MAX: usize = 16 * 1024 * 1024;
/// No block of LZ4 becomes more than so many times as large.
const LZ4_RATIO_MAX: usize = 255;

/// How the payload of a block is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    Plain = 0,
    Lz4 = 1,
}

/// The codec byte of the footer.
const END: u8 = 255;

/// What a file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the snapshot that the file is a part of.
    pub number: u64,
    /// The state is the one after this epoch.
    pub epoch: u64,
    pub shard: u32,
    /// How many shards, and files, there are.
    pub shards: u32,
    /// The moment of the state.
    pub time: UnixMs,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER - 4] {
        let mut bytes = [0; HEADER - 4];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.shard.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.shards.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.number.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.time.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Header {
        Header {
            shard: u32_at(bytes, 12),
            shards: u32_at(bytes, 16),
            number: u64_at(bytes, 20),
            epoch: u64_at(bytes, 28),
            time: u64_at(bytes, 36),
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub keys: u64,
    /// The size of the file.
    pub bytes: u64,
}

/// Makes the bytes of a file and hands them out in pieces, in order, as soon as a block is full. `sink` gets each piece.
pub struct Writer {
    codec: Codec,
    /// Room for the head of a block, and the records of the one to come.
    records: Vec<u8>,
    packed: Vec<u8>,
    crc: u32,
    keys: u64,
    blocks: u64,
    bytes: u64,
}

impl Writer {
    /// Begins a file: hands out its header.
    pub fn new(header: &Header, codec: Codec, sink: &mut impl FnMut(Vec<u8>)) -> Writer {
        let mut bytes = header.to_bytes().to_vec();
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        sink(bytes);
        let records = vec![0; BLOCK_HEAD];
        Writer { codec, records, packed: Vec::new(), crc, keys: 0, blocks: 0, bytes: HEADER as u64 }
    }

    /// Adds records that were written by `record::put_state`, one for each of `keys` keys.
    pub fn add(&mut self, records: &[u8], keys: usize, sink: &mut impl FnMut(Vec<u8>)) {
        self.records.extend_from_slice(records);
        self.keys += keys as u64;
        self.close_if_full(sink);
    }

    /// Adds a key, its value in one record.
    pub fn put(
        &mut self,
        db: usize,
        key: &[u8],
        expire_at: Option<UnixMs>,
        state: State<'_>,
        sink: &mut impl FnMut(Vec<u8>),
    ) {
        record::put_state(&mut self.records, db, key, expire_at, state);
        self.keys += 1;
        self.close_if_full(sink);
    }

    /// Begins a key whose value is added element by element and ended by `Open::end`.
    pub fn begin<'w, S: FnMut(Vec<u8>)>(
        &'w mut self,
        db: usize,
        key: &[u8],
        expire_at: Option<UnixMs>,
        kind: Kind,
        sink: &'w mut S,
    ) -> Open<'w, S> {
        record::put_begin(&mut self.records, db, key, kind, expire_at);
        Open { writer: self, sink, kind, part: None }
    }

    /// Hands out what is left, and the footer.
    pub fn finish(mut self, sink: &mut impl FnMut(Vec<u8>)) -> Written {
        self.close(sink);
        let mut footer = vec![0; BLOCK_HEAD];
        footer.extend_from_slice(&self.keys.to_le_bytes());
        footer.extend_from_slice(&self.blocks.to_le_bytes());
        self.emit(footer, FOOTER, END, sink);
        Written { keys: self.keys, bytes: self.bytes }
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.records.len() >= BLOCK_HEAD + BLOCK_BYTES
    }

    #[inline]
    fn close_if_full(&mut self, sink: &mut impl FnMut(Vec<u8>)) {
        if self.is_full() {
            self.close(sink);
        }
    }

    fn close(&mut self, sink: &mut impl FnMut(Vec<u8>)) {
        let raw = self.records.len() - BLOCK_HEAD;
        if raw == 0 {
            return;
        }
        self.blocks += 1;
        if self.codec == Codec::Lz4 && raw <= LZ4_RAW_MAX {
            self.packed.resize(block::get_maximum_output_size(raw), 0);
            // What does not fit into the room for the worst case, or is not worth it, stays as it is.
            let packed = block::compress_into(&self.records[BLOCK_HEAD..], &mut self.packed).unwrap_or(raw);
            if packed < raw {
                let mut bytes = Vec::with_capacity(BLOCK_HEAD + packed);
                bytes.extend_from_slice(&[0; BLOCK_HEAD]);
                bytes.extend_from_slice(&self.packed[..packed]);
                self.emit(bytes, raw, Codec::Lz4 as u8, sink);
                self.records.truncate(BLOCK_HEAD);
                // What once held something large is let go.
                self.records.shrink_to(4 * BLOCK_BYTES);
                return;
            }
        }
        let mut next = Vec::with_capacity(BLOCK_HEAD + BLOCK_BYTES + BLOCK_BYTES / 4);
        next.extend_from_slice(&[0; BLOCK_HEAD]);
        let bytes = std::mem::replace(&mut self.records, next);
        self.emit(bytes, raw, Codec::Plain as u8, sink);
    }

    /// Fills in the head of a block and hands it out.
    fn emit(&mut self, mut bytes: Vec<u8>, raw: usize, codec: u8, sink: &mut impl FnMut(Vec<u8>)) {
        let payload = (bytes.len() - BLOCK_HEAD) as u64;
        bytes[..8].copy_from_slice(&payload.to_le_bytes());
        bytes[8..16].copy_from_slice(&(raw as u64).to_le_bytes());
        bytes[16] = codec;
        self.crc = crc32c_append(self.crc, &bytes[..BLOCK_CRC_AT]);
        self.crc = crc32c_append(self.crc, &bytes[BLOCK_HEAD..]);
        bytes[BLOCK_CRC_AT..BLOCK_HEAD].copy_from_slice(&self.crc.to_le_bytes());
        self.bytes += bytes.len() as u64;
        sink(bytes);
    }
}

/// A part that has begun.
struct Part {
    /// Where its count is to be set.
    count_at: usize,
    count: u32,
}

/// A key that is being written. Its elements may come in any order but those of a list and a stream; `end` is to be called.
#[must_use = "a key without its end makes the file unreadable"]
pub struct Open<'w, S> {
    writer: &'w mut Writer,
    sink: &'w mut S,
    kind: Kind,
    part: Option<Part>,
}

impl<S: FnMut(Vec<u8>)> Open<'_, S> {
    /// Adds the next bytes of a string.
    pub fn string(&mut self, text: &[u8]) {
        debug_assert_eq!(self.kind, Kind::Str);
        for piece in text.chunks(BLOCK_BYTES) {
            record::put_part(&mut self.writer.records);
            value::string(&mut self.writer.records, piece);
            self.writer.close_if_full(self.sink);
        }
    }

    #[inline]
    pub fn list_item(&mut self, item: &[u8]) {
        self.element(Kind::List, |out| value::list_item(out, item));
    }

    #[inline]
    pub fn set_member(&mut self, member: &[u8]) {
        self.element(Kind::Set, |out| value::set_member(out, member));
    }

    #[inline]
    pub fn hash_field(&mut self, field: &[u8], text: &[u8], expire_at: Option<UnixMs>) {
        self.element(Kind::Hash, |out| value::hash_field(out, field, text, expire_at));
    }

    #[inline]
    pub fn zset_member(&mut self, member: &[u8], score: f64) {
        self.element(Kind::ZSet, |out| value::zset_member(out, member, score));
    }

    /// The lines of a stream come in this order: entries, state, and each group with its consumers, each consumer with
    /// what is pending with it.
    pub fn stream_entry(&mut self, entry: &Entry<'_>) {
        self.element(Kind::Stream, |out| value::stream_entry(out, entry));
    }

    pub fn stream_state(&mut self, last_id: StreamId, max_deleted_id: StreamId, entries_added: u64) {
        self.element(Kind::Stream, |out| value::stream_state(out, last_id, max_deleted_id, entries_added));
    }

    pub fn stream_group(&mut self, name: &[u8], group: &Group) {
        self.element(Kind::Stream, |out| value::stream_group(out, name, group));
    }

    pub fn stream_consumer(&mut self, consumer: &Consumer) {
        self.element(Kind::Stream, |out| value::stream_consumer(out, consumer));
    }

    pub fn stream_pending(&mut self, id: StreamId, delivered_at: UnixMs, deliveries: u64) {
        self.element(Kind::Stream, |out| value::stream_pending(out, id, delivered_at, deliveries));
    }

    /// The key is complete.
    pub fn end(mut self) {
        self.end_part();
        record::put_end(&mut self.writer.records);
        self.writer.keys += 1;
        self.writer.close_if_full(self.sink);
    }

    #[inline]
    fn element(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
        debug_assert_eq!(self.kind, kind);
        let out = &mut self.writer.records;
        let part = self.part.get_or_insert_with(|| {
            record::put_part(out);
            Part { count_at: value::begin_counted(out, kind), count: 0 }
        });
        write(out);
        part.count += 1;
        if self.writer.is_full() {
            self.end_part();
            self.writer.close(self.sink);
        }
    }

    fn end_part(&mut self) {
        if let Some(part) = self.part.take() {
            value::set_count(&mut self.writer.records, part.count_at, part.count);
        }
    }
}

/// Reads a file from its beginning to its end. It reads block by block, and holds one.
pub struct Reader<R> {
    source: R,
    header: Header,
    /// Where in the file `source` is.
    offset: u64,
    /// Where in the file the block began whose records are read.
    block_offset: u64,
    /// The payload as it lies in the file, when it is compressed.
    packed: Vec<u8>,
    records: Vec<u8>,
    /// How much of `records` was read.
    at: usize,
    crc: u32,
    keys: u64,
    blocks: u64,
    over: bool,
    /// The key of a value that came in parts.
    key: Vec<u8>,
    libraries: Vec<Library>,
}

/// A value that came in parts, and what belongs to it besides its key.
struct Assembled {
    db: usize,
    expire_at: Option<UnixMs>,
    value: Loaded<'static>,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(mut source: R) -> Result<Reader<R>, ReadError> {
        let mut bytes = Vec::new();
        if read_up_to(&mut source, HEADER as u64, &mut bytes)? < HEADER as u64 {
            return Err(Damage::new(bytes.len() as u64, "the file ends within its header").into());
        }
        check_start(&bytes, MAGIC, "snapshot")?;
        let crc = crc32c::crc32c(&bytes[..HEADER - 4]);
        if crc != u32_at(&bytes, HEADER - 4) {
            return Err(Damage::new(0, "the checksum of the header does not agree with it").into());
        }
        Ok(Reader {
            source,
            header: Header::from_bytes(&bytes),
            offset: HEADER as u64,
            block_offset: 0,
            packed: Vec::new(),
            records: Vec::new(),
            at: 0,
            crc,
            keys: 0,
            blocks: 0,
            over: false,
            key: Vec::new(),
            libraries: Vec::new(),
        })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many keys have been read.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// How many bytes of the file have been read.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// The next key; none when all have been read and the file is whole.
    ///
    /// Errors: what was read until then is right, but is not all. There is nothing more to be read.
    pub fn next_key(&mut self, limits: &Limits) -> Result<Option<Put<'_>>, ReadError> {
        loop {
            while self.at == self.records.len() {
                if self.over || !self.next_block()? {
                    self.over = true;
                    return Ok(None);
                }
            }
            if !record::is_library(&self.records[self.at..]) {
                break;
            }
            self.library(limits)?;
        }
        self.keys += 1;
        if !record::is_put(&self.records[self.at..]) {
            let Assembled { db, expire_at, value } = self.assemble(limits)?;
            return Ok(Some(Put { db, key: &self.key, expire_at, value }));
        }
        let mut input = msgpack::Reader::new(&self.records[self.at..], self.at as u64);
        match record::read_put(&mut input, limits) {
            Ok(put) => {
                self.at += input.at();
                Ok(Some(put))
            }
            Err(damage) => Err(in_block(self.block_offset, damage).into()),
        }
    }

    /// The libraries among what has been read since the last call.
    pub fn take_libraries(&mut self) -> Vec<Library> {
        std::mem::take(&mut self.libraries)
    }

    /// Reads the library that begins here.
    fn library(&mut self, limits: &Limits) -> Result<(), ReadError> {
        let mut input = msgpack::Reader::new(&self.records[self.at..], self.at as u64);
        match record::read(&mut input, limits).map_err(|damage| in_block(self.block_offset, damage))? {
            Line::Record(Record::Library(library)) => self.libraries.push(*library),
            _ => unreachable!("a library begins here"),
        }
        self.at += input.at();
        Ok(())
    }

    /// Puts a value together whose parts begin here.
    fn assemble(&mut self, limits: &Limits) -> Result<Assembled, ReadError> {
        enum Step {
            Goes((usize, Option<UnixMs>, Assembly)),
            Ends(Assembled),
        }
        let mut begun: Option<(usize, Option<UnixMs>, Assembly)> = None;
        loop {
            while self.at == self.records.len() {
                if !self.next_block()? {
                    return Err(Damage::new(self.offset, "the file ends within a value").into());
                }
            }
            let mut input = msgpack::Reader::new(&self.records[self.at..], self.at as u64);
            let line = record::read(&mut input, limits).map_err(|damage| in_block(self.block_offset, damage))?;
            let step = match (line, begun.take()) {
                (Line::Begin { db, key, kind, expire_at }, None) => {
                    self.key.clear();
                    self.key.extend_from_slice(key);
                    Ok(Step::Goes((db, expire_at, Assembly::new(kind, limits))))
                }
                (Line::Part, Some((db, expire_at, mut assembly))) => {
                    assembly.add(&mut input, limits).map(|()| Step::Goes((db, expire_at, assembly)))
                }
                (Line::End, Some((db, expire_at, assembly))) => {
                    let value = assembly.finish(&input, limits);
                    value.map(|value| Step::Ends(Assembled { db, expire_at, value }))
                }
                _ => Err(input.damage_at(0, NO_KEY)),
            };
            self.at += input.at();
            match step.map_err(|damage| in_block(self.block_offset, damage))? {
                Step::Goes(on) => begun = Some(on),
                Step::Ends(assembled) => return Ok(assembled),
            }
        }
    }

    /// Reads the next block; false when it is the footer.
    fn next_block(&mut self) -> Result<bool, ReadError> {
        self.block_offset = self.offset;
        self.at = 0;
        self.records.clear();
        self.records.shrink_to(16 * BLOCK_BYTES);
        let mut head = Vec::new();
        self.fill(BLOCK_HEAD as u64, &mut head)?;
        let (len, raw, codec) = (u64_at(&head, 0), u64_at(&head, 8), head[16]);
        let mut payload = std::mem::take(if codec == Codec::Lz4 as u8 { &mut self.packed } else { &mut self.records });
        payload.clear();
        self.fill(len, &mut payload)?;
        self.crc = crc32c_append(self.crc, &head[..BLOCK_CRC_AT]);
        self.crc = crc32c_append(self.crc, &payload);
        if self.crc != u32_at(&head, BLOCK_CRC_AT) {
            return Err(self.damage("the checksum of the block does not agree with it").into());
        }
        match codec {
            END => return self.footer(&payload).map(|()| false),
            codec if codec == Codec::Plain as u8 && raw == len => self.records = payload,
            codec if codec == Codec::Lz4 as u8 => {
                self.packed = payload;
                self.unpack(raw)?;
            }
            _ => {
                return Err(self.damage(format!("a block with codec {codec} of {len} bytes that become {raw}")).into());
            }
        }
        self.blocks += 1;
        Ok(true)
    }

    fn unpack(&mut self, raw: u64) -> Result<(), Damage> {
        let raw = usize::try_from(raw).unwrap_or(usize::MAX);
        if raw > LZ4_RAW_MAX || raw > self.packed.len().saturating_mul(LZ4_RATIO_MAX) {
            return Err(self.damage(format!("{} compressed bytes do not become {raw}", self.packed.len())));
        }
        self.records.resize(raw, 0);
        match block::decompress_into(&self.packed, &mut self.records) {
            Ok(unpacked) if unpacked == raw => Ok(()),
            Ok(unpacked) => Err(self.damage(format!("a block became {unpacked} bytes and not {raw}"))),
            Err(error) => Err(self.damage(format!("a block that cannot be unpacked: {error}"))),
        }
    }

    fn footer(&mut self, payload: &[u8]) -> Result<(), ReadError> {
        if payload.len() != FOOTER {
            return Err(self.damage(format!("a footer of {} bytes", payload.len())).into());
        }
        let (keys, blocks) = (u64_at(payload, 0), u64_at(payload, 8));
        if (keys, blocks) != (self.keys, self.blocks) {
            let found = format!("{} keys in {} blocks", self.keys, self.blocks);
            return Err(self
                .damage(format!("the footer counts {keys} keys in {blocks} blocks, and there are {found}"))
                .into());
        }
        if read_up_to(&mut self.source, 1, &mut Vec::new())? > 0 {
            return Err(Damage::new(self.offset, "bytes behind the footer").into());
        }
        Ok(())
    }

    fn fill(&mut self, len: u64, into: &mut Vec<u8>) -> Result<(), ReadError> {
        let read = read_up_to(&mut self.source, len, into)?;
        self.offset += read;
        if read < len {
            return Err(
                Damage::new(self.offset, format!("the file ends where {} bytes more belong", len - read)).into()
            );
        }
        Ok(())
    }

    #[cold]
    fn damage(&self, what: impl Into<String>) -> Damage {
        Damage::new(self.block_offset, what)
    }
}

const NO_KEY: &str = "a record that does not belong here";

/// Damage within the records of a block, whose offsets are not the file's.
#[cold]
fn in_block(block_offset: u64, damage: Damage) -> Damage {
    Damage::new(block_offset, format!("{}, byte {} of the records of the block", damage.what, damage.offset))
}

#[cfg(test)]
mod tests;
