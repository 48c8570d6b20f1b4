use super::*;
use crate::resp::client::{ReplyDecoder, Value};

fn written(proto: Proto, write: impl Fn(&mut Reply)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Reply::new(&mut out, proto));
    out
}

#[track_caller]
fn check(write: impl Fn(&mut Reply), resp2: &[u8], resp3: &[u8]) {
    for (proto, expected) in [(Proto::Resp2, resp2), (Proto::Resp3, resp3)] {
        let found = written(proto, &write);
        assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{proto:?}");
    }
}

#[track_caller]
fn check_same(write: impl Fn(&mut Reply), expected: &[u8]) {
    check(write, expected, expected);
}

#[test]
fn statuses_errors_and_integers_are_lines() {
    check_same(|reply| reply.ok(), b"+OK\r\n");
    check_same(|reply| reply.simple("PONG"), b"+PONG\r\n");
    check_same(|reply| reply.error("ERR syntax error"), b"-ERR syntax error\r\n");
    for (value, text) in [
        (0, "0"),
        (9, "9"),
        (10, "10"),
        (-1, "-1"),
        (i64::MAX, "9223372036854775807"),
        (i64::MIN, "-9223372036854775808"),
    ] {
        check_same(|reply| reply.int(value), format!(":{text}\r\n").as_bytes());
    }
}

#[test]
fn an_error_stays_one_line_whatever_it_quotes() {
    check_same(|reply| reply.error("ERR unknown command 'a\r\nb'"), b"-ERR unknown command 'a  b'\r\n");
    check_same(|reply| reply.error_bytes(b"ERR unknown command '\x85\n'"), b"-ERR unknown command '\x85 '\r\n");
}

#[test]
fn bulks_of_every_length_have_their_length_before_them() {
    for len in (0..=1100).chain([9999, 10_000, 65_535, 1_000_000]) {
        let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let expected = [format!("${len}\r\n").as_bytes(), &bytes, b"\r\n"].concat();
        assert_eq!(written(Proto::Resp2, |reply| reply.bulk(&bytes)), expected);
    }
    check_same(|reply| reply.bulk_int(-42), b"$3\r\n-42\r\n");
}

#[test]
fn what_resp2_lacks_becomes_what_redis_sends_there() {
    check(|reply| reply.nil(), b"$-1\r\n", b"_\r\n");
    check(|reply| reply.nil_array(), b"*-1\r\n", b"_\r\n");
    check_same(|reply| reply.array(123), b"*123\r\n");
    check(|reply| reply.map(3), b"*6\r\n", b"%3\r\n");
    check(|reply| reply.map(60), b"*120\r\n", b"%60\r\n");
    check(|reply| reply.set(10), b"*10\r\n", b"~10\r\n");
    check(|reply| reply.push(3), b"*3\r\n", b">3\r\n");
    check(|reply| reply.boolean(true), b":1\r\n", b"#t\r\n");
    check(|reply| reply.boolean(false), b":0\r\n", b"#f\r\n");
    check(|reply| reply.double(3.25), b"$4\r\n3.25\r\n", b",3.25\r\n");
    check(|reply| reply.double(f64::NEG_INFINITY), b"$4\r\n-inf\r\n", b",-inf\r\n");
    check(|reply| reply.double(f64::NAN), b"$3\r\nnan\r\n", b",nan\r\n");
    check(|reply| reply.verbatim("txt", b"a\r\nb"), b"$4\r\na\r\nb\r\n", b"=8\r\ntxt:a\r\nb\r\n");
    check(
        |reply| reply.big_number("-12345678901234567890"),
        b"$21\r\n-12345678901234567890\r\n",
        b"(-12345678901234567890\r\n",
    );
}

#[test]
fn a_reply_is_appended_and_counts_only_what_it_is_told_to() {
    let mut out = b"before".to_vec();
    let mut reply = Reply::new(&mut out, Proto::Resp3);
    reply.raw(b":1\r\n");
    assert_eq!(reply.elements(), 0);
    reply.bulk(b"k");
    reply.count_element();
    assert_eq!((reply.elements(), reply.proto()), (1, Proto::Resp3));
    assert_eq!(out, b"before:1\r\n$1\r\nk\r\n");
}

#[test]
fn a_client_reads_back_what_was_written() {
    let write = |reply: &mut Reply| {
        reply.array(7);
        reply.map(1);
        reply.bulk(b"key\r\n");
        reply.set(2);
        reply.int(-7);
        reply.double(0.1);
        reply.nil();
        reply.boolean(true);
        reply.verbatim("txt", b"text");
        reply.simple("status");
        reply.error("ERR no");
        reply.big_number("1");
    };
    let bulk = |bytes: &[u8]| Value::Bulk(bytes.to_vec());
    let tail = [Value::Simple(b"status".to_vec()), Value::Error(b"ERR no".to_vec())];
    let resp2 = [
        &[
            Value::Array(vec![bulk(b"key\r\n"), Value::Array(vec![Value::Int(-7), bulk(b"0.1")])]),
            Value::Nil,
            Value::Int(1),
            bulk(b"text"),
        ][..],
        &tail,
        &[bulk(b"1")],
    ];
    let resp3 = [
        &[
            Value::Map(vec![(bulk(b"key\r\n"), Value::Set(vec![Value::Int(-7), Value::Double(b"0.1".to_vec())]))]),
            Value::Nil,
            Value::Boolean(true),
            Value::Verbatim(*b"txt", b"text".to_vec()),
        ][..],
        &tail,
        &[Value::BigNumber(b"1".to_vec())],
    ];
    for (proto, expected) in [(Proto::Resp2, resp2), (Proto::Resp3, resp3)] {
        let mut decoder = ReplyDecoder::default();
        decoder.feed(&written(proto, write));
        assert_eq!(decoder.next_value(), Ok(Some(Value::Array(expected.concat()))), "{proto:?}");
        assert_eq!(decoder.next_value(), Ok(None));
    }
}
