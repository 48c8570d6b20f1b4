//! Places on the earth as scores: geohashes of 52 bits, distances, and the search for what is near.
//!
//! ```text
//! 52 bits   longitude and latitude take turns, longitude first; 26 bits each, which halve -180..180 and -85.05..85.05
//! ```
//!
//! The bits from the highest on name a cell of the map, each pair of them one of its four parts. So the points of a cell
//! are one range of scores, and a search looks through the cell around its centre and the eight beside it: cells as small
//! as still cover the shape. The points found are checked exactly.
//!
//! Every result is Redis's, digit for digit, so arithmetic is done in the same order. The earth is a sphere here. The
//! latitudes are those that a square map shows (Web Mercator, EPSG:3857). Distances are by the haversine formula.

use std::f64::consts::PI;
use std::ops::Range;

pub const LONGITUDE_MAX: f64 = 180.0;
pub const LATITUDE_MAX: f64 = 85.05112878;

/// Bits of a longitude, and of a latitude.
const STEPS_MAX: u32 = 26;

/// Metres; the radius that Redis reckons with.
const EARTH_RADIUS: f64 = 6372797.560856;

/// Half of the length of the equator on the map, metres.
const MERCATOR_MAX: f64 = 20037726.37;

const RADIANS: f64 = PI / 180.0;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub longitude: f64,
    pub latitude: f64,
}

/// One of `4^step` cells of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// From west to east.
    x: u32,
    /// From south to north.
    y: u32,
    step: u32,
}

/// What a search looks within. Metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Circle { radius: f64 },
    Rectangle { width: f64, height: f64 },
}

/// What is near a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    pub center: Point,
    pub shape: Shape,
}

/// A score as the bits of a geohash. Scores that were never places become what C makes of them on x86-64.
fn bits_of(score: f64) -> u64 {
    const SIGNED_END: f64 = (1u64 << 63) as f64;
    if score < SIGNED_END {
        score as i64 as u64
    } else if score < 2.0 * SIGNED_END {
        score as u64
    } else {
        0
    }
}

