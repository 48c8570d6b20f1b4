//! The program as its users meet it: arguments and standard input in; output and exit status out. The server is a few
//! lines here, so that it can also do what a good server does not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use kv_core::resp::client::{ReplyDecoder, Value};

/// Answers requests, told as a line of words; `None` hangs up.
type Answer = fn(&str) -> Option<&'static [u8]>;

struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: Answer) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let server = Server { port, seen: seen.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let seen = seen.clone();
                std::thread::spawn(move || serve(stream.unwrap(), answer, &seen));
            }
        });
        server
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn cli(&self) -> Command {
        let mut command = cli();
        command.args(["-p", &self.port.to_string()]);
        command
    }
}

fn serve(mut stream: TcpStream, answer: Answer, seen: &Mutex<Vec<String>>) {
    let mut requests = ReplyDecoder::default();
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        requests.feed(&buffer[..len]);
        while let Some(Value::Array(args)) = requests.next_value().unwrap() {
            let words: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg.bytes().unwrap())).collect();
            let line = words.join(" ");
            seen.lock().unwrap().push(line.clone());
            match answer(&line) {
                Some(reply) => stream.write_all(reply).unwrap(),
                None => return,
            }
        }
    }
}

fn cli() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-cli"));
    command.env_remove("KVCLI_AUTH").env_remove("REDISCLI_AUTH").stdin(Stdio::null());
    command
}

fn with_input(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_reply_is_raw_in_a_pipe_and_typed_on_request() {
    let server = Server::start(|_| Some(b"*2\r\n$1\r\na\r\n:5\r\n"));
    let output = server.cli().args(["mget", "a", "b"]).output().unwrap();
    assert_eq!((out(&output), output.status.code()), ("a\n5\n", Some(0)));
    let output = server.cli().args(["--no-raw", "mget", "a", "b"]).output().unwrap();
    assert_eq!(out(&output), "1) \"a\"\n2) (integer) 5\n");
    assert_eq!(server.seen(), ["mget a b", "mget a b"]);
}

#[test]
fn an_error_reply_gives_exit_status_1_and_no_connection_2() {
    let server = Server::start(|_| Some(b"-ERR no\r\n"));
    let output = server.cli().args(["get"]).output().unwrap();
    assert_eq!((out(&output), output.status.code()), ("ERR no\n\n", Some(1)));

    let closed = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let output = cli().args(["-p", &closed.to_string(), "get", "k"]).output().unwrap();
    assert_eq!(err(&output), format!("Could not connect to 127.0.0.1:{closed}: Connection refused\n"));
    assert_eq!(output.status.code(), Some(2));

    for wrong in [&["--bogus"][..], &["-p", "x", "get", "k"], &["-u", "http://h", "get", "k"], &["-X", "t", "get", "k"]]
    {
        let output = cli().args(wrong).output().unwrap();
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""), "{wrong:?}");
        assert!(!err(&output).is_empty());
    }
}

#[test]
fn the_introduction_comes_before_the_command() {
    let server = Server::start(|_| Some(b"+OK\r\n"));
    let mut command = server.cli();
    command.env("KVCLI_AUTH", "pw").args(["--user", "ann", "-3", "-n", "2", "ping"]);
    assert_eq!(command.output().unwrap().status.code(), Some(0));
    assert_eq!(server.seen(), ["AUTH ann pw", "HELLO 3", "SELECT 2", "ping"]);
}

#[test]
fn nothing_is_sent_to_the_wrong_database() {
    let server = Server::start(|line| Some(if line.starts_with("SELECT") { b"-ERR range\r\n" } else { b"+OK\r\n" }));
    let output = server.cli().args(["-n", "99", "flushdb"]).output().unwrap();
    assert_eq!((err(&output), output.status.code()), ("SELECT failed: ERR range\n", Some(2)));
    assert_eq!(server.seen(), ["SELECT 99"]);
}

