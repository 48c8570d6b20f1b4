//! An integer of 1 to 64 bits at any place among the bits of a string, and what happens when a value does not fit it.

/// An integer with a sign of 1 to 64 bits, or without one of 1 to 63, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub signed: bool,
    pub bits: u32,
    pub at: u64,
}

/// What becomes of a value that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The low bits of it.
    #[default]
    Wrap,
    /// The nearest value that fits.
    Saturate,
    /// Nothing is written.
    Fail,
}

impl Field {
    /// The bit behind the field.
    pub fn end(self) -> u64 {
        self.at + u64::from(self.bits)
    }

    /// Its value in a string; bits behind the end count as 0.
    pub fn get(self, bytes: &[u8]) -> i64 {
        let (at, lead) = ((self.at / 8) as usize, (self.at % 8) as u32);
        // Up to 7 bits in front of it and 64 of its own: 9 bytes.
        let mut wide = [0; 16];
        let there = bytes.get(at..).unwrap_or_default();
        let len = there.len().min(9);
        wide[..len].copy_from_slice(&there[..len]);
        let top = u128::from_be_bytes(wide) << lead;
        if self.signed { (top.cast_signed() >> (128 - self.bits)) as i64 } else { (top >> (128 - self.bits)) as i64 }
    }

    /// Writes the low bits of a value.
    ///
    /// Panics: when the field ends behind the string.
    pub fn set(self, bytes: &mut [u8], value: i64) {
        let (at, lead) = ((self.at / 8) as usize, (self.at % 8) as u32);
        let touched = &mut bytes[at..self.end().div_ceil(8) as usize];
        let mut wide = [0; 16];
        wide[..touched.len()].copy_from_slice(touched);
        let mask = (u128::MAX << (128 - self.bits)) >> lead;
        let new = ((value as u128) << (128 - self.bits)) >> lead;
        let wide = ((u128::from_be_bytes(wide) & !mask) | new).to_be_bytes();
        touched.copy_from_slice(&wide[..touched.len()]);
    }

    /// The value that is written for one that is wanted; none: it does not fit, and `overflow` says to fail.
    pub fn fit(self, wanted: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = match self.signed {
            true => (-1i128 << (self.bits - 1), (1 << (self.bits - 1)) - 1),
            false => (0, (1 << self.bits) - 1),
        };
        if (min..=max).contains(&wanted) {
            return Some(wanted as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => Some(wanted.clamp(min, max) as i64),
            Overflow::Wrap => {
                let low = wanted << (128 - self.bits);
                Some(if self.signed { low >> (128 - self.bits) } else { (low as u128 >> (128 - self.bits)) as i128 }
                    as i64)
            }
        }
    }

    /// The number that is meant by a value given as 64 bits: without a sign, a negative one is a very large one.
    pub fn meant(self, value: i64) -> i128 {
        if self.signed { i128::from(value) } else { i128::from(value as u64) }
    }
}
