//! `--hlog`: an interval log of HdrHistogram (version 1.3, compressed), a line a second, tagged with the test.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::clock::unix_ns;
use crate::driver::Interval;

pub struct Hlog {
    file: BufWriter<File>,
    begun: bool,
    start_ns: u64,
}

impl Hlog {
    pub fn create(path: &Path) -> Result<Hlog> {
        Ok(Hlog { file: BufWriter::new(File::create(path)?), begun: false, start_ns: unix_ns() })
    }

    /// Adds a second that has just ended.
    pub fn add(&mut self, test: &str, interval: &Interval) -> Result<()> {
        let now_ns = unix_ns();
        let start = Duration::from_nanos(now_ns.saturating_sub(self.start_ns).saturating_sub(interval.length_ns));
        // A tag is one word.
        let tag: String = test.chars().map(|c| if c.is_whitespace() || c == ',' { '_' } else { c }).collect();
        let mut serializer = V2DeflateSerializer::new();
        let mut lines = Vec::new();
        {
            let mut builder = IntervalLogWriterBuilder::new();
            if !self.begun {
                builder
                    .add_comment(
                        "kv-bench: latency from when requests were due, in nanoseconds; Interval_Max in milliseconds",
                    )
                    .with_start_time(UNIX_EPOCH + Duration::from_nanos(self.start_ns));
            }
            builder.with_max_value_divisor(1e6);
            let mut log = builder.begin_log_with(&mut lines, &mut serializer)?;
            let length = Duration::from_nanos(interval.length_ns);
            log.write_histogram(&interval.latency, start, length, Tag::new(&tag))
                .map_err(|problem| anyhow!("{problem:?}"))?;
        }
        // Every writer begins with a head of its own; the file has one.
        let lines = if self.begun { without_head(&lines) } else { &lines };
        self.begun = true;
        self.file.write_all(lines)?;
        Ok(self.file.flush()?)
    }
}

fn without_head(mut lines: &[u8]) -> &[u8] {
    while lines.first().is_some_and(|first| matches!(first, b'#' | b'"')) {
        let end = lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1);
        lines = &lines[end..];
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::latency_histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn seconds_are_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.hlog");
        let mut log = Hlog::create(&path).unwrap();
        for number in 0..3 {
            let mut latency = latency_histogram();
            (0..=number).for_each(|n| latency.record(1_000_000 * (n + 1)).unwrap());
            let interval = Interval { number, start_ns: number, length_ns: 1_000_000_000, latency, errors: 0 };
            log.add("MSET (10 keys)", &interval).unwrap();
        }
        let text = std::fs::read(&path).unwrap();
        let mut seen = Vec::new();
        let mut starts = 0;
        for entry in IntervalLogIterator::new(&text) {
            match entry.unwrap() {
                LogEntry::StartTime(_) => starts += 1,
                LogEntry::Interval(interval) => {
                    assert_eq!(interval.tag().map(|tag| tag.as_str()), Some("MSET_(10_keys)"));
                    let bytes = base64(interval.encoded_histogram());
                    let histogram: hdrhistogram::Histogram<u64> =
                        Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                    seen.push((histogram.len(), interval.max().round() as u64));
                }
                LogEntry::BaseTime(_) => {}
            }
        }
        assert_eq!((starts, seen), (1, vec![(1, 1), (2, 2), (3, 3)]));
    }

    fn base64(text: &str) -> Vec<u8> {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut bytes = Vec::new();
        let (mut bits, mut count) = (0u32, 0);
        for letter in text.bytes().filter(|letter| *letter != b'=') {
            bits = bits << 6 | LETTERS.iter().position(|known| *known == letter).unwrap() as u32;
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count) as u8);
            }
        }
        bytes
    }
}
