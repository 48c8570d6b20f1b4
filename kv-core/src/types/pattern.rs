//! Glob patterns: KEYS, SCAN MATCH, PSUBSCRIBE, CONFIG GET, ACL.
//!
//! ```text
//! *        any bytes, also none        [abc] [a-z]   one byte of a class; a range may be written backwards
//! ?        one byte                    [^abc]        one byte that is not in the class
//! \x       x itself, also in a class   [abc          a class that does not end goes to the end of the pattern
//! ```
//!
//! The odd cases are Redis's: the empty string matches only the empty pattern (not even `*`: who means "all keys" asks
//! `matches_all`); a range compares bytes as signed; an escaped byte in a class is compared with its case.
//!
//! Every element but `*` takes exactly one byte. So after a mismatch only the last `*` needs to take one more: what an
//! earlier one could gain, the last one can gain as well. This bounds the work by pattern times string, where plain
//! recursion takes exponential time (`a*a*a*a*b`).

/// Whether the string matches the whole pattern.
pub fn matches(pattern: &[u8], string: &[u8]) -> bool {
    match_with::<false>(pattern, string)
}

/// Whether the string matches the whole pattern, ASCII letters of both cases being the same.
pub fn matches_ignoring_case(pattern: &[u8], string: &[u8]) -> bool {
    match_with::<true>(pattern, string)
}

/// Whether the pattern means every key, the empty one included, so that nothing need be matched.
pub fn matches_all(pattern: &[u8]) -> bool {
    pattern == b"*"
}

fn match_with<const IGNORE_CASE: bool>(pattern: &[u8], string: &[u8]) -> bool {
    if string.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut s) = (0, 0);
    // After the last `*`: where the pattern goes on, and where in the string that was tried last.
    let mut retry = None;
    while s < string.len() {
        if pattern.get(p) == Some(&b'*') {
            p += pattern[p..].iter().take_while(|&&byte| byte == b'*').count();
            if p == pattern.len() {
                return true;
            }
            retry = Some((p, s));
        } else if let Some(next) = step::<IGNORE_CASE>(pattern, p, string[s]) {
            (p, s) = (next, s + 1);
        } else {
            let Some((after_star, tried)) = retry else { return false };
            (p, s) = (after_star, tried + 1);
            retry = Some((p, s));
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Matches one byte with the element at `p`, which is not `*`; returns where the next element begins.
fn step<const IGNORE_CASE: bool>(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    let same = |a: u8, b: u8| if IGNORE_CASE { a.eq_ignore_ascii_case(&b) } else { a == b };
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => class::<IGNORE_CASE>(pattern, p + 1, byte),
        b'\\' if p + 1 < pattern.len() => same(pattern[p + 1], byte).then_some(p + 2),
        literal => same(literal, byte).then_some(p + 1),
    }
}

/// Matches one byte with the class whose first element is at `p`; returns where the pattern goes on after it.
fn class<const IGNORE_CASE: bool>(pattern: &[u8], mut p: usize, byte: u8) -> Option<usize> {
    let fold = |byte: u8| if IGNORE_CASE { byte.to_ascii_lowercase() } else { byte };
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut found = false;
    loop {
        match pattern[p..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                p += 2;
            }
            [b']', ..] => {
                p += 1;
                break;
            }
            [from, b'-', to, ..] => {
                let (from, to) = if from as i8 <= to as i8 { (from, to) } else { (to, from) };
                found |= (fold(from) as i8..=fold(to) as i8).contains(&(fold(byte) as i8));
                p += 3;
            }
            [literal, ..] => {
                found |= fold(literal) == fold(byte);
                p += 1;
            }
        }
    }
    (found != negated).then_some(p)
}

/// Random patterns and strings from a small alphabet, compared with a matcher that tries everything.
///
/// Panics: with the seed in the message, when they disagree.
pub fn fuzz_pattern(seed: u64) {
    let mut random = crate::structs::random::Random::new(seed);
    for _ in 0..200 {
        let (pattern_len, string_len) = (random.index(9), random.index(9));
        let pattern = random.bytes_of(b"aAbB*?[]^-\\\xff", pattern_len);
        let string = random.bytes_of(b"aAbB*?[]^-\\\xff", string_len);
        let told = (matches(&pattern, &string), matches_ignoring_case(&pattern, &string));
        let plain = (by_recursion::<false>(&pattern, &string), by_recursion::<true>(&pattern, &string));
        let (pattern, string) = (pattern.escape_ascii(), string.escape_ascii());
        assert_eq!(told, plain, "seed {seed}: pattern {pattern}, string {string}");
    }
}

