//! The plain form: the chosen loads, one after the other.

use anyhow::Result;

use crate::driver::Load;
use crate::report::Report;
use crate::server::Server;

/// True if every reply was what it should be.
pub fn run(server: &Server, preload: Option<&Load>, loads: &[Load], mut report: Report) -> Result<bool> {
    if let Some(load) = preload {
        report.preload(server, load)?;
    }
    for load in loads {
        let result = report.run(server, load)?;
        report.add(&result);
    }
    report.finish()
}
