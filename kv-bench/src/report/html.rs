//! `--html`: a page of its own, with curves, that needs no network and no script, and is forbidden both. In a narrow window
//! the charts shrink and their texts grow; wide tables are scrolled by themselves.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::Kept;
use super::chart::{Axis, Chart, Mark, Scale, Series, escape, short};
use crate::doubts::Doubt;
use crate::modes::against::Comparison;
use crate::modes::find_max::MaxResult;
use crate::result::{Latency, RunResult, curve};

const STYLE: &str = "
:root { color-scheme: light dark; --back: #fff; --text: #1c2330; --soft: #667085; --grid: #e4e7ec; --card: #f7f8fa;
  --c0: #2563eb; --c1: #d9480f; --c2: #15803d; --c3: #9333ea; --warn: #b42318; }
@media (prefers-color-scheme: dark) { :root { --back: #14171c; --text: #e6e9ee; --soft: #98a2b3; --grid: #2c323b;
  --card: #1c2128; --c0: #6ea8fe; --c1: #ff922b; --c2: #51cf66; --c3: #c084fc; --warn: #ff8787; } }
body { background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif; max-width: 1500px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; } .soft { color: var(--soft); }
code { font: 13px ui-monospace, monospace; } pre { background: var(--card); padding: .6rem .8rem; overflow-x: auto; border-radius: 6px; white-space: pre-wrap; }
.tiles { display: flex; flex-wrap: wrap; gap: .7rem; margin: .8rem 0; } .tile { background: var(--card); border-radius: 8px; padding: .5rem .9rem; }
.tile b { display: block; font-size: 1.25rem; } .tile span { color: var(--soft); font-size: .82rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(480px, 100%), 1fr)); gap: 1rem; } svg { width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; } th, td { text-align: right; white-space: nowrap; padding: .2rem .7rem; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 500; }
.doubts { border-left: 3px solid var(--warn); padding-left: .8rem; margin: .8rem 0; } .doubts p { margin: .15rem 0; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); } svg .title { font-size: 13px; fill: var(--text); font-weight: 600; }
.grid { stroke: var(--grid); } .line { fill: none; stroke-width: 2; } .mark { stroke: var(--soft); stroke-dasharray: 3 3; } .limit { stroke: var(--warn); stroke-dasharray: 6 3; }
.line.c0 { stroke: var(--c0); } .line.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); } .line.c3 { stroke: var(--c3); }
.point { opacity: .0; } .point:hover { opacity: 1; } .point.c0 { fill: var(--c0); } .point.c1 { fill: var(--c1); } .point.c2 { fill: var(--c2); } .point.c3 { fill: var(--c3); }
svg .legend { font-weight: 600; } svg .legend.c0 { fill: var(--c0); } svg .legend.c1 { fill: var(--c1); } svg .legend.c2 { fill: var(--c2); } svg .legend.c3 { fill: var(--c3); }
@media (max-width: 640px) { body { padding: 0 .8rem; } svg text, svg .title { font-size: 17px; } svg .event { font-size: 13px; } .line { stroke-width: 3; } }
";

/// The browser is to load and to run nothing, whatever a server's name or a key may hold.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page of everything that was told.
pub fn page(command: &str, kept: &Kept) -> String {
    let mut body = String::new();
    kept.searches.iter().for_each(|search| body += &search_section(search));
    kept.comparisons.iter().for_each(|comparison| body += &comparison_section(comparison));
    kept.runs.iter().for_each(|run| body += &run_section(run));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"><title>kv-bench</title><style>{STYLE}</style></head><body>\n<h1>kv-bench {}</h1>\n<pre>{}</pre>\n{body}</body></html>\n",
        env!("CARGO_PKG_VERSION"),
        escape(command)
    )
}

fn tile(name: &str, value: &str) -> String {
    format!("<div class=\"tile\"><b>{}</b><span>{}</span></div>", escape(value), escape(name))
}

fn tiles(tiles: &[(&str, Option<String>)]) -> String {
    let shown = tiles.iter().filter_map(|(name, value)| Some(tile(name, value.as_ref()?)));
    format!("<div class=\"tiles\">{}</div>\n", shown.collect::<String>())
}

