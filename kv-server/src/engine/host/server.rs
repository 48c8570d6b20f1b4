//! server

use super::HostFn;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[];
