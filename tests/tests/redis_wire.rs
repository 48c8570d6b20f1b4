//! The protocol beside a real redis-server: what is a request, what is an error in which words, what is a number.
//!
//! Left out, because Redis itself answers by how bytes arrive, or never: NULs in lines, lines over the limit, markers
//! that are not ASCII.

use kv_core::resp::client::Value;
use kv_core::resp::decode::fuzz::{Seeded, decode_in_pieces};
use kv_core::resp::{Limits, Reply, number};
use kv_tests::client::Client;
use kv_tests::redis::Redis;

/// What Redis must answer to one request of ours, as far as it matters here.
enum Answer {
    Exactly(Vec<u8>),
    /// `-ERR unknown command`, `-ERR wrong number of arguments`: the request came through, whatever it means.
    OtherError,
}

fn answer(request: &[Vec<u8>]) -> Answer {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Default::default());
    match request {
        [name, text] if name.eq_ignore_ascii_case(b"echo") => reply.bulk(text),
        [name, text] if name.eq_ignore_ascii_case(b"ping") => reply.bulk(text),
        [name] if name.eq_ignore_ascii_case(b"ping") => reply.simple("PONG"),
        _ => return Answer::OtherError,
    }
    Answer::Exactly(out)
}

/// Redis's answers to `bytes` must be those to the requests that we find there, and its error ours.
fn compare(redis: &Redis, bytes: &[u8], hint: &str) {
    let shown = bytes.escape_ascii();
    let (requests, error) = decode_in_pieces(bytes, &Limits::default(), false, true, || bytes.len());
    let answers = redis.answers(bytes);
    let mut rest = &answers[..];
    for request in &requests {
        rest = match answer(request) {
            Answer::Exactly(expected) => rest.strip_prefix(&expected[..]),
            Answer::OtherError => {
                let end = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |lf| lf + 1);
                let fits = rest.starts_with(b"-ERR ") && !rest.starts_with(b"-ERR Protocol");
                fits.then(|| &rest[end..])
            }
        }
        .unwrap_or_else(|| {
            panic!("{hint}: \"{shown}\": we find {requests:?}, Redis says \"{}\"", answers.escape_ascii())
        });
    }
    let mut expected = Vec::new();
    if let Some(error) = error {
        Reply::new(&mut expected, Default::default()).error(&error.to_string());
    }
    assert_eq!(rest.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{hint}: \"{shown}\"");
}

#[test]
fn chosen_requests_mean_what_they_mean_to_redis() {
    let Some(redis) = Redis::start() else { return };
    for bytes in [
        &b"*x\r\n"[..],
        b"*\r\n",
        b"*-1\r\nPING\r\n",
        b"*0\r\nPING\r\n",
        b"*-5\r\nPING\r\n",
        b"*-0\r\n",
        b"*01\r\n$4\r\nPING\r\n",
        b"*+1\r\n$4\r\nPING\r\n",
        b"*1 \r\n$4\r\nPING\r\n",
        b"*1\n$4\r\nPING\r\n",
        b"*1\rX$4\r\nPING\r\n",
        b"*1\r",
        b"*99999999999999999999\r\n",
        b"*-99999999999999999999\r\n",
        b"*9223372036854775808\r\n",
        b"*1\r\nPING\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n*1\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$+4\r\nPING\r\n",
        b"*1\r\n$04\r\nPING\r\n",
        b"*1\r\n$ 4\r\nPING\r\n",
        b"*1\r\n$4\nXPING\r\n",
        b"*1\r\n$4\r\nPINGxx*1\rx$4\rxPINGxx",
        b"*1\r\n$536870912\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$99999999999999999999\r\n",
        b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        b"\r\n\r\n\n  \r\nPING\r\n",
        b"PING\n",
        b"PING\rX\r\n",
        b"PING\r\r\n",
        b"ECHO 'a\\'b\\n'\r\n",
        b"ECHO \"a\\x41\\xzz\\n\\q\\r\\t\\b\\a\\\\\\\"\"\r\n",
        b"ECHO \"a\"b\r\n",
        b"ECHO 'a'b\r\n",
        b"ECHO 'a\r\n",
        b"ECHO \"a\n",
        b"ECHO a\"b\"c\r\n",
        b"ECHO a\"b c\"\r\n",
        b"ECHO ''\r\n",
        b" \t ECHO\t a \x0b\r\n",
        b"ECHO a\x0bb\r\n",
        b"ECHO a\\ b\r\n",
        b"ECHO \"a\\\r\n",
        b"ECHO 'a\\\r\n",
        b"ECHO \xa0a\r\n",
        b"PING\r\nPING\r\n*x\r\nPING\r\n",
    ] {
        compare(&redis, bytes, "chosen");
    }
    compare(&redis, &b"x".repeat(65537), "a long line");
    compare(&redis, &[&b"*"[..], &b"1".repeat(65600)].concat(), "a long count");
    compare(&redis, &[&b"*1\r\n$"[..], &b"1".repeat(65600)].concat(), "a long length");
}

