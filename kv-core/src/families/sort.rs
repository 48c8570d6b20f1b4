//! SORT and SORT_RO: the elements of a list, a set or a sorted set in another order.
//!
//! What decides the order, and what is returned, may come from other keys: their names are made of a pattern (`BY w_*`,
//! `GET h_*->field`) and each element in turn. So they may lie on any shard, and a request with such a pattern brings all
//! shards together (`Find::Patterns`); one without runs where its keys are.
//!
//! Where elements compare equal, Redis leaves the order open in part; here they stay in the order in which they were.

use super::reply_item;
use crate::command::{
    Args, Arity, Begin, CommandError, CommandSpec, Ctx, Event, Find, Flags, Group, Handler, KeyAccess, KeySpec,
    OptionWords, Outcome, StoreFn, row,
};
use crate::resp::{Reply, number};
use crate::store::{Key, KeyHasher, Object, Value};
use crate::structs::packed::Item;
use crate::types::list::{End, List};
use crate::types::{Hash, Set, ZSet};
use Outcome::Done;
use std::borrow::Cow;
use std::cmp::Ordering;

/// What follows the key, as `Sort::parse` reads it: also for whoever looks for the keys of a request.
const OPTIONS: &[OptionWords] = &[("BY", 1), ("LIMIT", 2), ("GET", 1), ("STORE", 1)];

const fn at_options(find: Find, access: &'static [&'static str]) -> KeySpec {
    KeySpec { begin: Begin::Options { from: 2, options: OPTIONS }, find, access: KeyAccess(access) }
}

const SORTED: KeySpec = KeySpec::one(1, &["RO", "access"]);
const NAMED_BY_PATTERNS: KeySpec = at_options(Find::Patterns(&["BY", "GET"]), &["RO", "access"]);
const STORED: KeySpec = at_options(Find::Option("STORE"), &["OW", "update"]);

const ANY: Flags = Flags::MOVABLE_KEYS.and(Flags::DANGEROUS);

const fn sorting(name: &'static str, handler: StoreFn, keys: &'static [KeySpec], flags: Flags) -> CommandSpec {
    row(name, Handler::Store(handler), Arity::AtLeast(2), keys, flags)
        .group(Group::Generic)
        .category("list")
        .and_categories(&["set", "sortedset"])
        .complexity("O(n + m log m) in the numbers of elements sorted and returned; O(n) when they are not sorted")
}

pub(crate) const ROWS: &[CommandSpec] = &[
    sorting("SORT", sort, &[SORTED, NAMED_BY_PATTERNS, STORED], Flags::WRITE.and(Flags::DENYOOM).and(ANY))
        .syntax(
            "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] \
             [STORE destination]",
        )
        .summary("Sorts the elements of a list, a set or a sorted set, and returns or stores them.")
        .since("1.0.0"),
    sorting("SORT_RO", sort_ro, &[SORTED, NAMED_BY_PATTERNS], Flags::READONLY.and(ANY))
        .syntax("key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]")
        .summary("As SORT, without storing.")
        .since("7.0.0"),
];

