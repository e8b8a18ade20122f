//! Updates of open pages, as server-sent events. A message has only the fragments that have changed.
//!
//! ```text
//! state ─▶ rendered at most once a second (feeds) ─▶ what has changed (update) ─▶ streams of all pages that show the same
//! ```
//!
//! A page names what it shows by a hash, so that a stream does not repeat it. A stream that misses an update, because its
//! client reads slowly, gets the whole page next.

mod feeds;
mod stream;
mod update;

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};

pub(in crate::http::private) use self::feeds::{Feeds, MAX_STREAMS};
use self::feeds::{OpenPage, Render};
use super::address::Address;
use super::fragment::Fragment;
use super::input;
use super::outline::State;
use super::snapshot::Snapshot;
use super::status;
use crate::event::InputId;
use crate::http::private::Private;
use crate::http::private::correction::Refusal;
use crate::http::private::correction_policy::CorrectionPolicy;
use crate::http::private::management::is_cross_origin;
use crate::http::private::parameters::Parameters;
use crate::http::responses::text;

/// What a page shows, and to whom. Pages with equal subjects share a feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subject {
    address: Address,
    /// Whether the person who reads the page may do actions.
    is_permitted: bool,
}

/// The feeds of these pages.
pub(in crate::http::private) fn feeds(private: Arc<Private>) -> Feeds {
    let version = private.state_reader.version();
    let render: Render = Box::new(move |pages| {
        let private = private.clone();
        Box::pin(async move {
            let histories = histories(&private, &pages).await;
            let rendered = web::block(move || {
                let snapshot = Snapshot::take(&private);
                let fragments = |subject: &Subject| subject.fragments(&snapshot, &histories);
                pages.into_iter().map(|page: OpenPage| page.rendered(snapshot.now, fragments)).collect()
            });
            // After a panic, which the log has, pages stay as they are.
            rendered.await.unwrap_or_default()
        })
    });
    Feeds::new(version, render)
}

/// The histories of the inputs whose pages are open.
async fn histories(private: &Private, pages: &[OpenPage]) -> HashMap<InputId, input::History> {
    let mut histories = HashMap::new();
    for page in pages {
        if let Address::Input(id) = page.subject.address
            && !histories.contains_key(&id)
        {
            histories.insert(id, private.timelines.input(id).await);
        }
    }
    histories
}

impl Subject {
    fn fragments(&self, snapshot: &Snapshot, histories: &HashMap<InputId, input::History>) -> Vec<Fragment> {
        let permission = if self.is_permitted { Ok(()) } else { Err(Refusal::Forbidden) };
        match &self.address {
            Address::Status(query) => status::page(snapshot, query, None, &permission).fragments,
            Address::Input(id) => histories
                .get(id)
                .map_or_else(Vec::new, |history| input::page(snapshot, *id, history, None, &permission).fragments),
        }
    }
}

/// `GET /updates`: the updates of the page that `page` names, which shows the state `have`.
pub(in crate::http::private) async fn updates(
    request: HttpRequest,
    private: Data<Private>,
    policy: Data<CorrectionPolicy>,
    feeds: Data<Feeds>,
) -> HttpResponse {
    if is_cross_origin(request.headers()) {
        return text(StatusCode::FORBIDDEN, "pages of other origins get no updates");
    }
    let parameters = match Parameters::of(&request, &["page", "have"]) {
        Ok(parameters) => parameters,
        Err(invalid) => return invalid.response(),
    };
    let Some(address) = Address::parse(parameters.text("page").unwrap_or_default()) else {
        return text(StatusCode::NOT_FOUND, "query parameter \"page\": there is no such page that has updates");
    };
    if private.state_reader.readiness().draining() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the daemon is shutting down");
    }
    let subject = Subject { address, is_permitted: policy.check_page(&request).is_ok() };
    let Some(subscription) = feeds.into_inner().subscribe(subject) else {
        return text(StatusCode::SERVICE_UNAVAILABLE, &format!("too many open pages (allowed: {MAX_STREAMS})"));
    };
    let seen = last_event(request.headers()).or(parameters.text("have")).and_then(State::parse);
    let until_draining = private.state_reader.readiness().until_draining();
    HttpResponse::Ok()
        .content_type("text/event-stream")
        // nginx would collect the updates.
        .insert_header(("x-accel-buffering", "no"))
        // The connection is not used for anything else, so a client that has disconnected is noticed at once.
        .force_close()
        .streaming(stream::updates(subscription, seen, until_draining))
}

/// The state that the page has since the last message of an earlier stream.
fn last_event(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id")?.to_str().ok()
}
