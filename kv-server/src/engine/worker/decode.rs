//! From bytes to requests: decoding, and where each belongs (which row, which shard, the key's hash).

use super::super::connection::Life;
use super::{ConnId, REQUESTS_ALL, REQUESTS_PER_TURN, Worker};
use kv_core::command::{Arity, CommandError, Found, Row, RowId, Spread, keys_of, may_be_anywhere};
use kv_core::resp::{Arg, Decoded, Reply, number};

/// One decoded request of this turn.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) conn: ConnId,
    /// Where it lies in its connection's input.
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) words_start: u32,
    pub(super) words_len: u32,
    pub(super) row: RowId,
    /// Position of the first key; 0 when there is none.
    pub(super) key_at: u16,
    pub(super) key_hash: u64,
    pub(super) plan: Plan,
}

impl Request {
    /// Its words, and the bytes they are ranges of begin at `start`.
    pub(super) fn words<'a>(&self, words: &'a [Arg]) -> (usize, &'a [Arg]) {
        (self.start as usize, &words[self.words_start as usize..][..self.words_len as usize])
    }

    /// How many bytes it came as.
    pub(super) fn bytes(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// The hash of its first key, if it has one.
    #[inline]
    pub(super) fn hashes(&self) -> &[u64] {
        if self.key_at == 0 { &[] } else { std::slice::from_ref(&self.key_hash) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// No row, or the wrong number of words: an error.
    Refuse(Refusal),
    /// By the worker of the connection, at once.
    Here,
    /// By one shard.
    Shard(u16),
    /// Each shard its part.
    Parts,
    /// By all shards, each for itself.
    All,
    /// Several shards come together.
    Together,
    /// By the workers that have subscribers of a channel.
    Channel,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownCommand,
    UnknownSubcommand,
    Arity,
}

/// The command that was named last, in the letters it was named with: most requests name the same as the one before.
#[derive(Default)]
pub(super) struct Recent {
    name: [u8; 16],
    /// 0 when there is none.
    len: usize,
    row: RowId,
}

impl Recent {
    #[inline]
    fn find(&self, name: &[u8]) -> Option<RowId> {
        (name.len() == self.len && self.name[..self.len] == *name && self.len > 0).then_some(self.row)
    }

    #[inline]
    fn note(&mut self, name: &[u8], id: RowId, row: &Row) {
        // A name that another word belongs to says too little.
        if row.parent.is_none() && row.subs.is_empty() && name.len() <= self.name.len() {
            self.name[..name.len()].copy_from_slice(name);
            (self.len, self.row) = (name.len(), id);
        }
    }
}

impl Worker {
    /// Turns the bytes of ready connections into requests; when there are very many, the rest waits for the next turn.
    pub fn decode(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        let mut looked_at = 0;
        for &id in &ready {
            if self.requests.len() >= REQUESTS_ALL {
                break;
            }
            looked_at += 1;
            let c = self.connections[id as usize].as_mut().expect("listed connections stay");
            c.listed = false;
            if c.life != Life::Open {
                self.retire(id);
            } else {
                self.decode_one(id);
            }
        }
        // Those not looked at come first next time; what was listed meanwhile stays listed.
        ready.drain(..looked_at);
        ready.append(&mut self.ready);
        self.ready = ready;
    }

    fn decode_one(&mut self, id: ConnId) {
        let c = self.connections[id as usize].as_mut().expect("listed connections stay");
        c.undecoded = false;
        let mut data = std::mem::take(&mut c.input.data);
        let mut decoder = std::mem::take(&mut c.decoder);
        let (mut at, end) = (c.input.start, c.input.end);
        // Who has still to say who he is gets small limits, and his requests one by one: the next may come after AUTH.
        let guest = !c.session.authenticated;
        decoder.set_guest(guest);
        let room = if guest { 1 } else { REQUESTS_PER_TURN };
        let room = room.saturating_sub(c.tickets.len());
        let mut count = 0;
        let mut failure = None;
        let mut want = 0;
        while at < end {
            if count == room {
                self.connection(id).undecoded = true;
                break;
            }
            let words_start = self.words.len();
            match decoder.decode(&mut data[at..end], &self.limits, &mut self.words) {
                Ok(Decoded::Request { consumed }) => {
                    if self.words.len() > words_start {
                        let request = Request {
                            conn: id,
                            start: at as u32,
                            end: (at + consumed) as u32,
                            words_start: words_start as u32,
                            words_len: (self.words.len() - words_start) as u32,
                            row: 0,
                            key_at: 0,
                            key_hash: 0,
                            plan: Plan::Here,
                        };
                        let request = self.plan(request, &data[at..at + consumed]);
                        self.requests.push(request);
                        count += 1;
                    }
                    at += consumed;
                }
                Ok(Decoded::NeedMore { want: total }) => {
                    want = total;
                    self.words.truncate(words_start);
                    at += decoder.take_skipped();
                    break;
                }
                Err(error) => {
                    self.words.truncate(words_start);
                    failure = Some(error);
                    break;
                }
            }
        }
        let limit = self.config.client_query_buffer_limit as usize;
        let c = self.connections[id as usize].as_mut().expect("listed connections stay");
        c.input.data = data;
        c.decoder = decoder;
        c.decoded_to = at;
        c.want = want;
        if count == 0 {
            c.input.start = at;
        }
        if let Some(error) = failure {
            c.protocol_error = Some((at, error));
            if count == 0 {
                self.fail(id);
            }
        } else if c.input.len() > limit {
            self.figures.query_limit_disconnections += 1;
            self.kill(id);
        } else if count == 0 {
            c.input.release(&mut self.input_pool);
            if c.end_of_input && !c.undecoded {
                self.close_after_replies(id);
            }
        }
    }

    /// Answers a protocol error that stands first in the input, and closes.
    pub(super) fn fail(&mut self, id: ConnId) {
        let Some((_, error)) = self.connection(id).protocol_error.take() else { return };
        let text = error.to_string();
        self.figures.count_error(text.as_bytes());
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let c = self.connection(id);
        Reply::new(&mut scratch, c.session.proto).error(&text);
        c.answer(&scratch);
        c.input.start = c.input.end;
        self.scratch = scratch;
        self.mark_dirty(id);
        self.close_after_replies(id);
    }

    /// Finds the row and the place of a request.
    #[inline]
    fn plan(&mut self, mut request: Request, data: &[u8]) -> Request {
        let words = &self.words[request.words_start as usize..];
        let word = |i: usize| words[i].get(data);
        let total = words.len();
        let recent = self.recent.find(word(0));
        let found = match recent {
            Some(row) => Found::Row(row),
            None => self.table.find(word(0), words.get(1).map(|w| w.get(data))),
        };
        let row = match found {
            Found::Row(row) => row,
            Found::UnknownCommand => {
                request.plan = Plan::Refuse(Refusal::UnknownCommand);
                return request;
            }
            Found::MissingSubcommand(row) => {
                request.row = row;
                request.plan = Plan::Refuse(Refusal::Arity);
                return request;
            }
            Found::UnknownSubcommand(row) => {
                request.row = row;
                request.plan = Plan::Refuse(Refusal::UnknownSubcommand);
                return request;
            }
        };
        request.row = row;
        let row = self.table.row(row);
        if recent.is_none() {
            self.recent.note(word(0), request.row, row);
        }
        let fits = match row.spec.arity {
            Arity::Exactly(n) => total == usize::from(n),
            Arity::AtLeast(n) => total >= usize::from(n),
        };
        if !fits {
            request.plan = Plan::Refuse(Refusal::Arity);
            return request;
        }
        let shards = self.outgoing.len();
        match row.spec.spread {
            Spread::Session | Spread::Transaction => request.plan = Plan::Here,
            Spread::All { .. } => request.plan = Plan::All,
            Spread::Channel { .. } => request.plan = Plan::Channel,
            Spread::Cursor { at } => {
                let cursor = number::parse_i64(word(usize::from(at))).unwrap_or(0).max(0) as usize;
                request.plan = Plan::Shard((cursor % shards) as u16);
            }
            Spread::Keys | Spread::Parts { .. } => {
                let hasher = &*self.hasher;
                let mut first: Option<(usize, u64, usize)> = None;
                let mut several = false;
                let mut look = |at: usize| {
                    if first.is_some() && shards == 1 {
                        return;
                    }
                    let key = hasher.key(word(at));
                    let shard = if shards == 1 { 0 } else { hasher.place_key(key, shards) };
                    match first {
                        None => first = Some((at, key.hash, shard)),
                        Some((_, _, other)) => several |= other != shard,
                    }
                };
                match row.single_key {
                    Some(at) if usize::from(at) < total => look(usize::from(at)),
                    _ => keys_of(row.spec, total, word, look),
                }
                several |= row.any_shard && shards > 1 && may_be_anywhere(row.spec, total, word);
                request.plan = match first {
                    None => Plan::Shard(self.id as u16),
                    Some((at, hash, shard)) => {
                        request.key_at = at.min(usize::from(u16::MAX)) as u16;
                        request.key_hash = hash;
                        if !several {
                            Plan::Shard(shard as u16)
                        } else if matches!(row.spec.spread, Spread::Parts { .. }) {
                            Plan::Parts
                        } else {
                            Plan::Together
                        }
                    }
                };
            }
        }
        request
    }
}

/// The words of Redis for a request that names no command, or has the wrong number of words.
pub(super) fn refusal_text(refusal: Refusal, row: &Row, data: &[u8], words: &[Arg]) -> String {
    /// At most so many bytes of the client's words are repeated to it.
    const ECHO_BYTES: usize = 128;
    let text = |w: &Arg, most: usize| {
        let bytes = w.get(data);
        String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned()
    };
    match refusal {
        Refusal::Arity => CommandError::WrongArity(row.full_name.clone()).to_string(),
        Refusal::UnknownSubcommand => {
            format!("ERR unknown subcommand '{}'. Try {} HELP.", text(&words[1], ECHO_BYTES), row.spec.name)
        }
        Refusal::UnknownCommand => {
            let mut args = String::new();
            for word in &words[1..] {
                if args.len() >= ECHO_BYTES {
                    break;
                }
                args.push_str(&format!("'{}' ", text(word, ECHO_BYTES - args.len())));
            }
            format!("ERR unknown command '{}', with args beginning with: {args}", text(&words[0], ECHO_BYTES))
        }
    }
}
