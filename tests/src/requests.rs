//! Random requests, for comparisons with a real redis-server, and how to compare and to shorten.
//!
//! The generator reads the rows: a request is made of the arguments that COMMAND DOCS tells, with words from small pools
//! (`words`), now and then damaged. A case is a sequence of requests that begins with a few keys of every type.
//!
//! Left out is what cannot be compared: cursors and random choices that change something, ids made of the clock, waiting
//! for replicas, how often values are shared. Every number that may end up as an expiry is so large or so small that
//! nothing expires while a case runs.

mod compare;
mod scripts;
mod words;

pub use compare::{KNOWN, Known, agree};
pub use scripts::Script;
pub use words::look_by_type;

use kv_core::command::{Argument, Flags, Group, Handler, Row, RowId, arguments_of, table};
use kv_core::resp::line;
use kv_core::structs::random::Random;
use words::{BEGIN, Sentence, damage, is_key, look, words_with_key};

/// Requests of a case, those included that ask what the others did; fewer where they are scripts.
const REQUESTS: usize = 300;
const WITH_SCRIPTS: usize = 80;
/// Databases that a case uses.
pub const DATABASES: usize = 2;

/// More cases than in the normal run, or another first seed: `KV_TESTS_CASES=10000`, `KV_TESTS_SEED=77`.
///
/// Panics: when the variable is no number.
pub fn setting(name: &str, normal: u64) -> u64 {
    std::env::var(name).map_or(normal, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[derive(Clone, Debug)]
pub enum Step {
    Select(usize),
    Request(Vec<Vec<u8>>),
    /// A request whose effect on a key is left to chance: its second word is another key, which is a copy of the one
    /// given, and is removed behind it.
    Chance(Vec<Vec<u8>>, Vec<u8>),
    Script(Box<Script>),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Step::Script(script) = self {
            return script.fmt(f);
        }
        for (index, words) in self.requests().iter().enumerate() {
            let words: Vec<String> = words.iter().map(|word| line::quote(word)).collect();
            write!(f, "{}{}", if index > 0 { "; " } else { "" }, words.join(" "))?;
        }
        Ok(())
    }
}

impl Step {
    /// The requests as they go over the wire.
    pub fn requests(&self) -> Vec<Vec<Vec<u8>>> {
        match self {
            Step::Select(db) => vec![vec![b"SELECT".to_vec(), db.to_string().into_bytes()]],
            Step::Request(words) => vec![words.clone()],
            Step::Script(script) => script.requests(),
            Step::Chance(words, key) => {
                let copy = words_with_key("COPY KEY", key).into_iter().chain([words[1].clone(), b"REPLACE".to_vec()]);
                vec![copy.collect(), words.clone(), words_with_key("DEL KEY", &words[1])]
            }
        }
    }
}

/// The commands on the store.
fn store_rows() -> impl Iterator<Item = &'static Row> {
    let rows = (0..table().len() as RowId).map(|id| table().row(id));
    rows.filter(|row| matches!(row.spec.handler, Handler::Store(_)) && !row.full_name.ends_with("|help"))
}

/// The rows to try: commands on the store that have an answer to compare.
fn rows() -> Vec<&'static Row> {
    // (Of functions there are none here; `functions.kvt` compares what is told of them.)
    const LEFT_OUT: &[&str] = &[
        "wait",
        "scan",
        "randomkey",
        "object|refcount",
        "object|idletime",
        "memory|usage",
        "dbsize",
        "watch",
        "function|dump",
        "function|list",
    ];
    // What waits would do so for ever (but streams without BLOCK do not): nobody else is there.
    let waits = |row: &Row| row.spec.flags.has(Flags::BLOCKING) && row.spec.group != Group::Stream;
    store_rows().filter(|row| is_known(row) && !waits(row) && !LEFT_OUT.contains(&row.full_name.as_str())).collect()
}

