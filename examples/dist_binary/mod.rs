//! The binary that the examples measure.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

/// Builds the binary as it is released. Returns its path.
pub fn build() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut build = Command::new(cargo);
    build.args([
        "build",
        "--profile",
        "dist",
        "--bin",
        env!("CARGO_PKG_NAME"),
        "--message-format=json-render-diagnostics",
    ]);
    let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the binary cannot be built");
    let messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let mut executables = messages.filter_map(|message: Value| message["executable"].as_str().map(PathBuf::from));
    executables.next_back().context("cargo did not report the path of the binary")
}
