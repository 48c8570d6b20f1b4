//! `--stat`: a line of INFO's figures every second. Rates are of the time since the line before.

use std::time::{Duration, Instant};

use super::{Pace, Stop, now, print, wait_until};
use crate::args::Target;
use crate::info::{Info, bytes_text};
use crate::wire::{Problem, Wire};

/// A head line stands above so many lines.
const LINES_A_HEAD: u64 = 20;

pub fn run(target: &Target, pace: Pace) -> Result<(), Problem> {
    let mut wire = Wire::open(target)?;
    let stop = Stop::listen()?;
    let interval = pace.interval.unwrap_or(Duration::from_secs(1));
    let mut before: Option<(Instant, Figures)> = None;
    let mut due = now();
    let mut lines = 0;
    while pace.lines.is_none_or(|wanted| lines < wanted) && !stop.is_asked() {
        let info = Info::read(&wire.demand(&["INFO"])?);
        let (at, figures) = (now(), Figures::of(&info));
        let head = if lines % LINES_A_HEAD == 0 { HEAD } else { "" };
        let span = before.map(|(then, old)| (at.duration_since(then), old));
        print(&format!("{head}{}", line(&info, figures, span)))?;
        before = Some((at, figures));
        lines += 1;
        due += interval;
        wait_until(due, &stop);
    }
    Ok(())
}

const HEAD: &str =
    "        keys    memory  clients  blocked      ops/s    in/s     out/s   cpu %        requests  connections\n";

/// What is counted from the server's start.
#[derive(Clone, Copy)]
struct Figures {
    requests: u64,
    input: u64,
    output: u64,
    cpu: f64,
}

impl Figures {
    fn of(info: &Info) -> Figures {
        Figures {
            requests: info.count("total_commands_processed"),
            input: info.count("total_net_input_bytes"),
            output: info.count("total_net_output_bytes"),
            cpu: info.number("used_cpu_sys").unwrap_or(0.0) + info.number("used_cpu_user").unwrap_or(0.0),
        }
    }
}

fn line(info: &Info, now: Figures, before: Option<(Duration, Figures)>) -> String {
    let rate = |count: fn(&Figures) -> f64| {
        let (span, old) = before?;
        // A server that was started anew counts from 0.
        Some((count(&now) - count(&old)).max(0.0) / span.as_secs_f64().max(1e-9))
    };
    let whole = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
    let bytes = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| bytes_text(rate as u64));
    format!(
        "{:>12} {:>9} {:>8} {:>8} {:>10} {:>7} {:>9} {:>7} {:>15} {:>12}\n",
        info.keys(),
        bytes_text(info.count("used_memory")),
        info.count("connected_clients"),
        info.count("blocked_clients"),
        whole(rate(|figures| figures.requests as f64)),
        bytes(rate(|figures| figures.input as f64)),
        bytes(rate(|figures| figures.output as f64)),
        whole(rate(|figures| figures.cpu * 100.0)),
        now.requests,
        info.count("total_connections_received"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rates_once_there_is_a_line_before() {
        let info = Info::parse("connected_clients:3\r\nused_memory:1048576\r\ndb0:keys=7,expires=1\r\ndb3:keys=2\r\n");
        let figures = |requests| Figures { requests, input: 2048 * requests, output: 0, cpu: requests as f64 / 1000.0 };
        let words = |line: String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let first = words(line(&info, figures(100), None));
        assert_eq!(first, ["9", "1.0M", "3", "0", "-", "-", "-", "-", "100", "0"]);
        let second = words(line(&info, figures(300), Some((Duration::from_secs(2), figures(100)))));
        assert_eq!(second[4..8], ["100", "200K", "0B", "10"].map(str::to_owned));
        let restarted = words(line(&info, figures(0), Some((Duration::from_secs(2), figures(100)))));
        assert_eq!(restarted[4], "0");
    }
}
