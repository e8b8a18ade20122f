//! The binary: arguments to command to exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    stream_live_exporter::cli::run()
}
