use super::*;

fn try_options(line: &[&str]) -> Result<Options, String> {
    let line = CommandLine::try_parse_from([&["kv-cli"], line].concat()).unwrap();
    Options::resolve(line, &Environment { terminal: true, colours: true, password: Some("env".into()) })
}

fn options(line: &[&str]) -> Options {
    try_options(line).unwrap()
}

fn command<const N: usize>(words: [&str; N]) -> Task {
    Task::Command(words.map(|word| word.as_bytes().to_vec()).to_vec())
}

#[test]
fn an_unknown_option_is_no_command() {
    assert_eq!(try_options(&["--bogus"]).unwrap_err(), "unknown option --bogus (see --help)");
    assert_eq!(try_options(&["-p", "1", "-y", "get", "k"]).unwrap_err(), "unknown option -y (see --help)");
}

#[test]
fn what_kv_has_not_is_refused_with_the_reason() {
    for (line, reason) in [
        (&["--tls", "get", "k"][..], "no TLS"),
        (&["-p", "1", "--cacert", "f", "get", "k"], "no TLS"),
        (&["-c", "get", "k"], "no cluster"),
        (&["--cluster", "help"], "no cluster"),
        (&["--vset-recall", "v"], "no vector sets"),
        (&["--eval", "f", "--ldb"], "no debugger"),
    ] {
        let refusal = try_options(line).unwrap_err();
        assert!(refusal.contains(reason) && refusal.starts_with("-"), "{refusal}");
    }
}

#[test]
fn addresses_of_one_family_can_be_preferred() {
    let family = |line: &[&str]| options(line).target.family;
    assert_eq!(family(&["-4", "get", "k"]), Some(Family::V4));
    assert_eq!(family(&["-6", "top"]), Some(Family::V6));
    assert_eq!(family(&["-6", "top", "-4"]), Some(Family::V4));
    assert_eq!(family(&["get", "k"]), None);
    assert!(CommandLine::try_parse_from(["kv-cli", "-4", "-6", "get"]).is_err());
}

#[test]
fn the_command_line_is_well_formed() {
    use clap::CommandFactory;
    CommandLine::command().debug_assert();
    ExportLine::command().debug_assert();
    ImportLine::command().debug_assert();
}

#[test]
fn options_end_where_the_command_begins() {
    let options = options(&["-h", "db1", "-p", "7000", "-n", "3", "-r", "-1", "set", "k", "-5", "-p", "--raw"]);
    assert_eq!(options.target.address, Address::Tcp { host: "db1".into(), port: 7000 });
    assert_eq!(options.target.db, 3);
    assert_eq!(options.repeat, None);
    assert_eq!(options.task, command(["set", "k", "-5", "-p", "--raw"]));
    assert_eq!(options.format.style, Style::Typed);
    assert!(!options.target.resp3);
}

#[test]
fn options_win_over_the_uri_and_the_uri_over_the_environment() {
    let by_uri = options(&["-u", "redis://ann:s%40c@[::1]:7/2", "get", "k"]).target;
    assert_eq!(by_uri.address, Address::Tcp { host: "::1".into(), port: 7 });
    assert_eq!((by_uri.user.as_deref(), by_uri.password.as_deref(), by_uri.db), (Some("ann"), Some("s@c"), 2));
    let both = options(&["-u", "redis://ann:x@h:7/2", "-p", "8", "-n", "1", "-a", "y", "get", "k"]).target;
    assert_eq!(both.address, Address::Tcp { host: "h".into(), port: 8 });
    assert_eq!((both.password.as_deref(), both.db), (Some("y"), 1));
    assert_eq!(options(&["get", "k"]).target.password.as_deref(), Some("env"));
}

#[test]
fn export_and_import_are_modes_and_take_the_options_of_the_connection_on_either_side() {
    let Options { target, task, .. } =
        options(&["-h", "a", "-p", "1", "export", "--format", "msgpack", "-p", "2", "--match", "x*"]);
    assert_eq!(target.address, Address::Tcp { host: "a".into(), port: 2 });
    let wanted = Transfer::Export { format: FileFormat::Msgpack, pattern: Some(b"x*".to_vec()), db: None };
    assert_eq!(task, Task::Transfer(wanted));
    let options = options(&["-s", "/sock", "import", "-h", "b", "--replace", "-n", "4", "-"]);
    assert_eq!(options.target.address, Address::Tcp { host: "b".into(), port: 6379 });
    let settings = Settings { replace: true, db: Some(4) };
    assert_eq!(options.task, Task::Transfer(Transfer::Import { file: None, settings, rdb: false }));
    assert_eq!(try_options(&["-x", "import", "f"]).unwrap_err(), "-x is for commands, not for export and import");
}

