use super::commands;
use crate::config::Config;
use crate::engine::testing::{Client, TestServer};
use kv_core::command::{Flags, Handler, Spread, table};
use kv_core::families::testing::show;
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn server(workers: usize) -> (TestServer, Client) {
    let mut server = TestServer::new(workers);
    let client = server.connect(0);
    (server, client)
}

/// For one shard and for four.
pub(super) fn with_servers(test: impl Fn(&mut TestServer, Client)) {
    for workers in [1, 4] {
        let (mut server, client) = server(workers);
        test(&mut server, client);
    }
}

#[test]
fn commands_of_a_script_are_those_of_the_server() {
    with_servers(|server, c| {
        assert_eq!(server.run(c, r#"EVAL "return redis.call('set', KEYS[1], ARGV[1])" 1 k v"#), "+OK");
        assert_eq!(server.run(c, r#"EVAL "return redis.call('get', KEYS[1])" 1 k"#), "\"v\"");
        assert_eq!(server.run(c, "GET k"), "\"v\"");
        assert_eq!(
            server.run(c, r#"EVAL "return redis.call('lpush', KEYS[1], 1)" 1 k"#).split(" script:").next(),
            Some("-WRONGTYPE Operation against a key holding the wrong kind of value")
        );
        assert_eq!(server.run(c, r#"EVAL "return {redis.call('ping'), redis.call('echo', 'x')}" 0"#), "[+PONG \"x\"]");
        assert_eq!(server.run(c, r#"EVAL "redis.call('select', 3) return redis.call('set', KEYS[1], 1)" 1 s"#), "+OK");
        assert_eq!(server.run(c, "EXISTS s"), ":0");
        assert_eq!(
            server.run(c, r#"EVAL "return redis.call('select', 99)" 0"#).split(" script:").next(),
            Some("-ERR DB index is out of range")
        );
        assert_eq!(server.run(c, r#"EVAL "return redis.call('time')[1]" 0"#), "\"1700000000\"");
        assert_eq!(server.run(c, r#"EVAL "return #redis.call('keys', '*')" 0"#), ":1");
        assert_eq!(server.run(c, r#"EVAL "return redis.call('dbsize')" 0"#), ":1");
    });
}

#[test]
fn what_a_request_lacks_is_told() {
    with_servers(|server, c| {
        for (line, error) in [
            (r#"EVAL "return 1" x"#, "-ERR value is not an integer or out of range"),
            (r#"EVAL "return 1" -1"#, "-ERR Number of keys can't be negative"),
            (r#"EVAL "return 1" 2 a"#, "-ERR Number of keys can't be greater than number of args"),
            ("EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0", "-NOSCRIPT No matching script. Please use EVAL."),
            ("EVALSHA x 0", "-NOSCRIPT No matching script. Please use EVAL."),
            (r#"EVAL "x" 0"#, "-ERR Error compiling script (new function): user_script:1: '=' expected near '<eof>'"),
            (
                r#"SCRIPT LOAD "x""#,
                "-ERR Error compiling script (new function): user_script:1: '=' expected near '<eof>'",
            ),
            ("SCRIPT FLUSH x", "-ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
            ("SCRIPT KILL", "-NOTBUSY No scripts in execution right now."),
            (r##"EVAL "#!lua" 0"##, "-ERR Invalid script shebang"),
            (r##"EVAL "#!js\nreturn 1" 0"##, "-ERR Unexpected engine in script shebang: #!js"),
            (r##"EVAL "#!lua x=y\nreturn 1" 0"##, "-ERR Unknown lua shebang option: x=y"),
            (r##"EVAL "#!lua flags=x\nreturn 1" 0"##, "-ERR Unexpected flag in script shebang: x"),
            (r##"EVAL_RO "#!lua\nreturn 1" 0"##, "-ERR Can not execute a script with write flag using *_ro command."),
        ] {
            assert_eq!(server.run(c, line), error, "{line}");
        }
        assert_eq!(
            server.run(c, r#"EVAL_RO "return redis.call('set', 'k', 1)" 0"#).split(" script:").next(),
            Some("-ERR Write commands are not allowed from read-only scripts.")
        );
    });
}

#[test]
fn scripts_are_known_to_all_workers_until_they_are_flushed() {
    with_servers(|server, c| {
        let last = server.workers.len() - 1;
        let other = server.connect(last);
        assert_eq!(server.run(c, r#"SCRIPT LOAD "return KEYS[1]""#), "\"4a2267357833227dd98abdedb8cf24b15a986445\"");
        let sha = "4a2267357833227dd98abdedb8cf24b15a986445";
        for key in ["a", "b", "c", "d", "e"] {
            assert_eq!(server.run(other, &format!("EVALSHA {} 1 {key}", sha.to_uppercase())), format!("{key:?}"));
        }
        assert_eq!(server.run(other, &format!("SCRIPT EXISTS {sha} x")), "[:1 :0]");
        assert_eq!(server.field(c, "number_of_cached_scripts"), "1");
        assert_eq!(server.run(c, "SCRIPT FLUSH"), "+OK");
        for key in ["a", "b", "c", "d", "e"] {
            assert_eq!(
                server.run(other, &format!("EVALSHA {sha} 1 {key}")),
                "-NOSCRIPT No matching script. Please use EVAL."
            );
        }
        assert_eq!(server.field(c, "number_of_cached_scripts"), "0");
    });
}

#[test]
fn scripts_of_eval_are_forgotten_when_there_are_too_many() {
    let (mut server, c) = server(1);
    server.run(c, r#"SCRIPT LOAD "return 'loaded'""#);
    server.run(c, r#"EVAL "return 'used'" 0"#);
    for n in 0..1200 {
        server.run(c, &format!(r#"EVAL "return {n}" 0"#));
        server.run(c, r#"EVAL "return 'used'" 0"#);
    }
    assert_eq!(server.field(c, "number_of_cached_scripts"), "501");
    assert_eq!(server.field(c, "evicted_scripts"), "701");
    let sha = |code: &str| String::from_utf8(crate::lua::sha1_hex(code.as_bytes()).to_vec()).unwrap();
    let asked = [sha("return 'loaded'"), sha("return 'used'"), sha("return 5"), sha("return 1199")].join(" ");
    assert_eq!(server.run(c, &format!("SCRIPT EXISTS {asked}")), "[:1 :1 :0 :1]");
    assert_eq!(
        server.run(c, &format!("EVALSHA {} 0", sha("return 5"))),
        "-NOSCRIPT No matching script. Please use EVAL."
    );
}

/// Keys on four different shards: one of each.
pub(super) fn keys_of_shards(server: &mut TestServer) -> Vec<String> {
    let workers = server.workers.len();
    let hasher = kv_core::store::KeyHasher::new([3; 16]);
    (0..workers)
        .map(|shard| (0..).map(|n| format!("k{n}")).find(|k| hasher.place(k.as_bytes(), workers) == shard).unwrap())
        .collect()
}

#[test]
fn a_script_that_touches_what_it_did_not_declare_does_so_once_and_as_one() {
    with_servers(|server, c| {
        let keys = keys_of_shards(server);
        // Each key is declared once, and all are written; first comes the one that must not be counted twice.
        let code = format!(
            "redis.call('incr', KEYS[1]) for _, k in ipairs{{'{}'}} do redis.call('incr', k) end return redis.call('get', KEYS[1])",
            keys.join("', '")
        );
        for (round, key) in keys.iter().cycle().take(3 * keys.len()).enumerate() {
            let before: i64 = server.run(c, &format!("GET {key}")).trim_matches('"').parse().unwrap_or(0);
            assert_eq!(server.run(c, &format!("EVAL \"{code}\" 1 {key}")), format!("\"{}\"", before + 2), "{round}");
        }
        let sum = 3 * (keys.len() + 1) * keys.len();
        let values: usize =
            keys.iter().map(|k| server.run(c, &format!("GET {k}")).trim_matches('"').parse::<usize>().unwrap()).sum();
        assert_eq!(values, sum);
    });
}

#[test]
fn what_was_taken_back_is_in_no_log_and_touches_nobody() {
    let (mut server, c) = server(4);
    let keys = keys_of_shards(&mut server);
    server.workers.iter_mut().for_each(|worker| worker.shard_mut().log.on = true);
    let other = server.connect(1);
    server.run(other, &format!("WATCH {}", keys[0]));
    let before: Vec<u64> = server.workers.iter_mut().map(|w| w.shard_mut().dirty).collect();
    let failing = format!(
        "EVAL \"redis.call('set', KEYS[1], 'x') redis.call('get', '{}') redis.call('del', KEYS[1])\" 1 {}",
        keys[3], keys[0]
    );
    server.run(c, &failing);
    let logged: Vec<usize> = server.workers.iter_mut().map(|w| w.shard_mut().log.len()).collect();
    let dirty: Vec<u64> = server.workers.iter_mut().map(|w| w.shard_mut().dirty).collect();
    // A second run, on all shards from the start, leaves as much as the first did.
    server.run(c, &failing);
    let twice: Vec<usize> = server.workers.iter_mut().map(|w| w.shard_mut().log.len()).collect();
    assert_eq!((dirty[0] - before[0], dirty[3] - before[3]), (2, 0));
    assert!(logged[0] > 0 && logged[3] == 0);
    // The moment stands in front but once.
    assert!(twice[0] < 2 * logged[0] && twice[0] > logged[0]);
    assert_eq!(server.pipeline(other, &["MULTI", "GET k", "EXEC"]), ["+OK", "+QUEUED", "nil array"]);
}

#[test]
fn who_watches_a_key_that_a_script_leaves_alone_is_not_touched() {
    with_servers(|server, c| {
        let keys = keys_of_shards(server);
        let other = server.connect(server.workers.len() - 1);
        let last = keys.last().unwrap();
        server.run(other, &format!("WATCH {last}"));
        server.run(c, &format!("EVAL \"redis.call('get', '{last}') redis.call('set', KEYS[1], 1, 'XX')\" 1 {last}"));
        assert_eq!(server.pipeline(other, &["MULTI", "PING", "EXEC"]), ["+OK", "+QUEUED", "[+PONG]"]);
        server.run(other, &format!("WATCH {last}"));
        server.run(c, &format!("EVAL \"redis.call('set', KEYS[1], 1)\" 1 {last}"));
        assert_eq!(server.pipeline(other, &["MULTI", "PING", "EXEC"]), ["+OK", "+QUEUED", "nil array"]);
    });
}

#[test]
fn what_follows_a_script_sees_all_that_it_does() {
    with_servers(|server, c| {
        let keys = keys_of_shards(server);
        for first in &keys {
            for other in &keys {
                server.run(c, "FLUSHALL");
                let eval = format!("EVAL \"redis.call('set', '{other}', 'new')\" 1 {first}");
                let get = format!("GET {other}");
                let replies = server.pipeline(c, &["PING", &eval, &get, &format!("APPEND {other} er"), &get]);
                assert_eq!(replies, ["+PONG", "nil", "\"new\"", ":5", "\"newer\""], "{first} {other}");
            }
        }
    });
}

#[test]
fn a_script_that_often_needs_all_shards_begins_with_them() {
    let (mut server, c) = server(4);
    let keys = keys_of_shards(&mut server);
    let eval = |key: &str| format!("EVAL \"return redis.call('get', ARGV[1])\" 1 {} {key}", keys[0]);
    let rendezvous = |server: &mut TestServer, line: &str| {
        let before = server.net.total(|s| s.rendezvous());
        server.run(c, line);
        server.net.total(|s| s.rendezvous()) - before
    };
    assert_eq!(rendezvous(&mut server, &eval(&keys[0])), 0);
    assert_eq!(rendezvous(&mut server, &eval(&keys[3])), 1);
    // From now on, at once, and for as long as it might be needed.
    for _ in 0..8 {
        assert_eq!(rendezvous(&mut server, &eval(&keys[0])), 1);
    }
    assert_eq!(rendezvous(&mut server, &eval(&keys[0])), 0);
}

#[test]
fn large_values_are_written_on_any_number_of_shards() {
    with_servers(|server, c| {
        let keys = keys_of_shards(server);
        let key = keys.last().unwrap();
        server.run(c, &format!("SETRANGE {key} 100000 x"));
        let eval = format!("EVAL \"redis.call('append', KEYS[1], 'yz') return redis.call('strlen', KEYS[1])\" 1 {key}");
        assert_eq!(server.run(c, &eval), ":100003");
        assert_eq!(server.run(c, &eval), ":100005");
        assert_eq!(server.run(c, "EVAL \"redis.call('flushall') return redis.call('dbsize')\" 0"), ":0");
        server.run(c, "SET a 1");
        assert_eq!(
            server.run(c, "EVAL \"redis.call('copy', KEYS[1], KEYS[2]) return redis.call('get', KEYS[2])\" 2 a b"),
            "\"1\""
        );
        assert_eq!(server.run(c, "EVAL \"return redis.call('move', KEYS[1], 5)\" 1 a"), ":1");
        assert_eq!(server.run(c, "EVAL \"return redis.call('swapdb', 0, 5)\" 0"), "+OK");
        assert_eq!(server.run(c, "GET a"), "\"1\"");
    });
}

#[test]
fn strict_keys_are_declared_or_refused() {
    for workers in [1, 4] {
        let mut server = TestServer::with_config(workers, Config { script_strict_keys: true, ..Config::default() });
        let c = server.connect(0);
        let refused = Some("-ERR Script attempted to access a key it did not declare (script-strict-keys is on)");
        assert_eq!(server.run(c, "EVAL \"return redis.call('set', KEYS[1], 1)\" 1 k"), "+OK");
        for call in ["'set', 'a', 1", "'get', 'a'", "'dbsize'", "'mget', 'k', 'a'", "'keys', '*'"] {
            let line = format!("EVAL \"return redis.call({call})\" 1 k");
            assert_eq!(server.run(c, &line).split(" script:").next(), refused, "{call}");
        }
        assert_eq!(server.run(c, "CONFIG SET script-strict-keys no"), "+OK");
        assert_eq!(server.run(c, "EVAL \"return redis.call('set', 'a', 1)\" 1 k"), "+OK");
    }
}

#[test]
fn a_script_that_takes_long_runs_alone_and_has_not_run_before() {
    with_servers(|server, c| {
        // Each look at the clock takes 15 ms.
        server.system.look_ns.store(15_000_000, Relaxed);
        let loops = "for i = 1, 200000 do end";
        let eval = format!(
            "EVAL \"redis.call('incr', KEYS[1]) {loops} redis.call('incr', KEYS[1]) return redis.call('get', KEYS[1])\" 1 k"
        );
        assert_eq!(server.run(c, &eval), "\"2\"");
        assert_eq!(server.ran_alone, 1);
        assert_eq!(server.run(c, "GET k"), "\"2\"");
        // Nothing is known to take long any more.
        assert_eq!(server.run(c, "SCRIPT KILL"), "-NOTBUSY No scripts in execution right now.");
        // In a transaction there is nowhere to go.
        assert_eq!(
            server.pipeline(c, &["MULTI", &eval, "GET k", "EXEC"]),
            ["+OK", "+QUEUED", "+QUEUED", "[\"4\" \"4\"]"]
        );
        assert_eq!(server.ran_alone, 1);
        // A pipeline waits for it.
        assert_eq!(server.pipeline(c, &["SET k 0", &eval, "INCR k"]), ["+OK", "\"2\"", ":3"]);
        assert_eq!(server.ran_alone, 2);
    });
}

#[test]
fn a_script_ends_with_the_server_and_leaves_nothing() {
    with_servers(|server, c| {
        server.run(c, "SET k 1");
        server.net.scripts.server_ends(true);
        let line = "EVAL \"redis.call('set', KEYS[1], 2) while true do end\" 1 k";
        assert!(server.run(c, line).starts_with("-ERR The server ends, and the script with it... script:"));
        server.net.scripts.server_goes_on();
        assert_eq!(server.run(c, "GET k"), "\"1\"");
        server.net.scripts.server_ends(false);
        assert!(server.run(c, "EVAL \"while true do end\" 1 k").starts_with("-ERR The server ends"));
    });
}

/// All that has come to a client.
fn all(server: &mut TestServer, client: Client) -> Vec<String> {
    std::iter::from_fn(|| server.reply(client)).map(|value| show(&value)).collect()
}

#[test]
fn what_a_script_publishes_comes_once_to_all_whatever_becomes_of_its_first_attempt() {
    for workers in [1, 4] {
        let mut server = TestServer::new(workers);
        let c = server.connect(0);
        let subscribers: Vec<Client> = (0..2 * workers).map(|i| server.connect(i % workers)).collect();
        for (i, &subscriber) in subscribers.iter().enumerate() {
            server.run(subscriber, if i < workers { "SUBSCRIBE c" } else { "PSUBSCRIBE *" });
        }
        let listeners = 2 * workers;
        let keys = keys_of_shards(&mut server);
        let run = |server: &mut TestServer, lines: &[&str], text: &str| {
            let replies = server.pipeline(c, lines);
            for (i, &subscriber) in subscribers.iter().enumerate() {
                let message = format!("message\" \"c\" \"{text}\"]");
                let message = if i < workers {
                    format!("[\"{message}")
                } else {
                    format!("[\"pmessage\" \"*\" {}", &message[9..])
                };
                assert_eq!(all(server, subscriber), [message], "{lines:?}");
            }
            replies.last().unwrap().clone()
        };
        // Where the client is, and where it is not.
        for key in &keys {
            let line = format!("EVAL \"redis.call('incr', KEYS[1]) return redis.call('publish', 'c', 'x')\" 1 {key}");
            assert_eq!(run(&mut server, &[&line], "x"), format!(":{listeners}"));
        }
        // What needs another shard than its own is run again.
        let calls: String = keys.iter().map(|key| format!("redis.call('incr', '{key}') ")).collect();
        let line = format!("EVAL \"redis.call('publish', 'c', 'y') {calls}\" 1 {}", keys[0]);
        assert_eq!(run(&mut server, &[&line], "y"), "nil");
        // Also alone.
        server.system.look_ns.store(15_000_000, Relaxed);
        let line = format!("EVAL \"redis.call('publish', 'c', 'z') for i = 1, 200000 do end\" 1 {}", keys[0]);
        assert_eq!(run(&mut server, &[&line], "z"), "nil");
        assert_eq!(server.ran_alone, 1);
        server.system.look_ns.store(0, Relaxed);
        // In a transaction, with and without a part of the session.
        let line = format!("EVAL \"return redis.call('publish', 'c', 'u')\" 1 {}", keys[0]);
        assert_eq!(run(&mut server, &["MULTI", &line, "EXEC"], "u"), format!("[:{listeners}]"));
        assert_eq!(run(&mut server, &["MULTI", "PING", &line, "EXEC"], "u"), format!("[+PONG :{listeners}]"));
        // Nobody is told of what is refused.
        assert!(
            server.run(c, "EVAL_RO \"return redis.call('publish', 'c', 'x')\" 0").starts_with("-ERR Write commands")
        );
        for &subscriber in &subscribers {
            assert_eq!(all(&mut server, subscriber), [""; 0]);
            server.give(subscriber, "RESET\r\n");
        }
        server.work();
        assert_eq!(server.run(c, "EVAL \"return redis.call('publish', 'c', 'x')\" 0"), ":0");
        assert_eq!(server.run(c, "EVAL \"return redis.call('spublish', 'c', 'x')\" 0"), ":0");
    }
}

#[test]
fn messages_of_scripts_and_of_their_client_come_in_order() {
    for workers in [1, 4] {
        let mut server = TestServer::new(workers);
        let c = server.connect(0);
        let subscriber = server.connect(workers - 1);
        server.run(subscriber, "SUBSCRIBE c");
        let keys = keys_of_shards(&mut server);
        let mut lines = Vec::new();
        for n in 0..20 {
            let key = &keys[n % keys.len()];
            lines.push(format!("PUBLISH c {}", 4 * n));
            lines.push(format!("EVAL \"redis.call('publish', 'c', ARGV[1])\" 1 {key} {}", 4 * n + 1));
            lines.push(format!(
                "EVAL \"redis.call('dbsize') redis.call('publish', 'c', ARGV[1])\" 1 {key} {}",
                4 * n + 2
            ));
            lines.push("MULTI".into());
            lines.push(format!("PUBLISH c {}", 4 * n + 3));
            lines.push(format!("EVAL \"redis.call('publish', 'c', '-')\" 1 {key}"));
            lines.push("PUBLISH c =".into());
            lines.push("EXEC".into());
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        server.pipeline(c, &lines);
        let expected = (0..80).flat_map(|n| {
            let rest: &[&str] = if n % 4 == 3 { &["-", "="] } else { &[] };
            std::iter::once(n.to_string()).chain(rest.iter().map(|text| text.to_string()))
        });
        let expected: Vec<String> = expected.map(|text| format!("[\"message\" \"c\" \"{text}\"]")).collect();
        assert_eq!(all(&mut server, subscriber), expected);
    }
}

#[test]
fn what_scripts_cost_is_counted_with_what_they_call() {
    with_servers(|server, c| {
        let keys = keys_of_shards(server);
        // The second one is run again, on all shards, and counts once.
        server.run(c, &format!("EVAL \"redis.call('set', KEYS[1], 1) redis.call('get', KEYS[1])\" 1 {}", keys[0]));
        let all: String = keys.iter().map(|key| format!("redis.call('incr', '{key}') ")).collect();
        server.run(
            c,
            &format!("EVAL \"{all} redis.pcall('lpush', KEYS[1], 1) redis.pcall('get') error('x')\" 1 {}", keys[0]),
        );
        let line = |server: &mut TestServer, name: &str| server.field(c, &format!("cmdstat_{name}"));
        let eval = line(server, "eval");
        assert!(eval.starts_with("calls=2,") && eval.ends_with("rejected_calls=0,failed_calls=1"), "{eval}");
        assert!(line(server, "set").starts_with("calls=1,"));
        assert!(line(server, "get").ends_with("rejected_calls=1,failed_calls=0"));
        let lpush = line(server, "lpush");
        assert!(lpush.starts_with("calls=1,") && lpush.ends_with("failed_calls=1"), "{lpush}");
        // Each look at the clock takes 1 ms: a script takes the time of what it calls, too, and both are slow.
        server.run(c, "CONFIG SET slowlog-log-slower-than 500");
        server.run(c, "SLOWLOG RESET");
        server.system.look_ns.store(1_000_000, Relaxed);
        server.run(c, &format!("EVAL \"redis.call('get', KEYS[1])\" 1 {}", keys[0]));
        server.system.look_ns.store(0, Relaxed);
        let log = server.run(c, "SLOWLOG GET");
        let (eval, get) = (log.find("\"EVAL\"").expect(&log), log.find("\"get\"").expect(&log));
        assert!(eval < get, "{log}");
    });
}

#[test]
fn in_a_transaction_a_script_has_all_shards() {
    with_servers(|server, c| {
        let keys = keys_of_shards(server);
        let last = keys.last().unwrap();
        let eval = format!("EVAL \"redis.call('set', '{last}', 'x') return redis.call('get', KEYS[1])\" 1 {}", keys[0]);
        let replies =
            server.pipeline(c, &["MULTI", &format!("SET {} y", keys[0]), &eval, &format!("GET {last}"), "EXEC"]);
        let expected = if keys.len() == 1 { "[+OK \"x\" \"x\"]" } else { "[+OK \"y\" \"x\"]" };
        assert_eq!(replies[4], expected);
    });
}

#[test]
fn what_a_script_writes_to_the_log_is_one_line_of_the_right_level() {
    let (mut server, c) = server(1);
    server.run(c, "EVAL \"redis.log(redis.LOG_WARNING, 'w') redis.log(redis.LOG_DEBUG, 'd')\" 0");
    assert_eq!(*server.system.logged.lock().unwrap(), ["w"]);
}

#[test]
fn errors_within_scripts_are_counted_once() {
    with_servers(|server, c| {
        server.run(c, "SET k v");
        server.run(c, "EVAL \"return redis.call('lpush', KEYS[1], 1)\" 1 k");
        server.run(c, "EVAL \"redis.pcall('lpush', KEYS[1], 1) return redis.pcall('lpush', KEYS[1], 1)\" 1 k");
        server.run(c, "EVAL \"error('x')\" 0");
        assert_eq!(server.field(c, "errorstat_WRONGTYPE"), "count=3");
        assert_eq!(server.field(c, "errorstat_ERR"), "count=1");
    });
}

#[test]
fn every_command_that_scripts_may_call_in_redis_is_known_here_to_work_or_not_to() {
    // Those that need the worker, and of which no script is known to need the answer.
    let refused: Vec<&str> = (0..table().len() as u16)
        .map(|id| (id, table().row(id)))
        .filter(|(_, row)| matches!(row.spec.handler, Handler::Host) && !row.spec.flags.has(Flags::NOSCRIPT))
        .filter(|(_, row)| !matches!(row.spec.spread, Spread::Channel { .. }))
        .filter(|(id, _)| commands::find(*id).is_none())
        .map(|(_, row)| row.full_name.as_str())
        .collect();
    let top: Vec<&str> = refused.iter().copied().filter(|name| !name.contains('|')).collect();
    assert_eq!(top, ["command", "info", "lastsave", "lolwut"]);
    assert!(
        refused.iter().filter(|n| n.contains('|')).all(|n| [
            "client", "command", "config", "function", "latency", "memory", "pubsub", "script", "slowlog"
        ]
        .iter()
        .any(|c| n.starts_with(c))),
        "{refused:?}"
    );
}
