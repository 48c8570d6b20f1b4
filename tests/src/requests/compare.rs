//! Whether two replies to the same request mean the same: in the same order where Redis promises one, of the same form
//! where chance decides, and, if not, whether the difference is one that is meant.

use kv_core::command::{Found, table};
use kv_core::families::testing::show;
use kv_core::resp::client::Value;
use kv_core::resp::number;

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
        fits: |ours, theirs| ours == "\"listpack\"" && theirs == "\"quicklist\"",
        line: "| `OBJECT ENCODING` of a small list |",
    },
    Known {
        command: Some("object"),
        fits: |ours, theirs| ours == "\"listpack\"" && theirs == "\"hashtable\"",
        line: "| `OBJECT ENCODING` of a small set that is not of integers alone |",
    },
    Known {
        command: Some("xadd"),
        fits: |ours, theirs| ours.contains("equal or smaller") && theirs.contains("too large to be stored"),
        line: "| `XADD` with `ms-*` when the last id has the greatest number of that moment |",
    },
    Known {
        command: Some("xgroup"),
        fits: |ours, theirs| ours == ":0" && theirs == ":1",
        line: "| `XCLAIM` and `XAUTOCLAIM` that find nothing to claim |",
    },
    Known {
        command: None,
        fits: |ours, theirs| ours.starts_with("-NOGROUP ") && theirs.starts_with("-NOGROUP ") && ours.contains('\0'),
        line: "| an error that quotes a word with a zero byte |",
    },
    Known {
        command: Some("zrank"),
        fits: |ours, theirs| ours == "-ERR syntax error" && theirs.starts_with("-ERR wrong number of arguments"),
        line: "| `ZRANK` and `ZREVRANK` with `WITHSCORE` |",
    },
    Known {
        command: Some("zrevrank"),
        fits: |ours, theirs| ours == "-ERR syntax error" && theirs.starts_with("-ERR wrong number of arguments"),
        line: "| `ZRANK` and `ZREVRANK` with `WITHSCORE` |",
    },
    Known {
        command: Some("object"),
        fits: |ours, theirs| ours == "\"listpack\"" && theirs == "\"skiplist\"",
        line: "| `OBJECT ENCODING` of a small sorted set that was sorted by `SORT` |",
    },
    Known {
        command: Some("object"),
        fits: |ours, theirs| ours == "\"skiplist\"" && theirs == "\"listpack\"",
        line: "| `OBJECT ENCODING` after `ZADD` of more pairs than a packed sorted set may have |",
    },
    Known {
        command: Some("sort"),
        fits: |ours, theirs| ours.contains("can't be converted") != theirs.contains("can't be converted"),
        line: "| `SORT` of numbers, some time after another client's request had an error |",
    },
    Known {
        command: Some("sort_ro"),
        fits: |ours, theirs| ours.contains("can't be converted") != theirs.contains("can't be converted"),
        line: "| `SORT` of texts with a zero byte |",
    },
    Known {
        command: Some("sort"),
        fits: |ours, theirs| ours.contains("\\x00") && sorted_text(ours) == sorted_text(theirs),
        line: "| `SORT` of texts with a zero byte |",
    },
    Known {
        command: Some("sort_ro"),
        fits: |ours, theirs| ours.contains("\\x00") && sorted_text(ours) == sorted_text(theirs),
        line: "| `SORT` of texts with a zero byte |",
    },
    Known {
        command: Some("eval"),
        fits: |ours, theirs| ours.contains("nan") && ours == theirs.replace("-nan", "nan"),
        line: "| a script's `{double = 0/0}` |",
    },
    Known {
        command: Some("lpos"),
        fits: |ours, _| ours.starts_with("-ERR value is out of range, value must between"),
        line: "| `LPOS` with `RANK -9223372036854775808` |",
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
        command: Some("lpos"),
        fits: |ours, theirs| ours.starts_with("-ERR value is out of range, value must between -9223372036854775807") && !theirs.starts_with("-ERR"),
        line: "| `LPOS` with a `RANK` of -9223372036854775808 |",
    },
    Known {
        command: Some("pfadd"),
        fits: |ours, theirs| ours.starts_with("-INVALIDOBJ") && theirs.starts_with(':'),
        line: "| `PFADD` to a damaged HyperLogLog |",
    },
    Known {
        command: None,
        fits: |ours, theirs| theirs.starts_with("-ERR ") && ours.strip_prefix(theirs).is_some_and(|rest| rest.starts_with('\0')),
        line: "| an error that quotes a word with a zero byte |",
    },
];

