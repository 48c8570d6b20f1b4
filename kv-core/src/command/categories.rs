//! Access categories, as COMMAND tells and ACL rules name them: what follows from a row's flags and its group.

use super::{CommandSpec, Flags, Group, Handler};

/// All categories, in the order of COMMAND's bits.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The category of a group. The server's commands have none as such; those on whole databases count as the keyspace's.
fn of_group(spec: &CommandSpec) -> Option<&'static str> {
    if matches!(spec.handler, Handler::Container) {
        return None;
    }
    Some(match spec.group {
        Group::Generic => "keyspace",
        Group::String => "string",
        Group::Hyperloglog => "hyperloglog",
        Group::Connection => "connection",
        Group::Server => return None,
        Group::Hash => "hash",
        Group::List => "list",
        Group::Set => "set",
        Group::SortedSet => "sortedset",
        Group::Stream => "stream",
        Group::Bitmap => "bitmap",
        Group::Geo => "geo",
        Group::Pubsub => "pubsub",
        Group::Transactions => "transaction",
        Group::Scripting => "scripting",
    })
}

/// The categories of a command, without `@`, in the order of [`CATEGORIES`].
pub fn categories_of(spec: &CommandSpec) -> impl Iterator<Item = &'static str> + use<'_> {
    let flags = spec.flags;
    let group = spec.category.or(of_group(spec));
    let has = move |category: &'static str| match category {
        "read" => flags.has(Flags::READONLY) && spec.group != Group::Scripting,
        "write" => flags.has(Flags::WRITE),
        "pubsub" => flags.has(Flags::PUBSUB) || group == Some(category),
        "admin" => flags.has(Flags::ADMIN) || group == Some(category),
        "fast" => flags.has(Flags::FAST),
        "slow" => !flags.has(Flags::FAST),
        "blocking" => flags.has(Flags::BLOCKING),
        "dangerous" => flags.has(Flags::ADMIN) || flags.has(Flags::DANGEROUS),
        _ => group == Some(category) || spec.categories.contains(&category),
    };
    CATEGORIES.iter().copied().filter(move |category| has(category))
}
