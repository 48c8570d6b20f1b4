//! `client-output-buffer-limit`: how much unread output a connection may pile up, by class of client.
//!
//! A value is any number of quadruples `class hard soft seconds`; classes that it does not name stay as they were, and
//! of two quadruples for one class the last holds. `slave` and `replica` are the same class.

use super::value::memory;

/// The limits of one class; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which the connection is closed at once.
    pub hard: u64,
    /// Bytes at which it is closed if they stay exceeded for `soft_seconds`.
    pub soft: u64,
    pub soft_seconds: u64,
}

/// The limits of all classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    fn default() -> Self {
        OutputLimits {
            // Redis has no limit here, so that a client which never reads takes all memory there is.
            normal: OutputLimit { hard: 1 << 30, soft: 0, soft_seconds: 0 },
            replica: OutputLimit { hard: 256 << 20, soft: 64 << 20, soft_seconds: 60 },
            pubsub: OutputLimit { hard: 32 << 20, soft: 8 << 20, soft_seconds: 60 },
        }
    }
}

impl OutputLimits {
    /// These limits with the quadruples of `words` put in.
    pub(super) fn merged(mut self, words: &[&str]) -> Result<OutputLimits, String> {
        let (quadruples, rest) = words.as_chunks::<4>();
        if !rest.is_empty() {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        for [class, hard, soft, seconds] in quadruples {
            let limit = match class.to_ascii_lowercase().as_str() {
                "normal" => &mut self.normal,
                "slave" | "replica" => &mut self.replica,
                "pubsub" => &mut self.pubsub,
                _ => return Err("Invalid client class specified in buffer limit configuration.".into()),
            };
            let bad = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
            *limit = OutputLimit {
                hard: memory(hard).ok_or(bad)?,
                soft: memory(soft).ok_or(bad)?,
                soft_seconds: seconds.parse().map_err(|_| bad)?,
            };
        }
        Ok(self)
    }

    /// All classes, in CONFIG GET's order and with its name for the replicas.
    pub(super) fn words(&self) -> Vec<String> {
        [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)]
            .into_iter()
            .flat_map(|(class, limit)| {
                [class.into(), limit.hard.to_string(), limit.soft.to_string(), limit.soft_seconds.to_string()]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(value: &str) -> Result<OutputLimits, String> {
        OutputLimits::default().merged(&value.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn a_class_that_is_not_named_keeps_its_limits() {
        let limits = merged("pubsub 1kb 2k 3").unwrap();
        assert_eq!(limits.pubsub, OutputLimit { hard: 1024, soft: 2000, soft_seconds: 3 });
        assert_eq!(limits.normal, OutputLimits::default().normal);
        assert_eq!(limits.replica, OutputLimits::default().replica);
        assert_eq!(merged("").unwrap(), OutputLimits::default());
    }

    #[test]
    fn replica_and_slave_are_one_class_and_the_last_holds() {
        let limits = merged("REPLICA 1 2 3 slave 4 5 6 normal 7 8 9").unwrap();
        assert_eq!(limits.replica, OutputLimit { hard: 4, soft: 5, soft_seconds: 6 });
        assert_eq!(limits.normal, OutputLimit { hard: 7, soft: 8, soft_seconds: 9 });
    }

    #[test]
    fn bad_values_are_refused_in_redis_words() {
        let count = "Wrong number of arguments in buffer limit configuration.";
        let class = "Invalid client class specified in buffer limit configuration.";
        let number = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        for (value, error) in [
            ("foo", count),
            ("normal 1 2", count),
            ("normal 1 2 3 pubsub", count),
            ("norm 1 2 3", class),
            ("normal 1 2 3 master 1 2 3", class),
            ("normal 1 2 x", number),
            ("normal 1 2 3s", number),
            ("normal 1 -2 3", number),
            ("normal 1tb 2 3", number),
            ("normal 1 2 -3", number),
        ] {
            assert_eq!(merged(value), Err(error.into()), "{value}");
        }
    }

    #[test]
    fn shown_limits_read_back_as_themselves() {
        let limits = merged("normal 1 2 3 slave 4 5 6").unwrap();
        assert_eq!(limits.words().join(" "), "normal 1 2 3 slave 4 5 6 pubsub 33554432 8388608 60");
        assert_eq!(merged(&limits.words().join(" ")).unwrap(), limits);
    }
}
