//! What the commands on places do beyond what the scripts show: events, and many places at once.

use crate::command::Event;
use crate::families::testing::World;
use crate::structs::random::Random;
use std::collections::BTreeSet;

#[test]
fn writes_say_what_happened_and_once_a_key() {
    let mut world = World::new(4);
    for (command, reply, events) in [
        ("GEOADD a 13 38 x 15 37 y", ":2", &[("a", Event::ZAdd)][..]),
        ("GEOADD a 13 38 x", ":0", &[]),
        ("GEOADD a 13.1 38 x", ":0", &[("a", Event::ZAdd)]),
        ("GEOADD a 13 38 x 15 99 y", "-ERR invalid longitude,latitude pair 15.000000,99.000000", &[]),
        ("GEOADD b XX 13 38 x", ":0", &[]),
        ("GEOSEARCHSTORE b a FROMLONLAT 15 37 BYRADIUS 1 km", ":1", &[("b", Event::GeoSearchStore)]),
        ("GEOSEARCHSTORE b a FROMLONLAT 0 0 BYRADIUS 1 km", ":0", &[("b", Event::Del)]),
        ("GEOSEARCHSTORE b a FROMLONLAT 0 0 BYRADIUS 1 km", ":0", &[]),
        ("GEORADIUS a 15 37 1 km STORE c", ":1", &[("c", Event::GeoRadiusStore)]),
        ("GEORADIUSBYMEMBER a x 1000 km STOREDIST c", ":2", &[("c", Event::GeoRadiusStore)]),
        ("GEORADIUS nokey 15 37 1 km STORE c", ":0", &[("c", Event::Del)]),
    ] {
        world.events.clear();
        assert_eq!(world.run(command), reply, "{command}");
        let told: Vec<_> = world.events.iter().map(|(_, key, event)| (key.as_str(), *event)).collect();
        assert_eq!(told, events, "{command}");
    }
}

#[test]
fn a_search_among_many_places_finds_those_that_are_near_enough() {
    let seed = 9;
    let mut random = Random::new(seed);
    let mut world = World::new(1);
    let degrees = |random: &mut Random, max: u64| random.below(2_000 * max) as f64 / 1_000.0 - max as f64;
    for at in 0..2_000 {
        let (longitude, latitude) = (degrees(&mut random, 20), degrees(&mut random, 20));
        world.run(&format!("GEOADD g {longitude} {latitude} m{at}"));
    }
    for _ in 0..20 {
        let (at, radius) = (random.below(2_000), 1 + random.below(600));
        let near: BTreeSet<String> = (0..2_000)
            .filter(|other| {
                let reply = world.run(&format!("GEODIST g m{at} m{other} km"));
                reply.trim_matches('"').parse::<f64>().expect("a distance") <= radius as f64
            })
            .map(|other| format!("\"m{other}\""))
            .collect();
        let reply = world.run(&format!("GEOSEARCH g FROMMEMBER m{at} BYRADIUS {radius} km"));
        let found: Vec<String> = reply.trim_matches(['[', ']']).split(' ').map(str::to_owned).collect();
        assert_eq!(found.len(), near.len(), "seed {seed}: each place once");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), near, "seed {seed}: {radius} km around m{at}");
        let reply = world.run(&format!("GEOSEARCH g FROMMEMBER m{at} BYRADIUS {radius} km COUNT 5 ASC WITHDIST"));
        assert!(reply.starts_with(&format!("[[\"m{at}\" \"0.0000\"]")), "{reply}");
    }
}
