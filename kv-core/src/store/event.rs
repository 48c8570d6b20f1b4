//! What happened to a key, in the words of Redis's keyspace notifications.

use super::Classes;

/// The event of a write. Log, watchers, waiting clients, notifications and counters follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Set,
    Append,
    SetRange,
    SetBit,
    IncrBy,
    IncrByFloat,
    Del,
    Expire,
    Persist,
    RenameFrom,
    RenameTo,
    MoveFrom,
    MoveTo,
    CopyTo,
    PfAdd,
    HSet,
    HDel,
    HIncrBy,
    HIncrByFloat,
    HExpire,
    HPersist,
    HExpired,
    LPush,
    RPush,
    LPop,
    RPop,
    LSet,
    LTrim,
    LRem,
    LInsert,
    SortStore,
    SAdd,
    SRem,
    SPop,
    SInterStore,
    SUnionStore,
    SDiffStore,
    ZAdd,
    ZIncr,
    ZRem,
    ZPopMin,
    ZPopMax,
    ZRemRangeByRank,
    ZRemRangeByScore,
    ZRemRangeByLex,
    ZRangeStore,
    ZUnionStore,
    ZInterStore,
    ZDiffStore,
    GeoSearchStore,
    GeoRadiusStore,
    XAdd,
    XDel,
    XTrim,
    XSetId,
    XGroupCreate,
    /// With the stream.
    XGroupCreateStream,
    XGroupCreateConsumer,
    XGroupDelConsumer,
    XGroupDestroy,
    XGroupSetId,
    /// What is pending in a group of a stream changed: logged, but announced to nobody.
    XPending,
    /// A string became longer without an operation that Redis would tell of.
    Grown,
    Expired,
    /// There was no such key before; told in front of what made it.
    New,
    /// A read has found no such key.
    KeyMiss,
}

impl Event {
    /// Whether the key's value is another one afterwards, to whoever watches it: not when only what readers of a stream have
    /// had, or its last id, changed.
    pub fn changes_value(self) -> bool {
        !matches!(
            self,
            Event::XSetId
                | Event::XGroupCreate
                | Event::XGroupCreateConsumer
                | Event::XGroupDelConsumer
                | Event::XGroupDestroy
                | Event::XGroupSetId
                | Event::XPending
        )
    }

    pub fn class(self) -> Classes {
        match self {
            Event::Set
            | Event::Append
            | Event::SetRange
            | Event::SetBit
            | Event::IncrBy
            | Event::IncrByFloat
            | Event::PfAdd => Classes::STRING,
            Event::Del
            | Event::Expire
            | Event::Persist
            | Event::RenameFrom
            | Event::RenameTo
            | Event::MoveFrom
            | Event::MoveTo
            | Event::CopyTo => Classes::GENERIC,
            Event::HSet
            | Event::HDel
            | Event::HIncrBy
            | Event::HIncrByFloat
            | Event::HExpire
            | Event::HPersist
            | Event::HExpired => Classes::HASH,
            Event::LPush
            | Event::RPush
            | Event::LPop
            | Event::RPop
            | Event::LSet
            | Event::LTrim
            | Event::LRem
            | Event::LInsert
            | Event::SortStore => Classes::LIST,
            Event::SAdd | Event::SRem | Event::SPop | Event::SInterStore | Event::SUnionStore | Event::SDiffStore => {
                Classes::SET
            }
            Event::ZAdd
            | Event::ZIncr
            | Event::ZRem
            | Event::ZPopMin
            | Event::ZPopMax
            | Event::ZRemRangeByRank
            | Event::ZRemRangeByScore
            | Event::ZRemRangeByLex
            | Event::ZRangeStore
            | Event::ZUnionStore
            | Event::ZInterStore
            | Event::ZDiffStore
            | Event::GeoSearchStore
            | Event::GeoRadiusStore => Classes::SORTED_SET,
            Event::XAdd
            | Event::XDel
            | Event::XTrim
            | Event::XSetId
            | Event::XGroupCreate
            | Event::XGroupCreateConsumer
            | Event::XGroupDelConsumer
            | Event::XGroupDestroy
            | Event::XGroupSetId
            | Event::XGroupCreateStream => Classes::STREAM,
            Event::XPending | Event::Grown => Classes::UNTOLD,
            Event::Expired => Classes::EXPIRED,
            Event::New => Classes::NEW,
            Event::KeyMiss => Classes::MISS,
        }
    }

    /// Empty for what Redis does not announce.
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Set => "set",
            Event::Append => "append",
            Event::SetRange => "setrange",
            Event::SetBit => "setbit",
            Event::IncrBy => "incrby",
            Event::IncrByFloat => "incrbyfloat",
            Event::Del => "del",
            Event::Expire => "expire",
            Event::Persist => "persist",
            Event::RenameFrom => "rename_from",
            Event::RenameTo => "rename_to",
            Event::MoveFrom => "move_from",
            Event::MoveTo => "move_to",
            Event::CopyTo => "copy_to",
            Event::PfAdd => "pfadd",
            Event::HSet => "hset",
            Event::HDel => "hdel",
            Event::HIncrBy => "hincrby",
            Event::HIncrByFloat => "hincrbyfloat",
            Event::HExpire => "hexpire",
            Event::HPersist => "hpersist",
            Event::HExpired => "hexpired",
            Event::LPush => "lpush",
            Event::RPush => "rpush",
            Event::LPop => "lpop",
            Event::RPop => "rpop",
            Event::LSet => "lset",
            Event::LTrim => "ltrim",
            Event::LRem => "lrem",
            Event::LInsert => "linsert",
            Event::SortStore => "sortstore",
            Event::SAdd => "sadd",
            Event::SRem => "srem",
            Event::SPop => "spop",
            Event::SInterStore => "sinterstore",
            Event::SUnionStore => "sunionstore",
            Event::SDiffStore => "sdiffstore",
            Event::ZAdd => "zadd",
            Event::ZIncr => "zincr",
            Event::ZRem => "zrem",
            Event::ZPopMin => "zpopmin",
            Event::ZPopMax => "zpopmax",
            Event::ZRemRangeByRank => "zremrangebyrank",
            Event::ZRemRangeByScore => "zremrangebyscore",
            Event::ZRemRangeByLex => "zremrangebylex",
            Event::ZRangeStore => "zrangestore",
            Event::ZUnionStore => "zunionstore",
            Event::ZInterStore => "zinterstore",
            Event::ZDiffStore => "zdiffstore",
            Event::GeoSearchStore => "geosearchstore",
            Event::GeoRadiusStore => "georadiusstore",
            Event::XAdd => "xadd",
            Event::XDel => "xdel",
            Event::XTrim => "xtrim",
            Event::XSetId => "xsetid",
            Event::XGroupCreate | Event::XGroupCreateStream => "xgroup-create",
            Event::XGroupCreateConsumer => "xgroup-createconsumer",
            Event::XGroupDelConsumer => "xgroup-delconsumer",
            Event::XGroupDestroy => "xgroup-destroy",
            Event::XGroupSetId => "xgroup-setid",
            Event::XPending | Event::Grown => "",
            Event::Expired => "expired",
            Event::New => "new",
            Event::KeyMiss => "keymiss",
        }
    }
}
