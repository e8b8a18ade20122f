//! The status page: its sections in their order.

use actix_web::http::StatusCode;

use super::actions::{self, Permission};
use super::banner;
use super::fragment::Fragment;
use super::layout::Page;
use super::setup;
use super::snapshot::Snapshot;

/// The page. Its status is 503 until the state is restored, as that of the API.
///
/// `notice` is about the action that led to the page.
pub(super) fn page(snapshot: &Snapshot, notice: Option<Fragment>, permission: &Permission) -> Page {
    let status = if snapshot.view.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut fragments = Vec::from_iter(notice);
    fragments.push(banner::fragment(snapshot));
    fragments.extend(setup::fragment(snapshot));
    fragments.push(actions::of_status(".", permission));
    Page { status, title: "Status".to_owned(), root: ".", now: snapshot.now, fragments }
}
