//! What a worker does for client tracking: turning it on and off, and carrying the news (`engine/tracking.rs` tells the whole).

use super::super::connection::Life;
use super::super::host::no_such_client;
use super::super::mail::Mail;
use super::super::pubsub::{Kind, TopicId};
use super::super::tracking::{Mode, News, Tracking, TrackingMail, Wish};
use super::{ConnId, Worker};
use kv_core::resp::{Proto, Reply};
use kv_core::store::{Readers, Shard, Stale, Written};

/// Keys above the limit that are given up in one turn.
const SHRINK_BUDGET: usize = 1024;

impl Worker {
    // ---- on and off ----

    /// Whether there is a client; `None`: its worker has to be asked.
    pub(in super::super) fn find_client(&mut self, client: u64) -> Option<bool> {
        let is_here = client == 0 || self.net.worker_of(client) == self.id;
        is_here.then(|| client == 0 || self.is_here(client))
    }

    /// Asks the worker of the client that a wish redirects to.
    pub(in super::super) fn seek(&mut self, wish: Wish) {
        let (worker, wish) = (self.net.worker_of(wish.redirect), Box::new(wish));
        self.net.send(worker, Mail::Tracking(Box::new(TrackingMail::Seek { from: self.id, wish })));
    }

    pub(in super::super) fn is_rehearsing(&self) -> bool {
        self.is_rehearsing
    }

    /// Whether a client is connected here; if so, it can be told from now on.
    fn is_here(&mut self, client: u64) -> bool {
        if self.told.contains_key(&client) {
            return true;
        }
        let mut all = self.connections.iter();
        let conn = all.position(|c| c.as_ref().is_some_and(|c| c.session.id == client && c.life == Life::Open));
        if let Some(conn) = conn {
            self.told.insert(client, conn as ConnId);
        }
        conn.is_some()
    }

    fn grant(&mut self, wish: Wish, found: bool) {
        let Wish { conn, dest, wanted, .. } = wish;
        let mut answer = Vec::new();
        let mut reply = Reply::new(&mut answer, Proto::Resp2);
        if !found {
            let error = no_such_client().to_string();
            reply.error(&error);
            self.figures.count_error(error.as_bytes());
        } else if self.connection(conn).life == Life::Gone {
            // Nobody waits for the answer, but its place in line does.
            reply.ok();
        } else if let Some(number) = self.set_tracking(conn, wanted) {
            return self.hub.await_ok(conn, dest, number);
        } else {
            reply.ok();
        }
        self.take_reply(dest, &answer, 0);
    }

    /// Changes what a session tracks. Gives the number of the message about prefixes that other workers must have noted before that
    /// is answered, if there is one.
    pub(in super::super) fn set_tracking(&mut self, conn: ConnId, wanted: Option<Tracking>) -> Option<u64> {
        let c = self.connections[conn as usize].as_mut().expect("kept while a ticket is out");
        let before = c.session.tracking.take();
        let (was_on, is_on) = (before.is_some(), wanted.is_some());
        let old = before.map_or(Vec::new(), |tracking| tracking.prefixes);
        let mut wanted = wanted;
        let mut topics = Vec::new();
        if let Some(tracking) = &mut wanted {
            self.told.insert(c.session.id, conn);
            for prefix in tracking.prefixes.iter().filter(|prefix| !old.contains(prefix)) {
                let id = self.hub.await_topic(Kind::Prefix, self.hasher.hash(prefix), prefix);
                self.hub.topic_mut(id).subscribers.push(conn);
                self.hub.subscribed(id);
                topics.push(id);
            }
            tracking.prefixes.extend(old);
            tracking.prefixes.sort();
            tracking.prefixes.dedup();
        } else {
            self.end_prefixes(conn, old);
        }
        self.net.count_tracking(isize::from(is_on) - isize::from(was_on));
        self.connection(conn).session.tracking = wanted.map(Box::new);
        self.note_prefixes();
        self.hub.must_await(&topics)
    }

