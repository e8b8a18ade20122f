//! Misspelt names: unknown keys, and variables that look like keys.

use std::ffi::OsString;

use super::layers::{defaults, environment_name};
use super::problem::Problem;

/// The beginning of every name that is probably meant for this program.
const PREFIX: &str = "STREAM_LIVE_EXPORTER_";
/// Tables with names of the user's choice as keys.
const TABLES: [&str; 2] = ["webhook.secret_files", "webhook.secrets"];

/// The key that was probably meant: it differs only in upper case, separators and hyphens.
pub(super) fn known_key(misspelt: &str) -> Option<String> {
    let misspelt = joined(misspelt);
    let of_table = |table: &&str| {
        let name = misspelt.strip_prefix(&joined(table))?.strip_prefix('_').filter(|name| !name.is_empty())?;
        Some(format!("{table}.{name}"))
    };
    let keys = defaults().into_keys().chain(["config.file".to_owned()]);
    let key = keys.into_iter().find(|key| joined(key) == misspelt);
    key.or_else(|| TABLES.iter().find_map(of_table))
}

/// `webhook.listen_address`, `WEBHOOK_LISTEN_ADDRESS` and `webhook.listen-address` are `webhook_listen_address`.
fn joined(key: &str) -> String {
    let words = key.split(['.', '_', '-']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_lowercase()
}

/// A warning for each variable that nothing reads, although its name begins like those of this program. Those that
/// Kubernetes sets for every service of a namespace do not count.
pub(super) fn ignored_variables(environment: &[(OsString, OsString)]) -> Vec<Problem> {
    let names = environment.iter().filter_map(|(name, _)| name.to_str());
    let ignored = names.filter_map(|name| Some((name, name.to_uppercase().strip_prefix(PREFIX)?.to_owned())));
    let mut warnings: Vec<Problem> = ignored
        .filter(|(name, rest)| !is_read(name) && !is_service_link(rest))
        .map(|(name, rest)| {
            let advice = match known_key(&rest) {
                Some(key) => format!("is ignored: write {}", environment_name(&key)),
                None => {
                    format!("is ignored: it matches no key; every name begins with {PREFIX}_ and has __ for each dot")
                }
            };
            Problem::new(name, None, advice)
        })
        .collect();
    warnings.sort_unstable_by_key(ToString::to_string);
    warnings
}

/// Names with this prefix are read; unknown ones are problems.
fn is_read(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('_'))
}

/// Whether Kubernetes sets a variable of this name for a service whose name begins with `stream-live-exporter`.
fn is_service_link(rest: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let is_protocol = |word: &&str| ["TCP", "UDP", "SCTP"].contains(word);
    let is_number = |word: &&str| word.parse::<u16>().is_ok();
    let is_port = |words: &[&str]| match words {
        ["PORT"] => true,
        ["PORT", number, protocol] => is_number(number) && is_protocol(protocol),
        ["PORT", number, protocol, "PROTO" | "PORT" | "ADDR"] => is_number(number) && is_protocol(protocol),
        _ => false,
    };
    (0..words.len()).any(|at| match &words[at..] {
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        end => is_port(end),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(names: &[&str]) -> Vec<String> {
        let environment: Vec<_> = names.iter().map(|name| (name.into(), "hunter2".into())).collect();
        ignored_variables(&environment).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ignored_variable_is_warned_of_with_the_right_spelling() {
        for (name, right) in [
            ("STREAM_LIVE_EXPORTER_WEBHOOK_PATH", "STREAM_LIVE_EXPORTER__WEBHOOK__PATH"),
            ("STREAM_LIVE_EXPORTER_WEBHOOK__PATH", "STREAM_LIVE_EXPORTER__WEBHOOK__PATH"),
            ("STREAM_LIVE_EXPORTER_WEBHOOK_LISTEN_ADDRESS", "STREAM_LIVE_EXPORTER__WEBHOOK__LISTEN_ADDRESS"),
            ("STREAM_LIVE_EXPORTER_WEB_CONFIG_FILE", "STREAM_LIVE_EXPORTER__WEB__CONFIG_FILE"),
            ("STREAM_LIVE_EXPORTER_CONFIG_FILE", "STREAM_LIVE_EXPORTER__CONFIG__FILE"),
            ("STREAM_LIVE_EXPORTER_WEBHOOK_SECRETS_A", "STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__A"),
            ("STREAM_LIVE_EXPORTER_WEBHOOK_SECRET_FILES_A", "STREAM_LIVE_EXPORTER__WEBHOOK__SECRET_FILES__A"),
            ("stream_live_exporter__log__level", "STREAM_LIVE_EXPORTER__LOG__LEVEL"),
            ("STREAM_LIVE_EXPORTER_ANYTHING", "STREAM_LIVE_EXPORTER__"),
        ] {
            let warnings = warnings(&[name]);
            assert_eq!(warnings.len(), 1, "{name}");
            assert!(warnings[0].starts_with(&format!("{name}: ")) && warnings[0].contains(right), "{}", warnings[0]);
            assert!(!warnings[0].contains("hunter2"), "{}", warnings[0]);
        }
    }

    #[test]
    fn variables_of_kubernetes_and_other_programs_are_not_warned_of() {
        let names = [
            "STREAM_LIVE_EXPORTER_SERVICE_HOST",
            "STREAM_LIVE_EXPORTER_SERVICE_PORT",
            "STREAM_LIVE_EXPORTER_SERVICE_PORT_WEBHOOK",
            "STREAM_LIVE_EXPORTER_PORT",
            "STREAM_LIVE_EXPORTER_PORT_10418_TCP",
            "STREAM_LIVE_EXPORTER_PORT_10418_TCP_PROTO",
            "STREAM_LIVE_EXPORTER_PORT_10418_TCP_PORT",
            "STREAM_LIVE_EXPORTER_PORT_10418_TCP_ADDR",
            "STREAM_LIVE_EXPORTER_WEB_SERVICE_HOST",
            "STREAM_LIVE_EXPORTER_WEB_PORT_10419_TCP_ADDR",
            "STREAM_LIVE_EXPORTER__WEBHOOK__PATH",
            "STREAM_LIVE_EXPORTER__CONFIG__FILE",
            "STREAM_LIVE_EXPORTER",
            "STREAM_LIVE",
            "PATH",
        ];
        assert_eq!(warnings(&names), [""; 0]);
    }

    #[test]
    fn unknown_key_is_recognised_by_its_letters() {
        for (misspelt, key) in [
            ("webhook_path", Some("webhook.path")),
            ("webhook.listen-address", Some("webhook.listen_address")),
            ("Webhook.Path", Some("webhook.path")),
            ("webhook.path.x", None),
            ("webhok.path", None),
        ] {
            assert_eq!(known_key(misspelt).as_deref(), key, "{misspelt}");
        }
    }
}
