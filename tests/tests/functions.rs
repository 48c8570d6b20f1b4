//! Libraries of functions: kept through kills and ends of the real process, with any number of shards; changed while they are called;
//! and dumped here and restored in redis-server, and the other way.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use kv_core::resp::client::Value;
use kv_tests::client::Client;
use kv_tests::process::{Server, program, run, wait_until};
use kv_tests::redis::Redis;

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

/// The code of a library whose functions give this number; `functions` are separated by spaces.
fn code(name: &str, functions: &str, number: i64) -> String {
    let register = |function| {
        format!(
            "redis.register_function{{function_name='{function}', description='d', flags={{'no-writes'}}, \
             callback=function() return {number} end}}\n"
        )
    };
    format!("#!lua name={name}\n{}", functions.split_whitespace().map(register).collect::<String>())
}

fn load(client: &mut Client, code: &str) {
    let name = client.ask(&["FUNCTION", "LOAD", "REPLACE", code]);
    assert!(matches!(name, Value::Bulk(_)), "{name:?}");
}

/// All that is told of libraries, in RESP2.
fn listed(client: &mut Client) -> Value {
    client.ask(&["FUNCTION", "LIST", "WITHCODE"])
}

/// What a function gives on each of some keys, which are on all shards.
fn called(client: &mut Client, function: &str) -> Value {
    let replies: Vec<Value> = (0..32).map(|n| client.ask(&["FCALL", function, "1", &format!("k{n}")])).collect();
    let first = replies[0].clone();
    assert!(replies.iter().all(|reply| *reply == first), "{replies:?}");
    first
}

fn not_found() -> Value {
    Value::Error(b"ERR Function not found".to_vec())
}

fn info(client: &mut Client, section: &str, name: &str) -> String {
    let info = client.ask(&["INFO", section]);
    let text = String::from_utf8(info.bytes().expect("a text").to_vec()).expect("a text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

/// Changes of all kinds: a library is added, one replaced, one deleted; a function moves from one to another.
fn change(client: &mut Client) {
    load(client, &code("gone", "g moves", 1));
    load(client, &code("kept", "k", 2));
    load(client, &code("new", "old", 3));
    load(client, &code("new", "n", 4));
    assert_eq!(client.ask(&["FUNCTION", "DELETE", "gone"]), ok());
    load(client, &code("taken", "moves", 5));
}

fn is_changed(client: &mut Client) {
    for (function, reply) in
        [("k", Value::Int(2)), ("n", Value::Int(4)), ("moves", Value::Int(5)), ("g", not_found()), ("old", not_found())]
    {
        assert_eq!(called(client, function), reply, "{function}");
    }
}

#[test]
fn libraries_survive_kills_by_the_log_with_any_number_of_shards() {
    let options = |shards| ["--shards", shards, "--appendonly", "yes", "--appendfsync", "always"];
    let server = Server::start(&options("4"));
    let mut client = server.client();
    change(&mut client);
    let before = listed(&mut client);
    let mut folder = server.kill();
    for shards in ["2", "4", "1", "7"] {
        let server = Server::start_in(folder, &[] as &[&str], &options(shards));
        let mut client = server.client();
        assert_eq!(listed(&mut client), before);
        is_changed(&mut client);
        assert_eq!(info(&mut client, "memory", "number_of_libraries"), "3");
        folder = server.kill();
    }
    // What is written of them in the course of a rewrite is there, too, whichever comes first.
    let server = Server::start_in(folder, &[] as &[&str], &options("3"));
    let mut client = server.client();
    client.ask(&["BGREWRITEAOF"]);
    load(&mut client, &code("kept", "k", 20));
    wait_until("the log is rewritten", || info(&mut client, "persistence", "aof_rewrite_in_progress") == "0");
    load(&mut client, &code("later", "l", 30));
    let folder = server.kill();
    let server = Server::start_in(folder, &[] as &[&str], &options("2"));
    let mut client = server.client();
    assert_eq!((called(&mut client, "k"), called(&mut client, "l")), (Value::Int(20), Value::Int(30)));
    assert_eq!(client.ask(&["FUNCTION", "FLUSH"]), ok());
    let folder = server.kill();
    let server = Server::start_in(folder, &[] as &[&str], &options("4"));
    assert_eq!(listed(&mut server.client()), Value::Array(vec![]));
}

#[test]
fn libraries_survive_in_a_snapshot_with_any_number_of_shards() {
    let server = Server::start(&["--shards", "4", "--save", ""]);
    let mut client = server.client();
    change(&mut client);
    let before = listed(&mut client);
    assert_eq!(client.ask(&["SAVE"]), ok());
    load(&mut client, &code("lost", "l", 1));
    let mut folder = server.kill();
    for shards in ["1", "5", "2"] {
        let server = Server::start_in(folder, &[] as &[&str], &["--shards", shards, "--save", ""]);
        let mut client = server.client();
        assert_eq!(listed(&mut client), before);
        is_changed(&mut client);
        assert_eq!(client.ask(&["SAVE"]), ok());
        folder = server.stop();
    }
    let output = run(program("kv-server"), &["check", folder.path().to_str().expect("a path of text")], b"");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("0 keys"), "{said}");
}

#[test]
fn calls_find_one_version_of_a_library_whole_and_never_an_older_one_than_was_told() {
    const VERSIONS: i64 = 150;
    let server = Server::start(&["--shards", "4"]);
    let versioned = |version: i64| {
        // It writes keys of several shards, declared or not.
        format!(
            "#!lua name=lib\nlocal version = {version}\nredis.register_function('write', function(keys) \
             for i = 0, 7 do redis.call('set', 'k' .. i, version) end return version end)\n\
             redis.register_function{{function_name='read', flags={{'no-writes'}}, callback=function() return version end}}"
        )
    };
    load(&mut server.client(), &versioned(0));
    let (begun, told) = (AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let mut client = server.client();
            let (begun, told) = (&begun, &told);
            scope.spawn(move || {
                let mut calls = 0;
                while told.load(SeqCst) < VERSIONS {
                    let at_least = told.load(SeqCst);
                    let key = format!("k{}", calls % 8);
                    let reply = match (thread + calls) % 3 {
                        0 => client.ask(&["FCALL", "write", "1", &key]),
                        1 => client.ask(&["FCALL_RO", "read", "1", &key]),
                        _ => {
                            let names = (0..8).map(|n| format!("k{n}"));
                            let values = client.ask(&[vec!["MGET".to_string()], names.collect()].concat());
                            let Value::Array(values) = values else { panic!("{values:?}") };
                            assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
                            calls += 1;
                            continue;
                        }
                    };
                    let Value::Int(version) = reply else { panic!("{reply:?}") };
                    assert!((at_least..=begun.load(SeqCst)).contains(&version), "{version}, {at_least} was told");
                    calls += 1;
                }
            });
        }
        let mut client = server.client();
        for version in 1..=VERSIONS {
            begun.store(version, SeqCst);
            assert_eq!(client.ask(&["FUNCTION", "LOAD", "REPLACE", &versioned(version)]), bulk("lib"));
            told.store(version, SeqCst);
        }
    });
}

