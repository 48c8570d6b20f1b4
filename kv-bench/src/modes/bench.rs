//! The plain form: the chosen loads, one after the other, once or without end; and connections that do nothing.

use std::time::Duration;

use anyhow::Result;

use crate::driver::Load;
use crate::report::Report;
use crate::server::Server;

/// True if every reply was what it should be.
pub fn run(server: &Server, preload: Option<&Load>, loads: &[Load], forever: bool, mut report: Report) -> Result<bool> {
    if let Some(load) = preload {
        report.preload(server, load)?;
    }
    loop {
        for load in loads {
            let result = report.run(server, load)?;
            report.add(&result);
        }
        if !forever {
            return report.finish();
        }
    }
}

/// Holds connections that send nothing. True: none of them was closed.
pub fn idle(server: &Server, count: u32, span: Option<Duration>, report: &Report) -> Result<bool> {
    let mut held = (0..count).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    report.say(&format!("{count} connections are open"));
    // Whoever closes one ends the waiting; nothing else comes.
    let first = held.first_mut().expect("there is at least one");
    if let Some(span) = span {
        first.patience(span)?;
    }
    let lost = loop {
        // What comes unasked, an invalidation say, is no end.
        if let Err(lost) = first.wait() {
            break lost;
        }
    };
    let late = lost
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
    if late { Ok(true) } else { Err(lost) }
}
