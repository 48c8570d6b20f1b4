//! The words of stream commands: ids, ranges, what to trim, what to read.

use crate::command::{Args, CommandError};
use crate::store::Key;
use crate::types::Limits;
use crate::types::stream::{NewId, StreamId, Trim, TrimTo};
use std::borrow::Cow;

/// Reads an id; a moment alone stands for its entry number `missing`.
pub(super) fn parse_id(word: &[u8], missing: u64) -> Result<StreamId, CommandError> {
    StreamId::parse(word, missing).ok_or(INVALID_ID)
}

const INVALID_ID: CommandError =
    CommandError::Err(Cow::Borrowed("Invalid stream ID specified as stream command argument"));

/// The next word as an id.
pub(super) fn strict_id(args: &mut Args) -> Result<StreamId, CommandError> {
    parse_id(args.next()?, 0)
}

/// An id, or `-` or `+` for the ends of all ids.
pub(super) fn loose_id(word: &[u8], missing: u64) -> Result<StreamId, CommandError> {
    match word {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        word => parse_id(word, missing),
    }
}

/// The ids from one to another, both included.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub start: StreamId,
    pub end: StreamId,
}

impl Range {
    /// The first id of an interval; with `(` the one behind it.
    pub fn start(word: &[u8]) -> Result<StreamId, CommandError> {
        match word {
            [b'(', id @ ..] if !id.is_empty() => {
                parse_id(id, 0)?.next().ok_or(CommandError::err("invalid start ID for the interval"))
            }
            word => loose_id(word, 0),
        }
    }

    /// The last id of an interval; with `(` the one in front of it.
    pub fn end(word: &[u8]) -> Result<StreamId, CommandError> {
        match word {
            [b'(', id @ ..] if !id.is_empty() => {
                parse_id(id, u64::MAX)?.prev().ok_or(CommandError::err("invalid end ID for the interval"))
            }
            word => loose_id(word, u64::MAX),
        }
    }

    /// Reads `start end [COUNT count]`, or `end start ...`.
    pub fn parse(args: &mut Args, backwards: bool) -> Result<(Range, usize), CommandError> {
        let (first, second) = (args.next()?, args.next()?);
        let (start, end) = if backwards { (second, first) } else { (first, second) };
        let range = Range { start: Range::start(start)?, end: Range::end(end)? };
        let mut count = usize::MAX;
        while args.left() > 0 {
            if args.left() < 2 || !args.keyword("COUNT") {
                return Err(CommandError::Syntax);
            }
            count = args.int()?.max(0) as usize;
        }
        Ok((range, count))
    }
}

/// What is known of a trim while its words are read.
#[derive(Default)]
pub(super) struct TrimOptions {
    to: Option<TrimTo>,
    approximate: bool,
    limit: Option<u64>,
}

/// Entries that an approximate trim without LIMIT removes at most, when nodes have no limit of entries.
const LIMIT_DEFAULT: u64 = 10_000;
const LIMIT_MAX: u64 = 1_000_000;

