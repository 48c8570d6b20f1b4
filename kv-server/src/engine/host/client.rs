//! client

use super::HostFn;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[];

use kv_core::command::CommandError;

/// A name for a connection. Errors: it has spaces, line ends or other bytes that would break CLIENT LIST.
pub(super) fn checked_name(name: &[u8]) -> Result<Vec<u8>, CommandError> {
    if name.iter().any(|b| !(b'!'..=b'~').contains(b)) {
        return Err(CommandError::err("Client names cannot contain spaces, newlines or special characters."));
    }
    Ok(name.to_vec())
}
