//! MONITOR: after every random request, alone, in a script and in a transaction, kv shows the lines that redis-server shows, with
//! one shard and with several; and the tools understand them. (That lines of many clients come in an order that explains all answers
//! is the simulation's to show.)

use kv_core::resp::client::Value;
use kv_core::resp::line;
use kv_tests::client::Client;
use kv_tests::differences::none_differs;
use kv_tests::process::{Server, program, run, wait_until};
use kv_tests::redis::Redis;
use kv_tests::requests::{Grammar, Step, agree};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const CASES: u64 = 8;
const SHARDS: [&str; 2] = ["1", "4"];
/// Calls whatever it is given, as it is given, and something else.
const SCRIPT: &str =
    "local r = redis.pcall(unpack(ARGV)) redis.call('select', 1) redis.call('exists', 'x', KEYS[1]) return r";

/// A server, and who monitors it.
struct Side {
    client: Client,
    monitor: Client,
    /// Whose requests mark how far the lines have been read.
    marker: Client,
    marks: u64,
}

impl Side {
    fn new(connect: impl Fn() -> Client) -> Side {
        let mut monitor = connect();
        assert_eq!(monitor.ask(&["MONITOR"]), Value::Simple(b"OK".to_vec()));
        Side { client: connect(), monitor, marker: connect(), marks: 0 }
    }

    fn begin(&mut self) {
        self.client.ask(&["RESET"]);
        self.client.ask(&["FLUSHALL"]);
        self.shown();
    }

    /// The replies, and the lines without moments and addresses.
    fn ask(&mut self, requests: &[Vec<Vec<u8>>]) -> (Vec<Value>, Vec<String>) {
        let replies = requests.iter().map(|words| self.client.ask(words)).collect();
        (replies, self.shown())
    }

    fn shown(&mut self) -> Vec<String> {
        self.marks += 1;
        let mark = format!("mark {}", self.marks);
        self.marker.ask(&["ECHO", &mark]);
        let mut lines = Vec::new();
        loop {
            let Value::Simple(line) = self.monitor.receive() else { panic!("a line is a simple string") };
            let line = String::from_utf8(line).expect("all is quoted");
            let (moment, rest) = line.split_once(" [").expect("a moment, and who");
            let micros = moment.split_once('.').expect("seconds and microseconds").1;
            assert!(moment.parse::<f64>().is_ok() && micros.len() == 6, "{line}");
            let (db, rest) = rest.split_once(' ').expect("a database");
            let (who, words) = rest.split_once("] ").expect("an address");
            if words.ends_with(&line::quote(mark.as_bytes())) {
                return lines;
            }
            lines.push(format!("{db} {} {words}", if who == "lua" { who } else { "client" }));
        }
    }
}

/// The request as it is, in a script, or in a transaction, as its words will have it, so that it stays the same when others are left out.
fn dressed(words: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let sum = words.iter().flatten().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte));
    let is_session = ["multi", "exec", "discard", "watch", "unwatch", "reset", "quit", "hello", "eval", "select"];
    if is_session.iter().any(|name| words[0].eq_ignore_ascii_case(name.as_bytes())) {
        return vec![words];
    }
    let plain = |list: &[&str]| list.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let script = [plain(&["EVAL", SCRIPT, "1", "k\0\"\u{e9}"]), words.clone()].concat();
    match sum % 5 {
        0 | 1 => vec![script],
        2 => vec![plain(&["MULTI"]), words, plain(&["PING"]), script, plain(&["EXEC"])],
        _ => vec![words],
    }
}

