//! Accounts, token files and switches change while the daemon runs.

use std::fs;
use std::path::Path;

use stream_live_exporter::clock;
use stream_live_exporter::simulate::cloudflare::{Permission, Token};

use super::{LAST_SUCCESS, Mock, REQUESTS, TOKEN, account, account_id, daemon, input_id, requests, section};
use crate::daemon::{Daemon, eventually, run};

const INVENTORY: &str = "inventory = true\ninventory_interval = \"1s\"\nrequest_share = 1";
const RESULTS: [&str; 7] = ["ok", "client_error", "rate_limited", "server_error", "timeout", "network", "invalid"];

fn configure(daemon: &Daemon, folder: &Path, configuration: &str) -> u16 {
    fs::write(folder.join("exporter.toml"), configuration).unwrap();
    daemon.post_private("/-/reload").status
}

/// The accounts with a last success, in the order of their names.
fn listed(daemon: &Daemon) -> Vec<String> {
    let series = daemon.samples(LAST_SUCCESS);
    series.keys().map(|series| series.split('"').nth(1).expect("the label").to_owned()).collect()
}

fn named(base_url: &str, names: &[(&str, usize)]) -> String {
    let accounts = names.iter().map(|(name, number)| {
        let id = account_id(*number);
        format!("[[cloudflare.accounts]]\nname = \"{name}\"\naccount_id = \"{id}\"\ntoken_file = \"token\"\n")
    });
    section(base_url, INVENTORY) + &accounts.collect::<String>()
}

#[test]
fn reload_adds_renames_and_removes_accounts_with_their_series() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    for number in 1..=3 {
        mock.api().account(account_id(number)).add_input(input_id(number), format!("input {number}"), clock::now());
    }
    let (folder, url) = (folder.path(), mock.base_url());
    let daemon = daemon(folder, "");
    assert!(daemon.samples(REQUESTS).is_empty() && listed(&daemon).is_empty());

    assert_eq!(configure(&daemon, folder, &account(&url, INVENTORY)), 200);
    for result in RESULTS {
        eventually("all results are there", || requests(&daemon, "inputs", result).is_some());
    }
    assert_eq!(requests(&daemon, "history", "ok"), None);
    eventually("the account is listed", || listed(&daemon) == [""]);
    for (names, expected) in [
        (&[("one", 1), ("two", 2)][..], &["one", "two"][..]),
        (&[("two", 1), ("three", 3)], &["three", "two"]),
        (&[("two", 1)], &["two"]),
    ] {
        assert_eq!(configure(&daemon, folder, &named(&url, names)), 200);
        assert!(listed(&daemon).iter().all(|name| expected.contains(&name.as_str())), "{names:?}");
        eventually("the accounts are listed", || listed(&daemon) == expected);
    }
    let info = daemon.samples("cloudflare_stream_live_input_info");
    let info: Vec<_> = info.keys().map(String::as_str).collect();
    assert!(
        matches!(&info[..], [one] if one.contains("account=\"two\"") && one.contains("name=\"input 1\"")),
        "{info:?}"
    );
    assert_eq!(configure(&daemon, folder, &account(&url, "reconcile = true")), 200);
    eventually("the inventory is off", || !listed(&daemon).contains(&"two".to_owned()));
    assert_eq!(configure(&daemon, folder, ""), 200);
    assert!(listed(&daemon).is_empty());
}

#[test]
fn replaced_token_is_used_without_a_reload_and_a_missing_one_stops_only_a_reload() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start());
    let new = format!("{TOKEN}-new");
    mock.api().tokens = vec![Token::new(new.clone(), [Permission::StreamRead])];
    mock.api().account(account_id(1));
    let (folder, url) = (folder.path(), mock.base_url());
    let daemon = daemon(folder, &account(&url, INVENTORY));
    eventually("the token is refused", || requests(&daemon, "inputs", "client_error") == Some(1.0));
    fs::write(folder.join("token"), &new).unwrap();
    eventually("the new token is used", || requests(&daemon, "inputs", "ok") >= Some(1.0));

    fs::remove_file(folder.join("token")).unwrap();
    let before = requests(&daemon, "inputs", "ok");
    eventually("the token stays in use", || requests(&daemon, "inputs", "ok") > before);
    assert_eq!(daemon.post_private("/-/reload").status, 500);
    let before = requests(&daemon, "inputs", "ok");
    eventually("the configuration stays in force", || requests(&daemon, "inputs", "ok") > before);
}

#[test]
fn missing_token_is_reported_by_check_config_and_stops_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = named("http://127.0.0.1:9", &[("one", 1)]);
    fs::write(folder.path().join("exporter.toml"), configuration).unwrap();
    let start =
        ["--config.file=exporter.toml", "--webhook.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"];
    let check = || run(folder.path(), &[&["check-config"][..], &start].concat());
    let missing = check();
    assert_eq!(missing.code, Some(1), "{missing:?}");
    let file = folder.path().join("token").display().to_string();
    assert!(missing.stderr.contains(&file), "{missing:?}");
    let started = run(folder.path(), &start);
    assert!(started.code == Some(1) && started.stderr.contains(&file), "{started:?}");
    assert!(!folder.path().join("data").exists(), "the start failed before it created anything");
    fs::write(folder.path().join("token"), TOKEN).unwrap();
    let valid = check();
    assert_eq!(valid.code, Some(0), "{valid:?}");
    assert!(valid.stdout.contains(&format!("cloudflare.accounts.one.account_id = \"{}\"", account_id(1))), "{valid:?}");
    assert!(!valid.stdout.contains(TOKEN) && !valid.stderr.contains(TOKEN));
}
