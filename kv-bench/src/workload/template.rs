//! A command with places in it, made ready to be sent very often.
//!
//! | place | what stands there |
//! |---|---|
//! | `__key__` | `key:` and the twelve digits of the operation's key: the same wherever it stands in a request |
//! | `__rand_int__` | twelve digits of a key drawn anew for each place, as redis-benchmark does |
//! | `__int:LOW:HIGH__` | a number from LOW to HIGH, without zeros in front |
//! | `__data__` | a value |
//!
//! When everything in a request has a fixed length, it is encoded once, and making another is a copy and some digits.
//! Otherwise its arguments are put together each time.

use kv_core::resp::client::encode_request;

use super::dice::Dice;
use super::keys::KeyPicker;
use super::values::{ValueMaker, write_digits};

const DIGITS: usize = 12;

/// What a request's places are filled from; one a thread.
#[derive(Clone, Debug)]
pub struct Draws {
    pub dice: Dice,
    pub keys: KeyPicker,
    pub values: ValueMaker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberOf {
    /// The operation's key.
    Key,
    /// A key of its own.
    Drawn,
}

/// A part of an argument.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(Vec<u8>),
    Number(NumberOf),
    Int(u64, u64),
    Data,
}

#[derive(Clone, Debug)]
pub struct Template {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// The whole request, with zeros where digits go.
    Fixed { bytes: Vec<u8>, places: Vec<(usize, NumberOf)> },
    /// The parts of each argument, and room to put them together.
    Built { args: Vec<Vec<Part>>, room: Vec<Vec<u8>> },
}

