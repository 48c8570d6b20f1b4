//! What a replica gets: `--rdb` and `--functions-rdb` keep the dump that a server sends first, `--replica` passes it over and
//! shows the writes that follow.
//!
//! The server must replicate, which kv-server does not yet: it refuses SYNC. While the dump is made it sends empty lines, then
//! `$LENGTH` and so many bytes, which nothing ends; behind them are requests as clients send them. Functions alone it sends only
//! to those who can do without a length (`capa eof`): then it is `$EOF:` and a mark of 40 bytes, which stands behind the dump again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::print_bytes;
use crate::args::Target;
use crate::connection::Connection;
use crate::format::{Format, Style};
use crate::progress::Progress;
use crate::wire::{Problem, error_text};

/// What a dump is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    All,
    /// Functions alone: the server must be Redis 7.0 or later.
    Functions,
}

/// `--rdb FILE`, `--functions-rdb FILE`; none: the standard output. A file is there when it is whole, and not before.
pub fn dump(target: &Target, dump: Dump, file: Option<&Path>) -> Result<(), Problem> {
    let mut connection = introduced(target)?;
    if dump == Dump::Functions {
        demand(&mut connection, &["REPLCONF", "capa", "eof"])?;
        demand(&mut connection, &["REPLCONF", "rdb-filter-only", "functions"])?;
    }
    // The server need not keep what follows the dump. Those before 7.0 do not know the word, and send it all the same.
    connection.send(&["REPLCONF", "rdb-only", "1"])?;
    connection.read()?;
    let extent = sync(&mut connection)?;
    let Some(path) = file else {
        let mut out = io::stdout().lock();
        copy(&mut connection, &extent, |bytes| out.write_all(bytes).map_err(Problem::output))?;
        return out.flush().map_err(Problem::output);
    };
    let part = PathBuf::from(format!("{}.part", path.display()));
    let problem = |error: io::Error| Problem::failed(format!("{}: {error}", part.display()));
    let mut out = File::create(&part).map_err(problem)?;
    let done = copy(&mut connection, &extent, |bytes| out.write_all(bytes).map_err(problem)).and_then(|length| {
        out.sync_all().and_then(|()| fs::rename(&part, path)).map_err(problem)?;
        Ok(length)
    });
    if done.is_err() {
        // What is told is why there is no dump; that a part of it is left would be told by its name.
        let _ = fs::remove_file(&part);
    }
    done.map(|length| eprintln!("kv-cli: {length} bytes in {}", path.display()))
}

/// `--replica`: the writes, as CSV.
pub fn follow(target: &Target) -> Result<(), Problem> {
    let mut connection = introduced(target)?;
    let extent = sync(&mut connection)?;
    let length = copy(&mut connection, &extent, |_| Ok(()))?;
    eprintln!("kv-cli: a dump of {length} bytes is passed over; writes follow, until Ctrl-C");
    let format = Format::new(Style::Csv);
    loop {
        let mut text = Vec::new();
        format.write(&mut text, &connection.read()?);
        print_bytes(&text)?;
    }
}

/// In RESP2, which replication speaks.
fn introduced(target: &Target) -> Result<Connection, Problem> {
    let (connection, refusals) = Connection::open(&Target { resp3: false, ..target.clone() })?;
    refusals.first().map_or(Ok(connection), |refusal| Err(Problem::Unreachable(refusal.to_string())))
}

fn demand(connection: &mut Connection, request: &[&str]) -> Result<(), Problem> {
    connection.send(request)?;
    match error_text(&connection.read()?) {
        Some(text) => Err(Problem::failed(format!("{}: {text}", request.join(" ")))),
        None => Ok(()),
    }
}

/// Where a dump ends.
#[derive(Debug, PartialEq, Eq)]
enum Extent {
    Bytes(u64),
    /// In front of this.
    Mark(Vec<u8>),
}

impl Extent {
    const MARK_BYTES: usize = 40;

    fn read(line: &str) -> Option<Extent> {
        let text = line.strip_prefix('$')?;
        match text.strip_prefix("EOF:") {
            Some(mark) => (mark.len() == Extent::MARK_BYTES).then(|| Extent::Mark(mark.into())),
            None => text.parse().ok().map(Extent::Bytes),
        }
    }
}

