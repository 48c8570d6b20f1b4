//! kv-cli export and import as users run them, between our server and Redis, compared key by key over the wire.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kv_core::resp::client::Value;
use kv_tests::contents::{assert_same, contents};
use kv_tests::moving::{Reached, cli};
use kv_tests::process::{Server, program, run};
use kv_tests::redis::Redis;
use kv_tests::samples::{LATER, fill, must, noise};

fn export(server: &dyn Reached, words: &[&str]) -> Vec<u8> {
    let ran = cli(server, &[&["export"], words].concat(), b"");
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert!(ran.err.starts_with("exported ") && ran.err.lines().count() == 1, "{}", ran.err);
    ran.out
}

fn import(server: &dyn Reached, words: &[&str], file: &[u8]) -> String {
    let ran = cli(server, &[&["import", "-"], words].concat(), file);
    assert_eq!((ran.status, &ran.out[..]), (Some(0), &b""[..]), "{}", ran.err);
    ran.err
}

fn ours() -> Server {
    Server::start(&["--shards", "2"])
}

fn fails(server: &dyn Reached, file: &[u8]) -> String {
    let ran = cli(server, &["import", "-"], file);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    ran.err
}

#[test]
fn everything_comes_back_in_both_formats() {
    let (source, lines, maps) = (ours(), ours(), ours());
    fill(&mut source.client(), true);
    let wanted = contents(&mut source.client());
    for (target, format) in [(&lines, "jsonl"), (&maps, "msgpack")] {
        let file = export(&source, &["--format", format]);
        let told = import(target, &[], &file);
        assert!(told.starts_with(&format!("imported {} keys, ", wanted.len())), "{told}");
        // What is pending of deleted entries cannot be set; the samples have none.
        assert_eq!(told.lines().count(), 1, "{told}");
        assert_same(&contents(&mut target.client()), &wanted);
    }
}

#[test]
fn keys_move_from_redis_and_back() {
    let Some(redis) = Redis::start() else { return };
    fill(&mut redis.client(), false);
    let wanted = contents(&mut redis.client());
    let server = ours();
    import(&server, &[], &export(&redis, &["--format", "msgpack"]));
    assert_same(&contents(&mut server.client()), &wanted);
    must(&mut redis.client(), &["FLUSHALL"]);
    import(&redis, &[], &export(&server, &[]));
    assert_same(&contents(&mut redis.client()), &wanted);
}

#[test]
fn keys_move_from_redis_8_and_back() {
    let Some(redis) = Redis::start_8(&[] as &[&str]) else { return };
    fill(&mut redis.client(), true);
    let wanted = contents(&mut redis.client());
    let server = ours();
    import(&server, &[], &export(&redis, &[]));
    assert_same(&contents(&mut server.client()), &wanted);
    must(&mut redis.client(), &["FLUSHALL"]);
    import(&redis, &[], &export(&server, &["--format", "msgpack"]));
    assert_same(&contents(&mut redis.client()), &wanted);
}

#[test]
fn a_server_without_pexpiretime_tells_expiries_by_spans() {
    let Some(redis) = Redis::start_with(&["--rename-command", "PEXPIRETIME", ""]) else { return };
    must(&mut redis.client(), &["SET", "k", "v", "PXAT", &LATER.to_string()]);
    must(&mut redis.client(), &["SET", "stays", "v"]);
    let server = ours();
    import(&server, &[], &export(&redis, &[]));
    let Value::Int(moment) = server.client().ask(&["PEXPIRETIME", "k"]) else { panic!("no moment") };
    assert!(moment.abs_diff(LATER as i64) < 60_000, "{moment}");
    assert_eq!(server.client().ask(&["PEXPIRETIME", "stays"]), Value::Int(-1));
}

#[test]
fn a_pattern_and_a_database_choose_the_keys() {
    let (source, target) = (ours(), ours());
    let mut client = source.client();
    for db in ["0", "3", "5"] {
        must(&mut client, &["SELECT", db]);
        must(&mut client, &["MSET", "user:1", db, "user:2", db, "other", db]);
    }
    import(&target, &[], &export(&source, &["-n", "3", "--match", "user:*"]));
    let found = contents(&mut target.client());
    assert_eq!(
        found.keys().map(|(db, key)| (*db, &key[..])).collect::<Vec<_>>(),
        [(3, &b"user:1"[..]), (3, b"user:2")]
    );
    // With -n, an import goes to one database.
    import(&target, &["-n", "9"], &export(&source, &["-n", "5", "--match", "other"]));
    assert!(contents(&mut target.client()).contains_key(&(9, b"other".to_vec())));
}

