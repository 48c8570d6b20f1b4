//! Lists: BLMOVE ... RPUSHX.
//!
//! Commands of the left and of the right are one handler each, told the end. An empty list is never stored: who takes the
//! last element takes the key. What a list looks like inside (`types::list`) no command here knows.

use super::reply_item;
use super::row_words::{ACCESS, DELETE, FAST, GROW, INSERT, LOOK, READ, TAKE, UPDATE, WRITE};
use super::wait::{PopOptions, first_of, until};
use crate::command::{
    Args, Arity, Begin, CommandError, CommandSpec, Ctx, Event, Find, Flags, Group, Handler, KeyAccess, KeySpec, LogAs,
    Outcome, StoreFn, row,
};
use crate::resp::{Reply, number};
use crate::store::{Key, UnixMs};
use crate::structs::packed::Item;
use crate::types::Limits;
use crate::types::list::{End, List, ListRef};
use Arity::{AtLeast, Exactly};
use Outcome::Done;

const MOVE: &[KeySpec] = &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["RW", "insert"])];
/// Behind the number of keys at word `at`.
const fn take_first_of(at: u16) -> KeySpec {
    KeySpec {
        begin: Begin::Index(at),
        find: Find::KeyNum { at: 0, first: 1, step: 1 },
        access: KeyAccess(&["RW", "access", "delete"]),
    }
}
const TAKE_FIRST_OF: &[KeySpec] = &[take_first_of(1)];
const WAIT_FIRST_OF: &[KeySpec] = &[take_first_of(2)];
const WAIT_ALL: &[KeySpec] = &[KeySpec::range(1, -2, 1, &["RW", "access", "delete"])];
const WAITS: Flags = WRITE.and(Flags::NOSCRIPT).and(Flags::BLOCKING);

const fn list(
    name: &'static str,
    handler: StoreFn,
    arity: Arity,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    row(name, Handler::Store(handler), arity, keys, flags).group(Group::List).since("1.0.0")
}