    fn end_prefixes(&mut self, conn: ConnId, prefixes: Vec<Box<[u8]>>) {
        for prefix in prefixes {
            if let Some(id) = self.hub.find(Kind::Prefix, self.hasher.hash(&prefix), &prefix) {
                self.hub.topic_mut(id).subscribers.retain(|&other| other != conn);
                self.hub.drop_if_idle(id);
            }
        }
    }

    /// The session tracks nothing any more.
    pub(in super::super) fn end_tracking(&mut self, conn: ConnId) {
        if self.connection(conn).session.tracking.is_some() {
            self.set_tracking(conn, None);
        }
    }

    /// The connection is gone: nobody is told there any more.
    pub(super) fn tell_no_more(&mut self, conn: ConnId) {
        self.end_tracking(conn);
        if !self.told.is_empty() {
            let client = self.connection(conn).session.id;
            self.told.remove(&client);
        }
    }

    /// CLIENT CACHING was about the command at hand, which is over.
    pub(super) fn end_caching(&mut self, conn: ConnId) {
        if let Some(tracking) = &mut self.connection(conn).session.tracking {
            tracking.is_caching = false;
        }
    }

    // ---- the shard ----

    /// Tells the shard what it has to note.
    pub(super) fn note_prefixes(&mut self) {
        if let Some(shard) = &mut self.shard {
            shard.tracking.note_writes(self.hub.has_prefixes());
        }
    }

    pub(super) fn limit_tracking(&mut self) {
        let all = self.config.tracking_table_max_keys as usize;
        if let Some(shard) = &mut self.shard {
            shard.tracking.limit(all.div_ceil(self.outgoing.len()));
        }
    }

    /// Lets go of what is too much, or of all when nobody tracks; tells what has happened meanwhile.
    pub(super) fn tend_tracking(&mut self) {
        let Some(shard) = &mut self.shard else { return };
        if shard.tracking.has_keys() {
            if self.net.tracking_clients() == 0 {
                shard.garbage.extend(shard.tracking.forget_all());
            } else if shard.tracking.has_too_many() {
                shard.tracking.shrink(SHRINK_BUDGET, &mut shard.random);
            }
        }
        self.tell_news();
    }

    /// Whether the table of the own shard is above its limit.
    pub(super) fn tracks_too_much(&self) -> bool {
        self.shard.as_ref().is_some_and(|shard| shard.tracking.has_too_many())
    }

    // ---- news ----

    /// After a command in place: who has read what it wrote is told. (Keys with prefixes are told at the end of the turn.)
    #[inline]
    pub(super) fn tell_stale(&mut self) {
        if let Some(shard) = &mut self.shard
            && shard.tracking.has_stale()
        {
            let stale = shard.tracking.take_stale();
            let shows = self.shows();
            self.send_news(stale, Written::new(), shows);
        }
    }

    /// Tells all that has happened on the own shard.
    #[inline]
    pub(super) fn tell_news(&mut self) {
        if let Some(shard) = &mut self.shard
            && (shard.tracking.has_stale() || shard.tracking.has_written())
        {
            let (stale, written) = (shard.tracking.take_stale(), shard.tracking.take_written());
            let shows = self.shows();
            self.send_news(stale, written, shows);
        }
    }

    /// As `tell_news`, of shards that have come together; `shows`: the epoch of the writes.
    pub(super) fn tell_news_of(&mut self, shards: &mut [Box<Shard>], shows: u64) {
        let (mut stale, mut written) = (Vec::new(), Written::new());
        for shard in shards {
            stale.append(&mut shard.tracking.take_stale());
            written.append(&mut shard.tracking.take_written());
        }
        if !stale.is_empty() || !written.is_empty() {
            self.send_news(stale, written, shows);
        }
    }

