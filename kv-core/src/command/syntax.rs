//! What follows a command's name, as a tree: the `arguments` of COMMAND DOCS, made of the row's syntax line.
//!
//! ```text
//! key                   an argument            [X]            X may be left out
//! EX seconds            EX is its token        <X | Y>        one of them; [X | Y] one or none
//! key [key ...]         one or more            X [...]        one or more of X, whatever it is
//! key value [key value ...]                    one or more blocks of two
//! GET x [GET x ...]     each with its token    GET x [x ...]  one token in front of all
//! ```
//!
//! The kinds are those of Redis. What a word holds (a number, a pattern) follows from its name.

use super::{CommandSpec, Find};

/// An argument, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Lower case.
    pub name: String,
    pub kind: ArgumentKind,
    /// The keyword in front of it, or, of a pure token, the keyword that it is.
    pub token: Option<&'static str>,
    pub optional: bool,
    pub multiple: bool,
    /// Whether its token is repeated with it.
    pub multiple_token: bool,
    /// Which of the command's key specifications finds it.
    pub key_spec: Option<usize>,
    /// The parts of a block, the choices of a oneof.
    pub arguments: Vec<Argument>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl ArgumentKind {
    /// The word of COMMAND DOCS.
    pub fn as_str(self) -> &'static str {
        match self {
            ArgumentKind::String => "string",
            ArgumentKind::Integer => "integer",
            ArgumentKind::Double => "double",
            ArgumentKind::Key => "key",
            ArgumentKind::Pattern => "pattern",
            ArgumentKind::UnixTime => "unix-time",
            ArgumentKind::PureToken => "pure-token",
            ArgumentKind::OneOf => "oneof",
            ArgumentKind::Block => "block",
        }
    }
}

/// The arguments of a command.
///
/// Panics: when brackets do not close, a mistake in a row that a test finds.
pub fn arguments_of(spec: &CommandSpec) -> Vec<Argument> {
    let patterns = spec.keys.iter().position(|key| matches!(key.find, Find::Patterns(_)));
    let mut parser = Parser { rest: spec.syntax, keys: 0, specs: spec.keys.len(), patterns };
    let mut choices = parser.choices(None);
    assert!(choices.len() == 1, "{}: a choice stands in brackets", spec.name);
    choices.remove(0)
}

/// Words whose values are whole numbers.
const INTEGERS: &[&str] = &[
    "bit",
    "client-id",
    "count",
    "cursor",
    "db",
    "decrement",
    "destination-db",
    "end",
    "index",
    "index1",
    "index2",
    "maxage",
    "milliseconds",
    "min-match-len",
    "numfields",
    "numreplicas",
    "offset",
    "protover",
    "seconds",
    "start",
    "timeout",
    "version",
];
/// Words that are keys when the command has keys.
const KEYS: &[&str] = &["destination", "destkey", "dst", "key", "key1", "key2", "newkey", "source", "sourcekey", "src"];

struct Parser {
    rest: &'static str,
    /// Keys found so far, and how many specifications there are.
    keys: usize,
    specs: usize,
    /// The specification of the keys that patterns make.
    patterns: Option<usize>,
}

