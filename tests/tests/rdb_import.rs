//! kv-cli import of dumps that real servers wrote: imported into ours, and compared key by key with the server that wrote
//! it, or, for the dumps in `fixtures/`, with a server that got the same commands.

use std::fs;
use std::path::{Path, PathBuf};

use kv_core::resp::client::Value;
use kv_tests::client::Client;
use kv_tests::contents::{assert_same, contents};
use kv_tests::moving::cli;
use kv_tests::process::Server;
use kv_tests::redis::Redis;
use kv_tests::samples::{LATER, fill, fill_small, must};

fn ours() -> Server {
    Server::start(&["--shards", "2"])
}

/// Imports a dump into an empty server of ours; returns what was told.
fn import(server: &Server, dump: &Path) -> String {
    let ran = cli(server, &["import", "--rdb", &dump.display().to_string()], b"");
    assert_eq!((ran.status, &ran.out[..]), (Some(0), &b""[..]), "{}", ran.err);
    ran.err
}

fn save(redis: &Redis) -> PathBuf {
    must(&mut redis.client(), &["SAVE"]);
    redis.folder().join("dump.rdb")
}

/// Options that push the limits of packed forms down, up, and to where versions differ. A version without one refuses it.
const LIMITS: [&[(&str, &str)]; 4] = [
    &[],
    &[("rdbcompression", "no"), ("maxmemory-policy", "allkeys-lfu"), ("list-compress-depth", "1")],
    &[
        ("maxmemory-policy", "allkeys-lru"),
        ("list-max-listpack-size", "3"),
        ("list-compress-depth", "1"),
        ("hash-max-listpack-entries", "0"),
        ("set-max-intset-entries", "0"),
        ("set-max-listpack-entries", "0"),
        ("zset-max-listpack-entries", "0"),
        ("stream-node-max-entries", "7"),
    ],
    &[
        ("list-max-listpack-size", "-5"),
        ("hash-max-listpack-entries", "10000"),
        ("hash-max-listpack-value", "10000"),
        ("set-max-intset-entries", "10000"),
        ("set-max-listpack-entries", "10000"),
        ("set-max-listpack-value", "10000"),
        ("zset-max-listpack-entries", "10000"),
        ("zset-max-listpack-value", "10000"),
        ("stream-node-max-entries", "0"),
        ("stream-node-max-bytes", "100000"),
    ],
];

fn every_form_is_read(start: fn(&[&str]) -> Option<Redis>, field_ttls: bool) {
    for limits in LIMITS {
        let Some(redis) = start(&[]) else { return };
        let mut client = redis.client();
        for (option, value) in limits {
            let reply = client.ask(&["CONFIG", "SET", option, value]);
            assert!(!reply.is_error() || option.starts_with("set-max-listpack"), "{option}: {reply:?}");
        }
        fill(&mut client, field_ttls);
        must(&mut client, &["FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return 1 end)"]);
        let server = ours();
        let told = import(&server, &save(&redis));
        let wanted = contents(&mut client);
        assert!(told.starts_with(&format!("imported {} keys, ", wanted.len())), "{told}");
        assert!(told.ends_with("loaded 1 library of functions\n"), "{told}");
        assert_eq!(server.client().ask(&["FCALL", "f", "0"]), Value::Int(1));
        assert_same(&contents(&mut server.client()), &wanted);
    }
}

#[test]
fn every_form_that_redis_writes_is_read() {
    every_form_is_read(|options| Redis::start_with(options), false);
}

#[test]
fn every_form_that_redis_8_writes_is_read() {
    every_form_is_read(|options| Redis::start_8(options), true);
}

#[test]
fn a_dump_without_checksum_is_read_and_one_that_is_damaged_writes_nothing() {
    for checksum in ["yes", "no"] {
        let Some(redis) = Redis::start_with(&["--rdbchecksum", checksum]) else { return };
        fill_small(&mut redis.client(), false);
        let dump = save(&redis);
        let server = ours();
        import(&server, &dump);
        assert_same(&contents(&mut server.client()), &contents(&mut redis.client()));
        must(&mut server.client(), &["FLUSHALL"]);

        let whole = fs::read(&dump).expect("it can be read");
        let damaged = redis.folder().join("damaged.rdb");
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        for bytes in [&flipped[..], &whole[..whole.len() / 2], &whole[..whole.len() - 1]] {
            fs::write(&damaged, bytes).expect("it can be written");
            let ran = cli(&server, &["import", &damaged.display().to_string()], b"");
            if checksum == "yes" {
                assert_eq!(ran.status, Some(1), "{}", ran.err);
                assert!(ran.err.contains("damaged.rdb: offset ") && ran.err.contains("cut off"), "{}", ran.err);
                assert_eq!(server.client().run("DBSIZE"), Value::Int(0));
            }
            // From a pipe the end is seen last: the place where reading stops is told.
            let ran = cli(&server, &["import", "--replace", "-"], bytes);
            assert!(ran.status == Some(1) && ran.err.contains("offset ") || checksum == "no", "{}", ran.err);
            must(&mut server.client(), &["FLUSHALL"]);
        }
    }
}

