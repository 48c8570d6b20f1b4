//! The thread `memory`: keeps some memory in huge pages ready for the shards, one for the whole process.

use kv_core::structs::huge;
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::time::Duration;
use std::{io, thread};

/// For how long memory stays ready that nobody takes. A shard that is being filled takes some every few milliseconds.
const KEPT: Duration = Duration::from_millis(200);

static WANTED: Mutex<bool> = Mutex::new(false);
static WAKE: Condvar = Condvar::new();

fn wake() {
    *WANTED.lock().unwrap_or_else(PoisonError::into_inner) = true;
    WAKE.notify_one();
}

fn run() {
    loop {
        let mut wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
        while !*wanted {
            let waited = WAKE.wait_timeout(wanted, KEPT).unwrap_or_else(PoisonError::into_inner);
            wanted = waited.0;
            if waited.1.timed_out() && !*wanted {
                drop(wanted);
                huge::trim();
                wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
                // A server at rest has no use for this thread.
                wanted = WAKE.wait_while(wanted, |wanted| !*wanted).unwrap_or_else(PoisonError::into_inner);
            }
        }
        *wanted = false;
        drop(wanted);
        while huge::refill() {}
    }
}

/// Starts the thread, once in a process.
///
/// Errors: the system gives no thread; all memory is ordinary then.
pub fn start() -> io::Result<()> {
    static STARTED: Once = Once::new();
    let mut result = Ok(());
    STARTED.call_once(|| {
        result = thread::Builder::new().name("memory".into()).spawn(run).map(drop);
        if result.is_ok() {
            huge::enable(wake);
        }
    });
    result
}
