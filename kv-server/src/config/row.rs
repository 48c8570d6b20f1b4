//! One option as a row: what it is called, what it may be, how to reach its field.
//!
//! The function pointers of a [`Kind`] carry the type of the value, so that text is parsed and checked in one place and
//! a setter sees only values within the row's limits.

use super::Config;
use super::value::{parse_choice, parse_int, parse_memory, parse_octal, parse_signed, parse_yes_no, show_memory};

/// One option.
pub struct Row {
    /// As in redis.conf, lower case.
    pub name: &'static str,
    /// The name it had in older versions of Redis, which works as well.
    pub older_name: Option<&'static str>,
    pub section: Section,
    pub kind: Kind,
    pub change: Change,
    /// One sentence or two, for help and documentation.
    pub summary: &'static str,
    /// The value is a password: never shown but by CONFIG GET and in the file.
    pub secret: bool,
    /// How help writes the value, where the kind does not say it well enough.
    form: Option<&'static str>,
}

/// The subject under which help and documentation list an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Network,
    Security,
    Clients,
    Protocol,
    Keyspace,
    Scripts,
    Persistence,
    Monitoring,
    Process,
}

impl Section {
    pub const ALL: [Section; 9] = [
        Section::Network,
        Section::Security,
        Section::Clients,
        Section::Protocol,
        Section::Keyspace,
        Section::Scripts,
        Section::Persistence,
        Section::Monitoring,
        Section::Process,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Section::Network => "Network",
            Section::Security => "Security",
            Section::Clients => "Clients",
            Section::Protocol => "Protocol",
            Section::Keyspace => "Keyspace and memory",
            Section::Scripts => "Scripts",
            Section::Persistence => "Persistence",
            Section::Monitoring => "Monitoring",
            Section::Process => "Process and log",
        }
    }
}

/// When an option may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// In the file, on the command line, by CONFIG SET.
    AtRunTime,
    /// In the file and on the command line only.
    AtStart,
}

/// What a value is, and how to read and write it in a [`Config`].
pub enum Kind {
    Int {
        min: u64,
        max: u64,
        get: fn(&Config) -> u64,
        set: fn(&mut Config, u64),
    },
    /// A number that may be negative.
    Signed {
        min: i32,
        max: i32,
        get: fn(&Config) -> i32,
        set: fn(&mut Config, i32),
    },
    /// Mode bits, written in base 8.
    Octal {
        max: u32,
        get: fn(&Config) -> u32,
        set: fn(&mut Config, u32),
    },
    /// Bytes, with units.
    Memory {
        min: u64,
        max: u64,
        get: fn(&Config) -> u64,
        set: fn(&mut Config, u64),
    },
    YesNo {
        get: fn(&Config) -> bool,
        set: fn(&mut Config, bool),
    },
    Choice {
        names: &'static [&'static str],
        get: fn(&Config) -> &'static str,
        set: fn(&mut Config, &'static str),
    },
    /// One argument, blanks and all.
    Text {
        get: fn(&Config) -> String,
        set: fn(&mut Config, &str) -> Result<(), String>,
    },
    /// Any number of words. A setter that fails has changed nothing.
    Words {
        get: fn(&Config) -> Vec<String>,
        set: fn(&mut Config, &[&str]) -> Result<(), String>,
    },
    /// Any number of words. The first line of a file takes the place of the default, further ones add to it.
    Lines {
        get: fn(&Config) -> Vec<String>,
        set: fn(&mut Config, &[&str]) -> Result<(), String>,
        add: fn(&mut Config, &[&str]) -> Result<(), String>,
    },
    /// An option of Redis of which kv does what exactly one value says. Nothing is stored.
    Only {
        value: &'static str,
        otherwise: &'static str,
    },
}

impl Row {
    pub(super) const fn form(self, form: &'static str) -> Row {
        Row { form: Some(form), ..self }
    }

    pub(super) const fn formerly(self, older_name: &'static str) -> Row {
        Row { older_name: Some(older_name), ..self }
    }

    pub(super) const fn secret(self) -> Row {
        Row { secret: true, ..self }
    }

    /// The value as CONFIG GET gives it.
    pub fn show(&self, config: &Config) -> String {
        match &self.kind {
            Kind::Int { get, .. } | Kind::Memory { get, .. } => get(config).to_string(),
            Kind::Signed { get, .. } => get(config).to_string(),
            Kind::Octal { get, .. } => format!("{:o}", get(config)),
            Kind::YesNo { get, .. } => if get(config) { "yes" } else { "no" }.into(),
            Kind::Choice { get, .. } => get(config).into(),
            Kind::Text { get, .. } => get(config),
            Kind::Words { get, .. } | Kind::Lines { get, .. } => get(config).join(" "),
            Kind::Only { value, .. } => (*value).into(),
        }
    }

