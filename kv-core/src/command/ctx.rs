//! What a handler sees of the world: the shards of its keys, the time, its session's database; and where it says what it
//! has written. What of that goes to the log is in `effects`.

mod effects;

pub use effects::Collected;

use super::{CommandError, CommandSpec, Event, LogAs, keys_of};
use crate::resp::{Arg, Reply};
use crate::store::{Claim, Collection, Db, Detached, EntryRef, Expire, Key, Shard, StrValue, UnixMs, WrongType};
use crate::structs::random::Random;
use crate::types::Limits;

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The reply is complete.
    Done,
    /// A long walk: the reply so far is kept, and the handler is called again in a later turn with this in `ctx.cursor`.
    Again(u64),
    /// There is nothing yet for who asks, and nothing was done or replied: the request waits, as `ctx.wish` says, and is run
    /// again for each of its keys that is written. (Or it needs no answer any more.)
    Wait,
}

/// How a request wants to wait.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Until when; `None` for ever.
    pub until: Option<UnixMs>,
    /// Words that mean something else later: where they stand, and what they mean now.
    pub words: Vec<(usize, Vec<u8>)>,
}

/// Of a request that may wait.
#[derive(Clone, Copy)]
pub struct Waiting<'a> {
    /// The right to answer, if others might take it. Whoever does not get it may do nothing.
    pub claim: Option<&'a Claim>,
    /// The one key to look at, of those that are waited for: it was written.
    pub ready: Option<Key<'a>>,
}

/// The shards a command may touch. A handler cannot tell one from many.
pub enum Stores<'a> {
    One(&'a mut Box<Shard>),
    /// The involved shards, ascending by index.
    Many(&'a mut [Box<Shard>]),
}

impl Stores<'_> {
    /// The same, for one command of several.
    #[inline]
    pub fn again(&mut self) -> Stores<'_> {
        match self {
            Stores::One(shard) => Stores::One(shard),
            Stores::Many(shards) => Stores::Many(shards),
        }
    }

    /// One shard of them.
    ///
    /// Panics: when it is not among them.
    pub fn only(&mut self, index: usize) -> Stores<'_> {
        Stores::One(self.boxes().iter_mut().find(|shard| shard.index == index).expect("the shard takes part"))
    }

    /// All of them. Whoever needs one for a while can put another in its place.
    pub fn boxes(&mut self) -> &mut [Box<Shard>] {
        match self {
            Stores::One(shard) => std::slice::from_mut(*shard),
            Stores::Many(shards) => shards,
        }
    }

    pub fn each(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.boxes().iter_mut().map(|shard| &mut **shard)
    }
}

/// Limits from the options that handlers need.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest string a command may make, bytes (`proto-max-bulk-len`).
    pub string_max: usize,
    /// Largest sparse HyperLogLog, bytes (`hll-sparse-max-bytes`).
    pub hll_sparse_max: usize,
    pub limits: Limits,
}

pub struct Ctx<'a> {
    stores: Stores<'a>,
    /// How many shards there are in all.
    pub shards: usize,
    /// The moment of this turn.
    pub now: UnixMs,
    /// The session's selected database.
    pub db_index: usize,
    /// Where a walk goes on; 0 at its start.
    pub cursor: u64,
    /// Whether a walk may be cut into slices (not inside a transaction).
    pub sliced: bool,
    /// The number of the client that asks; 0 for none.
    pub client: u64,
    /// Whether an access counts as a use of the key (CLIENT NO-TOUCH, rows with NO_TOUCH).
    pub touch: bool,
    pub settings: &'a Settings,
    /// How the request is logged, and its words.
    log: LogAs,
    request: (&'a [u8], &'a [Arg]),
    /// What it did is in the log already.
    logged: bool,
    /// Whether, and how, the request may wait; not in a transaction, nor in a replay.
    pub waiting: Option<Waiting<'a>>,
    /// How it wants to, after `Outcome::Wait`.
    pub wish: Wish,
    /// It has the right to answer.
    has_claim: bool,
}

