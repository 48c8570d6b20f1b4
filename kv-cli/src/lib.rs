//! kv-cli: sends commands to a server and shows the replies, one at a time or from a prompt; moves all keys of a server
//! into a file and back.
//!
//! Exit status: 0; 1 if a reply was an error; 2 if the options are wrong or the server cannot be reached (or was lost).

mod args;
mod connection;
mod editor;
mod format;
mod help;
pub mod rdb;
mod repl;
mod run;
pub mod transfer;

use std::process::ExitCode;

/// The whole program.
pub fn main() -> ExitCode {
    let options = match args::Options::from_command_line() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("kv-cli: {problem}");
            return ExitCode::from(2);
        }
    };
    if let Some(transfer) = &options.transfer {
        return transfer::run(&options.target, transfer);
    }
    let outcome = if options.command.is_empty() { repl::run(&options) } else { run::one_shot(&options) };
    match outcome {
        Ok(run::Errors::None) => ExitCode::SUCCESS,
        Ok(run::Errors::Some) => ExitCode::from(1),
        // Whoever reads our output has enough; `kv-cli keys '*' | head` is no failure to speak of.
        Err(run::Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(2),
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}
