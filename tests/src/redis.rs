//! A real redis-server to compare with: its own process, folder and socket, gone with the value.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::client::Client;

/// Says aloud that a test is skipped because a program of Redis is missing.
///
/// Panics: in CI, where it must be there.
pub fn skip(program: &str) {
    crate::skip(program, "redis-server redis-tools");
}

#[derive(Debug)]
pub struct Redis {
    process: Child,
    folder: TempDir,
}

impl Redis {
    /// None: no redis-server is installed, and the caller is to skip its test.
    ///
    /// Panics: when there must be one.
    pub fn start() -> Option<Redis> {
        Redis::start_with(&[] as &[&str])
    }

    /// The same with more options.
    pub fn start_with<S: AsRef<OsStr>>(options: &[S]) -> Option<Redis> {
        let redis = Redis::start_program("redis-server", options);
        if redis.is_none() {
            skip("redis-server");
        }
        redis
    }

    /// A server of the 8th generation, if there is one: what `KV_REDIS8` names, or `~/.cache/kv-peers/redis8-server`.
    /// No test needs it: what it would find out about files of that generation, fixtures do as well.
    pub fn start_8<S: AsRef<OsStr>>(options: &[S]) -> Option<Redis> {
        let named = std::env::var_os("KV_REDIS8").map(PathBuf::from);
        let kept = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/kv-peers/redis8-server"));
        Redis::start_program(named.or_else(kept)?, options)
    }

    fn start_program<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, options: &[S]) -> Option<Redis> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = Command::new(program)
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis.sock", "--dir"])
            .arg(folder.path())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let process = match process {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            process => process.expect("redis-server starts"),
        };
        let mut redis = Redis { process, folder };
        let log = redis.process.stdout.take().expect("the log is piped");
        let ready =
            BufReader::new(log).lines().map_while(Result::ok).any(|line| line.contains("eady to accept connections"));
        assert!(ready, "redis-server ended before it was ready");
        Some(redis)
    }

    pub fn client(&self) -> Client {
        Client::unix(&self.socket()).expect("redis-server listens")
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Where it saves.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All that is answered to `bytes`, sent at once, up to the end of the connection.
    pub fn answers(&self, bytes: &[u8]) -> Vec<u8> {
        let mut client = self.client();
        client.send_bytes(bytes);
        client.finish_sending();
        client.rest()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let killed = self.process.kill();
        let ended = self.process.wait();
        if !std::thread::panicking() {
            killed.and(ended).expect("redis-server can be stopped");
        }
    }
}
