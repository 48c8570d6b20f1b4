//! resp

pub mod client;
pub mod line;
