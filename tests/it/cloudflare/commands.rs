//! `cloudflare setup`, `cloudflare check` and `cloudflare inputs` against the mock, with a running daemon.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use stream_live_exporter::clock;
use stream_live_exporter::simulate::cloudflare::{Fault, Permission, STREAM_KEY, SaveAndTest, Token};
use tempfile::TempDir;

use super::{MAIN, Mock, TOKEN, account_id, input_id};
use crate::daemon::{Daemon, Ran, fixture, ran};
use crate::terminal::Terminal;

const LAST_TEST: &str = "stream_live_exporter_last_test_timestamp_seconds";

/// A daemon, the mock, and a configuration for the commands.
struct Site {
    folder: TempDir,
    mock: Mock,
    daemon: Daemon,
}

impl Site {
    fn start() -> Self {
        Self::with_configuration("exporter.toml", "")
    }

    /// The configuration file of the daemon has this name, and begins with this text.
    fn with_configuration(name: &str, text: &str) -> Self {
        let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
        mock.api().account(account_id(1)).add_input(MAIN.parse().unwrap(), "Main \u{202e}stage", clock::now());
        mock.api().account(account_id(1)).add_input(input_id(2), "", clock::now());
        mock.api().save_and_test = SaveAndTest::new(|url, secret| {
            let post = ureq::post(url).header("cf-webhook-auth", secret.unwrap_or_default());
            post.send(fixture("save-and-test-properly")).is_ok()
        });
        fs::write(folder.path().join("token"), TOKEN).unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let daemon = Daemon::start_with(folder.path(), [format!("--config.file={name}")]);
        Self { folder, mock, daemon }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_for(&self.daemon.webhook, arguments)
    }

