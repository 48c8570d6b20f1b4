//! Results as text: for people, one line a test, CSV. Latencies have as many decimals as `--precision` says.

use std::fmt::Write;

use crate::driver::Progress;
use crate::result::{Latency, RunResult, Second};

/// The first eight are redis-benchmark's, in its order.
pub const CSV_HEAD: &str = concat!(
    r#""test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","#,
    r#""max_latency_ms","p90_latency_ms","p99.9_latency_ms","requests","errors","rate","p50_service_ms","#,
    r#""p99_service_ms","p99.9_service_ms","p99_send_lag_ms","server_cpu_us_per_op","client_cpu_us_per_op","doubts""#,
    "\n"
);

pub fn csv(result: &RunResult, decimals: usize) -> String {
    let RunResult { latency_ms: latency, service_ms: service, .. } = result;
    let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let time = |time: f64| format!("{time:.decimals$}");
    let doubts: Vec<&str> = result.doubts.iter().map(|doubt| doubt.code).collect();
    let mut line = format!("\"{}\",\"{:.2}\"", result.test.replace('"', "\"\""), result.rps);
    let times =
        [latency.avg, latency.min, latency.p50, latency.p95, latency.p99, latency.max, latency.p90, latency.p999];
    let rest = [
        result.requests.to_string(),
        result.errors.to_string(),
        optional(result.rate),
        time(service.p50),
        time(service.p99),
        time(service.p999),
        result.send_lag_ms.map(|lag| time(lag.p99)).unwrap_or_default(),
        optional(result.server.cpu_us_per_op),
        optional(result.client.cpu_us_per_op),
        doubts.join(" "),
    ];
    for field in times.into_iter().map(time).chain(rest) {
        write!(line, ",\"{field}\"").expect("a string takes everything");
    }
    line + "\n"
}

pub fn quiet(result: &RunResult, decimals: usize) -> String {
    let latency = result.latency_ms;
    let mut line = format!("{}: {:.2} requests per second, {latency:.decimals$} ms", result.test, result.rps);
    if let Some(cpu) = result.server.cpu_us_per_op {
        write!(line, ", server {cpu:.3} us/op").expect("a string takes everything");
    }
    line + "\n"
}

/// What everybody should see, whatever the style.
pub fn warnings(result: &RunResult) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(error) = &result.first_error {
        warnings.push(format!("{} errors, the first: {error}", result.errors));
    }
    if let Some(verified) = result.verified.as_ref().filter(|verified| verified.wrong > 0) {
        let first = verified.first_wrong.as_deref().unwrap_or_default();
        warnings.push(format!("{} of {} values were wrong, the first: {first}", verified.wrong, verified.checked));
    }
    warnings
}

fn plural(n: u32, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

/// A number with its thousands set apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && digit.is_ascii_digit() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..0x10_0000 => format!("{:.1} KiB", n as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", n as f64 / 1048576.0),
        _ => format!("{:.2} GiB", n as f64 / 1073741824.0),
    }
}

/// Rows of percentiles under one head.
fn latency_table(rows: &[(String, Latency)], decimals: usize) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(12);
    let mut text = format!(
        "  {:width$} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "ms", "avg", "min", "p50", "p90", "p99", "p99.9", "max"
    );
    for (name, l) in rows {
        let times =
            [l.avg, l.min, l.p50, l.p90, l.p99, l.p999, l.max].map(|time| format!("{time:>9.decimals$}")).join(" ");
        text += &format!("  {name:width$} {times}\n");
    }
    text
}

