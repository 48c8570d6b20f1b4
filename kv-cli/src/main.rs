//! The program; all of it is in the library, which fuzzing and benchmarks can reach.

fn main() -> std::process::ExitCode {
    kv_cli::main()
}
