//! Commands on strings, and what each does in a store without shards: a map, one command after the other.
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
}

/// The values of all keys, then whether there is an index.
pub type State = Vec<Option<Text>>;

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

/// How often each command is asked for. Each history has its own mixture and leaves out some commands altogether: what
/// takes several commands of one kind to show would otherwise be rare.
pub struct Mixture {
    weights: [u64; KINDS],
}

/// How many kinds of commands there are.
const KINDS: usize = 17;

impl Mixture {
    pub fn random(random: &mut Random) -> Mixture {
        // GET SET SETNX GETSET APPEND INCR DEL EXISTS MGET MSET MSETNX RENAME COPY DBSIZE FLUSHALL SADD SORT
        let usual = [18, 18, 4, 4, 5, 5, 4, 3, 13, 12, 3, 4, 3, 2, 2, 2, 4];
        let mut weights = usual.map(|weight| weight * [0, 1, 1, 4][random.index(4)]);
        weights[random.index(2)] += 1;
        Mixture { weights }
    }

    fn kind(&self, random: &mut Random) -> usize {
        let mut left = random.below(self.weights.iter().sum());
        let picks = |&weight: &u64| match left.checked_sub(weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        };
        self.weights.iter().position(picks).expect("the number is below the sum")
    }

    /// A random command with values that no other command of the history writes.
    pub fn command(&self, keys: usize, fresh: &mut u64, random: &mut Random) -> Command {
        // Integers with room between them, so that INCR and APPEND make no value of another command.
        let value = |fresh: &mut u64| -> Text {
            *fresh += 1;
            Text::from((1000 + 20 * *fresh).to_string().into_bytes())
        };
        let key = random.index(keys);
        let other = (key + 1 + random.index(keys - 1)) % keys;
        let mut several = vec![key, other];
        if random.one_in(2) {
            several.extend((0..keys).find(|k| !several.contains(k)));
        }
        let mut pairs = |keys: Vec<usize>| keys.into_iter().map(|k| (k, value(fresh))).collect();
        match self.kind(random) {
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
            KINDS.. => unreachable!("no such kind"),
        }
    }
}

impl Command {
    /// The request's words.
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
        }
    }

    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Command::Get(_) | Command::Exists(_) | Command::MGet(_) | Command::DbSize | Command::ReadIndexed(_)
        )
    }

    /// What the command answers, and what it does to the values.
    pub fn apply(&self, state: &mut State) -> Value {
        match self {
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
