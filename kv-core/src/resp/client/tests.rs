use super::*;

fn decode_all(bytes: &[u8], piece: usize) -> Vec<Value> {
    let mut decoder = ReplyDecoder::default();
    let mut values = Vec::new();
    for part in bytes.chunks(piece) {
        decoder.feed(part);
        while let Some(value) = decoder.next_value().unwrap() {
            values.push(value);
        }
    }
    assert!(!decoder.is_within_value());
    values
}

fn error_of(bytes: &[u8]) -> ReplyError {
    let mut decoder = ReplyDecoder::default();
    decoder.feed(bytes);
    decoder.next_value().unwrap_err()
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

/// Every kind of value, with what it decodes to.
fn samples() -> Vec<(&'static [u8], Value)> {
    use Value::*;
    vec![
        (b"+OK\r\n", Simple(b"OK".to_vec())),
        (b"+\r\n", Simple(vec![])),
        (b"-ERR no such key\r\n", Error(b"ERR no such key".to_vec())),
        (b"!8\r\nERR a\r\nb\r\n", Error(b"ERR a\r\nb".to_vec())),
        (b":-9223372036854775808\r\n", Int(i64::MIN)),
        (b"$0\r\n\r\n", bulk("")),
        (b"$6\r\na\r\nb\r\n\r\n", bulk("a\r\nb\r\n")),
        (b"$-1\r\n", Nil),
        (b"_\r\n", Nil),
        (b"*-1\r\n", NilArray),
        (b"*0\r\n", Array(vec![])),
        (b"*3\r\n:1\r\n*1\r\n+a\r\n$-1\r\n", Array(vec![Int(1), Array(vec![Simple(b"a".to_vec())]), Nil])),
        (b"%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n", {
            Map(vec![(Simple(b"a".to_vec()), Int(1)), (Simple(b"b".to_vec()), Array(vec![]))])
        }),
        (b"%0\r\n", Map(vec![])),
        (b"~2\r\n:1\r\n:2\r\n", Set(vec![Int(1), Int(2)])),
        (b">2\r\n$7\r\nmessage\r\n:1\r\n", Push(vec![bulk("message"), Int(1)])),
        (b",3.25\r\n", Double(b"3.25".to_vec())),
        (b",-inf\r\n", Double(b"-inf".to_vec())),
        (b",nan\r\n", Double(b"nan".to_vec())),
        (b"#t\r\n", Boolean(true)),
        (b"#f\r\n", Boolean(false)),
        (b"=7\r\ntxt:a b\r\n", Verbatim(*b"txt", b"a b".to_vec())),
        (b"(-123456789012345678901234567890\r\n", BigNumber(b"-123456789012345678901234567890".to_vec())),
        // An attribute before a value, before an element, and one that is empty.
        (b"|1\r\n+ttl\r\n:5\r\n$1\r\nv\r\n", bulk("v")),
        (b"*2\r\n|1\r\n+a\r\n*1\r\n:1\r\n:7\r\n:8\r\n", Array(vec![Int(7), Int(8)])),
        (b"|0\r\n:3\r\n", Int(3)),
    ]
}

#[test]
fn every_kind_of_value_is_decoded_however_it_is_cut() {
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for (bytes, value) in samples() {
        assert_eq!(decode_all(bytes, bytes.len()), std::slice::from_ref(&value), "{}", bytes.escape_ascii());
        assert_eq!(skip_value(bytes), Ok(Some(bytes.len())), "{}", bytes.escape_ascii());
        for cut in 0..bytes.len() {
            assert_eq!(skip_value(&bytes[..cut]), Ok(None), "{} cut at {cut}", bytes.escape_ascii());
            let mut decoder = ReplyDecoder::default();
            decoder.feed(&bytes[..cut]);
            assert_eq!(decoder.next_value(), Ok(None), "{} cut at {cut}", bytes.escape_ascii());
            decoder.feed(&bytes[cut..]);
            assert_eq!(decoder.next_value(), Ok(Some(value.clone())), "{} cut at {cut}", bytes.escape_ascii());
            assert!(!decoder.is_within_value());
        }
        stream.extend_from_slice(bytes);
        expected.push(value);
    }
    for piece in 1..stream.len() {
        assert_eq!(decode_all(&stream, piece), expected, "pieces of {piece}");
        fuzz_replies(&stream, piece);
    }
}

#[test]
fn bytes_that_are_no_reply_are_told_apart() {
    assert_eq!(error_of(b"hello"), ReplyError::Marker(b'h'));
    let no_lines: &[&[u8]] = &[
        b":\r\n",
        b":1x\r\n",
        b":9223372036854775808\r\n",
        b"$x\r\n",
        b"$-2\r\n",
        b"$+1\r\n",
        b"$\r\n",
        b"$?\r\n",
        b"*?\r\n",
        b"%-1\r\n",
        b"~-1\r\n",
        b"=-1\r\n",
        b"*9999999999999999999\r\n",
        b"#x\r\n",
        b"_x\r\n",
        b",x\r\n",
        b"(1.5\r\n",
        b"(-\r\n",
        b"+OK\n",
        b"+\n",
    ];
    for bytes in no_lines {
        assert!(matches!(error_of(bytes), ReplyError::Line { .. }), "{}", bytes.escape_ascii());
    }
    assert_eq!(error_of(b"$1\r\nabc"), ReplyError::Bulk);
    assert_eq!(error_of(b"=2\r\nab\r\n"), ReplyError::Bulk);
    assert_eq!(error_of(b"$4294967296\r\n"), ReplyError::BulkTooLong(1 << 32));
    assert_eq!(error_of(b"*4294967296\r\n"), ReplyError::TooManyElements(1 << 32));
    assert_eq!(error_of(&b"*1\r\n".repeat(257)), ReplyError::TooDeep);
    assert_eq!(error_of(&[b'+'; (1 << 20) + 3]), ReplyError::LineTooLong);
    assert_eq!(error_of(b"x\r\n").to_string(), "not a reply: 'x' begins no value");
    assert_eq!(error_of(b":1\x01\r\n").to_string(), "not a reply: bad line ':1\\x01'");
}

#[test]
fn an_announced_size_allocates_nothing() {
    let mut decoder = ReplyDecoder::default();
    for _ in 0..200 {
        decoder.feed(b"*4294967295\r\n");
        assert_eq!(decoder.next_value(), Ok(None));
    }
    decoder.feed(b"$4294967295\r\n");
    assert_eq!(decoder.next_value(), Ok(None));
    assert!(decoder.buffer.capacity() < 8192);
    assert!(decoder.stack.iter().all(|frame| frame.items.capacity() as u64 <= ITEMS_RESERVED_MAX));
}

#[test]
fn the_buffer_of_a_huge_reply_is_let_go() {
    let mut decoder = ReplyDecoder::default();
    decoder.feed(b"$4000000\r\n");
    decoder.feed(&vec![b'x'; 4_000_000]);
    decoder.feed(b"\r\n");
    assert!(decoder.next_value().unwrap().is_some());
    decoder.feed(b"+OK\r\n");
    assert!(decoder.buffer.capacity() < BUFFER_KEPT_BYTES);
    assert_eq!(decoder.next_value(), Ok(Some(Value::Simple(b"OK".to_vec()))));
}

#[test]
fn the_skipper_consumes_a_long_bulk_piece_by_piece() {
    let mut skipper = Skipper::default();
    assert_eq!(skipper.skip(b"*2\r\n$10\r\nabc"), Ok(Skipped::Part(12)));
    assert_eq!(skipper.skip(b"defg"), Ok(Skipped::Part(4)));
    assert_eq!(skipper.skip(b"hij\r\n:1"), Ok(Skipped::Part(5)));
    assert_eq!(skipper.skip(b":1\r\n+OK\r\n"), Ok(Skipped::Whole(4)));
    assert_eq!(skipper.skip(b"+OK\r\n"), Ok(Skipped::Whole(5)));
}

#[test]
fn a_request_is_an_array_of_bulks() {
    let mut out = Vec::new();
    encode_request(&mut out, &["SET", "k", "a\r\nb"]);
    encode_request::<&[u8]>(&mut out, &[b""]);
    assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n*1\r\n$0\r\n\r\n");
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for test data, and a seed reproduces it.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

#[test]
fn replies_damaged_at_random_are_read_alike_by_all_readers() {
    let samples = samples();
    for seed in 0..3000 {
        let mut random = Random(seed);
        let mut bytes = Vec::new();
        for _ in 0..random.below(6) + 1 {
            if random.below(4) == 0 {
                bytes.extend_from_slice(format!("*{}\r\n", random.below(4)).as_bytes());
            }
            bytes.extend_from_slice(samples[random.below(samples.len() as u64) as usize].0);
        }
        for _ in 0..random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(3) {
                0 => bytes[at] = b"+-:$*_,#!=(%~>|0123\r\nx"[random.below(22) as usize],
                1 => bytes.insert(at, b'0' + random.below(10) as u8),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let piece = random.below(9) as usize + 1;
        let outcome = std::panic::catch_unwind(|| fuzz_replies(&bytes, piece));
        assert!(outcome.is_ok(), "seed {seed}: {} in pieces of {piece}", bytes.escape_ascii());
    }
}
