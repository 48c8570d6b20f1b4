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
//! A command that waits takes two places in the line: where it finds nothing, which is before that of any that was asked for after
//! it was seen to wait, and where it is served by another, or gives up, which is not before its time was over or its client was gone.
//!
//! The search tries the commands that may come next, remembers which sets of commands have failed in which state, and
//! takes a command that only reads at once: whatever follows, it is as good there as later.

use crate::command::{Command, Outcome, State, Values};
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
    /// Of one that waits, each `u64::MAX` until it has come: by when it stood in its line; since when its time may be over; when its
    /// client was gone.
    pub waited: u64,
    pub is_due: u64,
    pub gone: u64,
    /// The same moment on the clock of the workers, at which its time is over.
    due_ms: u64,
}

impl Operation {
    /// One that has not arrived.
    pub fn new(session: usize, command: Command, begin: u64) -> Operation {
        let (end, reply, never) = (u64::MAX, Value::Nil, u64::MAX);
        let perhaps_refused = false;
        let (waited, is_due, gone, due_ms) = (never, never, never, never);
        Operation { session, command, begin, end, reply, perhaps_refused, waited, is_due, gone, due_ms }
    }

    /// Its last byte has arrived.
    pub fn arrived(&mut self, clock: u64, now_ms: u64) {
        self.begin = clock;
        self.due_ms = self.command.may_wait().map_or(u64::MAX, |ms| now_ms + ms);
    }

    fn is_answered(&self) -> bool {
        self.end < u64::MAX
    }

    /// Until when it has a place in the line, if it has one; and as one that waits already, its last place.
    fn latest(&self, waits: bool) -> u64 {
        match (self.command.may_wait(), waits) {
            (Some(_), true) => self.end.min(self.gone),
            _ => self.end,
        }
    }

    /// Since when it may have given up.
    fn may_give_up(&self) -> u64 {
        match self.is_answered() {
            true if self.reply != Value::NilArray => u64::MAX,
            true => self.is_due,
            // What happened to it at the end of its client came right before all that begins after it.
            false if self.gone < u64::MAX => self.is_due.min(self.gone - 1),
            false => self.is_due,
        }
    }
}

#[derive(Default)]
pub struct History {
    pub names: Vec<String>,
    pub operations: Vec<Operation>,
}

impl History {
    /// Time goes on. `waits` says whose requests wait now.
    pub fn go_on(&mut self, clock: u64, now_ms: u64, mut waits: impl FnMut(usize) -> bool) {
        let mut seen = 0u64;
        for o in self.operations.iter_mut().filter(|o| !o.is_answered() && o.command.may_wait().is_some()) {
            if o.is_due == u64::MAX && now_ms >= o.due_ms {
                o.is_due = clock;
            }
            // The first of its session without an answer.
            if seen & 1 << o.session == 0 && o.waited == u64::MAX && waits(o.session) {
                o.waited = clock;
            }
            seen |= 1 << o.session;
        }
    }

