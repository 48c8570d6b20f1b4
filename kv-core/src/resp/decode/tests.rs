use super::*;
use crate::resp::decode::fuzz::{check_decoder, decode_in_pieces, fuzz_decoder};
use crate::resp::{client, line as client_line};

type Requests = Vec<Vec<Vec<u8>>>;

fn decode(bytes: &[u8]) -> (Requests, Option<DecodeError>) {
    decode_in_pieces(bytes, &Limits::default(), false, true, || bytes.len())
}

fn requests(bytes: &[u8]) -> Requests {
    let (requests, error) = decode(bytes);
    assert_eq!(error, None, "{}", bytes.escape_ascii());
    requests
}

/// The text of the error that `bytes` end in, whole and byte by byte.
fn error_with(bytes: &[u8], limits: &Limits, guest: bool) -> String {
    let whole = decode_in_pieces(bytes, limits, guest, true, || bytes.len());
    assert_eq!(whole, decode_in_pieces(bytes, limits, guest, true, || 1), "{}", bytes.escape_ascii());
    whole.1.map_or_else(|| "no error".to_owned(), |error| error.to_string())
}

fn error(bytes: &[u8]) -> String {
    error_with(bytes, &Limits::default(), false)
}

/// Requests that together use every path, and every kind of unfinished and broken ending.
const SAMPLES: &[&[u8]] = &[
    b"*1\r\n$4\r\nPING\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhello\r\nworld\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
    b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
    b"*12\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\n$1\r\nj\r\n$1\r\nk\r\n$1\r\nl\r\n",
    b"PING\r\nPING\n\r\n\n*0\r\n*-1\r\n   \r\n*1\r\n$4\r\nPING\r\n",
    b"SET k \"a b\\x41\\n\\\"\" 'it\\'s' pre\"fix\" \"\"\r\nGET k\r\n",
    b"*1\r\n$4\r\nPINGxx*1\rx$4\rxPING\r\n",
    b"*2\r\n$4\r\nECHO\r\n$123\r\n0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456\r\n",
    b"PING\r\n*1\r\nPING\r\n",
    b"PING\r\n*x\r\n",
    b"PING\r\n\"open\r\n",
    b"PING\r\n*1\r\n$-1\r\n",
    b"*2\r\n$4\r\nECHO\r\n$5\r\nabc",
];

#[test]
fn a_split_at_any_byte_gives_the_same_result() {
    for sample in SAMPLES {
        let whole = decode(sample);
        for first in 1..sample.len() {
            for second in first..sample.len() {
                let mut pieces = [first, second - first, sample.len()].into_iter().filter(|&piece| piece > 0);
                let split =
                    decode_in_pieces(sample, &Limits::default(), false, second % 2 == 0, || pieces.next().unwrap_or(1));
                assert_eq!(split, whole, "\"{}\" cut at {first} and {second}", sample.escape_ascii());
            }
        }
        check_decoder(sample, 1);
    }
}

#[test]
fn every_request_that_a_client_encodes_is_decoded() {
    for sizes in [&[4][..], &[3, 9, 10, 99, 100, 101], &[0], &[999, 1000, 65536, 0, 1], &[7; 300]] {
        let request: Vec<Vec<u8>> = sizes.iter().map(|&size| (0..size).map(|i| (i * 7) as u8).collect()).collect();
        let mut bytes = Vec::new();
        client::encode_request(&mut bytes, &request);
        assert_eq!(requests(&bytes), [request]);
    }
}

#[test]
fn ranges_are_appended_and_count_from_the_start_of_the_input() {
    let mut input = *b"\r\n*0\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nrest";
    let mut args = vec![Arg { start: 7, len: 1 }];
    let decoded = Decoder::default().decode(&mut input, &Limits::default(), &mut args);
    assert_eq!(decoded, Ok(Decoded::Request { consumed: input.len() - 4 }));
    assert_eq!(args, [Arg { start: 7, len: 1 }, Arg { start: 14, len: 3 }, Arg { start: 23, len: 1 }]);
    assert_eq!(args[1].get(&input), b"GET");
}