pub(crate) const ROWS: &[CommandSpec] = &[
    list("BLMOVE", blmove, Exactly(6), MOVE, WAITS.and(Flags::DENYOOM))
        .log(LogAs::Told)
        .syntax("source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout")
        .summary("As LMOVE; waits for the source to have an element.")
        .since("6.2.0")
        .complexity("O(1)"),
    list("BLMPOP", blmpop, AtLeast(5), WAIT_FIRST_OF, WRITE.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS))
        .log(LogAs::Told)
        .syntax("timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]")
        .summary("As LMPOP; waits for one of the lists to have elements.")
        .since("7.0.0")
        .complexity("O(n + m) in the numbers of keys and of elements taken"),
    list("BLPOP", blpop, AtLeast(3), WAIT_ALL, WAITS)
        .log(LogAs::Told)
        .syntax("key [key ...] timeout")
        .summary("Takes the element at the left end of the first of the lists that has any; waits for one.")
        .since("2.0.0")
        .complexity("O(n) in the number of keys"),
    list("BRPOP", brpop, AtLeast(3), WAIT_ALL, WAITS)
        .log(LogAs::Told)
        .syntax("key [key ...] timeout")
        .summary("Takes the element at the right end of the first of the lists that has any; waits for one.")
        .since("2.0.0")
        .complexity("O(n) in the number of keys"),
    list("BRPOPLPUSH", brpoplpush, Exactly(4), MOVE, WAITS.and(Flags::DENYOOM))
        .log(LogAs::Told)
        .syntax("source destination timeout")
        .summary("As RPOPLPUSH; waits for the source to have an element.")
        .since("2.2.0")
        .complexity("O(1)"),
    list("LINDEX", lindex, Exactly(3), ACCESS, READ)
        .syntax("key index")
        .summary("Returns the element at an index; below 0 it counts from the end.")
        .complexity("O(n) in the number of nodes to the nearer end"),
    list("LINSERT", linsert, Exactly(5), INSERT, GROW)
        .log(LogAs::Words)
        .syntax("key <BEFORE | AFTER> pivot element")
        .summary("Puts an element in front of another one or behind it.")
        .since("2.2.0")
        .complexity("O(n) in the number of elements up to the pivot"),
    list("LLEN", llen, Exactly(2), LOOK, READ.and(FAST))
        .syntax("key")
        .summary("Counts the elements of a list.")
        .complexity("O(1)"),
    list("LMOVE", lmove, Exactly(5), MOVE, GROW)
        .log(LogAs::Told)
        .syntax("source destination <LEFT | RIGHT> <LEFT | RIGHT>")
        .summary("Takes an element from an end of a list and puts it at an end of another one, or of the same.")
        .since("6.2.0")
        .complexity("O(1)"),
    list("LMPOP", lmpop, AtLeast(4), TAKE_FIRST_OF, WRITE.and(Flags::MOVABLE_KEYS))
        .log(LogAs::Told)
        .syntax("numkeys key [key ...] <LEFT | RIGHT> [COUNT count]")
        .summary("Takes elements from an end of the first of the lists that has any.")
        .since("7.0.0")
        .complexity("O(n + m) in the numbers of keys and of elements taken"),
    list("LPOP", lpop, AtLeast(2), TAKE, WRITE.and(FAST))
        .log(LogAs::Words)
        .syntax("key [count]")
        .summary("Takes elements from the left end of a list.")
        .complexity("O(1) an element"),
    list("LPOS", lpos, AtLeast(3), ACCESS, READ)
        .syntax("key element [RANK rank] [COUNT num-matches] [MAXLEN len]")
        .summary("Tells at which indexes an element stands.")
        .since("6.0.6")
        .complexity("O(n) in the number of elements that are compared"),
    list("LPUSH", lpush, AtLeast(3), INSERT, GROW.and(FAST))
        .log(LogAs::Words)
        .syntax("key element [element ...]")
        .summary("Puts elements at the left end of a list, one after the other.")
        .complexity("O(1) an element"),
    list("LPUSHX", lpushx, AtLeast(3), INSERT, GROW.and(FAST))
        .log(LogAs::Words)
        .syntax("key element [element ...]")
        .summary("As LPUSH, only if there is such a list.")
        .since("2.2.0")
        .complexity("O(1) an element"),
    list("LRANGE", lrange, Exactly(4), ACCESS, READ)
        .syntax("key start stop")
        .summary("Returns the elements from one index to another; below 0 they count from the end.")
        .complexity("O(s + n) in the number of nodes to the start and the number of elements"),
    list("LREM", lrem, Exactly(4), DELETE, WRITE)
        .log(LogAs::Words)
        .syntax("key count element")
        .summary(
            "Removes so many elements that are equal from the left, for a count below 0 from the right, for 0 all.",
        )
        .complexity("O(n) in the number of elements"),
    list("LSET", lset, Exactly(4), UPDATE, GROW)
        .log(LogAs::Words)
        .syntax("key index element")
        .summary("Puts another element in the place of the one at an index.")
        .complexity("O(n) in the number of nodes to the nearer end"),
    list("LTRIM", ltrim, Exactly(4), DELETE, WRITE)
        .log(LogAs::Words)
        .syntax("key start stop")
        .summary("Removes all elements but those from one index to another.")
        .complexity("O(n) in the number of nodes removed"),
    list("RPOP", rpop, AtLeast(2), TAKE, WRITE.and(FAST))
        .log(LogAs::Words)
        .syntax("key [count]")
        .summary("Takes elements from the right end of a list.")
        .complexity("O(1) an element"),
    list("RPOPLPUSH", rpoplpush, Exactly(3), MOVE, GROW)
        .log(LogAs::Told)
        .syntax("source destination")
        .summary("As LMOVE from the right to the left.")
        .since("1.2.0")
        .complexity("O(1)"),
    list("RPUSH", rpush, AtLeast(3), INSERT, GROW.and(FAST))
        .log(LogAs::Words)
        .syntax("key element [element ...]")
        .summary("Puts elements at the right end of a list, one after the other.")
        .complexity("O(1) an element"),
    list("RPUSHX", rpushx, AtLeast(3), INSERT, GROW.and(FAST))
        .log(LogAs::Words)
        .syntax("key element [element ...]")
        .summary("As RPUSH, only if there is such a list.")
        .since("2.2.0")
        .complexity("O(1) an element"),
];

fn pushed(end: End) -> Event {
    match end {
        End::Head => Event::LPush,
        End::Tail => Event::RPush,
    }
}

fn popped(end: End) -> Event {
    match end {
        End::Head => Event::LPop,
        End::Tail => Event::RPop,
    }
}

/// The command that pushes elements.
fn push_name(end: End) -> &'static [u8] {
    match end {
        End::Head => b"LPUSH",
        End::Tail => b"RPUSH",
    }
}

