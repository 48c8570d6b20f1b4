//! Answers of several shards that become one.

use kv_core::command::Join;
use kv_core::resp::{Proto, Reply, encoded};
use std::collections::HashSet;

/// A command whose parts are at several shards.
pub struct Joining {
    pub conn: u32,
    /// The answer's place in line; none when it is an element of the reply of an EXEC.
    pub ticket: Option<u32>,
    proto: Proto,
    join: Join,
    waiting: usize,
    /// For each key in its order, the part that answers for it.
    order: Vec<u16>,
    /// The parts' answers: ranges in `bytes`, or, when big, buffers of their own.
    answers: Vec<Answer>,
    bytes: Vec<u8>,
    elements: u64,
}

#[derive(Clone)]
enum Answer {
    None,
    Range { start: usize, end: usize },
    Pieces(Vec<Vec<u8>>),
}

const MOVE_BYTES: usize = 32 * 1024;

impl Default for Joining {
    fn default() -> Self {
        Joining {
            conn: 0,
            ticket: None,
            proto: Proto::Resp2,
            join: Join::First,
            waiting: 0,
            order: Vec::new(),
            answers: Vec::new(),
            bytes: Vec::new(),
            elements: 0,
        }
    }
}

impl Joining {
    /// Begins anew in the same buffers.
    pub fn begin(&mut self, conn: u32, ticket: Option<u32>, proto: Proto, join: Join, parts: usize) {
        (self.conn, self.ticket, self.proto, self.join, self.waiting) = (conn, ticket, proto, join, parts);
        self.answers.resize(parts, Answer::None);
        self.elements = 0;
    }

    /// Empties the buffers, and lets big ones go, until the next beginning.
    pub fn end(&mut self) {
        self.order.clear();
        self.answers.clear();
        self.bytes.clear();
        if self.bytes.capacity() > 16 * MOVE_BYTES {
            self.bytes = Vec::new();
        }
        if self.order.capacity() > MOVE_BYTES {
            self.order = Vec::new();
        }
    }

    /// The next key is answered by this part.
    pub fn key_goes_to(&mut self, part: u16) {
        self.order.push(part);
    }

    /// Takes a part's answer; true when it was the last one.
    pub fn answer(&mut self, part: u16, reply: &[u8], elements: u64) -> bool {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(reply);
        self.put(part, Answer::Range { start, end: self.bytes.len() }, elements)
    }

    /// As `answer`, for one in pieces, which are moved when they are large.
    pub fn answer_pieces(&mut self, part: u16, mut pieces: Vec<Vec<u8>>, elements: u64) -> bool {
        match &mut pieces[..] {
            [only] if only.len() < MOVE_BYTES => self.answer(part, only, elements),
            _ => self.put(part, Answer::Pieces(pieces), elements),
        }
    }

    fn put(&mut self, part: u16, answer: Answer, elements: u64) -> bool {
        self.answers[usize::from(part)] = answer;
        self.elements += elements;
        self.waiting -= 1;
        self.waiting == 0
    }

    fn text(&self, part: usize) -> &[u8] {
        match &self.answers[part] {
            Answer::None => b"",
            Answer::Range { start, end } => &self.bytes[*start..*end],
            // What is looked into is small and in one piece, or only its beginning matters.
            Answer::Pieces(pieces) => pieces.first().map_or(b"", |piece| piece),
        }
    }

