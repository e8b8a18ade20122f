//! `secret`: who gets to see the webhook secrets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::daemon::{Daemon, Ran, fixture, ran, run};
use crate::terminal::run_in_terminal;

const CURRENT: &str = "current-0123456789abcdef";
const NEXT: &str = "next with blanks = 0123456789";

fn show(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder).args(["secret", "show"]).args(arguments);
    command
}

/// A command with two secrets: of a file and of a variable.
fn show_two(folder: &Path, arguments: &[&str]) -> Command {
    fs::write(folder.join("current"), format!("{CURRENT}\n")).unwrap();
    let mut command = show(folder, arguments);
    command.arg("--webhook.secret-file=current=current").env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__NEXT", NEXT);
    command
}

#[test]
fn secret_is_printed_only_to_a_terminal_or_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let line = format!("{}\n", daemon.secret());
    let refused = ran(&mut show(folder.path(), &[]));
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(refused.stderr.contains("--print") && !refused.stderr.contains(daemon.secret()), "{}", refused.stderr);
    let printed = ran(&mut show(folder.path(), &["--print"]));
    assert_eq!(printed, Ran { code: Some(0), stdout: line.clone(), stderr: String::new() });
    assert_eq!(run_in_terminal(show(folder.path(), &[])), (line, Some(0)));
}

#[test]
fn several_secrets_are_printed_with_their_names_and_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let printed = |arguments: &[&str]| ran(&mut show_two(folder.path(), &[&["--print"], arguments].concat()));
    let all = printed(&[]);
    let secrets: BTreeMap<&str, &str> = all.stdout.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!((all.code, secrets), (Some(0), [("current", CURRENT), ("next", NEXT)].into()));
    for (name, secret) in [("current", CURRENT), ("next", NEXT)] {
        assert_eq!(printed(&[name]), Ran { code: Some(0), stdout: format!("{secret}\n"), stderr: String::new() });
    }
    let unknown = printed(&["previous"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(1), ""));
    assert!(unknown.stderr.contains("current") && !unknown.stderr.contains(CURRENT), "{}", unknown.stderr);
}

#[test]
fn missing_secret_is_an_error_with_its_absolute_path_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = ran(&mut show(folder.path(), &["--print"]));
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(1), ""));
    let file = folder.path().join("data/webhook-secret");
    assert!(missing.stderr.contains(file.to_str().unwrap()), "{}", missing.stderr);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn new_secret_is_accepted_by_the_daemon_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let new = || run(folder.path(), &["secret", "new"]);
    let (Ran { code, stdout, stderr }, other) = (new(), new());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let secret = stdout.strip_suffix('\n').unwrap();
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
    assert_ne!(stdout, other.stdout);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(folder.path().join("new"), &stdout).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--webhook.secret-file=new=new"]);
    assert_eq!(daemon.post_with(secret, &fixture("connected")).status, 200);
}

#[test]
fn configuration_flags_are_accepted_by_show_and_rejected_by_new() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    fs::write(folder.path().join("elsewhere/webhook-secret"), CURRENT).unwrap();
    for arguments in [
        ["--storage.path=elsewhere", "secret", "show", "--print"],
        ["secret", "show", "--print", "--storage.path=elsewhere"],
    ] {
        assert_eq!(run(folder.path(), &arguments).stdout, format!("{CURRENT}\n"));
    }
    for arguments in [["--storage.path=elsewhere", "secret", "new"], ["secret", "new", "--storage.path=elsewhere"]] {
        let rejected = run(folder.path(), &arguments);
        assert_eq!((rejected.code, rejected.stdout.as_str()), (Some(2), ""), "{arguments:?}");
    }
}