impl Template {
    /// Errors: a place that is not well formed.
    pub fn new<A: AsRef<str>>(args: &[A], values: &ValueMaker) -> Result<Template, String> {
        let mut parsed = args.iter().map(|arg| parts(arg.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if let Some(value) = values.constant() {
            for part in parsed.iter_mut().flatten() {
                if *part == Part::Data {
                    *part = Part::Text(value.clone());
                }
            }
        }
        let varies = |part: &Part| matches!(part, Part::Int(..) | Part::Data);
        let form = if parsed.iter().flatten().any(varies) {
            Form::Built { room: vec![Vec::new(); parsed.len()], args: parsed }
        } else {
            fixed(&parsed)
        };
        Ok(Template { form })
    }

    /// A command in the form that a person types, without places.
    pub fn inline(line: &str) -> Template {
        Template { form: Form::Fixed { bytes: format!("{line}\r\n").into_bytes(), places: Vec::new() } }
    }

    /// Appends a request. The key is `key` or else drawn when a place asks for it; the one returned is the first that
    /// the request names.
    pub fn append(&mut self, out: &mut Vec<u8>, draws: &mut Draws, key: Option<u64>) -> u64 {
        let Draws { dice, keys, values } = draws;
        let mut key = key;
        let mut first = None;
        let mut number = |of, dice: &mut Dice| {
            let number = match of {
                NumberOf::Key => *key.get_or_insert_with(|| keys.pick(dice)),
                NumberOf::Drawn => keys.pick(dice),
            };
            first.get_or_insert(number);
            number
        };
        match &mut self.form {
            Form::Fixed { bytes, places } => {
                let start = out.len();
                out.extend_from_slice(bytes);
                for &(at, of) in places.iter() {
                    write_digits(&mut out[start + at..start + at + DIGITS], number(of, dice));
                }
            }
            Form::Built { args, room } => {
                // A value belongs to the key that was named last before it.
                let mut last = 0;
                for (parts, arg) in args.iter().zip(room.iter_mut()) {
                    arg.clear();
                    for part in parts {
                        match *part {
                            Part::Text(ref text) => arg.extend_from_slice(text),
                            Part::Number(of) => {
                                last = number(of, dice);
                                let at = arg.len();
                                arg.resize(at + DIGITS, b'0');
                                write_digits(&mut arg[at..], last);
                            }
                            Part::Int(low, high) => {
                                let drawn = low + dice.below(high - low + 1);
                                arg.extend_from_slice(drawn.to_string().as_bytes());
                            }
                            Part::Data => values.append(arg, last, dice),
                        }
                    }
                }
                encode_request(out, room);
            }
        }
        first.unwrap_or(0)
    }

    /// How many of a request's places name a key.
    pub fn keys_named(&self) -> usize {
        match &self.form {
            Form::Fixed { places, .. } => places.len(),
            Form::Built { args, .. } => args.iter().flatten().filter(|part| matches!(part, Part::Number(_))).count(),
        }
    }
}

fn fixed(args: &[Vec<Part>]) -> Form {
    // Encoding tells where an argument lies, if it is known where it lies in the encoded request: at its end so far.
    let texts: Vec<Vec<u8>> = args
        .iter()
        .map(|parts| {
            let bytes = |part: &Part| match part {
                Part::Text(text) => text.clone(),
                Part::Number(_) | Part::Int(..) | Part::Data => vec![b'0'; DIGITS],
            };
            parts.iter().flat_map(bytes).collect()
        })
        .collect();
    let mut bytes = Vec::new();
    encode_request(&mut bytes, &texts);
    let mut places = Vec::new();
    let mut behind = bytes.len();
    for (parts, text) in args.iter().zip(&texts).rev() {
        let line_end = 2;
        let start = behind - line_end - text.len();
        let mut at = start;
        for part in parts {
            match part {
                Part::Text(text) => at += text.len(),
                Part::Number(of) => {
                    places.push((at, *of));
                    at += DIGITS;
                }
                Part::Int(..) | Part::Data => {}
            }
        }
        let header = format!("${}", text.len()).len() + line_end;
        behind = start - header;
    }
    places.sort_unstable_by_key(|(at, _)| *at);
    Form::Fixed { bytes, places }
}

/// The parts of an argument.
fn parts(arg: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = arg;
    while let Some(at) = rest.find("__") {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let known: [(&str, &[Part]); 3] = [
            ("__key__", &[Part::Text(b"key:".to_vec()), Part::Number(NumberOf::Key)]),
            ("__rand_int__", &[Part::Number(NumberOf::Drawn)]),
            ("__data__", &[Part::Data]),
        ];
        let (found, len) = if let Some((name, found)) = known.iter().find(|(name, _)| rest.starts_with(name)) {
            (found.to_vec(), name.len())
        } else if let Some(bounds) = rest.strip_prefix("__int:") {
            let bounds = bounds.split_once("__").map_or(bounds, |(bounds, _)| bounds);
            let read = bounds.split_once(':').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
            match read {
                Some((low, high)) if low <= high && high < u64::MAX => {
                    (vec![Part::Int(low, high)], "__int:".len() + bounds.len() + "__".len())
                }
                _ => return Err(format!("'{arg}': a number is written __int:LOW:HIGH__")),
            }
        } else {
            text.push('_');
            rest = &rest[1..];
            continue;
        };
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text).into_bytes()));
        }
        parts.extend(found);
        rest = rest.get(len..).ok_or_else(|| format!("'{arg}': a number is written __int:LOW:HIGH__"))?;
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text.into_bytes()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::keys::KeyPattern;
    use crate::workload::values;

    fn draws(keys: u64, size: &str, verified: bool) -> Draws {
        Draws {
            dice: Dice::new(1, 0),
            keys: KeyPicker::new(KeyPattern::Uniform, keys, 0, 1),
            values: ValueMaker::new(&size.parse().unwrap(), verified, 1, 0),
        }
    }

    fn request(line: &str, draws: &mut Draws, key: Option<u64>) -> (Vec<String>, u64) {
        let words: Vec<&str> = line.split(' ').collect();
        let mut template = Template::new(&words, &draws.values).unwrap();
        let mut out = Vec::new();
        let key = template.append(&mut out, draws, key);
        let mut decoder = kv_core::resp::client::ReplyDecoder::default();
        decoder.feed(&out);
        let Some(kv_core::resp::client::Value::Array(args)) = decoder.next_value().unwrap() else { panic!("{out:?}") };
        assert!(!decoder.is_within_value());
        (args.iter().map(|arg| String::from_utf8(arg.bytes().unwrap().to_vec()).unwrap()).collect(), key)
    }

    #[test]
    fn a_request_of_fixed_length_differs_in_its_digits_only() {
        let mut draws = draws(1_000_000, "5", false);
        let words = ["SET", "a:__rand_int__:b", "__data__", "__key__"];
        let mut template = Template::new(&words, &draws.values).unwrap();
        assert!(matches!(template.form, Form::Fixed { .. }));
        let mut out = Vec::new();
        let first = template.append(&mut out, &mut draws, Some(77));
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(&format!("*4\r\n$3\r\nSET\r\n$16\r\na:{first:012}:b\r\n$5\r\n")), "{text}");
        assert!(text.ends_with("\r\n$16\r\nkey:000000000077\r\n"), "{text}");
        assert!(first < 1_000_000 && first > 0);
    }

    #[test]
    fn the_key_is_the_same_in_all_its_places_and_random_numbers_are_not() {
        let (args, key) = request("X __key__ __key__ __rand_int__ __rand_int__", &mut draws(1 << 40, "1", false), None);
        assert_eq!(args[1], format!("key:{key:012}"));
        assert_eq!(args[1], args[2]);
        assert_ne!(args[3], args[4]);
    }

    #[test]
    fn arguments_of_changing_length_are_put_together() {
        let mut draws = draws(100, "1-100", false);
        let mut lengths = std::collections::HashSet::new();
        for _ in 0..50 {
            let (args, key) = request("SET __key__ <__data__> EX __int:5:1000__ x__y_ __", &mut draws, None);
            assert_eq!((&args[0][..], &args[1]), ("SET", &format!("key:{key:012}")));
            assert!(args[2].starts_with('<') && args[2].ends_with('>'));
            lengths.insert(args[2].len());
            assert!((5..=1000).contains(&args[4].parse::<u64>().unwrap()));
            assert_eq!(args[5..], ["x__y_", "__"]);
        }
        assert!(lengths.len() > 10);
    }

    #[test]
    fn a_verified_value_belongs_to_the_key_named_before_it() {
        let mut draws = draws(1000, "40", true);
        let (args, first) = request("MSET key:__rand_int__ __data__ key:__rand_int__ __data__", &mut draws, None);
        let number = |key: &str| key.strip_prefix("key:").unwrap().parse::<u64>().unwrap();
        assert_eq!(number(&args[1]), first);
        assert_eq!(values::verify(args[2].as_bytes(), Some(number(&args[1]))), Ok(()));
        assert_eq!(values::verify(args[4].as_bytes(), Some(number(&args[3]))), Ok(()));
    }

    #[test]
    fn places_that_are_not_well_formed_are_told() {
        for wrong in ["__int:__", "__int:5:3__", "__int:a:3__", "__int:1:3", "__int:1:18446744073709551615__"] {
            assert!(Template::new(&[wrong], &draws(1, "1", false).values).is_err(), "{wrong}");
        }
    }
}