    /// Makes the one reply: pieces, in order, so that big ones are moved. `pick` chooses among `n`.
    pub fn finish(&mut self, pick: impl FnOnce(usize) -> usize, mut out: impl FnMut(Piece<'_>)) {
        let parts = self.answers.len();
        let failed = |p: &usize| encoded::is_error(self.text(*p));
        if let Some(first) = (0..parts).find(failed)
            && (self.join != Join::Found || (0..parts).all(|p| failed(&p)))
        {
            return out(Piece::Bytes(self.text(first)));
        }
        let mut head = Vec::new();
        match self.join {
            Join::First => out(Piece::Bytes(self.text(0))),
            Join::Sum => {
                let sum = (0..parts).filter_map(|p| encoded::int_of(self.text(p))).sum();
                Reply::new(&mut head, self.proto).int(sum);
                out(Piece::Bytes(&head));
            }
            Join::Concat => {
                Reply::new(&mut head, self.proto).array(self.elements as usize);
                out(Piece::Bytes(&head));
                for part in 0..parts {
                    match std::mem::replace(&mut self.answers[part], Answer::None) {
                        Answer::Pieces(pieces) => pieces.into_iter().for_each(|piece| out(Piece::Owned(piece))),
                        Answer::Range { start, end } => out(Piece::Bytes(&self.bytes[start..end])),
                        Answer::None => {}
                    }
                }
            }
            Join::InOrder => {
                Reply::new(&mut head, self.proto).array(self.order.len());
                out(Piece::Bytes(&head));
                // Each answer is an array; its elements are taken in order, whenever a key names the part.
                let mut rest: [&[u8]; 64] = [b""; 64];
                let mut many;
                let rest: &mut [&[u8]] = if parts <= 64 {
                    &mut rest[..parts]
                } else {
                    many = vec![&b""[..]; parts];
                    &mut many
                };
                for (part, rest) in rest.iter_mut().enumerate() {
                    *rest = encoded::after_header(self.text(part));
                }
                for &part in &self.order {
                    let rest = &mut rest[usize::from(part)];
                    let len = encoded::scalar_len(rest);
                    let (element, after) = rest.split_at(len);
                    *rest = after;
                    out(Piece::Bytes(element));
                }
            }
            Join::AnyOf => {
                let some: Vec<usize> = (0..parts).filter(|&p| !encoded::is_nil(self.text(p))).collect();
                let chosen = if some.is_empty() { 0 } else { some[pick(some.len())] };
                out(Piece::Bytes(self.text(chosen)));
            }
            Join::Union => {
                let mut seen = HashSet::new();
                let mut text = Vec::new();
                for part in 0..parts {
                    for element in elements(self.text(part)).filter(|&element| seen.insert(element)) {
                        text.extend_from_slice(element);
                    }
                }
                Reply::new(&mut head, self.proto).array(seen.len());
                head.extend_from_slice(&text);
                out(Piece::Owned(head));
            }
            Join::SumEach => {
                let mut rest: Vec<_> = (1..parts).map(|part| elements(self.text(part))).collect();
                let mut reply = Reply::new(&mut head, self.proto);
                reply.array(elements(self.text(0)).count());
                for element in elements(self.text(0)) {
                    let others = rest.iter_mut().map(|rest| rest.next().unwrap_or(b""));
                    match encoded::int_of(element) {
                        Some(int) => reply.int(int + others.filter_map(encoded::int_of).sum::<i64>()),
                        None => {
                            others.for_each(drop);
                            reply.raw(element);
                        }
                    }
                }
                out(Piece::Owned(head));
            }
            Join::Found => {
                let found = (0..parts).find(|p| !failed(p)).expect("not all have failed");
                if encoded::int_of(self.text(found)).is_none() {
                    return out(Piece::Bytes(self.text(found)));
                }
                let sum = (0..parts).filter_map(|p| encoded::int_of(self.text(p))).sum();
                Reply::new(&mut head, self.proto).int(sum);
                out(Piece::Bytes(&head));
            }
            Join::Text => {
                let mut text = Vec::new();
                for part in 0..parts {
                    text.extend_from_slice(encoded::bulk_of(self.text(part)).unwrap_or(b""));
                }
                Reply::new(&mut head, self.proto).verbatim("txt", &text);
                out(Piece::Owned(head));
            }
        }
    }
}

/// The elements of an array of scalars.
fn elements(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = encoded::after_header(array);
    std::iter::from_fn(move || {
        let (element, after) = rest.split_at(encoded::scalar_len(rest));
        rest = after;
        (!element.is_empty()).then_some(element)
    })
}

/// A piece of a joined reply.
pub enum Piece<'a> {
    Bytes(&'a [u8]),
    Owned(Vec<u8>),
}
