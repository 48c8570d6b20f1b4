//! Looks into encoded replies without building values: for joining the answers of several shards, which our own
//! [`super::Reply`] has written and which are therefore well formed. Anything else gives `None` or an empty rest.

use super::number::parse_i64;

/// The header line without its CRLF, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\r', bytes)?;
    Some((&bytes[..end], bytes.get(end + 2..)?))
}

/// The number of an integer reply.
pub fn int_of(reply: &[u8]) -> Option<i64> {
    let (head, _) = line(reply)?;
    if head.first() == Some(&b':') { parse_i64(&head[1..]) } else { None }
}

/// The elements of an array reply, without its header.
pub fn after_header(reply: &[u8]) -> &[u8] {
    line(reply).map_or(b"", |(_, rest)| rest)
}

/// Whether a reply is nil, in either protocol.
pub fn is_nil(reply: &[u8]) -> bool {
    reply.starts_with(b"$-1") || reply.starts_with(b"*-1") || reply.starts_with(b"_")
}

/// Whether a reply is an error.
pub fn is_error(reply: &[u8]) -> bool {
    reply.first() == Some(&b'-')
}

/// The bytes of a bulk string.
pub fn bulk_of(reply: &[u8]) -> Option<&[u8]> {
    let (head, rest) = line(reply)?;
    if head.first() != Some(&b'$') {
        return None;
    }
    rest.get(..usize::try_from(parse_i64(&head[1..])?).ok()?)
}

/// The length of the first value when it is a string, a number, nil or an error; everything for other kinds.
pub fn scalar_len(reply: &[u8]) -> usize {
    let Some((head, rest)) = line(reply) else { return reply.len() };
    let line_len = reply.len() - rest.len();
    match head.first() {
        Some(b'$') => match parse_i64(&head[1..]) {
            Some(len) if len >= 0 => (line_len + len as usize + 2).min(reply.len()),
            _ => line_len,
        },
        Some(b':' | b'+' | b'-' | b'_' | b',' | b'#' | b'(') => line_len,
        _ => reply.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_replies_are_found_without_decoding_them() {
        assert_eq!(int_of(b":-12\r\n"), Some(-12));
        assert_eq!(int_of(b"$1\r\n1\r\n"), None);
        assert_eq!(after_header(b"*2\r\n:1\r\n:2\r\n"), b":1\r\n:2\r\n");
        assert_eq!(bulk_of(b"$3\r\na\rb\r\n"), Some(&b"a\rb"[..]));
        assert_eq!(scalar_len(b"$3\r\nabc\r\n:1\r\n"), 9);
        assert_eq!(scalar_len(b"$-1\r\n:1\r\n"), 5);
        assert_eq!(scalar_len(b"_\r\n:1\r\n"), 3);
        assert!(is_nil(b"_\r\n") && is_nil(b"$-1\r\n") && !is_nil(b"$1\r\na\r\n"));
        assert!(is_error(b"-ERR x\r\n"));
    }
}
