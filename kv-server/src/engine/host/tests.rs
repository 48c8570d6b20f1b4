//! The server's own commands, with one worker and with three: the connection that asks is not the only one, and not all
//! are at its worker.

use super::*;
use crate::engine::testing::{Client, TestServer};
use kv_core::families::testing::show;
use kv_core::resp::client::Value;
use kv_core::resp::reply::TEXT_LINE_END;

/// Runs a test with one worker and with three, and two clients as far apart as possible.
fn with_servers(test: impl Fn(&mut TestServer, Client, Client)) {
    for workers in [1, 3] {
        let mut server = TestServer::new(workers);
        let first = server.connect(0);
        let second = server.connect(workers - 1);
        test(&mut server, first, second);
    }
}

#[test]
fn every_row_of_the_host_has_a_handler_and_the_other_way_round() {
    table();
    assert!(bindings().count() > 30);
}

#[test]
fn a_name_and_a_library_are_kept_shown_and_checked() {
    with_servers(|server, a, b| {
        assert_eq!(server.run(a, "CLIENT GETNAME"), "nil");
        assert_eq!(server.run(a, "CLIENT SETNAME worker-1"), "+OK");
        assert_eq!(server.run(a, "CLIENT GETNAME"), "\"worker-1\"");
        assert_eq!(server.run(a, "CLIENT SETINFO LIB-NAME some(py)"), "+OK");
        assert_eq!(server.run(a, "CLIENT SETINFO lib-ver 1.2"), "+OK");
        assert_eq!(
            server.run(a, "CLIENT SETINFO lib-ver \"1 2\""),
            "-ERR lib-ver cannot contain spaces, newlines or special characters."
        );
        assert_eq!(server.run(a, "CLIENT SETINFO lib x"), "-ERR Unrecognized option 'lib'");
        assert_eq!(
            server.run(a, "CLIENT SETNAME \"a b\""),
            "-ERR Client names cannot contain spaces, newlines or special characters."
        );
        let list = server.text(b, "CLIENT LIST");
        let line = list.lines().find(|line| line.starts_with(&format!("id={} ", a.id))).unwrap();
        assert!(line.contains(" name=worker-1 "), "{line}");
        assert!(line.ends_with(" lib-name=some(py) lib-ver=1.2"), "{line}");
        assert_eq!(server.run(a, "CLIENT SETNAME ''"), "+OK");
        assert_eq!(server.run(a, "CLIENT GETNAME"), "nil");
    });
}

#[test]
fn client_list_has_redis_fields_in_its_order() {
    with_servers(|server, a, b| {
        server.run(a, "SELECT 3");
        server.run(a, "CLIENT NO-TOUCH ON");
        server.run(a, "CLIENT NO-EVICT ON");
        server.pass(2500);
        let info = server.text(a, "CLIENT INFO");
        let fields: Vec<&str> = info.trim_end().split(' ').map(|field| field.split('=').next().unwrap()).collect();
        assert_eq!(
            fields.join(" "),
            "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp obl \
             oll omem tot-mem events cmd user redir resp lib-name lib-ver"
        );
        assert!(info.contains(" age=2 idle=0 flags=eT db=3 "), "{info}");
        assert!(info.contains(" cmd=client|info user=default redir=-1 resp=2 "), "{info}");
        let list = server.text(b, "CLIENT LIST");
        assert_eq!(list.lines().count(), 2, "{list}");
        assert!(list.contains(" cmd=client|list "), "{list}");
    });
}

#[test]
fn client_list_is_filtered_by_number_and_type() {
    with_servers(|server, a, b| {
        assert_eq!(server.text(a, &format!("CLIENT LIST ID {}", b.id)).lines().count(), 1);
        assert_eq!(server.text(a, &format!("CLIENT LIST ID {} {} 999", b.id, a.id)).lines().count(), 2);
        assert_eq!(server.text(a, "CLIENT LIST TYPE normal").lines().count(), 2);
        assert_eq!(server.text(a, "CLIENT LIST TYPE replica"), "");
        assert_eq!(server.run(a, "CLIENT LIST TYPE foo"), "-ERR Unknown client type 'foo'");
        assert_eq!(server.run(a, "CLIENT LIST ID x"), "-ERR Invalid client ID");
        assert_eq!(server.run(a, "CLIENT LIST ID"), "-ERR syntax error");
        assert_eq!(server.run(a, "CLIENT LIST foo"), "-ERR syntax error");
    });
}

#[test]
fn client_kill_by_address_answers_ok_or_that_there_is_none() {
    with_servers(|server, a, b| {
        assert_eq!(server.run(a, "CLIENT KILL 1.2.3.4:5"), "-ERR No such client");
        let address = format!("127.0.0.1:{}", 50_000 + b.id);
        assert_eq!(server.run(a, &format!("CLIENT KILL {address}")), "+OK");
        assert!(server.is_closed(b) && !server.is_closed(a));
        assert_eq!(server.run(a, &format!("CLIENT KILL {address}")), "-ERR No such client");
    });
}

