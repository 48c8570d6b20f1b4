//! kv-cli as a person meets it: in a terminal, with keys pressed and a screen looked at.

use kv_core::resp::client::Value;
use kv_tests::client::Client;
use kv_tests::moving::{Reached, ask};
use kv_tests::process::{Server, program, wait_until};
use kv_tests::redis::Redis;
use kv_tests::terminal::{CTRL_C, CTRL_D, ENTER, RIGHT, TAB, Terminal, UP};

const SIZE: (u16, u16) = (30, 100);

fn cli(server: &dyn Reached, words: &[&str]) -> Terminal {
    cli_with(server, words, &[])
}

fn cli_with(server: &dyn Reached, words: &[&str], variables: &[(&str, &str)]) -> Terminal {
    let args: Vec<String> = server.place().into_iter().chain(words.iter().map(|word| word.to_string())).collect();
    Terminal::start_with(&program("kv-cli"), &args, SIZE, variables)
}

fn server() -> Server {
    Server::start(&["--shards", "2"])
}

fn prompt(server: &Server) -> String {
    format!("127.0.0.1:{}>", server.address().port())
}

#[test]
fn a_command_is_typed_completed_and_answered() {
    let server = server();
    let prompt = prompt(&server);
    let terminal = cli(&server, &[]);
    terminal.wait_row(&prompt);
    // The rest of a name that can only be one, and its arguments.
    terminal.keys("getra");
    terminal.wait_row(&format!("{prompt} getrange key start end"));
    terminal.keys(RIGHT);
    terminal.keys(" k");
    terminal.wait_row(&format!("{prompt} getrange k start end"));
    terminal.keys(CTRL_C);
    terminal.wait_row(&prompt);
    // Tab completes names, options and keys.
    terminal.keys(&format!("appe{TAB}user:grün v{ENTER}"));
    terminal.wait_for("(integer) 1");
    terminal.wait_row(&prompt);
    terminal.keys(&format!("set other v KE{TAB}{ENTER}"));
    terminal.wait_for("set other v KEEPTTL");
    terminal.wait_for("OK");
    terminal.wait_row(&prompt);
    terminal.keys(&format!("get us{TAB}"));
    terminal.wait_row(&format!("{prompt} get user:grün"));
    terminal.keys(ENTER);
    terminal.wait_for("\"v\"");
    terminal.wait_row(&prompt);
    terminal.keys(UP);
    terminal.wait_row(&format!("{prompt} get user:grün"));
    terminal.keys(CTRL_C);
    terminal.wait_row(&prompt);
    terminal.line("5 incr x");
    terminal.wait_for("(integer) 5");
    terminal.wait_row(&prompt);
    terminal.line("select 3");
    terminal.wait_row(&format!("{}[3]>", prompt.trim_end_matches('>')));
    terminal.line("quit");
    assert!(terminal.end().success());
}

#[test]
fn a_line_goes_on_while_a_quote_is_open() {
    let server = server();
    let prompt = prompt(&server);
    let terminal = cli(&server, &[]);
    terminal.wait_row(&prompt);
    terminal.keys(&format!("set k \"a{ENTER}b\"{ENTER}"));
    terminal.wait_for("OK");
    terminal.line("get k");
    terminal.wait_for("\"a\\nb\"");
    terminal.wait_row(&prompt);
    // Pasted, as terminals tell it: two commands.
    terminal.keys(&format!("\x1b[200~incr n\nincr n\x1b[201~{ENTER}"));
    terminal.wait_for("(integer) 2");
    terminal.line("get \"a\"b");
    terminal.wait_for("Invalid argument(s)");
    terminal.keys(CTRL_D);
    assert!(terminal.end().success());
}

