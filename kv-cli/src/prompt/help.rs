//! What kv-cli knows about commands, all from the server's own rows: help texts, and hints while one is typed.

use kv_core::command::{CommandSpec, RowId, Table, table};

use super::typed::Typed;

/// What `help` alone prints.
pub const USAGE: &str = "\
Type a command and its arguments, quoted where blanks are meant: set greeting \"hello, world\"
  5 incr x              sends the command 5 times
  peek KEY              type, expiry, memory and first elements of a key
  subscribe, monitor    show messages until Ctrl-C
  connect HOST PORT     goes to another server
  clear                 clears the screen
  help                  this text; help COMMAND, help @GROUP: about commands
  quit, exit, Ctrl-D    leave
Tab completes commands, options and keys, the right arrow takes a hint, Ctrl-R
searches what was typed before. A line goes on while a quote is open. Lines that
begin with a blank, and those with passwords, are not kept in the history.
";

/// The answer to `help WORDS`.
pub fn text(words: &[&str]) -> String {
    let table = table();
    match words {
        [] => USAGE.to_owned(),
        [group] if group.starts_with('@') => group_text(table, &group[1..]),
        [name, rest @ ..] => {
            let full = match rest {
                [] => name.to_string(),
                [sub, ..] => format!("{name}|{sub}"),
            };
            match table.by_full_name(full.as_bytes()) {
                Some(id) => {
                    let row = table.row(id);
                    let mut text = spec_text(&row.full_name, row.spec);
                    for &sub in &row.subs {
                        let sub = table.row(sub);
                        text += &format!("\n  {} {}\n", shown_name(&sub.full_name), sub.spec.syntax);
                        text += &format!("    {}\n", sub.spec.summary);
                    }
                    text
                }
                None => format!("No help for '{}'. The server may know more: COMMAND DOCS {name}\n", words.join(" ")),
            }
        }
    }
}

fn shown_name(full_name: &str) -> String {
    full_name.to_uppercase().replace('|', " ")
}

fn spec_text(full_name: &str, spec: &CommandSpec) -> String {
    let name = format!("{} {}", shown_name(full_name), spec.syntax);
    let mut text = format!("\n  {}\n  summary: {}\n  since: {}\n", name.trim_end(), spec.summary, spec.since);
    if !spec.complexity.is_empty() {
        text += &format!("  complexity: {}\n", spec.complexity);
    }
    text + &format!("  group: {}\n", spec.group.as_str())
}

fn group_text(table: &Table, group: &str) -> String {
    let rows = table.top().iter().map(|id| table.row(*id).spec);
    let mut text = String::new();
    for spec in rows.filter(|spec| spec.group.as_str().eq_ignore_ascii_case(group)) {
        text += format!("  {} {}", spec.name, spec.syntax).trim_end();
        text += &format!("\n    {}\n", spec.summary);
    }
    if text.is_empty() {
        let groups: Vec<&str> = groups().collect();
        text = format!("No group '@{group}'. There are @{}\n", groups.join(", @"));
    }
    text
}

/// The groups of commands, sorted.
pub fn groups() -> impl Iterator<Item = &'static str> {
    let table = table();
    let mut groups: Vec<&str> = table.top().iter().map(|id| table.row(*id).spec.group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.into_iter()
}

/// The row of a request that begins so: of the subcommand where there is one.
pub fn row_of(words: &[Vec<u8>]) -> Option<RowId> {
    let table = table();
    let (name, rest) = words.split_first()?;
    let sub = rest.first().and_then(|sub| table.by_full_name(&[name, &b"|"[..], sub].concat()));
    sub.or_else(|| table.by_full_name(name))
}

/// What may follow a line: the rest of a name that nothing else can be, then the arguments that are missing.
pub struct Hint {
    pub text: String,
    /// Bytes of it that the right arrow takes over.
    pub taken: usize,
}

pub fn hint(line: &str) -> Option<Hint> {
    let table = table();
    let typed = Typed::read(line)?;
    if typed.quote.is_some() {
        return None;
    }
    let mut words = typed.all();
    if super::repeat_of(&words).is_some() {
        words.remove(0);
    }
    let first = words.first()?;
    if words.len() == 1 && !typed.last.is_empty() && table.by_full_name(first).is_none() {
        let last = std::str::from_utf8(&typed.last).ok()?;
        let mut rows = table.top().iter().map(|id| table.row(*id).spec);
        let begins =
            |spec: &&CommandSpec| spec.name.get(..last.len()).is_some_and(|start| start.eq_ignore_ascii_case(last));
        let only = rows.clone().filter(begins).count() == 1;
        let spec = rows.find(begins).filter(|_| only)?;
        let lower = last.bytes().all(|byte| !byte.is_ascii_uppercase());
        let rest = &spec.name[last.len()..];
        let rest = if lower { rest.to_lowercase() } else { rest.to_owned() };
        return Some(Hint { text: format!("{rest} {}", spec.syntax).trim_end().to_owned(), taken: rest.len() });
    }
    let row = table.row(row_of(&words)?);
    let args: Vec<String> =
        words.iter().skip(row.name_words).map(|word| String::from_utf8_lossy(word).to_uppercase()).collect();
    let rest = rest_of(syntax_parts(row.spec.syntax), &args).join(" ");
    let blank = if typed.last.is_empty() { "" } else { " " };
    (!rest.is_empty()).then(|| Hint { text: format!("{blank}{rest}"), taken: 0 })
}