fn doubts_part(doubts: &[Doubt]) -> String {
    if doubts.is_empty() {
        return String::new();
    }
    let lines: String = doubts.iter().map(|doubt| format!("<p>Do not trust: {}</p>", escape(&doubt.text))).collect();
    format!("<div class=\"doubts\">{lines}</div>\n")
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = "<div class=\"wide\"><table><tr>".to_owned();
    head.iter().for_each(|name| text += &format!("<th>{}</th>", escape(name)));
    for row in rows {
        text += "</tr><tr>";
        row.iter().for_each(|cell| text += &format!("<td>{}</td>", escape(cell)));
    }
    text + "</tr></table></div>\n"
}

const LATENCY_HEAD: &[&str] = &["ms", "requests", "avg", "min", "p50", "p90", "p99", "p99.9", "max"];

fn latency_row(name: &str, requests: u64, l: &Latency) -> Vec<String> {
    let times = [l.avg, l.min, l.p50, l.p90, l.p99, l.p999, l.max].map(|time| format!("{time:.3}"));
    [name.to_owned(), requests.to_string()].into_iter().chain(times).collect()
}

fn percentile_chart(series: Vec<Series>) -> String {
    Chart {
        title: "Latency by percentile".to_owned(),
        x: Axis { label: "percentile", scale: Scale::Nines },
        y: Axis { label: "ms", scale: Scale::Log },
        series,
        marks: Vec::new(),
    }
    .svg()
}

fn time_chart(title: &str, y: &'static str, scale: Scale, series: Vec<Series>, marks: Vec<Mark>) -> String {
    let (x, y) = (Axis { label: "seconds", scale: Scale::Linear }, Axis { label: y, scale });
    Chart { title: title.to_owned(), x, y, series, marks }.svg()
}

fn series(name: &str, color: usize, points: impl IntoIterator<Item = (f64, f64)>) -> Series {
    Series { name: name.to_owned(), color, points: points.into_iter().collect() }
}

fn run_section(run: &RunResult) -> String {
    let kind = match run.rate {
        Some(rate) => format!("open loop at {} requests/s", short(rate)),
        None if run.mode == "replay" => "a log at its own moments".to_owned(),
        None => "closed loop".to_owned(),
    };
    let mut text = format!(
        "<h2>{}</h2>\n<div class=\"soft\">{} at {}, {kind}; {} connections, pipeline {}, {} thread{}; {} requests in {:.2} s</div>\n",
        escape(&run.test),
        escape(run.server.name.as_deref().unwrap_or("server")),
        escape(&run.server.address),
        run.connections,
        run.pipeline,
        run.threads,
        if run.threads == 1 { "" } else { "s" },
        run.requests,
        run.seconds
    );
    text += &doubts_part(&run.doubts);
    text += &tiles(&[
        ("requests a second", Some(short(run.rps))),
        ("p50 ms", Some(short(run.latency_ms.p50))),
        ("p99 ms", Some(short(run.latency_ms.p99))),
        ("p99.9 ms", Some(short(run.latency_ms.p999))),
        ("server CPU, us an operation", run.server.cpu_us_per_op.map(short)),
        ("server cores", run.server.cores.map(short)),
        ("bytes a new key", run.server.memory_per_key.map(short)),
        ("errors", (run.errors > 0).then(|| run.errors.to_string())),
        ("wrong values", run.verified.as_ref().map(|verified| format!("{} of {}", verified.wrong, verified.checked))),
        ("unsent", (run.unsent > 0).then(|| run.unsent.to_string())),
    ]);
    let open = run.mode != "closed";
    let mut rows = vec![latency_row("latency", run.requests, &run.latency_ms)];
    if open {
        rows.push(latency_row("service time", run.requests, &run.service_ms));
        rows.extend(run.send_lag_ms.map(|lag| latency_row("send lag", run.requests, &lag)));
    }
    if run.classes.len() > 1 {
        rows.extend(run.classes.iter().map(|class| latency_row(&class.name, class.requests, &class.latency_ms)));
    }
    text += &table(LATENCY_HEAD, &rows);
    text += "<div class=\"charts\">\n";
    let mut curves = vec![series("latency", 0, run.percentiles.latency.iter().copied())];
    if open {
        curves.push(series("service time", 2, run.percentiles.service.iter().copied()));
    }
    text += &percentile_chart(curves);
    let whole: Vec<_> = run.timeline.iter().filter(|second| !second.partial).collect();
    if whole.len() > 1 {
        let marks = || run.events.iter().map(|event| Mark::At(event.at, event.what.clone())).collect::<Vec<_>>();
        let over = |read: fn(&crate::result::Second) -> f64| whole.iter().map(move |second| (second.at, read(second)));
        let rate = series("requests/s", 0, over(|second| second.rps));
        text += &time_chart("Throughput over time", "requests/s", Scale::Linear, vec![rate], marks());
        let times = vec![
            series("p50", 2, over(|second| second.p50_ms)),
            series("p99", 0, over(|second| second.p99_ms)),
            series("max", 1, over(|second| second.max_ms)),
        ];
        text += &time_chart("Latency over time", "ms", Scale::Log, times, marks());
        let seen = |read: fn(&crate::result::Second) -> Option<f64>| {
            whole.iter().filter_map(move |second| Some((second.at, read(second)?))).collect::<Vec<_>>()
        };
        let cores = seen(|second| second.server_cores);
        if cores.len() > 1 {
            let cores = vec![series("cores", 3, cores)];
            text += &time_chart("CPU of the server", "cores", Scale::Linear, cores, marks());
        }
        let memory = seen(|second| Some(second.used_memory? as f64 / f64::from(1 << 20)));
        if memory.len() > 1 {
            let memory = vec![series("used memory", 3, memory)];
            text += &time_chart("Memory of the server", "MiB", Scale::Linear, memory, marks());
        }
    }
    text += "</div>\n";
    for event in &run.events {
        writeln!(text, "<div class=\"soft\">at {:.0} s: {}</div>", event.at, escape(&event.what))
            .expect("a string takes everything");
    }
    text
}