#[test]
fn lines_are_split_and_unquoted_as_redis_does() {
    for (line, expected) in [
        (&b"PING"[..], &[&b"PING"[..]][..]),
        (b" \t ECHO\t a \x0b", &[b"ECHO", b"a"]),
        (b"ECHO a\x0bb \x0cc", &[b"ECHO", b"a\x0bb", b"c"]),
        (b"PING\rX", &[b"PING", b"X"]),
        (b"ECHO 'a\\'b\\n'", &[b"ECHO", b"a'b\\n"]),
        (b"ECHO \"a\\x41\\xzz\\n\\q\"", &[b"ECHO", b"aAxzz\nq"]),
        (b"\"\\n\\r\\t\\b\\a\\\\\\\"\\x00\\xfF\"", &[b"\n\r\t\x08\x07\\\"\x00\xff"]),
        (b"ECHO ''", &[b"ECHO", b""]),
        (b"\"\"", &[b""]),
        (b"a\"b c\" x'y z'", &[b"ab c", b"xy z"]),
        (b"ECHO a\\ b", &[b"ECHO", b"a\\", b"b"]),
        (b"\x85PING \xa0a", &[b"\x85PING", b"\xa0a"]),
        (b"ECHO a\x00b '\x00'", &[b"ECHO", b"a\x00b", b"\x00"]),
        (b"$4", &[b"$4"]),
        (b"a*1", &[b"a*1"]),
    ] {
        for end in [&b"\r\n"[..], b"\n", b"\r\r\n"] {
            assert_eq!(requests(&[line, end].concat()), [expected], "{}", line.escape_ascii());
        }
    }
}

#[test]
fn a_line_means_the_same_to_the_server_and_to_the_client() {
    for bytes in [&b"plain"[..], b"", b"a b", b"it's \"quoted\"", b"\x00\x01\xff\r\n\t\x07\x08", b"\\x41", b"\\"] {
        let quoted = client_line::quote(bytes);
        assert_eq!(requests(format!("SET {quoted}\r\n").as_bytes()), [[b"SET", bytes]]);
    }
}

#[test]
fn unquoting_never_touches_the_next_request() {
    assert_eq!(
        requests(b"ECHO \"\\x41\\x42\"\r\nECHO 'b'\r\n*1\r\n$4\r\nPING\r\n"),
        [&[&b"ECHO"[..], b"AB"][..], &[b"ECHO", b"b"], &[b"PING"]]
    );
}

#[test]
fn empty_requests_are_skipped() {
    assert_eq!(requests(b"\r\n\n  \r\n*0\r\n*-1\r\n*-5\r\n*-9223372036854775808\r\nPING\r\n"), [[b"PING"]]);
    assert_eq!(requests(b"\r\n*0\r\n \r\n"), Requests::new());
}

#[test]
fn skipped_requests_can_be_dropped_before_the_next_one_is_complete() {
    let mut decoder = Decoder::default();
    let (mut args, limits) = (Vec::new(), Limits::default());
    let mut buffer = b"\r\n*0\r\n".to_vec();
    assert_eq!(decoder.decode(&mut buffer, &limits, &mut args), Ok(Decoded::NeedMore { want: 7 }));
    assert_eq!(decoder.take_skipped(), 6);
    assert_eq!(decoder.take_skipped(), 0);
    buffer.clear();
    buffer.extend_from_slice(b"\n*2\r\n$4\r\nECHO\r\n$1\r\n");
    assert_eq!(decoder.decode(&mut buffer, &limits, &mut args), Ok(Decoded::NeedMore { want: buffer.len() + 3 }));
    assert_eq!(decoder.take_skipped(), 1);
    buffer.remove(0);
    buffer.extend_from_slice(b"x\r\n");
    assert_eq!(decoder.decode(&mut buffer, &limits, &mut args), Ok(Decoded::Request { consumed: buffer.len() }));
    assert_eq!(args.iter().map(|arg| arg.get(&buffer)).collect::<Vec<_>>(), [&b"ECHO"[..], b"x"]);
}

