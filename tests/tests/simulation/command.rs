//! Commands on strings and lists, transactions and scripts of them, and what each does in a store without shards: a map, one
//! command after the other.
//!
//! Keys are numbers here; their names are chosen by the shards they are to lie on. Behind those of strings comes one more, the
//! index: a set of their names (a small one, which keeps them in the order in which they came), or nothing. A SORT of it that gets
//! what has these names reads keys that no word of the request tells. The last keys are those of lists; a list is kept as its
//! elements with blanks between them.
//!
//! Who waits for a list stands in one line, first come first, and is served at the end of the command, or transaction, that makes
//! a list. Two things need not be as without shards. BLMOVE may need a shard for it that is not at hand: then it is served some
//! time later, and whoever stands behind it in the line of its source waits until then, while others may take the element. And who
//! waits for keys on two shards may be passed over, if it is served for a key on the other one.

use kv_core::resp::client::Value;
use kv_core::resp::number::parse_i64;
use kv_core::store::KeyHasher;
use kv_core::structs::random::Random;
use std::collections::VecDeque;
use std::rc::Rc;

pub type Text = Rc<[u8]>;

#[derive(Clone, Debug)]
pub enum Command {
    Get(usize),
    Set(usize, Text),
    SetNx(usize, Text),
    GetSet(usize, Text),
    Append(usize, Text),
    Incr(usize),
    Del(Vec<usize>),
    Exists(Vec<usize>),
    MGet(Vec<usize>),
    MSet(Vec<(usize, Text)>),
    MSetNx(Vec<(usize, Text)>),
    Rename(usize, usize),
    Copy {
        from: usize,
        to: usize,
        replace: bool,
    },
    DbSize,
    FlushAll,
    /// Makes the index; with the number of keys.
    Index(usize),
    /// The values of all keys that the index names.
    ReadIndexed(usize),
    /// RPUSH.
    Push(usize, Vec<Text>),
    /// LPOP.
    Pop(usize),
    /// All elements.
    Range(usize),
    /// BLPOP, for so many ms at most.
    PopWaiting {
        keys: Vec<usize>,
        ms: u64,
    },
    /// BLMOVE from the left end to the right one.
    MoveWaiting {
        from: usize,
        to: usize,
        ms: u64,
    },
    /// CLIENT UNBLOCK for a session, whose client has this number.
    Unblock {
        session: usize,
        number: u64,
        error: bool,
    },
    Watch(Vec<usize>),
    Unwatch,
    /// Between MULTI and EXEC.
    Transaction(Vec<Command>),
    /// Called by a script, which declares some keys, that may be others; `long`: it takes its time before the last one.
    Script {
        declared: Vec<usize>,
        commands: Vec<Command>,
        long: bool,
        /// Its writes are refused, because of the disk.
        refused: bool,
        /// By one of the functions [`RUN`].
        by_function: bool,
    },
}

/// Functions that run the code they are given, and their library.
pub const RUN: [&str; 4] = ["run_a", "run_b", "run_c", "run_d"];
pub const LIBRARY: &str = "#!lua name=runs
local function run(keys, args) return loadstring(args[1])() end
redis.register_function('run_a', run) redis.register_function('run_b', run)
redis.register_function('run_c', run) redis.register_function('run_d', run)";

/// How many keys hold lists.
pub const LISTS: usize = 3;

/// The values of all keys, then whether there is an index.
pub type Values = Vec<Option<Text>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub values: Values,
    /// What each session watches.
    watches: Vec<Watched>,
    /// Whose requests wait, in the order in which they came.
    line: Vec<Waiter>,
    /// Keys, a bit each, whose line is held up by a BLMOVE that needs another shard.
    held: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiter {
    session: usize,
    keys: Vec<usize>,
    /// Where BLMOVE moves to.
    to: Option<usize>,
    /// Its keys lie on two shards.
    is_spread: bool,
    /// It was passed over.
    is_promised: bool,
}

/// How a command may go on.
pub struct Outcome {
    pub state: State,
    /// None: it waits.
    pub reply: Option<Value>,
    /// The answers to others who have waited, by session.
    pub served: Vec<(usize, Value)>,
}

