//! The folder: the manifest, and which files may go.
//!
//! The manifest is what counts: a file that it does not name is not there for who starts after a crash. It is replaced as a
//! whole: the new one is written beside it and synced, the names of what it names are made safe, it takes the place of the
//! old one, and that is made safe. A crash anywhere leaves the old or the new one.
//!
//! When the last step fails, nobody knows which of the two a crash would leave. So files go only after a step that
//! succeeded, and numbers of files are never given twice: what either manifest names stays as it is.

use super::super::disk::{Disk, DiskFile};
use kv_core::persist::manifest::{Base, Manifest, Segment, base_name, segment_name};
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// The name of the manifest, and of the one that is to take its place.
pub const MANIFEST: &str = "manifest.kv";
const MANIFEST_NEW: &str = "manifest.kv.new";

pub(super) struct Files {
    disk: Arc<dyn Disk>,
    manifest: Manifest,
    next_segment: u64,
    next_snapshot: u64,
    /// Bytes of the segments that the manifest names, but of the open one.
    closed_bytes: u64,
}

impl Files {
    pub fn new(disk: Arc<dyn Disk>, manifest: Manifest) -> Files {
        let names = disk.list().unwrap_or_default();
        let number = |kind| names.iter().filter_map(|name| parse(name)).filter(|n| n.0 == kind).map(|n| n.1).max();
        let last_segment = manifest.segments.last().map(|segment| segment.number);
        let last_base = manifest.base.as_ref().map(|base| base.number);
        let after = |a: Option<u64>, b: Option<u64>| a.max(b).map_or(1, |last| last + 1);
        let closed_bytes = bytes_of(&*disk, &manifest.segments);
        Files {
            next_segment: after(number(Kind::Segment), last_segment),
            next_snapshot: after(number(Kind::Base), last_base),
            disk,
            manifest,
            closed_bytes,
        }
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn base_bytes(&self) -> u64 {
        self.manifest.base.as_ref().map_or(0, |base| base.bytes.iter().sum())
    }

    pub fn closed_bytes(&self) -> u64 {
        self.closed_bytes
    }

    /// A segment of that size is written to no more.
    pub fn closed(&mut self, bytes: u64) {
        self.closed_bytes += bytes;
    }

    pub fn take_snapshot_number(&mut self) -> u64 {
        self.next_snapshot += 1;
        self.next_snapshot - 1
    }

    /// Makes the file of a segment with `header`; header and length are safe, the name is not.
    pub fn create_segment(&mut self, header: &[u8]) -> io::Result<(u64, Box<dyn DiskFile>)> {
        loop {
            let number = self.next_segment;
            self.next_segment += 1;
            match self.disk.create(&segment_name(number)) {
                Ok(mut file) => {
                    file.write_all(header)?;
                    file.sync()?;
                    return Ok((number, file));
                }
                // A leftover of a run before, which could not be seen.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a file safe that was written before this run.
    pub fn sync_segment(&self, number: u64) -> io::Result<()> {
        self.disk.sync(&segment_name(number))
    }

    /// Adds a segment to the manifest.
    pub fn name_segment(&mut self, segment: Segment) -> io::Result<()> {
        let mut manifest = self.manifest.clone();
        manifest.segments.push(segment);
        self.replace(manifest)
    }

    /// Replaces the manifest by one that begins with `base`: it goes on with those segments that stand behind, of which
    /// `open` is not in the manifest yet.
    pub fn name_base(&mut self, base: Base, open: Option<Segment>) -> io::Result<()> {
        let mut manifest = self.manifest.clone();
        manifest.segments.retain(|segment| segment.first_epoch > base.epoch);
        manifest.segments.extend(open);
        manifest.base = Some(base);
        self.replace(manifest)
    }

    fn replace(&mut self, manifest: Manifest) -> io::Result<()> {
        write_manifest(&*self.disk, &manifest)?;
        self.manifest = manifest;
        Ok(())
    }

    /// Counts the closed segments anew, of which `open` is none.
    pub fn count_closed(&mut self, open: Option<u64>) {
        let closed: Vec<Segment> =
            self.manifest.segments.iter().filter(|segment| Some(segment.number) != open).cloned().collect();
        self.closed_bytes = bytes_of(&*self.disk, &closed);
    }

    /// Removes what a crash has left. Not if there is no manifest: then nobody knows what the files are.
    pub fn remove_leftovers_of_a_crash(&self) {
        let has_manifest = self.disk.list().is_ok_and(|names| names.iter().any(|name| name == MANIFEST));
        // The manifest that was read may not be safe yet, and the one before it may name other files.
        if has_manifest && self.disk.sync_folder().is_ok() {
            self.remove_leftovers(|_, _| false);
        }
    }

    /// Removes all files of ours that the manifest does not name and `is_used` does not claim. Only while the manifest is
    /// known to be the one on the disk. What cannot be removed stays for the next time.
    pub fn remove_leftovers(&self, is_used: impl Fn(Kind, u64) -> bool) {
        for name in self.disk.list().unwrap_or_default() {
            let leftover = match parse(&name) {
                Some((kind, number)) => !is_used(kind, number) && !self.names(kind, number),
                None => name == MANIFEST_NEW,
            };
            if leftover {
                let _ = self.disk.remove(&name);
            }
        }
    }

    fn names(&self, kind: Kind, number: u64) -> bool {
        match kind {
            Kind::Segment => self.manifest.segments.iter().any(|segment| segment.number == number),
            Kind::Base => self.manifest.base.as_ref().is_some_and(|base| base.number == number),
        }
    }
}

/// Puts a manifest into the place of the one that there is, in one step.
pub fn write_manifest(disk: &dyn Disk, manifest: &Manifest) -> io::Result<()> {
    match disk.remove(MANIFEST_NEW) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = disk.create(MANIFEST_NEW)?;
    file.write_all(&manifest.to_bytes())?;
    file.sync()?;
    drop(file);
    disk.sync_folder()?;
    disk.rename(MANIFEST_NEW, MANIFEST)?;
    disk.sync_folder()
}

fn bytes_of(disk: &dyn Disk, segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| disk.len(&segment_name(segment.number)).unwrap_or(0)).sum()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Base,
    Segment,
}

/// What kind of file bears this name, and its number.
pub fn parse(name: &str) -> Option<(Kind, u64)> {
    if let Some(middle) = name.strip_prefix("log-").and_then(|rest| rest.strip_suffix(".kvlog")) {
        let number = middle.parse().ok()?;
        return (segment_name(number) == name).then_some((Kind::Segment, number));
    }
    let (number, shard) = name.strip_prefix("base-")?.strip_suffix(".kvsnap")?.split_once('-')?;
    let (number, shard) = (number.parse().ok()?, shard.parse().ok()?);
    (base_name(number, shard) == name).then_some((Kind::Base, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_told_from_those_of_others() {
        assert_eq!(parse(&segment_name(7)), Some((Kind::Segment, 7)));
        assert_eq!(parse(&base_name(12, 3)), Some((Kind::Base, 12)));
        assert_eq!(parse(&base_name(12_345_678, 12_345)), Some((Kind::Base, 12_345_678)));
        for other in
            ["manifest.kv", "kv.lock", "log-7.kvlog", "log-000007.kvlog.old", "base-000001.kvsnap", "log-+00007.kvlog"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
