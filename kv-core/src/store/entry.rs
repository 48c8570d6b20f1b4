//! One key with its value, in one block of memory: header, expiry, key and, as long as it is small, the value itself.
//!
//! ```text
//! 0     1      2 .. 5   5            6 .. 8         8
//! kind  flags  access   key length   value length   [expire_at: 8] [lengths: 4 + 4]  key ..  value ..
//!              24 bits  u8           u16            if EXPIRES     if LONG
//! ```
//!
//! An integer is stored as 8 bytes; a string and a packed collection up to `EMBED_MAX` as its bytes, the kind telling the
//! collection's form; everything else as a pointer to an `Object`. Nothing but the header is aligned. The block's size is a function of the header (`heap::block_size` of what
//! is in it): so it need not be stored, and a value may be changed in place whenever the size of the block stays the same.
//!
//! Blocks belong to a `Heap`, and an entry does not know which: it is given back to it with `free`, never dropped. One
//! that is dropped nevertheless is only leaked, and one given to another heap is noticed, so no mistake with entries ends
//! in a dangling pointer. Values that leave their database do so without their entry, as `Owned`.
//!
//! The entry knows neither the table it is in nor the time; flags it only keeps: `deferred` belongs to expiry, the stamp
//! to snapshots, the access bits to whoever reads them (seconds of the last access for now).

#![allow(unsafe_code)]

use super::UnixMs;
use crate::structs::freezable::Freezable;
use crate::structs::heap::{self, BLOCK_MAX, Heap, block_size, system_size};
use crate::structs::table::Item;
use crate::types::hash::Filed;
use crate::types::{Hash, Limits, List, Set, Stream, ZSet};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// The longest string kept within the entry, bytes. Longer ones pay a pointer, an object and a second cache miss, which
/// is little beside their own size; and can grow in place.
pub const EMBED_MAX: usize = 1024;

const HEADER: usize = 8;
const AT_KIND: usize = 0;
const AT_FLAGS: usize = 1;
const AT_ACCESS: usize = 2;
const AT_KEY_LEN: usize = 5;
const AT_REST: usize = 8;

const EXPIRES: u8 = 1;
/// Lengths that do not fit the header's fields follow it.
const LONG: u8 = 2;
/// No token in the wheel at exactly `expire_at`, but at least one before it.
const DEFERRED: u8 = 4;
/// A string that was made by changing another one: Redis calls its encoding `raw`, whatever its length.
const RAW: u8 = 8;
/// Two bits: the stamp.
const STAMP_SHIFT: u32 = 4;
const STAMP: u8 = 3 << STAMP_SHIFT;

pub const ACCESS_BITS: u32 = 24;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Int,
    Bytes,
    Object,
    Packed(Form),
}

impl Kind {
    #[inline]
    const fn code(self) -> u8 {
        match self {
            Kind::Int => 0,
            Kind::Bytes => 1,
            Kind::Object => 2,
            Kind::Packed(form) => 3 + form as u8,
        }
    }
}

/// Which collection the bytes of a packed value are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Form {
    Hash,
    List,
    Set,
    /// A set of integers alone.
    SetInts,
    ZSet,
}

impl Form {
    const ALL: [Form; 5] = [Form::Hash, Form::List, Form::Set, Form::SetInts, Form::ZSet];

    /// The type, in the words of TYPE.
    pub fn type_name(self) -> &'static str {
        match self {
            Form::Hash => "hash",
            Form::List => "list",
            Form::Set | Form::SetInts => "set",
            Form::ZSet => "zset",
        }
    }

    /// The form, in the words of OBJECT ENCODING.
    pub fn encoding(self) -> &'static str {
        match self {
            Form::Hash | Form::List | Form::Set | Form::ZSet => "listpack",
            Form::SetInts => "intset",
        }
    }
}

/// A value that does not fit into the entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A long string, or one that grows.
    Str(Freezable<Vec<u8>>),
    Hash(Hash),
    List(List),
    Set(Set),
    ZSet(ZSet),
    Stream(Box<Stream>),
}

