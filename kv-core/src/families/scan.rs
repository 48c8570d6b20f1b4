//! What SSCAN, HSCAN and ZSCAN have in common: cursor, options, reply.
//!
//! The cursor is the one of the value's own walk. A call looks at a limited number of elements, whatever COUNT asks for.

use super::generic::{SCAN_WORK_MAX, scan_cursor};
use crate::command::{Args, CommandError};
use crate::resp::Reply;
use crate::types::pattern;

/// The options behind the cursor.
pub(super) struct WalkOptions<'a> {
    pattern: Option<&'a [u8]>,
    /// About how many elements a call visits; at least 1.
    pub count: usize,
    /// HSCAN: fields without their values.
    pub no_values: bool,
}

/// Reads the cursor. Errors: invalid cursor.
pub(super) fn walk_cursor(args: &mut Args) -> Result<u64, CommandError> {
    scan_cursor(args.next()?)
}

impl<'a> WalkOptions<'a> {
    /// Errors: syntax, not an integer; NOVALUES where elements are not pairs of a field and a value.
    pub fn parse(args: &mut Args<'a>, has_values: bool) -> Result<WalkOptions<'a>, CommandError> {
        let mut o = WalkOptions { pattern: None, count: 10, no_values: false };
        while args.left() > 0 {
            if args.keyword("NOVALUES") {
                if !has_values {
                    return Err(CommandError::err("NOVALUES option can only be used in HSCAN"));
                }
                o.no_values = true;
            } else if args.left() < 2 {
                return Err(CommandError::Syntax);
            } else if args.keyword("COUNT") {
                let count = args.int()?;
                let count = usize::try_from(count).ok().filter(|&n| n > 0).ok_or(CommandError::Syntax)?;
                o.count = count.min(SCAN_WORK_MAX);
            } else if args.keyword("MATCH") {
                let pattern = args.next()?;
                o.pattern = (!pattern::matches_all(pattern)).then_some(pattern);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(o)
    }

    /// Whether MATCH lets an element (a member, a field) through.
    pub fn wants(&self, element: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| pattern::matches(pattern, element))
    }
}

/// The reply: the next cursor, which `walk` returns, and an array of what it wrote; it returns how many that are, too.
pub(super) fn reply_walk(reply: &mut Reply, walk: impl FnOnce(&mut Reply) -> (u64, usize)) {
    let mut bytes = Vec::new();
    let (cursor, elements) = walk(&mut Reply::new(&mut bytes, reply.proto()));
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(cursor).as_bytes());
    reply.array(elements);
    reply.raw(&bytes);
}
