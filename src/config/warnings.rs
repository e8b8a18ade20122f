//! Values that are valid and can hardly be meant.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ureq::http::Uri;

use super::cloudflare::CloudflareAccount;
use super::problem::Problem;
use super::reader::Effective;
use super::settings::Settings;
use super::values::duration_in_words;
use crate::event::Timestamp;
use crate::schedule::{Configured, Expectation};

/// Cloudflare's notifications have about 0.6 kB; error messages make them longer.
const SMALL_BODY: usize = 4 << 10;
/// All bodies in memory share 16 MiB.
const LARGE_BODY: usize = 1 << 20;
const SHORT_TIMEOUT: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Tested up to this number.
const MANY_INPUTS: usize = 1_000_000;
/// The dashboard and other programs use the rest of the limit of Cloudflare's API.
const LARGE_SHARE: f64 = 0.5;
const SHORT_INTERVAL: Duration = Duration::from_secs(10);

impl Settings {
    /// What is accepted although it can hardly be meant.
    pub fn warnings(&self, now: Timestamp) -> Vec<Problem> {
        let mut warnings = Warnings { settings: self, found: self.warnings.clone() };
        warnings.webhook();
        warnings.storage_and_inputs();
        warnings.cloudflare();
        warnings.schedules(now);
        warnings.found
    }
}

struct Warnings<'a> {
    settings: &'a Settings,
    found: Vec<Problem>,
}