impl Object {
    /// The type, in the words of TYPE.
    pub fn type_name(&self) -> &'static str {
        match self {
            Object::Str(_) => "string",
            Object::Stream(_) => "stream",
            Object::Hash(_) => "hash",
            Object::List(_) => "list",
            Object::Set(_) => "set",
            Object::ZSet(_) => "zset",
        }
    }

    /// The form, in the words of OBJECT ENCODING.
    pub fn encoding(&self, _limits: &Limits) -> &'static str {
        match self {
            Object::Str(_) => "raw",
            Object::Stream(_) => "stream",
            Object::Hash(hash) => hash.as_ref().encoding(),
            Object::List(list) => list.as_ref().encoding(),
            Object::Set(set) => set.as_ref().encoding(),
            Object::ZSet(zset) => zset.as_ref().encoding(),
        }
    }

    /// What is filed with a timer for parts that expire by themselves.
    #[inline]
    pub(super) fn filed(&self) -> Option<Filed> {
        match self {
            Object::Hash(hash) => hash.as_ref().filed(),
            _ => None,
        }
    }

    /// Bytes of memory held, the object's own block included.
    pub fn bytes(&self) -> usize {
        system_size(size_of::<Object>())
            + match self {
                Object::Str(text) => system_size(text.capacity()),
                Object::Stream(stream) => system_size(size_of::<Stream>()) + stream.bytes(),
                Object::Hash(hash) => hash.bytes(),
                Object::List(list) => list.bytes(),
                Object::Set(set) => set.bytes(),
                Object::ZSet(zset) => zset.bytes(),
            }
    }
}

/// The value of an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Packed(Form, &'a [u8]),
    Object(&'a Object),
}

impl Value<'_> {
    /// The type, in the words of TYPE.
    pub fn type_name(self) -> &'static str {
        match self {
            Value::Int(_) | Value::Bytes(_) => "string",
            Value::Packed(form, _) => form.type_name(),
            Value::Object(object) => object.type_name(),
        }
    }
}

/// A value for a new entry, already in the form in which it is stored.
#[derive(Debug)]
pub(super) enum NewValue<'a> {
    Int(i64),
    /// At most `EMBED_MAX` bytes.
    Bytes(&'a [u8]),
    /// At most `EMBED_MAX` bytes.
    Packed(Form, &'a [u8]),
    Object(Box<Object>),
}

impl NewValue<'_> {
    fn kind(&self) -> Kind {
        match self {
            NewValue::Int(_) => Kind::Int,
            NewValue::Bytes(_) => Kind::Bytes,
            NewValue::Packed(form, _) => Kind::Packed(*form),
            NewValue::Object(_) => Kind::Object,
        }
    }

    fn len(&self) -> usize {
        match self {
            NewValue::Bytes(bytes) | NewValue::Packed(_, bytes) => bytes.len(),
            NewValue::Int(_) | NewValue::Object(_) => 8,
        }
    }
}

/// A value without a key.
#[derive(Debug, PartialEq)]
pub(super) enum Owned {
    Int(i64),
    /// At most `EMBED_MAX` bytes.
    Bytes(Box<[u8]>),
    Packed(Form, Box<[u8]>),
    Object(Box<Object>),
}

impl Owned {
    pub fn view(&self) -> Value<'_> {
        match self {
            Owned::Int(n) => Value::Int(*n),
            Owned::Bytes(bytes) => Value::Bytes(bytes),
            Owned::Packed(form, bytes) => Value::Packed(*form, bytes),
            Owned::Object(object) => Value::Object(object),
        }
    }
}

/// Where things are in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    key: usize,
    key_len: usize,
    value_len: usize,
    flags: u8,
}

impl Shape {
    /// `flags` besides EXPIRES and LONG are taken as they are.
    fn new(key_len: usize, value_len: usize, expires: bool, flags: u8) -> Shape {
        let long = key_len > usize::from(u8::MAX) || value_len > usize::from(u16::MAX);
        let flags = flags & !(EXPIRES | LONG) | if expires { EXPIRES } else { 0 } | if long { LONG } else { 0 };
        Shape { key: key_at(flags), key_len, value_len, flags }
    }

    fn value(&self) -> usize {
        self.key + self.key_len
    }

    fn size(&self) -> usize {
        block_size(self.value() + self.value_len)
    }
}

fn key_at(flags: u8) -> usize {
    HEADER + if flags & EXPIRES != 0 { 8 } else { 0 } + if flags & LONG != 0 { 8 } else { 0 }
}

/// One key with its value; owns the block until it is given back with `free`.
#[must_use]
pub struct Entry {
    block: NonNull<u8>,
}

/// A view of an entry.
#[derive(Clone, Copy)]
pub struct EntryRef<'a> {
    block: NonNull<u8>,
    life: PhantomData<&'a Entry>,
}

