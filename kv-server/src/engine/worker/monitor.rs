//! What a worker does for monitors: its own, and the lines of what its connections ask for (`engine/monitor.rs` tells the order).

use super::super::connection::Life;
use super::super::mail::Mail;
use super::super::monitor::{Place, Shown, UnitLines, is_shown, write_line};
use super::super::pubsub::Kind;
use super::super::session::{ReplyMode, Session};
use super::super::transaction::Unit;
use super::decode::Request;
use super::execute::is_password;
use super::pubsub::{OPEN_EPOCH, SHARED_BYTES};
use super::{ConnId, Worker};
use kv_core::command::{Handler, Row};
use kv_core::resp::Arg;
use std::borrow::Cow;
use std::sync::Arc;

/// All commands are one topic.
const NAME: &[u8] = b"";
const HASH: u64 = 0;

impl Worker {
    // ---- who monitors ----

    /// Gives the number of the message that all other workers must have noted before it is answered, if there is one.
    pub(in super::super) fn begin_monitoring(&mut self, conn: ConnId) -> Option<u64> {
        self.connection(conn).session.is_monitor = true;
        let id = self.hub.await_topic(Kind::Monitor, HASH, NAME);
        self.hub.topic_mut(id).subscribers.push(conn);
        self.hub.subscribed(id);
        self.note_monitors();
        self.hub.must_await(&[id])
    }

    pub(in super::super) fn end_monitoring(&mut self, conn: ConnId) {
        if !std::mem::take(&mut self.connection(conn).session.is_monitor) {
            return;
        }
        if let Some(id) = self.hub.find(Kind::Monitor, HASH, NAME) {
            self.hub.topic_mut(id).subscribers.retain(|&other| other != conn);
            self.hub.drop_if_idle(id);
        }
        self.note_monitors();
    }

    /// Which workers have monitors has changed.
    pub(super) fn note_monitors(&mut self) {
        self.hub.targets(Kind::Monitor, HASH, NAME, &mut self.monitors);
    }

    /// Whether anybody monitors.
    #[inline]
    pub(in super::super) fn is_monitored(&self) -> bool {
        !self.monitors.is_empty()
    }

    pub(super) fn is_monitored_elsewhere(&self) -> bool {
        self.monitors.iter().any(|&worker| usize::from(worker) != self.id) && !self.net.faults().lines_overtake
    }

    // ---- the lines of what a connection asks for ----

    /// Behind a request that was carried out here, or sent.
    #[cold]
    pub(super) fn show_request(&mut self, request: &Request, data: &[u8], words: &[Arg]) {
        let row = self.table.row(request.row);
        if !is_shown(row) {
            return;
        }
        let (start, words) = request.words(words);
        let mut text = Vec::new();
        let session = &self.connections[request.conn as usize].as_ref().expect("it has requests").session;
        self.write_line(session, session.db, row, &data[start..], words, &mut text);
        let is_script = matches!(row.spec.handler, Handler::Script(_));
        text.append(self.shown.get_mut());
        self.show_lines(request.conn, &text, is_script);
    }

    fn write_line(&self, session: &Session, db: usize, row: &Row, data: &[u8], words: &[Arg], out: &mut Vec<u8>) {
        let word = |(at, word): (usize, &Arg)| match at > 0 && is_password(row, data, words, at) {
            true => &b"(redacted)"[..],
            false => word.get(data),
        };
        write_line(out, self.now_us, db, &shown_address(session), words.iter().enumerate().map(word));
    }

    /// The lines of a transaction, which `exec` carries out.
    pub(super) fn lines_of_unit(&self, unit: &Unit, exec: &Request, data: &[u8], words: &[Arg]) -> UnitLines {
        let session = &self.connections[exec.conn as usize].as_ref().expect("it has requests").session;
        let mut lines = UnitLines::default();
        for item in &unit.work.items {
            let row = self.table.row(item.row);
            let (data, words) = unit.work.request(item);
            lines.add(|out| {
                if is_shown(row) {
                    self.write_line(session, item.db.into(), row, data, words, out);
                }
            });
        }
        let row = self.table.row(exec.row);
        let last_db = unit.work.items.last().map_or(session.db, |item| item.db.into());
        for db in [last_db, session.db] {
            lines.add(|out| self.write_line(session, db, row, data, words, out));
        }
        lines
    }

    /// Lines about what a connection has just asked for, behind all that it has asked for before. `begins`: the item that was put last
    /// into the rendezvous of the turn shows more behind them.
    pub(super) fn show_lines(&mut self, conn: ConnId, text: &[u8], begins: bool) {
        if self.connection(conn).rendezvous_in == self.turn {
            self.gather_monitors();
            let work = &mut self.gathering().work;
            let last = work.items.len() - 1;
            work.lines.put(if begins { Place::before(last) } else { Place::behind(last) }, text);
            return;
        }
        if self.net.faults().lines_overtake {
            return self.send_lines(&self.monitors.clone(), text, OPEN_EPOCH);
        }
        let tells = self.told_by(conn);
        if self.monitors == [self.id as u16] && !self.is_stalled() && !self.follows(conn) {
            return self.show_here(text, tells);
        }
        for worker in self.monitors.clone() {
            let batch = self.batch_for(usize::from(worker));
            batch.tells = batch.tells.max(tells);
            batch.lines.push(text);
        }
        self.needs_lock = true;
    }

    /// The workers with monitors wait for what their shards come together for in this turn.
    pub(super) fn gather_monitors(&mut self) {
        let monitors = std::mem::take(&mut self.monitors);
        let gathering = self.gathering();
        monitors.iter().for_each(|&worker| gathering.involved[usize::from(worker)] = true);
        gathering.work.lines.show_at(&monitors);
        self.monitors = monitors;
    }

    // ---- showing ----

    /// Sends what has been shown by a rendezvous on to those who wait for it.
    pub(super) fn send_lines(&mut self, to: &[u16], text: &[u8], shows: u64) {
        for &worker in to {
            if usize::from(worker) == self.id {
                self.show_here(text, shows);
            } else {
                self.net.send(usize::from(worker), Mail::Shown(Box::new(Shown { text: text.to_vec(), shows })));
            }
        }
    }

    /// Gives lines to the monitors here. `tells`: the epoch of what they may tell of.
    pub(super) fn show_here(&mut self, text: &[u8], tells: u64) {
        let shows = if tells == OPEN_EPOCH { self.open_epoch() } else { tells };
        let Some(id) = self.hub.find(Kind::Monitor, HASH, NAME) else { return };
        let shared: Option<Arc<[u8]>> = (text.len() >= SHARED_BYTES).then(|| text.into());
        for at in 0..self.hub.topic(id).subscribers.len() {
            let conn = self.hub.topic(id).subscribers[at];
            let c = self.connection(conn);
            if c.life != Life::Open || c.session.reply_mode == ReplyMode::Off {
                continue;
            }
            match &shared {
                Some(shared) => c.answer_shared(shared),
                None => c.answer(text),
            }
            c.shows = c.shows.max(shows);
            self.mark_dirty(conn);
            self.check_output_limit(conn);
        }
    }
}

/// As monitors see a client.
fn shown_address(session: &Session) -> Cow<'_, str> {
    match session.peer.strip_suffix(":0").filter(|_| session.unix_socket) {
        Some(path) => Cow::Owned(format!("unix:{path}")),
        None => Cow::Borrowed(&session.peer),
    }
}
