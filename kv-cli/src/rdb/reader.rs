//! The file as a whole: what stands between keys, and which key a value belongs to.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::input::Input;
use super::value::{Begun, Rest};
use super::{Damage, MAGIC};
use crate::transfer::item::{Bytes, Item, Value};

const VERSION_MAX: u32 = kv_core::persist::rdb::VERSION_MAX as u32;
/// Since this version a checksum stands at the end.
const CHECKSUM_SINCE: u32 = 5;

/// What stands between keys; lower numbers are types of values.
mod opcode {
    pub const SLOT_INFO: u8 = 244;
    pub use kv_core::persist::rdb::{FUNCTION, FUNCTION_OF_TEST_VERSIONS};
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const EXPIRE_MS: u8 = 252;
    pub const EXPIRE_SECONDS: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const END: u8 = 255;
}

/// What is in the file and has no form outside of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Keys with values of modules, by the module's type.
    pub module_keys: BTreeMap<String, u64>,
    /// Modules that keep something besides their keys.
    pub module_data: BTreeMap<String, u64>,
}

/// The key whose value is being read.
struct Open {
    /// Where it begins.
    offset: u64,
    key: Bytes,
    expire_at: Option<u64>,
    rest: Rest,
    continued: bool,
}

pub struct Reader<R> {
    input: Input<R>,
    version: u32,
    db: u32,
    open: Option<Open>,
    ended: bool,
    left_out: LeftOut,
    /// The code of libraries of functions, and where it stands.
    libraries: Vec<(u64, Bytes)>,
    /// The server that wrote it, if it says so.
    server: Option<Bytes>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(bytes: R) -> Result<Reader<R>, Damage> {
        let mut input = Input::new(bytes);
        let wrong = |what: String| Damage { offset: 0, key: None, what };
        let header: [u8; 9] = input.exact()?;
        let Some(version) = header.strip_prefix(MAGIC) else {
            return Err(wrong("not a dump of Redis: it does not begin with REDIS".to_owned()));
        };
        let version = std::str::from_utf8(version).ok().and_then(|digits| digits.parse().ok());
        match version {
            Some(version @ 1..=VERSION_MAX) => Ok(Reader {
                input,
                version,
                db: 0,
                open: None,
                ended: false,
                left_out: LeftOut::default(),
                libraries: Vec::new(),
                server: None,
            }),
            Some(version) => Err(wrong(format!(
                "RDB version {version}; versions 1 to {VERSION_MAX} (Redis up to 8.2) are known. Exporting from the \
                 running server works with any version"
            ))),
            None => Err(wrong("not a dump of Redis: no version behind REDIS".to_owned())),
        }
    }

