use super::*;

fn parse(line: &str) -> CommandLine {
    CommandLine::try_parse_from(["kv-bench"].into_iter().chain(line.split_whitespace())).unwrap()
}

fn refused(line: &str) -> bool {
    CommandLine::try_parse_from(["kv-bench"].into_iter().chain(line.split_whitespace())).is_err()
}

fn names(line: &str) -> Result<Vec<String>, String> {
    let options = parse(line).options;
    Ok(options.traffic()?.into_iter().map(|traffic| options.load(traffic).name().to_owned()).collect())
}

use super::tests_load as load;

fn workload(line: &str) -> Workload {
    match load(line).traffic {
        Traffic::Made(workload) => workload,
        Traffic::Logged(_) => panic!("a log"),
    }
}

#[test]
fn the_command_line_is_well_formed() {
    CommandLine::command().debug_assert();
}

#[test]
fn what_kv_bench_has_not_is_refused_with_the_reason() {
    assert_eq!(absent("--cluster").unwrap(), "--cluster: kv-bench knows no cluster: it loads one server");
    assert!(absent("--tls").unwrap().contains("no TLS") && absent("--bogus").is_none());
}

#[test]
fn what_is_sent_is_one_of_tests_mixes_workloads_and_commands() {
    assert_eq!(names("-t get,set").unwrap(), ["GET", "SET"]);
    assert_eq!(names("-c 2 set x __rand_int__").unwrap(), ["set x __rand_int__"]);
    assert_eq!(names("--mix get:80,set:20").unwrap(), ["mix get:80,set:20"]);
    assert_eq!(names("--ycsb a -r 10").unwrap(), ["YCSB A"]);
    assert_eq!(names("--cache-aside -r 10").unwrap(), ["cache-aside"]);
    assert_eq!(names("").unwrap().len(), DEFAULT_TESTS.split(',').count());
    assert!(names("-t get,nope").unwrap_err().starts_with("-t: no test 'nope'"));
    assert!(names("--mix get:80,nope:1").unwrap_err().starts_with("--mix: "));
    assert!(names("--ycsb z -r 10").unwrap_err().starts_with("--ycsb: "));
    assert!(names("set x __int:9:1__").is_err());
    assert!(names("--replay /no/such/file").unwrap_err().starts_with("--replay /no/such/file: "));
    for wrong in
        ["-t get --mix set:1", "--ycsb a", "--cache-aside", "--preload", "--key-pattern zipfian", "--replay x --rate 5"]
    {
        assert!(refused(wrong), "{wrong}");
    }
}

#[test]
fn seconds_alone_put_no_limit_on_requests() {
    let limit = |line: &str| load(line).limit;
    assert_eq!(limit("").requests, Some(DEFAULT_REQUESTS));
    assert_eq!(limit("--seconds 2").requests, None);
    assert_eq!(limit("--seconds 2 -n 5").requests, Some(5));
    assert_eq!(limit("--seconds 0.5").time, Some(Duration::from_millis(500)));
}

#[test]
fn a_rate_makes_an_open_loop() {
    assert_eq!(load("-t get").pace, Pace::Closed);
    assert_eq!(load("-t get --rate 50k").pace, Pace::Open { rate: 50_000.0, arrivals: Arrivals::Poisson });
    let bursts = Pace::Open { rate: 1_500_000.0, arrivals: Arrivals::Bursts(9) };
    assert_eq!(load("-t get --rate 1.5m --arrivals bursts:9").pace, bursts);
    for wrong in ["--rate 0", "--rate -5", "--rate x", "--rate k", "--rate inf", "--rate 5 --arrivals often"] {
        assert!(refused(wrong), "{wrong}");
    }
}

#[test]
fn values_have_the_size_that_fits_what_is_done_with_them() {
    let values = |line: &str| workload(line).shape.values;
    assert_eq!(values("-t set"), ValueSize::Fixed(3));
    assert_eq!(values("-t set --verify"), ValueSize::Fixed(VERIFIED_MIN));
    assert_eq!(values("--ycsb a -r 10"), ValueSize::Fixed(100));
    assert_eq!(values("-t set -d 5-9"), ValueSize::Range(5, 9));
    assert!(names("-t set --verify -d 5").unwrap_err().starts_with("--verify"));
    assert!(refused("-t set -d 5-x") && refused("-d 9-5"));
}

