//! MONITOR: the line of a command, and how the lines of all workers come into the order in which their commands take effect.
//!
//! *Who sends it shows it.* A line is published in the turn of its command, under the lock, to the workers that have monitors
//! ([`Batch::lines`](super::mail::Batch)). So among the lines of others it stands where the command stands among theirs, on whichever
//! shard, and behind all lines of its connection before it. For that, nothing is run in place while another worker has monitors: the
//! own shard's commands go through the own mailbox. If only the own worker has some, what runs in place is shown on the spot.
//!
//! *Who runs it shows it*, if it is known only then what is run: the commands of scripts, and of transactions that watch. These go to
//! the turn's rendezvous, in which the shards of the workers with monitors take part: their mailboxes stand still meanwhile, and go
//! on when the shard is back, behind the lines. The lines of whatever else takes part in that rendezvous, or follows it on its
//! connection in the same turn, come with them ([`Lines`]).
//!
//! Who monitors is told like subscriptions (`Kind::Monitor`), so that MONITOR is answered when all workers show what they send.
//! A line carries the epoch of what its command may have written, like a message.
//!
//! What is shown is Redis's: no command that is refused before it begins, none whose row says `admin` or `skip_monitor` (scripts
//! show themselves, in front of their commands), and those of a transaction, but for MULTI, in front of its EXEC.

use kv_core::command::{Flags, Handler, Row};
use kv_core::resp::{Proto, Reply, line};
use std::fmt::Write;

/// Whether a command is shown once it has run.
pub fn is_shown(row: &Row) -> bool {
    let flags = row.spec.flags;
    matches!(row.spec.handler, Handler::Script(_)) || !flags.has(Flags::ADMIN) && !flags.has(Flags::SKIP_MONITOR)
}

/// Writes a line. `who`: the address of a client, or `lua`.
pub fn write_line<'a>(out: &mut Vec<u8>, now_us: u64, db: usize, who: &str, words: impl Iterator<Item = &'a [u8]>) {
    let mut text = String::new();
    // A String takes everything.
    let _ = write!(text, "{}.{:06} [{db} {who}]", now_us / 1_000_000, now_us % 1_000_000);
    for word in words {
        text.push(' ');
        line::quote_into(&mut text, word);
    }
    Reply::new(out, Proto::Resp2).simple(&text);
}

/// Lines of a batch; of the work of a rendezvous: between its items.
#[derive(Default)]
pub struct Lines {
    text: Vec<u8>,
    marks: Vec<Mark>,
    /// The workers that show them.
    to: Vec<u16>,
}

/// Where a piece of the text stands, and where it ends.
struct Mark {
    place: Place,
    end: usize,
}

/// Among the items of a rendezvous, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    item: usize,
    is_behind: bool,
}

impl Place {
    /// In front of what the item of that number shows itself.
    pub fn before(item: usize) -> Place {
        Place { item, is_behind: false }
    }

    pub fn behind(item: usize) -> Place {
        Place { item, is_behind: true }
    }
}

/// How far lines have been read.
#[derive(Default)]
pub struct Cursor {
    mark: usize,
    text: usize,
}

impl Lines {
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The workers that show them.
    pub fn to(&self) -> &[u16] {
        &self.to
    }

    pub fn push(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    /// Adds lines between the items of a rendezvous, behind those that were added before.
    pub fn put(&mut self, place: Place, text: &[u8]) {
        debug_assert!(self.marks.last().is_none_or(|last| last.place <= place), "places ascend");
        self.push(text);
        self.marks.push(Mark { place, end: self.text.len() });
    }

    pub fn show_at(&mut self, workers: &[u16]) {
        self.to.extend(workers);
        self.to.sort_unstable();
        self.to.dedup();
    }

    /// The next lines, up to a place.
    pub fn up_to(&self, cursor: &mut Cursor, place: Place) -> &[u8] {
        let begin = cursor.text;
        while let Some(mark) = self.marks.get(cursor.mark).filter(|mark| mark.place <= place) {
            cursor.mark += 1;
            cursor.text = mark.end;
        }
        &self.text[begin..cursor.text]
    }

    pub fn clear(&mut self) {
        self.text.clear();
        self.marks.clear();
        self.to.clear();
        self.text.shrink_to(KEEP_BYTES);
    }
}

const KEEP_BYTES: usize = 256 * 1024;

/// Lines on their way to a worker with monitors, whose shard comes behind them.
pub struct Shown {
    pub text: Vec<u8>,
    /// As `Batch::shows`.
    pub shows: u64,
}

/// The lines of a transaction: one for each command, behind them EXEC's, and EXEC's in case nothing is run.
#[derive(Default)]
pub struct UnitLines {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl UnitLines {
    /// Adds the next line; `write` writes it.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
        self.ends.push(self.text.len());
    }

    pub fn of_command(&self, i: usize) -> &[u8] {
        let begin = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[begin..self.ends[i]]
    }

    /// `ran`: its commands did.
    pub fn of_exec(&self, ran: bool) -> &[u8] {
        self.of_command(self.ends.len() - if ran { 2 } else { 1 })
    }

    /// All that is shown if the commands run.
    pub fn into_text(mut self) -> Vec<u8> {
        self.text.truncate(self.ends[self.ends.len() - 2]);
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_quoted_like_those_of_redis() {
        let mut out = Vec::new();
        let words = [&b"SET"[..], b"", b"a\"b\\c\n\r\t\x07\x08\x00\xff \xc3\xa9~\x7f"];
        write_line(&mut out, 1_339_518_083_007_412, 3, "127.0.0.1:60866", words.into_iter());
        let expected = r#"+1339518083.007412 [3 127.0.0.1:60866] "SET" "" "a\"b\\c\n\r\t\a\b\x00\xff \xc3\xa9~\x7f""#;
        assert_eq!(String::from_utf8(out).unwrap().trim_end(), expected);
    }

    #[test]
    fn lines_of_a_rendezvous_are_read_between_its_items() {
        let mut lines = Lines::default();
        lines.put(Place::behind(0), b"a");
        lines.put(Place::behind(0), b"b");
        lines.put(Place::before(1), b"c");
        lines.put(Place::behind(2), b"d");
        lines.show_at(&[2, 1]);
        lines.show_at(&[1]);
        let mut cursor = Cursor::default();
        let mut next = |place| String::from_utf8(lines.up_to(&mut cursor, place).to_vec()).unwrap();
        assert_eq!(next(Place::before(0)), "");
        assert_eq!(next(Place::behind(0)), "ab");
        assert_eq!(next(Place::before(1)), "c");
        assert_eq!(next(Place::behind(1)), "");
        assert_eq!(next(Place::behind(3)), "d");
        assert_eq!(lines.to(), [1, 2]);
    }

    #[test]
    fn a_transaction_shows_its_commands_and_exec_or_exec_alone() {
        let mut lines = UnitLines::default();
        ["a", "b", "exec", "EXEC"].iter().for_each(|text| lines.add(|out| out.extend_from_slice(text.as_bytes())));
        assert_eq!((lines.of_command(0), lines.of_command(1)), (&b"a"[..], &b"b"[..]));
        assert_eq!((lines.of_exec(true), lines.of_exec(false)), (&b"exec"[..], &b"EXEC"[..]));
        assert_eq!(lines.into_text(), b"abexec");
    }
}
