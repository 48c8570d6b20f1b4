//! Random requests, for comparisons with a real redis-server, and how to compare and to shorten.
//!
//! The generator reads the rows: a request is a sentence of the row's syntax with words from small pools, now and then
//! damaged. A case is a sequence of requests on an empty store.
//!
//! Left out is what cannot be compared: cursors and random choices, waiting for replicas, how often values are shared.
//! Every number that may end up as an expiry is so large or so small that nothing expires while a case runs.

use kv_core::command::{Argument, ArgumentKind, Found, Group, Handler, Row, RowId, arguments_of, table};
use kv_core::families::testing::show;
use kv_core::resp::client::Value;
use kv_core::resp::line;
use kv_core::structs::random::Random;

/// Requests of a case, those included that ask what the others did.
const REQUESTS: usize = 300;
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
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Select(db) => write!(f, "SELECT {db}"),
            Step::Request(words) => {
                let words: Vec<String> = words.iter().map(|word| line::quote(word)).collect();
                f.write_str(&words.join(" "))
            }
        }
    }
}

impl Step {
    /// The request as it goes over the wire.
    pub fn words(&self) -> Vec<Vec<u8>> {
        match self {
            Step::Select(db) => vec![b"SELECT".to_vec(), db.to_string().into_bytes()],
            Step::Request(words) => words.clone(),
        }
    }
}

/// The families that are compared.
const FAMILIES: &[Group] =
    &[Group::Generic, Group::String, Group::Hyperloglog, Group::Bitmap, Group::Set, Group::Server, Group::Connection];

/// The rows to try: commands on the store that have an answer to compare.
fn rows() -> Vec<&'static Row> {
    const LEFT_OUT: &[&str] = &[
        "wait",
        "scan",
        "randomkey",
        "object|help",
        "object|refcount",
        "object|idletime",
        "memory|usage",
        "dbsize",
        "spop",
        "sscan",
    ];
    (0..table().len() as RowId)
        .map(|id| table().row(id))
        .filter(|row| matches!(row.spec.handler, Handler::Store(_)) && FAMILIES.contains(&row.spec.group))
        .filter(|row| is_known(row) && !LEFT_OUT.contains(&row.full_name.as_str()))
        .collect()
}

/// Keywords that redis-server 7.0.15 does not know.
const NEWER: &[(&str, &[&str])] = &[("bitop", &["DIFF", "DIFF1", "ANDOR", "ONE"])];

/// Takes out what Redis does not know.
fn prune(arguments: &mut Vec<Argument>, newer: &[&str]) {
    arguments.retain(|argument| argument.token.is_none_or(|token| !newer.contains(&token)));
    arguments.iter_mut().for_each(|argument| prune(&mut argument.arguments, newer));
}

/// The arguments of a row, as far as Redis knows them.
fn arguments(row: &'static Row) -> (&'static Row, Vec<Argument>) {
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

/// Appends words for one argument after the other.
fn say_all(arguments: &[Argument], random: &mut Random, out: &mut Vec<Vec<u8>>) {
    arguments.iter().for_each(|argument| say(argument, random, out));
}

/// Appends words for an argument; one that may be left out is so half of the time.
fn say(argument: &Argument, random: &mut Random, out: &mut Vec<Vec<u8>>) {
    if argument.optional && random.one_in(2) {
        return;
    }
    let times = if argument.multiple { 1 + random.below(4) } else { 1 };
    for time in 0..times {
        if let Some(token) = argument.token
            && (time == 0 || argument.multiple_token)
        {
            out.push(keyword(token, random));
        }
        match argument.kind {
            ArgumentKind::PureToken => {}
            ArgumentKind::OneOf => say(&argument.arguments[random.index(argument.arguments.len())], random, out),
            ArgumentKind::Block => say_all(&argument.arguments, random, out),
            _ => out.push(fill_in(argument, random)),
        }
    }
}

/// A keyword, now and then in lower case.
fn keyword(word: &str, random: &mut Random) -> Vec<u8> {
    if random.one_in(4) { word.to_lowercase() } else { word.to_string() }.into_bytes()
}

fn pick<'a>(pool: &[&'a str], random: &mut Random) -> &'a str {
    pool[random.index(pool.len())]
}

