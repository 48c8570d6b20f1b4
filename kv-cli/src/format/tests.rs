use kv_core::resp::client::ReplyDecoder;
use kv_core::resp::line;

use super::*;

const TYPED: &str = include_str!("golden_typed.txt");
const FLAT: &str = include_str!("golden_flat.txt");

fn unescape(text: &str) -> Vec<u8> {
    line::split(format!("\"{}\"", text.replace('"', "\\\"")).as_bytes()).unwrap().remove(0)
}

fn decode(wire: &[u8]) -> Value {
    let mut decoder = ReplyDecoder::default();
    decoder.feed(wire);
    decoder.next_value().unwrap().unwrap()
}

fn shown(style: Style, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    Format::new(style).write(&mut out, value);
    out
}

/// The parts of a golden file: the wire and what follows it.
fn samples(golden: &str) -> Vec<(&str, &str)> {
    let samples: Vec<_> = golden.split("== ").skip(1).map(|sample| sample.split_once('\n').unwrap()).collect();
    assert!(samples.len() >= 30);
    samples
}

#[test]
fn the_style_for_people_is_that_of_redis_cli() {
    for (wire, expected) in samples(TYPED) {
        // See the module's comment.
        let expected = expected.replace("\\xc3\\xa4", "ä");
        let text = shown(Style::Typed, &decode(&unescape(wire)));
        assert_eq!(String::from_utf8_lossy(&text), expected, "{wire}");
    }
}

#[test]
fn the_styles_for_programs_are_those_of_redis_cli() {
    for (wire, expected) in samples(FLAT) {
        let value = decode(&unescape(wire));
        for (style, expected) in [Style::Raw, Style::Csv, Style::Json].into_iter().zip(expected.lines()) {
            let text = shown(style, &value);
            // What JSON cannot carry is shown otherwise: see the module's comment.
            if style != Style::Json || is_readable_json(&text, &value) {
                let text = text.escape_ascii().to_string().replace("\\'", "'");
                assert_eq!(text, expected, "{wire} as {style:?}");
            }
        }
    }
}

fn is_readable_json(text: &[u8], value: &Value) -> bool {
    let text = String::from_utf8_lossy(text);
    !text.contains("\"error\"") && !text.contains('\u{fffd}') && *value != Value::Double(b"inf".to_vec())
}

#[test]
fn json_stays_json_where_redis_cli_leaves_it() {
    let json = |style, wire: &[u8]| String::from_utf8(shown(style, &decode(wire))).unwrap();
    assert_eq!(json(Style::Json, b"-ERR \"x\"\r\n"), "{\"error\":\"ERR \\\"x\\\"\"}\n");
    assert_eq!(json(Style::Json, b",inf\r\n"), "\"inf\"\n");
    assert_eq!(json(Style::Json, b",-1.5e+20\r\n"), "-1.5e+20\n");
    assert_eq!(json(Style::Json, b",.5\r\n"), "\".5\"\n");
    assert_eq!(json(Style::Json, b"(123456789012345678901\r\n"), "123456789012345678901\n");
    assert_eq!(json(Style::Json, b"$2\r\n\xffa\r\n"), "\"\u{fffd}a\"\n");
    assert_eq!(json(Style::QuotedJson, b"$3\r\n\xff\"\\\r\n"), r#""\\xff\\\"\\\\""#.to_owned() + "\n");
    assert_eq!(json(Style::QuotedJson, b"%1\r\n*1\r\n+a\r\n_\r\n"), "{\"[\\\"a\\\"]\":null}\n");
}

#[test]
fn a_big_number_and_a_push_have_a_form_of_their_own() {
    assert_eq!(shown(Style::Typed, &decode(b"(12\r\n")), b"(big number) 12\n");
    assert_eq!(shown(Style::Typed, &decode(b">2\r\n+a\r\n:1\r\n")), b"1> a\n2> (integer) 1\n");
    assert_eq!(shown(Style::Raw, &decode(b"(12\r\n")), b"12\n");
}

#[test]
fn delimiters_of_raw_replies_can_be_chosen() {
    let format = Format { style: Style::Raw, delimiter: b", ".to_vec(), end: b";".to_vec(), colours: false };
    let mut out = Vec::new();
    format.write(&mut out, &decode(b"*2\r\n*2\r\n:1\r\n:2\r\n%1\r\n+a\r\n+b\r\n"));
    assert_eq!(out, b"1, 2, a b;");
}

#[test]
fn a_report_ends_with_one_line_end() {
    assert_eq!(shown(Style::Report, &decode(b"$2\r\nab\r\n")), b"ab\n");
    assert_eq!(shown(Style::Report, &decode(b"$3\r\nab\n\r\n")), b"ab\n");
    assert_eq!(shown(Style::Report, &decode(b"-ERR no\r\n")), b"(error) ERR no\n");
}

#[test]
fn text_in_utf8_is_shown_and_what_is_none_is_escaped() {
    for (bytes, quoted) in [
        ("grün \"a\\b\" 日本".as_bytes(), r#""grün \"a\\b\" 日本""#),
        (b"\xc3\xa4\xc3", r#""ä\xc3""#),
        (b"\xff\x00a\n", r#""\xff\x00a\n""#),
        ("a\u{202e}b\u{9b}c".as_bytes(), r#""a\xe2\x80\xaeb\xc2\x9bc""#),
    ] {
        assert_eq!(quote_text(bytes), quoted);
        assert_eq!(line::split(quoted.as_bytes()).unwrap(), [bytes]);
    }
}

#[test]
fn colours_add_nothing_else() {
    let format = Format { colours: true, ..Format::new(Style::Typed) };
    for (wire, expected) in samples(TYPED) {
        let mut out = Vec::new();
        format.write(&mut out, &decode(&unescape(wire)));
        let text = String::from_utf8_lossy(&out).into_owned();
        let expected = expected.replace("\\xc3\\xa4", "ä");
        let plain: String = text.split('\x1b').enumerate().fold(String::new(), |all, (at, part)| {
            all + if at == 0 { part } else { part.split_once('m').expect("a colour ends").1 }
        });
        assert_eq!(plain, expected, "{wire}");
    }
    let mut out = Vec::new();
    format.write(&mut out, &decode(b"-ERR no\r\n"));
    assert_eq!(out, b"\x1b[31m(error) ERR no\x1b[0m\n");
}
