//! The binary: runs the command that the arguments name, and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    stream_live_exporter::cli::run()
}
