//! A program in a terminal of its own: keys go in through a pty, and what it draws is on a screen that tests read.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use tempfile::TempDir;
use vt100::{Cell, Color, Parser};

use crate::process::wait_until;

pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const ENTER: &str = "\r";
pub const TAB: &str = "\t";
pub const RIGHT: &str = "\x1b[C";
pub const UP: &str = "\x1b[A";

/// A running program. It is killed with the value.
pub struct Terminal {
    process: Child,
    pty: Arc<Pty>,
    screen: Arc<Mutex<Parser>>,
    reader: Option<JoinHandle<()>>,
    /// Home and working folder of the program.
    folder: TempDir,
}

impl Terminal {
    /// Starts a program on a screen of `rows` and `columns`. It has an environment of its own, with a home that is empty.
    pub fn start<S: AsRef<OsStr>>(program: &Path, args: &[S], (rows, columns): (u16, u16)) -> Terminal {
        Terminal::start_with(program, args, (rows, columns), &[])
    }

    /// The same with some variables more.
    pub fn start_with<S: AsRef<OsStr>>(
        program: &Path,
        args: &[S],
        (rows, columns): (u16, u16),
        variables: &[(&str, &str)],
    ) -> Terminal {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (pty, pts) = open().expect("the system has terminals");
        pty.resize(Size::new(rows, columns)).expect("a terminal has a size");
        let process = Command::new(program)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder.path())
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .envs(variables.iter().copied())
            .current_dir(folder.path())
            .spawn(pts)
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let pty = Arc::new(pty);
        let screen = Arc::new(Mutex::new(new_screen(rows, columns)));
        let reader = std::thread::spawn({
            let (pty, screen) = (Arc::clone(&pty), Arc::clone(&screen));
            move || {
                let mut buffer = [0; 4096];
                // The system reports the end of the last process in the terminal as an error.
                while let Ok(length @ 1..) = (&*pty).read(&mut buffer) {
                    locked(&screen).process(&buffer[..length]);
                }
            }
        });
        Terminal { process, pty, screen, reader: Some(reader), folder }
    }

    pub fn keys(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).expect("the program reads");
    }

    /// Types a line, with Enter. A person waits for the prompt before the next one: what comes with the end of a line in one
    /// piece is lost by line editors.
    pub fn line(&self, line: &str) {
        self.keys(&format!("{line}{ENTER}"));
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(&mut locked(&self.screen), rows, columns);
        self.pty.resize(Size::new(rows, columns)).expect("a terminal has a size");
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        locked(&self.screen).screen().contents()
    }

    /// The row that the cursor is in, up to its last sign.
    pub fn row(&self) -> String {
        let screen = locked(&self.screen);
        let (row, _) = screen.screen().cursor_position();
        let (_, columns) = size_of(&screen);
        screen.screen().rows(0, columns).nth(usize::from(row)).unwrap_or_default().trim_end().to_owned()
    }

    /// Waits until the screen is as it should be, and returns its text.
    pub fn wait(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(what, || {
                text = self.text();
                holds(&text)
            });
        }));
        assert!(seen.is_ok(), "{what} never came on this screen:\n{}", self.text());
        text
    }

    /// Waits until the screen has a text.
    pub fn wait_for(&self, wanted: &str) -> String {
        self.wait(wanted, |text| text.contains(wanted))
    }

    /// Waits until the row of the cursor is this one.
    pub fn wait_row(&self, wanted: &str) {
        self.wait(wanted, |_| self.row() == wanted);
    }

    /// Waits for the end of the program.
    pub fn end(mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the program ends", || {
            status = self.process.try_wait().expect("the program can be waited for");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// The program's home.
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// The screen as a picture.
    pub fn svg(&self) -> String {
        svg(&locked(&self.screen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended
        let _ = self.process.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn locked(screen: &Mutex<Parser>) -> MutexGuard<'_, Parser> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_screen(rows: u16, columns: u16) -> Parser {
    let size = |cells| std::num::NonZeroU16::new(cells).expect("a screen has cells");
    Parser::new(size(rows), size(columns), 0)
}

fn set_size(screen: &mut Parser, rows: u16, columns: u16) {
    let size = |cells| std::num::NonZeroU16::new(cells).expect("a screen has cells");
    screen.set_size(size(rows), size(columns));
}

fn size_of(screen: &Parser) -> (u16, u16) {
    let (rows, columns) = screen.screen().size();
    (rows.get(), columns.get())
}

/// Of a cell, in a picture.
const WIDTH: f64 = 8.0;
const HEIGHT: f64 = 17.0;
const MARGIN: f64 = 10.0;
const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d7dae0";

/// A picture with one piece of text for each run of cells that look the same.
fn svg(parser: &Parser) -> String {
    let screen = parser.screen();
    let (rows, columns) = size_of(parser);
    let (width, height) = (f64::from(columns) * WIDTH + 2.0 * MARGIN, f64::from(rows) * HEIGHT + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n\
         <g font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"13.3\" fill=\"{FOREGROUND}\">\n"
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let Some(first) = screen.cell(row, column) else { break };
            let look = Look::of(first);
            let begin = column;
            let mut text = String::new();
            while let Some(cell) = screen.cell(row, column).filter(|cell| column < columns && Look::of(cell) == look) {
                if !cell.is_wide_continuation() {
                    text.push_str(if cell.has_contents() { cell.contents() } else { " " });
                }
                column += 1;
            }
            look.draw(&mut out, &text, row, begin, column - begin);
        }
    }
    out + "</g>\n</svg>\n"
}

#[derive(PartialEq)]
struct Look {
    foreground: Option<String>,
    background: Option<String>,
    bold: bool,
}

impl Look {
    fn of(cell: &Cell) -> Look {
        let (mut foreground, mut background) = (colour(cell.fgcolor()), colour(cell.bgcolor()));
        if cell.inverse() {
            let (front, back) = (foreground.take(), background.take());
            foreground = Some(back.unwrap_or_else(|| BACKGROUND.to_owned()));
            background = Some(front.unwrap_or_else(|| FOREGROUND.to_owned()));
        }
        Look { foreground, background, bold: cell.bold() }
    }

    fn draw(&self, out: &mut String, text: &str, row: u16, column: u16, cells: u16) {
        let (x, y) = (f64::from(column) * WIDTH + MARGIN, f64::from(row) * HEIGHT + MARGIN);
        let wide = f64::from(cells) * WIDTH;
        if let Some(background) = &self.background {
            let _ =
                writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{HEIGHT}\" fill=\"{background}\"/>");
        }
        let shown = text.trim_end();
        if shown.is_empty() {
            return;
        }
        let trimmed = text.trim_start();
        let blanks = (text.len() - trimmed.len()) as f64; // blanks are ASCII
        let (x, y) = (x + blanks * WIDTH, y + HEIGHT * 0.76);
        let length = shown.trim_start().chars().count() as f64 * WIDTH;
        let _ = write!(out, "<text x=\"{x}\" y=\"{y:.1}\" textLength=\"{length}\"");
        if let Some(foreground) = &self.foreground {
            let _ = write!(out, " fill=\"{foreground}\"");
        }
        if self.bold {
            out.push_str(" font-weight=\"bold\"");
        }
        let escaped = shown.trim_start().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        // Blanks that stand together are one in a picture, unless they hold together.
        let escaped = escaped.replace(' ', "\u{a0}");
        let _ = writeln!(out, ">{escaped}</text>");
    }
}

/// None: the one that the terminal has by itself.
fn colour(colour: Color) -> Option<String> {
    const NAMED: [&str; 16] = [
        "#3b4048", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf", "#6b717d", "#ff7b85",
        "#b5e890", "#ffd68a", "#7cc4ff", "#de8ff5", "#6fd3df", "#ffffff",
    ];
    match colour {
        Color::Default => None,
        Color::Idx(index @ 0..16) => Some(NAMED[usize::from(index)].to_owned()),
        Color::Idx(index @ 16..232) => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * u16::from(step) };
            let cube = index - 16;
            Some(format!("#{:02x}{:02x}{:02x}", level(cube / 36), level(cube / 6 % 6), level(cube % 6)))
        }
        Color::Idx(index) => {
            let grey = 8 + 10 * u16::from(index - 232);
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
        Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
    }
}