#[test]
fn client_kill_counts_over_all_workers_and_spares_the_asker() {
    with_servers(|server, a, b| {
        let c = server.connect(0);
        assert_eq!(server.run(a, "CLIENT KILL TYPE pubsub"), ":0");
        assert_eq!(server.run(a, "CLIENT KILL MAXAGE 1"), ":0");
        assert_eq!(server.run(a, &format!("CLIENT KILL ID {} USER default", c.id)), ":1");
        assert!(server.is_closed(c) && !server.is_closed(b));
        let c = server.connect(0);
        assert_eq!(server.run(a, "CLIENT KILL LADDR 127.0.0.1:6379"), ":2");
        assert!(server.is_closed(b) && server.is_closed(c) && !server.is_closed(a));
        server.pass(5000);
        let young = server.connect(0);
        assert_eq!(server.run(a, "CLIENT KILL MAXAGE 5 SKIPME no"), ":1");
        assert!(server.is_closed(a) && !server.is_closed(young), "closed after its reply");
    });
}

#[test]
fn client_kill_refuses_in_redis_words() {
    with_servers(|server, a, _| {
        for (line, error) in [
            ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL TYPE x", "-ERR Unknown client type 'x'"),
            ("CLIENT KILL USER x", "-ERR No such user 'x'"),
            ("CLIENT KILL SKIPME x", "-ERR syntax error"),
            ("CLIENT KILL ID 1 TYPE", "-ERR syntax error"),
            ("CLIENT KILL MAXAGE x", "-ERR maxage is not an integer or out of range"),
            ("CLIENT KILL MAXAGE 0", "-ERR maxage should be greater than 0"),
        ] {
            assert_eq!(server.run(a, line), error, "{line}");
        }
        assert!(!server.is_closed(a));
    });
}

#[test]
fn replies_are_switched_off_on_and_skipped() {
    with_servers(|server, a, _| {
        let lines =
            ["CLIENT REPLY SKIP", "SET k 1", "INCR k", "CLIENT REPLY OFF", "INCR k", "PING", "CLIENT REPLY SKIP"];
        assert_eq!(server.pipeline(a, &lines), [":2"]);
        assert_eq!(server.pipeline(a, &["PING", "CLIENT REPLY ON", "GET k"]), ["+OK", "\"3\""]);
        assert_eq!(
            server.pipeline(a, &["CLIENT REPLY SKIP", "CLIENT REPLY ON", "CLIENT REPLY x"]),
            ["+OK", "-ERR syntax error"]
        );
    });
}

