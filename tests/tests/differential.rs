//! The same random requests to kv-server and to a real redis-server, over the wire: pipelines of all lengths, both
//! protocols, one shard and several. The replies must be the same, or be a difference that is meant.
//!
//! Then random scripts: what they answer, and what is left in the end.
//!
//! `KV_DIFF_COMMANDS=1000000` and `KV_DIFF_SCRIPTS=1000000` for more requests than in the normal run, `KV_TESTS_SEED=77` for others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kv_core::command::table;
use kv_core::families::testing::show;
use kv_core::resp::client::{Value, encode_request};
use kv_core::resp::line;
use kv_core::structs::random::Random;
use kv_tests::client::Client;
use kv_tests::process::Server;
use kv_tests::redis::Redis;
use kv_tests::requests::{DATABASES, Grammar, KNOWN, Step, agree, look_by_type, setting, shortest};

/// Requests in all, over both protocols and both numbers of shards.
const COMMANDS: u64 = 400_000;
/// The same where two of three are scripts.
const SCRIPTS: u64 = 20_000;
/// Cases with a difference that each of them tells.
const FOUND_MAX: usize = 4;
/// The longest pipeline.
const PIPELINE_MAX: usize = 40;

type Words = Vec<Vec<u8>>;

/// Sends the requests in pipelines, whose lengths the seed decides.
fn replies(client: &mut Client, requests: &[Words], seed: u64) -> Vec<Value> {
    let random = &mut Random::new(seed);
    let mut replies = Vec::with_capacity(requests.len());
    let mut rest = requests;
    while !rest.is_empty() {
        let longest = if random.one_in(3) { 1 } else { PIPELINE_MAX };
        let (now, later) = rest.split_at(rest.len().min(1 + random.index(longest)));
        let mut bytes = Vec::new();
        now.iter().for_each(|words| encode_request(&mut bytes, words));
        client.send_bytes(&bytes);
        replies.extend(now.iter().map(|_| client.receive()));
        rest = later;
    }
    replies
}

/// The keys of a database, found by KEYS and by a walk with SCAN.
fn keys(client: &mut Client, db: usize) -> BTreeSet<Vec<u8>> {
    client.ask(&["SELECT", &db.to_string()]);
    let Value::Array(keys) = client.ask(&["KEYS", "*"]) else { panic!("KEYS answers with an array") };
    let bytes = |value: &Value| value.bytes().expect("a key").to_vec();
    let keys: BTreeSet<Vec<u8>> = keys.iter().map(bytes).collect();
    let mut walked = BTreeSet::new();
    let mut cursor = b"0".to_vec();
    loop {
        let Value::Array(reply) = client.ask(&[&b"SCAN"[..], &cursor]) else { panic!("SCAN answers with an array") };
        let [Value::Bulk(next), Value::Array(found)] = &reply[..] else { panic!("a cursor and keys") };
        walked.extend(found.iter().map(bytes));
        cursor.clone_from(next);
        if cursor == b"0" {
            break;
        }
    }
    assert_eq!(keys, walked, "KEYS and SCAN tell the same keys");
    match client.ask(&["RANDOMKEY"]) {
        Value::Nil => assert!(keys.is_empty(), "RANDOMKEY picks one of {keys:?}"),
        picked => assert!(keys.contains(&bytes(&picked)), "RANDOMKEY picks one of {keys:?}"),
    }
    keys
}