/// What is left open: whether a BLMOVE has at hand what it needs, or somebody is passed over. All ways are gone through by counting.
#[derive(Default)]
struct Choices {
    bits: u32,
    asked: u32,
}

impl Choices {
    fn next(&mut self) -> bool {
        self.asked += 1;
        self.bits >> (self.asked - 1) & 1 == 1
    }

    fn all(mut run: impl FnMut(&mut Choices) -> Outcome) -> Vec<Outcome> {
        let (mut ways, mut most, mut bits) = (Vec::new(), 0, 0);
        while bits >> most == 0 {
            let mut choices = Choices { bits, asked: 0 };
            ways.push(run(&mut choices));
            most = most.max(choices.asked);
            bits += 1;
        }
        ways
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Watched {
    /// A bit a key.
    keys: u32,
    touched: bool,
}

impl State {
    /// Nobody of so many sessions watches anything.
    pub fn new(values: Values, sessions: usize) -> State {
        State { values, watches: vec![Watched::default(); sessions], line: Vec::new(), held: 0 }
    }

    /// Whether the request of a session waits.
    pub fn waits(&self, session: usize) -> bool {
        self.line.iter().any(|waiter| waiter.session == session)
    }

    /// Whether it was passed over, and so is to be served by another shard.
    pub fn is_promised(&self, session: usize) -> bool {
        self.line.iter().any(|waiter| waiter.session == session && waiter.is_promised)
    }

    /// What the request of a session waited for is not to come: its time is over, or it is gone.
    pub fn without(&self, session: usize) -> State {
        let mut after = self.clone();
        after.line.retain(|waiter| waiter.session != session);
        after.let_go();
        after
    }

    /// What may happen by itself: the shards come together that a line is held up for.
    pub fn wakes(&self) -> Vec<Outcome> {
        let mut ways = Vec::new();
        for key in (0..self.values.len()).filter(|key| self.held & 1 << key != 0) {
            let all = Choices::all(|choices| {
                let (mut state, mut served) = (self.clone(), Vec::new());
                state.held &= !(1 << key);
                state.serve(vec![key], choices, &mut served);
                Outcome { state, reply: None, served }
            });
            ways.extend(all.into_iter().filter(|way| way.state != *self));
        }
        ways
    }

    /// Serves whoever waits for lists that were made, in this order.
    fn serve(&mut self, ready: Vec<usize>, choices: &mut Choices, served: &mut Vec<(usize, Value)>) {
        let mut ready = VecDeque::from(ready);
        while let Some(key) = ready.pop_front() {
            let mut from = 0;
            while self.values[key].is_some() && self.held & 1 << key == 0 {
                let next = self.line[from..].iter().position(|waiter| waiter.keys.contains(&key));
                let Some(at) = next.map(|next| from + next) else { break };
                if self.line[at].to.is_some() && !choices.next() {
                    self.held |= 1 << key;
                    break;
                }
                if self.line[at].is_spread && choices.next() {
                    self.line[at].is_promised = true;
                    from = at + 1;
                    continue;
                }
                let Waiter { session, to, .. } = self.line.remove(at);
                let element = pop(&mut self.values[key]);
                if let Some(to) = to {
                    push(&mut self.values[to], &element);
                    if !ready.contains(&to) {
                        ready.push_back(to);
                    }
                }
                served.push((session, taken(key, to.is_some(), &element)));
            }
        }
        self.let_go();
    }

    /// A line in which nobody stands is not held up.
    fn let_go(&mut self) {
        let waited = self.line.iter().flat_map(|waiter| &waiter.keys).fold(0, |bits, key| bits | 1 << key);
        self.held &= waited;
    }

    fn touch(&mut self, key: usize) {
        for watched in &mut self.watches {
            watched.touched |= watched.keys & (1 << key) != 0;
        }
    }
}

fn int(n: usize) -> Value {
    Value::Int(n as i64)
}

fn misconf() -> Value {
    error("MISCONF")
}

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

fn bulk(value: &Option<Text>) -> Value {
    value.as_ref().map_or(Value::Nil, |text| Value::Bulk(text.to_vec()))
}

fn error(text: &str) -> Value {
    Value::Error(text.as_bytes().to_vec())
}

fn elements(list: &Option<Text>) -> impl Iterator<Item = &[u8]> {
    list.iter().flat_map(|text| text.split(|&byte| byte == b' '))
}

fn push(list: &mut Option<Text>, element: &Text) {
    let all: Vec<&[u8]> = elements(list).chain([&**element]).collect();
    *list = Some(all.join(&b' ').into());
}

/// Takes the first element of a list that has one.
fn pop(list: &mut Option<Text>) -> Text {
    let mut all = elements(list);
    let first = Text::from(all.next().expect("it has one"));
    let rest: Vec<&[u8]> = all.collect();
    *list = (!rest.is_empty()).then(|| rest.join(&b' ').into());
    first
}

/// The answer to who has waited. Of BLPOP it begins with the key: its number here, as in `Command::told`.
fn taken(key: usize, is_moved: bool, element: &Text) -> Value {
    let element = Value::Bulk(element.to_vec());
    if is_moved { element } else { Value::Array(vec![int(key), element]) }
}

/// Another key than this one, and some keys, which are these two at least.
fn several_of(key: usize, keys: usize, random: &mut Random) -> (usize, Vec<usize>) {
    let other = (key + 1 + random.index(keys - 1)) % keys;
    let mut several = vec![key, other];
    if random.one_in(2) {
        several.extend((0..keys).find(|k| !several.contains(k)));
    }
    (other, several)
}

/// How often each command is asked for. Each history has its own mixture and leaves out some commands altogether: what
/// takes several commands of one kind to show would otherwise be rare.
pub struct Mixture {
    weights: [u64; KINDS],
    /// Some of the scripts are functions.
    functions: bool,
}

/// How many kinds of commands there are.
const KINDS: usize = 27;
/// How many of them stand between MULTI and EXEC.
const PLAIN_KINDS: usize = 23;
/// The first that is about lists.
const FIRST_OF_LISTS: usize = 17;

impl Mixture {
    pub fn random(random: &mut Random) -> Mixture {
        // GET SET SETNX GETSET APPEND INCR DEL EXISTS MGET MSET MSETNX RENAME COPY DBSIZE FLUSHALL SADD SORT, RPUSH LPOP LRANGE
        // RENAME BLPOP BLMOVE, EXEC WATCH UNWATCH EVAL
        let usual = [18, 18, 4, 4, 5, 5, 4, 3, 13, 12, 3, 4, 3, 2, 2, 2, 4, 22, 6, 6, 4, 24, 14, 16, 10, 1, 16];
        let mut weights = usual.map(|weight| weight * [0, 1, 1, 4][random.index(4)]);
        weights[random.index(2)] += 1;
        // Histories are about strings, about lists, or about both.
        match random.index(4) {
            0 | 1 => weights[FIRST_OF_LISTS..PLAIN_KINDS].fill(0),
            2 => weights[..FIRST_OF_LISTS].iter_mut().for_each(|weight| *weight = (*weight).min(1)),
            _ => {}
        }
        Mixture { weights, functions: false }
    }

    /// For a world that has [`LIBRARY`].
    pub fn with_functions(self) -> Mixture {
        Mixture { functions: true, ..self }
    }

    /// A kind below a number.
    fn kind_below(&self, end: usize, random: &mut Random) -> usize {
        let weights = &self.weights[..end];
        let mut left = random.below(weights.iter().sum());
        let picks = |&weight: &u64| match left.checked_sub(weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        };
        weights.iter().position(picks).expect("the number is below the sum")
    }

    /// A random command with values that no other command of the history writes.
    pub fn command(&self, keys: usize, fresh: &mut u64, random: &mut Random) -> Command {
        let key = random.index(keys);
        let (_, several) = several_of(key, keys, random);
        match self.kind_below(KINDS, random) {
            23 => return self.transaction(keys, fresh, random),
            24 => return Command::Watch(several),
            25 => return Command::Unwatch,
            26 => return self.script(keys, fresh, random),
            _ => {}
        }
        self.plain(keys, fresh, random)
    }

    /// A transaction of some of the other commands.
    pub fn transaction(&self, keys: usize, fresh: &mut u64, random: &mut Random) -> Command {
        let count = 1 + random.index(4);
        let one = |_| match random.one_in(8) {
            true => self.script(keys, fresh, random),
            false => self.plain(keys, fresh, random),
        };
        Command::Transaction((0..count).map(one).collect())
    }

    /// A script that calls some of the other commands.
    fn script(&self, keys: usize, fresh: &mut u64, random: &mut Random) -> Command {
        let declared = (0..random.index(3)).map(|_| random.index(keys)).collect();
        // Scripts may not call what waits.
        let may_be_called =
            |command: &Command| !matches!(command, Command::PopWaiting { .. } | Command::MoveWaiting { .. });
        let count = 1 + random.index(4);
        let commands = std::iter::repeat_with(|| self.plain(keys, fresh, random)).take(4 * count);
        let commands = commands.filter(may_be_called).take(count).collect();
        // Without another throw of the dice, so that the histories are the same with functions and without.
        let by_function = self.functions && count == 2;
        Command::Script { declared, commands, long: random.one_in(6), refused: false, by_function }
    }

    fn plain(&self, keys: usize, fresh: &mut u64, random: &mut Random) -> Command {
        // Integers with room between them, so that INCR and APPEND make no value of another command.
        let value = |fresh: &mut u64| -> Text {
            *fresh += 1;
            Text::from((1000 + 20 * *fresh).to_string().into_bytes())
        };
        let key = random.index(keys);
        let (other, several) = several_of(key, keys, random);
        let list = keys + 1 + random.index(LISTS);
        let other_list = keys + 1 + random.index(LISTS);
        let ms = [1, 2, 5, 30][random.index(4)];
        let mut pairs = |keys: Vec<usize>| keys.into_iter().map(|k| (k, value(fresh))).collect();
        match self.kind_below(PLAIN_KINDS, random) {
            0 => Command::Get(key),
            1 => Command::Set(key, value(fresh)),
            2 => Command::SetNx(key, value(fresh)),
            3 => Command::GetSet(key, value(fresh)),
            4 => Command::Append(key, value(fresh)),
            5 => Command::Incr(key),
            6 => Command::Del(several),
            7 => Command::Exists(several),
            8 => Command::MGet(several),
            9 => Command::MSet(pairs(several)),
            10 => Command::MSetNx(pairs(several)),
            11 => Command::Rename(key, other),
            12 => Command::Copy { from: key, to: other, replace: random.one_in(2) },
            13 => Command::DbSize,
            14 => Command::FlushAll,
            15 => Command::Index(keys),
            16 => Command::ReadIndexed(keys),
            17 => Command::Push(list, (0..1 + random.index(3)).map(|_| value(fresh)).collect()),
            18 => Command::Pop(list),
            19 => Command::Range(list),
            20 => Command::Rename(list, other_list),
            21 if list == other_list => Command::PopWaiting { keys: vec![list], ms },
            21 => Command::PopWaiting { keys: vec![list, other_list], ms },
            22 => Command::MoveWaiting { from: list, to: other_list, ms },
            PLAIN_KINDS.. => unreachable!("no such kind"),
        }
    }
}

impl Command {
    /// Its requests, and what all but the last of them must answer.
    pub fn requests(&self, names: &[String]) -> Vec<(Vec<Vec<u8>>, Option<Value>)> {
        let Command::Transaction(commands) = self else { return vec![(self.words(names), None)] };
        let queued = Value::Simple(b"QUEUED".to_vec());
        let begin = (vec![b"MULTI".to_vec()], Some(ok()));
        let line = commands.iter().map(|command| (command.words(names), Some(queued.clone())));
        let end = (vec![b"EXEC".to_vec()], None);
        std::iter::once(begin).chain(line).chain([end]).collect()
    }

    /// The request's words; of a transaction those of its commands.
    pub fn words(&self, names: &[String]) -> Vec<Vec<u8>> {
        let name = |key: &usize| names[*key].clone().into_bytes();
        let one = |word: &str, key: &usize| vec![word.into(), name(key)];
        let two = |word: &str, key: &usize, value: &Text| vec![word.into(), name(key), value.to_vec()];
        let keys = |word: &str, keys: &[usize]| {
            std::iter::once(word.into()).chain(keys.iter().map(name)).collect::<Vec<Vec<u8>>>()
        };
        let pairs = |word: &str, pairs: &[(usize, Text)]| {
            let pairs = pairs.iter().flat_map(|(key, value)| [name(key), value.to_vec()]);
            std::iter::once(word.into()).chain(pairs).collect::<Vec<Vec<u8>>>()
        };
        match self {
            Command::Get(key) => one("GET", key),
            Command::Set(key, value) => two("SET", key, value),
            Command::SetNx(key, value) => two("SETNX", key, value),
            Command::GetSet(key, value) => two("GETSET", key, value),
            Command::Append(key, value) => two("APPEND", key, value),
            Command::Incr(key) => one("INCR", key),
            Command::Del(list) => keys("DEL", list),
            Command::Exists(list) => keys("EXISTS", list),
            Command::MGet(list) => keys("MGET", list),
            Command::MSet(list) => pairs("MSET", list),
            Command::MSetNx(list) => pairs("MSETNX", list),
            Command::Rename(from, to) => keys("RENAME", &[*from, *to]),
            Command::Copy { from, to, replace } => {
                let mut words = keys("COPY", &[*from, *to]);
                words.extend(replace.then(|| b"REPLACE".to_vec()));
                words
            }
            Command::DbSize => vec!["DBSIZE".into()],
            Command::FlushAll => vec!["FLUSHALL".into()],
            Command::Index(count) => one("SADD", count).into_iter().chain((0..*count).map(|key| name(&key))).collect(),
            Command::ReadIndexed(count) => {
                let words = ["BY", "nosort", "GET", "*"].map(|word| word.as_bytes().to_vec());
                one("SORT", count).into_iter().chain(words).collect()
            }
            Command::Push(key, values) => {
                one("RPUSH", key).into_iter().chain(values.iter().map(|value| value.to_vec())).collect()
            }
            Command::Pop(key) => one("LPOP", key),
            Command::Range(key) => {
                one("LRANGE", key).into_iter().chain(["0", "-1"].map(|word| word.as_bytes().to_vec())).collect()
            }
            Command::PopWaiting { keys: list, ms } => {
                keys("BLPOP", list).into_iter().chain([seconds(*ms).into_bytes()]).collect()
            }
            Command::MoveWaiting { from, to, ms } => {
                let rest = ["LEFT", "RIGHT", &seconds(*ms)].map(|word| word.as_bytes().to_vec());
                keys("BLMOVE", &[*from, *to]).into_iter().chain(rest).collect()
            }
            Command::Unblock { number, error, .. } => {
                let how = if *error { "ERROR" } else { "TIMEOUT" };
                ["CLIENT", "UNBLOCK", &number.to_string(), how].map(|word| word.as_bytes().to_vec()).to_vec()
            }
            Command::Watch(list) => keys("WATCH", list),
            Command::Unwatch => vec!["UNWATCH".into()],
            Command::Script { declared, commands, long, by_function, .. } => {
                let call = |command: &Command| {
                    let words = command.words(names);
                    let words = words.iter().map(|word| format!("'{}'", String::from_utf8_lossy(word)));
                    format!("redis.pcall({})", words.collect::<Vec<_>>().join(", "))
                };
                let mut calls: Vec<String> = commands.iter().map(call).collect();
                if *long {
                    let last = calls.len().saturating_sub(1);
                    calls.insert(last, "wait()".into());
                }
                let code = format!(
                    "local results = {{}} local function wait() local n = 0 repeat n = n + 1 until n == 40000 end {} \
                     return results",
                    calls
                        .iter()
                        .map(|call| match call.as_str() {
                            "wait()" => call.clone(),
                            call => format!("results[#results + 1] = {call}"),
                        })
                        .collect::<Vec<_>>()
                        .join(" ")
                );
                let keys = declared.iter().map(name);
                let (command, called, args) = match by_function {
                    false => ("EVAL", code, None),
                    true => ("FCALL", RUN[declared.iter().sum::<usize>() % RUN.len()].into(), Some(code)),
                };
                let words = [command.into(), called, declared.len().to_string()].map(String::into_bytes);
                words.into_iter().chain(keys).chain(args.map(String::into_bytes)).collect()
            }
            Command::Transaction(commands) => {
                let commands = commands.iter().flat_map(|c| c.words(names).into_iter().chain([b";".to_vec()]));
                std::iter::once(b"MULTI;".to_vec()).chain(commands).chain([b"EXEC".to_vec()]).collect()
            }
        }
    }

    /// Whether its answer says how many keys there are.
    pub fn counts_keys(&self) -> bool {
        match self {
            Command::Transaction(commands) | Command::Script { commands, .. } => {
                commands.iter().any(Command::counts_keys)
            }
            command => matches!(command, Command::DbSize),
        }
    }

    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Command::Get(_)
                | Command::Exists(_)
                | Command::MGet(_)
                | Command::DbSize
                | Command::ReadIndexed(_)
                | Command::Range(_)
        )
    }

