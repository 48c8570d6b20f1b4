use super::super::tests::{keys_of_shards, server, with_servers};
use super::HANDLERS;
use crate::config::Config;
use crate::engine::testing::{Client, TestServer};
use kv_core::command::{Handler, ScriptRow, table};
use kv_core::persist::rdb;
use kv_core::resp::client::Value;
use std::sync::atomic::Ordering::Relaxed;

/// A request that loads a library with this code; `NL` is a line end.
fn load(server: &mut TestServer, client: Client, options: &str, code: &str) -> String {
    let code = code.replace('"', "\\\"").replace("NL", "\\n");
    server.run(client, &format!("FUNCTION LOAD {options} \"{code}\""))
}

const COUNTER: &str = "#!lua name=counterNL\
    redis.register_function('add', function(keys, args) return redis.call('incrby', keys[1], args[1] or 1) end)NL\
    redis.register_function{function_name='get', flags={'no-writes'}, callback=function(keys) return redis.call('get', keys[1]) end}";

#[test]
fn a_library_is_known_on_all_shards_at_once() {
    with_servers(|server, c| {
        assert_eq!(load(server, c, "", COUNTER), "\"counter\"");
        let other = server.connect(server.workers.len() - 1);
        for key in keys_of_shards(server) {
            assert_eq!(server.run(other, &format!("FCALL add 1 {key} 5")), ":5");
            assert_eq!(server.run(c, &format!("FCALL ADD 1 {key}")), ":6");
            assert_eq!(server.run(other, &format!("FCALL_RO get 1 {key}")), "\"6\"");
        }
        assert_eq!(
            (server.field(c, "number_of_libraries"), server.field(c, "number_of_functions")),
            ("1".into(), "2".into())
        );
        assert_ne!(server.field(c, "used_memory_functions"), "0");
        assert_eq!(server.run(other, "FUNCTION DELETE counter"), "+OK");
        for key in keys_of_shards(server) {
            assert_eq!(server.run(c, &format!("FCALL add 1 {key}")), "-ERR Function not found");
        }
        assert_eq!(server.field(c, "number_of_libraries"), "0");
    });
}

#[test]
fn what_is_refused_changes_nothing() {
    with_servers(|server, c| {
        load(server, c, "", COUNTER);
        load(server, c, "", "#!lua name=otherNL redis.register_function('mine', function() return 'old' end)");
        let logged = |server: &mut TestServer| -> Vec<usize> {
            server.workers.iter_mut().map(|worker| worker.shard_mut().log.len()).collect()
        };
        server.workers.iter_mut().for_each(|worker| worker.shard_mut().log.on = true);
        for (options, code, error) in [
            (
                "",
                "#!lua name=otherNL redis.register_function('new', function() end)",
                "-ERR Library 'other' already exists",
            ),
            (
                "REPLACE",
                "#!lua name=otherNL redis.register_function('ADD', function() end)",
                "-ERR Function ADD already exists",
            ),
            (
                "REPLACE",
                "#!lua name=otherNL redis.register_function('new', 1)",
                "-ERR Error registering functions: ERR second",
            ),
            ("REPLACE", "#!lua name=otherNL", "-ERR No functions registered"),
            ("REPLACE", "#!lua name=otherNL x x", "-ERR Error compiling function: user_function:2:"),
            (
                "AGAIN",
                "#!lua name=otherNL redis.register_function('new', function() end)",
                "-ERR Unknown option given: AGAIN",
            ),
        ] {
            let reply = load(server, c, options, code);
            assert!(reply.starts_with(error), "{code}: {reply}");
        }
        assert_eq!(server.run(c, "FUNCTION DELETE Other"), "-ERR Library not found");
        assert_eq!(server.run(c, "FUNCTION FLUSH NOW"), "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        for key in keys_of_shards(server) {
            assert_eq!(server.run(c, &format!("FCALL mine 1 {key}")), "\"old\"");
            assert_eq!(server.run(c, &format!("FCALL new 1 {key}")), "-ERR Function not found");
        }
        assert!(logged(server).iter().all(|bytes| *bytes == 0));
        let code = "#!lua name=otherNL redis.register_function('new', function() return 'new' end)";
        assert_eq!(load(server, c, "replace", code), "\"other\"");
        for key in keys_of_shards(server) {
            assert_eq!(server.run(c, &format!("FCALL mine 1 {key}")), "-ERR Function not found");
            assert_eq!(server.run(c, &format!("FCALL new 1 {key}")), "\"new\"");
        }
        // The first shard tells what has changed; the others only that something has, so that who sees it there waits for the disk.
        let logged = logged(server);
        assert!(logged.iter().all(|bytes| *bytes > 0) && logged[1..].iter().all(|bytes| *bytes < 16), "{logged:?}");
    });
}

