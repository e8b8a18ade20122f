//! The commands `inputs list`, `inputs forget` and `inputs set`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::authority::Authority;
use crate::corrections::{CHAPEL, MAIN, connect, connected, corrections};
use crate::daemon::{Daemon, Ran, ran, run};
use crate::web_config::{TLS, user};

fn inputs(daemon: &Daemon, folder: &Path, arguments: &[&str]) -> Ran {
    let url = daemon.private.replace("0.0.0.0", "127.0.0.1");
    run(folder, &[&["inputs"], arguments, &["--url", &url]].concat())
}

#[test]
fn password_file_that_is_no_password_is_refused_and_a_readable_one_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let list = |content: &[u8], mode: u32| {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        // Nothing listens there.
        run(
            folder.path(),
            &["inputs", "list", "--url", "http://127.0.0.1:1", "--user", "anna", "--password-file", "password"],
        )
    };
    let long = vec![b'x'; 2000];
    for content in [&b""[..], b"\r\n", b"a\nb", b"a\0b", b"\xef\xbb\xbfhunter2", b"\xffhunter2", &long] {
        let ran = list(content, 0o600);
        check(&ran, 1, "password");
        assert!(!ran.stderr.contains("127.0.0.1:1") && !ran.stderr.contains("hunter2"), "{ran:?}");
    }
    let endless = ["inputs", "list", "--url", "http://127.0.0.1:1", "--user", "anna", "--password-file", "/dev/zero"];
    check(&run(folder.path(), &endless), 1, "/dev/zero");
    for (mode, warned) in [(0o600, false), (0o604, true)] {
        let ran = list(" h\u{fc}nter 2 \n".as_bytes(), mode);
        check(&ran, 1, "http://127.0.0.1:1");
        assert_eq!(ran.stderr.contains("0604"), warned, "{ran:?}");
    }
}

/// Exit code, and whether standard output or standard error has this text.
fn check(ran: &Ran, code: i32, text: &str) {
    let output = if code == 0 { &ran.stdout } else { &ran.stderr };
    assert!(ran.code == Some(code) && output.contains(text), "{text}: {ran:?}");
}

fn ids(list: &Ran) -> Vec<String> {
    assert_eq!((list.code, list.stderr.as_str()), (Some(0), ""));
    let list: Value = serde_json::from_str(&list.stdout).unwrap();
    list["inputs"].as_array().unwrap().iter().map(|input| input["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn input_that_was_deleted_at_cloudflare_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    connect(&daemon, CHAPEL);
    check(&inputs(&daemon, folder.path(), &["forget", MAIN, "--reason", "deleted"]), 0, MAIN);
    check(&inputs(&daemon, folder.path(), &["forget", MAIN]), 0, MAIN);
    assert_eq!((connected(&daemon, MAIN), connected(&daemon, CHAPEL)), (None, Some(1.0)));
    assert_eq!(ids(&inputs(&daemon, folder.path(), &["list", "--json"])), [CHAPEL]);
    assert_eq!(corrections(folder.path()).iter().map(|one| one["reason"].clone()).collect::<Vec<_>>(), ["deleted"]);
}

#[test]
fn inputs_of_a_simulation_are_forgotten_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let simulated = run(
        folder.path(),
        &["simulate", "--url", &daemon.webhook, "--inputs=3", "--rate=300", "--duration=300ms", "--scenario=steady"],
    );
    assert_eq!(simulated.code, Some(0), "{simulated:?}");
    let phantoms = ids(&inputs(&daemon, folder.path(), &["list", "--json"]));
    assert!(!phantoms.is_empty());
    for phantom in &phantoms {
        check(&inputs(&daemon, folder.path(), &["forget", phantom]), 0, phantom);
    }
    assert_eq!(ids(&inputs(&daemon, folder.path(), &["list", "--json"])), [""; 0]);
    assert_eq!(daemon.samples("cloudflare_stream_live_input_info").len(), 0);
}

#[test]
fn state_is_set_in_both_directions_and_repeating_it_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    for (state, value, records) in
        [("connected", 1.0, 0), ("disconnected", 0.0, 1), ("disconnected", 0.0, 1), ("connected", 1.0, 2)]
    {
        check(&inputs(&daemon, folder.path(), &["set", MAIN, state]), 0, state);
        assert_eq!((connected(&daemon, MAIN), corrections(folder.path()).len()), (Some(value), records), "{state}");
    }
}