/// Spreads the bits of a number so that there is a 0 behind each.
fn spread(half: u32) -> u64 {
    let mut bits = u64::from(half);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The reverse: every second bit, from the lowest on.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

/// Which of `2^step` equal parts of `-max..max` a coordinate is in.
fn part(coordinate: f64, max: f64, step: u32) -> u32 {
    ((coordinate + max) / (max + max) * (1u64 << step) as f64) as u32
}

/// The bounds of a part.
fn bounds(part: u32, max: f64, step: u32) -> (f64, f64) {
    let bound = |n: f64| -max + n / (1u64 << step) as f64 * (max + max);
    (bound(f64::from(part)), bound(f64::from(part.wrapping_add(1))))
}

impl Cell {
    fn of(point: Point, step: u32) -> Cell {
        let x = part(point.longitude, LONGITUDE_MAX, step);
        Cell { x, y: part(point.latitude, LATITUDE_MAX, step), step }
    }

    fn bits(self) -> u64 {
        spread(self.x) << 1 | spread(self.y)
    }

    /// The cell beside it; the map goes on at its other side.
    fn beside(self, dx: i32, dy: i32) -> Cell {
        let moved =
            |part: u32, by: i32| if by == 0 { part } else { part.wrapping_add_signed(by) & ((1 << self.step) - 1) };
        Cell { x: moved(self.x, dx), y: moved(self.y, dy), ..self }
    }

    fn longitudes(self) -> (f64, f64) {
        bounds(self.x, LONGITUDE_MAX, self.step)
    }

    fn latitudes(self) -> (f64, f64) {
        bounds(self.y, LATITUDE_MAX, self.step)
    }

    fn scores(self) -> Range<u64> {
        let shift = 2 * (STEPS_MAX - self.step);
        self.bits() << shift..(self.bits() + 1) << shift
    }
}

impl Point {
    /// Whether it is on the map.
    pub fn is_valid(self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }

    /// The score of a valid point.
    pub fn score(self) -> u64 {
        Cell::of(self, STEPS_MAX).bits()
    }

    /// The middle of the smallest cell, which is all that is left of a point.
    pub fn of_score(score: f64) -> Point {
        let bits = bits_of(score);
        let cell = Cell { x: gather(bits >> 1), y: gather(bits), step: STEPS_MAX };
        let middle = |(low, high): (f64, f64), max: f64| ((low + high) / 2.0).clamp(-max, max);
        Point { longitude: middle(cell.longitudes(), LONGITUDE_MAX), latitude: middle(cell.latitudes(), LATITUDE_MAX) }
    }

    /// The geohash as the rest of the world writes it: latitudes from -90 to 90, 5 bits a character. Of the 11 characters
    /// only 10 have bits; the last is 0.
    pub fn geohash(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let x = part(self.longitude, LONGITUDE_MAX, STEPS_MAX);
        let bits = Cell { x, y: part(self.latitude, 90.0, STEPS_MAX), step: STEPS_MAX }.bits();
        let mut text = [ALPHABET[0]; 11];
        for (at, byte) in text[..10].iter_mut().enumerate() {
            *byte = ALPHABET[(bits >> (2 * STEPS_MAX as usize - 5 * (at + 1)) & 31) as usize];
        }
        text
    }

    /// Metres on the great circle.
    pub fn distance(self, other: Point) -> f64 {
        let v = ((other.longitude * RADIANS - self.longitude * RADIANS) / 2.0).sin();
        if v == 0.0 {
            return self.latitude_distance(other);
        }
        let (latitude, other_latitude) = (self.latitude * RADIANS, other.latitude * RADIANS);
        let u = ((other_latitude - latitude) / 2.0).sin();
        let a = u * u + latitude.cos() * other_latitude.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }

    /// Metres from one latitude to the other.
    fn latitude_distance(self, other: Point) -> f64 {
        EARTH_RADIUS * (other.latitude * RADIANS - self.latitude * RADIANS).abs()
    }
}

impl Search {
    /// The distance of a point from the centre, if it is within the shape.
    pub fn distance_within(&self, point: Point) -> Option<f64> {
        let center = self.center;
        match self.shape {
            Shape::Circle { radius } => {
                // No point is nearer than its latitude: this spares most of the trigonometry. The margin is far above
                // what rounding can do.
                if center.latitude_distance(point) > radius * (1.0 + 1e-9) + 1e-3 {
                    return None;
                }
                Some(center.distance(point)).filter(|&distance| distance <= radius)
            }
            Shape::Rectangle { width, height } => {
                if point.latitude_distance(center) > height / 2.0 {
                    return None;
                }
                // The width is measured along the latitude of the point.
                let beside = Point { longitude: center.longitude, latitude: point.latitude };
                (point.distance(beside) <= width / 2.0).then(|| center.distance(point))
            }
        }
    }

    /// The ranges of scores that have all points of the shape, and others; in the order in which Redis looks through them.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let box_of = self.bounding_box();
        let mut step = self.step();
        let mut cell = Cell::of(self.center, step);
        let reaches = |cell: Cell| {
            cell.beside(0, 1).latitudes().1 >= box_of.north
                && cell.beside(0, -1).latitudes().0 <= box_of.south
                && cell.beside(1, 0).longitudes().1 >= box_of.east
                && cell.beside(-1, 0).longitudes().0 <= box_of.west
        };
        if step > 1 && !reaches(cell) {
            step -= 1;
            cell = Cell::of(self.center, step);
        }
        // A side on which the cell itself reaches beyond the shape needs no other cells, unless cells are so large that
        // there are hardly others.
        let (latitudes, longitudes) = (cell.latitudes(), cell.longitudes());
        let needed = |dx: i32, dy: i32| {
            step < 2
                || !(dy < 0 && latitudes.0 < box_of.south
                    || dy > 0 && latitudes.1 > box_of.north
                    || dx < 0 && longitudes.0 < box_of.west
                    || dx > 0 && longitudes.1 > box_of.east)
        };
        let mut ranges = vec![cell.scores()];
        let mut last = None;
        for (dx, dy) in [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)] {
            let other = cell.beside(dx, dy);
            // On a map of four cells the one to the left is also the one to the right.
            if needed(dx, dy) && last != Some(other) {
                ranges.push(other.scores());
                last = Some(other);
            }
        }
        ranges
    }

    /// How far cells are halved: as often as the shape still fits into nine of them.
    fn step(&self) -> u32 {
        let mut radius = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Rectangle { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        if radius == 0.0 {
            return STEPS_MAX;
        }
        let mut step = 1i32;
        while radius < MERCATOR_MAX {
            radius *= 2.0;
            step += 1;
        }
        // So that the shape is covered in most cases, wherever in the cell its centre is.
        step -= 2;
        // Towards the poles cells become narrow.
        let latitude = self.center.latitude.abs();
        step -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        step.clamp(1, STEPS_MAX as i32) as u32
    }

    /// The bounds of the shape. West and east are those of its side that is nearer to a pole.
    fn bounding_box(&self) -> BoundingBox {
        let Point { longitude, latitude } = self.center;
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Rectangle { width, height } => (width / 2.0, height / 2.0),
        };
        let latitude_delta = height / EARTH_RADIUS / RADIANS;
        let side = if latitude < 0.0 { latitude - latitude_delta } else { latitude + latitude_delta };
        let longitude_delta = width / EARTH_RADIUS / (side * RADIANS).cos() / RADIANS;
        BoundingBox {
            west: longitude - longitude_delta,
            east: longitude + longitude_delta,
            south: latitude - latitude_delta,
            north: latitude + latitude_delta,
        }
    }
}

struct BoundingBox {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
}

#[cfg(test)]
mod tests;