/// A view of an entry that may change it in place.
pub struct EntryMut<'a> {
    block: NonNull<u8>,
    life: PhantomData<&'a mut Entry>,
}

// SAFETY: an entry owns its block and, through it, its object; the heap of the block leaves it alone until it is freed,
// which needs the heap.
unsafe impl Send for Entry {}

// SAFETY: blocks are aligned to 8 and come from an allocator, whose addresses have 48 bits (the table asserts it).
// The views are one pointer each, as valid as the entry.
unsafe impl Item for Entry {
    type Ref<'a> = EntryRef<'a>;
    type Mut<'a> = EntryMut<'a>;

    fn into_raw(self) -> NonNull<u8> {
        self.block
    }

    unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        Entry { block: raw }
    }

    unsafe fn borrow<'a>(raw: NonNull<u8>) -> EntryRef<'a> {
        EntryRef { block: raw, life: PhantomData }
    }

    unsafe fn borrow_mut<'a>(raw: NonNull<u8>) -> EntryMut<'a> {
        EntryMut { block: raw, life: PhantomData }
    }
}

impl Entry {
    pub(super) fn new(
        heap: &mut Heap,
        key: &[u8],
        value: NewValue<'_>,
        expire_at: Option<UnixMs>,
        traits: Traits,
    ) -> Entry {
        assert!(u32::try_from(key.len()).is_ok(), "a key is shorter than 4 GiB");
        let shape = Shape::new(key.len(), value.len(), expire_at.is_some(), traits.flags());
        let block = heap.alloc(shape.size());
        // SAFETY: the block is as large as the shape says, and nobody else knows it yet.
        unsafe {
            write_header(block, &shape, value.kind(), traits.access);
            write_expiry(block, expire_at);
            ptr::copy_nonoverlapping(key.as_ptr(), block.as_ptr().add(shape.key), key.len());
            write_value(block, &shape, value);
        }
        Entry { block }
    }

    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef { block: self.block, life: PhantomData }
    }

    pub(super) fn as_mut(&mut self) -> EntryMut<'_> {
        EntryMut { block: self.block, life: PhantomData }
    }
}

impl Entry {
    /// Frees the entry and its value.
    ///
    /// Panics: when the entry was made in another heap.
    #[inline]
    pub(super) fn free(mut self, heap: &mut Heap) {
        if self.as_ref().kind() == Kind::Object {
            drop(self.as_mut().take_object());
        }
        let size = self.as_ref().alloc_bytes();
        // SAFETY: the block was allocated with the size that its header tells, and this is the end of the entry.
        unsafe { heap.free(self.block, size) }
    }

    /// Frees the entry and returns its value.
    ///
    /// Panics: as `free`.
    pub(super) fn into_value(mut self, heap: &mut Heap) -> Owned {
        let value = match self.as_ref().value() {
            Value::Int(n) => Owned::Int(n),
            Value::Bytes(bytes) => Owned::Bytes(bytes.into()),
            Value::Packed(form, bytes) => Owned::Packed(form, bytes.into()),
            Value::Object(_) => Owned::Object(self.as_mut().take_object()),
        };
        self.free(heap);
        value
    }

    /// Makes the entry independent of its heap, if its block is.
    pub(super) fn into_lone(self) -> Result<LoneEntry, Entry> {
        if self.as_ref().alloc_bytes() > BLOCK_MAX { Ok(LoneEntry(self)) } else { Err(self) }
    }
}

/// An entry that is larger than the blocks of a heap, which can be dropped anywhere.
pub struct LoneEntry(Entry);

impl Drop for LoneEntry {
    fn drop(&mut self) {
        if self.0.as_ref().kind() == Kind::Object {
            drop(self.0.as_mut().take_object());
        }
        let size = self.0.as_ref().alloc_bytes();
        // SAFETY: the block was allocated with the size that its header tells, and this is the end of the entry.
        unsafe { heap::free_without_heap(self.0.block, size) }
    }
}

/// The snapshot that has an entry already, as a number of two bits: entries with another stamp than the database's are still to be
/// saved, if a snapshot is under way.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u8);

impl Stamp {
    pub const ALL: [Stamp; 4] = [Stamp(0), Stamp(1), Stamp(2), Stamp(3)];

    /// A set of stamps with this one alone.
    pub fn bit(self) -> u8 {
        1 << self.0
    }

