//! kv-bench against the real kv-server: every way of loading it, and what it says of the server.

use std::path::Path;
use std::process::{Command, Output};

use kv_core::resp::client::Value;
use kv_tests::browser::{Browser, Seen};
use kv_tests::client::Client;
use kv_tests::process::{Server, program, run};
use kv_tests::python;
use serde_json::Value as Json;

fn bench(server: &Server, args: &str) -> Output {
    let port = server.address().port().to_string();
    let args: Vec<&str> = ["-p", &port, "--json"].into_iter().chain(args.split_whitespace()).collect();
    run(program("kv-bench"), &args, b"")
}

fn result(server: &Server, args: &str) -> Json {
    let output = bench(server, args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args}: {text}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|problem| panic!("{args}: {problem}"))
}

#[test]
fn an_open_loop_verifies_what_it_reads_and_tells_what_it_cost_the_server() {
    let server = Server::start(&["--shards", "2"]);
    let args = "--mix get:50,set:50 -r 2000 --preload --verify -d 32-200 -c 4 -P 8 --rate 20k -n 4000";
    let result = result(&server, args);
    assert_eq!((&result["requests"], &result["mode"], &result["errors"]), (&4000.into(), &"open".into(), &0.into()));
    assert_eq!(result["verified"]["wrong"], 0);
    assert_eq!(result["verified"]["checked"], result["classes"][0]["requests"]);
    assert!(result["server"]["name"].as_str().is_some_and(|name| name.starts_with("kv ")), "{}", result["server"]);
    assert!(result["server"]["cpu_us_per_op"].as_f64().is_some_and(|cpu| cpu > 0.0), "{}", result["server"]);
    assert_eq!(result["server"]["keys"], 2000);
    assert!(matches!(server.client().ask(&["DBSIZE"]), Value::Int(2000)));
}

#[test]
fn every_workload_runs_in_both_protocols() {
    let server = Server::start(&["--shards", "2"]);
    for args in ["", "-3"] {
        for letter in ["a", "b", "c", "d", "e", "f"] {
            // D reads what was inserted last: on another connection it may be asked for before it is there.
            let clients = if letter == "d" { 1 } else { 3 };
            let load = format!("{args} --ycsb {letter} -r 300 --preload -n 300 -c {clients} -P 2 --seed 7");
            let result = result(&server, &load);
            // What follows upon a read, in F, comes on top.
            let requests = result["requests"].as_u64().unwrap();
            assert!(if letter == "f" { requests > 300 } else { requests == 300 }, "{letter}: {requests}");
            assert_eq!(result["errors"], 0, "{letter}: {}", result["first_error"]);
            assert_eq!(result["misses"], 0, "{letter}: what is read was written");
        }
        server.client().ask(&["FLUSHALL"]);
        let cache = result(&server, &format!("{args} --cache-aside -r 50 --ttl 1000 -n 1000 -c 1"));
        assert_eq!((&cache["misses"], &cache["classes"][1]["requests"]), (&50.into(), &50.into()), "{cache}");
        server.client().ask(&["FLUSHALL"]);
    }
}

#[test]
fn two_servers_are_compared_in_rounds() {
    let (one, two) = (Server::start(&["--shards", "1"]), Server::start(&["--shards", "2"]));
    let result = result(&one, &format!("--against {} --rounds 2 -t set -r 100 -n 500 -c 2", two.address()));
    assert_eq!((&result["test"], &result["rounds"]), (&"SET".into(), &2.into()));
    let names: Vec<&str> = result["metrics"].as_array().unwrap().iter().filter_map(|m| m["name"].as_str()).collect();
    assert_eq!(names, ["requests/s", "p50 ms", "p99 ms", "p99.9 ms", "server us/op"]);
}

#[test]
fn a_socket_of_the_system_is_as_good_as_a_port() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kv.sock");
    let path = path.to_str().unwrap();
    let _server = Server::start(&["--unixsocket", path]);
    let output = run(program("kv-bench"), &["-s", path, "--json", "-t", "set", "-n", "500", "-c", "3", "-P", "4"], b"");
    let result: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["requests"], &result["errors"]), (&500.into(), &0.into()));
    assert!(result["server"]["cpu_us_per_op"].is_f64(), "{result}");
    let mut client = Client::unix(path.as_ref()).expect("the server listens there");
    assert!(matches!(client.ask(&["DBSIZE"]), Value::Int(1)));
}

#[test]
fn the_last_argument_can_come_from_the_standard_input() {
    let server = Server::start(&["--shards", "1"]);
    let port = server.address().port().to_string();
    let output = run(program("kv-bench"), &["-p", &port, "-q", "-n", "10", "-c", "1", "-x", "SET", "k"], b"from input");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.client().ask(&["GET", "k"]), Value::Bulk(b"from input".to_vec()));
}

