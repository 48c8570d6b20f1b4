//! A password that does not show itself: Debug hides it, and only the rows, for CONFIG GET and REWRITE, read it.

use std::fmt;

/// A password, or none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is a password at all.
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether `guess` is the password; false if there is none.
    ///
    /// Cost: the same for every guess of one length, so that the time taken tells nothing about how much of it is right.
    pub fn matches(&self, guess: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        if secret.is_empty() {
            return false;
        }
        let differences = guess
            .iter()
            .zip(secret.iter().cycle())
            .fold(u8::from(guess.len() != secret.len()), |all, (a, b)| std::hint::black_box(all | (a ^ b)));
        differences == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "(set)" } else { "(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_password_matches() {
        let secret = Secret::new("abc");
        assert!(secret.matches(b"abc"));
        for wrong in ["", "a", "ab", "abcabc", "abd", "bbc", "ABC", "abc\0"] {
            assert!(!secret.matches(wrong.as_bytes()), "{wrong:?}");
        }
    }

    #[test]
    fn nothing_matches_where_there_is_no_password() {
        assert!(!Secret::default().is_set());
        assert!(!Secret::default().matches(b""));
        assert!(!Secret::default().matches(b"x"));
    }

    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "(set)");
        assert_eq!(format!("{:?}", Secret::default()), "(none)");
    }
}