#[test]
fn secrets_are_not_kept() {
    let server = Server::start(&["--requirepass", "hidden1"]);
    let prompt = prompt(&server);
    let terminal = cli(&server, &[]);
    terminal.wait_row(&prompt);
    for (line, answer) in [
        ("get k", "NOAUTH"),
        ("auth hidden1", "OK"),
        ("auth \"hidden1\"x", "Invalid argument(s)"),
        ("config set requirepass hidden2", "hidden2\nOK"),
        ("ping", "PONG"),
    ] {
        terminal.line(line);
        terminal.wait_for(answer);
        terminal.wait_row(&prompt);
    }
    let history = terminal.home().join(".kvcli_history");
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains("get k") && kept.contains("ping") && !kept.contains("hidden"), "{kept}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&history).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn a_question_comes_before_everything_is_deleted() {
    let server = server();
    let prompt = prompt(&server);
    server.client().ask(&["SET", "k", "v"]);
    let terminal = cli(&server, &[]);
    terminal.wait_row(&prompt);
    terminal.line("flushall");
    terminal.wait_row("This deletes all 1 keys of all databases. Go on? (y/N)");
    terminal.line("n");
    terminal.wait_row(&prompt);
    terminal.line("dbsize");
    terminal.wait_for("(integer) 1");
    terminal.line("flushdb");
    terminal.wait_row("This deletes all 1 keys of this database. Go on? (y/N)");
    terminal.keys(CTRL_C);
    terminal.wait_row(&prompt);
    terminal.line("flushall");
    terminal.wait_row("This deletes all 1 keys of all databases. Go on? (y/N)");
    terminal.line("y");
    terminal.wait_for("OK");
    terminal.line("dbsize");
    terminal.wait_for("(integer) 0");
}

#[test]
fn replies_have_colours_unless_nobody_wants_them() {
    let server = server();
    for (words, variables, coloured) in [(&[][..], &[][..], true), (&[], &[("NO_COLOR", "1")], false)] {
        let terminal = cli_with(&server, words, variables);
        terminal.wait_row(&prompt(&server));
        terminal.line("incr");
        terminal.wait_for("(error) ERR wrong number of arguments");
        let picture = terminal.svg();
        assert_eq!(picture.contains("#e06c75"), coloured, "{picture}");
    }
}

#[test]
fn long_replies_go_through_the_pager() {
    let server = server();
    let elements: Vec<String> = (0..200).map(|number| format!("element{number}")).collect();
    server.client().ask(&[vec!["RPUSH".to_owned(), "l".to_owned()], elements].concat());
    let terminal = cli_with(&server, &[], &[("KVCLI_PAGER", "sed -n '3p;$s/$/ was the last/p'")]);
    terminal.wait_row(&prompt(&server));
    terminal.line("lrange l 0 -1");
    let text = terminal.wait_for("\"element199\"");
    assert!(text.contains("\"element2\"") && !text.contains("\"element3\""), "{text}");
    terminal.line("lrange l 0 1");
    terminal.wait_for("2) \"element1\"");
    // One that is not there is no reason to show nothing.
    let terminal = cli_with(&server, &[], &[("KVCLI_PAGER", "no-such-pager")]);
    terminal.wait_row(&prompt(&server));
    terminal.line("lrange l 0 -1");
    terminal.wait_for("200) \"element199\"");
}

#[test]
fn a_key_is_shown_at_a_glance() {
    let server = server();
    let mut client = server.client();
    client.ask(&["HSET", "user:1", "name", "Grün", "raw", "x"]);
    client.ask(&["EXPIRE", "user:1", "3600"]);
    let terminal = cli(&server, &[]);
    terminal.wait_row(&prompt(&server));
    terminal.line("peek user:1");
    let text = terminal.wait_for("\"name\" => \"Grün\"");
    assert!(text.contains("\"user:1\"  hash, 2 fields, listpack, ") && text.contains("expires in 5"), "{text}");
    terminal.line("peek nothing");
    terminal.wait_for("\"nothing\" is not there");
}

#[test]
fn help_comes_from_the_table() {
    let server = server();
    let terminal = cli(&server, &[]);
    terminal.wait_row(&prompt(&server));
    terminal.line("help getrange");
    terminal.wait_for("GETRANGE key start end");
    terminal.line("help @hyperloglog");
    terminal.wait_for("PFCOUNT key [key ...]");
}

#[test]
fn a_server_that_comes_back_is_found_again() {
    let server = server();
    let port = server.address().port().to_string();
    let terminal = cli(&server, &[]);
    terminal.wait_row(&prompt(&server));
    terminal.line("set k v");
    terminal.wait_for("OK");
    let folder = server.kill();
    terminal.line("get k");
    terminal.wait_for("Could not connect");
    terminal.wait_row("not connected>");
    let server = Server::start_in(folder, &[] as &[&str], &["--port", &port]);
    terminal.line("incr n");
    terminal.wait_for("(integer) 1");
    terminal.wait_row(&prompt(&server));
}