/// The command that pops elements.
fn pop_name(end: End) -> &'static [u8] {
    match end {
        End::Head => b"LPOP",
        End::Tail => b"RPOP",
    }
}

/// `LEFT` or `RIGHT`.
///
/// Errors: syntax.
fn end_of(args: &mut Args) -> Result<End, CommandError> {
    if args.keyword("LEFT") {
        Ok(End::Head)
    } else if args.keyword("RIGHT") {
        Ok(End::Tail)
    } else {
        Err(CommandError::Syntax)
    }
}

/// Where an index is that may count from the end; out of the list it is below 0 or at least `len`.
fn from_front(index: i64, len: usize) -> i64 {
    if index < 0 { index.saturating_add(len as i64) } else { index }
}

/// The element that an index means.
fn place(index: i64, len: usize) -> Option<usize> {
    usize::try_from(from_front(index, len)).ok().filter(|&index| index < len)
}

/// The first element and the number of elements that `start` and `stop` mean.
fn range(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let first = from_front(start, len).max(0);
    let last = from_front(stop, len).min(len as i64 - 1);
    if first > last { (0, 0) } else { (first as usize, (last - first + 1) as usize) }
}

/// Reply: int, the length.
/// Errors: WRONGTYPE.
/// Effect: event `lpush` or `rpush`.
#[inline]
fn push(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, end: End) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let len = ctx.edit_or_new(key, |list: &mut List, limits| {
        while let Ok(element) = args.next() {
            list.push(end, element, limits);
        }
        list.len()
    })?;
    reply.int(len as i64);
    ctx.wrote(key, pushed(end));
    Ok(Done)
}

fn lpush(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    push(ctx, args, reply, End::Head)
}

fn rpush(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    push(ctx, args, reply, End::Tail)
}

/// Reply: int, the length; 0 without a list.
/// Errors: WRONGTYPE.
/// Effect: event `lpush` or `rpush`.
fn push_if_there(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, end: End) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let len = ctx.edit(key, |list: &mut List, limits| {
        while let Ok(element) = args.next() {
            list.push(end, element, limits);
        }
        list.len()
    })?;
    reply.int(len.unwrap_or(0) as i64);
    if len.is_some() {
        ctx.wrote(key, pushed(end));
    }
    Ok(Done)
}

fn lpushx(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    push_if_there(ctx, args, reply, End::Head)
}

fn rpushx(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    push_if_there(ctx, args, reply, End::Tail)
}

/// Replies the `count` elements next to an end, the outermost first.
fn reply_end(view: ListRef<'_>, end: End, count: usize, reply: &mut Reply) {
    match end {
        End::Head => view.for_range(0, count, |item| reply_item(reply, item)),
        End::Tail => view.iter_back().take(count).for_each(|item| reply_item(reply, item)),
    }
}

/// Reply: the element, or nil; with a count an array of as many as there are, or nil without a list.
/// Errors: WRONGTYPE, a count that is none.
/// Effect: event `lpop` or `rpop`, and `del` with the last element.
#[inline]
fn pop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, end: End) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    if args.left() > 0 {
        return pop_several(ctx, key, args, reply, end);
    }
    let emptied = ctx.edit(key, |list: &mut List, limits| {
        if let Some(item) = list.as_ref().end(end) {
            reply_item(reply, item);
        }
        list.remove(end, 1, limits);
        list.is_empty()
    })?;
    match emptied {
        Some(emptied) => ctx.wrote_less(key, popped(end), emptied),
        None => reply.nil(),
    }
    Ok(Done)
}

fn pop_several(
    ctx: &mut Ctx,
    key: Key<'_>,
    args: &mut Args,
    reply: &mut Reply,
    end: End,
) -> Result<Outcome, CommandError> {
    if args.left() > 1 {
        let name = if end == End::Head { "lpop" } else { "rpop" };
        return Err(CommandError::WrongArity(name.into()));
    }
    let count = number::parse_i64(args.next()?)
        .and_then(|count| usize::try_from(count).ok())
        .ok_or(CommandError::err("value is out of range, must be positive"))?;
    if count == 0 {
        match ctx.peek::<List>(key)? {
            Some(_) => reply.array(0),
            None => reply.nil_array(),
        }
        return Ok(Done);
    }
    match ctx.edit(key, |list: &mut List, limits| take(list, end, count, reply, limits))? {
        Some(emptied) => ctx.wrote_less(key, popped(end), emptied),
        None => reply.nil_array(),
    }
    Ok(Done)
}