impl<'a> Ctx<'a> {
    pub fn new(stores: Stores<'a>, shards: usize, now: UnixMs, db_index: usize, settings: &'a Settings) -> Ctx<'a> {
        Ctx {
            stores,
            shards,
            now,
            db_index,
            cursor: 0,
            sliced: true,
            client: 0,
            touch: true,
            settings,
            log: LogAs::State,
            request: (&[], &[]),
            logged: false,
            waiting: None,
            wish: Wish::default(),
            has_claim: false,
        }
    }

    /// The shard of a key.
    ///
    /// Panics: when the shard is not among those the command was given, a mistake of the routing.
    #[inline]
    pub fn shard(&mut self, key: Key<'_>) -> &mut Shard {
        match &mut self.stores {
            Stores::One(shard) => shard,
            Stores::Many(shards) => {
                let index = shards[0].hasher.place_key(key, self.shards);
                let at = shards.binary_search_by_key(&index, |s| s.index).expect("the key's shard takes part");
                &mut shards[at]
            }
        }
    }

    /// The shard that a keyless command runs on (each shard in its turn).
    pub fn this_shard(&mut self) -> &mut Shard {
        match &mut self.stores {
            Stores::One(shard) => shard,
            Stores::Many(shards) => &mut shards[0],
        }
    }

    /// All shards the command was given.
    pub fn each_shard(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.stores.each()
    }

    /// The session's database, in the shard of the key.
    #[inline]
    pub fn db(&mut self, key: Key<'_>) -> &mut Db {
        let index = self.db_index;
        &mut self.shard(key).dbs[index]
    }

    /// The database `index`, in the shard of the key.
    pub fn db_in(&mut self, index: usize, key: Key<'_>) -> &mut Db {
        &mut self.shard(key).dbs[index]
    }

    /// How many databases there are.
    pub fn databases(&mut self) -> usize {
        self.this_shard().dbs.len()
    }

    /// The entry of a key, for a command that tells something about it: counts as a hit or a miss, and as a use of the
    /// key unless `touch` forbids it.
    #[inline]
    pub fn read(&mut self, key: Key<'_>) -> Option<EntryRef<'_>> {
        let (now, index, touch) = (self.now, self.db_index, self.touch);
        let Shard { dbs, stats, notices, .. } = self.shard(key);
        let db = &mut dbs[index];
        let entry = if touch { db.get(key, now) } else { db.peek(key, now) };
        match entry {
            Some(_) => stats.hits += 1,
            None => {
                stats.misses += 1;
                notices.note_miss(index, key.bytes);
            }
        }
        entry
    }

    /// The entry of a key, for a command that is about to write: counts as neither hit nor miss.
    #[inline]
    pub fn find(&mut self, key: Key<'_>) -> Option<EntryRef<'_>> {
        let now = self.now;
        self.db(key).get(key, now)
    }

    /// The shard of a key, for looking only.
    ///
    /// Panics: as `shard`.
    fn shard_ref(&self, key: Key<'_>) -> &Shard {
        match &self.stores {
            Stores::One(shard) => shard,
            Stores::Many(shards) => {
                let index = shards[0].hasher.place_key(key, self.shards);
                let at = shards.binary_search_by_key(&index, |s| s.index).expect("the key's shard takes part");
                &shards[at]
            }
        }
    }

    /// The collection at a key, for a command that tells something about it, as `read`; `None` when there is no such key.
    ///
    /// Errors: WRONGTYPE.
    #[inline]
    pub fn view<C: Collection>(&mut self, key: Key<'_>) -> Result<Option<C::Ref<'_>>, CommandError> {
        self.read(key).map(|entry| C::view(entry.value()).ok_or(CommandError::WrongType)).transpose()
    }

    /// As `view`, without any effect, so that several keys may be looked at together.
    ///
    /// Errors: WRONGTYPE.
    #[inline]
    pub fn peek<C: Collection>(&self, key: Key<'_>) -> Result<Option<C::Ref<'_>>, CommandError> {
        self.peek_entry(key).map(|entry| C::view(entry.value()).ok_or(CommandError::WrongType)).transpose()
    }

    /// The entry of a key, without any effect.
    #[inline]
    pub fn peek_entry(&self, key: Key<'_>) -> Option<EntryRef<'_>> {
        self.shard_ref(key).dbs[self.db_index].peek(key, self.now)
    }

    /// Whether there is such a key; without any effect.
    pub fn exists(&self, key: Key<'_>) -> bool {
        self.peek_entry(key).is_some()
    }

    /// Changes the collection at a key in place and keeps its expiry; `None` when there is no such key. A collection that
    /// is empty afterwards goes with its key (streams stay).
    ///
    /// Errors: WRONGTYPE; `f` is not called then.
    #[inline]
    pub fn edit<C: Collection, R>(
        &mut self,
        key: Key<'_>,
        f: impl FnOnce(&mut C, &Limits) -> R,
    ) -> Result<Option<R>, CommandError> {
        let (now, limits) = (self.now, &self.settings.limits);
        self.db(key).edit(key, false, now, |value| f(value, limits)).map_err(|WrongType| CommandError::WrongType)
    }

    /// As `edit`, with an empty collection when there is no such key.
    ///
    /// Errors: WRONGTYPE; `f` is not called then.
    #[inline]
    pub fn edit_or_new<C: Collection, R>(
        &mut self,
        key: Key<'_>,
        f: impl FnOnce(&mut C, &Limits) -> R,
    ) -> Result<R, CommandError> {
        let (now, limits) = (self.now, &self.settings.limits);
        match self.db(key).edit(key, true, now, |value| f(value, limits)) {
            Ok(Some(result)) => Ok(result),
            Ok(None) => unreachable!("it is made when it is not there"),
            Err(WrongType) => Err(CommandError::WrongType),
        }
    }

    /// Stores a collection without expiry, whatever was there; an empty one removes the key. Says whether there was one.
    pub fn store_new<C: Collection>(&mut self, key: Key<'_>, value: C) -> bool {
        let now = self.now;
        self.db(key).store(key, value, Expire::Clear, now).existed
    }

    /// A source of random numbers of its own.
    pub fn random(&mut self) -> Random {
        Random::new(self.this_shard().random.next_u64())
    }

    /// Up to which size collections stay packed.
    #[inline]
    pub fn limits(&self) -> &'a Limits {
        &self.settings.limits
    }

    /// Stores a string, whatever was there.
    #[inline]
    pub fn set_string(&mut self, key: Key<'_>, value: StrValue<'_>, expire: Expire) {
        let now = self.now;
        self.db(key).set_string(key, value, expire, now);
    }

    /// Stores a string without expiry, whatever was there; it is never turned into an integer.
    pub fn set_text(&mut self, key: Key<'_>, text: Vec<u8>) {
        let now = self.now;
        self.db(key).set_text(key, text, now);
    }

    /// Changes a string in place, an empty one if there is none; keeps the expiry.
    ///
    /// Panics: when the value is no string.
    pub fn edit_string<R>(&mut self, key: Key<'_>, edit: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let now = self.now;
        self.db(key).edit_string(key, now, edit)
    }

    /// Sets or removes the expiry of a key; says whether there is such a key.
    pub fn set_expire(&mut self, key: Key<'_>, expire_at: Option<UnixMs>) -> bool {
        let now = self.now;
        self.db(key).set_expire(key, expire_at, now)
    }

    /// Removes a key; says whether it was there.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        let now = self.now;
        self.db(key).remove(key, now)
    }

    /// Removes a key and returns its value with its expiry.
    pub fn take(&mut self, key: Key<'_>) -> Option<Detached> {
        let now = self.now;
        self.db(key).take(key, now)
    }

    /// A copy of the value of a key, with its expiry.
    pub fn copy(&mut self, key: Key<'_>) -> Option<Detached> {
        let now = self.now;
        self.db(key).copy(key, now)
    }

    /// Whether a database has a key.
    pub fn contains_in(&mut self, index: usize, key: Key<'_>) -> bool {
        let now = self.now;
        self.db_in(index, key).peek(key, now).is_some()
    }

    /// Stores what was taken or copied in a database, whatever was there.
    pub fn insert_in(&mut self, index: usize, key: Key<'_>, value: Detached) {
        let now = self.now;
        self.db_in(index, key).insert(key, value, now);
    }

    /// Whether the request has waited, and one of its keys was written.
    pub fn is_served(&self) -> bool {
        self.waiting.is_some_and(|waiting| waiting.ready.is_some())
    }

    /// Whether a key is to be looked at that the request waits for: at first each, later the one that was written.
    pub fn looks_at(&self, key: Key<'_>) -> bool {
        self.waiting.and_then(|waiting| waiting.ready).is_none_or(|ready| ready.bytes == key.bytes)
    }

    /// To be asked before anything is taken out of a key for a request that may wait. False: it needs no answer any more, and the
    /// handler ends with `Outcome::Wait`.
    pub fn may_answer(&mut self) -> bool {
        let Some(claim) = self.waiting.and_then(|waiting| waiting.claim) else { return true };
        self.has_claim = self.has_claim || claim.take();
        self.has_claim
    }

    /// Lets the request wait until it is served, or until a moment; or, where it may not, answers by `nil`.
    pub fn wait<'r>(&mut self, until: Option<UnixMs>, reply: &mut Reply<'r>, nil: fn(&mut Reply<'r>)) -> Outcome {
        if self.waiting.is_none() {
            nil(reply);
            return Outcome::Done;
        }
        self.wish.until = until;
        Outcome::Wait
    }

    /// The client watches a key of the session's database from now on.
    pub fn watch(&mut self, key: Key<'_>) {
        let (now, db, client) = (self.now, self.db_index, self.client);
        self.shard(key).watch(client, db, key, now);
    }

    /// The client tracks what it reads: the shards of the keys of the request remember it.
    #[cold]
    pub fn remember_reads(&mut self, spec: &CommandSpec, data: &[u8], words: &[Arg]) {
        let hasher = self.this_shard().hasher.clone();
        let client = self.client;
        keys_of(
            spec,
            words.len(),
            |at| words[at].get(data),
            |at| {
                let key = hasher.key(words[at].get(data));
                self.shard(key).remember_read(key, client);
            },
        );
    }

    /// Says once that a key was written: what follows from it (log, watchers, waiting clients, notifications, counters)
    /// follows from this call alone. It comes behind the last change of that key.
    #[inline]
    pub fn wrote(&mut self, key: Key<'_>, event: Event) {
        let db = self.db_index;
        self.wrote_in(db, key, event);
    }

    /// As `wrote`, for a write that takes elements out of a collection; with the last one (`gone`) the key went, too.
    #[inline]
    pub fn wrote_less(&mut self, key: Key<'_>, event: Event, gone: bool) {
        self.wrote(key, event);
        if gone {
            self.also(key, Event::Del);
        }
    }

    /// As `wrote`, for a key of another database than the session's.
    #[inline]
    pub fn wrote_in(&mut self, db: usize, key: Key<'_>, event: Event) {
        let (now, client) = (self.now, self.client);
        let shard = self.shard(key);
        shard.dirty += 1;
        if event.changes_value() {
            shard.value_changed(db, key, client);
        }
        shard.touch_waits(db, key, now);
        if shard.log.on {
            self.log_write(db, key);
        }
        self.tell(db, key, event);
    }

    /// A further event of a write that was said: SET with an expiry is `set` and `expire`, but one write.
    #[inline]
    pub fn also(&mut self, key: Key<'_>, event: Event) {
        self.tell(self.db_index, key, event);
    }

    #[inline]
    fn tell(&mut self, db: usize, key: Key<'_>, event: Event) {
        if self.this_shard().notices.are_wanted() {
            self.note(db, key, event);
        }
    }

    /// In the notices of one of the shards that take part, so that the events of a command stay in order.
    #[cold]
    fn note(&mut self, db: usize, key: Key<'_>, event: Event) {
        let mut shards = self.stores.each();
        if let Some(first) = shards.next() {
            first.note(shards, (db, key.bytes, event));
        }
    }
}