    /// For how long it may wait, in ms.
    pub fn may_wait(&self) -> Option<u64> {
        match self {
            Command::PopWaiting { ms, .. } | Command::MoveWaiting { ms, .. } => Some(*ms),
            _ => None,
        }
    }

    /// A reply as it is here: keys are numbers.
    pub fn told(&self, reply: Value, names: &[String]) -> Value {
        match (self, reply) {
            (Command::PopWaiting { .. }, Value::Array(mut list)) if list.len() == 2 => {
                let name = list[0].bytes().unwrap_or(b"");
                if let Some(key) = names.iter().position(|known| known.as_bytes() == name) {
                    list[0] = int(key);
                }
                Value::Array(list)
            }
            (Command::Transaction(commands), Value::Array(list)) if list.len() == commands.len() => {
                Value::Array(commands.iter().zip(list).map(|(command, reply)| command.told(reply, names)).collect())
            }
            (_, reply) => reply,
        }
    }

    /// Whether it is refused while writes are.
    pub fn may_be_refused(&self) -> bool {
        match self {
            Command::Watch(_) | Command::Unwatch | Command::Unblock { .. } => false,
            Command::Transaction(commands) => commands.iter().any(Command::may_be_refused),
            command => !command.only_reads(),
        }
    }

    /// What is left of it when it is refused: a transaction ends the watches of its session.
    pub fn refused(&self, state: &State, session: usize) -> State {
        let mut after = state.clone();
        if let Command::Transaction(_) = self {
            Command::Unwatch.apply_alone(&mut after, session);
        }
        after
    }

