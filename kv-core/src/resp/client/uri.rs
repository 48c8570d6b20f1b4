//! `redis://user:password@host:port/db`, as the tools' `-u` takes it; there is no TLS, and who asks for it is told so.

/// By which redis-cli and redis-benchmark are told of TLS.
pub const TLS_OPTIONS: [&str; 9] = [
    "--tls",
    "--sni",
    "--cacert",
    "--cacertdir",
    "--insecure",
    "--cert",
    "--key",
    "--tls-ciphers",
    "--tls-ciphersuites",
];

/// The parts of `redis://user:password@host:port/db`; all may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    pub user: Option<String>,
    pub password: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub db: Option<u32>,
}

impl Uri {
    /// Errors: what is wrong with it, without the text itself, which may hold a password.
    pub fn parse(text: &str) -> Result<Uri, String> {
        let bad = |what: &str| what.to_owned();
        let Some(rest) = text.strip_prefix("redis://") else {
            let is_tls = text.starts_with("rediss://");
            return Err(bad(if is_tls { "there is no TLS yet: redis:// alone" } else { "only redis:// is known" }));
        };
        let rest = rest.split(['?', '#']).next().unwrap_or(rest);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            // One word alone is the password, as in redis-cli.
            Some((password, "")) => (None, Some(password)),
            Some((user, password)) => (Some(user), Some(password)),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or_else(|| bad("'[' without ']'"))?,
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => Some(digits.parse().map_err(|_| bad("not a port"))?),
            None if port.is_empty() => None,
            None => return Err(bad("not a port")),
        };
        let db = match path {
            "" => None,
            digits => Some(digits.parse().map_err(|_| bad("the path is the number of a database"))?),
        };
        let decode = |part: Option<&str>| match part {
            None | Some("") => Ok(None),
            Some(part) => percent_decode(part).map(Some).ok_or_else(|| bad("bad %-escape")),
        };
        Ok(Uri { user: decode(user)?, password: decode(password)?, host: decode(Some(host))?, port, db })
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_that_asks_for_tls_is_told_that_there_is_none() {
        assert!(Uri::parse("rediss://h").unwrap_err().contains("no TLS"));
    }

    #[test]
    fn a_uri_may_leave_parts_out() {
        assert_eq!(Uri::parse("redis://"), Ok(Uri::default()));
        assert_eq!(Uri::parse("redis://h"), Ok(Uri { host: Some("h".into()), ..Uri::default() }));
        assert_eq!(Uri::parse("redis://:pw@/1?x=1").unwrap().password.as_deref(), Some("pw"));
        assert_eq!(Uri::parse("redis://pw@h").unwrap().password.as_deref(), Some("pw"));
        for bad in ["http://h", "redis://h:x", "redis://h/x", "redis://[::1", "redis://h:99999", "redis://%zz@h"] {
            assert!(Uri::parse(bad).is_err(), "{bad}");
        }
    }
}
