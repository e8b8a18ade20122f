//! What `check-config`, a start and a reload say about a configuration, and which flags each command has.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::authority::Authority;
use crate::daemon::{Daemon, Ran, command, fixture, path_in, ran, run};

const SECRET: &str = "0123456789abcdef0123456789abcdef\n";
const FAILED: &str = "reload failed: the previous configuration stays in force";
const GENERATED: &str = "new webhook secret generated";
/// Addresses that the system chooses.
const ANY_PORTS: [&str; 2] = ["--webhook.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"];

fn binary(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder).args(arguments);
    command
}

fn write_private(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A folder with usable and unusable files.
fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    Authority::new().identity("127.0.0.1", 2040).write(folder.path());
    Authority::new().identity("127.0.0.1", 2040).write_as(folder.path(), "other");
    for (file, content) in [
        ("good", SECRET),
        ("two-lines", "one\ntwo\n"),
        ("blank", " s3cret-s3cret-s3cret\n"),
        ("file", ""),
        ("web.yml", "basic_auth_users: {a: b}"),
    ] {
        write_private(&path(file), content);
    }
    symlink(path("nowhere"), path("link")).unwrap();
    fs::create_dir(path("linked")).unwrap();
    symlink(path("nowhere"), path("linked/webhook-secret")).unwrap();
    fs::create_dir(path("foreign")).unwrap();
    fs::write(path("foreign/journal.db"), "not a database, but long enough to have a header".repeat(100)).unwrap();
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
    for key in ["p521.pem", "rsa1024.pem", "p256-encrypted.pem"] {
        fs::copy(keys.join(key), path(key)).unwrap();
    }
    folder
}

/// Variables that stop a start, and what the error begins with.
const UNUSABLE: &[(&[(&str, &str)], &str)] = &[
    (&[("WEBHOOK__SECRET_FILES__A", "missing")], "missing: "),
    (&[("WEBHOOK__SECRET_FILES__A", "two-lines")], "two-lines: "),
    (&[("WEBHOOK__SECRET_FILES__A", "blank")], "blank: "),
    (&[("WEBHOOK__SECRET_FILES__A", "link")], "link: "),
    (&[("WEBHOOK__SECRETS__A", "s3cret ")], "STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__A: "),
    (&[("STORAGE__PATH", "linked")], "linked/webhook-secret: "),
    (&[("WEBHOOK__TLS_CERT_FILE", "missing"), ("WEBHOOK__TLS_KEY_FILE", "tls.key")], "webhook.tls_cert_file"),
    (&[("WEBHOOK__TLS_CERT_FILE", "tls.crt"), ("WEBHOOK__TLS_KEY_FILE", "other.key")], "webhook.tls_cert_file"),
    (&[("WEBHOOK__TLS_CERT_FILE", "tls.crt"), ("WEBHOOK__TLS_KEY_FILE", "p521.pem")], "webhook.tls_cert_file"),
    (&[("WEBHOOK__TLS_CERT_FILE", "tls.crt"), ("WEBHOOK__TLS_KEY_FILE", "rsa1024.pem")], "webhook.tls_cert_file"),
    (
        &[("WEBHOOK__TLS_CERT_FILE", "tls.crt"), ("WEBHOOK__TLS_KEY_FILE", "p256-encrypted.pem")],
        "webhook.tls_cert_file",
    ),
    (&[("WEB__CONFIG_FILE", "web.yml")], "web.config_file: "),
    (&[("WEB__CONFIG_FILE", "missing.yml")], "web.config_file: "),
    (&[("STORAGE__PATH", "file")], "storage.path: "),
    (&[("STORAGE__PATH", "foreign")], "storage.path: "),
    (
        &[("WEB__LISTEN_ADDRESS", "127.0.0.1:10417"), ("WEBHOOK__LISTEN_ADDRESS", "127.0.0.1:10417")],
        "web.listen_address: ",
    ),
    (&[("WEB__LISTEN_ADDRESS", "127.0.0.1:10417"), ("WEBHOOK__LISTEN_ADDRESS", ":10417")], "web.listen_address: "),
    (&[("WEB__LISTEN_ADDRESS", "192.0.2.1:10417")], "web.listen_address: "),
    (&[("WEBHOOK__LISTEN_ADDRESS", "192.0.2.1:10417")], "webhook.listen_address: "),
    (&[("WEBHOOK__LISTEN_ADDRESS", "127.0.0.1:0, 192.0.2.1:10417")], "webhook.listen_address: "),
    (&[("WEBHOOK__LISTEN_ADDRESS", "127.0.0.1:10417,:10417")], "webhook.listen_address: "),
    (
        &[("WEB__LISTEN_ADDRESS", "127.0.0.1:0,[::]:10417"), ("WEBHOOK__LISTEN_ADDRESS", ":10417")],
        "web.listen_address: ",
    ),
];

