//! SUBSCRIBE PSUBSCRIBE SSUBSCRIBE and their opposites, PUBLISH SPUBLISH at a worker that has subscribers, PUBSUB.

use super::{Call, Done, HostFn, help};
use crate::engine::pubsub::Kind;
use kv_core::command::{Args, CommandError};
use kv_core::resp::Reply;
use kv_core::types::pattern;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("PSUBSCRIBE", |call, args, reply| subscribe(call, args, reply, Kind::Pattern)),
    ("PUBLISH", |call, args, reply| deliver(call, args, reply, Kind::Channel)),
    ("PUBSUB|CHANNELS", |call, args, reply| channels(call, args, reply, Kind::Channel)),
    ("PUBSUB|HELP", help),
    ("PUBSUB|NUMPAT", numpat),
    ("PUBSUB|NUMSUB", |call, args, reply| numsub(call, args, reply, Kind::Channel)),
    ("PUBSUB|SHARDCHANNELS", |call, args, reply| channels(call, args, reply, Kind::Shard)),
    ("PUBSUB|SHARDNUMSUB", |call, args, reply| numsub(call, args, reply, Kind::Shard)),
    ("PUNSUBSCRIBE", |call, args, reply| unsubscribe(call, args, reply, Kind::Pattern)),
    ("SPUBLISH", |call, args, reply| deliver(call, args, reply, Kind::Shard)),
    ("SSUBSCRIBE", |call, args, reply| subscribe(call, args, reply, Kind::Shard)),
    ("SUBSCRIBE", |call, args, reply| subscribe(call, args, reply, Kind::Channel)),
    ("SUNSUBSCRIBE", |call, args, reply| unsubscribe(call, args, reply, Kind::Shard)),
    ("UNSUBSCRIBE", |call, args, reply| unsubscribe(call, args, reply, Kind::Channel)),
];

/// The words that are left.
fn rest<'a>(args: &mut Args<'a>) -> Vec<&'a [u8]> {
    let mut words = Vec::with_capacity(args.left());
    while let Ok(word) = args.next() {
        words.push(word);
    }
    words
}

/// Reply: a push for each name, with the number of subscriptions then; when all workers know of them.
fn subscribe(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>, kind: Kind) -> Done {
    let names = rest(args);
    call.subscribe(kind, &names, reply.out());
    Ok(())
}

/// Reply: a push for each name, also for those that there was no subscription to; without names one for each subscription,
/// or one about nothing.
fn unsubscribe(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>, kind: Kind) -> Done {
    let names = rest(args);
    let conn = call.conn.expect("a command of the session has one");
    call.worker.unsubscribe(conn, kind, names.into_iter(), reply.out());
    Ok(())
}

/// This worker's part. Reply: how many have got the message here.
fn deliver(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>, kind: Kind) -> Done {
    let (channel, text) = (args.next()?, args.next()?);
    let tells = call.worker.tells();
    reply.int(call.worker.deliver(kind, channel, text, tells) as i64);
    Ok(())
}

/// Reply: this worker's channels, joined with those of the others.
fn channels(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>, kind: Kind) -> Done {
    if args.left() > 1 {
        let name = if kind == Kind::Shard { "SHARDCHANNELS" } else { "CHANNELS" };
        return Err(CommandError::err(format!(
            "unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP."
        )));
    }
    let wanted = args.peek();
    let topics = call.worker.hub.topics(kind).map(|topic| &*topic.name);
    let names: Vec<&[u8]> = topics.filter(|name| wanted.is_none_or(|wanted| pattern::matches(wanted, name))).collect();
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

/// Reply: each name with the number of its subscribers here, which is added to those of the others.
fn numsub(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>, kind: Kind) -> Done {
    let names = rest(args);
    reply.array(2 * names.len());
    for name in names {
        reply.bulk(name);
        reply.int(call.worker.subscribers(kind, name) as i64);
    }
    Ok(())
}

fn numpat(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.int(call.worker.hub.known(Kind::Pattern) as i64);
    Ok(())
}

#[cfg(test)]
mod tests;
