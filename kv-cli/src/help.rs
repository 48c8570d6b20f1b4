//! What kv-cli knows about commands, all from the server's own rows: help texts, completion, hints.

use kv_core::command::{CommandSpec, Table, table};
use kv_core::resp::line;

/// What `help` alone prints.
pub const USAGE: &str = "\
Type a command and its arguments, quoted where blanks are meant: set greeting \"hello, world\"
  5 incr x              sends the command 5 times
  connect HOST PORT     goes to another server
  subscribe, monitor    show messages until Ctrl-C
  clear                 clears the screen
  help                  this text; help COMMAND, help @GROUP: about commands
  quit, exit, Ctrl-D    leave
Tab completes names. Lines that begin with a blank, and those with passwords, are not kept in the history.
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
    for spec in rows.clone().filter(|spec| spec.group.as_str().eq_ignore_ascii_case(group)) {
        text += format!("  {} {}", spec.name, spec.syntax).trim_end();
        text += &format!("\n    {}\n", spec.summary);
    }
    if text.is_empty() {
        let mut groups: Vec<&str> = rows.map(|spec| spec.group.as_str()).collect();
        groups.sort_unstable();
        groups.dedup();
        text = format!("No group '@{group}'. There are @{}\n", groups.join(", @"));
    }
    text
}

/// The names that complete what was typed of a line, with the place where the completed word begins. A name follows
/// the case of what was typed.
pub fn completions(typed: &str) -> (usize, Vec<String>) {
    let table = table();
    let start = typed.rfind(' ').map_or(0, |blank| blank + 1);
    let before: Vec<&str> = typed[..start].split_whitespace().collect();
    let word = &typed[start..];
    let ids = match before.as_slice() {
        [] => table.top(),
        [help] if help.eq_ignore_ascii_case("help") => table.top(),
        [container] => table.by_full_name(container.as_bytes()).map_or(&[][..], |id| &table.row(id).subs),
        _ => &[],
    };
    let lower = word.chars().next_back().is_none_or(|last| last.is_ascii_lowercase());
    let mut names: Vec<String> = ids
        .iter()
        .map(|id| table.row(*id).spec.name)
        .filter(|name| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
        .map(|name| if lower { name.to_lowercase() } else { name.to_owned() })
        .collect();
    names.sort_unstable();
    (start, names)
}

/// The arguments that may follow a line, for a line that ends in a blank.
pub fn hint(typed: &str) -> Option<String> {
    let table = table();
    if !typed.ends_with(' ') {
        return None;
    }
    // An open quote means that the blank belongs to an argument.
    let words = line::split(typed.as_bytes()).ok()?;
    let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let (name, rest) = words.split_first()?;
    let found = match rest.split_first() {
        Some((sub, args)) => table.by_full_name(format!("{name}|{sub}").as_bytes()).map(|id| (id, args.len())),
        None => None,
    };
    let (id, args) = found.or_else(|| table.by_full_name(name.as_bytes()).map(|id| (id, rest.len())))?;
    let parts = syntax_parts(table.row(id).spec.syntax);
    (args < parts.len()).then(|| parts[args..].join(" "))
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
    fn names_are_completed_in_the_case_they_are_typed_in() {
        assert_eq!(completions("getr"), (0, vec!["getrange".to_owned()]));
        assert_eq!(completions("GETR"), (0, vec!["GETRANGE".to_owned()]));
        assert_eq!(completions("object re"), (7, vec!["refcount".to_owned()]));
        assert_eq!(completions("help pfc"), (5, vec!["pfcount".to_owned()]));
        assert!(completions("get k").1.is_empty());
        assert!(completions("").1.len() > 50);
        assert!(completions("gä").1.is_empty());
    }

    #[test]
    fn hints_shrink_with_the_arguments_typed() {
        assert_eq!(hint("getrange ").as_deref(), Some("key start end"));
        assert_eq!(hint("getrange k 1 ").as_deref(), Some("end"));
        assert_eq!(hint("getrange k 1 2 "), None);
        assert_eq!(hint("getrange k"), None);
        assert_eq!(hint("getrange \"a b "), None);
        assert_eq!(hint("getrange \"a b\" ").as_deref(), Some("start end"));
        assert_eq!(hint("nope "), None);
        assert_eq!(syntax_parts("key [NX | XX] value [a [b] c]"), ["key", "[NX | XX]", "value", "[a [b] c]"]);
    }
}
