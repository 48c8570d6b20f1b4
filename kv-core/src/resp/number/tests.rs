use super::*;
use crate::resp::decode::fuzz::Seeded;

fn text(value: f64) -> String {
    format_f64(value)
}

#[test]
fn an_integer_is_what_prints_as_the_same_bytes() {
    for accepted in
        ["0", "1", "-1", "9", "10", "-10", "1234567890123456789", "9223372036854775807", "-9223372036854775808"]
    {
        assert_eq!(parse_i64(accepted.as_bytes()), accepted.parse().ok(), "{accepted}");
    }
    for refused in [
        "",
        "-",
        "+",
        "+5",
        "-0",
        "00",
        "01",
        "-01",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x10",
        "1_0",
        "a",
        "-a",
        "--1",
        "1\0",
        "1\r",
        "9223372036854775808",
        "-9223372036854775809",
        "10000000000000000000",
        "18446744073709551616",
        "-18446744073709551615",
        "99999999999999999999",
        "111111111111111111111",
        "٣",
    ] {
        assert_eq!(parse_i64(refused.as_bytes()), None, "{refused:?}");
    }
}

#[test]
fn every_printed_integer_is_parsed() {
    let random = &mut Seeded::new(1);
    for _ in 0..10_000 {
        let value = random.next_u64() as i64 >> random.below(64);
        let mut out = b"x".to_vec();
        push_i64(&mut out, value);
        assert_eq!(parse_i64(&out[1..]), Some(value));
    }
}