    /// What the command of a session may do.
    pub fn outcomes(&self, state: &State, session: usize) -> Vec<Outcome> {
        Choices::all(|choices| {
            let (mut state, mut served, mut ready) = (state.clone(), Vec::new(), Vec::new());
            let reply = match self {
                Command::Transaction(commands) => {
                    if std::mem::take(&mut state.watches[session]).touched {
                        return Outcome { state, reply: Some(Value::NilArray), served };
                    }
                    let replies = commands.iter().map(|command| command.apply(&mut state, session, &mut ready));
                    Some(Value::Array(replies.collect()))
                }
                Command::PopWaiting { keys, .. } if keys.iter().all(|&key| state.values[key].is_none()) => {
                    let second = state.values.len() - LISTS + 1;
                    let is_spread = keys.contains(&second) && keys.len() > 1;
                    state.line.push(Waiter { session, keys: keys.clone(), to: None, is_spread, is_promised: false });
                    None
                }
                Command::MoveWaiting { from, to, .. } if state.values[*from].is_none() => {
                    let (keys, to) = (vec![*from], Some(*to));
                    state.line.push(Waiter { session, keys, to, is_spread: false, is_promised: false });
                    None
                }
                // Somebody else may have been about to answer.
                Command::Unblock { session: whom, error: is_error, .. } => {
                    let waits = state.waits(*whom) && !choices.next();
                    if waits {
                        let text = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
                        served.push((*whom, if *is_error { error(text) } else { Value::NilArray }));
                        state = state.without(*whom);
                    }
                    Some(int(waits.into()))
                }
                command => Some(command.apply(&mut state, session, &mut ready)),
            };
            state.serve(ready, choices, &mut served);
            Outcome { state, reply, served }
        })
    }

