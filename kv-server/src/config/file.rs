//! Lines of a configuration file, as in redis.conf.
//!
//! ```text
//! # a comment, on a line of its own
//! port 7000
//! requirepass "two words"
//! include other.conf
//! ```
//!
//! Quoting is that of a request's line ([`kv_core::resp::line`]). A later line beats an earlier one. What the command
//! line gives passes through the same [`Reader::directive`], so `include` works there too.

use std::io;

use kv_core::resp::line;

use super::{Config, StartError, find_row, redis_names};

/// Gives the text of a file by its path, as the user wrote it; `-` is standard input.
pub type ReadFile<'a> = dyn FnMut(&str) -> io::Result<String> + 'a;

/// How deep files may include each other: more is a circle.
const DEPTH_MAX: usize = 16;

/// Reads settings into a [`Config`].
pub(super) struct Reader<'a, 'f> {
    pub config: &'a mut Config,
    pub read_file: &'a mut ReadFile<'f>,
    depth: usize,
    /// The options that were set so far.
    seen: Vec<&'static str>,
}

impl<'a, 'f> Reader<'a, 'f> {
    pub fn new(config: &'a mut Config, read_file: &'a mut ReadFile<'f>) -> Self {
        Reader { config, read_file, depth: 0, seen: Vec::new() }
    }

    /// Reads a whole file; errors name it and the line.
    pub fn file(&mut self, path: &str) -> Result<(), StartError> {
        let text = (self.read_file)(path).map_err(|error| {
            let name =
                if path == "-" { "standard input".into() } else { format!("'{}'", super::error::printable(path)) };
            StartError::other(format!("cannot read configuration from {name}: {error}"))
        })?;
        self.text(path, &text)
    }

