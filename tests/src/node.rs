//! A Node.js that has BullMQ.

use std::path::Path;
use std::process::{Command, Stdio};

/// Where `.ci/run` installs the packages.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/node/node_modules");

/// Makes commands that run it. None: there is none, and the caller is to skip its test.
///
/// Panics: when there must be one.
pub fn with_bullmq() -> Option<fn() -> Command> {
    let node = || {
        let mut command = Command::new("node");
        command.env("NODE_PATH", MODULES).stdin(Stdio::null());
        command
    };
    let works = node().arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !works || !Path::new(MODULES).join("bullmq").is_dir() {
        crate::skip("node with bullmq", "nodejs npm; then: npm install --prefix target/node bullmq@5");
        return None;
    }
    Some(node)
}