    /// `shows`: the epoch of the writes.
    #[cold]
    pub(super) fn send_news(&mut self, stale: Vec<Stale>, written: Written, shows: u64) {
        if self.net.tracking_clients() == 0 {
            return;
        }
        let workers = self.outgoing.len();
        if workers == 1 {
            return self.take_news(News { stale, written, shows });
        }
        let mut news: Vec<News> = (0..workers).map(|_| News { shows, ..News::default() }).collect();
        for stale in stale {
            match stale {
                Stale::All => news.iter_mut().for_each(|news| news.stale.push(Stale::All)),
                Stale::Key { key, readers, writer } => {
                    let mut at: Vec<Vec<u64>> = vec![Vec::new(); workers];
                    readers.as_slice().iter().for_each(|&client| at[self.net.worker_of(client)].push(client));
                    for (news, readers) in news.iter_mut().zip(at) {
                        if !readers.is_empty() {
                            let (key, readers) = (key.clone(), Readers::Many(readers));
                            news.stale.push(Stale::Key { key, readers, writer });
                        }
                    }
                }
            }
        }
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for (key, writer) in written {
            own.clear();
            others.clear();
            self.hub.prefixes_of(&key, |prefix| self.hasher.hash(prefix), &mut own, &mut others);
            if !own.is_empty() {
                others.push(self.id as u16);
            }
            others.iter().for_each(|&worker| _ = news[usize::from(worker)].written.insert(key.clone(), writer));
        }
        for (worker, news) in news.into_iter().enumerate().filter(|(_, news)| !news.is_empty()) {
            if worker == self.id {
                self.take_news(news);
            } else {
                self.net.send(worker, Mail::Tracking(Box::new(TrackingMail::News(news))));
            }
        }
    }

    pub(super) fn take_tracking(&mut self, mail: TrackingMail) {
        match mail {
            TrackingMail::News(news) => self.take_news(news),
            TrackingMail::Redirected { to, tracker, keys, shows } => {
                let keys = keys.as_ref().map(|keys| keys.iter().map(|key| &**key).collect::<Vec<&[u8]>>());
                if !self.push_redirected(to, keys.as_deref(), shows) {
                    let worker = self.net.worker_of(tracker);
                    self.net.send(worker, Mail::Tracking(Box::new(TrackingMail::Broken { tracker })));
                }
            }
            TrackingMail::Broken { tracker } => {
                if let Some(&conn) = self.told.get(&tracker) {
                    self.redirect_is_broken(conn);
                }
            }
            TrackingMail::Seek { from, wish } => {
                let found = self.is_here(wish.redirect);
                self.net.send(from, Mail::Tracking(Box::new(TrackingMail::Sought { wish, found })));
            }
            TrackingMail::Sought { wish, found } => self.grant(*wish, found),
        }
    }

    fn take_news(&mut self, news: News) {
        let News { stale, written, shows } = news;
        for stale in &stale {
            match stale {
                Stale::Key { key, readers, writer } => {
                    for client in readers.as_slice() {
                        let Some(&conn) = self.told.get(client) else { continue };
                        let tracking = self.connection(conn).session.tracking.as_ref();
                        if tracking.is_some_and(|t| t.mode != Mode::Broadcast && !(t.noloop && writer == client)) {
                            self.tell(conn, Some(&[key]), shows);
                        }
                    }
                }
                Stale::All => {
                    let all: Vec<ConnId> = self.told.values().copied().collect();
                    all.into_iter().for_each(|conn| self.tell(conn, None, shows));
                }
            }
        }
        if !written.is_empty() {
            self.broadcast(&written, shows);
        }
    }

