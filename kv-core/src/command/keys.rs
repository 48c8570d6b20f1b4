//! Where the keys of a request stand: Redis's key specifications.

use super::CommandSpec;

/// What a command does with the keys of one specification; the words are COMMAND's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAccess(pub &'static [&'static str]);

/// Where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At word `n` (0 is the command's name).
    Index(u16),
    /// After the keyword, searched from word `from` on (negative: backwards from the end).
    Keyword { word: &'static str, from: i16 },
    /// Among the options, each read with the words that belong to it, from word `from` on; so what only looks like an
    /// option is none. COMMAND tells this as unknown.
    Options { from: u16, options: &'static [OptionWords] },
}

/// An option's keyword, and how many words follow it.
pub type OptionWords = (&'static str, u16);

/// Which words are keys, counted from where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Up to `last` (0: one key; -1: to the end), every `step` words; `limit` 2 means only the first half, and so on.
    Range { last: i16, step: u16, limit: u16 },
    /// The word `at` tells how many keys follow from `first` on.
    KeyNum { at: u16, first: u16, step: u16 },
    /// The word behind this option, the last one when it is given several times.
    Option(&'static str),
    /// Names made of what the data holds and of a pattern behind one of these options; a pattern without `*` makes none.
    /// So no word is a key, and the keys may be on any shard ([`may_be_anywhere`]).
    Patterns(&'static [&'static str]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    pub begin: Begin,
    pub find: Find,
    pub access: KeyAccess,
}

impl KeySpec {
    /// Keys from word `first` to word `last` (negative: from the end), every `step` words.
    pub const fn range(first: u16, last: i16, step: u16, access: &'static [&'static str]) -> KeySpec {
        let last = if last > 0 { last - first as i16 } else { last };
        KeySpec { begin: Begin::Index(first), find: Find::Range { last, step, limit: 0 }, access: KeyAccess(access) }
    }

    /// One key at word `at`.
    pub const fn one(at: u16, access: &'static [&'static str]) -> KeySpec {
        KeySpec::range(at, at as i16, 1, access)
    }
}

/// Calls `each` with the position of every key of a request of `words` words. `word` gives a word's bytes; it is asked
/// only where a specification needs it. A request that does not fit the specification yields fewer keys or none: its
/// handler will refuse it.
pub fn keys_of<'a>(spec: &CommandSpec, words: usize, word: impl Fn(usize) -> &'a [u8], mut each: impl FnMut(usize)) {
    for key in spec.keys {
        keys_of_one(key, words, &word, &mut each);
    }
}

/// Of a command that waits: calls `each` with the position of every key, and whether it waits for it. It does for those whose
/// content it tells; not for the one that an element is moved to.
pub fn awaited_keys<'a>(
    spec: &CommandSpec,
    words: usize,
    word: impl Fn(usize) -> &'a [u8],
    mut each: impl FnMut(usize, bool),
) {
    for key in spec.keys {
        keys_of_one(key, words, &word, &mut |at| each(at, key.access.0.contains(&"access")));
    }
}

#[inline]
fn keys_of_one<'a>(key: &KeySpec, words: usize, word: &impl Fn(usize) -> &'a [u8], each: &mut impl FnMut(usize)) {
    let start = match key.begin {
        Begin::Options { from, options } => {
            if let Find::Option(wanted) = key.find {
                let mut found = None;
                options_of(from, options, words, word, |option, at| {
                    if option == wanted {
                        found = Some(at);
                    }
                });
                found.into_iter().for_each(each);
            }
            return;
        }
        Begin::Index(at) => usize::from(at),
        Begin::Keyword { word: wanted, from } => {
            let found = if from >= 0 {
                (usize::from(from as u16)..words).find(|&i| word(i).eq_ignore_ascii_case(wanted.as_bytes()))
            } else {
                let end = (words as i64 + i64::from(from) + 1).max(0) as usize;
                (1..end.min(words)).rev().find(|&i| word(i).eq_ignore_ascii_case(wanted.as_bytes()))
            };
            match found {
                Some(at) => at + 1,
                None => return,
            }
        }
    };
    match key.find {
        Find::Range { last, step, limit } => {
            let mut end = if last >= 0 {
                start + usize::from(last as u16)
            } else {
                match words.checked_sub(usize::from(last.unsigned_abs())) {
                    Some(end) => end,
                    None => return,
                }
            };
            if limit > 1 && last < 0 && end >= start {
                end =
                    start + (end + 1 - start) / usize::from(limit) - usize::from(end + 1 - start >= usize::from(limit));
            }
            let mut at = start;
            while at <= end && at < words {
                each(at);
                at += usize::from(step.max(1));
            }
        }
        Find::KeyNum { at, first, step } => {
            let Some(count) = (start + usize::from(at) < words)
                .then(|| crate::resp::number::parse_i64(word(start + usize::from(at))))
                .flatten()
            else {
                return;
            };
            let mut at = start + usize::from(first);
            for _ in 0..count.max(0) {
                if at >= words {
                    break;
                }
                each(at);
                at += usize::from(step.max(1));
            }
        }
        Find::Option(_) | Find::Patterns(_) => debug_assert!(false, "they begin at options"),
    }
}

/// Whether a request may read keys whose names only the data tells: then it needs all shards.
pub fn may_be_anywhere<'a>(spec: &CommandSpec, words: usize, word: impl Fn(usize) -> &'a [u8]) -> bool {
    let mut anywhere = false;
    for key in spec.keys {
        if let (Begin::Options { from, options }, Find::Patterns(of)) = (key.begin, key.find) {
            options_of(from, options, words, &word, |option, at| {
                anywhere |= of.contains(&option) && word(at).contains(&b'*');
            });
        }
    }
    anywhere
}

/// Calls `each` for the options of a request that have a word behind them, with the position of that word.
fn options_of<'a>(
    from: u16,
    options: &'static [OptionWords],
    words: usize,
    word: &impl Fn(usize) -> &'a [u8],
    mut each: impl FnMut(&'static str, usize),
) {
    let mut at = usize::from(from);
    while at + 1 < words {
        let option = options.iter().find(|(name, _)| word(at).eq_ignore_ascii_case(name.as_bytes()));
        if let Some(&(name, 1..)) = option {
            each(name, at + 1);
        }
        at += 1 + option.map_or(0, |&(_, values)| usize::from(values));
    }
}

/// First key, last key and step as the first versions of COMMAND tell them: the run of keys at fixed places, 0 0 0 if
/// there is none. A last key below 0 counts from the end.
pub fn legacy_range(spec: &CommandSpec) -> (i64, i64, i64) {
    let mut runs = spec.keys.iter().filter_map(|key| match (key.begin, key.find) {
        (Begin::Index(first), Find::Range { last, step, .. }) => {
            let first = i64::from(first);
            Some((first, if last < 0 { i64::from(last) } else { first + i64::from(last) }, i64::from(step)))
        }
        _ => None,
    });
    let Some((first, mut last, mut step)) = runs.next() else { return (0, 0, 0) };
    for (next_first, next_last, next_step) in runs {
        // Only keys that stand side by side make one run.
        if next_first != last + 1 || next_step != 1 {
            continue;
        }
        (last, step) = (next_last, 1);
    }
    (first, last, step)
}
