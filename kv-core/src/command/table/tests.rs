//! The rows hold together, and agree with what redis-server 7.0.15 says about the same commands.

use super::*;
use crate::command::{
    Arity, Begin, Find, Flags, KeySpec, LogAs, Spread, categories_of, keys_of, legacy_range, may_be_anywhere,
};
use std::collections::BTreeSet;

fn rows() -> impl Iterator<Item = &'static Row> {
    (0..table().len()).map(|id| table().row(id as RowId))
}

#[test]
fn every_row_is_found_by_its_name_in_any_case() {
    for (id, row) in rows().enumerate() {
        let id = id as RowId;
        assert_eq!(table().by_full_name(row.full_name.as_bytes()), Some(id), "{}", row.full_name);
        assert_eq!(table().by_full_name(row.full_name.to_uppercase().as_bytes()), Some(id), "{}", row.full_name);
        let words: Vec<&str> = row.full_name.split('|').collect();
        let second = words.get(1).map(|word| word.as_bytes());
        match table().find(words[0].as_bytes(), second) {
            Found::Row(found) => assert_eq!(found, id, "{}", row.full_name),
            Found::MissingSubcommand(found) => {
                assert_eq!(found, id, "{}", row.full_name);
                assert!(!row.subs.is_empty(), "{} is a container of nothing", row.full_name);
            }
            Found::UnknownCommand | Found::UnknownSubcommand(_) => panic!("{} is not found", row.full_name),
        }
    }
}

#[test]
fn what_is_logged_by_its_words_has_one_key() {
    for row in rows() {
        let is_write = row.spec.flags.has(Flags::WRITE);
        assert!(is_write || row.spec.log == LogAs::State, "{}: it writes nothing", row.full_name);
        // XREADGROUP says itself what it did, stream by stream.
        let one_key = row.single_key.is_some() || row.full_name == "xreadgroup";
        assert!(row.spec.log != LogAs::Words || one_key, "{}: a replay has one shard at a time", row.full_name);
    }
}

#[test]
fn no_name_is_found_that_is_no_command() {
    for name in
        [&b""[..], b"\0", b"GE", b"GETT", b"GET\0", b" GET", b"GET ", b"OBJECT ENCODING", &[b'A'; 16], &[b'A'; 300]]
    {
        assert!(matches!(table().find(name, None), Found::UnknownCommand), "{name:?}");
    }
    for sub in [&b""[..], b"ENCODIN", b"ENCODINGG", b"ENCODING\0", &[b'A'; 300]] {
        assert!(matches!(table().find(b"object", Some(sub)), Found::UnknownSubcommand(_)), "{sub:?}");
    }
}

#[test]
fn every_row_tells_what_a_reader_needs() {
    for row in rows() {
        let spec = row.spec;
        let name = &row.full_name;
        assert_eq!(spec.name, spec.name.to_uppercase(), "{name}: rows are named in upper case");
        assert!(spec.summary.ends_with('.'), "{name}: a summary is a sentence");
        assert!(spec.since.split('.').count() == 3, "{name}: since which version of Redis");
        assert!(!spec.complexity.is_empty(), "{name}: complexity");
        // QUIT takes words but wants none: only there a row may or may not have a syntax.
        match spec.arity {
            Arity::Exactly(n) if usize::from(n) == row.name_words => assert_eq!(spec.syntax, "", "{name}: syntax"),
            Arity::AtLeast(n) if usize::from(n) == row.name_words => {}
            _ => assert!(!spec.syntax.is_empty(), "{name}: syntax"),
        }
        assert!(
            !(spec.flags.has(Flags::WRITE) && spec.flags.has(Flags::READONLY)),
            "{name}: either writes or does not"
        );
    }
}

/// The fewest words of a request.
fn words_min(row: &Row) -> usize {
    row.spec.arity.as_redis().unsigned_abs() as usize
}

#[test]
fn keys_lie_within_the_fewest_words_a_request_may_have() {
    for row in rows() {
        for key in row.spec.keys {
            // Where a keyword or a count leads to the keys, there need be none.
            if !matches!((key.begin, key.find), (Begin::Index(_), Find::Range { .. })) {
                continue;
            }
            let single = CommandSpec { keys: std::slice::from_ref(key), ..*row.spec };
            let mut at = Vec::new();
            keys_of(&single, words_min(row), |_| b"", |i| at.push(i));
            // PFMERGE may have no sources.
            let optional = matches!(key.begin, Begin::Index(at) if usize::from(at) >= words_min(row));
            assert!(optional || !at.is_empty(), "{}: no key among {} words", row.full_name, words_min(row));
            assert!(at.iter().all(|&i| (row.name_words..words_min(row)).contains(&i)), "{}: {at:?}", row.full_name);
        }
    }
}

#[test]
fn a_command_in_parts_has_one_run_of_keys_to_the_end() {
    for row in rows() {
        let Spread::Parts { unit, .. } = row.spec.spread else { continue };
        let [key] = row.spec.keys else { panic!("{}: one key specification", row.full_name) };
        assert!(
            matches!(key.find, Find::Range { last: -1, step, limit: 0 } if step == u16::from(unit)),
            "{}: {key:?}",
            row.full_name
        );
    }
}

#[test]
fn keys_behind_options_begin_at_options_and_nothing_else_does() {
    for row in rows() {
        for key in row.spec.keys {
            let at_options = matches!(key.begin, Begin::Options { .. });
            assert_eq!(at_options, matches!(key.find, Find::Option(_) | Find::Patterns(_)), "{}", row.full_name);
        }
    }
}

