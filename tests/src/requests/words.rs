//! What random requests are made of: keys of every type, and words for the placeholders in the rows' arguments.
//!
//! Most requests are to meet a key of their own type that is there, and most words are to mean something: so the pools
//! are small, and each has a few words that are wrong. A key keeps its type by its name as long as nobody renames it.

use super::compare::leaves_order_open;
use kv_core::command::{Argument, ArgumentKind, Group, Row};
use kv_core::structs::random::Random;

/// The keys of a family, those that are used most in front.
struct Pool {
    groups: &'static [Group],
    keys: &'static [&'static [u8]],
    /// What asks for all that such a key holds, the key being `KEY`.
    look: &'static str,
}

const STRINGS: &[&[u8]] = &[b"a", b"b", b"{t}c", b"{t}d", b"\xff\0\r\n", &[b'k'; 300]];

const LEX: &[&[u8]] = &[b"lex", b"{t}lex"];

const POOLS: &[Pool] = &[
    Pool { groups: &[Group::String, Group::Bitmap], keys: STRINGS, look: "GET KEY" },
    Pool { groups: &[Group::Hash], keys: &[b"hash", b"{t}hash", b"h\0h"], look: "HGETALL KEY" },
    Pool { groups: &[Group::List], keys: &[b"list", b"{t}list", b"list2"], look: "LRANGE KEY 0 -1" },
    Pool { groups: &[Group::Set], keys: &[b"set", b"{t}set", b"set2"], look: "SMEMBERS KEY" },
    Pool {
        groups: &[Group::SortedSet, Group::Geo],
        keys: &[b"z", b"{t}z", b"geo"],
        look: "ZRANGE KEY 0 -1 WITHSCORES",
    },
    Pool { groups: &[Group::Stream], keys: &[b"x", b"{t}x", b"x2"], look: "XRANGE KEY - +" },
    // Members of one score: no other command changes them, since ranges by member mean nothing among different scores.
    Pool { groups: &[], keys: LEX, look: "ZRANGE KEY 0 -1 WITHSCORES" },
    Pool { groups: &[Group::Hyperloglog], keys: &[b"h1", b"h2", b"{t}h"], look: "GET KEY" },
];

/// What a case begins with, and what comes again now and then, so that requests find something.
pub const BEGIN: &[&str] = &[
    "SET a 12 EX 500000",
    "SETEX b 600000 text",
    "PFADD h1 x y z",
    "RPUSH list a b c 1 2 3 a",
    "RPUSH {t}list x y",
    "SADD set a b c 1 2 3",
    "SADD {t}set 1 2 3 4",
    "HSET hash a 1 b text c 2.5 1 5 2 -7 3 x",
    "HSET {t}hash 1 one",
    "ZADD z 1 a 2 b 2.5 c 2.5 d -1 1",
    "ZADD {t}z 3 a 1 1 0 2",
    "ZADD lex 0 a 0 b 0 c 0 m2 0 m5 0 1",
    "ZADD {t}lex 5 a 5 b",
    "GEOADD geo 13.361389 38.115556 a 15.087269 37.502669 b",
    "XADD x 1-1 a 1 b 2",
    "XADD x 5-0 a 3",
    "XADD {t}x 3-3 c 1",
    "XGROUP CREATE x g1 0",
    "XREADGROUP GROUP g1 c1 COUNT 1 STREAMS x >",
];

fn pick<'a>(pool: &[&'a str], random: &mut Random) -> &'a str {
    pool[random.index(pool.len())]
}

/// Words that mean something, and others.
type Words = (&'static [&'static str], &'static [&'static str]);

fn mostly((usual, odd): Words, random: &mut Random) -> &'static str {
    if random.one_in(15) { pick(odd, random) } else { pick(usual, random) }
}

fn pool_of(group: Group, random: &mut Random) -> &'static Pool {
    let own = POOLS.iter().find(|pool| pool.groups.contains(&group));
    match own {
        Some(pool) if !random.one_in(20) => pool,
        _ => loop {
            let pool = &POOLS[random.index(POOLS.len())];
            if !pool.groups.is_empty() {
                return pool;
            }
        },
    }
}

