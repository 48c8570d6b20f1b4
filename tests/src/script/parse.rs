//! Text to steps.

use std::iter::Peekable;
use std::path::Path;
use std::str::CharIndices;

use kv_core::resp::{Proto, line};

use super::Pattern;

/// One file.
#[derive(Debug)]
pub struct Script {
    pub name: String,
    pub sections: Vec<Section>,
}

#[derive(Debug, Default)]
pub struct Section {
    pub title: String,
    pub line: usize,
    /// None: in both.
    pub proto: Option<Proto>,
    /// Some: with a server of its own.
    pub options: Option<Vec<String>>,
    pub unlike_redis: Option<String>,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    pub line: usize,
    pub client: String,
    pub action: Action,
    /// The text, for messages.
    pub text: String,
    pub expected: Vec<(String, Expected)>,
}

#[derive(Debug)]
pub enum Action {
    Request(Vec<Vec<u8>>),
    Until(Vec<Vec<u8>>),
    Raw(Vec<u8>),
    Listen,
}

impl Step {
    /// The words of the request, if it is one.
    pub fn words(&self) -> Option<&[Vec<u8>]> {
        match &self.action {
            Action::Request(words) | Action::Until(words) => Some(words),
            Action::Raw(_) | Action::Listen => None,
        }
    }
}

#[derive(Debug)]
pub enum Expected {
    Reply(Pattern),
    Silent,
    Later,
    Closed,
}

impl Script {
    /// Panics: when the file cannot be read or is no script, naming the line.
    pub fn read(path: &Path) -> Script {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Script::parse(&name, &text).unwrap_or_else(|error| panic!("{name}:{error}"))
    }

    /// Errors: the line's number and what is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Script, String> {
        let mut script = Script { name: name.to_owned(), sections: Vec::new() };
        for (number, line) in joined(text) {
            let section = script.sections.last_mut();
            add(&line, number, section)
                .map(|new| script.sections.extend(new))
                .map_err(|error| format!("{number}: {error}: {line}"))?;
        }
        for section in &script.sections {
            match section.steps.iter().find(|step| step.expected.is_empty()) {
                Some(step) => return Err(format!("{}: no reply is expected: {}", step.line, step.text)),
                None if section.steps.is_empty() => return Err(format!("{}: an empty section", section.line)),
                None => {}
            }
        }
        Ok(script)
    }
}

/// The lines that say something, with their numbers; a line that begins with a space belongs to the one before.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match lines.last_mut() {
            _ if line.trim().is_empty() || line.starts_with('#') => {}
            Some((_, before)) if line.starts_with(' ') => {
                before.push(' ');
                before.push_str(line.trim());
            }
            _ => lines.push((index + 1, line.trim_end().to_owned())),
        }
    }
    lines
}

/// Adds a line to the section; returns a new section if one begins here.
fn add(line: &str, number: usize, section: Option<&mut Section>) -> Result<Option<Section>, String> {
    if let Some(title) = line.strip_prefix("== ") {
        return Ok(Some(Section { title: title.trim().to_owned(), line: number, ..Section::default() }));
    }
    let section = section.ok_or("this stands before the first section")?;
    if let Some(directive) = line.strip_prefix('@') {
        if !section.steps.is_empty() {
            return Err("directives come first in a section".into());
        }
        let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        match word {
            "resp" => {
                section.proto = Some(match rest {
                    "2" => Proto::Resp2,
                    "3" => Proto::Resp3,
                    _ => return Err("@resp 2 or @resp 3".into()),
                });
            }
            "options" => {
                let words = line::split(rest.as_bytes()).map_err(|_| "unbalanced quotes")?;
                section.options = Some(
                    words
                        .into_iter()
                        .map(String::from_utf8)
                        .collect::<Result<_, _>>()
                        .map_err(|_| "options are text")?,
                );
            }
            "unlike-redis" if rest.is_empty() => return Err("the reason is missing".into()),
            "unlike-redis" => section.unlike_redis = Some(rest.to_owned()),
            _ => return Err("no such directive".into()),
        }
        return Ok(None);
    }
    let head = line.find(['>', '<']).filter(|&at| line[..at].bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let Some(at) = head else {
        let expected = match line {
            "silent" => Expected::Silent,
            "later" => Expected::Later,
            "closed" => Expected::Closed,
            _ => Expected::Reply(parse_pattern(line)?),
        };
        let step = section.steps.last_mut().ok_or("a reply without a request")?;
        step.expected.push((line.to_owned(), expected));
        return Ok(None);
    };
    let (name, words) = (&line[..at], line[at + 1..].trim());
    let words = line::split(words.as_bytes()).map_err(|_| "unbalanced quotes")?;
    let (client, action) = match (name, line.as_bytes()[at]) {
        (name, b'<') if words.is_empty() => (name, Action::Listen),
        (_, b'<') => return Err("`a<` stands alone".into()),
        ("raw", _) => ("", Action::Raw(words.concat())),
        _ if words.is_empty() => return Err("an empty request".into()),
        ("until", _) => ("", Action::Until(words)),
        (name, _) => (name, Action::Request(words)),
    };
    section.steps.push(Step {
        line: number,
        client: client.to_owned(),
        action,
        text: line.to_owned(),
        expected: Vec::new(),
    });
    Ok(None)
}

/// Errors: what is wrong with the text.
fn parse_pattern(text: &str) -> Result<Pattern, String> {
    if let Some(error) = text.strip_prefix('-') {
        return Ok(Pattern::Error(unescaped(error)?));
    }
    let mut reader = Reader { text, chars: text.char_indices().peekable() };
    let pattern = reader.pattern()?;
    reader.blanks();
    match reader.chars.peek() {
        None => Ok(pattern),
        Some((at, _)) => Err(format!("left over: {}", &text[*at..])),
    }
}

/// An error's text: as it is, or quoted if it holds other than printable bytes.
fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    if !text.starts_with('"') {
        return Ok(text.as_bytes().to_vec());
    }
    let words = line::split(text.as_bytes()).map_err(|_| "unbalanced quotes")?;
    Ok(words.concat())
}

