//! Bitmaps: SETBIT ... BITFIELD_RO.
//!
//! A bitmap is a string, an integer being its text. Writes change it in place (short ones within their entry); what was
//! changed stays `raw` to OBJECT ENCODING.

use super::row_words::{ACCESS, CHANGE, GROW, READ, READ_FAST};
use super::{text, text_len};
use crate::command::{
    Args, Arity, CommandError, CommandSpec, Ctx, Event, Flags, Group, Handler, KeySpec, LogAs, Outcome, StoreFn, row,
};
use crate::resp::{Reply, number};
use crate::store::Key;
use crate::types::bits::{self, Field, Operation, Overflow};
use Outcome::Done;
use std::ops::Range;

const fn bitmap(
    name: &'static str,
    handler: StoreFn,
    arity: Arity,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    row(name, Handler::Store(handler), arity, keys, flags).group(Group::Bitmap)
}

pub(crate) const ROWS: &[CommandSpec] = &[
    bitmap("BITCOUNT", bitcount, Arity::AtLeast(2), ACCESS, READ)
        .syntax("key [start end [BYTE | BIT]]")
        .summary("Counts the bits of a string, or of a range of it, that are 1.")
        .since("2.6.0")
        .complexity("O(n) in the bytes looked at"),
    bitmap(
        "BITFIELD",
        bitfield,
        Arity::AtLeast(2),
        &[KeySpec::one(1, &["RW", "access", "update", "variable_flags"])],
        GROW,
    )
    .log(LogAs::Words)
    .syntax(
        "key [<GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] \
         <SET encoding offset value | INCRBY encoding offset increment>> [...]]",
    )
    .summary("Reads, writes and adds to integers of any width within a string.")
    .since("3.2.0")
    .complexity("O(1) an operation"),
    bitmap("BITFIELD_RO", bitfield_ro, Arity::AtLeast(2), ACCESS, READ_FAST)
        .syntax("key [GET encoding offset [GET encoding offset ...]]")
        .summary("Reads integers of any width within a string.")
        .since("6.0.0")
        .complexity("O(1) an operation"),
    bitmap(
        "BITOP",
        bitop,
        Arity::AtLeast(4),
        &[KeySpec::one(2, &["OW", "update"]), KeySpec::range(3, -1, 1, &["RO", "access"])],
        GROW,
    )
    .syntax("<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]")
    .summary("Combines the bits of strings into another string.")
    .since("2.6.0")
    .complexity("O(n) in the bytes of all the strings"),
    bitmap("BITPOS", bitpos, Arity::AtLeast(3), ACCESS, READ)
        .syntax("key bit [start [end [BYTE | BIT]]]")
        .summary("Finds the first bit of a string, or of a range of it, that is 1, or 0.")
        .since("2.8.7")
        .complexity("O(n) in the bytes looked at"),
    bitmap("GETBIT", getbit, Arity::Exactly(3), ACCESS, READ_FAST)
        .syntax("key offset")
        .summary("Tells one bit of a string.")
        .since("2.2.0")
        .complexity("O(1)"),
    bitmap("SETBIT", setbit, Arity::Exactly(4), CHANGE, GROW)
        .log(LogAs::Words)
        .syntax("key offset value")
        .summary("Sets one bit of a string to 0 or 1 and tells what it was.")
        .since("2.2.0")
        .complexity("O(1), and O(n) once in the bytes the string grows by"),
];

/// The next word as the place of a bit.
///
/// Errors: not a place, or one in a string longer than a string may be.
fn bit_offset(ctx: &Ctx, args: &mut Args) -> Result<u64, CommandError> {
    parse_offset(ctx, args.next()?, None)
}

/// `unit`: what the number is multiplied by when it is written as `#n`, where that may be.
fn parse_offset(ctx: &Ctx, word: &[u8], unit: Option<u32>) -> Result<u64, CommandError> {
    let (digits, unit) = match (word, unit) {
        ([b'#', digits @ ..], Some(unit)) => (digits, unit),
        (digits, _) => (digits, 1),
    };
    number::parse_i64(digits)
        .and_then(|number| number.checked_mul(i64::from(unit)))
        .and_then(|offset| u64::try_from(offset).ok())
        .filter(|&offset| offset / 8 < ctx.settings.string_max as u64)
        .ok_or(CommandError::err("bit offset is not an integer or out of range"))
}

