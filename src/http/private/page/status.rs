//! The status page: its sections in their order.

use actix_web::http::StatusCode;

use super::actions::{self, Permission};
use super::address::Address;
use super::fragment::Fragment;
use super::layout::Page;
use super::list_query::ListQuery;
use super::overview::Overview;
use super::snapshot::Snapshot;
use super::{banner, deliveries, health, inputs, setup};

/// The page. Its status is 503 until the state is restored, as that of the API.
///
/// `notice` is about the action that led to the page.
pub(super) fn page(snapshot: &Snapshot, query: &ListQuery, notice: Option<Fragment>, permission: &Permission) -> Page {
    let status = if snapshot.view.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let overview = snapshot.view.as_ref().map(Overview::of).unwrap_or_default();
    let mut fragments = vec![banner::fragment(snapshot, &overview)];
    fragments.extend(setup::fragment(snapshot));
    fragments.extend(inputs::fragments(snapshot, &overview, query));
    fragments.push(deliveries::fragment(snapshot));
    fragments.extend(health::fragments(snapshot));
    fragments.push(actions::of_status(".", permission));
    let (title, now, address) = ("Status".to_owned(), snapshot.now, Some(Address::Status(query.clone())));
    Page { status, title, root: ".", now, address, notice, fragments }
}
