//! LZF, the compression of strings in dumps.
//!
//! ```text
//! 000nnnnn                     n + 1 bytes follow as they are
//! nnnooooo oooooooo            n + 2 bytes are repeated from o + 1 bytes before; n is 1 to 6
//! 111ooooo nnnnnnnn oooooooo   the same for n + 9 bytes
//! ```

/// More than one byte of input can stand for: 264 bytes of 3.
const RATIO_MAX: usize = 88;

/// Unpacks `input`, which must give exactly `length` bytes.
///
/// Errors: at which byte of the input what is wrong.
pub(super) fn unpack(input: &[u8], length: u64) -> Result<Vec<u8>, (usize, &'static str)> {
    let bad = |at, what| (at, what);
    let most = input.len().saturating_mul(RATIO_MAX);
    let length = usize::try_from(length).ok().filter(|&length| length <= most);
    let length = length.ok_or(bad(0, "compressed bytes cannot stand for so many"))?;
    let mut out = Vec::with_capacity(length);
    let mut at = 0;
    while let Some(&control) = input.get(at) {
        let begin = at;
        at += 1;
        let control = usize::from(control);
        if control < 0x20 {
            let run = input.get(at..at + control + 1).ok_or(bad(begin, "a run goes beyond the compressed bytes"))?;
            out.extend_from_slice(run);
            at += run.len();
        } else {
            let mut next = || {
                let byte = input.get(at).copied().ok_or(bad(begin, "a repetition goes beyond the compressed bytes"))?;
                at += 1;
                Ok(usize::from(byte))
            };
            let count = match control >> 5 {
                7 => next()? + 9,
                short => short + 2,
            };
            let back = ((control & 0x1f) << 8) + next()? + 1;
            let from = out.len().checked_sub(back).ok_or(bad(begin, "a repetition of what is before the beginning"))?;
            // What is repeated may be what is just being written.
            for place in from..from + count {
                out.push(out[place]);
            }
        }
        if out.len() > length {
            return Err(bad(begin, "more bytes than announced"));
        }
    }
    if out.len() < length {
        return Err(bad(at, "fewer bytes than announced"));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_repetitions_are_unpacked() {
        assert_eq!(unpack(&[2, b'a', b'b', b'c'], 3).unwrap(), b"abc");
        assert_eq!(unpack(&[0, b'a', 0x20, 0], 4).unwrap(), b"aaaa");
        assert_eq!(unpack(&[1, b'a', b'b', 0xe0, 1, 1], 12).unwrap(), b"abababababab");
        assert_eq!(unpack(&[], 0).unwrap(), b"");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let wrong: [(&[u8], u64, &str); 7] = [
            (&[5, b'a'], 6, "a run goes beyond the compressed bytes"),
            (&[0, b'a', 0x20], 4, "a repetition goes beyond the compressed bytes"),
            (&[0, b'a', 0xe0, 1], 4, "a repetition goes beyond the compressed bytes"),
            (&[0, b'a', 0x20, 1], 4, "a repetition of what is before the beginning"),
            (&[0, b'a'], 2, "fewer bytes than announced"),
            (&[1, b'a', b'b'], 1, "more bytes than announced"),
            (&[0, b'a'], u64::MAX, "compressed bytes cannot stand for so many"),
        ];
        for (input, length, what) in wrong {
            assert_eq!(unpack(input, length).unwrap_err().1, what);
        }
    }
}