fn differ(steps: &[Step], ours: &mut Side, theirs: &mut Side) -> Option<String> {
    ours.begin();
    theirs.begin();
    for words in steps.iter().flat_map(Step::requests) {
        let requests = dressed(words);
        let (our_replies, our_lines) = ours.ask(&requests);
        let (their_replies, their_lines) = theirs.ask(&requests);
        // Where the replies differ another test looks why.
        let is_same = requests.iter().zip(our_replies.iter().zip(&their_replies)).all(|(words, (our, their))| {
            let inner = if words.len() > 4 && words[0] == b"EVAL" { &words[4..] } else { &words[..] };
            let is_error = matches!(their, Value::Error(_));
            our == their || !is_error && agree(inner, our, their)
        });
        if our_lines != their_lines && is_same {
            let said: Vec<String> = requests.into_iter().map(|words| Step::Request(words).to_string()).collect();
            return Some(format!("{}: we show {our_lines:#?}, Redis shows {their_lines:#?}", said.join("; ")));
        }
    }
    None
}

#[test]
fn random_requests_are_shown_as_redis_shows_them() {
    let begin = |server: &Server, redis: &Redis, _: &str| (Side::new(|| server.client()), Side::new(|| redis.client()));
    none_differs(&Grammar::of_server(), CASES, &SHARDS, begin, |(ours, theirs), _, steps| differ(steps, ours, theirs));
}

/// What is about the session and the server: which of it is shown, when, with which database, and with which secrets left out.
#[test]
fn commands_of_the_session_and_the_server_are_shown_as_redis_shows_them() {
    let Some(redis) = Redis::start_with(&["--enable-debug-command", "yes"]) else { return };
    const LINES: &[&str] = &[
        "SELECT 3; SELECT 99; PING; ping x; RESET; PING; SELECT 2; RESET",
        "AUTH secret; AUTH user secret; HELLO 2 AUTH default secret; HELLO 3 AUTH default secret SETNAME me",
        "HELLO 2 SETNAME me AUTH default secret; HELLO 3; HELLO 2; HELLO 9; HELLO 2 NOSUCH",
        "CONFIG GET save; CONFIG SET save ''; CLIENT SETNAME me; CLIENT GETNAME; CLIENT ID; CLIENT INFO; CLIENT LIST",
        "CLIENT NO-EVICT OFF; CLIENT REPLY ON; CLIENT KILL ID 777777; CLIENT PAUSE 0; CLIENT UNPAUSE; CLIENT UNBLOCK 7",
        "CLIENT TRACKING ON; CLIENT TRACKING OFF; CLIENT GETREDIR; CLIENT NOSUCH; CLIENT; CLIENT HELP; CLIENT TRACKINGINFO",
        "INFO server; COMMAND COUNT; SLOWLOG GET; SLOWLOG LEN; LATENCY LATEST; LASTSAVE; TIME; MEMORY USAGE k; DBSIZE",
        "SAVE; SHUTDOWN ABORT; MONITOR x; NOSUCH x; GET; GET a b; FLUSHDB; FLUSHALL; KEYS *; SCAN 0; RANDOMKEY; LOLWUT",
        "MULTI; SET a 1; INCR a; LPUSH a 1; EXEC; MULTI; MULTI; WATCH x; SELECT 2; PING; SET a 1; SELECT 0; EXEC",
        "MULTI; NOSUCH; GET a; EXEC; EXEC; DISCARD; MULTI; GET a; DISCARD; MULTI; EXEC x; EXEC; UNWATCH",
        "MULTI; GET a; MONITOR; PING; EXEC; MULTI; SELECT 3; RESET; MULTI; HELLO 3 AUTH default secret; EXEC; HELLO 2",
        "MULTI; CONFIG GET save; CLIENT ID; PUBLISH c m; EXEC; WATCH k; SET k v; MULTI; SELECT 1; GET k; EXEC; GET k; SELECT 0",
        "EVAL 'bad syntax here(' 0; EVALSHA ffff 0; EVAL 'return 1' x; EVAL 'return 1' -1; EVAL; EVAL 'return 1' 9",
        "EVAL \"return redis.pcall('monitor')\" 0; EVAL \"return redis.pcall('client', 'list')\" 0",
        "EVAL \"redis.pcall('publish', 'c', 'm') redis.pcall('nosuch') redis.pcall('get') redis.pcall('select', 99)\" 0",
        "EVAL \"redis.call('select', 5) redis.call('incrby', KEYS[1], 3.0) redis.call('set', 'x', 0.5)\" 1 k; GET k",
        "EVAL_RO \"redis.pcall('set', 'k', 1) return redis.call('get', 'k')\" 0; SCRIPT LOAD 'return 1'; SCRIPT EXISTS x",
        "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0; SCRIPT FLUSH; EVAL \"redis.call('set', 'k', 1) error('x')\" 0",
        "PUBLISH c m; SPUBLISH c m; SUBSCRIBE c; PING; GET k; UNSUBSCRIBE; PUBSUB CHANNELS; BLPOP none 0.001",
        "SET k v EX 100; GETEX k PERSIST; EXPIRE k 100; WAIT 0 1; OBJECT HELP; OBJECT ENCODING k; ECHO ''",
    ];
    for shards in SHARDS {
        let server = Server::start(&["--shards", shards]);
        let (mut ours, mut theirs) = (Side::new(|| server.client()), Side::new(|| redis.client()));
        for text in LINES.iter().flat_map(|line| line.split("; ")) {
            let words = [line::split(text.as_bytes()).expect("balanced quotes")];
            let (our_replies, our_lines) = ours.ask(&words);
            let (their_replies, their_lines) = theirs.ask(&words);
            assert_eq!(our_lines, their_lines, "{text}: {our_replies:?}, {their_replies:?}, {shards} shards");
        }
    }
}

