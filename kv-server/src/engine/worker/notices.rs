//! Keyspace events: what shards have noted is published like messages, with the turn in which it happened.
//!
//! Events of a turn are published with it, in the order in which they were noted: on the own shard by commands in place and by
//! mail, or on all shards of a rendezvous by the worker that ran it. With several workers they always go through the mailboxes, the
//! own one too, so that those of one key come in one order from wherever they are told. And nobody hears of a write before its
//! events are on their way: replies to other workers, and shards on their way home, wait until the turn is published
//! ([`Worker::send_behind_notices`]). The same is done with what scripts publish.

use super::super::mail::{Batch, Dest, Item, Mail};
use super::super::pubsub::Kind;
use super::Worker;
use kv_core::command::RowId;
use kv_core::resp::Arg;
use kv_core::store::{Classes, Notice};

/// What the worker has to do with events.
pub(super) struct Telling {
    /// The row of PUBLISH: events travel as its requests.
    row: RowId,
    /// Mail that waits until the events of this turn are published.
    behind: Vec<(usize, Mail)>,
    /// Some were told in this turn.
    is_telling: bool,
    channel: Vec<u8>,
}

impl Telling {
    pub fn new() -> Telling {
        let row = kv_core::command::table().by_full_name(b"publish").expect("there is such a row");
        Telling { row, behind: Vec::new(), is_telling: false, channel: Vec::new() }
    }
}

impl Worker {
    /// Tells the shard what is wanted of it, as the options say.
    pub(super) fn want_notices(&mut self) {
        let classes = self.config.notify_keyspace_events;
        let forms = [Classes::KEYSPACE, Classes::KEYEVENT];
        let wanted = if forms.iter().any(|&form| classes.has(form)) { classes } else { Classes::NONE };
        if let Some(shard) = &mut self.shard {
            shard.want_notices(wanted);
        }
    }

    /// Publishes what the own shard has noted.
    #[inline]
    pub(super) fn tell_notices(&mut self) {
        if let Some(shard) = &mut self.shard
            && shard.notices.are_wanted()
        {
            let notices = shard.take_notices();
            let tells = self.shows();
            self.publish_notices(notices, tells);
        }
    }

    /// `tells`: the epoch of the writes they are about.
    #[cold]
    pub(super) fn publish_notices(&mut self, notices: Vec<Notice>, tells: u64) {
        let classes = self.config.notify_keyspace_events;
        let mut channel = std::mem::take(&mut self.telling.channel);
        for Notice { db, event, key } in notices {
            let event = event.as_str().as_bytes();
            for (form, name, subject, text) in
                [(Classes::KEYSPACE, "keyspace", &*key, event), (Classes::KEYEVENT, "keyevent", event, &*key)]
            {
                if classes.has(form) {
                    channel.clear();
                    channel.extend_from_slice(format!("__{name}@{db}__:").as_bytes());
                    channel.extend_from_slice(subject);
                    self.publish_behind(Kind::Channel, self.telling.row, &channel, text, tells);
                }
            }
        }
        channel.clear();
        channel.shrink_to(super::KEEP_BYTES);
        self.telling.channel = channel;
    }

    /// Publishes what nobody waits for the answer to.
    pub(super) fn publish_behind(&mut self, kind: Kind, row: RowId, channel: &[u8], text: &[u8], tells: u64) {
        if self.outgoing.len() == 1 {
            self.deliver(kind, channel, text, tells);
            return;
        }
        let mut targets = std::mem::take(&mut self.targets);
        self.hub.targets(kind, self.hasher.hash(channel), channel, &mut targets);
        self.needs_lock |= targets.len() > 1;
        self.telling.is_telling |= !targets.is_empty();
        for &worker in &targets {
            let batch = self.batch_for(usize::from(worker));
            batch.tells = batch.tells.max(tells);
            batch.push_notice(row, channel, text);
        }
        self.targets = targets;
    }

    /// Sends mail that tells of what has happened on a shard.
    #[inline]
    pub(super) fn send_behind_notices(&mut self, to: usize, mail: Mail) {
        if self.telling.is_telling {
            self.telling.behind.push((to, mail));
        } else {
            self.net.send(to, mail);
        }
    }

    /// Events of the duties go out with the next turn.
    pub(super) fn has_told_later(&self) -> bool {
        self.telling.is_telling
    }

    /// The turn is published.
    pub(super) fn notices_are_told(&mut self) {
        if std::mem::take(&mut self.telling.is_telling) {
            for (to, mail) in std::mem::take(&mut self.telling.behind) {
                self.net.send(to, mail);
            }
        }
    }
}

impl Batch {
    fn push_notice(&mut self, row: RowId, channel: &[u8], text: &[u8]) {
        // The request as one piece of bytes: PUBLISH's name is not looked at any more.
        let words = [Arg { start: 0, len: 0 }, word(0, channel.len()), word(channel.len(), text.len())];
        self.push_item(Item { no_touch: true, ..Item::new(row, Dest::Nobody) }, &words, &[channel, text].concat(), &[]);
    }
}

fn word(start: usize, len: usize) -> Arg {
    Arg { start: start as u32, len: len as u32 }
}
