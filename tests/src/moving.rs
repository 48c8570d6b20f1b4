//! kv-cli as its users run it, without a terminal.

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

/// Runs kv-cli on a server, with the options of the connection in front: what follows may be a command.
pub fn ask(server: &dyn Reached, words: &[&str], input: &[u8]) -> Ran {
    let args: Vec<String> = server.place().into_iter().chain(words.iter().map(|word| word.to_string())).collect();
    run_cli(&args, input)
}

/// Runs kv-cli on a server, with the options of the connection at the end.
pub fn cli(server: &dyn Reached, words: &[&str], input: &[u8]) -> Ran {
    let args: Vec<String> = words.iter().map(|word| word.to_string()).chain(server.place()).collect();
    run_cli(&args, input)
}

fn run_cli(args: &[String], input: &[u8]) -> Ran {
    let output = run(program("kv-cli"), args, input);
    let err = String::from_utf8(output.stderr).expect("messages are text");
    Ran { status: output.status.code(), out: output.stdout, err }
}
