//! A library of functions as it was registered: its code, and what it says of its functions. What runs the code is not known here.
//!
//! Names are letters, digits and underscores. Those of functions mean the same in capital and small letters.

use std::fmt;

/// What a name that is none is answered with.
pub const WRONG_NAME: &str =
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Whether it can be the name of a library or a function.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// What a function says of itself; a set of bits, which also stand in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionFlags(u8);

impl FunctionFlags {
    pub const NO_WRITES: FunctionFlags = FunctionFlags(1);

    /// In the order in which they are told.
    const NAMES: [(FunctionFlags, &str); 5] = [
        (FunctionFlags::NO_WRITES, "no-writes"),
        (FunctionFlags(2), "allow-oom"),
        (FunctionFlags(4), "allow-stale"),
        (FunctionFlags(8), "no-cluster"),
        (FunctionFlags(16), "allow-cross-slot-keys"),
    ];

    pub fn named(name: &[u8]) -> Option<FunctionFlags> {
        Self::NAMES.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(flag, _)| *flag)
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    /// None when one of the bits means nothing.
    pub fn from_bits(bits: u64) -> Option<FunctionFlags> {
        u8::try_from(bits).ok().filter(|bits| *bits < 1 << Self::NAMES.len()).map(FunctionFlags)
    }

    pub fn has(self, flag: FunctionFlags) -> bool {
        self.0 & flag.0 == flag.0
    }

    pub fn add(&mut self, flag: FunctionFlags) {
        self.0 |= flag.0;
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub name: Box<[u8]>,
    pub description: Option<Box<[u8]>>,
    pub flags: FunctionFlags,
}

/// A library. It never changes: another one takes its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Library {
    name: Box<[u8]>,
    code: Box<[u8]>,
    functions: Vec<Function>,
}

impl Library {
    /// Errors: what keeps this from being a library, in Redis's words.
    pub fn new(name: &[u8], code: &[u8], functions: Vec<Function>) -> Result<Library, &'static str> {
        if !is_name(name) || !functions.iter().all(|function| is_name(&function.name)) {
            return Err(WRONG_NAME);
        }
        if functions.is_empty() {
            return Err("No functions registered");
        }
        let mut names: Vec<_> = functions.iter().map(|function| function.name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("Function already exists in the library");
        }
        Ok(Library { name: name.into(), code: code.into(), functions })
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// All of it, with its first line.
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// At least one, in the order in which they were registered.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<Box<[u8]>>| text.as_ref().map_or(0, |text| text.len());
        let functions = self.functions.iter().map(|f| size_of::<Function>() + f.name.len() + text(&f.description));
        size_of::<Library>() + self.name.len() + self.code.len() + functions.sum::<usize>()
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "library {} with {:?}", self.name.escape_ascii(), self.functions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str) -> Function {
        Function { name: name.as_bytes().into(), description: None, flags: FunctionFlags::default() }
    }

    #[test]
    fn a_library_has_names_and_functions_that_differ() {
        let made = |name: &str, functions: &[&str]| {
            Library::new(name.as_bytes(), b"code", functions.iter().map(|name| function(name)).collect()).map(|_| ())
        };
        assert_eq!(made("a_1", &["f", "g"]), Ok(()));
        assert_eq!(made("a", &[]), Err("No functions registered"));
        assert_eq!(made("a", &["f", "g", "F"]), Err("Function already exists in the library"));
        for (library, name) in [("", "f"), ("a-", "f"), ("a", ""), ("a", "f g"), ("\u{e4}", "f")] {
            assert_eq!(made(library, &[name]), Err(WRONG_NAME));
        }
    }

    #[test]
    fn flags_are_named_in_one_order_and_bits_without_a_name_are_none() {
        let mut flags = FunctionFlags::default();
        for name in ["no-cluster", "no-writes", "no-cluster"] {
            flags.add(FunctionFlags::named(name.as_bytes()).expect("a flag"));
        }
        assert_eq!(flags.names().collect::<Vec<_>>(), ["no-writes", "no-cluster"]);
        assert_eq!(FunctionFlags::from_bits(flags.bits().into()), Some(flags));
        assert_eq!((FunctionFlags::from_bits(32), FunctionFlags::from_bits(256)), (None, None));
        assert_eq!(FunctionFlags::named(b"NO-Writes"), Some(FunctionFlags::NO_WRITES));
        assert_eq!(FunctionFlags::named(b"writes"), None);
    }
}
