//! The line editor of the prompt: history, completion and hints.

use std::borrow::Cow;
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::config::{CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use crate::help;

const HISTORY_LINES_MAX: usize = 10_000;

/// A terminal with a memory.
pub struct Editor {
    editor: rustyline::Editor<Commands, FileHistory>,
    history: Option<PathBuf>,
}

/// What a person entered.
pub enum Entered {
    Line(String),
    /// Ctrl-C: the line is dropped.
    Nothing,
    /// Ctrl-D.
    End,
}

impl Editor {
    pub fn new() -> rustyline::Result<Editor> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor = rustyline::Editor::with_config(config)?;
        editor.set_helper(Some(Commands));
        let history = history_path();
        if let Some(path) = &history {
            let _ = editor.load_history(path); // there is none the first time
        }
        Ok(Editor { editor, history })
    }

    pub fn read(&mut self, prompt: &str) -> rustyline::Result<Entered> {
        match self.editor.readline(prompt) {
            Ok(line) => Ok(Entered::Line(line)),
            Err(ReadlineError::Interrupted) => Ok(Entered::Nothing),
            Err(ReadlineError::Eof) => Ok(Entered::End),
            Err(error) => Err(error),
        }
    }

    /// Keeps a line, at once: a terminal may vanish.
    pub fn remember(&mut self, line: &str) {
        let kept = self.editor.add_history_entry(line);
        if let (Ok(true), Some(path)) = (kept, &self.history)
            && let Err(error) = self.editor.append_history(path)
        {
            eprintln!("kv-cli: {}: {error}; the history is not kept", path.display());
            self.history = None;
        }
    }
}

fn history_path() -> Option<PathBuf> {
    match std::env::var_os("KVCLI_HISTFILE") {
        Some(path) if path == "/dev/null" || path.is_empty() => None,
        Some(path) => Some(path.into()),
        None => std::env::home_dir().map(|home| home.join(".kvcli_history")),
    }
}

struct Commands;

impl Completer for Commands {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(help::completions(&line[..at]))
    }
}

impl Hinter for Commands {
    type Hint = String;

    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<String> {
        if at == line.len() { help::hint(line) } else { None }
    }
}

impl Highlighter for Commands {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[90m{hint}\x1b[0m"))
    }
}

impl Validator for Commands {}
impl Helper for Commands {}
