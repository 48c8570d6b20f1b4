//! CONFIG GET and SET, and that the rows hold together.

use super::*;

fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Result<(), String> {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    config.set(&pairs).map_err(|error| error.to_string())
}

fn value(config: &Config, name: &str) -> String {
    match config.get(name.as_bytes()).as_slice() {
        [(found, value)] if *found == name => value.clone(),
        other => panic!("{name} gave {other:?}"),
    }
}

/// Values of a row other than its default, as text; empty where there is only one value.
fn other_values(row: &Row) -> Vec<String> {
    match &row.kind {
        Kind::Int { min, max, .. } | Kind::Memory { min, max, .. } => {
            vec![min.to_string(), max.to_string(), (min + 1).to_string()]
        }
        Kind::Signed { min, max, .. } => vec![min.to_string(), max.to_string(), "-1".into()],
        Kind::Octal { max, .. } => vec![format!("{max:o}"), "1".into(), "0".into()],
        Kind::YesNo { .. } => vec!["yes".into(), "no".into()],
        Kind::Choice { names, .. } => names.iter().map(|name| (*name).into()).collect(),
        Kind::Text { .. } if row.name == "notify-keyspace-events" => vec!["AKE".into(), "g$nKm".into()],
        Kind::Text { .. } => vec!["/a b\"c".into(), "x".into()],
        Kind::Words { .. } if row.name == "bind" => vec!["* -::*".into(), "1.2.3.4".into()],
        Kind::Words { .. } if row.name == "latency-tracking-info-percentiles" => {
            vec!["0 100".into(), "12.5".into(), String::new()]
        }
        Kind::Words { .. } => vec!["normal 1 2 3 slave 4 5 6 pubsub 7 8 9".into()],
        Kind::Lines { .. } => vec!["60 1".into(), "1 0 2 3".into(), String::new()],
        Kind::Only { .. } => vec![],
    }
}

