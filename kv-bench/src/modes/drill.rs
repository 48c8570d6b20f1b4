//! `--drill 'COMMAND'`: does a server keep what it has acknowledged?
//!
//! ```text
//!   start COMMAND -> connections write, each a sequence of its own -> kill -9 -> start again -> read back, compare
//! ```
//!
//! Each connection writes on keys of its own, in an order that tells from what is there afterwards how far it came:
//!
//! ```text
//!   write i:   i % 4 = 0, 1   SET    slot   i        the newest i on a slot must be there
//!              i % 4 = 2      INCR   count           counts how many there were
//!              i % 4 = 3      RPUSH  list   i        keeps all of them, in order
//! ```
//!
//! What was acknowledged and is not there is *lost*. What was sent and not acknowledged may be there or not; but what is
//! there must be what some first part of the connection's sequence leaves behind, else it is *torn*. What was never sent
//! must not be there at all; that counts as torn too.
//!
//! The command is split into words as a line is for a server, and run without a shell. It must end when it is killed: the
//! server itself, not a script that starts one.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use kv_core::resp::client::{Value, encode_request};
use kv_core::resp::line;
use serde::Serialize;

use crate::clock::{now, pause};
use crate::report::{Report, Style, json};
use crate::result::rounded;
use crate::server::{Client, Server};
use crate::workload::dice::Dice;

/// A server that does not answer for so long after its start is given up.
const START_MAX: Duration = Duration::from_secs(120);

/// Keys of SET that a connection has.
const SLOTS: u64 = 500;