#[test]
fn json_asks_for_resp3() {
    assert!(options(&["--json", "get", "k"]).target.resp3);
    assert!(!options(&["--json", "-2", "get", "k"]).target.resp3);
}

#[test]
fn quoted_input_and_delimiters_are_unescaped() {
    let options = options(&["--quoted-input", "-d", "\\t", "-D", "\"", "get", r#""a\x00 b""#, "plain"]);
    assert_eq!(options.task, command(["get", "a\0 b", "plain"]));
    assert_eq!(options.format.delimiter, b"\t");
    assert_eq!(options.format.end, b"\"");
}

#[test]
fn modes_take_what_has_a_meaning_for_them() {
    let mode = |line: &[&str]| match options(line).task {
        Task::Mode(mode) => mode,
        other => panic!("{line:?}: {other:?}"),
    };
    let pace = Pace { interval: Some(Duration::from_millis(500)), lines: Some(3) };
    assert_eq!(mode(&["--stat", "-i", "0.5", "-r", "3"]), Mode::Stat(pace));
    assert_eq!(mode(&["--stat", "-r", "-1"]), Mode::Stat(Pace::default()));
    assert_eq!(mode(&["--latency"]), Mode::Latency(Latency::Live, Pace::default()));
    assert_eq!(mode(&["--latency", "--csv"]), Mode::Latency(Latency::Once, Pace::default()));
    assert_eq!(mode(&["--latency-dist"]), Mode::Latency(Latency::Spectrum, Pace::default()));
    assert_eq!(mode(&["--intrinsic-latency", "2"]), Mode::Intrinsic(Duration::from_secs(2)));
    let walk = Walk { pattern: Some(b"a b*".to_vec()), count: Some(7), pause: None, cursor: 5 };
    assert_eq!(mode(&["--scan", "--quoted-pattern", "\"a b*\"", "--count", "7", "--cursor", "5"]), Mode::Scan(walk));
    let samples = Measure::Memory { samples: Some(9) };
    assert_eq!(mode(&["--memkeys-samples", "9"]), Mode::Measure(samples, Walk::default(), 5));
    assert_eq!(mode(&["--rdb", "f"]), Mode::Dump(Dump::All, Some("f".into())));
    assert_eq!(mode(&["--functions-rdb", "-"]), Mode::Dump(Dump::Functions, None));
    assert_eq!(mode(&["--slave"]), Mode::Replica);
    assert_eq!(mode(&["--lru-test", "9", "-r", "2"]), Mode::Lru(9, Pace { interval: None, lines: Some(2) }));
    assert_eq!(mode(&["--bigkeys", "--top", "3"]), Mode::Measure(Measure::Length, Walk::default(), 3));
    let stats = |samples, top| Mode::KeyStats { samples, walk: Walk::default(), top };
    assert_eq!(mode(&["--keystats"]), stats(None, 10));
    assert_eq!(mode(&["--keystats-samples", "0", "--top", "3"]), stats(Some(0), 3));
    assert_eq!(mode(&["--pipe", "--pipe-timeout", "0"]), Mode::Pipe { patience: None });
    assert_eq!(mode(&["top", "-i", "2", "-p", "7"]), Mode::Top { interval: Duration::from_secs(2) });
    assert_eq!(options(&["--monitor"]).task, command(["MONITOR"]));
    for wrong in [
        &["--stat", "get", "k"][..],
        &["--stat", "--csv"],
        &["--latency", "--pattern", "x"],
        &["--stat", "--cursor", "1"],
        &["--scan", "--top", "1"],
        &["--scan", "-r", "2"],
        &["--pipe", "-i", "1"],
        &["--bigkeys", "-x"],
        &["--stat", "top"],
    ] {
        assert!(try_options(wrong).is_err(), "{wrong:?}");
    }
    for wrong in [&["--stat", "--scan"][..], &["--pattern", "x"], &["--memkeys-samples", "x"], &["-t", "0", "get"]] {
        assert!(CommandLine::try_parse_from([&["kv-cli"], wrong].concat()).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_comma_ends_the_keys_of_a_script() {
    let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let request = |given: &[&str]| eval_request(b"S".to_vec(), words(given));
    assert_eq!(request(&["a", "b", ",", "x", ","]), words(&["EVAL", "S", "2", "a", "b", "x", ","]));
    assert_eq!(request(&["a"]), words(&["EVAL", "S", "1", "a"]));
    assert_eq!(request(&[",", "x"]), words(&["EVAL", "S", "0", "x"]));
}

#[test]
fn completions_and_the_manual_are_made_of_the_command_line() {
    documented().debug_assert();
    let Task::Print(manual) = options(&["man"]).task else { panic!("a text") };
    assert!(String::from_utf8(manual).unwrap().contains("bigkeys"));
    assert_eq!(options(&["man", "k"]).task, command(["man", "k"]));
}
