//! The driver against servers of a few lines, which answer whatever comes by what they are asked.

use std::sync::{Arc, Mutex};

use super::*;
use crate::testing::serve;
use crate::workload::catalog::{self, Completion};
use crate::workload::keys::KeyPattern;
use crate::workload::values::{ValueMaker, ValueSize};
use crate::workload::{Shape, dice::Dice};

fn shape() -> Shape {
    Shape { keys: Some(1000), pattern: KeyPattern::Uniform, values: ValueSize::Fixed(10), verified: false, seed: 1 }
}

const COMPLETION: Completion = Completion { multi_keys: 3, ttl: None };

fn made(workload: Workload, connections: u32, pipeline: u32, requests: u64) -> Load {
    Load {
        traffic: Traffic::Made(workload),
        connections,
        pipeline,
        keep_alive: true,
        threads: connections.min(2),
        pace: Pace::Closed,
        limit: Limit { requests: Some(requests), time: None },
        warm_up: Duration::ZERO,
    }
}

fn load(test: &str, connections: u32, pipeline: u32, requests: u64) -> Load {
    made(catalog::tests(test, &COMPLETION, &shape()).unwrap().remove(0), connections, pipeline, requests)
}

fn open(rate: f64, load: Load) -> Load {
    Load { pace: Pace::Open { rate, arrivals: Arrivals::Fixed }, ..load }
}

#[test]
fn exactly_as_many_requests_are_sent_as_asked_for() {
    for (connections, pipeline, requests) in [(1, 1, 1), (3, 4, 50), (5, 16, 1000), (8, 7, 3)] {
        for pace in [Pace::Closed, Pace::Open { rate: 1e6, arrivals: Arrivals::Poisson }] {
            let server = serve(|_, args| {
                assert_eq!(args.len(), 3);
                Some(b"+OK\r\n".to_vec())
            });
            let load = Load { pace, ..load("set", connections, pipeline, requests) };
            let outcome = run(&server, &load, &mut ()).unwrap();
            assert_eq!(outcome.requests, requests);
            assert_eq!((outcome.latency.len(), outcome.service.len()), (requests, requests));
            assert_eq!((outcome.errors.count, outcome.unsent), (0, 0));
            assert_eq!(outcome.lag.len(), if pace == Pace::Closed { 0 } else { requests });
            assert!(outcome.latency.max() > 0 && outcome.slowest_at < requests);
        }
    }
}

#[test]
fn replies_of_every_shape_are_counted_and_errors_told() {
    let server = serve(|n, _| {
        Some(match n % 5 {
            0 => b"$13\r\n-ERR no\r\n+x\r\n\r\n".to_vec(),
            1 => b"*2\r\n-ERR within\r\n$-1\r\n".to_vec(),
            2 => b"-ERR wanted\r\n".to_vec(),
            3 => b"_\r\n".to_vec(),
            _ => b"%1\r\n+a\r\n*2\r\n_\r\n#t\r\n".to_vec(),
        })
    });
    let outcome = run(&server, &load("get", 2, 10, 500), &mut ()).unwrap();
    assert_eq!((outcome.requests, outcome.errors.count, outcome.misses), (500, 100, 100));
    assert_eq!(outcome.errors.first.as_deref(), Some("ERR wanted"));
    assert_eq!((outcome.classes[0].name.as_str(), outcome.classes[0].errors), ("GET", 100));
}

#[test]
fn without_keep_alive_every_burst_has_a_connection_of_its_own_that_logs_in() {
    let seen: Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>> = Arc::default();
    let server = serve({
        let seen = seen.clone();
        move |_, args| {
            let connection = format!("{:?}", std::thread::current().id());
            seen.lock().unwrap().entry(connection).or_default().push(args[0].bytes().unwrap().to_vec());
            Some(b"+OK\r\n".to_vec())
        }
    });
    let server = Server { db: 3, ..server };
    let load = Load { keep_alive: false, ..load("set", 4, 5, 101) };
    let outcome = run(&server, &load, &mut ()).unwrap();
    assert_eq!((outcome.requests, outcome.errors.count), (101, 0));
    let connections = seen.lock().unwrap();
    // One more watches.
    let bursts: Vec<_> = connections.values().filter(|sent| sent.len() > 1).collect();
    assert_eq!(bursts.iter().map(|sent| sent.len() - 1).sum::<usize>(), 101);
    for sent in bursts {
        assert!(sent.len() <= 6 && sent[0] == b"SELECT" && sent[1..].iter().all(|name| name == b"SET"), "{sent:?}");
    }
}