#[test]
fn an_option_is_told_from_a_value_that_looks_like_one() {
    let spec = table().row(table().by_full_name(b"sort").expect("a row")).spec;
    let keys = |line: &str| {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut keys = Vec::new();
        keys_of(spec, words.len(), |i| words[i], |at| keys.push(at));
        (keys, may_be_anywhere(spec, words.len(), |i| words[i]))
    };
    assert_eq!(keys("SORT k"), (vec![1], false));
    assert_eq!(keys("SORT k STORE d"), (vec![1, 3], false));
    assert_eq!(keys("SORT k BY store store d"), (vec![1, 5], false));
    assert_eq!(keys("SORT k LIMIT store 0 DESC ALPHA STORE d"), (vec![1, 8], false));
    assert_eq!(keys("SORT k STORE a STORE b"), (vec![1, 5], false));
    assert_eq!(keys("SORT k STORE"), (vec![1], false));
    assert_eq!(keys("SORT k BY nosort GET #"), (vec![1], false));
    assert_eq!(keys("SORT k get w_* STORE d"), (vec![1, 5], true));
    assert_eq!(keys("SORT k STORE * BY x"), (vec![1, 3], false));
}

/// What is known and meant to differ from Redis, with the reason: name, field, our words.
// WITHSCORE is there since 7.2.
const DIFFERENT: &[(&str, &str, &str)] = &[("zrank", "arity", "-3"), ("zrevrank", "arity", "-3")];

/// One line of the file beside this one.
struct Golden {
    name: &'static str,
    fields: Vec<(&'static str, String)>,
}

fn golden() -> Vec<Golden> {
    let text = include_str!("../redis-7.0.15.tsv");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [name, arity, flags, positions, categories, tips, keys] = columns[..] else {
                panic!("seven columns: {line}")
            };
            let fields = [
                ("arity", arity),
                ("flags", flags),
                ("positions", positions),
                ("categories", categories),
                ("tips", tips),
                ("keys", keys),
            ];
            Golden { name, fields: fields.map(|(field, text)| (field, text.to_string())).to_vec() }
        })
        .collect()
}

fn list(words: impl Iterator<Item = impl Into<String>>) -> String {
    let sorted: BTreeSet<String> = words.map(Into::into).collect();
    if sorted.is_empty() { "-".into() } else { sorted.into_iter().collect::<Vec<_>>().join(" ") }
}

fn key_text(key: &KeySpec) -> String {
    let begin = match key.begin {
        Begin::Index(at) => format!("index {at}"),
        Begin::Keyword { word, from } => format!("keyword {word} {from}"),
        Begin::Options { .. } => "unknown".into(),
    };
    let find = match key.find {
        Find::Range { last, step, limit } => format!("range {last} {step} {limit}"),
        Find::KeyNum { at, first, step } => format!("keynum {at} {first} {step}"),
        Find::Option(_) | Find::Patterns(_) => "unknown".into(),
    };
    format!("{}, {begin}, {find}", key.access.0.join(" "))
}

#[test]
fn rows_agree_with_redis() {
    let golden = golden();
    assert_eq!(golden.len(), 366, "commands and subcommands of redis-server 7.0.15");
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for row in rows() {
        // Commands of ours alone, and newer ones, are not in the list.
        let Some(redis) = golden.iter().find(|golden| golden.name == row.full_name) else { continue };
        compared += 1;
        let spec = row.spec;
        let keys: Vec<String> = spec.keys.iter().map(key_text).collect();
        let (first, last, step) = legacy_range(spec);
        let ours = [
            ("arity", spec.arity.as_redis().to_string()),
            ("flags", list(spec.flags.shown())),
            ("positions", format!("{first} {last} {step}")),
            ("categories", list(categories_of(spec).map(|category| format!("@{category}")))),
            ("tips", list(spec.tips.iter().copied())),
            ("keys", if keys.is_empty() { "-".into() } else { keys.join(" / ") }),
        ];
        for ((field, theirs), (_, ours)) in redis.fields.iter().zip(&ours) {
            if theirs != ours && !DIFFERENT.contains(&(&row.full_name, field, ours)) {
                wrong.push(format!("{} {field}: Redis says {theirs:?}, the row {ours:?}", row.full_name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 40, "only {compared} rows have a counterpart");
}

#[test]
fn every_difference_that_is_listed_exists() {
    for (name, ..) in DIFFERENT {
        assert!(table().by_full_name(name.as_bytes()).is_some(), "{name}");
    }
}

#[test]
fn a_name_is_found_in_any_case_and_at_any_length() {
    for length in 0..=17 {
        let name: Vec<u8> = (0..length).map(|i| b'a' + (i * 7 % 26)).collect();
        let number = short_name(&name).map(|(number, _)| number);
        let mut upper = name.to_ascii_uppercase();
        upper.resize(16.max(upper.len()), 0);
        let expected = (length <= 16).then(|| u128::from_le_bytes(upper[..16].try_into().expect("16 bytes")));
        assert_eq!(number, expected, "length {length}");
    }
    for byte in 0..=255u8 {
        let number = short_name(&[byte; 9]).expect("short").0;
        assert_eq!(number.to_le_bytes()[..9], [byte.to_ascii_uppercase(); 9], "byte {byte}");
    }
}
