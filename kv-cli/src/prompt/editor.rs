//! The line editor of the prompt: history, completion, hints and colours, on top of rustyline.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::config::{CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::{FileHistory, MemHistory};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::aside::Aside;
use super::{complete, help, typed};
use crate::format::{Colour, PLAIN};

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
    pub fn new(aside: Rc<RefCell<Aside>>, colours: bool) -> rustyline::Result<Editor> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .completion_prompt_limit(100)
            .build();
        let mut editor = rustyline::Editor::with_config(config)?;
        editor.set_helper(Some(Commands { aside, colours, asks: Cell::new(false) }));
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

    /// Whether the answer is a yes.
    pub fn confirm(&mut self, question: &str) -> rustyline::Result<bool> {
        let asks = |editor: &rustyline::Editor<Commands, FileHistory>, on| {
            if let Some(helper) = editor.helper() {
                helper.asks.set(on);
            }
        };
        asks(&self.editor, true);
        let entered = self.read(&format!("{question} (y/N) "));
        asks(&self.editor, false);
        Ok(matches!(entered?, Entered::Line(answer) if matches!(answer.trim(), "y" | "Y" | "yes" | "YES" | "Yes")))
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

struct Commands {
    aside: Rc<RefCell<Aside>>,
    colours: bool,
    /// A question is asked, and no command is typed.
    asks: Cell<bool>,
}

impl Completer for Commands {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        if self.asks.get() {
            return Ok((at, Vec::new()));
        }
        let (start, mut found) = complete::candidates(&line[..at], &mut self.aside.borrow_mut());
        if let [only] = &mut found[..] {
            // The word is whole, and the next one may come.
            only.push(' ');
        }
        Ok((start, found))
    }
}

/// Only a finished name can be taken over: a syntax is no input.
struct Shown(help::Hint);

impl Hint for Shown {
    fn display(&self) -> &str {
        &self.0.text
    }

    fn completion(&self) -> Option<&str> {
        Some(&self.0.text[..self.0.taken]).filter(|text| !text.is_empty())
    }
}

impl Hinter for Commands {
    type Hint = Shown;

    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<Shown> {
        if at == line.len() && !self.asks.get() { help::hint(line).map(Shown) } else { None }
    }
}

impl Highlighter for Commands {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.colours && !self.asks.get() { Cow::Owned(coloured(line)) } else { Cow::Borrowed(line) }
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        if self.colours { Cow::Owned(format!("\x1b[1m{prompt}{PLAIN}")) } else { Cow::Borrowed(prompt) }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.colours { Cow::Owned(format!("{}{hint}{PLAIN}", Colour::Aside.code())) } else { Cow::Borrowed(hint) }
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.colours
    }
}

/// A line with its command's name, its keywords and its quoted texts in colour; a name that nobody knows is left plain.
fn coloured(line: &str) -> String {
    const NAME: &str = "\x1b[1;36m";
    const KEYWORD: &str = "\x1b[33m";
    let (places, _) = typed::places(line);
    let text = |at: usize| places.get(at).map(|place| &line[place.clone()]);
    let words: Vec<Vec<u8>> = places.iter().map(|place| line.as_bytes()[place.clone()].to_vec()).collect();
    let first = usize::from(super::repeat_of(&words).is_some());
    let row = help::row_of(&words[first.min(words.len())..]).map(|id| kv_core::command::table().row(id));
    let own = text(first).is_some_and(|word| complete::OWN.contains(&word.to_ascii_lowercase().as_str()));
    let name_words = row.map_or(usize::from(own), |row| row.name_words);
    let keywords = row.map(|row| complete::tokens_of(row.spec)).unwrap_or_default();
    let mut out = String::with_capacity(line.len() + 32);
    let mut done = 0;
    for (at, place) in places.iter().enumerate() {
        let word = &line[place.clone()];
        let colour = if (first..first + name_words).contains(&at) {
            Some(NAME)
        } else if word.starts_with(['"', '\'']) {
            Some(Colour::Text.code())
        } else if keywords.contains(&word.to_ascii_uppercase()) {
            Some(KEYWORD)
        } else {
            None
        };
        out += &line[done..place.start];
        match colour {
            Some(colour) => out.extend([colour, word, PLAIN]),
            None => out += word,
        }
        done = place.end;
    }
    out + &line[done..]
}

impl Validator for Commands {
    /// A line goes on while a quote is open.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let open = !self.asks.get() && typed::is_open(context.input());
        Ok(if open { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Helper for Commands {}

/// A line that nobody sees: the terminal shows stars, from the question on.
pub fn ask_secret(question: &str) -> rustyline::Result<String> {
    let mut editor = rustyline::Editor::<Masked, _>::with_history(Config::default(), MemHistory::new())?;
    editor.set_helper(Some(Masked));
    editor.readline(question)
}

struct Masked;

impl Highlighter for Masked {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        Cow::Owned("*".repeat(line.chars().count()))
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        true
    }
}

impl Completer for Masked {
    type Candidate = String;
}

impl Hinter for Masked {
    type Hint = String;
}

impl Validator for Masked {}
impl Helper for Masked {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keywords_and_texts_have_colours() {
        let shown = |line| coloured(line).replace("\x1b[1;36m", "<n>").replace("\x1b[33m", "<k>").replace(PLAIN, "</>");
        assert_eq!(shown("set  k v nx"), "<n>set</>  k v <k>nx</>");
        assert_eq!(shown("2 object encoding k "), "2 <n>object</> <n>encoding</> k ");
        assert_eq!(shown("nope nx"), "nope nx");
        assert_eq!(shown("peek k"), "<n>peek</> k");
        assert_eq!(coloured("get \"a b"), "\x1b[1;36mget\x1b[0m \x1b[32m\"a b\x1b[0m");
        assert_eq!(coloured(""), "");
    }
}