/// A name with a place for an element, or what stands instead of one.
#[derive(Clone, Copy)]
enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// Without `*`: names nothing.
    Nothing,
    Key {
        before: &'a [u8],
        behind: &'a [u8],
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    fn parse(pattern: &'a [u8]) -> Pattern<'a> {
        if pattern == b"#" {
            return Pattern::Element;
        }
        let Some(star) = memchr::memchr(b'*', pattern) else { return Pattern::Nothing };
        let (before, behind) = (&pattern[..star], &pattern[star + 1..]);
        // An arrow with nothing behind it belongs to the name.
        match memchr::memmem::find(behind, b"->").filter(|at| at + 2 < behind.len()) {
            Some(at) => Pattern::Key { before, behind: &behind[..at], field: Some(&behind[at + 2..]) },
            None => Pattern::Key { before, behind, field: None },
        }
    }

    /// The text that the pattern leads to from an element; none when there is no such key or field, or of another type.
    fn look_up<'s>(self, ctx: &'s Ctx, hasher: &KeyHasher, element: Item<'s>) -> Option<Cow<'s, [u8]>> {
        match self {
            Pattern::Nothing => None,
            Pattern::Element => Some(text_of(element)),
            Pattern::Key { before, behind, field } => {
                let mut name = Vec::with_capacity(before.len() + element.len() + behind.len());
                name.extend_from_slice(before);
                element.append_to(&mut name);
                name.extend_from_slice(behind);
                let key = hasher.key(&name);
                match field {
                    Some(field) => ctx.peek::<Hash>(key).ok()??.get(field, ctx.now).map(text_of),
                    None => match ctx.peek_entry(key)?.value() {
                        Value::Bytes(text) => Some(Cow::Borrowed(text)),
                        Value::Object(Object::Str(text)) => Some(Cow::Borrowed(text)),
                        Value::Int(int) => Some(text_of(Item::Int(int))),
                        Value::Packed(..) | Value::Object(_) => None,
                    },
                }
            }
        }
    }
}

fn text_of(item: Item<'_>) -> Cow<'_, [u8]> {
    match item {
        Item::Bytes(bytes) => Cow::Borrowed(bytes),
        Item::Int(_) => Cow::Owned(item.to_vec()),
    }
}

struct Sort<'a> {
    by: Option<Pattern<'a>>,
    /// Whether a BY without `*` was given: the elements are taken as they come.
    unsorted: bool,
    offset: i64,
    count: i64,
    get: Vec<Pattern<'a>>,
    descending: bool,
    alpha: bool,
    store: Option<Key<'a>>,
}

impl<'a> Sort<'a> {
    /// Errors: syntax, not an integer.
    fn parse(args: &mut Args<'a>, may_store: bool) -> Result<Sort<'a>, CommandError> {
        let mut sort = Sort {
            by: None,
            unsorted: false,
            offset: 0,
            count: -1,
            get: Vec::new(),
            descending: false,
            alpha: false,
            store: None,
        };
        while args.left() > 0 {
            if args.keyword("ASC") {
                sort.descending = false;
            } else if args.keyword("DESC") {
                sort.descending = true;
            } else if args.keyword("ALPHA") {
                sort.alpha = true;
            } else if args.left() > 2 && args.keyword("LIMIT") {
                (sort.offset, sort.count) = (args.int()?, args.int()?);
            } else if args.left() < 2 {
                return Err(CommandError::Syntax);
            } else if args.keyword("BY") {
                let pattern = args.next()?;
                sort.unsorted |= !pattern.contains(&b'*');
                sort.by = Some(Pattern::parse(pattern));
            } else if args.keyword("GET") {
                sort.get.push(Pattern::parse(args.next()?));
            } else if may_store && args.keyword("STORE") {
                sort.store = Some(args.key()?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(sort)
    }

    /// The first element that LIMIT leaves, and the one behind the last.
    fn limits(&self, len: usize) -> (usize, usize) {
        let first = usize::try_from(self.offset.max(0)).map_or(len, |offset| offset.min(len));
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        (first, first.saturating_add(count).min(len))
    }
}

/// What an element is compared by.
enum Rank<'a> {
    Score(f64),
    /// None where the pattern leads nowhere; it comes first.
    Text(Option<Cow<'a, [u8]>>),
    /// By the element's own text.
    Own,
}

struct Sorted<'a> {
    rank: Rank<'a>,
    /// Where it stood.
    at: usize,
    item: Item<'a>,
}

impl Sorted<'_> {
    /// Ascending. Equal scores are told apart by the elements, so that the order does not hang on where they came from.
    fn compare(&self, other: &Self) -> Ordering {
        match (&self.rank, &other.rank) {
            (Rank::Score(a), Rank::Score(b)) => {
                a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(|| self.item.compare(other.item))
            }
            (Rank::Text(a), Rank::Text(b)) => a.cmp(b),
            _ => self.item.compare(other.item),
        }
    }
}

/// A number as SORT takes it: blanks may stand in front, and an empty text is 0.
///
/// Errors: none of the kind.
fn score_of(text: &[u8]) -> Result<f64, CommandError> {
    if text.is_empty() {
        return Ok(0.0);
    }
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    number::parse_f64(&text[blanks..]).ok_or(CommandError::err("One or more scores can't be converted into double"))
}

/// The elements of a key, and whether it is a set. In their order; the other way round where that makes sense and is asked
/// for.
///
/// Errors: WRONGTYPE.
fn elements<'s>(ctx: &'s Ctx, key: Key<'_>, backwards: bool) -> Result<(Vec<Item<'s>>, bool), CommandError> {
    if let Ok(list) = ctx.peek::<List>(key) {
        let list = list.map(|list| if backwards { list.iter_back().collect() } else { list.iter().collect() });
        return Ok((list.unwrap_or_default(), false));
    }
    if let Ok(set) = ctx.peek::<Set>(key) {
        return Ok((set.map(|set| set.iter().collect()).unwrap_or_default(), true));
    }
    let Some(zset) = ctx.peek::<ZSet>(key)? else { return Ok((Vec::new(), false)) };
    let ranks = if backwards { zset.iter_back(0..zset.len()) } else { zset.all() };
    Ok((ranks.map(|(member, _)| member).collect(), false))
}

/// The elements that a request asks for, in its order.
///
/// Errors: WRONGTYPE; a text that is no number where one is needed.
fn run<'s>(ctx: &'s Ctx, hasher: &KeyHasher, key: Key<'_>, sort: &Sort<'_>) -> Result<Vec<Item<'s>>, CommandError> {
    let (items, is_set) = elements(ctx, key, sort.unsorted && sort.descending)?;
    let (first, end) = sort.limits(items.len());
    // The order of a set is no order, and what is stored is to be the same everywhere.
    let unsorted_set = sort.unsorted && is_set && sort.store.is_some();
    if sort.unsorted && !unsorted_set {
        return Ok(items[first..end].to_vec());
    }
    let (by, alpha) = if unsorted_set { (None, true) } else { (sort.by, sort.alpha) };
    let rank = |item: Item<'s>| -> Result<Rank<'s>, CommandError> {
        Ok(match (by, alpha) {
            (None, true) => Rank::Own,
            (None, false) => Rank::Score(match item {
                Item::Int(int) => int as f64,
                Item::Bytes(bytes) => score_of(bytes)?,
            }),
            (Some(by), true) => Rank::Text(by.look_up(ctx, hasher, item)),
            (Some(by), false) => Rank::Score(by.look_up(ctx, hasher, item).map_or(Ok(0.0), |text| score_of(&text))?),
        })
    };
    let sorted = items.into_iter().enumerate().map(|(at, item)| Ok(Sorted { rank: rank(item)?, at, item }));
    let mut sorted: Vec<Sorted<'_>> = sorted.collect::<Result<_, CommandError>>()?;
    let order = |a: &Sorted<'_>, b: &Sorted<'_>| {
        let order = a.compare(b);
        if sort.descending { order.reverse() } else { order }.then(a.at.cmp(&b.at))
    };
    // Only what is asked for need be in order.
    if end < sorted.len() {
        sorted.select_nth_unstable_by(end, order);
        sorted.truncate(end);
    }
    sorted.sort_unstable_by(order);
    Ok(sorted[first..].iter().map(|sorted| sorted.item).collect())
}