/// The last two are seldom: most requests are to meet.
const KEYS: &[&[u8]] = &[b"a", b"b", b"{t}c", b"{t}d", b"h1", b"h2", b"\0\xff\r\n", &[b'k'; 300]];

/// A word for a placeholder.
fn fill_in(argument: &Argument, random: &mut Random) -> Vec<u8> {
    const VALUES: &[&str] = &[
        "",
        "x",
        "abc",
        "77777777",
        "-5",
        "3.5",
        "01",
        "9223372036854775807",
        "a longer text, of 45 bytes \
        to be exact ......",
        "HYLL",
        "\r\n\0",
    ];
    const ODD_SPANS: &[&str] = &["0", "-1", "100000", "9223372036854775807", "9223372036854775"];
    const MOMENTS: &[&str] =
        &["99999999999999", "99999999999999", "88888888888888", "88888888888888", "99999999999", "100000", "-1"];
    const NUMBERS: &[&str] = &["0", "1", "-1", "2", "5", "-7", "100", "9223372036854775807", "-9223372036854775808"];
    const DECIMALS: &[&str] = &["0", "1.5", "-0.1", "0.2", "1e3", "3", "1e-7", "inf", "5.0e3", "123456789.123456789"];
    const FIELDS: &[&str] = &["u8", "i8", "u1", "i3", "u16", "i64", "u63", "i33", "u64", "x8"];
    const PATTERNS: &[&str] = &["*", "a", "?", "[a-c]", "*t*", "[^a]", "{t}*", "x*", "\\a"];
    let text = match argument.name.as_str() {
        "key" | "key1" | "key2" | "newkey" | "source" | "destination" | "destkey" | "sourcekey" => {
            // Some keys more often than others, so that requests meet.
            return KEYS[random.index(KEYS.len()).min(random.index(KEYS.len()))].to_vec();
        }
        "value" | "element" => pick(VALUES, random),
        "seconds" | "milliseconds" if random.one_in(3) => pick(ODD_SPANS, random),
        // So far apart that GT and LT see the same order however long the requests between have taken.
        "seconds" => return (200_000 + 20 * random.below(1_000_000)).to_string().into_bytes(),
        "milliseconds" => return (200_000_000 + 20_000 * random.below(1_000_000)).to_string().into_bytes(),
        "unix-time-seconds" | "unix-time-milliseconds" => pick(MOMENTS, random),
        "increment" | "decrement" if random.one_in(2) => pick(DECIMALS, random),
        "offset" if random.one_in(4) => pick(&["#0", "#1", "#3", "#x", "7", "100"], random),
        "increment" | "decrement" => pick(NUMBERS, random),
        "bit" => pick(&["0", "1", "1", "0", "2"], random),
        "pattern" => pick(PATTERNS, random),
        "db" | "destination-db" | "index1" | "index2" => pick(&["0", "1", "2", "16", "-1"], random),
        "encoding" => pick(FIELDS, random),
        _ if argument.kind == ArgumentKind::Integer => pick(NUMBERS, random),
        _ => pick(VALUES, random),
    };
    text.as_bytes().to_vec()
}

/// What makes a request wrong, or another one.
fn damage(words: &mut Vec<Vec<u8>>, name_words: usize, random: &mut Random) {
    const ODD: &[&str] =
        &["", "abc", "1.5", "+1", " 1", "NX", "XX", "GT", "LT", "EX", "PX", "GET", "KEEPTTL", "9223372036854775808"];
    let last = words.len();
    let at = name_words + random.index(last - name_words + 1);
    match random.below(4) {
        0 if at < last => drop(words.remove(at)),
        1 if at < last => words[at] = pick(ODD, random).into(),
        2 if last - name_words >= 2 => {
            let other = name_words + random.index(last - name_words);
            words.swap(at.min(last - 1), other);
        }
        _ => words.insert(at, pick(ODD, random).into()),
    }
}

