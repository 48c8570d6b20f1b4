//! The server under test: where it is, how to log in, and blocking questions to it beside the load.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};
use clap::Args;
use kv_core::resp::client::{ReplyDecoder, Value, encode_request};

#[derive(Args, Clone, Debug)]
pub struct Server {
    /// Server's name or address
    #[arg(short = 'h', value_name = "HOST", default_value = "127.0.0.1", global = true)]
    pub host: String,
    /// Server's port
    #[arg(short = 'p', value_name = "PORT", default_value_t = 6379, global = true)]
    pub port: u16,
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
}

impl Server {
    /// A connection that is logged in.
    pub fn connect(&self) -> Result<Client> {
        let place = || format!("could not connect to {}:{}", self.host, self.port);
        let stream = TcpStream::connect((self.host.as_str(), self.port)).with_context(place)?;
        stream.set_nodelay(true)?;
        let mut client = Client { stream, replies: ReplyDecoder::default(), out: Vec::new() };
        if let Some(password) = &self.password {
            let login: Vec<&str> =
                ["AUTH"].into_iter().chain(self.user.as_deref()).chain([password.as_str()]).collect();
            client.must(&login)?;
        }
        if self.resp3 {
            client.must(&["HELLO", "3"])?;
        }
        if self.db != 0 {
            client.must(&["SELECT", &self.db.to_string()])?;
        }
        Ok(client)
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

    fn wait(&mut self) -> Result<Value> {
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
        self.stream.write_all(requests)?;
        for _ in 0..count {
            if let Value::Error(text) = self.wait()? {
                bail!("{}", String::from_utf8_lossy(&text));
            }
        }
        Ok(())
    }

    /// The connection itself; no reply is under way between two questions.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}
