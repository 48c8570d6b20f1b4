//! Transactions: MULTI EXEC DISCARD WATCH UNWATCH.
//!
//! What a session puts in line between MULTI and EXEC is the host's; so are the shards that all of it runs on at once. Here is
//! what a shard does for it: WATCH, which is like any command over several keys, each shard for its own.

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{
    Args, CommandError, CommandSpec, Ctx, Flags, Group, Handler, Join, KeySpec, Outcome, Spread, row,
};
use crate::resp::Reply;

const TRANSACTION: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE);
const FAST: Flags = TRANSACTION.and(Flags::FAST).and(Flags::ALLOW_BUSY);

const fn session(name: &'static str, flags: Flags) -> CommandSpec {
    row(name, Handler::Host, Exactly(1), &[], flags).group(Group::Transactions).spread(Spread::Session)
}

pub(crate) const ROWS: &[CommandSpec] = &[
    session("DISCARD", FAST.and(Flags::NOT_QUEUED))
        .summary("Drops the transaction and ends all watches.")
        .since("2.0.0")
        .complexity("O(n) in the number of commands in line"),
    row("EXEC", Handler::Transaction, Exactly(1), &[], TRANSACTION.and(Flags::SKIP_SLOWLOG).and(Flags::NOT_QUEUED))
        .group(Group::Transactions)
        .spread(Spread::Transaction)
        .summary("Carries out the transaction at one moment, unless a watched key was touched, and ends all watches.")
        .since("1.2.0")
        .complexity("that of the commands"),
    session("MULTI", FAST.and(Flags::NOT_QUEUED))
        .summary("Begins a transaction: what follows waits for EXEC.")
        .since("1.2.0")
        .complexity("O(1)"),
    session("UNWATCH", FAST)
        .summary("Ends all watches.")
        .since("2.2.0")
        .complexity("O(n) in the number of watched keys"),
    row(
        "WATCH",
        Handler::Store(watch),
        AtLeast(2),
        &[KeySpec::range(1, -1, 1, &["RO"])],
        FAST.and(Flags::NOT_QUEUED).and(Flags::WATCHES),
    )
    .group(Group::Transactions)
    .spread(Spread::Parts { unit: 1, join: Join::First })
    .syntax("key [key ...]")
    .summary("Lets the next EXEC do nothing if one of the keys is touched until then.")
    .since("2.2.0")
    .complexity("O(n) in the number of keys"),
];

/// Reply: OK.
/// Effect: a write of a key, its expiry, a flush of its database touch the client, until it is released.
fn watch(ctx: &mut Ctx, args: &mut Args, reply: &mut Reply) -> Result<Outcome, CommandError> {
    while args.left() > 0 {
        let key = args.key()?;
        ctx.watch(key);
    }
    reply.ok();
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::families::testing::World;

    /// Whether the client of the world is touched, after the commands.
    fn is_touched(world: &mut World, commands: &[&str]) -> bool {
        commands.iter().for_each(|command| {
            world.run(command);
        });
        let (client, now) = (world.client, world.now);
        (0..world.shard_count()).fold(false, |touched, shard| world.shard(shard).watches.release(client, now) | touched)
    }

    #[test]
    fn what_changes_a_watched_key_touches_it_and_what_does_not_does_not() {
        for shards in [1, 4] {
            let mut world = World::new(shards);
            world.run("MSET a 1 b 2");
            world.run("HSET h f v");
            world.run("XADD s 1-1 f v");
            world.run("XGROUP CREATE s g 0");
            for command in
                ["SET a 1", "DEL a", "INCR a", "EXPIRE a 100", "RENAME a c", "MSET c 1 a 1", "FLUSHALL", "SWAPDB 0 1"]
            {
                assert!(is_touched(&mut world, &["SET a 1", "WATCH nokey a", command]), "{command}");
            }
            for command in
                ["GET a", "DEL b", "EXPIRE nokey 10", "SETNX a 2", "SELECT 1", "PERSIST a", "SWAPDB 2 3", "SWAPDB 0 0"]
            {
                if !command.starts_with("SELECT") {
                    assert!(!is_touched(&mut world, &["SET a 1", "WATCH nokey a", command]), "{command}");
                }
            }
            // What readers have had is no change of the stream.
            assert!(!is_touched(&mut world, &["WATCH s", "XREADGROUP GROUP g c STREAMS s >"]));
            assert!(is_touched(&mut world, &["WATCH s", "XADD s 2-1 f v"]));
        }
    }

    #[test]
    fn a_database_that_is_emptied_or_replaced_touches_the_keys_that_are_in_either() {
        let mut world = World::new(4);
        world.run("SET a 1");
        assert!(!is_touched(&mut world, &["WATCH nokey", "FLUSHDB"]));
        world.run("SET a 1");
        assert!(!is_touched(&mut world, &["WATCH nokey", "SWAPDB 0 1"]));
        world.run("SWAPDB 0 1");
        world.db = 1;
        assert!(is_touched(&mut world, &["WATCH a", "SWAPDB 0 1"]));
        world.db = 0;
        assert!(!is_touched(&mut world, &["WATCH a", "SWAPDB 2 3"]));
    }

    #[test]
    fn time_touches_a_key_that_expires_and_a_hash_that_loses_a_field() {
        for (set, more) in [("SET k v PX 100", "GET nokey"), ("HSET k f v g w", "HPEXPIRE k 100 FIELDS 1 f")] {
            for (passed, touched) in [(99, false), (100, true)] {
                let mut world = World::new(1);
                world.run(set);
                world.run(more);
                world.run("WATCH k");
                world.now += passed;
                assert_eq!(is_touched(&mut world, &[]), touched, "{set} after {passed} ms");
            }
        }
        // A key that was due already is none, whether it is still in memory or not.
        let mut world = World::new(1);
        world.run("SET k v PX 100");
        world.now += 100;
        assert!(!is_touched(&mut world, &["WATCH k", "GET k"]));
        // Nor is a field.
        world.run("HSET h f v g w");
        world.run("HPEXPIRE h 100 FIELDS 1 f");
        world.now += 100;
        assert!(!is_touched(&mut world, &["WATCH h", "HGET h f"]));
    }
}
