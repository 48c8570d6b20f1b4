//! A server of a few lines for the tests.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};

use kv_core::resp::client::{ReplyDecoder, Value};

use crate::server::Server;

/// Answers each request with what `answer` makes of its number and arguments, a few bytes at a time; `None` hangs up. INFO
/// is refused and not counted: whoever watches is no part of the load.
pub fn serve(answer: impl Fn(u64, &[Value]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let answer = &answer;
        let seen = &AtomicU64::new(0);
        std::thread::scope(|scope| {
            for stream in listener.incoming() {
                scope.spawn(move || {
                    let mut stream = stream.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut requests = ReplyDecoder::default();
                    let mut buffer = [0; 4096];
                    while let Ok(len @ 1..) = stream.read(&mut buffer) {
                        requests.feed(&buffer[..len]);
                        while let Some(Value::Array(args)) = requests.next_value().unwrap() {
                            if args[0].bytes() == Some(b"INFO") {
                                stream.write_all(b"-ERR unknown command\r\n").unwrap();
                                continue;
                            }
                            let Some(reply) = answer(seen.fetch_add(1, Ordering::Relaxed), &args) else { return };
                            for part in reply.chunks(7) {
                                if stream.write_all(part).is_err() {
                                    return;
                                }
                            }
                        }
                    }
                });
            }
        });
    });
    Server::local(port)
}