fn sorted_text(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.sort_unstable();
    bytes
}

/// In which order elements stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Told,
    /// None is promised.
    Free,
    /// The same, of runs of so many, such as keys and values by turns.
    FreeRuns(usize),
    /// Elements from an order that nobody promises: only how many there are is compared.
    Number,
    /// Which comes last is left to chance where several places are equally far.
    Nearest,
    /// Chance has chosen them: the form and the number are compared.
    Chance,
}

fn order_of(name: &str, words: &[Vec<u8>]) -> Order {
    let says = |keyword: &str| words.iter().any(|word| is(word, keyword));
    match name {
        "hgetall" => Order::FreeRuns(2),
        "spop" | "srandmember" | "hrandfield" | "zrandmember" => Order::Chance,
        "geosearch" | "georadius" | "georadius_ro" | "georadiusbymember" | "georadiusbymember_ro" => {
            if says("ANY") {
                Order::Chance
            } else if says("COUNT") {
                Order::Nearest
            } else if says("ASC") || says("DESC") {
                Order::Told
            } else {
                Order::Free
            }
        }
        "sort" | "sort_ro" if leaves_order_open(words) => match words.iter().filter(|word| is(word, "GET")).count() {
            _ if says("LIMIT") => Order::Number,
            gets => Order::FreeRuns(gets.max(1)),
        },
        _ if is_free(name) => Order::Free,
        _ => Order::Told,
    }
}

/// What a script may see of an answer, when it is to do the same with both servers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    ToTheLetter,
    InAnyOrder,
    /// Whether it is nothing, an error, something.
    OfAKind,
    /// Not even that: it is one that may differ.
    Open,
}

/// The same for a command by its full name.
pub fn answer_of(name: &str, words: &[Vec<u8>]) -> Answer {
    let says = |keyword: &str| words.iter().any(|word| is(word, keyword));
    match name {
        "bitcount" | "bitpos" | "pfadd" => Answer::Open,
        // Which of those that are equally far are stored is left to chance.
        "geosearchstore" | "georadius" | "georadiusbymember" if says("COUNT") => Answer::Open,
        "lpos" if says("-9223372036854775808") => Answer::Open,
        "zrank" | "zrevrank" if words.len() > 3 => Answer::Open,
        "xadd" if words.iter().any(|word| word.ends_with(b"-*")) => Answer::Open,
        // Which texts are numbers to it is not the same everywhere.
        "sort" | "sort_ro" if !says("ALPHA") => Answer::Open,
        "ttl" | "pttl" | "expiretime" | "pexpiretime" | "xpending" | "object|encoding" => Answer::OfAKind,
        "sscan" | "hscan" | "zscan" | "geopos" | "geodist" => Answer::OfAKind,
        _ if name.starts_with("xinfo|") || name.starts_with("xgroup|") => Answer::OfAKind,
        _ => match order_of(name, words) {
            // It takes others away.
            Order::Chance if name == "spop" => Answer::Open,
            Order::Told => Answer::ToTheLetter,
            Order::Free | Order::FreeRuns(_) if !name.starts_with("geo") => Answer::InAnyOrder,
            _ => Answer::OfAKind,
        },
    }
}

fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

/// Whether Redis promises no order of what this SORT sorts: it takes the elements of a set as they come, or by texts of which
/// several are equal or missing.
pub fn leaves_order_open(words: &[Vec<u8>]) -> bool {
    let by = words.windows(2).filter(|pair| is(&pair[0], "BY"));
    by.into_iter().any(|pair| !pair[1].contains(&b'*') || words.iter().any(|word| is(word, "ALPHA")))
}

