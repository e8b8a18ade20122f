//! The lines of the health section, and when each of them is not ok.

use std::time::Duration;

use bytesize::ByteSize;

use super::item::{Item, Level};
use super::{api, shared};
use crate::event::Timestamp;
use crate::http::configuration::{Configuration, ConfiguredSecret};
use crate::http::private::page::health_facts::{CertificateFacts, ConnectionFacts, HealthFacts};
use crate::http::private::page::snapshot::Snapshot;
use crate::live::View;

/// A secret that was not used for this long before the most recently used one can be removed, as the alert says.
const SECRET_IDLE: Duration = Duration::from_secs(8 * 86_400);
/// A certificate that expires within this time is late, as the alert says.
const CERTIFICATE_LEFT: Duration = Duration::from_secs(14 * 86_400);
/// Shorter operations on the disk are not shown: there is nearly always one.
const LONG_OPERATION: Duration = Duration::from_secs(1);

/// All lines, in their order.
pub(super) fn all(snapshot: &Snapshot) -> Vec<Item> {
    let Snapshot { view, now, configuration, health, .. } = snapshot;
    let mut items = vec![recording(snapshot), queue(health), write(health, *now)];
    if let Some(view) = view {
        items.extend([journal(view), last_commit(view), inputs(view)]);
        items.extend(view.shared.iter().flat_map(shared::items));
        items.extend(configuration.secrets.iter().map(|used| secret(used, configuration, view)));
    }
    items.extend(health.certificates.iter().map(|served| certificate(served, *now)));
    items.extend(health.connections.iter().map(connections));
    items.extend(snapshot.api_accounts.iter().flat_map(|account| api::items(account, *now)));
    items.extend([reload(configuration), build()]);
    items.extend(health.started_at.map(|at| Item::new("started", "Started").time(at)));
    items
}

fn recording(snapshot: &Snapshot) -> Item {
    let advice = "Notifications are answered 503, and Cloudflare repeats only some of them. Restore the disk.";
    let item = Item::new("recording", "Recording notifications");
    match &snapshot.failing {
        None => item.text("ready"),
        Some(reason) => {
            item.text(reason.clone()).when(true, Level::Bad, advice, Some("StreamLiveExporterJournalFailing"))
        }
    }
}

fn queue(facts: &HealthFacts) -> Item {
    let queue = facts.queue;
    let fill = |used: usize, limit: usize, tenths: usize| limit > 0 && used * 10 >= limit * tenths;
    let is_filled = |tenths| fill(queue.waiting, queue.limit, tenths) || fill(queue.bytes, queue.bytes_limit, tenths);
    let advice = "Check how long commits take, and whether the webhook is flooded.";
    let alert = Some("StreamLiveExporterOverloaded");
    Item::new("queue", "Queue")
        .number(&queue.waiting)
        .text(format!(" of {} notifications; ", queue.limit))
        .bytes(queue.bytes as u64)
        .text(format!(" of {}", ByteSize::b(queue.bytes_limit as u64)))
        .when(is_filled(5), Level::Warn, advice, alert)
        .when(is_filled(10), Level::Bad, advice, alert)
}

fn write(facts: &HealthFacts, now: Timestamp) -> Item {
    let item = Item::new("write", "Disk operation under way");
    let is_long = |since: Timestamp| now.since(since).is_some_and(|age| age >= LONG_OPERATION);
    match facts.operation.filter(|operation| facts.is_hanging || is_long(operation.since)) {
        None => item.text("none for longer than a second"),
        Some(operation) => {
            let advice = "The disk hangs, or another program holds the database.";
            let alert = Some("StreamLiveExporterJournalWriteHanging");
            let item = item.text(operation.name).text(" since ").time(operation.since);
            item.when(facts.is_hanging, Level::Bad, advice, alert)
        }
    }
}

fn journal(view: &View) -> Item {
    let item = Item::new("journal", "Journal").bytes(view.journal_size_bytes).text("; ");
    let item = item.number(&view.journal_events).text(" events");
    match view.oldest_event.filter(|_| view.journal_events > 0) {
        Some(oldest) => item.text(", the oldest received ").time(oldest),
        None => item,
    }
}

