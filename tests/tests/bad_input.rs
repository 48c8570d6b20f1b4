//! What a broken or hostile client may send to the real process: it gets a clear error or a clean close, memory stays
//! bounded, nothing panics (a server that did fails its test at the end), and another client goes on getting right answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use kv_core::resp::client::{ReplyDecoder, Value, encode_request};
use kv_core::structs::random::Random;
use kv_tests::client::Client;
use kv_tests::process::{Server, wait_until};
use kv_tests::requests::setting;
use rustix::process::{Resource, getrlimit, setrlimit};

const MIB: u64 = 1 << 20;

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

/// Another client, whose answers must be right all the time.
struct Bystander {
    over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Bystander {
    fn start(mut client: Client) -> Bystander {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let thread = thread::spawn(move || {
            let mut rounds = 0;
            while !is_over.load(Ordering::Relaxed) {
                rounds += 1;
                let value = format!("{rounds}");
                let texts = || vec![Value::Bulk(value.clone().into_bytes()); 3];
                // Three keys, so that several shards are asked.
                assert_eq!(client.ask(&["MSET", "by1", &value, "by2", &value, "by3", &value]), ok());
                assert_eq!(client.ask(&["MGET", "by1", "by2", "by3"]), Value::Array(texts()));
                assert_eq!(client.ask(&["GET", "by2"]), Value::Bulk(value.into_bytes()));
            }
            rounds
        });
        Bystander { over, thread }
    }

    fn finish(self) {
        self.over.store(true, Ordering::Relaxed);
        let rounds = self.thread.join().expect("a bystander's answers are right");
        assert!(rounds > 0, "the bystander was answered");
    }
}

/// The replies in `bytes`, which must be whole.
fn decoded(bytes: &[u8], hint: &str) -> Vec<Value> {
    let mut decoder = ReplyDecoder::default();
    decoder.feed(bytes);
    let mut values = Vec::new();
    while let Some(value) =
        decoder.next_value().unwrap_or_else(|error| panic!("{hint}: {error}: {}", bytes.escape_ascii()))
    {
        values.push(value);
    }
    assert!(!decoder.is_within_value(), "{hint}: the last reply is cut: {}", bytes.escape_ascii());
    values
}

/// What is answered to `bytes` and the end of sending. A server that has closed already does not read all of them.
fn answer(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut client = server.client();
    if client.try_send_bytes(bytes).is_ok() {
        client.finish_sending();
    }
    client.rest()
}

fn error_of(server: &Server, bytes: &[u8]) -> String {
    let shown = bytes[..bytes.len().min(40)].escape_ascii().to_string();
    match &decoded(&answer(server, bytes), &shown)[..] {
        [Value::Error(text)] => String::from_utf8_lossy(text).into_owned(),
        other => panic!("{shown}: one error, not {other:?}"),
    }
}

/// The server has gone back to the clients that are meant to be there.
fn wait_for_clients(client: &mut Client, expected: usize) {
    let wanted = format!("connected_clients:{expected}\r\n").into_bytes();
    wait_until("closed connections are forgotten", || {
        let info = client.ask(&["INFO", "clients"]);
        info.bytes().is_some_and(|text| text.windows(wanted.len()).any(|part| part == wanted))
    });
}

#[test]
fn random_bytes_get_replies_or_a_close() {
    let server = Server::start(&["--shards", "2"]);
    let bystander = Bystander::start(server.client());
    const PIECES: &[&[u8]] = &[
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"GET k\r\n",
        b"SET k \"a b\"\r\n",
        b"*",
        b"$",
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b"-1",
        b"0",
        b"99999999999",
        b"\"",
        b"'",
        b"\xff\xfe",
        b" ",
        b"MSET a 1 b",
        b"MGET a b c\r\n",
        b"HELLO 3\r\n",
        b"*2\r\n$6\r\nCLIENT\r\n$4\r\nINFO\r\n",
    ];
    for seed in 0..3000 {
        let random = &mut Random::new(seed);
        let mut bytes = Vec::new();
        for _ in 0..1 + random.below(12) {
            match random.below(4) {
                0 => bytes.extend((0..random.below(60)).map(|_| random.next_u64() as u8)),
                _ => bytes.extend_from_slice(PIECES[random.index(PIECES.len())]),
            }
        }
        let hint = format!("seed {seed}: {}", bytes.escape_ascii());
        decoded(&answer(&server, &bytes), &hint);
    }
    bystander.finish();
}

#[test]
fn half_requests_leave_nothing_behind() {
    let server = Server::start(&["--shards", "2"]);
    let bystander = Bystander::start(server.client());
    let request = b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$5\r\nvalue\r\n";
    let mut stay = Vec::new();
    for round in 0..60 {
        for cut in 1..request.len() {
            let mut client = server.client();
            client.send_bytes(&request[..cut]);
            if round == 0 {
                stay.push((client, cut));
            }
        }
    }
    let mut client = server.client();
    assert_eq!(client.ask(&["EXISTS", "half"]), Value::Int(0), "half a request has no effect");
    // Those that stayed can still go on.
    for (client, cut) in &mut stay {
        client.send_bytes(&request[*cut..]);
        assert_eq!(client.receive(), ok());
    }
    let open = stay.len();
    wait_for_clients(&mut client, open + 2);
    drop(stay);
    wait_for_clients(&mut client, 2);
    bystander.finish();
}

#[test]
fn what_is_too_large_or_no_number_is_refused_by_name() {
    let server = Server::start(&["--shards", "2"]);
    let bystander = Bystander::start(server.client());
    for (bytes, expected) in [
        (&b"*1048577\r\n"[..], "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*1 \r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$-2147483648\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"SET k \"a\r\n", "unbalanced quotes in request"),
        (b"SET k 'a'b\r\n", "unbalanced quotes in request"),
    ] {
        assert_eq!(error_of(&server, bytes), format!("ERR Protocol error: {expected}"), "{}", bytes.escape_ascii());
    }
    let long = |start: &[u8]| [start, &b"1".repeat(70_000)].concat();
    assert_eq!(error_of(&server, &long(b"GET ")), "ERR Protocol error: too big inline request");
    assert_eq!(error_of(&server, &long(b"*")), "ERR Protocol error: too big mbulk count string");
    assert_eq!(error_of(&server, &long(b"*1\r\n$")), "ERR Protocol error: too big bulk count string");
    // Zero and negative counts are empty requests, as in Redis.
    assert_eq!(answer(&server, b"*0\r\n*-1\r\n*-5\r\n\r\nPING\r\n"), b"+PONG\r\n");
    bystander.finish();
}

#[test]
fn a_request_may_have_a_million_arguments_and_no_more() {
    let server = Server::start(&["--shards", "2"]);
    let bystander = Bystander::start(server.client());
    let mut client = server.client();
    let mut words = vec![&b"EXISTS"[..]];
    words.resize(1 << 20, b"by1");
    let mut request = Vec::new();
    encode_request(&mut request, &words);
    client.send_bytes(&request);
    let Value::Int(found) = client.receive() else { panic!("EXISTS answers with a number") };
    // The bystander may not have set its key yet: all or none.
    assert!(found == 0 || found == (1 << 20) - 1, "{found}");
    words.push(b"by1");
    request.clear();
    encode_request(&mut request, &words);
    let mut greedy = server.client();
    // Refused at its first line: the rest may not be read any more.
    let _ = greedy.try_send_bytes(&request);
    let error = b"ERR Protocol error: invalid multibulk length".to_vec();
    // The reply is lost when the unread rest makes the kernel reset the connection.
    assert!(greedy.try_receive().is_none_or(|reply| reply == Value::Error(error)));
    assert_eq!(client.ask(&["PING"]), Value::Simple(b"PONG".to_vec()));
    bystander.finish();
}

#[test]
fn memory_grows_with_what_arrived_not_with_what_was_announced() {
    let server = Server::start(&["--shards", "2"]);
    let bystander = Bystander::start(server.client());
    let before = server.resident_bytes();
    let mut clients: Vec<Client> = (0..300).map(|_| server.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let announced: &[u8] = match number % 3 {
            0 => b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nbegin",
            1 => b"*1048576\r\n$3\r\nDEL\r\n$1\r\nk\r\n",
            _ => b"*2\r\n$536870912\r\n",
        };
        client.send_bytes(announced);
    }
    // Answered after theirs have been read, on each worker.
    let mut client = server.client();
    wait_until("all requests have arrived", || {
        let list = client.ask(&["CLIENT", "LIST"]);
        let text = list.bytes().expect("a text");
        String::from_utf8_lossy(text).lines().filter(|line| !line.contains(" qbuf=0 ")).count() >= clients.len()
    });
    let grown = server.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "300 announcements of up to 512 MiB took {grown} bytes");
    drop(clients);
    wait_for_clients(&mut client, 2);
    bystander.finish();
}

