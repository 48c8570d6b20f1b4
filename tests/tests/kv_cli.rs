//! kv-cli's one-shot commands and modes as scripts use them, on our server and on Redis.

use kv_core::resp::client::Value;
use kv_tests::client::Client;
use kv_tests::moving::{Ran, Reached, ask};
use kv_tests::process::{Server, run};
use kv_tests::redis::Redis;
use serde_json::Value as Json;

trait Store: Reached {
    fn client(&self) -> Client;
}

impl Store for Server {
    fn client(&self) -> Client {
        Server::client(self)
    }
}

impl Store for Redis {
    fn client(&self) -> Client {
        Redis::client(self)
    }
}

/// The same on both.
fn on_both(test: impl Fn(&dyn Store)) {
    test(&Server::start(&["--shards", "2"]));
    if let Some(redis) = Redis::start() {
        test(&redis);
    }
}

fn text(ran: &Ran) -> &str {
    std::str::from_utf8(&ran.out).expect("text")
}

/// The output of a run that went well.
fn fine(store: &dyn Store, words: &[&str]) -> String {
    let ran = ask(store, words, b"");
    assert_eq!(ran.status, Some(0), "{words:?}: {} {}", text(&ran), ran.err);
    text(&ran).to_owned()
}

fn json(store: &dyn Store, words: &[&str]) -> Json {
    let out = fine(store, &[&["--json"], words].concat());
    serde_json::from_str(&out).unwrap_or_else(|problem| panic!("{words:?}: {problem}: {out}"))
}

#[test]
fn json_tells_what_replies_mean_in_both_protocols() {
    on_both(|store| {
        fine(store, &["hset", "h", "f", "1", "grün", "2"]);
        for protocol in ["-2", "-3"] {
            let ask = |words: &[&str]| json(store, &[&[protocol], words].concat());
            assert_eq!(ask(&["hgetall", "h"]), serde_json::json!({"f": "1", "grün": "2"}));
            assert_eq!(ask(&["config", "get", "maxmemory"]), serde_json::json!({"maxmemory": "0"}));
            let info = ask(&["info"]);
            assert!(info["Server"]["process_id"].is_u64(), "{info}");
            assert_eq!(info["Keyspace"]["db0"]["keys"], 1);
            assert_eq!(ask(&["client", "list"])[0]["db"], 0);
            assert_eq!(ask(&["client", "info"])["name"], "");
        }
    });
}

#[test]
fn the_exit_status_tells_errors_and_lost_servers_apart() {
    on_both(|store| {
        assert_eq!(ask(store, &["set", "k", "v"], b"").status, Some(0));
        assert_eq!(ask(store, &["incr", "k"], b"").status, Some(1));
        assert_eq!(ask(store, &["-e", "incr", "k"], b"").status, Some(1));
        assert_eq!(ask(store, &["-a", "wrong", "--no-auth-warning", "-n", "99999", "get", "k"], b"").status, Some(2));
        assert_eq!(ask(store, &["--stat", "get", "k"], b"").status, Some(2));
        assert_eq!(ask(store, &["--latency", "--pattern", "x"], b"").status, Some(2));
        assert_eq!(ask(store, &["--pipe", "-x"], b"").status, Some(2));
    });
}

#[test]
fn scan_shows_every_key_once() {
    on_both(|store| {
        let mut client = store.client();
        (0..3000).for_each(|number| drop(client.ask(&["SET", &format!("key:{number}"), "v"])));
        client.ask(&["SET", "other key", "v"]);
        let mut keys: Vec<String> = fine(store, &["--scan", "--pattern", "key:*"]).lines().map(str::to_owned).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 3000);
        assert_eq!(fine(store, &["--scan", "--pattern", "o*", "--count", "10"]), "other key\n");
        assert_eq!(fine(store, &["--scan", "--quoted-pattern", "\"other\\x20*\"", "--no-raw"]), "\"other key\"\n");
    });
}

#[test]
fn the_largest_keys_of_each_type_are_found() {
    on_both(|store| {
        let mut client = store.client();
        for (key, length) in [("short", 3), ("long", 5000), ("longer", 70_000)] {
            client.ask(&["SET", key, &"x".repeat(length)]);
        }
        let elements: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        let words = |command: &str, key: &str| [vec![command.to_owned(), key.to_owned()], elements.clone()].concat();
        client.ask(&words("RPUSH", "list"));
        client.ask(&words("SADD", "set"));
        let found = fine(store, &["--bigkeys"]);
        for wanted in
            ["string: 3 keys, 75,003 bytes", "50  \"list\"", "set: 1 keys, 50 members, 50.0 on average", "5 of 5 keys"]
        {
            assert!(found.contains(wanted), "{wanted}: {found}");
        }
        let places: Vec<usize> = ["\"longer\"", "\"long\"", "\"short\""].map(|key| found.find(key).unwrap()).to_vec();
        assert!(places.is_sorted(), "{found}");
        let found = fine(store, &["--memkeys", "--pattern", "long*"]);
        assert!(found.contains("2 of 5 keys") && found.contains("K  \"longer\""), "{found}");
        assert!(fine(store, &["--memkeys-samples", "0"]).contains("5 of 5 keys"));
        // No LFU: the server's words are told.
        let refused = ask(store, &["--hotkeys"], b"");
        assert!(refused.status == Some(1) && refused.err.contains("LFU"), "{}", refused.err);
    });
}

