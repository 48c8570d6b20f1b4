//! The program as its users meet it: start, stop, options, files, sockets, and the tools that talk to it.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::thread;

use kv_core::resp::client::{Value, encode_request};
use kv_tests::client::Client;
use kv_tests::process::{Server, program, run, wait_until};
use kv_tests::redis::skip;
use rustix::process::Signal;

const NOTHING: &[&str] = &[];

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

/// Starts a server that must refuse to start: one line on standard error, exit status 1.
fn refused(args: &[&str]) -> String {
    let output = run(program("kv-server"), args, b"");
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
    assert_eq!(text(&output.stdout), "", "{args:?} is not ready");
    assert_eq!(error.lines().count(), 1, "{args:?}: one line: {error}");
    error.trim_end().to_owned()
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

#[test]
fn the_ready_line_names_address_shards_and_folder() {
    let server = Server::start(&["--shards", "3", "--bind", "127.0.0.1"]);
    let folder = fs::canonicalize(server.folder()).expect("the folder is there");
    let expected = format!(
        "kv-server {} is ready on {} (shards: 3, data folder: {})",
        env!("CARGO_PKG_VERSION"),
        server.address(),
        folder.display()
    );
    assert_eq!(server.ready_line(), expected);
    assert_ne!(server.address().port(), 0);
}

#[test]
fn a_signal_ends_the_server_with_status_0_also_while_clients_are_busy() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&["--shards", "2"]);
        let busy: Vec<_> = (0..3)
            .map(|number| {
                let mut client = server.client();
                assert_eq!(client.ask(&["SET", "k", "v"]), ok());
                thread::spawn(move || {
                    let mut requests = Vec::new();
                    (0..50).for_each(|_| encode_request(&mut requests, &["MGET", "k", "l", "m"]));
                    // Until the server is gone.
                    while number == 0 || client.try_receive().is_some() {
                        if client.try_send_bytes(&requests).is_err() {
                            break;
                        }
                    }
                })
            })
            .collect();
        let mut half = server.client();
        half.send_bytes(b"*2\r\n$3\r\nGET\r\n$1");
        server.signal(signal);
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", server.log());
        assert!(half.try_receive().is_none(), "connections are closed");
        busy.into_iter().for_each(|thread| thread.join().expect("a busy client ends"));
    }
}

#[test]
fn shutdown_ends_the_server_with_status_0_and_no_reply() {
    for command in ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN NOW FORCE"] {
        let mut server = Server::start(&["--shards", "2"]);
        let mut client = server.client();
        client.send_bytes(format!("SET k v\r\n{command}\r\n").as_bytes());
        assert_eq!(client.receive(), ok());
        assert!(client.try_receive().is_none(), "{command} has no reply");
        assert_eq!(server.wait().code(), Some(0), "{command}: {}", server.log());
    }
}

