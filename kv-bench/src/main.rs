//! kv-bench: loads a server and measures what a client sees of it.
//!
//! ```text
//!   args      the command line          -> what is asked for
//!   workload  operations, keys, values  -> bytes of requests
//!   driver    closed and open loop      -> Outcome: counts and histograms
//!   result    Outcome in plain fields, with `doubts` about it
//!   report    result as text, CSV, JSON, interval log
//!   modes     what is done with all this: tests one after the other, the highest rate, two servers, kill -9 ...
//! ```
//!
//! Exit status: 0; 1 if a reply was an error or wrong, the server could not be reached or was lost; 2 for wrong options.

mod args;
mod clock;
mod doubts;
mod driver;
mod modes;
mod replies;
mod report;
mod result;
mod server;
mod stats;
#[cfg(test)]
mod testing;
mod workload;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use args::{CommandLine, Mode};
use report::Report;

fn main() -> ExitCode {
    let line = CommandLine::of_process();
    allow_many_connections();
    match run(&line) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(problem) => {
            eprintln!("kv-bench: {problem:#}");
            ExitCode::from(1)
        }
    }
}

fn run(line: &CommandLine) -> Result<bool> {
    if let Some(text) = line.mode.as_ref().and_then(Mode::text) {
        std::io::stdout().write_all(&text)?;
        return Ok(true);
    }
    let server = &line.server.clone().resolved();
    let report = Report::new(&line.report)?;
    match &line.mode {
        None => {
            let options = &line.options;
            if let Some(drill) = options.drill() {
                return modes::drill::run(server, &drill, report);
            }
            if let Some((count, span)) = options.idle() {
                return modes::bench::idle(server, count, span, &report);
            }
            let loads: Vec<_> = usable(options.traffic()).into_iter().map(|traffic| options.load(traffic)).collect();
            let preload = options.preload();
            match (options.find_max(), options.against(server)) {
                (Some((objective, arrivals)), _) => {
                    modes::find_max::run(server, preload.as_ref(), &loads, objective, arrivals, report)
                }
                (None, Some((other, rounds))) => {
                    modes::against::run([server, &other], preload.as_ref(), &loads, rounds, report)
                }
                (None, None) => modes::bench::run(server, preload.as_ref(), &loads, options.forever, report),
            }
        }
        Some(Mode::Probe(options)) => modes::bench::run(server, None, &[usable(options.load())], false, report),
        Some(Mode::Fill(options)) => modes::bench::run(server, None, &[options.load()], false, report),
        Some(Mode::Suite(options)) => modes::suite::run(server, options, report),
        Some(Mode::Expiry(options)) => modes::expiry::run(server, options, report.style()),
        Some(Mode::Completions { .. } | Mode::Man) => Ok(true), // printed above
    }
}

/// What options mean; ends the program when they mean nothing.
fn usable<T>(meaning: Result<T, String>) -> T {
    meaning.unwrap_or_else(|problem| {
        eprintln!("kv-bench: {problem}");
        std::process::exit(2)
    })
}

/// A process may open few files by default; up to the hard limit it may ask for more. If it may not, connecting says so.
fn allow_many_connections() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
