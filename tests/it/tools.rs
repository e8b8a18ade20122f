//! Programs that tests need and that do not come with the toolchain; what tests tell whoever runs them.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A program, unless the one who runs the tests has said why it cannot be had.
///
/// Looks in the variable `name`, then for `default`: a path, or a name in `PATH`. With `SKIP_` and the
/// name set, the answer is `None`, and the reason is told loudly.
///
/// # Panics
///
/// When the program is not there and nobody has said so: a check that cannot run has not passed.
pub fn tool(name: &str, default: &Path) -> Option<PathBuf> {
    if let Some(reason) = variable(&format!("SKIP_{name}")) {
        tell(&format!("SKIPPED: {name}: {}", reason.display()));
        return None;
    }
    let wanted = variable(name).map_or_else(|| default.to_owned(), PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = match wanted.components().count() {
        1 => std::env::split_paths(&folders).map(|folder| folder.join(&wanted)).find(|path| path.is_file()),
        _ => Some(wanted.clone()).filter(|path| path.is_file()),
    };
    Some(found.unwrap_or_else(|| {
        panic!("{} is not there: run the tests with tests/run, which installs it, or set {name}", wanted.display())
    }))
}

/// Tells whoever runs the tests at once, whether they pass or fail.
pub fn tell(line: &str) {
    // Standard error itself, which the test harness does not hold back. In one piece: others tell something too.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// The same, and tests/run tells it again at its end: a figure that nobody judges, or what this machine cannot check.
pub fn report(line: &str) {
    tell(line);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reported");
    let file = File::options().create(true).append(true).open(file).expect("the target folder can be written");
    (&file).write_all(format!("{line}\n").as_bytes()).expect("the target folder can be written");
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