fn search_section(search: &MaxResult) -> String {
    let by_rate = |read: fn(&crate::modes::find_max::Point) -> f64| search.curve.iter().map(move |p| (p.rate, read(p)));
    let mut marks = vec![Mark::Limit(search.objective.limit_ms, search.objective.to_string())];
    marks.extend(search.max_rate.map(|rate| Mark::At(rate, format!("{} a second", short(rate)))));
    let chart = Chart {
        title: "Latency against load".to_owned(),
        x: Axis { label: "requests/s", scale: Scale::Linear },
        y: Axis { label: "ms", scale: Scale::Log },
        series: vec![
            series("p50", 2, by_rate(|p| p.p50_ms)),
            series("p99", 0, by_rate(|p| p.p99_ms)),
            series("p99.9", 1, by_rate(|p| p.p999_ms)),
            series("p99 of the service", 3, by_rate(|p| p.service_p99_ms)),
        ],
        marks,
    };
    let rows: Vec<Vec<String>> = search
        .curve
        .iter()
        .map(|p| {
            let held = if p.held { "held" } else { "too much" };
            let times = [p.p50_ms, p.p99_ms, p.p999_ms, p.service_p99_ms].map(|time| format!("{time:.3}"));
            let cores = p.server_cores.map(|cores| format!("{cores:.2}")).unwrap_or_default();
            let ends = [cores, held.to_owned(), p.doubts.join(" ")];
            [format!("{:.0}", p.rate), format!("{:.0}", p.rps)].into_iter().chain(times).chain(ends).collect()
        })
        .collect();
    format!(
        "<h2>{}: the highest rate with {}</h2>\n<div class=\"soft\">{}</div>\n{}<div class=\"charts\">\n{}</div>\n{}",
        escape(&search.test),
        escape(&search.objective.to_string()),
        escape(&search.server),
        tiles(&[
            ("requests a second keep it", Some(search.max_rate.map_or("none".to_owned(), short))),
            ("requests a second in the closed loop", Some(short(search.closed_rps))),
        ]),
        chart.svg(),
        table(&["rate/s", "answered/s", "p50 ms", "p99", "p99.9", "p99 of the service", "cores", "", ""], &rows)
    )
}

/// All rounds of one side in one histogram.
fn together<'a>(mut runs: impl Iterator<Item = &'a RunResult>) -> Option<Histogram<u64>> {
    let mut sum = runs.next()?.histogram.clone();
    runs.for_each(|run| sum.add(&run.histogram).expect("all have the same bounds"));
    Some(sum)
}

