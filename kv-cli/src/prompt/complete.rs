//! What Tab offers: names of commands and subcommands and options from the server's own rows, names of keys and settings
//! from the server.

use kv_core::command::{Argument, ArgumentKind, CommandSpec, RowId, arguments_of, keys_of, table};

use super::aside::Aside;
use super::typed::Typed;
use crate::format::quote_text;

/// Words that kv-cli itself understands at the prompt.
pub const OWN: [&str; 7] = ["help", "quit", "exit", "clear", "connect", "peek", "?"];

/// What may stand at the cursor, and where the word begins that it replaces.
pub fn candidates(line: &str, aside: &mut Aside) -> (usize, Vec<String>) {
    let Some(typed) = Typed::read(line) else { return (line.len(), Vec::new()) };
    let names = match Place::of(&typed) {
        Place::Name => names(&typed, OWN.iter().map(|name| name.to_uppercase()).chain(upper(table().top()))),
        Place::Help => {
            let groups = super::help::groups().map(|group| format!("@{group}"));
            names(&typed, groups.chain(upper(table().top())))
        }
        Place::Subcommand(id) => names(&typed, upper(&table().row(id).subs)),
        Place::Key => quoted(&typed, aside.keys(&typed.last)),
        Place::Setting => quoted(&typed, aside.settings(&typed.last)),
        Place::Argument { spec, key, used } => {
            let mut found = names(&typed, tokens_of(spec).into_iter().filter(|token| !used.contains(token)));
            if key {
                found = quoted(&typed, aside.keys(&typed.last));
            }
            found
        }
        Place::Nothing => Vec::new(),
    };
    (typed.start, names)
}

/// What is at the cursor.
enum Place {
    Name,
    Help,
    Subcommand(RowId),
    Key,
    Setting,
    Argument {
        spec: &'static CommandSpec,
        /// A key of the server is meant.
        key: bool,
        /// In upper case.
        used: Vec<String>,
    },
    Nothing,
}

impl Place {
    fn of(typed: &Typed) -> Place {
        let repeat = usize::from(super::repeat_of(&[&typed.words[..], &[Vec::new()]].concat()).is_some());
        let words = &typed.words[repeat..];
        let word = |at: usize| String::from_utf8_lossy(words.get(at).map_or(&b""[..], Vec::as_slice)).to_uppercase();
        match (words.len(), word(0).as_str(), word(1).as_str()) {
            (0, _, _) => return Place::Name,
            (1, "HELP" | "?", _) => return Place::Help,
            (2, "HELP" | "?", name) => {
                return match table().by_full_name(name.as_bytes()) {
                    Some(id) if !table().row(id).subs.is_empty() => Place::Subcommand(id),
                    _ => Place::Nothing,
                };
            }
            (1, "PEEK", _) => return Place::Key,
            (2.., "CONFIG", "GET") => return Place::Setting,
            (2.., "CONFIG", "SET") if words.len().is_multiple_of(2) => return Place::Setting,
            _ => {}
        }
        let Some(id) = super::help::row_of(words) else { return Place::Nothing };
        let row = table().row(id);
        if !row.subs.is_empty() && words.len() == 1 {
            return Place::Subcommand(id);
        }
        let mut all = words.to_vec();
        all.push(typed.last.clone());
        let mut key = false;
        keys_of(row.spec, all.len(), |at| &all[at], |at| key |= at + 1 == all.len());
        let used = words.iter().map(|word| String::from_utf8_lossy(word).to_uppercase()).collect();
        Place::Argument { spec: row.spec, key, used }
    }
}

fn upper(ids: &[RowId]) -> impl Iterator<Item = String> {
    ids.iter().map(|id| table().row(*id).spec.name.to_owned())
}

/// The names that begin as the word does, in the case that it is typed in.
fn names(typed: &Typed, names: impl Iterator<Item = String>) -> Vec<String> {
    let word = String::from_utf8_lossy(&typed.last).into_owned();
    let lower = word.chars().next_back().is_none_or(|last| !last.is_ascii_uppercase());
    let mut found: Vec<String> = names
        .filter(|name| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(&word)))
        .map(|name| if lower { name.to_lowercase() } else { name })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Names that the server told, as they are to be typed: quoted, all of them, when one must be or a quote was typed.
