//! A Python that has the packages of Debian that programs of the tests import.

use std::process::{Command, Stdio};

/// Those of a version manager may stand in front of Debian's, and do not see its packages.
pub const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];

/// A Python with a module. None: there is none, and the caller is to skip its test.
///
/// Panics: when there must be one.
pub fn with(module: &str) -> Option<&'static str> {
    let works = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", &format!("import {module}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = PYTHONS.into_iter().find(works);
    if found.is_none() {
        crate::skip(&format!("python3 with {module}"), &format!("python3 python3-{module}"));
    }
    found
}
