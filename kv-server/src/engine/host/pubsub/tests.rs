//! What scripts do not show: the order of answers and pushes, many at once, connections that end, what waits for the disk.

use crate::config::Config;
use crate::engine::testing::{Client, TestServer};
use kv_core::families::testing::show;
use kv_core::resp::client::encode_request;
use kv_core::resp::reply::TEXT_LINE_END as END;

/// All that has come to a client.
fn all(server: &mut TestServer, client: Client) -> Vec<String> {
    std::iter::from_fn(|| server.reply(client)).map(|value| show(&value)).collect()
}

fn resp3(server: &mut TestServer, worker: usize) -> Client {
    let client = server.connect(worker);
    server.run(client, "HELLO 3");
    client
}

#[test]
fn the_own_message_comes_behind_the_answer_to_publish() {
    for workers in [1, 3] {
        let mut server = TestServer::new(workers);
        let a = resp3(&mut server, 0);
        let began = "push [\"subscribe\" \"c\" :1]";
        let message = "push [\"message\" \"c\" \"x\"]";
        assert_eq!(server.pipeline(a, &["SUBSCRIBE c", "PUBLISH c x", "PING"]), [began, ":1", message, "+PONG"]);
        // With a subscriber elsewhere it goes through the mailboxes, and the answer to PING does not wait for it.
        let b = resp3(&mut server, workers - 1);
        server.run(b, "SUBSCRIBE c");
        let got = server.pipeline(a, &["PUBLISH c x", "PING"]);
        assert_eq!((got[0].as_str(), got.len()), (":2", 3));
        assert_eq!(all(&mut server, b), [message]);
    }
}

#[test]
fn a_message_never_overtakes_a_reply_that_it_follows() {
    let mut server = TestServer::new(3);
    let a = resp3(&mut server, 0);
    server.run(a, "SUBSCRIBE c");
    let b = server.connect(1);
    // Keys of all shards: their answers come from elsewhere, the message from here.
    let reads: Vec<String> = (0..20).map(|i| format!("GET k{i}")).collect();
    let mut lines: Vec<&str> = reads.iter().map(String::as_str).collect();
    lines.extend(["MGET k1 k2 k3 k4", "PUBLISH c x"]);
    let got = server.pipeline(a, &lines);
    assert_eq!(got[20..], ["[nil nil nil nil]", ":1", "push [\"message\" \"c\" \"x\"]"]);
    assert_eq!(server.run(b, "PUBLISH c y"), ":1");
}

#[test]
fn ten_thousand_subscribers_get_one_message_and_go() {
    let mut server = TestServer::new(2);
    let publisher = server.connect(0);
    let clients: Vec<Client> = (0..10_000).map(|i| server.connect(i % 2)).collect();
    for &client in &clients {
        server.give(client, &format!("SUBSCRIBE c{END}"));
    }
    server.work();
    assert_eq!(server.run(publisher, "PUBLISH c x"), ":10000");
    for &client in &clients {
        assert_eq!(all(&mut server, client).last().map(String::as_str), Some("[\"message\" \"c\" \"x\"]"));
    }
    // A large one is shared.
    let text = "y".repeat(100_000);
    let mut request = Vec::new();
    encode_request(&mut request, &["PUBLISH", "c", &text]);
    server.give(publisher, &String::from_utf8(request).expect("all ASCII"));
    server.deaf = clients.clone();
    server.work();
    assert_eq!(all(&mut server, publisher), [":10000"]);
    server.deaf.clear();
    for &client in clients.iter().rev() {
        server.give(client, &format!("RESET{END}"));
    }
    server.work();
    let got = all(&mut server, clients[77]);
    assert_eq!((got[0].len(), got[1].as_str()), (text.len() + 18, "+RESET"));
    assert_eq!(server.run(publisher, "PUBLISH c x"), ":0");
    assert_eq!(server.field(publisher, "pubsub_channels"), "0");
    assert_eq!(server.field(publisher, "pubsub_clients"), "0");
}

#[test]
fn a_hundred_thousand_channels_of_one_connection_end_with_it() {
    let mut server = TestServer::new(2);
    let (a, b) = (server.connect(0), server.connect(1));
    for start in (0..100_000).step_by(1000) {
        let names: Vec<String> = (start..start + 1000).map(|i| format!("channel:{i}")).collect();
        server.give(a, &format!("SUBSCRIBE {}{END}", names.join(" ")));
    }
    server.work();
    assert_eq!(all(&mut server, a).last().map(String::as_str), Some("[\"subscribe\" \"channel:99999\" :100000]"));
    assert_eq!(server.field(b, "pubsub_channels"), "100000");
    assert_eq!(server.run(b, "PUBLISH channel:77777 x"), ":1");
    server.give(a, &format!("QUIT{END}"));
    server.work();
    assert!(server.is_closed(a));
    assert_eq!(server.field(b, "pubsub_channels"), "0");
    assert_eq!(server.run(b, "PUBLISH channel:77777 x"), ":0");
}

