//! Helpers shared by the tests.

pub mod bank;
pub mod browser;
pub mod client;
pub mod contents;
pub mod differences;
pub mod moving;
pub mod node;
pub mod process;
pub mod python;
pub mod redis;
pub mod requests;
pub mod samples;
pub mod script;
pub mod shown;
pub mod terminal;

use std::io::{self, Write};

/// With this variable in the environment a missing program fails a test instead of skipping it: CI services set it, and so
/// does .ci/run.
const CI: &str = "CI";

/// Says aloud that a test is skipped because something is missing that `packages` of Debian have.
///
/// Panics: in CI, where it must be there.
pub fn skip(what: &str, packages: &str) {
    assert!(std::env::var_os(CI).is_none(), "{what} is not installed, and {CI} is set");
    // Not by a macro, whose output the test runner hides.
    let text = format!("is not installed (Debian: apt install {packages})");
    let _ = writeln!(io::stderr(), "\n*** SKIPPED a test: {what} {text} ***\n");
}
