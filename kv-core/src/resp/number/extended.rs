//! INCRBYFLOAT's arithmetic: numbers with 64 significant bits, as the x86 long double that Redis computes with.
//!
//! Such a number is `mantissa * 2^exponent`. Reading a decimal and adding round to the nearest, ties to even; printing
//! rounds to 17 decimals. All three are exact before they round, so the result is Redis's (on x86-64), bit for bit:
//! `0.1 + 0.2` is `0.3`, since what is wrong with it lies behind the 17th decimal. Only the loss of precision below
//! 10^-4931 is left out: such a number prints as 0, alone or in a sum.

use std::cmp::Ordering;
use std::fmt;

/// The longest text Redis reads as a long double, and one more.
const TEXT_END: usize = 5 * 1024;

/// The exponent of the largest power of two that is a long double.
const EXPONENT_MAX: i32 = 16383;

/// The same of the smallest.
const EXPONENT_MIN: i32 = -16445;

/// Beyond these powers of ten every number is too large or zero, whatever its digits.
const DECIMAL_EXPONENT_MAX: i64 = 5000;

/// Printed decimals, as a power of ten.
const DECIMALS: usize = 17;

/// Decimal digits that 64 bits always hold; so do they hold ten to this power.
const GROUP_DIGITS: usize = 19;

/// Display is the text of the error reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    NotAFloat,
    NotFinite,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecimalError::NotAFloat => "ERR value is not a valid float",
            DecimalError::NotFinite => "ERR increment would produce NaN or Infinity",
        })
    }
}

impl std::error::Error for DecimalError {}

/// The sum of two numbers given as text, as INCRBYFLOAT prints it: no exponent, at most 17 decimals, no zeros at the end.
pub fn add_decimal(a: &[u8], b: &[u8]) -> Result<String, DecimalError> {
    let a = Number::parse(a).ok_or(DecimalError::NotAFloat)?;
    let b = Number::parse(b).ok_or(DecimalError::NotAFloat)?;
    match (a, b) {
        (Number::Finite(a), Number::Finite(b)) => a.add(b).map(Extended::print).ok_or(DecimalError::NotFinite),
        _ => Err(DecimalError::NotFinite),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Finite(Extended),
    Infinite,
}

impl Number {
    fn parse(text: &[u8]) -> Option<Number> {
        if text.len() >= TEXT_END {
            return None;
        }
        if let Some(hex) = Hex::parse(text) {
            return hex.to_extended().map(Number::Finite);
        }
        let (negative, unsigned) = sign(text);
        if [&b"inf"[..], b"infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
            return Some(Number::Infinite);
        }
        Decimal::parse(negative, unsigned)?.to_extended().map(Number::Finite)
    }
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

/// Splits `12.5` into what stands before and behind the point; at least one digit, and nothing but digits.
fn split_point(mantissa: &[u8], is_digit: fn(&u8) -> bool) -> Option<(&[u8], &[u8])> {
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
        None => (mantissa, &[][..]),
    };
    let valid = whole.len() + fraction.len() > 0 && whole.iter().chain(fraction).all(is_digit);
    valid.then_some((whole, fraction))
}

/// An exponent with its optional sign; those too large for an `i32` stay far out of any range.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude =
        digits.iter().fold(0i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(i64::from(i32::MAX)));
    Some(if negative { -magnitude } else { magnitude })
}

