//! The text of single values: numbers, sizes in memory, yes and no. Error texts are Redis's.

/// A whole number within limits.
pub(super) fn parse_int(text: &str, min: u64, max: u64) -> Result<u64, String> {
    // As strict as Redis: a number is written in one way only, so neither `+1` nor `01` is one.
    match text.parse::<i64>() {
        Ok(value) if value.to_string() == text => within(u64::try_from(value).ok(), min, max),
        _ => Err("argument couldn't be parsed into an integer".into()),
    }
}

pub(super) fn parse_signed(text: &str, min: i32, max: i32) -> Result<i32, String> {
    match text.parse::<i64>() {
        Ok(value) if value.to_string() == text => match i32::try_from(value) {
            Ok(value) if (min..=max).contains(&value) => Ok(value),
            _ => Err(format!("argument must be between {min} and {max} inclusive")),
        },
        _ => Err("argument couldn't be parsed into an integer".into()),
    }
}

/// Mode bits, written in base 8.
pub(super) fn parse_octal(text: &str, max: u32) -> Result<u32, String> {
    let value = u64::from_str_radix(text, 8).map_err(|_| "argument couldn't be parsed as an octal number")?;
    match u32::try_from(value) {
        Ok(value) if value <= max => Ok(value),
        _ => Err(format!("argument must be between 0 and {max:o} inclusive")),
    }
}

/// A size in bytes within limits.
pub(super) fn parse_memory(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let bytes = memory(text).ok_or("argument must be a memory value")?;
    within(Some(bytes), min, max)
}

pub(super) fn parse_yes_no(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("yes") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("no") {
        Ok(false)
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

/// One of the names, letters of either case.
pub(super) fn parse_choice(text: &str, names: &'static [&'static str]) -> Result<&'static str, String> {
    names
        .iter()
        .find(|name| name.eq_ignore_ascii_case(text))
        .copied()
        .ok_or_else(|| format!("argument(s) must be one of the following: {}", names.join(", ")))
}

fn within(value: Option<u64>, min: u64, max: u64) -> Result<u64, String> {
    match value {
        Some(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(format!("argument must be between {min} and {max} inclusive")),
    }
}

/// Digits and a unit: `1k` is 1000, `1kb` 1024, likewise m, mb, g, gb; none or `b` is bytes.
pub(super) fn memory(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The shortest exact text with a unit of 1024.
pub(super) fn show_memory(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes != 0 && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_units_are_those_of_redis() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17b", 17),
            ("1k", 1000),
            ("1kb", 1024),
            ("2m", 2_000_000),
            ("2mB", 2 << 20),
            ("3G", 3_000_000_000),
            ("3Gb", 3 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(memory(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in ["", "b", "kb", "-1", "+1", "1.5gb", "1 kb", " 1", "1kbb", "1tb", "0x10", "20%", "١"] {
            assert_eq!(memory(text), None, "{text:?}");
        }
        for text in ["18446744073709551616", "18446744073709551615kb", "17179869184gb"] {
            assert_eq!(memory(text), None, "{text}: more than 64 bits");
        }
    }

    #[test]
    fn a_shown_size_is_read_back_and_has_the_largest_exact_unit() {
        for (bytes, text) in [
            (0, "0"),
            (1, "1"),
            (1000, "1000"),
            (1024, "1kb"),
            (1025, "1025"),
            (1 << 20, "1mb"),
            (1536 << 20, "1536mb"),
            (2 << 30, "2gb"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(show_memory(bytes), text);
            assert_eq!(memory(text), Some(bytes));
        }
    }

    #[test]
    fn numbers_keep_their_limits() {
        assert_eq!(parse_int("1", 1, 2), Ok(1));
        assert_eq!(parse_int("2", 1, 2), Ok(2));
        for text in ["0", "3", "-1", "-9223372036854775808", "9223372036854775807"] {
            assert_eq!(parse_int(text, 1, 2), Err("argument must be between 1 and 2 inclusive".into()), "{text}");
        }
        for text in ["", " 1", "1 ", "+1", "01", "-0", "1k", "0x1", "1.0", "99999999999999999999"] {
            let error = "argument couldn't be parsed into an integer";
            assert_eq!(parse_int(text, 1, 2), Err(error.into()), "{text:?}");
        }
    }

    #[test]
    fn mode_bits_are_octal() {
        assert_eq!(parse_octal("700", 0o777), Ok(0o700));
        assert_eq!(parse_octal("0", 0o777), Ok(0));
        assert_eq!(parse_octal("1000", 0o777), Err("argument must be between 0 and 777 inclusive".into()));
        assert_eq!(parse_octal("77777777777777", 0o777), Err("argument must be between 0 and 777 inclusive".into()));
        for text in ["", "999", "-1", "rwx"] {
            let error = "argument couldn't be parsed as an octal number";
            assert_eq!(parse_octal(text, 0o777), Err(error.into()), "{text:?}");
        }
    }

    #[test]
    fn yes_and_no_take_letters_of_either_case_and_nothing_else() {
        assert_eq!(parse_yes_no("YES"), Ok(true));
        assert_eq!(parse_yes_no("no"), Ok(false));
        for text in ["", "y", "true", "1", "yes "] {
            assert_eq!(parse_yes_no(text), Err("argument must be 'yes' or 'no'".into()), "{text:?}");
        }
    }

    #[test]
    fn a_choice_gives_the_name_as_it_is_written_in_the_row() {
        assert_eq!(parse_choice("TWO", &["one", "two"]), Ok("two"));
        let error = "argument(s) must be one of the following: one, two";
        assert_eq!(parse_choice("three", &["one", "two"]), Err(error.into()));
    }
}
