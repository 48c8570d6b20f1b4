//! LATENCY SLOWLOG: what commands have cost, and what took too long.

use super::{Call, Done, HostFn, help};
use crate::engine::costs::{Entry, Kind, Series};
use kv_core::command::{Args, CommandError, RowId};
use kv_core::resp::Reply;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("LATENCY|DOCTOR", doctor),
    ("LATENCY|GRAPH", graph),
    ("LATENCY|HELP", help),
    ("LATENCY|HISTOGRAM", histogram),
    ("LATENCY|HISTORY", history),
    ("LATENCY|LATEST", latest),
    ("LATENCY|RESET", latency_reset),
    ("SLOWLOG|DETAILS", slowlog_details),
    ("SLOWLOG|GET", slowlog_get),
    ("SLOWLOG|HELP", help),
    ("SLOWLOG|LEN", slowlog_len),
    ("SLOWLOG|RESET", slowlog_reset),
];

// ---- SLOWLOG ----

const ENTRIES: usize = 10;

fn entries(call: &Call<'_>, args: &mut Args<'_>) -> Result<Vec<Entry>, CommandError> {
    let count = match args.left() {
        0 => ENTRIES,
        1 => match args.int() {
            Ok(-1) => usize::MAX,
            Ok(count @ 0..) => count as usize,
            _ => return Err(CommandError::err("count should be greater than or equal to -1")),
        },
        _ => {
            let name = kv_core::command::table().row(call.row).spec.name;
            let text = format!("unknown subcommand or wrong number of arguments for '{name}'. Try SLOWLOG HELP.");
            return Err(CommandError::err(text));
        }
    };
    Ok(call.worker.net.slow_log().last(count))
}

fn words(entry: &Entry, reply: &mut Reply<'_>) {
    let words = &entry.call.words.0;
    reply.array(words.len());
    words.iter().for_each(|word| reply.bulk(word));
}

/// Reply: an array of entries, the last one first: id, second since 1970, microseconds, words, address, name.
/// Errors: the count.
fn slowlog_get(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let entries = entries(call, args)?;
    reply.array(entries.len());
    for entry in &entries {
        reply.array(6);
        reply.int(entry.id as i64);
        reply.int((entry.time / 1000) as i64);
        reply.int(entry.call.us as i64);
        words(entry, reply);
        reply.bulk(entry.client.address.as_bytes());
        reply.bulk(&entry.client.name);
    }
    Ok(())
}

/// Reply: as SLOWLOG GET, each entry a map, with the shard and how long the call waited for it. Errors: the count.
fn slowlog_details(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let entries = entries(call, args)?;
    reply.array(entries.len());
    for entry in &entries {
        let numbers = [
            ("id", entry.id),
            ("time-ms", entry.time),
            ("duration-us", entry.call.us),
            ("wait-us", entry.call.wait_us),
            ("shard", entry.call.shard as u64),
            ("client-id", entry.call.client),
        ];
        reply.map(numbers.len() + 3);
        for (name, value) in numbers {
            reply.bulk(name.as_bytes());
            reply.int(value as i64);
        }
        reply.bulk(b"client-address");
        reply.bulk(entry.client.address.as_bytes());
        reply.bulk(b"client-name");
        reply.bulk(&entry.client.name);
        reply.bulk(b"words");
        words(entry, reply);
    }
    Ok(())
}

fn slowlog_len(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.int(call.worker.net.slow_log().len() as i64);
    Ok(())
}

fn slowlog_reset(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    call.worker.net.slow_log().clear();
    reply.ok();
    Ok(())
}

// ---- LATENCY ----