/// Asks for the dump, and waits until it begins.
fn sync(connection: &mut Connection) -> Result<Extent, Problem> {
    /// No error reply is longer.
    const LINE_MAX: usize = 4096;
    connection.send(&["SYNC"])?;
    let mut line = Vec::new();
    // Byte by byte, so that none of the dump is taken.
    while line.len() < LINE_MAX {
        let mut byte = [0];
        connection.read_bytes(&mut byte)?;
        match byte[0] {
            b'\n' if line.is_empty() => {}
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    if let Some(error) = line.strip_prefix('-') {
        return Err(Problem::failed(format!("SYNC: {error}")));
    }
    Extent::read(&line).ok_or_else(|| Problem::failed(format!("SYNC: no dump follows: {}", line.escape_debug())))
}

/// Reads the dump to its end, and no further than that where its length is known. Returns its length.
fn copy(
    connection: &mut Connection,
    extent: &Extent,
    mut write: impl FnMut(&[u8]) -> Result<(), Problem>,
) -> Result<u64, Problem> {
    let mut buffer = vec![0; 64 << 10];
    let mut done = 0;
    match extent {
        Extent::Bytes(length) => {
            let progress = Progress::of_bytes(Some(*length));
            while done < *length {
                let most = usize::try_from(length - done).unwrap_or(usize::MAX).min(buffer.len());
                let got = connection.read_bytes(&mut buffer[..most])?;
                write(&buffer[..got])?;
                done += got as u64;
                progress.at(done);
            }
        }
        Extent::Mark(mark) => {
            let progress = Progress::of_bytes(None);
            // What may be the beginning of the mark is held back.
            let mut held = Vec::new();
            while !held.ends_with(mark) {
                let got = connection.read_bytes(&mut buffer)?;
                held.extend_from_slice(&buffer[..got]);
                let sure = held.len().saturating_sub(mark.len());
                write(&held[..sure])?;
                held.drain(..sure);
                done += sure as u64;
                progress.at(done);
            }
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::args::Address;

    /// What `--rdb` or `--functions-rdb` keeps of a server that answers so, byte by byte, and then closes.
    fn kept(kind: Dump, answer: &[u8]) -> (Result<(), String>, Option<Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        let (socket, file) = (folder.path().join("socket"), folder.path().join("dump"));
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let answer = answer.to_vec();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // One request comes at a time, SYNC after the others.
            let mut request = [0; 200];
            while let Ok(length @ 1..) = stream.read(&mut request)
                && !request[..length].ends_with(b"SYNC\r\n")
            {
                stream.write_all(b"+OK\r\n").unwrap();
            }
            // Whoever has read enough may have gone.
            answer.iter().try_for_each(|byte| stream.write_all(&[*byte])).ok();
        });
        let address = Address::Unix(socket);
        let target = Target { address, user: None, password: None, db: 0, resp3: false, timeout: None, family: None };
        let done = dump(&target, kind, Some(&file)).map_err(|problem| problem.to_string());
        server.join().unwrap();
        assert!(!folder.path().join("dump.part").exists());
        (done, fs::read(&file).ok())
    }

    #[test]
    fn a_dump_ends_where_the_server_has_said() {
        let mark = "m".repeat(40);
        assert_eq!(kept(Dump::All, b"\n\n$5\r\nREDIS*1\r\n"), (Ok(()), Some(b"REDIS".to_vec())));
        let marked = format!("\n$EOF:{mark}\r\nREDIS{}{}{mark}", &mark[..39], "x");
        assert_eq!(
            kept(Dump::Functions, marked.as_bytes()),
            (Ok(()), Some(format!("REDIS{}x", &mark[..39]).into_bytes()))
        );
    }

    #[test]
    fn a_dump_that_is_not_whole_is_none() {
        for answer in ["", "$5\r\nRED", "-ERR no\r\n", "+OK\r\n", "$EOF:short\r\nREDIS", "$x\r\n", "$-1\r\n"] {
            let (done, file) = kept(Dump::All, answer.as_bytes());
            assert!(done.is_err() && file.is_none(), "{answer}: {done:?}");
        }
        assert_eq!(kept(Dump::All, b"-ERR no\r\n").0, Err("SYNC: ERR no".to_owned()));
    }
}
