//! Secrets: which are valid, and the generated one.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn load_secrets(settings: &Settings) -> Result<WebhookSecrets, InvalidConfig> {
    WebhookSecrets::load(&settings.webhook.secrets, settings.storage.own_secret_folder(), MissingSecret::Generate)
}

fn storage(folder: &Path, flags: &[(&str, &str)]) -> StorageSettings {
    let flags = [&[("storage.path", folder.to_str().unwrap())], flags].concat();
    load("site.toml", "", &[], &flags).unwrap().storage
}

#[test]
fn secrets_are_accepted_only_from_files_or_the_environment() {
    check("[webhook.secrets]\ncloudflare = \"hunter2\"", "site.toml: webhook.secrets.cloudflare: … environment");
    check("[webhook.secret_files]\n\"Two Words\" = \"x\"", "site.toml: webhook.secret_files.Two Words: … 64 … - … _");
    let both = load("site.toml", "[webhook.secret_files]\na = \"x\"", &[("WEBHOOK__SECRETS__A", "hunter2")], &[]);
    assert_problems(
        &both.unwrap_err(),
        "STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__A: webhook.secrets.a: webhook.secret_files.a …",
        "",
    );
}

#[test]
fn secret_that_looks_like_a_number_stays_text_and_is_masked() {
    let variables = [("WEBHOOK__SECRETS__CLOUDFLARE", "0012e5")];
    let settings = load("site.toml", "", &variables, &[]).unwrap();
    let secrets = load_secrets(&settings).unwrap();
    assert_eq!(secrets.named["cloudflare"].expose(), "0012e5");
    assert!(!format!("{settings:?} {secrets:?}").contains("0012e5"));
}

#[test]
fn secrets_of_files_and_variables_are_validated_alike() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let of_file = |content: &str| {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let flag = ("webhook.secret_files.a", file.to_str().unwrap());
        let secrets =
            load_secrets(&load("site.toml", "", &[], &[flag]).unwrap()).map_err(|invalid| invalid.to_string())?;
        Ok((secrets.named["a"].expose().to_owned(), secrets.warnings.len()))
    };
    let of_variable = |content: &str| {
        let settings = load("site.toml", "", &[("WEBHOOK__SECRETS__A", content)], &[])?;
        let secrets = load_secrets(&settings).unwrap();
        Ok((secrets.named["a"].expose().to_owned(), settings.warnings(now()).len()))
    };
    let long = "x".repeat(16);
    for content in [long.clone(), format!("{long}\n"), format!("{long}\r\n"), format!("{long}\r")] {
        assert_eq!([of_file(&content), of_variable(&content)], [Ok((long.clone(), 0)), Ok((long.clone(), 0))]);
    }
    assert_eq!([of_file("s3cret\n"), of_variable("s3cret\n")], [Ok(("s3cret".into(), 1)), Ok(("s3cret".into(), 1))]);
    for content in
        ["", "\n", "a\nb", " s3cret", "s3cret ", "s3cret\t\n", "\u{feff}s3cret", "s3cr\u{e9}t", &"x".repeat(1025)]
    {
        let (of_file, of_variable): (Result<_, String>, Result<_, String>) = (of_file(content), of_variable(content));
        assert_problems(&of_file.unwrap_err(), &format!("{}: …", file.display()), content);
        let key = "STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__A: webhook.secrets.a: …";
        assert_problems(&of_variable.unwrap_err(), key, content);
    }
}

#[test]
fn two_names_of_one_secret_are_warned_of() {
    let variables = [("WEBHOOK__SECRETS__A", "0123456789abcdef"), ("WEBHOOK__SECRETS__B", "0123456789abcdef")];
    let secrets = load_secrets(&load("site.toml", "", &variables, &[]).unwrap()).unwrap();
    assert_eq!(secrets.warnings.len(), 1);
    assert!(!secrets.warnings[0].to_string().contains("0123456789abcdef"));
}

