//! `GET /api/v1/cloudflare`: the tasks that use Cloudflare's API. `POST /api/v1/cloudflare/backfill`: starts a backfill.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::Value;

use super::Private;
use super::correction_policy::CorrectionPolicy;
use super::parameters::Parameters;
use crate::clock;
use crate::event::Timestamp;
use crate::http::responses::restoring;
use crate::live::{Downtime, View};

/// The tasks that use Cloudflare's API.
pub trait ApiTasks: Send + Sync {
    /// The state of the tasks of each account, as JSON objects.
    fn accounts(&self) -> Vec<Value>;

    /// Starts to read the notification history of each account since this time. Returns the number of accounts.
    fn backfill(&self, since: Timestamp) -> usize;
}

/// The answer of `GET`.
#[derive(Serialize)]
struct Status {
    accounts: Vec<Value>,
    downtime: Option<DowntimeStatus>,
}

/// The last time during which the daemon did not run.
#[derive(Serialize)]
struct DowntimeStatus {
    from: String,
    until: String,
    /// From when on the notification history still has to be read.
    backfill_from: Option<String>,
}

/// The answer of `POST`.
#[derive(Serialize)]
struct Started {
    since: String,
    /// The backfill that this request starts has a later end of its period.
    requested_at: String,
    accounts: usize,
}

/// The state of the tasks.
pub(super) async fn status(request: HttpRequest, private: Data<Private>) -> HttpResponse {
    if let Err(invalid) = Parameters::of(&request, &[]) {
        return invalid.response();
    }
    let Some(View { downtime, .. }) = private.state_reader.view() else { return restoring() };
    let downtime = downtime.map(|Downtime { from, until, backfill_from }| DowntimeStatus {
        from: from.to_string(),
        until: until.to_string(),
        backfill_from: backfill_from.map(|at| at.to_string()),
    });
    HttpResponse::Ok().json(Status { accounts: private.api_tasks.accounts(), downtime })
}

/// Starts a backfill of all accounts. `GET /api/v1/cloudflare` has its progress.
pub(super) async fn backfill(
    request: HttpRequest,
    private: Data<Private>,
    policy: Data<CorrectionPolicy>,
) -> HttpResponse {
    if let Err(refusal) = policy.check(&request) {
        return refusal.response();
    }
    let parameters = match Parameters::of(&request, &["since"]) {
        Ok(parameters) => parameters,
        Err(invalid) => return invalid.response(),
    };
    if private.state_reader.view().is_none() {
        return restoring();
    }
    let now = clock::now();
    let since = parameters.text("since").and_then(|since| since.parse().ok());
    let Some(since) = since.filter(|since: &Timestamp| *since <= now) else {
        return refused(
            StatusCode::BAD_REQUEST,
            "the query parameter `since` must be a past time as in 2026-11-20T18:00:00Z",
        );
    };
    if !private.state_reader.leads() {
        return refused(
            StatusCode::CONFLICT,
            "another replica asks Cloudflare's API: send this to the one with stream_live_exporter_journal_lease_holder 1",
        );
    }
    match private.api_tasks.backfill(since) {
        0 => refused(
            StatusCode::CONFLICT,
            "no Cloudflare account is configured: set cloudflare.account_id and cloudflare.token_file",
        ),
        accounts => {
            HttpResponse::Accepted().json(Started { since: since.to_string(), requested_at: now.to_string(), accounts })
        }
    }
}

fn refused(status: StatusCode, error: &str) -> HttpResponse {
    HttpResponse::build(status).json(serde_json::json!({ "error": error }))
}