struct Reader<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    /// Passes over blanks, and commas with a blank behind them: `,1` is a double.
    fn blanks(&mut self) {
        let text = self.text;
        let ends = |at: usize| text[at + 1..].chars().next().is_none_or(char::is_whitespace);
        while self.chars.next_if(|&(at, c)| c.is_whitespace() || (c == ',' && ends(at))).is_some() {}
    }

    fn take(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }

    /// Up to a blank or a bracket.
    fn word(&mut self) -> &str {
        let start = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        while self.chars.next_if(|(_, c)| !c.is_whitespace() && !"[]{}\",".contains(*c)).is_some() {}
        let end = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        &self.text[start..end]
    }

    /// A text in double quotes.
    fn quoted(&mut self) -> Result<Vec<u8>, String> {
        let start = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        if !self.take('"') {
            return Err("a text in quotes is missing".into());
        }
        let mut escaped = false;
        for (at, c) in self.chars.by_ref() {
            match c {
                '"' if !escaped => {
                    let words = line::split(&self.text.as_bytes()[start..=at]).map_err(|_| "unbalanced quotes")?;
                    return Ok(words.concat());
                }
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        Err("unbalanced quotes".into())
    }

    fn items(&mut self, end: char) -> Result<(Vec<Pattern>, bool), String> {
        let (mut items, mut more) = (Vec::new(), false);
        loop {
            self.blanks();
            if self.take(end) {
                return Ok((items, more));
            }
            if self.take('.') {
                more = self.take('.') && self.take('.');
                if !more {
                    return Err("`...` for further elements".into());
                }
            } else {
                items.push(self.pattern()?);
            }
        }
    }

    /// A set or a map: they differ by the colons behind the keys.
    fn braces(&mut self) -> Result<Pattern, String> {
        let (mut items, mut values, mut more) = (Vec::new(), Vec::new(), false);
        loop {
            self.blanks();
            if self.take('}') {
                break;
            }
            if self.take('.') {
                more = self.take('.') && self.take('.');
                continue;
            }
            items.push(self.pattern()?);
            if self.take(':') {
                self.blanks();
                values.push(self.pattern()?);
            }
        }
        match values.len() {
            0 if !items.is_empty() || !more => Ok(Pattern::Set { items, more }),
            n if n == items.len() => Ok(Pattern::Map { pairs: items.into_iter().zip(values).collect(), more }),
            _ => Err("a value without key, or a key without value".into()),
        }
    }

    fn pattern(&mut self) -> Result<Pattern, String> {
        self.blanks_but_no_comma();
        let Some(&(at, first)) = self.chars.peek() else { return Err("a reply is missing".into()) };
        match first {
            '"' => Ok(Pattern::Bulk(self.quoted()?)),
            '+' => {
                self.take('+');
                match self.chars.peek() {
                    Some((_, '"')) => Ok(Pattern::Simple(self.quoted()?)),
                    _ => Ok(Pattern::Simple(self.word().as_bytes().to_vec())),
                }
            }
            // Within brackets; by itself an error is the rest of its line.
            '-' => {
                self.take('-');
                Ok(Pattern::Error(self.quoted()?))
            }
            ':' => {
                self.take(':');
                let word = self.word();
                let (low, high) = word.split_once("..").unwrap_or((word, word));
                match (low.parse(), high.parse()) {
                    (Ok(low), Ok(high)) => Ok(Pattern::Int(low, high)),
                    _ => Err(format!("`{word}` is no integer and no range")),
                }
            }
            ',' => {
                self.take(',');
                Ok(Pattern::Double(self.word().as_bytes().to_vec()))
            }
            '$' => {
                self.take('$');
                Ok(Pattern::Caught(self.word().to_owned()))
            }
            '[' | '~' => {
                let ordered = !self.take('~');
                if !self.take('[') {
                    return Err("`[` is missing".into());
                }
                let (items, more) = self.items(']')?;
                Ok(Pattern::Array { items, ordered, more })
            }
            '{' => {
                self.take('{');
                if !self.take(':') {
                    return self.braces();
                }
                match self.take('}') {
                    true => Ok(Pattern::Map { pairs: Vec::new(), more: false }),
                    false => Err("`{:}` is an empty map".into()),
                }
            }
            _ => match self.word() {
                "nil" => Ok(Pattern::Nil),
                "nil-array" => Ok(Pattern::NilArray),
                "true" => Ok(Pattern::Boolean(true)),
                "false" => Ok(Pattern::Boolean(false)),
                "_" => Ok(Pattern::Anything),
                "like" => {
                    self.blanks();
                    Ok(Pattern::Like(self.quoted()?))
                }
                "push" => {
                    self.blanks();
                    self.take('[');
                    Ok(Pattern::Push(self.items(']')?.0))
                }
                word => match word.strip_suffix(':').map(str::as_bytes) {
                    Some(&[a, b, c]) => Ok(Pattern::Verbatim([a, b, c], self.quoted()?)),
                    _ => Err(format!("no reply begins like this: {}", &self.text[at..])),
                },
            },
        }
    }

    fn blanks_but_no_comma(&mut self) {
        while self.chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        Script::parse("t", text).expect_err("it is wrong")
    }

    #[test]
    fn what_is_no_script_is_refused_with_its_line() {
        assert!(error_of("> PING\n+PONG\n").starts_with("1: this stands before"));
        assert!(error_of("== a\n> PING\n").starts_with("2: no reply is expected"));
        assert!(error_of("== a\n\n== b\n> PING\n+PONG\n").starts_with("1: an empty section"));
        assert!(error_of("== a\n> PING\n+PONG\n@resp 3\n").starts_with("4: directives come first"));
        assert!(error_of("== a\n@resp 4\n").starts_with("2: @resp"));
        assert!(error_of("== a\n@unlike-redis\n").starts_with("2: the reason"));
        assert!(error_of("== a\n+PONG\n").starts_with("2: a reply without"));
        assert!(error_of("== a\n> GET \"k\n").starts_with("2: unbalanced"));
        assert!(error_of("== a\n> GET k\n[\"a\" \"b\"\n").starts_with("3: a reply is missing"));
        assert!(error_of("== a\n> GET k\n\"a\" b\n").starts_with("3: left over"));
        assert!(error_of("== a\n> GET k\nOK\n").starts_with("3: no reply begins"));
        assert!(error_of("== a\n> GET k\n:x\n").starts_with("3: `x` is no integer"));
    }

    #[test]
    fn a_script_reads_as_it_looks() {
        let script =
            Script::parse("t", "# c\n== a b\n@resp 3\na> SET k \"x y\"\n+OK\na<\n[:1 {\"k\": nil,\n  \"l\": _}]\n")
                .expect("it is right");
        let [section] = &script.sections[..] else { panic!("one section") };
        assert_eq!((section.title.as_str(), section.line, section.proto), ("a b", 2, Some(Proto::Resp3)));
        let [set, listen] = &section.steps[..] else { panic!("two steps") };
        assert_eq!(set.words(), Some(&[b"SET".to_vec(), b"k".to_vec(), b"x y".to_vec()][..]));
        assert_eq!((set.client.as_str(), set.line, listen.line), ("a", 4, 6));
        let map = Pattern::Map {
            pairs: vec![
                (Pattern::Bulk(b"k".to_vec()), Pattern::Nil),
                (Pattern::Bulk(b"l".to_vec()), Pattern::Anything),
            ],
            more: false,
        };
        let (_, Expected::Reply(pattern)) = &listen.expected[0] else { panic!("a reply") };
        assert_eq!(*pattern, Pattern::Array { items: vec![Pattern::Int(1, 1), map], ordered: true, more: false });
    }
}