#[test]
fn generated_secret_is_readable_by_its_owner_only_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let settings = load("site.toml", "", &[], &[("storage.path", folder.path().to_str().unwrap())]).unwrap();
    let generated = load_secrets(&settings).unwrap();
    let file = folder.path().join("webhook-secret");
    assert_eq!(generated.named["default"].expose().len(), 64);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(generated.own_file.as_deref(), Some(file.as_path()));
    assert!(generated.generated);
    assert_eq!(load_secrets(&settings).unwrap(), WebhookSecrets { generated: false, ..generated });
}

#[test]
fn missing_secret_is_generated_only_for_a_new_journal() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path(), &[]);
    let load = |missing| WebhookSecrets::load(&BTreeMap::new(), storage.own_secret_folder(), missing);
    let file = folder.path().join("webhook-secret");
    let problems = load(MissingSecret::Refuse).unwrap_err().to_string();
    assert_problems(&problems, &format!("{}: …", file.display()), "");
    assert_eq!(load(MissingSecret::Ignore).unwrap().own_file, None);
    assert!(!file.exists());
    let generated = load(MissingSecret::Generate).unwrap();
    assert_eq!(load(MissingSecret::Refuse).unwrap().named, generated.named);
}

#[test]
fn secret_of_replicas_that_share_a_journal_must_be_configured() {
    let folder = tempfile::tempdir().unwrap();
    let shared = storage(folder.path(), &[("storage.url", "postgres://a@127.0.0.1:5432/b?sslmode=disable")]);
    // The secret of an earlier SQLite journal is in the folder.
    load_secrets(&load("site.toml", "", &[], &[("storage.path", folder.path().to_str().unwrap())]).unwrap()).unwrap();
    for missing in [MissingSecret::Generate, MissingSecret::Refuse] {
        let problems =
            WebhookSecrets::load(&BTreeMap::new(), shared.own_secret_folder(), missing).unwrap_err().to_string();
        assert_problems(&problems, "configuration: webhook.secret_files: …", "");
    }
    let ignored = WebhookSecrets::load(&BTreeMap::new(), shared.own_secret_folder(), MissingSecret::Ignore).unwrap();
    assert!(ignored.named.is_empty() && ignored.own_file.is_none());
    let configured = [("a".to_owned(), SecretSource::Environment(Secret::new(b"0123456789abcdef").unwrap()))].into();
    let secrets = WebhookSecrets::load(&configured, shared.own_secret_folder(), MissingSecret::Generate).unwrap();
    assert_eq!(secrets.named["a"].expose(), "0123456789abcdef");
}

#[test]
fn link_in_place_of_the_own_secret_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (file, target) = (folder.path().join("webhook-secret"), folder.path().join("target"));
    let storage = storage(folder.path(), &[]);
    symlink(&target, &file).unwrap();
    for missing in [MissingSecret::Generate, MissingSecret::Refuse, MissingSecret::Ignore] {
        let load = || WebhookSecrets::load(&BTreeMap::new(), storage.own_secret_folder(), missing);
        assert_problems(&load().unwrap_err().to_string(), &format!("{}: …", file.display()), "");
        assert!(file.is_symlink() && !target.exists());
        fs::write(&target, "0123456789abcdef\n").unwrap();
        assert_eq!(load().unwrap().named["default"].expose(), "0123456789abcdef");
        assert!(file.is_symlink());
        fs::remove_file(&target).unwrap();
    }
}

#[test]
fn generating_a_secret_overwrites_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let settings = load("site.toml", "", &[], &[("storage.path", folder.path().to_str().unwrap())]).unwrap();
    let named = ["webhook-secret.new", "webhook-secret.old", "webhook-secret-2"];
    named.iter().for_each(|name| fs::write(folder.path().join(name), "Cloudflare's\n").unwrap());
    // An interrupted start or an attacker may have left it.
    let elsewhere = folder.path().join("elsewhere");
    symlink(&elsewhere, folder.path().join(".webhook-secret.unfinished")).unwrap();
    load_secrets(&settings).unwrap();
    for name in named {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "Cloudflare's\n", "{name}");
    }
    assert!(!elsewhere.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
}
