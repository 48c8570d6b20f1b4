//! What the server asks of the machine: facts about the process, the configuration file, randomness, limits, the log.

use super::Shared;
use crate::config::{Config, StartError};
use crate::engine::host::{Process, ShutDown, System};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// File descriptors the server needs besides its clients.
const OWN_FILES: u64 = 64;

pub struct Machine {
    shared: Arc<Shared>,
    config_file: Option<PathBuf>,
    run_id: String,
    started: u64,
    port: u16,
}

impl Machine {
    pub fn new(shared: Arc<Shared>, port: u16, config_file: Option<PathBuf>) -> Result<Machine, StartError> {
        let run_id = random_bytes::<20>()?.iter().map(|b| format!("{b:02x}")).collect();
        let started = shared.clock.now_us() / 1000;
        Ok(Machine { shared, config_file, run_id, started, port })
    }

    fn file(&self) -> io::Result<&Path> {
        self.config_file.as_deref().ok_or_else(|| io::Error::other("the server is running without a config file"))
    }
}

impl System for Machine {
    fn process(&self) -> Process {
        let usage = rustix_usage();
        let (resident, peak) = resident_bytes();
        Process {
            id: std::process::id(),
            run_id: self.run_id.clone(),
            os: os_name(),
            executable: std::env::current_exe().map(|p| p.display().to_string()).unwrap_or_default(),
            started: self.started,
            resident_bytes: resident,
            peak_resident_bytes: peak,
            machine_bytes: machine_bytes(),
            cpu_user: usage.0,
            cpu_system: usage.1,
            port: self.port,
        }
    }

    fn ns(&self) -> u64 {
        self.shared.clock.ns()
    }

    fn config_file(&self) -> Option<PathBuf> {
        self.config_file.clone()
    }

    fn read_config(&self) -> io::Result<String> {
        std::fs::read_to_string(self.file()?)
    }

    fn read_file(&self, path: &str) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn write_config(&self, text: &str) -> io::Result<()> {
        let file = self.file()?;
        let mut beside = file.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let written = (|| {
            let mut f = std::fs::File::create(&beside)?;
            f.write_all(text.as_bytes())?;
            f.sync_all()?;
            std::fs::rename(&beside, file)?;
            let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            std::fs::File::open(folder)?.sync_all()
        })();
        if written.is_err() {
            let _ = std::fs::remove_file(&beside);
        }
        written
    }

    fn shut_down(&self, how: ShutDown) {
        self.shared.stop.ask(how);
    }

    fn options_changed(&self, config: &Config) {
        self.shared.options_changed(config);
    }

    fn log(&self, text: &str) {
        log(text);
    }
}

/// One line on standard error with nothing secret in it. A log that cannot be written, on a full disk, is no reason to stop.
pub fn log(text: &str) {
    let _ = writeln!(io::stderr(), "kv-server: {text}");
}

/// Errors: the data folder is no folder, or may not be used.
pub fn check_folder(dir: &Path) -> Result<(), StartError> {
    let failed = |text: String| Err(StartError::option("dir", format!("{}: {text}", dir.display())));
    match std::fs::read_dir(dir) {
        Ok(_) => Ok(()),
        Err(error) => failed(error.to_string()),
    }
}

/// The folder as a path that means the same from everywhere, for CONFIG GET and REWRITE.
pub fn absolute_folder(dir: &Path) -> PathBuf {
    std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf())
}

pub fn random_bytes<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(StartError::other(format!("the system gives no random numbers: {error}"))),
    }
}

/// Raises the limit of open files so that `clients` connections fit, as far as the system allows, and says if it does not.
pub fn raise_file_limit(clients: u32) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let wanted = u64::from(clients) + OWN_FILES;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|c| c >= wanted) {
        return;
    }
    let hard = limit.maximum;
    limit.current = Some(hard.map_or(wanted, |h| wanted.min(h)));
    if hard.is_some_and(|h| h < wanted) {
        let mut both = limit;
        both.current = Some(wanted);
        both.maximum = Some(wanted);
        if setrlimit(Resource::Nofile, both).is_ok() {
            return;
        }
        log(&format!(
            "the system allows {} open files, so fewer than maxclients ({clients}) connections will fit",
            hard.unwrap_or(0)
        ));
    }
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log(&format!("the limit of open files could not be raised: {error}"));
    }
}

/// CPU seconds of the process, user and system, from /proc.
fn rustix_usage() -> (f64, f64) {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in parentheses: state is field 0, utime 11, stime 12.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let seconds = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0) / ticks;
    (seconds(11), seconds(12))
}

/// Resident memory now and at its peak, from /proc.
fn resident_bytes() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name));
        line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn machine_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn os_name() -> String {
    let uname = rustix::system::uname();
    let text = |s: &std::ffi::CStr| s.to_string_lossy().into_owned();
    format!("{} {} {}", text(uname.sysname()), text(uname.release()), text(uname.machine()))
}
