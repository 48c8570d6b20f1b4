//! docs/commands.md, made of the rows.

use super::{CommandSpec, Group, Row, Spread, table};
use std::fmt::Write;

const HEAD: &str = "\
# Commands

<!-- Made from the rows in kv-core/src/families; a test compares. To renew it:
     KV_UPDATE_DOCS=1 cargo test -p kv-core command::docs -->

*Since* is the version of Redis that first had the command. *Runs* says where the work is done:

- **one shard**: on the shard of its key; when its keys lie on several shards, these come together for it
- **each its part**: every involved shard answers for its own keys, and the answers are joined
- **all shards**: every shard runs it, and the answers are joined
- **shard of the cursor**: the cursor tells which shard goes on
- **at once**: on the worker of the connection, which asks no shard
- **all shards of its commands**: on all shards that the transaction and the watched keys are on, at one moment
- **where subscribers are**: on all workers that have subscribers of the channel
";

/// The groups in the order of the page.
const GROUPS: &[(Group, &str)] = &[
    (Group::String, "Strings"),
    (Group::Generic, "Keys"),
    (Group::Hash, "Hashes"),
    (Group::List, "Lists"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Stream, "Streams"),
    (Group::Bitmap, "Bitmaps"),
    (Group::Hyperloglog, "HyperLogLogs"),
    (Group::Geo, "Places"),
    (Group::Pubsub, "Publish and subscribe"),
    (Group::Transactions, "Transactions"),
    (Group::Scripting, "Scripts and functions"),
    (Group::Connection, "Connection"),
    (Group::Server, "Server"),
];

/// The page as Markdown.
pub fn commands_markdown() -> String {
    let table = table();
    let mut text = String::from(HEAD);
    for &(group, title) in GROUPS {
        let mut ids: Vec<_> = table.top().iter().copied().filter(|&id| table.row(id).spec.group == group).collect();
        ids.sort_by_key(|&id| table.row(id).spec.name);
        if ids.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n## {title}\n\n| command | what it does | complexity | since | runs |\n|---|---|---|---|---|\n"
        );
        for id in ids {
            let row = table.row(id);
            // A container does nothing itself; COMMAND does.
            if !matches!(row.spec.handler, super::Handler::Container) {
                line(row, &mut text);
            }
            let mut subs: Vec<&Row> = row.subs.iter().map(|&sub| table.row(sub)).collect();
            subs.sort_by(|a, b| a.full_name.cmp(&b.full_name));
            subs.into_iter().for_each(|sub| line(sub, &mut text));
        }
    }
    text
}

fn line(row: &Row, text: &mut String) {
    let spec = row.spec;
    let name = row.full_name.to_uppercase().replace('|', " ");
    let syntax = format!("{name} {}", spec.syntax);
    let cell = |text: &str| text.replace('|', "\\|");
    let _ = writeln!(
        text,
        "| `{}` | {} | {} | {} | {} |",
        cell(syntax.trim_end()),
        cell(spec.summary),
        cell(spec.complexity),
        spec.since,
        runs(spec)
    );
}

fn runs(spec: &CommandSpec) -> &'static str {
    match spec.spread {
        Spread::Keys => "one shard",
        Spread::Parts { .. } => "each its part",
        Spread::All { .. } => "all shards",
        Spread::Cursor { .. } => "shard of the cursor",
        Spread::Session => "at once",
        Spread::Transaction => "all shards of its commands",
        Spread::Channel { .. } => "where subscribers are",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_the_one_the_rows_make() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/commands.md");
        let wanted = commands_markdown();
        if std::env::var_os("KV_UPDATE_DOCS").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap() == wanted,
            "docs/commands.md is out of date: KV_UPDATE_DOCS=1 cargo test -p kv-core command::docs"
        );
    }

    #[test]
    fn every_command_has_a_line() {
        let text = commands_markdown();
        for id in 0..table().len() {
            let row = table().row(id as u16);
            if !matches!(row.spec.handler, super::super::Handler::Container) {
                let name = row.full_name.to_uppercase().replace('|', " ");
                let starts = [format!("\n| `{name}` |"), format!("\n| `{name} ")];
                assert!(starts.iter().any(|start| text.contains(start)), "{name}");
            }
        }
    }
}