/// Takes up to `count` elements and replies an array of them; says whether the list is empty now.
fn take(list: &mut List, end: End, count: usize, reply: &mut Reply, limits: &Limits) -> bool {
    let count = count.min(list.len());
    reply.array(count);
    reply_end(list.as_ref(), end, count, reply);
    list.remove(end, count, limits);
    list.is_empty()
}

fn lpop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    pop(ctx, args, reply, End::Head)
}

fn rpop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    pop(ctx, args, reply, End::Tail)
}

/// Takes elements of a list that is there. Reply: array of the key and an array of elements.
/// Effect: event `lpop` or `rpop`, and `del` with the last element.
fn pop_many(ctx: &mut Ctx, reply: &mut Reply, key: Key<'_>, end: End, count: usize) -> Result<Outcome, CommandError> {
    reply.array(2);
    reply.bulk(key.bytes);
    let emptied = ctx.edit(key, |list: &mut List, limits| take(list, end, count, reply, limits))?;
    ctx.effect(key, [pop_name(end), key.bytes, itoa::Buffer::new().format(count).as_bytes()]);
    ctx.wrote_less(key, popped(end), emptied == Some(true));
    Ok(Done)
}

/// Reply: array of the key and an array of elements; nil when no list has any.
/// Errors: syntax, a count or number of keys that is none; WRONGTYPE for a key in front of the first list.
/// Effect: as `pop_many`.
fn lmpop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let mut options = PopOptions::parse(args, end_of)?;
    match first_of::<List>(ctx, &mut options.keys)? {
        Some(key) => pop_many(ctx, reply, key, options.end, options.count),
        None => {
            reply.nil_array();
            Ok(Done)
        }
    }
}

/// Reply, errors and effect: as `lmpop`; nil when its time is over.
fn blmpop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let timeout = args.next()?;
    let mut options = PopOptions::parse(args, end_of)?;
    let until = until(ctx.now, timeout)?;
    match first_of::<List>(ctx, &mut options.keys)? {
        Some(key) if ctx.may_answer() => pop_many(ctx, reply, key, options.end, options.count),
        Some(_) => Ok(Outcome::Wait),
        None => Ok(ctx.wait(until, reply, Reply::nil_array)),
    }
}

/// Reply: array of the key and the element; nil when its time is over.
/// Errors: a timeout that is none; WRONGTYPE for a key in front of the first list.
/// Effect: event `lpop` or `rpop`, and `del` with the last element.
fn pop_waiting(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, end: End) -> Result<Outcome, CommandError> {
    let mut keys = args.take(args.left() - 1);
    let until = until(ctx.now, args.next()?)?;
    let Some(key) = first_of::<List>(ctx, &mut keys)? else {
        return Ok(ctx.wait(until, reply, Reply::nil_array));
    };
    if !ctx.may_answer() {
        return Ok(Outcome::Wait);
    }
    reply.array(2);
    reply.bulk(key.bytes);
    let emptied = ctx.edit(key, |list: &mut List, limits| {
        if let Some(item) = list.as_ref().end(end) {
            reply_item(reply, item);
        }
        list.remove(end, 1, limits);
        list.is_empty()
    })?;
    ctx.effect(key, [pop_name(end), key.bytes]);
    ctx.wrote_less(key, popped(end), emptied == Some(true));
    Ok(Done)
}

fn blpop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    pop_waiting(ctx, args, reply, End::Head)
}

fn brpop(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    pop_waiting(ctx, args, reply, End::Tail)
}

/// Reply: the element, or nil without a source.
/// Errors: syntax; WRONGTYPE for either key; nothing is moved then.
/// Effect: events of a push at the destination and a pop at the source, and `del` with its last element.
fn lmove(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (source, target) = (args.key()?, args.key()?);
    let (from, to) = (end_of(args)?, end_of(args)?);
    move_one(ctx, reply, source, target, from, to)
}

fn rpoplpush(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (source, target) = (args.key()?, args.key()?);
    move_one(ctx, reply, source, target, End::Tail, End::Head)
}

/// Reply, errors and effect: as `lmove`; nil when its time is over.
fn blmove(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (source, target) = (args.key()?, args.key()?);
    let (from, to) = (end_of(args)?, end_of(args)?);
    let until = until(ctx.now, args.next()?)?;
    move_waiting(ctx, reply, (source, target), (from, to), until)
}

