//! The screen. What does not fit is left out from the bottom; what the server does not tell has no pane.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Sparkline, Table};

use super::figures::{Curve, Figures, Shard};
use super::sample::{Client, Sample, Slow};
use super::{Page, State};
use crate::format::quote_text;
use crate::info::{Info, bytes_text, count_text, grouped, span_text};

const ACCENT: Color = Color::Cyan;
const QUIET: Color = Color::DarkGray;
const WARNING: Color = Color::Yellow;

/// Rows of the curves with their captions.
const CURVES: u16 = 8;

pub fn draw(frame: &mut Frame<'_>, state: &State) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(title(state), head);
    frame.render_widget(keys(state), foot);
    match state.history.last() {
        None => frame.render_widget(Paragraph::new("Waiting for the server ...").fg(QUIET), body),
        Some(sample) => match state.page {
            Page::All => all(frame, body, state, sample),
            Page::Clients => clients(frame, body, sample),
            Page::Slow => slow(frame, body, sample),
        },
    }
    if state.help {
        help(frame, body);
    }
}

fn title(state: &State) -> Line<'_> {
    let mut spans = Vec::new();
    match state.history.last().map(|sample| &sample.info) {
        Some(info) => {
            let name = match (info.text("kv_version"), info.text("redis_version")) {
                (Some(version), _) => format!("kv {version}"),
                (None, Some(version)) => format!("redis {version}"),
                (None, None) => "server".to_owned(),
            };
            spans.extend([name.bold().fg(ACCENT), format!(" at {}", state.place).into()]);
            if let Some(seconds) = info.number("uptime_in_seconds") {
                spans.push(format!("  up {}", span_text(seconds as u64 * 1000)).into());
            }
            if let Some(role) = info.text("role").filter(|role| *role != "master") {
                spans.push(format!("  {role}").fg(WARNING));
            }
        }
        None => spans.push(state.place.as_str().into()),
    }
    spans.push(format!("  every {}", span_text(state.interval.as_millis() as u64)).fg(QUIET));
    if state.paused {
        spans.push("  paused".fg(WARNING).bold());
    }
    if let Some(why) = &state.lost {
        spans.push(format!("  {why}").fg(Color::Red).bold());
    }
    Line::from(spans)
}

fn keys(state: &State) -> Line<'static> {
    let pairs: &[(&str, &str)] = match state.page {
        Page::All => {
            &[("q", "quit"), ("p", "pause"), ("+ -", "interval"), ("c", "clients"), ("s", "slow log"), ("?", "help")]
        }
        Page::Clients | Page::Slow => &[("Esc", "back"), ("q", "quit"), ("p", "pause")],
    };
    let mut spans = Vec::new();
    for (key, what) in pairs {
        spans.extend([Span::from(format!("{key} ")).fg(ACCENT), Span::from(format!("{what}  ")).fg(QUIET)]);
    }
    Line::from(spans)
}

fn pane(title: &str) -> Block<'static> {
    Block::bordered().border_style(Style::new().fg(QUIET)).title(format!(" {title} ").bold())
}