/// Reply: a map of commands to maps of `calls` and `histogram_usec`: how many calls took at most so many microseconds, by
/// powers of two. What names no command is left out, as in Redis.
fn histogram(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let rows = kv_core::command::table();
    let mut ids: Vec<RowId> = Vec::new();
    if args.left() == 0 {
        ids.extend(0..rows.len() as RowId);
    }
    while args.left() > 0 {
        let name = args.next()?;
        if let Some(id) = rows.by_full_name(name) {
            ids.push(id);
            // Of a container, its subcommands.
            ids.extend(&rows.row(id).subs);
        }
    }
    let net = &call.worker.net;
    let all: Vec<_> = ids.into_iter().map(|id| (id, net.histogram(id))).filter(|(_, h)| h.calls() > 0).collect();
    reply.map(all.len());
    for (id, histogram) in all {
        reply.bulk(rows.row(id).full_name.to_lowercase().as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.int(histogram.calls() as i64);
        reply.bulk(b"histogram_usec");
        let spread = histogram.spread();
        reply.map(spread.len());
        for (us, calls) in spread {
            reply.int(us as i64);
            reply.int(calls as i64);
        }
    }
    Ok(())
}

/// Reply: for each kind of event its name, the second and the milliseconds of the last, and the most milliseconds.
fn latest(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let all = call.worker.net.events().series();
    reply.array(all.len());
    for (kind, series) in all {
        let last = series.last();
        reply.array(4);
        reply.bulk(kind.name().as_bytes());
        reply.int(last.time_s as i64);
        reply.int(last.ms as i64);
        reply.int(series.max_ms as i64);
    }
    Ok(())
}

/// Reply: pairs of second and milliseconds, the earliest first; empty for what has not happened.
fn history(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let series = Kind::from_name(args.next()?).and_then(|kind| call.worker.net.events().of(kind)).unwrap_or_default();
    reply.array(series.samples.len());
    for sample in &series.samples {
        reply.array(2);
        reply.int(sample.time_s as i64);
        reply.int(sample.ms as i64);
    }
    Ok(())
}

/// Reply: of how many kinds something was forgotten.
fn latency_reset(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let events = call.worker.net.events();
    let mut forgotten = 0;
    if args.left() == 0 {
        forgotten += Kind::ALL.into_iter().filter(|&kind| events.forget(kind)).count();
    }
    while args.left() > 0 {
        let kind = Kind::from_name(args.next()?);
        forgotten += usize::from(kind.is_some_and(|kind| events.forget(kind)));
    }
    reply.int(forgotten as i64);
    Ok(())
}

/// Samples that fit a line.
const COLUMNS: usize = 80;
/// The heights that one line of a graph tells apart, and its lines.
const HEIGHTS: [char; 4] = [' ', '_', 'o', '#'];
const LINES: u64 = 4;

/// Reply: the last samples as a picture, each a column with its age below. Errors: there is none of that kind.
fn graph(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let name = args.next()?;
    let kind = Kind::from_name(name);
    let Some((kind, series)) = kind.and_then(|kind| Some((kind, call.worker.net.events().of(kind)?))) else {
        let name = String::from_utf8_lossy(name);
        return Err(CommandError::err(format!("No samples available for event '{name}'")));
    };
    reply.verbatim("txt", drawn(kind, &series, call.worker.now / 1000).as_bytes());
    Ok(())
}

fn drawn(kind: Kind, series: &Series, now_s: u64) -> String {
    let samples: Vec<_> = series.samples.iter().rev().take(COLUMNS).rev().collect();
    let high = samples.iter().map(|sample| sample.ms).max().unwrap_or(0);
    let low = samples.iter().map(|sample| sample.ms).min().unwrap_or(0);
    let name = kind.name();
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", series.max_ms);
    text.push_str(&"-".repeat(COLUMNS));
    text.push('\n');
    let steps = LINES * (HEIGHTS.len() as u64 - 1);
    let height = |ms: u64| 1 + (ms - low) * (steps - 1) / (high - low).max(1);
    for line in (0..LINES).rev() {
        let in_line = |ms: u64| height(ms).saturating_sub(line * (HEIGHTS.len() as u64 - 1)).min(3) as usize;
        text.extend(samples.iter().map(|sample| HEIGHTS[in_line(sample.ms)]));
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<String> = samples.iter().map(|sample| age(now_s.saturating_sub(sample.time_s))).collect();
    for line in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| age.chars().nth(line).unwrap_or(' ')));
        text.push('\n');
    }
    text
}

/// A span for people, as short as it can be.
fn age(s: u64) -> String {
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m", s / 60),
        3600..86_400 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// Reply: what was slow, in words, and what may help.
fn doctor(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let config = call.worker.config();
    let all = call.worker.net.events().series();
    let mut text = String::new();
    if config.latency_monitor_threshold == 0 && all.is_empty() {
        text.push_str(
            "Nobody looks out for slow moments: CONFIG SET latency-monitor-threshold <milliseconds> begins with it.\n",
        );
    } else if all.is_empty() {
        text.push_str("Nothing took long.\n");
    } else {
        for (kind, series) in &all {
            let count = series.samples.len() as u64;
            let mean = series.samples.iter().map(|sample| sample.ms).sum::<u64>() / count;
            let span = series.last().time_s - series.samples[0].time_s;
            text.push_str(&format!(
                " * {}: in {count} seconds of {}, {mean} ms on average, {} ms at most.\n",
                kind.name(),
                span + 1,
                series.max_ms
            ));
        }
        text.push('\n');
        let has = |kind: Kind| all.iter().any(|(of, _)| *of == kind);
        if has(Kind::Command) {
            let slower = config.slowlog_log_slower_than;
            let threshold_us = config.latency_monitor_threshold.saturating_mul(1000);
            if slower < 0 || slower as u64 > threshold_us {
                text.push_str(&format!(
                    " - Let the slow log tell which calls: CONFIG SET slowlog-log-slower-than {threshold_us}\n"
                ));
            }
            text.push_str(" - SLOWLOG DETAILS tells slow calls, their shard, and how long each had waited for it.\n");
        }
        if has(Kind::FastCommand) {
            text.push_str(
                " - A quick command hardly takes long by itself: look for a machine that is short of processors or memory.\n",
            );
        }
        if has(Kind::ExpireCycle) {
            text.push_str(" - Many keys are due at one moment; some spread of their TTLs would help.\n");
        }
    }
    reply.verbatim("txt", text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::costs::Sample;

    #[test]
    fn a_graph_has_a_column_a_sample_with_its_age() {
        let samples = [(10, 20), (70, 40), (90, 30)].map(|(time_s, ms)| Sample { time_s, ms });
        let series = Series { samples: samples.into(), max_ms: 50 };
        let text = drawn(Kind::Command, &series, 100);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 40 ms, low 20 ms (all time high 50 ms)");
        assert_eq!(lines[2..6], [" # ", " # ", " ##", "_##"]);
        assert_eq!(lines[7..], ["131", "m00", " ss"]);
    }
}
