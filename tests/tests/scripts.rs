//! All scripts, in both protocols, with one shard and with several, and with redis-server: what they say is what Redis
//! answers, too, or the section says why not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kv_core::command::{Found, Handler, Row, table};
use kv_core::resp::Proto;
use kv_tests::client::Client;
use kv_tests::process::Server;
use kv_tests::redis::Redis;
use kv_tests::script::{Host, Script, play};

struct Kv {
    server: Server,
    shards: &'static str,
}

impl Kv {
    fn start(shards: &'static str, more: &[String]) -> Kv {
        let options = ["--shards".to_owned(), shards.to_owned()];
        Kv { server: Server::start(&[&options, more].concat()), shards }
    }
}

impl Host for Kv {
    fn connect(&self) -> Client {
        self.server.client()
    }
    fn with_options(&self, options: &[String]) -> Option<Box<dyn Host>> {
        Some(Box::new(Kv::start(self.shards, options)))
    }
    fn is_redis(&self) -> bool {
        false
    }
}

/// Part of the name of the one file to play.
const ONLY: &str = "KV_SCRIPT";

/// All scripts, or the one asked for.
fn scripts() -> Vec<Script> {
    let only = std::env::var(ONLY).unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let files = std::fs::read_dir(folder).expect("the folder of scripts");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "kvt"));
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(&only)));
    paths.sort();
    paths.iter().map(|path| Script::read(path)).collect()
}

fn play_all(host: &dyn Host, proto: Proto) {
    let failures: Vec<String> = scripts().iter().flat_map(|script| play(script, host, proto)).collect();
    assert!(failures.is_empty(), "\n{} failed:\n\n{}\n", failures.len(), failures.join("\n\n"));
}

#[test]
fn scripts_hold_in_resp2_with_one_shard() {
    play_all(&Kv::start("1", &[]), Proto::Resp2);
}

#[test]
fn scripts_hold_in_resp3_with_one_shard() {
    play_all(&Kv::start("1", &[]), Proto::Resp3);
}

#[test]
fn scripts_hold_in_resp2_with_four_shards() {
    play_all(&Kv::start("4", &[]), Proto::Resp2);
}

#[test]
fn scripts_hold_in_resp3_with_four_shards() {
    play_all(&Kv::start("4", &[]), Proto::Resp3);
}

#[test]
fn scripts_say_what_redis_answers_in_resp2() {
    let Some(redis) = Redis::start() else { return };
    play_all(&redis, Proto::Resp2);
}

#[test]
fn scripts_say_what_redis_answers_in_resp3() {
    let Some(redis) = Redis::start() else { return };
    play_all(&redis, Proto::Resp3);
}

/// Every request in a script with the row it names.
fn requests(scripts: &[Script]) -> impl Iterator<Item = (&'static Row, &[Vec<u8>])> {
    let steps = scripts.iter().flat_map(|script| &script.sections).flat_map(|section| &section.steps);
    steps.filter_map(|step| step.words()).filter_map(|words| {
        match table().find(&words[0], words.get(1).map(Vec::as_slice)) {
            Found::Row(id) => Some((table().row(id), words)),
            Found::UnknownCommand | Found::UnknownSubcommand(_) | Found::MissingSubcommand(_) => None,
        }
    })
}

/// The keywords in a row's syntax.
fn keywords(syntax: &str) -> impl Iterator<Item = &str> {
    let words = syntax.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-'))
}

#[test]
fn every_command_and_every_option_is_in_a_script() {
    if std::env::var_os(ONLY).is_some() {
        return;
    }
    let mut missing: BTreeSet<(&str, &str)> = BTreeSet::new();
    for id in 0..table().len() {
        let row = table().row(id as u16);
        if !matches!(row.spec.handler, Handler::Container) {
            missing.insert((&row.full_name, ""));
            missing.extend(keywords(row.spec.syntax).map(|keyword| (row.full_name.as_str(), keyword)));
        }
    }
    let scripts = scripts();
    for (row, words) in requests(&scripts) {
        missing.remove(&(row.full_name.as_str(), ""));
        for keyword in keywords(row.spec.syntax) {
            if words.iter().skip(row.name_words).any(|word| word.eq_ignore_ascii_case(keyword.as_bytes())) {
                missing.remove(&(row.full_name.as_str(), keyword));
            }
        }
    }
    assert!(missing.is_empty(), "no script uses {missing:?}");
}