/// The first request that is answered differently, with both answers; of a transaction that is carried out, its first command.
fn first_difference(requests: &[Words], seed: u64, ours: &mut Client, theirs: &mut Client) -> Option<String> {
    let (our_replies, their_replies) = (replies(ours, requests, seed), replies(theirs, requests, seed));
    let differ = |words: &Words, our: &Value, their: &Value| {
        // What a script does is told below.
        let said = |words: &Words| match words[0].starts_with(b"EVAL") {
            true => String::from_utf8_lossy(&words[0]).into_owned(),
            false => Step::Request(words.clone()).to_string(),
        };
        let text = || format!("{}: we say {}, Redis says {}", said(words), show(our), show(their));
        (!agree(words, our, their)).then(text)
    };
    let mut queued: Vec<&Words> = Vec::new();
    for (words, (our, their)) in requests.iter().zip(our_replies.iter().zip(&their_replies)) {
        let found = match (our, their) {
            (Value::Simple(text), _) if text == b"QUEUED" => {
                queued.push(words);
                differ(words, our, their)
            }
            (Value::Simple(_), _) if words[0] == b"MULTI" => {
                queued.clear();
                differ(words, our, their)
            }
            (Value::Array(our), Value::Array(their))
                if words[0] == b"EXEC" && our.len() == queued.len() && their.len() == queued.len() =>
            {
                let mut pairs = queued.iter().zip(our.iter().zip(their));
                pairs
                    .find_map(|(words, (our, their))| differ(words, our, their))
                    .map(|found| format!("EXEC of {found}"))
            }
            _ => differ(words, our, their),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// What asks for all that is known of keys.
fn questions(keys: &BTreeSet<Vec<u8>>, client: &mut Client) -> Vec<Words> {
    let mut questions = Vec::new();
    for key in keys {
        let Value::Simple(kind) = client.ask(&[b"TYPE", &key[..]]) else { panic!("TYPE answers with a word") };
        questions.push(look_by_type(&String::from_utf8_lossy(&kind), key));
        questions.push(vec![b"PTTL".to_vec(), key.clone()]);
        questions.push(vec![b"OBJECT".to_vec(), b"ENCODING".to_vec(), key.clone()]);
    }
    questions
}

/// Says which seed it was if something panics.
struct Says(u64);

impl Drop for Says {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// Runs the steps on empty servers; tells where they differ first.
fn difference(steps: &[Step], seed: u64, ours: &mut Client, theirs: &mut Client) -> Option<String> {
    for client in [&mut *ours, &mut *theirs] {
        // A shortened case may have left a transaction open.
        client.ask(&["DISCARD"]);
        client.ask(&["UNWATCH"]);
        client.ask(&["FLUSHALL"]);
        client.ask(&["SCRIPT", "FLUSH"]);
        client.ask(&["SELECT", "0"]);
        client.ask(&["CLIENT", "SETNAME", ""]);
    }
    let requests: Vec<Words> = steps.iter().flat_map(Step::requests).collect();
    let found = first_difference(&requests, seed, ours, theirs);
    if found.is_some() {
        return found;
    }
    for client in [&mut *ours, &mut *theirs] {
        client.ask(&["DISCARD"]);
    }
    for db in 0..DATABASES {
        let (our, their) = (keys(ours, db), keys(theirs, db));
        if our != their {
            let shown =
                |keys: &BTreeSet<Vec<u8>>| keys.iter().map(|key| line::quote(key)).collect::<Vec<_>>().join(" ");
            return Some(format!("database {db} holds {} with us and {} with Redis", shown(&our), shown(&their)));
        }
        let questions = questions(&their, theirs);
        let found = first_difference(&questions, seed, ours, theirs);
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Under which sizes collections are packed; both servers have these options.
type Limits = &'static [&'static str];

const DEFAULT: Limits = &[];
/// So low that every case has collections of all forms.
const LOW: Limits = &[
    "--hash-max-listpack-entries",
    "4",
    "--hash-max-listpack-value",
    "12",
    "--list-max-listpack-size",
    "3",
    "--set-max-intset-entries",
    "4",
    "--zset-max-listpack-entries",
    "4",
    "--zset-max-listpack-value",
    "12",
    "--stream-node-max-entries",
    "4",
];

/// Steps that differ, with as few statements in their scripts as are needed for it.
fn with_shorter_scripts(mut steps: Vec<Step>, mut fails: impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    for at in 0..steps.len() {
        let Step::Script(script) = &steps[at] else { continue };
        let statements = shortest(script.statements.clone(), |statements| {
            let mut fewer = steps.clone();
            fewer[at] = Step::Script(Box::new(script.with(statements)));
            fails(&fewer)
        });
        steps[at] = Step::Script(Box::new(script.with(&statements)));
    }
    steps
}

fn compare(grammar: &Grammar, commands: u64, shards: &str, proto: &str, limits: Limits, first: u64) {
    let Some(redis) = Redis::start_with(limits) else { return };
    let server = Server::start(&[&["--shards", shards], limits].concat());
    let (mut ours, mut theirs) = (server.client(), redis.client());
    for client in [&mut ours, &mut theirs] {
        assert!(!client.ask(&["HELLO", proto]).is_error());
    }
    let mut left = commands;
    let mut seed = setting("KV_TESTS_SEED", 1).wrapping_mul(1 << 32) + first;
    let mut found = Vec::new();
    while left > 0 && found.len() < FOUND_MAX {
        let _says = Says(seed);
        let steps = grammar.case(seed);
        left = left.saturating_sub(steps.len() as u64);
        if let Some(difference_there) = difference(&steps, seed, &mut ours, &mut theirs) {
            let mut fails = |steps: &[Step]| difference(steps, seed, &mut ours, &mut theirs).is_some();
            let steps = shortest(steps, &mut fails);
            let steps = with_shorter_scripts(steps, fails);
            let shown = difference(&steps, seed, &mut ours, &mut theirs).unwrap_or(difference_there);
            let lines: Vec<String> = steps.iter().map(Step::to_string).collect();
            found.push(format!("seed {seed}, RESP{proto}, {shards} shards, {limits:?}: {shown}\n{}", lines.join("\n")));
        }
        seed += 1;
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

fn compare_requests(shards: &str, proto: &str, limits: Limits, first: u64) {
    compare(&Grammar::of_server(), setting("KV_DIFF_COMMANDS", COMMANDS) / 4, shards, proto, limits, first);
}

#[test]
fn random_requests_are_answered_as_by_redis_in_resp2_with_one_shard() {
    compare_requests("1", "2", DEFAULT, 0);
}

#[test]
fn random_requests_are_answered_as_by_redis_in_resp3_with_one_shard() {
    compare_requests("1", "3", LOW, 1 << 20);
}

#[test]
fn random_requests_are_answered_as_by_redis_in_resp2_with_four_shards() {
    compare_requests("4", "2", LOW, 2 << 20);
}

#[test]
fn random_requests_are_answered_as_by_redis_in_resp3_with_four_shards() {
    compare_requests("4", "3", DEFAULT, 3 << 20);
}

fn compare_scripts(shards: &str, proto: &str, limits: Limits, first: u64) {
    compare(&Grammar::of_scripts(), setting("KV_DIFF_SCRIPTS", SCRIPTS) / 2, shards, proto, limits, first);
}

#[test]
fn random_scripts_do_and_answer_what_they_do_with_redis_with_one_shard() {
    compare_scripts("1", "2", DEFAULT, 4 << 20);
}

#[test]
fn random_scripts_do_and_answer_what_they_do_with_redis_with_four_shards() {
    compare_scripts("4", "3", LOW, 5 << 20);
}

#[test]
fn a_wrong_number_of_words_is_told_as_by_redis_for_every_command() {
    let Some(redis) = Redis::start() else { return };
    let server = Server::start(&["--shards", "2"]);
    let (mut ours, mut theirs) = (server.client(), redis.client());
    let mut compared = 0;
    for id in 0..table().len() {
        let row = table().row(id as u16);
        let mut words: Vec<&str> = row.full_name.split('|').collect();
        let most = 1 + usize::from(row.spec.arity.as_redis().unsigned_abs() as u16);
        while words.len() <= most {
            // Only what is refused, so that nothing happens.
            if !row.spec.arity.accepts(words.len()) {
                let (our, their) = (ours.ask(&words), theirs.ask(&words));
                let unknown = their.bytes().is_some_and(|text| text.starts_with(b"ERR unknown"));
                assert!(our == their || unknown, "{words:?}: we say {}, Redis says {}", show(&our), show(&their));
                compared += u32::from(!unknown);
            }
            words.push("x");
        }
    }
    assert!(compared > 100, "only {compared} refusals were compared");
}

/// All sources and scripts of the workspace.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") || name.ends_with(".kvt") {
            found.push(path);
        }
    }
}

#[test]
fn every_difference_in_the_documentation_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/compatibility.md")).expect("the page of differences");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let texts: Vec<String> = paths.iter().map(|path| fs::read_to_string(path).expect("text")).collect();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 10, "the table was found");
    let mut missing = Vec::new();
    for row in rows {
        let test = row.trim_end_matches([' ', '|']).rsplit("| ").next().unwrap_or("").trim_matches(['`', ' ']);
        // A test's name, or the title of a script's section.
        let (function, title) = (format!("fn {test}("), format!("== {test}\n"));
        if !texts.iter().any(|text| text.contains(&function) || text.contains(&title)) {
            missing.push(test);
        }
    }
    assert!(missing.is_empty(), "these tests of docs/compatibility.md do not exist: {missing:#?}");
    for known in KNOWN {
        assert!(page.contains(known.line), "docs/compatibility.md does not say: {}", known.line);
    }
}