/// A key for a command of that family. Some keys come more often than others, so that requests meet.
fn key(group: Group, random: &mut Random) -> Vec<u8> {
    let keys = pool_of(group, random).keys;
    keys[random.index(keys.len()).min(random.index(keys.len()))].to_vec()
}

/// Whether the word is one of the keys.
pub fn is_key(word: &[u8]) -> bool {
    POOLS.iter().any(|pool| pool.keys.contains(&word))
}

/// The request that asks for what a key should hold by its name.
pub fn look(key: &[u8]) -> Vec<Vec<u8>> {
    let pool = POOLS.iter().find(|pool| pool.keys.contains(&key)).unwrap_or(&POOLS[0]);
    words_with_key(pool.look, key)
}

/// The request that asks for what a key holds, TYPE having said `kind`.
pub fn look_by_type(kind: &str, key: &[u8]) -> Vec<Vec<u8>> {
    let at = ["string", "hash", "list", "set", "zset", "stream"].iter().position(|name| *name == kind);
    words_with_key(POOLS[at.unwrap_or_else(|| panic!("the type {kind}"))].look, key)
}

pub fn words_with_key(line: &str, key: &[u8]) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| if word == "KEY" { key.to_vec() } else { word.into() }).collect()
}

/// A request that comes into being.
pub struct Sentence<'a> {
    row: &'a Row,
    random: &'a mut Random,
    words: Vec<Vec<u8>>,
    /// Where the number of keys stands, and how many keys there are.
    numkeys: Option<usize>,
    keys: usize,
}

