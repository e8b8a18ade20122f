//! Cloudflare's API: accounts, URLs, share and warnings.

use super::warnings::warned;
use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

fn account(name: &str, id: &str) -> String {
    format!("[[cloudflare.accounts]]\nname = {name:?}\naccount_id = {id:?}\ntoken_file = \"/run/{name}\"\n")
}

fn single(keys: &str) -> String {
    let url = if keys.contains("webhook_url") { "" } else { "webhook_url = \"https://hooks.example.com/webhook\"\n" };
    format!("[cloudflare]\naccount_id = {ID:?}\ntoken_file = \"/run/token\"\n{url}{keys}\n")
}

#[test]
fn without_configuration_no_account_is_used() {
    let cloudflare = load("site.toml", "", &[], &[]).unwrap().cloudflare;
    assert_eq!(cloudflare.accounts, []);
    assert_eq!((cloudflare.inventory, cloudflare.quality, cloudflare.request_share), (true, false, 0.25));
}

#[test]
fn account_can_be_configured_in_every_layer() {
    let variables = [("CLOUDFLARE__ACCOUNT_ID", ID), ("CLOUDFLARE__TOKEN_FILE", "/run/token")];
    let flags = [("cloudflare.account_id", ID), ("cloudflare.token_file", "/run/token")];
    let yaml = format!("cloudflare: {{account_id: '{ID}', token_file: /run/token, request_share: 0.5}}");
    for (file, text, variables, flags) in [
        ("site.toml", format!("[cloudflare]\naccount_id = {ID:?}\ntoken_file = \"/run/token\""), &[][..], &[][..]),
        ("site.yml", yaml, &[], &[]),
        ("site.toml", String::new(), &variables, &[]),
        ("site.toml", String::new(), &[], &flags),
    ] {
        let accounts = load(file, &text, variables, flags).unwrap().cloudflare.accounts;
        let expected = CloudflareAccount {
            name: String::new(),
            account_id: ID.parse().unwrap(),
            token_file: "/run/token".into(),
            webhook_url: None,
        };
        assert_eq!(accounts, [expected], "{file} {text}");
    }
}

#[test]
fn listed_account_without_url_has_the_common_one() {
    let common = "[cloudflare]\nwebhook_url = \"https://a.example/\"\n";
    let own = "webhook_url = \"https://b.example/\"\n";
    let text = format!("{common}{}{}{own}", account("one", ID), account("two", OTHER));
    let settings = load("site.toml", &text, &[], &[]).unwrap();
    let urls = settings.cloudflare.accounts.iter().map(|account| (&*account.name, account.webhook_url.as_deref()));
    assert_eq!(urls.collect::<Vec<_>>(), [("one", Some("https://a.example/")), ("two", Some("https://b.example/"))]);
    let shown = settings.effective.iter().filter(|effective| effective.key.starts_with("cloudflare.accounts."));
    let shown: Vec<String> = shown.map(|effective| format!("{} {}", effective.key, effective.value)).collect();
    assert_eq!(
        shown[..3],
        [
            format!("cloudflare.accounts.one.account_id {ID}"),
            "cloudflare.accounts.one.token_file /run/one".to_owned(),
            "cloudflare.accounts.one.webhook_url https://a.example/".to_owned(),
        ]
    );
}

#[test]
fn base_url_loses_the_slash_at_its_end() {
    let cloudflare = load("site.toml", "[cloudflare]\nbase_url = \"http://127.0.0.1:8080/v4/\"", &[], &[]).unwrap();
    assert_eq!(cloudflare.cloudflare.base_url, "http://127.0.0.1:8080/v4");
}

