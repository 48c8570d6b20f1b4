//! What is in a folder, and what of it is damaged; and a folder without damage made of what can be read.
//!
//! `check` reads each file by itself, to find all that is damaged, and then loads everything as a start would. `repair`
//! loads what can be, writes it as a new base, and keeps each file that was in use under another name.

use super::keeper::{MANIFEST, parse, write_manifest};
use super::recover::{Crew, Cut, Losses, Progress, RecoverError, Recovered, Wanted, read_manifest, recover, salvage};
use super::{Disk, DiskFile};
use crate::config::Config;
use crate::engine::worker::settings;
use kv_core::command::Settings;
use kv_core::persist::ReadError;
use kv_core::persist::frame::{End, Scanner};
use kv_core::persist::manifest::{Base, Manifest, base_name, segment_name};
use kv_core::persist::snapshot::{Codec, Header, Reader, Writer};
use kv_core::store::{Db, KeyHasher, Shard, UnixMs};
use std::io::{self, BufReader, Read};

const READ_BYTES: usize = 1 << 20;
/// Bytes that are serialised between two writes.
const STEP_BYTES: usize = 1 << 20;

/// What a start would say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// The end of the log is not whole: a start cuts it.
    Torn,
    /// A start refuses.
    Damaged,
}

pub struct Report {
    /// For people.
    pub lines: Vec<String>,
    pub verdict: Verdict,
}

/// Reads everything and changes nothing.
pub fn check(disk: &dyn Disk, crew: &dyn Crew, now: UnixMs) -> Report {
    let mut lines = Vec::new();
    let manifest = match read_manifest(disk) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return Report { lines: vec!["there is no data".into()], verdict: Verdict::Fine },
        Err(error) => return Report { lines: vec![format!("DAMAGED {error}")], verdict: Verdict::Damaged },
    };
    let settings = settings_for(&manifest);
    let files = files_of(&manifest);
    for name in &files {
        let told = match look_at(disk, name, &settings) {
            Ok(what) => format!("{name}: {what}"),
            Err(error) => format!("DAMAGED {error}"),
        };
        lines.push(told);
    }
    for name in disk.list().unwrap_or_default() {
        if parse(&name).is_some() && !files.contains(&name) {
            lines.push(format!("{name}: {MANIFEST} does not name it, and a start removes it"));
        }
    }
    match any_databases(&manifest, now, |wanted| recover(disk, &manifest, wanted, crew, &Progress::default())) {
        Ok(recovered) => {
            lines.push(summary(&recovered));
            // What is damaged may be behind the last epoch that counts.
            let verdict = match &recovered.cut {
                None => Verdict::Fine,
                Some(cut) => {
                    lines.push(torn(cut));
                    Verdict::Torn
                }
            };
            Report { lines, verdict }
        }
        Err(error) => {
            lines.push(format!("a start refuses: {error}"));
            Report { lines, verdict: Verdict::Damaged }
        }
    }
}

/// Makes a folder that a start takes of what can be read. Files that were in use get `suffix` behind their names.
///
/// Errors: there is no manifest that could be read, or the disk fails; then the folder is as it was, or has both.
pub fn repair(disk: &dyn Disk, crew: &dyn Crew, now: UnixMs, suffix: &str) -> Result<Vec<String>, String> {
    let Some(manifest) = read_manifest(disk).map_err(|error| {
        format!("{error}. Without it nobody knows where keys belong: it has to come from a backup of the folder")
    })?
    else {
        return Ok(vec!["there is no data".into()]);
    };
    let salvaged = any_databases(&manifest, now, |wanted| salvage(disk, &manifest, wanted, crew, &Progress::default()));
    let (mut recovered, Losses { damage, records }) = salvaged.map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    if damage.is_empty() {
        lines.push(summary(&recovered));
        lines.extend(recovered.cut.as_ref().map(torn));
        lines.push("nothing is damaged, and nothing was changed".into());
        return Ok(lines);
    }
    lines.extend(damage.iter().map(|error| format!("LOST from here on: {error}")));
    if records > 0 {
        lines.push(format!("LOST {records} changes of the log to keys that could not be read"));
    }
    let failed = |what: &str, error: io::Error| format!("{what}: {error}");
    let base = write_base(disk, &manifest, &mut recovered, now)
        .map_err(|error| failed("what can be read could not be written", error))?;
    keep_copy(disk, MANIFEST, suffix).map_err(|error| failed(MANIFEST, error))?;
    let mended = Manifest { hash_seed: manifest.hash_seed, base: Some(base), segments: Vec::new() };
    write_manifest(disk, &mended).map_err(|error| failed(MANIFEST, error))?;
    for name in files_of(&manifest) {
        match disk.rename(&name, &format!("{name}{suffix}")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&name, error)),
            _ => {}
        }
    }
    disk.sync_folder().map_err(|error| failed("the folder", error))?;
    lines.push(summary(&recovered));
    lines.push(format!("the folder is mended; what it was made of has {suffix} behind its names"));
    Ok(lines)
}

