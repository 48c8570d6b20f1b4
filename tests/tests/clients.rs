//! Programs as people write them with client libraries, on kv as it comes and with several shards, and on redis-server, so that a
//! program which only we please is found out. The programs are in `tests/programs`.

use std::path::Path;
use std::process::Command;

use kv_tests::process::Server;
use kv_tests::redis::Redis;
use kv_tests::{node, python};

/// Runs a program of `tests/programs` with the server at `place`; it must say these lines, and nothing else.
fn run(mut interpreter: Command, program: &str, place: &str, lines: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(program);
    let output = interpreter.arg(path).arg(place).output().expect("the interpreter runs");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} with {place} failed:\n{said}{errors}");
    assert_eq!(said.lines().collect::<Vec<_>>(), lines, "{program} with {place}");
}

/// A program of Python on kv and on Redis. `socket`: the scheme of a socket's URL.
fn run_python(python: &str, program: &str, socket: &str, lines: &[&str]) {
    for shards in ["1", "4"] {
        let server = Server::start(&["--shards", shards]);
        run(Command::new(python), program, &format!("redis://{}", server.address()), lines);
    }
    if let Some(redis) = Redis::start() {
        run(Command::new(python), program, &format!("{socket}://{}", redis.socket().display()), lines);
    }
}

#[test]
fn redis_py_publishes_and_subscribes() {
    let Some(python) = python::with("redis") else { return };
    run_python(python, "pubsub.py", "unix", &["chat", "worker", "many"]);
}

#[test]
fn a_worker_of_rq_does_its_jobs() {
    let Some(python) = python::with("rq") else { return };
    run_python(python, "rq_jobs.py", "unix", &["worker", "jobs", "requeue", "end"]);
}

#[test]
fn a_worker_of_celery_does_its_tasks() {
    let Some(python) = python::with("celery") else { return };
    let lines = ["one", "group", "chain", "chord", "later", "retry", "control"];
    run_python(python, "celery_jobs.py", "redis+socket", &lines);
}

#[test]
fn workers_of_bullmq_do_their_jobs() {
    let Some(node) = node::with_bullmq() else { return };
    let lines = ["ready", "jobs", "later", "again", "children", "priority", "scheduler", "end"];
    for shards in ["1", "4"] {
        let server = Server::start(&["--shards", shards]);
        run(node(), "bullmq_jobs.js", &server.address().to_string(), &lines);
    }
    if let Some(redis) = Redis::start() {
        run(node(), "bullmq_jobs.js", &redis.socket().display().to_string(), &lines);
    }
}