/// Calls `each` with what is returned of the elements: themselves, or what GET names.
fn for_results<'s>(
    ctx: &'s Ctx,
    hasher: &KeyHasher,
    items: &[Item<'s>],
    get: &[Pattern<'_>],
    mut each: impl FnMut(Option<Item<'_>>),
) {
    for &item in items {
        if get.is_empty() {
            each(Some(item));
        }
        for pattern in get {
            match pattern {
                Pattern::Element => each(Some(item)),
                _ => each(pattern.look_up(ctx, hasher, item).as_deref().map(Item::Bytes)),
            }
        }
    }
}

/// Reply: array, nil for what GET does not find; with STORE int, the number of elements stored.
/// Errors: syntax, not an integer, WRONGTYPE, a text that is no number; nothing is stored then.
/// Effect: with STORE event `sortstore` for the destination, or `del` when nothing is stored and there was something.
fn sort(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    answer(ctx, args, reply, true)
}

/// As SORT without STORE.
fn sort_ro(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    answer(ctx, args, reply, false)
}

fn answer(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply, may_store: bool) -> Result<Outcome, CommandError> {
    let hasher = args.hasher();
    let key = args.key()?;
    let sort = Sort::parse(args, may_store)?;
    // For what it counts as; below, several keys are looked at together.
    ctx.read(key);
    let items = run(ctx, hasher, key, &sort)?;
    let Some(target) = sort.store else {
        reply.array(items.len() * sort.get.len().max(1));
        for_results(ctx, hasher, &items, &sort.get, |result| match result {
            Some(item) => reply_item(reply, item),
            None => reply.nil(),
        });
        return Ok(Done);
    };
    let mut list = List::new();
    let limits = ctx.limits();
    for_results(ctx, hasher, &items, &sort.get, |result| match result {
        Some(item) => list.push(End::Tail, item.text(&mut itoa::Buffer::new()), limits),
        None => list.push(End::Tail, b"", limits),
    });
    let stored = list.len();
    let existed = ctx.store_new(target, list);
    if stored > 0 {
        ctx.wrote(target, Event::SortStore);
    } else if existed {
        ctx.wrote(target, Event::Del);
    }
    reply.int(stored as i64);
    Ok(Done)
}

#[cfg(test)]
mod tests;
