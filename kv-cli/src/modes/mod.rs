//! What kv-cli does instead of sending commands: figures of a server that go on and on, and walks over its keys.
//!
//! All of it is made of commands that every Redis server knows. What a server does not tell is left out, never made up.

pub mod keys;
pub mod keystats;
pub mod latency;
mod lru;
mod pipe;
pub mod replica;
mod stat;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::args::Options;
use crate::top;
use crate::wire::Problem;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    Stat(Pace),
    Latency(latency::Latency, Pace),
    Intrinsic(Duration),
    /// The last is how many keys of a type are shown.
    Measure(keys::Measure, keys::Walk, usize),
    KeyStats {
        samples: Option<u64>,
        walk: keys::Walk,
        top: usize,
    },
    Scan(keys::Walk),
    /// None: to the standard output.
    Dump(replica::Dump, Option<PathBuf>),
    Replica,
    /// With so many keys.
    Lru(u64, Pace),
    Pipe {
        /// How long no reply may come.
        patience: Option<Duration>,
    },
    Top {
        interval: Duration,
    },
}

/// How often something is shown; none: as the mode likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    pub interval: Option<Duration>,
    /// None: without end.
    pub lines: Option<u64>,
}

pub fn run(options: &Options, mode: &Mode) -> ExitCode {
    let target = &options.target;
    let done = match mode {
        Mode::Stat(pace) => stat::run(target, *pace).map(|()| true),
        Mode::Latency(kind, pace) => latency::run(target, *kind, *pace, &options.format).map(|()| true),
        Mode::Intrinsic(span) => latency::intrinsic(*span).map(|()| true),
        Mode::Measure(measure, walk, top) => {
            keys::measure(target, *measure, walk, *top, &options.format).map(|()| true)
        }
        Mode::KeyStats { samples, walk, top } => {
            keystats::run(target, *samples, walk, *top, &options.format).map(|()| true)
        }
        Mode::Dump(dump, file) => replica::dump(target, *dump, file.as_deref()).map(|()| true),
        Mode::Replica => replica::follow(target).map(|()| true),
        Mode::Lru(keys, pace) => lru::run(target, *keys, *pace).map(|()| true),
        Mode::Scan(walk) => keys::scan(target, walk, &options.format).map(|()| true),
        Mode::Pipe { patience } => pipe::run(target, *patience),
        Mode::Top { interval } => top::run(target, *interval).map(|()| true),
    };
    match done {
        Ok(all_fine) => ExitCode::from(u8::from(!all_fine)),
        Err(problem) => {
            eprintln!("kv-cli: {problem}");
            ExitCode::from(problem.status())
        }
    }
}

/// Writes at once; an output that is gone ends the mode without a word.
fn print(text: &str) -> Result<(), Problem> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Problem::output)
}

#[allow(clippy::disallowed_methods)] // spans of time are what these modes show
fn now() -> Instant {
    Instant::now()
}

/// Waits until a moment, or until Ctrl-C.
#[allow(clippy::disallowed_methods)] // a pause is what the user asked for
fn wait_until(moment: Instant, stop: &Stop) {
    /// How late Ctrl-C may be seen.
    const STEP: Duration = Duration::from_millis(50);
    loop {
        let left = moment.saturating_duration_since(now());
        if left.is_zero() || stop.is_asked() {
            return;
        }
        std::thread::sleep(left.min(STEP));
    }
}

/// Ctrl-C: the mode tells what it has got until then. The second one ends the program at once.
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn listen() -> Result<Stop, Problem> {
        let asked = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, 130, asked.clone())
            .and_then(|_| signal_hook::flag::register(signal_hook::consts::SIGINT, asked.clone()))
            .map_err(|error| Problem::failed(format!("Ctrl-C: {error}")))?;
        Ok(Stop(asked))
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
