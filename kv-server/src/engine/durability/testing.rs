//! A disk in memory that fails and forgets, for tests.
//!
//! It keeps no promise but those of [`Disk`]. A crash makes of bytes that were not synced what it likes: the end is missing, or
//! any part of them is zeros; of names, whatever they were at some moment since the folder was synced. What a failed sync was
//! to make safe stays at the mercy of the next crash, whatever syncs succeed later.

use super::{Disk, DiskFile};
use kv_core::structs::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, ErrorKind, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Numbers of errors, as the system gives them.
pub const NO_SPACE: i32 = 28;
pub const INPUT_OUTPUT: i32 = 5;
pub const READ_ONLY: i32 = 30;

/// A promise that a broken disk does not keep, to prove that tests would notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// Syncing the folder does nothing.
    pub no_folder_sync: bool,
    /// Syncing a file does nothing.
    pub no_sync: bool,
    /// A rename is safe only after two more syncs of files, whatever is done for the folder: for who relies on it in between, what
    /// he does next comes first.
    pub late_renames: bool,
}

/// What unwinds out of a step at which the machine stops.
#[derive(Debug)]
pub struct Crash;

#[derive(Clone, Default)]
pub struct TestDisk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    /// What each name may be after a crash: files, or nothing, since the folder was synced. Names that are missing are safe.
    unsafe_names: BTreeMap<String, Vec<Option<usize>>>,
    /// Renamed names of a disk with late renames, and how many files were synced since.
    late: BTreeMap<String, u64>,
    broken: Broken,
    fails: Option<Fails>,
    /// Steps until the machine stops.
    crash_in: Option<u64>,
    steps: u64,
    syncs: u64,
    random: Option<Random>,
}

/// What fails from now on.
#[derive(Clone, Copy, Debug)]
pub struct Fails {
    pub error: i32,
    pub writes: bool,
    pub syncs: bool,
    /// Names can be neither made nor changed.
    pub names: bool,
    /// So many steps succeed before.
    pub after: u64,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    /// Not safe, ascending; the last may be open at its end.
    at_risk: Vec<Range<usize>>,
    /// At risk for good: a sync has failed on them.
    lost: Vec<Range<usize>>,
    /// The length that is safe.
    safe_len: usize,
}

impl TestDisk {
    /// A disk whose accidents `seed` determines.
    pub fn new(seed: u64) -> TestDisk {
        let disk = TestDisk::default();
        disk.inner().random = Some(Random::new(seed));
        disk
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_broken(&self, broken: Broken) {
        self.inner().broken = broken;
    }

    pub fn fail(&self, fails: Option<Fails>) {
        self.inner().fails = fails;
    }

    /// The machine stops at the `steps`th step from now: it is half done, and [`Crash`] unwinds out of it.
    pub fn crash_in(&self, steps: Option<u64>) {
        self.inner().crash_in = steps;
    }

    /// Steps that changed something or made it safe.
    pub fn steps(&self) -> u64 {
        self.inner().steps
    }

    /// Syncs of files that succeeded.
    pub fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    /// The bytes of a file, if there is one.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        inner.names.get(name).map(|&file| inner.files[file].bytes.clone())
    }

    pub fn names(&self) -> Vec<String> {
        self.inner().names.keys().cloned().collect()
    }

    /// Puts a file there, safe.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut inner = self.inner();
        let content = Content { bytes: bytes.to_vec(), safe_len: bytes.len(), ..Content::default() };
        inner.files.push(content);
        let file = inner.files.len() - 1;
        inner.names.insert(name.to_owned(), file);
        inner.unsafe_names.remove(name);
    }

    /// What is left after the machine has stopped: a disk on which everything that is there is safe.
    pub fn after_crash(&self, random: &mut Random) -> TestDisk {
        let inner = self.inner();
        let mut after =
            Inner { broken: inner.broken, random: Some(Random::new(random.next_u64())), ..Inner::default() };
        let all: BTreeSet<&String> = inner.names.keys().chain(inner.unsafe_names.keys()).collect();
        for name in all {
            let file = match inner.unsafe_names.get(name) {
                Some(states) => states[random.index(states.len())],
                None => inner.names.get(name).copied(),
            };
            let Some(file) = file else { continue };
            let bytes = inner.files[file].after_crash(random);
            after.files.push(Content { safe_len: bytes.len(), bytes, ..Content::default() });
            after.names.insert(name.clone(), after.files.len() - 1);
        }
        TestDisk(Arc::new(Mutex::new(after)))
    }

    /// What is left after the process was killed, and the system goes on: everything, but still at risk.
    ///
    /// Milder than the worst systems in one case: bytes on which a sync has failed can be made safe by the next process. There may
    /// be systems on which they can be read, and synced, and are lost all the same; no process could know.
    pub fn after_kill(&self) -> TestDisk {
        for content in &mut self.inner().files {
            content.at_risk.append(&mut content.lost);
        }
        self.clone()
    }
}