fn quoted(typed: &Typed, names: Vec<Vec<u8>>) -> Vec<String> {
    let is_plain = |name: &Vec<u8>| {
        let text = quote_text(name);
        !name.is_empty()
            && text.as_bytes()[1..text.len() - 1] == name[..]
            && !name.iter().any(|byte| b" '".contains(byte))
    };
    if typed.quote.is_none() && names.iter().all(is_plain) {
        names.into_iter().map(|name| String::from_utf8_lossy(&name).into_owned()).collect()
    } else {
        names.iter().map(|name| quote_text(name)).collect()
    }
}

/// The keywords of a command's options, in upper case.
pub fn tokens_of(spec: &CommandSpec) -> Vec<String> {
    fn gather(arguments: &[Argument], into: &mut Vec<String>) {
        for argument in arguments {
            into.extend(argument.token.map(str::to_uppercase));
            if argument.kind == ArgumentKind::PureToken && argument.token.is_none() {
                into.push(argument.name.to_uppercase());
            }
            gather(&argument.arguments, into);
        }
    }
    let mut tokens = Vec::new();
    gather(&arguments_of(spec), &mut tokens);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Address, Target};

    /// With a server that is not there.
    fn offered(line: &str) -> (usize, Vec<String>) {
        let address = Address::Unix("/nowhere".into());
        let target = Target { address, user: None, password: None, db: 0, resp3: false, timeout: None, family: None };
        candidates(line, &mut Aside::new(&target))
    }

    #[test]
    fn names_are_completed_in_the_case_they_are_typed_in() {
        assert_eq!(offered("getr"), (0, vec!["getrange".to_owned()]));
        assert_eq!(offered("GETR"), (0, vec!["GETRANGE".to_owned()]));
        assert_eq!(offered("5 getr"), (2, vec!["getrange".to_owned()]));
        assert_eq!(offered("object re"), (7, vec!["refcount".to_owned()]));
        assert_eq!(offered("help pfc"), (5, vec!["pfcount".to_owned()]));
        assert_eq!(offered("help @hy"), (5, vec!["@hyperloglog".to_owned()]));
        assert_eq!(offered("help object fr"), (12, vec!["freq".to_owned()]));
        assert_eq!(offered("pee"), (0, vec!["peek".to_owned()]));
        assert!(offered("").1.len() > 50);
        assert!(offered("gä").1.is_empty());
        assert!(offered("\"a\"b ").1.is_empty());
    }

    #[test]
    fn options_are_offered_until_they_are_used() {
        assert_eq!(offered("set k v ex").1, ["ex", "exat"]);
        assert_eq!(offered("SET k v KE").1, ["KEEPTTL"]);
        assert!(offered("set k v nx n").1.iter().all(|token| token != "nx"));
        assert!(offered("zrange z 0 1 ").1.contains(&"withscores".to_owned()));
    }

    #[test]
    fn keys_are_asked_for_where_keys_stand() {
        let is_key = |line: &str| match Place::of(&Typed::read(line).unwrap()) {
            Place::Key => true,
            Place::Argument { key, .. } => key,
            _ => false,
        };
        for line in ["get ", "get us", "mset a 1 ", "del a b c", "zinter 2 a ", "peek u", "object encoding ", "3 get "]
        {
            assert!(is_key(line), "{line}");
        }
        for line in ["ge", "set k ", "mset a ", "zinter ", "config get ", "object "] {
            assert!(!is_key(line), "{line}");
        }
    }

    #[test]
    fn names_that_a_line_would_cut_are_quoted() {
        let typed = |line: &str| Typed::read(line).unwrap();
        let names = || vec![b"user:1".to_vec(), "grün".into()];
        assert_eq!(quoted(&typed("get "), names()), ["user:1", "grün"]);
        assert_eq!(quoted(&typed("get \"u"), names()), ["\"user:1\"", "\"grün\""]);
        assert_eq!(quoted(&typed("get "), vec![b"a".to_vec(), b"b c\xff".to_vec()]), ["\"a\"", "\"b c\\xff\""]);
    }
}