#[derive(Clone, Debug)]
pub struct Drill {
    pub command: String,
    pub connections: u32,
    pub pipeline: u32,
    pub rounds: u32,
    /// The most time from the start to the kill; the moment is drawn from its second half.
    pub load: Duration,
    pub seed: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RoundResult {
    pub sent: u64,
    pub acknowledged: u64,
    /// Acknowledged writes of which nothing is there.
    pub lost: u64,
    /// Connections whose keys hold what no first part of their writes leaves behind.
    pub torn: u64,
    /// From the start of the server until it answers.
    pub restart_seconds: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct DrillResult {
    pub command: String,
    pub server: Option<String>,
    pub connections: u32,
    pub pipeline: u32,
    pub rounds: Vec<RoundResult>,
    pub acknowledged: u64,
    pub lost: u64,
    pub torn: u64,
}

/// True if nothing was lost or torn.
pub fn run(server: &Server, drill: &Drill, mut report: Report) -> Result<bool> {
    let result = measure(server, drill, &mut |text| report.say(text))?;
    let text = match report.style() {
        Style::Json => json(&result),
        Style::Csv => csv(&result),
        Style::Quiet => verdict(&result),
        Style::Full => full(&result),
    };
    report.print(&text);
    Ok(report.finish()? && result.lost == 0 && result.torn == 0)
}

fn measure(server: &Server, drill: &Drill, say: &mut dyn FnMut(&str)) -> Result<DrillResult> {
    if server.connect().is_ok() {
        bail!("something answers at {} already", server.address());
    }
    let mut dice = Dice::new(drill.seed, 0);
    // Keys of an earlier drill may be there.
    let name = format!("drill:{:08x}", dice.next() as u32 ^ std::process::id());
    let (mut process, _) = Process::start(server, &drill.command)?;
    let mut rounds = Vec::new();
    let mut known = None;
    for round in 0..drill.rounds {
        let half = drill.load / 2;
        let load = half + half.mul_f64((dice.next() >> 11) as f64 / (1u64 << 53) as f64);
        let writers: Vec<Writer> =
            (0..drill.connections).map(|connection| Writer::new(format!("{name}:{round}:{connection}"))).collect();
        let writers = write_until_killed(server, drill, writers, load, &mut process)?;
        let (again, restart) = Process::start(server, &drill.command)?;
        process = again;
        let mut result = RoundResult { restart_seconds: rounded(restart.as_secs_f64(), 3), ..RoundResult::default() };
        let mut client = server.connect()?;
        known = client.info()?.and_then(|info| info.server_name());
        for writer in &writers {
            let found = Found::read(&mut client, &writer.name)?;
            let verdict = found.compare(writer.sent, writer.acknowledged);
            result.sent += writer.sent;
            result.acknowledged += writer.acknowledged;
            result.lost += verdict.lost;
            result.torn += u64::from(verdict.torn);
        }
        say(&format!("round {}: {}", round + 1, round_text(&result)));
        rounds.push(result);
    }
    Ok(DrillResult {
        command: drill.command.clone(),
        server: known,
        connections: drill.connections,
        pipeline: drill.pipeline,
        acknowledged: rounds.iter().map(|round| round.acknowledged).sum(),
        lost: rounds.iter().map(|round| round.lost).sum(),
        torn: rounds.iter().map(|round| round.torn).sum(),
        rounds,
    })
}

/// The server's process; killed with the value.
struct Process {
    child: Child,
    output: File,
}

impl Process {
    /// Starts it and waits until it answers; how long that took.
    fn start(server: &Server, command: &str) -> Result<(Process, Duration)> {
        let words = line::split(command.as_bytes()).context("--drill")?;
        let words: Vec<String> = words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let (program, args) = words.split_first().ok_or_else(|| anyhow!("--drill: no command"))?;
        let output = tempfile::tempfile()?;
        let began = now();
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .spawn()
            .with_context(|| format!("could not start {program}"))?;
        let mut process = Process { child, output };
        loop {
            if let Some(status) = process.child.try_wait()? {
                bail!("the server ended at its start ({status}): {}", process.last_words());
            }
            // While it loads it may refuse connections or answer with errors.
            let ready = server.connect().and_then(|mut client| {
                client.patience(Duration::from_secs(1))?;
                client.must(&["PING"])
            });
            match ready {
                Ok(_) => return Ok((process, began.elapsed())),
                Err(problem) if began.elapsed() > START_MAX => {
                    return Err(problem.context(format!("no answer after {} s", START_MAX.as_secs())));
                }
                Err(_) => pause(Duration::from_millis(5)),
            }
        }
    }

    /// `kill -9`.
    fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The end of what it printed.
    fn last_words(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = self.output.seek(SeekFrom::Start(0)).and_then(|_| self.output.read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        if read.is_err() { String::new() } else { lines.into_iter().rev().collect::<Vec<_>>().join(" | ") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill(); // it may have ended
    }
}

/// What one connection wrote.
#[derive(Debug)]
struct Writer {
    name: String,
    sent: u64,
    acknowledged: u64,
    /// An error reply: then there is nothing to conclude.
    refused: Option<String>,
}

fn slot(write: u64) -> u64 {
    (write / 4 * 2 + write % 4) % SLOTS
}

impl Writer {
    fn new(name: String) -> Writer {
        Writer { name, sent: 0, acknowledged: 0, refused: None }
    }

    fn encode(&self, write: u64, out: &mut Vec<u8>) {
        let Writer { name, .. } = self;
        let write_text = write.to_string();
        match write % 4 {
            2 => encode_request(out, &["INCR", &format!("{name}:count")]),
            3 => encode_request(out, &["RPUSH", &format!("{name}:list"), &write_text]),
            _ => encode_request(out, &["SET", &format!("{name}:{}", slot(write)), &write_text]),
        }
    }

    /// Writes until the connection breaks, which is how it ends, or an error comes.
    fn write_all(&mut self, mut client: Client, pipeline: u32, stop: &AtomicBool) {
        let mut out = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            out.clear();
            for write in self.sent..self.sent + u64::from(pipeline) {
                self.encode(write, &mut out);
            }
            // From here on the server may have any of it.
            self.sent += u64::from(pipeline);
            if client.send(&out).is_err() {
                return;
            }
            while self.acknowledged < self.sent {
                match client.wait() {
                    Err(_) => return,
                    Ok(Value::Error(text)) => {
                        self.refused = Some(String::from_utf8_lossy(&text).into_owned());
                        return;
                    }
                    Ok(_) => self.acknowledged += 1,
                }
            }
        }
    }
}

fn write_until_killed(
    server: &Server,
    drill: &Drill,
    writers: Vec<Writer>,
    load: Duration,
    process: &mut Process,
) -> Result<Vec<Writer>> {
    let clients = writers.iter().map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    let stop = AtomicBool::new(false);
    let writers = std::thread::scope(|scope| {
        let stop = &stop;
        let threads: Vec<_> = writers
            .into_iter()
            .zip(clients)
            .map(|(mut writer, client)| {
                scope.spawn(move || {
                    writer.write_all(client, drill.pipeline, stop);
                    writer
                })
            })
            .collect();
        pause(load);
        let killed = process.kill();
        stop.store(true, Ordering::Relaxed);
        let writers: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        killed.map(|()| writers)
    })?;
    let writers = writers.into_iter().collect::<Result<Vec<Writer>, _>>().map_err(|_| anyhow!("a writer failed"))?;
    if let Some(refused) = writers.iter().find_map(|writer| writer.refused.as_ref()) {
        bail!("the server refused a write: {refused}");
    }
    Ok(writers)
}

/// What is there of one connection's writes.
#[derive(Debug, Default)]
struct Found {
    /// The write that each slot holds.
    slots: Vec<Option<u64>>,
    count: u64,
    list: Vec<u64>,
    /// Something else is there than a write could have put.
    foreign: bool,
}

#[derive(Debug, PartialEq)]
struct Verdict {
    lost: u64,
    torn: bool,
}

/// How many of the writes below `end` are of a kind.
fn of_kind(kind: u64, end: u64) -> u64 {
    (end + 3 - kind) / 4
}

impl Found {
    fn read(client: &mut Client, name: &str) -> Result<Found> {
        let mut found = Found::default();
        let number = |value: &Value, foreign: &mut bool| match value.bytes() {
            // An error is neither a number nor nothing.
            None => {
                *foreign |= !matches!(value, Value::Nil);
                None
            }
            Some(bytes) => {
                let number = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<u64>().ok());
                *foreign |= number.is_none();
                number
            }
        };
        // One round trip for all of it.
        let mut requests = Vec::new();
        (0..SLOTS).for_each(|slot| encode_request(&mut requests, &["GET", &format!("{name}:{slot}")]));
        encode_request(&mut requests, &["GET", &format!("{name}:count")]);
        encode_request(&mut requests, &["LRANGE", &format!("{name}:list"), "0", "-1"]);
        client.send(&requests)?;
        for _ in 0..SLOTS {
            let value = client.wait()?;
            found.slots.push(number(&value, &mut found.foreign));
        }
        let count = client.wait()?;
        found.count = number(&count, &mut found.foreign).unwrap_or(0);
        match client.wait()? {
            Value::Array(items) => {
                for item in &items {
                    found.list.extend(number(item, &mut found.foreign));
                }
            }
            other => bail!("LRANGE answered {other:?}"),
        }
        Ok(found)
    }

    fn compare(&self, sent: u64, acknowledged: u64) -> Verdict {
        let mut lost = of_kind(2, acknowledged).saturating_sub(self.count);
        let there: std::collections::HashSet<u64> = self.list.iter().copied().collect();
        lost += (0..of_kind(3, acknowledged)).filter(|n| !there.contains(&(n * 4 + 3))).count() as u64;
        // A write of SET is lost when its slot holds an older one, or none.
        let newest = |slot: u64| self.slots.get(slot as usize).copied().flatten();
        lost += (0..acknowledged)
            .filter(|write| write % 4 < 2 && newest(slot(*write)).is_none_or(|there| there < *write))
            .count() as u64;
        Verdict { lost, torn: self.foreign || !self.is_left_by_a_first_part(sent) }
    }

    /// Whether there is a number of first writes that leaves exactly this behind.
    fn is_left_by_a_first_part(&self, sent: u64) -> bool {
        let last_count = self.count.checked_sub(1).map(|n| n * 4 + 2);
        let last = self.slots.iter().copied().flatten().chain(self.list.last().copied()).chain(last_count).max();
        let end = last.map_or(0, |last| last + 1);
        let mut slots = vec![None; SLOTS as usize];
        (0..end.min(sent)).filter(|write| write % 4 < 2).for_each(|write| slots[slot(write) as usize] = Some(write));
        end <= sent
            && self.count == of_kind(2, end)
            && self.list.iter().copied().eq((0..of_kind(3, end)).map(|n| n * 4 + 3))
            && (self.slots == slots || self.slots.is_empty() && end == 0)
    }
}

fn round_text(round: &RoundResult) -> String {
    format!(
        "{} writes acknowledged of {} sent, {} lost, {} connections torn, back after {:.3} s",
        round.acknowledged, round.sent, round.lost, round.torn, round.restart_seconds
    )
}

fn verdict(result: &DrillResult) -> String {
    let server = result.server.as_deref().unwrap_or("the server");
    format!(
        "{server}: {} of {} acknowledged writes lost in {} kills, {} connections torn\n",
        result.lost,
        result.acknowledged,
        result.rounds.len(),
        result.torn
    )
}

fn csv(result: &DrillResult) -> String {
    let mut text = "\"round\",\"sent\",\"acknowledged\",\"lost\",\"torn\",\"restart_seconds\"\n".to_owned();
    for (number, round) in result.rounds.iter().enumerate() {
        let RoundResult { sent, acknowledged, lost, torn, restart_seconds } = round;
        text += &format!("{},{sent},{acknowledged},{lost},{torn},{restart_seconds}\n", number + 1);
    }
    text
}

fn full(result: &DrillResult) -> String {
    let mut text = format!(
        "====== kill -9, {} connections, pipeline {} ======\n  {}\n",
        result.connections, result.pipeline, result.command
    );
    for (number, round) in result.rounds.iter().enumerate() {
        text += &format!("  {}: {}\n", number + 1, round_text(round));
    }
    text + "  " + &verdict(result) + "\n"
}

#[cfg(test)]
mod tests;