#[test]
fn functions_share_local_variables_with_those_of_their_thread_alone() {
    let server = Server::start(&["--shards", "4"]);
    let mut client = server.client();
    let code = "#!lua name=lib\nlocal calls = 0\nlocal function count() calls = calls + 1 return calls end\n\
                redis.register_function('one', count) redis.register_function('other', count)";
    load(&mut client, code);
    let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
    let mut counts: Vec<Value> = Vec::new();
    for (key, function) in keys.iter().zip(["one", "other"].into_iter().cycle()) {
        counts.push(client.ask(&["FCALL", function, "1", key]));
    }
    // Each shard has keys, and its worker has counted for itself, over both functions.
    let begins = counts.iter().filter(|count| **count == Value::Int(1)).count();
    assert_eq!(begins, 4, "{counts:?}");
    let calls_of = |n: usize| counts.iter().filter(|count| **count == Value::Int(n as i64)).count();
    assert!((1..=200).map(calls_of).sum::<usize>() == 200 && (2..=200).all(|n| calls_of(n) <= calls_of(n - 1)));
}

/// The same with the elements of all arrays in order: Redis tells libraries and functions in any.
fn sorted(value: Value) -> Value {
    let Value::Array(items) = value else { return value };
    let mut items: Vec<Value> = items.into_iter().map(sorted).collect();
    items.sort_by_key(|item| format!("{item:?}"));
    Value::Array(items)
}

/// Moves libraries by FUNCTION DUMP and RESTORE from a server to another.
fn moves(from: &mut Client, to: &mut Client) {
    let payload = from.ask(&["FUNCTION", "DUMP"]);
    let payload = payload.bytes().expect("a payload");
    assert_eq!(to.ask(&[b"FUNCTION", &b"RESTORE"[..], payload, b"FLUSH"]), ok());
    let libraries = sorted(listed(from));
    assert_ne!(libraries, Value::Array(vec![]));
    assert_eq!(sorted(listed(to)), libraries);
}

fn dumps_go_to_redis_and_back(redis: Option<Redis>) {
    let Some(redis) = redis else { return };
    let server = Server::start(&["--shards", "4"]);
    let (mut here, mut there) = (server.client(), redis.client());
    // One that a packer makes shorter, one that it does not, and others of lengths that are written differently.
    let long = format!("{}-- {}", code("long", "l", 1), "the same again ".repeat(2_000));
    let codes = [code("short", "s", 2), long, code("many", &(0..300).map(|n| format!("f{n} ")).collect::<String>(), 3)];
    codes.iter().for_each(|code| load(&mut there, code.trim_end()));
    moves(&mut there, &mut here);
    assert_eq!((called(&mut here, "l"), called(&mut here, "f299")), (Value::Int(1), Value::Int(3)));
    load(&mut here, &code("short", "other", 4));
    moves(&mut here, &mut there);
    assert_eq!(called(&mut there, "other"), Value::Int(4));
}

#[test]
fn dumps_of_libraries_go_to_redis_and_back() {
    dumps_go_to_redis_and_back(Redis::start());
}

#[test]
fn dumps_of_libraries_go_to_redis_8_and_back() {
    dumps_go_to_redis_and_back(Redis::start_8(&[] as &[&str]));
}