#[test]
fn check_config_fails_on_everything_that_stops_a_start() {
    let site = site();
    for (variables, start) in UNUSABLE {
        let with = |arguments: &[&str]| {
            let mut command = binary(site.path(), arguments);
            for (name, value) in [("WEBHOOK__LISTEN_ADDRESS", "127.0.0.1:0"), ("WEB__LISTEN_ADDRESS", "127.0.0.1:0")] {
                command.env(format!("STREAM_LIVE_EXPORTER__{name}"), value);
            }
            command.envs(variables.iter().map(|(name, value)| (format!("STREAM_LIVE_EXPORTER__{name}"), value)));
            ran(&mut command)
        };
        let checked = with(&["check-config"]);
        assert_eq!((checked.code, checked.stdout.as_str()), (Some(1), ""), "{variables:?}");
        let reported = checked.stderr.replace(&path_in(site.path(), ""), "");
        let lines: Vec<_> = reported.lines().filter(|line| !line.contains("warning: ")).collect();
        assert!(lines.iter().all(|line| line.starts_with(&format!("stream-live-exporter: {start}"))), "{lines:?}");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!checked.stderr.contains("s3cret"), "{}", checked.stderr);
        let served = with(&["serve", "--log.format=json"]);
        assert_eq!(served.code, Some(1), "{variables:?}");
        let syntax = with(&["check-config", "--syntax-only"]);
        let names_a_file_or_address = !start.starts_with("STREAM");
        assert_eq!(syntax.code == Some(0), names_a_file_or_address, "{}", syntax.stderr);
    }
}

#[test]
fn check_config_reports_all_problems_at_once() {
    let site = site();
    let flags = ["--webhook.secret-file=a=missing", "--web.config.file=web.yml", "--storage.path=file"];
    let checked = ran(binary(site.path(), &ANY_PORTS).args(flags).arg("check-config"));
    assert_eq!((checked.code, checked.stderr.lines().count()), (Some(1), 3), "{}", checked.stderr);
}

#[test]
fn check_config_succeeds_beside_the_running_daemon() {
    let site = site();
    let daemon = Daemon::start(site.path());
    let (public, private) = (daemon.public_address().to_owned(), daemon.private_address().to_owned());
    let addresses = [format!("--webhook.listen-address={public}"), format!("--web.listen-address={private}")];
    let check = || ran(binary(site.path(), &["check-config"]).args(&addresses));
    assert_eq!((check().code, check().stderr), (Some(0), String::new()));
    assert_eq!(daemon.post(&fixture("connected")).status, 200);
    assert!(daemon.stop().success());
    assert_eq!(check().code, Some(0));
    let _other_program = TcpListener::bind(&private).unwrap();
    let failed = check();
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("web.listen_address: ") && failed.stderr.contains(&private), "{}", failed.stderr);
}

/// The daemon's own secret, whose file is missing although there is a journal.
#[test]
fn missing_secret_of_an_existing_journal_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let announced = daemon.wait_for(GENERATED);
    let own_file = path_in(folder.path(), "data/webhook-secret");
    assert_eq!(announced["file"], own_file);
    let secret = daemon.secret().to_owned();
    assert!(!daemon.log().iter().any(|line| line.to_string().contains(&secret)));
    assert_eq!(daemon.post(&fixture("connected")).status, 200);

    let file = folder.path().join("data/webhook-secret");
    fs::remove_file(&file).unwrap();
    assert_eq!(daemon.post_private("/-/reload").status, 500);
    let failed = daemon.wait_for(FAILED);
    assert!(failed["problems"].as_str().unwrap().starts_with(&own_file), "{failed}");
    assert_eq!(daemon.metric("stream_live_exporter_config_last_reload_successful"), Some(0.0));
    assert_eq!(daemon.post_with(&secret, &fixture("disconnected")).status, 200);
    assert!(!file.exists());
    assert!(daemon.stop().success());

    let refused = || {
        for arguments in [&["check-config"][..], &["serve"]] {
            let refused = ran(binary(folder.path(), arguments).args(ANY_PORTS));
            assert_eq!(refused.code, Some(1), "{arguments:?}");
            let error = match arguments {
                ["serve"] => refused.logged_errors().concat(),
                _ => refused.stderr.trim_start_matches("stream-live-exporter: ").to_owned(),
            };
            assert!(error.starts_with(&own_file), "{arguments:?}: {}", refused.stderr);
        }
    };
    refused();
    assert!(!file.exists());
    symlink(folder.path().join("elsewhere"), &file).unwrap();
    refused();
    assert!(file.is_symlink() && !folder.path().join("elsewhere").exists());

    write_private(&folder.path().join("elsewhere"), &format!("{secret}\n"));
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.post_with(&secret, &fixture("connected")).status, 200);
    assert!(!daemon.log().iter().any(|line| line["msg"] == GENERATED));
}

