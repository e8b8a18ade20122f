//! What a person sees who starts the daemon in a terminal.

use std::path::Path;
use std::process::Stdio;

use crate::daemon::{command, path_in};
use crate::terminal::Terminal;

/// What the daemon prints until it has printed the last command to run.
fn screen(folder: &Path) -> String {
    let terminal = Terminal::open();
    let mut daemon =
        command(folder).args(["--log.level=warn"]).stdin(Stdio::null()).stderr(terminal.stdio()).spawn().unwrap();
    let screen = terminal.read_until("secret show");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    screen
}

#[test]
fn terminal_shows_addresses_absolute_paths_and_whether_the_secret_was_generated() {
    let folder = tempfile::tempdir().unwrap();
    for origin in ["generated", "found"] {
        let screen = screen(folder.path());
        let line = |start: &str| {
            let found = screen.lines().find_map(|line| line.strip_prefix(start));
            found.unwrap_or_else(|| panic!("no {start:?} in {screen}")).trim_start()
        };
        assert!(
            line("webhook ").starts_with("http://127.0.0.1:") && line("webhook ").ends_with("/webhook"),
            "{screen}"
        );
        assert!(
            line("metrics ").starts_with("http://127.0.0.1:") && line("metrics ").ends_with("/metrics"),
            "{screen}"
        );
        assert_eq!(line("data folder "), path_in(folder.path(), "data"));
        assert_eq!(line("secret "), format!("{} ({origin})", path_in(folder.path(), "data/webhook-secret")));
        assert!(screen.contains(&format!("simulate --duration 10s --url {}", line("webhook "))), "{screen}");
    }
}
