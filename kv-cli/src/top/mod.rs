//! `kv-cli top`: a full screen of what a server does, against any Redis server.
//!
//! ```text
//!   sample     what the server tells at one moment, asked for on a thread of its own
//!   figures    two samples -> rates, shares, the busiest commands; and what was before
//!   view       figures -> the screen
//! ```
//!
//! The screen never waits for the server: a server that stalls is seen to stall, and the keys go on working.

mod figures;
mod sample;
mod view;

use std::io::{self, IsTerminal};
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::figures::History;
use self::sample::{Sampler, Wish};
use crate::args::Target;
use crate::wire::Problem;

/// How soon a sample that has come is shown.
const LOOK: Duration = Duration::from_millis(50);

const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(60);

pub fn run(target: &Target, interval: Duration) -> Result<(), Problem> {
    if !io::stdout().is_terminal() {
        return Err(Problem::failed("top needs a terminal; kv-cli --stat writes lines"));
    }
    let interval = interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
    // A server that cannot be reached at all is told before the screen is taken.
    let sampler = Sampler::start(target, interval)?;
    let terminal = |error: io::Error| Problem::failed(format!("terminal: {error}"));
    let mut screen = ratatui::try_init().map_err(terminal)?;
    let state = State { place: target.address.to_string(), interval, ..State::default() };
    let done = follow(&mut screen, &sampler, state).map_err(terminal);
    ratatui::restore();
    done
}

/// What the view shows.
#[derive(Default)]
pub struct State {
    /// The server's address.
    place: String,
    history: History,
    interval: Duration,
    paused: bool,
    page: Page,
    help: bool,
    /// Why there is nothing new.
    lost: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Page {
    #[default]
    All,
    Clients,
    Slow,
}

fn follow(screen: &mut DefaultTerminal, sampler: &Sampler, mut state: State) -> io::Result<()> {
    let mut changed = true;
    loop {
        if changed {
            screen.draw(|frame| view::draw(frame, &state))?;
        }
        changed = event::poll(LOOK)?;
        if changed {
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press && !press(&mut state, key, sampler) => return Ok(()),
                _ => {} // a new size is drawn for
            }
        }
        loop {
            match sampler.samples.try_recv() {
                Ok(Ok(sample)) => {
                    state.lost = None;
                    state.history.add(sample);
                }
                Ok(Err(why)) => state.lost = Some(why),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            changed = true;
        }
    }
}

/// Whether it goes on.
fn press(state: &mut State, key: KeyEvent, sampler: &Sampler) -> bool {
    let turn = |page: &mut Page, to| *page = if *page == to { Page::All } else { to };
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Char('q') => return false,
        KeyCode::Esc if state.help => state.help = false,
        KeyCode::Esc if state.page != Page::All => state.page = Page::All,
        KeyCode::Esc => return false,
        KeyCode::Char('p' | ' ') => {
            state.paused = !state.paused;
            sampler.wish(Wish::Pause(state.paused));
        }
        KeyCode::Char('+') => state.interval = (state.interval * 2).min(INTERVAL_MAX),
        KeyCode::Char('-') => state.interval = (state.interval / 2).max(INTERVAL_MIN),
        KeyCode::Char('c') => turn(&mut state.page, Page::Clients),
        KeyCode::Char('s') => turn(&mut state.page, Page::Slow),
        KeyCode::Char('?' | 'h') => state.help = !state.help,
        _ => {}
    }
    if matches!(key.code, KeyCode::Char('+' | '-')) {
        sampler.wish(Wish::Interval(state.interval));
    }
    true
}
