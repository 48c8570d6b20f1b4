//! Which part of the source may use which, and what only one part may do. Reads the sources as text.
//!
//! - In `kv-core/src` a room uses only the rooms that stand in its row below: none above it, none beside it.
//! - Replies are written by `resp` alone: nobody else spells a line end.
//! - `kv-core` and the engine reach for no socket, thread, clock or file: these are arguments.
//!
//! Tests may use what they like: files called `tests.rs` and all that follows `#[cfg(test)] mod tests` are left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `kv-core/src` from the bottom up, each with those it may use. A new room needs a row.
const ROOMS: &[(&str, &[&str])] = &[
    ("resp", &[]),
    // From here on `resp` for the text forms of numbers: what is an integer's text is stored as one.
    ("structs", &["resp"]),
    ("types", &["resp", "structs"]),
    ("persist", &["resp", "structs", "types"]),
    ("store", &["resp", "structs", "types", "persist"]),
    ("command", &["resp", "structs", "types", "persist", "store"]),
    ("families", &["resp", "structs", "types", "persist", "store", "command"]),
];

/// File, room, reason. One that is no longer needed fails, too.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("command/table.rs", "families", "the table is the one list of all families' rows")];

/// What reaches the machine. `std::time::Duration` is only a number.
const MACHINE: &[&str] =
    &["std::net", "std::fs", "std::thread", "std::process", "std::env", "Instant", "SystemTime", "mio::"];

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let root = workspace().join("kv-core/src");
    let (mut wrong, mut excepted) = (Vec::new(), BTreeSet::new());
    for file in sources(&root) {
        let name = relative(&file, &root);
        if name == "lib.rs" {
            continue;
        }
        let room = name.split(['/', '.']).next().expect("split gives at least one part");
        let Some((_, may_use)) = ROOMS.iter().find(|(known, _)| *known == room) else {
            wrong.push(format!("{name}: the room `{room}` has no row in this test"));
            continue;
        };
        for (line, used) in rooms_used(&code_of(&file), depth(&name)) {
            if used == room || may_use.contains(&used.as_str()) {
                continue;
            }
            match EXCEPTIONS.iter().position(|(file, to, _)| *file == name && *to == used) {
                Some(exception) => {
                    excepted.insert(exception);
                }
                None => wrong.push(format!("{name}:{line}: `{room}` must not use `{used}`")),
            }
        }
    }
    for (index, (file, used, reason)) in EXCEPTIONS.iter().enumerate() {
        if !excepted.contains(&index) {
            wrong.push(format!("{file} no longer uses `{used}` ({reason}): remove the exception"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_line_end_is_written_outside_resp() {
    let mut wrong = Vec::new();
    for root in ["kv-core/src", "kv-server/src"].map(|part| workspace().join(part)) {
        for file in sources(&root) {
            if relative(&file, &root).starts_with("resp/") {
                continue;
            }
            let advice = "replies are written by resp::Reply (the lines of a text: resp::reply::TEXT_LINE_END)";
            let code = code_of(&file);
            wrong.extend(lines_with(&code, &[r"\r\n"]).map(|line| format!("{}:{line}: {advice}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn core_and_engine_do_not_reach_the_machine() {
    let mut wrong = Vec::new();
    for root in ["kv-core/src", "kv-server/src/engine"].map(|part| workspace().join(part)) {
        for file in sources(&root) {
            let advice = "sockets, threads, clock and files are arguments";
            let code = code_of(&file);
            wrong.extend(lines_with(&code, MACHINE).map(|line| format!("{}:{line}: {advice}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_way_to_write_an_import_is_seen() {
    const NONE: [&str; 0] = [];
    let used = |code: &str, depth| rooms_used(code, depth).into_iter().map(|(_, room)| room).collect::<Vec<_>>();
    assert_eq!(used("use crate::store::Db;", 2), ["store"]);
    assert_eq!(used("use crate::store;", 2), ["store"]);
    assert_eq!(
        used("pub(crate) use crate::{resp::{Arg, number}, store as keys,\n    types::hll};", 2),
        ["resp", "store", "types"]
    );
    assert_eq!(used("let x = crate::families::ROWS; crate::resp::line::split(b\"\")", 2), ["families", "resp"]);
    assert_eq!(used("use super::command;", 1), ["command"]);
    assert_eq!(used("use super::super::store;", 2), ["store"]);
    assert_eq!(used("use super::command; use super::super::types;", 3), NONE);
    assert_eq!(used("// use crate::store;\n/// [`crate::store`]\n//! crate::store", 2), NONE);
    assert_eq!(used("use other_crate::store; use a::crate::store;", 2), NONE);
    assert_eq!(rooms_used("\n\nuse crate::store;", 2), [(3, "store".to_owned())]);
}

#[test]
fn tests_are_left_out_and_code_is_not() {
    let code = without_tests(
        "let a = \"\\r\\n\";\n#[cfg(test)]\nfn helper() {}\nlet b;\n#[cfg(test)]\nmod tests {\n  \"\\r\\n\"\n}\n",
    );
    assert_eq!(lines_with(&code, &[r"\r\n"]).collect::<Vec<_>>(), [1]);
    assert!(code.contains("let b"));
    assert_eq!(lines_with("// \\r\\n\nx // \\r\\n\ny", &[r"\r\n"]).count(), 0);
    assert_eq!(depth("resp/mod.rs"), 1);
    assert_eq!(depth("resp/decode.rs"), 2);
    assert_eq!(depth("resp/decode/fuzz.rs"), 3);
}

#[test]
fn the_sources_are_found() {
    let root = workspace().join("kv-core/src");
    let names: Vec<String> = sources(&root).iter().map(|file| relative(file, &root)).collect();
    for (room, _) in ROOMS {
        assert!(names.contains(&format!("{room}/mod.rs")), "no {room}/mod.rs in {names:?}");
    }
    assert!(!names.iter().any(|name| name.ends_with("tests.rs")), "tests among {names:?}");
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace").to_owned()
}

/// All Rust files under `folder` but those that hold tests, in a fixed order.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn relative(file: &Path, root: &Path) -> String {
    file.strip_prefix(root).expect("a file under its root").to_string_lossy().replace('\\', "/")
}

/// How many modules a file's module lies below the crate.
fn depth(name: &str) -> usize {
    let parts = name.split('/').count();
    if name.ends_with("/mod.rs") { parts - 1 } else { parts }
}

fn code_of(file: &Path) -> String {
    without_tests(&fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

fn without_tests(source: &str) -> String {
    source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// The line without its comment. A `//` in a literal cuts too much; what follows it there is no import.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The numbers of the lines that hold one of `words`.
fn lines_with<'a>(code: &'a str, words: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
    let holds = |line: &str| words.iter().any(|word| without_comment(line).contains(word));
    code.lines().enumerate().filter(move |(_, line)| holds(line)).map(|(index, _)| index + 1)
}

/// The modules right below the crate that `code` names, with line numbers: by `crate::`, or by as many `super::` as
/// lead there.
fn rooms_used(code: &str, depth: usize) -> Vec<(usize, String)> {
    let code: String = code.lines().map(|line| format!("{}\n", without_comment(line))).collect();
    let mut found = Vec::new();
    for to_crate in ["crate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&to_crate) {
            let before = &code[..at];
            if before.ends_with(|end: char| end.is_alphanumeric() || end == '_' || end == ':') {
                continue;
            }
            let line = before.matches('\n').count() + 1;
            found.extend(first_names(&code[at + to_crate.len()..]).into_iter().map(|room| (line, room)));
        }
    }
    found
}

/// The first name of a path, or of each path of a `{group}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|&letter| letter.is_alphanumeric() || letter == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut names, mut nested, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => nested += 1,
            '}' if nested > 0 => nested -= 1,
            ',' | '}' if nested == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}
