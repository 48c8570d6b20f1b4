//! The prompt: commands line by line, from a terminal (with line editing and history) or from a pipe.
//!
//! The prompt keeps what a new connection needs to know (database, login, protocol), so that it can reconnect. It does
//! so only before a command is sent: one that was under way when the connection went may have been executed.
//! Ctrl-C while a command waits or streams ends its connection and brings the prompt back.
//!
//! ```text
//!   editor     the line editor: history, colours     typed      words of a line that is not finished
//!   complete   what Tab offers                       help       texts and hints from the rows
//!   aside      kv-cli's own questions to the server  pager      long replies
//!   peek       a key at a glance
//! ```

mod aside;
mod complete;
mod editor;
mod help;
mod pager;
mod peek;
mod typed;

use std::cell::RefCell;
use std::io::{self, BufRead, IsTerminal, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kv_core::resp::client::Value;
use kv_core::resp::line;
use signal_hook::consts::SIGINT;

use self::aside::Aside;
pub use self::editor::ask_secret;
use self::editor::{Editor, Entered};
use crate::args::{Address, Options, Target};
use crate::connection::{Connection, Refusal, Step, Stopper};
use crate::format::Style;
use crate::info::grouped;
use crate::run::{Errors, Failure, exchange, show, wait};

/// A command that took longer is told so, as redis-cli does.
const SLOW: Duration = Duration::from_millis(500);

pub fn run(options: &Options) -> Result<Errors, Failure> {
    if io::stdin().is_terminal() { from_terminal(options) } else { from_pipe(options) }
}

/// Commands from the standard input. The first lost connection ends it: nobody is there to decide what to repeat.
fn from_pipe(options: &Options) -> Result<Errors, Failure> {
    let mut session = Session::new(options);
    let mut errors = Errors::None;
    session.connect()?;
    for line in io::stdin().lock().split(b'\n') {
        let line = line.map_err(|error| Failure::Other(format!("kv-cli: standard input: {error}")))?;
        match session.line(&line)? {
            Next::Quit => break,
            Next::Line(last) => errors = errors.or(last),
        }
    }
    Ok(errors)
}

fn from_terminal(options: &Options) -> Result<Errors, Failure> {
    let mut session = Session::new(options);
    session.interrupt.listen().map_err(|error| Failure::Other(format!("kv-cli: Ctrl-C: {error}")))?;
    if let Err(problem) = session.connect() {
        eprintln!("{problem}");
    }
    let terminal = |error: rustyline::error::ReadlineError| Failure::Other(format!("kv-cli: terminal: {error}"));
    let aside = Rc::new(RefCell::new(Aside::new(&session.target)));
    let mut editor = Editor::new(Rc::clone(&aside), options.format.colours).map_err(terminal)?;
    loop {
        aside.borrow_mut().follow(&session.target);
        let text = match editor.read(&session.prompt()).map_err(terminal)? {
            Entered::Line(text) => text,
            Entered::Nothing => continue,
            Entered::End => return Ok(Errors::None),
        };
        for line in typed::lines(&text) {
            // What a line with a quote in the wrong place means nobody knows: it may have a password in it.
            let args = line::split(line.as_bytes()).ok();
            if args.as_ref().is_some_and(|args| !is_secret(args)) {
                editor.remember(line);
            }
            let question = args.and_then(|args| question(&args, || aside.borrow_mut().sizes()));
            if let Some(question) = question
                && !editor.confirm(&question).map_err(terminal)?
            {
                break;
            }
            match session.line(line.as_bytes()) {
                Ok(Next::Quit) => return Ok(Errors::None),
                Ok(Next::Line(_)) => {}
                Err(Failure::Output(error)) => return Err(Failure::Output(error)),
                // What follows may rest on what has failed.
                Err(problem) => {
                    session.lost(problem);
                    break;
                }
            }
        }
    }
}

/// True for commands that carry a password.
fn is_secret(args: &[Vec<u8>]) -> bool {
    let is = |at: usize, word: &str| args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let has_from = |at: usize, words: &[&str]| {
        args.iter().skip(at).any(|arg| words.iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes())))
    };
    // A repeat count may stand before the command.
    let first = usize::from(repeat_of(args).is_some());
    is(first, "AUTH")
        || (is(first, "HELLO") && has_from(first + 2, &["AUTH"]))
        || (is(first, "MIGRATE") && has_from(first + 1, &["AUTH", "AUTH2"]))
        || (is(first, "ACL") && is(first + 1, "SETUSER"))
        || (is(first, "CONFIG")
            && is(first + 1, "SET")
            && has_from(first + 2, &["requirepass", "masterauth", "primaryauth", "masteruser", "tls-key-file-pass"]))
}

