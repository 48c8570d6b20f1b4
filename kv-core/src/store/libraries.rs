//! The libraries of functions that the server has. Every shard knows all of them, so that whoever has a shard can find a function; the
//! first shard's log and snapshot tell of them.
//!
//! All shards share one [`Libraries`], which never changes: another takes its place, on all shards at one place in the order of commands.

use super::{Piece, Shard, UnixMs};
use crate::persist::record;
use crate::types::Library;
use crate::types::library::Function;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// What calls have needed of late: the shards of the keys that they declare, or all. A hint, which may be wrong.
#[derive(Debug, Default)]
pub struct Reach(AtomicU8);

/// How much one call that needed all shards counts beside one that did not, and at most.
const NEEDED: u8 = 8;
const NEEDED_MAX: u8 = 64;

impl Reach {
    /// Whether the next call is to have all shards from the start.
    pub fn is_everywhere(&self) -> bool {
        self.0.load(Relaxed) > 0
    }

    /// A call needed more than the shards that it declares.
    pub fn needed_all(&self) {
        self.0.store(self.0.load(Relaxed).saturating_add(NEEDED).min(NEEDED_MAX), Relaxed);
    }

    /// It had all shards, and the declared ones would have done.
    pub fn needed_no_more(&self) {
        self.0.store(self.0.load(Relaxed).saturating_sub(1), Relaxed);
    }
}

/// A function that can be called.
pub struct Callable {
    pub library: Arc<Library>,
    at: usize,
    pub reach: Reach,
}

impl Callable {
    pub fn function(&self) -> &Function {
        &self.library.functions()[self.at]
    }
}

/// Why a library cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    Library(String),
    Function(String),
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Taken::Library(name) => write!(f, "Library '{name}' already exists"),
            Taken::Function(name) => write!(f, "Function {name} already exists"),
        }
    }
}

/// All libraries, by name, and their functions.
#[derive(Clone, Default)]
pub struct Libraries {
    libraries: BTreeMap<Box<[u8]>, Arc<Library>>,
    /// By name in small letters.
    functions: HashMap<Box<[u8]>, Arc<Callable>>,
}

impl Libraries {
    /// Ascending by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Library>> {
        self.libraries.values()
    }

    pub fn is_empty(&self) -> bool {
        self.libraries.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.libraries.len()
    }

    /// How many functions there are in all.
    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    pub fn find(&self, function: &[u8]) -> Option<&Arc<Callable>> {
        self.functions.get(&*small_letters(function))
    }

    /// Whether this is a function of these libraries.
    pub fn has(&self, callable: &Arc<Callable>) -> bool {
        self.find(&callable.function().name).is_some_and(|known| Arc::ptr_eq(known, callable))
    }

    /// Whether there is a library of this name.
    pub fn has_library(&self, name: &[u8]) -> bool {
        self.libraries.contains_key(name)
    }

    /// Adds a library; `replace`: in place of the one of its name.
    ///
    /// Errors: there is one of its name, or one of its functions is another library's. Nothing has changed.
    pub fn add(&mut self, library: Arc<Library>, replace: bool) -> Result<(), Taken> {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        if !replace && self.has_library(library.name()) {
            return Err(Taken::Library(text(library.name())));
        }
        let is_others = |function: &&Function| {
            self.find(&function.name).is_some_and(|known| known.library.name() != library.name())
        };
        if let Some(function) = library.functions().iter().find(is_others) {
            return Err(Taken::Function(text(&function.name)));
        }
        self.remove(library.name());
        for (at, function) in library.functions().iter().enumerate() {
            let callable = Callable { library: library.clone(), at, reach: Reach::default() };
            self.functions.insert(small_letters(&function.name).into(), Arc::new(callable));
        }
        self.libraries.insert(library.name().into(), library);
        Ok(())
    }

    /// Whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(library) = self.libraries.remove(name) else { return false };
        library.functions().iter().for_each(|function| _ = self.functions.remove(&*small_letters(&function.name)));
        true
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        let functions = self.functions.len() * (size_of::<Callable>() + size_of::<(Box<[u8]>, Arc<Callable>)>());
        self.iter().map(|library| library.bytes()).sum::<usize>() + functions
    }

    fn is_same(&self, library: &Arc<Library>) -> bool {
        self.libraries.get(library.name()).is_some_and(|known| Arc::ptr_eq(known, library))
    }
}

fn small_letters(name: &[u8]) -> Cow<'_, [u8]> {
    if name.iter().any(u8::is_ascii_uppercase) { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) }
}

impl Shard {
    /// These are the libraries from now on. To be said to all shards.
    pub fn set_libraries(&mut self, libraries: &Arc<Libraries>, now: UnixMs) {
        let before = std::mem::replace(&mut self.libraries, Arc::clone(libraries));
        self.dirty += u64::from(self.index == 0);
        if self.log.on && self.index != 0 {
            // Who sees what this shard does from here on has seen the change, and that is safe only with this epoch.
            self.log.moment(now);
        } else if self.log.on {
            // What goes comes first: a function may have moved from one library to another.
            before.iter().filter(|old| !libraries.is_same(old)).for_each(|old| self.log.no_library(now, old.name()));
            libraries.iter().filter(|new| !before.is_same(new)).for_each(|new| self.log.library(now, new));
        }
    }

