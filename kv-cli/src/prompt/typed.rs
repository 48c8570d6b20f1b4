//! A line that is still being typed: its words, and where each of them stands in the text.
//!
//! `kv_core::resp::line` decides what a word means; this file only looks for where words begin and whether a quote is open.

use std::ops::Range;

use kv_core::resp::line;

/// A line up to the cursor.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// The words in front of the last one, without their quotes.
    pub words: Vec<Vec<u8>>,
    /// The word that the cursor is in or behind; empty behind a blank.
    pub last: Vec<u8>,
    /// Where it begins in the line.
    pub start: usize,
    /// The quote that it is in.
    pub quote: Option<char>,
}

impl Typed {
    /// None: quotes stand where they cannot.
    pub fn read(line: &str) -> Option<Typed> {
        let (mut places, quote) = places(line);
        let last = match places.last() {
            Some(place) if place.end == line.len() => places.pop()?,
            _ => line.len()..line.len(),
        };
        let words = line::split(&line.as_bytes()[..last.start]).ok()?;
        let mut text = line[last.clone()].to_owned();
        text.extend(quote);
        let last_word = line::split(text.as_bytes()).ok()?.pop().unwrap_or_default();
        Some(Typed { words, last: last_word, start: last.start, quote })
    }

    /// All words, the last one if it has begun.
    pub fn all(&self) -> Vec<Vec<u8>> {
        let mut all = self.words.clone();
        if !self.last.is_empty() {
            all.push(self.last.clone());
        }
        all
    }
}

/// Whether Enter should begin another line: a quote is open, and closing it would make sense.
pub fn is_open(text: &str) -> bool {
    let (_, quote) = places(text);
    quote.is_some_and(|quote| line::split(format!("{text}{quote}").as_bytes()).is_ok())
}

/// The commands of a text that was pasted: a line end within quotes belongs to its word.
pub fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices('\n') {
        if places(&text[start..at]).1.is_none() {
            lines.push(&text[start..at]);
            start = at + 1;
        }
    }
    lines.push(&text[start..]);
    lines
}

/// Where words stand, with their quotes; and the quote that is open at the end.
pub fn places(line: &str) -> (Vec<Range<usize>>, Option<char>) {
    let mut places = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut escaped = false;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            _ if escaped => escaped = false,
            // In single quotes only a quote can be escaped.
            (Some(open), '\\') => escaped = open == '"' || chars.peek().is_some_and(|(_, next)| *next == open),
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, ' ' | '\t' | '\r' | '\n' | '\x0b' | '\x0c') => {
                places.extend(start.take().map(|start| start..at));
            }
            (None, _) => {
                start.get_or_insert(at);
                if matches!(c, '"' | '\'') {
                    quote = Some(c);
                }
            }
        }
    }
    places.extend(start.map(|start| start..line.len()));
    (places, quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (Vec<String>, String, usize) {
        let typed = Typed::read(line).unwrap();
        let text = |word: &Vec<u8>| String::from_utf8(word.clone()).unwrap();
        (typed.words.iter().map(text).collect(), text(&typed.last), typed.start)
    }

    #[test]
    fn the_last_word_is_the_one_at_the_cursor() {
        assert_eq!(read(""), (vec![], "".into(), 0));
        assert_eq!(read("ge"), (vec![], "ge".into(), 0));
        assert_eq!(read("get "), (vec!["get".into()], "".into(), 4));
        assert_eq!(read("set \"a b\" c"), (vec!["set".into(), "a b".into()], "c".into(), 10));
        assert_eq!(read("get \"a b"), (vec!["get".into()], "a b".into(), 4));
        assert_eq!(read("get 'it\\'s"), (vec!["get".into()], "it's".into(), 4));
        assert_eq!(read("get ä ü"), (vec!["get".into(), "ä".into()], "ü".into(), 7));
        assert_eq!(Typed::read("get \"a\"b "), None);
    }

    #[test]
    fn a_pasted_text_has_a_command_a_line() {
        assert_eq!(lines("set a 1\nget a"), ["set a 1", "get a"]);
        assert_eq!(lines("set a \"x\ny\"\n\nget a\n"), ["set a \"x\ny\"", "", "get a", ""]);
        assert_eq!(lines(""), [""]);
    }

    #[test]
    fn a_line_is_open_while_a_quote_is() {
        for open in ["set k \"a", "set k 'a\nb", "\"", "set k \"a\\\"", "set k 'a\\\\'"] {
            assert!(is_open(open), "{open}");
        }
        // Nothing that is added would mend the last two.
        for closed in ["", "get k", "set k \"a\"", "set k \"a\"b", "set k \"a\"b \"c"] {
            assert!(!is_open(closed), "{closed}");
        }
    }
}
