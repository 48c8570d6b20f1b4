//! The driver against a server of a few lines, which answers whatever comes by what it is asked.

use super::*;
use crate::testing::serve;
use crate::workload::{Shape, Test};

fn load(test: &str, connections: u32, pipeline: u32, requests: u64) -> Load {
    let test = Test::named(test, &Shape { multi_keys: 3 }).unwrap();
    Load {
        template: Template::new(&test.args, 10),
        numbers: Numbers::Random { keys: 1000, seed: 1 },
        connections,
        pipeline,
        threads: connections.min(2),
        limit: Limit { requests: Some(requests), time: None },
        data_bytes: 10,
    }
}

#[test]
fn exactly_as_many_requests_are_sent_as_asked_for() {
    for (connections, pipeline, requests) in [(1, 1, 1), (3, 4, 50), (5, 16, 1000), (8, 7, 3)] {
        let server = serve(|_, args| {
            assert_eq!(args.len(), 3);
            Some(b"+OK\r\n".to_vec())
        });
        let outcome = run(&server, &load("set", connections, pipeline, requests), |_| ()).unwrap();
        assert_eq!(outcome.requests, requests);
        assert_eq!(outcome.latency.len(), requests);
        assert_eq!(outcome.errors.count, 0);
        assert!(outcome.latency.max() > 0 && outcome.slowest_at < requests);
    }
}

#[test]
fn replies_of_every_shape_are_counted_and_errors_told() {
    let server = serve(|n, _| {
        Some(match n % 5 {
            0 => b"$13\r\n-ERR no\r\n+x\r\n\r\n".to_vec(),
            1 => b"*2\r\n-ERR within\r\n$-1\r\n".to_vec(),
            2 => b"-ERR wanted\r\n".to_vec(),
            3 => b":12345\r\n".to_vec(),
            _ => b"%1\r\n+a\r\n*2\r\n_\r\n#t\r\n".to_vec(),
        })
    });
    let outcome = run(&server, &load("get", 2, 10, 500), |_| ()).unwrap();
    assert_eq!(outcome.requests, 500);
    assert_eq!(outcome.errors.count, 100);
    assert_eq!(outcome.errors.first.as_deref(), Some("ERR wanted"));
}

#[test]
fn a_sequence_names_every_key_once() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let server = serve({
        let seen = seen.clone();
        move |_, args| {
            seen.lock().unwrap().push(args[1].bytes().unwrap().to_vec());
            Some(b"+OK\r\n".to_vec())
        }
    });
    let load = Load { numbers: Numbers::Sequence { keys: 333 }, ..load("set", 4, 10, 333) };
    run(&server, &load, |_| ()).unwrap();
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.sort();
    assert_eq!(seen, (0..333).map(|key| format!("key:{key:012}").into_bytes()).collect::<Vec<_>>());
}

#[test]
fn time_ends_a_load_too() {
    let server = serve(|_, _| Some(b"+OK\r\n".to_vec()));
    let limit = Limit { requests: None, time: Some(Duration::from_millis(50)) };
    let outcome = run(&server, &Load { limit, ..load("set", 2, 2, 1) }, |_| ()).unwrap();
    assert!(outcome.requests > 0 && outcome.elapsed >= limit.time.unwrap());
}

#[test]
fn a_server_that_hangs_up_or_speaks_nonsense_is_a_failure() {
    let server = serve(|n, _| (n < 20).then(|| b"+OK\r\n".to_vec()));
    let error = run(&server, &load("set", 2, 4, 1000), |_| ()).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("closed the connection") || text.contains("connection broke"), "{text}");

    let server = serve(|n, _| Some(if n < 20 { b"+OK\r\n".to_vec() } else { b"HTTP/1.1 400\r\n".to_vec() }));
    let error = run(&server, &load("set", 2, 4, 1000), |_| ()).unwrap_err();
    assert!(error.to_string().contains("not a reply"), "{error}");

    let server = serve(|_, _| Some(b"+OK\r\n+OK\r\n".to_vec()));
    let error = run(&server, &load("set", 1, 1, 1000), |_| ()).unwrap_err();
    assert!(error.to_string().contains("more replies"), "{error}");
}
