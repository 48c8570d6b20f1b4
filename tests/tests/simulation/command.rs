//! Commands on strings, and transactions of them, and what each does in a store without shards: a map, one command after the
//! other.
//!
//! Keys are numbers here; their names are chosen by the shards they are to lie on. Behind the keys comes one more, the index: a
//! set of their names (a small one, which keeps them in the order in which they came), or nothing. A SORT of it that gets what
//! has these names reads keys that no word of the request tells.

use kv_core::resp::client::Value;
use kv_core::resp::number::parse_i64;
use kv_core::store::KeyHasher;
use kv_core::structs::random::Random;
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
    Watch(Vec<usize>),
    Unwatch,
    /// Between MULTI and EXEC.
    Transaction(Vec<Command>),
}

/// The values of all keys, then whether there is an index.
pub type Values = Vec<Option<Text>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub values: Values,
    /// What each session watches.
    watches: Vec<Watched>,
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
        State { values, watches: vec![Watched::default(); sessions] }
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

fn ok() -> Value {
    Value::Simple(b"OK".to_vec())
}

fn bulk(value: &Option<Text>) -> Value {
    value.as_ref().map_or(Value::Nil, |text| Value::Bulk(text.to_vec()))
}

fn error(text: &str) -> Value {
    Value::Error(text.as_bytes().to_vec())
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
}

/// How many kinds of commands there are.
const KINDS: usize = 20;
/// How many of them stand between MULTI and EXEC.
const PLAIN_KINDS: usize = 17;

impl Mixture {
    pub fn random(random: &mut Random) -> Mixture {
        // GET SET SETNX GETSET APPEND INCR DEL EXISTS MGET MSET MSETNX RENAME COPY DBSIZE FLUSHALL SADD SORT, EXEC WATCH UNWATCH
        let usual = [18, 18, 4, 4, 5, 5, 4, 3, 13, 12, 3, 4, 3, 2, 2, 2, 4, 16, 10, 1];
        let mut weights = usual.map(|weight| weight * [0, 1, 1, 4][random.index(4)]);
        weights[random.index(2)] += 1;
        Mixture { weights }
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
            17 => return self.transaction(keys, fresh, random),
            18 => return Command::Watch(several),
            19 => return Command::Unwatch,
            _ => {}
        }
        self.plain(keys, fresh, random)
    }

    /// A transaction of some of the other commands.
    pub fn transaction(&self, keys: usize, fresh: &mut u64, random: &mut Random) -> Command {
        Command::Transaction((0..1 + random.index(4)).map(|_| self.plain(keys, fresh, random)).collect())
    }

    fn plain(&self, keys: usize, fresh: &mut u64, random: &mut Random) -> Command {
        // Integers with room between them, so that INCR and APPEND make no value of another command.
        let value = |fresh: &mut u64| -> Text {
            *fresh += 1;
            Text::from((1000 + 20 * *fresh).to_string().into_bytes())
        };
        let key = random.index(keys);
        let (other, several) = several_of(key, keys, random);
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
            Command::Watch(list) => keys("WATCH", list),
            Command::Unwatch => vec!["UNWATCH".into()],
            Command::Transaction(commands) => {
                let commands = commands.iter().flat_map(|c| c.words(names).into_iter().chain([b";".to_vec()]));
                std::iter::once(b"MULTI;".to_vec()).chain(commands).chain([b"EXEC".to_vec()]).collect()
            }
        }
    }

    /// Whether its answer says how many keys there are.
    pub fn counts_keys(&self) -> bool {
        match self {
            Command::Transaction(commands) => commands.iter().any(Command::counts_keys),
            command => matches!(command, Command::DbSize),
        }
    }

    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Command::Get(_) | Command::Exists(_) | Command::MGet(_) | Command::DbSize | Command::ReadIndexed(_)
        )
    }

    /// Whether it is refused while writes are.
    pub fn may_be_refused(&self) -> bool {
        match self {
            Command::Watch(_) | Command::Unwatch => false,
            Command::Transaction(commands) => commands.iter().any(Command::may_be_refused),
            command => !command.only_reads(),
        }
    }

    /// What is left of it when it is refused: a transaction ends the watches of its session.
    pub fn refused(&self, state: &State, session: usize) -> State {
        let mut after = state.clone();
        if let Command::Transaction(_) = self {
            Command::Unwatch.apply(&mut after, session);
        }
        after
    }

    /// What the command answers to a session, and what it does.
    pub fn apply(&self, state: &mut State, session: usize) -> Value {
        match self {
            Command::Watch(keys) => {
                keys.iter().for_each(|key| state.watches[session].keys |= 1 << key);
                return ok();
            }
            Command::Unwatch => {
                state.watches[session] = Watched::default();
                return ok();
            }
            Command::Transaction(commands) => {
                if std::mem::take(&mut state.watches[session]).touched {
                    return Value::NilArray;
                }
                return Value::Array(commands.iter().map(|command| command.apply(state, session)).collect());
            }
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
            Command::Watch(_) | Command::Unwatch | Command::Transaction(_) => unreachable!("the session's"),
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

/// Names for keys: one for each of the shards given, one with a `{tag}` beside the first, and that of the index.
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
    names
}
