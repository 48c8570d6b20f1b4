//! kv-cli: sends commands to a server and shows the replies, one at a time or from a prompt; shows what a server does;
//! moves all keys of a server into a file and back.
//!
//! ```text
//!   args        the command line              -> what is to be done
//!   connection  one connection                wire    the same with many requests at once
//!   format      replies as text               shape   replies as what they mean, for JSON
//!   run         one command                   prompt  one after the other, by a line editor
//!   modes       --stat, --latency, --bigkeys  top     a full screen
//!   transfer    export and import             rdb     dumps of Redis
//! ```
//!
//! Exit status: 0; 1 if a reply was an error; 2 if the options are wrong or the server cannot be reached (or was lost).

mod args;
mod connection;
mod format;
mod info;
mod modes;
mod progress;
mod prompt;
pub mod rdb;
mod run;
mod shape;
mod top;
pub mod transfer;
mod wire;

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
    let outcome = match &options.task {
        args::Task::Transfer(transfer) => return transfer::run(&options.target, transfer),
        args::Task::Mode(mode) => return modes::run(&options, mode),
        args::Task::Print(text) => show_text(text),
        args::Task::Command(command) => run::one_shot(&options, command),
        args::Task::Prompt => prompt::run(&options),
    };
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

fn show_text(text: &[u8]) -> Result<run::Errors, run::Failure> {
    use std::io::Write;
    std::io::stdout().write_all(text).map(|()| run::Errors::None).map_err(run::Failure::Output)
}
