//! The server under test: where it is, how to log in, and blocking questions to it beside the load.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use kv_core::resp::client::{ReplyDecoder, Uri, Value, encode_request};

#[derive(Args, Clone, Debug, PartialEq)]
#[command(next_help_heading = "Server")]
pub struct Server {
    /// Server's name or address
    #[arg(short = 'h', value_name = "HOST", default_value = "127.0.0.1", global = true)]
    pub host: String,
    /// Server's port
    #[arg(short = 'p', value_name = "PORT", default_value_t = 6379, global = true)]
    pub port: u16,
    /// Unix socket of the server, instead of host and port
    #[arg(short = 's', value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,
    /// Password
    #[arg(short = 'a', value_name = "PASSWORD", global = true)]
    pub password: Option<String>,
    /// User, with the password of -a
    #[arg(long, value_name = "NAME", requires = "password", global = true)]
    pub user: Option<String>,
    /// Number of the database
    #[arg(long = "dbnum", value_name = "DB", default_value_t = 0, global = true)]
    pub db: u32,
    /// Speaks RESP3
    #[arg(short = '3', global = true)]
    pub resp3: bool,
    /// Has the server track keys for every connection (CLIENT TRACKING ON; it needs -3)
    #[arg(long, requires = "resp3", global = true)]
    pub enable_tracking: bool,
    /// Everything at once: redis://user:password@host:port/db
    #[arg(short, value_name = "URI", global = true, value_parser = Uri::parse,
          conflicts_with_all = ["host", "port", "socket", "password", "user", "db"])]
    pub uri: Option<Uri>,
}

impl Server {
    /// A server on this machine, without a password.
    #[cfg(test)]
    pub fn local(port: u16) -> Server {
        Server {
            host: "127.0.0.1".to_owned(),
            port,
            socket: None,
            password: None,
            user: None,
            db: 0,
            resp3: false,
            enable_tracking: false,
            uri: None,
        }
    }

    /// With what `-u` tells in the place of the other options.
    pub fn resolved(mut self) -> Server {
        if let Some(uri) = self.uri.take() {
            self.host = uri.host.unwrap_or(self.host);
            self.port = uri.port.unwrap_or(self.port);
            self.db = uri.db.unwrap_or(self.db);
            (self.user, self.password) = (uri.user, uri.password);
        }
        self
    }

