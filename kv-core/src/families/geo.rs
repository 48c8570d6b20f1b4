//! Places: GEOADD ... GEOSEARCHSTORE.
//!
//! A place is a member of a sorted set whose score is its geohash (`types::geo`), so all commands of sorted sets work on it,
//! and scores that were never places are taken for some. GEORADIUS and its kin are older words for GEOSEARCH: all are one
//! `Query`.

use super::reply_item;
use super::row_words::{GROW, READ, UPDATE};
use crate::command::{
    Args, Arity, Begin, CommandError, CommandSpec, Ctx, Event, Find, Flags, Group, Handler, KeyAccess, KeySpec, LogAs,
    Outcome, StoreFn, row,
};
use crate::resp::{Reply, number};
use crate::store::Key;
use crate::types::geo::{Point, Search};
use crate::types::zset::{Added, Member, Rule, ScoreBound, ScoreRange};
use crate::types::{ZSet, ZSetRef};
use Arity::AtLeast;
use Outcome::Done;
use query::{Origin, Query};

mod query;

const GROW_MANY: Flags = GROW.and(Flags::MOVABLE_KEYS);

const ACCESS: KeySpec = KeySpec::one(1, &["RO", "access"]);
const READ_KEY: &[KeySpec] = &[ACCESS];
const STORE_AND_SOURCE: &[KeySpec] = &[KeySpec::one(1, &["OW", "update"]), KeySpec::one(2, &["RO", "access"])];

/// The key behind the word `word`, which is looked for from word `from` on.
const fn behind(word: &'static str, from: i16) -> KeySpec {
    let find = Find::Range { last: 0, step: 1, limit: 0 };
    KeySpec { begin: Begin::Keyword { word, from }, find, access: KeyAccess(&["OW", "update"]) }
}

const fn geo(
    name: &'static str,
    handler: StoreFn,
    arity: Arity,
    keys: &'static [KeySpec],
    flags: Flags,
) -> CommandSpec {
    row(name, Handler::Store(handler), arity, keys, flags).group(Group::Geo).since("3.2.0")
}

const SEARCH_COST: &str = "O(log n + m), m the members in and around the area";

