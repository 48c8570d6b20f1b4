//! `kv-cli export` and `kv-cli import`: all keys of a server into a file, and back into any other.
//!
//! ```text
//! server -> export -> file -> import -> server
//! dump.rdb -> crate::rdb -----^
//! ```
//!
//! Both speak only commands that every Redis server knows. What passes between reading and writing are [`item::Item`]s.
//!
//! Exit status: 0; 1 if a file or a reply was wrong (the text says where); 2 if the server cannot be reached or was lost.

pub mod export;
pub mod file;
pub mod import;
pub mod item;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use self::export::{Exported, Exporter};
use self::file::{Format, Place, Writer};
use self::import::{Imported, Importer, Settings};
use self::item::{Bytes, Item};
use crate::args::Target;
use crate::progress::Progress;
use crate::rdb;
use crate::wire::{Problem, Wire};

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transfer {
    Export {
        format: Format,
        /// Only keys that match.
        pattern: Option<Vec<u8>>,
        /// Only this database.
        db: Option<u32>,
    },
    Import {
        /// `None`: the standard input.
        file: Option<PathBuf>,
        settings: Settings,
        /// It must be a dump of Redis.
        rdb: bool,
    },
}

/// Runs it, and tells on the standard error what was done.
pub fn run(target: &Target, transfer: &Transfer) -> ExitCode {
    // Databases are chosen on the way.
    let target = &Target { db: 0, ..target.clone() };
    let done = match transfer {
        Transfer::Export { format, pattern, db } => export(target, *format, pattern.as_deref(), *db),
        Transfer::Import { file, settings, rdb } => import(target, file.as_deref(), *settings, *rdb),
    };
    match done {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("kv-cli: {problem}");
            ExitCode::from(problem.status())
        }
    }
}

#[allow(clippy::disallowed_methods)] // how long it took is told to the user
fn clock() -> Instant {
    Instant::now()
}

fn export(target: &Target, format: Format, pattern: Option<&[u8]>, db: Option<u32>) -> Result<ExitCode, Problem> {
    if format == Format::Msgpack && io::stdout().is_terminal() {
        return Err(Problem::failed("MessagePack is no text for a terminal: kv-cli export --format msgpack > FILE"));
    }
    let begin = clock();
    let mut wire = Wire::open(target)?;
    let server = export::server_name(&mut wire)?;
    let mut databases = export::databases(&mut wire)?;
    if let Some(db) = db {
        let keys = databases.iter().find(|(number, _)| *number == db).map_or(0, |&(_, keys)| keys);
        databases = vec![(db, keys)];
    }
    let progress = Progress::of_keys(databases.iter().map(|&(_, keys)| keys).sum());
    let output = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let writer = Writer::new(output, format, &server).map_err(|error| export::output(&error))?;
    let mut exporter = Exporter::new(wire, writer, pattern, progress)?;
    for (db, _) in databases {
        exporter.database(db)?;
    }
    let Exported { keys, databases, bytes, strange } = exporter.finish()?;
    let databases = counted(databases as u64, "database");
    eprintln!("exported {} of {databases}, {} in {}", counted(keys, "key"), size(bytes), span(begin.elapsed()));
    if strange.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for (kind, keys) in strange {
        eprintln!("kv-cli: left out {} of type {kind}, which has no form in a file", counted(keys, "key"));
    }
    Ok(ExitCode::from(1))
}

