//! The data folder: its files as [`Disk`], and its lock.
//!
//! [`Folder::lock`] takes the folder for this process: `kv.lock` is locked (flock) as long as the process lives and holds its
//! number for people. The file stays behind, since removing it could take the lock from under a server that just starts.

use crate::config::StartError;
use crate::engine::durability::{Disk, DiskFile};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

const LOCK: &str = "kv.lock";

/// A folder of data that this process has locked.
pub struct Folder {
    path: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

impl Folder {
    /// Errors: the folder is in use by another server, or may not be used.
    pub fn lock(path: &Path) -> Result<Folder, StartError> {
        let failed = |text: String| StartError::option("dir", format!("{}: {text}", path.display()));
        let cannot = |error: io::Error| failed(format!("{LOCK} cannot be locked: {error}"));
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK))
            .map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
            Err(TryLockError::WouldBlock) => {
                // A server that is just starting may not have written its number yet.
                let mut holder = String::new();
                let _ = (&lock).take(32).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => String::new(),
                    number => format!(" (process {number})"),
                };
                return Err(failed(format!("the data folder is in use by another kv-server{holder}")));
            }
        }
        let write = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        // The number is for people: a full disk does not keep a server from starting to read what it has.
        let _ = write(&mut lock);
        Ok(Folder { path: path.to_path_buf(), _lock: lock })
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // A name that is no text is none of ours.
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(self.path.join(name))?.len())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(self.path.join(name))?;
        Ok(Box::new(AppendFile(file)))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.path.join(name))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

struct AppendFile(File);

impl DiskFile for AppendFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Folder, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        folder.open(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_folder_has_one_holder_who_is_named_to_others_and_is_free_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::lock(dir.path()).unwrap();
        let error = Folder::lock(dir.path()).err().expect("it is taken").to_string();
        assert!(error.contains("in use by another kv-server"), "{error}");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        Folder::lock(dir.path()).unwrap();
    }

    #[test]
    fn files_are_made_appended_to_renamed_listed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path()).unwrap();
        std::fs::create_dir(dir.path().join("inner")).unwrap();
        let mut file = folder.create("a").unwrap();
        file.write_all(b"one ").unwrap();
        file.sync().unwrap();
        file.write_all(b"two").unwrap();
        assert_eq!(folder.create("a").err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        folder.rename("a", "b").unwrap();
        folder.sync_folder().unwrap();
        file.write_all(b" three").unwrap();
        assert_eq!(read(&folder, "b"), b"one two three");
        assert_eq!(folder.len("b").unwrap(), 13);
        let mut names = folder.list().unwrap();
        names.sort();
        assert_eq!(names, ["b", LOCK]);
        folder.remove("b").unwrap();
        assert_eq!(folder.remove("b").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(folder.open("b").err().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
