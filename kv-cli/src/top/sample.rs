//! What a server tells at one moment: INFO, its clients, its slow log; and round trips of PING since the sample before.
//!
//! What a server does not know is asked for once, and then no more: errors would fill its own figures.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use kv_core::resp::client::Value;

use crate::args::Target;
use crate::info::Info;
use crate::modes::latency::Samples;
use crate::wire::{Problem, Wire, number, text_of};

/// Between two PINGs.
const PING: Duration = Duration::from_millis(20);

/// With more clients their list costs the server too much.
const CLIENTS_MAX: u64 = 1000;

/// Entries of the slow log that are asked for.
const SLOW_ENTRIES: &str = "50";

/// A server that has not answered for so long is told to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Sample {
    pub at: Instant,
    pub info: Info,
    /// None: too many, or the server does not tell.
    pub clients: Option<Vec<Client>>,
    /// None: the server has none.
    pub slow: Option<Vec<Slow>>,
    pub trips: Samples,
}

/// A line of CLIENT LIST.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    pub id: u64,
    pub address: String,
    pub name: String,
    pub age: u64,
    pub idle: u64,
    pub db: u64,
    pub memory: u64,
    pub command: String,
}

/// An entry of the slow log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    pub id: u64,
    pub unix_seconds: u64,
    pub us: u64,
    pub words: Vec<Vec<u8>>,
}

/// What the person at the screen wants.
pub enum Wish {
    Interval(Duration),
    Pause(bool),
}

/// The thread that asks. It ends with the value.
pub struct Sampler {
    pub samples: Receiver<Result<Sample, String>>,
    wishes: Sender<Wish>,
}

impl Sampler {
    pub fn start(target: &Target, interval: Duration) -> Result<Sampler, Problem> {
        let wire = open(target)?;
        let (wishes, wished) = mpsc::channel();
        let (out, samples) = mpsc::channel();
        let asker = Asker { target: target.clone(), wire: Some(wire), interval, knows_slow: true, lists_clients: true };
        std::thread::spawn(move || asker.run(&wished, &out));
        Ok(Sampler { samples, wishes })
    }

    pub fn wish(&self, wish: Wish) {
        let _ = self.wishes.send(wish); // the thread ends only when we do
    }
}

fn open(target: &Target) -> Result<Wire, Problem> {
    let mut wire = Wire::open(&Target { timeout: target.timeout.or(Some(PATIENCE)), ..target.clone() })?;
    wire.set_patience(Some(PATIENCE))?;
    // A login that is missing shows here, with the server's words.
    wire.demand(&["PING"])?;
    Ok(wire)
}

struct Asker {
    target: Target,
    wire: Option<Wire>,
    interval: Duration,
    knows_slow: bool,
    lists_clients: bool,
}

impl Asker {
    fn run(mut self, wishes: &Receiver<Wish>, out: &Sender<Result<Sample, String>>) {
        let mut trips = Samples::default();
        let mut paused = false;
        let mut due = now();
        loop {
            if !paused && now() >= due {
                due = now() + self.interval;
                let sample = self.sample(std::mem::take(&mut trips)).map_err(|problem| problem.to_string());
                if sample.is_err() {
                    self.wire = None;
                }
                if out.send(sample).is_err() {
                    return;
                }
            }
            if let (false, Some(wire)) = (paused, &mut self.wire) {
                let begin = now();
                match wire.ask(&["PING"]) {
                    Ok(_) => trips.add(now().duration_since(begin)),
                    Err(_) => self.wire = None, // the next sample tries again, and tells
                }
            }
            match wishes.recv_timeout(due.saturating_duration_since(now()).min(PING)) {
                Ok(Wish::Interval(interval)) => {
                    self.interval = interval;
                    due = due.min(now() + interval);
                }
                Ok(Wish::Pause(on)) => paused = on,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn sample(&mut self, trips: Samples) -> Result<Sample, Problem> {
        let wire = match &mut self.wire {
            Some(wire) => wire,
            none => none.insert(open(&self.target)?),
        };
        let info = Info::read(&wire.demand(&["INFO", "all"])?);
        let at = now();
        let mut clients = None;
        if self.lists_clients && info.count("connected_clients") <= CLIENTS_MAX {
            let reply = wire.ask(&["CLIENT", "LIST"])?;
            self.lists_clients = !reply.is_error();
            clients = self.lists_clients.then(|| text_of(&reply).lines().map(client).collect());
        }
        let mut slow = None;
        if self.knows_slow {
            let reply = wire.ask(&["SLOWLOG", "GET", SLOW_ENTRIES])?;
            self.knows_slow = !reply.is_error();
            slow = entries(&reply);
        }
        Ok(Sample { at, info, clients, slow, trips })
    }
}

#[allow(clippy::disallowed_methods)] // rates are over time
fn now() -> Instant {
    Instant::now()
}

/// `id=3 addr=127.0.0.1:5 name= age=1 ...`
fn client(line: &str) -> Client {
    let mut client = Client::default();
    for (name, value) in line.split(' ').filter_map(|word| word.split_once('=')) {
        let number = || value.parse().unwrap_or(0);
        match name {
            "id" => client.id = number(),
            "addr" => client.address = value.to_owned(),
            "name" => client.name = value.to_owned(),
            "age" => client.age = number(),
            "idle" => client.idle = number(),
            "db" => client.db = number(),
            "tot-mem" => client.memory = number(),
            "cmd" => client.command = value.to_owned(),
            _ => {}
        }
    }
    client
}

fn entries(reply: &Value) -> Option<Vec<Slow>> {
    let Value::Array(items) = reply else { return None };
    let entry = |item: &Value| {
        let Value::Array(parts) = item else { return None };
        let [id, unix_seconds, us, Value::Array(words), ..] = &parts[..] else { return None };
        let words = words.iter().map(|word| word.bytes().unwrap_or_default().to_vec()).collect();
        Some(Slow { id: number(id)?, unix_seconds: number(unix_seconds)?, us: number(us)?, words })
    };
    Some(items.iter().filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_read_by_the_names_of_its_fields() {
        let line = "id=7 addr=127.0.0.1:5 laddr=x name=app age=3 idle=1 db=2 future=5 tot-mem=22426 cmd=client|list";
        let wanted = Client {
            id: 7,
            address: "127.0.0.1:5".into(),
            name: "app".into(),
            age: 3,
            idle: 1,
            db: 2,
            memory: 22426,
            command: "client|list".into(),
        };
        assert_eq!(client(line), wanted);
        assert_eq!(client(""), Client::default());
    }

    #[test]
    fn the_slow_log_is_a_list_of_entries_or_not_there() {
        let bulk = |text: &str| Value::Bulk(text.into());
        let entry = vec![Value::Int(1), Value::Int(1700), Value::Int(15), Value::Array(vec![bulk("GET"), bulk("k")])];
        let wanted = Slow { id: 1, unix_seconds: 1700, us: 15, words: vec![b"GET".to_vec(), b"k".to_vec()] };
        assert_eq!(entries(&Value::Array(vec![Value::Array(entry)])), Some(vec![wanted]));
        assert_eq!(entries(&Value::Error(b"ERR unknown command".to_vec())), None);
    }
}
