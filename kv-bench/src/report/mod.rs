//! Shows results as they come and writes the files that were asked for. All forms are made of `result` alone.
//!
//! Standard output has the results in one style; everything that passes by (a line a second, progress) goes to standard
//! error, and only when a person can see it.

mod chart;
mod hlog;
mod html;
mod text;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::driver::{self, Interval, Limit, Load, Observer, Progress};
use crate::modes::against::Comparison;
use crate::modes::find_max::MaxResult;
use crate::result::{RunResult, Second, Seconds};
use crate::server::Server;
use hlog::Hlog;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub struct ReportOptions {
    /// One line a test
    #[arg(short = 'q', long, global = true, group = "style")]
    pub quiet: bool,
    /// Comma-separated values, columns as redis-benchmark's and more
    #[arg(long, global = true, group = "style")]
    pub csv: bool,
    /// One JSON object a test
    #[arg(long, global = true, group = "style")]
    pub json: bool,
    /// Decimals of latencies in text and CSV, up to a tenth of a microsecond
    #[arg(long, value_name = "DECIMALS", global = true, default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=4))]
    pub precision: u8,
    /// Writes a histogram for each second of all runs, for HdrHistogram's tools
    #[arg(long, value_name = "FILE", global = true)]
    pub hlog: Option<PathBuf>,
    /// Writes a page with curves, for a browser; it needs no network
    #[arg(long, value_name = "FILE", global = true)]
    pub html: Option<PathBuf>,
    /// Shows a line for each second even when nobody watches
    #[arg(long, global = true)]
    pub progress: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Full,
    Quiet,
    Csv,
    Json,
}

impl ReportOptions {
    pub fn style(&self) -> Style {
        match self {
            ReportOptions { csv: true, .. } => Style::Csv,
            ReportOptions { json: true, .. } => Style::Json,
            ReportOptions { quiet: true, .. } => Style::Quiet,
            ReportOptions { .. } => Style::Full,
        }
    }
}

/// Runs loads, and tells what came of them.
pub struct Report {
    style: Style,
    decimals: usize,
    /// Lines about what goes on are shown.
    live: bool,
    hlog: Option<Hlog>,
    any_result: bool,
    clean: bool,
    html: Option<PathBuf>,
    kept: Kept,
}

/// Everything that was told, for the page that is written at the end.
#[derive(Debug, Default)]
pub struct Kept {
    pub runs: Vec<RunResult>,
    pub searches: Vec<MaxResult>,
    pub comparisons: Vec<Comparison>,
}

impl Report {
    /// Errors: a file that cannot be written.
    pub fn new(options: &ReportOptions) -> Result<Report> {
        let hlog = match &options.hlog {
            Some(path) => Some(Hlog::create(path).with_context(|| format!("--hlog {}", path.display()))?),
            None => None,
        };
        // A page that cannot be written is found out now, not after an hour.
        if let Some(path) = &options.html {
            std::fs::File::create(path).with_context(|| format!("--html {}", path.display()))?;
        }
        let live = options.progress || std::io::stderr().is_terminal();
        Ok(Report {
            style: options.style(),
            decimals: usize::from(options.precision),
            live,
            hlog,
            any_result: false,
            clean: true,
            html: options.html.clone(),
            kept: Kept::default(),
        })
    }

    pub fn style(&self) -> Style {
        self.style
    }

