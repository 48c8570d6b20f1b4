//! `kv-server [file] [--option value ...]`: see `kv-server --help`.

use kv_server::config::{Start, help_text, parse_args};
use kv_server::io::{Server, check_data};
use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    end_on_panic();
    match run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "kv-server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The status to exit with.
fn run() -> Result<u8, Box<dyn std::error::Error>> {
    let mut read_file = |path: &str| {
        if path == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) }
    };
    match parse_args(std::env::args().skip(1), &mut read_file)? {
        Start::Print(text) => std::io::stdout().write_all(&text)?,
        Start::Help => print!("{}", help_text()),
        Start::Version => println!("kv-server {}", env!("CARGO_PKG_VERSION")),
        Start::Check { dir, repair } => return Ok(check_data(&dir, repair)?),
        Start::Run { config, file } => {
            let server = Server::bind(*config, file)?;
            server.run(|line| {
                // A closed standard output must not keep the server from serving.
                let mut stdout = std::io::stdout();
                let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
            })?;
        }
    }
    Ok(0)
}

/// A panic on any thread ends the process: a worker that is gone, or shards in the wrong hands, must not look like a
/// server that answers.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        let last_words = "kv-server: this is a bug; the process ends because its data can no longer be trusted";
        let _ = writeln!(std::io::stderr(), "{last_words}");
        std::process::abort();
    }));
}