/// Curves above, commands and shards below them, and the rest at the bottom.
fn all(frame: &mut Frame<'_>, area: Rect, state: &State, sample: &Sample) {
    let curves = CURVES.min(area.height);
    let left = area.height - curves;
    // A pane of fewer rows than its frame and two lines says nothing.
    let bottom = if left >= 14 { 6 } else { 0 };
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(curves), Constraint::Min(0), Constraint::Length(bottom)]).areas(area);
    let figures = state.history.figures.as_ref();
    let [ops, trips, memory] = Layout::horizontal([Constraint::Fill(1); 3]).areas(top);
    curve(frame, ops, "Requests", &ops_lines(figures, &sample.info), &state.history.ops, Color::Green);
    curve(frame, trips, "Round trips", &trip_lines(sample), &state.history.trips, Color::Magenta);
    curve(frame, memory, "Memory", &memory_lines(&sample.info), &state.history.memory, Color::Blue);
    if middle.height >= 4 {
        let shards = figures.map_or(&[][..], |figures| &figures.shards);
        let has_commands = !sample.info.family("cmdstat_").is_empty();
        match (has_commands, shards.is_empty()) {
            (true, false) => {
                let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(middle);
                commands(frame, left, figures);
                shard_load(frame, right, shards);
            }
            (true, true) => {
                let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(middle);
                commands(frame, left, figures);
                clients(frame, right, sample);
            }
            (false, false) => {
                let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(middle);
                shard_load(frame, left, shards);
                clients(frame, right, sample);
            }
            (false, true) => clients(frame, middle, sample),
        }
    }
    if bottom.height > 0 {
        let panes = if sample.slow.is_some() { 3 } else { 2 };
        let areas = Layout::horizontal(vec![Constraint::Fill(1); panes]).split(bottom);
        lines(frame, areas[0], "Keys and clients", key_lines(figures, &sample.info));
        lines(frame, areas[1], "Persistence", persistence_lines(&sample.info));
        if sample.slow.is_some() {
            slow(frame, areas[2], sample);
        }
    }
}

/// A pane with lines of text above a curve.
fn curve(frame: &mut Frame<'_>, area: Rect, title: &str, text: &[Line<'_>], curve: &Curve, colour: Color) {
    let block = pane(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [above, below] = Layout::vertical([Constraint::Length(text.len() as u16), Constraint::Min(0)]).areas(inner);
    frame.render_widget(Paragraph::new(text.to_vec()), above);
    let values = curve.newest(usize::from(below.width));
    frame.render_widget(Sparkline::default().data(&values).style(Style::new().fg(colour)), below);
}

fn lines(frame: &mut Frame<'_>, area: Rect, title: &str, text: Vec<Line<'_>>) {
    frame.render_widget(Paragraph::new(text).block(pane(title)), area);
}

fn ops_lines(figures: Option<&Figures>, info: &Info) -> Vec<Line<'static>> {
    let Some(figures) = figures else {
        return vec![Line::from(
            format!("{} since the start", grouped(info.count("total_commands_processed"))).fg(QUIET),
        )];
    };
    vec![
        Line::from(vec![
            count_text(figures.ops).bold(),
            " a second, CPU ".into(),
            format!("{:.0} %", figures.cpu_percent).bold(),
        ]),
        Line::from(format!(
            "in {}/s  out {}/s",
            bytes_text(figures.input_bytes as u64),
            bytes_text(figures.output_bytes as u64)
        )),
    ]
}

fn trip_lines(sample: &Sample) -> Vec<Line<'static>> {
    if sample.trips.count() == 0 {
        return vec![Line::from("measured from now on".fg(QUIET))];
    }
    let ms = |share| format!("{:.2}", sample.trips.percentile_ms(share)).bold();
    vec![
        Line::from(vec!["p50 ".into(), ms(0.5), "  p99 ".into(), ms(0.99), " ms".into()]),
        Line::from(format!("slowest {:.2} ms of {} PINGs", sample.trips.max_ms(), sample.trips.count())),
    ]
}

fn memory_lines(info: &Info) -> Vec<Line<'static>> {
    let mut first = vec![bytes_text(info.count("used_memory")).bold(), " used".into()];
    match info.count("maxmemory") {
        0 => {}
        most => {
            let share = info.count("used_memory") as f64 / most as f64 * 100.0;
            let colour = if share > 90.0 { WARNING } else { Color::Reset };
            first.push(format!(", {share:.0} % of {}", bytes_text(most)).fg(colour));
        }
    }
    vec![
        Line::from(first),
        Line::from(format!(
            "process {}, peak {}",
            bytes_text(info.count("used_memory_rss")),
            bytes_text(info.count("used_memory_peak"))
        )),
    ]
}