impl Sentence<'_> {
    /// Words that the arguments of a row allow.
    pub fn say(row: &Row, arguments: &[Argument], random: &mut Random) -> Vec<Vec<u8>> {
        let words = row.full_name.split('|').map(|word| word.as_bytes().to_vec()).collect();
        let mut sentence = Sentence { row, random, words, numkeys: None, keys: 0 };
        sentence.all(arguments);
        if let Some(at) = sentence.numkeys
            && !sentence.random.one_in(20)
        {
            sentence.words[at] = sentence.keys.to_string().into_bytes();
        }
        sentence.bounds();
        sentence.fields();
        sentence.stored_order();
        sentence.words
    }

    /// What SORT stores must not hang on an order that Redis leaves open: everything behind would differ.
    fn stored_order(&mut self) {
        if self.row.full_name == "sort" && leaves_order_open(&self.words) {
            while let Some(at) = self.words.iter().position(|word| word.eq_ignore_ascii_case(b"STORE")) {
                self.words.drain(at..(at + 2).min(self.words.len()));
            }
        }
    }

    /// How many fields there are is told in front of them, too.
    fn fields(&mut self) {
        let Some(at) = self.words.iter().position(|word| word.eq_ignore_ascii_case(b"FIELDS")) else { return };
        if self.row.spec.group != Group::Hash || self.random.one_in(20) {
            return;
        }
        let words = self.words.len() - at - 2;
        let count = if self.row.full_name == "hsetex" { words / 2 } else { words };
        self.words[at + 1] = count.to_string().into_bytes();
    }

    fn all(&mut self, arguments: &[Argument]) {
        arguments.iter().for_each(|argument| self.one(argument));
    }

    /// One that may be left out is so half of the time, if it is not the very matter.
    fn one(&mut self, argument: &Argument) {
        if argument.optional && self.random.one_in(if argument.multiple { 6 } else { 2 }) {
            return;
        }
        for time in 0..self.times(argument) {
            if let Some(token) = argument.token
                && (time == 0 || argument.multiple_token)
            {
                let token = if self.random.one_in(4) { token.to_lowercase() } else { token.to_string() };
                self.words.push(token.into_bytes());
            }
            match argument.kind {
                ArgumentKind::PureToken => {}
                ArgumentKind::OneOf => {
                    let chosen = self.random.index(argument.arguments.len());
                    self.one(&argument.arguments[chosen]);
                }
                ArgumentKind::Block => self.all(&argument.arguments),
                ArgumentKind::Key => {
                    self.keys += 1;
                    let key = self.key();
                    self.words.push(key);
                }
                _ => self.word(argument),
            }
        }
    }

    /// How often an argument comes. Now and then so many elements that the forms of small collections are left.
    fn times(&mut self, argument: &Argument) -> u64 {
        if !argument.multiple {
            return 1;
        }
        // XREAD wants as many ids as keys.
        if argument.name == "id" && self.row.full_name.starts_with("xread") {
            return self.keys as u64;
        }
        let has_key =
            argument.kind == ArgumentKind::Key || argument.arguments.iter().any(|a| a.kind == ArgumentKind::Key);
        let collects = matches!(
            self.row.spec.group,
            Group::Hash | Group::List | Group::Set | Group::SortedSet | Group::Geo | Group::Stream
        );
        if collects && !has_key && self.random.one_in(40) {
            return 20 + self.random.below(150);
        }
        1 + self.random.below(4)
    }

    fn key(&mut self) -> Vec<u8> {
        // SORT takes three types, ZUNION sets besides.
        let group = match (self.row.full_name.as_str(), self.row.spec.group) {
            ("sort" | "sort_ro", _) => [Group::List, Group::List, Group::Set, Group::SortedSet][self.random.index(4)],
            (name, Group::SortedSet)
                if name.starts_with("zunion") || name.starts_with("zinter") || name.starts_with("zdiff") =>
            {
                if self.random.one_in(6) { Group::Set } else { Group::SortedSet }
            }
            (_, group) => group,
        };
        key(group, self.random)
    }

    /// A word for a placeholder.
    fn word(&mut self, argument: &Argument) {
        if argument.name == "numkeys" {
            self.numkeys = Some(self.words.len());
        }
        let word = self.fill_in(argument);
        self.words.push(word);
    }

    fn fill_in(&mut self, argument: &Argument) -> Vec<u8> {
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
        const SPANS: Words = (&["0", "-1", "100000"], &["9223372036854775807", "9223372036854775"]);
        const MOMENTS: &[&str] =
            &["99999999999999", "99999999999999", "88888888888888", "88888888888888", "99999999999", "100000", "-1"];
        const NUMBERS: Words =
            (&["0", "1", "-1", "2", "5", "-7", "100"], &["9223372036854775807", "-9223372036854775808"]);
        const POSITIONS: Words = (
            &["0", "0", "1", "-1", "2", "-2", "3", "-3", "5", "50", "-50"],
            &["9223372036854775807", "-9223372036854775808", "x"],
        );
        const COUNTS: Words = (&["0", "1", "1", "2", "3", "5", "10", "100"], &["-1", "-3", "9223372036854775807", "x"]);
        const DECIMALS: &[&str] =
            &["0", "1.5", "-0.1", "0.2", "1e3", "3", "1e-7", "inf", "5.0e3", "123456789.123456789"];
        const SCORES: Words = (
            &["0", "1", "2", "3", "2.5", "-1", "1e3", "0.1", "-0.3", "17", "inf", "-inf"],
            &["+inf", "1e300", "-1e300", "nan", "x", "3.0e-310"],
        );
        const FIELDS: Words =
            (&["u8", "i8", "u1", "i3", "u16", "i64", "u63", "i33", "u2", "i17", "u24"], &["u64", "x8", "u0", "i65"]);
        const PATTERNS: &[&str] = &["*", "a", "?", "[a-c]", "*t*", "[^a]", "{t}*", "x*", "\\a", "*1*"];
        const BY: &[&str] = &["nosort", "a*", "*", "hash->*", "{t}hash->*", "w*", "#"];
        const IDS: Words = (
            &["0", "1-1", "2-1", "3", "3-3", "5-0", "6-*", "7-7", "9", "12-1", "20-0"],
            &["0-0", "0-1", "x", "-1", "1-1-1", "18446744073709551615-18446744073709551615"],
        );
        const DEGREES: Words = (
            &["13.361389", "15.087269", "2.3522", "0", "-0.1276", "38.1", "37.5", "48.85"],
            &["180", "-85.06", "86", "x"],
        );
        const LENGTHS: Words = (&["200", "1000", "10", "50000", "166.2742", "1e6"], &["0", "-1", "x"]);
        let random = &mut *self.random;
        let name = argument.name.as_str();
        let row = self.row.full_name.as_str();
        let group = self.row.spec.group;
        let text = match name {
            "field" | "member" | "member1" | "member2" | "pivot" | "element" if group != Group::Hyperloglog => {
                return member(random);
            }
            "value" | "element" if matches!(group, Group::Hash | Group::List) => return member(random),
            "encoding" => mostly(FIELDS, random),
            "value" | "element" if group != Group::Bitmap => pick(VALUES, random),
            "seconds" | "milliseconds" if random.one_in(3) => mostly(SPANS, random),
            // So far apart that GT and LT see the same order however long the requests between have taken.
            "seconds" => return (200_000 + 20 * random.below(1_000_000)).to_string().into_bytes(),
            "milliseconds" => return (200_000_000 + 20_000 * random.below(1_000_000)).to_string().into_bytes(),
            "unix-time-seconds" | "unix-time-milliseconds" => pick(MOMENTS, random),
            "score" => mostly(SCORES, random),
            "weight" => mostly((&["1", "2", "-1", "0.5"], &["0", "inf", "x"]), random),
            "increment" if row == "zincrby" => mostly(SCORES, random),
            "increment" | "decrement" if random.one_in(2) => pick(DECIMALS, random),
            "increment" | "decrement" => mostly(NUMBERS, random),
            "offset" if row.starts_with("bitfield") && random.one_in(2) => {
                mostly((&["#0", "#1", "#3", "#12", "#0"], &["#x", "#-1", "x"]), random)
            }
            "offset" if group == Group::Bitmap => {
                mostly((&["0", "1", "7", "8", "21", "100", "777"], &["-1", "4294967296", "x"]), random)
            }
            "value" if row == "setbit" => mostly((&["0", "1"], &["2"]), random),
            "bit" => mostly((&["0", "1"], &["2", "x"]), random),
            "longitude" | "latitude" => mostly(DEGREES, random),
            "radius" | "width" | "height" => mostly(LENGTHS, random),
            "group" => pick(&["g1", "g1", "g1", "g2", ""], random),
            "consumer" | "newconsumer" => pick(&["c1", "c1", "c2", "c3"], random),
            // Time goes on: nothing is to have waited for just so long.
            "min-idle-time" => mostly((&["0", "0", "100000000"], &["-1", "x"]), random),
            "ms" => mostly((&["0", "1000000"], &["-1", "x"]), random),
            "id" | "lastid" | "last-id" | "max-deleted-id" | "threshold" | "start" | "end"
                if group == Group::Stream =>
            {
                match name {
                    "start" | "end" if random.one_in(2) => pick(&["-", "+", "(1-1", "(3", "(-", "$"], random),
                    "threshold" if random.one_in(2) => mostly(COUNTS, random),
                    "id" if row == "xreadgroup" && !random.one_in(3) => ">",
                    // Neither + nor the greatest id: 7.0 does not know the one, and takes the other for >.
                    "id" if row.starts_with("xread") => {
                        pick(&["0", "1-1", "3", "5-0", "20-0", "$", ">", "-", "x"], random)
                    }
                    // An id is to be larger than those before it.
                    "id" if row == "xadd" && !random.one_in(3) => {
                        return format!("{}-{}", 5 + random.below(400), random.below(3)).into_bytes();
                    }
                    "id" if random.one_in(8) => pick(&["$", "-", ">", "+"], random),
                    _ => mostly(IDS, random),
                }
            }
            // A negative count asks for as many elements, whether there are so many or not.
            "count" if row.ends_with("randmember") || row == "hrandfield" => {
                mostly((&["0", "1", "2", "5", "100", "-1", "-3", "-20"], &["x", "9223372036854775807"]), random)
            }
            "cursor" => mostly((&["0"], &["x", ""]), random),
            "pattern" if row.starts_with("sort") => pick(BY, random),
            "pattern" => pick(PATTERNS, random),
            "db" | "destination-db" | "index1" | "index2" => pick(&["0", "1", "2", "16", "-1"], random),
            "count" | "limit" | "num-matches" | "rank" | "len" | "maxlen" | "numkeys" | "entries-added"
            | "entries-read" => mostly(COUNTS, random),
            "start" | "stop" | "end" | "index" | "offset" | "min" | "max"
                if !matches!(group, Group::String | Group::Bitmap) =>
            {
                mostly(POSITIONS, random)
            }
            // No lower ones: Redis saturates them at the wrong end.
            "value" if row == "bitfield" => {
                mostly((NUMBERS.0, &["-4611686018427387904", "-129", "300", "9223372036854775807"]), random)
            }
            _ if argument.kind == ArgumentKind::Integer || group == Group::Bitmap => mostly(NUMBERS, random),
            _ => pick(VALUES, random),
        };
        text.as_bytes().to_vec()
    }

    /// What lies between two bounds depends on the kind of the range, which is told behind them or by the name.
    fn bounds(&mut self) {
        const SCORES: Words =
            (&["-inf", "+inf", "0", "1", "(1", "2", "(2", "3", "2.5", "(2.5", "1e3"], &["(-inf", "x", "(", "nan", ""]);
        const BYTES: Words =
            (&["-", "+", "[a", "(a", "[b", "(c", "[m2", "(m5", "[1"], &["[", "(", "x", "", "[\u{ff}", "-a"]);
        // Which texts are numbers to SORT is not the same everywhere: no such difference is to be stored.
        if self.row.full_name == "sort" && self.words.iter().any(|word| word.eq_ignore_ascii_case(b"STORE")) {
            self.words.push(b"ALPHA".to_vec());
        }
        let at = match self.row.full_name.as_str() {
            "zrangestore" => 3,
            "zrange" | "zrangebyscore" | "zrevrangebyscore" | "zrangebylex" | "zrevrangebylex" | "zcount"
            | "zlexcount" | "zremrangebyscore" | "zremrangebylex" => 2,
            _ => return,
        };
        let name = self.row.full_name.as_str();
        let says = |word: &[u8]| self.words.iter().any(|other| other.eq_ignore_ascii_case(word));
        let by_member = name.contains("lex") || says(b"BYLEX");
        let by_score = says(b"BYSCORE") || !name.starts_with("zrange") || name == "zrangebyscore";
        let pool = match (by_member, by_score) {
            (true, _) => BYTES,
            (false, true) => SCORES,
            (false, false) => return,
        };
        if by_member {
            self.words[at - 1] = LEX[self.random.index(LEX.len())].to_vec();
        }
        for word in self.words[at..].iter_mut().take(2) {
            *word = mostly(pool, self.random).into();
        }
    }
}