fn brpoplpush(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (source, target) = (args.key()?, args.key()?);
    let until = until(ctx.now, args.next()?)?;
    move_waiting(ctx, reply, (source, target), (End::Tail, End::Head), until)
}

fn move_waiting(
    ctx: &mut Ctx,
    reply: &mut Reply,
    (source, target): (Key<'_>, Key<'_>),
    (from, to): (End, End),
    until: Option<UnixMs>,
) -> Result<Outcome, CommandError> {
    if ctx.peek::<List>(source)?.is_none() {
        return Ok(ctx.wait(until, reply, Reply::nil));
    }
    if !ctx.may_answer() {
        return Ok(Outcome::Wait);
    }
    move_one(ctx, reply, source, target, from, to)
}

fn move_one(
    ctx: &mut Ctx,
    reply: &mut Reply,
    source: Key<'_>,
    target: Key<'_>,
    from: End,
    to: End,
) -> Result<Outcome, CommandError> {
    let Some(view) = ctx.peek::<List>(source)? else {
        reply.nil();
        return Ok(Done);
    };
    let element = view.end(from).map(Item::to_vec).unwrap_or_default();
    // First the push, which may be refused; it also keeps a list alive that gets its only element back.
    ctx.edit_or_new(target, |list: &mut List, limits| {
        list.push(to, &element, limits);
    })?;
    // Where source and target are one and so are the ends, it takes the new one, which is the same.
    let emptied = ctx.edit(source, |list: &mut List, limits| {
        list.remove(from, 1, limits);
        list.is_empty()
    })?;
    reply.bulk(&element);
    ctx.effect(target, [push_name(to), target.bytes, &element]);
    ctx.effect(source, [pop_name(from), source.bytes]);
    ctx.wrote(target, pushed(to));
    ctx.wrote_less(source, popped(from), emptied == Some(true));
    Ok(Done)
}

/// Reply: int; 0 without a list.
/// Errors: WRONGTYPE.
fn llen(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let len = ctx.view::<List>(args.key()?)?.map_or(0, ListRef::len);
    reply.int(len as i64);
    Ok(Done)
}

/// Reply: the element, or nil when there is none at that index.
/// Errors: WRONGTYPE; not an integer, if there is a list.
fn lindex(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let Some(view) = ctx.view::<List>(args.key()?)? else {
        reply.nil();
        return Ok(Done);
    };
    match place(args.int()?, view.len()).and_then(|index| view.get(index)) {
        Some(item) => reply_item(reply, item),
        None => reply.nil(),
    }
    Ok(Done)
}

/// Reply: array.
/// Errors: not an integer, WRONGTYPE.
fn lrange(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let (start, stop) = (args.int()?, args.int()?);
    let Some(view) = ctx.view::<List>(key)? else {
        reply.array(0);
        return Ok(Done);
    };
    let (first, count) = range(start, stop, view.len());
    reply.array(count);
    view.for_range(first, count, |item| reply_item(reply, item));
    Ok(Done)
}

/// Reply: OK.
/// Errors: no such key, WRONGTYPE, not an integer, index out of range.
/// Effect: event `lset`.
fn lset(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let set = ctx.edit(key, |list: &mut List, limits| {
        let index = place(args.int()?, list.len()).ok_or(CommandError::OutOfRange)?;
        list.set(index, args.next()?, limits);
        Ok::<_, CommandError>(())
    })?;
    set.ok_or(CommandError::NoSuchKey)??;
    reply.ok();
    ctx.wrote(key, Event::LSet);
    Ok(Done)
}

/// Reply: int, the new length; -1 when the pivot is not there, 0 without a list.
/// Errors: syntax, WRONGTYPE.
/// Effect: event `linsert`.
fn linsert(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let behind = if args.keyword("BEFORE") {
        0
    } else if args.keyword("AFTER") {
        1
    } else {
        return Err(CommandError::Syntax);
    };
    let (pivot, element) = (args.next()?, args.next()?);
    let Some(found) = ctx.peek::<List>(key)?.map(|view| view.find(pivot)) else {
        reply.int(0);
        return Ok(Done);
    };
    let Some(index) = found else {
        reply.int(-1);
        return Ok(Done);
    };
    let len = ctx.edit(key, |list: &mut List, limits| {
        list.insert(index + behind, element, limits);
        list.len()
    })?;
    reply.int(len.unwrap_or(0) as i64);
    ctx.wrote(key, Event::LInsert);
    Ok(Done)
}