#[test]
fn names_are_lower_case_and_unique_and_every_row_says_what_it_is() {
    for (index, row) in ROWS.iter().enumerate() {
        assert!(row.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", row.name);
        assert!(ROWS[..index].iter().all(|other| other.name != row.name), "{} twice", row.name);
        assert!(row.summary.ends_with('.') && !row.summary.contains("  "), "{}: {}", row.name, row.summary);
        assert!(!row.value_form().is_empty() && !row.default_form().is_empty(), "{}", row.name);
    }
}

#[test]
fn rows_of_one_section_stand_together_in_the_order_of_the_sections() {
    let order: Vec<_> =
        ROWS.iter().map(|row| Section::ALL.iter().position(|section| *section == row.section)).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn every_row_reads_back_what_it_wrote_and_touches_no_other_row() {
    for row in ROWS {
        for text in other_values(row) {
            let mut config = Config::default();
            row.set(&mut config, &[&text]).unwrap_or_else(|why| panic!("{} {text}: {why}", row.name));
            assert_eq!(row.show(&config), text, "{}", row.name);
            for other in ROWS.iter().filter(|other| other.name != row.name) {
                assert_eq!(other.show(&config), other.show(&Config::default()), "{} changed {}", row.name, other.name);
            }
        }
    }
}

#[test]
fn the_arguments_of_every_row_set_the_same_value_again() {
    for row in ROWS {
        let mut values = other_values(row);
        values.push(row.show(&Config::default()));
        for text in values {
            let mut config = Config::default();
            row.set(&mut config, &[&text]).unwrap();
            let args = row.arguments(&config);
            let mut again = Config::default();
            row.set(&mut again, &args.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
            assert_eq!(again, config, "{} {args:?}", row.name);
        }
    }
}

#[test]
fn just_outside_the_limits_is_refused() {
    for row in ROWS {
        let (min, max) = match &row.kind {
            Kind::Int { min, max, .. } | Kind::Memory { min, max, .. } => (*min, *max),
            _ => continue,
        };
        let error = Err(format!("argument must be between {min} and {max} inclusive"));
        if min > 0 {
            assert_eq!(row.set(&mut Config::default(), &[&(min - 1).to_string()]), error, "{}", row.name);
        }
        if max < i64::MAX as u64 {
            assert_eq!(row.set(&mut Config::default(), &[&(max + 1).to_string()]), error, "{}", row.name);
        }
    }
}

#[test]
fn defaults_are_those_of_redis_where_redis_has_the_option() {
    let config = Config::default();
    for (name, default) in [
        ("port", "6379"),
        ("unixsocket", ""),
        ("unixsocketperm", "0"),
        ("tcp-backlog", "511"),
        ("tcp-keepalive", "300"),
        ("protected-mode", "yes"),
        ("requirepass", ""),
        ("maxclients", "10000"),
        ("timeout", "0"),
        ("client-output-buffer-limit", "normal 1073741824 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
        ("client-query-buffer-limit", "1073741824"),
        ("proto-max-bulk-len", "536870912"),
        ("databases", "16"),
        ("hll-sparse-max-bytes", "3000"),
        ("maxmemory", "0"),
        ("maxmemory-policy", "noeviction"),
        ("save", "3600 1 300 100 60 10000"),
        ("stop-writes-on-bgsave-error", "yes"),
        ("rdbcompression", "yes"),
        ("rdbchecksum", "yes"),
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("no-appendfsync-on-rewrite", "no"),
        ("auto-aof-rewrite-percentage", "100"),
        ("auto-aof-rewrite-min-size", "67108864"),
        ("aof-use-rdb-preamble", "yes"),
        ("aof-load-truncated", "yes"),
        ("loglevel", "notice"),
        ("logfile", ""),
        ("daemonize", "no"),
        ("hash-max-listpack-entries", "512"),
        ("hash-max-ziplist-value", "64"),
        ("list-max-listpack-size", "-2"),
        ("list-compress-depth", "0"),
        ("set-max-intset-entries", "512"),
        ("set-max-listpack-entries", "128"),
        ("set-max-listpack-value", "64"),
        ("zset-max-listpack-entries", "128"),
        ("zset-max-listpack-value", "64"),
        ("stream-node-max-bytes", "4096"),
        ("stream-node-max-entries", "100"),
    ] {
        assert_eq!(value(&config, name), default, "{name}");
    }
    assert_eq!(value(&config, "bind"), "127.0.0.1 -::1", "Redis without a file listens everywhere");
}

#[test]
fn get_takes_patterns_and_letters_of_either_case() {
    let config = Config::default();
    let names =
        |patterns: &[&[u8]]| -> Vec<&str> { config.get_matching(patterns).into_iter().map(|(name, _)| name).collect() };
    assert_eq!(names(&[b"proto-*"]), ["proto-max-bulk-len", "proto-max-args", "proto-max-line-len"]);
    assert_eq!(names(&[b"MAXC?IENTS"]), ["maxclients"]);
    assert_eq!(names(&[b"nosuch"]), [""; 0]);
    let older = ROWS.iter().filter(|row| row.older_name.is_some()).count();
    assert_eq!(names(&[b"*"]).len(), ROWS.len() + older);
    assert_eq!(names(&[b"zset-max-*-value"]), ["zset-max-listpack-value", "zset-max-ziplist-value"]);
    assert_eq!(names(&[]), [""; 0]);
}

#[test]
fn get_gives_an_option_once_in_the_order_of_the_rows() {
    let config = Config::default();
    let found = config.get_matching(&[b"timeout", b"maxclients", b"TIMEOUT", b"*imeou*"]);
    assert_eq!(found, [("maxclients", "10000".to_owned()), ("timeout", "0".to_owned())]);
}

#[test]
fn set_changes_all_pairs() {
    let mut config = Config::default();
    let pairs = [("TIMEOUT", "5"), ("client-query-buffer-limit", "2mb"), ("requirepass", "a b"), ("loglevel", "DEBUG")];
    set(&mut config, &pairs).unwrap();
    assert_eq!((config.timeout, config.client_query_buffer_limit), (5, 2 << 20));
    assert!(config.requirepass.matches(b"a b"));
    assert_eq!(config.loglevel, LogLevel::Debug);
}

#[test]
fn set_with_one_bad_pair_changes_nothing() {
    for bad in [("maxclients", "0"), ("nosuch", "1"), ("port", "1"), ("timeout", "6"), ("hz", "10"), ("save", "1 1 1")]
    {
        let mut config = Config::default();
        assert!(set(&mut config, &[("timeout", "5"), ("protected-mode", "no"), bad]).is_err(), "{bad:?}");
        assert_eq!(config, Config::default(), "{bad:?}");
    }
}

#[test]
fn set_fails_in_the_words_of_redis() {
    let failed =
        |name: &str, why: &str| format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
    for (pairs, error) in [
        (&[("maxclients", "0")][..], failed("maxclients", "argument must be between 1 and 4294967295 inclusive")),
        (&[("maxclients", "abc")], failed("maxclients", "argument couldn't be parsed into an integer")),
        (&[("timeout", "-1")], failed("timeout", "argument must be between 0 and 2147483647 inclusive")),
        (&[("timeout", "")], failed("timeout", "argument couldn't be parsed into an integer")),
        (&[("protected-mode", "maybe")], failed("protected-mode", "argument must be 'yes' or 'no'")),
        (
            &[("loglevel", "foo")],
            failed("loglevel", "argument(s) must be one of the following: debug, verbose, notice, warning"),
        ),
        (
            &[("client-query-buffer-limit", "20%")],
            failed("client-query-buffer-limit", "argument must be a memory value"),
        ),
        (&[("databases", "3")], failed("databases", "can't set immutable config")),
        (&[("timeout", "1"), ("Timeout", "2")], failed("timeout", "duplicate parameter")),
        (
            &[("client-output-buffer-limit", "norm 1 2 3")],
            failed("client-output-buffer-limit", "Invalid client class specified in buffer limit configuration."),
        ),
        (&[("NoSuch", "1")], "ERR Unknown option or number of arguments for CONFIG SET - 'NoSuch'".into()),
        (&[("Cluster-Enabled", "1")], failed("cluster-enabled", "known to Redis but not supported by kv yet")),
        (&[("save", "900")], failed("save", "Invalid save parameters")),
        (
            &[("appendfsync", "foo")],
            failed("appendfsync", "argument(s) must be one of the following: everysec, always, no"),
        ),
        (&[("rdbchecksum", "no")], failed("rdbchecksum", "snapshots always have checksums: only yes is accepted")),
        (
            &[("appendfilename", "x")],
            failed("appendfilename", "kv has several files, which it names itself, in the folder `dir`"),
        ),
    ] {
        assert_eq!(set(&mut Config::default(), pairs), Err(error), "{pairs:?}");
    }
}

#[test]
fn set_takes_any_bytes() {
    let mut config = Config::default();
    let error = config.set(&[(b"requirepass", b"\xff")]).unwrap_err().to_string();
    assert_eq!(error, "ERR CONFIG SET failed (possibly related to argument 'requirepass') - argument must be UTF-8");
    let error = config.set(&[(b"\xff\r\n\0", b"")]).unwrap_err().to_string();
    assert!(!error.contains(['\r', '\n', '\0']), "{error:?}");
    assert!(config.get(b"\xff[\\").is_empty());
}

#[test]
fn options_with_a_single_value_take_that_value() {
    let mut config = Config::default();
    let pairs = [("rdbchecksum", "YES"), ("maxmemory", "0"), ("maxmemory-policy", "noeviction")];
    assert_eq!(set(&mut config, &pairs), Ok(()));
    assert_eq!(config, Config::default());
}

#[test]
fn a_password_is_in_no_debug_output() {
    let mut config = Config::default();
    set(&mut config, &[("requirepass", "hunter2")]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(value(&config, "requirepass"), "hunter2", "CONFIG GET gives it, as in Redis");
    assert!(find_row("requirepass").is_some_and(|row| row.secret));
}

#[test]
fn shards_are_one_per_core_unless_said_otherwise() {
    let mut config = Config::default();
    assert_eq!(config.shard_count(6), 6);
    assert_eq!(config.shard_count(0), 1);
    assert_eq!(config.shard_count(5000), 1024);
    config.shards = 3;
    assert_eq!(config.shard_count(6), 3);
}

#[test]
fn bind_is_taken_apart() {
    let config = Config { bind: ["10.0.0.1", "-::1", "*", "-::*"].map(String::from).into(), ..Config::default() };
    let found: Vec<_> = config.listen_addresses().map(|address| (address.host, address.optional)).collect();
    assert_eq!(found, [("10.0.0.1", false), ("::1", true), ("0.0.0.0", false), ("::", true)]);
}

#[test]
fn bind_refuses_too_many_addresses_and_empty_ones() {
    let row = find_row("bind").unwrap();
    let many = ["127.0.0.1"; 17];
    assert_eq!(row.set(&mut Config::default(), &many), Err("Too many bind addresses specified.".into()));
    assert_eq!(row.set(&mut Config::default(), &many[1..]), Ok(()));
    assert_eq!(row.set(&mut Config::default(), &["-"]), Err("an address is missing after '-'".into()));
}