#[test]
fn a_pause_holds_writes_or_everything_until_it_ends() {
    with_servers(|server, a, b| {
        assert_eq!(server.run(a, "CLIENT PAUSE 1000 WRITE"), "+OK");
        assert_eq!(server.pipeline(b, &["GET k", "SET k 1", "GET k"]), ["nil"]);
        assert_eq!(server.run(a, "PING"), "+PONG");
        server.pass(999);
        assert_eq!(server.reply(b), None);
        server.pass(1);
        assert_eq!(server.pipeline(b, &[]), ["+OK", "\"1\""]);

        assert_eq!(server.run(a, "CLIENT PAUSE 1000"), "+OK");
        assert_eq!(server.run(a, "CLIENT PAUSE 10 WRITE"), "+OK", "neither shortens nor loosens it");
        assert_eq!(server.pipeline(b, &["GET k"]), [""; 0]);
        server.pass(500);
        assert_eq!(server.reply(b), None);
        assert_eq!(server.run(a, "CLIENT UNPAUSE"), "+OK");
        assert_eq!(server.pipeline(b, &[]), ["\"1\""]);
        for (line, error) in [
            ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
            ("CLIENT PAUSE -1", "-ERR timeout is negative"),
            ("CLIENT PAUSE 1 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
            ("CLIENT PAUSE 9223372036854775807", "-ERR timeout is out of range"),
        ] {
            assert_eq!(server.run(a, line), error, "{line}");
        }
    });
}

#[test]
fn a_skipped_reply_stays_skipped_when_its_command_was_held_back() {
    with_servers(|server, a, b| {
        assert_eq!(server.run(a, "CLIENT PAUSE 1000 WRITE"), "+OK");
        assert_eq!(server.pipeline(b, &["CLIENT REPLY SKIP", "SET k 1", "GET k"]), [""; 0]);
        server.pass(1000);
        assert_eq!(server.pipeline(b, &[]), ["\"1\""]);
    });
}

#[test]
fn an_option_set_by_one_client_holds_for_all_workers() {
    with_servers(|server, a, b| {
        assert_eq!(server.run(a, "CONFIG SET maxclients 77 timeout 9"), "+OK");
        for client in [a, b] {
            assert_eq!(server.run(client, "CONFIG GET maxclients"), "[\"maxclients\" \"77\"]");
        }
        assert!(server.workers.iter().all(|worker| worker.config().timeout == 9));
        assert_eq!(*server.system.options_changed.lock().unwrap(), 1);
        assert_eq!(server.run(b, "CONFIG SET maxclients 5 timeout x").split(' ').nth(1), Some("CONFIG"));
        assert_eq!(server.run(a, "CONFIG SET maxclients 5 timeout"), "-ERR syntax error");
        assert!(server.workers.iter().all(|worker| worker.config().maxclients == 77));
        assert_eq!(
            server.run(a, "CONFIG SET nosuch 1"),
            "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"
        );
    });
}

#[test]
fn limits_hold_from_the_command_after_config_set_on() {
    with_servers(|server, a, _| {
        let replies = server.pipeline(a, &["CONFIG SET proto-max-bulk-len 1mb", "SETRANGE k 1048576 x"]);
        assert_eq!(replies[0], "+OK");
        assert!(replies[1].starts_with("-ERR string exceeds maximum allowed size"), "{replies:?}");
    });
}

#[test]
fn no_room_is_made_for_a_request_that_is_longer_than_the_limit() {
    let mut server = TestServer::new(1);
    let client = server.connect(0);
    server.run(client, "CONFIG SET client-query-buffer-limit 1mb");
    let mut request = "*2\r\n$4\r\nECHO\r\n$500000000\r\n".to_owned();
    request.extend(std::iter::repeat_n('x', (1 << 20) - request.len()));
    server.send(client, &request);
    assert!(!server.is_closed(client), "it has not passed the limit");
    server.workers[0].input_space(0);
    let room = server.workers[0].connection(0).input.data.len();
    assert!(room < 4 << 20, "{room} bytes");
}

#[test]
fn a_client_that_never_reads_is_cut_at_its_limit() {
    with_servers(|server, a, b| {
        assert_eq!(
            server.run(a, "CONFIG GET client-output-buffer-limit"),
            "[\"client-output-buffer-limit\" \"normal 1073741824 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 \
             60\"]"
        );
        server.run(a, "CONFIG SET client-output-buffer-limit \"normal 1mb 0 0\"");
        server.run(a, "SETRANGE k 99999 x");
        server.deaf.push(b);
        for i in 0..20 {
            assert_eq!(server.is_closed(b), i > 10, "after {i} replies of 100,000 bytes");
            if server.is_closed(b) {
                break;
            }
            server.send(b, "GET k\r\n");
        }
        assert!(server.is_closed(b));
        assert_eq!(server.field(a, "client_output_buffer_limit_disconnections"), "1");
        assert_eq!(server.field(a, "connected_clients"), "1");
    });
}

#[test]
fn a_password_set_at_run_time_is_asked_of_new_connections_only() {
    with_servers(|server, a, b| {
        assert_eq!(server.run(a, "CONFIG SET requirepass secret"), "+OK");
        assert_eq!(server.run(b, "PING"), "+PONG");
        let c = server.connect(0);
        assert_eq!(server.run(c, "PING"), "-NOAUTH Authentication required.");
        assert_eq!(server.run(c, "AUTH wrong").split(' ').next(), Some("-WRONGPASS"));
        let d = server.connect(0);
        assert_eq!(server.run(c, "AUTH secret"), "+OK");
        assert_eq!(server.run(c, "CONFIG SET requirepass ''"), "+OK");
        assert_eq!(server.run(d, "PING"), "+PONG", "without a password everybody is let in");
    });
}

#[test]
fn hello_with_an_error_changes_nothing_not_even_who_the_client_is() {
    with_servers(|server, a, _| {
        server.run(a, "CONFIG SET requirepass secret");
        let late = server.connect(0);
        for rest in ["SETNAME \"a b\"", "NOSUCH"] {
            assert!(server.run(late, &format!("HELLO 3 AUTH default secret {rest}")).starts_with("-ERR"));
            assert_eq!(server.run(late, "GET k"), "-NOAUTH Authentication required.");
        }
        server.run(late, "HELLO 3 AUTH default secret SETNAME ab");
        assert_eq!(server.run(late, "CLIENT GETNAME"), "\"ab\"");
    });
}

#[test]
fn walks_in_a_pipeline_are_each_answered_in_their_place_and_other_clients_meanwhile() {
    with_servers(|server, a, b| {
        const KEYS: usize = 10_000;
        let sets: Vec<String> = (0..KEYS).map(|i| format!("SET key:{i} v")).collect();
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        assert_eq!(server.pipeline(a, &sets).len(), KEYS);
        let lines = ["KEYS *", "KEYS *7", "GET key:1", "KEYS nothing", "KEYS key:77", "KEYS *"];
        let line = |lines: &[&str]| lines.iter().map(|line| format!("{line}{TEXT_LINE_END}")).collect::<String>();
        server.give(a, &line(&lines));
        server.give(b, &line(&["KEYS *77", "GET key:2"]));
        server.work();
        let count = |value: &Value| match value {
            Value::Array(elements) => elements.len(),
            Value::Bulk(_) => 1,
            other => panic!("{other:?}"),
        };
        let mut counts =
            |client| -> Vec<usize> { std::iter::from_fn(|| server.reply(client)).map(|value| count(&value)).collect() };
        assert_eq!(counts(a), [KEYS, KEYS / 10, 1, 0, 1, KEYS]);
        assert_eq!(counts(b), [KEYS / 100, 1]);
    });
}

#[test]
fn who_is_held_back_by_a_pause_is_not_read_from_until_it_ends() {
    with_servers(|server, a, b| {
        server.run(a, "CLIENT PAUSE 50 WRITE");
        assert!(server.wants_input(b));
        server.send(b, "SET k v\r\n");
        assert!(!server.wants_input(b));
        assert_eq!(server.run(a, "CLIENT UNPAUSE"), "+OK");
        assert!(server.wants_input(b));
        assert_eq!(server.reply(b).map(|value| show(&value)), Some("+OK".into()));
        server.run(a, "CLIENT PAUSE 50 WRITE");
        server.send(b, "SET k v\r\n");
        server.pass(60);
        assert!(server.wants_input(b));
    });
}

#[test]
fn a_soft_limit_for_longer_than_clocks_count_never_cuts() {
    let mut server = TestServer::new(1);
    let (a, b) = (server.connect(0), server.connect(0));
    server.run(a, "CONFIG SET client-output-buffer-limit \"normal 0 1 18446744073709551615\"");
    server.deaf.push(b);
    server.send(b, "PING\r\n");
    server.pass(2000);
    server.pass(2000);
    assert!(!server.is_closed(b));
}

#[test]
fn config_get_takes_several_patterns_and_speaks_resp3() {
    with_servers(|server, a, _| {
        assert_eq!(server.run(a, "CONFIG GET data* TIMEOUT time* nosuch"), "[\"timeout\" \"0\" \"databases\" \"16\"]");
        server.run(a, "HELLO 3");
        assert_eq!(server.run(a, "CONFIG GET databases"), "{\"databases\": \"16\"}");
        assert_eq!(server.run(a, "CONFIG GET nosuch"), "{}");
    });
}

#[test]
fn config_rewrite_writes_what_was_changed() {
    with_servers(|server, a, b| {
        assert_eq!(server.run(a, "CONFIG REWRITE"), "-ERR The server is running without a config file");
        *server.system.file.lock().unwrap() = Some("# mine\ntimeout 5\n".into());
        server.run(a, "CONFIG SET timeout 7");
        assert_eq!(server.run(b, "CONFIG REWRITE"), "+OK");
        assert_eq!(server.system.file.lock().unwrap().as_deref(), Some("# mine\ntimeout 7\n"));
        *server.system.file.lock().unwrap() = Some("nosuch 5\n".into());
        assert!(server.run(a, "CONFIG REWRITE").starts_with("-ERR Rewriting config file: "));
    });
}

#[test]
fn resetstat_starts_the_counters_again_and_keeps_what_is_measured() {
    with_servers(|server, a, b| {
        for client in [a, b] {
            server.pipeline(client, &["SET x 1", "GET x", "GET y", "nosuch"]);
        }
        assert_eq!(server.field(a, "keyspace_hits"), "2");
        assert_eq!(server.field(a, "total_error_replies"), "2");
        assert_eq!(server.run(a, "CONFIG RESETSTAT"), "+OK");
        for name in ["keyspace_hits", "keyspace_misses", "total_error_replies", "total_connections_received"] {
            assert_eq!(server.field(a, name), "0", "{name}");
        }
        assert_eq!(server.field(a, "connected_clients"), "2");
        assert!(server.field(a, "db0").starts_with("keys=1,"));
    });
}

#[test]
fn info_counts_what_happened_on_all_workers() {
    with_servers(|server, a, b| {
        for i in 0..20 {
            assert_eq!(server.run(if i % 2 == 0 { a } else { b }, &format!("SET k{i} v")), "+OK");
            // Whoever has seen the reply finds the key counted.
            assert_eq!(server.field(b, "db0"), format!("keys={},expires=0,avg_ttl=0", i + 1));
        }
        server.run(a, "EXPIRE k1 100");
        assert_eq!(server.field(b, "rdb_changes_since_last_save"), "21");
        server.run(a, "MOVE k2 5");
        assert_eq!(server.field(a, "db0"), "keys=19,expires=1,avg_ttl=0");
        assert_eq!(server.field(b, "db5"), "keys=1,expires=0,avg_ttl=0");
        assert_eq!(server.field(a, "uptime_in_seconds"), "0");
        assert!(server.field(a, "used_memory").parse::<u64>().unwrap() > 20 * 8);
    });
}

#[test]
fn who_has_seen_a_reply_finds_its_effect_counted() {
    let mut server = TestServer::new(2);
    let a = server.connect(0);
    server.without_duties = Some(1);
    for i in 1..=20 {
        server.run(a, &format!("SET k{i} v"));
        assert_eq!(server.field(a, "db0"), format!("keys={i},expires=0,avg_ttl=0"));
    }
    // Two shards meet for this one.
    server.run(a, "MSETNX m1 1 m2 2 m3 3 m4 4 m5 5");
    assert_eq!(server.field(a, "db0"), "keys=25,expires=0,avg_ttl=0");
}

#[test]
fn asking_about_a_key_is_no_use_of_it() {
    with_servers(|server, a, _| {
        for key in ["k1", "k2", "k3", "k4", "k5", "k6"] {
            server.run(a, &format!("SET {key} v"));
            server.pass(30_000);
            server.pipeline(a, &[&format!("TTL {key}"), &format!("TYPE {key}"), &format!("EXISTS {key}")]);
            assert_eq!(server.run(a, &format!("OBJECT IDLETIME {key}")), ":30", "{key}");
            assert_eq!(server.run(a, &format!("OBJECT IDLETIME {key}")), ":30", "{key}");
            server.run(a, "CLIENT NO-TOUCH ON");
            server.run(a, &format!("GET {key}"));
            assert_eq!(server.run(a, &format!("OBJECT IDLETIME {key}")), ":30", "{key}");
            server.run(a, "CLIENT NO-TOUCH OFF");
            server.run(a, &format!("GET {key}"));
            assert_eq!(server.run(a, &format!("OBJECT IDLETIME {key}")), ":0", "{key}");
        }
    });
}

#[test]
fn a_pipeline_of_big_values_stops_at_the_limit_of_unread_output() {
    let mut server = TestServer::new(1);
    let a = server.connect(0);
    let b = server.connect(0);
    server.run(a, "CONFIG SET client-output-buffer-limit \"normal 1mb 0 0\"");
    server.run(a, "SETRANGE k 99999 x");
    server.run(a, "CONFIG RESETSTAT");
    server.deaf.push(b);
    server.send(b, &"GET k\r\n".repeat(500));
    assert!(server.is_closed(b));
    let hits: u64 = server.field(a, "keyspace_hits").parse().unwrap();
    assert_eq!(hits, 11, "none is run behind the limit");
}

#[test]
fn errors_are_counted_once_and_by_their_code() {
    with_servers(|server, a, b| {
        server.pipeline(a, &["nosuch", "GET", "INCRBY k x", "PFADD h a", "SET s v", "PFADD s a", "AUTH x y"]);
        // What all workers refuse, or one of several parts, is one error reply.
        server.pipeline(b, &["CONFIG SET timeout x", "CLIENT KILL ID 0", "MSET a"]);
        assert_eq!(server.field(a, "errorstat_ERR"), "count=6");
        assert_eq!(server.field(a, "errorstat_WRONGTYPE"), "count=1");
        assert_eq!(server.field(a, "errorstat_WRONGPASS"), "count=1");
        assert_eq!(server.field(b, "total_error_replies"), "8");
    });
}

#[test]
fn commands_per_second_go_back_to_zero_when_nothing_happens() {
    let mut server = TestServer::new(1);
    let a = server.connect(0);
    server.pass(1000);
    (0..50).for_each(|_| drop(server.run(a, "PING")));
    server.pass(1000);
    let ops: u64 = server.net.total(|stats| stats.ops_per_sec());
    assert!((40..=60).contains(&ops), "{ops}");
    assert!(matches!(server.workers[0].rest(), crate::engine::worker::Rest::Until(_)), "it looks once more");
    server.pass(1000);
    assert_eq!(server.net.total(|stats| stats.ops_per_sec()), 0);
    assert_eq!(server.workers[0].rest(), crate::engine::worker::Rest::Forever, "and then sleeps");
}

#[test]
fn info_gives_the_sections_asked_for_once_and_in_order() {
    with_servers(|server, a, _| {
        let titles = |text: String| {
            text.lines().filter_map(|line| Some(line.strip_prefix("# ")?.to_string())).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(titles(server.text(a, "INFO keyspace CPU cpu nosuch")), "CPU Keyspace");
        assert_eq!(server.text(a, "INFO nosuch"), "");
        let all = titles(server.text(a, "INFO"));
        assert_eq!(
            all,
            "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace Shards"
        );
        assert_eq!(titles(server.text(a, "INFO default server")), all);
        server.run(a, "HELLO 3");
        assert!(matches!(server.value(a, "INFO"), Value::Verbatim(..)));
    });
}

#[test]
fn every_line_of_info_is_a_title_a_field_or_blank() {
    let mut server = TestServer::new(2);
    let a = server.connect(0);
    server.pipeline(a, &["SET k v", "nosuch"]);
    let text = server.text(a, "INFO everything");
    let mut names = std::collections::BTreeSet::new();
    for line in text.split("\r\n") {
        assert!(!line.contains(['\r', '\n']), "{line:?}");
        if !line.is_empty() && !line.starts_with("# ") {
            let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("{line:?}"));
            assert!(names.insert(name.to_string()), "{name} twice");
        }
    }
    assert!(names.len() > 80);
}

#[test]
fn time_lastsave_and_shutdown() {
    with_servers(|server, a, _| {
        server.pass(1234);
        let us = server.now_us;
        assert_eq!(server.run(a, "TIME"), format!("[\"{}\" \"{}\"]", us / 1_000_000, us % 1_000_000));
        assert_eq!(server.run(a, "LASTSAVE"), format!(":{}", crate::engine::testing::START_MS / 1000));
        for (line, error) in [
            ("SHUTDOWN ABORT", "-ERR No shutdown in progress."),
            ("SHUTDOWN FOO", "-ERR syntax error"),
            ("SHUTDOWN SAVE NOSAVE", "-ERR syntax error"),
            ("SHUTDOWN ABORT NOW", "-ERR syntax error"),
        ] {
            assert_eq!(server.run(a, line), error, "{line}");
        }
        assert_eq!(*server.system.shut_down.lock().unwrap(), None);
        let lines = ["SET k v", "SHUTDOWN NOSAVE NOW FORCE", "GET k"];
        assert_eq!(server.pipeline(a, &lines), ["+OK"], "no reply of its own, nor to what follows");
        let how = ShutDown { save: Some(false), force: true };
        assert_eq!(*server.system.shut_down.lock().unwrap(), Some(how));
    });
}

#[test]
fn who_asked_the_server_to_end_is_told_when_it_cannot_and_goes_on() {
    with_servers(|server, a, b| {
        assert_eq!(server.pipeline(a, &["SHUTDOWN", "PING"]), [""; 0]);
        assert!(server.workers.iter().all(Worker::is_drained), "who asks is no reason to wait");
        assert_eq!(server.run(b, "PING"), "+PONG");
        server.workers.iter_mut().for_each(|worker| worker.cannot_end("ERR Errors trying to SHUTDOWN. Check logs."));
        server.work();
        let replies: Vec<String> = std::iter::from_fn(|| server.reply(a)).map(|value| show(&value)).collect();
        assert_eq!(replies, ["-ERR Errors trying to SHUTDOWN. Check logs.", "+PONG"]);
    });
}

#[test]
fn until_everything_is_loaded_commands_that_need_the_data_are_refused() {
    let mut server = TestServer::loading(2);
    let a = server.connect(0);
    for line in ["PING", "GET k", "SET k v", "MGET a b", "DBSIZE"] {
        assert_eq!(server.run(a, line), "-LOADING Redis is loading the dataset in memory", "{line}");
    }
    assert_eq!(server.run(a, "CONFIG SET timeout 5"), "+OK");
    assert!(server.text(a, "INFO persistence").contains("loading:1"));
    server.load(0);
    server.load(1);
    assert!(server.run(a, "PING").starts_with("-LOADING"), "not all have been sent their shards");
    server.status.load.end();
    assert_eq!(server.run(a, "DBSIZE"), ":10");
    assert_eq!(server.run(a, "MGET 3 4 5"), "[\"3\" \"4\" \"5\"]");
    assert!(server.text(a, "INFO persistence").contains("loading:0"));
}

#[test]
fn while_data_is_loaded_a_transaction_can_begin_but_not_watch() {
    let mut server = TestServer::loading(2);
    let a = server.connect(0);
    assert!(server.run(a, "WATCH 3").starts_with("-LOADING"));
    assert_eq!(server.pipeline(a, &["MULTI", "EXEC"]), ["+OK", "[]"]);
    let replies = server.pipeline(a, &["MULTI", "GET 3", "EXEC"]);
    assert!(replies[1].starts_with("-LOADING"), "{replies:?}");
    assert_eq!(replies[2], "-EXECABORT Transaction discarded because of previous errors.");
    server.load(0);
    server.load(1);
    server.status.load.end();
    assert_eq!(server.pipeline(a, &["WATCH 3", "MULTI", "GET 3", "EXEC"])[3], "[\"3\"]");
}

#[test]
fn a_transaction_with_a_write_is_refused_while_nothing_can_be_kept() {
    with_servers(|server, a, b| {
        let refuse = |server: &TestServer| server.status.refuse_writes(Some("MISCONF no disk".into()));
        server.pipeline(a, &["MULTI", "SET k v", "MSET x 1 y 2 z 3"]);
        refuse(server);
        assert_eq!(server.run(a, "EXEC"), "-EXECABORT Transaction discarded because of: MISCONF no disk");
        let replies = server.pipeline(b, &["MULTI", "GET k", "SET k v", "EXEC"]);
        assert_eq!(replies[2..], ["-MISCONF no disk", "-EXECABORT Transaction discarded because of previous errors."]);
        assert_eq!(server.pipeline(b, &["WATCH k", "MULTI", "EXISTS k x y z", "EXEC"])[3], "[:0]");
        server.status.refuse_writes(None);
        assert_eq!(server.pipeline(a, &["MULTI", "SET k v", "EXEC"])[2], "[+OK]");
    });
}

#[test]
fn memory_stats_are_a_map_of_numbers() {
    with_servers(|server, a, _| {
        server.run(a, "SET k v");
        server.run(a, "HELLO 3");
        let Value::Map(fields) = server.value(a, "MEMORY STATS") else { panic!("a map") };
        let field = |name: &str| {
            let found = fields.iter().find(|(key, _)| matches!(key, Value::Bulk(bytes) if **bytes == *name.as_bytes()));
            found.map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("{name}"))
        };
        assert_eq!(field("keys.count"), Value::Int(1));
        assert!(matches!(field("db.0"), Value::Map(_)));
        let Value::Int(dataset) = field("dataset.bytes") else { panic!("a number") };
        assert_eq!(field("keys.bytes-per-key"), Value::Int(dataset));
        assert!(matches!(server.value(a, "MEMORY USAGE k"), Value::Int(bytes) if bytes > 0));
        assert!(server.text(a, "MEMORY DOCTOR").contains("hardly any data"));
        assert_eq!(server.run(a, "MEMORY PURGE"), "+OK");
    });
}