impl TrimOptions {
    /// Reads an option about trimming, if the next word is one.
    fn option(&mut self, args: &mut Args) -> Result<bool, CommandError> {
        if args.left() < 2 {
            return Ok(false);
        }
        if args.keyword("MAXLEN") {
            self.strategy(args)?;
            let max = u64::try_from(args.int()?);
            self.to = Some(TrimTo::MaxLen(max.map_err(|_| CommandError::err("The MAXLEN argument must be >= 0."))?));
        } else if args.keyword("MINID") {
            self.strategy(args)?;
            self.to = Some(TrimTo::MinId(strict_id(args)?));
        } else if args.keyword("LIMIT") {
            let limit = u64::try_from(args.int()?);
            self.limit = Some(limit.map_err(|_| CommandError::err("The LIMIT argument must be >= 0."))?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads whether it is to be exact.
    fn strategy(&mut self, args: &mut Args) -> Result<(), CommandError> {
        if self.to.is_some() {
            return Err(CommandError::err(
                "syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        if args.left() >= 2 {
            self.approximate = args.keyword("~");
            if !self.approximate {
                args.keyword("=");
            }
        }
        Ok(())
    }

    fn finish(self, limits: &Limits) -> Result<Option<Trim>, CommandError> {
        if self.to.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            return Err(CommandError::err("syntax error, LIMIT cannot be used without specifying a trimming strategy"));
        }
        if self.limit.is_some() && !self.approximate {
            return Err(CommandError::err("syntax error, LIMIT cannot be used without the special ~ option"));
        }
        let limit = match (self.limit, limits.stream_node_entries as u64) {
            (Some(limit), _) => limit,
            (None, _) if !self.approximate => 0,
            (None, 0) => LIMIT_DEFAULT,
            (None, entries) => entries.saturating_mul(100).min(LIMIT_MAX),
        };
        Ok(self.to.map(|to| Trim { to, approximate: self.approximate, limit }))
    }

    /// Reads the words of XTRIM.
    pub fn parse_all(args: &mut Args, limits: &Limits) -> Result<Trim, CommandError> {
        let mut options = TrimOptions::default();
        while args.left() > 0 {
            if !options.option(args)? {
                return Err(CommandError::Syntax);
            }
        }
        // Without LIMIT, or with one of 0, that comes before other complaints.
        if options.to.is_none() && options.limit.is_none_or(|limit| limit == 0) {
            return Err(NO_STRATEGY);
        }
        options.finish(limits)?.ok_or(NO_STRATEGY)
    }
}

const NO_STRATEGY: CommandError =
    CommandError::Err(Cow::Borrowed("syntax error, XTRIM must be called with a trimming strategy"));

/// The words of XADD between key and fields.
pub(super) struct AddOptions {
    pub id: NewId,
    pub trim: Option<Trim>,
    /// NOMKSTREAM
    pub only_existing: bool,
}

impl AddOptions {
    #[inline]
    pub fn parse(args: &mut Args, limits: &Limits) -> Result<AddOptions, CommandError> {
        // What nearly everyone says.
        if args.keyword("*") {
            return Ok(AddOptions { id: NewId::Auto, trim: None, only_existing: false });
        }
        let mut trim = TrimOptions::default();
        let mut only_existing = false;
        let id = loop {
            if args.keyword("*") {
                break NewId::Auto;
            }
            if args.keyword("NOMKSTREAM") {
                only_existing = true;
            } else if !trim.option(args)? {
                let word = args.next().map_err(|_| CommandError::WrongArity("xadd".into()))?;
                break match StreamId::parse_open(word) {
                    Some(ms) => NewId::At(ms),
                    None => NewId::Exactly(parse_id(word, 0)?),
                };
            }
        };
        Ok(AddOptions { id, trim: trim.finish(limits)?, only_existing })
    }
}

/// The words of XREAD and XREADGROUP.
pub(super) struct ReadOptions<'a> {
    pub count: usize,
    pub no_ack: bool,
    /// Group and consumer.
    pub group: Option<(&'a [u8], &'a [u8])>,
    /// How many ms to wait if there is nothing.
    pub block: Option<i64>,
    /// How many streams.
    pub streams: usize,
}

impl<'a> ReadOptions<'a> {
    /// Reads all up to the first key.
    ///
    /// Errors: syntax; a timeout that is none; GROUP is missing, or given where it does not belong; not as many ids as keys.
    pub fn parse(args: &mut Args<'a>, grouped: bool) -> Result<ReadOptions<'a>, CommandError> {
        let mut options = ReadOptions { count: usize::MAX, no_ack: false, group: None, block: None, streams: 0 };
        loop {
            // Every option but NOACK has a word behind it.
            let more = args.left() > 1;
            if more && args.keyword("COUNT") {
                options.count = match args.int()? {
                    ..=0 => usize::MAX,
                    count => count as usize,
                };
            } else if more && args.keyword("STREAMS") {
                break;
            } else if more && args.keyword("BLOCK") {
                let timeout = args.int().map_err(|_| CommandError::err("timeout is not an integer or out of range"))?;
                if timeout < 0 {
                    return Err(CommandError::err("timeout is negative"));
                }
                options.block = Some(timeout);
            } else if args.left() > 2 && args.keyword("GROUP") {
                if !grouped {
                    return Err(CommandError::err(
                        "The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                options.group = Some((args.next()?, args.next()?));
            } else if args.keyword("NOACK") {
                if !grouped {
                    return Err(CommandError::err(
                        "The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                options.no_ack = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        options.streams = args.left() / 2;
        if !args.left().is_multiple_of(2) {
            return Err(CommandError::err(
                "Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
            ));
        }
        if grouped && options.group.is_none() {
            return Err(CommandError::err("Missing GROUP option for XREADGROUP"));
        }
        Ok(options)
    }

    /// The next key, and the word that says from where on.
    #[inline]
    pub fn next_stream(&self, args: &mut Args<'a>) -> Result<(Key<'a>, &'a [u8]), CommandError> {
        let at = args.total() - args.left();
        Ok((args.key()?, args.word(at + self.streams)))
    }
}