#[test]
fn a_server_that_cannot_start_says_why_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let error = refused(&["--bind", "127.0.0.1", "--port", &port]);
    assert!(error.contains("'port'") && error.contains(&port), "{error}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing");
    let error = refused(&["--port", "0", "--dir", path_text(&missing)]);
    assert!(error.contains("'dir'") && error.contains("missing"), "{error}");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    assert!(refused(&["--port", "0", "--dir", path_text(&file)]).contains("'dir'"));
    let error = refused(&["--port", "0", "--unixsocket", path_text(&missing.join("kv.sock"))]);
    assert!(error.contains("'unixsocket'"), "{error}");
    // A file that is no socket is not removed.
    assert!(refused(&["--port", "0", "--unixsocket", path_text(&file)]).contains("'unixsocket'"));
    assert!(file.exists());

    let error = refused(&["--port", "x"]);
    assert!(error.contains("'port'"), "{error}");
    let error = refused(&["--nosuch", "1"]);
    assert!(error.contains("nosuch"), "{error}");
    // Known to Redis and not to us: named, never ignored.
    let error = refused(&["--lfu-log-factor", "10"]);
    assert!(error.contains("lfu-log-factor"), "{error}");
    let error = refused(&["--rdbchecksum", "no"]);
    assert!(error.contains("'rdbchecksum'"), "{error}");
    let error = refused(&["--bind", "203.0.113.77", "--port", "0"]);
    assert!(error.contains("'bind'"), "{error}");
    let error = refused(&[path_text(&missing)]);
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn forms_of_redis_are_taken_on_the_command_line() {
    let server = Server::start(&["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--timeout", "0"]);
    assert_eq!(server.client().ask(&["PING"]), Value::Simple(b"PONG".to_vec()));
    let help = run(program("kv-server"), &["--help"], b"");
    assert!(help.status.success() && text(&help.stdout).contains("--shards"));
    let version = run(program("kv-server"), &["--version"], b"");
    assert_eq!(text(&version.stdout).trim_end(), format!("kv-server {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_request_piped_into_a_socket_is_answered_to_its_end() {
    let server = Server::start(NOTHING);
    let mut client = server.client();
    // printf 'SET k "a b"\r\nGET k\r\n' | nc
    client.send_bytes(b"SET k \"a b\"\r\nGET k\r\n");
    client.finish_sending();
    assert_eq!(client.rest(), b"+OK\r\n$3\r\na b\r\n");
}

#[test]
fn a_configuration_file_is_read_changed_and_read_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("kv.conf");
    fs::write(&file, "# ours\ntimeout 100\nrequirepass \"pass word\"\n\nmaxclients 50\n").expect("a file");
    let first = [path_text(&file)];
    let server = Server::start_in(tempfile::tempdir().expect("a temporary folder"), &first, &["--maxclients", "60"]);
    let mut client = server.client();
    assert!(client.ask(&["PING"]).is_error());
    assert_eq!(client.ask(&["AUTH", "pass word"]), ok());
    let options = |client: &mut Client| {
        let names = ["CONFIG", "GET", "timeout", "maxclients", "hll-sparse-max-bytes"];
        let Value::Array(words) = client.ask(&names) else { panic!("CONFIG GET answers with pairs") };
        let words: Vec<&str> = words.iter().map(|word| text(word.bytes().expect("a text"))).collect();
        let mut pairs: Vec<String> = words.chunks(2).map(|pair| pair.join("=")).collect();
        pairs.sort();
        pairs.join(" ")
    };
    assert_eq!(options(&mut client), "hll-sparse-max-bytes=3000 maxclients=60 timeout=100");
    assert_eq!(client.ask(&["CONFIG", "SET", "timeout", "0", "hll-sparse-max-bytes", "2000"]), ok());
    assert_eq!(client.ask(&["CONFIG", "REWRITE"]), ok());
    let text_now = fs::read_to_string(&file).expect("the file is there");
    assert!(text_now.starts_with("# ours\n"), "{text_now}");
    for line in ["timeout 0", "requirepass \"pass word\"", "maxclients 60", "hll-sparse-max-bytes 2000"] {
        assert!(text_now.lines().any(|there| there == line), "{line}: {text_now}");
    }
    drop(client);
    let data = server.stop();
    // The file now names a port, too: the option in front of the others wins.
    let server = Server::start_in(data, &first, NOTHING);
    let mut client = server.client();
    assert_eq!(client.ask(&["AUTH", "pass word"]), ok());
    assert_eq!(options(&mut client), "hll-sparse-max-bytes=2000 maxclients=60 timeout=0");
}

#[test]
fn a_unix_socket_serves_and_is_gone_afterwards() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("kv.sock");
    let options = ["--unixsocket", path_text(&socket), "--unixsocketperm", "700"];
    let server = Server::start(&options);
    assert!(server.ready_line().contains(path_text(&socket)), "{}", server.ready_line());
    let mut client = Client::unix(&socket).expect("the socket is there");
    assert_eq!(client.ask(&["SET", "k", "v"]), ok());
    let info = client.ask(&["CLIENT", "INFO"]);
    let info = text(info.bytes().expect("a text"));
    assert!(info.contains("flags=U") && info.contains(path_text(&socket)), "{info}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket).expect("the socket").permissions());
    assert_eq!(mode & 0o777, 0o700);
    // A second server must not take it away from the first.
    let error = refused(&["--port", "0", "--unixsocket", path_text(&socket)]);
    assert!(error.contains("'unixsocket'"), "{error}");
    assert_eq!(client.ask(&["GET", "k"]), bulk("v"));
    server.stop();
    assert!(!socket.exists(), "the socket is removed at the end");
    // One that a killed server has left behind is in nobody's way.
    drop(Server::start(&options));
    assert!(socket.exists(), "a killed server removes nothing");
    let server = Server::start(&options);
    assert_eq!(Client::unix(&socket).expect("the socket is there").ask(&["PING"]), Value::Simple(b"PONG".to_vec()));
    server.stop();
}

#[test]
fn who_comes_when_the_server_is_full_is_told_so() {
    let server = Server::start(&["--maxclients", "3", "--shards", "2"]);
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&["PING"]), Value::Simple(b"PONG".to_vec()));
    }
    let mut surplus = server.client();
    assert_eq!(surplus.receive(), Value::Error(b"ERR max number of clients reached".to_vec()));
    assert!(surplus.try_receive().is_none());
    assert_eq!(clients[0].ask(&["CONFIG", "SET", "maxclients", "4"]), ok());
    let mut fourth = server.client();
    assert_eq!(fourth.ask(&["PING"]), Value::Simple(b"PONG".to_vec()));
    drop(clients);
    wait_until("a place is free", || server.client().ask_or_end(&["PING"]).is_some_and(|reply| !reply.is_error()));
}