    /// Whether a transaction, one behind a watch, a script and a request that has waited and got something are all in it.
    pub fn mixes_all(&self) -> bool {
        let ended = || self.operations.iter().filter(|o| o.is_answered());
        let is_transaction = |o: &&Operation| matches!(o.command, Command::Transaction(_));
        let watches = ended().filter(|o| matches!(o.command, Command::Watch(_)));
        // The last one looks at all keys.
        ended().filter(is_transaction).count() > 2
            && watches
                .clone()
                .any(|w| ended().filter(is_transaction).any(|o| o.session == w.session && o.begin > w.begin))
            && ended().any(|o| matches!(o.command, Command::Script { .. }))
            && ended().any(|o| o.waited < u64::MAX && o.reply != Value::NilArray)
    }

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
        // Of a session that waits, the first that is left does.
        let waits = |i: usize| state.waits(self.operations[i].session) && self.before[i].is_none_or(is_done);
        let horizon = left().map(|i| self.operations[i].latest(waits(i))).min().unwrap_or(u64::MAX);
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
        let latest = (0..self.operations.len()).filter(|&i| is_done(i)).map(|i| self.operations[i].begin).max();
        let mut ways = Vec::new();
        for i in next.filter(|&i| !waits(i)) {
            let operation = &self.operations[i];
            let is_answered = operation.is_answered();
            // First come, first served. (But what a crash may have undone has no place, although it was seen to wait.)
            let came_before = |j: usize| {
                let other = &self.operations[j];
                other.waited <= operation.begin && other.is_answered() && !waits(j)
            };
            if operation.command.may_wait().is_some() && left().any(|j| j != i && came_before(j)) {
                continue;
            }
            // What its client was gone before has found it waiting, or not at all.
            if operation.command.may_wait().is_some() && latest.is_some_and(|latest| latest >= operation.gone) {
                continue;
            }
            let outcomes = operation.command.outcomes(&state, operation.session);
            let fits = |outcome: &Outcome| {
                !is_answered || outcome.reply.as_ref().is_none_or(|reply| *reply == operation.reply)
            };
            let mut found = outcomes.into_iter().filter(fits).filter_map(|outcome| {
                let done = if outcome.reply.is_some() { done | 1 << i } else { done };
                Some((self.serve(done, outcome.served)?, outcome.state))
            });
            if operation.command.only_reads() && is_answered {
                if let Some(way) = found.next() {
                    ways = vec![way];
                    break;
                }
                continue;
            }
            ways.extend(found);
            if operation.perhaps_refused && !is_answered {
                ways.push((done | 1 << i, operation.command.refused(&state, operation.session)));
            }
        }
        let gives_up = |i: usize| {
            let operation = &self.operations[i];
            operation.may_give_up() < horizon && !(operation.is_answered() && state.is_promised(operation.session))
        };
        let given_up = left().filter(|&i| waits(i) && gives_up(i));
        ways.extend(given_up.map(|i| (done | 1 << i, state.without(self.operations[i].session))));
        ways.extend(state.wakes().into_iter().filter_map(|way| Some((self.serve(done, way.served)?, way.state))));
        if ways.into_iter().any(|(done, after)| self.goes_on(done, after)) {
            return true;
        }
        self.failed.insert((done, state));
        false
    }

    /// What is done when these sessions, which waited, are answered as well; none if one of them was answered otherwise.
    fn serve(&self, mut done: u32, served: Vec<(usize, Value)>) -> Option<u32> {
        for (session, reply) in served {
            let is_its = |i: &usize| done & 1 << i == 0 && self.operations[*i].session == session;
            let i = (0..self.operations.len()).find(is_its).expect("it waits");
            if self.operations[i].is_answered() && self.operations[i].reply != reply {
                return None;
            }
            done |= 1 << i;
        }
        Some(done)
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
                end: *end,
                reply: reply.clone(),
                ..Operation::new(*session, command.clone(), *begin)
            })
            .collect();
        History { names: ["x", "y", "index", "l", "m", "n"].map(String::from).to_vec(), operations }
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
        let before = vec![None; 6];
        let mut after = before.clone();
        after[1] = Some(text("2"));
        assert!(!history.leads_to(&before, &after) && !history.comes_by(&before, &after));
        history.operations[0].perhaps_refused = true;
        assert!(history.leads_to(&before, &after) && history.comes_by(&before, &after));
        // Who was told that it was done was not refused.
        (history.operations[0].end, history.operations[0].reply) = (2, ok());
        assert!(!history.leads_to(&before, &after));
    }

    /// An element of the first list, as BLPOP tells it.
    fn popped(element: &str) -> Value {
        Value::Array(vec![Value::Int(3), Value::Bulk(element.as_bytes().to_vec())])
    }

    const NEVER: u64 = u64::MAX;

    #[test]
    fn who_waits_is_served_once_in_the_order_in_which_they_were_seen_to_wait() {
        let wait =
            |session, reply| (session, session as u64 + 1, 20, Command::PopWaiting { keys: vec![3], ms: 1 }, reply);
        let push = (2, 10, 11, Command::Push(3, vec![text("1"), text("2")]), Value::Int(2));
        let both = |a, b, seen: [u64; 2]| {
            let mut history = history(&[wait(0, popped(a)), wait(1, popped(b)), push.clone()]);
            (0..2).for_each(|i| history.operations[i].waited = seen[i]);
            history.is_explained()
        };
        assert!(both("1", "2", [5, 6]) && both("2", "1", [5, 6]) && both("2", "1", [NEVER, NEVER]));
        // The second was not sent before the first stood in the line.
        assert!(both("1", "2", [2, 6]) && !both("2", "1", [2, 6]));
        assert!(!both("1", "1", [NEVER, NEVER]));
    }

    #[test]
    fn who_waits_on_two_shards_may_be_served_by_the_later_of_two_pushes_but_by_one_of_them() {
        let wait = |reply| (0, 1, 30, Command::PopWaiting { keys: vec![3, 4], ms: 1 }, reply);
        let push = |key, text: Text| (1, 5, 6, Command::Push(key, vec![text]), Value::Int(1));
        let pushes = [push(4, text("1")), push(3, text("2"))];
        let ends = |reply| {
            let mut history = history(&[&[wait(reply)], &pushes[..]].concat());
            (history.operations[0].waited, history.operations[0].is_due) = (3, 20);
            history.is_explained()
        };
        let from_the_other = Value::Array(vec![Value::Int(4), Value::Bulk(b"1".to_vec())]);
        assert!(ends(popped("2")) && ends(from_the_other) && !ends(Value::NilArray));
    }

    #[test]
    fn who_gives_up_has_had_nothing_to_take_until_its_time_was_over() {
        let wait = (0, 1, 30, Command::PopWaiting { keys: vec![3, 4], ms: 1 }, Value::NilArray);
        let push = |begin| (1, begin, begin + 1, Command::Push(4, vec![text("1")]), Value::Int(1));
        let given_up = |begin, is_due| {
            let mut history = history(&[wait.clone(), push(begin)]);
            (history.operations[0].waited, history.operations[0].is_due) = (5, is_due);
            history.is_explained()
        };
        assert!(given_up(25, 20) && given_up(20, 20) && !given_up(15, 20) && !given_up(25, NEVER));
    }

    #[test]
    fn who_is_gone_takes_nothing_afterwards() {
        let wait = (0, 1, NEVER, Command::PopWaiting { keys: vec![3], ms: 1 }, Value::Nil);
        let push = |begin| (1, begin, begin + 1, Command::Push(3, vec![text("1")]), Value::Int(1));
        let look = (1, 40, 41, Command::Range(3), Value::Array(vec![]));
        let taken = |begin, gone| {
            let mut history = history(&[wait.clone(), push(begin), look.clone()]);
            history.operations[0].gone = gone;
            history.is_explained()
        };
        assert!(taken(10, NEVER) && taken(10, 20) && !taken(20, 10));
    }

    #[test]
    fn what_is_moved_is_always_somewhere_and_may_be_taken_before() {
        let wait = |reply| (0, 1, 30, Command::MoveWaiting { from: 3, to: 4, ms: 1 }, reply);
        let push = (1, 5, 6, Command::Push(3, vec![text("1")]), Value::Int(1));
        let one = Value::Bulk(b"1".to_vec());
        let look = |at, first: &[&str], second: &[&str]| {
            let both = Value::Array(vec![values(first), values(second)]);
            (2, at, at + 1, Command::Transaction(vec![Command::Range(3), Command::Range(4)]), both)
        };
        assert!(
            history(&[wait(one.clone()), push.clone(), look(10, &["1"], &[]), look(12, &[], &["1"])]).is_explained()
        );
        assert!(
            !history(&[wait(one.clone()), push.clone(), look(10, &[], &["1"]), look(12, &["1"], &[])]).is_explained()
        );
        assert!(!history(&[wait(one.clone()), push.clone(), look(10, &[], &[])]).is_explained());
        let thief = (2, 10, 11, Command::Pop(3), one);
        let mut stolen = history(&[wait(Value::NilArray), push, thief]);
        stolen.operations[0].is_due = 20;
        assert!(stolen.is_explained());
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
