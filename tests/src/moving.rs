//! kv-cli as its users run it, to move keys between servers.

use crate::process::{Server, program, run};
use crate::redis::Redis;

/// How kv-cli reaches a server.
pub trait Reached {
    fn place(&self) -> Vec<String>;
}

impl Reached for Server {
    fn place(&self) -> Vec<String> {
        vec!["-p".into(), self.address().port().to_string()]
    }
}

impl Reached for Redis {
    fn place(&self) -> Vec<String> {
        vec!["-s".into(), self.socket().display().to_string()]
    }
}

/// How kv-cli ended.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

/// Runs kv-cli on a server.
pub fn cli(server: &dyn Reached, words: &[&str], input: &[u8]) -> Ran {
    let args: Vec<String> = words.iter().map(|word| word.to_string()).chain(server.place()).collect();
    let output = run(program("kv-cli"), &args, input);
    let err = String::from_utf8(output.stderr).expect("messages are text");
    Ran { status: output.status.code(), out: output.stdout, err }
}