    /// How far it is read.
    pub fn bytes(&self) -> u64 {
        self.input.offset()
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    /// The version of the server that wrote the file, if it says so and that much is read.
    pub fn server(&self) -> Option<&Bytes> {
        self.server.as_ref()
    }

    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// The code of the libraries that stand between the keys that were read since the last call, and where.
    pub fn take_libraries(&mut self) -> Vec<(u64, Bytes)> {
        std::mem::take(&mut self.libraries)
    }

    /// The next key or part of one, and where its key begins; `None` at the end, the checksum being right.
    pub fn next_item(&mut self) -> Result<Option<(u64, Item)>, Damage> {
        loop {
            if self.open.is_none() && !self.begin_key()? {
                return Ok(None);
            }
            if let Some(item) = self.next_part()? {
                return Ok(Some(item));
            }
        }
    }

    /// The next part of the open key; none when there is nothing in it at all.
    fn next_part(&mut self) -> Result<Option<(u64, Item)>, Damage> {
        let Some(mut open) = self.open.take() else { return Ok(None) };
        let read = open.rest.next_part(&mut self.input);
        let value = read.map_err(|damage| Damage { key: Some(open.key.clone()), ..damage })?;
        let continued = std::mem::replace(&mut open.continued, true);
        let (offset, db, expire_at) = (open.offset, self.db, open.expire_at);
        if open.rest.is_done() {
            // Redis itself leaves out keys that have become empty.
            if !continued && value.is_empty() && !matches!(value, Value::Stream(_)) {
                return Ok(None);
            }
            let item = Item { db, key: open.key, expire_at, continued, more: false, value };
            return Ok(Some((offset, item)));
        }
        let item = Item { db, key: open.key.clone(), expire_at, continued, more: true, value };
        self.open = Some(open);
        Ok(Some((offset, item)))
    }

    /// Reads up to the next value; false at the end.
    fn begin_key(&mut self) -> Result<bool, Damage> {
        let mut expire_at = None;
        while !self.ended {
            let offset = self.input.offset();
            let input = &mut self.input;
            match input.byte()? {
                opcode::AUX => {
                    let (name, value) = (input.string()?, input.string()?);
                    if name.0 == b"redis-ver" {
                        self.server = Some(value);
                    }
                }
                opcode::SELECT_DB => {
                    let db = input.number()?;
                    self.db = u32::try_from(db).map_err(|_| input.damage(format!("database {db}")))?;
                }
                opcode::RESIZE_DB => {
                    input.number()?;
                    input.number()?;
                }
                opcode::SLOT_INFO => {
                    for _ in 0..3 {
                        input.number()?;
                    }
                }
                // A moment before 1970 is over, like 0.
                opcode::EXPIRE_MS => {
                    expire_at = Some(u64::try_from(i64::from_le_bytes(input.exact()?)).unwrap_or(0));
                }
                opcode::EXPIRE_SECONDS => {
                    let seconds = i32::from_le_bytes(input.exact()?);
                    expire_at = Some(u64::try_from(seconds).unwrap_or(0) * 1000);
                }
                // How recently, or how often, a key was used: no command sets it.
                opcode::IDLE => {
                    input.number()?;
                }
                opcode::FREQ => {
                    input.byte()?;
                }
                opcode::FUNCTION => {
                    self.libraries.push((offset, input.string()?));
                }
                opcode::FUNCTION_OF_TEST_VERSIONS => {
                    let what = "a function in a form that only test versions of Redis 7.0 wrote".to_owned();
                    return Err(Damage { offset, key: None, what });
                }
                opcode::MODULE_AUX => {
                    let name = module_name(input.number()?);
                    // When it is to be loaded, as a number like those of values.
                    input.number()?;
                    input.number()?;
                    skip_module(input)?;
                    *self.left_out.module_data.entry(name).or_default() += 1;
                }
                opcode::END => {
                    self.ended = true;
                    self.check()?;
                }
                kind => {
                    let key = input.string()?;
                    let begun = Rest::begin(input, kind);
                    match begun.map_err(|damage| Damage { key: Some(key.clone()), ..damage })? {
                        Begun::Value(rest) => {
                            self.open = Some(Open { offset, key, expire_at, rest, continued: false });
                            return Ok(true);
                        }
                        Begun::Module => {
                            let keyed = |damage| Damage { key: Some(key.clone()), ..damage };
                            let name = module_name(input.number().map_err(keyed)?);
                            skip_module(input).map_err(keyed)?;
                            *self.left_out.module_keys.entry(name).or_default() += 1;
                            expire_at = None;
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    fn check(&mut self) -> Result<(), Damage> {
        if self.version < CHECKSUM_SINCE {
            return Ok(());
        }
        let (offset, right) = (self.input.offset(), self.input.checksum());
        match u64::from_le_bytes(self.input.exact()?) {
            // Written with `rdbchecksum no`.
            0 => Ok(()),
            told if told == right => Ok(()),
            told => {
                let what = format!("the checksum is {told:016x}, but the file has {right:016x}: it is damaged");
                Err(Damage { offset, key: None, what })
            }
        }
    }
}

/// Looks whether a file of `length` bytes ends with its checksum, before anything is done with what it holds: a file that
/// was cut off or damaged on its way is found out at once. Files without checksum pass.
pub fn verify(bytes: impl BufRead, length: u64) -> Result<(), Damage> {
    const CHECKSUM_BYTES: u64 = 8;
    const STEP: u64 = 1 << 20;
    let Reader { mut input, version, .. } = Reader::new(bytes)?;
    if version < CHECKSUM_SINCE {
        return Ok(());
    }
    let end = length.saturating_sub(CHECKSUM_BYTES);
    while input.offset() < end {
        input.bytes(STEP.min(end - input.offset()))?;
    }
    let right = input.checksum();
    match u64::from_le_bytes(input.exact()?) {
        0 => Ok(()),
        told if told == right => Ok(()),
        _ => {
            let what =
                "the file is damaged or cut off: its last 8 bytes are not the checksum of those before".to_owned();
            Err(Damage { offset: end, key: None, what })
        }
    }
}

/// The name in a module's number: 9 characters of 6 bits; the lowest 10 bits are a version.
fn module_name(number: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).rev().map(|place| char::from(LETTERS[(number >> (10 + 6 * place) & 63) as usize])).collect()
}

/// Skips what a module wrote: numbers that say what follows, up to a 0.
fn skip_module<R: BufRead>(input: &mut Input<R>) -> Result<(), Damage> {
    loop {
        match input.number()? {
            0 => return Ok(()),
            // Integers, with and without sign.
            1 | 2 => {
                input.number()?;
            }
            // A float, a double, a string.
            3 => {
                input.exact::<4>()?;
            }
            4 => {
                input.exact::<8>()?;
            }
            5 => {
                input.string()?;
            }
            other => return Err(input.damage(format!("a value of a module with the unknown part {other}"))),
        }
    }
}
