//! The command: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    puerto::cli::main(std::env::args_os().collect())
}