#[test]
fn damaged_requests_mean_what_they_mean_to_redis() {
    let Some(redis) = Redis::start() else { return };
    for seed in 0..1500 {
        let random = &mut Seeded::new(seed);
        let mut bytes = Vec::new();
        for _ in 0..1 + random.below(3) {
            let text: Vec<u8> = (0..random.below(12)).map(|_| random.pick(b"abx0 \\\"'\t$*4n")).collect();
            match random.below(3) {
                0 => bytes.extend_from_slice(b"PING\r\n"),
                1 => bytes.extend([&b"echo "[..], &text, b"\r\n"].concat()),
                _ => bytes
                    .extend([format!("*2\r\n$4\r\nECHO\r\n${}\r\n", text.len()).as_bytes(), &text, b"\r\n"].concat()),
            }
        }
        for _ in 0..random.below(3) {
            let at = random.below(bytes.len());
            let damage = random.pick(&[
                &b""[..],
                b"\r",
                b"\n",
                b"\r\n",
                b"*",
                b"$",
                b"-",
                b"0",
                b"1",
                b"\"",
                b"'",
                b"\\x4a",
                b" ",
            ]);
            bytes.splice(at..at + random.below(2), damage.iter().copied());
        }
        compare(&redis, &bytes, &format!("seed {seed}"));
    }
}

fn text_of_number(random: &mut Seeded) -> String {
    let sign = random.pick(&["", "", "", "-", "+", " "]);
    let prefix = random.pick(&["", "", "", "", "0x", "0"]);
    let whole = random.next_u64() >> random.below(64);
    let fraction = match random.below(5) {
        0 => format!(".{}", random.next_u64() >> random.below(64)),
        1 => format!(".{:0width$}", random.below(1000), width = random.below(30)),
        2 => random.pick(&[".", "x", "1_0", ","]).to_owned(),
        _ => String::new(),
    };
    let exponent = match random.below(4) {
        0 => format!("e{}", random.below(700) as i32 - 350),
        1 => random.pick(&["e", "E+5", "e-", "p3", "p-1100", "e4900", "e-4945", "d", " ", "inf"]).to_owned(),
        _ => String::new(),
    };
    match random.below(20) {
        0 => random.pick(&["inf", "-inf", "+Infinity", "nan", "", "-", ".", "0x", "infinit", "-nan", "INF"]).to_owned(),
        _ => format!("{sign}{prefix}{whole}{fraction}{exponent}"),
    }
}

fn set(session: &mut Client, value: &str) {
    assert_eq!(session.ask(&["SET", "k", value]), Value::Simple(b"OK".to_vec()));
}

#[test]
fn sums_are_those_of_redis() {
    let Some(redis) = Redis::start() else { return };
    let session = &mut redis.client();
    for seed in 0..4000 {
        let random = &mut Seeded::new(seed);
        let (a, b) = (text_of_number(random), text_of_number(random));
        set(session, &a);
        let ours = match number::add_decimal(a.as_bytes(), b.as_bytes()) {
            Ok(sum) => Value::Bulk(sum.into_bytes()),
            Err(error) => Value::Error(error.to_string().into_bytes()),
        };
        assert_eq!(ours, session.ask(&["INCRBYFLOAT", "k", &b]), "seed {seed}: {a:?} + {b:?}");
    }
}

#[test]
fn texts_are_numbers_where_they_are_to_redis() {
    let Some(redis) = Redis::start() else { return };
    let session = &mut redis.client();
    for seed in 0..4000 {
        let text = text_of_number(&mut Seeded::new(seed));
        let float = session.ask(&["ZADD", "z", &text, "member"]);
        assert_eq!(number::parse_f64(text.as_bytes()).is_some(), !float.is_error(), "seed {seed}: {text:?} as a score");
        if !float.is_error() {
            let Value::Bulk(printed) = session.ask(&["ZSCORE", "z", "member"]) else { panic!("a score is a bulk") };
            let same = number::parse_f64(&printed) == number::parse_f64(text.as_bytes());
            assert!(same, "seed {seed}: {text:?} is {} to Redis", printed.escape_ascii());
        }
        set(session, &text);
        let expected = number::parse_i64(text.as_bytes()).map(Value::Int);
        let int = session.ask(&["INCRBY", "k", "0"]);
        assert_eq!(expected, (!int.is_error()).then_some(int), "seed {seed}: {text:?} as an integer");
    }
}