/// Keywords that redis-server 7.0.15 does not know, or with which it cannot be compared.
const NEWER: &[(&str, &[&str])] = &[
    ("bitop", &["DIFF", "DIFF1", "ANDOR", "ONE"]),
    ("hscan", &["NOVALUES"]),
    ("zrank", &["WITHSCORE"]),
    ("zrevrank", &["WITHSCORE"]),
    // Nobody else is there to wait for.
    ("xread", &["BLOCK"]),
    ("xreadgroup", &["BLOCK"]),
    // Ids of the present moment, and how much a node holds.
    ("xadd", &["*", "~", "KEEPREF", "DELREF", "ACKED"]),
    ("xtrim", &["~", "KEEPREF", "DELREF", "ACKED"]),
    // Which of the places that are near enough would be stored is left to chance.
    ("geosearchstore", &["ANY"]),
    ("georadius", &["ANY"]),
    ("georadiusbymember", &["ANY"]),
];

/// Takes out what Redis does not know.
fn prune(arguments: &mut Vec<Argument>, newer: &[&str]) {
    arguments.retain(|argument| argument.token.is_none_or(|token| !newer.contains(&token)));
    arguments.iter_mut().for_each(|argument| prune(&mut argument.arguments, newer));
}

fn arguments(row: &'static Row) -> Entry {
    let mut arguments = arguments_of(row.spec);
    for (_, newer) in NEWER.iter().filter(|(name, _)| *name == row.full_name) {
        prune(&mut arguments, newer);
    }
    (row, arguments)
}

/// Whether redis-server 7.0.15 has the command.
fn is_known(row: &Row) -> bool {
    row.spec.since.split('.').map(|part| part.parse().unwrap_or(0)).le([7, 0, 15])
}

/// A row with its arguments, as far as Redis knows them.
type Entry = (&'static Row, Vec<Argument>);

/// The rows by family, with their arguments, read once; a family is chosen as often as its weight says.
pub struct Grammar {
    families: Vec<(u64, Vec<Entry>)>,
    /// What a case begins with.
    begin: Vec<Vec<Vec<u8>>>,
    /// Requests about the session, for a server that has some.
    session: &'static [&'static str],
    /// Most requests are scripts.
    scripts: bool,
}

/// They answer the same to every client, and leave nothing behind that other requests would show.
const SESSION: &[&str] = &[
    "PING",
    "PING x",
    "PING x y",
    "ECHO \"\\x00\\r\\n\"",
    "ECHO",
    "SELECT 99",
    "SELECT x",
    "CLIENT GETNAME",
    "CLIENT SETNAME n",
    "CLIENT SETNAME \"n n\"",
    "CLIENT NO-EVICT ON",
    "CLIENT NO-EVICT x",
    "CLIENT NOSUCH",
    "CLIENT",
    "CLIENT KILL 1.2.3.4:5",
    "CLIENT UNPAUSE",
    "OBJECT",
    "OBJECT NOSUCH a",
    "OBJECT ENCODING",
    "OBJECT FREQ nokey",
    "OBJECT REFCOUNT nokey",
    "CONFIG NOSUCH",
    "CONFIG GET nosuch",
    "CONFIG SET nosuch 1",
    "CONFIG SET timeout",
    "COMMAND GETKEYS MSET a 1 b 2",
    "COMMAND GETKEYS GET",
    "COMMAND INFO get nosuch",
    "COMMAND NOSUCH",
    "MEMORY USAGE nokey",
    "MEMORY USAGE",
    "HELLO 9",
    "HELLO x",
    "HELLO 3 FOO",
    "AUTH x",
    "AUTH x y z",
    "TIME x",
    "LASTSAVE x",
    "WAIT 0 0",
    "WAIT x 0",
    "NOSUCH",
    "nosuch \"a b\" c",
    "\"\"",
];

/// Of which family a request is chosen how often.
const WEIGHTS: &[(Group, u64)] = &[
    (Group::Generic, 4),
    (Group::String, 3),
    (Group::Hyperloglog, 1),
    (Group::Bitmap, 2),
    (Group::Hash, 4),
    (Group::List, 4),
    (Group::Set, 4),
    (Group::SortedSet, 6),
    (Group::Geo, 2),
    (Group::Stream, 5),
    (Group::Server, 1),
    (Group::Connection, 1),
];