fn commands(frame: &mut Frame<'_>, area: Rect, figures: Option<&Figures>) {
    let commands = figures.map_or(&[][..], |figures| &figures.commands);
    let rows = commands.iter().map(|command| {
        Row::new([
            command.name.clone(),
            right(count_text(command.calls), 9),
            right(format!("{:.1}", command.us_per_call), 9),
            right(format!("{:.0} %", command.share_percent), 6),
            right(command.p99_us.map_or(String::new(), |us| format!("{us:.0}")), 9),
        ])
    });
    let head = ["command".to_owned(), right("a second", 9), right("us each", 9), right("time", 6), right("p99 us", 9)];
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Length(9),
    ];
    frame.render_widget(Table::new(rows, widths).header(Row::new(head).fg(QUIET)).block(pane("Commands")), area);
}

fn shard_load(frame: &mut Frame<'_>, area: Rect, shards: &[Shard]) {
    const COLUMNS: [(&str, usize); 5] = [("", 3), ("a second", 8), ("keys", 7), ("memory", 7), ("clients", 7)];
    // The frame, the columns and the gaps between them; the bar has the rest.
    let taken = 2 + COLUMNS.iter().map(|(_, width)| width + 1).sum::<usize>();
    let room = usize::from(area.width).saturating_sub(taken).min(20);
    let most = shards.iter().map(|shard| shard.ops).fold(1.0, f64::max);
    let rows = shards.iter().map(|shard| {
        let values = [
            shard.name.clone(),
            count_text(shard.ops),
            count_text(shard.keys as f64),
            bytes_text(shard.memory),
            shard.clients.to_string(),
        ];
        let cells = values.into_iter().zip(COLUMNS).map(|(value, (_, width))| Span::from(right(value, width)));
        let bar = "█".repeat((shard.ops / most * room as f64).round() as usize);
        Row::new(cells.chain([Span::from(bar).fg(Color::Green)]))
    });
    let head = COLUMNS.iter().map(|(head, width)| right(*head, *width)).chain(["load".to_owned()]);
    let widths = COLUMNS.iter().map(|(_, width)| *width).chain([room]).map(|width| Constraint::Length(width as u16));
    let table = Table::new(rows, widths).header(Row::new(head).fg(QUIET));
    frame.render_widget(table.block(pane("Shards")), area);
}

fn clients(frame: &mut Frame<'_>, area: Rect, sample: &Sample) {
    let Some(list) = &sample.clients else {
        let text = format!("{} clients; too many for a list", grouped(sample.info.count("connected_clients")));
        return lines(frame, area, "Clients", vec![Line::from(text.fg(QUIET))]);
    };
    // Those that do something first.
    let mut list: Vec<&Client> = list.iter().collect();
    list.sort_by_key(|client| (client.idle, std::cmp::Reverse(client.memory), client.id));
    /// A column: its head, its width, and what stands in it. Widths of 0 share what is left.
    type Column = (&'static str, u16, fn(&Client) -> String);
    const WIDE: [Column; 7] = [
        ("address", 0, |client| client.address.clone()),
        ("name", 0, |client| client.name.clone()),
        ("last command", 0, |client| client.command.replace('|', " ")),
        ("db", 3, |client| client.db.to_string()),
        ("idle", 8, |client| span_text(client.idle * 1000)),
        ("age", 8, |client| span_text(client.age * 1000)),
        ("memory", 7, |client| bytes_text(client.memory)),
    ];
    /// Narrower panes have only the most telling ones.
    const NARROW_BELOW: u16 = 80;
    let few = [WIDE[0], WIDE[2], WIDE[4], WIDE[6]];
    let columns = if area.width < NARROW_BELOW { &few[..] } else { &WIDE[..] };
    let cell = |text: String, width: u16| if width == 0 { text } else { right(text, usize::from(width)) };
    let rows = list.iter().map(|client| Row::new(columns.iter().map(|(_, width, of)| cell(of(client), *width))));
    let head = columns.iter().map(|(head, width, _)| cell((*head).to_owned(), *width));
    // Whole addresses, as long as they leave room for the rest.
    let address =
        list.iter().map(|client| client.address.len()).max().unwrap_or(0).min(usize::from(area.width) * 2 / 5);
    let mut widths: Vec<Constraint> = columns
        .iter()
        .map(|(_, width, _)| if *width == 0 { Constraint::Fill(1) } else { Constraint::Length(*width) })
        .collect();
    widths[0] = Constraint::Length(address.max(columns[0].0.len()) as u16);
    let table = Table::new(rows, widths).header(Row::new(head).fg(QUIET));
    let title = format!("Clients, {}", list.len());
    frame.render_widget(table.block(pane(&title)), area);
}

fn slow(frame: &mut Frame<'_>, area: Rect, sample: &Sample) {
    let Some(entries) = &sample.slow else {
        return lines(frame, area, "Slow log", vec![Line::from("The server has none.".fg(QUIET))]);
    };
    let server_seconds = sample.info.number("server_time_usec").map(|us| (us / 1e6) as u64);
    let entry = |entry: &Slow| {
        let words: Vec<String> = entry.words.iter().map(|word| shown_word(word)).collect();
        let ago = server_seconds.map(|now| format!("{} ago", span_text(now.saturating_sub(entry.unix_seconds) * 1000)));
        Line::from(vec![
            right(format!("{:.1} ms", entry.us as f64 / 1000.0), 10).bold(),
            format!("  {:<11}", ago.unwrap_or_default()).fg(QUIET),
            words.join(" ").into(),
        ])
    };
    let text: Vec<Line<'_>> = match entries.is_empty() {
        true => vec![Line::from("empty".fg(QUIET))],
        false => entries.iter().map(entry).collect(),
    };
    lines(frame, area, "Slow log", text);
}