#[test]
fn sizes_of_keys_are_told_in_one_walk() {
    on_both(|store| {
        let mut client = store.client();
        (0..50).for_each(|number| drop(client.ask(&["SET", &format!("s{number}"), "v"])));
        client.ask(&["RPUSH", "long", &"x".repeat(5000), "y"]);
        for words in [&["--keystats", "--top", "2"][..], &["--keystats-samples", "0", "--top", "2", "--count", "7"]] {
            let found = fine(store, words);
            let lines: Vec<Vec<&str>> = found.lines().map(|line| line.split_whitespace().collect()).collect();
            assert_eq!(lines[1][1..], ["list", "2", "elements", "\"long\""], "{found}");
            assert!(lines[2][1..].starts_with(&["string", "1", "bytes"]) && lines[3].is_empty(), "{found}");
            assert!(lines.iter().any(|line| line.starts_with(&["string", "50"])), "{found}");
            assert!(lines.iter().any(|line| line.starts_with(&["99", "%"])), "{found}");
            assert!(found.ends_with("51 of 51 keys looked at\n"), "{found}");
        }
        // Nothing is left behind the last cursor that SCAN may tell.
        let all = fine(store, &["--scan", "--cursor", "0"]);
        assert_eq!(all.lines().count(), 51);
    });
}