/// What is asked before a command that does much harm at once or takes long. `sizes` are the numbers of keys in this
/// database and in all of them; where they are not known, nobody is asked.
fn question(args: &[Vec<u8>], sizes: impl FnOnce() -> Option<(u64, u64)>) -> Option<String> {
    /// KEYS answers with all of them, and some servers do nothing else meanwhile.
    const MANY: u64 = 10_000;
    let name = args.get(usize::from(repeat_of(args).is_some()))?.to_ascii_uppercase();
    let is_flush = matches!(&name[..], b"FLUSHALL" | b"FLUSHDB");
    if !is_flush && name != b"KEYS" {
        return None;
    }
    let (here, all) = sizes()?;
    match &name[..] {
        b"FLUSHALL" if all > 0 => Some(format!("This deletes all {} keys of all databases. Go on?", grouped(all))),
        b"FLUSHDB" if here > 0 => Some(format!("This deletes all {} keys of this database. Go on?", grouped(here))),
        b"KEYS" if here > MANY => {
            Some(format!("KEYS looks at all {} keys at once; SCAN does it in parts. Go on?", grouped(here)))
        }
        _ => None,
    }
}

/// The count of `5 incr x`.
fn repeat_of(args: &[Vec<u8>]) -> Option<u64> {
    if args.len() < 2 || !args[0].iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(&args[0]).ok()?.parse().ok().filter(|times| *times > 0)
}

enum Next {
    Line(Errors),
    Quit,
}

/// The conversation with a server over one connection after the other.
struct Session<'a> {
    options: &'a Options,
    /// As given, and then as the user's SELECT, AUTH and HELLO changed it.
    target: Target,
    connection: Option<Connection>,
    in_transaction: bool,
    /// The database of a SELECT that EXEC will carry out.
    db_after_exec: Option<u32>,
    interrupt: Interrupt,
}