#[test]
fn table_has_a_line_for_each_input() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    connect(&daemon, CHAPEL);
    let Ran { code, stdout, stderr } = inputs(&daemon, folder.path(), &["list"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let lines: Vec<Vec<_>> = stdout.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let time = "2026-11-20T18:00:00Z";
    assert_eq!(lines, [MAIN, CHAPEL].map(|id| vec![id, "connected", time, time, "no", "-", "-"]));
}

#[test]
fn problems_have_exit_code_1_and_wrong_arguments_2() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    check(&inputs(&daemon, folder.path(), &["forget", CHAPEL]), 1, "404");
    check(&inputs(&daemon, folder.path(), &["set", CHAPEL, "connected"]), 1, "404");
    check(&inputs(&daemon, folder.path(), &["forget", MAIN, "--reason", "a\nb"]), 1, "400");
    check(&inputs(&daemon, folder.path(), &["forget", "main"]), 2, "main");
    check(&inputs(&daemon, folder.path(), &["set", MAIN, "errored"]), 2, "errored");
    check(&inputs(&daemon, folder.path(), &["list", "--user", "anna"]), 2, "--password-file");
    check(&inputs(&daemon, folder.path(), &["list", "--offline"]), 2, "--offline");
    check(&run(folder.path(), &["inputs", "list", "--url", "127.0.0.1:1"]), 2, "--url");
    let url = daemon.private.clone();
    assert!(daemon.stop().success());
    check(&run(folder.path(), &["inputs", "list", "--url", &url]), 1, &url);
}

#[test]
fn journal_of_a_stopped_daemon_is_corrected_offline_and_that_of_a_running_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let offline = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
        command.current_dir(folder.path()).arg("inputs").args(arguments).arg("--offline");
        ran(command.env("SUDO_USER", "anna"))
    };
    check(&offline(&["list"]), 1, "data");
    check(&offline(&["forget", MAIN]), 1, "data");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is created");
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    connect(&daemon, CHAPEL);
    for arguments in [&["list"][..], &["forget", MAIN], &["set", MAIN, "disconnected"]] {
        check(&offline(arguments), 1, "in use");
    }
    assert_eq!(corrections(folder.path()).len(), 0);
    assert!(daemon.stop().success());

    assert_eq!(ids(&offline(&["list", "--json"])), [MAIN, CHAPEL]);
    check(&offline(&["forget", MAIN, "--reason", "a\nb"]), 1, "one line");
    for _ in 0..2 {
        check(&offline(&["set", MAIN, "disconnected", "--reason", "off"]), 0, "disconnected");
        check(&offline(&["forget", CHAPEL]), 0, CHAPEL);
    }
    check(&offline(&["set", CHAPEL, "connected"]), 1, CHAPEL);
    assert_eq!(ids(&offline(&["list", "--json"])), [MAIN]);
    let recorded = corrections(folder.path());
    let fields =
        recorded.iter().map(|one| ["to", "user", "reason"].map(|field| one[field].as_str().map(str::to_owned)));
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        fields.collect::<Vec<_>>(),
        [
            [text("disconnected"), text("anna (offline)"), text("off")],
            [text("forgotten"), text("anna (offline)"), None],
        ]
    );
    let daemon = Daemon::start(folder.path());
    assert_eq!((connected(&daemon, MAIN), connected(&daemon, CHAPEL)), (Some(0.0), None));
    assert_eq!(run(folder.path(), &["journal", "verify"]).code, Some(0));
}

#[test]
fn command_reaches_a_listener_with_tls_users_and_client_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.identity("127.0.0.1", 2040).write(folder.path());
    authority.identity("operator", 2040).write_as(folder.path(), "client");
    fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    fs::write(folder.path().join("password"), "its password\n").unwrap();
    fs::write(folder.path().join("wrong"), "hunter2\n").unwrap();
    let web_config = format!(
        "{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}}\nbasic_auth_users: {{{}}}",
        user("anna", "its password")
    );
    fs::write(folder.path().join("web.yml"), web_config).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--web.config.file=web.yml"]);
    connect(&daemon, MAIN);
    // The URL follows from the configuration.
    let flags = [format!("--web.listen-address={}", daemon.private_address()), "--web.config.file=web.yml".to_owned()];
    let set = |arguments: &[&str]| {
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        run(folder.path(), &[&flags[..], &["inputs", "set", MAIN, "disconnected"], arguments].concat())
    };
    let (ca, certificate) = (["--ca-file", "ca.crt"], ["--cert-file", "client.crt", "--key-file", "client.key"]);
    let credentials = ["--user", "anna", "--password-file", "password"];
    let url = format!("https://{}", daemon.private_address());
    check(&set(&[&ca[..], &certificate].concat()), 1, "401");
    let wrong = set(&[&ca[..], &certificate, &["--user", "anna", "--password-file", "wrong"]].concat());
    check(&wrong, 1, "401");
    assert!(!wrong.stderr.contains("hunter2"), "{wrong:?}");
    check(&set(&[&ca[..], &credentials].concat()), 1, &url);
    check(&set(&[&certificate[..], &credentials].concat()), 1, &url);
    check(&set(&[&ca[..], &certificate, &["--user", "anna", "--password-file", "missing"]].concat()), 1, "missing");
    check(&set(&[&["--ca-file", "password"][..], &certificate, &credentials].concat()), 1, "password");
    assert_eq!(corrections(folder.path()).len(), 0);
    check(&set(&[&ca[..], &certificate, &credentials].concat()), 0, "disconnected");
    let users: Vec<_> = corrections(folder.path()).iter().map(|one| one["user"].clone()).collect();
    assert_eq!(users, ["anna"]);
}
