//! Checks of the decoder on arbitrary bytes: for the smoke run in the tests, and for cargo-fuzz (`fuzz/`).
//!
//! What the decoder finds is compared with a plain model of the protocol, which sees all bytes at once, copies
//! everything and splits lines with `line::split`.

use super::{DecodeError, Decoded, Decoder, Limits};
use crate::resp::line;
use crate::resp::number::parse_i64;
type Requests = Vec<Vec<Vec<u8>>>;

/// Random numbers that a seed reproduces: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug)]
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Seeded(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not 0; evenly enough for tests.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Requests, valid and broken, under limits small enough to be met, cut at random places.
///
/// Panics: when the decoder breaks its promises.
pub fn fuzz_decoder(seed: u64) {
    let random = &mut Seeded::new(seed);
    let mut bytes = Vec::new();
    for _ in 0..=random.below(6) {
        push_request(&mut bytes, random);
    }
    for _ in 0..random.below(4) {
        mutate(&mut bytes, random);
    }
    check_decoder(&bytes, random.next_u64());
}

/// Decodes `bytes` in one piece, byte by byte and in random pieces, under several limits; all must agree with the model.
///
/// Panics: when they do not.
pub fn check_decoder(bytes: &[u8], seed: u64) {
    let random = &mut Seeded::new(seed);
    let small = Limits { line: 32 + random.below(40), args: 1 + random.below(12), bulk: random.below(40) };
    for limits in [Limits::default(), small] {
        for guest in [false, true] {
            let expected = model(bytes, &limits, guest);
            let drops = random.below(2) == 0;
            let runs = [
                decode_in_pieces(bytes, &limits, guest, drops, || bytes.len()),
                decode_in_pieces(bytes, &limits, guest, drops, || 1),
                decode_in_pieces(bytes, &limits, guest, drops, || 1 + random.below(9)),
                decode_in_pieces(bytes, &limits, guest, drops, || 1 + random.below(bytes.len())),
            ];
            for (run, found) in runs.into_iter().enumerate() {
                let shown = bytes.escape_ascii();
                assert_eq!(found, expected, "run {run}, {limits:?}, guest {guest}, seed {seed}: \"{shown}\"");
            }
        }
    }
}

/// What a connection does: appends pieces to its buffer, decodes all it can, drops what was consumed.
///
/// Panics: when a promise about one call is broken. `drops_skipped`: use `Decoder::take_skipped`.
pub fn decode_in_pieces(
    bytes: &[u8],
    limits: &Limits,
    guest: bool,
    drops_skipped: bool,
    mut piece: impl FnMut() -> usize,
) -> (Requests, Option<DecodeError>) {
    let mut decoder = Decoder::default();
    decoder.set_guest(guest);
    let (mut buffer, mut args, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = bytes;
    let mut wanted = 1;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
        rest = later;
        buffer.extend_from_slice(now);
        loop {
            let held = args.len();
            match decoder.decode(&mut buffer, limits, &mut args) {
                Ok(Decoded::Request { consumed }) => {
                    assert!(buffer.len() >= wanted, "a request came before the bytes that were wanted");
                    assert!(args.len() > held, "a request has a name");
                    requests.push(args[held..].iter().map(|arg| arg.get(&buffer[..consumed]).to_vec()).collect());
                    buffer.drain(..consumed);
                    wanted = 1;
                }
                Ok(Decoded::NeedMore { want }) => {
                    assert!(want > buffer.len(), "more is more than what is there");
                    assert_eq!(args.len(), held, "ranges of an unfinished request are not shown");
                    let skipped = if drops_skipped { decoder.take_skipped() } else { 0 };
                    buffer.drain(..skipped);
                    wanted = want - skipped;
                    break;
                }
                Err(error) => {
                    assert_eq!(args.len(), held, "ranges of a broken request are not shown");
                    return (requests, Some(error));
                }
            }
        }
    }
    (requests, None)
}

/// The protocol as one would write it down: the requests in `rest`, and the error that ends them.
fn model(mut rest: &[u8], limits: &Limits, guest: bool) -> (Requests, Option<DecodeError>) {
    let mut requests = Vec::new();
    loop {
        let request = match rest.first() {
            None => return (requests, None),
            Some(b'*') => model_array(rest, limits, guest),
            Some(_) => model_line(rest, limits),
        };
        match request {
            Err(error) => return (requests, Some(error)),
            Ok(None) => return (requests, None),
            Ok(Some((args, after))) => {
                if !args.is_empty() {
                    requests.push(args);
                }
                rest = after;
            }
        }
    }
}

type Model<'a, T> = Result<Option<(T, &'a [u8])>, DecodeError>;

fn model_line<'a>(bytes: &'a [u8], limits: &Limits) -> Model<'a, Vec<Vec<u8>>> {
    match bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len()) {
        length if length > limits.line => Err(DecodeError::LineTooBig),
        length if length == bytes.len() => Ok(None),
        length => {
            let text = bytes[..length].strip_suffix(b"\r").unwrap_or(&bytes[..length]);
            let args = line::split(text).map_err(|_| DecodeError::UnbalancedQuotes)?;
            Ok(Some((args, &bytes[length + 1..])))
        }
    }
}