    /// Runs a load and shows each second of it. The result is not told yet: that is [`Report::add`].
    pub fn run(&mut self, server: &Server, load: &Load) -> Result<RunResult> {
        let (live, hlog, name) = (self.live, &mut self.hlog, load.name());
        let mut lost = None;
        let mut show = |interval: &Interval, second: &Second, progress: &Progress<'_>| {
            if live {
                eprintln!("{}", text::second_line(name, second, progress));
            }
            if let Some(Err(problem)) = hlog.as_mut().map(|hlog| hlog.add(name, interval)) {
                lost = Some(problem);
            }
        };
        let mut seconds = Seconds::new(&mut show);
        let outcome = driver::run(server, load, &mut seconds)?;
        let timeline = seconds.seconds;
        if let Some(problem) = lost {
            return Err(problem).context("--hlog");
        }
        let result = RunResult::new(server, load, &outcome, timeline);
        self.clean &= result.is_clean();
        Ok(result)
    }

    /// The same for a run that is told as a part of something else: what went wrong in it must be seen all the same.
    pub fn run_part(&mut self, server: &Server, load: &Load) -> Result<RunResult> {
        let result = self.run(server, load)?;
        warn(&result);
        Ok(result)
    }

    /// Writes every key once, with a bar.
    pub fn preload(&mut self, server: &Server, load: &Load) -> Result<()> {
        let mut bar = Bar { name: "preload", live: self.live };
        let outcome = driver::run(server, load, &mut bar)?;
        if self.live {
            eprintln!("\r\x1b[Kpreload: {} keys in {:.2} s", outcome.requests, outcome.elapsed.as_secs_f64());
        }
        if let Some(error) = outcome.errors.first {
            anyhow::bail!("preload: {} errors, the first: {error}", outcome.errors.count);
        }
        Ok(())
    }

    /// Tells a result.
    pub fn add(&mut self, result: &RunResult) {
        let text = match self.style {
            Style::Full => text::full(result, self.decimals),
            Style::Quiet => text::quiet(result, self.decimals),
            Style::Csv if self.any_result => text::csv(result, self.decimals),
            Style::Csv => text::CSV_HEAD.to_owned() + &text::csv(result, self.decimals),
            Style::Json => json(result),
        };
        self.any_result = true;
        if self.html.is_some() {
            self.kept.runs.push(result.clone());
        }
        self.print(&text);
        if self.style != Style::Full {
            warn(result);
        }
    }

    /// A word about what goes on, for people.
    pub fn say(&self, text: &str) {
        if self.live {
            eprintln!("{text}");
        }
    }

    /// A search has ended, which its caller tells.
    pub fn keep_max(&mut self, result: &MaxResult) {
        self.kept.searches.push(result.clone());
    }

    /// A comparison has ended, which its caller tells.
    pub fn keep_comparison(&mut self, comparison: &Comparison) {
        self.kept.comparisons.push(comparison.clone());
    }

    /// Prints text that is in the style already.
    pub fn print(&mut self, text: &str) {
        print!("{text}");
        let _ = std::io::stdout().flush(); // the next print would tell
    }

    /// Writes the page. True if every reply was what it should be.
    pub fn finish(self) -> Result<bool> {
        if let Some(path) = &self.html {
            let command: Vec<String> = std::env::args().collect();
            std::fs::write(path, html::page(&command.join(" "), &self.kept))
                .with_context(|| format!("--html {}", path.display()))?;
        }
        Ok(self.clean)
    }
}

/// What was wrong with a run, where results do not tell it.
fn warn(result: &RunResult) {
    text::warnings(result).iter().for_each(|warning| eprintln!("kv-bench: {}: {warning}", result.test));
}

/// Something as one line of JSON.
pub fn json(result: &impl Serialize) -> String {
    serde_json::to_string(result).expect("plain fields always serialize") + "\n"
}

/// One line of the terminal that is kept up to date.
struct Bar {
    name: &'static str,
    live: bool,
}

impl Observer for Bar {
    fn second(&mut self, _: u64, progress: &Progress<'_>) {
        if self.live {
            eprint!("\r\x1b[K{}", bar(self.name, progress.requests, progress.elapsed.as_secs_f64(), progress.limit));
        }
    }
}

const BAR_WIDTH: usize = 30;

fn bar(name: &str, requests: u64, seconds: f64, limit: Limit) -> String {
    let by_count = limit.requests.map(|all| requests as f64 / all.max(1) as f64);
    let by_time = limit.time.map(|all| seconds / all.as_secs_f64().max(1e-9));
    // Whichever limit is nearer ends it.
    let done = by_count.into_iter().chain(by_time).fold(0.0, f64::max).min(1.0);
    let full = (done * BAR_WIDTH as f64) as usize;
    let rate = requests as f64 / seconds.max(1e-9);
    format!(
        "{name} [{}{}] {:.0} %, {requests} at {rate:.0}/s",
        "=".repeat(full),
        " ".repeat(BAR_WIDTH - full),
        done * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bar_follows_the_nearer_limit() {
        let limit = Limit { requests: Some(1000), time: Some(Duration::from_secs(4)) };
        assert_eq!(bar("x", 300, 2.0, limit), format!("x [{}{}] 50 %, 300 at 150/s", "=".repeat(15), " ".repeat(15)));
        assert!(bar("x", 5000, 2.0, limit).contains("100 %"));
    }
}
