//! Passes the commit and the compiler's version to the build, for `--version` and `build_info`.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    // Changes with every commit. Does not exist outside a Git checkout.
    let history = Path::new(".git/logs/HEAD");
    if history.exists() {
        println!("cargo::rerun-if-changed={}", history.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BUILD_REVISION");
    let given = env::var_os("BUILD_REVISION").and_then(|revision| revision.into_string().ok());
    let revision = given.or_else(|| first_line("git", &["rev-parse", "--short=12", "HEAD"]));
    let rustc = env::var_os("RUSTC").and_then(|rustc| first_line(rustc, &["--version"]));
    println!("cargo::rustc-env=BUILD_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=BUILD_RUSTC={}", rustc.as_deref().and_then(version).unwrap_or("unknown"));
}

/// `rustc 1.95.0 (59807616e 2026-04-14)` is version 1.95.0.
fn version(line: &str) -> Option<&str> {
    line.split_whitespace().nth(1)
}

fn first_line(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}
