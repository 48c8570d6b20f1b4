//! What scripts do not show: what waits for the disk, scripts that run alone, monitors that end, pauses and idle clients. (The order of
//! the lines of many workers is the simulation's to prove.)

use crate::config::Config;
use crate::engine::testing::{Client, TestServer};
use kv_core::families::testing::show;
use kv_core::resp::reply::TEXT_LINE_END as END;
use std::sync::atomic::Ordering::Relaxed;

/// The words of all lines that have come to a client, and its other replies.
fn lines(server: &mut TestServer, monitor: Client) -> Vec<String> {
    let all = std::iter::from_fn(|| server.reply(monitor)).map(|value| show(&value));
    all.map(|line| line.split_once(" [").map_or(line.clone(), |(_, line)| line.to_owned())).collect()
}

fn line(client: Client, words: &str) -> String {
    let words: Vec<String> = words.split(' ').map(|word| format!("\"{word}\"")).collect();
    format!("0 127.0.0.1:{}] {}", 50_000 + client.id, words.join(" "))
}

fn monitor(server: &mut TestServer, worker: usize) -> Client {
    let monitor = server.connect(worker);
    assert_eq!(server.run(monitor, "MONITOR"), "+OK");
    monitor
}

#[test]
fn a_line_waits_for_the_disk_with_what_its_command_wrote_and_no_other_does() {
    for workers in [1, 3] {
        let mut server = TestServer::holding(workers);
        let monitor = monitor(&mut server, workers - 1);
        let (other, writer) = (server.connect(0), server.connect(0));
        assert_eq!(server.run(other, "PING"), "+PONG");
        assert_eq!(lines(&mut server, monitor), [line(other, "PING")]);
        // Keys of all shards, alone, together and in a script.
        let code = "redis.call([[append]],KEYS[1],[[x]])";
        let mut asked: Vec<String> = (0..8).map(|i| format!("SET k{i} v")).collect();
        asked.extend(["MSET k1 x k2 x k3 x".into(), format!("EVAL {code} 1 k1")]);
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        assert_eq!(server.pipeline(writer, &asked), [""; 0]);
        assert_eq!(lines(&mut server, monitor), [""; 0], "{workers} workers");
        server.status.set_durable(1);
        server.work();
        let mut expected: Vec<String> = asked.iter().map(|words| line(writer, words)).collect();
        expected.push("0 lua] \"append\" \"k1\" \"x\"".into());
        assert_eq!(lines(&mut server, monitor), expected);
    }
}

#[test]
fn a_script_that_runs_alone_is_shown_once_and_in_its_place() {
    for workers in [1, 3] {
        let mut server = TestServer::new(workers);
        let monitors = [monitor(&mut server, 0), monitor(&mut server, workers - 1)];
        let (client, other) = (server.connect(0), server.connect(workers - 1));
        server.system.look_ns.store(15_000_000, Relaxed);
        let code = "redis.call('incr', KEYS[1]) for i = 1, 200000 do end redis.call('incr', KEYS[2])";
        server.send(client, &format!("EVAL \"{code}\" 2 a b{END}INCR a{END}"));
        assert_eq!(server.ran_alone, 1);
        assert_eq!(server.run(other, "GET a"), "\"2\"");
        for monitor in monitors {
            let shown = lines(&mut server, monitor);
            let called: Vec<&str> = shown.iter().filter_map(|line| line.strip_prefix("0 lua] ")).collect();
            assert_eq!(called, ["\"incr\" \"a\"", "\"incr\" \"b\""]);
            assert_eq!((shown.len(), &shown[3..]), (5, &[line(client, "INCR a"), line(other, "GET a")][..]));
            assert!(shown[0].contains("\"EVAL\" "), "{shown:?}");
        }
    }
}

#[test]
fn when_the_last_monitor_is_gone_nobody_shows_anything() {
    let mut server = TestServer::new(3);
    let asker = server.connect(0);
    let monitored = |server: &TestServer| server.workers.iter().filter(|worker| worker.is_monitored()).count();
    let (one, two, three) = (monitor(&mut server, 1), monitor(&mut server, 2), monitor(&mut server, 2));
    assert_eq!(monitored(&server), 3);
    assert_eq!(server.run(one, "RESET"), "+RESET");
    assert_eq!(server.run(asker, "PING"), "+PONG");
    assert_eq!(lines(&mut server, one), [""; 0]);
    assert_eq!(lines(&mut server, two), [line(one, "RESET"), line(asker, "PING")]);
    server.hang_up(two);
    server.work();
    assert_eq!(monitored(&server), 3);
    assert_eq!(server.run(asker, &format!("CLIENT KILL ID {}", three.id)), ":1");
    server.work();
    assert_eq!(monitored(&server), 0);
    // One that is gone before the others have noted it.
    let four = server.connect(0);
    server.give(four, &format!("MONITOR{END}QUIT{END}"));
    server.work();
    assert_eq!((monitored(&server), server.is_closed(four)), (0, true));
}

#[test]
fn who_monitors_is_not_idle_and_not_held_back() {
    let mut server = TestServer::with_config(2, Config { timeout: 10, ..Config::default() });
    let (idle, monitor) = (server.connect(0), monitor(&mut server, 1));
    (0..20).for_each(|_| server.pass(1000));
    assert_eq!((server.is_closed(idle), server.is_closed(monitor)), (true, false));
    let other = server.connect(0);
    assert_eq!(server.run(other, "CLIENT PAUSE 5000 ALL"), "+OK");
    server.send(monitor, &format!("ECHO x{END}"));
    assert_eq!(lines(&mut server, monitor), ["\"x\"".into(), line(monitor, "ECHO x")]);
}

#[test]
fn while_data_is_loaded_monitors_are_shown_what_is_answered() {
    let mut server = TestServer::loading(1);
    let (monitor, other) = (monitor(&mut server, 0), server.connect(0));
    assert!(server.run(other, "GET k").starts_with("-LOADING"));
    assert_eq!(server.run(other, "SELECT 0"), "+OK");
    assert_eq!(lines(&mut server, monitor), [line(other, "SELECT 0")]);
}

#[test]
fn a_monitor_that_skips_a_reply_is_shown_all_lines() {
    let mut server = TestServer::new(2);
    let (monitor, other) = (monitor(&mut server, 0), server.connect(1));
    server.send(monitor, &format!("CLIENT REPLY SKIP{END}PING{END}"));
    server.run(other, "PING");
    let expected = [line(monitor, "CLIENT REPLY SKIP"), line(monitor, "PING"), line(other, "PING")];
    assert_eq!(lines(&mut server, monitor), expected);
    // Without replies there are none.
    server.send(monitor, &format!("CLIENT REPLY OFF{END}PING{END}"));
    server.run(other, "PING");
    assert_eq!(lines(&mut server, monitor), [""; 0]);
}
