//! One connection to the server: opened, introduced (AUTH, HELLO, SELECT), and then requests out and values in.
//!
//! Blocking. Whoever must not wait for ever takes a [`Stopper`] beforehand, which closes the connection from another
//! thread. A lost connection is never tried again in here: whether a command may be repeated only the caller knows.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use kv_core::resp::client::{ReplyDecoder, ReplyError, Value, encode_request};

use crate::args::{Address, Family, Target};

/// Why a connection cannot be used any more, or never could.
#[derive(Debug)]
pub enum Lost {
    Refused(Address, io::Error),
    Closed,
    Io(io::Error),
    Protocol(ReplyError),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Refused(address, error) => write!(f, "Could not connect to {address}: {}", reason(error)),
            Lost::Closed => f.write_str("Error: the server closed the connection"),
            Lost::Io(error) => write!(f, "Error: {}", reason(error)),
            Lost::Protocol(error) => write!(f, "Error: {error}"),
        }
    }
}

/// The system's words without `(os error 111)`.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Lost {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => Lost::Closed,
            _ => Lost::Io(error),
        }
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn open(target: &Target) -> io::Result<Stream> {
        match &target.address {
            Address::Tcp { host, port } => {
                let places = in_order((host.as_str(), *port).to_socket_addrs()?.collect(), target.family);
                let stream = match target.timeout {
                    None => TcpStream::connect(&places[..])?,
                    Some(timeout) => connect_within(places.into_iter(), timeout)?,
                };
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Address::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(timeout),
            Stream::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nonblocking(on),
            Stream::Unix(stream) => stream.set_nonblocking(on),
        }
    }
}

/// The addresses of one family first, in the system's order otherwise.
fn in_order(mut places: Vec<SocketAddr>, first: Option<Family>) -> Vec<SocketAddr> {
    if let Some(first) = first {
        places.sort_by_key(|place| place.is_ipv4() != (first == Family::V4));
    }
    places
}

/// The first address of a name that answers, each being given `timeout`.
fn connect_within(places: impl Iterator<Item = SocketAddr>, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for place in places {
        match TcpStream::connect_timeout(&place, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Ends a connection from elsewhere: its reader then sees it closed.
#[derive(Debug)]
pub struct Stopper(Stream);

impl Stopper {
    pub fn stop(&self) {
        // An error says that it is closed already.
        let _ = match &self.0 {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// A step of the introduction that the server refused, in its words.
#[derive(Debug)]
pub struct Refusal {
    pub step: Step,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Auth,
    Hello,
    Select,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Auth => "AUTH",
            Step::Hello => "HELLO 3",
            Step::Select => "SELECT",
        };
        write!(f, "{step} failed: {}", self.text)
    }
}

#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    replies: ReplyDecoder,
    out: Vec<u8>,
}

impl Connection {
    /// Connects and says who we are. Refused steps do not end the connection: the user may put them right.
    pub fn open(target: &Target) -> Result<(Connection, Vec<Refusal>), Lost> {
        let stream = Stream::open(target).map_err(|error| Lost::Refused(target.address.clone(), error))?;
        let mut connection = Connection { stream, replies: ReplyDecoder::default(), out: Vec::new() };
        let db = target.db.to_string();
        let mut steps: Vec<(Step, Vec<&str>)> = Vec::new();
        if let Some(password) = &target.password {
            let login = target.user.iter().map(String::as_str).chain([password.as_str()]);
            steps.push((Step::Auth, ["AUTH"].into_iter().chain(login).collect()));
        }
        if target.resp3 {
            steps.push((Step::Hello, vec!["HELLO", "3"]));
        }
        if target.db != 0 {
            steps.push((Step::Select, vec!["SELECT", &db]));
        }
        let mut refusals = Vec::new();
        for (step, request) in steps {
            connection.send(&request)?;
            if let Value::Error(text) = connection.read()? {
                refusals.push(Refusal { step, text: String::from_utf8_lossy(&text).into_owned() });
            }
        }
        Ok((connection, refusals))
    }

    /// From now on, reading fails when nothing comes for so long.
    pub fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(patience)
    }

    /// Reads and writes by turns: what is read by one is not seen by the other.
    pub fn try_clone(&self) -> io::Result<Connection> {
        Ok(Connection { stream: self.stopper()?.0, replies: ReplyDecoder::default(), out: Vec::new() })
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, request: &[A]) -> Result<(), Lost> {
        self.out.clear();
        encode_request(&mut self.out, request);
        Ok(self.stream.write_all(&self.out)?)
    }

    /// Sends requests that are encoded already.
    pub fn send_bytes(&mut self, requests: &[u8]) -> Result<(), Lost> {
        Ok(self.stream.write_all(requests)?)
    }

    /// Waits for the next value: a reply or an out-of-band message.
    pub fn read(&mut self) -> Result<Value, Lost> {
        loop {
            if let Some(value) = self.replies.next_value().map_err(Lost::Protocol)? {
                return Ok(value);
            }
            self.fill()?;
        }
    }

    /// A message that arrived while nobody waited, without waiting.
    ///
    /// Errors: the server closed the connection meanwhile. Found out before a command is sent, this is harmless;
    /// afterwards nobody knows whether the command was executed.
    pub fn read_waiting(&mut self) -> Result<Option<Value>, Lost> {
        loop {
            if let Some(value) = self.replies.next_value().map_err(Lost::Protocol)? {
                return Ok(Some(value));
            }
            self.stream.set_nonblocking(true)?;
            let filled = self.fill();
            self.stream.set_nonblocking(false)?;
            match filled {
                Err(Lost::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                other => other?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), Lost> {
        let mut buffer = [0; 16 * 1024];
        let len = self.read_bytes(&mut buffer)?;
        self.replies.feed(&buffer[..len]);
        Ok(())
    }

    /// Bytes that are no reply, as many as have come and fit. The caller has read all replies that are due.
    pub fn read_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, Lost> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(Lost::Closed),
                Ok(len) => return Ok(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub fn stopper(&self) -> io::Result<Stopper> {
        Ok(Stopper(match &self.stream {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_family_asked_for_come_first_and_the_others_after_them() {
        let places = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let all = || places(&["[::1]:7", "127.0.0.1:7", "[::2]:7", "127.0.0.2:7"]);
        assert_eq!(in_order(all(), None), all());
        assert_eq!(in_order(all(), Some(Family::V4)), places(&["127.0.0.1:7", "127.0.0.2:7", "[::1]:7", "[::2]:7"]));
        assert_eq!(in_order(all(), Some(Family::V6)), places(&["[::1]:7", "[::2]:7", "127.0.0.1:7", "127.0.0.2:7"]));
    }
}