impl Grammar {
    /// Commands on the store alone.
    pub fn of_store() -> Grammar {
        Grammar::of(rows().into_iter().map(arguments).collect())
    }

    /// All commands on the store with all of their options, whether there is something to compare them with or not.
    pub fn of_all_of_store() -> Grammar {
        Grammar::of(store_rows().map(|row| (row, arguments_of(row.spec))).collect())
    }

    fn of(rows: Vec<Entry>) -> Grammar {
        let family = |&(group, weight): &(Group, u64)| {
            let rows: Vec<Entry> = rows.iter().filter(|(row, _)| row.spec.group == group).cloned().collect();
            (!rows.is_empty()).then_some((weight, rows))
        };
        let begin = BEGIN.iter().map(|line| line.split(' ').map(|word| word.into()).collect::<Vec<Vec<u8>>>());
        Grammar {
            families: WEIGHTS.iter().filter_map(family).collect(),
            begin: begin.collect(),
            session: &[],
            scripts: false,
        }
    }

    /// Those, and some about the session.
    pub fn of_server() -> Grammar {
        Grammar { session: SESSION, ..Grammar::of_store() }
    }

    /// A row of a family, the more often the more options it has.
    fn choose(&self, random: &mut Random) -> &Entry {
        let (_, rows) = by_weight(&self.families, |(weight, _)| *weight, random);
        by_weight(rows, |(row, _)| 4 + row.spec.syntax.matches(['[', '|']).count() as u64, random)
    }

    /// The case of that seed.
    pub fn case(&self, seed: u64) -> Vec<Step> {
        let random = &mut Random::new(seed);
        let mut steps: Vec<Step> = self.begin.iter().cloned().map(Step::Request).collect();
        while steps.len() < if self.scripts { WITH_SCRIPTS } else { REQUESTS } {
            if random.one_in(40) {
                steps.push(Step::Select(random.index(DATABASES)));
            } else if random.one_in(5) {
                let words = self.begin[random.index(self.begin.len())].clone();
                steps.push(Step::Request(words));
            } else if !self.session.is_empty() && random.one_in(15) {
                let line = self.session[random.index(self.session.len())];
                steps.push(Step::Request(line::split(line.as_bytes()).expect("balanced quotes")));
            } else if !self.session.is_empty() && random.one_in(20) {
                self.transaction(random, &mut steps);
            } else {
                self.request(random, &mut steps);
            }
        }
        steps
    }

    /// Requests between MULTI and EXEC, some of them with a watch in front; some transactions are begun, or ended, otherwise.
    fn transaction(&self, random: &mut Random, steps: &mut Vec<Step>) {
        let say = |steps: &mut Vec<Step>, line: &str| steps.push(Step::Request(vec![line.into()]));
        let begin = steps.len();
        if random.one_in(2) {
            let row = table().row(table().by_full_name(b"watch").expect("there is such a row"));
            steps.push(Step::Request(Sentence::say(row, &arguments_of(row.spec), random)));
            (0..random.index(3)).for_each(|_| self.request(random, steps));
        }
        if !random.one_in(15) {
            say(steps, "MULTI");
        }
        (0..random.index(5)).for_each(|_| self.request(random, steps));
        say(
            steps,
            match random.below(15) {
                0 => "DISCARD",
                1 => "MULTI",
                2 => "UNWATCH",
                _ => "EXEC",
            },
        );
        say(steps, "EXEC");
        say(steps, "UNWATCH");
        // Redis 7.0 knows no option of ZRANK, and refuses at once what is put in line since 7.2; its PFCOUNT touches.
        let differs = |words: &[Vec<u8>]| match words[0].to_ascii_lowercase().as_slice() {
            b"zrank" | b"zrevrank" => words.len() > 3,
            name => name == b"pfcount",
        };
        let mut line = steps.split_off(begin);
        for step in &mut line {
            // It is made known before: what is the server's is done behind what is the store's.
            if let Step::Script(script) = step {
                steps.extend(script.take_load().map(Step::Request));
            }
        }
        steps.extend(line.into_iter().filter(|step| !matches!(step, Step::Request(words) if differs(words))));
    }

