//! What is sent.
//!
//! A [`Workload`] is a list of operations with weights, and how keys and values are chosen. An [`Operation`] is one
//! request, or several that count as one (a scan), and may be followed by another operation on the same key once its
//! reply is there (read-modify-write; filling a cache after a miss). The names of tests, mixes, YCSB and cache-aside
//! are all written in these terms (`catalog`); a log of MONITOR is not (`replay`).
//!
//! A [`Generator`] makes the requests of one thread. It never looks at time or replies, so the n-th request of a thread
//! depends on the seed alone; follow-ups come on top where the replies ask for them.

pub mod catalog;
pub mod dice;
pub mod keys;
pub mod replay;
pub mod template;
pub mod values;

use dice::Dice;
use keys::{KeyPattern, KeyPicker};
use template::{Draws, Template};
use values::{ValueMaker, ValueSize};

/// One way of loading a server.
#[derive(Clone, Debug)]
pub struct Workload {
    pub name: String,
    pub operations: Vec<Operation>,
    pub shape: Shape,
}

/// What all workloads have in common.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Keys to choose from. None: every request names key 0.
    pub keys: Option<u64>,
    pub pattern: KeyPattern,
    pub values: ValueSize,
    /// Values tell their key, and what is read is checked.
    pub verified: bool,
    pub seed: u64,
}

#[derive(Clone, Debug)]
pub struct Operation {
    /// What it is called in results.
    pub name: String,
    /// How often it is chosen, relative to the others; 0: as a follow-up only.
    pub weight: f64,
    pub request: Words,
    pub key: KeyRole,
    /// From 1 to so many requests, on consecutive keys, are one operation.
    pub requests_max: u64,
    pub follow_up: Option<FollowUp>,
}

#[derive(Clone, Debug)]
pub enum Words {
    /// Arguments with places (`template`).
    Args(Vec<String>),
    /// A line as a person types it.
    Inline(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// One of those that are there.
    Drawn,
    /// One that is not.
    Inserted,
}

/// The operation that comes next on the same key.
#[derive(Clone, Copy, Debug)]
pub struct FollowUp {
    pub after: After,
    /// Its index in the workload.
    pub operation: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    AnyReply,
    /// Nil, or nothing in it.
    Miss,
}

impl Operation {
    /// One request with a drawn key and nothing after it.
    pub fn plain<A: Into<String>>(
        name: impl Into<String>,
        weight: f64,
        args: impl IntoIterator<Item = A>,
    ) -> Operation {
        Operation {
            name: name.into(),
            weight,
            request: Words::Args(args.into_iter().map(Into::into).collect()),
            key: KeyRole::Drawn,
            requests_max: 1,
            follow_up: None,
        }
    }
}

impl Workload {
    /// Errors: a request that is not well formed.
    pub fn check(&self) -> Result<(), String> {
        Generator::new(self, 0, 1).map(|_| ())
    }
}

/// A request, or several that count as one, that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Index of the operation.
    pub operation: u16,
    /// Replies that will come.
    pub replies: u32,
    /// The first key that it names.
    pub key: u64,
}

/// An operation with its request ready.
#[derive(Debug)]
struct Ready {
    template: Template,
    /// The sum of the weights up to and with this one.
    until: f64,
    key: KeyRole,
    requests_max: u64,
    follow_up: Option<FollowUp>,
    /// A reply to it is the value of its key.
    reads_value: bool,
}

/// Makes the requests of one thread.
#[derive(Debug)]
pub struct Generator {
    operations: Vec<Ready>,
    draws: Draws,
    weights: f64,
    verified: bool,
}

impl Generator {
    /// Errors: a request that is not well formed.
    pub fn new(workload: &Workload, thread: u64, threads: u64) -> Result<Generator, String> {
        let Shape { keys, pattern, ref values, verified, seed } = workload.shape;
        let draws = Draws {
            dice: Dice::new(seed, thread),
            keys: KeyPicker::new(pattern, keys.unwrap_or(1), thread, threads),
            // Each thread has stamps of its own, far from each other's.
            values: ValueMaker::new(values, verified, seed, thread * 1_000_000_000),
        };
        let mut weights = 0.0;
        let operations = workload.operations.iter().map(|operation| {
            let template = match &operation.request {
                Words::Args(args) => Template::new(args, &draws.values)?,
                Words::Inline(line) => Template::inline(line),
            };
            let is_get = matches!(&operation.request, Words::Args(args) if args.first().is_some_and(|word| word.eq_ignore_ascii_case("get")));
            weights += operation.weight;
            Ok(Ready {
                reads_value: is_get && template.keys_named() == 1,
                template,
                until: weights,
                key: operation.key,
                requests_max: operation.requests_max,
                follow_up: operation.follow_up,
            })
        });
        let operations = operations.collect::<Result<Vec<_>, String>>()?;
        Ok(Generator { operations, draws, weights, verified })
    }