impl Parser {
    fn skip(&mut self, text: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Sequences between bars, up to the closing bracket or the end.
    fn choices(&mut self, close: Option<&str>) -> Vec<Vec<Argument>> {
        let mut choices = vec![self.sequence()];
        while self.skip("|") {
            choices.push(self.sequence());
        }
        match close {
            Some(close) => assert!(self.skip(close), "a bracket does not close before {:?}", self.rest),
            None => assert!(self.rest.is_empty(), "a bracket too many before {:?}", self.rest),
        }
        choices
    }

    /// Arguments up to a bar, a closing bracket or the end.
    fn sequence(&mut self) -> Vec<Argument> {
        let mut sequence: Vec<Argument> = Vec::new();
        // Whether the last argument is a token that may still belong to what follows.
        let mut open_token = false;
        loop {
            if self.skip("[...]") {
                sequence.last_mut().expect("something to repeat").multiple = true;
            } else if self.skip("[") {
                let keys = self.keys;
                let choices = self.choices(Some("]"));
                match repeated(&choices) {
                    // The keys in the repetition are those in front of it.
                    Some(parts) if ends_with(&sequence, parts) => {
                        self.keys = keys;
                        repeat_last(&mut sequence, parts.len(), parts[0].token.is_some());
                    }
                    Some(parts) => {
                        let one = group(vec![parts.to_vec()]);
                        sequence.push(Argument { optional: true, multiple: true, ..one });
                    }
                    None => sequence.push(Argument { optional: true, ..group(choices) }),
                }
                open_token = false;
            } else if self.skip("<") {
                let choice = group(self.choices(Some(">")));
                append(&mut sequence, choice, open_token);
                open_token = false;
            } else {
                let rest = self.rest;
                let end = rest.find([' ', '|', '[', ']', '<', '>']).unwrap_or(rest.len());
                let word = &rest[..end];
                if word.is_empty() {
                    return sequence;
                }
                self.rest = &rest[end..];
                let argument = self.word(word);
                let is_token = argument.kind == ArgumentKind::PureToken;
                append(&mut sequence, argument, open_token);
                open_token = is_token;
            }
        }
    }

    fn word(&mut self, word: &'static str) -> Argument {
        let upper = word.bytes().all(|b| !b.is_ascii_lowercase()) && word.bytes().any(|b| b.is_ascii_uppercase());
        // Signs that stand for themselves, as in XADD.
        let is_token = upper || matches!(word, "*" | "=" | "~" | "$");
        let mut key_spec = None;
        let kind = if is_token {
            ArgumentKind::PureToken
        } else if self.specs > 0 && KEYS.contains(&word) {
            self.keys += usize::from(self.patterns == Some(self.keys));
            key_spec = Some(self.keys.min(self.specs - 1));
            self.keys += 1;
            ArgumentKind::Key
        } else if INTEGERS.contains(&word) {
            ArgumentKind::Integer
        } else if word.starts_with("unix-time") {
            ArgumentKind::UnixTime
        } else if word == "pattern" {
            key_spec = self.patterns;
            ArgumentKind::Pattern
        } else {
            ArgumentKind::String
        };
        Argument {
            name: word.to_lowercase(),
            kind,
            token: is_token.then_some(word),
            optional: false,
            multiple: false,
            multiple_token: false,
            key_spec,
            arguments: Vec::new(),
        }
    }
}

/// Puts an argument behind others, or behind the token that stands last.
fn append(sequence: &mut Vec<Argument>, argument: Argument, open_token: bool) {
    match sequence.last_mut() {
        Some(token) if open_token && argument.token.is_none() => {
            *token = Argument { token: token.token, ..argument };
        }
        _ => sequence.push(argument),
    }
}

/// What `[x y ...]` repeats: the sequence without the dots.
fn repeated(choices: &[Vec<Argument>]) -> Option<&[Argument]> {
    match choices {
        [one] => one.split_last().filter(|(dots, _)| dots.name == "...").map(|(_, parts)| parts),
        _ => None,
    }
}

fn same(a: &Argument, b: &Argument) -> bool {
    a.name == b.name && a.kind == b.kind
}

/// Whether the parts stand at the end of the sequence. (A token in front of the first is not repeated.)
fn ends_with(sequence: &[Argument], parts: &[Argument]) -> bool {
    !parts.is_empty()
        && sequence.len() >= parts.len()
        && sequence[sequence.len() - parts.len()..].iter().zip(parts).all(|(a, b)| same(a, b))
}

fn repeat_last(sequence: &mut Vec<Argument>, count: usize, multiple_token: bool) {
    if count == 1 {
        let last = sequence.pop().expect("it ends with it");
        sequence.push(Argument { multiple: true, multiple_token, ..last });
    } else {
        let block = group(vec![sequence.split_off(sequence.len() - count)]);
        sequence.push(Argument { multiple: true, multiple_token, ..block });
    }
}

/// Choices, or the parts of one, as one argument.
fn group(mut choices: Vec<Vec<Argument>>) -> Argument {
    let (kind, arguments) = if choices.len() > 1 {
        (ArgumentKind::OneOf, choices.into_iter().map(|choice| group(vec![choice])).collect())
    } else {
        let mut only = choices.remove(0);
        if only.len() == 1 {
            return only.remove(0);
        }
        (ArgumentKind::Block, only)
    };
    let mut block = Argument {
        name: arguments.iter().map(|a: &Argument| a.name.as_str()).collect::<Vec<_>>().join("-"),
        kind,
        token: None,
        optional: false,
        multiple: false,
        multiple_token: false,
        key_spec: None,
        arguments,
    };
    // A keyword in front of several words belongs to all of them; one in front of one word has become its token.
    let first = &block.arguments[0];
    let plain = block.arguments[1..].iter().all(|a| a.token.is_none() && !a.optional);
    if kind == ArgumentKind::Block && first.token.is_some() && plain && !first.optional && !first.multiple {
        block.token = block.arguments[0].token.take();
        if block.arguments[0].kind == ArgumentKind::PureToken {
            block.arguments.remove(0);
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Arity, Flags, Handler, KeySpec, row, table};

    /// The arguments as a syntax line again, as redis-cli makes its hints of them.
    fn show(arguments: &[Argument]) -> String {
        arguments.iter().map(show_one).collect::<Vec<_>>().join(" ")
    }

    fn show_one(argument: &Argument) -> String {
        let choices = || argument.arguments.iter().map(show_one).collect::<Vec<_>>().join(" | ");
        let value = match argument.kind {
            ArgumentKind::PureToken => String::new(),
            ArgumentKind::OneOf if argument.optional && !argument.multiple && argument.token.is_none() => choices(),
            ArgumentKind::OneOf => format!("<{}>", choices()),
            ArgumentKind::Block => show(&argument.arguments),
            _ => argument.name.clone(),
        };
        let mut text = argument.token.unwrap_or("").to_string();
        if !text.is_empty() && !value.is_empty() {
            text.push(' ');
        }
        text.push_str(&value);
        if argument.multiple {
            text.push_str(&match argument.token {
                _ if argument.kind == ArgumentKind::OneOf => " [...]".into(),
                Some(token) if argument.multiple_token => format!(" [{token} {value} ...]"),
                _ => format!(" [{value} ...]"),
            });
        }
        if argument.optional { format!("[{text}]") } else { text }
    }

    fn parse(syntax: &'static str, keys: &'static [KeySpec]) -> Vec<Argument> {
        arguments_of(&row("X", Handler::Host, Arity::AtLeast(1), keys, Flags::NONE).syntax(syntax))
    }

    #[test]
    fn every_row_is_read_and_says_the_same_when_written() {
        for id in 0..table().len() {
            let row = table().row(id as u16);
            let written = show(&arguments_of(row.spec));
            // What may be left out altogether and repeated has two forms.
            let syntax = match row.spec.syntax.strip_prefix("subcommand [argument") {
                Some(_) => "subcommand [argument [argument ...]]".into(),
                None => row.spec.syntax.replace("[argument ...]", "[argument [argument ...]]"),
            };
            assert_eq!(written, syntax, "{}", row.full_name);
        }
    }

    #[test]
    fn every_key_has_its_specification() {
        for id in 0..table().len() {
            let spec = table().row(id as u16).spec;
            let mut found = Vec::new();
            fn collect(arguments: &[Argument], found: &mut Vec<usize>) {
                for argument in arguments {
                    found.extend(argument.key_spec);
                    collect(&argument.arguments, found);
                }
            }
            collect(&arguments_of(spec), &mut found);
            found.dedup();
            let is_key = |spec: &KeySpec| !spec.access.0.contains(&"not_key");
            let wanted: Vec<usize> = (0..spec.keys.len()).filter(|&i| is_key(&spec.keys[i])).collect();
            assert_eq!(found, wanted, "{}", spec.name);
        }
    }

    #[test]
    fn tokens_belong_to_what_follows_them() {
        let [expiry] = &parse("[EX seconds | PXAT unix-time-milliseconds | KEEPTTL]", &[])[..] else { panic!() };
        assert_eq!((expiry.kind, expiry.optional, expiry.arguments.len()), (ArgumentKind::OneOf, true, 3));
        let [ex, pxat, keep] = &expiry.arguments[..] else { panic!() };
        assert_eq!((ex.name.as_str(), ex.kind, ex.token), ("seconds", ArgumentKind::Integer, Some("EX")));
        assert_eq!((pxat.kind, pxat.token), (ArgumentKind::UnixTime, Some("PXAT")));
        assert_eq!((keep.kind, keep.token), (ArgumentKind::PureToken, Some("KEEPTTL")));
        let [auth] = &parse("[AUTH username password]", &[])[..] else { panic!() };
        assert_eq!((auth.kind, auth.token, auth.arguments.len()), (ArgumentKind::Block, Some("AUTH"), 2));
        assert!(auth.arguments.iter().all(|a| a.token.is_none()));
        let [kind] = &parse("TYPE <A | B>", &[])[..] else { panic!() };
        assert_eq!((kind.kind, kind.token), (ArgumentKind::OneOf, Some("TYPE")));
    }

    #[test]
    fn signs_that_stand_for_themselves_are_tokens() {
        let [trim, id] = &parse("[MAXLEN [= | ~] threshold] <* | id>", &[])[..] else { panic!() };
        let [how, ..] = &trim.arguments[1..] else { panic!() };
        let tokens = |argument: &Argument| argument.arguments.iter().map(|a| a.token).collect::<Vec<_>>();
        assert_eq!((tokens(how), tokens(id)), (vec![Some("="), Some("~")], vec![Some("*"), None]));
        assert_eq!(id.arguments[0].kind, ArgumentKind::PureToken);
    }

    #[test]
    fn what_is_repeated_is_multiple() {
        const KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 2, &["OW"])];
        let [data] = &parse("key value [key value ...]", KEYS)[..] else { panic!() };
        assert_eq!((data.kind, data.multiple, data.optional), (ArgumentKind::Block, true, false));
        assert_eq!(data.arguments[0].key_spec, Some(0));
        let [key, elements] = &parse("key [element [element ...]]", KEYS)[..] else { panic!() };
        assert!(!key.multiple && elements.multiple && elements.optional);
        let [filter] = &parse("<ID client-id | SKIPME <YES | NO>> [...]", &[])[..] else { panic!() };
        assert!(filter.multiple && filter.kind == ArgumentKind::OneOf);
    }
}