/// `digits * 10^exponent`.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn parse(negative: bool, unsigned: &'a [u8]) -> Option<Self> {
        let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(e) => (&unsigned[..e], parse_exponent(&unsigned[e + 1..])?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = split_point(mantissa, u8::is_ascii_digit)?;
        Some(Decimal { negative, whole, fraction, exponent: exponent - fraction.len() as i64 })
    }

    /// None: too large, or not zero but nothing is left of it.
    fn to_extended(&self) -> Option<Extended> {
        let digits = || self.whole.iter().chain(self.fraction).skip_while(|&&digit| digit == b'0');
        let len = digits().count() as i64;
        if len == 0 {
            return Some(Extended::zero(self.negative));
        }
        if (len + self.exponent).abs() > DECIMAL_EXPONENT_MAX {
            return None;
        }
        // Both fit in 64 bits.
        if len <= GROUP_DIGITS as i64 && self.exponent.abs() <= GROUP_DIGITS as i64 {
            let number = digits().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            let power = 10u64.pow(self.exponent.unsigned_abs() as u32);
            return if self.exponent < 0 {
                Extended::divide(self.negative, number, power)
            } else {
                Extended::round(self.negative, u128::from(number) * u128::from(power), false, 0)
            };
        }
        let mut numerator = Big::from(0);
        let mut digits = digits().map(|digit| u64::from(digit - b'0'));
        // As many digits at once as a limb holds: the cost is quadratic in the steps.
        while let Some(first) = digits.next() {
            let (group, scale) = digits
                .by_ref()
                .take(GROUP_DIGITS - 1)
                .fold((first, 10), |(group, scale), digit| (group * 10 + digit, scale * 10));
            numerator.multiply_add(scale, group);
        }
        let mut denominator = Big::from(1);
        let scaled = if self.exponent < 0 { &mut denominator } else { &mut numerator };
        scaled.multiply_power_of_ten(self.exponent.unsigned_abs());
        Extended::divide_big(self.negative, numerator, denominator)
    }
}

/// `mantissa * 2^exponent` as C reads it from `0x1.8p3`; digits that do not fit are kept as `sticky`.
pub(super) struct Hex {
    negative: bool,
    mantissa: u128,
    sticky: bool,
    exponent: i64,
}

