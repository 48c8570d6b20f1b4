//! Numbers as text: which bytes Redis takes for a number, and how it prints one.
//!
//! Integers are strict: what parses prints as the same bytes, so a value that looks like a number can be stored as
//! one. Floats are what C's `strtod` takes, but for blanks and NaN: hexadecimal ones and `Infinity` too. Doubles print
//! in the shortest form that reads back as the same value, arranged as Redis does since 7.2 (7.0: `%.17g`). Redis's own
//! printer rarely misses the shortest form: 12345678901200000000 is 12345678901199999000 there.

mod extended;

pub use extended::{DecimalError, add_decimal};

/// Parses a whole decimal integer: no sign `+`, no leading zeros, no blanks, no `-0`, nothing out of range.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // 19 digits cannot overflow 64 bits without sign.
    let mut magnitude = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Parses a whole float as Redis does for scores and ranges.
///
/// None: not a float, NaN, a number too large for a double, or one so small that only zero is left of it.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    // Scores are mostly whole numbers. Both ways round to the nearest double.
    if let Some(int) = parse_i64(text) {
        return Some(int as f64);
    }
    if let Some(hex) = extended::Hex::parse(text) {
        return hex.to_f64();
    }
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let lost = if value.is_infinite() {
        // `inf` itself has no digits.
        text.bytes().any(|byte| byte.is_ascii_digit())
    } else {
        value == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
    };
    (!lost && !value.is_nan()).then_some(value)
}

/// Appends the decimal text of an integer.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the text of a double.
pub fn push_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(F64Buffer::new().format(value));
}

pub fn format_f64(value: f64) -> String {
    String::from_utf8_lossy(F64Buffer::new().format(value)).into_owned()
}

/// The longest form: sign, 17 digits and 7 zeros; or `0.` and 6 zeros before 17 digits; or an exponent of 3 digits.
const F64_TEXT_MAX: usize = 32;

/// Room for the text of a double, so that printing one allocates nothing.
#[derive(Debug)]
pub struct F64Buffer {
    bytes: [u8; F64_TEXT_MAX],
    len: usize,
}

impl Default for F64Buffer {
    fn default() -> Self {
        Self::new()
    }
}

impl F64Buffer {
    pub fn new() -> Self {
        F64Buffer { bytes: [0; F64_TEXT_MAX], len: 0 }
    }

    pub fn format(&mut self, value: f64) -> &[u8] {
        self.len = 0;
        if value.is_nan() {
            self.push(b"nan");
        } else if value.is_infinite() {
            self.push(if value > 0.0 { b"inf" } else { b"-inf" });
        } else if value == 0.0 && value.is_sign_negative() {
            self.push(b"-0");
        } else if let Some(whole) = exact_integer(value) {
            self.push(itoa::Buffer::new().format(whole).as_bytes());
        } else {
            self.shortest(value);
        }
        &self.bytes[..self.len]
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn zeros(&mut self, count: usize) {
        self.push(&b"0000000000000000000000000"[..count]);
    }

    /// `digits * 10^scale`, written out where that is not much longer than the digits, else with an exponent.
    fn shortest(&mut self, value: f64) {
        let mut ryu = ryu::Buffer::new();
        let (digits, len, scale) = significant(ryu.format_finite(value.abs()));
        let digits = &digits[..len];
        if value < 0.0 {
            self.push(b"-");
        }
        // The exponent that scientific notation would show.
        let exponent = scale + len as i32 - 1;
        if scale >= 0 && exponent < len as i32 + 7 {
            self.push(digits);
            self.zeros(scale as usize);
        } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
            let whole = len as i32 + scale;
            if whole <= 0 {
                self.push(b"0.");
                self.zeros(whole.unsigned_abs() as usize);
                self.push(digits);
            } else {
                self.push(&digits[..whole as usize]);
                self.push(b".");
                self.push(&digits[whole as usize..]);
            }
        } else {
            self.push(&digits[..1]);
            if len > 1 {
                self.push(b".");
                self.push(&digits[1..]);
            }
            self.push(if exponent < 0 { b"e-" } else { b"e+" });
            self.push(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
        }
    }
}

/// The integer that a double is, up to 2^62: there Redis stops printing doubles as integers.
fn exact_integer(value: f64) -> Option<i64> {
    const WHOLE_MAX: f64 = (1u64 << 62) as f64;
    (value.abs() <= WHOLE_MAX && value.fract() == 0.0).then_some(value as i64)
}

/// The significant digits of a positive decimal `1234.5e-6`, how many they are, and the power of ten to scale them by.
fn significant(text: &str) -> ([u8; 17], usize, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mut scale: i32 = exponent.parse().unwrap_or(0);
    let mut digits = [0; 17];
    let mut len = 0;
    let mut zeros = 0;
    let mut behind_point = false;
    for byte in mantissa.bytes() {
        match byte {
            b'.' => behind_point = true,
            // Zeros count only once a digit follows them.
            b'0' => {
                zeros += usize::from(len > 0);
                scale -= i32::from(behind_point);
            }
            digit => {
                digits[len..len + zeros].fill(b'0');
                len += zeros;
                digits[len] = digit;
                len += 1;
                zeros = 0;
                scale -= i32::from(behind_point);
            }
        }
    }
    (digits, len, scale + zeros as i32)
}

/// What must hold for any two texts. For fuzzing; panics when it does not.
#[doc(hidden)]
pub fn fuzz_numbers(a: &[u8], b: &[u8]) {
    for text in [a, b] {
        if let Some(value) = parse_i64(text) {
            let mut printed = Vec::new();
            push_i64(&mut printed, value);
            assert_eq!(printed, text, "an integer prints as it was written");
        }
        if let Some(value) = parse_f64(text) {
            let printed = format_f64(value);
            assert_eq!(parse_f64(printed.as_bytes()), Some(value), "{printed}");
        }
    }
    let sum = add_decimal(a, b);
    assert_eq!(sum, add_decimal(b, a), "the order of a sum does not matter");
    if let Ok(printed) = sum {
        // Where 17 decimals are finer than 64 bits the text determines the number, elsewhere the number the text.
        assert_eq!(add_decimal(printed.as_bytes(), b"0").as_ref(), Ok(&printed), "zero adds nothing");
    }
}

#[cfg(test)]
mod tests;