/// The parts of a syntax that are not used up by the arguments, which are in upper case.
fn rest_of<'s>(mut parts: Vec<&'s str>, args: &[String]) -> Vec<&'s str> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let required = parts.iter().position(|part| !part.starts_with('['));
        // Options in front of the next argument that must be there, or all that are left.
        let options = required.unwrap_or(parts.len());
        let named = parts[..options].iter().position(|part| values_behind(part, arg).is_some());
        match (named, required) {
            (Some(at), _) => {
                for _ in 0..values_behind(parts[at], arg).unwrap_or(0) {
                    args.next();
                }
                if !parts[at].contains("...") {
                    parts.remove(at);
                }
            }
            (None, Some(at)) => drop(parts.drain(..=at)),
            (None, None) => {
                // `[count]`: an argument without a name.
                let is_nameless =
                    |part: &&str| !part.contains("...") && !part.contains(|c: char| c.is_ascii_uppercase());
                if let Some(at) = parts.iter().position(is_nameless) {
                    parts.remove(at);
                }
            }
        }
    }
    parts
}

/// How many arguments follow the keyword `word` in a part like `[EX seconds | KEEPTTL]`; none if it is not one of it.
fn values_behind(part: &str, word: &str) -> Option<usize> {
    let inner = part.trim_matches(['[', ']', '<', '>']);
    inner.split('|').find_map(|choice| {
        let mut words = choice.trim_matches([' ', '[', ']', '<', '>']).split(' ');
        (words.next() == Some(word)).then(|| words.filter(|word| !word.starts_with('[')).count())
    })
}

/// The arguments in a syntax; what stands in brackets is one.
fn syntax_parts(syntax: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in syntax.char_indices() {
        match c {
            '[' | '<' | '(' => depth += 1,
            ']' | '>' | ')' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => {
                parts.push(&syntax[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&syntax[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_comes_from_the_rows() {
        let get = text(&["get"]);
        assert!(get.starts_with("\n  GET key\n  summary: ") && get.contains("\n  group: string\n"), "{get}");
        assert!(text(&["object", "encoding"]).starts_with("\n  OBJECT ENCODING key"));
        assert!(text(&["object"]).contains("\n  OBJECT REFCOUNT"));
        assert!(text(&["@hyperloglog"]).contains("  PFADD key"));
        assert!(text(&["@nope"]).contains("There are @"));
        assert!(text(&["nope"]).contains("COMMAND DOCS nope"));
        assert_eq!(text(&[]), USAGE);
    }

    #[test]
    fn hints_shrink_with_the_arguments_typed() {
        let hint = |line: &str| hint(line).map(|hint| hint.text);
        assert_eq!(hint("getrange ").as_deref(), Some("key start end"));
        assert_eq!(hint("getrange").as_deref(), Some(" key start end"));
        assert_eq!(hint("getrange k 1 ").as_deref(), Some("end"));
        assert_eq!(hint("getrange k 1").as_deref(), Some(" end"));
        assert_eq!(hint("3 getrange k ").as_deref(), Some("start end"));
        assert_eq!(hint("object encoding ").as_deref(), Some("key"));
        assert_eq!(hint("getrange \"a b\" ").as_deref(), Some("start end"));
        for nothing in ["", "getrange k 1 2 ", "getrange k 1 2", "getrange \"a b ", "nope ", "g", "\"a\"b "] {
            assert_eq!(hint(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_name_that_can_only_be_one_is_finished() {
        let hint = hint("getra").unwrap();
        assert_eq!((hint.text.as_str(), hint.taken), ("nge key start end", 3));
        assert_eq!(super::hint("GETRA").unwrap().text, "NGE key start end");
    }

    #[test]
    fn options_go_when_they_are_typed() {
        let rest = |syntax, args: &str| {
            let args: Vec<String> = args.split_whitespace().map(str::to_uppercase).collect();
            rest_of(syntax_parts(syntax), &args).join(" ")
        };
        const SET: &str = "key value [NX | XX] [GET] [EX seconds | KEEPTTL]";
        assert_eq!(rest(SET, "k v"), "[NX | XX] [GET] [EX seconds | KEEPTTL]");
        assert_eq!(rest(SET, "k v nx"), "[GET] [EX seconds | KEEPTTL]");
        assert_eq!(rest(SET, "k v ex"), "[NX | XX] [GET]");
        assert_eq!(rest(SET, "k v ex 5 get"), "[NX | XX]");
        const ZADD: &str = "key [NX | XX] [CH] score member [score member ...]";
        assert_eq!(rest(ZADD, "z ch"), "[NX | XX] score member [score member ...]");
        assert_eq!(rest(ZADD, "z ch 1"), "member [score member ...]");
        assert_eq!(rest(ZADD, "z 1 m 2 n"), "[score member ...]");
        assert_eq!(rest("key [count]", "k 5"), "");
        assert_eq!(syntax_parts("key [NX | XX] value [a [b] c]"), ["key", "[NX | XX]", "value", "[a [b] c]"]);
    }
}