#[test]
fn an_idle_client_is_disconnected_and_an_idle_server_rests() {
    let server = Server::start(&["--timeout", "2", "--shards", "2"]);
    let mut idle = server.client();
    assert_eq!(idle.ask(&["PING"]), Value::Simple(b"PONG".to_vec()));
    let before = server.cpu_time();
    // The close is what is waited for: it takes two seconds, in which nothing else happens.
    assert!(idle.try_receive().is_none());
    let used = server.cpu_time() - before;
    assert!(used.as_millis() < 300, "an idle server used {used:?} of two seconds");
}

#[test]
fn only_this_machine_is_let_in_while_there_is_no_password() {
    let address = own_address();
    let Some(address) = address else {
        eprintln!("skipped: this machine has no address but the loopback's");
        return;
    };
    let server = Server::start(&["--bind", "127.0.0.1", &address]);
    let port = server
        .ready_line()
        .split([' ', ','])
        .filter_map(|word| word.parse::<std::net::SocketAddr>().ok())
        .find(|listening| listening.ip().to_string() == address)
        .expect("it listens there, too");
    let mut stranger = Client::tcp(port).expect("the connection is accepted");
    let Value::Error(refusal) = stranger.receive() else { panic!("an error") };
    assert!(refusal.starts_with(b"DENIED "), "{}", refusal.escape_ascii());
    assert!(stranger.try_receive().is_none());
    let mut local = server.client();
    assert_eq!(local.ask(&["CONFIG", "SET", "protected-mode", "no"]), ok());
    let mut guest = Client::tcp(port).expect("the connection is accepted");
    assert_eq!(guest.ask(&["PING"]), Value::Simple(b"PONG".to_vec()));
    assert_eq!(local.ask(&["CONFIG", "SET", "protected-mode", "yes", "requirepass", "secret"]), ok());
    let mut guest = Client::tcp(port).expect("the connection is accepted");
    assert_eq!(guest.ask(&["AUTH", "secret"]), ok());
}

/// An address of this machine that is not the loopback's: the one it would send from. Nothing is sent.
fn own_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

