//! What is kept: the real process killed, ended, started again, and its files torn, damaged and in the way of a full disk.
//!
//! `KV_KILLS=500` for more kills than in the normal run, `KV_TESTS_SEED=77` for others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use kv_core::resp::client::Value;
use kv_core::structs::random::Random;
use kv_tests::client::Client;
use kv_tests::process::{Server, program, run, wait_until};
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use tempfile::TempDir;

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn start(folder: TempDir, options: &str) -> Server {
    Server::start_in(folder, &[] as &[&str], &options.split(' ').map(|w| w.replace("''", "")).collect::<Vec<_>>())
}

/// Starts a server that must refuse: what it says, and the folder.
fn refused(folder: &Path) -> String {
    let output = run(program("kv-server"), &["--port", "0", "--dir", path_text(folder)], b"");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"", "it is not ready");
    String::from_utf8(output.stderr).expect("the output is text")
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn check(folder: &Path, more: &[&str]) -> (i32, String) {
    let args = [&["check", path_text(folder)], more].concat();
    let Output { status, stdout, stderr } = run(program("kv-server"), &args, b"");
    assert_eq!(String::from_utf8_lossy(&stderr), "");
    (status.code().expect("it ends by itself"), String::from_utf8(stdout).expect("the output is text"))
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The files of a kind, the latest last.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path_text(path).ends_with(end));
    found.sort();
    found
}