impl Hex {
    /// None: not a whole hexadecimal float.
    pub(super) fn parse(text: &[u8]) -> Option<Hex> {
        let (negative, unsigned) = sign(text);
        let [b'0', b'x' | b'X', rest @ ..] = unsigned else { return None };
        let (digits, power) = match rest.iter().position(|byte| matches!(byte, b'p' | b'P')) {
            Some(p) => (&rest[..p], parse_exponent(&rest[p + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = split_point(digits, u8::is_ascii_hexdigit)?;
        let mut hex = Hex { negative, mantissa: 0, sticky: false, exponent: power - 4 * fraction.len() as i64 };
        for &digit in whole.iter().chain(fraction) {
            let digit = char::from(digit).to_digit(16).unwrap_or_default();
            if hex.mantissa >> 124 == 0 {
                hex.mantissa = hex.mantissa << 4 | u128::from(digit);
            } else {
                hex.sticky |= digit != 0;
                hex.exponent += 4;
            }
        }
        Some(hex)
    }

    fn bits(&self) -> i64 {
        i64::from(128 - self.mantissa.leading_zeros())
    }

    fn to_extended(&self) -> Option<Extended> {
        if self.mantissa == 0 {
            return Some(Extended::zero(self.negative));
        }
        let exponent = i32::try_from(self.exponent).ok()?;
        Extended::round(self.negative, self.mantissa, self.sticky, exponent)
    }

    /// None: too large, or not zero but nothing is left of it.
    pub(super) fn to_f64(&self) -> Option<f64> {
        if self.mantissa == 0 {
            return Some(if self.negative { -0.0 } else { 0.0 });
        }
        let top = self.bits() - 1 + self.exponent;
        // Below the normal range each power of two costs a bit of precision.
        let precision = 53 - (-1022 - top).max(0);
        if top > 1023 || precision < 0 {
            return None;
        }
        let shift = self.bits() - precision;
        let (rounded, exponent) = if shift > 0 {
            (shift_right_even(self.mantissa, shift as u32, self.sticky), self.exponent + shift)
        } else {
            (self.mantissa, self.exponent)
        };
        // At most 53 bits, and the product is a double: nothing rounds here. In two steps, since 2^-1074 is no factor
        // that survives on its own where the mantissa is large.
        let half = exponent / 2;
        let magnitude = rounded as f64 * power_of_two(half) * power_of_two(exponent - half);
        let value = if self.negative { -magnitude } else { magnitude };
        (value != 0.0 && value.is_finite()).then_some(value)
    }
}

fn power_of_two(exponent: i64) -> f64 {
    2f64.powi(exponent as i32)
}

/// `value / 2^shift`, rounded to the nearest, ties to even; `sticky`: there is a little more than `value`.
fn shift_right_even(value: u128, shift: u32, sticky: bool) -> u128 {
    if shift == 0 {
        return value;
    }
    if shift > 128 {
        return 0;
    }
    let kept = value.checked_shr(shift).unwrap_or(0);
    let half = 1u128 << (shift - 1);
    let rest = value & (half | (half - 1));
    let up = match rest.cmp(&half) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => sticky || kept & 1 == 1,
    };
    kept + u128::from(up)
}

/// `mantissa * 2^exponent`; the mantissa's top bit is set, unless the number is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

impl Extended {
    fn zero(negative: bool) -> Self {
        Extended { negative, mantissa: 0, exponent: 0 }
    }

    /// Rounds `value * 2^exponent`, which is not zero. `sticky`: the value is a little more than that; then it has at
    /// least 65 bits, so that the little does not reach what is kept.
    ///
    /// None: too large, or nothing is left.
    fn round(negative: bool, value: u128, sticky: bool, exponent: i32) -> Option<Self> {
        let bits = 128 - value.leading_zeros();
        debug_assert!(bits > if sticky { 64 } else { 0 });
        let top = exponent.checked_add(bits as i32 - 1)?;
        // Half of the smallest number is a tie, and zero is even.
        let vanishes = top < EXPONENT_MIN - 1 || top == EXPONENT_MIN - 1 && value.is_power_of_two() && !sticky;
        if vanishes || top > EXPONENT_MAX {
            return None;
        }
        let (mut mantissa, mut exponent) = match bits.checked_sub(64) {
            Some(shift) => (shift_right_even(value, shift, sticky), exponent + shift as i32),
            None => (value << (64 - bits), exponent - (64 - bits) as i32),
        };
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
        (exponent + 63 <= EXPONENT_MAX).then_some(Extended { negative, mantissa: mantissa as u64, exponent })
    }

    /// The quotient of two numbers that are not zero.
    fn divide(negative: bool, numerator: u64, denominator: u64) -> Option<Self> {
        // With the top bits set the quotient has 64 or 65 bits; one more to round by, and the rest as sticky.
        let (up, down) = (numerator.leading_zeros(), denominator.leading_zeros());
        let (numerator, denominator) = (u128::from(numerator << up) << 64, u128::from(denominator << down));
        let (quotient, rest) = (numerator / denominator, numerator % denominator * 2);
        let (bit, rest) = if rest >= denominator { (1, rest - denominator) } else { (0, rest) };
        Self::round(negative, quotient << 1 | bit, rest != 0, down as i32 - up as i32 - 65)
    }

    /// The same for any size.
    fn divide_big(negative: bool, mut numerator: Big, mut denominator: Big) -> Option<Self> {
        const QUOTIENT_BITS: i32 = 67;
        // Then 1/2 < numerator / denominator < 2, and the quotient's bits come out one by one.
        let shift = denominator.bits() - numerator.bits();
        if shift > 0 {
            numerator.shift_left(shift as u32);
        } else {
            denominator.shift_left(shift.unsigned_abs());
        }
        let mut quotient = 0u128;
        for _ in 0..QUOTIENT_BITS {
            quotient <<= 1;
            if numerator.subtract_if_not_less(&denominator) {
                quotient |= 1;
            }
            numerator.shift_left(1);
        }
        Self::round(negative, quotient, !numerator.is_zero(), -shift - (QUOTIENT_BITS - 1))
    }

    /// None: too large.
    fn add(self, other: Self) -> Option<Self> {
        if self.mantissa == 0 || other.mantissa == 0 {
            let sum = if self.mantissa == 0 { other } else { self };
            let negative = if self.mantissa == other.mantissa { self.negative && other.negative } else { sum.negative };
            return Some(Extended { negative, ..sum });
        }
        let (large, small) = if (self.exponent, self.mantissa) >= (other.exponent, other.mantissa) {
            (self, other)
        } else {
            (other, self)
        };
        // 63 bits below the mantissa of the larger one, and one above it for the carry.
        let exponent = large.exponent - 63;
        let distance = (large.exponent - small.exponent).unsigned_abs();
        let (above, below) = (u128::from(large.mantissa) << 63, u128::from(small.mantissa) << 63);
        let aligned = below.checked_shr(distance).unwrap_or(0);
        let cut = distance >= 128 || aligned << distance != below;
        let sum = match large.negative == small.negative {
            true => above + aligned,
            // What was cut off is missing from what is taken away: take away one more, and say that some remains.
            false => above - aligned - u128::from(cut),
        };
        if sum == 0 {
            return Some(Self::zero(false));
        }
        Self::round(large.negative, sum, cut, exponent)
    }

    fn print(self) -> String {
        let mut digits = if self.exponent > 0 {
            let mut whole = Big::from(self.mantissa);
            whole.shift_left(self.exponent.unsigned_abs());
            whole.print()
        } else {
            // 64 bits times 10^17 fit; what is shifted out is rounded exactly.
            let scaled = u128::from(self.mantissa) * 10u128.pow(DECIMALS as u32);
            let mut digits = shift_right_even(scaled, self.exponent.unsigned_abs(), false).to_string();
            if digits.len() <= DECIMALS {
                digits.insert_str(0, &"0".repeat(DECIMALS + 1 - digits.len()));
            }
            digits.insert(digits.len() - DECIMALS, '.');
            digits.truncate(digits.trim_end_matches('0').trim_end_matches('.').len());
            digits
        };
        if self.negative && digits != "0" {
            digits.insert(0, '-');
        }
        digits
    }
}

/// A natural number of any size. Limbs from the lowest; the last one is not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Big(Vec<u64>);

impl From<u64> for Big {
    fn from(value: u64) -> Self {
        let mut big = Big(vec![value]);
        big.trim();
        big
    }
}

impl Big {
    fn trim(&mut self) {
        let len = self.0.iter().rposition(|&limb| limb != 0).map_or(0, |last| last + 1);
        self.0.truncate(len);
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn bits(&self) -> i32 {
        self.0.last().map_or(0, |last| self.0.len() as i32 * 64 - last.leading_zeros() as i32)
    }

    fn multiply_add(&mut self, factor: u64, term: u64) {
        let mut carry = u128::from(term);
        for limb in &mut self.0 {
            carry += u128::from(*limb) * u128::from(factor);
            *limb = carry as u64;
            carry >>= 64;
        }
        if carry != 0 {
            self.0.push(carry as u64);
        }
    }

    fn multiply_power_of_ten(&mut self, mut exponent: u64) {
        while exponent > 0 {
            let step = exponent.min(GROUP_DIGITS as u64);
            self.multiply_add(10u64.pow(step as u32), 0);
            exponent -= step;
        }
    }

    fn shift_left(&mut self, bits: u32) {
        let (limbs, bits) = ((bits / 64) as usize, bits % 64);
        if bits > 0 {
            self.multiply_add(1 << bits, 0);
        }
        if !self.is_zero() {
            self.0.splice(..0, std::iter::repeat_n(0, limbs));
        }
    }

    fn subtract_if_not_less(&mut self, other: &Big) -> bool {
        let order = self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()));
        if order == Ordering::Less {
            return false;
        }
        let mut borrow = false;
        for (index, limb) in self.0.iter_mut().enumerate() {
            let taken = other.0.get(index).copied().unwrap_or(0);
            let (difference, under) = limb.overflowing_sub(taken);
            let (difference, under_again) = difference.overflowing_sub(u64::from(borrow));
            *limb = difference;
            borrow = under || under_again;
        }
        self.trim();
        true
    }

    fn print(mut self) -> String {
        const GROUP: u64 = 10u64.pow(GROUP_DIGITS as u32);
        let mut groups = Vec::new();
        while !self.is_zero() {
            let mut rest = 0u128;
            for limb in self.0.iter_mut().rev() {
                rest = rest << 64 | u128::from(*limb);
                *limb = (rest / u128::from(GROUP)) as u64;
                rest %= u128::from(GROUP);
            }
            self.trim();
            groups.push(rest);
        }
        let mut digits = groups.pop().unwrap_or(0).to_string();
        for group in groups.iter().rev() {
            digits.push_str(&format!("{group:019}"));
        }
        digits
    }
}

#[cfg(test)]
mod tests;