#[test]
fn a_refused_login_ends_the_run() {
    let server = serve(|n, args| {
        Some(if n >= 4 && args[0].bytes() == Some(b"AUTH") {
            b"-WRONGPASS no\r\n".to_vec()
        } else {
            b"+OK\r\n".to_vec()
        })
    });
    let server = Server { password: Some("secret".to_owned()), ..server };
    let load = Load { keep_alive: false, ..load("set", 1, 1, 50) };
    assert_eq!(format!("{:#}", run(&server, &load, &mut ()).unwrap_err()), "WRONGPASS no");
}

#[test]
fn a_sequence_names_every_key_once() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = serve({
        let seen = seen.clone();
        move |_, args| {
            seen.lock().unwrap().push(args[1].bytes().unwrap().to_vec());
            Some(b"+OK\r\n".to_vec())
        }
    });
    let shape = Shape { keys: Some(333), ..shape() };
    run(&server, &made(catalog::preload(false, &COMPLETION, &shape), 4, 10, 333), &mut ()).unwrap();
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.sort();
    assert_eq!(seen, (0..333).map(|key| format!("key:{key:012}").into_bytes()).collect::<Vec<_>>());
}

#[test]
fn time_ends_a_load_too() {
    let limit = Limit { requests: None, time: Some(Duration::from_millis(50)) };
    for pace in [Pace::Closed, Pace::Open { rate: 2000.0, arrivals: Arrivals::Fixed }] {
        let server = serve(|_, _| Some(b"+OK\r\n".to_vec()));
        let outcome = run(&server, &Load { limit, pace, ..load("set", 2, 2, 1) }, &mut ()).unwrap();
        assert!(outcome.requests > 0);
        match pace {
            Pace::Closed => assert!(outcome.elapsed >= limit.time.unwrap()),
            // 2000 a second for 50 ms, sent or not.
            _ => assert_eq!(outcome.requests + outcome.unsent, 100),
        }
    }
}

#[test]
fn a_server_that_hangs_up_or_speaks_nonsense_is_a_failure() {
    let server = serve(|n, _| (n < 20).then(|| b"+OK\r\n".to_vec()));
    let error = run(&server, &load("set", 2, 4, 1000), &mut ()).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("closed the connection") || text.contains("connection broke"), "{text}");

    let server = serve(|n, _| Some(if n < 20 { b"+OK\r\n".to_vec() } else { b"HTTP/1.1 400\r\n".to_vec() }));
    let error = run(&server, &load("set", 2, 4, 1000), &mut ()).unwrap_err();
    assert!(error.to_string().contains("not a reply"), "{error}");

    let server = serve(|_, _| Some(b"+OK\r\n+OK\r\n".to_vec()));
    let error = run(&server, &load("set", 1, 1, 1000), &mut ()).unwrap_err();
    assert!(error.to_string().contains("more replies"), "{error}");
}

const STALL: Duration = Duration::from_millis(100);

/// A server that stops for a while once, at its 100th request.
fn stalling() -> Server {
    serve(|n, _| {
        if n == 100 {
            crate::clock::pause(STALL);
        }
        Some(b"+OK\r\n".to_vec())
    })
}

/// Samples that waited at least half of the stall.
fn stalled(histogram: &Histogram<u64>) -> u64 {
    histogram.count_between(nanos(STALL) / 2, u64::MAX)
}