#[test]
fn protocol_errors_have_redis_words() {
    for (bytes, expected) in [
        (&b"*x\r\n"[..], "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*01\r\n$4\r\nPING\r\n", "invalid multibulk length"),
        (b"*+1\r\n$4\r\nPING\r\n", "invalid multibulk length"),
        (b"*1 \r\n$4\r\nPING\r\n", "invalid multibulk length"),
        (b"* 1\r\n$4\r\nPING\r\n", "invalid multibulk length"),
        (b"*1\n$4\r\nPING\r\n", "invalid multibulk length"),
        (b"*-0\r\n", "invalid multibulk length"),
        (b"*-99999999999999999999\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*9223372036854775808\r\n", "invalid multibulk length"),
        (b"*1\x00\r\n", "invalid multibulk length"),
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*1\r\n*1\r\n", "expected '$', got '*'"),
        (b"*1\r\n\r\n", "expected '$', got '\r'"),
        (b"*1\r\n\x00\r\n", "expected '$', got '\0'"),
        (b"*2\r\n$1\r\na\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$-5\r\n", "invalid bulk length"),
        (b"*1\r\n$+4\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$ 4\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$4\nXPING\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        (b"ECHO \"a\"b\r\n", "unbalanced quotes in request"),
        (b"ECHO 'a'b\r\n", "unbalanced quotes in request"),
        (b"ECHO a\"b\"c\r\n", "unbalanced quotes in request"),
        (b"ECHO 'a\r\n", "unbalanced quotes in request"),
        (b"ECHO \"a\n", "unbalanced quotes in request"),
        (b"ECHO \"a\\\r\n", "unbalanced quotes in request"),
        (b"ECHO \"a\\\"\r\n", "unbalanced quotes in request"),
        (b"ECHO 'a\\\r\n", "unbalanced quotes in request"),
        (b"'\r\n", "unbalanced quotes in request"),
    ] {
        assert_eq!(error(bytes), format!("ERR Protocol error: {expected}"), "{}", bytes.escape_ascii());
    }
}

#[test]
fn requests_before_an_error_are_decoded() {
    assert_eq!(decode(b"PING\r\n*1\r\n$4\r\nPING\r\n*x\r\nPING\r\n").0, [[b"PING"], [b"PING"]]);
}

#[test]
fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
    let limits = Limits { line: 100, ..Limits::default() };
    let line = |length: usize| [&b"x".repeat(length)[..], b"\n"].concat();
    assert_eq!(error_with(&line(100), &limits, false), "no error");
    assert_eq!(error_with(&line(101), &limits, false), "ERR Protocol error: too big inline request");
    assert_eq!(error_with(&b"x".repeat(100), &limits, false), "no error");
    assert_eq!(error_with(&b"x".repeat(101), &limits, false), "ERR Protocol error: too big inline request");
    assert_eq!(error(&b"x".repeat(65536)), "no error");
    assert_eq!(error(&b"x".repeat(65537)), "ERR Protocol error: too big inline request");
}

#[test]
fn the_text_of_a_count_or_length_is_held_to_the_limit_of_lines() {
    let limits = Limits { line: 50, ..Limits::default() };
    let digits = |before: &str, count| [before.as_bytes(), &b"1".repeat(count)].concat();
    assert_eq!(error_with(&digits("*", 49), &limits, false), "no error");
    assert_eq!(error_with(&digits("*", 50), &limits, false), "ERR Protocol error: too big mbulk count string");
    assert_eq!(error_with(&digits("*1\r\n$", 49), &limits, false), "no error");
    assert_eq!(error_with(&digits("*1\r\n$", 50), &limits, false), "ERR Protocol error: too big bulk count string");
    assert_eq!(error_with(&digits("*1\r\nx", 50), &limits, false), "ERR Protocol error: too big bulk count string");
    assert_eq!(error(&digits("*", 65536)), "ERR Protocol error: too big mbulk count string");
}