    fn flags(self) -> u8 {
        self.0 << STAMP_SHIFT
    }
}

/// What an entry keeps besides key, value and expiry.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    pub deferred: bool,
    pub raw: bool,
    pub access: u32,
    pub stamp: Stamp,
}

impl Traits {
    fn flags(self) -> u8 {
        (if self.deferred { DEFERRED } else { 0 }) | (if self.raw { RAW } else { 0 }) | self.stamp.flags()
    }
}

impl<'a> EntryRef<'a> {
    fn read<const N: usize>(self, at: usize) -> [u8; N] {
        // SAFETY: private; called for fields that the header says are there.
        unsafe { self.block.as_ptr().add(at).cast::<[u8; N]>().read() }
    }

    fn slice(self, at: usize, len: usize) -> &'a [u8] {
        // SAFETY: private; called for ranges within the block that are written, and the entry is borrowed for 'a.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().add(at), len) }
    }

    #[inline]
    fn flags(self) -> u8 {
        self.read::<1>(AT_FLAGS)[0]
    }

    #[inline]
    fn kind(self) -> Kind {
        match self.read::<1>(AT_KIND)[0] {
            0 => Kind::Int,
            1 => Kind::Bytes,
            2 => Kind::Object,
            form => Kind::Packed(Form::ALL[usize::from(form - 3)]),
        }
    }

    #[inline]
    fn shape(self) -> Shape {
        let flags = self.flags();
        let key = key_at(flags);
        let (key_len, value_len) = if flags & LONG == 0 {
            let lengths = self.read::<3>(AT_KEY_LEN);
            (usize::from(lengths[0]), usize::from(u16::from_le_bytes([lengths[1], lengths[2]])))
        } else {
            let at = key - 8;
            (u32::from_le_bytes(self.read(at)) as usize, u32::from_le_bytes(self.read(at + 4)) as usize)
        };
        Shape { key, key_len, value_len, flags }
    }

    #[inline]
    pub fn key(self) -> &'a [u8] {
        let shape = self.shape();
        self.slice(shape.key, shape.key_len)
    }

    #[inline]
    pub fn value(self) -> Value<'a> {
        let shape = self.shape();
        match self.kind() {
            Kind::Int => Value::Int(i64::from_le_bytes(self.read(shape.value()))),
            Kind::Bytes => Value::Bytes(self.slice(shape.value(), shape.value_len)),
            Kind::Packed(form) => Value::Packed(form, self.slice(shape.value(), shape.value_len)),
            // SAFETY: the pointer is that of a Box owned by the entry, which is borrowed for 'a.
            Kind::Object => Value::Object(unsafe { &*self.object_at(shape.value()) }),
        }
    }

    /// The value, if it is not an object.
    fn embedded(self) -> NewValue<'a> {
        match self.value() {
            Value::Int(n) => NewValue::Int(n),
            Value::Bytes(bytes) => NewValue::Bytes(bytes),
            Value::Packed(form, bytes) => NewValue::Packed(form, bytes),
            Value::Object(_) => unreachable!("objects are moved or cloned by the caller"),
        }
    }

    fn object_at(self, at: usize) -> *mut Object {
        // SAFETY: private; called for entries of kind Object, whose value is the pointer of a Box, not aligned.
        unsafe { self.block.as_ptr().add(at).cast::<*mut Object>().read_unaligned() }
    }

    #[inline]
    pub fn expire_at(self) -> Option<UnixMs> {
        (self.flags() & EXPIRES != 0).then(|| UnixMs::from_le_bytes(self.read(AT_REST)))
    }

    /// Whether the entry has expired: it is invisible from the millisecond of `expire_at` on, and a hash from that of its
    /// last field on. So what a command finds hangs on the moment alone, never on what was removed already: replaying a
    /// log needs that.
    #[inline]
    pub fn is_due(self, now: UnixMs) -> bool {
        self.expire_at().is_some_and(|at| at <= now) || (self.is_object() && self.parts_are_due(now))
    }

    #[inline]
    fn is_object(self) -> bool {
        matches!(self.kind(), Kind::Object)
    }

    #[inline(never)]
    fn parts_are_due(self, now: UnixMs) -> bool {
        match self.value() {
            Value::Object(Object::Hash(hash)) => hash.as_ref().is_gone(now),
            _ => false,
        }
    }

    /// What is filed with a timer for parts of the value that expire by themselves.
    #[inline]
    pub(super) fn filed(self) -> Option<Filed> {
        match self.value() {
            Value::Object(object) => object.filed(),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn deferred(self) -> bool {
        self.flags() & DEFERRED != 0
    }

    /// A string made by changing another one (APPEND, SETRANGE ...): `raw` to OBJECT ENCODING, whatever its length.
    pub fn is_raw(self) -> bool {
        self.flags() & RAW != 0
    }

    #[inline]
    pub(super) fn stamp(self) -> Stamp {
        Stamp((self.flags() & STAMP) >> STAMP_SHIFT)
    }

    /// The 24 bits of access data: the low bits of the second of the last access.
    #[inline]
    pub fn access(self) -> u32 {
        let [a, b, c] = self.read(AT_ACCESS);
        u32::from_le_bytes([a, b, c, 0])
    }

    /// A copy of the value.
    pub(super) fn to_value(self) -> Owned {
        match self.value() {
            Value::Int(n) => Owned::Int(n),
            Value::Bytes(bytes) => Owned::Bytes(bytes.into()),
            Value::Packed(form, bytes) => Owned::Packed(form, bytes.into()),
            Value::Object(object) => Owned::Object(Box::new(object.clone())),
        }
    }

    pub(super) fn traits(self) -> Traits {
        Traits { deferred: self.deferred(), raw: self.is_raw(), access: self.access(), stamp: self.stamp() }
    }

    /// Bytes of memory that the block takes.
    #[inline]
    pub fn alloc_bytes(self) -> usize {
        self.shape().size()
    }

    /// Bytes of memory of the block and of the object.
    #[inline]
    pub fn bytes(self) -> usize {
        self.alloc_bytes()
            + match self.kind() {
                Kind::Int | Kind::Bytes | Kind::Packed(_) => 0,
                // SAFETY: as in `value`.
                Kind::Object => unsafe { &*self.object_at(self.shape().value()) }.bytes(),
            }
    }
}

impl<'a> EntryMut<'a> {
    #[inline]
    pub fn view(&self) -> EntryRef<'_> {
        EntryRef { block: self.block, life: PhantomData }
    }

    pub fn into_view(self) -> EntryRef<'a> {
        EntryRef { block: self.block, life: PhantomData }
    }

    #[inline]
    pub fn set_access(&mut self, access: u32) {
        let [a, b, c, _] = access.to_le_bytes();
        // SAFETY: the header is there, and the view is exclusive.
        unsafe { self.block.as_ptr().add(AT_ACCESS).cast::<[u8; 3]>().write([a, b, c]) }
    }

    fn set_flag(&mut self, flag: u8, on: bool) {
        let flags = self.view().flags();
        let flags = if on { flags | flag } else { flags & !flag };
        // SAFETY: the header is there, and the view is exclusive.
        unsafe { self.block.as_ptr().add(AT_FLAGS).write(flags) }
    }

    pub(super) fn set_deferred(&mut self, on: bool) {
        self.set_flag(DEFERRED, on);
    }

    pub(super) fn set_stamp(&mut self, stamp: Stamp) {
        self.set_flag(STAMP, false);
        self.set_flag(stamp.flags(), true);
    }

    /// The object, to be changed in place. Its memory may change: whoever keeps accounts compares `bytes` before and after.
    pub fn object(&mut self) -> Option<&mut Object> {
        let view = self.view();
        // SAFETY: the pointer is that of the entry's own Box, and the view is exclusive.
        (view.kind() == Kind::Object).then(|| unsafe { &mut *view.object_at(view.shape().value()) })
    }

    /// Takes the object out and leaves the integer 0.
    pub(super) fn take_object(&mut self) -> Box<Object> {
        let view = self.view();
        assert!(view.kind() == Kind::Object, "an object to take");
        let at = view.shape().value();
        // SAFETY: the pointer came from `Box::into_raw`, and is overwritten together with the kind, so that it is taken
        // once. Both kinds have a value of 8 bytes.
        unsafe {
            let object = Box::from_raw(view.object_at(at));
            self.block.as_ptr().add(at).cast::<[u8; 8]>().write([0; 8]);
            self.block.as_ptr().add(AT_KIND).write(Kind::Int.code());
            object
        }
    }

    /// Makes another entry with the same key, value and traits; an object moves there and leaves the integer 0 here.
    pub(super) fn moved_to(&mut self, heap: &mut Heap, expire_at: Option<UnixMs>) -> Entry {
        let traits = self.view().traits();
        let object = (self.view().kind() == Kind::Object).then(|| NewValue::Object(self.take_object()));
        let view = self.view();
        Entry::new(heap, view.key(), object.unwrap_or_else(|| view.embedded()), expire_at, traits)
    }

    /// Writes another value and expiry into the block if that leaves its size as it is.
    ///
    /// Errors: the value comes back when it needs another block; nothing is changed then.
    /// Reply: the object that was replaced.
    pub(super) fn rewrite<'v>(
        &mut self,
        value: NewValue<'v>,
        expire_at: Option<UnixMs>,
        traits: Traits,
    ) -> Result<Option<Box<Object>>, NewValue<'v>> {
        let old = self.view().shape();
        let new = Shape::new(old.key_len, value.len(), expire_at.is_some(), traits.flags());
        if new.size() != old.size() {
            return Err(value);
        }
        let replaced = (self.view().kind() == Kind::Object).then(|| self.take_object());
        let block = self.block;
        // SAFETY: the block is as large as the new shape says; the key is moved before anything is written over it;
        // the value lies elsewhere, since the view is exclusive.
        unsafe {
            if new.key != old.key {
                ptr::copy(block.as_ptr().add(old.key), block.as_ptr().add(new.key), old.key_len);
            }
            write_header(block, &new, value.kind(), traits.access);
            write_expiry(block, expire_at);
            write_value(block, &new, value);
        }
        Ok(replaced)
    }

    /// Writes another expiry if the size of the block stays as it is; says whether it did. `deferred` is kept.
    pub(super) fn try_set_expiry(&mut self, expire_at: Option<UnixMs>) -> bool {
        let old = self.view().shape();
        let new = Shape::new(old.key_len, old.value_len, expire_at.is_some(), old.flags);
        if new.size() != old.size() {
            return false;
        }
        let (block, kind, access) = (self.block, self.view().kind(), self.view().access());
        // SAFETY: as in `rewrite`; key and value move together.
        unsafe {
            if new.key != old.key {
                let (from, to) = (block.as_ptr().add(old.key), block.as_ptr().add(new.key));
                ptr::copy(from, to, old.key_len + old.value_len);
            }
            write_header(block, &new, kind, access);
            write_expiry(block, expire_at);
        }
        true
    }
}

