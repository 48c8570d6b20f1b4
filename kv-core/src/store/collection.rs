//! What the store needs to know of a collection type: which forms it has, and how one becomes the other.
//!
//! ```text
//! packed, up to EMBED_MAX bytes    in the entry's block (`Form`): read in place; to be changed, its bytes are copied into a
//!                                  scratch buffer, changed there as a value of the type, and written back
//! everything else                  an `Object`, changed in place
//! ```
//!
//! A type added here gets a variant of `Object`, a `Form` for each packed form, and an implementation of `Collection`.

use super::entry::Form;
use super::{Object, Value};
use crate::persist::value::State;
use crate::structs::ints::{Ints, IntsRef};
use crate::structs::packed::{Packed, PackedRef};
use crate::types::{Hash, HashRef, List, ListRef, Set, SetRef, Stream, ZSet, ZSetRef};

impl<'a> Value<'a> {
    /// The value as it is written to disk, whatever its form in memory.
    pub fn state(self) -> State<'a> {
        match self {
            Value::Int(int) => State::Int(int),
            Value::Bytes(text) => State::Str(text),
            Value::Packed(Form::Hash, bytes) => State::Hash(HashRef::Packed(PackedRef::from_bytes(bytes))),
            Value::Packed(Form::List, bytes) => State::List(ListRef::Packed(PackedRef::from_bytes(bytes))),
            Value::Packed(Form::Set, bytes) => State::Set(SetRef::Packed(PackedRef::from_bytes(bytes))),
            Value::Packed(Form::SetInts, bytes) => State::Set(SetRef::Ints(IntsRef::from_bytes(bytes))),
            Value::Packed(Form::ZSet, bytes) => State::ZSet(ZSetRef::Packed(PackedRef::from_bytes(bytes))),
            Value::Object(Object::Str(text)) => State::Str(text),
            Value::Object(Object::Hash(hash)) => State::Hash(hash.as_ref()),
            Value::Object(Object::List(list)) => State::List(list.as_ref()),
            Value::Object(Object::Set(set)) => State::Set(set.as_ref()),
            Value::Object(Object::ZSet(zset)) => State::ZSet(zset.as_ref()),
            Value::Object(Object::Stream(stream)) => State::Stream(stream),
        }
    }
}

/// The key holds a value of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// A type of value that is more than a string. `Default` is the empty one.
pub trait Collection: Default {
    /// A view of a stored value, for reading.
    type Ref<'a>: Copy;

    /// Whether an empty one stays in the store (streams); else the key goes with the last element.
    const KEPT_EMPTY: bool = false;

    /// The view of a stored value, if it is of this type.
    fn view(value: Value<'_>) -> Option<Self::Ref<'_>>;

    /// The stored object, if it is of this type.
    fn of(object: &mut Object) -> Option<&mut Self>;

    /// The value that packed bytes are, if the form is one of this type.
    ///
    /// Errors: the buffer comes back.
    fn from_packed(form: Form, bytes: Vec<u8>) -> Result<Self, Vec<u8>>;

    /// The bytes of a packed value.
    ///
    /// Errors: the value comes back when its form is not packed.
    fn into_packed(self) -> Result<(Form, Vec<u8>), Self>;

    fn into_object(self) -> Object;

    fn is_empty(&self) -> bool;
}

impl Collection for Hash {
    type Ref<'a> = HashRef<'a>;