pub fn full(result: &RunResult, decimals: usize) -> String {
    let keys = match result.keyspace {
        Some(keys) => format!(", {} keys", grouped(keys as f64)),
        None if result.logged => String::new(),
        None => ", one key".to_owned(),
    };
    let values = result.data_bytes.map_or(String::new(), |bytes| format!(", values of {bytes} bytes"));
    let name = result.server.name.as_deref().unwrap_or("server");
    let loop_kind = match result.rate {
        Some(rate) => format!("open loop at {} requests/s", grouped(rate)),
        None if result.mode == "replay" => "replay at the log's moments".to_owned(),
        None => "closed loop".to_owned(),
    };
    let mut text = format!(
        "====== {} ======\n  {name} at {}, {loop_kind}\n  {} requests in {:.2} s: {}, pipeline {}, {}{values}{keys}\n  \
         throughput: {} requests/s\n\n",
        result.test,
        result.server.address,
        grouped(result.requests as f64),
        result.seconds,
        plural(result.connections, "connection"),
        result.pipeline,
        plural(result.threads, "thread"),
        grouped(result.rps),
    );
    text += &latency_table(&rows(result), decimals);
    text += &picture(&result.distribution);
    text += &classes(result, decimals);
    text += &costs(result);
    for event in &result.events {
        text += &format!("  at {:.0} s: {}\n", event.at, event.what);
    }
    if let Some(verified) = &result.verified {
        text += &format!("  verified: {} values, {} wrong\n", grouped(verified.checked as f64), verified.wrong);
    }
    for warning in warnings(result) {
        text += &format!("  ERRORS: {warning}\n");
    }
    for doubt in &result.doubts {
        text += &format!("  do not trust: {}\n", doubt.text);
    }
    text + "\n"
}

fn rows(result: &RunResult) -> Vec<(String, Latency)> {
    if result.mode == "closed" {
        return vec![("latency".to_owned(), result.latency_ms)];
    }
    let mut rows = vec![("latency".to_owned(), result.latency_ms), ("service time".to_owned(), result.service_ms)];
    rows.extend(result.send_lag_ms.map(|lag| ("send lag".to_owned(), lag)));
    rows
}

const PICTURE_WIDTH: f64 = 50.0;

/// A histogram of a few lines: two steps of the distribution each.
fn picture(distribution: &[(f64, f64)]) -> String {
    let lines: Vec<(f64, f64)> = distribution
        .chunks(2)
        .filter_map(|pair| Some((pair.last()?.0, pair.iter().map(|(_, share)| share).sum())))
        .collect();
    let most = lines.iter().map(|(_, share)| *share).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let mut text = "\n".to_owned();
    for (bound, share) in lines {
        let bar = "#".repeat((share / most * PICTURE_WIDTH).ceil() as usize);
        text += &format!("  to {bound:>9.3} ms {:>6.2} % {bar}\n", share * 100.0);
    }
    text + "\n"
}

fn classes(result: &RunResult, decimals: usize) -> String {
    if result.classes.len() < 2 {
        let hits = result.classes.first().filter(|class| class.misses > 0).and_then(|class| class.hit_ratio);
        return hits.map_or(String::new(), |ratio| format!("  hits: {:.2} %\n", ratio * 100.0));
    }
    let rows: Vec<_> = result.classes.iter().map(|class| (class.name.clone(), class.latency_ms)).collect();
    let mut text = latency_table(&rows, decimals);
    for class in &result.classes {
        let hits = class.hit_ratio.filter(|_| class.misses > 0);
        let hits = hits.map_or(String::new(), |ratio| format!(", hits {:.2} %", ratio * 100.0));
        text +=
            &format!("  {}: {} requests, {}/s{hits}\n", class.name, grouped(class.requests as f64), grouped(class.rps));
    }
    text
}

fn costs(result: &RunResult) -> String {
    let mut parts = Vec::new();
    if let Some(cpu) = result.server.cpu_us_per_op {
        let cores = result.server.cores.unwrap_or(0.0);
        parts.push(format!("server: {cpu:.3} us of CPU an operation, {cores:.2} cores"));
    }
    if let Some(memory) = result.server.used_memory {
        parts.push(format!("memory {}", bytes(memory)));
    }
    if let Some(per_key) = result.server.memory_per_key {
        parts.push(format!("{per_key:.0} bytes a new key"));
    }
    if let Some(cpu) = result.client.cpu_us_per_op {
        parts.push(format!("client: {cpu:.3} us an operation"));
    }
    if parts.is_empty() { String::new() } else { format!("  {}\n", parts.join(", ")) }
}

