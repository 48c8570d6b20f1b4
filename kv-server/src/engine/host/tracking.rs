//! CLIENT TRACKING CACHING GETREDIR TRACKINGINFO: what a session has chosen (`engine/tracking.rs` tells what follows).

use super::{Call, Done, HostFn};
use crate::engine::tracking::{Mode, Tracking};
use kv_core::command::{Args, CommandError};
use kv_core::resp::{Reply, number};

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("CLIENT|CACHING", caching),
    ("CLIENT|GETREDIR", getredir),
    ("CLIENT|TRACKING", tracking),
    ("CLIENT|TRACKINGINFO", trackinginfo),
];

/// The words behind ON or OFF.
#[derive(Default)]
struct Options<'a> {
    redirect: u64,
    prefixes: Vec<&'a [u8]>,
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
}

impl<'a> Options<'a> {
    fn parse(args: &mut Args<'a>) -> Result<Options<'a>, CommandError> {
        let mut options = Options::default();
        while args.left() > 0 {
            if args.left() > 1 && args.keyword("REDIRECT") {
                if options.redirect != 0 {
                    return Err(CommandError::err("A client can only redirect to a single other client"));
                }
                let id = number::parse_i64(args.next()?).ok_or(CommandError::NotInteger)?;
                // There is no client 0, and none with a number that is negative.
                options.redirect = u64::try_from(id).ok().filter(|&id| id > 0).ok_or_else(no_such_client)?;
            } else if args.left() > 1 && args.keyword("PREFIX") {
                options.prefixes.push(args.next()?);
            } else if args.keyword("BCAST") {
                options.bcast = true;
            } else if args.keyword("OPTIN") {
                options.optin = true;
            } else if args.keyword("OPTOUT") {
                options.optout = true;
            } else if args.keyword("NOLOOP") {
                options.noloop = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// What the session is to track. Errors: options that do not go together, or not with what it tracks now.
    fn tracking(&self, now: Option<&Tracking>) -> Result<Tracking, CommandError> {
        let err = |text: &'static str| Err(CommandError::err(text));
        let mode = now.map(|tracking| tracking.mode);
        if !self.bcast && !self.prefixes.is_empty() {
            return err("PREFIX option requires BCAST mode to be enabled");
        }
        if mode.is_some_and(|mode| self.bcast != (mode == Mode::Broadcast)) {
            return err("You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                        re-enabling it with a different mode.");
        }
        if self.bcast && (self.optin || self.optout) {
            return err("OPTIN and OPTOUT are not compatible with BCAST");
        }
        if self.optin && self.optout {
            return err("You can't specify both OPTIN mode and OPTOUT mode");
        }
        if (self.optin && mode == Some(Mode::OptOut)) || (self.optout && mode == Some(Mode::OptIn)) {
            return err("You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                        re-enabling it with a different mode.");
        }
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let known =
                now.iter().flat_map(|tracking| &tracking.prefixes).map(|known| (&**known, "an existing prefix"));
            let given = self.prefixes[at + 1..].iter().map(|given| (*given, "another provided prefix"));
            let mut others = known.chain(given);
            if let Some((other, what)) =
                others.find(|(other, _)| other.starts_with(prefix) || prefix.starts_with(other))
            {
                let text = String::from_utf8_lossy;
                return Err(CommandError::err(format!(
                    "Prefix '{}' overlaps with {what} '{}'. Prefixes for a single client must not overlap.",
                    text(prefix),
                    text(other)
                )));
            }
        }
        let mode = match self {
            Options { bcast: true, .. } => Mode::Broadcast,
            Options { optin: true, .. } => Mode::OptIn,
            Options { optout: true, .. } => Mode::OptOut,
            _ => Mode::All,
        };
        let all: &[&[u8]] = if self.prefixes.is_empty() && self.bcast { &[b""] } else { &self.prefixes };
        Ok(Tracking {
            mode,
            noloop: self.noloop,
            redirect: self.redirect,
            is_broken: false,
            is_caching: now.is_some_and(|tracking| tracking.is_caching),
            prefixes: all.iter().map(|&prefix| prefix.into()).collect(),
        })
    }
}

pub(in super::super) fn no_such_client() -> CommandError {
    CommandError::err("The client ID you want redirect to does not exist")
}

/// Reply: OK, when all workers know what they have to. Errors: syntax, no such client, options that do not go together; nothing
/// changes then.
fn tracking(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let switch = args.next()?;
    let options = Options::parse(args)?;
    let wanted = if switch.eq_ignore_ascii_case(b"ON") {
        Some(options.tracking(call.session().tracking.as_deref())?)
    } else if switch.eq_ignore_ascii_case(b"OFF") {
        None
    } else {
        return Err(CommandError::Syntax);
    };
    call.track(options.redirect, wanted, reply)
}

/// Reply: OK. It holds for the next command that is not CLIENT, or for a whole transaction.
/// Errors: the mode is not the one that the word is for.
fn caching(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let Some(tracking) = &mut call.session().tracking else {
        return Err(CommandError::err(
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    };
    let (mode, text) = if args.keyword("YES") {
        (Mode::OptIn, "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
    } else if args.keyword("NO") {
        (Mode::OptOut, "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
    } else {
        return Err(CommandError::Syntax);
    };
    if tracking.mode != mode {
        return Err(CommandError::err(text));
    }
    tracking.is_caching = true;
    reply.ok();
    Ok(())
}

/// Reply: int.
fn getredir(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.int(call.session().redirect());
    Ok(())
}

/// Reply: a map: flags, redirect, prefixes.
fn trackinginfo(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let session = call.session();
    let redirect = session.redirect();
    let tracking = session.tracking.as_deref();
    let mode = |mode: Mode| tracking.is_some_and(|tracking| tracking.mode == mode);
    let is_caching = session.is_caching();
    let flags = [
        ("on", tracking.is_some()),
        ("off", tracking.is_none()),
        ("bcast", mode(Mode::Broadcast)),
        ("optin", mode(Mode::OptIn)),
        ("caching-yes", mode(Mode::OptIn) && is_caching),
        ("optout", mode(Mode::OptOut)),
        ("caching-no", mode(Mode::OptOut) && is_caching),
        ("noloop", tracking.is_some_and(|tracking| tracking.noloop)),
        ("broken_redirect", tracking.is_some_and(|tracking| tracking.is_broken)),
    ];
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.iter().filter(|(_, on)| *on).count());
    flags.iter().filter(|(_, on)| *on).for_each(|(flag, _)| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.int(redirect);
    reply.bulk(b"prefixes");
    let prefixes = tracking.map_or(&[][..], |tracking| &tracking.prefixes);
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}