#[test]
fn lolwut_draws_and_tells_the_version() {
    let mut server = TestServer::new(1);
    let a = server.connect(0);
    for line in ["LOLWUT", "LOLWUT VERSION 5 1 2", "LOLWUT x"] {
        let text = server.text(a, line);
        assert!(text.contains(" o-mm ") && text.contains("Redis ver. "), "{text}");
        assert!(text.lines().take(8).all(|row| row.len() == 40), "{text}");
    }
    assert_eq!(server.run(a, "LOLWUT VERSION x"), "-ERR value is not an integer or out of range");
}

#[test]
fn help_lists_every_subcommand() {
    let mut server = TestServer::new(1);
    let a = server.connect(0);
    for container in ["CLIENT", "COMMAND", "CONFIG", "MEMORY"] {
        let Value::Array(lines) = server.value(a, &format!("{container} HELP")) else { panic!("an array") };
        let row = rows().row(rows().by_full_name(container.as_bytes()).unwrap());
        assert_eq!(lines.len(), 1 + 2 * row.subs.len(), "{container}");
        assert!(lines.iter().all(|line| matches!(line, Value::Simple(_))));
    }
}

#[test]
fn command_alone_and_with_subcommands() {
    let mut server = TestServer::new(1);
    let a = server.connect(0);
    let Value::Array(all) = server.value(a, "COMMAND") else { panic!("an array") };
    assert_eq!(server.value(a, "COMMAND COUNT"), Value::Int(all.len() as i64));
    let Value::Array(list) = server.value(a, "COMMAND LIST") else { panic!("an array") };
    let is_sub = |name: &&Value| matches!(name, Value::Bulk(name) if name.contains(&b'|'));
    assert_eq!(list.iter().filter(|name| !is_sub(name)).count(), all.len());
    assert!(list.iter().filter(is_sub).count() > 50);
    assert_eq!(server.run(a, "COMMAND FOO"), "-ERR unknown subcommand 'FOO'. Try COMMAND HELP.");
}