#[test]
fn messages_stream_until_ctrl_c() {
    let server = server();
    stream(&server, &prompt(&server), server.client());
    let Some(redis) = Redis::start() else { return };
    stream(&redis, &format!("{}>", redis.socket().display()), redis.client());
}

/// `place` is the prompt.
fn stream(server: &dyn Reached, place: &str, mut client: Client) {
    let terminal = cli(server, &[]);
    terminal.wait("the prompt", |text| text.replace('\n', "").contains(place));
    terminal.line("monitor");
    terminal.wait_for("OK");
    client.ask(&["SET", "seen", "v"]);
    terminal.wait_for("\"SET\" \"seen\" \"v\"");
    terminal.keys(CTRL_C);
    terminal.line("subscribe news");
    terminal.wait_for("3) (integer) 1");
    client.ask(&["PUBLISH", "news", "hello"]);
    terminal.wait_for("\"hello\"");
    terminal.keys(CTRL_C);
    terminal.line("ping");
    terminal.wait_for("PONG");
}

#[test]
fn ctrl_c_ends_a_command_that_waits_and_nothing_else() {
    let server = server();
    let terminal = cli(&server, &[]);
    terminal.wait_row(&prompt(&server));
    terminal.line("select 2");
    terminal.wait_row(&format!("{}[2]>", prompt(&server).trim_end_matches('>')));
    terminal.line("blpop nothing 0");
    let mut client = server.client();
    let blocked = |client: &mut Client| {
        let info = client.ask(&["INFO", "clients"]);
        String::from_utf8_lossy(info.bytes().unwrap()).contains("blocked_clients:1")
    };
    wait_until("the command waits", || blocked(&mut client));
    terminal.keys(CTRL_C);
    wait_until("it waits no longer", || !blocked(&mut client));
    // In the database where it was.
    terminal.line("ping");
    terminal.wait_for("PONG");
    terminal.wait_row(&format!("{}[2]>", prompt(&server).trim_end_matches('>')));
}

#[test]
fn a_line_goes_on_in_a_window_of_another_size() {
    let server = server();
    let terminal = cli(&server, &[]);
    terminal.wait_row(&prompt(&server));
    let value = "abcdefghij".repeat(9);
    terminal.keys(&format!("set k {value}"));
    terminal.wait("all of it", |text| text.replace('\n', "").contains(&value));
    terminal.resize(20, 60);
    terminal.keys("-end");
    terminal.wait("the end", |text| text.replace('\n', "").contains(&format!("{value}-end")));
    terminal.keys(ENTER);
    terminal.wait_for("OK");
    assert_eq!(server.client().ask(&["GET", "k"]), Value::Bulk(format!("{value}-end").into_bytes()));
}

#[test]
fn writes_are_shown_as_replicas_get_them() {
    let Some(redis) = Redis::start() else { return };
    redis.client().ask(&["SET", "before", "v"]);
    let terminal = cli(&redis, &["--replica"]);
    terminal.wait_for("writes follow, until Ctrl-C");
    redis.client().ask(&["SET", "seen", "a,b"]);
    let text = terminal.wait_for("\"SET\",\"seen\",\"a,b\"");
    assert!(!text.contains("before"), "{text}");
}

#[test]
fn top_shows_a_server_and_follows_the_window() {
    let server = server();
    let mut client = server.client();
    (0..100).for_each(|number| drop(client.ask(&["SET", &format!("k{number}"), "v"])));
    let terminal = cli_from(&["top", "-i", "0.1"], &server);
    for wanted in ["kv 0.", "Requests", "a second, CPU", "Round trips", "p99", "Shards", "100 keys"] {
        terminal.wait_for(wanted);
    }
    terminal.resize(12, 60);
    terminal.wait("a smaller screen", |text| text.contains("Requests") && !text.contains("Persistence"));
    terminal.resize(30, 100);
    terminal.wait_for("Persistence");
    terminal.keys("c");
    terminal.wait("clients alone", |text| text.contains("last command") && !text.contains("Requests"));
    terminal.keys("?");
    terminal.wait_for("leave");
    terminal.keys("?");
    terminal.keys("p");
    terminal.wait_for("paused");
    terminal.keys("q");
    assert!(terminal.end().success());
}

#[test]
fn top_works_with_redis_and_survives_its_end() {
    let Some(redis) = Redis::start() else { return };
    let terminal = cli_from(&["top", "-i", "0.1"], &redis);
    for wanted in ["redis ", "Commands", "us each", "ping", "Slow log"] {
        terminal.wait_for(wanted);
    }
    drop(redis);
    terminal.wait_for("Could not connect");
    terminal.keys(CTRL_C);
    assert!(terminal.end().success());
}

