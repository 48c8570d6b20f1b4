//! Steps to a server.

use std::collections::HashMap;

use kv_core::families::testing::show;
use kv_core::resp::Proto;
use kv_core::resp::client::Value;

use super::parse::Action;
use super::{Bindings, Expected, Script, Section, Step};
use crate::client::Client;
use crate::process::wait_until;
use crate::redis::Redis;

/// Where a script is played.
pub trait Host {
    /// A connection to the server that all sections share.
    fn connect(&self) -> Client;
    /// A server for one section, or none if it cannot be had here.
    fn with_options(&self, options: &[String]) -> Option<Box<dyn Host>>;
    fn is_redis(&self) -> bool;
}

impl Host for Redis {
    fn connect(&self) -> Client {
        self.client()
    }
    fn with_options(&self, options: &[String]) -> Option<Box<dyn Host>> {
        Redis::start_with(options).map(|redis| Box::new(redis) as Box<dyn Host>)
    }
    fn is_redis(&self) -> bool {
        true
    }
}

/// Plays all sections that are for this host and protocol. Returns what went wrong, a text each.
pub fn play(script: &Script, host: &dyn Host, proto: Proto) -> Vec<String> {
    let mut failures = Vec::new();
    for section in &script.sections {
        if section.proto.is_some_and(|only| only != proto) || (host.is_redis() && section.unlike_redis.is_some()) {
            continue;
        }
        let own = match &section.options {
            Some(options) => match host.with_options(options) {
                Some(own) => Some(own),
                None => continue,
            },
            None => None,
        };
        let own_host = own.is_some();
        let host = own.as_deref().unwrap_or(host);
        let mut player = Player { host, proto, clients: HashMap::new(), caught: Bindings::new() };
        if !own_host {
            player.clean();
        }
        if let Err(failure) = player.play(section) {
            failures.push(format!("{}:{failure}\n  in: {}", script.name, section.title));
        }
    }
    failures
}

struct Player<'a> {
    host: &'a dyn Host,
    proto: Proto,
    clients: HashMap<String, Connection>,
    caught: Bindings,
}

struct Connection {
    client: Client,
    /// Replies that are still to come.
    later: usize,
    open: bool,
}

impl Player<'_> {
    fn clean(&self) {
        let mut client = self.host.connect();
        for words in [&["FLUSHALL"][..], &["FUNCTION", "FLUSH"]] {
            assert_eq!(client.ask(words), Value::Simple(b"OK".to_vec()), "the server can be emptied");
        }
    }

    fn play(&mut self, section: &Section) -> Result<(), String> {
        for step in &section.steps {
            self.step(step).map_err(|failure| format!("{}: {}\n{failure}", step.line, step.text))?;
        }
        for (name, mut connection) in self.clients.drain().filter(|(_, connection)| connection.open) {
            if connection.later > 0 {
                return Err(format!("{}: a reply to `{name}` was to come later", section.line));
            }
            connection.client.finish_sending();
            let rest = connection.client.rest();
            if !rest.is_empty() {
                let rest = rest.escape_ascii();
                return Err(format!("{}: nobody waited for this on `{name}`: {rest}", section.line));
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let proto = self.proto;
        let host = self.host;
        if !self.clients.contains_key(&step.client) {
            let connection = Connection { client: open(host, proto)?, later: 0, open: true };
            self.clients.insert(step.client.clone(), connection);
        }
        let caught = &mut self.caught;
        let connection = self.clients.get_mut(&step.client).expect("it was inserted");
        match &step.action {
            Action::Listen => connection.later = connection.later.saturating_sub(step.expected.len()),
            Action::Raw(bytes) => connection.client.send_bytes(bytes),
            Action::Request(words) => connection.client.send(&substituted(words, caught)?),
            Action::Until(words) => {
                let words = substituted(words, caught)?;
                let [(_, Expected::Reply(pattern))] = &step.expected[..] else {
                    return Err("`until>` wants one reply".into());
                };
                wait_until(&step.text, || pattern.matches(&connection.client.ask(&words), proto, caught));
                return Ok(());
            }
        }
        for (text, expected) in &step.expected {
            match expected {
                Expected::Silent => {}
                Expected::Later => connection.later += 1,
                Expected::Closed => {
                    connection.open = false;
                    if let Some(value) = connection.client.try_receive() {
                        return Err(format!("  expected: closed\n  received: {}", show(&value)));
                    }
                }
                Expected::Reply(pattern) => {
                    // In RESP2 a push is told from a reply by its place alone.
                    let value = if proto == Proto::Resp3 && text.starts_with("push") {
                        Some(connection.client.receive_push())
                    } else {
                        connection.client.try_receive()
                    };
                    let Some(value) = value else {
                        return Err(format!("  expected: {text}\n  received: the end of the connection"));
                    };
                    if !pattern.matches(&value, proto, caught) {
                        return Err(format!("  expected: {text}\n  received: {}", show(&value)));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A connection in `proto`. One that must say a password first stays in RESP2 until the script says HELLO itself.
fn open(host: &dyn Host, proto: Proto) -> Result<Client, String> {
    let mut client = host.connect();
    if proto == Proto::Resp3 {
        match client.ask(&["HELLO", "3"]) {
            Value::Map(_) => {}
            Value::Error(text) if text.starts_with(b"NOAUTH") => {}
            other => return Err(format!("HELLO 3 is answered with {}", show(&other))),
        }
    }
    Ok(client)
}

fn substituted(words: &[Vec<u8>], caught: &Bindings) -> Result<Vec<Vec<u8>>, String> {
    let word = |word: &Vec<u8>| match word.strip_prefix(b"$") {
        None | Some([]) => Ok(word.clone()),
        Some(name) => {
            let name = String::from_utf8_lossy(name);
            match name.strip_prefix("PAD:").map(str::parse::<usize>) {
                Some(Ok(length)) => Ok(vec![b'x'; length]),
                Some(Err(_)) => Err(format!("${name} has no length")),
                None => caught.get(&*name).cloned().ok_or_else(|| format!("nothing was caught as ${name}")),
            }
        }
    };
    words.iter().map(word).collect()
}
