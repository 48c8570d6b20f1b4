//! The scripts that the server knows by their SHA-1, what it tells of libraries of functions, and the script or function that takes long.
//!
//! A mutex guards the scripts; it is taken when a thread meets one that it has not compiled yet, never on the way of one that it
//! has. What has been forgotten says so itself, so that threads need not be told. Scripts that EVAL has made known are as many as
//! [`EVAL_MAX`] at most: of more, one that was not used since its turn came last is forgotten, as clients that make a new script for
//! each call would fill the memory otherwise.

use super::Job;
use crate::lua::sha1_hex;
use crossbeam_channel::{Receiver, Sender, unbounded};
use kv_core::command::CommandError;
use kv_core::resp::Arg;
use kv_core::store::{Libraries, Reach};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most scripts that are known by EVAL alone; as many as in Redis.
const EVAL_MAX: usize = 500;

pub type Sha = [u8; 40];

/// A script that can be run.
pub struct Script {
    /// In lower case.
    pub sha: Sha,
    /// Its code, and where the code begins, behind a first line `#!lua`.
    pub code: Vec<u8>,
    pub code_at: usize,
    /// Whether it says what it does; one that says nothing may do anything.
    pub declares: bool,
    pub no_writes: bool,
    is_forgotten: AtomicBool,
    /// Since its turn to be forgotten came last.
    is_used: AtomicBool,
    /// Made known by SCRIPT LOAD: it is not forgotten by itself.
    is_loaded: AtomicBool,
    pub reach: Reach,
}

impl Script {
    /// Errors: the first line is not as it should be.
    pub fn new(code: &[u8]) -> Result<Script, CommandError> {
        let mut script = Script {
            sha: sha1_hex(code),
            code: code.to_vec(),
            code_at: 0,
            declares: false,
            no_writes: false,
            is_forgotten: AtomicBool::new(false),
            is_used: AtomicBool::new(false),
            is_loaded: AtomicBool::new(false),
            reach: Reach::default(),
        };
        if code.starts_with(b"#!") {
            script.read_first_line()?;
        }
        Ok(script)
    }

    /// `#!lua flags=no-writes,allow-oom`
    fn read_first_line(&mut self) -> Result<(), CommandError> {
        let Some(end) = memchr::memchr(b'\n', &self.code) else {
            return Err(CommandError::err("Invalid script shebang"));
        };
        let line = String::from_utf8_lossy(&self.code[..end]).into_owned();
        let mut words = line.split_ascii_whitespace();
        let engine = words.next().unwrap_or_default();
        if engine != "#!lua" {
            return Err(CommandError::err(format!("Unexpected engine in script shebang: {engine}")));
        }
        for word in words {
            let Some(flags) = word.strip_prefix("flags=") else {
                return Err(CommandError::err(format!("Unknown lua shebang option: {word}")));
            };
            for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
                match flag {
                    "no-writes" => self.no_writes = true,
                    // Without a memory limit, replicas and cluster there is nothing that they would allow.
                    "allow-oom" | "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                    _ => {
                        return Err(CommandError::err(format!("Unexpected flag in script shebang: {flag}")));
                    }
                }
            }
        }
        self.declares = true;
        // The line end stays, so that lines count as the client wrote them.
        self.code_at = end;
        Ok(())
    }

    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.sha).expect("hexadecimal digits")
    }

    pub fn code(&self) -> &[u8] {
        &self.code[self.code_at..]
    }

    pub fn is_forgotten(&self) -> bool {
        self.is_forgotten.load(Relaxed)
    }

    pub fn is_used_now(&self) {
        if !self.is_used.load(Relaxed) {
            self.is_used.store(true, Relaxed);
        }
    }
}

#[derive(Default)]
struct Cache {
    scripts: HashMap<Sha, Arc<Script>>,
    /// Those that EVAL alone has made known, in the order in which it is their turn to be forgotten.
    by_eval: VecDeque<Arc<Script>>,
    bytes: usize,
    forgotten: u64,
}

/// The script or function that takes long, if there is one.
#[derive(Default)]
struct Long {
    /// When it began, in milliseconds; 0 when there is none.
    since: AtomicU64,
    is_function: AtomicBool,
    has_written: AtomicBool,
    is_killed: AtomicBool,
    call: Mutex<Option<LongCall>>,
}

/// A call of a function that takes long.
#[derive(Clone)]
pub struct LongCall {
    pub function: String,
    pub data: Vec<u8>,
    pub words: Vec<Arg>,
    /// When it began.
    pub since: u64,
}

/// What requests are answered with while something takes long.
const BUSY_SCRIPT: &str = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const BUSY_FUNCTION: &str = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";

/// What an end of the server means for scripts.
const ENDS: u8 = 1;
const ENDS_AT_ONCE: u8 = 2;

/// What the server knows of scripts.
pub struct Scripts {
    cache: Mutex<Cache>,
    /// As they were changed last, to tell of them. (Calls find those of their shards.)
    libraries: Mutex<Arc<Libraries>>,
    long: Long,
    ending: AtomicU8,
    jobs: (Sender<Job>, Receiver<Job>),
}

impl Default for Scripts {
    fn default() -> Scripts {
        Scripts {
            cache: Mutex::default(),
            libraries: Mutex::default(),
            long: Long::default(),
            ending: AtomicU8::new(0),
            jobs: unbounded(),
        }
    }
}

/// Figures for INFO.
pub struct Known {
    pub scripts: usize,
    pub bytes: usize,
    pub forgotten: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scripts {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        lock(&self.cache)
    }

    pub fn find(&self, sha: &Sha) -> Option<Arc<Script>> {
        self.cache().scripts.get(sha).cloned()
    }

