//! What a worker does in every turn besides commands, each within a budget: expiry, walks, limits, figures.

use super::super::connection::Life;
use super::super::costs::{Client, Kind, SlowCall};
use super::super::mail::Mail;
use super::super::stats::Figures;
use super::{ConnId, Worker};
use kv_core::store::{Garbage, UnixMs};

/// Entries looked at for expiry in one turn: some hundred microseconds' worth.
const EXPIRE_BUDGET: usize = 2048;

/// The counters at the last full second.
#[derive(Default)]
pub(super) struct Sample {
    at: UnixMs,
    commands: u64,
    input: u64,
    output: u64,
}

/// How long a worker may rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// There is work left: not at all.
    None,
    /// Only a moment: mail waits for its turn to be published.
    Yield,
    /// Until mail or bytes arrive, or this moment.
    Until(UnixMs),
    /// Until mail or bytes arrive.
    Forever,
}

impl Worker {
    /// Expiry, slices of walks and snapshots, limits of connections, figures for INFO. What is to be freed goes into `garbage`; it may
    /// be dropped on any thread.
    pub fn duties(&mut self, garbage: &mut Vec<Garbage>) {
        self.walk_for_snapshot();
        if let Some(shard) = self.shard.as_mut() {
            let mut budget = EXPIRE_BUDGET;
            self.meter.watched(Kind::ExpireCycle, || {
                if shard.notices.are_wanted() {
                    shard.expire_due_and_note(self.now, &mut budget);
                } else {
                    shard.expire_due(self.now, &mut budget, |_, _, _| {});
                    shard.take_expired(|_, _| {});
                }
            });
            garbage.append(&mut shard.take_garbage());
        }
        // The turn is published; and a stream that was due is gone.
        self.serve_ready();
        self.meter.end();
        self.tell_notices();
        self.tend_tracking();
        self.send_served();
        self.time_out_blocked();
        if !self.walks.is_empty() {
            self.run_walks();
        }
        if !self.held.is_empty() && !self.pause.is_on(self.now) {
            for conn in std::mem::take(&mut self.held) {
                let Some(c) = self.connections[conn as usize].as_mut() else { continue };
                c.held = false;
                if c.life == Life::Open {
                    self.list(conn);
                }
            }
        }
        self.check_output_limits();
        if self.now >= self.next_second {
            self.next_second = self.now + 1000;
            self.every_second();
        }
        self.publish_figures();
        self.tell_slow();
        self.end_turn_of_log();
    }

    /// How long nothing is to be done.
    pub fn rest(&self) -> Rest {
        if !self.ready.is_empty()
            || !self.dirty.is_empty()
            || !self.mailbox.is_empty()
            || self.may_release()
            || self.hub.has_news()
            || self.has_told_later()
            || self.tracks_too_much()
        {
            return Rest::None;
        }
        if self.shard.is_some() && !self.queue.is_empty() {
            return Rest::Yield;
        }
        let awaits_shard = !self.walks.is_empty() || !self.forgotten.is_empty() || !self.leavers.is_empty();
        // What was asked for in duties, or for who leaves, goes out with the next turn.
        if awaits_shard && self.shard.is_some() || self.gathering.is_some() {
            return Rest::None;
        }
        let mut until = self.shard.as_ref().and_then(|s| s.next_due());
        if !self.held.is_empty() {
            until = Some(until.map_or(self.pause.until, |u| u.min(self.pause.until)));
        }
        // Idle clients and those over their soft limit are looked for once a second, if there can be any. Figures per second have to go back to
        // zero; then nothing is left to do.
        let was_busy = self.figures.ops_per_sec > 0 || self.figures.commands != self.sample.commands;
        if (self.config.timeout > 0 && self.open > 0) || was_busy || self.over_soft_limit {
            until = Some(until.map_or(self.next_second, |u| u.min(self.next_second)));
        }
        if let Some(&(at, _)) = self.deadlines.first() {
            until = Some(until.map_or(at, |u| u.min(at)));
        }
        if let Some(at) = self.walks_at() {
            until = Some(until.map_or(at, |u| u.min(at)));
        }
        match until {
            Some(until) if until <= self.now => Rest::None,
            Some(until) => Rest::Until(until),
            None => Rest::Forever,
        }
    }

    /// Cuts connections whose unread replies pass the limit of their class.
    fn check_output_limits(&mut self) {
        for i in 0..self.dirty.len() {
            self.check_output_limit(self.dirty[i]);
        }
    }