/// What is told after each second.
pub fn second_line(name: &str, second: &Second, progress: &Progress<'_>) -> String {
    let mut line = format!(
        "{name} {:>4.0} s  {:>11}/s  p50 {:.3}  p99 {:.3}  max {:.3} ms",
        progress.elapsed.as_secs_f64(),
        grouped(second.rps),
        second.p50_ms,
        second.p99_ms,
        second.max_ms
    );
    if second.errors > 0 {
        write!(line, "  {} errors", second.errors).expect("a string takes everything");
    }
    if let Some(memory) = second.used_memory {
        write!(line, "  memory {}", bytes(memory)).expect("a string takes everything");
    }
    let by_count = progress.limit.requests.map(|all| progress.requests as f64 / all.max(1) as f64);
    let by_time = progress.limit.time.map(|all| progress.elapsed.as_secs_f64() / all.as_secs_f64().max(1e-9));
    let done = by_count.into_iter().chain(by_time).fold(0.0, f64::max).min(1.0);
    write!(line, "  {:.0} %", done * 100.0).expect("a string takes everything");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubts::Doubt;
    use crate::report::json;
    use crate::result::sample;

    #[test]
    fn every_style_tells_throughput_and_errors() {
        let mut result = sample();
        result.errors = 1;
        result.first_error = Some("ERR x".to_owned());
        let text = full(&result, 3);
        assert!(
            text.contains("throughput: 500 requests/s") && text.contains("ERRORS: 1 errors, the first: ERR x"),
            "{text}"
        );
        assert!(text.contains("1 connection, pipeline 2, 1 thread, values of 3 bytes, one key"), "{text}");
        result.logged = true;
        assert!(full(&result, 3).contains("values of 3 bytes\n"), "a log has keys of its own");
        assert!(quiet(&result, 3).starts_with("SET: 500.00 requests per second, avg 1.5"));
        let line = csv(&result, 3);
        assert_eq!(line.matches(',').count(), CSV_HEAD.matches(',').count());
        assert!(line.starts_with("\"SET\",\"500.00\",\"1.5"), "{line}");
        let json: serde_json::Value = serde_json::from_str(&json(&result)).unwrap();
        assert_eq!((&json["rps"], &json["errors"]), (&500.0.into(), &1.into()));
        assert!(json["latency_ms"]["p99.9"].is_number());
    }

    #[test]
    fn an_open_loop_tells_both_times_and_what_not_to_trust() {
        let mut result = sample();
        result.mode = "open";
        result.rate = Some(12345.0);
        result.send_lag_ms = Some(Latency { p99: 0.5, ..Latency::default() });
        result.doubts = vec![Doubt::new("noisy", "it was noisy".to_owned())];
        let text = full(&result, 3);
        for part in
            ["open loop at 12,345 requests/s", "latency ", "service time ", "send lag ", "do not trust: it was noisy"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(csv(&result, 3).ends_with(",\"noisy\"\n"));
    }

    #[test]
    fn times_have_as_many_decimals_as_are_asked_for() {
        let mut result = sample();
        result.latency_ms.p99 = 1.23456;
        result.service_ms.p99 = 7.65432;
        for (decimals, latency, service) in [(0, "1", "8"), (1, "1.2", "7.7"), (4, "1.2346", "7.6543")] {
            let (full, quiet, line) = (full(&result, decimals), quiet(&result, decimals), csv(&result, decimals));
            assert!(
                full.contains(&format!(" {latency} ")) && quiet.contains(&format!("  p99 {latency}  ")),
                "{full}{quiet}"
            );
            assert!(line.contains(&format!("\"{latency}\"")) && line.contains(&format!("\"{service}\"")), "{line}");
        }
    }

    #[test]
    fn numbers_are_set_for_reading() {
        assert_eq!(
            ["0", "999", "1,000", "12,345,678"],
            [0.0, 999.0, 1000.0, 12_345_678.0].map(grouped).each_ref().map(String::as_str)
        );
        assert_eq!([bytes(5), bytes(2048), bytes(3 << 20), bytes(5 << 30)], ["5 B", "2.0 KiB", "3.0 MiB", "5.00 GiB"]);
    }
}