#[test]
fn command_info_is_redis_form_in_both_protocols() {
    let mut server = TestServer::new(1);
    let a = server.connect(0);
    assert_eq!(
        server.run(a, "COMMAND INFO memory|usage nosuch"),
        "[[\"memory|usage\" :-3 [+readonly] :2 :2 :1 [+@read +@slow] [] [[\"flags\" [+RO] \"begin_search\" [\"type\" \
         \"index\" \"spec\" [\"index\" :2]] \"find_keys\" [\"type\" \"range\" \"spec\" [\"lastkey\" :0 \"keystep\" :1 \
         \"limit\" :0]]]] []] nil]"
    );
    server.run(a, "HELLO 3");
    assert_eq!(
        server.run(a, "COMMAND INFO memory|usage nosuch"),
        "[[\"memory|usage\" :-3 set [+readonly] :2 :2 :1 set [+@read +@slow] set [] set [{\"flags\": set [+RO], \
         \"begin_search\": {\"type\": \"index\", \"spec\": {\"index\": :2}}, \"find_keys\": {\"type\": \"range\", \
         \"spec\": {\"lastkey\": :0, \"keystep\": :1, \"limit\": :0}}}] set []] nil]"
    );
}

#[test]
fn command_list_is_filtered() {
    let mut server = TestServer::new(1);
    let a = server.connect(0);
    assert_eq!(server.run(a, "COMMAND LIST FILTERBY MODULE x"), "[]");
    assert_eq!(server.run(a, "COMMAND LIST FILTERBY ACLCAT nosuch"), "[]");
    assert_eq!(server.run(a, "COMMAND LIST FILTERBY ACLCAT HyperLogLog"), "[\"pfadd\" \"pfcount\" \"pfmerge\"]");
    assert_eq!(server.run(a, "COMMAND LIST FILTERBY PATTERN config|r*"), "[\"config|resetstat\" \"config|rewrite\"]");
    assert_eq!(server.run(a, "COMMAND LIST FILTERBY X y"), "-ERR syntax error");
    assert_eq!(server.run(a, "COMMAND LIST x"), "-ERR syntax error");
}