/// The meaning of a pattern without any shortcut.
fn by_recursion<const IGNORE_CASE: bool>(pattern: &[u8], string: &[u8]) -> bool {
    fn rest<const IGNORE_CASE: bool>(pattern: &[u8], p: usize, string: &[u8]) -> bool {
        match (pattern.get(p), string) {
            (None, _) => string.is_empty(),
            (Some(b'*'), _) => (0..=string.len()).any(|taken| rest::<IGNORE_CASE>(pattern, p + 1, &string[taken..])),
            (Some(_), []) => false,
            (Some(_), [byte, others @ ..]) => {
                step::<IGNORE_CASE>(pattern, p, *byte).is_some_and(|next| rest::<IGNORE_CASE>(pattern, next, others))
            }
        }
    }
    if string.is_empty() { pattern.is_empty() } else { rest::<IGNORE_CASE>(pattern, 0, string) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_redis_matches() {
        // Each row was asked of redis-server 7.0.15.
        for (pattern, matching, others) in ROWS {
            for string in matching.split(' ').filter(|string| !string.is_empty()) {
                assert!(matches(pattern.as_bytes(), string.as_bytes()), "{pattern} should match {string}");
            }
            for string in others.split(' ').filter(|string| !string.is_empty()) {
                assert!(!matches(pattern.as_bytes(), string.as_bytes()), "{pattern} should not match {string}");
            }
        }
    }

    const ROWS: &[(&str, &str, &str)] = &[
        ("*", "a abc *", ""),
        ("h?llo", "hello hallo h?llo", "hllo heello"),
        ("h*llo", "hllo heeello h*llo", "hell xhllo"),
        ("h[ae]llo", "hello hallo", "hillo h[ae]llo"),
        ("h[^e]llo", "hallo hbllo h^llo", "hello hllo"),
        ("h[a-b]llo", "hallo hbllo", "hcllo h-llo"),
        ("h[b-a]llo", "hallo hbllo", "hcllo"),
        ("a**b", "ab axb a*b", "a abx"),
        (r"a\*b", "a*b", "axb ab"),
        (r"a\", r"a\", "a ab"),
        (r"[\]]", "]", r"\ a"),
        (r"[\", r"\", "[ a"),
        ("[", "", "[ a"),
        ("[^", "[ a ^", "ab"),
        ("[abc", "a b c", "[ d ab"),
        ("[a-", "a -", "b ["),
        ("[a-]", "] ^ _ ` a", "b - Z"),
        ("[]", "", "] [ a"),
        ("[^]", "a ]", "ab"),
        ("[a]*", "a ab", "b"),
        ("a*b*c", "abc aXbXc abcbc", "ab acb"),
        ("*a", "a ba aa", "ab b"),
        ("", "", "a"),
    ];

    #[test]
    fn the_empty_string_matches_only_the_empty_pattern() {
        assert!(matches(b"", b""));
        assert!(!matches(b"*", b"") && !matches(b"**", b"") && !matches(b"?", b""));
        assert!(matches_all(b"*") && !matches_all(b"**"));
    }

    #[test]
    fn ignoring_case_folds_letters_and_ranges_but_not_escapes_in_a_class() {
        assert!(matches_ignoring_case(b"MaxMemory*", b"maxmemory-policy"));
        assert!(matches_ignoring_case(b"[A-C]", b"b") && matches_ignoring_case(b"[a-c]", b"B"));
        assert!(matches_ignoring_case(b"\\A", b"a"));
        assert!(!matches_ignoring_case(b"[\\A]", b"a"));
        assert!(!matches(b"A", b"a"));
    }

    #[test]
    fn bytes_of_a_range_are_signed() {
        assert!(matches(b"[\xf0-\xff]", b"\xf5") && !matches(b"[\xf0-\xff]", b"\x7f"));
        // -1 to 97: from 0xff over 0 to `a`.
        assert!(matches(b"[a-\xff]", b"A") && !matches(b"[a-\xff]", b"b"));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let string = vec![b'a'; 100_000];
        let pattern = [b"a*".repeat(30), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &string));
        assert!(matches(&pattern, &[&string[..], b"b"].concat()));
    }

    #[test]
    fn random_patterns_agree_with_a_matcher_that_tries_everything() {
        (0..300).for_each(fuzz_pattern);
    }
}
