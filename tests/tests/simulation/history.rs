//! What happened, as the clients saw it, and whether one order of the commands explains it.
//!
//! A history is right when its commands can be put in one line so that each answers what it answered (run one after the
//! other on a store without shards), none stands before one that had ended when it began (strict serializability), and
//! those of one session stand in the session's order, even where they were pipelined.
//!
//! A history may end in a crash: commands without a reply have happened or not, and what is left after it must be explained,
//! too: by all that was answered, or by everything up to some moment. One that was refused has not happened, although what
//! stood behind it in its pipeline may have; the crash may have come before the refusal had left the server.
//!
//! The search tries the commands that may come next, remembers which sets of commands have failed in which state, and
//! takes a command that only reads at once: whatever follows, it is as good there as later.

use crate::command::{Command, State, Values};
use kv_core::resp::client::Value;
use std::collections::HashSet;
use std::fmt;

#[derive(Clone, Debug)]
pub struct Operation {
    pub session: usize,
    pub command: Command,
    /// When its last byte was handed to the engine.
    pub begin: u64,
    /// When its reply had left the engine; `u64::MAX`: it was not answered, and may have happened or not.
    pub end: u64,
    pub reply: Value,
    /// Writes were refused at some time after it began: if it was not answered, nobody was told whether it was.
    pub perhaps_refused: bool,
}

#[derive(Default)]
pub struct History {
    pub names: Vec<String>,
    pub operations: Vec<Operation>,
}

impl History {
    /// Whether there is such an order. Operations of one session stand in the session's order in the list.
    pub fn is_explained(&self) -> bool {
        assert!(self.operations.len() <= 32, "the search is for small histories");
        self.search(Goal::All, &vec![None; self.names.len()])
    }

    /// Whether `after` is what a crash may leave that loses nothing anybody was told: there is an order of all that was answered,
    /// and perhaps of some that was not, that leads from `before` to it.
    pub fn leads_to(&self, before: &Values, after: &Values) -> bool {
        self.search(Goal::AllAnd(after), before)
    }

    /// Whether `after` is what a crash may leave that loses everything from some moment on.
    pub fn comes_by(&self, before: &Values, after: &Values) -> bool {
        self.search(Goal::Some(after), before)
    }

    fn search(&self, goal: Goal<'_>, values: &Values) -> bool {
        let before = (0..self.operations.len())
            .map(|i| (0..i).rev().find(|&j| self.operations[j].session == self.operations[i].session))
            .collect();
        let mut search = Search { operations: &self.operations, goal, before, failed: HashSet::new() };
        let sessions = self.operations.iter().map(|o| o.session + 1).max().unwrap_or(0);
        search.goes_on(0, State::new(values.clone(), sessions))
    }
}

/// Where a search has arrived.
#[derive(Clone, Copy)]
enum Goal<'a> {
    /// When all that was answered has happened.
    All,
    /// When besides these are the values.
    AllAnd(&'a Values),
    /// When these are the values.
    Some(&'a Values),
}

struct Search<'a> {
    operations: &'a [Operation],
    goal: Goal<'a>,
    /// The operation before in the same session.
    before: Vec<Option<usize>>,
    failed: HashSet<(u32, State)>,
}

impl Search<'_> {
    fn goes_on(&mut self, done: u32, state: State) -> bool {
        let is_done = |i: usize| done & (1 << i) != 0;
        let left = || (0..self.operations.len()).filter(|&i| !is_done(i));
        let horizon = left().map(|i| self.operations[i].end).min().unwrap_or(u64::MAX);
        let has_arrived = match self.goal {
            Goal::All => horizon == u64::MAX,
            Goal::AllAnd(after) => horizon == u64::MAX && state.values == *after,
            Goal::Some(after) => state.values == *after,
        };
        if has_arrived {
            return true;
        }
        if self.failed.contains(&(done, state.clone())) {
            return false;
        }
        let next = left().filter(|&i| self.operations[i].begin < horizon && self.before[i].is_none_or(is_done));
        let mut ways = Vec::new();
        for i in next {
            let mut after = state.clone();
            let Operation { command, session, reply, end, .. } = &self.operations[i];
            let is_answered = *end < u64::MAX;
            if command.apply(&mut after, *session) != *reply && is_answered {
                continue;
            }
            if self.operations[i].command.only_reads() && is_answered {
                ways = vec![(i, after)];
                break;
            }
            if self.operations[i].perhaps_refused && !is_answered {
                ways.push((i, self.operations[i].command.refused(&state, *session)));
            }
            ways.push((i, after));
        }
        if ways.into_iter().any(|(i, after)| self.goes_on(done | 1 << i, after)) {
            return true;
        }
        self.failed.insert((done, state));
        false
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list: Vec<&Operation> = self.operations.iter().collect();
        list.sort_by_key(|o| o.begin);
        for o in list {
            let words = o.command.words(&self.names).join(&b' ');
            writeln!(
                f,
                "  {:>5}..{:<5} session {}: {} -> {:?}",
                o.begin,
                o.end,
                o.session,
                words.escape_ascii(),
                Shown(&o.reply)
            )?;
        }
        Ok(())
    }
}