/// Calls `load` with as many databases as the data needs.
fn any_databases<T>(
    manifest: &Manifest,
    now: UnixMs,
    load: impl Fn(&Wanted) -> Result<T, RecoverError>,
) -> Result<T, RecoverError> {
    let mut databases = Config::default().databases as usize;
    loop {
        let wanted =
            Wanted { shards: last_shards(manifest), databases, settings: settings_for(manifest), seed: 1, now };
        match load(&wanted) {
            Err(RecoverError { databases_needed: Some(needed), .. }) if needed > databases => databases = needed,
            loaded => return loaded,
        }
    }
}

fn settings_for(manifest: &Manifest) -> Settings {
    settings(&Config::default(), &KeyHasher::new(manifest.hash_seed))
}

/// How many shards there were at the end.
fn last_shards(manifest: &Manifest) -> usize {
    let of_log = manifest.segments.last().map(|segment| segment.shards as usize);
    of_log.or(manifest.base.as_ref().map(|base| base.bytes.len())).unwrap_or(1)
}

fn files_of(manifest: &Manifest) -> Vec<String> {
    let base = manifest.base.iter().flat_map(|base| (0..base.bytes.len()).map(|shard| base_name(base.number, shard)));
    base.chain(manifest.segments.iter().map(|segment| segment_name(segment.number))).collect()
}

fn summary(recovered: &Recovered) -> String {
    let keys: usize = recovered.shards.iter().flat_map(|shard| &shard.dbs).map(Db::len).sum();
    let Recovered { epoch, base_keys, epochs, .. } = recovered;
    format!("{keys} keys after epoch {epoch}: {base_keys} of the snapshot, and {epochs} epochs of the log")
}

fn torn(Cut { file, offset, bytes }: &Cut) -> String {
    format!("TORN {file}, at byte {offset}: the last {bytes} bytes are no whole epoch, and a start leaves them out")
}

/// Reads a file by itself.
fn look_at(disk: &dyn Disk, name: &str, settings: &Settings) -> Result<String, RecoverError> {
    let failed = |error: ReadError| RecoverError::read(name, error);
    let file = disk.open(name).map_err(|error| failed(error.into()))?;
    let source: BufReader<Box<dyn Read + Send>> = BufReader::with_capacity(READ_BYTES, file);
    if name.ends_with(".kvsnap") {
        let mut reader = Reader::new(source).map_err(failed)?;
        while reader.next_key(&settings.limits).map_err(failed)?.is_some() {}
        return Ok(format!("{} bytes, {} keys", reader.bytes(), reader.keys()));
    }
    let mut scanner = Scanner::new(source).map_err(failed)?;
    let (mut first, mut epochs) = (None, 0);
    while let Some(frame) = scanner.next_frame().map_err(failed)? {
        first.get_or_insert(frame.epoch);
        epochs += 1;
    }
    let range = match (first, scanner.epoch()) {
        (Some(first), Some(last)) => format!("{epochs} epochs, from {first} to {last}"),
        _ => "no epoch".into(),
    };
    let end = match scanner.end() {
        Some(End::Torn { lost_bytes, .. }) => format!(", then {lost_bytes} bytes that are no whole epoch"),
        _ => String::new(),
    };
    Ok(format!("{} bytes, {range}{end}", scanner.offset()))
}

/// Writes all shards as a base with a number that no file has.
fn write_base(disk: &dyn Disk, manifest: &Manifest, recovered: &mut Recovered, now: UnixMs) -> io::Result<Base> {
    let names = disk.list()?;
    let used = names.iter().filter_map(|name| parse(name)).map(|(_, number)| number);
    let number = used.chain(manifest.base.as_ref().map(|base| base.number)).max().unwrap_or(0) + 1;
    let (epoch, shards) = (recovered.epoch, recovered.shards.len() as u32);
    let mut bytes = Vec::new();
    for shard in &mut recovered.shards {
        let header = Header { number, epoch, shard: shard.index as u32, shards, time: now };
        bytes.push(write_shard(disk, shard, header)?);
    }
    disk.sync_folder()?;
    Ok(Base { number, epoch, bytes })
}

fn write_shard(disk: &dyn Disk, shard: &mut Shard, header: Header) -> io::Result<u64> {
    let mut file: Box<dyn DiskFile> = disk.create(&base_name(header.number, shard.index))?;
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut writer = Writer::new(&header, Codec::Lz4, &mut |block| blocks.push(block));
    // At the first of all moments, so that what is due by now is kept, too: it is no damage.
    shard.begin_snapshot(0);
    loop {
        let is_over = shard.step_snapshot(STEP_BYTES);
        for piece in shard.take_pieces() {
            piece.write(&mut writer, &mut |block| blocks.push(block));
            blocks.drain(..).try_for_each(|block| file.write_all(&block))?;
        }
        if is_over {
            break;
        }
    }
    let written = writer.finish(&mut |block| blocks.push(block));
    blocks.drain(..).try_for_each(|block| file.write_all(&block))?;
    file.sync()?;
    Ok(written.bytes)
}

/// Copies a small file.
fn keep_copy(disk: &dyn Disk, name: &str, suffix: &str) -> io::Result<()> {
    let mut bytes = Vec::new();
    disk.open(name)?.read_to_end(&mut bytes)?;
    let mut copy = disk.create(&format!("{name}{suffix}"))?;
    copy.write_all(&bytes)?;
    copy.sync()
}

#[cfg(test)]
mod tests;