/// Whether the row says that the order is free.
fn is_free(name: &str) -> bool {
    matches!(table().find(name.as_bytes(), None), Found::Row(id)
        if table().row(id).spec.tips.contains(&"nondeterministic_output_order"))
}

/// Whether the two replies to a request mean the same.
pub fn agree(words: &[Vec<u8>], ours: &Value, theirs: &Value) -> bool {
    let name = String::from_utf8_lossy(&words[0]).to_lowercase();
    // By whichever name a script is run.
    let name = if name.starts_with("eval") { "eval".into() } else { name };
    means_the_same(&name, words, ours, theirs)
        || KNOWN.iter().any(|known| {
            known.command.is_none_or(|command| command == name) && (known.fits)(&show(ours), &show(theirs))
        })
}

fn means_the_same(name: &str, words: &[Vec<u8>], ours: &Value, theirs: &Value) -> bool {
    match (name, ours, theirs) {
        // Spans shrink while a case runs.
        ("ttl" | "pttl" | "expiretime" | "pexpiretime", Value::Int(ours), Value::Int(theirs)) => {
            ours.abs_diff(*theirs) <= if name.starts_with('p') { 15_000 } else { 15 } && (*ours < 0) == (*theirs < 0)
        }
        ("xinfo" | "xpending", ..) => same(Order::Told, &without_time(ours), &without_time(theirs)),
        ("sscan" | "hscan" | "zscan", Value::Array(ours), Value::Array(theirs)) => same_scan(name, words, ours, theirs),
        _ => same(order_of(name, words), ours, theirs),
    }
}

/// What is told of a stream but for what the time has a part in, and what docs/compatibility.md says to be different:
/// fields of later versions, lags, nodes, and consumers to whom nothing was given.
fn without_time(value: &Value) -> Value {
    const LATER: &[&[u8]] = &[b"active-time", b"inactive"];
    const DIFFERENT: &[&[u8]] =
        &[b"idle", b"seen-time", b"radix-tree-keys", b"radix-tree-nodes", b"entries-read", b"lag", b"consumers"];
    let name = |value: &Value, names: &[&[u8]]| value.bytes().is_some_and(|bytes| names.contains(&bytes));
    match value {
        Value::Map(pairs) => {
            let pairs = pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect();
            without_time(&Value::Array(pairs))
        }
        Value::Array(values) if values.iter().any(|value| name(value, &[b"name", b"length"])) => {
            let pairs = values.chunks(2).filter(|pair| !name(&pair[0], LATER));
            let told = pairs.flat_map(|pair| match pair {
                [key, _] if name(key, DIFFERENT) => vec![key.clone(), Value::Nil],
                pair => pair.iter().map(without_time).collect(),
            });
            Value::Array(told.collect())
        }
        // An entry that is pending: id, consumer, how long, how often.
        Value::Array(values) if values.len() == 4 && matches!(values[2], Value::Int(_)) => {
            let told = values.iter().enumerate().map(|(index, value)| match value {
                Value::Int(idle) if index == 2 => Value::Int(idle / 100_000),
                value => value.clone(),
            });
            Value::Array(told.collect())
        }
        Value::Array(values) => {
            let nothing = [Value::Bulk(b"pending".to_vec()), Value::Int(0)];
            let told = values.iter().map(without_time);
            Value::Array(
                told.filter(|value| !matches!(value, Value::Array(v) if v.windows(2).any(|w| w == nothing))).collect(),
            )
        }
        // A moment.
        Value::Int(ms) if *ms > 1_000_000_000_000 => Value::Nil,
        value => value.clone(),
    }
}