/// A reply for people.
struct Shown<'a>(&'a Value);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Int(n) => write!(f, "{n}"),
            Value::Nil | Value::NilArray => f.write_str("nil"),
            Value::Array(list) => f.debug_list().entries(list.iter().map(Shown)).finish(),
            other => write!(f, "{}", other.bytes().unwrap_or(b"?").escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Text;

    fn text(s: &str) -> Text {
        Text::from(s.as_bytes().to_vec())
    }

    fn history(list: &[(usize, u64, u64, Command, Value)]) -> History {
        let operations = list
            .iter()
            .map(|(session, begin, end, command, reply)| Operation {
                session: *session,
                command: command.clone(),
                begin: *begin,
                end: *end,
                reply: reply.clone(),
                perhaps_refused: false,
            })
            .collect();
        History { names: vec!["x".into(), "y".into()], operations }
    }

    fn ok() -> Value {
        Value::Simple(b"OK".to_vec())
    }

    fn values(list: &[&str]) -> Value {
        let value = |s: &&str| if s.is_empty() { Value::Nil } else { Value::Bulk(s.as_bytes().to_vec()) };
        Value::Array(list.iter().map(value).collect())
    }

    #[test]
    fn overlapping_commands_may_stand_in_either_order_and_others_not() {
        let set = |begin, end| (0, begin, end, Command::Set(0, text("1")), ok());
        let get = |begin, end, value| (1, begin, end, Command::Get(0), value);
        let one = Value::Bulk(b"1".to_vec());
        assert!(history(&[set(1, 4), get(2, 3, Value::Nil)]).is_explained());
        assert!(history(&[set(1, 4), get(2, 3, one.clone())]).is_explained());
        assert!(history(&[set(1, 2), get(3, 4, one.clone())]).is_explained());
        assert!(!history(&[set(1, 2), get(3, 4, Value::Nil)]).is_explained());
        assert!(!history(&[set(3, 4), get(1, 2, one)]).is_explained());
    }

    #[test]
    fn half_of_a_command_is_seen_and_so_are_two_orders_of_two_writes() {
        let both = Command::MSet(vec![(0, text("1")), (1, text("2"))]);
        let read = Command::MGet(vec![0, 1]);
        assert!(!history(&[(0, 1, 9, both, ok()), (1, 2, 3, read.clone(), values(&["1", ""]))]).is_explained());
        let writes = [(0, 1, 9, Command::Set(0, text("1")), ok()), (1, 1, 9, Command::Set(1, text("2")), ok())];
        let reads = [(2, 2, 8, read.clone(), values(&["1", ""])), (3, 2, 8, read, values(&["", "2"]))];
        assert!(!history(&[&writes[..], &reads[..]].concat()).is_explained());
        assert!(history(&[&writes[..], &reads[..1]].concat()).is_explained());
    }

    #[test]
    fn a_transaction_stands_as_one_and_a_watched_key_that_was_touched_forbids_it() {
        let both = Command::Transaction(vec![Command::Set(0, text("1")), Command::Set(1, text("2"))]);
        let done = Value::Array(vec![ok(), ok()]);
        let read = Command::MGet(vec![0, 1]);
        let seen = |value| history(&[(0, 1, 9, both.clone(), done.clone()), (1, 2, 3, read.clone(), value)]);
        assert!(!seen(values(&["1", ""])).is_explained() && !seen(values(&["", "2"])).is_explained());
        assert!(seen(values(&["1", "2"])).is_explained() && seen(values(&["", ""])).is_explained());
        let watch = (0, 1, 2, Command::Watch(vec![0]), ok());
        let write = (1, 3, 4, Command::Set(0, text("7")), ok());
        let exec = |reply| (0, 5, 6, both.clone(), reply);
        assert!(history(&[watch.clone(), write.clone(), exec(Value::NilArray)]).is_explained());
        assert!(!history(&[watch.clone(), write.clone(), exec(done.clone())]).is_explained());
        assert!(!history(&[watch.clone(), exec(Value::NilArray)]).is_explained());
        let unwatch = (0, 4, 5, Command::Unwatch, ok());
        assert!(history(&[watch, write, unwatch, exec(done)]).is_explained());
    }

    #[test]
    fn what_was_not_answered_may_have_been_refused_only_while_writes_were() {
        let set = |key, value| (0, 1, u64::MAX, Command::Set(key, text(value)), Value::Nil);
        let mut history = history(&[set(0, "1"), set(1, "2")]);
        let (before, after) = (vec![None, None], vec![None, Some(text("2"))]);
        assert!(!history.leads_to(&before, &after) && !history.comes_by(&before, &after));
        history.operations[0].perhaps_refused = true;
        assert!(history.leads_to(&before, &after) && history.comes_by(&before, &after));
        // Who was told that it was done was not refused.
        (history.operations[0].end, history.operations[0].reply) = (2, ok());
        assert!(!history.leads_to(&before, &after));
    }

    #[test]
    fn a_pipeline_stands_in_its_order() {
        let first = (0, 1, 9, Command::Set(0, text("1")), ok());
        let second = (0, 1, 9, Command::Set(1, text("2")), ok());
        let seen = (1, 1, 9, Command::MGet(vec![0, 1]), values(&["", "2"]));
        assert!(!history(&[first.clone(), second.clone(), seen.clone()]).is_explained());
        assert!(history(&[second, first, seen]).is_explained());
    }
}