/// As redis-server 7.0.15 and 8.2.3 answer ZADD.
#[test]
fn a_float_is_what_redis_takes_for_one() {
    for (accepted, value) in [
        ("inf", f64::INFINITY),
        ("+inf", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
        ("iNf", f64::INFINITY),
        ("Infinity", f64::INFINITY),
        ("-INFINITY", f64::NEG_INFINITY),
        ("0x10", 16.0),
        ("0X1p3", 8.0),
        ("0x1.8", 1.5),
        ("-0x10", -16.0),
        ("0x.8p1", 1.0),
        ("0x0p999999999999", 0.0),
        ("0x1.fffffffffffffp1023", f64::MAX),
        ("0x1p-1074", 5e-324),
        ("0x1.8p-1075", 5e-324),
        ("0x1.fffffffffffff7p0", 2.0 - f64::EPSILON),
        ("0x1.fffffffffffff8p0", 2.0),
        ("0x1.0000000000000800000000000000000000000000000001p0", 1.0 + f64::EPSILON),
        ("0x1.00000000000008p0", 1.0),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("1e05", 100_000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+5", 5.0),
        ("00012", 12.0),
        ("-.5e-3", -0.0005),
        ("0e999999999", 0.0),
        ("4.9e-324", 5e-324),
        ("1e-320", 1e-320),
        ("1.7976931348623157e308", f64::MAX),
        ("-0", -0.0),
    ] {
        assert_eq!(parse_f64(accepted.as_bytes()).map(f64::to_bits), Some(value.to_bits()), "{accepted:?}");
    }
    for refused in [
        "",
        " 1",
        "1 ",
        "\t1",
        ".",
        "-",
        "+",
        "++5",
        "1e",
        "1e+",
        "e5",
        "infinit",
        "in",
        "nan",
        "-nan",
        "NaN",
        "nan(1)",
        "0x",
        "0x.",
        "0x1p",
        "0x1g",
        "0xp1",
        "x10",
        "1_0",
        "1,5",
        "1d",
        "1f",
        "1\0",
        "1e400",
        "-1e400",
        "1e-400",
        "2e-324",
        "0x1p1024",
        "0x1p-1075",
        "0x1p-1080",
        "0x1.fffffffffffff8p1023",
        "0x1p99999999999",
        "0x1p-99999999999",
        "1.7976931348623159e308",
        "٣",
    ] {
        assert_eq!(parse_f64(refused.as_bytes()), None, "{refused:?}");
    }
    assert_eq!(parse_f64(b"\xff"), None);
}

/// As redis-server 8.2.3 answers ZSCORE.
#[test]
fn doubles_print_as_redis_does() {
    for (value, expected) in [
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
        (0.0, "0"),
        (-0.0, "-0"),
        (3.1, "3.1"),
        (-3.1, "-3.1"),
        (100.0, "100"),
        (0.1, "0.1"),
        (0.0001, "0.0001"),
        (0.00001, "0.00001"),
        (0.000001, "0.000001"),
        (0.0000015, "1.5e-6"),
        (1e-7, "1e-7"),
        (1.5e-10, "1.5e-10"),
        (123e-20, "1.23e-18"),
        (123456.789, "123456.789"),
        (1234567.1234567, "1.2345671234567e+6"),
        (1.23456789, "1.23456789"),
        (1234.56789012, "1234.56789012"),
        (12345.67890123, "1.234567890123e+4"),
        (0.0012345678, "0.0012345678"),
        (0.00012345678, "1.2345678e-4"),
        (1234567890123e7, "12345678901230000000"),
        (123456789012e8, "1.23456789012e+19"),
        (1e15, "1000000000000000"),
        (9007199254740993.0, "9007199254740992"),
        (1e17, "100000000000000000"),
        (1e18, "1000000000000000000"),
        (4611686018427387904.0, "4611686018427387904"),
        (9223372036854775808.0, "9223372036854776000"),
        (1e19, "1e+19"),
        (1e20, "1e+20"),
        (123456789012345680000.0, "123456789012345680000"),
        (12345678901234567890.0, "12345678901234567000"),
        (1e21, "1e+21"),
        (1e22, "1e+22"),
        (1.2345e25, "1.2345e+25"),
        (f64::MAX, "1.7976931348623157e+308"),
        (-f64::MAX, "-1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (1e-320, "1e-320"),
        (-0.0005, "-0.0005"),
    ] {
        assert_eq!(text(value), expected, "{value:e}");
    }
}

#[test]
fn every_printed_double_reads_back_the_same() {
    let random = &mut Seeded::new(2);
    for _ in 0..50_000 {
        let value = match random.below(3) {
            0 => f64::from_bits(random.next_u64()),
            1 => random.next_u64() as i64 as f64 / 10f64.powi(random.below(25) as i32),
            _ => random.below(100_000) as f64 / 1000.0,
        };
        if value.is_nan() {
            continue;
        }
        let mut out = Vec::new();
        push_f64(&mut out, value);
        assert_eq!(parse_f64(&out), Some(value), "{}", out.escape_ascii());
    }
}

#[test]
fn hexadecimal_floats_are_read_exactly() {
    let random = &mut Seeded::new(3);
    for _ in 0..20_000 {
        let value = f64::from_bits(random.next_u64() & !(1 << 63));
        if !value.is_finite() || value == 0.0 {
            continue;
        }
        let (bits, stored) = (value.to_bits() & ((1 << 52) - 1), value.to_bits() >> 52);
        let (mantissa, exponent) = if stored == 0 { (bits, -1074) } else { (bits | 1 << 52, stored as i64 - 1075) };
        for written in [format!("0x{mantissa:x}p{exponent}"), format!("0X0.{mantissa:014X}P{}", exponent + 56)] {
            assert_eq!(parse_f64(written.as_bytes()), Some(value), "{written}");
        }
    }
}

#[test]
fn random_texts_are_numbers_or_not_and_sums_are_stable() {
    let word = |random: &mut Seeded| -> String {
        let sign = random.pick(&["", "-", "+", ""]);
        let whole = random.next_u64() >> random.below(64);
        let fraction = random.pick(&["", ".", ".5", ".000000000000000015", ".333333333333333333333333333", "x"]);
        let exponent = random.pick(&["", "e3", "e-20", "E+18", "e4900", "e-4940", "p5", "e", "inf"]);
        let prefix = random.pick(&["", "", "0x", "0"]);
        format!("{sign}{prefix}{whole}{fraction}{exponent}")
    };
    for seed in 0..3_000 {
        let random = &mut Seeded::new(seed);
        let (a, b) = (word(random), word(random));
        if let Err(panic) = std::panic::catch_unwind(|| fuzz_numbers(a.as_bytes(), b.as_bytes())) {
            eprintln!("seed {seed}: fuzz_numbers({a:?}, {b:?})");
            std::panic::resume_unwind(panic);
        }
    }
}