impl Content {
    fn after_crash(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for range in self.at_risk.iter().chain(&self.lost) {
            let range = range.start.min(bytes.len())..range.end.min(bytes.len());
            match random.below(4) {
                // All of it is there.
                0 => {}
                1 => bytes[range].fill(0),
                // A part is there: in front, behind, or in the middle of what is not.
                _ => {
                    let (a, b) = (random.index(range.len() + 1), random.index(range.len() + 1));
                    let kept = range.start + a.min(b)..range.start + a.max(b);
                    let keeps_outside = random.one_in(2);
                    for at in range {
                        if kept.contains(&at) != keeps_outside {
                            continue;
                        }
                        bytes[at] = 0;
                    }
                }
            }
        }
        // The length is made safe with the bytes; before that the file may end anywhere.
        if bytes.len() > self.safe_len && !random.one_in(3) {
            let len = self.safe_len + random.index(bytes.len() - self.safe_len + 1);
            bytes.truncate(len);
        }
        bytes
    }

    fn sync(&mut self) {
        self.at_risk.clear();
        self.safe_len = self.bytes.len();
    }

    fn fail_sync(&mut self) {
        self.lost.append(&mut self.at_risk);
        // What was to be safe then never will be.
        self.safe_len = self.safe_len.min(self.lost.iter().map(|range| range.start).min().unwrap_or(usize::MAX));
    }
}

enum Step {
    Write,
    Sync,
    Name,
}

impl Inner {
    /// Counts a step, and lets it fail or be the last. `half` is what has happened of a last one.
    fn step(&mut self, step: Step, half: impl FnOnce(&mut Inner)) -> io::Result<()> {
        self.steps += 1;
        if let Some(left) = &mut self.crash_in {
            if *left == 0 {
                if self.chance() {
                    half(self);
                }
                std::panic::resume_unwind(Box::new(Crash));
            }
            *left -= 1;
        }
        let Some(fails) = &mut self.fails else { return Ok(()) };
        let is_meant = match step {
            Step::Write => fails.writes,
            Step::Sync => fails.syncs,
            Step::Name => fails.names,
        };
        if !is_meant {
            return Ok(());
        }
        match fails.after.checked_sub(1) {
            Some(left) => {
                fails.after = left;
                Ok(())
            }
            None => Err(io::Error::from_raw_os_error(fails.error)),
        }
    }

    fn chance(&mut self) -> bool {
        self.random.as_mut().is_some_and(|random| random.one_in(2))
    }

    fn index(&mut self, len: usize) -> usize {
        self.random.as_mut().map_or(0, |random| random.index(len))
    }

    fn append(&mut self, file: usize, bytes: &[u8]) {
        let content = &mut self.files[file];
        let start = content.bytes.len();
        content.bytes.extend_from_slice(bytes);
        content.at_risk.push(start..start + bytes.len());
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::Error::from(ErrorKind::NotFound))
    }

    fn set_name(&mut self, name: &str, file: Option<usize>) {
        let before = self.names.get(name).copied();
        let states = self.unsafe_names.entry(name.to_owned()).or_insert_with(|| vec![before]);
        states.push(file);
        match file {
            Some(file) => self.names.insert(name.to_owned(), file),
            None => self.names.remove(name),
        };
    }
}

