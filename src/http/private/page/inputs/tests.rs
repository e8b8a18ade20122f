//! The HTML of the list.

use std::sync::Arc;

use super::*;
use crate::http::configuration::Configuration;
use crate::http::private::page::world::{World, at, input_id};
use crate::schedule::Expectation::{Always, Never};

fn html(snapshot: &Snapshot, query: &ListQuery) -> String {
    let overview = Overview::of(snapshot.view.as_ref().unwrap());
    fragments(snapshot, &overview, query).iter().map(ToString::to_string).collect()
}

#[test]
fn list_has_one_row_for_each_input_and_nothing_before_the_restore() {
    let world = World::new(at(1000), &[(1, "<b>Hall", Always), (2, "", Never)]).event(1, "disconnected", at(10)).event(
        1,
        "<i>",
        at(20),
    );
    let snapshot = world.snapshot();
    let html = html(&snapshot, &ListQuery::default());
    for number in [1, 2] {
        let id = input_id(number);
        assert_eq!(html.matches(&format!("<tr id=row-{id}>")).count(), 1, "{html}");
        assert_eq!(html.matches(&format!("href=inputs/{id}>")).count(), 1, "{html}");
    }
    assert_eq!(html.matches("class=\"badge off-expected\"").count(), 1);
    assert_eq!(html.matches("class=\"badge unknown\"").count(), 1);
    assert!(!html.contains("<b>Hall") && !html.contains("<i>"), "{html}");
    assert_eq!(fragments(&Snapshot::default(), &Overview::default(), &ListQuery::default()), []);
}

#[test]
fn links_lead_to_grafana_and_cloudflare_if_they_are_known() {
    let world = World::new(at(1000), &[(1, "Hall", Always), (2, "", Never)]).event(1, "connected", at(10));
    let plain = html(&world.snapshot(), &ListQuery::default());
    assert_eq!((plain.matches("/grafana>").count(), plain.matches("/cloudflare>").count()), (0, 1));
    let configuration =
        Arc::new(Configuration { grafana_url: Some("https://grafana.example".into()), ..Configuration::default() });
    let linked = html(&Snapshot { configuration, ..world.snapshot() }, &ListQuery::default());
    assert_eq!((linked.matches("/grafana>").count(), linked.matches("/cloudflare>").count()), (2, 1));
}

#[test]
fn rows_with_all_links_leave_room_for_the_rest_of_the_page() {
    let configured: Vec<_> = (0..100).map(|number| (number, "Main stage, camera 1", Always)).collect();
    let mut world = World::new(at(90_000), &configured);
    for number in 0..100 {
        world = world.event(number, "connected", at(u64::from(number)));
    }
    let configuration =
        Arc::new(Configuration { grafana_url: Some("https://grafana.example.com".into()), ..Configuration::default() });
    let snapshot = Snapshot { configuration, ..world.snapshot() };
    let size = html(&snapshot, &ListQuery::default()).len();
    assert!(size < 50_000, "{size}");
}
