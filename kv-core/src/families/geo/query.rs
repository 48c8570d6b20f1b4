//! The words of a search for places.

use super::{float, point, unit};
use crate::command::{Args, CommandError};
use crate::store::Key;
use crate::types::ZSetRef;
use crate::types::geo::{Point, Search, Shape};

/// Where the centre of a search is said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// GEORADIUS: a point, then a radius. `stores`: STORE and STOREDIST are known.
    Point { stores: bool },
    /// GEORADIUSBYMEMBER: a member, then a radius.
    Member { stores: bool },
    /// GEOSEARCH: by keywords.
    Said,
    /// GEOSEARCHSTORE: the same.
    SaidToStore,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// A search with all its options.
pub(super) struct Query<'a> {
    /// None: the key is missing, and the rest is not needed.
    pub search: Option<Search>,
    /// What the unit of distances has.
    pub metres: f64,
    pub with_distance: bool,
    pub with_hash: bool,
    pub with_point: bool,
    pub count: Option<usize>,
    /// Any `count` places will do.
    pub any: bool,
    asked_order: Option<Order>,
    pub target: Option<Key<'a>>,
    pub store_distance: bool,
}

/// Width or height, or a radius, and its unit, in metres.
struct Extent {
    shape: Shape,
    metres: f64,
}

/// Errors: no number, negative, unsupported unit.
fn circle(args: &mut Args) -> Result<Extent, CommandError> {
    let radius = float(args.next()?, "need numeric radius")?;
    if radius < 0.0 {
        return Err(CommandError::err("radius cannot be negative"));
    }
    let metres = unit(args.next()?)?;
    Ok(Extent { shape: Shape::Circle { radius: radius * metres }, metres })
}

/// Errors: no number, negative, unsupported unit.
fn rectangle(args: &mut Args) -> Result<Extent, CommandError> {
    let width = float(args.next()?, "need numeric width")?;
    let height = float(args.next()?, "need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::err("height or width cannot be negative"));
    }
    let metres = unit(args.next()?)?;
    Ok(Extent { shape: Shape::Rectangle { width: width * metres, height: height * metres }, metres })
}

/// Errors: the member is not there.
fn place(zset: ZSetRef<'_>, member: &[u8]) -> Result<Point, CommandError> {
    let score = zset.score(member).ok_or(CommandError::err("could not decode requested zset member"))?;
    Ok(Point::of_score(score))
}

impl<'a> Query<'a> {
    /// Reads what is left of the request; `zset` is what members are looked up in.
    ///
    /// Errors: syntax; words of the point, the shape and the count that are none; a member that is not there; options
    /// that do not go together.
    pub fn parse(
        args: &mut Args<'a>,
        zset: Option<ZSetRef<'_>>,
        target: Option<Key<'a>>,
        origin: Origin,
    ) -> Result<Query<'a>, CommandError> {
        let mut query = Query {
            search: None,
            metres: 1.0,
            with_distance: false,
            with_hash: false,
            with_point: false,
            count: None,
            any: false,
            asked_order: None,
            target,
            store_distance: false,
        };
        let said = matches!(origin, Origin::Said | Origin::SaidToStore);
        let stores = matches!(origin, Origin::Point { stores: true } | Origin::Member { stores: true });
        // A centre is `Some(None)` when it is a member of a key that is missing.
        let (mut center, mut extent): (Option<Option<Point>>, Option<Extent>) = (None, None);
        let (mut by_member, mut by_box) = (false, false);
        match origin {
            Origin::Point { .. } => {
                center = Some(Some(point(args)?));
                extent = Some(circle(args)?);
            }
            Origin::Member { .. } => {
                let member = args.next()?;
                match zset {
                    Some(zset) => {
                        center = Some(Some(place(zset, member)?));
                        extent = Some(circle(args)?);
                    }
                    // Redis does not look at these words then.
                    None => {
                        args.next()?;
                        args.next()?;
                    }
                }
            }
            Origin::Said | Origin::SaidToStore => {}
        }
        while args.left() > 0 {
            if args.keyword("WITHDIST") {
                query.with_distance = true;
            } else if args.keyword("WITHHASH") {
                query.with_hash = true;
            } else if args.keyword("WITHCOORD") {
                query.with_point = true;
            } else if args.keyword("ANY") {
                query.any = true;
            } else if args.keyword("ASC") {
                query.asked_order = Some(Order::Ascending);
            } else if args.keyword("DESC") {
                query.asked_order = Some(Order::Descending);
            } else if args.left() > 1 && args.keyword("COUNT") {
                let count = args.int()?;
                let count = usize::try_from(count).ok().filter(|&count| count > 0);
                query.count = Some(count.ok_or(CommandError::err("COUNT must be > 0"))?);
            } else if stores && args.left() > 1 && args.keyword("STORE") {
                (query.target, query.store_distance) = (Some(args.key()?), false);
            } else if stores && args.left() > 1 && args.keyword("STOREDIST") {
                (query.target, query.store_distance) = (Some(args.key()?), true);
            } else if said && args.left() > 1 && (center.is_none() || by_member) && args.keyword("FROMMEMBER") {
                let member = args.next()?;
                center = Some(zset.map(|zset| place(zset, member)).transpose()?);
                by_member = true;
            } else if said && args.left() > 2 && !by_member && args.keyword("FROMLONLAT") {
                center = Some(Some(point(args)?));
            } else if said && args.left() > 2 && !by_box && args.keyword("BYRADIUS") {
                extent = Some(circle(args)?);
            } else if said && args.left() > 3 && (extent.is_none() || by_box) && args.keyword("BYBOX") {
                extent = Some(rectangle(args)?);
                by_box = true;
            } else if origin == Origin::SaidToStore && args.keyword("STOREDIST") {
                query.store_distance = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        query.check(args, center.is_some(), extent.is_some(), origin)?;
        if let (Some(Some(center)), Some(Extent { shape, metres })) = (center, extent) {
            query.search = Some(Search { center, shape });
            query.metres = metres;
        }
        Ok(query)
    }

    /// Errors: what does not go together.
    fn check(&self, args: &Args, has_center: bool, has_extent: bool, origin: Origin) -> Result<(), CommandError> {
        let said = matches!(origin, Origin::Said | Origin::SaidToStore);
        // The command, as the client wrote it.
        let name = || String::from_utf8_lossy(args.word(0));
        let text = if self.target.is_some() && (self.with_distance || self.with_hash || self.with_point) {
            let what = if said { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            format!("{what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
        } else if said && !has_center {
            format!("exactly one of FROMMEMBER or FROMLONLAT can be specified for {}", name())
        } else if said && !has_extent {
            format!("exactly one of BYRADIUS and BYBOX can be specified for {}", name())
        } else if self.any && self.count.is_none() {
            "the ANY argument requires COUNT argument".to_string()
        } else {
            return Ok(());
        };
        Err(CommandError::err(text))
    }

    /// How many places are enough to be found.
    pub fn any_max(&self) -> usize {
        if self.any { self.count.unwrap_or(usize::MAX) } else { usize::MAX }
    }

    /// The order of the reply. A count asks for the nearest ones.
    pub fn order(&self) -> Option<Order> {
        self.asked_order.or((self.count.is_some() && !self.any).then_some(Order::Ascending))
    }
}