/// A crash between the two leaves a journal without records and without a secret.
#[test]
fn secret_is_generated_for_a_journal_without_records() {
    let folder = tempfile::tempdir().unwrap();
    drop(stream_live_exporter::journal::SqliteJournal::open(&folder.path().join("data")).unwrap());
    assert!(!folder.path().join("data/webhook-secret").exists());
    assert_eq!(ran(binary(folder.path(), &ANY_PORTS).arg("check-config")).code, Some(0));
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.post(&fixture("connected")).status, 200);
}

#[test]
fn flag_that_does_not_act_on_a_command_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let address = "--webhook.listen-address=127.0.0.1:1";
    for arguments in [
        &["simulate", address][..],
        &[address, "simulate"],
        &["--config.file=x.toml", "simulate"],
        &["simulate", "--storage.path=x"],
        &["completions", "bash", address],
        &["--log.level=debug", "completions", "bash"],
        &["journal", "verify", address],
        &[address, "journal", "verify"],
        &["journal", "--webhook.secret-file=a=b", "verify"],
        &["healthcheck", "--storage.path=x"],
        &["--webhook.secret-file=a=b", "healthcheck"],
        &["check-config", "--seed=1"],
    ] {
        let Ran { code, stdout, stderr } = run(folder.path(), arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains("--"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn help_of_a_command_has_only_the_flags_that_act_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["--config.file", "--webhook.path", "--webhook.listen-address", "--storage.path", "--webhook.secret-file"];
    for (command, expected) in [
        (&["serve"][..], [true; 5]),
        (&["check-config"], [true; 5]),
        (&[], [true; 5]),
        (&["healthcheck"], [true, false, true, false, false]),
        (&["journal"], [true, false, false, true, false]),
        (&["journal", "verify"], [true, false, false, true, false]),
        (&["secret", "show"], [true, false, false, true, true]),
        (&["secret", "new"], [false; 5]),
        (&["simulate"], [false; 5]),
        (&["completions"], [false; 5]),
    ] {
        let help = run(folder.path(), &[command, &["--help"]].concat()).stdout;
        let words: Vec<_> = help.split_whitespace().collect();
        assert_eq!(flags.map(|flag| words.contains(&flag)), expected, "{command:?}\n{help}");
    }
}

#[test]
fn flag_may_stand_on_both_sides_of_its_command_and_the_later_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let checked =
        |arguments: &[&str]| run(folder.path(), &[&["check-config", "--syntax-only"], arguments].concat()).stdout;
    let before = run(folder.path(), &["--inputs.max=5", "--webhook.secret-file=a=x", "check-config", "--syntax-only"]);
    assert!(before.stdout.contains("inputs.max = \"5\"") && before.stdout.contains("secret_files.a"), "{before:?}");
    assert!(checked(&["--inputs.max=6"]).contains("inputs.max = \"6\""));
    let both = run(
        folder.path(),
        &[
            "--inputs.max=5",
            "--webhook.secret-file=a=x",
            "check-config",
            "--syntax-only",
            "--inputs.max=6",
            "--webhook.secret-file=b=y",
        ],
    );
    for part in ["inputs.max = \"6\"", "secret_files.a = \"x\"", "secret_files.b = \"y\""] {
        assert!(both.stdout.contains(part), "{both:?}");
    }
}

#[test]
fn warnings_are_printed_by_check_config_and_logged_by_the_daemon() {
    let site = site();
    fs::set_permissions(site.path().join("good"), fs::Permissions::from_mode(0o644)).unwrap();
    let past = "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"Gala\"\n\
                expected = [{ from = 2026-01-01T00:00:00Z, until = 2026-01-02T00:00:00Z }]\n";
    let text = format!("[webhook]\nmax_body_size = 64\n[storage]\nretention = \"3h\"\n{past}");
    fs::write(site.path().join("site.toml"), text).unwrap();
    let authority = Authority::new();
    authority.identity("127.0.0.1", 2020).write(site.path());
    fs::set_permissions(site.path().join("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let variables = [
        ("STREAM_LIVE_EXPORTER_WEBHOOK_PATH", "/x"),
        ("STREAM_LIVE_EXPORTER_SERVICE_HOST", "10.0.0.1"),
        ("STREAM_LIVE_EXPORTER__WEBHOOK__SECRET_FILES__A", "good"),
        ("STREAM_LIVE_EXPORTER__WEBHOOK__TLS_CERT_FILE", "tls.crt"),
        ("STREAM_LIVE_EXPORTER__WEBHOOK__TLS_KEY_FILE", "tls.key"),
        ("STREAM_LIVE_EXPORTER__CONFIG__FILE", "site.toml"),
    ];
    let expected = [
        "STREAM_LIVE_EXPORTER_WEBHOOK_PATH: ",
        "site.toml: webhook.max_body_size: ",
        "site.toml: storage.retention: ",
        "site.toml: inputs.2c28dd2cc444cb77578c4840b51e43a8.expected[0]: ",
        &path_in(site.path(), "good: "),
        &format!("webhook.tls_cert_file, webhook.tls_key_file: {}: ", path_in(site.path(), "tls.crt")),
    ];
    let checked = ran(binary(site.path(), &ANY_PORTS).arg("check-config").envs(variables));
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let mut serve = command(site.path());
    serve.envs(variables);
    let daemon = Daemon::spawn(serve, site.path());
    let logged: Vec<String> =
        daemon.log().iter().filter_map(|line| line["warning"].as_str().map(str::to_owned)).collect();
    let printed =
        checked.stderr.lines().map(|line| line.trim_start_matches("stream-live-exporter: warning: ").to_owned());
    for warnings in [printed.collect(), logged] {
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        for (warning, start) in warnings.iter().zip(expected) {
            assert!(warning.starts_with(start), "{start}: {warnings:?}");
        }
    }
    assert!(checked.stderr.contains("STREAM_LIVE_EXPORTER__WEBHOOK__PATH"), "{}", checked.stderr);
    // Those of the configuration and the secrets again at a reload.
    assert_eq!(daemon.post_private("/-/reload").status, 200);
    daemon.wait_for_count("configuration accepted with a warning", expected.len() + 5);
}

#[test]
fn private_listener_that_other_hosts_can_reach_is_warned_of_by_check_config() {
    let folder = tempfile::tempdir().unwrap();
    for (address, warned) in [("127.0.0.1:0", false), ("[::1]:0", false), ("0.0.0.0:0", true), (":0", true)] {
        let flags = ["--webhook.listen-address=127.0.0.1:0", &format!("--web.listen-address={address}")];
        let checked = ran(binary(folder.path(), &flags).arg("check-config"));
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        let warning = format!("web.listen_address: {address} is not on loopback");
        assert_eq!(checked.stderr.contains(&warning), warned, "{}", checked.stderr);
    }
}

#[test]
fn byte_order_mark_of_certificates_and_web_configuration_is_skipped() {
    let site = site();
    for file in ["tls.crt", "tls.key"] {
        let path = site.path().join(file);
        let content = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("\u{feff}{content}")).unwrap();
    }
    let web_config = "\u{feff}tls_server_config: {cert_file: tls.crt, key_file: tls.key}";
    fs::write(site.path().join("web.yml"), web_config).unwrap();
    fs::write(site.path().join("site.yaml"), "\u{feff}webhook: {tls_cert_file: tls.crt, tls_key_file: tls.key}")
        .unwrap();
    let daemon = Daemon::start_with(site.path(), ["--config.file=site.yaml", "--web.config.file=web.yml"]);
    assert_eq!((daemon.post(&fixture("connected")).status, daemon.get("/-/healthy").status), (200, 200));
}
