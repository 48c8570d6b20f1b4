//! A real redis-server to compare with: its own process, folder and socket, gone with the value.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kv_core::resp::client::{ReplyDecoder, Value, encode_request};
use tempfile::TempDir;

/// When this variable is set, a missing redis-server fails a test instead of skipping it: CI sets it.
pub const NEED_REDIS: &str = "KV_TESTS_NEED_REDIS";

/// A redis-server that does not answer within this time is broken; it only ends a test that would hang.
const ANSWER_MAX: Duration = Duration::from_secs(20);

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
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis.sock", "--dir"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let process = match process {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                assert!(std::env::var_os(NEED_REDIS).is_none(), "{NEED_REDIS} is set, but there is no redis-server");
                eprintln!("skipped: no redis-server is installed");
                return None;
            }
            process => process.expect("redis-server starts"),
        };
        let mut redis = Redis { process, folder };
        let log = redis.process.stdout.take().expect("the log is piped");
        let ready =
            BufReader::new(log).lines().map_while(Result::ok).any(|line| line.contains("eady to accept connections"));
        assert!(ready, "redis-server ended before it was ready");
        Some(redis)
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.path().join("redis.sock")).expect("redis-server listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a time limit can be set");
        stream
    }

    pub fn session(&self) -> Session {
        Session { stream: self.connect(), decoder: ReplyDecoder::default() }
    }

    /// All that is answered to `bytes`, sent at once, up to the end of the connection.
    pub fn answers(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("redis-server reads");
        stream.shutdown(std::net::Shutdown::Write).expect("one side can be closed");
        let mut answers = Vec::new();
        match stream.read_to_end(&mut answers) {
            // Closed by a server that had not read everything.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            read => {
                read.expect("redis-server answers");
            }
        }
        answers
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

/// A connection that sends commands one by one.
#[derive(Debug)]
pub struct Session {
    stream: UnixStream,
    decoder: ReplyDecoder,
}

impl Session {
    pub fn ask<A: AsRef<[u8]>>(&mut self, command: &[A]) -> Value {
        let mut request = Vec::new();
        encode_request(&mut request, command);
        self.stream.write_all(&request).expect("redis-server reads");
        let mut piece = [0; 16 << 10];
        loop {
            if let Some(value) = self.decoder.next_value().expect("replies are well formed") {
                return value;
            }
            let length = self.stream.read(&mut piece).expect("redis-server answers");
            assert_ne!(length, 0, "redis-server closed the connection");
            self.decoder.feed(&piece[..length]);
        }
    }
}