fn success(output: &Output) -> &str {
    assert!(output.status.success(), "{:?}: {}{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn kv_cli_asks_once_or_reads_from_a_pipe() {
    let server = Server::start(NOTHING);
    let port = server.address().port().to_string();
    let cli = |args: &[&str], input: &[u8]| run(program("kv-cli"), &[&["-p", port.as_str()], args].concat(), input);
    assert_eq!(success(&cli(&["set", "k", "a b"], b"")), "OK\n");
    assert_eq!(success(&cli(&["get", "k"], b"")), "a b\n");
    assert_eq!(success(&cli(&["-3", "mget", "k", "nokey"], b"")).lines().next(), Some("a b"));
    assert_eq!(success(&cli(&["-n", "3", "get", "k"], b"")), "\n");
    assert_eq!(success(&cli(&[], b"SET k 1\nINCR k\nget k\n")), "OK\n2\n2\n");
    let error = cli(&["incr", "k", "x"], b"");
    assert_eq!(error.status.code(), Some(1));
    assert!(text(&error.stdout).contains("wrong number of arguments"), "{}", text(&error.stdout));
}

#[test]
fn kv_bench_loads_the_server() {
    let server = Server::start(&["--shards", "2"]);
    let port = server.address().port().to_string();
    let args = ["-p", &port, "-t", "set,get,mset", "-n", "2000", "-c", "5", "-P", "4", "-r", "1000", "--csv"];
    let output = run(program("kv-bench"), &args, b"");
    let lines: Vec<&str> = success(&output).lines().collect();
    assert_eq!(lines.len(), 4, "a head and three tests: {lines:#?}");
    assert!(matches!(server.client().ask(&["DBSIZE"]), Value::Int(keys) if keys > 500));
}

/// Runs a program of Redis; none when it is not installed.
fn redis_tool(name: &str, args: &[&str], input: &[u8]) -> Option<Output> {
    match std::process::Command::new(name).arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip(name);
            None
        }
        _ => Some(run(name, args, input)),
    }
}

#[test]
fn redis_cli_works_unchanged() {
    let server = Server::start(&["--shards", "4"]);
    let port = server.address().port().to_string();
    let cli = |args: &[&str], input: &[u8]| redis_tool("redis-cli", &[&["-p", port.as_str()], args].concat(), input);
    let Some(output) = cli(&["set", "k", "a b"], b"") else { return };
    assert_eq!(success(&output), "OK\n");
    let session = cli(&["-3"], b"GET k\nHELLO 3\nOBJECT ENCODING k\nnosuch\nPING\n").expect("installed");
    let shown = success(&session);
    assert!(shown.starts_with("a b\n") && shown.contains("embstr\n") && shown.ends_with("PONG\n"), "{shown}");
    for number in 0..300 {
        assert_eq!(server.client().ask(&["SET", &format!("key:{number}"), "v"]), ok());
    }
    let scan = cli(&["--scan", "--pattern", "key:*"], b"").expect("installed");
    let mut keys: Vec<&str> = success(&scan).lines().collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 300);
    let info = cli(&["info", "keyspace"], b"").expect("installed");
    assert!(success(&info).contains("db0:keys=301,"), "{}", text(&info.stdout));
    let big = cli(&["--bigkeys"], b"").expect("installed");
    assert!(success(&big).contains("Sampled 301 keys"), "{}", text(&big.stdout));
    let mem = cli(&["--memkeys"], b"").expect("installed");
    assert!(success(&mem).contains("Sampled 301 keys"), "{}", text(&mem.stdout));
    // Its bulk loader: a stream of requests, ended by an ECHO.
    let mut requests = Vec::new();
    (0..1000).for_each(|number| encode_request(&mut requests, &["SET", &format!("p:{number}"), "v"]));
    let pipe = cli(&["--pipe"], &requests).expect("installed");
    assert!(success(&pipe).contains("errors: 0, replies: 1000"), "{}", text(&pipe.stdout));
}

#[test]
fn redis_benchmark_works_unchanged() {
    let server = Server::start(&["--shards", "2"]);
    let port = server.address().port().to_string();
    for pipeline in ["1", "16"] {
        let args = [
            "-p",
            &port,
            "-t",
            "ping,set,get,incr,mset",
            "-n",
            "2000",
            "-c",
            "10",
            "-P",
            pipeline,
            "-r",
            "100",
            "--csv",
        ];
        let Some(output) = redis_tool("redis-benchmark", &args, b"") else { return };
        let lines = success(&output).lines().filter(|line| line.starts_with('"')).count();
        assert_eq!(lines, 7, "a head, two kinds of PING and four tests: {}", text(&output.stdout));
    }
    assert!(matches!(server.client().ask(&["DBSIZE"]), Value::Int(keys) if keys > 50));
}