#[test]
fn what_is_restored_is_all_there_or_nothing_of_it() {
    with_servers(|server, c| {
        let library = |name: &str, functions: &str| {
            let functions = functions.split(' ');
            let register = |f| format!("redis.register_function('{f}', function() return '{name}.{f}' end) ");
            format!("#!lua name={name}\n{}", functions.map(register).collect::<String>())
        };
        let restore = |server: &mut TestServer, libraries: &[String], policy: &str| {
            let payload = rdb::dump_functions(libraries.iter().map(|code| code.as_bytes()));
            server.run(c, &format!("FUNCTION RESTORE \"{}\" {policy}", payload.escape_ascii()))
        };
        let called = |server: &mut TestServer, function: &str| {
            let replies: Vec<String> =
                keys_of_shards(server).iter().map(|key| server.run(c, &format!("FCALL {function} 1 {key}"))).collect();
            assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
            replies[0].clone()
        };
        assert_eq!(restore(server, &[library("a", "f g"), library("b", "h")], ""), "+OK");
        assert_eq!((called(server, "g"), called(server, "h")), ("\"a.g\"".into(), "\"b.h\"".into()));
        for (libraries, policy, error) in [
            (&[library("c", "x"), library("b", "y")][..], "", "-ERR Library b already exists"),
            (&[library("c", "x"), library("d", "F")], "append", "-ERR Function F already exists"),
            (&[library("b", "x"), library("c", "F")], "REPLACE", "-ERR Function F already exists"),
            (&[library("c", "x"), library("d", "x")], "FLUSH", "-ERR Function x already exists"),
            (&[library("c", "x"), library("c", "y")], "FLUSH", "-ERR Library 'c' already exists"),
            (&[library("c", "x"), "return 1".into()], "FLUSH", "-ERR Missing library metadata"),
        ] {
            assert_eq!(restore(server, libraries, policy), error);
            assert_eq!((called(server, "g"), called(server, "h")), ("\"a.g\"".into(), "\"b.h\"".into()));
            assert_eq!(called(server, "x"), "-ERR Function not found");
        }
        // A function moves from one library to the other.
        assert_eq!(restore(server, &[library("a", "h"), library("b", "g")], "replace"), "+OK");
        assert_eq!((called(server, "g"), called(server, "h")), ("\"b.g\"".into(), "\"a.h\"".into()));
        assert_eq!(called(server, "f"), "-ERR Function not found");
        assert_eq!(restore(server, &[library("c", "x")], "flush"), "+OK");
        assert_eq!((called(server, "x"), called(server, "g")), ("\"c.x\"".into(), "-ERR Function not found".into()));
    });
}

#[test]
fn changes_and_calls_in_a_transaction_come_one_after_the_other() {
    with_servers(|server, c| {
        let keys = keys_of_shards(server);
        let last = keys.last().unwrap();
        let load = "FUNCTION LOAD \"#!lua name=l\\n redis.register_function('f', function(k) return redis.call('incr', k[1]) end)\"";
        let call = format!("FCALL f 1 {last}");
        let replies = server.pipeline(
            c,
            &["MULTI", &call, load, &call, "FUNCTION DELETE l", &call, load, "FUNCTION FLUSH", "PING", "EXEC"],
        );
        assert_eq!(
            replies.last().unwrap(),
            "[error ERR Function not found \"l\" :1 +OK error ERR Function not found \"l\" +OK +PONG]"
                .replace("error ", "-")
                .as_str()
        );
        assert_eq!(server.run(c, &format!("GET {last}")), "\"1\"");
    });
}

#[test]
fn a_function_that_touches_what_it_did_not_declare_does_so_once_and_begins_with_all_shards_from_then_on() {
    let (mut server, c) = server(4);
    let keys = keys_of_shards(&mut server);
    let calls: String = keys.iter().map(|key| format!("redis.call('incr', '{key}') ")).collect();
    let code =
        format!("#!lua name=lNL redis.register_function('all', function(k) redis.call('incr', k[1]) {calls} end)");
    load(&mut server, c, "", &code);
    let rendezvous = |server: &mut TestServer, key: &str| {
        let before = server.net.total(|s| s.rendezvous());
        assert_eq!(server.run(c, &format!("FCALL all 1 {key}")), "nil");
        server.net.total(|s| s.rendezvous()) - before
    };
    for key in &keys {
        assert_eq!(rendezvous(&mut server, key), 1);
    }
    for key in &keys {
        assert_eq!(server.run(c, &format!("GET {key}")), "\"5\"");
    }
    // Counted once each, although the first was run twice.
    let calls = server.field(c, "cmdstat_fcall");
    assert!(calls.starts_with("calls=4,"), "{calls}");
}