/// An element, a member, a field.
fn member(random: &mut Random) -> Vec<u8> {
    const ODD: &[&str] = &[
        "",
        // (Redis's SORT sees what is in front of the zero: no number, and no other member.)
        "yy\0\u{ff}",
        "\r\n",
        "1.5",
        "01",
        "-0",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "5000000000",
        "a text of more than the sixty-four bytes that a small collection keeps packed",
    ];
    match random.below(10) {
        0..7 => pick(&["a", "b", "c", "1", "2", "3", "a", "1", "d", "-5", "70000"], random).into(),
        7 => format!("m{}", random.below(300)).into_bytes(),
        8 => random.below(300).to_string().into_bytes(),
        _ => pick(ODD, random).into(),
    }
}

/// What makes a request wrong, or another one.
pub fn damage(words: &mut Vec<Vec<u8>>, row: &Row, random: &mut Random) {
    const ODD: &[&str] = &[
        "+1",
        " 1",
        "",
        "abc",
        "1.5",
        "NX",
        "XX",
        "GT",
        "LT",
        "EX",
        "PX",
        "GET",
        "KEEPTTL",
        "COUNT",
        "LIMIT",
        "WITHSCORES",
        "9223372036854775808",
        "18446744073709551616",
    ];
    // Redis reads ids as C reads numbers, blanks and signs in front included.
    let odd = if row.spec.group == Group::Stream { &ODD[2..] } else { ODD };
    let name_words = row.name_words;
    let last = words.len();
    let at = name_words + random.index(last - name_words + 1);
    match random.below(4) {
        0 if at < last => drop(words.remove(at)),
        1 if at < last => words[at] = pick(odd, random).into(),
        2 if last - name_words >= 2 => {
            let other = name_words + random.index(last - name_words);
            words.swap(at.min(last - 1), other);
        }
        _ => words.insert(at, pick(odd, random).into()),
    }
}