#[test]
fn keys_that_are_due_are_left_out() {
    let Some(redis) = Redis::start_with(&["--enable-debug-command", "local"]) else { return };
    let mut client = redis.client();
    must(&mut client, &["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    must(&mut client, &["SET", "stays", "v", "PXAT", &LATER.to_string()]);
    must(&mut client, &["RPUSH", "gone", "v"]);
    // Due at once, but nobody looks: it is written to the dump.
    must(&mut client, &["PEXPIRE", "gone", "1"]);
    kv_tests::process::wait_until("it is due", || client.ask(&["EXPIRETIME", "gone"]) == Value::Int(-2));
    let dump = save(&redis);
    let server = ours();
    let told = import(&server, &dump);
    assert!(told.starts_with("imported 1 key, "), "{told}");
    assert_eq!(server.client().run("EXISTS gone stays"), Value::Int(1));
}

#[test]
fn a_module_s_values_are_left_out_and_named() {
    let Some(redis) = Redis::start_8(&[] as &[&str]) else { return };
    let mut client = redis.client();
    must(&mut client, &["SET", "before", "v"]);
    if client.ask(&["VADD", "vectors", "VALUES", "3", "1", "2", "3", "element"]).is_error() {
        return;
    }
    must(&mut client, &["SET", "behind", "v"]);
    let dump = save(&redis);
    let server = ours();
    let ran = cli(&server, &["import", &dump.display().to_string()], b"");
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.err.starts_with("imported 2 keys, ") && ran.err.contains("left out 1 key of module vectorset"),
        "{}",
        ran.err
    );
    // The same over the wire.
    let ran = cli(&redis, &["export"], b"");
    assert_eq!(ran.status, Some(1));
    assert!(ran.err.contains("left out 1 key of type vectorset"), "{}", ran.err);
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kv-cli/tests/fixtures").join(name)
}

/// By which server each was written, and whether that knows TTLs of fields.
const FIXTURES: [(&str, bool); 3] = [("redis-6.2.rdb", false), ("redis-7.0.rdb", false), ("redis-8.2.rdb", true)];

#[test]
fn kept_dumps_of_every_version_are_read() {
    for (name, field_ttls) in FIXTURES {
        let (filled, imported) = (ours(), ours());
        fill_small(&mut filled.client(), field_ttls);
        import(&imported, &fixture(name));
        let (mut wanted, mut got) = (contents(&mut filled.client()), contents(&mut imported.client()));
        if name == "redis-6.2.rdb" {
            // The counters of streams, which 6.2 does not know, are made up by the server that is written to.
            for (key, text) in wanted.iter_mut().chain(&mut got) {
                if key.1.starts_with(b"stream") {
                    let known = |line: &&str| {
                        !["max-deleted", "entries-added", "entries-read"].iter().any(|name| line.contains(name))
                    };
                    *text = text.lines().filter(known).collect();
                }
            }
        }
        assert_same(&got, &wanted);
    }
}

/// `KV_UPDATE_FIXTURES=redis-8.2.rdb KV_REDIS8=/path/to/redis-server` writes that fixture anew by that server.
#[test]
fn fixtures_are_written_anew_on_request() {
    let Ok(name) = std::env::var("KV_UPDATE_FIXTURES") else { return };
    let (_, field_ttls) = FIXTURES.iter().find(|(known, _)| *known == name).expect("the name of a fixture");
    let redis = Redis::start_8(&[] as &[&str]).expect("KV_REDIS8 names a server");
    let mut client: Client = redis.client();
    fill_small(&mut client, *field_ttls);
    fs::copy(save(&redis), fixture(&name)).expect("the folder of fixtures can be written");
}