#[test]
fn what_exists_stays_unless_it_is_to_be_replaced() {
    let (source, target) = (ours(), ours());
    must(&mut source.client(), &["RPUSH", "list", "new"]);
    must(&mut source.client(), &["SET", "string", "new"]);
    must(&mut source.client(), &["SET", "another", "new"]);
    must(&mut target.client(), &["RPUSH", "list", "old"]);
    must(&mut target.client(), &["SET", "string", "old", "PXAT", &LATER.to_string()]);
    let file = export(&source, &[]);
    let told = import(&target, &[], &file);
    assert!(told.contains("imported 1 key, ") && told.contains("left 2 keys as they were"), "{told}");
    assert_eq!(target.client().run("LRANGE list 0 -1"), Value::Array(vec![Value::Bulk(b"old".to_vec())]));
    let told = import(&target, &["--replace"], &file);
    assert!(told.contains("imported 3 keys, "), "{told}");
    assert_same(&contents(&mut target.client()), &contents(&mut source.client()));
}

#[test]
fn a_key_that_stands_twice_in_a_file_is_written_once() {
    let (first, second) = (ours(), ours());
    let file = br#"{"key":"l","value":{"list":["a"]}}
{"key":"l","value":{"list":["b"]}}
"#;
    import(&first, &[], file);
    assert_eq!(first.client().run("LRANGE l 0 -1"), Value::Array(vec![Value::Bulk(b"a".to_vec())]));
    import(&second, &["--replace"], file);
    assert_eq!(second.client().run("LRANGE l 0 -1"), Value::Array(vec![Value::Bulk(b"b".to_vec())]));
}

#[test]
fn what_is_due_is_left_out() {
    let server = ours();
    let told = import(
        &server,
        &[],
        br#"{"key":"gone","expire_at":1000,"value":{"list":["a"]},"more":true}
{"key":"gone","expire_at":1000,"continued":true,"value":{"list":["b"]}}
{"key":"h","value":{"hash":[["f","v"],["due","v",1000]]}}
"#,
    );
    assert!(told.contains("imported 1 key,") && told.contains("left out 1 key whose time is over"), "{told}");
    let mut client = server.client();
    assert_eq!(client.run("EXISTS gone"), Value::Int(0));
    assert_eq!(client.run("HGETALL h"), Value::Array(vec![Value::Bulk(b"f".to_vec()), Value::Bulk(b"v".to_vec())]));
}