    pub fn address(&self) -> String {
        match &self.socket {
            Some(path) => path.display().to_string(),
            None => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether it runs on this machine, as far as its address tells.
    pub fn is_local(&self) -> bool {
        self.socket.is_some() || matches!(self.host.as_str(), "localhost" | "::1") || self.host.starts_with("127.")
    }

    /// A Unix socket goes by as a TCP stream afterwards: reading and writing are the same calls of the system.
    fn open(&self) -> std::io::Result<TcpStream> {
        match &self.socket {
            Some(path) => Ok(TcpStream::from(OwnedFd::from(UnixStream::connect(path)?))),
            None => {
                let stream = TcpStream::connect((self.host.as_str(), self.port))?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }
        }
    }

    /// A connection that is logged in.
    pub fn connect(&self) -> Result<Client> {
        let stream = self.open().with_context(|| format!("could not connect to {}", self.address()))?;
        let mut client = Client { stream, replies: ReplyDecoder::default(), out: Vec::new() };
        let (login, count) = self.login();
        client.must_all(&login, count)?;
        Ok(client)
    }

    /// What a new connection asks before anything else: the requests, encoded, and how many they are.
    pub fn login(&self) -> (Vec<u8>, usize) {
        let (mut bytes, mut count) = (Vec::new(), 0);
        let mut ask = |request: &[&str]| {
            encode_request(&mut bytes, request);
            count += 1;
        };
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => ask(&["AUTH", user, password]),
            (None, Some(password)) => ask(&["AUTH", password]),
            (_, None) => {}
        }
        if self.resp3 {
            ask(&["HELLO", "3"]);
        }
        if self.db != 0 {
            ask(&["SELECT", &self.db.to_string()]);
        }
        if self.enable_tracking {
            ask(&["CLIENT", "TRACKING", "ON"]);
        }
        (bytes, count)
    }

    /// A connection like `before`, under way: nobody waits for it, and it has not logged in.
    pub fn reconnect(&self, before: &mio::net::TcpStream) -> std::io::Result<mio::net::TcpStream> {
        if self.socket.is_some() {
            let stream = self.open()?;
            stream.set_nonblocking(true)?;
            return Ok(mio::net::TcpStream::from_std(stream));
        }
        let stream = mio::net::TcpStream::connect(before.peer_addr()?)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A connection that asks and waits.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    replies: ReplyDecoder,
    out: Vec<u8>,
}

impl Client {
    pub fn ask<A: AsRef<[u8]>>(&mut self, request: &[A]) -> Result<Value> {
        self.out.clear();
        encode_request(&mut self.out, request);
        self.stream.write_all(&self.out)?;
        self.wait()
    }

    /// Sends requests, already encoded, whose replies [`Client::wait`] gives.
    pub fn send(&mut self, requests: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(requests)?)
    }

    /// The next reply.
    pub fn wait(&mut self) -> Result<Value> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(value) = self.replies.next_value()? {
                return Ok(value);
            }
            match self.stream.read(&mut buffer)? {
                0 => bail!("the server closed the connection"),
                len => self.replies.feed(&buffer[..len]),
            }
        }
    }

    /// Asks something that must not be refused.
    pub fn must(&mut self, request: &[&str]) -> Result<Value> {
        match self.ask(request)? {
            Value::Error(text) => bail!("{}: {}", request[0], String::from_utf8_lossy(&text)),
            value => Ok(value),
        }
    }

    /// Sends `requests`, already encoded, and waits for their `count` replies, none of which may be an error.
    pub fn must_all(&mut self, requests: &[u8], count: usize) -> Result<()> {
        self.send(requests)?;
        for _ in 0..count {
            if let Value::Error(text) = self.wait()? {
                bail!("{}", String::from_utf8_lossy(&text));
            }
        }
        Ok(())
    }

    /// What INFO tells; none when the server has no such command.
    pub fn info(&mut self) -> Result<Option<Info>> {
        Ok(match self.ask(&["INFO"])? {
            Value::Bulk(text) | Value::Verbatim(_, text) => Some(Info::parse(&String::from_utf8_lossy(&text))),
            _ => None,
        })
    }

    /// A reply that does not come for so long is an error.
    pub fn patience(&self, span: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(span))?)
    }

    /// The connection itself; no reply is under way between two questions.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// The fields of INFO.
#[derive(Clone, Debug, Default)]
pub struct Info(HashMap<String, String>);

impl Info {
    pub fn parse(text: &str) -> Info {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Info(fields.map(|(name, value)| (name.to_owned(), value.trim_end().to_owned())).collect())
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// CPU time of the server, or of its children, in user and system mode together.
    pub fn cpu_ns(&self, whose: &str) -> Option<u64> {
        let seconds = |mode: &str| self.text(&format!("used_cpu_{mode}{whose}"))?.parse::<f64>().ok();
        Some(((seconds("user")? + seconds("sys")?) * 1e9) as u64)
    }

    /// What the server is and in which version.
    pub fn server_name(&self) -> Option<String> {
        let known = [
            ("kv_version", "kv"),
            ("valkey_version", "Valkey"),
            ("dragonfly_version", "Dragonfly"),
            ("redis_version", "Redis"),
        ];
        known.iter().find_map(|(field, name)| Some(format!("{name} {}", self.text(field)?)))
    }

    /// Keys of all databases.
    pub fn keys(&self) -> u64 {
        let databases =
            self.0.iter().filter(|(name, _)| name.strip_prefix("db").is_some_and(|n| n.parse::<u32>().is_ok()));
        databases.filter_map(|(_, text)| text.strip_prefix("keys=")?.split(',').next()?.parse::<u64>().ok()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_info_are_read() {
        let text = "# Server\r\nredis_version:7.0.15\r\nprocess_id:42\r\n\r\n# CPU\r\nused_cpu_sys:1.500000\r\n\
            used_cpu_user:2.25\r\n# Keyspace\r\ndb0:keys=5,expires=0,avg_ttl=0\r\ndb3:keys=7,expires=1,avg_ttl=9\r\n";
        let info = Info::parse(text);
        assert_eq!((info.number("process_id"), info.number("redis_version")), (Some(42), None));
        assert_eq!((info.cpu_ns(""), info.cpu_ns("_children")), (Some(3_750_000_000), None));
        assert_eq!((info.server_name().as_deref(), info.keys()), (Some("Redis 7.0.15"), 12));
        assert_eq!((Info::default().server_name(), Info::default().keys()), (None, 0));
    }
}