fn last_commit(view: &View) -> Item {
    let item = Item::new("commit", "Last sync");
    match view.committed_at {
        Some(at) => item.time(at),
        None => item.text("nothing was recorded since the start"),
    }
}

fn inputs(view: &View) -> Item {
    let (known, limit) = (view.gauge_state().known_count(), view.state.rules().max_inputs);
    let advice = "Raise inputs.max and reload, or set inputs.forget_after.";
    let item = Item::new("inputs", "Known inputs").number(&known).text(format!(" of {limit}"));
    item.when(known * 10 >= limit * 9, Level::Warn, advice, Some("StreamLiveExporterInputLimitNear"))
}

fn secret(used: &ConfiguredSecret, configuration: &Configuration, view: &View) -> Item {
    let by_secret = &view.gauge_state().last_seen().by_secret;
    let item = Item::new(format!("secret-{}", used.name), format!("Secret {}", used.name));
    let item = match &used.file {
        Some(file) => item.code(file.display().to_string()),
        None => item.text("from the environment"),
    };
    let Some(last) = by_secret.get(&used.name).copied() else {
        let advice = if configuration.secrets.len() > 1 {
            "Enter it in the destination at Cloudflare, or remove it if it is not needed."
        } else {
            "Enter it in the destination at Cloudflare, and press Save and Test."
        };
        return item.text("; never used").when(true, Level::Warn, advice, None);
    };
    let newest = by_secret.values().copied().max().unwrap_or(last);
    let is_idle = newest.since(last).is_some_and(|idle| idle >= SECRET_IDLE);
    let advice = "It is no longer used: delete its destination, remove it from webhook.secret_files, and reload.";
    item.text("; last used ").time(last).when(is_idle, Level::Warn, advice, Some("StreamLiveSecretUnused"))
}

fn certificate(CertificateFacts { listener, file, not_after }: &CertificateFacts, now: Timestamp) -> Item {
    let (alert, late) = (Some("StreamLiveExporterCertificateExpiring"), now.plus(CERTIFICATE_LEFT));
    let advice = "Renew it, and write certificate and key to the same files. A restart is not needed.";
    Item::new(format!("certificate-{listener}"), format!("Certificate of the listener {listener}"))
        .code(file.display().to_string())
        .text("; expires ")
        .time(*not_after)
        .when(*not_after < late, Level::Warn, advice, alert)
        .when(*not_after <= now, Level::Bad, advice, alert)
}

fn connections(ConnectionFacts { listener, open, limit, refused }: &ConnectionFacts) -> Item {
    let is_full = *open * 10.0 >= *limit as f64 * 9.0;
    let advice = "Find out why a peer opens more connections than usual; the log names it.";
    Item::new(format!("connections-{listener}"), format!("Connections of the listener {listener}"))
        .number(open)
        .text(format!(" of {limit}; closed because of a limit since the start: "))
        .number(refused)
        .when(is_full, Level::Warn, advice, Some("StreamLiveExporterConnectionsRefused"))
}

fn reload(configuration: &Configuration) -> Item {
    let item = Item::new("reload", "Configuration").text("loaded ").time(configuration.loaded_at);
    let item = match configuration.needs_restart.as_slice() {
        [] => item,
        keys => item.text("; changed since the start: ").code(keys.join(", ")).when(
            true,
            Level::Warn,
            "Restart the exporter, so that these keys take effect.",
            None,
        ),
    };
    let Some(failed) = &configuration.failed_reload else { return item };
    let advice = "Correct what is listed below, and reload. The previous configuration is in force.";
    let item = item.text("; the reload failed ").time(failed.at);
    item.when(true, Level::Bad, advice, Some("StreamLiveExporterConfigReloadFailed"))
}

fn build() -> Item {
    let [version, revision, compiler] =
        [env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION"), env!("BUILD_RUSTC")].map(str::to_owned);
    let item = Item::new("build", "Version").code(version).text(", revision ").code(revision);
    item.text(", compiler ").code(compiler)
}

#[cfg(test)]
mod tests;