    #[inline]
    fn view(value: Value<'_>) -> Option<HashRef<'_>> {
        match value {
            Value::Packed(Form::Hash, bytes) => Some(HashRef::Packed(PackedRef::from_bytes(bytes))),
            Value::Object(Object::Hash(hash)) => Some(hash.as_ref()),
            _ => None,
        }
    }

    #[inline]
    fn of(object: &mut Object) -> Option<&mut Hash> {
        match object {
            Object::Hash(hash) => Some(hash),
            _ => None,
        }
    }

    #[inline]
    fn from_packed(form: Form, bytes: Vec<u8>) -> Result<Hash, Vec<u8>> {
        match form {
            Form::Hash => Ok(Hash::Packed(Packed::from_bytes(bytes))),
            _ => Err(bytes),
        }
    }

    #[inline]
    fn into_packed(self) -> Result<(Form, Vec<u8>), Hash> {
        match self {
            Hash::Packed(packed) => Ok((Form::Hash, packed.into_bytes())),
            table => Err(table),
        }
    }

    fn into_object(self) -> Object {
        Object::Hash(self)
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Collection for Set {
    type Ref<'a> = SetRef<'a>;

    #[inline]
    fn view(value: Value<'_>) -> Option<SetRef<'_>> {
        match value {
            Value::Packed(Form::Set, bytes) => Some(SetRef::Packed(PackedRef::from_bytes(bytes))),
            Value::Packed(Form::SetInts, bytes) => Some(SetRef::Ints(IntsRef::from_bytes(bytes))),
            Value::Object(Object::Set(set)) => Some(set.as_ref()),
            _ => None,
        }
    }

    #[inline]
    fn of(object: &mut Object) -> Option<&mut Set> {
        match object {
            Object::Set(set) => Some(set),
            _ => None,
        }
    }

    #[inline]
    fn from_packed(form: Form, bytes: Vec<u8>) -> Result<Set, Vec<u8>> {
        match form {
            Form::Set => Ok(Set::Packed(Packed::from_bytes(bytes))),
            Form::SetInts => Ok(Set::Ints(Ints::from_bytes(bytes))),
            _ => Err(bytes),
        }
    }

    #[inline]
    fn into_packed(self) -> Result<(Form, Vec<u8>), Set> {
        match self {
            Set::Packed(packed) => Ok((Form::Set, packed.into_bytes())),
            Set::Ints(ints) => Ok((Form::SetInts, ints.into_bytes())),
            table => Err(table),
        }
    }

    fn into_object(self) -> Object {
        Object::Set(self)
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Collection for List {
    type Ref<'a> = ListRef<'a>;

    #[inline]
    fn view(value: Value<'_>) -> Option<ListRef<'_>> {
        match value {
            Value::Packed(Form::List, bytes) => Some(ListRef::Packed(PackedRef::from_bytes(bytes))),
            Value::Object(Object::List(list)) => Some(list.as_ref()),
            _ => None,
        }
    }

    #[inline]
    fn of(object: &mut Object) -> Option<&mut List> {
        match object {
            Object::List(list) => Some(list),
            _ => None,
        }
    }

    #[inline]
    fn from_packed(form: Form, bytes: Vec<u8>) -> Result<List, Vec<u8>> {
        match form {
            Form::List => Ok(List::Packed(Packed::from_bytes(bytes))),
            _ => Err(bytes),
        }
    }

    #[inline]
    fn into_packed(self) -> Result<(Form, Vec<u8>), List> {
        match self {
            List::Packed(packed) => Ok((Form::List, packed.into_bytes())),
            chain => Err(chain),
        }
    }

    fn into_object(self) -> Object {
        Object::List(self)
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Collection for Stream {
    type Ref<'a> = &'a Stream;

    const KEPT_EMPTY: bool = true;

    #[inline]
    fn view(value: Value<'_>) -> Option<&Stream> {
        match value {
            Value::Object(Object::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    #[inline]
    fn of(object: &mut Object) -> Option<&mut Stream> {
        match object {
            Object::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    fn from_packed(_: Form, bytes: Vec<u8>) -> Result<Stream, Vec<u8>> {
        Err(bytes)
    }

    fn into_packed(self) -> Result<(Form, Vec<u8>), Stream> {
        Err(self)
    }

    fn into_object(self) -> Object {
        Object::Stream(Box::new(self))
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Collection for ZSet {
    type Ref<'a> = ZSetRef<'a>;

    #[inline]
    fn view(value: Value<'_>) -> Option<ZSetRef<'_>> {
        match value {
            Value::Packed(Form::ZSet, bytes) => Some(ZSetRef::Packed(PackedRef::from_bytes(bytes))),
            Value::Object(Object::ZSet(zset)) => Some(zset.as_ref()),
            _ => None,
        }
    }

    #[inline]
    fn of(object: &mut Object) -> Option<&mut ZSet> {
        match object {
            Object::ZSet(zset) => Some(zset),
            _ => None,
        }
    }

    #[inline]
    fn from_packed(form: Form, bytes: Vec<u8>) -> Result<ZSet, Vec<u8>> {
        match form {
            Form::ZSet => Ok(ZSet::Packed(Packed::from_bytes(bytes))),
            _ => Err(bytes),
        }
    }

    #[inline]
    fn into_packed(self) -> Result<(Form, Vec<u8>), ZSet> {
        match self {
            ZSet::Packed(packed) => Ok((Form::ZSet, packed.into_bytes())),
            ordered => Err(ordered),
        }
    }

    fn into_object(self) -> Object {
        Object::ZSet(self)
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}