    /// The value as arguments of a line in a file; [`Row::set`] reads them back.
    pub(super) fn arguments(&self, config: &Config) -> Vec<String> {
        match &self.kind {
            Kind::Memory { get, .. } => vec![show_memory(get(config))],
            Kind::Words { get, .. } | Kind::Lines { get, .. } => {
                let words = get(config);
                if words.is_empty() { vec![String::new()] } else { words }
            }
            _ => vec![self.show(config)],
        }
    }

    /// Sets the value from its arguments.
    ///
    /// Errors: Redis's words; `config` is as before then.
    pub(super) fn set(&self, config: &mut Config, args: &[&str]) -> Result<(), String> {
        let one = || match args {
            [one] => Ok(*one),
            _ => Err(String::from("wrong number of arguments")),
        };
        match &self.kind {
            Kind::Int { min, max, set, .. } => set(config, parse_int(one()?, *min, *max)?),
            Kind::Signed { min, max, set, .. } => set(config, parse_signed(one()?, *min, *max)?),
            Kind::Octal { max, set, .. } => set(config, parse_octal(one()?, *max)?),
            Kind::Memory { min, max, set, .. } => set(config, parse_memory(one()?, *min, *max)?),
            Kind::YesNo { set, .. } => set(config, parse_yes_no(one()?)?),
            Kind::Choice { names, set, .. } => set(config, parse_choice(one()?, names)?),
            Kind::Text { set, .. } => set(config, one()?)?,
            Kind::Words { set, .. } | Kind::Lines { set, .. } => set(config, &words_of(args)?)?,
            Kind::Only { value, otherwise } => {
                if args.is_empty() {
                    return Err("wrong number of arguments".into());
                }
                if !args.join(" ").trim().eq_ignore_ascii_case(value) {
                    return Err((*otherwise).into());
                }
            }
        }
        Ok(())
    }

    /// As [`Row::set`], for a line that follows another one of the same option.
    pub(super) fn set_again(&self, config: &mut Config, args: &[&str]) -> Result<(), String> {
        match &self.kind {
            Kind::Lines { add, .. } => add(config, &words_of(args)?),
            _ => self.set(config, args),
        }
    }

    /// What to write for the value, as help shows it.
    pub fn value_form(&self) -> String {
        if let Some(form) = self.form {
            return form.into();
        }
        match &self.kind {
            Kind::Int { min, max, .. } => format!("{min}..{max}"),
            Kind::Signed { min, max, .. } => format!("{min}..{max}"),
            Kind::Octal { max, .. } => format!("0..{max:o} (octal)"),
            Kind::Memory { min, max, .. } if *max < i64::MAX as u64 => {
                format!("{}..{}", show_memory(*min), show_memory(*max))
            }
            Kind::Memory { min, .. } => format!("{}..", show_memory(*min)),
            Kind::YesNo { .. } => "yes|no".into(),
            Kind::Choice { names, .. } => names.join("|"),
            Kind::Text { .. } => "TEXT".into(),
            Kind::Words { .. } | Kind::Lines { .. } => "WORD [WORD ...]".into(),
            Kind::Only { value, .. } => format!("only {}", quoted_if_empty(value)),
        }
    }

    /// The default, as help shows it.
    pub fn default_form(&self) -> String {
        quoted_if_empty(&self.arguments(&Config::default()).join(" "))
    }
}

/// One argument may hold all words: CONFIG SET has no other way, and files may quote them.
fn words_of<'a>(args: &[&'a str]) -> Result<Vec<&'a str>, String> {
    if args.is_empty() {
        return Err("wrong number of arguments".into());
    }
    Ok(args.iter().flat_map(|arg| arg.split_whitespace()).collect())
}

fn quoted_if_empty(text: &str) -> String {
    if text.is_empty() { "\"\"".into() } else { text.into() }
}

/// A row; a constructor, so that [`super::ROWS`] reads as a table.
pub(super) const fn row(
    section: Section,
    name: &'static str,
    kind: Kind,
    change: Change,
    summary: &'static str,
) -> Row {
    Row { name, older_name: None, section, kind, change, summary, secret: false, form: None }
}

pub(super) const fn int(min: u64, max: u64, get: fn(&Config) -> u64, set: fn(&mut Config, u64)) -> Kind {
    Kind::Int { min, max, get, set }
}

pub(super) const fn memory(min: u64, max: u64, get: fn(&Config) -> u64, set: fn(&mut Config, u64)) -> Kind {
    Kind::Memory { min, max, get, set }
}

pub(super) const fn yes_no(get: fn(&Config) -> bool, set: fn(&mut Config, bool)) -> Kind {
    Kind::YesNo { get, set }
}

pub(super) const fn text(get: fn(&Config) -> String, set: fn(&mut Config, &str) -> Result<(), String>) -> Kind {
    Kind::Text { get, set }
}

pub(super) const fn words(
    get: fn(&Config) -> Vec<String>,
    set: fn(&mut Config, &[&str]) -> Result<(), String>,
) -> Kind {
    Kind::Words { get, set }
}

pub(super) const fn only(value: &'static str, otherwise: &'static str) -> Kind {
    Kind::Only { value, otherwise }
}
