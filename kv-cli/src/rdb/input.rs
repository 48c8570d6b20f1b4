//! The bytes of a dump, as `kv_core` reads them, with the errors of a file and the strings of items.

use std::io::BufRead;

use kv_core::persist::{self, rdb};

use super::Damage;
use crate::transfer::item::Bytes;

pub(super) struct Input<R>(rdb::Input<R>);

fn in_file(damage: persist::Damage) -> Damage {
    Damage { offset: damage.offset, key: None, what: damage.what }
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(bytes: R) -> Input<R> {
        Input(rdb::Input::new(bytes))
    }

    pub(super) fn offset(&self) -> u64 {
        self.0.offset()
    }

    /// The checksum of all that was read.
    pub(super) fn checksum(&self) -> u64 {
        self.0.checksum()
    }

    pub(super) fn damage(&self, what: impl Into<String>) -> Damage {
        in_file(self.0.damage(what))
    }

    pub(super) fn exact<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        self.0.exact().map_err(in_file)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damage> {
        self.0.byte().map_err(in_file)
    }

    /// So many bytes. They are allocated as they come.
    pub(super) fn bytes(&mut self, length: u64) -> Result<Vec<u8>, Damage> {
        self.0.bytes(length).map_err(in_file)
    }

    /// A length, a count or a number without sign.
    pub(super) fn number(&mut self) -> Result<u64, Damage> {
        self.0.number().map_err(in_file)
    }

    pub(super) fn string(&mut self) -> Result<Bytes, Damage> {
        self.0.string().map(Bytes).map_err(in_file)
    }
}