#[test]
fn commands_come_from_the_standard_input_too() {
    let server = Server::start(|line| Some(if line.starts_with("bad") { b"-ERR no\r\n" } else { b"+OK\r\n" }));
    let output = with_input(server.cli(), b"set a \"x y\"\n\n  \n3 incr n\n\"open\nquit\nnever sent\n");
    assert_eq!(out(&output), "OK\nOK\nOK\nOK\nInvalid argument(s)\n");
    assert_eq!(server.seen(), ["set a x y", "incr n", "incr n", "incr n"]);
    assert_eq!(output.status.code(), Some(1));
    let output = with_input(server.cli(), b"bad\nget a");
    assert_eq!((out(&output), output.status.code()), ("ERR no\n\nOK\n", Some(1)));
    let output = with_input(server.cli(), b"get a\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_repeated_command_is_sent_so_often() {
    let server = Server::start(|_| Some(b":1\r\n"));
    let output = server.cli().args(["-r", "3", "-i", "0.001", "incr", "n"]).output().unwrap();
    assert_eq!(out(&output), "1\n1\n1\n");
}

#[test]
fn the_standard_input_can_be_an_argument() {
    let server = Server::start(|_| Some(b"+OK\r\n"));
    let mut command = server.cli();
    command.args(["-x", "set", "k"]);
    with_input(command, b"from input\n");
    let mut command = server.cli();
    command.args(["-X", "TAG", "set", "TAG", "v"]);
    with_input(command, b"name");
    assert_eq!(server.seen(), ["set k from input\n", "set name v"]);
}

#[test]
fn a_command_under_way_when_the_connection_goes_is_not_sent_again() {
    let server = Server::start(|line| (line != "incr n").then_some(b"+OK\r\n"));
    let output = with_input(server.cli(), b"get a\nincr n\nget b\n");
    assert_eq!(out(&output), "OK\n");
    assert_eq!(err(&output), "Error: the server closed the connection\n");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(server.seen(), ["get a", "incr n"]);
}

#[test]
fn shutdown_is_answered_by_silence() {
    let server = Server::start(|_| None);
    let output = server.cli().args(["shutdown"]).output().unwrap();
    assert_eq!((out(&output), err(&output), output.status.code()), ("", "", Some(0)));
}

#[test]
fn messages_stream_until_the_connection_ends() {
    let server = Server::start(|line| match line {
        "subscribe a b" => {
            Some(b"*3\r\n+subscribe\r\n+a\r\n:1\r\n*3\r\n+subscribe\r\n+b\r\n:2\r\n*3\r\n+message\r\n+a\r\n+x\r\n?")
        }
        _ => None,
    });
    let output = server.cli().args(["--csv", "subscribe", "a", "b"]).output().unwrap();
    assert_eq!(out(&output), "\"subscribe\",\"a\",1\n\"subscribe\",\"b\",2\n\"message\",\"a\",\"x\"\n");
    assert_eq!(err(&output), "Error: not a reply: '?' begins no value\n");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn each_channel_left_has_its_own_reply() {
    let server = Server::start(|line| {
        Some(match line {
            "subscribe a" | "unsubscribe x y z" => b"+QUEUED\r\n",
            "unsubscribe a b" => b"*3\r\n+unsubscribe\r\n+a\r\n:0\r\n*3\r\n+unsubscribe\r\n+b\r\n:0\r\n",
            "sunsubscribe" => b">2\r\n+invalidate\r\n_\r\n>3\r\n+sunsubscribe\r\n_\r\n:0\r\n",
            _ => b"+OK\r\n",
        })
    });
    let output = with_input(server.cli(), b"subscribe a\nunsubscribe x y z\nunsubscribe a b\nsunsubscribe\nping\n");
    assert_eq!(out(&output), "QUEUED\nQUEUED\nunsubscribe\na\n0\nunsubscribe\nb\n0\nsunsubscribe\n\n0\nOK\n");
}