#[test]
fn a_client_that_sends_without_end_is_cut_at_its_limit() {
    let server = Server::start(&["--shards", "2", "--client-query-buffer-limit", "1mb"]);
    let bystander = Bystander::start(server.client());
    let before = server.resident_bytes();
    let mut client = server.client();
    client.send_bytes(b"*2\r\n$4\r\nECHO\r\n$500000000\r\n");
    let piece = vec![b'x'; 1 << 16];
    let sent = (0..8000).take_while(|_| client.try_send_bytes(&piece).is_ok()).count();
    assert!(sent < 4000, "{sent} pieces of 64 KiB were taken");
    let grown = server.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "it took {grown} bytes");
    wait_for_clients(&mut server.client(), 2);
    bystander.finish();
}

#[test]
fn a_client_that_never_reads_its_replies_is_cut_at_the_hard_limit() {
    let server = Server::start(&["--shards", "2", "--client-output-buffer-limit", "normal 8mb 0 0"]);
    let mut client = server.client();
    assert_eq!(client.ask(&["SET", "large", &"x".repeat(100_000)]), ok());
    let bystander = Bystander::start(server.client());
    let before = server.resident_bytes();
    let mut deaf = server.client();
    // 2 GB of replies.
    let mut requests = Vec::new();
    for _ in 0..20_000 {
        encode_request(&mut requests, &["GET", "large"]);
    }
    // It may be cut before all is sent.
    let _ = deaf.try_send_bytes(&requests);
    wait_for_clients(&mut client, 2);
    let grown = server.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "it took {grown} bytes");
    bystander.finish();
}