    /// The command with this URL as the one that Cloudflare calls.
    fn command_for(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
        command.current_dir(self.folder.path()).arg("cloudflare").args(arguments).args([
            &format!("--webhook.listen-address={}", self.daemon.public_address()),
            &format!("--cloudflare.account-id={}", account_id(1)),
            "--cloudflare.token-file=token",
            &format!("--cloudflare.base-url={}", self.mock.base_url()),
            &format!("--cloudflare.webhook-url={url}"),
        ]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let ran = ran(&mut self.command(arguments));
        for secret in [TOKEN, self.daemon.secret(), STREAM_KEY] {
            assert!(!format!("{ran:?}").contains(secret), "{ran:?}");
        }
        ran
    }

    fn codes(&self, arguments: &[&str]) -> (Option<i32>, usize, usize) {
        let ran = self.run(arguments);
        let (destinations, policies) = self.existing();
        assert!(ran.code == Some(0) || !ran.stderr.is_empty() || !ran.stdout.is_empty());
        (ran.code, destinations.len(), policies.len())
    }

    /// Destinations without their times, and policies.
    fn existing(&self) -> (Vec<(String, Option<String>)>, Vec<Value>) {
        let mut api = self.mock.api();
        let alerting = &api.account(account_id(1)).alerting;
        let destinations = alerting.destinations.all().iter();
        (
            destinations.map(|destination| (destination.url.clone(), destination.secret.clone())).collect(),
            alerting.policies.all().to_vec(),
        )
    }
}

#[test]
fn setup_creates_both_once_and_removes_them() {
    let site = Site::start();
    assert_eq!(site.codes(&["setup", "--dry-run"]), (Some(0), 0, 0));
    // Without a terminal, nothing is done, whatever the input says.
    assert_eq!(site.codes(&["setup"]), (Some(1), 0, 0));
    fs::write(site.folder.path().join("answer"), "y\n").unwrap();
    let answer = fs::File::open(site.folder.path().join("answer")).unwrap();
    let refused = site.command(&["setup"]).stdin(answer).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert_eq!((refused.unwrap().code(), site.existing().0.len()), (Some(1), 0));
    assert_eq!(site.daemon.metric(LAST_TEST), None);
    assert_eq!(site.codes(&["setup", "--yes"]), (Some(0), 1, 1));
    assert!(site.daemon.metric(LAST_TEST).is_some());
    let (destinations, policies) = site.existing();
    assert_eq!(destinations, [(site.daemon.webhook.clone(), Some(site.daemon.secret().to_owned()))]);
    let policy = &policies[0];
    assert_eq!(
        (&policy["alert_type"], &policy["enabled"], &policy["filters"]),
        (&json!("stream_live_notifications"), &json!(true), &json!({}))
    );
    for arguments in [&["setup", "--yes"][..], &["setup"], &["setup", "--dry-run"]] {
        assert_eq!(site.codes(arguments), (Some(0), 1, 1));
        assert_eq!(site.existing(), (destinations.clone(), policies.clone()), "{arguments:?}");
    }
    assert_eq!(site.codes(&["setup", "--yes", "--input", MAIN]), (Some(0), 1, 1));
    assert_eq!(site.existing().1[0]["filters"], json!({"input_id": [MAIN]}));
    let unknown = input_id(9).to_string();
    assert_eq!(site.codes(&["setup", "--yes", "--input", &unknown]), (Some(1), 1, 1));
    assert_eq!(site.existing().1[0]["filters"], json!({"input_id": [MAIN]}));
    assert_eq!(site.codes(&["setup", "--remove", "--dry-run"]), (Some(0), 1, 1));
    assert_eq!(site.codes(&["setup", "--remove"]), (Some(1), 1, 1));
    assert_eq!(site.codes(&["setup", "--remove", "--yes"]), (Some(0), 0, 0));
    assert_eq!(site.codes(&["setup", "--remove", "--yes"]), (Some(0), 0, 0));
}

#[test]
fn setup_asks_on_a_terminal() {
    let site = Site::start();
    for (answer, created) in [("n\n", 0), ("\n", 0), ("y\n", 1)] {
        let terminal = Terminal::open();
        terminal.type_in(answer);
        let mut command = site.command(&["setup"]);
        let child = command.stdin(terminal.stdio()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let code = child.unwrap().wait().unwrap().code();
        assert_eq!((code, site.existing().0.len()), (Some(1 - created), usize::from(created == 1)), "{answer:?}");
    }
}

#[test]
fn setup_creates_nothing_with_a_secret_that_the_daemon_does_not_accept() {
    let site = Site::start();
    fs::write(site.folder.path().join("other"), "another-secret-0123456789").unwrap();
    site.mock.api().save_and_test = SaveAndTest::new(|_, _| true);
    let ran = site.run(&["setup", "--yes", "--webhook.secret-file=other=other"]);
    assert_eq!((ran.code, site.existing().0.len()), (Some(1), 0), "{ran:?}");
    assert!(ran.stderr.contains(&site.daemon.webhook) && !ran.stderr.contains("another-secret"), "{ran:?}");
    // Cloudflare cannot reach the webhook.
    site.mock.api().save_and_test = SaveAndTest::new(|_, _| false);
    let ran = site.run(&["setup", "--yes"]);
    assert_eq!((ran.code, site.existing().0.len()), (Some(1), 0), "{ran:?}");
    assert!(ran.stderr.contains("422"), "{ran:?}");
}

#[test]
fn account_must_be_chosen_if_there_are_several() {
    let site = Site::start();
    let entry = |name: &str, number: usize| {
        let id = account_id(number);
        format!("[[cloudflare.accounts]]\nname = \"{name}\"\naccount_id = \"{id}\"\ntoken_file = \"token\"\n")
    };
    let base_url = site.mock.base_url();
    let text = format!("[cloudflare]\nbase_url = \"{base_url}\"\n{}{}", entry("one", 1), entry("two", 2));
    fs::write(site.folder.path().join("site.toml"), text).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
        command.current_dir(site.folder.path()).args(["cloudflare", "inputs", "--config.file=site.toml"]);
        ran(command.args(arguments))
    };
    let ambiguous = run(&[]);
    assert!(ambiguous.code == Some(1) && ambiguous.stderr.contains("one, two"), "{ambiguous:?}");
    assert_eq!(run(&["--account=three"]).code, Some(1));
    assert!(run(&["--account=one"]).stdout.contains(MAIN));
}

/// The levels of the findings about a subject.
fn levels(ran: &Ran, subject: &str) -> Vec<String> {
    let words = ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|words| words.get(1) == Some(&subject)).map(|words| words[0].to_owned()).collect()
}