    pub(super) fn check_output_limit(&mut self, id: ConnId) {
        let limits = &self.config.client_output_buffer_limit;
        let now = self.now;
        let Some(c) = self.connections[id as usize].as_mut() else { return };
        let limit = if c.subscriptions.is_some() { limits.pubsub } else { limits.normal };
        let bytes = (c.output.len() + c.tickets.bytes()) as u64;
        let over_soft = limit.soft > 0 && bytes >= limit.soft;
        c.over_soft_limit_since = if over_soft { c.over_soft_limit_since.or(Some(now)) } else { None };
        self.over_soft_limit |= over_soft;
        let soft_for = c.over_soft_limit_since.map_or(0, |since| now - since);
        let cut = (limit.hard > 0 && bytes >= limit.hard) || (over_soft && soft_for / 1000 >= limit.soft_seconds);
        if cut && matches!(c.life, Life::Open | Life::Closing) {
            self.figures.output_limit_disconnections += 1;
            self.kill(id);
        }
    }

    fn every_second(&mut self) {
        self.take_sample();
        // Who passes the soft limit and does not read brings no event by itself.
        self.over_soft_limit = false;
        for id in 0..self.connections.len() as ConnId {
            self.check_output_limit(id);
        }
        let timeout_ms = u64::from(self.config.timeout) * 1000;
        if timeout_ms > 0 {
            for id in 0..self.connections.len() as ConnId {
                let now = self.now;
                let idle = self.connections[id as usize].as_ref().is_some_and(|c| {
                    c.life == Life::Open
                        && c.tickets.is_empty()
                        // Who only listens has nothing to say.
                        && c.subscriptions.is_none()
                        && !c.session.is_monitor
                        && now.saturating_sub(c.session.last_active) > timeout_ms
                });
                if idle {
                    self.kill(id);
                }
            }
        }
        self.figures.client_bytes = self.connections.iter().flatten().map(|c| c.memory() as u64).sum();
    }

    /// Figures per second.
    fn take_sample(&mut self) {
        let now = Sample {
            at: self.now,
            commands: self.figures.commands,
            input: self.figures.net_input_bytes,
            output: self.figures.net_output_bytes,
        };
        let before = std::mem::replace(&mut self.sample, now);
        let ms = self.now.saturating_sub(before.at).max(1);
        let per_second = |now: u64, before: u64| now.saturating_sub(before) * 1000 / ms;
        self.figures.ops_per_sec = per_second(self.sample.commands, before.commands);
        self.figures.input_per_sec = per_second(self.sample.input, before.input);
        self.figures.output_per_sec = per_second(self.sample.output, before.output);
    }

    /// CONFIG RESETSTAT: what is counted starts again; what is measured (memory, connections) stays.
    pub(in super::super) fn reset_figures(&mut self) {
        let Figures { clients, client_bytes, blocked_clients, pubsub_clients, watching_clients, watched_keys, .. } =
            self.figures;
        let kept = Figures::default();
        self.figures =
            Figures { clients, client_bytes, blocked_clients, pubsub_clients, watching_clients, watched_keys, ..kept };
        self.sample = Sample { at: self.now, ..Sample::default() };
        self.net.costs(self.id).reset();
        if let Some(shard) = &mut self.shard {
            shard.stats = Default::default();
        }
        if self.id == 0 {
            self.net.costs(self.net.workers()).reset();
            self.net.reset_rejected();
        }
    }

    /// Slow calls go to the workers of their clients, who know who these are.
    pub(super) fn tell_slow(&mut self) {
        while let Some(call) = self.meter.next_slow() {
            if call.from == self.id {
                self.log_slow(call);
            } else {
                self.net.send(call.from, Mail::Slow(Box::new(call)));
            }
        }
    }

    pub(super) fn log_slow(&mut self, call: SlowCall) {
        let c = self.connections.iter().flatten().find(|c| c.session.id == call.client);
        let client = c
            .map_or_else(Client::default, |c| Client { address: c.session.peer.clone(), name: c.session.name.clone() });
        let most = self.config.slowlog_max_len as usize;
        self.net.slow_log().add(call, client, self.now, most);
    }

    pub(in super::super) fn publish_figures(&mut self) {
        self.figures.clients = self.open as u64;
        self.figures.timed_clients = self.deadlines.len() as u64;
        let stats = self.net.stats(self.id);
        if let Some(shard) = &self.shard {
            stats.publish_whole_shard(shard);
        }
        stats.publish(&self.figures);
    }
}
