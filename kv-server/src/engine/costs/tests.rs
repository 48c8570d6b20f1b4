use super::*;
use crate::engine::testing::{Client as TestClient, TestServer};
use std::sync::atomic::Ordering::Relaxed;

/// A server whose clock goes on by a millisecond at each look.
fn slow_server(workers: usize) -> (TestServer, TestClient) {
    let mut server = TestServer::new(workers);
    server.system.look_ns.store(1_000_000, Relaxed);
    let client = server.connect(0);
    (server, client)
}

fn stats_of(server: &mut TestServer, client: TestClient, name: &str) -> String {
    let text = server.text(client, "INFO commandstats");
    let line = text.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
    line.map(|line| line.split_once(':').unwrap().1.to_owned()).unwrap_or_default()
}

#[test]
fn calls_are_counted_once_wherever_they_run() {
    for workers in [1, 3] {
        let (mut server, client) = slow_server(workers);
        for n in 0..10 {
            server.run(client, &format!("SET {n} v"));
        }
        server.run(client, "MSET 1 a 2 b 3 c 4 d 5 e 6 f");
        server.run(client, "RENAME 1 77");
        server.run(client, "DBSIZE");
        server.run(client, "CONFIG SET timeout 0");
        server.run(client, "LPUSH 2 x");
        server.run(client, "GET");
        server.run(client, "GE");
        for (name, calls, rejected, failed) in [
            ("set", 10, 0, 0),
            ("mset", 1, 0, 0),
            ("rename", 1, 0, 0),
            ("dbsize", 1, 0, 0),
            ("config|set", 1, 0, 0),
            ("lpush", 1, 0, 1),
            ("get", 0, 1, 0),
        ] {
            let stats = stats_of(&mut server, client, name);
            let fields: Vec<&str> = stats.split(',').collect();
            assert_eq!(fields[0], format!("calls={calls}"), "{name} with {workers} workers");
            assert_eq!(fields[3..], [format!("rejected_calls={rejected}"), format!("failed_calls={failed}")], "{name}");
        }
        // One look at the clock when a call alone in its turn begins, one at its end.
        assert!(stats_of(&mut server, client, "set").starts_with("calls=10,usec=10000,usec_per_call=1000.00,"));
        assert_eq!(stats_of(&mut server, client, "ge"), "");
        server.run(client, "CONFIG RESETSTAT");
        assert_eq!(stats_of(&mut server, client, "set"), "");
    }
}

#[test]
fn quick_calls_share_two_looks_at_the_clock_and_slow_ones_have_their_own() {
    let (mut server, client) = slow_server(1);
    let requests = ["SET k v\r\n".repeat(10), "SORT k\r\n".repeat(10)].concat();
    server.send(client, &requests);
    server.work();
    assert!(stats_of(&mut server, client, "set").starts_with("calls=10,usec=1000,usec_per_call=100.00,"));
    assert!(stats_of(&mut server, client, "sort").starts_with("calls=10,usec=10000,"));
    let text = server.text(client, "INFO latencystats");
    assert!(text.contains("latency_percentiles_usec_set:p50=100."), "{text}");
    server.run(client, "CONFIG SET latency-tracking-info-percentiles 10");
    let text = server.text(client, "INFO latencystats");
    assert!(text.contains("latency_percentiles_usec_sort:p10=1003.519\r\n"), "{text}");
    assert!(!server.text(client, "INFO").contains("cmdstat_"));
    assert!(server.text(client, "INFO everything").contains("cmdstat_set"));
}