#[test]
fn a_limit_below_any_number_does_not_forbid_numbers() {
    let limits = Limits { line: 0, ..Limits::default() };
    assert_eq!(
        error_with(b"*2\r\n$000000000004\r\nPING\r\n", &limits, false),
        "ERR Protocol error: invalid bulk length"
    );
    assert_eq!(error_with(b"*1\r\n$4\r\nPING\r\nPING\r\n", &limits, false), "no error");
}

#[test]
fn arguments_and_bulks_may_be_as_many_and_long_as_their_limits() {
    let limits = Limits { args: 12, bulk: 15, ..Limits::default() };
    let array = |count: usize| [format!("*{count}\r\n").as_bytes(), &b"$1\r\na\r\n".repeat(count)].concat();
    assert_eq!(error_with(&array(12), &limits, false), "no error");
    assert_eq!(error_with(&array(13), &limits, false), "ERR Protocol error: invalid multibulk length");
    let bulk = |len: usize| format!("*1\r\n${len}\r\n{}\r\n", "b".repeat(len)).into_bytes();
    assert_eq!(error_with(&bulk(15), &limits, false), "no error");
    assert_eq!(error_with(&bulk(16), &limits, false), "ERR Protocol error: invalid bulk length");
    assert_eq!(error(b"*1048576\r\n"), "no error");
    assert_eq!(error(b"*1048577\r\n"), "ERR Protocol error: invalid multibulk length");
    assert_eq!(error(b"*1\r\n$536870912\r\n"), "no error");
    assert_eq!(error(b"*1\r\n$536870913\r\n"), "ERR Protocol error: invalid bulk length");
}