pub(crate) const ROWS: &[CommandSpec] = &[
    geo("GEOADD", geoadd, AtLeast(5), UPDATE, GROW)
        .log(LogAs::Words)
        .syntax("key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]")
        .summary("Adds places or moves them.")
        .complexity("O(log n) a place"),
    geo("GEODIST", geodist, AtLeast(4), READ_KEY, READ)
        .syntax("key member1 member2 [M | KM | FT | MI]")
        .summary("Returns the distance between two places.")
        .complexity("O(1)"),
    geo("GEOHASH", geohash, AtLeast(2), READ_KEY, READ)
        .syntax("key [member [member ...]]")
        .summary("Returns places as geohashes, which other programs know.")
        .complexity("O(1) a place"),
    geo("GEOPOS", geopos, AtLeast(2), READ_KEY, READ)
        .syntax("key [member [member ...]]")
        .summary("Returns longitude and latitude of places.")
        .complexity("O(1) a place"),
    geo("GEORADIUS", georadius, AtLeast(6), &[ACCESS, behind("STORE", 6), behind("STOREDIST", 6)], GROW_MANY)
        .syntax(
            "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] \
         [ASC | DESC] [STORE key | STOREDIST key]",
        )
        .summary("Returns or stores the places within a distance from a point.")
        .complexity(SEARCH_COST),
    geo(
        "GEORADIUSBYMEMBER",
        georadiusbymember,
        AtLeast(5),
        &[ACCESS, behind("STORE", 5), behind("STOREDIST", 5)],
        GROW_MANY,
    )
    .syntax(
        "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] \
         [STORE key | STOREDIST key]",
    )
    .summary("Returns or stores the places within a distance from a place.")
    .complexity(SEARCH_COST),
    geo("GEORADIUSBYMEMBER_RO", georadiusbymember_ro, AtLeast(5), READ_KEY, READ)
        .syntax(
            "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        )
        .summary("Returns the places within a distance from a place.")
        .since("3.2.10")
        .complexity(SEARCH_COST),
    geo("GEORADIUS_RO", georadius_ro, AtLeast(6), READ_KEY, READ)
        .syntax(
            "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] \
             [ASC | DESC]",
        )
        .summary("Returns the places within a distance from a point.")
        .since("3.2.10")
        .complexity(SEARCH_COST),
    geo("GEOSEARCH", geosearch, AtLeast(7), READ_KEY, READ)
        .syntax(
            "key <FROMMEMBER member | FROMLONLAT longitude latitude> \
             <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] \
             [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        )
        .summary("Returns the places within a circle or a box.")
        .since("6.2.0")
        .complexity(SEARCH_COST),
    geo("GEOSEARCHSTORE", geosearchstore, AtLeast(8), STORE_AND_SOURCE, GROW)
        .syntax(
            "destination source <FROMMEMBER member | FROMLONLAT longitude latitude> \
             <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI>> [ASC | DESC] \
             [COUNT count [ANY]] [STOREDIST]",
        )
        .summary("Stores the places within a circle or a box.")
        .since("6.2.0")
        .complexity(SEARCH_COST),
];

/// The next two words as a point.
///
/// Errors: not a float, not on the map.
fn point(args: &mut Args) -> Result<Point, CommandError> {
    let point = Point { longitude: args.float()?, latitude: args.float()? };
    if !point.is_valid() {
        let Point { longitude, latitude } = point;
        return Err(CommandError::err(format!("invalid longitude,latitude pair {longitude:.6},{latitude:.6}")));
    }
    Ok(point)
}

/// How many metres a unit has.
///
/// Errors: unsupported unit.
fn unit(word: &[u8]) -> Result<f64, CommandError> {
    const UNITS: [(&[u8], f64); 4] = [(b"m", 1.0), (b"km", 1000.0), (b"ft", 0.3048), (b"mi", 1609.34)];
    let found = UNITS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
    found.map(|&(_, metres)| metres).ok_or(CommandError::err("unsupported unit provided. please use M, KM, FT, MI"))
}

/// A distance as Redis prints it: 4 decimals, in both protocols as a bulk.
fn put_distance(reply: &mut Reply, distance: f64) {
    reply.bulk(format!("{distance:.4}").as_bytes());
}

/// A coordinate as Redis prints it: 17 decimals, without zeros at the end.
fn put_coordinate(reply: &mut Reply, degrees: f64) {
    let text = format!("{degrees:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    reply.double_text(if text == "-0" { "0" } else { text });
}

fn put_point(reply: &mut Reply, point: Point) {
    reply.array(2);
    put_coordinate(reply, point.longitude);
    put_coordinate(reply, point.latitude);
}

/// Reply: int, how many places are new (CH: or have moved).
/// Errors: syntax, not a float, not on the map, WRONGTYPE; nothing is written then.
/// Effect: event `zadd`, when something changed.
fn geoadd(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let key = args.key()?;
    let (mut rule, mut count_changed) = (Rule::default(), false);
    loop {
        if args.keyword("NX") {
            rule.new_only = true;
        } else if args.keyword("XX") {
            rule.existing_only = true;
        } else if args.keyword("CH") {
            count_changed = true;
        } else {
            break;
        }
    }
    if args.left() == 0 || !args.left().is_multiple_of(3) || (rule.new_only && rule.existing_only) {
        return Err(CommandError::Syntax);
    }
    let mut places = Vec::with_capacity(args.left() / 3);
    while args.left() > 0 {
        let score = point(args)?.score() as f64;
        places.push((score, args.next()?));
    }
    let longest = places[0].1.len();
    let (mut added, mut changed) = (0, 0);
    let mut add_all = |zset: &mut ZSet, limits: &_| {
        if zset.is_empty() {
            *zset = ZSet::for_members(longest, places.len(), limits);
        }
        zset.expect(places.len(), limits);
        for (score, member) in &places {
            match zset.add(member, *score, rule, limits)? {
                Added::New(_) => added += 1,
                Added::Changed(_) => changed += 1,
                Added::Same(_) | Added::Refused => {}
            }
        }
        Ok::<_, CommandError>(())
    };
    if rule.existing_only {
        ctx.edit(key, |zset, limits| add_all(zset, limits))?.unwrap_or(Ok(()))?;
    } else {
        ctx.edit_or_new(key, |zset, limits| add_all(zset, limits))??;
    }
    if added + changed > 0 {
        ctx.wrote(key, Event::ZAdd);
    }
    reply.int(added + if count_changed { changed } else { 0 });
    Ok(Done)
}

/// Reply: bulk, the distance; nil when one of the places is missing.
/// Errors: syntax, unsupported unit, WRONGTYPE.
fn geodist(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (key, members) = (args.key()?, [args.next()?, args.next()?]);
    if args.left() > 1 {
        return Err(CommandError::Syntax);
    }
    let metres = args.next().map_or(Ok(1.0), unit)?;
    let zset = ctx.view::<ZSet>(key)?;
    let place = |member| zset.and_then(|zset| zset.score(member)).map(Point::of_score);
    match members.map(place) {
        [Some(from), Some(to)] => put_distance(reply, from.distance(to) / metres),
        _ => reply.nil(),
    }
    Ok(Done)
}

/// Reply: array of bulks, nil for members that are missing.
/// Errors: WRONGTYPE.
fn geohash(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    places(ctx, args, reply, |reply, place| match place {
        Some(point) => reply.bulk(&point.geohash()),
        None => reply.nil(),
    })
}

/// Reply: array of arrays of two doubles, nil arrays for members that are missing.
/// Errors: WRONGTYPE.
fn geopos(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    places(ctx, args, reply, |reply, place| match place {
        Some(point) => put_point(reply, point),
        None => reply.nil_array(),
    })
}

fn places(
    ctx: &mut Ctx,
    args: &mut Args,
    reply: &mut Reply,
    put: impl Fn(&mut Reply, Option<Point>),
) -> Result<Outcome, CommandError> {
    let zset = ctx.view::<ZSet>(args.key()?)?;
    reply.array(args.left());
    while let Ok(member) = args.next() {
        put(reply, zset.and_then(|zset| zset.score(member)).map(Point::of_score));
    }
    Ok(Done)
}

fn georadius(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let source = args.key()?;
    search(ctx, args, reply, source, None, Origin::Point { stores: true })
}

fn georadius_ro(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let source = args.key()?;
    search(ctx, args, reply, source, None, Origin::Point { stores: false })
}

fn georadiusbymember(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let source = args.key()?;
    search(ctx, args, reply, source, None, Origin::Member { stores: true })
}

fn georadiusbymember_ro(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let source = args.key()?;
    search(ctx, args, reply, source, None, Origin::Member { stores: false })
}

fn geosearch(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let source = args.key()?;
    search(ctx, args, reply, source, None, Origin::Said)
}

fn geosearchstore(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    let (target, source) = (args.key()?, args.key()?);
    search(ctx, args, reply, source, Some(target), Origin::SaidToStore)
}

/// A place that was found.
struct Found<'a> {
    member: Member<'a>,
    score: f64,
    point: Point,
    distance: f64,
}

/// Finds places, in the order of the cells of the map and of the scores in each; `max`: so many are enough.
fn find<'a>(zset: ZSetRef<'a>, search: &Search, max: usize) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for scores in search.ranges() {
        let bound = |score, exclusive| ScoreBound { score, exclusive };
        let range = ScoreRange { min: bound(scores.start as f64, false), max: bound(scores.end as f64, true) };
        for (member, score) in zset.iter(zset.ranks_by_score(&range)) {
            let point = Point::of_score(score);
            if let Some(distance) = search.distance_within(point) {
                found.push(Found { member, score, point, distance });
                if found.len() == max {
                    return found;
                }
            }
        }
    }
    found
}