/// A word of a request, without quotes where none are needed.
fn shown_word(word: &[u8]) -> String {
    let quoted = quote_text(word);
    let inner = &quoted[1..quoted.len() - 1];
    if inner.as_bytes() == word && !word.is_empty() && !word.contains(&b' ') { inner.to_owned() } else { quoted }
}

fn key_lines(figures: Option<&Figures>, info: &Info) -> Vec<Line<'static>> {
    let mut text = vec![Line::from(vec![grouped(info.keys()).bold(), " keys".into()])];
    let expires: u64 = info.family("db").iter().map(|(_, parts)| parts.count("expires")).sum();
    text[0].push_span(format!(", {} with an expiry", grouped(expires)));
    if let Some(figures) = figures {
        let hits = figures.hit_percent.map_or(String::new(), |percent| format!("hits {percent:.1} %  "));
        let gone = format!("expired {}/s  evicted {}/s", count_text(figures.expired), count_text(figures.evicted));
        text.push(Line::from(hits + &gone));
    }
    text.push(Line::from(format!(
        "{} clients, {} blocked",
        grouped(info.count("connected_clients")),
        grouped(info.count("blocked_clients"))
    )));
    if let Some(figures) = figures {
        text.push(Line::from(format!("{} new connections a second", count_text(figures.connections))));
    }
    text
}

fn persistence_lines(info: &Info) -> Vec<Line<'static>> {
    let fine = |status: Option<&str>| match status {
        Some("ok") | None => "".into(),
        Some(other) => format!("  {other}").fg(Color::Red).bold(),
    };
    let now = info.number("server_time_usec").map(|us| us / 1e6);
    let saved = info.number("rdb_last_save_time");
    let mut text = vec![Line::from(match (now, saved) {
        (Some(now), Some(saved)) => format!("snapshot {} ago", span_text(((now - saved).max(0.0) * 1000.0) as u64)),
        _ => "snapshot".to_owned(),
    })];
    if info.count("rdb_bgsave_in_progress") == 1 {
        text[0].push_span(", one under way".fg(ACCENT));
    }
    text[0].push_span(fine(info.text("rdb_last_bgsave_status")));
    text.push(Line::from(format!("{} changes since", grouped(info.count("rdb_changes_since_last_save")))));
    let mut log = Line::from(match info.count("aof_enabled") {
        0 => "log off".to_owned(),
        _ => match info.text("aof_current_size") {
            Some(_) => format!("log on, {}", bytes_text(info.count("aof_current_size"))),
            None => "log on".to_owned(),
        },
    });
    if info.count("aof_rewrite_in_progress") == 1 {
        log.push_span(", being rewritten".fg(ACCENT));
    }
    log.push_span(fine(info.text("aof_last_write_status")));
    text.push(log);
    text
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    const TEXT: &str = "\
q, Esc    leave
p, blank  pause, and go on
+ -       twice, half the interval
c         clients alone
s         slow log alone