impl<'a> Session<'a> {
    fn new(options: &'a Options) -> Session<'a> {
        Session {
            options,
            target: options.target.clone(),
            connection: None,
            in_transaction: false,
            db_after_exec: None,
            interrupt: Interrupt::default(),
        }
    }

    fn connect(&mut self) -> Result<(), Failure> {
        let (connection, refusals) = Connection::open(&self.target)?;
        for refusal in refusals {
            eprintln!("{refusal}");
            let Refusal { step, .. } = refusal;
            match step {
                Step::Auth => {}
                // The prompt shows where the user really is.
                Step::Hello => self.target.resp3 = false,
                Step::Select => self.target.db = 0,
            }
        }
        self.in_transaction = false;
        self.interrupt.watch(connection.stopper().ok());
        self.connection = Some(connection);
        Ok(())
    }

    fn prompt(&self) -> String {
        if self.connection.is_none() {
            return "not connected> ".to_owned();
        }
        let address = &self.target.address;
        let db = if self.target.db == 0 { String::new() } else { format!("[{}]", self.target.db) };
        let transaction = if self.in_transaction { "(TX)" } else { "" };
        format!("{address}{db}{transaction}> ")
    }

    /// Forgets the connection after a failure. After Ctrl-C, which the user knows about, a new one is made at once.
    fn lost(&mut self, problem: Failure) {
        self.forget();
        let problem = match self.interrupt.take().then(|| self.connect()) {
            Some(Ok(())) => return,
            Some(Err(problem)) => problem,
            None => problem,
        };
        eprintln!("{problem}");
    }

    fn forget(&mut self) {
        self.connection = None;
        self.interrupt.watch(None);
        self.in_transaction = false;
    }

    fn line(&mut self, line: &[u8]) -> Result<Next, Failure> {
        let Ok(args) = line::split(line) else {
            println!("Invalid argument(s)");
            return Ok(Next::Line(Errors::Some));
        };
        let Some(name) = args.first() else { return Ok(Next::Line(Errors::None)) };
        match name.to_ascii_lowercase().as_slice() {
            b"quit" | b"exit" => return Ok(Next::Quit),
            b"help" | b"?" => {
                let words: Vec<_> = args[1..].iter().map(|word| String::from_utf8_lossy(word)).collect();
                let words: Vec<&str> = words.iter().map(|word| &**word).collect();
                print!("{}", help::text(&words));
            }
            b"peek" if args.len() == 2 => self.peek(&args[1])?,
            b"clear" => {
                print!("\x1b[H\x1b[2J");
                io::stdout().flush().map_err(Failure::Output)?;
            }
            b"connect" if args.len() == 3 => {
                let port = std::str::from_utf8(&args[2]).ok().and_then(|port| port.parse().ok());
                let Some(port) = port else {
                    println!("Invalid port");
                    return Ok(Next::Line(Errors::Some));
                };
                let host = String::from_utf8_lossy(&args[1]).into_owned();
                self.connection = None;
                self.target.address = Address::Tcp { host, port };
                self.connect()?;
            }
            _ => return self.command(&args).map(Next::Line),
        }
        Ok(Next::Line(Errors::None))
    }

    fn peek(&mut self, key: &[u8]) -> Result<(), Failure> {
        if self.in_transaction {
            println!("Not within a transaction: the questions would be queued.");
            return Ok(());
        }
        self.ready()?;
        let connection = self.connection.as_mut().expect("ready() connects");
        let text = peek::peek(connection, key, &self.options.format)?;
        io::stdout().write_all(&text).map_err(Failure::Output)
    }

    #[allow(clippy::disallowed_methods)] // a tool may look at the clock
    fn command(&mut self, args: &[Vec<u8>]) -> Result<Errors, Failure> {
        let repeat = repeat_of(args);
        let command = &args[usize::from(repeat.is_some())..];
        let mut errors = Errors::None;
        for sent in 0..repeat.unwrap_or(1) {
            if sent > 0 {
                wait(self.options);
            }
            self.ready()?;
            let connection = self.connection.as_mut().expect("ready() connects");
            let started = Instant::now();
            let mut took = Duration::ZERO;
            let watched = io::stdin().is_terminal() && io::stdout().is_terminal();
            let interrupt = &self.interrupt;
            let done = exchange(connection, self.options, command, |format, value, streams| {
                took = started.elapsed();
                if !watched || streams || !matches!(format.style, Style::Typed | Style::Report) {
                    return show(format, value);
                }
                let mut text = Vec::new();
                format.write(&mut text, value);
                interrupt.ignored(|| pager::show(&text))
            })?;
            if took >= SLOW && watched {
                println!("({:.2}s)", took.as_secs_f64());
            }
            errors = errors.or(done.errors);
            match &done.reply {
                Some(reply) => self.follow(command, reply),
                None if done.closed => self.forget(),
                None => {}
            }
        }
        Ok(errors)
    }

    /// Makes sure of a connection before a command is sent, and shows messages that came meanwhile.
    fn ready(&mut self) -> Result<(), Failure> {
        self.interrupt.take();
        if let Some(connection) = &mut self.connection {
            loop {
                match connection.read_waiting() {
                    Ok(None) => return Ok(()),
                    Ok(Some(message)) if self.options.show_pushes => {
                        show(&self.options.format, &message).map_err(Failure::Output)?;
                    }
                    Ok(Some(_)) => {}
                    Err(lost) => {
                        let transaction = if self.in_transaction { ", the transaction is gone" } else { "" };
                        eprintln!("{lost}; reconnecting{transaction}");
                        self.connection = None;
                        break;
                    }
                }
            }
        }
        self.connect()
    }

    /// Remembers what a successful command changed in the conversation.
    fn follow(&mut self, command: &[Vec<u8>], reply: &Value) {
        let words: Vec<String> = command.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
        let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
        let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
        if reply.is_error() {
            // EXEC ends a transaction even when it is refused.
            if upper.first() == Some(&"EXEC") {
                self.in_transaction = false;
            }
            return;
        }
        let queued = self.in_transaction && reply.bytes() == Some(b"QUEUED");
        match upper.as_slice() {
            ["SELECT", db] if queued => self.db_after_exec = db.parse().ok(),
            _ if queued => {}
            ["SELECT", db] => self.target.db = db.parse().unwrap_or(self.target.db),
            ["MULTI"] => {
                self.in_transaction = true;
                self.db_after_exec = None;
            }
            ["EXEC"] => {
                self.in_transaction = false;
                let executed = !matches!(reply, Value::Nil | Value::NilArray);
                if let (true, Some(db)) = (executed, self.db_after_exec.take()) {
                    self.target.db = db;
                }
            }
            ["DISCARD"] => self.in_transaction = false,
            ["RESET"] => {
                self.in_transaction = false;
                self.target.db = 0;
                self.target.resp3 = false;
            }
            ["AUTH", _] => (self.target.user, self.target.password) = (None, Some(words[1].clone())),
            ["AUTH", _, _] => {
                (self.target.user, self.target.password) = (Some(words[1].clone()), Some(words[2].clone()))
            }
            ["HELLO", version, options @ ..] => {
                self.target.resp3 = *version == "3";
                if let Some(at) = options.iter().position(|word| *word == "AUTH")
                    && let [user, password, ..] = &words[at + 3..]
                {
                    (self.target.user, self.target.password) = (Some(user.clone()), Some(password.clone()));
                }
            }
            _ => {}
        }
    }
}

/// Ctrl-C, turned into the end of the connection in use.
#[derive(Default)]
struct Interrupt {
    pressed: Arc<AtomicBool>,
    stopper: Arc<Mutex<Option<Stopper>>>,
}

impl Interrupt {
    fn listen(&self) -> io::Result<()> {
        let mut signals = signal_hook::iterator::Signals::new([SIGINT])?;
        let (pressed, stopper) = (self.pressed.clone(), self.stopper.clone());
        std::thread::spawn(move || {
            for _ in signals.forever() {
                pressed.store(true, Ordering::SeqCst);
                if let Some(stopper) = stopper.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                    stopper.stop();
                }
            }
        });
        Ok(())
    }