impl Warnings<'_> {
    fn webhook(&mut self) {
        let webhook = &self.settings.webhook;
        let size = webhook.max_body_size;
        self.check(size < SMALL_BODY, "webhook.max_body_size", || {
            format!("{size} bytes are too few for some notifications, which are then rejected with 413")
        });
        self.check(size > LARGE_BODY, "webhook.max_body_size", || {
            format!("bodies of {size} bytes may use up the memory for all bodies; notifications have less than 4 KiB")
        });
        for (key, timeout) in
            [("webhook.body_timeout", webhook.body_timeout), ("webhook.idle_timeout", webhook.idle_timeout)]
        {
            self.check(timeout < SHORT_TIMEOUT, key, || {
                format!("{} are too short for a slow network", duration_in_words(timeout))
            });
        }
        self.check(webhook.body_timeout > webhook.idle_timeout, "webhook.body_timeout", || {
            "has no effect, because webhook.idle_timeout closes the connection before".to_owned()
        });
        self.check(
            webhook.max_connections_per_peer > webhook.max_connections,
            "webhook.max_connections_per_peer",
            || "has no effect, because webhook.max_connections is smaller".to_owned(),
        );
        for network in webhook.trusted_proxies.iter().filter(|network| network.prefix_len() == 0) {
            self.check(true, "webhook.trusted_proxies", || {
                format!("{network} trusts everyone, so clients can choose the address that limits apply to")
            });
        }
        let (path, telemetry_path) = (&webhook.path, &self.settings.web.telemetry_path);
        for (key, path) in [("webhook.path", path), ("web.telemetry_path", telemetry_path)] {
            // The first part is before the leading slash; the last one may be empty.
            let inner = path.trim_end_matches('/').split('/').skip(1);
            let is_normalised = |part: &str| part.is_empty() || part == "." || part == "..";
            self.check(inner.into_iter().any(is_normalised) || path.ends_with("//"), key, || {
                "clients and proxies normalise such a path, so requests may not match it".to_owned()
            });
        }
    }

    fn storage_and_inputs(&mut self) {
        let (retention, inputs) = (self.settings.storage.retention, &self.settings.inputs);
        self.check(retention < DAY, "storage.retention", || {
            format!("events are deleted after {}", duration_in_words(retention))
        });
        self.server();
        let (window, forget_after) = (inputs.reconnect_window, inputs.forget_after);
        self.check(window > DAY, "inputs.reconnect_window", || {
            format!("sessions end only {} after a disconnect", duration_in_words(window))
        });
        let reorder_window = inputs.reorder_window;
        self.check(reorder_window > HOUR, "inputs.reorder_window", || {
            format!("losses and session durations appear {} late", duration_in_words(reorder_window))
        });
        self.check(!forget_after.is_zero() && forget_after < HOUR.max(window), "inputs.forget_after", || {
            format!("inputs are forgotten {} after a disconnect, with their counters", duration_in_words(forget_after))
        });
        self.check(inputs.max > MANY_INPUTS, "inputs.max", || {
            format!("more than {MANY_INPUTS} inputs are not tested and may need too much memory")
        });
        let mut ids: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (id, Configured { name, .. }) in &inputs.configured {
            ids.entry(name).or_default().push(id.to_string());
        }
        for (name, ids) in ids.into_iter().filter(|(_, ids)| ids.len() > 1) {
            let key = format!("inputs.{}.name", ids[0]);
            self.check(true, &key, || format!("{} inputs have the name {name:?}: {}", ids.len(), ids.join(", ")));
        }
    }

    fn server(&mut self) {
        let Some(address) = &self.settings.storage.url else {
            let is_set = |effective: &&Effective| {
                let is_of_server = ["storage.password_file", "storage.schema", "storage.spool_max"];
                is_of_server.contains(&effective.key.as_str()) && effective.origin != "default"
            };
            for Effective { key, .. } in self.settings.effective.iter().filter(is_set) {
                self.check(true, key, || "has no effect without storage.url".to_owned());
            }
            return;
        };
        self.check(address.is_exposed(), "storage.url", || {
            "sends events without encryption; use sslmode=verify-full".to_owned()
        });
        self.check(address.is_unverified(), "storage.url", || {
            "accepts any certificate, so another machine can pose as the server; use sslmode=verify-full".to_owned()
        });
    }

    fn cloudflare(&mut self) {
        let cloudflare = &self.settings.cloudflare;
        if cloudflare.accounts.is_empty() {
            self.cloudflare_without_account();
        }
        let requests = cloudflare.base_url.parse::<Uri>();
        let is_exposed = requests.is_ok_and(|url| url.scheme_str() == Some("http") && !is_loopback(&url));
        self.check(is_exposed, "cloudflare.base_url", || "sends tokens without encryption; use https".to_owned());
        let share = cloudflare.request_share;
        self.check(share > LARGE_SHARE, "cloudflare.request_share", || {
            format!("leaves {:.0} % of the API's limit to the dashboard and other programs", (1.0 - share) * 100.0)
        });
        for (name, interval) in [
            ("inventory", cloudflare.inventory_interval),
            ("destination", cloudflare.destination_interval),
            ("quality", cloudflare.quality_interval),
        ] {
            self.check(interval < SHORT_INTERVAL, &format!("cloudflare.{name}_interval"), || {
                format!("every {} uses up requests that other features need", duration_in_words(interval))
            });
        }
        let mut token_files: BTreeMap<&Path, usize> = BTreeMap::new();
        for account in &cloudflare.accounts {
            *token_files.entry(&account.token_file).or_default() += 1;
            self.webhook_url(account);
        }
        for (file, count) in token_files.into_iter().filter(|(_, count)| *count > 1) {
            self.check(share * count as f64 > LARGE_SHARE, "cloudflare.request_share", || {
                format!(
                    "each of {count} accounts uses this share of one limit, because {} is the token of all",
                    file.display()
                )
            });
        }
    }

    fn cloudflare_without_account(&mut self) {
        let is_set = |effective: &&Effective| {
            let is_off = ["", "false"].contains(&effective.value.as_str());
            effective.key.starts_with("cloudflare.") && effective.origin != "default" && !is_off
        };
        for Effective { key, .. } in self.settings.effective.iter().filter(is_set) {
            self.check(true, key, || "has no effect without cloudflare.account_id or cloudflare.accounts".to_owned());
        }
    }

    fn webhook_url(&mut self, account: &CloudflareAccount) {
        let key = account.webhook_url_key();
        let Some(url) = account.webhook_url.as_ref().and_then(|url| url.parse::<Uri>().ok()) else {
            self.check(self.settings.cloudflare.destination, &key, || {
                "is empty, so cloudflare.destination has no effect".to_owned()
            });
            return;
        };
        self.check(url.scheme_str() == Some("http"), &key, || {
            "sends the webhook's secret without encryption; use https".to_owned()
        });
        let port = url.port_u16().filter(|port| ![80, 443].contains(port));
        self.check(port.is_some(), &key, || "Cloudflare delivers only to the ports 80 and 443".to_owned());
    }

    fn schedules(&mut self, now: Timestamp) {
        for (id, Configured { expectation, .. }) in &self.settings.inputs.configured {
            let Expectation::Scheduled(schedule) = expectation else { continue };
            for (index, window) in schedule.windows().iter().enumerate() {
                let ended = window.ends().filter(|end| *end <= now);
                let key = format!("inputs.{id}.expected[{index}]");
                if let Some(end) = ended {
                    self.check(true, &key, || format!("the window has ended at {end}; remove it"));
                }
            }
        }
    }

    /// Adds a warning if the value is dangerous.
    fn check(&mut self, is_dangerous: bool, key: &str, message: impl FnOnce() -> String) {
        if is_dangerous {
            let effective = self.settings.effective.iter().find(|effective| effective.key == key);
            let origin = effective.map_or("configuration", |effective| effective.origin.as_str());
            self.found.push(Problem::new(origin, Some(key), message()));
        }
    }
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
