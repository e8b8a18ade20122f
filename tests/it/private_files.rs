//! Modes of files and folders: other users of the host must not read the journal.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::daemon::{Daemon, command, fixture, path_in, ran, run};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Checks that only the owner can access each file of the journal in the folder. Returns their names.
fn check_files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("journal.") {
            assert_eq!(mode(&entry.path()), 0o600, "{name}");
            names.push(name);
        }
    }
    names.sort();
    names
}

/// The command, run with this umask.
fn with_umask(command: &Command, umask: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask} && exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().expect("it has a folder"));
    shell
}

/// The modes of folders that were warned about.
fn warnings(daemon: &Daemon) -> Vec<String> {
    let lines = daemon.log().into_iter().filter(|line| {
        line["level"] == "WARN" && line["folder"].as_str().is_some_and(|folder| folder.ends_with("/data"))
    });
    lines.map(|line| line["mode"].as_str().expect("a mode").to_owned()).collect()
}

#[test]
fn files_of_the_journal_are_private_whatever_the_umask_and_the_folder() {
    for (umask, folder_mode, warned) in [
        ("000", None, &[][..]),
        ("022", Some(0o755), &["0755"]),
        ("777", Some(0o750), &[]),
        ("077", Some(0o777), &["0777"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        if let Some(mode) = folder_mode {
            fs::create_dir(&data).unwrap();
            fs::set_permissions(&data, Permissions::from_mode(mode)).unwrap();
        }
        let daemon = Daemon::spawn(with_umask(&command(folder.path()), umask), folder.path());
        assert_eq!(daemon.post(&fixture("connected")).status, 200);
        assert_eq!(run(folder.path(), &["journal", "export"]).code, Some(0));
        let names = check_files(&data);
        for name in ["journal.db", "journal.db-wal", "journal.db-shm", "journal.lock", "journal.reserve"] {
            assert!(names.contains(&name.to_owned()), "no {name} in {names:?}");
        }
        assert_eq!(warnings(&daemon), warned, "{folder_mode:?}");
        let journal = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
            command.current_dir(folder.path()).arg("journal").args(arguments);
            let done = ran(&mut with_umask(&command, umask));
            assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        };
        journal(&["backup", "copy"]);
        assert!(daemon.stop().success());
        journal(&["salvage", "new"]);
        for made in ["copy", "new"] {
            assert_eq!(mode(&folder.path().join(made)), 0o700, "{made}");
            check_files(&folder.path().join(made));
        }
    }
}

#[test]
fn existing_files_that_others_can_read_are_made_private() {
    let folder = tempfile::tempdir().unwrap();
    Daemon::start(folder.path()).kill();
    let data = folder.path().join("data");
    let files = check_files(&data);
    for name in &files {
        fs::set_permissions(data.join(name), Permissions::from_mode(0o644)).unwrap();
    }
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.post(&fixture("connected")).status, 200);
    check_files(&data);
    let log = daemon.log();
    for name in ["journal.db", "journal.db-wal", "journal.db-shm", "journal.lock"] {
        assert!(files.iter().any(|file| file == name), "no {name} in {files:?}");
        let file = path_in(&data, name);
        assert!(log.iter().any(|line| line["level"] == "WARN" && line["file"] == file), "no warning of {file}");
    }
}
