//! What is wrong with an option: at the start, as one line for the terminal; in CONFIG SET, in Redis's words.
//!
//! No error repeats a value, since it may be a password and errors end up in logs.

use std::fmt;

/// Longest name that an error repeats, in characters: enough to recognise it.
const NAME_MAX: usize = 128;

/// Why the server cannot start as told: one line that names the option and, if it came from a file, the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    place: Option<String>,
    option: Option<String>,
    why: String,
}

impl StartError {
    /// About the option of that name, as the user wrote it.
    pub fn option(name: &str, why: impl Into<String>) -> StartError {
        StartError { place: None, option: Some(printable(name)), why: why.into() }
    }

    /// About no option in particular.
    pub fn other(why: impl Into<String>) -> StartError {
        StartError { place: None, option: None, why: why.into() }
    }

    /// Adds where the option stands, unless an included file has said so already.
    pub(super) fn in_file(mut self, file: &str, line: usize) -> StartError {
        let file = if file == "-" { "standard input" } else { file };
        self.place.get_or_insert_with(|| format!("{}, line {line}", printable(file)));
        self
    }

    /// The option's name, where the error is about one.
    pub fn option_name(&self) -> Option<&str> {
        self.option.as_deref()
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(option) = &self.option {
            write!(f, "option '{option}': ")?;
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for StartError {}

/// Why CONFIG SET changed nothing. Its Display is the text of the error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// Neither kv nor Redis has such an option.
    Unknown { name: String },
    /// The option exists, but not so.
    Failed { name: &'static str, why: String },
}

impl SetError {
    pub(super) fn failed(name: &'static str, why: impl Into<String>) -> SetError {
        SetError::Failed { name, why: why.into() }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::Unknown { name } => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            SetError::Failed { name, why } => {
                write!(f, "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
            }
        }
    }
}

impl std::error::Error for SetError {}

/// What somebody typed, fit to stand in one line: control characters escaped, and not endless.
pub(super) fn printable(name: &str) -> String {
    let mut out = String::new();
    for (count, ch) in name.chars().enumerate() {
        if count == NAME_MAX {
            out.push_str("...");
            break;
        }
        if ch.is_control() { out.extend(ch.escape_default()) } else { out.push(ch) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_line_ends_or_without_end_still_makes_one_short_line() {
        assert_eq!(printable("a\r\nb\u{1b}[1m"), "a\\r\\nb\\u{1b}[1m");
        assert_eq!(printable(&"x".repeat(1000)), format!("{}...", "x".repeat(NAME_MAX)));
        assert_eq!(printable(&"é".repeat(NAME_MAX)), "é".repeat(NAME_MAX));
    }

    #[test]
    fn the_innermost_file_is_named() {
        let error = StartError::option("port", "why").in_file("inner.conf", 3).in_file("outer.conf", 9);
        assert_eq!(error.to_string(), "inner.conf, line 3: option 'port': why");
        assert_eq!(error.option_name(), Some("port"));
    }
}