/// Reply: int, the number of elements removed.
/// Errors: not an integer, WRONGTYPE.
/// Effect: event `lrem` when there were any, and `del` with the last element.
fn lrem(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let count = args.int()?;
    let element = args.next()?;
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let end = if count < 0 { End::Tail } else { End::Head };
    let removed = ctx.edit(key, |list: &mut List, limits| {
        let removed = list.remove_equal(element, most, end, limits);
        (removed, list.is_empty())
    })?;
    let (removed, emptied) = removed.unwrap_or((0, false));
    reply.int(removed as i64);
    if removed > 0 {
        ctx.wrote_less(key, Event::LRem, emptied);
    }
    Ok(Done)
}

/// Reply: OK.
/// Errors: not an integer, WRONGTYPE.
/// Effect: event `ltrim`, and `del` with the last element.
fn ltrim(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let (start, stop) = (args.int()?, args.int()?);
    let emptied = ctx.edit(key, |list: &mut List, limits| {
        let (first, count) = range(start, stop, list.len());
        list.remove(End::Tail, list.len() - first - count, limits);
        list.remove(End::Head, first, limits);
        list.is_empty()
    })?;
    reply.ok();
    if let Some(emptied) = emptied {
        ctx.wrote_less(key, Event::LTrim, emptied);
    }
    Ok(Done)
}

/// What LPOS looks for.
struct Search {
    /// Matches to pass over, from the end that the rank means.
    skip: usize,
    from: End,
    /// Some: that many, all for 0, in an array.
    count: Option<usize>,
    /// Elements to compare.
    most: usize,
}

impl Search {
    /// Errors: syntax; a number that is none or out of its range.
    fn parse(args: &mut Args) -> Result<Search, CommandError> {
        let natural = |word: &[u8], text: &'static str| {
            let number = number::parse_i64(word).and_then(|number| usize::try_from(number).ok());
            number.ok_or(CommandError::err(text))
        };
        let mut search = Search { skip: 0, from: End::Head, count: None, most: usize::MAX };
        while args.left() > 0 {
            if args.left() == 1 {
                return Err(CommandError::Syntax);
            } else if args.keyword("RANK") {
                let rank = args.int()?;
                if rank == 0 {
                    return Err(CommandError::err(
                        "RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                         or use negative to start from the end of the list",
                    ));
                }
                if rank == i64::MIN {
                    return Err(CommandError::err(
                        "value is out of range, value must between -9223372036854775807 and 9223372036854775807",
                    ));
                }
                search.skip = rank.unsigned_abs() as usize - 1;
                search.from = if rank < 0 { End::Tail } else { End::Head };
            } else if args.keyword("COUNT") {
                search.count = Some(natural(args.next()?, "COUNT can't be negative")?);
            } else if args.keyword("MAXLEN") {
                let most = natural(args.next()?, "MAXLEN can't be negative")?;
                search.most = if most == 0 { usize::MAX } else { most };
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(search)
    }

    /// The indexes at which an element stands, in the order in which they are found.
    fn run<'a>(&self, view: ListRef<'a>, element: &'a [u8]) -> impl Iterator<Item = usize> + use<'a> {
        let wanted = Item::of(element);
        let is_wanted = move |&(_, item): &(usize, Item<'_>)| item == wanted;
        let matches: Box<dyn Iterator<Item = usize>> = match self.from {
            End::Head => Box::new(view.iter().enumerate().take(self.most).filter(is_wanted).map(|(i, _)| i)),
            End::Tail => {
                let last = view.len().saturating_sub(1);
                Box::new(view.iter_back().enumerate().take(self.most).filter(is_wanted).map(move |(i, _)| last - i))
            }
        };
        matches.skip(self.skip)
    }
}

/// Reply: int or nil; with COUNT an array.
/// Errors: syntax, a number out of its range, WRONGTYPE.
fn lpos(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let element = args.next()?;
    let search = Search::parse(args)?;
    let view = ctx.view::<List>(key)?;
    let mut found = view.map(|view| search.run(view, element)).into_iter().flatten();
    match search.count {
        None => match found.next() {
            Some(index) => reply.int(index as i64),
            None => reply.nil(),
        },
        Some(count) => {
            let found: Vec<usize> = found.take(if count == 0 { usize::MAX } else { count }).collect();
            reply.array(found.len());
            found.iter().for_each(|&index| reply.int(index as i64));
        }
    }
    Ok(Done)
}

#[cfg(test)]
mod tests;