#[test]
fn check_finds_each_problem() {
    let site = Site::start();
    let check = |code: i32, subject: &str, level: &str| {
        let ran = site.run(&["check"]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(levels(&ran, subject).iter().any(|found| found == level), "{subject} {level}: {}", ran.stdout);
        let problems = ran
            .stdout
            .lines()
            .filter(|line| ["warning", "error"].contains(&line.split_whitespace().next().unwrap_or_default()));
        assert_eq!(problems.count(), ran.stdout.matches(" fix: ").count(), "{}", ran.stdout);
    };
    check(1, "destination", "error");
    assert_eq!(site.run(&["setup", "--yes"]).code, Some(0));
    for subject in ["token", "destination", "policy", "webhook"] {
        check(0, subject, "ok");
    }
    assert_eq!(site.run(&["setup", "--yes", "--input", MAIN]).code, Some(0));
    check(0, "policy", "warning");
    assert_eq!(site.run(&["setup", "--yes"]).code, Some(0));

    let policy = site.existing().1[0]["id"].as_str().unwrap().to_owned();
    let now = clock::now();
    site.mock.api().account(account_id(1)).alerting.silences.silence(
        "s1",
        &policy,
        now,
        now.plus(std::time::Duration::from_secs(60)),
    );
    check(1, "silence", "error");
    let other = site.mock.api().tokens.clone();
    for (permissions, subject) in
        [(vec![Permission::NotificationsRead], "token"), (vec![Permission::StreamRead], "token")]
    {
        site.mock.api().tokens = vec![Token::new(TOKEN, permissions)];
        check(1, subject, "error");
    }
    for (permission, code) in [(Permission::AccountAnalyticsRead, 0), (Permission::StreamEdit, 1)] {
        let permissions = [Permission::StreamRead, Permission::NotificationsRead, permission];
        site.mock.api().tokens = vec![Token::new(TOKEN, permissions)];
        site.mock.api().account(account_id(1)).alerting.silences = Default::default();
        let ran = ran(site.command(&["check"]).env("STREAM_LIVE_EXPORTER__CLOUDFLARE__QUALITY", "true"));
        assert_eq!(ran.code, Some(code), "{ran:?}");
    }
    // A token that belongs to the account is verified at another path.
    let owned = Token::new(TOKEN, [Permission::StreamRead, Permission::NotificationsRead]).owned_by(account_id(1));
    site.mock.api().tokens = vec![owned];
    check(0, "token", "ok");
    site.mock.api().tokens = vec![Token::new("another", [])];
    check(1, "token", "error");
    site.mock.api().tokens = other;
    site.mock.api().inject("/alerting", Fault::ErrorPage(500));
    assert_eq!(site.run(&["check"]).code, Some(1));
    site.mock.api().clear_faults();
    let ran = ran(&mut site.command_for("http://127.0.0.1:1/webhook", &["check"]));
    assert_eq!((ran.code, levels(&ran, "webhook")), (Some(1), vec!["error".to_owned()]), "{ran:?}");
}

#[test]
fn inputs_are_listed_in_every_form_and_the_configuration_is_accepted() {
    let site = Site::start();
    let table = site.run(&["inputs"]);
    assert_eq!((table.code, table.stdout.lines().count()), (Some(0), 3), "{table:?}");
    let list: Value = serde_json::from_str(&site.run(&["inputs", "--format=json"]).stdout).unwrap();
    let names: Vec<_> = list["inputs"].as_array().unwrap().iter().map(|input| input["name"].clone()).collect();
    assert_eq!((&list["complete"], names), (&json!(true), vec![json!(""), json!("Main \u{202e}stage")]));
    let toml = site.run(&["inputs", "--format=toml"]);
    fs::write(site.folder.path().join("site.toml"), &toml.stdout).unwrap();
    let checked = crate::daemon::run(site.folder.path(), &["check-config", "--syntax-only", "--config.file=site.toml"]);
    assert!(checked.code == Some(0) && checked.stdout.contains(MAIN), "{checked:?}");
}

fn rotate(site: &Site, configuration: &str, further: &[&str]) -> Ran {
    let (url, file) = (site.daemon.private.clone(), format!("--config.file={configuration}"));
    let arguments = ["setup", "--rotate-secret", "--yes", "--silent-for=200ms", "--url", &url, &file];
    site.run(&[&arguments, further].concat())
}

fn files(folder: &Path) -> Vec<String> {
    let names =
        fs::read_dir(folder.join("data")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("webhook-secret")).collect();
    names.sort();
    names
}

#[test]
fn rotation_replaces_the_secret_everywhere_and_retires_the_old_one() {
    let site = Site::with_configuration("exporter.toml", "# mine\n[log]\nlevel = \"info\" # why\n");
    let folder = site.folder.path();
    assert_eq!(site.run(&["setup", "--yes"]).code, Some(0));
    let old = site.daemon.secret().to_owned();
    let planned = rotate(&site, "exporter.toml", &["--dry-run"]);
    assert_eq!((planned.code, files(folder)), (Some(0), vec!["webhook-secret".to_owned()]), "{planned:?}");

    let mut secrets = vec![old];
    for _ in 0..2 {
        let ran = rotate(&site, "exporter.toml", &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let secret = site.existing().0[0].1.clone().unwrap();
        assert!(!secrets.contains(&secret) && !format!("{ran:?}").contains(&secret));
        assert_eq!(site.daemon.post_with(&secret, &fixture("save-and-test-properly")).status, 200);
        secrets.push(secret);
        for old in &secrets[..secrets.len() - 1] {
            assert_eq!(site.daemon.post_with(old, &fixture("save-and-test-properly")).status, 401);
        }
        let text = fs::read_to_string(folder.join("exporter.toml")).unwrap();
        assert!(text.starts_with("# mine\n[log]\nlevel = \"info\" # why\n"), "{text}");
        assert_eq!((files(folder).len(), text.matches("webhook-secret").count()), (1, 1), "{text}");
    }
}

#[test]
fn interrupted_rotation_is_continued() {
    let site = Site::start();
    let folder = site.folder.path();
    assert_eq!(site.run(&["setup", "--yes"]).code, Some(0));
    site.mock.api().inject("/alerting/v3/destinations/webhooks/", Fault::ErrorPage(503));
    let ran = rotate(&site, "exporter.toml", &[]);
    assert_eq!((ran.code, files(folder).len()), (Some(1), 2), "{ran:?}");
    assert_eq!(site.daemon.post_with(site.daemon.secret(), &fixture("connected")).status, 200);
    site.mock.api().clear_faults();
    let ran = rotate(&site, "exporter.toml", &[]);
    assert_eq!((ran.code, files(folder).len()), (Some(0), 1), "{ran:?}");
    let secret = site.existing().0[0].1.clone().unwrap();
    assert_eq!(site.daemon.post_with(&secret, &fixture("connected")).status, 200);
}

#[test]
fn rotation_prints_the_steps_if_the_configuration_cannot_be_changed() {
    let site = Site::with_configuration("exporter.yaml", "log:\n  level: info\n");
    let folder = site.folder.path();
    assert_eq!(site.run(&["setup", "--yes"]).code, Some(0));
    let before = site.existing();
    let ran = rotate(&site, "exporter.yaml", &[]);
    assert_eq!((ran.code, files(folder).len(), site.existing()), (Some(1), 1, before), "{ran:?}");
    for part in ["webhook.secret_files", "secret new", "/-/reload"] {
        assert!(ran.stdout.contains(part), "{part}: {ran:?}");
    }
}

#[test]
fn rotation_is_undone_if_the_daemon_does_not_accept_the_new_secret() {
    let site = Site::start();
    let folder = site.folder.path();
    assert_eq!(site.run(&["setup", "--yes"]).code, Some(0));
    // The daemon has another configuration.
    fs::write(folder.join("other.toml"), "# other\n").unwrap();
    let before = site.existing();
    let ran = rotate(&site, "other.toml", &[]);
    assert_eq!((ran.code, files(folder).len(), site.existing()), (Some(1), 1, before), "{ran:?}");
    assert_eq!(fs::read_to_string(folder.join("other.toml")).unwrap(), "# other\n");
    assert_eq!(site.daemon.post(&fixture("connected")).status, 200);
}