    /// What the command answers to a session, and what it does where nobody may wait. Lists that it makes or makes longer are
    /// `ready`.
    fn apply(&self, state: &mut State, session: usize, ready: &mut Vec<usize>) -> Value {
        if let Command::Script { commands, refused, .. } = self {
            // SORT is a write to the server, as it might store what it finds.
            let is_refused = |command: &Command| command.may_be_refused() || matches!(command, Command::ReadIndexed(_));
            let apply = |command: &Command| match *refused && is_refused(command) {
                true => misconf(),
                false => command.apply(state, session, ready),
            };
            return Value::Array(commands.iter().map(apply).collect());
        }
        let lists = state.values.len() - LISTS..state.values.len();
        let before: Vec<Option<Text>> = state.values[lists.clone()].to_vec();
        let reply = self.apply_alone(state, session);
        for (key, before) in lists.zip(before) {
            if state.values[key].is_some() && state.values[key] != before && !ready.contains(&key) {
                ready.push(key);
            }
        }
        reply
    }

    /// Notes of scripts in it whether the answer says that their writes were refused; the answer says it in one way then.
    pub fn note_refusals(&mut self, reply: &mut Value) {
        match (self, reply) {
            (Command::Transaction(commands), Value::Array(replies)) => {
                commands.iter_mut().zip(replies).for_each(|(command, reply)| command.note_refusals(reply));
            }
            (Command::Script { refused, .. }, Value::Array(replies)) => {
                let is_refusal =
                    |reply: &&mut Value| matches!(reply, Value::Error(text) if text.starts_with(b"MISCONF"));
                replies.iter_mut().filter(is_refusal).for_each(|reply| (*reply, *refused) = (misconf(), true));
            }
            _ => {}
        }
    }