#[test]
fn every_problem_of_accounts_is_reported() {
    let problem = |key: &str, rest: &str| format!("site.toml: cloudflare.{key}: {rest}");
    for (text, expected) in [
        (format!("[cloudflare]\naccount_id = {ID:?}"), "configuration: cloudflare.token_file: …".to_owned()),
        ("[cloudflare]\ntoken_file = \"/t\"".to_owned(), "configuration: cloudflare.account_id: …".to_owned()),
        ("[cloudflare]\naccount_id = \"studio\"".to_owned(), problem("account_id", "… 32 … \"studio\"")),
        ("cloudflare.accounts = 5".to_owned(), problem("accounts", "… name, account_id … token_file")),
        (
            "[[cloudflare.accounts]]\nname = \"Studio 1\"\ntoken = \"hunter2\"".to_owned(),
            [
                problem("accounts[0].name", "… \"Studio 1\" … 64"),
                problem("accounts[0].account_id", "…"),
                problem("accounts[0].token_file", "…"),
                problem("accounts[0].token", "unknown key"),
            ]
            .join("\n"),
        ),
        (
            format!("{}{}", account("one", ID), account("one", ID)),
            [problem("accounts[1].name", "one …"), problem("accounts[1].account_id", &format!("{ID} …"))].join("\n"),
        ),
        (
            format!("{}{}", single(""), account("one", OTHER)),
            "configuration: cloudflare.account_id: … cloudflare.accounts …\n\
             configuration: cloudflare.token_file: … cloudflare.accounts …"
                .to_owned(),
        ),
    ] {
        let problems = load("site.toml", &text, &[], &[]).unwrap_err();
        assert_problems(&problems, &expected, &text);
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn invalid_values_of_the_api_are_reported() {
    for (key, value, expected) in [
        ("request_share", "0", "0 …"),
        ("request_share", "1.01", "1.01 …"),
        ("request_share", "-1", "-1 …"),
        ("request_share", "nan", "nan …"),
        ("request_share", "25%", "25% …"),
        ("inventory_interval", "0s", "0"),
        ("quality_interval", "1M", "M …"),
        ("reconcile", "perhaps", "perhaps …"),
        ("base_url", "", "…"),
        ("base_url", "api.cloudflare.com", "api.cloudflare.com …"),
        ("base_url", "ftp://api.cloudflare.com", "ftp …"),
        ("base_url", "https://api.cloudflare.com/client/v4?x=1", "x=1"),
        ("base_url", "https:///client", "…"),
        ("webhook_url", "https://hooks.example.com/webhook#x", "#x …"),
        ("webhook_url", "hooks", "hooks …"),
    ] {
        check(&format!("[cloudflare]\n{key} = {value:?}"), &format!("site.toml: cloudflare.{key}: … {expected}"));
    }
    let problems =
        load("site.toml", "[cloudflare]\nbase_url = \"https://me:hunter2@a.example\"", &[], &[]).unwrap_err();
    assert!(problems.starts_with("site.toml: cloudflare.base_url: ") && !problems.contains("hunter2"), "{problems}");
}

#[test]
fn use_of_the_api_that_can_hardly_be_meant_is_warned_of() {
    let common = "webhook_url = \"https://a.example/\"\n";
    let shared = |share: &str| {
        let accounts = [account("one", ID), account("two", OTHER)].concat().replace("/run/two", "/run/one");
        format!("[cloudflare]\nrequest_share = {share}\n{common}{accounts}")
    };
    for (text, keys) in [
        (single(""), &[][..]),
        (single("destination = false\nwebhook_url = \"\""), &[]),
        (single("base_url = \"http://[::1]:1/v4\""), &[]),
        (shared("0.25"), &[]),
        ("[cloudflare]\nquality = false".to_owned(), &[]),
        ("[cloudflare]\nreconcile = true".to_owned(), &["reconcile"]),
        (format!("[cloudflare]\n{common}"), &["webhook_url"]),
        (single("webhook_url = \"\""), &["webhook_url"]),
        (account("one", ID), &["accounts.one.webhook_url"]),
        (single("webhook_url = \"http://hooks.example.com/\""), &["webhook_url"]),
        (single("webhook_url = \"https://hooks.example.com:8443/\""), &["webhook_url"]),
        (single("base_url = \"http://api.example.com/v4\""), &["base_url"]),
        (single("request_share = 0.6"), &["request_share"]),
        (shared("0.3"), &["request_share"]),
        (single("inventory_interval = \"9s\""), &["inventory_interval"]),
        (single("destination_interval = \"9s\""), &["destination_interval"]),
        (single("quality_interval = \"9s\""), &["quality_interval"]),
    ] {
        let keys: Vec<String> = keys.iter().map(|key| format!("cloudflare.{key}")).collect();
        assert_eq!(warned(&text), keys, "{text}");
    }
}
