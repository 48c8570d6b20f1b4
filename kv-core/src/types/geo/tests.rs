//! Numbers are those of redis-server 8.2.3.

use super::*;
use crate::structs::random::Random;

const PALERMO: Point = Point { longitude: 13.361389, latitude: 38.115556 };
const CATANIA: Point = Point { longitude: 15.087269, latitude: 37.502669 };

fn random_point(random: &mut Random) -> Point {
    let unit = |random: &mut Random| random.below(1 << 53) as f64 / (1u64 << 52) as f64 - 1.0;
    Point { longitude: unit(random) * LONGITUDE_MAX, latitude: unit(random) * LATITUDE_MAX }
}

#[test]
fn a_point_becomes_the_known_score_geohash_and_distance() {
    assert_eq!((PALERMO.score(), CATANIA.score()), (3479099956230698, 3479447370796909));
    let (palermo, catania) = (Point::of_score(3479099956230698.0), Point::of_score(3479447370796909.0));
    assert_eq!(palermo, Point { longitude: 13.361389338970184, latitude: 38.1155563954963 });
    assert_eq!((&palermo.geohash(), &catania.geohash()), (b"sqc8b49rny0", b"sqdtr74hyu0"));
    assert_eq!(format!("{:.4}", palermo.distance(catania)), "166274.1516");
    assert_eq!(palermo.distance(palermo), 0.0);
}

#[test]
fn a_point_stays_within_its_cell_through_its_score() {
    let mut random = Random::new(3);
    for _ in 0..10_000 {
        let point = random_point(&mut random);
        let back = Point::of_score(point.score() as f64);
        assert!((back.longitude - point.longitude).abs() <= 360.0 / (1 << 26) as f64, "{point:?}");
        assert!((back.latitude - point.latitude).abs() <= 171.0 / (1 << 26) as f64, "{point:?}");
        assert_eq!(back.score(), point.score(), "{point:?}");
    }
    for (x, y) in [(0, 0), (1, 0), (u32::MAX, 0), (0xdead_beef, 0x1234_5678)] {
        let bits = Cell { x, y, step: 26 }.bits();
        assert_eq!((gather(bits >> 1), gather(bits)), (x, y));
    }
}

#[test]
fn the_ranges_of_a_search_have_every_point_of_the_shape_once() {
    let seed = 5;
    let mut random = Random::new(seed);
    for _ in 0..300 {
        // Redis's own covering misses points at the edge of the map, and near the poles.
        let center = random_point(&mut random);
        let center = Point { longitude: center.longitude * 0.5, latitude: center.latitude * 0.6 };
        let size = 10f64.powi(random.below(5) as i32 + 2) * 3.0;
        let shape = if random.one_in(2) {
            Shape::Circle { radius: size.min(2e6) }
        } else {
            Shape::Rectangle { width: size.min(2e6), height: size.min(2e6) / 3.0 }
        };
        let search = Search { center, shape };
        let ranges = search.ranges();
        let reach = size / 111_000.0 * 1.5;
        for _ in 0..200 {
            let near = random_point(&mut random);
            let point = Point {
                longitude: center.longitude + near.longitude / 180.0 * reach,
                latitude: center.latitude + near.latitude / 90.0 * reach,
            };
            if !point.is_valid() {
                continue;
            }
            let times = ranges.iter().filter(|range| range.contains(&point.score())).count();
            assert!(times <= 1, "seed {seed}: {search:?} has {point:?} {times} times");
            if search.distance_within(point).is_some() {
                assert_eq!(times, 1, "seed {seed}: {search:?} misses {point:?}");
            }
        }
    }
}

#[test]
fn a_small_search_looks_at_few_of_the_scores() {
    let search = Search { center: PALERMO, shape: Shape::Circle { radius: 1_000.0 } };
    let scores: u64 = search.ranges().iter().map(|range| range.end - range.start).sum();
    assert!(scores < (1 << 52) / 1_000_000, "{scores}");
    let all = Search { center: PALERMO, shape: Shape::Circle { radius: 3e7 } };
    let scores: u64 = all.ranges().iter().map(|range| range.end - range.start).sum();
    assert_eq!(scores, 1 << 52, "four cells, each once");
}
