//! External programs that tests need, and lines that tests print whether they pass or fail.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The path of an external program.
///
/// The environment variable `name` has the path or the name in `PATH`; otherwise `default` applies. If `SKIP_` + `name`
/// is set to a reason, prints a SKIPPED line and returns `None`.
///
/// # Panics
///
/// If the program does not exist: a check that cannot run has not passed.
pub fn tool(name: &str, default: &Path) -> Option<PathBuf> {
    if let Some(reason) = variable(&format!("SKIP_{name}")) {
        print(&format!("SKIPPED: {name}: {}", reason.display()));
        return None;
    }
    let wanted = variable(name).map_or_else(|| default.to_owned(), PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = match wanted.components().count() {
        1 => std::env::split_paths(&folders).map(|folder| folder.join(&wanted)).find(|path| path.is_file()),
        _ => Some(wanted.clone()).filter(|path| path.is_file()),
    };
    Some(found.unwrap_or_else(|| {
        panic!("{} not found: run the tests with tests/run, which installs it, or set {name}", wanted.display())
    }))
}

/// Prints a line immediately, also if the test passes.
fn print(line: &str) {
    // The test harness captures `eprintln`, but not standard error itself. One write, so that lines do not mix.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints a line, which tests/run repeats at its end: a measurement that no test checks, or a skipped check.
pub fn report(line: &str) {
    print(line);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reported");
    let file = File::options().create(true).append(true).open(file).expect("the target folder can be written");
    (&file).write_all(format!("{line}\n").as_bytes()).expect("the target folder can be written");
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
