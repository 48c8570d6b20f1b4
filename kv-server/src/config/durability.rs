//! The values of the options about persistence: `save` and `appendfsync`.

/// A snapshot is taken by itself once so many seconds have passed since the last one and so many writes have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// At least 1.
    pub seconds: u64,
    pub changes: u64,
}

/// `save`: any number of points, of which each suffices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavePoints(pub Vec<SavePoint>);

impl Default for SavePoints {
    fn default() -> SavePoints {
        let point = |seconds, changes| SavePoint { seconds, changes };
        SavePoints(vec![point(3600, 1), point(300, 100), point(60, 10_000)])
    }
}

impl SavePoints {
    /// Pairs of seconds and changes. Errors: Redis's words.
    pub(super) fn parse(words: &[&str]) -> Result<SavePoints, String> {
        const BAD: &str = "Invalid save parameters";
        let (pairs, odd) = words.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(BAD.into());
        }
        let number = |text: &str| text.parse::<i64>().ok().and_then(|n| u64::try_from(n).ok()).ok_or(BAD);
        let points = pairs.iter().map(|[seconds, changes]| {
            let point = SavePoint { seconds: number(seconds)?, changes: number(changes)? };
            if point.seconds == 0 { Err(BAD) } else { Ok(point) }
        });
        Ok(SavePoints(points.collect::<Result<_, _>>()?))
    }

    /// What [`SavePoints::parse`] reads back.
    pub(super) fn words(&self) -> Vec<String> {
        self.0.iter().flat_map(|point| [point.seconds.to_string(), point.changes.to_string()]).collect()
    }
}

/// `appendfsync`: when the log is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// What leaves the server is on disk.
    Always,
    EverySecond,
    /// When the system does it by itself.
    No,
}

impl Fsync {
    /// In the order of Redis's error.
    pub(super) const NAMES: &[&str] = &["everysec", "always", "no"];

    pub(super) fn name(self) -> &'static str {
        match self {
            Fsync::EverySecond => "everysec",
            Fsync::Always => "always",
            Fsync::No => "no",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Fsync> {
        [Fsync::EverySecond, Fsync::Always, Fsync::No].into_iter().find(|fsync| fsync.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn save_points_are_pairs_and_nothing_is_none() {
        let text = "3600 1 300 100 60 10000";
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(SavePoints::parse(&words), Ok(SavePoints::default()));
        assert_eq!(SavePoints::default().words().join(" "), text);
        assert_eq!(SavePoints::parse(&[]), Ok(SavePoints(Vec::new())));
        assert_eq!(SavePoints::parse(&["1", "0"]).unwrap().0, [SavePoint { seconds: 1, changes: 0 }]);
    }

    #[test]
    fn what_is_no_save_point_is_refused_in_the_words_of_redis() {
        for words in [&["900"][..], &["0", "1"], &["1", "-1"], &["a", "b"], &["1", "1", "2"], &["1", "1e3"]] {
            assert_eq!(SavePoints::parse(words), Err("Invalid save parameters".into()), "{words:?}");
        }
    }
}