fn field(client: &mut Client, name: &str) -> String {
    let info = client.ask(&["INFO", "persistence"]);
    let text = String::from_utf8(info.bytes().expect("a text").to_vec()).expect("a text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

// ---- kill -9 under writers ----

const WRITERS: usize = 4;
const SINGLES: u64 = 8;
const TOGETHER: usize = 5;

/// What the keys of one writer hold after its `n`th request: each depends on all before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    requests: u64,
    singles: [u64; SINGLES as usize],
    together: u64,
    list: Vec<u64>,
    count: u64,
}

impl Model {
    /// The words of the next request.
    fn next(&mut self, writer: usize) -> Vec<String> {
        self.requests += 1;
        let n = self.requests;
        match n % 5 {
            0 => {
                self.singles[(n % SINGLES) as usize] = n;
                vec!["SET".into(), format!("single:{writer}:{}", n % SINGLES), n.to_string()]
            }
            1 | 2 => {
                self.together = n;
                let pairs = (0..TOGETHER).flat_map(|i| [format!("together:{writer}:{i}"), n.to_string()]);
                std::iter::once("MSET".to_owned()).chain(pairs).collect()
            }
            3 => {
                self.list.push(n);
                vec!["RPUSH".into(), format!("list:{writer}"), n.to_string()]
            }
            _ => {
                self.count += 1;
                vec!["INCR".into(), format!("count:{writer}")]
            }
        }
    }

    /// What a server has; all of the keys that were written together must agree.
    fn read(client: &mut Client, writer: usize) -> Model {
        let number = |value: &Value| match value {
            Value::Nil => 0,
            value => std::str::from_utf8(value.bytes().expect("a number")).unwrap().parse().expect("a number"),
        };
        let mut model = Model::default();
        for n in 0..SINGLES {
            model.singles[n as usize] = number(&client.ask(&["GET", &format!("single:{writer}:{n}")]));
        }
        let together: Vec<u64> =
            (0..TOGETHER).map(|i| number(&client.ask(&["GET", &format!("together:{writer}:{i}")]))).collect();
        assert!(together.iter().all(|n| *n == together[0]), "an MSET is whole: {together:?}");
        model.together = together[0];
        let Value::Array(list) = client.ask(&["LRANGE", &format!("list:{writer}"), "0", "-1"]) else {
            panic!("a list")
        };
        model.list = list.iter().map(number).collect();
        model.count = number(&client.ask(&["GET", &format!("count:{writer}")]));
        model
    }
}

/// One writer: what it knew after the start, how many requests were sent and how many answered since.
struct Written {
    model: Model,
    sent: u64,
    answered: u64,
}

/// Writes until the server is gone; up to `depth` requests are on their way at a time.
fn write(mut client: Client, writer: usize, model: Model, depth: u64, answered_by_all: &AtomicU64) -> Written {
    let mut written = Written { model: model.clone(), sent: 0, answered: 0 };
    let mut next = model;
    loop {
        while written.sent < written.answered + depth {
            let mut request = Vec::new();
            kv_core::resp::client::encode_request(&mut request, &next.next(writer));
            if client.try_send_bytes(&request).is_err() {
                return written;
            }
            written.sent += 1;
        }
        match client.try_receive() {
            Some(reply) => assert!(!reply.is_error(), "{reply:?}"),
            None => return written,
        }
        written.answered += 1;
        answered_by_all.fetch_add(1, Ordering::Relaxed);
    }
}

/// Compares what a server has with what was written, and returns it.
fn survived(client: &mut Client, writer: usize, written: &Written, is_always: bool) -> Model {
    let found = Model::read(client, writer);
    let mut model = written.model.clone();
    for n in 0..=written.sent {
        let same = Model { requests: 0, ..model.clone() } == found;
        if same && (n >= written.answered || !is_always) {
            return model;
        }
        model.next(writer);
    }
    panic!(
        "writer {writer}: after {} answers to {} requests there is no prefix like {found:?}; before: {:?}",
        written.answered, written.sent, written.model
    );
}

#[test]
fn a_server_that_is_killed_has_every_answered_write_or_a_prefix_and_no_half_command() {
    let (kills, seed) = (setting("KV_KILLS", 24), setting("KV_TESTS_SEED", 1));
    println!("KV_TESTS_SEED={seed}");
    let mut random = Random::new(seed);
    let mut at = folder();
    let mut before: Vec<Written> =
        (0..WRITERS).map(|_| Written { model: Model::default(), sent: 0, answered: 0 }).collect();
    let mut was_always = true;
    for kill in 0..kills {
        let shards = [2, 2, 3, 1, 4][random.index(5)];
        let fsync = ["always", "everysec", "always", "no"][random.index(4)];
        let percentage = ["0", "20"][random.index(2)];
        let options = format!(
            "--appendonly yes --appendfsync {fsync} --shards {shards} --save '' --auto-aof-rewrite-min-size 1000 \
             --auto-aof-rewrite-percentage {percentage}"
        );
        let server = start(at, &options);
        let mut client = server.client();
        let models: Vec<Model> =
            (0..WRITERS).map(|writer| survived(&mut client, writer, &before[writer], was_always)).collect();
        let answered = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = models
            .into_iter()
            .enumerate()
            .map(|(writer, model)| {
                let (client, answered, depth) = (server.client(), answered.clone(), [1, 1, 7, 30][writer]);
                thread::spawn(move || write(client, writer, model, depth, &answered))
            })
            .collect();
        let until = 20 + random.index(800) as u64;
        let rewrite_at = random.index(2 * until as usize) as u64;
        wait_until("the writers write", || answered.load(Ordering::Relaxed) >= until.min(rewrite_at));
        if rewrite_at < until {
            client.send(&["BGREWRITEAOF"]);
            wait_until("the writers write", || answered.load(Ordering::Relaxed) >= until);
        }
        at = server.kill();
        before = threads.into_iter().map(|thread| thread.join().expect("a writer ends")).collect();
        was_always = fsync == "always";
        println!("kill {kill}: {options}, after {} answers", answered.load(Ordering::Relaxed));
    }
    let server = start(at, "--appendonly yes");
    let mut client = server.client();
    for (writer, written) in before.iter().enumerate() {
        survived(&mut client, writer, written, was_always);
    }
}

// ---- start and stop ----

/// Some of everything.
const COMMANDS: &[&str] = &[
    "SET text \"a\\x00b\" EX 100000",
    "SET number 17",
    "HSET hash f 1 g 2 h 3",
    "HPEXPIREAT hash 9999999999999 FIELDS 1 g",
    "RPUSH list a b c",
    "SADD ints 1 2 3",
    "SADD set x y z",
    "ZADD zset 1 a 2.5 b inf c",
    "XADD stream 1-1 f v",
    "XADD stream 2-1 f w",
    "XGROUP CREATE stream group 1-1",
    "XREADGROUP GROUP group me STREAMS stream >",
    "PFADD hll a b c",
    "SETBIT bits 100 1",
    "GEOADD geo 13.4 52.5 berlin",
    "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7",
    "RENAME a a2",
    "DEL b",
    "EXPIREAT c 9999999999",
    "SELECT 9",
    "SET text nine",
    "SWAPDB 9 3",
    "SELECT 0",
];

const QUESTIONS: &[&str] = &[
    "DBSIZE",
    "GET text",
    "EXPIRETIME c",
    "EXPIRETIME text",
    "HGETALL hash",
    "HPEXPIRETIME hash FIELDS 2 f g",
    "LRANGE list 0 -1",
    "SMISMEMBER ints 1 2 3 4",
    "SMISMEMBER set x y z a",
    "ZRANGE zset 0 -1 WITHSCORES",
    "XRANGE stream - +",
    "XINFO GROUPS stream",
    "XPENDING stream group",
    "PFCOUNT hll",
    "GETBIT bits 100",
    "GEOPOS geo berlin",
    "MGET a2 b c d e f g number",
    "TYPE stream",
    "OBJECT ENCODING ints",
    "SELECT 3",
    "GET text",
    "SELECT 9",
    "DBSIZE",
];

fn fill(server: &Server) -> Vec<Value> {
    let mut client = server.client();
    for command in COMMANDS {
        let reply = client.run(command);
        assert!(!reply.is_error(), "{command}: {reply:?}");
    }
    answers(server)
}

fn answers(server: &Server) -> Vec<Value> {
    let mut client = server.client();
    QUESTIONS.iter().map(|question| client.run(question)).collect()
}

#[test]
fn everything_comes_back_from_log_and_snapshot_with_any_number_of_shards() {
    let server = start(folder(), "--appendonly yes --shards 3 --save ''");
    let expected = fill(&server);
    let mut at = server.stop();
    for shards in [1, 2, 5] {
        // From the log, with the file of the run before that; then from a snapshot.
        let server = start(at, &format!("--appendonly yes --shards {shards} --save ''"));
        assert_eq!(answers(&server), expected, "{shards} shards, from the log");
        assert_eq!(server.client().run("SAVE"), ok());
        at = server.stop();
        let server = start(at, &format!("--appendonly no --shards {} --save ''", shards + 1));
        assert_eq!(answers(&server), expected, "{shards} shards, from a snapshot");
        at = server.stop();
        assert_eq!(check(at.path(), &[]).0, 0);
    }
}

#[test]
fn the_log_can_be_switched_on_and_off_while_the_server_runs() {
    let server = start(folder(), "--shards 2 --save ''");
    let expected = fill(&server);
    let mut client = server.client();
    assert_eq!(client.run("CONFIG SET appendonly yes"), ok());
    wait_until("the log goes on from a snapshot", || {
        ["aof_rewrite_scheduled", "aof_rewrite_in_progress"].iter().all(|name| field(&mut client, name) == "0")
    });
    assert_eq!(client.run("CONFIG SET appendfsync always"), ok());
    assert_eq!(client.run("SET later 1"), ok());
    let server = start(server.stop(), "--appendonly yes --shards 2 --save ''");
    let mut client = server.client();
    assert_eq!(client.run("GET later"), Value::Bulk(b"1".to_vec()));
    assert_eq!(client.run("DEL later"), Value::Int(1));
    assert_eq!(answers(&server), expected);
    assert_eq!(client.run("CONFIG SET appendonly no"), ok());
    wait_until("the log is off", || field(&mut client, "aof_enabled") == "0");
    assert_eq!(client.run("SET later 2"), ok());
    let server = start(server.stop(), "--appendonly yes --shards 2 --save ''");
    assert_eq!(answers(&server), expected, "what was done while the log was off is not kept");
}

#[test]
fn the_end_saves_if_there_are_save_points_or_it_is_asked_for() {
    for (options, ask, is_kept) in [
        ("--save 3600 1", None, true),
        ("--save ''", None, false),
        ("--save 3600 1", Some("SHUTDOWN"), true),
        ("--save 3600 1", Some("SHUTDOWN NOSAVE"), false),
        ("--save ''", Some("SHUTDOWN"), false),
        ("--save ''", Some("SHUTDOWN SAVE"), true),
        ("--save 3600 1", Some("SHUTDOWN NOW"), true),
    ] {
        let mut server = start(folder(), options);
        let mut client = server.client();
        assert_eq!(client.run("SET k v"), ok());
        let at = match ask {
            None => server.stop(),
            Some(ask) => {
                assert_eq!(client.ask_or_end(&ask.split(' ').collect::<Vec<_>>()), None, "{ask} has no reply");
                assert!(server.wait().success(), "{}", server.log());
                server.into_folder()
            }
        };
        let server = start(at, "--save ''");
        assert_eq!(server.client().run("EXISTS k"), Value::Int(is_kept.into()), "{options} {ask:?}");
    }
}

#[test]
fn save_points_take_snapshots_by_themselves() {
    let server = start(folder(), "--save 1 2");
    let mut client = server.client();
    assert_eq!(client.run("SET a 1"), ok());
    assert_eq!(client.run("SET b 1"), ok());
    wait_until("a snapshot is taken", || field(&mut client, "rdb_saves") == "1");
    assert_eq!(field(&mut client, "rdb_changes_since_last_save"), "0");
    let server = start(server.kill(), "--save ''");
    assert_eq!(server.client().run("MGET a b"), Value::Array(vec![Value::Bulk(b"1".to_vec()); 2]));
}

#[test]
fn a_second_server_on_a_folder_is_refused_and_told_who_has_it() {
    let server = start(folder(), "--save ''");
    let error = refused(server.folder());
    assert!(error.contains("in use by another kv-server"), "{error}");
    assert!(error.contains(&format!("process {}", server.id().as_raw_nonzero())), "{error}");
    assert_eq!(error.lines().count(), 1);
    let output = run(program("kv-server"), &["check", path_text(server.folder())], b"");
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use"), "{output:?}");
    let at = server.stop();
    start(at, "--save ''");
}

// ---- files that are torn or damaged ----

#[test]
fn a_torn_log_is_cut_told_and_gone_on_with() {
    let server = start(folder(), "--appendonly yes --appendfsync always --shards 2 --save ''");
    let mut client = server.client();
    for n in 0..50 {
        assert_eq!(client.run(&format!("MSET a {n} b {n} c {n} d {n}")), ok());
    }
    let mut at = server.kill();
    let log = files(at.path(), ".kvlog").pop().expect("a log");
    let whole = fs::read(&log).expect("the log");
    let mut seen = Vec::new();
    for (cut, zeros) in [(1, 0), (7, 7), (60, 4096), (100, 0)] {
        let mut torn = whole[..whole.len() - cut].to_vec();
        torn.resize(torn.len() + zeros, 0);
        fs::write(&log, &torn).expect("the log can be written");
        let (status, text) = check(at.path(), &[]);
        assert_eq!(status, 1, "{text}");
        assert!(text.contains("TORN log-") && text.contains("no whole epoch"), "{text}");
        let server = start(at, "--appendonly no --shards 2 --save ''");
        assert!(server.log().contains("the log ends in an epoch that is not whole"), "{}", server.log());
        let Value::Array(values) = server.client().run("MGET a b c d") else { panic!("values") };
        assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
        seen.push(values[0].clone());
        at = server.kill();
    }
    assert_eq!(seen[0], Value::Bulk(b"48".to_vec()));
    // What is written after the cut stands behind what was left.
    let server = start(at, "--appendonly yes --appendfsync always --shards 2 --save ''");
    assert_eq!(server.client().run("SET later 1"), ok());
    let at = server.kill();
    assert_eq!(check(at.path(), &[]).0, 0);
    let server = start(at, "--appendonly yes --shards 2 --save ''");
    assert!(!server.log().contains("not whole"), "{}", server.log());
    let expected = Value::Array(vec![Value::Bulk(b"1".to_vec()), seen.pop().expect("the last")]);
    assert_eq!(server.client().run("MGET later a"), expected);
}

#[test]
fn damage_is_refused_with_its_place_told_by_check_and_mended_by_repair() {
    let server = start(folder(), "--appendonly yes --appendfsync always --shards 2 --save ''");
    let mut client = server.client();
    (0..500).for_each(|n| assert_eq!(client.run(&format!("SET key:{n} {n}")), ok()));
    assert_eq!(client.run("SAVE"), ok());
    assert_eq!(client.run("SET later 1"), ok());
    let at = server.kill();
    let base = files(at.path(), ".kvsnap").pop().expect("a base");
    let mut bytes = fs::read(&base).expect("the base");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&base, &bytes).expect("the base can be written");
    let name = base.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let error = refused(at.path());
    assert!(error.contains(&format!("{name}, at byte ")), "{error}");
    assert!(error.contains(&format!("kv-server check {}", path_text(at.path()))), "{error}");
    let (status, text) = check(at.path(), &[]);
    assert_eq!(status, 2, "{text}");
    assert!(text.contains(&format!("DAMAGED {name}, at byte ")), "{text}");
    let (status, text) = check(at.path(), &["--repair"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("LOST") && text.contains("the folder is mended"), "{text}");
    let copies: Vec<PathBuf> = fs::read_dir(at.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| path_text(p).contains(".bak-"))
        .collect();
    assert!(copies.iter().any(|copy| fs::read(copy).is_ok_and(|copy| copy == bytes)), "{copies:?}");
    assert_eq!(check(at.path(), &[]).0, 0);
    let server = start(at, "--appendonly yes --shards 3 --save ''");
    let mut client = server.client();
    assert_eq!(client.run("GET later"), Value::Bulk(b"1".to_vec()));
    let kept = (0..500).filter(|n| match client.run(&format!("GET key:{n}")) {
        Value::Nil => false,
        value => {
            assert_eq!(value, Value::Bulk(n.to_string().into_bytes()));
            true
        }
    });
    let kept = kept.count();
    assert!((200..500).contains(&kept), "{kept}");
    assert!(copies.iter().all(|copy| copy.exists()), "a start leaves copies alone");
}

// ---- a disk that is full ----

/// Enough for what the server logs for people.
const LIMIT: usize = 64 << 10;

/// Lets the server write no byte beyond `bytes` into any file, as if there were no space, or lifts that.
fn limit_files(server: &Server, bytes: Option<u64>) {
    prlimit(Some(server.id()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("a limit can be set");
}

#[test]
fn with_a_full_disk_no_write_is_answered_that_could_be_lost_and_it_recovers_by_itself() {
    let server = start(folder(), "--appendonly yes --appendfsync always --shards 2 --save ''");
    let mut client = server.client();
    assert_eq!(client.run("SET before 1"), ok());
    limit_files(&server, Some(LIMIT as u64));
    let mut waiting = server.client();
    // No file has room for it.
    waiting.send(&["SET", "during", &"x".repeat(2 * LIMIT)]);
    wait_until("writes are refused", || field(&mut client, "aof_last_write_status") == "err");
    let refused = client.run("SET refused 1");
    let Value::Error(text) = &refused else { panic!("{refused:?}") };
    assert!(text.starts_with(b"MISCONF "), "{}", String::from_utf8_lossy(text));
    assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
    limit_files(&server, None);
    assert_eq!(waiting.receive(), ok(), "it is answered when it is on disk");
    wait_until("writes are taken again", || client.run("SET after 1") == ok());
    let server = start(server.kill(), "--appendonly yes --shards 2 --save ''");
    assert_eq!(server.client().run("STRLEN during"), Value::Int(2 * LIMIT as i64));
    let one = Value::Bulk(b"1".to_vec());
    assert_eq!(server.client().run("MGET before after refused"), Value::Array(vec![one.clone(), one, Value::Nil]));
}

#[test]
fn a_snapshot_that_cannot_be_written_is_told_and_keeps_the_server_from_ending() {
    let mut server = start(folder(), "--shards 2 --save 3600 1 --rdbcompression no");
    let mut client = server.client();
    assert_eq!(client.ask(&["SET", "large", &"x".repeat(2 * LIMIT)]), ok());
    assert_eq!(client.run("SET k v"), ok());
    limit_files(&server, Some(LIMIT as u64));
    assert!(client.run("SAVE").is_error());
    assert_eq!(field(&mut client, "rdb_last_bgsave_status"), "err");
    let refused = client.run("SET k w");
    assert!(matches!(&refused, Value::Error(text) if text.starts_with(b"MISCONF ")), "{refused:?}");
    assert_eq!(client.run("SHUTDOWN"), Value::Error(b"ERR Errors trying to SHUTDOWN. Check logs.".to_vec()));
    server.signal(Signal::TERM);
    wait_until("the signal is refused, too", || server.log().matches("does not end").count() == 2);
    assert_eq!(client.run("CONFIG SET stop-writes-on-bgsave-error no"), ok());
    wait_until("the keeper has heard of the option", || client.run("SET k w") == ok());
    limit_files(&server, None);
    assert_eq!(client.run("SAVE"), ok());
    assert_eq!(field(&mut client, "rdb_last_bgsave_status"), "ok");
    limit_files(&server, Some(LIMIT as u64));
    assert_eq!(client.ask_or_end(&["SHUTDOWN", "SAVE", "FORCE"]), None);
    assert!(server.wait().success(), "{}", server.log());
    let server = start(server.into_folder(), "--save ''");
    assert_eq!(server.client().run("GET k"), Value::Bulk(b"w".to_vec()));
}

#[test]
fn the_end_waits_for_no_client_and_loses_no_answer() {
    let mut server = start(folder(), "--appendonly yes --appendfsync always --shards 2 --save ''");
    let (answered, client) = (Arc::new(AtomicU64::new(0)), server.client());
    let writer = {
        let answered = answered.clone();
        thread::spawn(move || write(client, 0, Model::default(), 50, &answered))
    };
    wait_until("the writer writes", || answered.load(Ordering::Relaxed) > 200);
    server.signal(Signal::TERM);
    assert!(server.wait().success(), "{}", server.log());
    let written = writer.join().expect("the writer ends");
    let server = start(server.into_folder(), "--appendonly yes --shards 2 --save ''");
    survived(&mut server.client(), 0, &written, true);
}