impl Disk for TestDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        let inner = self.inner();
        inner.find(name).map(|file| inner.files[file].bytes.len() as u64)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.bytes(name).ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.inner();
        let make = |inner: &mut Inner| {
            inner.files.push(Content::default());
            let file = inner.files.len() - 1;
            inner.set_name(name, Some(file));
            file
        };
        if inner.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        inner.step(Step::Name, |inner| {
            make(inner);
        })?;
        let file = make(&mut inner);
        Ok(Box::new(TestFile { disk: self.clone(), file }))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let file = self.inner().find(name)?;
        TestFile { disk: self.clone(), file }.sync()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        let file = inner.find(from)?;
        let change = |inner: &mut Inner| {
            if inner.broken.late_renames {
                inner.late.insert(to.to_owned(), 0);
            }
            inner.set_name(to, Some(file));
            inner.set_name(from, None);
        };
        inner.step(Step::Name, change)?;
        change(&mut inner);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.find(name)?;
        inner.step(Step::Name, |inner| inner.set_name(name, None))?;
        inner.set_name(name, None);
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step(Step::Sync, |inner| inner.unsafe_names.clear())?;
        if !inner.broken.no_folder_sync {
            let Inner { unsafe_names, late, .. } = &mut *inner;
            unsafe_names.retain(|name, _| late.contains_key(name));
        }
        Ok(())
    }
}

struct TestFile {
    disk: TestDisk,
    file: usize,
}

impl DiskFile for TestFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let part = inner.index(bytes.len() + 1);
        let step = inner.step(Step::Write, |inner| inner.append(self.file, &bytes[..part]));
        inner.append(self.file, if step.is_ok() { bytes } else { &bytes[..part] });
        step
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let step = inner.step(Step::Sync, |inner| inner.files[self.file].sync());
        match step {
            Ok(()) if inner.broken.no_sync => {}
            Ok(()) => {
                inner.files[self.file].sync();
                inner.syncs += 1;
                inner.late.values_mut().for_each(|syncs| *syncs += 1);
                let Inner { unsafe_names, late, .. } = &mut *inner;
                unsafe_names.retain(|name, _| late.get(name).is_none_or(|syncs| *syncs <= 1));
                late.retain(|_, syncs| *syncs <= 1);
            }
            Err(_) => inner.files[self.file].fail_sync(),
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_outlives_every_crash_and_nothing_else_needs_to() {
        let mut random = Random::new(1);
        let (mut lost_bytes, mut lost_name, mut kept_name) = (false, false, false);
        for _ in 0..200 {
            let disk = TestDisk::new(random.next_u64());
            let mut file = disk.create("a").unwrap();
            file.write_all(b"safe").unwrap();
            file.sync().unwrap();
            disk.sync_folder().unwrap();
            file.write_all(b"at risk").unwrap();
            disk.create("b").unwrap();
            let after = disk.after_crash(&mut random);
            let bytes = after.bytes("a").expect("the name was safe");
            assert!(bytes.starts_with(b"safe"), "{bytes:?}");
            lost_bytes |= bytes != b"safeat risk";
            lost_name |= after.bytes("b").is_none();
            kept_name |= after.bytes("b").is_some();
        }
        assert!(lost_bytes && lost_name && kept_name);
    }

    #[test]
    fn bytes_of_a_failed_sync_are_not_saved_by_the_next() {
        let mut random = Random::new(2);
        let mut lost = 0;
        for _ in 0..100 {
            let disk = TestDisk::new(random.next_u64());
            let mut file = disk.create("a").unwrap();
            disk.sync_folder().unwrap();
            file.write_all(b"one").unwrap();
            disk.fail(Some(Fails { error: INPUT_OUTPUT, writes: false, syncs: true, names: false, after: 0 }));
            file.sync().unwrap_err();
            disk.fail(None);
            file.write_all(b"two").unwrap();
            file.sync().unwrap();
            let bytes = disk.after_crash(&mut random).bytes("a").unwrap();
            assert!(bytes.ends_with(b"two"), "{bytes:?}");
            lost += usize::from(bytes != b"onetwo");
        }
        assert!(lost > 20, "{lost}");
    }

    #[test]
    fn a_crash_unwinds_out_of_its_step() {
        let disk = TestDisk::new(3);
        disk.crash_in(Some(1));
        let mut file = disk.create("a").unwrap();
        let write = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| file.write_all(b"bytes")));
        assert!(write.unwrap_err().is::<Crash>());
        assert!(disk.bytes("a").unwrap().len() <= 5);
    }
}