#[test]
fn a_client_that_never_reads_its_replies_is_cut_at_the_soft_limit_after_its_time() {
    let server = Server::start(&["--shards", "2", "--client-output-buffer-limit", "normal 0 1mb 1"]);
    let mut client = server.client();
    assert_eq!(client.ask(&["SET", "large", &"x".repeat(100_000)]), ok());
    let bystander = Bystander::start(server.client());
    let mut deaf = server.client();
    let mut request = Vec::new();
    for _ in 0..200 {
        encode_request(&mut request, &["GET", "large"]);
    }
    deaf.send_bytes(&request);
    wait_for_clients(&mut client, 2);
    bystander.finish();
}

#[test]
fn a_client_may_write_its_whole_pipeline_before_it_reads() {
    let server = Server::start(&["--shards", "4"]);
    let bystander = Bystander::start(server.client());
    let mut client = server.client();
    let mut requests = Vec::new();
    const COUNT: i64 = 100_000;
    for number in 0..COUNT {
        // Two counters on some shards, and a read of both.
        let key = if number % 2 == 0 { "even" } else { "odd" };
        encode_request(&mut requests, &["INCR", key]);
    }
    encode_request(&mut requests, &["MGET", "even", "odd"]);
    client.send_bytes(&requests);
    for number in 0..COUNT {
        assert_eq!(client.receive(), Value::Int(number / 2 + 1));
    }
    let half = Value::Bulk((COUNT / 2).to_string().into_bytes());
    assert_eq!(client.receive(), Value::Array(vec![half.clone(), half]));
    bystander.finish();
}