/// Reply: int, the bit as it was.
/// Errors: not a place, not a bit, WRONGTYPE.
/// Effect: event `setbit`, when the bit was another or the string too short for it.
fn setbit(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let offset = bit_offset(ctx, args)?;
    let on = match args.next()? {
        b"0" => false,
        b"1" => true,
        _ => return Err(CommandError::err("bit is not an integer or out of range")),
    };
    check_string(ctx, key)?;
    let (was, grown) = ctx.edit_string(key, |value| {
        let grown = bits::grow(value, (offset / 8) as usize + 1);
        (bits::set(value, offset, on), grown)
    });
    if grown || was != on {
        ctx.wrote(key, Event::SetBit);
    }
    reply.int(i64::from(was));
    Ok(Done)
}

/// Errors: WRONGTYPE, when there is something else than a string.
fn check_string(ctx: &mut Ctx, key: Key<'_>) -> Result<(), CommandError> {
    ctx.find(key).map_or(Ok(()), |entry| text_len(entry).map(drop))
}

/// Reply: int, the bit; 0 behind the end, and when there is no such key.
/// Errors: not a place, WRONGTYPE.
fn getbit(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let offset = bit_offset(ctx, args)?;
    let bit = match ctx.read(key) {
        Some(entry) => bits::get(text(entry, &mut itoa::Buffer::new())?, offset),
        None => false,
    };
    reply.int(i64::from(bit));
    Ok(Done)
}

/// What the positions of a range count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    /// The next word, which must be the last. Errors: syntax.
    fn parse(args: &mut Args) -> Result<Unit, CommandError> {
        let unit = match args {
            _ if args.keyword("BIT") => Unit::Bit,
            _ if args.keyword("BYTE") => Unit::Byte,
            _ => return Err(CommandError::Syntax),
        };
        if args.left() == 0 { Ok(unit) } else { Err(CommandError::Syntax) }
    }
}

/// A range as it stands in a request: both ends included, negative positions count from the end.
struct Span {
    start: i64,
    end: i64,
    unit: Unit,
}

impl Span {
    const WHOLE: Span = Span { start: 0, end: -1, unit: Unit::Byte };

    /// The bits of a string of `len` bytes that are meant: cut to the string, none when it ends before it starts.
    fn bits(&self, len: usize) -> Range<u64> {
        let (total, width) = match self.unit {
            Unit::Byte => (len as i64, 8),
            Unit::Bit => (len as i64 * 8, 1),
        };
        let from_start = |at: i64| if at < 0 { (total + at).max(0) } else { at };
        let (start, end) = (from_start(self.start), from_start(self.end).min(total - 1));
        if start > end { 0..0 } else { start as u64 * width..(end + 1) as u64 * width }
    }
}

/// Reply: int.
/// Errors: not an integer, syntax, WRONGTYPE.
fn bitcount(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let span = match args.left() {
        0 => Span::WHOLE,
        2 => Span { start: args.int()?, end: args.int()?, unit: Unit::Byte },
        3 => Span { start: args.int()?, end: args.int()?, unit: Unit::parse(args)? },
        _ => return Err(CommandError::Syntax),
    };
    let mut digits = itoa::Buffer::new();
    let value = match ctx.read(key) {
        Some(entry) => text(entry, &mut digits)?,
        None => b"",
    };
    // Two negative positions in the wrong order select nothing, even where both would be cut to position 0.
    let count = match span {
        Span { start, end, .. } if start < 0 && end < 0 && start > end => 0,
        span => bits::count_in(value, span.bits(value.len())),
    };
    reply.int(count as i64);
    Ok(Done)
}