/// What a monitor may do itself, and what it is told then.
#[test]
fn a_monitor_is_answered_as_in_redis() {
    let Some(redis) = Redis::start() else { return };
    const ASKED: &[&str] = &[
        "PING",
        "GET k",
        "SET k v",
        "DBSIZE",
        "KEYS *",
        "EVAL 'return 1' 0",
        "PUBLISH c m",
        "SCAN 0",
        "FLUSHALL",
        "TIME",
        "MULTI",
        "PING",
        "GET k",
        "EXEC",
        "MULTI",
        "ECHO x",
        "EXEC",
        "SELECT 3",
        "SELECT 0",
        "WAIT 0 1",
    ];
    for shards in SHARDS {
        let server = Server::start(&["--shards", shards]);
        let mut told = [server.client(), redis.client()].map(|mut monitor| {
            // Twice: who monitors already is not answered.
            monitor.send(&["MONITOR"]);
            monitor.send(&["MONITOR"]);
            ASKED.iter().for_each(|text| monitor.send(&line::split(text.as_bytes()).expect("balanced quotes")));
            monitor.send(&["RESET"]);
            monitor.send(&["GET", "k"]);
            let mut told = Vec::new();
            loop {
                let value = monitor.receive();
                if matches!(value, Value::Simple(ref text) if text == b"RESET") {
                    // No line comes behind it.
                    assert_eq!(monitor.receive(), Value::Nil);
                    assert_eq!(monitor.run("PING"), Value::Simple(b"PONG".to_vec()));
                    return told;
                }
                told.push(match value {
                    Value::Simple(text) => match String::from_utf8(text).expect("text").split_once("] ") {
                        Some((_, line)) => line.to_owned(),
                        None => "simple".to_owned(),
                    },
                    Value::Array(values) if values.len() == 2 => "time or exec".to_owned(),
                    other => format!("{other:?}"),
                });
            }
        });
        // Lines of one's own requests come behind the answers, of a pipeline perhaps of several.
        told.iter_mut().for_each(|told| told.sort());
        let [ours, theirs] = told;
        assert_eq!(ours, theirs, "{shards} shards");
    }
}

