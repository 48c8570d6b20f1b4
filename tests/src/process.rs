//! The real programs as processes: built once, started on a free port in a folder of their own, gone with the value.
//!
//! A test of this package cannot ask cargo for the programs of another one, so the first use builds them, in the profile
//! of the test itself and without the test's features: what is tested is what users run. When nothing has changed that
//! takes a moment.

#![allow(clippy::disallowed_methods)] // limits for processes that hang are measured on the real clock

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Client;

/// No start, no stop and no change of state that is waited for takes as long, even on a busy machine.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Waits until `condition` holds; between two looks other threads run.
///
/// Panics: when it does not hold within [`WAIT_MAX`], saying `what`.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < WAIT_MAX, "waited too long: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// The path of a program of this workspace: `kv-server`, `kv-cli`, `kv-bench`.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        // .../target/PROFILE/deps/TEST-HASH
        let test = std::env::current_exe().expect("a test knows its path");
        let folder = test.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps").to_path_buf();
        let target = folder.parent().expect("the profile's folder lies in the target folder");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--workspace", "--bins", "--target-dir"]).arg(target);
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        match folder.file_name().and_then(OsStr::to_str) {
            Some("debug") => {}
            Some(profile) => {
                build.args(["--profile", profile]);
            }
            None => panic!("{} is no folder of a profile", folder.display()),
        }
        assert!(build.status().expect("cargo can be run").success(), "the programs can be built");
        folder
    });
    folder.join(name)
}

/// A running kv-server. It is killed with the value; a server that has ended by itself until then fails the test.
#[derive(Debug)]
pub struct Server {
    process: Child,
    /// Kept so that the server can write to it.
    _stdout: BufReader<ChildStdout>,
    folder: TempDir,
    ready_line: String,
    /// Nobody must be surprised that it is gone.
    ended: bool,
}

impl Server {
    /// Starts a server on a free port, its data folder a temporary one. `options` come last and so win.
    pub fn start<S: AsRef<OsStr>>(options: &[S]) -> Server {
        Server::start_in(tempfile::tempdir().expect("a temporary folder"), &[] as &[&str], options)
    }

    /// The same with `first` in front of all options: a configuration file.
    pub fn start_in<F: AsRef<OsStr>, S: AsRef<OsStr>>(folder: TempDir, first: &[F], options: &[S]) -> Server {
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let mut process = Command::new(program("kv-server"))
            .args(first)
            .args(["--port", "0", "--dir"])
            .arg(folder.path())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("kv-server can be run");
        let mut stdout = BufReader::new(process.stdout.take().expect("the output is piped"));
        let mut ready_line = String::new();
        stdout.read_line(&mut ready_line).expect("the output is text");
        let server = Server { process, _stdout: stdout, folder, ready_line, ended: false };
        assert!(server.ready_line.contains(" is ready on "), "the server did not start: {}", server.log());
        server
    }

    pub fn ready_line(&self) -> &str {
        self.ready_line.trim_end()
    }

    /// The first TCP address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.ready_line
            .split([' ', ','])
            .find_map(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("no address in: {}", self.ready_line))
    }

    pub fn client(&self) -> Client {
        Client::tcp(self.address()).expect("the server accepts connections")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has written to standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Physical memory in use.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most physical memory that was ever in use.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux tells it");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kib << 10
    }

    /// CPU time used so far, all threads together.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("the server runs");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().map(|&field| fields[field].parse::<u64>().expect("a number of ticks")).sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).expect("the server runs");
    }

    /// Waits for the end. Panics: when it does not come within [`WAIT_MAX`].
    pub fn wait(&mut self) -> ExitStatus {
        self.ended = true;
        let mut status = None;
        wait_until("the server ends", || {
            status = self.process.try_wait().expect("the server can be waited for");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// The number of the process.
    pub fn id(&self) -> Pid {
        i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process has an id")
    }

    /// Kills it as it is, and hands its folder back.
    pub fn kill(mut self) -> TempDir {
        self.signal(Signal::KILL);
        self.wait();
        std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a temporary folder"))
    }

    /// The folder of a server that has ended.
    pub fn into_folder(mut self) -> TempDir {
        assert!(self.ended, "it still runs");
        std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a temporary folder"))
    }

    /// Asks it to end, as a service manager does, and hands its folder back.
    pub fn stop(mut self) -> TempDir {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.log());
        std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a temporary folder"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let early = self.process.try_wait();
        let killed = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("the server's log: {}", self.log());
            return;
        }
        match early {
            Ok(None) => killed.expect("the server can be stopped"),
            ended => panic!("the server ended by itself ({ended:?}): {}", self.log()),
        }
        assert!(!self.log().contains("panicked"), "the server panicked: {}", self.log());
    }
}

/// Runs a program to its end with `input` on standard input, in an empty folder of its own: what it leaves where it stands
/// is gone afterwards.
///
/// Panics: when it does not end within [`WAIT_MAX`].
pub fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S], input: &[u8]) -> Output {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut process = Command::new(&program)
        .args(args)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.as_ref().display()));
    let mut stdin = process.stdin.take().expect("the input is piped");
    // Nothing is lost when it does not read its input.
    let _ = stdin.write_all(input);
    drop(stdin);
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
    let (done, ended) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || {
        let output = process.wait_with_output();
        let _ = done.send(());
        output
    });
    if ended.recv_timeout(WAIT_MAX).is_err() {
        let _ = kill_process(pid, Signal::KILL);
        panic!("{} did not end", program.as_ref().display());
    }
    reader.join().expect("reading does not panic").expect("the output can be read")
}
