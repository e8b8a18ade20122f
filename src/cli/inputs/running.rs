//! The inputs of the running daemon.

use anyhow::Context;
use serde::Deserialize;

use super::{Change, Decision};
use crate::cli::client::Client;
use crate::event::Corrected;
use crate::recorder::CorrectionOutcome;

/// The answer to a correction.
#[derive(Deserialize)]
struct Done {
    changed: bool,
}

/// The JSON document with all inputs.
pub(super) fn list(daemon: &Client) -> anyhow::Result<String> {
    daemon.get("/api/v1/inputs")
}

pub(super) fn correct(daemon: &Client, change: &Change<'_>) -> anyhow::Result<CorrectionOutcome> {
    let Change { input_id, to, reason } = change;
    let path = format!("/api/v1/inputs/{input_id}");
    let answer = if *to == Corrected::Forgotten {
        daemon.delete(&path, &parameters(*reason))?
    } else {
        let body = serde_json::json!({ "state": to.label(), "reason": reason });
        daemon.post(&format!("{path}/state"), Some(&body))?
    };
    outcome(daemon, &path, &answer)
}

pub(super) fn except(daemon: &Client, decision: &Decision<'_>) -> anyhow::Result<CorrectionOutcome> {
    let Decision { input_id, expected, reason } = decision;
    let path = format!("/api/v1/inputs/{input_id}/expectation");
    let answer = if let Some((expected, until)) = expected {
        let expected = if *expected { "on" } else { "off" };
        let body = serde_json::json!({ "expected": expected, "until": until.to_string(), "reason": reason });
        daemon.post(&path, Some(&body))?
    } else {
        daemon.delete(&path, &parameters(*reason))?
    };
    outcome(daemon, &path, &answer)
}

fn parameters(reason: Option<&str>) -> Vec<(&str, &str)> {
    reason.iter().map(|reason| ("reason", *reason)).collect()
}

fn outcome(daemon: &Client, path: &str, answer: &str) -> anyhow::Result<CorrectionOutcome> {
    let Done { changed } = serde_json::from_str(answer)
        .with_context(|| format!("{} is not the API of stream-live-exporter", daemon.url_of(path)))?;
    Ok(if changed { CorrectionOutcome::Recorded } else { CorrectionOutcome::Unchanged })
}