    fn watch(&self, stopper: Option<Stopper>) {
        *self.stopper.lock().unwrap_or_else(PoisonError::into_inner) = stopper;
    }

    /// Does something meanwhile that Ctrl-C is for, and not for the connection: a pager.
    fn ignored<T>(&self, run: impl FnOnce() -> T) -> T {
        let kept = self.stopper.lock().unwrap_or_else(PoisonError::into_inner).take();
        let done = run();
        self.watch(kept);
        self.take();
        done
    }

    /// Whether it was pressed since the last time.
    fn take(&self) -> bool {
        self.pressed.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<Vec<u8>> {
        line::split(line.as_bytes()).unwrap()
    }

    #[test]
    fn lines_with_passwords_are_secret() {
        for line in [
            "auth pw",
            "AUTH user pw",
            "2 auth pw",
            "hello 3 setname x auth u p",
            "config set maxmemory 1 requirepass x",
            "acl setuser ann on >pw",
            "migrate h 1 k 0 5 auth2 u p",
        ] {
            assert!(is_secret(&args(line)), "{line}");
        }
        for line in ["get auth", "hello 3", "config get requirepass", "acl list", "", "5", "set auth hello"] {
            assert!(!is_secret(&args(line)), "{line}");
        }
    }

    #[test]
    fn a_question_is_asked_before_much_is_deleted_or_listed() {
        let asked = |line: &str, here, all| question(&args(line), || Some((here, all))).is_some();
        assert!(asked("flushall", 0, 1) && asked("FLUSHALL async", 5, 5) && asked("flushdb", 1, 1));
        assert!(!asked("flushall", 0, 0) && !asked("flushdb", 0, 9) && !asked("get k", 1 << 40, 1 << 40));
        assert!(asked("keys *", 1 << 20, 1 << 20) && !asked("keys *", 100, 1 << 20));
        assert_eq!(question(&args("flushall"), || None), None);
        assert!(question(&args("2 flushall"), || Some((1, 1))).unwrap().contains(" 1 keys "));
    }

    #[test]
    fn a_number_before_a_command_repeats_it() {
        assert_eq!(repeat_of(&args("5 incr x")), Some(5));
        for line in ["incr 5", "5", "0 incr x", "-1 incr x", "5x incr x", "99999999999999999999 incr x"] {
            assert_eq!(repeat_of(&args(line)), None, "{line}");
        }
    }
}
