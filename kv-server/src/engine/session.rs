//! What the protocol remembers of a connection: plain data, changed by HELLO, AUTH, SELECT, CLIENT ... alone.

use super::tracking::Tracking;
use kv_core::resp::Proto;
use kv_core::store::UnixMs;

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The next command's reply is not sent (set by SKIP itself, whose own reply is not sent either).
    SkipNext,
    /// This command's reply is not sent.
    Skipping,
}

#[derive(Clone, Debug)]
pub struct Session {
    /// Never used twice.
    pub id: u64,
    /// `ip:port`, or the socket's path and `:0`.
    pub peer: String,
    pub local: String,
    pub unix_socket: bool,
    /// The number of its socket in the process, for CLIENT LIST; -1 where there is none.
    pub fd: i32,
    pub name: Vec<u8>,
    pub lib_name: Vec<u8>,
    pub lib_version: Vec<u8>,
    pub db: usize,
    pub proto: Proto,
    pub authenticated: bool,
    /// In RESP2 and with subscriptions: only some commands are allowed.
    pub is_subscribed: bool,
    /// It is shown all commands, and may not touch the data.
    pub is_monitor: bool,
    pub reply_mode: ReplyMode,
    pub no_evict: bool,
    pub no_touch: bool,
    /// CLIENT TRACKING.
    pub tracking: Option<Box<Tracking>>,
    pub created: UnixMs,
    pub last_active: UnixMs,
    /// The last command's full name, as CLIENT LIST shows it.
    pub last_command: &'static str,
}

impl Session {
    pub fn new(id: u64, peer: String, local: String, now: UnixMs, authenticated: bool) -> Session {
        Session {
            id,
            peer,
            local,
            unix_socket: false,
            fd: -1,
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_version: Vec::new(),
            db: 0,
            proto: Proto::Resp2,
            authenticated,
            is_subscribed: false,
            is_monitor: false,
            reply_mode: ReplyMode::On,
            no_evict: false,
            no_touch: false,
            tracking: None,
            created: now,
            last_active: now,
            last_command: "NULL",
        }
    }

    /// Which client is told in place of this one: 0 for none, -1 without tracking.
    pub fn redirect(&self) -> i64 {
        self.tracking.as_ref().map_or(-1, |tracking| tracking.redirect as i64)
    }

    /// Whether CLIENT CACHING was said about the next command.
    #[inline]
    pub fn is_caching(&self) -> bool {
        self.tracking.as_ref().is_some_and(|tracking| tracking.is_caching)
    }

    /// Whether the next command's reads are remembered.
    #[inline]
    pub fn tracks(&self) -> bool {
        self.tracking.as_ref().is_some_and(|tracking| tracking.remembers())
    }
}
