//! A Python that can read MessagePack.

use std::process::{Command, Stdio};

/// Those of a version manager may stand in front of Debian's, and do not see its packages.
const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];

/// A Python with the package `msgpack`. None: there is none, and the caller is to skip its test.
///
/// Panics: when there must be one.
pub fn with_msgpack() -> Option<&'static str> {
    let works = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", "import msgpack"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = PYTHONS.into_iter().find(works);
    if found.is_none() {
        crate::skip("python3 with msgpack", "python3 python3-msgpack");
    }
    found
}