    /// Tells the keys to those who have one of their prefixes: one message for each prefix.
    fn broadcast(&mut self, written: &Written, shows: u64) {
        let mut by_prefix: Vec<(TopicId, &[u8], u64)> = Vec::new();
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for (key, &writer) in written {
            own.clear();
            self.hub.prefixes_of(key, |prefix| self.hasher.hash(prefix), &mut own, &mut others);
            by_prefix.extend(own.iter().map(|&id| (id, &**key, writer)));
        }
        // The keys of a prefix stay in order.
        by_prefix.sort_by(|a, b| self.hub.topic(a.0).name.cmp(&self.hub.topic(b.0).name));
        for keys in by_prefix.chunk_by(|a, b| a.0 == b.0) {
            for conn in self.hub.topic(keys[0].0).subscribers.clone() {
                let session = &self.connection(conn).session;
                let own = session.tracking.as_ref().is_some_and(|tracking| tracking.noloop).then_some(session.id);
                let keys: Vec<&[u8]> = keys.iter().filter(|key| Some(key.2) != own).map(|key| key.1).collect();
                if !keys.is_empty() {
                    self.tell(conn, Some(&keys), shows);
                }
            }
        }
    }

    /// Tells a tracking session, or whom it redirects to. No keys: all are stale.
    fn tell(&mut self, conn: ConnId, keys: Option<&[&[u8]]>, shows: u64) {
        let session = &self.connection(conn).session;
        let (tracker, Some(tracking)) = (session.id, &session.tracking) else { return };
        let to = tracking.redirect;
        let worker = self.net.worker_of(to);
        if to == 0 {
            self.push_stale(conn, keys, shows, false);
        } else if worker != self.id {
            let keys = keys.map(|keys| keys.iter().map(|&key| key.into()).collect());
            let mail = TrackingMail::Redirected { to, tracker, keys, shows };
            self.net.send(worker, Mail::Tracking(Box::new(mail)));
        } else if !self.push_redirected(to, keys, shows) {
            self.redirect_is_broken(conn);
        }
    }

    /// False: there is no such client any more.
    fn push_redirected(&mut self, to: u64, keys: Option<&[&[u8]]>, shows: u64) -> bool {
        let conn = self.told.get(&to).copied();
        if let Some(conn) = conn {
            self.push_stale(conn, keys, shows, true);
        }
        conn.is_some()
    }

    fn redirect_is_broken(&mut self, conn: ConnId) {
        let session = &mut self.connection(conn).session;
        let Some(tracking) = &mut session.tracking else { return };
        tracking.is_broken = true;
        if session.proto == Proto::Resp3 {
            let (mut out, to) = (Vec::new(), tracking.redirect);
            let mut reply = Reply::new(&mut out, Proto::Resp3);
            reply.push(2);
            reply.bulk(b"tracking-redir-broken");
            reply.int(to as i64);
            self.put_push(conn, &out, 0);
        }
    }

    /// In RESP2 there are no pushes; a connection with subscriptions takes the news of another as messages.
    fn push_stale(&mut self, conn: ConnId, keys: Option<&[&[u8]]>, shows: u64, redirected: bool) {
        let c = self.connection(conn);
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, c.session.proto);
        if c.session.proto == Proto::Resp3 {
            reply.push(2);
            reply.bulk(b"invalidate");
        } else if redirected && c.subscriptions.is_some() {
            reply.push(3);
            reply.bulk(b"message");
            reply.bulk(b"__redis__:invalidate");
        } else {
            return;
        }
        match keys {
            Some(keys) => {
                reply.array(keys.len());
                keys.iter().for_each(|key| reply.bulk(key));
            }
            None => reply.nil(),
        }
        self.put_push(conn, &out, shows);
    }

    /// Behind all that the connection has asked for.
    fn put_push(&mut self, conn: ConnId, push: &[u8], shows: u64) {
        let overtake = self.net.faults().news_overtake;
        let c = self.connections[conn as usize].as_mut().expect("who is told is there");
        if c.life != Life::Open {
            return;
        }
        if c.output.tail.capacity() == 0 && c.tickets.is_empty() {
            c.output.tail = self.output_pool.pop().unwrap_or_default();
        }
        if overtake {
            c.output.push(push);
        } else {
            c.answer(push);
        }
        c.shows = c.shows.max(shows);
        self.mark_dirty(conn);
        self.check_output_limit(conn);
    }
}
