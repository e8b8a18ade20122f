//! The status page, for people: what is wrong, since when, why, and what to do.
//!
//! A page is rendered by the server, from one [`Snapshot`] of everything that it shows, on a thread
//! for blocking work. It works without scripts. It reads the state and never advances the shown time, so that opening it
//! changes no counter.
//!
//! A page is a list of [`Fragment`](fragment::Fragment)s. Rendering is pure, and times are absolute, so a fragment
//! changes only if what it says changes.

pub(super) mod actions;
mod address;
mod assets;
mod banner;
mod deliveries;
mod expected;
mod fragment;
mod health;
mod health_facts;
pub(super) mod input;
mod inputs;
mod layout;
mod list_query;
mod order;
mod overview;
mod outline;
mod problem;
mod runbook;
mod setup;
mod snapshot;
mod status;
mod time;
mod today;
mod unrecognized;
mod updates;

#[cfg(test)]
mod world;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};

use self::layout::Page;
use self::list_query::ListQuery;
use self::snapshot::Snapshot;
pub(super) use self::unrecognized::{body as unrecognized_body, list as unrecognized_list};
pub(super) use self::updates::{MAX_STREAMS, feeds, updates};
use super::Private;
use super::correction_policy::CorrectionPolicy;
use super::parameters::Parameters;
use crate::http::responses::text;

/// `GET /`: the status of everything.
pub(super) async fn status(
    request: HttpRequest,
    private: Data<Private>,
    policy: Data<CorrectionPolicy>,
) -> HttpResponse {
    let parameters = Parameters::of(&request, &[&list_query::PARAMETERS[..], &["done"]].concat());
    let query =
        parameters.and_then(|parameters| Ok((ListQuery::of(&parameters)?, actions::notice(parameters.text("done")))));
    let (query, notice) = match query {
        Ok(query) => query,
        Err(invalid) => {
            let problem = problem::page(StatusCode::BAD_REQUEST, ".", "Invalid request", &invalid.to_string());
            return respond(&private, problem);
        }
    };
    let permission = policy.check_page(&request).map(drop);
    render(private, move |snapshot| status::page(&snapshot, &query, notice, &permission)).await
}

/// Responds with a page that shows nothing of the state, so that it waits for nothing.
fn respond(private: &Private, page: Page) -> HttpResponse {
    let (status, html) = page.into_response_parts(&private.telemetry_path);
    assets::respond(status, html)
}

/// Renders a page on a thread for blocking work, so that it delays no scrape.
async fn render(private: Data<Private>, page: impl FnOnce(Snapshot) -> Page + Send + 'static) -> HttpResponse {
    let private: Arc<Private> = private.into_inner();
    let rendered = web::block(move || {
        let telemetry_path = private.telemetry_path.clone();
        page(Snapshot::take(&private)).into_response_parts(&telemetry_path)
    });
    match rendered.await {
        Ok((status, html)) => assets::respond(status, html),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be rendered; the log has the reason"),
    }
}