/// A walk in one call has told the same; where it goes on is the server's own affair.
fn same_scan(name: &str, words: &[Vec<u8>], ours: &[Value], theirs: &[Value]) -> bool {
    let order = if name == "sscan" { Order::Free } else { Order::FreeRuns(2) };
    let end = Value::Bulk(b"0".to_vec());
    match (ours, theirs) {
        ([our_cursor, ours], [their_cursor, theirs])
            if words.get(2).is_some_and(|cursor| cursor == b"0") && *our_cursor == end && *their_cursor == end =>
        {
            same(order, ours, theirs)
        }
        ([_, Value::Array(_)], [_, Value::Array(_)]) => true,
        _ => false,
    }
}

fn same(order: Order, ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) | (Value::Set(ours), Value::Set(theirs)) => {
            ours.len() == theirs.len()
                && match order {
                    Order::Told => same_lists(ours, theirs),
                    Order::Free => same_lists(&sorted(ours, 1), &sorted(theirs, 1)),
                    Order::FreeRuns(width) => same_lists(&sorted(ours, width), &sorted(theirs, width)),
                    Order::Number => true,
                    Order::Nearest => {
                        let other =
                            |value: &&Value, values: &[Value]| !values.iter().any(|v| same(Order::Told, value, v));
                        ours.iter().filter(|value| other(value, theirs)).count() <= 1
                    }
                    Order::Chance => ours.iter().zip(theirs).all(|(ours, theirs)| same_form(ours, theirs)),
                }
        }
        (Value::Map(ours), Value::Map(theirs)) => {
            let flat = |pairs: &[(Value, Value)]| {
                Value::Array(pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect())
            };
            let order = if order == Order::Told { Order::Told } else { Order::FreeRuns(2) };
            same(order, &flat(ours), &flat(theirs))
        }
        _ if order == Order::Chance => same_form(ours, theirs),
        _ => same_value(ours, theirs),
    }
}

fn same_lists(ours: &[Value], theirs: &[Value]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(Order::Told, ours, theirs))
}

fn same_value(ours: &Value, theirs: &Value) -> bool {
    ours == theirs
        || match (ours, theirs) {
            (Value::Bulk(ours), Value::Bulk(theirs)) | (Value::Double(ours), Value::Double(theirs)) => {
                same_number(ours, theirs) || shows_more(ours, theirs)
            }
            (Value::Simple(ours), Value::Simple(theirs)) | (Value::Error(ours), Value::Error(theirs)) => {
                ends_at_zero(ours, theirs)
            }
            _ => false,
        }
}

/// Redis's text lacks what is behind a zero byte, up to where the error of a script is.
fn ends_at_zero(ours: &[u8], theirs: &[u8]) -> bool {
    let zero = ours.iter().position(|&byte| byte == 0);
    let rest = zero.and_then(|zero| theirs.strip_prefix(&ours[..zero]));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" script: ") && ours.ends_with(rest))
}

/// The same where a script has shown such a text, the zero byte of which is escaped then.
fn shows_more(ours: &[u8], theirs: &[u8]) -> bool {
    let zero = ours.windows(4).position(|window| window == b"\\000");
    zero.is_some_and(|zero| theirs.starts_with(&ours[..zero]) && ours[..zero].windows(3).any(|word| word == b"err"))
}

/// A double has the shortest form with us, as with Redis since 7.2, and 17 digits with 7.0.
fn same_number(ours: &[u8], theirs: &[u8]) -> bool {
    let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    match (number(ours), number(theirs)) {
        (Some(our), Some(their)) => {
            let is_double = theirs.iter().any(|byte| matches!(byte, b'.' | b'e'));
            our == their && is_double && ours == number::format_f64(our).as_bytes()
        }
        _ => false,
    }
}

/// Whether both are elements of the same kind.
fn same_form(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same_form(ours, theirs))
        }
        (Value::Bulk(_), Value::Bulk(_)) | (Value::Double(_), Value::Double(_)) => true,
        (ours, theirs) => ours == theirs,
    }
}

/// Elements, or runs of `width` of them, in an order of their own.
fn sorted(values: &[Value], width: usize) -> Vec<Value> {
    let mut runs: Vec<&[Value]> = values.chunks(width).collect();
    runs.sort_by_cached_key(|run| run.iter().map(show).collect::<Vec<_>>());
    runs.concat()
}