#[test]
fn in_scripts_some_of_many_quick_calls_are_timed_for_all() {
    let (mut server, client) = slow_server(1);
    server.run(client, "EVAL \"for n=1,200 do redis.call('get','k') end\" 0");
    assert!(stats_of(&mut server, client, "get").starts_with("calls=200,usec=200000,usec_per_call=1000.00,"));
    // Two looks at the clock for each of the first 64 and for every eighth of the others, and one at the end.
    assert!(stats_of(&mut server, client, "eval").starts_with("calls=1,usec=163000,"));
    let text = server.text(client, "INFO latencystats");
    assert!(text.contains("latency_percentiles_usec_get:p50=1003.519,p99=1003.519"), "{text}");
    // An event must not hide among calls that are not looked at.
    server.run(client, "CONFIG SET latency-monitor-threshold 1");
    server.run(client, "CONFIG RESETSTAT");
    server.run(client, "EVAL \"for n=1,200 do redis.call('get','k') end\" 0");
    assert!(stats_of(&mut server, client, "eval").starts_with("calls=1,usec=401000,"));
}

#[test]
fn slow_calls_are_kept_with_who_asked_and_how_long_they_waited() {
    for workers in [1, 3] {
        let (mut server, client) = slow_server(workers);
        server.run(client, "CLIENT SETNAME me");
        server.run(client, "CONFIG SET slowlog-log-slower-than 1000");
        let many = (0..40).map(|n| format!(" member{n}")).collect::<String>();
        server.run(client, &format!("SADD k {}{many}", "x".repeat(200)));
        // Three looks at the clock: when its turn began, when it began, when it was over.
        server.run(client, "SORT k ALPHA LIMIT 0 1");
        let log = server.net.slow_log().last(10);
        let call = &log[0].call;
        assert_eq!(call.words.0[0][..], *b"SORT");
        assert_eq!((call.us, call.wait_us, call.client), (1000, 1000, client.id));
        assert_eq!(log[0].client.name, b"me");
        server.run(client, "CONFIG SET slowlog-log-slower-than 0");
        server.run(client, "SLOWLOG RESET");
        server.run(client, &format!("SADD k {}{many}", "x".repeat(200)));
        server.run(client, "CONFIG SET requirepass secret");
        let log = server.net.slow_log().last(10);
        let sadd = log.iter().find(|entry| entry.call.words.0[0][..] == *b"SADD").expect("every call is slow");
        let words = &sadd.call.words.0;
        assert_eq!(words.len(), 32);
        assert!(words[2].ends_with(b"... (72 more bytes)"));
        assert_eq!(words[31][..], *b"... (12 more arguments)");
        let config: Vec<&Entry> = log.iter().filter(|entry| entry.call.words.0[0][..] == *b"CONFIG").collect();
        assert!(config.iter().all(|entry| entry.call.words.0[3][..] == *b"(redacted)"), "{config:?}");
        let ids: Vec<u64> = log.iter().map(|entry| entry.id).collect();
        assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
        server.run(client, "CONFIG SET slowlog-max-len 1");
        server.run(client, "PING");
        assert_eq!(server.net.slow_log().len(), 1);
    }
}

#[test]
fn what_takes_as_long_as_the_threshold_is_an_event() {
    let (mut server, client) = slow_server(1);
    server.run(client, "KEYS *");
    assert_eq!(server.run(client, "LATENCY LATEST"), "[]");
    server.run(client, "CONFIG SET latency-monitor-threshold 1");
    server.run(client, "KEYS *");
    let events = server.net.events();
    let series = events.of(Kind::Command).expect("it took a millisecond");
    assert_eq!((series.max_ms, series.samples.len()), (1, 1));
    assert!(events.of(Kind::ExpireCycle).is_some());
    server.run(client, "CONFIG SET latency-monitor-threshold 0");
    assert_eq!(server.run(client, "LATENCY RESET nothing command"), ":1");
    assert_eq!(server.run(client, "LATENCY HISTORY command"), "[]");
}

#[test]
fn a_spread_tells_calls_by_powers_of_two() {
    let mut histogram = Histogram::default();
    histogram.record(900, 3);
    histogram.record(30_000, 1);
    histogram.record(u64::MAX, 1);
    let spread = histogram.spread();
    assert_eq!(spread[..2], [(1, 3), (33, 4)]);
    assert_eq!(spread.last().map(|&(_, calls)| calls), Some(5));
    assert_eq!(histogram.calls(), 5);
}