#[test]
fn command_getkeys_finds_the_keys_of_a_request() {
    let mut server = TestServer::new(1);
    let a = server.connect(0);
    for (line, reply) in [
        ("COMMAND GETKEYS GET k", "[\"k\"]"),
        ("COMMAND GETKEYS MSET a 1 b 2", "[\"a\" \"b\"]"),
        ("COMMAND GETKEYS MEMORY USAGE k", "[\"k\"]"),
        ("COMMAND GETKEYSANDFLAGS COPY a b", "[[\"a\" [+RO +access]] [\"b\" [+OW +update]]]"),
        ("COMMAND GETKEYS NOSUCH k", "-ERR Invalid command specified"),
        ("COMMAND GETKEYS MEMORY FOO", "-ERR Invalid command specified"),
        ("COMMAND GETKEYS PING k", "-ERR The command has no key arguments"),
        ("COMMAND GETKEYS GET a b", "-ERR Invalid number of arguments specified for command"),
    ] {
        assert_eq!(server.run(a, line), reply, "{line}");
    }
}

/// The replies of one turn come back from another shard all at once: they are bounded there already.
#[test]
fn a_pipeline_of_big_values_on_another_shard_stops_at_the_limit_too() {
    let mut server = TestServer::new(2);
    let (a, b) = (server.connect(0), server.connect(0));
    server.run(a, "CONFIG SET client-output-buffer-limit \"normal 1mb 0 0\"");
    for key in ["k0", "k1", "k2", "k3", "k4", "k5"] {
        server.run(a, &format!("SETRANGE {key} 99999 x"));
    }
    server.run(a, "CONFIG RESETSTAT");
    server.deaf.push(b);
    let requests: String = (0..200).map(|i| format!("GET k{}\r\n", i % 6)).collect();
    server.send(b, &requests);
    assert!(server.is_closed(b));
    assert_eq!(server.field(a, "client_output_buffer_limit_disconnections"), "1");
    let hits: usize = server.field(a, "keyspace_hits").parse().expect("a number");
    assert!(hits <= 2 * 12, "{hits} are run: no shard runs more than the limit holds");
}

