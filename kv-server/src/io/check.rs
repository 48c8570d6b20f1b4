//! `kv-server check DIR [--repair]`: what is in a folder, without a server.

use super::clock::Clock;
use super::data::Threads;
use super::disk::Folder;
use super::machine::check_folder;
use crate::config::StartError;
use crate::engine::durability::check::{Report, Verdict, check, repair};
use std::io::Write;
use std::path::Path;

/// Prints what a folder holds; the status to exit with: 0 for fine, 1 for a torn end that a start cuts, 2 for damage.
///
/// Errors: the folder cannot be used, or is in use by a server; nothing has been looked at then.
pub fn check_data(dir: &Path, mend: bool) -> Result<u8, StartError> {
    check_folder(dir)?;
    let folder = Folder::lock(dir)?;
    let now_ms = Clock::new().now_us() / 1000;
    if mend {
        let mended = repair(&folder, &Threads, now_ms, &format!(".bak-{}", now_ms / 1000));
        return Ok(match mended {
            Ok(lines) => {
                lines.iter().for_each(|line| tell(line));
                0
            }
            Err(why) => {
                tell(&format!("cannot be mended: {why}"));
                2
            }
        });
    }
    let Report { lines, verdict } = check(&folder, &Threads, now_ms);
    lines.iter().for_each(|line| tell(line));
    let (status, words) = match verdict {
        Verdict::Fine => (0, "fine"),
        Verdict::Torn => (1, "torn, as a crash leaves it: a start cuts the end"),
        Verdict::Damaged => (2, "damaged: a start refuses; --repair keeps what can be read"),
    };
    tell(words);
    Ok(status)
}

/// Somebody who reads no further (`| head`) is no reason to stop.
fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