#[test]
fn who_does_not_read_is_cut_and_the_others_go_on() {
    let limit = "pubsub 100000 0 0";
    let mut server = TestServer::new(2);
    let (publisher, slow, fast) = (server.connect(0), server.connect(1), server.connect(1));
    assert_eq!(server.run(publisher, &format!("CONFIG SET client-output-buffer-limit '{limit}'")), "+OK");
    server.run(slow, "SUBSCRIBE c");
    server.run(fast, "SUBSCRIBE c");
    server.deaf.push(slow);
    let text = "x".repeat(999);
    let mut counts = Vec::new();
    for _ in 0..200 {
        counts.push(server.run(publisher, &format!("PUBLISH c {text}")));
    }
    assert!(server.is_closed(slow));
    assert_eq!((counts[0].as_str(), counts[199].as_str()), (":2", ":1"));
    assert_eq!(all(&mut server, fast).len(), 200);
    assert_eq!(server.field(publisher, "client_output_buffer_limit_disconnections"), "1");
    // In one turn, too.
    let slow = server.connect(1);
    server.run(slow, "SUBSCRIBE d");
    server.give(publisher, &format!("PUBLISH d {text}{END}").repeat(500));
    server.work();
    assert!(server.is_closed(slow));
    assert_eq!(server.run(fast, "PING"), "[\"pong\" \"\"]");
}

#[test]
fn a_message_waits_for_the_disk_with_what_its_publisher_wrote_and_no_other_does() {
    for workers in [1, 3] {
        let mut server = TestServer::holding(workers);
        let subscriber = resp3(&mut server, workers - 1);
        server.run(subscriber, "SUBSCRIBE c");
        let other = server.connect(0);
        assert_eq!(server.run(other, "PUBLISH c before"), ":1");
        assert_eq!(all(&mut server, subscriber), ["push [\"message\" \"c\" \"before\"]"]);
        let writer = server.connect(0);
        // Keys of all shards, and one whose answer was waited for.
        let lines: Vec<String> = (0..8).map(|i| format!("SET k{i} v")).collect();
        let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        lines.push("PUBLISH c told");
        assert_eq!(server.pipeline(writer, &lines), [""; 0]);
        assert_eq!(all(&mut server, subscriber), [""; 0], "{workers} workers");
        server.status.set_durable(1);
        server.work();
        assert_eq!(all(&mut server, writer).last().map(String::as_str), Some(":1"));
        assert_eq!(all(&mut server, subscriber), ["push [\"message\" \"c\" \"told\"]"]);
    }
}

#[test]
fn who_leaves_while_the_others_hear_of_it_leaves_nothing_behind() {
    let mut server = TestServer::with_config(3, Config::default());
    let (a, b) = (server.connect(0), server.connect(1));
    server.give(a, &format!("SUBSCRIBE c{END}QUIT{END}"));
    server.work();
    assert_eq!(all(&mut server, a), ["[\"subscribe\" \"c\" :1]", "+OK"]);
    assert_eq!(server.run(b, "PUBSUB CHANNELS"), "[]");
    let c = server.connect(0);
    server.give(c, &format!("SUBSCRIBE c d{END}"));
    server.run(b, &format!("CLIENT KILL ID {}", c.id));
    assert_eq!(server.run(b, "PUBSUB CHANNELS"), "[]");
    assert_eq!(server.field(b, "pubsub_clients"), "0");
}

#[test]
fn channels_are_told_once_and_counted_over_all_workers() {
    let mut server = TestServer::new(3);
    let clients: Vec<Client> = (0..9).map(|i| server.connect(i % 3)).collect();
    for (i, &client) in clients.iter().enumerate() {
        server.run(client, if i < 6 { "SUBSCRIBE all some" } else { "SUBSCRIBE all" });
        server.run(client, "PSUBSCRIBE p*");
    }
    let asker = server.connect(1);
    let channels = server.run(asker, "PUBSUB CHANNELS");
    assert!(["[\"all\" \"some\"]", "[\"some\" \"all\"]"].contains(&channels.as_str()), "{channels}");
    assert_eq!(server.run(asker, "PUBSUB NUMSUB some all none"), "[\"some\" :6 \"all\" :9 \"none\" :0]");
    assert_eq!(server.run(asker, "PUBSUB NUMPAT"), ":1");
    assert_eq!(server.run(asker, "PUBLISH all x"), ":9");
    assert_eq!(server.field(asker, "pubsub_clients"), "9");
}

#[test]
fn who_listens_is_not_idle() {
    let mut server = TestServer::with_config(1, Config { timeout: 10, ..Config::default() });
    let (idle, listening) = (server.connect(0), server.connect(0));
    server.run(listening, "SUBSCRIBE c");
    (0..20).for_each(|_| server.pass(1000));
    assert_eq!((server.is_closed(idle), server.is_closed(listening)), (true, false));
    server.run(listening, "UNSUBSCRIBE c");
    (0..20).for_each(|_| server.pass(1000));
    assert!(server.is_closed(listening));
}
