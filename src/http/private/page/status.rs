//! The status page: its sections in their order.

use actix_web::http::StatusCode;

use super::banner;
use super::layout::Page;
use super::snapshot::Snapshot;

/// The page. Its status is 503 until the state is restored, as that of the API.
pub(super) fn page(snapshot: &Snapshot) -> Page {
    let status = if snapshot.view.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let fragments = vec![banner::fragment(snapshot)];
    Page { status, title: "Status".to_owned(), root: ".", now: snapshot.now, fragments }
}
