//! kv-bench: loads a server and measures what a client sees of it.
//!
//! The plain form is a closed loop over many connections (`driver`). The other modes watch one thing each: `probe` one
//! client's waiting times, `fill` the growth of the key space, `expiry` how late keys vanish.
//!
//! Exit status: 0; 1 if a reply was an error, the server could not be reached or was lost; 2 for wrong options.

mod args;
mod driver;
mod expiry;
mod probe;
mod replies;
mod report;
mod server;
#[cfg(test)]
mod testing;
mod workload;

use std::process::ExitCode;

use anyhow::Result;
use args::{CommandLine, Mode};
use clap::Parser;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    allow_many_connections();
    let outcome = match &line.mode {
        None => bench(&line),
        Some(Mode::Probe(options)) => probe::run(&line.server, options, line.report.style()),
        Some(Mode::Fill(options)) => fill(&line, options),
        Some(Mode::Expiry(options)) => expiry::run(&line.server, options, line.report.style()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(problem) => {
            eprintln!("kv-bench: {problem:#}");
            ExitCode::from(1)
        }
    }
}

/// A process may open few files by default; up to the hard limit it may ask for more. If it may not, connecting says so.
fn allow_many_connections() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The chosen tests, one after the other. True if no reply was an error.
fn bench(line: &CommandLine) -> Result<bool> {
    let tests = match line.tests() {
        Ok(tests) => tests,
        Err(problem) => {
            eprintln!("kv-bench: {problem}");
            std::process::exit(2);
        }
    };
    let mut report = report::Report::new(line.report.style());
    for test in tests {
        let load = line.load(&test);
        let result = driver::run(&line.server, &load, report.progress(&test.name))?;
        report.add(&test.name, &load, &result);
    }
    Ok(report.finish())
}

fn fill(line: &CommandLine, options: &args::Fill) -> Result<bool> {
    let load = options.load();
    let mut report = report::Report::new(line.report.style());
    let result = driver::run(&line.server, &load, report.progress("fill"))?;
    report.add("FILL", &load, &result);
    Ok(report.finish())
}