/// Reply: array of members; with WITHDIST, WITHHASH or WITHCOORD, of arrays of a member and these. When stored: int.
/// Errors: those of `Query`; WRONGTYPE.
/// Effect, when stored: event `geosearchstore` or `georadiusstore`; `del` when nothing is found and something was there.
fn search<'a>(
    ctx: &mut Ctx,
    args: &mut Args<'a>,
    reply: &mut Reply,
    source: Key<'a>,
    target: Option<Key<'a>>,
    origin: Origin,
) -> Result<Outcome, CommandError> {
    let limits = ctx.limits();
    let zset = ctx.view::<ZSet>(source)?;
    let query = Query::parse(args, zset, target, origin)?;
    let mut found = match (zset, query.search) {
        (Some(zset), Some(search)) => find(zset, &search, query.any_max()),
        _ => Vec::new(),
    };
    let distances = |a: &Found, b: &Found| a.distance.total_cmp(&b.distance);
    match query.order() {
        Some(query::Order::Ascending) => found.sort_by(distances),
        Some(query::Order::Descending) => found.sort_by(|a, b| distances(b, a)),
        None => {}
    }
    found.truncate(query.count.unwrap_or(usize::MAX));
    let Some(target) = query.target else {
        reply.array(found.len());
        found.iter().for_each(|found| query.put(reply, found));
        return Ok(Done);
    };
    let mut result = ZSet::for_members(0, found.len(), limits);
    for found in &found {
        let score = if query.store_distance { found.distance / query.metres } else { found.score };
        result.set(found.member.text(&mut itoa::Buffer::new()), score, limits);
    }
    let len = result.len();
    let event = if origin == Origin::SaidToStore { Event::GeoSearchStore } else { Event::GeoRadiusStore };
    if len > 0 {
        ctx.store_new(target, result);
        ctx.wrote(target, event);
    } else if ctx.remove(target) {
        ctx.wrote(target, Event::Del);
    }
    reply.int(len as i64);
    Ok(Done)
}

impl Query<'_> {
    fn put(&self, reply: &mut Reply, found: &Found<'_>) {
        let more = usize::from(self.with_distance) + usize::from(self.with_hash) + usize::from(self.with_point);
        if more > 0 {
            reply.array(1 + more);
        }
        reply_item(reply, found.member);
        if self.with_distance {
            put_distance(reply, found.distance / self.metres);
        }
        if self.with_hash {
            reply.int(found.score as i64);
        }
        if self.with_point {
            put_point(reply, found.point);
        }
    }
}

/// A word as a number, with the command's own words for what is none.
fn float(word: &[u8], error: &'static str) -> Result<f64, CommandError> {
    number::parse_f64(word).ok_or(CommandError::err(error))
}

#[cfg(test)]
mod tests;