#[test]
fn the_address_of_a_client_is_its_port_or_the_socket() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("kv.sock");
    let on_socket = Server::start(&["--shards", "2", "--unixsocket", path.to_str().expect("it is text")]);
    let on_port = Server::start(&["--shards", "2"]);
    let shown = |connect: &dyn Fn() -> Client| {
        let (mut monitor, mut client) = (connect(), connect());
        monitor.ask(&["MONITOR"]);
        let Value::Bulk(info) = client.ask(&["CLIENT", "INFO"]) else { panic!("a text") };
        let Value::Simple(line) = monitor.receive() else { panic!("a line is a simple string") };
        [info, line].map(|text| String::from_utf8(text).expect("text"))
    };
    let [_, line] = shown(&|| Client::unix(&path).expect("the server listens"));
    assert!(line.ends_with(&format!(" [0 unix:{}] \"CLIENT\" \"INFO\"", path.display())), "{line}");
    let [info, line] = shown(&|| on_port.client());
    let address = info.split("addr=").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
    assert!(line.ends_with(&format!(" [0 {address}] \"CLIENT\" \"INFO\"")), "{line}");
    drop(on_socket);
}

/// kv-cli writes what it is shown to a file, and kv-bench sends it to another server: the same keys are there then.
#[test]
fn what_kv_cli_is_shown_can_be_sent_again_by_kv_bench() {
    let server = Server::start(&["--shards", "2"]);
    let port = server.address().port().to_string();
    let mut process = Command::new(program("kv-cli"))
        .args(["-p", &port, "--monitor"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("kv-cli can be run");
    let mut shown = BufReader::new(process.stdout.take().expect("the output is piped")).lines().map_while(Result::ok);
    assert_eq!(shown.next().as_deref(), Some("OK"));
    let mut client = server.client();
    let mut requests: Vec<Vec<Vec<u8>>> = (0..200u32)
        .map(|i| vec![b"APPEND".to_vec(), format!("k{}", i % 7).into_bytes(), vec![i as u8, b'"', b'\n', 0xff]])
        .collect();
    for text in
        ["MULTI", "INCR n", "RPUSH l a b", "EXEC", "EVAL \"return redis.call('incr', KEYS[1])\" 1 n", "ECHO end"]
    {
        requests.push(line::split(text.as_bytes()).expect("balanced quotes"));
    }
    requests.iter().for_each(|words| drop(client.ask(words)));
    let mut log = tempfile::NamedTempFile::new().expect("a temporary file");
    for line in shown {
        writeln!(log, "{line}").expect("it can be written");
        if line.ends_with("\"ECHO\" \"end\"") {
            break;
        }
    }
    process.kill().expect("it runs");
    process.wait().expect("it has run");
    let other = Server::start(&["--shards", "2"]);
    let (port, path) = (other.address().port().to_string(), log.path().to_str().expect("it is text"));
    let output = run(program("kv-bench"), &["-p", &port, "--json", "--replay", path], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut again = other.client();
    for key in ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "n"] {
        assert_eq!(again.ask(&["GET", key]), client.ask(&["GET", key]), "{key}");
    }
    assert_eq!(again.ask(&["LRANGE", "l", "0", "-1"]), client.ask(&["LRANGE", "l", "0", "-1"]));
}

/// It is cut at the limit of normal clients, and nobody else notices.
#[test]
fn a_monitor_that_does_not_read_is_cut_at_its_limit() {
    for shards in SHARDS {
        let server = Server::start(&["--shards", shards]);
        let mut client = server.client();
        client.ask(&["CONFIG", "SET", "client-output-buffer-limit", "normal 4mb 0 0"]);
        let (mut slow, mut fast) = (server.client(), server.client());
        slow.ask(&["MONITOR"]);
        fast.ask(&["MONITOR"]);
        let text = vec![b'x'; 100_000];
        // What the sockets take of the slow one's lines comes on top of the limit.
        wait_until("the slow monitor is cut", || {
            for _ in 0..50 {
                client.ask(&[&b"SET"[..], b"k", &text]);
                assert!(matches!(fast.receive(), Value::Simple(line) if line.len() > text.len()));
            }
            let Value::Bulk(info) = client.ask(&["INFO", "stats"]) else { panic!("a text") };
            assert!(matches!(fast.receive(), Value::Simple(_)));
            String::from_utf8_lossy(&info).contains("client_output_buffer_limit_disconnections:1")
        });
        assert_eq!(client.ask(&["GET", "k"]), Value::Bulk(text));
    }
}
