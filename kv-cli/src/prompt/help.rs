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
        words.iter().skip(row.name_words).map(|word| String::from_utf8_lossy(word).into()).collect();
    let open = !typed.last.is_empty();
    let Missing { keyword, parts } = missing(syntax_parts(row.spec.syntax), &args, open);
    let lower = args.last().is_some_and(|word| word.bytes().all(|byte| !byte.is_ascii_uppercase()));
    let keyword = if lower { keyword.to_lowercase() } else { keyword.to_owned() };
    let blank = if open && !parts.is_empty() { " " } else { "" };
    let text = format!("{keyword}{blank}{}", parts.join(" "));
    (!text.is_empty()).then_some(Hint { taken: keyword.len(), text })
}

/// What does not stand in a line yet.
struct Missing<'s> {
    /// The rest of the keyword that its last word begins, if it can only be one.
    keyword: &'s str,
    parts: Vec<&'s str>,
}

/// The parts of a syntax that are not used up by the arguments, the last of which may be `open`: still being typed.
fn missing<'s>(mut parts: Vec<&'s str>, args: &[String], open: bool) -> Missing<'s> {
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        at += 1;
        let required = parts.iter().position(|part| !part.starts_with('['));
        // Options in front of the next argument that must be there, which may have a name as well; or all that are left.
        let here = &parts[..required.map_or(parts.len(), |required| required + 1)];
        let all = || here.iter().enumerate().flat_map(|(place, part)| choices(part).map(move |choice| (place, choice)));
        let named = all().find(|(_, (name, _))| name.eq_ignore_ascii_case(arg));
        let begun =
            all().filter(|(_, (name, _))| name.get(..arg.len()).is_some_and(|start| start.eq_ignore_ascii_case(arg)));
        let (found, keyword) = match named {
            None if open && at == args.len() => {
                let mut begun = begun.peekable();
                let is_word_of_syntax = required.is_some_and(|required| choices(parts[required]).next().is_some());
                match (begun.next(), begun.peek()) {
                    (Some((place, (name, values))), None) => (Some((place, values)), &name[arg.len()..]),
                    // It may become one of several, and nothing else may stand here.
                    (Some(_), Some(_)) | (None, _) if is_word_of_syntax => break,
                    _ => (None, ""),
                }
            }
            named => (named.map(|(place, (_, values))| (place, values)), ""),
        };
        match (found, required) {
            (Some((place, values)), _) => {
                let given = values.len().min(args.len() - at);
                at += given;
                if required == Some(place) {
                    parts.drain(..=place);
                } else if !parts[place].contains("...") {
                    parts.remove(place);
                }
                if given < values.len() || !keyword.is_empty() {
                    parts.splice(..0, values.into_iter().skip(given));
                    return Missing { keyword, parts };
                }
            }
            (None, Some(required)) => drop(parts.drain(..=required)),
            (None, None) => {
                // `[count]`: an argument without a name.
                let is_nameless =
                    |part: &&str| !part.contains("...") && !part.contains(|c: char| c.is_ascii_uppercase());
                if let Some(place) = parts.iter().position(is_nameless) {
                    parts.remove(place);
                }
            }
        }
    }
    Missing { keyword: "", parts }
}

/// The keywords that may begin a part like `[EX seconds | KEEPTTL]`, each with the names of its values.
fn choices(part: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let inner = part.trim_matches(['[', ']', '<', '>']);
    inner.split('|').filter_map(|choice| {
        let mut words = choice.trim_matches([' ', '[', ']', '<', '>']).split(' ');
        let name = words.next().filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))?;
        Some((name, words.filter(|word| !word.starts_with('[')).collect()))
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
    fn a_keyword_that_can_only_be_one_is_finished() {
        let hint = |line: &str| {
            hint(line).map(|hint| (hint.text[..hint.taken].to_owned(), hint.text[hint.taken..].to_owned()))
        };
        let finished = |line, keyword: &str, rest: &str| {
            assert_eq!(hint(line), Some((keyword.to_owned(), rest.to_owned())), "{line}");
        };
        finished("xread count 5 bl", "ock", " milliseconds STREAMS key [key ...] id [id ...]");
        finished("xread count 5 STR", "EAMS", " key [key ...] id [id ...]");
        finished("lpos k e ra", "nk", " rank [COUNT num-matches] [MAXLEN len]");
        // Not before it can only be one, and never in the place of a key or a value.
        finished("copy a b ", "", "[DB destination-db] [REPLACE]");
        finished("set k n", "", &hint("set k v").unwrap().1);
        assert_eq!(hint("set k v ex").unwrap().0, "");
    }

    #[test]
    fn options_go_when_they_are_typed() {
        let rest = |syntax, args: &str| {
            let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
            missing(syntax_parts(syntax), &args, false).parts.join(" ")
        };
        const SET: &str = "key value [NX | XX] [GET] [EX seconds | KEEPTTL]";
        assert_eq!(rest(SET, "k v"), "[NX | XX] [GET] [EX seconds | KEEPTTL]");
        assert_eq!(rest(SET, "k v nx"), "[GET] [EX seconds | KEEPTTL]");
        assert_eq!(rest(SET, "k v ex"), "seconds [NX | XX] [GET]");
        assert_eq!(rest(SET, "k v ex 5 get"), "[NX | XX]");
        const ZADD: &str = "key [NX | XX] [CH] score member [score member ...]";
        assert_eq!(rest(ZADD, "z ch"), "[NX | XX] score member [score member ...]");
        assert_eq!(rest(ZADD, "z ch 1"), "member [score member ...]");
        assert_eq!(rest(ZADD, "z 1 m 2 n"), "[score member ...]");
        assert_eq!(rest("key [count]", "k 5"), "");
        const SEARCH: &str =
            "key <FROMMEMBER member | FROMLONLAT longitude latitude> <BYRADIUS radius <M | KM>> [ASC | DESC]";
        assert_eq!(rest(SEARCH, "k fromlonlat 1"), "latitude <BYRADIUS radius <M | KM>> [ASC | DESC]");
        assert_eq!(rest(SEARCH, "k frommember m"), "<BYRADIUS radius <M | KM>> [ASC | DESC]");
        assert_eq!(syntax_parts("key [NX | XX] value [a [b] c]"), ["key", "[NX | XX]", "value", "[a [b] c]"]);
    }
}