#[test]
fn options_of_redis_benchmark_that_have_no_meaning_are_refused_with_the_reason() {
    let server = Server::start(&["--shards", "1"]);
    for (option, reason) in
        [("--cluster", "knows no cluster"), ("--tls", "speaks no TLS"), ("--sni x", "speaks no TLS")]
    {
        let output = bench(&server, &format!("{option} -t ping -n 1"));
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(reason), "{option}");
    }
}

#[test]
fn what_a_monitor_is_shown_can_be_sent_again() {
    use std::io::{BufRead, BufReader, Write};
    let server = Server::start(&["--shards", "2"]);
    let mut monitor = std::process::Command::new(program("kv-cli"))
        .args(["-p", &server.address().port().to_string(), "--monitor"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(monitor.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("OK"));
    let load = "--mix get:4,set:4,lpush:2,hset:2 -r 40 -d 5-50 -c 3 -P 4 -n 400 --seed 5";
    assert_eq!(result(&server, load)["errors"], 0);
    // In another database, with bytes that are no text, and a transaction.
    let mut client = server.client();
    for request in
        [&[&b"SELECT"[..], b"3"][..], &[b"MULTI"], &[b"SET", b"a b", b"\xff\"\r\n"], &[b"EXEC"], &[b"PING", b"end"]]
    {
        client.ask(request);
    }
    let mut log = tempfile::NamedTempFile::new().unwrap();
    for line in lines {
        writeln!(log, "{line}").unwrap();
        if line.ends_with("\"end\"") {
            break;
        }
    }
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    let other = Server::start(&["--shards", "1"]);
    let replay = format!("-c 10 --replay {}", log.path().display());
    let replayed = result(&other, &replay);
    assert_eq!((&replayed["errors"], &replayed["first_error"]), (&0.into(), &Json::Null));
    let keys = |server: &Server| {
        let mut client = server.client();
        let mut ask = |words: &[&str]| client.ask(words);
        (ask(&["DBSIZE"]), ask(&["LLEN", "mylist"]), ask(&["SELECT", "3"]), ask(&["GET", "a b"]))
    };
    assert_eq!(keys(&other), keys(&server));
    assert_eq!(keys(&other).3, Value::Bulk(b"\xff\"\r\n".to_vec()));
}

#[test]
fn idle_connections_are_held_as_long_as_asked_for() {
    let server = Server::start(&["--shards", "1"]);
    let output = bench(&server, "-I -c 20 --seconds 0.2");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let info = server.client().ask(&["INFO", "stats"]);
    let text = String::from_utf8_lossy(info.bytes().unwrap()).into_owned();
    let connections = text.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
    assert!(connections.trim().parse::<u32>().unwrap() >= 20, "{connections}");
}

#[test]
fn a_suite_compares_case_by_case_and_deletes_nothing_unasked() {
    let (one, two) = (Server::start(&["--shards", "1"]), Server::start(&["--shards", "2"]));
    let suite = format!("suite types --against {} --rounds 2 --scale 0.0005 -c 3 --only zrank,xread", two.address());
    two.client().ask(&["SET", "precious", "v"]);
    let refused = bench(&one, &suite);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--flush"));
    assert_eq!(two.client().ask(&["GET", "precious"]), Value::Bulk(b"v".to_vec()));
    let output = bench(&one, &format!("{suite} --flush"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Json> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let tests: Vec<&str> = lines.iter().filter_map(|line| line["test"].as_str()).collect();
    assert_eq!(tests, ["zrank", "xread 10"]);
    assert!(lines.iter().all(|line| line["rounds"] == 2 && line["runs"][0][0]["errors"] == 0), "{lines:?}");
    assert!(lines[0]["runs"][0][0]["misses"] == 0, "the members that are asked for are there");
}

/// Measures the page when it is whole, and leaves what it found beside it.
const PROBE: &str = r#"<script>
addEventListener("load", () => {
  const inside = (box, of) => box.left >= of.left - 1 && box.right <= of.right + 1 && box.top >= of.top - 1 && box.bottom <= of.bottom + 1;
  const charts = [...document.querySelectorAll("svg")].map(svg => {
    const [frame, lines] = [svg.getBoundingClientRect(), [...svg.querySelectorAll("polyline")]];
    return {
      title: svg.querySelector(".title").textContent,
      lines: lines.map(line => line.points.length),
      colours: lines.map(line => getComputedStyle(line).stroke.match(/\d+/g).map(Number)),
      told: svg.querySelectorAll(".point title").length,
      inside: lines.every(line => inside(line.getBoundingClientRect(), frame)),
      text: Math.min(...[...svg.querySelectorAll("text")].map(text => text.getBoundingClientRect().height)),
    };
  });
  const found = document.createElement("script");
  found.type = "application/json";
  found.textContent = JSON.stringify({
    charts, window: innerWidth, width: document.documentElement.scrollWidth,
    requests: performance.getEntriesByType("resource").map(entry => entry.name),
  });
  parent.document.body.append(found);
});
</script>"#;

/// Makes a report, and opens it in a window of so many pixels. Also what kv-bench told beside it.
fn opened(browser: Browser, server: &Server, args: &str, size: (u32, u32)) -> (Json, Json, Seen) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let told = result(server, &format!("{args} --html {}", path.display()));
    let page = std::fs::read_to_string(path).unwrap();
    // The page forbids every script; the probe alone is let in.
    let policy = "style-src 'unsafe-inline'";
    assert!(page.contains(policy) && page.contains("<title>") && !page.contains("<script"), "{page}");
    let page = page.replacen(policy, &format!("{policy}; script-src 'unsafe-inline'"), 1);
    let seen = browser.open(&page.replacen("<title>", &format!("{PROBE}<title>"), 1), size);
    let found = seen.around.rsplit_once("<script type=\"application/json\">").expect("the probe has run").1;
    let found = serde_json::from_str(found.split_once("</script>").unwrap().0).expect("JSON");
    (told, found, seen)
}

/// A report in a browser: as many points as there is data, everything within the window and large enough to read,
/// nothing asked for and nothing complained of.
fn assert_shown(found: &Json, seen: &Seen, charts: &[(&str, &[usize])]) {
    let shown: Vec<(&str, Vec<usize>)> = found["charts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|chart| (chart["title"].as_str().unwrap(), serde_json::from_value(chart["lines"].clone()).unwrap()))
        .collect();
    let wanted: Vec<(&str, Vec<usize>)> = charts.iter().map(|(title, lines)| (*title, lines.to_vec())).collect();
    assert_eq!(shown, wanted);
    for (chart, (_, lines)) in found["charts"].as_array().unwrap().iter().zip(charts) {
        assert_eq!(chart["told"], lines.iter().sum::<usize>(), "{chart}");
        assert_eq!(chart["inside"], true, "{chart}");
        assert!(chart["text"].as_f64().unwrap() >= 8.0, "{chart}");
        for colour in chart["colours"].as_array().unwrap() {
            let drawn = seen.picture.count(serde_json::from_value(colour.clone()).unwrap());
            assert!(drawn > 50, "{drawn} pixels of a line: {chart}");
        }
    }
    assert!(found["width"].as_u64() <= found["window"].as_u64(), "it is wider than its window: {found}");
    assert_eq!(found["requests"], serde_json::json!([]));
    assert_eq!(seen.console, [""; 0]);
}

#[test]
fn a_report_is_readable_in_a_browser_and_asks_nobody_for_anything() {
    let Some(browser) = Browser::find() else { return };
    let server = Server::start(&["--shards", "2"]);
    let load = "-t get -r 500 --preload --rate 2k --seconds 3";
    let (result, found, seen) = opened(browser, &server, load, (380, 4000));
    assert_eq!((seen.picture.width, &found["window"]), (380, &380.into()));
    let length = |list: &Json| list.as_array().unwrap().len();
    let seconds = result["timeline"].as_array().unwrap().iter().filter(|second| second["partial"] != true);
    let seconds = seconds.count();
    assert!(seconds > 1, "{result}");
    let percentiles = [length(&result["percentiles"]["latency"]), length(&result["percentiles"]["service"])];
    assert_shown(
        &found,
        &seen,
        &[
            ("Latency by percentile", &percentiles),
            ("Throughput over time", &[seconds]),
            ("Latency over time", &[seconds; 3]),
            ("CPU of the server", &[seconds]),
            ("Memory of the server", &[seconds]),
        ],
    );
    let (search, found, seen) = opened(browser, &server, "-t get --find-max p99=1000ms --seconds 0.1", (1400, 1000));
    assert_shown(&found, &seen, &[("Latency against load", &[length(&search["curve"]); 4])]);
}

/// Python looks for its own modules beside a script first: none may have the name of one.
#[test]
fn every_script_starts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kv-bench/scripts");
    let scripts = std::fs::read_dir(folder).expect("the scripts").map(|entry| entry.expect("an entry").path());
    let scripts: Vec<_> = scripts.filter(|path| path.extension().is_some_and(|ext| ext == "py")).collect();
    assert!(!scripts.is_empty());
    for python in python::PYTHONS {
        for script in &scripts {
            let Ok(output) = Command::new(python).arg("-B").arg(script).arg("--help").output() else { continue };
            assert!(output.status.success(), "{python} {script:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
