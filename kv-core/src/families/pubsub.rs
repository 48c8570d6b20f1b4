//! Publish and subscribe: SUBSCRIBE PSUBSCRIBE SSUBSCRIBE, their opposites, PUBLISH SPUBLISH and PUBSUB. Rows only: who has
//! subscribed to what is the host's.

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Arity, CommandSpec, Flags, Group, Handler, Join, KeySpec, Spread, row};

const HOST: Handler = Handler::Host;
const ASK: Flags = Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE);
const SUBSCRIPTION: Flags = ASK.and(Flags::NOSCRIPT).and(Flags::WHILE_SUBSCRIBED).and(Flags::PUSHES);
const PUBLISH: Flags = ASK.and(Flags::FAST).and(Flags::PAUSED_AS_WRITE);

/// Channels of this kind are in the slot that a key of their name would be in.
const SHARD_CHANNEL: &[KeySpec] = &[KeySpec::one(1, &["not_key"])];
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(1, -1, 1, &["not_key"])];

const fn subscription(name: &'static str, arity: Arity, keys: &'static [KeySpec]) -> CommandSpec {
    row(name, HOST, arity, keys, SUBSCRIPTION)
        .group(Group::Pubsub)
        .spread(Spread::Session)
        .complexity("O(n) in the number of channels or patterns")
}

const fn publish(name: &'static str, keys: &'static [KeySpec], shard: bool) -> CommandSpec {
    row(name, HOST, Exactly(3), keys, PUBLISH)
        .group(Group::Pubsub)
        .spread(Spread::Channel { shard })
        .complexity("O(n+m) for n subscribers of the channel and m patterns of all clients")
}

pub(crate) const ROWS: &[CommandSpec] = &[
    subscription("PSUBSCRIBE", AtLeast(2), &[])
        .syntax("pattern [pattern ...]")
        .summary("Lets the connection get the messages of channels whose names match.")
        .since("2.0.0"),
    publish("PUBLISH", &[], false)
        .syntax("channel message")
        .summary("Sends a message to a channel, and counts those who get it.")
        .since("2.0.0"),
    row("PUBSUB", Handler::Container, AtLeast(2), &[], Flags::NONE)
        .subs(PUBSUB_ROWS)
        .group(Group::Pubsub)
        .syntax("subcommand [argument ...]")
        .summary("Tells about channels and their subscribers.")
        .since("2.8.0")
        .complexity("see the subcommands"),
    subscription("PUNSUBSCRIBE", AtLeast(1), &[])
        .syntax("[pattern [pattern ...]]")
        .summary("Ends subscriptions by patterns, or all of them.")
        .since("2.0.0"),
    publish("SPUBLISH", SHARD_CHANNEL, true)
        .syntax("shardchannel message")
        .summary("Sends a message to a shard channel, and counts those who get it.")
        .since("7.0.0")
        .complexity("O(n) in the number of subscribers"),
    subscription("SSUBSCRIBE", AtLeast(2), SHARD_CHANNELS)
        .syntax("shardchannel [shardchannel ...]")
        .summary("Lets the connection get the messages of shard channels.")
        .since("7.0.0"),
    subscription("SUBSCRIBE", AtLeast(2), &[])
        .syntax("channel [channel ...]")
        .summary("Lets the connection get the messages of channels.")
        .since("2.0.0"),
    subscription("SUNSUBSCRIBE", AtLeast(1), SHARD_CHANNELS)
        .syntax("[shardchannel [shardchannel ...]]")
        .summary("Ends subscriptions to shard channels, or all of them.")
        .since("7.0.0"),
    subscription("UNSUBSCRIBE", AtLeast(1), &[])
        .syntax("[channel [channel ...]]")
        .summary("Ends subscriptions to channels, or all of them.")
        .since("2.0.0"),
];

/// Asked of all workers: each knows its own subscribers.
const fn ask(name: &'static str, join: Join) -> CommandSpec {
    row(name, HOST, AtLeast(2), &[], ASK).group(Group::Pubsub).spread(Spread::All { join })
}

const PUBSUB_ROWS: &[CommandSpec] = &[
    ask("CHANNELS", Join::Union)
        .syntax("[pattern]")
        .summary("Lists the channels that have subscribers, not counting those by patterns.")
        .since("2.8.0")
        .complexity("O(n) in the number of channels"),
    row("HELP", HOST, Exactly(2), &[], Flags::LOADING.and(Flags::STALE))
        .category("")
        .group(Group::Pubsub)
        .spread(Spread::Session)
        .summary("Lists the subcommands.")
        .since("6.2.0")
        .complexity("O(1)"),
    row("NUMPAT", HOST, Exactly(2), &[], ASK)
        .group(Group::Pubsub)
        .spread(Spread::Session)
        .summary("Counts the patterns that have subscribers.")
        .since("2.8.0")
        .complexity("O(n) in the number of patterns"),
    ask("NUMSUB", Join::SumEach)
        .syntax("[channel [channel ...]]")
        .summary("Counts the subscribers of each channel, not counting those by patterns.")
        .since("2.8.0")
        .complexity("O(n) in the number of channels asked for"),
    ask("SHARDCHANNELS", Join::Union)
        .syntax("[pattern]")
        .summary("Lists the shard channels that have subscribers.")
        .since("7.0.0")
        .complexity("O(n) in the number of shard channels"),
    ask("SHARDNUMSUB", Join::SumEach)
        .syntax("[shardchannel [shardchannel ...]]")
        .summary("Counts the subscribers of each shard channel.")
        .since("7.0.0")
        .complexity("O(n) in the number of shard channels asked for"),
];