/// With the connection's options behind the word.
fn cli_from(words: &[&str], server: &dyn Reached) -> Terminal {
    let args: Vec<String> = words.iter().map(|word| word.to_string()).chain(server.place()).collect();
    Terminal::start(&program("kv-cli"), &args, SIZE)
}

#[test]
fn the_latency_line_stays_one_line_until_ctrl_c() {
    let server = server();
    let terminal = cli_from(&["--latency"], &server);
    terminal.wait("some samples", |text| text.contains("samples)") && text.trim_end().lines().count() == 1);
    terminal.keys(CTRL_C);
    assert!(terminal.end().success());
}

#[test]
fn a_walk_over_keys_tells_after_ctrl_c_what_it_found_and_where_to_go_on() {
    let server = server();
    let mut client = server.client();
    (0..300).for_each(|number| drop(client.ask(&["SET", &format!("k{number}"), "v"])));
    // A pause that nobody waits for: the walk is in it when it is told to stop.
    let terminal = cli_from(&["--keystats", "--count", "100", "-i", "1000"], &server);
    terminal.wait_for(" of 300");
    terminal.keys(CTRL_C);
    let text = terminal.wait_for("goes on from there");
    let cursor = text.split("--cursor ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(terminal.end().success());
    let rest = ask(&server, &["--scan", "--cursor", &cursor], b"");
    let rest = rest.out.iter().filter(|byte| **byte == b'\n').count();
    assert!((1..300).contains(&rest), "{rest} keys are left");
}

#[test]
fn a_password_is_asked_for_without_being_shown() {
    let server = Server::start(&["--requirepass", "hidden"]);
    let terminal = cli(&server, &["--askpass", "ping"]);
    terminal.wait_for("Password:");
    terminal.keys(&format!("hidden{ENTER}"));
    let text = terminal.wait_for("PONG");
    assert!(!text.contains("hidden"), "{text}");
    assert!(terminal.end().success());
}

/// The pictures of the documentation. With `KV_UPDATE_DOCS` they are written; without, they only have to come about.
#[test]
fn pictures_show_the_prompt_and_top() {
    let server = server();
    let mut client = server.client();
    for number in 0..2000 {
        client.ask(&["SET", &format!("session:{number}"), "v", "EX", "3600"]);
    }
    client.ask(&["HSET", "user:1", "name", "Jürgen", "mail", "j@example.org", "visits", "17"]);
    client.ask(&["RPUSH", "user:1:orders", "A-1", "A-2"]);
    let place = server.place();
    let terminal = Terminal::start(&program("kv-cli"), &place, (22, 86));
    let prompt = prompt(&server);
    terminal.wait_row(&prompt);
    for (line, answer) in [
        ("peek user:1", "visits"),
        ("5 incr hits", "(integer) 5"),
        ("lpush hits x", "(error)"),
        ("lrange user:1:orders 0 -1", "A-2"),
    ] {
        terminal.line(line);
        terminal.wait_for(answer);
        terminal.wait_row(&prompt);
    }
    terminal.keys("set greeting \"hello, world\" EX 60 ");
    terminal.wait("the hint", |_| terminal.row().ends_with("[NX | XX] [GET]"));
    picture("prompt", &terminal);
    let terminal = Terminal::start(
        &program("kv-cli"),
        &[&["top".to_owned(), "-i".into(), "0.2".into()], &place[..]].concat(),
        (30, 110),
    );
    // A picture for people shows more than a moment.
    let turns = if updates_docs() { 1500 } else { 20 };
    let mut turn = 0;
    wait_until("curves", || {
        (0..20 + turn % 300).for_each(|number| drop(client.ask(&["GET", &format!("session:{number}")])));
        turn += 1;
        turn > turns && terminal.text().matches('█').count() > 5
    });
    picture("top", &terminal);
}

fn updates_docs() -> bool {
    std::env::var_os("KV_UPDATE_DOCS").is_some()
}

fn picture(name: &str, terminal: &Terminal) {
    let picture = terminal.svg();
    assert!(picture.len() < 64 << 10 && picture.ends_with("</svg>\n"), "{} bytes", picture.len());
    if updates_docs() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pictures"));
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(format!("{name}.svg")), picture).unwrap();
    }
}