/// Quotes are resolved where they stand, so a line that had to wait must not be decoded from the same bytes again.
#[test]
fn a_quoted_line_that_was_held_back_is_run_as_it_was_sent() {
    let mut server = TestServer::new(2);
    let (a, b) = (server.connect(0), server.connect(1));
    server.run(a, "CLIENT PAUSE 50 WRITE");
    server.send(b, "SET k \"a \\\"b\\\" \\x41\"\r\nAPPEND k ' c'\r\nGET k\r\nPIN");
    server.pass(10);
    assert_eq!(server.reply(b), None);
    server.pass(60);
    server.send(b, "G\r\n");
    let replies: Vec<Value> = (0..4).map(|_| server.reply(b).expect("a reply")).collect();
    assert_eq!(replies[1..3], [Value::Int(9), Value::Bulk(b"a \"b\" A c"[..].into())]);
}

#[test]
fn keys_does_not_see_what_stands_behind_it_in_its_pipeline() {
    for workers in [1, 3] {
        let mut server = TestServer::new(workers);
        let a = server.connect(0);
        for i in 0..10_000 {
            server.send(a, &format!("SET {i} v\r\n"));
        }
        while server.reply(a).is_some() {}
        server.send(a, "KEYS *\r\nFLUSHALL\r\nKEYS *\r\n");
        let Some(Value::Array(keys)) = server.reply(a) else { panic!("an array") };
        assert_eq!(keys.len(), 10_000);
        assert!(matches!(server.reply(a), Some(Value::Simple(_))));
        assert_eq!(server.reply(a), Some(Value::Array(vec![])));
    }
}