Figures are of the last interval. Round trips are
kv-cli's own PINGs, one every 20 ms; p99 of a command
is the server's, since its start.";
    let width = 54.min(area.width);
    let height = 11.min(area.height);
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(TEXT).block(pane("Keys")), place);
}

fn right(text: impl Into<String>, width: usize) -> String {
    format!("{:>width$}", text.into())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::modes::latency::Samples;

    #[allow(clippy::disallowed_methods)] // only differences matter
    fn state(infos: &[&str], slow: Option<Vec<Slow>>) -> State {
        let mut state = State { place: "host:1".into(), interval: Duration::from_secs(1), ..State::default() };
        let begin = Instant::now();
        for (second, info) in infos.iter().enumerate() {
            let mut trips = Samples::default();
            trips.add(Duration::from_micros(250));
            state.history.add(Sample {
                at: begin + Duration::from_secs(second as u64),
                info: Info::parse(info),
                clients: Some(vec![Client {
                    address: "127.0.0.1:65535".into(),
                    name: "app".into(),
                    ..Client::default()
                }]),
                slow: slow.clone(),
                trips,
            });
        }
        state
    }

    fn screen(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        terminal.backend().to_string()
    }

    const KV: [&str; 2] = [
        "kv_version:0.1.0\ntotal_commands_processed:100\nshards:1\nshard0:keys=7,commands=100\ndb0:keys=7,expires=1\n",
        "kv_version:0.1.0\ntotal_commands_processed:400\nshards:1\nshard0:keys=7,commands=400\ndb0:keys=7,expires=1\n",
    ];

    #[test]
    fn a_server_with_shards_shows_them() {
        let text = screen(&state(&KV, None), 120, 30);
        for wanted in
            ["kv 0.1.0 at host:1", "300 a second", "p50 0.25", "Shards", "7 keys, 1 with an expiry", "127.0.0.1:65535"]
        {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(!text.contains("Slow log") && !text.contains("us each"), "{text}");
    }

    #[test]
    fn plain_redis_shows_commands_and_its_slow_log() {
        let info = |calls: u32| {
            format!("redis_version:7.0.15\nserver_time_usec:60000000\ncmdstat_get:calls={calls},usec={}\n", calls * 2)
        };
        let entry = Slow { id: 1, unix_seconds: 55, us: 15_000, words: vec![b"GET".to_vec(), b"a b".to_vec()] };
        let text = screen(&state(&[&info(10), &info(60)], Some(vec![entry])), 120, 30);
        let wanted =
            ["redis 7.0.15", "us each", "get", "2.0", "100 %", "15.0 ms", "5s ago", "GET \"a b\"", "127.0.0.1:65535 "];
        for wanted in wanted {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(!text.contains("Shards"), "{text}");
    }

    #[test]
    fn every_size_of_terminal_is_drawn() {
        let mut state = state(&KV, Some(Vec::new()));
        for page in [Page::All, Page::Clients, Page::Slow] {
            state.page = page;
            for help in [false, true] {
                state.help = help;
                for (width, height) in [(1, 1), (2, 3), (10, 5), (40, 9), (80, 24), (300, 100)] {
                    screen(&state, width, height);
                }
            }
        }
        assert!(screen(&State::default(), 80, 24).contains("Waiting"));
    }
}