#[test]
fn code_that_never_ends_is_given_up_and_nothing_of_it_stays() {
    with_servers(|server, c| {
        // Each look at the clock takes 100 ms.
        server.system.look_ns.store(100_000_000, Relaxed);
        let code = "#!lua name=lNL redis.register_function('f', function() end) while true do end";
        assert_eq!(load(server, c, "", code), "-ERR Error registering functions: ERR FUNCTION LOAD timeout");
        server.system.look_ns.store(0, Relaxed);
        assert_eq!(server.run(c, "FUNCTION LIST"), "[]");
        assert_eq!(
            load(server, c, "", "#!lua name=lNL redis.register_function('f', function() return 1 end)"),
            "\"l\""
        );
        assert_eq!(server.run(c, "FCALL f 0"), ":1");
    });
}

#[test]
fn a_function_that_takes_long_runs_alone_and_has_not_run_before() {
    with_servers(|server, c| {
        let body = "redis.call('incr', k[1]) for i = 1, 200000 do end return redis.call('incr', k[1])";
        load(server, c, "", &format!("#!lua name=lNL redis.register_function('long', function(k) {body} end)"));
        server.system.look_ns.store(15_000_000, Relaxed);
        assert_eq!(server.run(c, "FCALL long 1 k"), ":2");
        assert_eq!(server.ran_alone, 1);
        server.system.look_ns.store(0, Relaxed);
        assert_eq!(server.run(c, "FUNCTION KILL"), "-NOTBUSY No scripts in execution right now.");
        assert!(server.run(c, "FUNCTION STATS").starts_with("[\"running_script\" nil"));
    });
}

#[test]
fn what_a_library_logs_while_it_registers_is_logged() {
    let (mut server, c) = server(1);
    let code = "#!lua name=lNL redis.log(redis.LOG_WARNING, 'w', 1) redis.log(redis.LOG_DEBUG, 'd') \
                redis.register_function('f', function() redis.log(redis.LOG_WARNING, 'called') end)";
    assert_eq!(load(&mut server, c, "", code), "\"l\"");
    server.run(c, "FCALL f 0");
    assert_eq!(*server.system.logged.lock().unwrap(), ["w 1", "called"]);
}

#[test]
fn a_function_has_to_declare_its_keys_if_that_is_wanted() {
    let mut server = TestServer::with_config(4, Config { script_strict_keys: true, ..Config::default() });
    let c = server.connect(0);
    let code = "#!lua name=lNL redis.register_function('set', function(k, a) return redis.call('set', a[1], 1) end)";
    load(&mut server, c, "", code);
    assert_eq!(server.run(c, "FCALL set 1 k k"), "+OK");
    let refused = "-ERR Script attempted to access a key it did not declare (script-strict-keys is on) script: set, ";
    assert!(server.run(c, "FCALL set 1 k j").starts_with(refused));
}

#[test]
fn who_sees_a_library_waits_until_it_is_safe_on_whichever_shard() {
    let mut server = TestServer::holding(4);
    let c = server.connect(0);
    let keys = keys_of_shards(&mut server);
    server.give(c, &format!("FUNCTION LOAD \"{}\"\r\n", COUNTER.replace("NL", "\\n")));
    server.work();
    assert_eq!(server.reply(c), None, "it is not durable");
    // Others call it, and so tell of it, although their shards have nothing else to keep.
    let others: Vec<Client> = (0..4).map(|worker| server.connect(worker)).collect();
    for (other, key) in others.iter().zip(&keys) {
        server.give(*other, &format!("FCALL get 1 {key}\r\n"));
        server.work();
        assert_eq!(server.reply(*other), None, "{key}");
    }
    server.status.set_durable(1);
    server.work();
    assert!(server.reply(c).is_some());
    assert!(others.iter().all(|other| server.reply(*other) == Some(Value::Nil)));
}

#[test]
fn every_row_that_changes_libraries_has_its_handler() {
    let rows: Vec<&str> = (0..table().len() as u16)
        .map(|id| table().row(id))
        .filter(|row| matches!(row.spec.handler, Handler::Script(ScriptRow::Libraries)))
        .map(|row| row.full_name.as_str())
        .collect();
    let mut handled: Vec<String> = HANDLERS.iter().map(|(name, _)| name.to_lowercase()).collect();
    handled.sort();
    assert_eq!(rows, handled);
}