/// # Safety
/// The block is as large as `shape` says, and the caller has it alone.
unsafe fn write_header(block: NonNull<u8>, shape: &Shape, kind: Kind, access: u32) {
    let [a, b, c, _] = access.to_le_bytes();
    let long = shape.flags & LONG != 0;
    let (key_len, value_len) = if long { (0, 0) } else { (shape.key_len as u8, shape.value_len as u16) };
    let [low, high] = value_len.to_le_bytes();
    // SAFETY: as promised; the long lengths end where the key begins.
    unsafe {
        block.as_ptr().cast::<[u8; 8]>().write([kind.code(), shape.flags, a, b, c, key_len, low, high]);
        if long {
            let [key_len, value_len] = [shape.key_len as u32, shape.value_len as u32].map(u32::to_le_bytes);
            block.as_ptr().add(shape.key - 8).cast::<[[u8; 4]; 2]>().write([key_len, value_len]);
        }
    }
}

/// # Safety
/// The block has room for the expiry if there is one, and the caller has it alone.
unsafe fn write_expiry(block: NonNull<u8>, expire_at: Option<UnixMs>) {
    if let Some(at) = expire_at {
        // SAFETY: as promised.
        unsafe { block.as_ptr().add(AT_REST).cast::<[u8; 8]>().write(at.to_le_bytes()) }
    }
}

/// # Safety
/// The block is as large as `shape` says, the shape was made for this value, and the caller has the block alone.
unsafe fn write_value(block: NonNull<u8>, shape: &Shape, value: NewValue<'_>) {
    // SAFETY: as promised; the value's bytes lie outside the block.
    unsafe {
        let to = block.as_ptr().add(shape.value());
        match value {
            NewValue::Int(n) => to.cast::<[u8; 8]>().write(n.to_le_bytes()),
            NewValue::Bytes(bytes) | NewValue::Packed(_, bytes) => {
                ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len())
            }
            NewValue::Object(object) => to.cast::<*mut Object>().write_unaligned(Box::into_raw(object)),
        }
    }
}

#[cfg(test)]
mod tests;
