//! LOLWUT MEMORY TIME.

use super::info::Totals;
use super::{Call, Done, HostFn, REDIS_VERSION, help};
use kv_core::command::Args;
use kv_core::resp::Reply;
use std::fmt::Write;

pub(super) const HANDLERS: &[(&str, HostFn)] = &[
    ("LOLWUT", lolwut),
    ("MEMORY|DOCTOR", memory_doctor),
    ("MEMORY|HELP", help),
    ("MEMORY|MALLOC-STATS", memory_malloc_stats),
    ("MEMORY|PURGE", memory_purge),
    ("MEMORY|STATS", memory_stats),
    ("TIME", time),
];

fn time(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let now_us = call.worker.now_us;
    reply.array(2);
    reply.bulk_int((now_us / 1_000_000) as i64);
    reply.bulk_int((now_us % 1_000_000) as i64);
    Ok(())
}

fn memory_purge(_: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.ok();
    Ok(())
}

fn memory_malloc_stats(_: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    reply.bulk(b"Stats not supported for the current allocator");
    Ok(())
}

/// Reply: a map of names and numbers, those of Redis that mean something here; per database a map in the map.
fn memory_stats(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let totals = Totals::of(call.worker);
    let (used, resident) = (totals.used_memory(), totals.process.resident_bytes);
    let keys: u64 = totals.databases.iter().map(|db| db.keys).sum();
    let filled = || totals.databases.iter().filter(|db| db.keys > 0);
    let integers = [
        ("peak.allocated", totals.peak_memory),
        ("total.allocated", used),
        ("startup.allocated", 0),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", totals.client_bytes),
        ("cluster.links", 0),
        ("aof.buffer", 0),
        ("lua.caches", 0),
        ("functions.caches", 0),
        ("overhead.total", totals.overhead()),
        ("keys.count", keys),
        ("keys.bytes-per-key", totals.dataset_bytes.checked_div(keys).unwrap_or(0)),
        ("dataset.bytes", totals.dataset_bytes),
        ("allocator.allocated", used),
        ("allocator.active", resident),
        ("allocator.resident", resident),
    ];
    let percent = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
    let doubles = [
        ("dataset.percentage", percent(totals.dataset_bytes, used)),
        ("peak.percentage", percent(used, totals.peak_memory)),
        ("fragmentation", totals.fragmentation()),
    ];
    reply.map(integers.len() + doubles.len() + 1 + filled().count());
    for (name, value) in integers {
        reply.bulk(name.as_bytes());
        reply.int(value as i64);
    }
    for db in filled() {
        reply.bulk(format!("db.{}", db.index).as_bytes());
        reply.map(1);
        reply.bulk(b"keys.count");
        reply.int(db.keys as i64);
    }
    for (name, value) in doubles {
        reply.bulk(name.as_bytes());
        reply.double(value);
    }
    reply.bulk(b"fragmentation.bytes");
    reply.int(resident as i64 - used as i64);
    Ok(())
}

/// Below this much data, ratios say nothing.
const DOCTOR_BYTES_MIN: u64 = 5 << 20;

fn memory_doctor(call: &mut Call<'_>, _: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    let totals = Totals::of(call.worker);
    let used = totals.used_memory();
    let mut text = String::new();
    if used < DOCTOR_BYTES_MIN {
        text.push_str("There is hardly any data yet, so nothing can be said about memory.\n");
    } else {
        let mut found = |what: String| {
            text.push_str(" * ");
            text.push_str(&what);
            text.push('\n');
        };
        if totals.peak_memory > used + used / 2 {
            found(format!(
                "Peak: at some time {} bytes were in use, now only {used}. The process may keep what it once needed.",
                totals.peak_memory
            ));
        }
        if totals.fragmentation() > 1.4 {
            found(format!(
                "Fragmentation: the process holds {:.2} bytes for each byte in use.",
                totals.fragmentation()
            ));
        }
        if totals.client_bytes > used / 2 {
            found(format!(
                "Clients: buffers of connections take {} of {used} bytes. Look for connections that do not read their \
                 replies (CLIENT LIST, omem).",
                totals.client_bytes
            ));
        }
        let heaviest = totals.shards.iter().map(|shard| shard.used_memory).max().unwrap_or(0);
        if totals.shards.len() > 1 && heaviest > 2 * totals.dataset_bytes / totals.shards.len() as u64 {
            found(format!(
                "Shards: one of {} holds {heaviest} of {} bytes of data. Keys with one {{tag}} lie on one shard.",
                totals.shards.len(),
                totals.dataset_bytes
            ));
        }
        text = match text.as_str() {
            "" => "Nothing is wrong with memory.\n".into(),
            found => format!("Some things about memory are worth a look:\n\n{found}"),
        };
    }
    reply.verbatim("txt", text.as_bytes());
    Ok(())
}

const PICTURE_COLUMNS: usize = 40;
const PICTURE_ROWS: usize = 8;

/// A maze of slashes with a key in it, another one every time. Words after LOLWUT that mean nothing are passed over, as in
/// Redis.
fn lolwut(call: &mut Call<'_>, args: &mut Args<'_>, reply: &mut Reply<'_>) -> Done {
    if args.left() > 1 && args.keyword("VERSION") {
        args.int()?;
    }
    const KEY: &[u8] = b" o-mm ";
    let worker = &mut *call.worker;
    let place = worker.random() as usize % (PICTURE_COLUMNS - KEY.len() + 1);
    let key_row = worker.random() as usize % PICTURE_ROWS;
    let mut text = String::new();
    for row in 0..PICTURE_ROWS {
        let mut bits = worker.random();
        for column in 0..PICTURE_COLUMNS {
            let in_key = if row == key_row { column.checked_sub(place).and_then(|i| KEY.get(i)) } else { None };
            text.push(match in_key {
                Some(&byte) => char::from(byte),
                None if bits & 1 == 0 => '/',
                None => '\\',
            });
            bits >>= 1;
        }
        text.push('\n');
    }
    // Clients look for the words "Redis ver." here.
    let _ = writeln!(text, "\nkv ver. {} (Redis ver. {REDIS_VERSION})", env!("CARGO_PKG_VERSION"));
    reply.verbatim("txt", text.as_bytes());
    Ok(())
}