fn model_array<'a>(bytes: &'a [u8], limits: &Limits, guest: bool) -> Model<'a, Vec<Vec<u8>>> {
    let Some((count, mut rest)) = model_number(bytes, limits, DecodeError::MultibulkCountTooBig)? else {
        return Ok(None);
    };
    let count = count.ok_or(DecodeError::MultibulkLength)?;
    if count > limits.args as i64 {
        return Err(DecodeError::MultibulkLength);
    }
    if guest && count > 10 {
        return Err(DecodeError::GuestMultibulkLength);
    }
    let mut args = Vec::new();
    for _ in 0..count {
        let Some((len, after)) = model_number(rest, limits, DecodeError::BulkCountTooBig)? else { return Ok(None) };
        if rest[0] != b'$' {
            return Err(DecodeError::ExpectedBulk(rest[0]));
        }
        let len = match len {
            Some(len @ 0..) if len <= limits.bulk as i64 => len as usize,
            _ => return Err(DecodeError::BulkLength),
        };
        if guest && len > 16384 {
            return Err(DecodeError::GuestBulkLength);
        }
        if after.len() < len + 2 {
            return Ok(None);
        }
        args.push(after[..len].to_vec());
        rest = &after[len + 2..];
    }
    Ok(Some((args, rest)))
}

/// The number between the marker and the CR, if it is one, and what follows the byte behind the CR.
fn model_number<'a>(bytes: &'a [u8], limits: &Limits, too_big: DecodeError) -> Model<'a, Option<i64>> {
    match bytes.iter().position(|&byte| byte == b'\r').unwrap_or(bytes.len()) {
        cr if cr > limits.line => Err(too_big),
        cr if cr + 2 > bytes.len() => Ok(None),
        0 => Ok(Some((None, &bytes[2..]))),
        cr => Ok(Some((parse_i64(&bytes[1..cr]), &bytes[cr + 2..]))),
    }
}

fn push_request(bytes: &mut Vec<u8>, random: &mut Seeded) {
    match random.below(8) {
        0 => {
            bytes.extend_from_slice(random.pick(&[&b"\r\n"[..], b"\n", b"*0\r\n", b"*-1\r\n", b"  \t\r\n", b"*-7\r\n"]))
        }
        1..=2 => {
            for _ in 0..random.below(5) {
                push_word(bytes, random);
                bytes.extend_from_slice(random.pick(&[&b" "[..], b"\t", b"   ", b"\x0b"]));
            }
            bytes.extend_from_slice(random.pick(&[&b"\r\n"[..], b"\n", b"\r\r\n"]));
        }
        _ => {
            let many = if random.below(8) == 0 { 120 } else { 5 };
            let count = 1 + random.below(many);
            bytes.extend_from_slice(format!("*{count}\r\n").as_bytes());
            for _ in 0..count {
                let long = if random.below(20) == 0 { 2000 } else { 30 };
                let len = random.below(long);
                bytes.extend_from_slice(format!("${len}\r\n").as_bytes());
                bytes.extend((0..len).map(|_| random.pick(b"abcxyz0123\r\n$*\"'\\ \x00\xff")));
                bytes.extend_from_slice(b"\r\n");
            }
        }
    }
}

fn push_word(bytes: &mut Vec<u8>, random: &mut Seeded) {
    let quote = random.pick(&[&b""[..], b"\"", b"'"]);
    bytes.extend_from_slice(quote);
    for _ in 0..random.below(8) {
        bytes.extend_from_slice(random.pick(&[
            &b"a"[..],
            b"key",
            b"\\x41",
            b"\\xg1",
            b"\\n",
            b"\\'",
            b"\\\"",
            b"\xc3",
            b"0",
        ]));
    }
    bytes.extend_from_slice(quote);
}

/// Damages `bytes` in one place, with what means something to a decoder more often than not.
fn mutate(bytes: &mut Vec<u8>, random: &mut Seeded) {
    const TOKENS: &[&[u8]] = &[
        b"\r",
        b"\n",
        b"\r\n",
        b"*",
        b"$",
        b"-",
        b"+",
        b"0",
        b"9",
        b"\"",
        b"'",
        b"\\",
        b"\\x",
        b" ",
        b"\x00",
        b"*3\r\n",
        b"$5\r\n",
        b"$-1\r\n",
        b"*1048577\r\n",
        b"*1048576\r\n",
        b"$536870913\r\n",
        b"$16385\r\n",
        b"*11\r\n",
        b"*99999999999999999999\r\n",
        b"$01\r\n",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        b"*00000000000000000000000000000000000000000000000000000000000000000000000000001\r\n",
    ];
    let at = random.below(bytes.len() + 1);
    match random.below(4) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] = random.next_u64() as u8,
        2 if at < bytes.len() => {
            bytes.remove(at);
        }
        _ => {
            bytes.splice(at..at, random.pick(TOKENS).iter().copied());
        }
    }
}