/// Reply: int; -1 when there is no such bit. A search for 0 without an end goes on behind the end of the string, where
/// all bits are 0; so does every search for 0 where there is no key.
/// Errors: not an integer, not a bit, syntax, WRONGTYPE.
fn bitpos(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let on = match args.int()? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::err("The bit argument must be 1 or 0.")),
    };
    let has_end = args.left() > 1;
    let mut span = Span::WHOLE;
    if args.left() > 3 {
        return Err(CommandError::Syntax);
    }
    if args.left() > 0 {
        span.start = args.int()?;
    }
    if args.left() > 0 {
        let end = args.next()?;
        if args.left() > 0 {
            span.unit = Unit::parse(args)?;
        }
        span.end = number::parse_i64(end).ok_or(CommandError::NotInteger)?;
    }
    let Some(entry) = ctx.read(key) else {
        reply.int(if on { -1 } else { 0 });
        return Ok(Done);
    };
    let mut digits = itoa::Buffer::new();
    let value = text(entry, &mut digits)?;
    let bits = span.bits(value.len());
    let behind = (!on && !has_end && !bits.is_empty()).then_some(bits.end);
    reply.int(bits::find(value, on, bits).or(behind).map_or(-1, |at| at as i64));
    Ok(Done)
}

/// Reply: int, the length of the result in bytes.
/// Errors: syntax, too few or too many keys for the operation, WRONGTYPE; nothing is written then.
/// Effect: event `set` for the destination, whatever it was before; `del` when the result is empty and it existed.
fn bitop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let operation = parse_operation(args)?;
    let target = args.key()?;
    let mut look = args.fork();
    while look.left() > 0 {
        if let Some(entry) = ctx.read(look.key()?) {
            text_len(entry)?;
        }
    }
    let mut digits = vec![itoa::Buffer::new(); args.left()];
    let mut values = Vec::with_capacity(digits.len());
    for digits in &mut digits {
        values.push(ctx.peek_entry(args.key()?).map_or(Ok(&b""[..]), |entry| text(entry, digits))?);
    }
    let result = bits::combine(operation, &values);
    let len = result.len();
    if len > 0 {
        ctx.set_text(target, result);
        ctx.wrote(target, Event::Set);
    } else if ctx.remove(target) {
        ctx.wrote(target, Event::Del);
    }
    reply.int(len as i64);
    Ok(Done)
}

/// Reads the name of an operation, behind which the destination and its sources must follow as it wants them.
fn parse_operation(args: &mut Args) -> Result<Operation, CommandError> {
    const NAMES: [(&str, Operation); 8] = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
        ("DIFF", Operation::Diff),
        ("DIFF1", Operation::Diff1),
        ("ANDOR", Operation::AndOr),
        ("ONE", Operation::One),
    ];
    let found = NAMES.into_iter().find(|(name, _)| args.keyword(name));
    let (name, operation) = found.ok_or(CommandError::Syntax)?;
    let sources = args.left() - 1;
    match operation {
        Operation::Not if sources != 1 => Err(CommandError::err("BITOP NOT must be called with a single source key.")),
        Operation::Diff | Operation::Diff1 | Operation::AndOr if sources < 2 => {
            Err(CommandError::err(format!("BITOP {name} must be called with at least two source keys.")))
        }
        _ => Ok(operation),
    }
}

/// One operation of BITFIELD.
struct FieldOp {
    field: Field,
    action: Action,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64, Overflow),
    IncrBy(i64, Overflow),
}

