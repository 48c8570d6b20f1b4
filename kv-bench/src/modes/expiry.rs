//! How late keys vanish when their time has come and nobody touches them.
//!
//! Keys are set with moments (PXAT) spread evenly over a span that begins when all are set. Then DBSIZE is asked every
//! millisecond: as many keys as are missing have vanished, and since they vanish in the order of their moments, each
//! has a lag. The lag of a key is an upper bound by the time between two looks; if keys vanish out of order, the lags of
//! two keys are exchanged, not lost. The server's clock must be ours: run it on the same machine.

use std::time::Duration;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use kv_core::resp::client::{Value, encode_request};
use serde::Serialize;

use crate::args::Expiry;
use crate::clock::{pause, unix_ns};
use crate::driver::latency_histogram;
use crate::report::{Style, json};
use crate::result::Latency;
use crate::server::{Client, Server};

/// Keys set with one write.
const BATCH_KEYS: u64 = 256;

#[derive(Serialize)]
struct ExpiryResult {
    keys: u64,
    spread_ms: u64,
    lag_ms: Latency,
    /// Keys that were still there when patience ended; they have no lag.
    left: u64,
    /// The most keys that were missing before their time.
    early: u64,
    /// The longest time between two looks, which the lags may be too long by.
    blind_ms: f64,
}

pub fn run(server: &Server, options: &Expiry, style: Style) -> Result<bool> {
    let mut client = server.connect()?;
    let others = keys_in(&mut client)?;
    let lead_ms = options.lead_ms.unwrap_or(1000 + options.keys / 100);
    let plan = Plan { first_ms: unix_ns() / 1_000_000 + lead_ms, spread_ms: options.spread_ms, keys: options.keys };
    set_keys(&mut client, &plan, options.data_bytes)?;
    if unix_ns() / 1_000_000 >= plan.first_ms {
        bail!("setting the keys took longer than {lead_ms} ms: raise --lead-ms");
    }
    let watch = watch(&mut client, &plan, others, options.patience_ms)?;
    let result = ExpiryResult {
        keys: options.keys,
        spread_ms: options.spread_ms,
        lag_ms: Latency::of(&watch.lag),
        left: options.keys - watch.gone,
        early: watch.early,
        blind_ms: (watch.blind_ns as f64 / 1e3).round() / 1e3,
    };
    print!("{}", result.text(style));
    Ok(result.left == 0 && result.early == 0)
}

/// The moments at which keys are due.
struct Plan {
    first_ms: u64,
    spread_ms: u64,
    keys: u64,
}

impl Plan {
    fn due_ms(&self, key: u64) -> u64 {
        self.first_ms + (u128::from(key) * u128::from(self.spread_ms) / u128::from(self.keys)) as u64
    }

    /// How many keys are due at a moment.
    fn due_at(&self, unix_ns: u64) -> u64 {
        let (mut low, mut high) = (0, self.keys);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.due_ms(middle) * 1_000_000 <= unix_ns { low = middle + 1 } else { high = middle }
        }
        low
    }
}

fn set_keys(client: &mut Client, plan: &Plan, data_bytes: usize) -> Result<()> {
    let data = "x".repeat(data_bytes);
    let mut requests = Vec::new();
    let mut next = 0;
    while next < plan.keys {
        let count = BATCH_KEYS.min(plan.keys - next);
        requests.clear();
        for key in next..next + count {
            let (name, due) = (format!("expiry:{key:012}"), plan.due_ms(key).to_string());
            encode_request(&mut requests, &["SET", &name, &data, "PXAT", &due]);
        }
        client.must_all(&requests, count as usize)?;
        next += count;
    }
    Ok(())
}

fn keys_in(client: &mut Client) -> Result<u64> {
    match client.must(&["DBSIZE"])? {
        Value::Int(keys) => Ok(u64::try_from(keys)?),
        other => bail!("DBSIZE answered {other:?}"),
    }
}

