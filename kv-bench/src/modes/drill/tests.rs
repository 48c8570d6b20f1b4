//! The drill against what a server could have left behind, against servers that keep nothing, and everything.

use std::net::TcpListener;

use super::*;

/// What the writes of a set leave behind.
fn left_by(writes: impl IntoIterator<Item = u64>) -> Found {
    let mut found = Found { slots: vec![None; SLOTS as usize], ..Found::default() };
    for write in writes {
        match write % 4 {
            2 => found.count += 1,
            3 => found.list.push(write),
            _ => found.slots[slot(write) as usize] = Some(write),
        }
    }
    found
}

#[test]
fn every_first_part_that_holds_what_was_acknowledged_is_right() {
    for acknowledged in [0, 1, 2, 3, 4, 5, 1000, 2001, 3002] {
        for more in 0..9 {
            let found = left_by(0..acknowledged + more);
            assert_eq!(
                found.compare(acknowledged + 8, acknowledged),
                Verdict { lost: 0, torn: false },
                "{acknowledged} {more}"
            );
        }
    }
}

#[test]
fn what_is_missing_at_the_end_is_lost_and_not_torn() {
    for missing in [1, 2, 3, 4, 7, 1500] {
        assert_eq!(left_by(0..2000 - missing).compare(2000, 2000), Verdict { lost: missing, torn: false }, "{missing}");
    }
    assert_eq!(left_by([]).compare(10, 10), Verdict { lost: 10, torn: false });
}

#[test]
fn a_hole_is_torn_and_lost_if_it_was_acknowledged() {
    for hole in [1996, 1997, 1998, 1999] {
        let found = left_by((0..2004).filter(|write| *write != hole));
        assert_eq!(found.compare(2004, 2004), Verdict { lost: 1, torn: true }, "{hole}");
    }
    // Unacknowledged: not lost, and still no state that a crash may leave.
    let found = left_by((0..2004).filter(|write| *write != 1999));
    assert_eq!(found.compare(2004, 1990), Verdict { lost: 0, torn: true });
}

#[test]
fn what_was_never_sent_is_torn() {
    assert!(left_by(0..100).compare(99, 50).torn);
    let mut twice = left_by(0..100);
    twice.list.push(99);
    assert!(twice.compare(200, 50).torn);
    let foreign = Found { foreign: true, ..left_by(0..4) };
    assert!(foreign.compare(4, 4).torn);
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn drill(command: String, rounds: u32) -> Drill {
    Drill { command, connections: 3, pipeline: 4, rounds, load: Duration::from_millis(300), seed: 5 }
}

/// The command of a Redis server of its own, with these options; None: there is none on this machine.
fn redis(port: u16, options: &str) -> Option<(String, tempfile::TempDir)> {
    if Command::new("redis-server").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "redis-server is not installed, and CI is set");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = line::quote(folder.path().to_str().unwrap().as_bytes());
    Some((format!("redis-server --port {port} --dir {dir} --save '' {options}"), folder))
}

#[test]
fn a_server_that_loses_what_it_acknowledged_is_caught() {
    let port = free_port();
    let Some((command, _folder)) = redis(port, "--appendonly no") else { return };
    let result = measure(&Server::local(port), &drill(command, 2), &mut |_| ()).unwrap();
    assert_eq!(result.rounds.len(), 2);
    assert!(result.acknowledged > 0);
    assert_eq!((result.lost, result.torn), (result.acknowledged, 0), "all of it is gone: {result:?}");
    assert!(verdict(&result).contains(&format!("{0} of {0} acknowledged writes lost in 2 kills", result.lost)));
    assert_eq!(csv(&result).lines().count(), 3);
}

#[test]
fn a_server_that_syncs_its_log_before_it_answers_loses_nothing() {
    let port = free_port();
    let Some((command, _folder)) = redis(port, "--appendonly yes --appendfsync always") else { return };
    let result = measure(&Server::local(port), &drill(command, 2), &mut |_| ()).unwrap();
    assert!(result.acknowledged > 0);
    assert_eq!((result.lost, result.torn), (0, 0), "{result:?}");
    assert!(full(&result).contains("0 lost"));
}

#[test]
fn a_command_that_starts_no_server_is_told() {
    let error = |command: &str| {
        let server = Server::local(free_port());
        format!("{:#}", measure(&server, &drill(command.to_owned(), 1), &mut |_| ()).unwrap_err())
    };
    assert!(error("/no/such/program").starts_with("could not start /no/such/program"));
    assert!(error("sh -c 'echo out of luck; exit 3'").contains("(exit status: 3): out of luck"));
    assert_eq!(error(""), "--drill: no command");
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let server = Server::local(listener.local_addr().unwrap().port());
    let taken = measure(&server, &drill("true".to_owned(), 1), &mut |_| ()).unwrap_err().to_string();
    assert!(taken.starts_with("something answers at"), "{taken}");
}