impl FieldOp {
    /// Errors: syntax, not a type, not a place, not an integer.
    fn parse_all(ctx: &Ctx, args: &mut Args) -> Result<Vec<FieldOp>, CommandError> {
        let mut ops = Vec::new();
        let mut overflow = Overflow::Wrap;
        while args.left() > 0 {
            let behind = args.left() - 1;
            if behind >= 1 && args.keyword("OVERFLOW") {
                overflow = parse_overflow(args)?;
            } else if behind >= 2 && args.keyword("GET") {
                ops.push(FieldOp { field: parse_field(ctx, args)?, action: Action::Get });
            } else if behind >= 3 && args.keyword("SET") {
                let field = parse_field(ctx, args)?;
                ops.push(FieldOp { field, action: Action::Set(args.int()?, overflow) });
            } else if behind >= 3 && args.keyword("INCRBY") {
                let field = parse_field(ctx, args)?;
                ops.push(FieldOp { field, action: Action::IncrBy(args.int()?, overflow) });
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(ops)
    }

    fn writes(&self) -> bool {
        self.action != Action::Get
    }

    /// Carries it out on a string that is long enough. What it answers (none: the value did not fit), and whether the
    /// string is another one now.
    fn run(&self, value: &mut [u8]) -> (Option<i64>, bool) {
        let old = self.field.get(value);
        let (wanted, overflow) = match self.action {
            Action::Get => return (Some(old), false),
            Action::Set(new, overflow) => (self.field.meant(new), overflow),
            Action::IncrBy(by, overflow) => (i128::from(old) + i128::from(by), overflow),
        };
        let Some(new) = self.field.fit(wanted, overflow) else { return (None, false) };
        self.field.set(value, new);
        let answer = if let Action::Set(..) = self.action { old } else { new };
        (Some(answer), new != old)
    }
}

fn parse_overflow(args: &mut Args) -> Result<Overflow, CommandError> {
    match args {
        _ if args.keyword("WRAP") => Ok(Overflow::Wrap),
        _ if args.keyword("SAT") => Ok(Overflow::Saturate),
        _ if args.keyword("FAIL") => Ok(Overflow::Fail),
        _ => Err(CommandError::err("Invalid OVERFLOW type specified")),
    }
}

/// The next two words as a type (`i8`, `u16`) and a place.
fn parse_field(ctx: &Ctx, args: &mut Args) -> Result<Field, CommandError> {
    let kind = match args.next()? {
        [b'i', bits @ ..] => Some((true, bits, 64)),
        [b'u', bits @ ..] => Some((false, bits, 63)),
        _ => None,
    };
    let (signed, bits) = kind
        .and_then(|(signed, bits, most)| {
            Some((signed, number::parse_i64(bits).filter(|bits| (1..=most).contains(bits))?))
        })
        .ok_or(CommandError::err(
            "Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ))?;
    let bits = bits as u32;
    Ok(Field { signed, bits, at: parse_offset(ctx, args.next()?, Some(bits))? })
}

/// Reply: array, for every operation the value it read, replaced or made; nil for one that OVERFLOW FAIL has stopped.
/// Errors: syntax, not a type, not a place, not an integer, WRONGTYPE; nothing is written then.
/// Effect: event `setbit`, when a value is another or the string became longer; not when OVERFLOW FAIL has stopped all.
fn bitfield(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let ops = FieldOp::parse_all(ctx, args)?;
    let Some(end) = ops.iter().filter(|op| op.writes()).map(|op| op.field.end()).max() else {
        return read_fields(ctx, key, &ops, reply);
    };
    check_string(ctx, key)?;
    reply.array(ops.len());
    let (changed, grown) = ctx.edit_string(key, |value| {
        let grown = bits::grow(value, end.div_ceil(8) as usize);
        let mut changed = false;
        for op in &ops {
            let (answer, another) = op.run(value);
            changed |= another || (grown && op.writes() && answer.is_some());
            match answer {
                Some(answer) => reply.int(answer),
                None => reply.nil(),
            }
        }
        (changed, grown)
    });
    if changed || grown {
        ctx.wrote(key, if changed { Event::SetBit } else { Event::Grown });
    }
    Ok(Done)
}

/// As BITFIELD.
/// Errors: an operation that writes.
fn bitfield_ro(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let ops = FieldOp::parse_all(ctx, args)?;
    if ops.iter().any(FieldOp::writes) {
        return Err(CommandError::err("BITFIELD_RO only supports the GET subcommand"));
    }
    read_fields(ctx, key, &ops, reply)
}

fn read_fields(ctx: &mut Ctx, key: Key<'_>, ops: &[FieldOp], reply: &mut Reply) -> Result<Outcome, CommandError> {
    let mut digits = itoa::Buffer::new();
    let value = match ctx.read(key) {
        Some(entry) => text(entry, &mut digits)?,
        None => b"",
    };
    reply.array(ops.len());
    ops.iter().for_each(|op| reply.int(op.field.get(value)));
    Ok(Done)
}

#[cfg(test)]
mod tests;