    fn apply_alone(&self, state: &mut State, session: usize) -> Value {
        match self {
            Command::Watch(keys) => {
                keys.iter().for_each(|key| state.watches[session].keys |= 1 << key);
                return ok();
            }
            Command::Unwatch => {
                state.watches[session] = Watched::default();
                return ok();
            }
            Command::Transaction(_) | Command::Script { .. } => unreachable!("their commands are applied one by one"),
            _ if state.watches.iter().all(|watched| watched.keys == 0) => return self.run(&mut state.values),
            _ => {}
        }
        let before = state.values.clone();
        let reply = self.run(&mut state.values);
        // Every value that is written is a new one, but where one key gets that of another.
        (0..before.len())
            .filter(|&key| before[key] != state.values[key])
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|key| state.touch(key));
        match (self, &reply) {
            (Command::Rename(_, to), Value::Simple(_)) | (Command::Copy { to, .. }, Value::Int(1)) => state.touch(*to),
            _ => {}
        }
        reply
    }

    /// The same for one that is no transaction and has to do with none.
    fn run(&self, state: &mut Values) -> Value {
        match self {
            Command::Watch(_)
            | Command::Unwatch
            | Command::Unblock { .. }
            | Command::Transaction(_)
            | Command::Script { .. } => {
                unreachable!("the session's, or of several commands")
            }
            Command::Get(key) => bulk(&state[*key]),
            Command::Set(key, value) => {
                state[*key] = Some(value.clone());
                ok()
            }
            Command::SetNx(key, value) => {
                let free = state[*key].is_none();
                if free {
                    state[*key] = Some(value.clone());
                }
                int(free.into())
            }
            Command::GetSet(key, value) => bulk(&state[*key].replace(value.clone())),
            Command::Append(key, value) => {
                let mut text = state[*key].as_ref().map_or(Vec::new(), |old| old.to_vec());
                text.extend_from_slice(value);
                let len = text.len();
                state[*key] = Some(text.into());
                int(len)
            }
            Command::Incr(key) => {
                let old = state[*key].as_ref().map_or(Some(0), |old| parse_i64(old));
                let Some(old) = old else { return error("ERR value is not an integer or out of range") };
                let Some(new) = old.checked_add(1) else { return error("ERR increment or decrement would overflow") };
                state[*key] = Some(Text::from(new.to_string().into_bytes()));
                Value::Int(new)
            }
            Command::Del(keys) => int(keys.iter().filter(|&&key| state[key].take().is_some()).count()),
            Command::Exists(keys) => int(keys.iter().filter(|&&key| state[key].is_some()).count()),
            Command::MGet(keys) => Value::Array(keys.iter().map(|&key| bulk(&state[key])).collect()),
            Command::MSet(pairs) => {
                pairs.iter().for_each(|(key, value)| state[*key] = Some(value.clone()));
                ok()
            }
            Command::MSetNx(pairs) => {
                let free = pairs.iter().all(|(key, _)| state[*key].is_none());
                if free {
                    pairs.iter().for_each(|(key, value)| state[*key] = Some(value.clone()));
                }
                int(free.into())
            }
            Command::Rename(from, to) => match state[*from].take() {
                Some(value) => {
                    state[*to] = Some(value);
                    ok()
                }
                None => error("ERR no such key"),
            },
            Command::Copy { from, to, replace } => {
                let copies = state[*from].is_some() && (*replace || state[*to].is_none());
                if copies {
                    state[*to] = state[*from].clone();
                }
                int(copies.into())
            }
            Command::DbSize => int(state.iter().flatten().count()),
            Command::FlushAll => {
                state.fill(None);
                ok()
            }
            Command::Push(key, values) => {
                values.iter().for_each(|value| push(&mut state[*key], value));
                int(elements(&state[*key]).count())
            }
            Command::Pop(key) => match state[*key] {
                Some(_) => Value::Bulk(pop(&mut state[*key]).to_vec()),
                None => Value::Nil,
            },
            Command::Range(key) => {
                Value::Array(elements(&state[*key]).map(|element| Value::Bulk(element.to_vec())).collect())
            }
            Command::PopWaiting { keys, .. } => match keys.iter().find(|&&key| state[key].is_some()) {
                Some(&key) => taken(key, false, &pop(&mut state[key])),
                None => Value::NilArray,
            },
            Command::MoveWaiting { from, .. } if state[*from].is_none() => Value::Nil,
            Command::MoveWaiting { from, to, .. } => {
                let element = pop(&mut state[*from]);
                push(&mut state[*to], &element);
                taken(*from, true, &element)
            }
            Command::Index(count) => match state[*count].replace(Text::from(*b"index")) {
                Some(_) => int(0),
                None => int(*count),
            },
            Command::ReadIndexed(count) => {
                let named = if state[*count].is_some() { &state[..*count] } else { &[] };
                Value::Array(named.iter().map(bulk).collect())
            }
        }
    }
}

/// A time as commands take it.
fn seconds(ms: u64) -> String {
    (ms as f64 / 1000.0).to_string()
}

/// How many keys of strings there are among these.
pub fn strings_of(names: &[String]) -> usize {
    names.len() - 1 - LISTS
}

/// Names for keys: one for each of the shards given, one with a `{tag}` beside the first, that of the index; and for lists: on the
/// first two shards given, and with a `{tag}` beside the first of these.
pub fn names_on(shards: &[usize], count: usize, hasher: &KeyHasher) -> Vec<String> {
    let mut number = 0;
    let mut names: Vec<String> = shards
        .iter()
        .map(|&shard| {
            loop {
                number += 1;
                let name = format!("k{number}");
                if hasher.place(name.as_bytes(), count) == shard {
                    return name;
                }
            }
        })
        .collect();
    names.push(format!("{{{}}}too", names[0]));
    names.push("index".into());
    let lists = [format!("{{{}}}list", names[0]), format!("{{{}}}list", names[1]), format!("{{{}}}list too", names[0])];
    names.extend(lists);
    names
}