    /// Makes a script known, whose code has been compiled once. `loaded`: by SCRIPT LOAD.
    pub fn add(&self, script: Arc<Script>, loaded: bool) -> Arc<Script> {
        let mut cache = self.cache();
        let cache = &mut *cache;
        let known = match cache.scripts.get(&script.sha) {
            Some(known) => known.clone(),
            None => {
                cache.bytes += script.code.len();
                cache.scripts.insert(script.sha, script.clone());
                if !loaded {
                    cache.by_eval.push_back(script.clone());
                }
                script
            }
        };
        if loaded && !known.is_loaded.swap(true, Relaxed) {
            cache.by_eval.retain(|script| !Arc::ptr_eq(script, &known));
        }
        while cache.by_eval.len() > EVAL_MAX {
            let oldest = cache.by_eval.pop_front().expect("there are some");
            if !Arc::ptr_eq(&oldest, &known) && !oldest.is_used.swap(false, Relaxed) {
                oldest.is_forgotten.store(true, Relaxed);
                cache.scripts.remove(&oldest.sha);
                cache.bytes -= oldest.code.len();
                cache.forgotten += 1;
            } else {
                cache.by_eval.push_back(oldest);
            }
        }
        known
    }

    /// Forgets all.
    pub fn flush(&self) {
        let mut cache = self.cache();
        let cache = &mut *cache;
        cache.scripts.drain().for_each(|(_, script)| script.is_forgotten.store(true, Relaxed));
        cache.by_eval.clear();
        cache.bytes = 0;
    }

    pub fn known(&self) -> Known {
        let cache = self.cache();
        Known { scripts: cache.scripts.len(), bytes: cache.bytes, forgotten: cache.forgotten }
    }

    pub fn libraries(&self) -> Arc<Libraries> {
        lock(&self.libraries).clone()
    }

    pub fn set_libraries(&self, libraries: &Arc<Libraries>) {
        *lock(&self.libraries) = Arc::clone(libraries);
    }

    // ---- the one that takes long ----

    /// Whether a script has been running for so long that who needs a shard is told. `threshold_ms`: 0 for never.
    #[inline]
    pub fn is_busy(&self, now: u64, threshold_ms: u64) -> bool {
        let since = self.long.since.load(Relaxed);
        since != 0 && threshold_ms != 0 && now >= since.saturating_add(threshold_ms)
    }

    /// What the one that takes long is: requests that it keeps waiting are told.
    pub fn busy(&self) -> CommandError {
        let text = if self.long.is_function.load(Relaxed) { BUSY_FUNCTION } else { BUSY_SCRIPT };
        CommandError::Coded(text.into())
    }

    /// Something takes long; of a function its call. False: there is one already.
    pub(super) fn begins(&self, now: u64, has_written: bool, call: Option<LongCall>) -> bool {
        let mut known = lock(&self.long.call);
        if self.long.since.load(Relaxed) != 0 {
            return false;
        }
        self.long.is_function.store(call.is_some(), Relaxed);
        self.long.is_killed.store(false, Relaxed);
        self.long.has_written.store(has_written, Relaxed);
        *known = call;
        self.long.since.store(now.max(1), Relaxed);
        true
    }

    pub(super) fn has_written(&self) {
        self.long.has_written.store(true, Relaxed);
    }

    pub(super) fn ends(&self) {
        let mut call = lock(&self.long.call);
        *call = None;
        self.long.since.store(0, Relaxed);
    }

    pub(super) fn is_killed(&self) -> bool {
        self.long.is_killed.load(Relaxed)
    }

    /// The function that takes long, if there is one. Errors: it is a script.
    pub fn long_function(&self) -> Result<Option<LongCall>, CommandError> {
        let call = lock(&self.long.call).clone();
        match self.long.since.load(Relaxed) {
            0 => Ok(None),
            _ if self.long.is_function.load(Relaxed) => Ok(call),
            _ => Err(self.busy()),
        }
    }

    /// SCRIPT KILL, and FUNCTION KILL. Errors: nothing takes long; it has written; it is the other of both.
    pub fn kill(&self, function: bool) -> Result<(), CommandError> {
        if self.long.since.load(Relaxed) == 0 {
            return Err(CommandError::Coded("NOTBUSY No scripts in execution right now.".into()));
        }
        if self.long.has_written.load(Relaxed) {
            return Err(CommandError::Coded(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the \
                 script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
                    .into(),
            ));
        }
        if self.long.is_function.load(Relaxed) != function {
            return Err(self.busy());
        }
        self.long.is_killed.store(true, Relaxed);
        Ok(())
    }

    // ---- the end of the server ----

    /// The server is to end: scripts that have not written are ended; `at_once`: the others, too, and what they wrote is not kept.
    pub fn server_ends(&self, at_once: bool) {
        self.ending.store(if at_once { ENDS_AT_ONCE } else { ENDS }, Relaxed);
    }

    /// It goes on after all.
    pub fn server_goes_on(&self) {
        self.ending.store(0, Relaxed);
    }

    /// Whether a script has to end for that reason.
    pub(super) fn must_end(&self, has_written: bool) -> bool {
        match self.ending.load(Relaxed) {
            0 => false,
            ENDS => !has_written,
            _ => true,
        }
    }

    // ---- those that run alone ----

    pub(in crate::engine) fn send(&self, job: Job) {
        // The receiver is beside the sender.
        let _ = self.jobs.0.send(job);
    }

    /// What is to be given to a [`super::Runner`].
    pub fn jobs(&self) -> Receiver<Job> {
        self.jobs.1.clone()
    }
}