    /// A library that was read.
    ///
    /// Errors: what is wrong with it; nothing has changed.
    pub fn load_library(&mut self, library: Library) -> Result<(), String> {
        if self.index != 0 {
            return Err(format!("a library of functions in shard {}", self.index));
        }
        Arc::make_mut(&mut self.libraries).add(Arc::new(library), true).map_err(|taken| taken.to_string())
    }

    /// A library was removed, as was read.
    ///
    /// Errors: there is none.
    pub fn unload_library(&mut self, name: &[u8]) -> Result<(), String> {
        if self.libraries.has_library(name) {
            Arc::make_mut(&mut self.libraries).remove(name);
            return Ok(());
        }
        Err("the end of a library of functions that is not there".into())
    }

    /// What a snapshot has of them.
    pub(super) fn piece_of_libraries(&self) -> Option<Piece> {
        if self.index != 0 || self.libraries.is_empty() {
            return None;
        }
        let mut bytes = Vec::new();
        self.libraries.iter().for_each(|library| record::put_library(&mut bytes, library));
        Some(Piece::Records { bytes, keys: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::library::FunctionFlags;

    fn library(name: &str, functions: &[&str]) -> Arc<Library> {
        let function =
            |name: &&str| Function { name: name.as_bytes().into(), description: None, flags: FunctionFlags::default() };
        let functions = functions.iter().map(function).collect();
        Arc::new(Library::new(name.as_bytes(), b"code", functions).expect("a library"))
    }

    /// Each function with its library.
    fn shown(libraries: &Libraries) -> Vec<String> {
        let mut all: Vec<_> = libraries
            .functions
            .values()
            .map(|callable| {
                let (library, function) = (callable.library.name(), &callable.function().name);
                format!("{}.{}", library.escape_ascii(), function.escape_ascii())
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn functions_are_found_in_any_letters_and_belong_to_one_library() {
        let mut all = Libraries::default();
        assert_eq!(all.add(library("a", &["f", "Get"]), false), Ok(()));
        assert_eq!(all.add(library("b", &["g"]), false), Ok(()));
        assert!(all.find(b"gET").is_some_and(|found| *found.function().name == *b"Get"));
        assert!(all.find(b"h").is_none());
        assert_eq!(all.add(library("a", &["x"]), false), Err(Taken::Library("a".into())));
        assert_eq!(all.add(library("b", &["y", "F"]), true), Err(Taken::Function("F".into())));
        assert_eq!(shown(&all), ["a.Get", "a.f", "b.g"]);
        assert_eq!(all.add(library("a", &["F", "h"]), true), Ok(()));
        assert_eq!(shown(&all), ["a.F", "a.h", "b.g"]);
        assert_eq!((all.len(), all.functions()), (2, 3));
        assert!(all.remove(b"a") && !all.remove(b"a") && !all.remove(b"A"));
        assert_eq!(shown(&all), ["b.g"]);
    }

    #[test]
    fn the_first_shard_logs_what_has_changed_and_another_that_something_has() {
        use crate::persist::record::{Record, Records};
        let shard = |index| {
            let mut shard = Shard::new(index, 1, Arc::new(crate::store::KeyHasher::new([5; 16])), 1);
            shard.log.on = true;
            shard
        };
        let (mut first, mut second) = (shard(0), shard(1));
        let mut all = Libraries::default();
        let mut change = |change: &dyn Fn(&mut Libraries)| {
            change(&mut all);
            let now = Arc::new(all.clone());
            first.set_libraries(&now, 100);
            second.set_libraries(&now, 100);
            assert!(second.dirty == 0 && Arc::ptr_eq(&second.libraries, &now));
            let limits = crate::types::Limits::default();
            let section = second.log.take(1);
            let records: Vec<_> = Records::new(&section, 0, &limits).collect();
            assert_eq!(records, [Ok(Record::Time(100))]);
            let section = first.log.take(1);
            let shown = |record| match record {
                Ok(Record::Time(100)) => "at".to_string(),
                Ok(Record::Library(library)) => format!("+{}", library.name().escape_ascii()),
                Ok(Record::NoLibrary { name }) => format!("-{}", name.escape_ascii()),
                other => panic!("{other:?}"),
            };
            Records::new(&section, 0, &limits).map(shown).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(change(&|all| all.add(library("a", &["f"]), false).unwrap()), "at +a");
        assert_eq!(change(&|all| all.add(library("b", &["g"]), false).unwrap()), "at +b");
        assert_eq!(change(&|all| all.add(library("a", &["h"]), true).unwrap()), "at -a +a");
        let moved = |all: &mut Libraries| {
            all.remove(b"a");
            all.add(library("c", &["h"]), false).unwrap();
        };
        assert_eq!(change(&moved), "at -a +c");
        assert_eq!(change(&|all| *all = Libraries::default()), "at -b -c");
        assert_eq!((change(&|_| ()), first.dirty), (String::new(), 6));
    }

    #[test]
    fn what_needed_all_shards_is_expected_to_need_them_for_a_while() {
        let reach = Reach::default();
        assert!(!reach.is_everywhere());
        reach.needed_all();
        for _ in 0..NEEDED {
            assert!(reach.is_everywhere());
            reach.needed_no_more();
        }
        assert!(!reach.is_everywhere());
    }
}