fn comparison_section(comparison: &Comparison) -> String {
    let rows: Vec<Vec<String>> = comparison
        .metrics
        .iter()
        .map(|m| {
            let interval = m.interval.map_or("one round".to_owned(), |(low, high)| format!("{low:.3} to {high:.3}"));
            let better = m.better.map_or(String::new(), |better| format!("{better} is better"));
            vec![m.name.to_owned(), short(m.a), short(m.b), format!("{:.3}", m.ratio), interval, better]
        })
        .collect();
    let curves = [
        ("A", 0, together(comparison.runs.iter().map(|(a, _)| a))),
        ("B", 1, together(comparison.runs.iter().map(|(_, b)| b))),
    ];
    let curves = curves.into_iter().filter_map(|(name, color, all)| Some(series(name, color, curve(&all?))));
    let by_round = |read: fn(&RunResult) -> f64| {
        let of = |name, color, pick: fn(&(RunResult, RunResult)) -> &RunResult| {
            series(
                name,
                color,
                comparison.runs.iter().enumerate().map(|(at, pair)| (at as f64 + 1.0, read(pick(pair)))),
            )
        };
        vec![of("A", 0, |pair| &pair.0), of("B", 1, |pair| &pair.1)]
    };
    let rounds = Chart {
        title: "Throughput by round".to_owned(),
        x: Axis { label: "round", scale: Scale::Linear },
        y: Axis { label: "requests/s", scale: Scale::Linear },
        series: by_round(|run| run.rps),
        marks: Vec::new(),
    };
    format!(
        "<h2>{}: A against B</h2>\n<div class=\"soft\">A: {}; B: {}; {} rounds, by turns</div>\n{}{}<div class=\"charts\">\n{}{}</div>\n",
        escape(&comparison.test),
        escape(&comparison.a),
        escape(&comparison.b),
        comparison.rounds,
        doubts_part(&comparison.doubts),
        table(&["median", "A", "B", "A/B", "95 % confidence", ""], &rows),
        percentile_chart(curves.collect()),
        rounds.svg()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modes::against;
    use crate::modes::find_max::Point;
    use crate::result::{Event, Second, sample};
    use crate::server::Server;

    fn kept() -> Kept {
        let mut run = sample();
        run.test = "SET <x>".to_owned();
        run.mode = "open";
        run.rate = Some(500.0);
        run.doubts = vec![Doubt::new("noisy", "it was noisy".to_owned())];
        run.events = vec![Event { at: 1.0, what: "snapshot begins".to_owned() }];
        let second = |at: f64| Second {
            at,
            rps: 500.0 + at,
            p50_ms: 0.1,
            p99_ms: 0.5,
            max_ms: 3.0,
            errors: 0,
            partial: false,
            server_cores: Some(0.7),
            used_memory: Some(5 << 20),
        };
        run.timeline = (0..5).map(|at| second(f64::from(at))).collect();
        let point = |rate: f64| Point {
            rate,
            rps: rate,
            objective_ms: rate / 100.0,
            p50_ms: 0.1,
            p99_ms: rate / 100.0,
            p999_ms: rate / 50.0,
            service_p99_ms: 0.2,
            server_cores: None,
            held: rate < 200.0,
            doubts: vec!["noisy"],
        };
        let search = MaxResult {
            test: "GET".to_owned(),
            server: "kv 1".to_owned(),
            objective: "p99=2ms".parse().unwrap(),
            max_rate: Some(180.0),
            closed_rps: 400.0,
            curve: [100.0, 180.0, 300.0].map(point).to_vec(),
        };
        let mut run_one = |_: &Server, _: &crate::driver::Load| Ok(sample());
        let servers = [&Server::local(1), &Server::local(2)];
        let comparison = against::compare(servers, &crate::args::tests_load("-t get"), 2, &mut run_one).unwrap();
        Kept { runs: vec![run], searches: vec![search], comparisons: vec![comparison] }
    }

    #[test]
    fn the_page_shows_everything_and_asks_nobody_for_anything() {
        let page = page("kv-bench --mix 'a<b'", &kept());
        for part in [
            "SET &lt;x&gt;",
            "it was noisy",
            "snapshot begins",
            "Latency against load",
            "p99 &lt;= 2 ms",
            "A against B",
            "a&lt;b",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(page.matches("<svg").count(), 5 + 1 + 2);
        for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf\""));
    }

    #[test]
    fn every_element_is_closed_by_its_own_end() {
        let page = page("kv-bench", &kept());
        let mut open = Vec::new();
        let mut rest = page.as_str();
        while let Some(at) = rest.find('<') {
            let end = rest[at..].find('>').map(|end| at + end).expect("a tag ends");
            let tag = &rest[at + 1..end];
            rest = &rest[end + 1..];
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "before {}", &rest[..rest.len().min(60)]);
            } else if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}
