//! A small blocking client over TCP or a Unix socket. It reads replies with `kv_core::resp::client` and gives up on a
//! server that does not answer in time, so that a test fails instead of hanging.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use kv_core::resp::client::{ReplyDecoder, Value, encode_request};
use kv_core::resp::line;

/// A server that does not answer within this time is broken; nothing waits so long otherwise.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Debug)]
pub struct Client {
    stream: Stream,
    decoder: ReplyDecoder,
    /// Pushes that came before a reply that was waited for.
    pushes: VecDeque<Value>,
}

impl Client {
    pub fn tcp(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Client { stream: Stream::Tcp(stream), decoder: ReplyDecoder::default(), pushes: VecDeque::new() })
    }

    pub fn unix(path: &Path) -> io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Client { stream: Stream::Unix(stream), decoder: ReplyDecoder::default(), pushes: VecDeque::new() })
    }

    /// Bytes as they are.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes).expect("the server reads");
    }

    /// Sends a request without waiting for its reply.
    pub fn send<A: AsRef<[u8]>>(&mut self, words: &[A]) {
        let mut request = Vec::new();
        encode_request(&mut request, words);
        self.send_bytes(&request);
    }

    /// The next reply; `None` when the connection has been closed.
    ///
    /// Panics: when what comes is no reply, or nothing comes for [`ANSWER_MAX`].
    pub fn try_receive(&mut self) -> Option<Value> {
        loop {
            match self.next_value()? {
                push @ Value::Push(_) => self.pushes.push_back(push),
                value => return Some(value),
            }
        }
    }

    pub fn receive(&mut self) -> Value {
        self.try_receive().expect("a reply, not the end of the connection")
    }

    /// The pushes that came with replies since they were last asked for.
    pub fn take_pushes(&mut self) -> Vec<Value> {
        self.pushes.drain(..).collect()
    }

    /// The next push: one that came earlier, or one that comes now before any reply.
    pub fn receive_push(&mut self) -> Value {
        if let Some(push) = self.pushes.pop_front() {
            return push;
        }
        match self.next_value() {
            Some(push @ Value::Push(_)) => push,
            other => panic!("a push was due, not {other:?}"),
        }
    }

    fn next_value(&mut self) -> Option<Value> {
        let mut piece = [0; 64 << 10];
        loop {
            if let Some(value) = self.decoder.next_value().expect("replies are well formed") {
                return Some(value);
            }
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(&mut piece),
                Stream::Unix(stream) => stream.read(&mut piece),
            };
            match read {
                Ok(0) => {
                    assert!(!self.decoder.is_within_value(), "the connection ended within a reply");
                    return None;
                }
                Ok(length) => self.decoder.feed(&piece[..length]),
                // Closed by a server that had not read everything.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the server does not answer: {error}"),
            }
        }
    }

    /// The next reply, if it has come; pushes are kept.
    ///
    /// Panics: when the connection has been closed.
    pub fn poll(&mut self) -> Option<Value> {
        let mut piece = [0; 64 << 10];
        loop {
            match self.decoder.next_value().expect("replies are well formed") {
                Some(push @ Value::Push(_)) => self.pushes.push_back(push),
                Some(value) => return Some(value),
                None => {
                    self.set_nonblocking(true);
                    let read = match &mut self.stream {
                        Stream::Tcp(stream) => stream.read(&mut piece),
                        Stream::Unix(stream) => stream.read(&mut piece),
                    };
                    self.set_nonblocking(false);
                    match read {
                        Ok(length) if length > 0 => self.decoder.feed(&piece[..length]),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        end => panic!("the connection ended: {end:?}"),
                    }
                }
            }
        }
    }

    fn set_nonblocking(&self, on: bool) {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_nonblocking(on),
            Stream::Unix(stream) => stream.set_nonblocking(on),
        }
        .expect("a socket can be either");
    }

    pub fn ask<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Value {
        self.send(words);
        self.receive()
    }

    /// The reply, or none when the server has closed the connection.
    pub fn ask_or_end<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Option<Value> {
        let mut request = Vec::new();
        encode_request(&mut request, words);
        match self.try_send_bytes(&request) {
            Ok(()) => self.try_receive(),
            Err(_) => None,
        }
    }

    /// A request as a person types it, quotes and escapes included.
    pub fn run(&mut self, text: &str) -> Value {
        self.ask(&line::split(text.as_bytes()).expect("balanced quotes"))
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
        .expect("one side can be closed");
    }

    /// Everything that comes until the server closes the connection, as it is on the wire.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read_to_end(&mut rest),
            Stream::Unix(stream) => stream.read_to_end(&mut rest),
        };
        match read {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            read => {
                read.expect("the server closes the connection");
            }
        }
        rest
    }
}
