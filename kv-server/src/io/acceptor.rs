//! The main thread: listeners, signals, and the steps to the end of the server.
//!
//! A new connection is refused with Redis's words when the server is full or protected, otherwise given to the worker
//! with the fewest.

use super::Shared;
use super::event_loop::NewConnection;
use super::machine::log;
use super::socket::Stream;
use super::stop::Ending;
use crate::config::{Config, StartError};
use crossbeam_channel::Sender;
use kv_core::resp::{Proto, Reply};
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook_mio::v1_0::Signals;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SIGNALS: Token = Token(usize::MAX);
/// Something about the end of the server has happened.
pub const STOP: Token = Token(usize::MAX - 1);
/// How long to leave the listeners alone when the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

enum Listener {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener, PathBuf),
}

pub struct Acceptor {
    poll: Poll,
    listeners: Vec<Listener>,
    signals: Signals,
    shared: Arc<Shared>,
    workers: Vec<Sender<NewConnection>>,
}

impl Acceptor {
    pub fn bind(
        config: &Config,
        poll: Poll,
        shared: Arc<Shared>,
        workers: Vec<Sender<NewConnection>>,
    ) -> Result<Acceptor, StartError> {
        let failed = |error: io::Error| StartError::option("bind", error.to_string());
        let mut listeners = Vec::new();
        if let Some(port) = config.tcp_port() {
            for address in config.listen_addresses() {
                match bind_tcp(address.host, port, config.tcp_backlog) {
                    Ok(bound) => listeners.extend(bound.into_iter().map(Listener::Tcp)),
                    Err(error) if address.optional && is_unavailable(&error) => {}
                    Err(error) => {
                        let what = if error.kind() == ErrorKind::AddrInUse { "port" } else { "bind" };
                        let text = format!("cannot listen on {}:{port}: {error}", address.host);
                        return Err(StartError::option(what, text));
                    }
                }
            }
        }
        if let Some(path) = &config.unixsocket {
            let listener = bind_unix(path, config.unixsocketperm).map_err(|error| {
                StartError::option("unixsocket", format!("cannot listen on {}: {error}", path.display()))
            })?;
            listeners.push(Listener::Unix(listener, path.clone()));
        }
        if listeners.is_empty() {
            return Err(StartError::option(
                "port",
                "there is nothing to listen on: port is 0 and no unixsocket is set",
            ));
        }
        for (i, listener) in listeners.iter_mut().enumerate() {
            match listener {
                Listener::Tcp(l) => poll.registry().register(l, Token(i), Interest::READABLE),
                Listener::Unix(l, _) => poll.registry().register(l, Token(i), Interest::READABLE),
            }
            .map_err(failed)?;
        }
        // Caught, so that a file which reaches a limit of its size is an error of writing to it, as when the disk is full.
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGXFSZ]).map_err(failed)?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE).map_err(failed)?;
        Ok(Acceptor { poll, listeners, signals, shared, workers })
    }

    pub fn port(&self) -> Option<u16> {
        self.listeners.iter().find_map(|l| match l {
            Listener::Tcp(l) => l.local_addr().ok().map(|a| a.port()),
            Listener::Unix(..) => None,
        })
    }

    pub fn addresses(&self) -> Vec<String> {
        let address = |l: &Listener| match l {
            Listener::Tcp(l) => l.local_addr().map_or_else(|_| "?".into(), |a| a.to_string()),
            Listener::Unix(_, path) => path.display().to_string(),
        };
        self.listeners.iter().map(address).collect()
    }

    /// Accepts connections until the server ends, by a signal or SHUTDOWN.
    pub fn run(&mut self, ending: &mut Ending) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        let mut timeout = None;
        loop {
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for signal in self.signals.pending().filter(|signal| *signal != SIGXFSZ) {
                ending.signal(signal);
            }
            if ending.step() {
                break;
            }
            timeout = None;
            // Who comes while the server tries to end waits: it may not be able to.
            if !ending.is_under_way() {
                for i in 0..self.listeners.len() {
                    if !self.accept_all(i) {
                        timeout = Some(PAUSE);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes what waits at a listener. False: no more can be taken for the moment.
    fn accept_all(&mut self, at: usize) -> bool {
        loop {
            let accepted = match &self.listeners[at] {
                Listener::Tcp(l) => l.accept().map(|(stream, peer)| self.tcp_connection(stream, peer)),
                Listener::Unix(l, path) => l.accept().map(|(stream, _)| {
                    let path = path.display().to_string();
                    let peer = format!("{path}:0");
                    Some(NewConnection { stream: Stream::Unix(stream), local: peer.clone(), peer, unix_socket: true })
                }),
            };
            match accepted {
                Ok(Some(new)) => self.hand_over(new),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    log(&format!("a connection could not be taken: {error}"));
                    return false;
                }
            }
        }
    }

    /// Prepares a TCP connection; `None` when it was refused.
    fn tcp_connection(&self, mut stream: mio::net::TcpStream, peer: SocketAddr) -> Option<NewConnection> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.shared.protected.load(Relaxed) && !peer.ip().to_canonical().is_loopback() {
            let _ = stream.write(&refusal(
                "DENIED kv is running in protected mode: no password is set, so only clients on this machine are let \
                in. To let others in, set a password (option requirepass), or switch the mode off (protected-mode no) \
                when the network is safe.",
            ));
            return None;
        }
        let _ = stream.set_nodelay(true);
        let keepalive = self.shared.keepalive.load(Relaxed) as u64;
        if keepalive > 0 {
            let times = TcpKeepalive::new()
                .with_time(Duration::from_secs(keepalive))
                .with_interval(Duration::from_secs((keepalive / 3).max(1)))
                .with_retries(3);
            let _ = SockRef::from(&stream).set_tcp_keepalive(&times);
        }
        let local = stream.local_addr().map_or_else(|_| "?:0".into(), |a| a.to_string());
        Some(NewConnection { stream: Stream::Tcp(stream), peer: peer.to_string(), local, unix_socket: false })
    }

    fn hand_over(&mut self, mut new: NewConnection) {
        let net = &self.shared.net;
        let open: usize = (0..net.workers()).map(|w| net.connections(w)).sum();
        if open >= self.shared.connections_max.load(std::sync::atomic::Ordering::Relaxed) {
            net.reject();
            let _ = new.stream.write(&refusal("ERR max number of clients reached"));
            return;
        }
        let worker = (0..net.workers()).min_by_key(|&w| net.connections(w)).expect("there is a worker");
        net.add_connection(worker);
        if self.workers[worker].send(new).is_ok() {
            net.wake(worker);
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        for listener in &self.listeners {
            if let Listener::Unix(_, path) = listener {
                // The file is ours; if somebody took it away already, so be it.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Whether an address simply does not exist on this machine (an optional one is passed over then).
fn is_unavailable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported | ErrorKind::NotFound)
}

fn bind_tcp(host: &str, port: u16, backlog: u32) -> io::Result<Vec<mio::net::TcpListener>> {
    let host = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    let mut bound = Vec::new();
    for address in (host, port).to_socket_addrs()? {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog.min(i32::MAX as u32) as i32)?;
        socket.set_nonblocking(true)?;
        bound.push(mio::net::TcpListener::from_std(socket.into()));
    }
    Ok(bound)
}

fn bind_unix(path: &Path, permissions: u32) -> io::Result<mio::net::UnixListener> {
    // A socket left behind by a server that was killed is in the way; anything else is not ours to remove.
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket())
        && std::os::unix::net::UnixStream::connect(path).is_err()
    {
        std::fs::remove_file(path)?;
    }
    let listener = mio::net::UnixListener::bind(path)?;
    if permissions != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(permissions))?;
    }
    Ok(listener)
}

/// What a connection is told that is closed before it could ask for anything.
fn refusal(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Reply::new(&mut out, Proto::Resp2).error(text);
    out
}
