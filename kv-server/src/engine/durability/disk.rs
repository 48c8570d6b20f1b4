//! The disk, as durability sees it: the files of one folder, by name.
//!
//! What a crash leaves follows the rules of a POSIX file system, and nothing here promises more:
//!
//! - Bytes written are safe once [`DiskFile::sync`] has returned without an error. Before that any of them may be missing, torn
//!   or zeros, later ones may be there without earlier ones, and the file may be shorter or longer than it was.
//! - A name (made, replaced by a rename, or removed) is safe once [`Disk::sync_folder`] has returned without an error. Before
//!   that it may be as before or as after, each name for itself.
//! - After a failed sync nobody knows which of the bytes before it are on disk, and a second sync that succeeds proves
//!   nothing. So a file whose write or sync has failed is never written to again; what was not safe goes into another file.
//!
//! `io` has the real one; the simulation has one that forgets, tears and fails as above.

use std::io::{self, Read};

/// One folder of data. Shared by the threads of the keeper and the saver, and by those that load.
///
/// A name is a plain file name without a separator.
pub trait Disk: Send + Sync {
    /// The names of all files in the folder, in no particular order. Folders and the like are left out.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The length of a file in bytes.
    fn len(&self, name: &str) -> io::Result<u64>;

    /// Reads a file from its beginning.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;

    /// Makes a new file that is appended to; an error of the kind `AlreadyExists` if the name is taken.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Makes the bytes and the length of a file safe that was written before, perhaps by another process.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, in one step; a file that had that name before is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; an error of the kind `NotFound` if there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all names safe.
    fn sync_folder(&self) -> io::Result<()>;
}

/// A file that is appended to.
pub trait DiskFile: Send {
    /// Appends all of these bytes. After an error some of them may be in the file.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all bytes written so far safe, and the length that they need. Not the name.
    fn sync(&mut self) -> io::Result<()>;
}