#[test]
fn an_error_tells_the_place_and_the_key() {
    let server = ours();
    let good = "{\"key\":\"a\",\"value\":{\"string\":\"x\"}}\n";
    let file = |line: &str| format!("{good}{line}\n").into_bytes();
    let told = fails(&server, &file(r#"{"key":"k\n","value":{"strung":"x"}}"#));
    assert!(told.starts_with("kv-cli: standard input: line 2: unknown variant `strung`"), "{told}");
    let told = fails(&server, &file(r#"{"key":"s","value":{"stream":{"entries":[["1-1",["f"]]]}}}"#));
    assert!(told.contains("line 2, key \"s\": entry 1-1 has no value"), "{told}");
    // The server's own words.
    let told =
        fails(&server, &file(r#"{"key":"s","value":{"stream":{"entries":[["1-1",["f","v"]],["1-1",["f","v"]]]}}}"#));
    assert!(told.contains("line 2, key \"s\": XADD: ERR The ID specified in XADD is equal or smaller"), "{told}");
    let told = fails(&server, &file(r#"{"key":"k","db":99,"value":{"string":"v"}}"#));
    assert!(told.contains("line 2, key \"k\": SELECT: ERR DB index is out of range"), "{told}");
    let told = fails(&server, &file(r#"{"key":"k","continued":true,"value":{"string":"v"}}"#));
    assert!(told.contains("line 2, key \"k\": its first part is not the item before"), "{told}");
    let told = fails(&server, &file(r#"{"key":"k","more":true,"value":{"string":"v"}}"#));
    assert!(told.contains("the file ends within key \"k\""), "{told}");
    let told = fails(&server, b"no file of ours\n");
    assert!(told.starts_with("kv-cli: standard input: "), "{told}");
    assert_eq!(fails(&server, b""), "kv-cli: standard input: it is empty\n");

    let ran = cli(&server, &["import", "/nowhere/file"], b"");
    assert_eq!(ran.status, Some(1));
    assert!(ran.err.starts_with("kv-cli: /nowhere/file: No such file"), "{}", ran.err);
    let ran = cli(&server, &["--json", "export"], b"");
    assert_eq!((ran.status, &ran.err[..]), (Some(2), "kv-cli: --json is for commands, not for export and import\n"));
}

#[test]
fn a_file_that_is_cut_off_is_noticed_and_one_of_any_bytes_does_no_harm() {
    let (source, target) = (ours(), ours());
    must(&mut source.client(), &["MSET", "a", "1", "b", "2"]);
    for format in ["jsonl", "msgpack"] {
        let file = export(&source, &["--format", format]);
        for end in [file.len() / 3, file.len() / 2, file.len() - 2] {
            let told = fails(&target, &file[..end]);
            assert!(told.starts_with("kv-cli: standard input: "), "{told}");
        }
    }
    let lines = export(&source, &[]);
    let whole_lines = lines.iter().position(|&byte| byte == b'\n').expect("lines") + 1;
    let told = fails(&target, &lines[..whole_lines]);
    assert!(told.contains("line 2: the file is cut off: its end is missing"), "{told}");
}

#[test]
fn a_password_and_a_wrong_one() {
    let server = Server::start(&["--shards", "1", "--requirepass", "secret"]);
    let ran = cli(&server, &["export"], b"");
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert!(ran.err.contains("NOAUTH"), "{}", ran.err);
    let ran = cli(&server, &["--no-auth-warning", "-a", "wrong", "export"], b"");
    assert_eq!(ran.status, Some(2), "{}", ran.err);
    let ran = cli(&server, &["export", "--no-auth-warning", "-a", "secret"], b"");
    assert_eq!(ran.status, Some(0), "{}", ran.err);
}

#[test]
fn more_pending_entries_than_one_reply_tells_are_all_moved() {
    const ENTRIES: usize = 2500;
    let (source, target) = (ours(), ours());
    let mut client = source.client();
    must(&mut client, &["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"]);
    for number in 1..=ENTRIES {
        must(&mut client, &["XADD", "s", &format!("{number}-0"), "f", "v"]);
    }
    for consumer in ["a", "b"] {
        must(&mut client, &["XREADGROUP", "GROUP", "g", consumer, "COUNT", "1250", "STREAMS", "s", ">"]);
    }
    must(&mut client, &["XCLAIM", "s", "g", "b", "0", "1-0", "TIME", "1700000000000", "RETRYCOUNT", "9", "JUSTID"]);
    import(&target, &[], &export(&source, &[]));
    let pending = |server: &Server| {
        let Value::Array(rows) = server.client().run("XPENDING s g - + 10000") else { panic!("no list") };
        let columns = |row: Value| match row {
            Value::Array(columns) => (columns[0].clone(), columns[1].clone(), columns[3].clone()),
            other => panic!("no row: {other:?}"),
        };
        rows.into_iter().map(columns).collect::<Vec<_>>()
    };
    assert_eq!(pending(&target).len(), ENTRIES);
    assert_eq!(pending(&target), pending(&source));
}

#[test]
fn what_is_pending_of_deleted_entries_is_counted() {
    let (source, target) = (ours(), ours());
    let mut client = source.client();
    for number in 1..=3 {
        must(&mut client, &["XADD", "s", &format!("{number}-0"), "f", "v"]);
    }
    must(&mut client, &["XGROUP", "CREATE", "s", "g", "0"]);
    must(&mut client, &["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
    must(&mut client, &["XDEL", "s", "2-0"]);
    let told = import(&target, &[], &export(&source, &[]));
    assert!(told.contains("left out 1 pending of stream entries that are deleted"), "{told}");
    assert_eq!(target.client().run("XLEN s"), Value::Int(2));
}

#[test]
fn big_values_move_in_parts() {
    let (source, target) = (ours(), ours());
    let mut client = source.client();
    let long = noise(9 << 20, 1);
    must(&mut client, &[&b"SET"[..], b"string", &long]);
    for part in 0..30 {
        let elements: Vec<String> = (0..1000).map(|number| format!("{}", part * 1000 + number)).collect();
        let words = |command| [command, "x"].into_iter().chain(elements.iter().map(String::as_str)).collect::<Vec<_>>();
        must(&mut client, &words("RPUSH").iter().map(|w| if *w == "x" { "list" } else { w }).collect::<Vec<_>>());
        must(&mut client, &words("SADD").iter().map(|w| if *w == "x" { "set" } else { w }).collect::<Vec<_>>());
        must(&mut client, &words("HSET").iter().map(|w| if *w == "x" { "hash" } else { w }).collect::<Vec<_>>());
        must(&mut client, &words("ZADD").iter().map(|w| if *w == "x" { "zset" } else { w }).collect::<Vec<_>>());
    }
    must(&mut client, &["PEXPIREAT", "zset", &LATER.to_string()]);
    let file = export(&source, &[]);
    assert!(file.split(|&byte| byte == b'\n').all(|line| line.len() < 12 << 20), "no line holds all of the string");
    let text = String::from_utf8(file.clone()).expect("JSON is text");
    for key in ["string", "list", "set", "hash", "zset"] {
        let parts = text.lines().filter(|line| line.contains(&format!("\"key\":\"{key}\""))).count();
        assert!(parts > 2, "{key} is in {parts} parts");
    }
    import(&target, &[], &file);
    assert_same(&contents(&mut target.client()), &contents(&mut source.client()));
}

/// Tells a thread that its work is over.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn keys_that_change_their_type_and_go_while_they_are_exported_are_no_error() {
    let (source, target) = (ours(), ours());
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when an assertion fails: the writer would go on for ever.
        let _ends = Ends(&ended);
        scope.spawn(|| {
            let mut client = source.client();
            for round in (0..).take_while(|_| !ended.load(Ordering::Relaxed)) {
                let key = format!("k{}", round % 97);
                must(&mut client, &["DEL", &key]);
                let elements: Vec<String> = (0..round % 301).map(|number| number.to_string()).collect();
                for some in elements.chunks(2).filter(|some| some.len() == 2) {
                    match round % 6 {
                        0 => must(&mut client, &["RPUSH", &key, &some[0], &some[1]]),
                        1 => must(&mut client, &["SADD", &key, &some[0], &some[1]]),
                        2 => must(&mut client, &["HSET", &key, &some[0], &some[1]]),
                        3 => must(&mut client, &["ZADD", &key, &some[0], &some[1]]),
                        4 => must(&mut client, &["XADD", &key, "*", &some[0], &some[1]]),
                        _ => must(&mut client, &["APPEND", &key, &some[0]]),
                    };
                }
            }
        });
        for _ in 0..20 {
            let file = export(&source, &[]);
            must(&mut target.client(), &["FLUSHALL"]);
            import(&target, &[], &file);
        }
    });
}

#[test]
fn a_server_that_goes_away_is_told_with_the_place() {
    // A server of the test's own: it takes the beginning of an import, and hangs up.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("kv-cli connects");
        let mut requests = [0; 4096];
        for reply in ["*2\r\n$1\r\n5\r\n$1\r\n0\r\n", "$0\r\n\r\n", ":0\r\n"] {
            let _ = stream.read(&mut requests).expect("a request");
            stream.write_all(reply.as_bytes()).expect("kv-cli reads");
        }
        let _ = stream.read(&mut requests);
    });
    let file = b"{\"key\":\"k\",\"value\":{\"string\":\"v\"}}\n";
    let ran = run(program("kv-cli"), &["import", "-p", &port, "-"], file);
    let told = String::from_utf8(ran.stderr).expect("text");
    server.join().expect("the server of the test");
    assert_eq!(ran.status.code(), Some(2), "{told}");
    assert!(told.ends_with("the server closed the connection, at line 1 or behind it (key \"k\")\n"), "{told}");
}