fn import(target: &Target, file: Option<&Path>, settings: Settings, rdb: bool) -> Result<ExitCode, Problem> {
    let begin = clock();
    let name = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let named = |problem| match problem {
        Problem::Failed(text) => Problem::Failed(format!("{name}: {text}")),
        other => other,
    };
    let failed = |error: io::Error| named(Problem::failed(error.to_string()));
    let (input, total): (Box<dyn Read>, _) = match file {
        Some(path) => {
            let file = File::open(path).map_err(failed)?;
            let facts = file.metadata().map_err(failed)?;
            if facts.is_file() {
                verify_dump(&file).map_err(named)?;
            }
            (Box::new(file), facts.is_file().then_some(facts.len()))
        }
        None => (Box::new(io::stdin()), None),
    };
    let mut input = BufReader::with_capacity(1 << 20, input);
    // Before the server is asked for anything: a wrong file is told at once.
    let mut source = Source::of(&mut input, rdb).map_err(named)?;
    let wire = Wire::open(target)?;
    let progress = Progress::of_bytes(total);
    let mut importer = Importer::new(wire, settings)?;
    loop {
        let item = source.next_item().map_err(named)?;
        for (place, code) in source.take_libraries() {
            importer.library(place, &code).map_err(named)?;
        }
        let Some((place, item)) = item else { break };
        importer.put(place, item).map_err(named)?;
        progress.at(source.bytes());
        progress.say_keys(importer.keys());
    }
    let bytes = source.bytes();
    let Imported { keys, existing, expired, pending_lost, libraries } = importer.finish().map_err(named)?;
    drop(progress);
    eprintln!("imported {}, {} in {}", counted(keys, "key"), size(bytes), span(begin.elapsed()));
    let of_functions = |count| format!("{} of functions", counted_as(count, "library", "libraries"));
    if libraries.loaded > 0 {
        eprintln!("loaded {}", of_functions(libraries.loaded));
    }
    if libraries.existing > 0 {
        eprintln!("left {} as they were, which exist (--replace replaces them)", of_functions(libraries.existing));
    }
    if libraries.unknown > 0 {
        eprintln!("left out {}, which the server does not know", of_functions(libraries.unknown));
    }
    if existing > 0 {
        eprintln!("left {} as they were, which exist (--replace replaces them)", counted(existing, "key"));
    }
    if expired > 0 {
        eprintln!("left out {} whose time is over", counted(expired, "key"));
    }
    if pending_lost > 0 {
        eprintln!("left out {pending_lost} pending of stream entries that are deleted");
    }
    Ok(if source.tell_left_out() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// What items are read from.
enum Source<'r> {
    Export(file::Reader<&'r mut dyn BufRead>),
    Dump(Box<rdb::Reader<&'r mut dyn BufRead>>),
}

impl<'r> Source<'r> {
    /// Finds out by its first byte what kind of file it is.
    fn of(input: &'r mut dyn BufRead, must_be_dump: bool) -> Result<Source<'r>, Problem> {
        let begin = input.fill_buf().map_err(|error| Problem::failed(error.to_string()))?;
        let Some(&first) = begin.first() else { return Err(Problem::failed("it is empty")) };
        match Format::of_first_byte(first) {
            Some(format) if !must_be_dump => Ok(Source::Export(file::Reader::new(input, format))),
            None if first != rdb::MAGIC[0] && !must_be_dump => {
                Err(Problem::failed("it is neither a file of kv-cli export nor a dump of Redis"))
            }
            _ => match rdb::Reader::new(input) {
                Ok(reader) => Ok(Source::Dump(Box::new(reader))),
                Err(damage) => Err(Problem::failed(damage.to_string())),
            },
        }
    }

    fn next_item(&mut self) -> Result<Option<(Place, Item)>, Problem> {
        match self {
            Source::Export(reader) => reader.next_item().map_err(|bad| Problem::failed(bad.to_string())),
            Source::Dump(reader) => match reader.next_item() {
                Ok(item) => Ok(item.map(|(offset, item)| (Place::Offset(offset), item))),
                Err(damage) => Err(Problem::failed(damage.to_string())),
            },
        }
    }

    /// The code of libraries of functions in front of the last item.
    fn take_libraries(&mut self) -> Vec<(Place, Bytes)> {
        match self {
            Source::Export(_) => Vec::new(),
            Source::Dump(reader) => {
                reader.take_libraries().into_iter().map(|(offset, code)| (Place::Offset(offset), code)).collect()
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Source::Export(reader) => reader.bytes(),
            Source::Dump(reader) => reader.bytes(),
        }
    }

    /// Tells what is in the file and was not imported; whether keys are among it.
    fn tell_left_out(&self) -> bool {
        let Source::Dump(reader) = self else { return false };
        let rdb::LeftOut { module_keys, module_data } = reader.left_out();
        for (module, times) in module_data {
            eprintln!("left out data of module {module} that belongs to no key ({})", counted(*times, "time"));
        }
        for (module, keys) in module_keys {
            eprintln!("kv-cli: left out {} of module {module}: only it can read them", counted(*keys, "key"));
        }
        !module_keys.is_empty()
    }
}

/// A dump on disk is read through to its checksum before its first key is written.
fn verify_dump(file: &File) -> Result<(), Problem> {
    let failed = |error: io::Error| Problem::failed(error.to_string());
    let length = file.metadata().map_err(failed)?.len();
    let mut whole = BufReader::with_capacity(1 << 20, file);
    if whole.fill_buf().map_err(failed)?.starts_with(rdb::MAGIC) {
        rdb::verify(&mut whole, length).map_err(|damage| Problem::failed(damage.to_string()))?;
    }
    whole.into_inner().rewind().map_err(failed)
}

fn counted(count: u64, what: &str) -> String {
    counted_as(count, what, &format!("{what}s"))
}

fn counted_as(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn span(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
