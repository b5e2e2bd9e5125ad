//! Runs the program as its users do.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with a configuration in it whose sockets live there too.
pub fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let run_dir = home.path().join("run");
    std::fs::create_dir(&run_dir).unwrap();
    let configuration = format!(
        "hostname = \"mail.example.com\"\ndomains = [\"example.com\"]\nrun_dir = {run_dir:?}\n"
    );
    std::fs::write(home.path().join("puerto.toml"), configuration).unwrap();
    home
}

/// The program, with the configuration of `home`.
pub fn puerto(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_puerto"));
    command.args(arguments).env("PUERTO_CONFIG", home.join("puerto.toml")).env_remove("NAME");
    command
}

/// Runs a command with this input and waits for its end.
pub fn run(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that ends early closes the pipe; its exit code says why.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The exit code.
pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// What was said on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What was said on stdout.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