    /// Appends the next operation's requests.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Issued {
        let operation = if self.operations.len() == 1 { 0 } else { self.choose() };
        let key = match self.operations[operation].key {
            KeyRole::Drawn => None,
            KeyRole::Inserted => Some(self.draws.keys.insert()),
        };
        self.append(operation, key, out)
    }

    /// Appends what follows an operation whose last reply has come, if something does.
    pub fn follow_up(&mut self, issued: Issued, missed: bool, out: &mut Vec<u8>) -> Option<Issued> {
        let next = self.operations[usize::from(issued.operation)].follow_up?;
        (missed || next.after == After::AnyReply).then(|| self.append(next.operation, Some(issued.key), out))
    }

    /// Whether anything may follow anything: otherwise nobody needs to ask.
    pub fn has_follow_ups(&self) -> bool {
        self.operations.iter().any(|operation| operation.follow_up.is_some())
    }

    /// The key whose value the reply to this must be, when values are verified.
    pub fn expects_value(&self, issued: Issued) -> Option<u64> {
        (self.verified && self.operations[usize::from(issued.operation)].reads_value).then_some(issued.key)
    }

    fn choose(&mut self) -> usize {
        let drawn = (self.draws.dice.next() >> 11) as f64 / (1u64 << 53) as f64 * self.weights;
        self.operations.iter().position(|operation| drawn < operation.until).unwrap_or(0)
    }

    fn append(&mut self, operation: usize, key: Option<u64>, out: &mut Vec<u8>) -> Issued {
        let ready = &mut self.operations[operation];
        let first = ready.template.append(out, &mut self.draws, key);
        let mut replies = 1;
        if ready.requests_max > 1 {
            let more = self.draws.dice.below(ready.requests_max);
            for key in first + 1..=first + more {
                let key = self.draws.keys.within(key);
                ready.template.append(out, &mut self.draws, Some(key));
            }
            replies += more as u32;
        }
        Issued { operation: operation as u16, replies, key: first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape { keys: Some(1000), pattern: KeyPattern::Uniform, values: ValueSize::Fixed(4), verified: false, seed: 9 }
    }

    fn workload(operations: Vec<Operation>) -> Workload {
        Workload { name: "test".to_owned(), operations, shape: shape() }
    }

    fn made(workload: &Workload, thread: u64, count: usize) -> (Vec<Issued>, Vec<u8>) {
        let mut generator = Generator::new(workload, thread, 2).unwrap();
        let mut out = Vec::new();
        ((0..count).map(|_| generator.next(&mut out)).collect(), out)
    }

    #[test]
    fn operations_come_as_often_as_their_weights_say() {
        let args = ["GET", "__key__"];
        let plain = |name, weight| Operation::plain(name, weight, args);
        let (issued, _) =
            made(&workload(vec![plain("a", 80.0), plain("b", 15.0), plain("c", 5.0), plain("d", 0.0)]), 0, 10_000);
        let counts = [0, 1, 2, 3].map(|operation| issued.iter().filter(|i| i.operation == operation).count());
        assert!((7800..8200).contains(&counts[0]) && (400..600).contains(&counts[2]) && counts[3] == 0, "{counts:?}");
    }

    #[test]
    fn a_seed_repeats_the_requests_of_every_thread() {
        let mix = workload(vec![
            Operation::plain("get", 1.0, ["GET", "__key__"]),
            Operation::plain("set", 1.0, ["SET", "__key__", "__data__", "EX", "__int:1:100__"]),
        ]);
        assert_eq!(made(&mix, 0, 100), made(&mix, 0, 100));
        assert_ne!(made(&mix, 0, 100).1, made(&mix, 1, 100).1);
        let other = Workload { shape: Shape { seed: 10, ..shape() }, ..mix.clone() };
        assert_ne!(made(&mix, 0, 100).1, made(&other, 0, 100).1);
    }

    #[test]
    fn what_follows_names_the_same_key() {
        let mut read = Operation::plain("read", 1.0, ["GET", "__key__"]);
        read.follow_up = Some(FollowUp { after: After::Miss, operation: 1 });
        let load = workload(vec![read, Operation::plain("fill", 0.0, ["SET", "__key__", "__data__"])]);
        let mut generator = Generator::new(&load, 0, 1).unwrap();
        let mut out = Vec::new();
        let issued = generator.next(&mut out);
        assert_eq!(generator.follow_up(issued, false, &mut out), None);
        out.clear();
        let follow = generator.follow_up(issued, true, &mut out).unwrap();
        assert_eq!((follow.operation, follow.key), (1, issued.key));
        assert!(String::from_utf8(out).unwrap().contains(&format!("key:{:012}", issued.key)));
        assert_eq!(generator.follow_up(follow, true, &mut Vec::new()), None);
    }

    #[test]
    fn a_scan_asks_for_consecutive_keys_and_waits_for_all_replies() {
        let mut scan = Operation::plain("scan", 1.0, ["HGETALL", "__key__"]);
        scan.requests_max = 5;
        let (issued, out) = made(&workload(vec![scan]), 0, 200);
        let requests = String::from_utf8(out).unwrap().matches("HGETALL").count();
        assert_eq!(requests as u32, issued.iter().map(|i| i.replies).sum::<u32>());
        assert!(issued.iter().all(|i| (1..=5).contains(&i.replies)) && issued.iter().any(|i| i.replies == 5));
    }
}