    /// A request, and some that ask what it has done.
    fn request(&self, random: &mut Random, steps: &mut Vec<Step>) {
        if self.scripts && !random.one_in(3) {
            return steps.push(Step::Script(Box::new(self.script(random))));
        }
        let (row, arguments) = self.choose(random);
        // Seldom, or nothing else would be compared on more than an empty store.
        if row.full_name.starts_with("flush") && !random.one_in(30) {
            return;
        }
        let mut words = Sentence::say(row, arguments, random);
        if random.one_in(8) {
            damage(&mut words, row, random);
        }
        if self.scripts {
            scripts::with_one_text(&mut words, row.spec.group);
        }
        // What was put in front of the name is no longer that command.
        let keys: Vec<Vec<u8>> = words.iter().filter(|word| is_key(word)).cloned().collect();
        if row.full_name == "spop" && words.len() > 1 {
            let key = std::mem::replace(&mut words[1], b"{t}copy".to_vec());
            return steps.push(Step::Chance(words, key));
        }
        steps.push(Step::Request(words));
        if !row.spec.flags.has(Flags::WRITE) {
            return;
        }
        // What a write has done shows only when somebody asks.
        for key in keys.iter().take(2) {
            let words = match random.below(8) {
                0..4 => look(key),
                4 => words_with_key("PTTL KEY", key),
                5 => words_with_key("OBJECT ENCODING KEY", key),
                _ => continue,
            };
            steps.push(Step::Request(words));
        }
    }
}

fn by_weight<'a, T>(items: &'a [T], weight: impl Fn(&T) -> u64, random: &mut Random) -> &'a T {
    let mut left = random.below(items.iter().map(&weight).sum());
    let chosen = items.iter().find(|item| match left.checked_sub(weight(item)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    chosen.expect("weights add up")
}

/// The steps that are needed for `fails` to say that something is wrong; it says so of all of them.
pub fn shortest<S: Clone>(mut steps: Vec<S>, mut fails: impl FnMut(&[S]) -> bool) -> Vec<S> {
    // Long runs first: what comes behind the difference, and most of what comes before.
    let mut run = steps.len().div_ceil(2);
    while run > 0 {
        let mut end = steps.len();
        while end > 0 {
            let start = end.saturating_sub(run);
            let fewer = [&steps[..start], &steps[end..]].concat();
            if fails(&fewer) {
                steps = fewer;
            }
            end = start.min(steps.len());
        }
        run /= 2;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_with_commands_on_the_store_is_compared() {
        for row in rows() {
            let group = row.spec.group;
            assert!(
                WEIGHTS.iter().any(|&(compared, _)| compared == group),
                "{}: how often is {group:?}?",
                row.full_name
            );
        }
    }

    #[test]
    fn a_sentence_of_a_row_is_mostly_right() {
        let grammar = Grammar::of_store();
        let random = &mut Random::new(5);
        let mut lengths = std::collections::BTreeMap::new();
        for _ in 0..20_000 {
            let (row, arguments) = grammar.choose(random);
            let words = Sentence::say(row, arguments, random);
            assert!(row.spec.arity.accepts(words.len()), "{} words for {}", words.len(), row.full_name);
            let range = lengths.entry(&row.full_name).or_insert((words.len(), words.len()));
            *range = (words.len().min(range.0), words.len().max(range.1));
        }
        assert_eq!(lengths[&"get".to_string()], (2, 2));
        assert_eq!(lengths[&"mget".to_string()], (2, 5));
        assert_eq!(lengths[&"mset".to_string()], (3, 9));
        assert_eq!(lengths[&"set".to_string()], (3, 7));
    }
}