/// The rows with their syntax, read once.
pub struct Grammar {
    rows: Vec<(&'static Row, Vec<Argument>)>,
    /// Requests about the session, for a server that has some.
    session: &'static [&'static str],
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

impl Grammar {
    /// Commands on the store alone.
    pub fn of_store() -> Grammar {
        let rows = rows().into_iter().map(arguments).collect();
        Grammar { rows, session: &[] }
    }

    /// Those, and some about the session.
    pub fn of_server() -> Grammar {
        Grammar { session: SESSION, ..Grammar::of_store() }
    }

    /// A row, the more often the more options it has.
    fn choose(&self, random: &mut Random) -> &(&'static Row, Vec<Argument>) {
        let weight = |row: &Row| 2 + row.spec.syntax.matches(['[', '|']).count() as u64;
        let mut left = random.below(self.rows.iter().map(|(row, _)| weight(row)).sum());
        let chosen = self.rows.iter().find(|(row, _)| match left.checked_sub(weight(row)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        chosen.expect("weights add up")
    }

    /// The case of that seed.
    pub fn case(&self, seed: u64) -> Vec<Step> {
        let random = &mut Random::new(seed);
        let request = |line: &str| Step::Request(line.split(' ').map(|word| word.into()).collect());
        let mut steps = vec![request("SET a 12 EX 500000"), request("SETEX b 600000 text"), request("PFADD h1 x y z")];
        while steps.len() < REQUESTS {
            if random.one_in(30) {
                steps.push(Step::Select(random.index(DATABASES)));
                continue;
            }
            if !self.session.is_empty() && random.one_in(12) {
                let line = self.session[random.index(self.session.len())];
                steps.push(Step::Request(line::split(line.as_bytes()).expect("balanced quotes")));
                continue;
            }
            let (row, arguments) = self.choose(random);
            // Seldom, or nothing else would be compared on more than an empty store.
            if row.full_name.starts_with("flush") && !random.one_in(10) {
                continue;
            }
            let mut words: Vec<Vec<u8>> = row.full_name.split('|').map(|word| word.as_bytes().to_vec()).collect();
            say_all(arguments, random, &mut words);
            if random.one_in(6) {
                damage(&mut words, row.name_words, random);
            }
            // HyperLogLogs are strings: their commands have to meet one now and then.
            if row.spec.group == Group::Hyperloglog && random.one_in(2) && words.len() > 1 {
                words[1] = pick(&["h1", "h2"], random).into();
            }
            // What a write has done shows only when somebody asks.
            let asked: Vec<Vec<u8>> = words.iter().filter(|word| KEYS.contains(&word.as_slice())).cloned().collect();
            steps.push(Step::Request(words));
            for key in asked.into_iter().take(2) {
                for name in ["PTTL", "GET", "OBJECT ENCODING"] {
                    let mut words: Vec<Vec<u8>> = name.split(' ').map(|word| word.into()).collect();
                    words.push(key.clone());
                    steps.push(Step::Request(words));
                }
            }
        }
        steps
    }
}

/// A difference that is meant.
pub struct Known {
    /// The first word of the request; none: any.
    pub command: Option<&'static str>,
    /// Whether our reply and Redis's, in the short form, show it.
    pub fits: fn(&str, &str) -> bool,
    /// How its line in docs/compatibility.md begins.
    pub line: &'static str,
}

/// All that the random requests meet.
#[rustfmt::skip] // a table
pub const KNOWN: &[Known] = &[
    Known {
        command: Some("object"),
        fits: |ours, theirs| ours == "\"int\"" && theirs == "\"embstr\"",
        line: "| `OBJECT ENCODING` after `INCRBYFLOAT` made a whole number |",
    },
    Known {
        command: Some("object"),
        fits: |ours, theirs| ours == "\"listpack\"" && theirs == "\"hashtable\"",
        line: "| `OBJECT ENCODING` of a small set that is not of integers alone |",
    },
    Known {
        command: Some("bitcount"),
        fits: |ours, theirs| ours.starts_with("-ERR ") && (theirs == ":0" || theirs.starts_with("-WRONGTYPE ")),
        line: "| `BITCOUNT` and `BITPOS` of a missing key or another type, with words they cannot read |",
    },
    Known {
        command: Some("bitpos"),
        fits: |ours, theirs| ours.starts_with("-ERR ") && (matches!(theirs, ":0" | ":-1") || theirs.starts_with("-WRONGTYPE ")),
        line: "| `BITCOUNT` and `BITPOS` of a missing key or another type, with words they cannot read |",
    },
    Known {
        command: None,
        fits: |ours, theirs| theirs.starts_with("-ERR ") && ours.strip_prefix(theirs).is_some_and(|rest| rest.starts_with('\0')),
        line: "| an error that quotes a word with a zero byte |",
    },
];

/// Whether a command's row says that the order of its reply is free.
fn order_is_free(name: &str) -> bool {
    matches!(table().find(name.as_bytes(), None), Found::Row(id)
        if table().row(id).spec.tips.contains(&"nondeterministic_output_order"))
}

/// Whether two replies mean the same. Spans shrink while a case runs, some orders are free, and chance chooses as it likes.
pub fn agree(name: &str, ours: &Value, theirs: &Value) -> bool {
    let len = |value: &Value| match value {
        Value::Array(values) => Some(values.len()),
        Value::Bulk(_) => Some(1),
        _ => None,
    };
    match (ours, theirs) {
        _ if name == "srandmember" && len(ours).is_some() => len(ours) == len(theirs),
        (Value::Int(ours), Value::Int(theirs)) if matches!(name, "ttl" | "pttl" | "expiretime" | "pexpiretime") => {
            ours.abs_diff(*theirs) <= if name.starts_with('p') { 5000 } else { 5 } && (*ours < 0) == (*theirs < 0)
        }
        (Value::Array(ours), Value::Array(theirs)) | (Value::Set(ours), Value::Set(theirs)) if order_is_free(name) => {
            let sorted = |values: &[Value]| {
                let mut shown: Vec<String> = values.iter().map(show).collect();
                shown.sort();
                shown
            };
            sorted(ours) == sorted(theirs)
        }
        _ => {
            ours == theirs
                || KNOWN.iter().any(|known| {
                    known.command.is_none_or(|command| command == name) && (known.fits)(&show(ours), &show(theirs))
                })
        }
    }
}

/// The steps that are needed for `fails` to say that something is wrong; it says so of all of them.
pub fn shortest(mut steps: Vec<Step>, mut fails: impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    let mut at = steps.len();
    while at > 0 {
        at -= 1;
        let mut fewer = steps.clone();
        fewer.remove(at);
        if fails(&fewer) {
            steps = fewer;
            at = at.min(steps.len());
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_of_a_row_is_mostly_right() {
        let grammar = Grammar::of_store();
        let random = &mut Random::new(5);
        let mut lengths = std::collections::BTreeMap::new();
        for _ in 0..5_000 {
            let (row, arguments) = grammar.choose(random);
            let mut words = row.full_name.split('|').map(|word| word.as_bytes().to_vec()).collect();
            say_all(arguments, random, &mut words);
            assert!(row.spec.arity.accepts(words.len()), "{} words for {}", words.len(), row.full_name);
            let range = lengths.entry(&row.full_name).or_insert((words.len(), words.len()));
            *range = (words.len().min(range.0), words.len().max(range.1));
        }
        assert_eq!(lengths[&"get".to_string()], (2, 2));
        assert_eq!(lengths[&"mget".to_string()], (2, 5));
        assert_eq!(lengths[&"mset".to_string()], (3, 9));
        assert_eq!(lengths[&"set".to_string()], (3, 7));
        assert_eq!(lengths[&"sinterstore".to_string()], (3, 6));
    }
}