#[test]
fn a_preload_writes_each_key_once() {
    assert!(parse("-r 100").options.preload().is_none());
    let load = parse("-r 100 --preload -P 1 --ycsb a").options.preload().unwrap();
    assert_eq!((load.limit.requests, load.pipeline), (Some(100), PRELOAD_PIPELINE));
    let Traffic::Made(workload) = load.traffic else { panic!("a log") };
    assert_eq!(workload.shape.pattern, KeyPattern::Sequential);
}

#[test]
fn modes_take_the_server_before_or_after_their_name() {
    for line in ["-p 7000 probe --seconds 1 GET x", "probe --seconds 1 -p 7000 -- GET x"] {
        let line = parse(line);
        assert_eq!(line.server.port, 7000);
        assert!(matches!(line.mode, Some(Mode::Probe(Probe { command, .. })) if command == ["GET", "x"]));
    }
    assert!(matches!(parse("fill --keys 20 --json").mode, Some(Mode::Fill(Fill { keys: 20, .. }))));
    assert!(matches!(parse("expiry --spread-ms 5").mode, Some(Mode::Expiry(Expiry { spread_ms: 5, .. }))));
}

#[test]
fn a_probe_sends_at_fixed_moments_as_often_as_fits_its_time() {
    let probe = |line: &str| match parse(line).mode {
        Some(Mode::Probe(probe)) => probe.load().unwrap(),
        mode => panic!("{mode:?}"),
    };
    let load = probe("probe --interval-us 250 --seconds 1.5");
    assert_eq!(load.limit.requests, Some(6000));
    assert_eq!(load.pace, Pace::Open { rate: 4000.0, arrivals: Arrivals::Fixed });
    assert_eq!(load.name(), "GET probe");
    assert_eq!(probe("probe --interval-us 1000 --seconds 0 PING").limit.requests, Some(1));
}

#[test]
fn spans_of_seconds_are_read() {
    assert_eq!((span("60"), span("10-100")), (Ok((60, 60)), Ok((10, 100))));
    for wrong in ["", "0", "9-3", "x", "-5"] {
        assert!(span(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn searches_comparisons_and_drills_have_their_options() {
    let options = |line: &str| parse(line).options;
    assert_eq!(
        options("--find-max p99=2ms --arrivals fixed").find_max(),
        Some(("p99=2ms".parse().unwrap(), Arrivals::Fixed))
    );
    let line = parse("-a secret --against [::1]:7000 --rounds 7");
    let (other, rounds) = line.options.against(&line.server).unwrap();
    assert_eq!((other.host.as_str(), other.port, other.password.as_deref(), rounds), ("::1", 7000, Some("secret"), 7));
    let drill = parse("--drill kv-server -c 4 --seconds 2").options.drill().unwrap();
    assert_eq!((drill.connections, drill.rounds, drill.load), (4, 3, Duration::from_secs(2)));
    for wrong in ["--find-max p99", "--find-max p99=2ms --rate 5", "--against nohost", "--drill x -t get", "--rounds 0"]
    {
        assert!(refused(wrong), "{wrong}");
    }
}

#[test]
fn completions_and_the_manual_know_every_option() {
    let text = |line: &str| String::from_utf8(parse(line).mode.unwrap().text().unwrap()).unwrap();
    let options = CommandLine::command();
    for (text, shown) in [(text("completions bash"), ""), (text("completions zsh"), ""), (text("man"), "\\")] {
        for option in options.get_arguments().filter_map(|argument| argument.get_long()) {
            let option = if shown.is_empty() { option.to_owned() } else { option.replace('-', "\\-") };
            assert!(text.contains(&option), "{option}");
        }
    }
    assert!(parse("probe").mode.unwrap().text().is_none());
}

#[test]
fn a_uri_tells_what_the_other_options_of_the_server_do() {
    let server = parse("-u redis://ann:s%40c@[::1]:7/2 -t get").server.resolved();
    let by_options = parse("-h ::1 -p 7 -a s@c --user ann --dbnum 2 -t get").server.resolved();
    assert_eq!(server, by_options);
    for wrong in ["-u http://h", "-u redis://h -p 7", "-u redis://h -a x", "-k 2", "-k 0 --rate 5"] {
        assert!(refused(wrong), "{wrong}");
    }
    assert!(load("-t get").keep_alive && !load("-t get -k 0").keep_alive);
}