struct Watch {
    /// Nanoseconds.
    lag: Histogram<u64>,
    gone: u64,
    early: u64,
    blind_ns: u64,
}

impl Watch {
    /// At a moment so many keys were gone.
    fn look(&mut self, plan: &Plan, gone: u64, unix_ns: u64) {
        self.early = self.early.max(gone.saturating_sub(plan.due_at(unix_ns)));
        for key in self.gone..gone {
            self.lag.saturating_record(unix_ns.saturating_sub(plan.due_ms(key) * 1_000_000));
        }
        self.gone = self.gone.max(gone);
    }
}

fn watch(client: &mut Client, plan: &Plan, others: u64, patience_ms: u64) -> Result<Watch> {
    let mut watch = Watch { lag: latency_histogram(), gone: 0, early: 0, blind_ns: 0 };
    let end_ns = (plan.due_ms(plan.keys - 1) + patience_ms) * 1_000_000;
    let mut before_ns = plan.first_ms * 1_000_000;
    while watch.gone < plan.keys {
        let left = keys_in(client)?.saturating_sub(others);
        let at_ns = unix_ns();
        watch.look(plan, plan.keys.saturating_sub(left), at_ns);
        if at_ns > before_ns {
            watch.blind_ns = watch.blind_ns.max(at_ns - before_ns);
            before_ns = at_ns;
        }
        if at_ns > end_ns {
            break;
        }
        pause(Duration::from_millis(1));
    }
    Ok(watch)
}

impl ExpiryResult {
    fn text(&self, style: Style) -> String {
        match style {
            Style::Json => json(self),
            Style::Csv => format!(
                "\"keys\",\"spread_ms\",\"lag_p50_ms\",\"lag_p99_ms\",\"lag_max_ms\",\"left\",\"early\",\"blind_ms\"\n\
                 {},{},{:.3},{:.3},{:.3},{},{},{:.3}\n",
                self.keys,
                self.spread_ms,
                self.lag_ms.p50,
                self.lag_ms.p99,
                self.lag_ms.max,
                self.left,
                self.early,
                self.blind_ms
            ),
            Style::Full | Style::Quiet => format!(
                "{} keys expiring over {} ms\n  lag ms: {}\n  still there: {}, gone before their time: {}, longest time \
                 between two looks: {:.3} ms\n",
                self.keys, self.spread_ms, self.lag_ms, self.left, self.early, self.blind_ms
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { first_ms: 1000, spread_ms: 100, keys: 10 };

    #[test]
    fn keys_are_due_evenly() {
        assert_eq!((0..10).map(|key| PLAN.due_ms(key)).collect::<Vec<_>>()[..3], [1000, 1010, 1020]);
        assert_eq!(PLAN.due_at(999_999_999), 0);
        assert_eq!(PLAN.due_at(1_000_000_000), 1);
        assert_eq!(PLAN.due_at(1_019_999_999), 2);
        assert_eq!(PLAN.due_at(u64::MAX), 10);
    }

    #[test]
    fn each_key_that_vanished_has_its_lag_and_early_ones_are_told() {
        let mut watch = Watch { lag: latency_histogram(), gone: 0, early: 0, blind_ns: 0 };
        watch.look(&PLAN, 0, 1_005_000_000);
        watch.look(&PLAN, 2, 1_012_000_000); // due at 1000 and 1010
        assert_eq!((watch.lag.len(), watch.early), (2, 0));
        let ms = |ns: u64| (ns as f64 / 1e6).round() as u64;
        assert_eq!((ms(watch.lag.min()), ms(watch.lag.max())), (2, 12));
        watch.look(&PLAN, 5, 1_021_000_000); // the keys of 1030 and 1040 have no business to be gone
        assert_eq!(watch.early, 2);
        watch.look(&PLAN, 4, 1_022_000_000); // a key that came back changes nothing
        assert_eq!((watch.gone, watch.lag.len()), (5, 5));
    }
}
