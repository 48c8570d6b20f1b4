//! INFO's text as fields, and figures as people read them.

use std::collections::HashMap;

use kv_core::resp::client::Value;

use crate::wire::text_of;

/// The fields of an INFO reply; empty for a server that does not tell.
#[derive(Clone, Debug, Default)]
pub struct Info {
    fields: HashMap<String, String>,
}

impl Info {
    pub fn read(reply: &Value) -> Info {
        if reply.is_error() { Info::default() } else { Info::parse(&text_of(reply)) }
    }

    pub fn parse(text: &str) -> Info {
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim_end().to_owned()))
        };
        Info { fields: text.lines().filter_map(field).collect() }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok()
    }

    /// A count; 0 if it is not told.
    pub fn count(&self, name: &str) -> u64 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The fields whose names begin so, with what follows in the name, sorted by it: `db0`, `shard1`, `cmdstat_get`.
    pub fn family<'i>(&'i self, prefix: &'i str) -> Vec<(&'i str, Parts<'i>)> {
        let of = |(name, value): (&'i String, &'i String)| Some((name.strip_prefix(prefix)?, Parts(value)));
        let mut family: Vec<_> = self.fields.iter().filter_map(of).filter(|(_, parts)| parts.0.contains('=')).collect();
        family.sort_by_key(|(name, _)| (name.len(), *name));
        family
    }

    /// Keys of all databases.
    pub fn keys(&self) -> u64 {
        self.family("db").iter().map(|(_, parts)| parts.count("keys")).sum()
    }
}

/// `keys=1,expires=0`
#[derive(Clone, Copy, Debug)]
pub struct Parts<'i>(&'i str);

impl Parts<'_> {
    pub fn number(&self, name: &str) -> Option<f64> {
        self.0.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).and_then(|text| text.parse().ok())
    }

    pub fn count(&self, name: &str) -> u64 {
        self.number(name).map_or(0, |number| number as u64)
    }
}

/// `1.5M`
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "K", "M", "G", "T", "P"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || amount >= 100.0 { 0 } else { 1 };
    format!("{amount:.digits$}{}", UNITS[unit])
}

/// `1.2M`: a number of things.
pub fn count_text(count: f64) -> String {
    match count {
        1e9.. => format!("{:.2}G", count / 1e9),
        1e6.. => format!("{:.2}M", count / 1e6),
        1e4.. => format!("{:.1}k", count / 1e3),
        _ => format!("{count:.0}"),
    }
}

/// `1,234,567`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2d 3h`, `4m 5s`, `350ms`: the two largest units.
pub fn span_text(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let Some(first) = UNITS.iter().position(|&(unit, _)| ms >= unit) else { return format!("{ms}ms") };
    let (unit, name) = UNITS[first];
    let mut text = format!("{}{name}", ms / unit);
    if let Some(&(smaller, name)) = UNITS.get(first + 1)
        && ms % unit / smaller > 0
    {
        text += &format!(" {}{name}", ms % unit / smaller);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_by_family() {
        let info = Info::parse("# Keyspace\r\ndb0:keys=3,expires=1\r\ndb10:keys=2\r\ndb2:keys=1\r\nused_memory:5\r\n");
        let names: Vec<&str> = info.family("db").into_iter().map(|(name, _)| name).collect();
        assert_eq!((names, info.keys()), (vec!["0", "2", "10"], 6));
        assert_eq!((info.count("used_memory"), info.count("nothing"), info.number("nothing")), (5, 0, None));
        assert_eq!(Info::read(&Value::Error(b"ERR".to_vec())).keys(), 0);
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([0, 1023, 1536, 200 << 20].map(bytes_text), ["0B", "1023B", "1.5K", "200M"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([350, 1500, 65_000, 3_600_000, 90_000_000].map(span_text), ["350ms", "1s", "1m 5s", "1h", "1d 1h"]);
        assert_eq!([999.0, 12_345.0, 2_500_000.0].map(count_text), ["999", "12.3k", "2.50M"]);
    }
}