#[test]
fn before_authentication_arrays_are_small() {
    let limits = Limits::default();
    for (bytes, expected) in [
        (&b"*10\r\n"[..], "no error"),
        (b"*11\r\n", "ERR Protocol error: unauthenticated multibulk length"),
        (b"*1\r\n$16384\r\n", "no error"),
        (b"*1\r\n$16385\r\n", "ERR Protocol error: unauthenticated bulk length"),
        (b"*1048577\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n$536870913\r\n", "ERR Protocol error: invalid bulk length"),
    ] {
        assert_eq!(error_with(bytes, &limits, true), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_request_must_end_within_the_reach_of_its_ranges() {
    let limits = Limits { bulk: usize::MAX, ..Limits::default() };
    assert_eq!(error_with(b"*1\r\n$4294967276\r\n", &limits, false), "no error");
    assert_eq!(error_with(b"*1\r\n$4294967277\r\n", &limits, false), "ERR Protocol error: too big request");
    assert_eq!(error_with(b"*1\r\n$9223372036854775807\r\n", &limits, false), "ERR Protocol error: too big request");
}

#[test]
fn an_unfinished_bulk_wants_all_of_it_at_once() {
    let mut input = b"*2\r\n$3\r\nSET\r\n$1000000\r\nabc".to_vec();
    let (mut decoder, mut args) = (Decoder::default(), Vec::new());
    let end = input.len() - 3 + 1_000_000 + 2;
    for _ in 0..3 {
        let decoded = decoder.decode(&mut input, &Limits::default(), &mut args);
        assert_eq!(decoded, Ok(Decoded::NeedMore { want: end }));
        input.push(b'x');
    }
    input.resize(end, b'x');
    assert_eq!(decoder.decode(&mut input, &Limits::default(), &mut args), Ok(Decoded::Request { consumed: end }));
    assert_eq!(args[1].len, 1_000_000);
}

#[test]
fn a_decoder_starts_afresh_after_each_request() {
    let (mut decoder, mut args, limits) = (Decoder::default(), Vec::new(), Limits::default());
    for _ in 0..3 {
        let mut input = b"*2\r\n$4\r\nECHO\r\n$3\r\nab".to_vec();
        assert!(matches!(decoder.decode(&mut input, &limits, &mut args), Ok(Decoded::NeedMore { .. })));
        input.extend_from_slice(b"c\r\nPING\r\n");
        let consumed = input.len() - 6;
        assert_eq!(decoder.decode(&mut input, &limits, &mut args), Ok(Decoded::Request { consumed }));
        assert_eq!(decoder.decode(&mut input[consumed..], &limits, &mut args), Ok(Decoded::Request { consumed: 6 }));
    }
    assert_eq!(args.len(), 9);
}

/// What was understood is never looked at again: damage behind the decoder's back stays unseen.
#[test]
fn bytes_that_were_understood_are_not_looked_at_again() {
    let (mut decoder, mut args, limits) = (Decoder::default(), Vec::new(), Limits::default());
    let whole = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";
    let mut input = Vec::new();
    for &byte in whole {
        input.push(byte);
        let decoded = decoder.decode(&mut input, &limits, &mut args).expect("valid so far");
        if matches!(decoded, Decoded::NeedMore { .. }) {
            input[..decoder.progress.at].fill(b'?');
        }
    }
    assert_eq!(args, [Arg { start: 8, len: 3 }, Arg { start: 17, len: 3 }, Arg { start: 26, len: 5 }]);
}

/// The same for what was searched for a line's end.
#[test]
fn an_unfinished_line_is_searched_once() {
    for (start, piece, end) in [(&b"ECHO "[..], b'x', b'\n'), (b"*", b'1', b'\r'), (b"*1\r\n$", b'1', b'\r')] {
        let (mut decoder, mut args) = (Decoder::default(), Vec::new());
        let mut input = start.to_vec();
        for _ in 0..1000 {
            input.push(piece);
            let decoded = decoder.decode(&mut input, &Limits::default(), &mut args);
            assert_eq!(decoded, Ok(Decoded::NeedMore { want: input.len() + 1 }));
            assert_eq!(decoder.progress.scanned, input.len());
            // An end behind the decoder's back.
            let last = input.len() - 1;
            input[last] = end;
        }
    }
}

#[test]
fn ranges_of_a_huge_request_are_let_go() {
    let count = 100_000;
    let mut input = [format!("*{count}\r\n").as_bytes(), &b"$1\r\na\r\n".repeat(count)].concat();
    let (mut decoder, mut args, limits) = (Decoder::default(), Vec::new(), Limits::default());
    for length in (0..input.len()).step_by(50_000) {
        let decoded = decoder.decode(&mut input[..length], &limits, &mut args);
        assert!(matches!(decoded, Ok(Decoded::NeedMore { .. })));
    }
    assert!(decoder.partial.len() > PARTIAL_KEPT);
    let consumed = input.len();
    assert_eq!(decoder.decode(&mut input, &limits, &mut args), Ok(Decoded::Request { consumed }));
    assert_eq!(args.len(), count);
    assert!(decoder.partial.capacity() <= PARTIAL_KEPT);
}

#[test]
fn announcing_much_costs_nothing() {
    let (mut decoder, mut args) = (Decoder::default(), Vec::new());
    let mut input = *b"*1048576\r\n$536870912\r\n";
    assert!(matches!(decoder.decode(&mut input, &Limits::default(), &mut args), Ok(Decoded::NeedMore { .. })));
    assert_eq!((decoder.partial.capacity(), args.capacity()), (0, 0));
}

#[test]
fn random_requests_decode_as_the_model_says() {
    for seed in 0..3000 {
        if let Err(panic) = std::panic::catch_unwind(|| fuzz_decoder(seed)) {
            eprintln!("fuzz_decoder({seed})");
            std::panic::resume_unwind(panic);
        }
    }
}
