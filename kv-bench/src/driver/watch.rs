//! Watches the server while it is loaded: its CPU time, its memory, and what it does in the background.
//!
//! CPU time is what the kernel's scheduler counted for the server's threads (/proc/PID/task/*/schedstat, in nanoseconds) when
//! the server runs on this machine and its INFO tells a process that has used as much CPU as INFO says; else INFO's
//! used_cpu, whose steps are coarser. What children used (a fork that saves) is added from INFO once they have ended.
//! A server without INFO is not watched.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Shared;
use crate::clock::now;
use crate::server::{Client, Info, Server};

/// How often the server is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// A server that does not answer INFO for so long is asked again later, on another connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server at a moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// Nanoseconds since the end of the warm-up.
    pub at_ns: u64,
    /// CPU time used so far, of all threads and ended children.
    pub cpu_ns: Option<u64>,
    /// From the kernel's scheduler instead of INFO.
    pub cpu_exact: bool,
    pub info: Info,
}

pub struct Watched {
    server: Server,
    client: Option<Client>,
    process: Option<u32>,
}

impl Watched {
    /// Connects; a server that cannot be watched is none.
    pub fn new(server: &Server) -> Watched {
        let mut watched = Watched { server: server.clone(), client: None, process: None };
        if let Some(info) = watched.ask() {
            watched.process = local_process(server, &info);
        } else {
            watched.client = None;
        }
        watched
    }

    fn ask(&mut self) -> Option<Info> {
        if self.client.is_none() {
            let client = self.server.connect().ok()?;
            client.patience(PATIENCE).ok()?;
            self.client = Some(client);
        }
        let info = self.client.as_mut()?.info();
        if info.is_err() {
            self.client = None;
        }
        info.ok().flatten()
    }

    fn look(&mut self, shared: &Shared) -> Option<Look> {
        let info = self.ask()?;
        let exact = self.process.and_then(process_cpu_ns);
        let at_ns = shared.clock.now_ns().saturating_sub(shared.measure_ns);
        let own = exact.or_else(|| info.cpu_ns(""));
        let cpu_ns = own.map(|own| own + info.cpu_ns("_children").unwrap_or(0));
        Some(Look { at_ns, cpu_ns, cpu_exact: exact.is_some(), info })
    }

    /// Looks when measuring begins, then every second, then once more when the other end of `finish` is gone.
    pub(super) fn watch(mut self, shared: &Shared, finish: &Receiver<()>, give: &dyn Fn(Look)) {
        if self.client.is_none() {
            return;
        }
        let mut next = now() + Duration::from_nanos(shared.measure_ns.saturating_sub(shared.clock.now_ns()));
        loop {
            let wait = next.saturating_duration_since(now());
            let over = finish.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
            if let Some(look) = self.look(shared) {
                give(look);
            }
            if over || shared.stop.load(Ordering::Relaxed) {
                return;
            }
            next += INTERVAL;
        }
    }
}

/// The server's process, if it is one of this machine that can be looked at.
fn local_process(server: &Server, info: &Info) -> Option<u32> {
    let process = info.number("process_id").filter(|_| server.is_local())? as u32;
    // Within a container the same number may be another process: it would have used other CPU.
    let told = info.cpu_ns("")? as f64;
    let counted = process_cpu_ns(process)? as f64;
    let close = (told - counted).abs() < 0.05 * told + 5e8;
    close.then_some(process)
}

fn process_cpu_ns(process: u32) -> Option<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let Ok(text) = std::fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue }; // a thread ended
        sum += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_a_process_grows_with_its_work() {
        let own = std::process::id();
        let before = process_cpu_ns(own).unwrap();
        let mut sum = 0u64;
        while process_cpu_ns(own).unwrap() == before {
            sum = sum.wrapping_add((0..1_000_000u64).fold(sum, |a, b| a ^ b.wrapping_mul(a)));
        }
        assert!(process_cpu_ns(own).unwrap() > before, "{sum}");
        assert_eq!(process_cpu_ns(u32::MAX), None);
    }

    #[test]
    fn only_a_process_of_this_machine_that_used_as_much_cpu_is_taken_for_the_server() {
        let server = |host: &str| Server { host: host.to_owned(), ..Server::local(1) };
        let used = process_cpu_ns(std::process::id()).unwrap() as f64 / 1e9;
        let info = |cpu: f64| {
            let text =
                format!("# CPU\r\nprocess_id:{}\r\nused_cpu_user:{cpu}\r\nused_cpu_sys:0.0\r\n", std::process::id());
            Info::parse(&text)
        };
        assert_eq!(local_process(&server("127.0.0.1"), &info(used)), Some(std::process::id()));
        assert_eq!(local_process(&server("127.0.0.1"), &info(used + 1000.0)), None);
        assert_eq!(local_process(&server("192.0.2.1"), &info(used)), None);
        assert_eq!(local_process(&server("localhost"), &Info::default()), None);
    }
}