#[test]
fn a_dump_is_fetched_as_replicas_get_it_and_imported() {
    let Some(redis) = Redis::start() else { return };
    let mut client = redis.client();
    client.ask(&["SET", "k", &"v".repeat(200_000)]);
    client.ask(&["HSET", "h", "f", "1"]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let ran = ask(&redis, &["--rdb", &at("dump.rdb")], b"");
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let dump = std::fs::read(at("dump.rdb")).unwrap();
    assert!(ran.err.contains(&format!("{} bytes in ", dump.len())), "{}", ran.err);
    let server = Server::start(&["--shards", "2"]);
    let ran = ask(&server, &["import", "--rdb", &at("dump.rdb")], b"");
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert_eq!(server.client().ask(&["STRLEN", "k"]), Value::Int(200_000));
    assert_eq!(fine(&server, &["hget", "h", "f"]), "1\n");
    // To the standard output, and without keys.
    let out = ask(&redis, &["--rdb", "-"], b"").out;
    assert!(out.starts_with(b"REDIS") && out.len().abs_diff(dump.len()) < 100, "{} bytes", out.len());
    // The server waits for more replicas before it begins, unless told not to.
    client.ask(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    let functions = ask(&redis, &["--functions-rdb", "-"], b"").out;
    assert!(functions.starts_with(b"REDIS") && functions.len() < 1000, "{} bytes", functions.len());
    // Nothing is left of a dump that did not come about.
    let refused = ask(&server, &["--rdb", &at("none.rdb")], b"");
    assert_eq!(refused.status, Some(1));
    assert!(refused.err.contains("SYNC: ERR unknown command"), "{}", refused.err);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_cache_is_asked_for_what_it_keeps() {
    on_both(|store| {
        let text = fine(store, &["--lru-test", "50", "-r", "2", "-i", "0.1"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines.iter().all(|line| line.contains("GET/s  hits") && !line.contains("hits         0")), "{text}");
        let keys = store.client().ask(&["DBSIZE"]);
        assert!(matches!(keys, Value::Int(10..=50)), "{keys:?}");
    });
}

#[test]
fn what_redis_cli_has_and_kv_has_not_is_refused_with_the_reason() {
    on_both(|store| {
        for (option, reason) in [("--tls", "no TLS"), ("-c", "no cluster"), ("--ldb", "no debugger")] {
            let ran = ask(store, &[option, "ping"], b"");
            assert_eq!(ran.status, Some(2), "{option}");
            assert!(ran.err.contains(&format!("{option}: ")) && ran.err.contains(reason), "{}", ran.err);
        }
        assert_eq!(fine(store, &["-4", "ping"]), "PONG\n");
    });
}

#[test]
fn the_keys_used_most_often_are_found() {
    let Some(redis) = Redis::start_with(&["--maxmemory-policy", "allkeys-lfu", "--lfu-log-factor", "0"]) else {
        return;
    };
    let mut client = redis.client();
    ["cold", "hot"].iter().for_each(|key| drop(client.ask(&["SET", key, "v"])));
    (0..100).for_each(|_| drop(client.ask(&["GET", "hot"])));
    let found = fine(&redis, &["--hotkeys"]);
    assert!(found.find("\"hot\"").unwrap() < found.find("\"cold\"").unwrap(), "{found}");
}

#[test]
fn a_pipe_sends_everything_and_counts_replies() {
    on_both(|store| {
        let mut input = Vec::new();
        for number in 0..20_000 {
            input.extend(format!("*3\r\n$3\r\nSET\r\n$5\r\n{number:05}\r\n$1\r\nv\r\n").bytes());
        }
        let ran = ask(store, &["--pipe"], &input);
        assert_eq!((text(&ran), ran.status), ("errors: 0, replies: 20000\n", Some(0)), "{}", ran.err);
        assert!(matches!(store.client().ask(&["DBSIZE"]), Value::Int(20_000)));
        // Lines are protocol too, also without an end.
        let ran = ask(store, &["--pipe"], b"INCR n\r\nLPUSH n x\r\nGET n");
        assert_eq!((text(&ran), ran.status), ("errors: 1, replies: 3\n", Some(1)));
        assert!(ran.err.contains("WRONGTYPE"), "{}", ran.err);
        let ran = ask(store, &["--pipe"], b"");
        assert_eq!((text(&ran), ran.status), ("errors: 0, replies: 0\n", Some(0)));
    });
}

#[test]
fn figures_come_line_by_line() {
    on_both(|store| {
        store.client().ask(&["SET", "k", "v"]);
        let lines = fine(store, &["--stat", "-r", "2", "-i", "0.05"]);
        let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((lines.len(), lines[0][0], lines[1][0], lines[1][4]), (3, "keys", "1", "-"));
        assert!(lines[2][4].parse::<u64>().is_ok(), "{lines:?}");
        let words: Vec<f64> =
            fine(store, &["--latency", "-i", "0.1"]).split_whitespace().map(|word| word.parse().unwrap()).collect();
        let [min, max, avg, samples] = words[..] else { panic!("{words:?}") };
        assert!(min <= avg && avg <= max && samples >= 1.0, "{words:?}");
        assert!(json(store, &["--latency", "-i", "0.05"])["p99"].is_f64());
        let history = fine(store, &["--latency-history", "-i", "0.05", "-r", "2"]);
        assert_eq!(history.lines().filter(|line| line.contains("p99")).count(), 2);
        assert_eq!(fine(store, &["--latency-dist", "-i", "0.05", "-r", "1"]).lines().count(), 2);
        assert!(fine(store, &["--intrinsic-latency", "0.05"]).contains("longest wait"));
    });
}

#[test]
fn a_script_is_sent_with_its_keys_and_arguments() {
    let Some(redis) = Redis::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.lua");
    std::fs::write(&script, "return {KEYS[1], #KEYS, ARGV[1] or 'none'}").unwrap();
    let script = script.to_str().unwrap();
    assert_eq!(fine(&redis, &["--eval", script, "a", "b", ",", "x"]), "a\n2\nx\n");
    assert_eq!(fine(&redis, &["--eval", script, "a"]), "a\n1\nnone\n");
    assert_eq!(ask(&redis, &["--eval", "/no/such/file"], b"").status, Some(2));
}

#[test]
fn monitor_shows_what_others_send() {
    use std::io::{BufRead, BufReader};
    on_both(|store| {
        let mut process = std::process::Command::new(kv_tests::process::program("kv-cli"))
            .args(store.place())
            .arg("--monitor")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("OK"));
        store.client().ask(&["SET", "k", "v"]);
        assert!(lines.next().unwrap().ends_with("\"SET\" \"k\" \"v\""));
        process.kill().unwrap();
        process.wait().unwrap();
    });
}

#[test]
fn the_tools_have_no_c_in_them_and_so_can_be_static() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = |of: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let manifest = format!("{folder}/Cargo.toml");
        let args =
            ["tree", "--offline", "--manifest-path", &manifest, "-e", "normal,build", "--prefix", "none", "-p", of];
        let output = run(&cargo, &args, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // What compiles C, and what links libraries of the system. (linux-raw-sys has the kernel's numbers only.)
    let foreign = |line: &&str| {
        let name = line.split(' ').next().unwrap_or_default();
        ["cc", "cmake", "pkg-config"].contains(&name) || (name.ends_with("-sys") && name != "linux-raw-sys")
    };
    for tool in ["kv-cli", "kv-bench"] {
        assert_eq!(tree(tool).lines().find(foreign), None, "{tool}");
    }
    assert!(tree("kv-server").lines().any(|line| foreign(&line)), "Lua is in C, and would be seen");
}

#[test]
fn completions_and_the_manual_know_options_and_modes() {
    let run = |words: &[&str]| {
        let output = kv_tests::process::run(kv_tests::process::program("kv-cli"), words, b"");
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("bigkeys") && script.contains("export"), "{shell}: {script}");
    }
    let manual = run(&["man"]);
    assert!(
        manual.contains(".TH kv-cli")
            && manual.contains("latency\\-history")
            && manual.contains("kv\\-cli\\-import(1)")
    );
}