#[test]
fn a_client_that_sends_byte_by_byte_is_answered_like_others() {
    let server = Server::start(&["--shards", "2"]);
    let bystander = Bystander::start(server.client());
    let mut requests = Vec::new();
    encode_request(&mut requests, &["SET", "slow", "a\r\nb"]);
    requests.extend_from_slice(b"GET slow\r\n\r\n");
    encode_request(&mut requests, &["MSET", "slow1", "1", "slow2", "2"]);
    requests.extend_from_slice(b"MGET slow1 'slow2' \"slow\"\r\n");
    let mut client = server.client();
    for _ in 0..20 {
        for byte in &requests {
            client.send_bytes(std::slice::from_ref(byte));
        }
        let text = |text: &str| Value::Bulk(text.as_bytes().to_vec());
        assert_eq!(client.receive(), ok());
        assert_eq!(client.receive(), text("a\r\nb"));
        assert_eq!(client.receive(), ok());
        assert_eq!(client.receive(), Value::Array(vec![text("1"), text("2"), text("a\r\nb")]));
    }
    bystander.finish();
}

/// Connections opened and closed in each of the two tests below; `KV_VISITORS=500000` for more.
const VISITORS: u64 = 10_000;

#[test]
fn tcp_connections_come_and_go_by_the_thousand() {
    let server = Server::start(&["--shards", "2"]);
    come_and_go(&server, || server.client());
}

#[test]
fn unix_connections_come_and_go_by_the_thousand() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("kv.sock");
    let server = Server::start(&["--shards", "2", "--unixsocket", socket.to_str().expect("a path of text")]);
    come_and_go(&server, || Client::unix(&socket).expect("the server accepts connections"));
}

fn come_and_go(server: &Server, connect: impl Fn() -> Client) {
    let bystander = Bystander::start(connect());
    let visitors = setting("KV_VISITORS", VISITORS);
    let mut before = 0;
    for number in 0..visitors {
        let mut visitor = connect();
        match number % 4 {
            0 => {}
            1 => assert_eq!(visitor.ask(&["PING"]), Value::Simple(b"PONG".to_vec())),
            2 => visitor.send_bytes(b"*2\r\n$3\r\nGET\r\n$1"),
            // Gone before the answers are.
            _ => visitor.send_bytes(b"MGET by1 by2 by3\r\nSET visitor 1\r\n"),
        }
        if number == visitors / 10 {
            before = server.resident_bytes();
        }
    }
    let mut client = connect();
    wait_for_clients(&mut client, 2);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "nine tenths of {visitors} connections left {grown} bytes behind");
    bystander.finish();
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_disturb_nobody() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may be raised to the hard one");
    // Both ends are counted, each in its own process; other tests of this program have files open, too.
    let count = limit.current.map_or(10_000, |files| files.saturating_sub(1000).min(10_000)) as usize;
    assert!(count >= 100, "the limit of open files is too low for any test");
    let server = Server::start(&["--shards", "2", "--maxclients", "10100", "--tcp-backlog", "4096"]);
    let bystander = Bystander::start(server.client());
    let mut client = server.client();
    let before = server.resident_bytes();
    let mut idle: Vec<Client> = (0..count).map(|_| server.client()).collect();
    wait_for_clients(&mut client, count + 2);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 150 * MIB, "{count} idle connections take {grown} bytes");
    for client in idle.iter_mut().step_by(997) {
        assert_eq!(client.ask(&["PING"]), Value::Simple(b"PONG".to_vec()));
    }
    drop(idle);
    wait_for_clients(&mut client, 2);
    bystander.finish();
}
