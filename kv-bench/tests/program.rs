//! The program as a script meets it: options in; output and exit status out.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use kv_core::resp::client::ReplyDecoder;

/// The port of a server that gives the same reply to every request.
fn server(reply: &'static [u8]) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut requests = ReplyDecoder::default();
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    requests.feed(&buffer[..len]);
                    while requests.next_value().unwrap().is_some() {
                        if stream.write_all(reply).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    port.to_string()
}

fn bench(port: &str, args: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-bench"));
    command.args(["-p", port]).args(args.split_whitespace()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn each_test_is_reported_in_the_style_asked_for() {
    let port = server(b"+OK\r\n");
    let csv = bench(&port, "-t set,get -n 100 -c 3 -P 7 -r 10 --csv");
    assert_eq!(csv.status.code(), Some(0), "{}", text(&csv.stderr));
    let lines: Vec<&str> = text(&csv.stdout).lines().collect();
    let begins = |line: &str, begin: &str| assert!(line.starts_with(begin), "{line}");
    assert_eq!(lines.len(), 3);
    begins(lines[0], "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\"");
    begins(lines[1], "\"SET\",\"");
    begins(lines[2], "\"GET\",\"");

    let json = bench(&port, "--json -n 50 -c 1 set __rand_int__ __data__");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["test"], &json["requests"]), (&"set __rand_int__ __data__".into(), &50.into()));

    let fill = bench(&port, "fill --keys 1000 -q");
    assert!(text(&fill.stdout).starts_with("FILL: "));
    let probe = bench(&port, "probe --interval-us 50 --seconds 0.01 --json -- PING");
    let probe: serde_json::Value = serde_json::from_slice(&probe.stdout).unwrap();
    assert_eq!((&probe["test"], &probe["requests"]), (&"PING".into(), &200.into()));
}

#[test]
fn error_replies_are_counted_and_give_exit_status_1() {
    let port = server(b"-ERR wanted\r\n");
    let output = bench(&port, "-q -t get -n 30 -c 2");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "kv-bench: GET: 30 errors, the first: ERR wanted\n");
    assert_eq!(bench(&port, "probe --seconds 0.001").status.code(), Some(1));
    let expiry = bench(&port, "expiry --keys 1");
    assert_eq!((expiry.status.code(), text(&expiry.stderr)), (Some(1), "kv-bench: DBSIZE: ERR wanted\n"));
}

#[test]
fn no_connection_gives_exit_status_1_and_wrong_options_2() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port().to_string();
    for mode in ["-t set", "probe", "fill", "expiry"] {
        let output = bench(&closed, mode);
        assert_eq!(output.status.code(), Some(1), "{mode}");
        let expected = format!("kv-bench: could not connect to 127.0.0.1:{closed}: Connection refused");
        assert!(text(&output.stderr).starts_with(&expected), "{}", text(&output.stderr));
    }
    for wrong in ["-t nope", "-c 0", "--bogus", "-q --csv", "probe --interval-us 0"] {
        assert_eq!(bench(&closed, wrong).status.code(), Some(2), "{wrong}");
    }
}