#[test]
fn a_closed_loop_hides_a_stall_and_an_open_loop_shows_it() {
    let closed = run(&stalling(), &load("set", 1, 1, 1000), &mut ()).unwrap();
    assert!(closed.latency.max() >= nanos(STALL));
    assert!(stalled(&closed.latency) < 20, "one of 1000 saw it: {}", stalled(&closed.latency));

    // 5 requests are due in each ms: those of the first half of the stall wait for at least the other half.
    let open = run(&stalling(), &open(5000.0, load("set", 1, 1, 1000)), &mut ()).unwrap();
    assert!(stalled(&open.latency) >= 240, "{} requests felt it", stalled(&open.latency));
    assert!(open.latency.max() >= nanos(STALL));
    // The server's own time for each is no secret either; nor is it our fault that they were sent late.
    assert!(stalled(&open.service) < 20, "{}", stalled(&open.service));
    assert!(stalled(&open.lag) < 20, "{}", stalled(&open.lag));
}

#[test]
fn requests_that_could_not_be_sent_in_time_count_with_their_wait() {
    // The server answers nothing until the time is up and the connection waits for its last reply.
    let server = serve(|n, _| {
        if n == 0 {
            crate::clock::pause(STALL * 2);
        }
        Some(b"+OK\r\n".to_vec())
    });
    let limit = Limit { requests: None, time: Some(STALL) };
    let outcome = run(&server, &Load { limit, ..open(1000.0, load("set", 1, 1, 1)) }, &mut ()).unwrap();
    assert_eq!((outcome.requests, outcome.unsent), (1, 99));
    assert_eq!((outcome.latency.len(), outcome.service.len()), (100, 1));
    assert!(stalled(&outcome.latency) >= 49, "{}", stalled(&outcome.latency));
}

#[test]
fn a_warm_up_is_sent_and_not_counted() {
    let sent = Arc::new(Mutex::new(0));
    let server = serve({
        let sent = sent.clone();
        move |_, _| {
            *sent.lock().unwrap() += 1;
            Some(b"+OK\r\n".to_vec())
        }
    });
    let load = Load { warm_up: Duration::from_millis(20), ..open(1000.0, load("set", 2, 1, 50)) };
    let outcome = run(&server, &load, &mut ()).unwrap();
    assert_eq!((outcome.requests, outcome.latency.len()), (50, 50));
    assert_eq!(*sent.lock().unwrap(), 70, "20 in 20 ms, then 50");
}

#[test]
fn a_miss_is_followed_by_a_fill_of_the_same_key() {
    let stored = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let server = serve({
        let stored = stored.clone();
        move |_, args| {
            let key = args[1].bytes().unwrap().to_vec();
            Some(match args[0].bytes().unwrap() {
                b"SET" => {
                    assert!(stored.lock().unwrap().insert(key), "only what is missing is set");
                    b"+OK\r\n".to_vec()
                }
                _ if stored.lock().unwrap().contains(&key) => b"$1\r\nx\r\n".to_vec(),
                _ => b"$-1\r\n".to_vec(),
            })
        }
    });
    let workload = catalog::cache_aside(&COMPLETION, &Shape { keys: Some(50), ..shape() });
    // One connection: between a miss and its fill nobody else misses.
    let outcome = run(&server, &made(workload, 1, 1, 1000), &mut ()).unwrap();
    let (get, fill) = (&outcome.classes[0], &outcome.classes[1]);
    assert_eq!((get.requests, get.misses, fill.requests), (1000, 50, 50));
}

#[test]
fn an_operation_of_several_requests_ends_with_its_last_reply() {
    let requests = Arc::new(Mutex::new(0));
    let server = serve({
        let requests = requests.clone();
        move |_, _| {
            *requests.lock().unwrap() += 1;
            Some(b"*0\r\n".to_vec())
        }
    });
    let mut workload = catalog::ycsb('e', None, &shape()).unwrap();
    workload.operations.truncate(1);
    let outcome = run(&server, &made(workload, 2, 3, 100), &mut ()).unwrap();
    assert_eq!(outcome.requests, 100);
    assert!(*requests.lock().unwrap() > 500, "scans are longer than one");
    assert_eq!(outcome.misses, *requests.lock().unwrap());
}