    /// Reads lines; `file` is for errors.
    pub fn text(&mut self, file: &str, text: &str) -> Result<(), StartError> {
        for (index, line) in text.lines().enumerate() {
            self.line(line).map_err(|error| error.in_file(file, index + 1))?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> Result<(), StartError> {
        match split(line)? {
            Some((name, args)) => self.directive(&name, &args.iter().map(String::as_str).collect::<Vec<_>>()),
            None => Ok(()),
        }
    }

    /// Sets one option, or includes a file.
    pub fn directive(&mut self, name: &str, args: &[&str]) -> Result<(), StartError> {
        if name.eq_ignore_ascii_case("include") {
            return self.include(args);
        }
        let row = find_row(name).ok_or_else(|| unknown(name))?;
        let set = if self.seen.contains(&row.name) {
            row.set_again(self.config, args)
        } else {
            self.seen.push(row.name);
            row.set(self.config, args)
        };
        set.map_err(|why| StartError::option(row.name, why))
    }

    fn include(&mut self, args: &[&str]) -> Result<(), StartError> {
        let &[path] = args else {
            return Err(StartError::option("include", "wrong number of arguments"));
        };
        if self.depth == DEPTH_MAX {
            return Err(StartError::option("include", "files include each other without end"));
        }
        self.depth += 1;
        self.file(path)?;
        self.depth -= 1;
        Ok(())
    }
}

/// Name and arguments of a line; None for a comment or a blank line.
pub(super) fn split(line: &str) -> Result<Option<(String, Vec<String>)>, StartError> {
    let line = line.trim();
    if line.starts_with('#') {
        return Ok(None);
    }
    // The first word, for errors, even if the rest cannot be taken apart.
    let name = || line.split_whitespace().next().unwrap_or_default();
    let words = line::split(line.as_bytes()).map_err(|error| StartError::option(name(), error.to_string()))?;
    let mut words = words
        .into_iter()
        .map(|word| String::from_utf8(word).map_err(|_| StartError::option(name(), "argument must be UTF-8")));
    match words.next() {
        Some(first) => Ok(Some((first?, words.collect::<Result<_, _>>()?))),
        None => Ok(None),
    }
}

fn unknown(name: &str) -> StartError {
    match redis_names::find(name) {
        Some(known) => StartError::option(known, redis_names::why_refused(known)),
        None => StartError::option(name, "unknown option"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn load(files: &[(&str, &str)]) -> Result<Config, String> {
        let files: HashMap<_, _> = files.iter().copied().collect();
        let mut read = |path: &str| {
            files.get(path).map(|text| (*text).to_owned()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let mut config = Config::default();
        Reader::new(&mut config, &mut read).file("main.conf").map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn comments_blank_lines_and_letters_of_either_case_are_taken() {
        let config =
            load(&[("main.conf", "# comment\n\n   \t\n  PORT 7000\r\n\t# indented\n\ttimeout\t\"5\"  \nport 7001")]);
        let config = config.unwrap();
        assert_eq!(config.port, 7001, "the last line holds");
        assert_eq!(config.timeout, 5);
    }

    #[test]
    fn quotes_hold_a_value_together() {
        let config = load(&[("main.conf", "requirepass \"a \\\"b\\\" \\x41\"\ndir '/my data'")]).unwrap();
        assert!(config.requirepass.matches(b"a \"b\" A"));
        assert_eq!(config.dir.to_str(), Some("/my data"));
    }

    #[test]
    fn lines_of_save_add_up_and_take_the_place_of_the_default() {
        for (text, points) in [
            ("port 1", "3600 1 300 100 60 10000"),
            ("save 60 1", "60 1"),
            ("save 60 1\nsave 30 2 10 3", "60 1 30 2 10 3"),
            ("save \"60 1 30 2\"", "60 1 30 2"),
            ("save 60 1\nsave \"\"", ""),
            ("save 60 1\nsave \"\"\nsave 30 2", "30 2"),
            ("save 60 1\ninclude sub.conf", "60 1 5 6"),
        ] {
            let config = load(&[("main.conf", text), ("sub.conf", "save 5 6")]).unwrap();
            assert_eq!(config.get(b"save"), [("save", points.to_owned())], "{text}");
        }
    }

    #[test]
    fn an_included_file_counts_where_it_is_included() {
        let files = [
            ("main.conf", "port 1\ntimeout 1\ninclude \"sub.conf\"\ntimeout 3"),
            ("sub.conf", "port 2\ntimeout 2\nmaxclients 9"),
        ];
        let config = load(&files).unwrap();
        assert_eq!((config.port, config.timeout, config.maxclients), (2, 3, 9));
    }

    #[test]
    fn one_file_may_be_included_more_than_once_but_not_by_itself() {
        let twice = "include a.conf\n".repeat(40);
        assert!(load(&[("main.conf", &twice), ("a.conf", "port 5")]).is_ok());
        let error = load(&[("main.conf", "\ninclude main.conf")]).unwrap_err();
        assert_eq!(error, "main.conf, line 2: option 'include': files include each other without end");
    }

    #[test]
    fn errors_name_file_line_and_option_and_never_the_value() {
        for (line, error) in [
            ("port abc", "option 'port': argument couldn't be parsed into an integer"),
            ("PORT", "option 'port': wrong number of arguments"),
            ("port 1 2", "option 'port': wrong number of arguments"),
            ("timeout 5 # x", "option 'timeout': wrong number of arguments"),
            ("databases 0", "option 'databases': argument must be between 1 and 65536 inclusive"),
            ("maxclients \"10\"x", "option 'maxclients': unbalanced quotes"),
            ("requirepass hunter2 hunter3", "option 'requirepass': wrong number of arguments"),
            ("requirepass \"hunter2", "option 'requirepass': unbalanced quotes"),
            ("requirepass \"\\xff\"", "option 'requirepass': argument must be UTF-8"),
            ("cluster-enabled yes", "option 'cluster-enabled': known to Redis but not supported by kv yet"),
            ("rename-command a b", "option 'rename-command': known to Redis but not supported by kv yet"),
            ("nosuch 1", "option 'nosuch': unknown option"),
            ("include", "option 'include': wrong number of arguments"),
            ("save 3600", "option 'save': Invalid save parameters"),
            ("save", "option 'save': wrong number of arguments"),
            ("rdbchecksum no", "option 'rdbchecksum': snapshots always have checksums: only yes is accepted"),
            (
                "dbfilename dump.rdb",
                "option 'dbfilename': kv has several files, which it names itself, in the folder `dir`",
            ),
        ] {
            let text = format!("# first\n{line}\n");
            assert_eq!(load(&[("main.conf", &text)]), Err(format!("main.conf, line 2: {error}")), "{line}");
        }
    }

    #[test]
    fn an_error_in_an_included_file_names_that_file() {
        let error = load(&[("main.conf", "include sub.conf"), ("sub.conf", "\n\nport x")]).unwrap_err();
        assert!(error.starts_with("sub.conf, line 3: option 'port'"), "{error}");
        let error = load(&[("main.conf", "include none.conf")]).unwrap_err();
        assert!(error.starts_with("main.conf, line 1: cannot read configuration from 'none.conf': "), "{error}");
    }
}
