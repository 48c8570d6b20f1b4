//! Programs as people write them with client libraries, on kv as it comes and with several shards, and on redis-server, so that a
//! program which only we please is found out. The programs are in `tests/programs`.

use std::path::Path;
use std::process::Command;

use kv_tests::process::Server;
use kv_tests::python;
use kv_tests::redis::Redis;

/// Runs a program of redis-py with the server at `url`; it must say these lines, and nothing else.
fn redis_py(python: &str, program: &str, url: &str, lines: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(program);
    let output = Command::new(python).arg(path).arg(url).output().expect("python runs");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} with {url} failed:\n{said}{errors}");
    assert_eq!(said.lines().collect::<Vec<_>>(), lines, "{program} with {url}");
}

#[test]
fn redis_py_publishes_and_subscribes() {
    let Some(python) = python::with_redis() else { return };
    let lines = ["chat", "worker", "many"];
    for shards in ["1", "4"] {
        let server = Server::start(&["--shards", shards]);
        redis_py(python, "pubsub.py", &format!("redis://{}", server.address()), &lines);
    }
    if let Some(redis) = Redis::start() {
        redis_py(python, "pubsub.py", &format!("unix://{}", redis.socket().display()), &lines);
    }
}