#[test]
fn a_wrong_value_is_caught_and_right_ones_are_not() {
    let shape = Shape { keys: Some(10), values: ValueSize::Range(32, 200), verified: true, ..shape() };
    let values: Vec<Vec<u8>> = {
        let mut maker = ValueMaker::new(&shape.values, true, 1, 0);
        let mut dice = Dice::new(1, 7);
        let mut value = |key| {
            let mut value = Vec::new();
            maker.append(&mut value, key, &mut dice);
            value
        };
        (0..10).map(&mut value).collect()
    };
    let answering = |spoil: fn(u64, Vec<u8>) -> Vec<u8>, other: u64| {
        let values = values.clone();
        serve(move |n, args| {
            let key: u64 = std::str::from_utf8(&args[1].bytes().unwrap()[4..]).unwrap().parse().unwrap();
            let key = if n == 50 { (key + other) % 10 } else { key };
            let value = spoil(n, values[key as usize].clone());
            Some([format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat())
        })
    };
    let get = |server: &Server| {
        let workload = catalog::tests("get", &COMPLETION, &shape).unwrap().remove(0);
        run(server, &made(workload, 3, 4, 300), &mut ()).unwrap().verification.unwrap()
    };
    let right = get(&answering(|_, value| value, 0));
    assert_eq!((right.checked, right.wrong, right.first), (300, 0, None));
    let other = get(&answering(|_, value| value, 1));
    assert_eq!((other.checked, other.wrong), (300, 1));
    assert!(other.first.unwrap().contains("had the value of key"));
    let torn = get(&answering(
        |n, mut value| {
            if n % 100 == 7 {
                value.pop();
            }
            value
        },
        0,
    ));
    assert_eq!((torn.checked, torn.wrong), (300, 3));
    assert!(torn.first.unwrap().contains("that nobody wrote"));
}

#[test]
fn a_log_is_sent_again_in_the_order_of_each_client() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = serve({
        let seen = seen.clone();
        move |_, args| {
            let words: Vec<_> = args.iter().map(|a| String::from_utf8(a.bytes().unwrap().to_vec()).unwrap()).collect();
            seen.lock().unwrap().push(words.join(" "));
            Some(b"+OK\r\n".to_vec())
        }
    });
    let mut text = String::new();
    for n in 0..100 {
        text += &format!("1700000000.{n:06} [{} 127.0.0.1:{}] \"SET\" \"c{}\" \"{n}\"\n", n % 4, n % 4, n % 4);
    }
    let log = Arc::new(Log::read(text.as_bytes()).unwrap());
    for pace in [Pace::Closed, Pace::Logged { speed: 1.0 }, Pace::Logged { speed: 1000.0 }] {
        let load = Load {
            traffic: Traffic::Logged(log.clone()),
            connections: 3,
            keep_alive: true,
            pipeline: 2,
            threads: 2,
            pace,
            limit: Limit { requests: None, time: None },
            warm_up: Duration::ZERO,
        };
        let outcome = run(&server, &load, &mut ()).unwrap();
        assert_eq!((outcome.requests, outcome.latency.len()), (100, 100));
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        // Clients 0 and 3 share a connection, and change its database each time.
        assert!(seen.iter().filter(|line| line.starts_with("SELECT")).count() >= 3);
        for client in 0..4 {
            let own: Vec<_> = seen.iter().filter_map(|line| line.strip_prefix(&format!("SET c{client} "))).collect();
            let expected: Vec<_> = (0..25).map(|n| (n * 4 + client).to_string()).collect();
            assert_eq!(own, expected);
        }
    }
}

#[test]
fn every_second_is_shown_and_they_add_up() {
    #[derive(Default)]
    struct Sum {
        numbers: Vec<u64>,
        requests: u64,
    }
    impl Observer for Sum {
        fn second(&mut self, number: u64, progress: &Progress<'_>) {
            self.numbers.push(number);
            self.requests += progress.second.latency.len();
            assert_eq!(progress.requests, self.requests);
        }
    }
    let server = serve(|_, _| Some(b"+OK\r\n".to_vec()));
    let mut sum = Sum::default();
    let limit = Limit { requests: None, time: Some(Duration::from_millis(1100)) };
    let outcome = run(&server, &Load { limit, ..open(300.0, load("set", 2, 1, 1)) }, &mut sum).unwrap();
    assert!(sum.numbers.starts_with(&[0, 1]), "{:?}", sum.numbers);
    assert_eq!(sum.requests, outcome.requests + outcome.unsent);
}
