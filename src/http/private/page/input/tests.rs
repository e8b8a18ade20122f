use std::time::Duration;

use super::super::world::{World, at, input_id};
use super::*;
use crate::event::{Corrected, Correction, Event, EventKind, Origin, Record, RecordKind, Timestamp};
use crate::http::private::correction::Refusal;
use crate::journal::{Location, SqliteJournal};
use crate::live::{Inventory, Listed};
use crate::schedule::Expectation;
use crate::timeline::{HistoryError, InputHistory, Timelines};

fn render(world: &World, id: InputId, history: &History, timelines: Option<&Timelines>) -> (StatusCode, String) {
    let snapshot = world.snapshot();
    let snapshot = Snapshot { days: timelines.and_then(|timelines| timelines.days(snapshot.now)), ..snapshot };
    page(&snapshot, id, history, None, &Err(Refusal::Forbidden)).into_response_parts("/metrics")
}

fn change(kind: EventKind, updated_at: Timestamp) -> Record {
    let (input_id, received_at) = (input_id(1), updated_at.plus(Duration::from_millis(1500)));
    let event = Event { input_id, kind, updated_at, sent_at: Some(updated_at), received_at, origin: Origin::default() };
    Record { recorded_at: received_at, ..Record::new(RecordKind::Event(event, None)) }
}

#[tokio::test]
async fn page_shows_sessions_records_and_why_the_state_is_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(folder.path()).unwrap();
    journal.recover_wal().unwrap();
    let correction = Correction {
        input_id: input_id(1),
        to: Corrected::Disconnected,
        at: at(3600),
        user: Some("<anna>".into()),
        reason: Some("lost & found".into()),
    };
    let corrected = Record { recorded_at: at(3600), ..Record::new(RecordKind::Correction(correction)) };
    journal.append(&mut [change(EventKind::Connected, at(0)), corrected]).unwrap();
    let world = World::new(at(7200), &[(1, "Main <hall>", Expectation::Always)]).event(1, "connected", at(0)).event(
        1,
        "disconnected",
        at(3600),
    );
    let timelines = Timelines::new(Location::Folder(folder.path().to_owned()));
    let history = timelines.input(input_id(1)).await;
    let (status, html) = render(&world, input_id(1), &history, Some(&timelines));
    assert_eq!(status, StatusCode::OK);
    for part in [
        "<h1 id=\"input-title\">Main &#60;hall&#62;</h1>",
        "badge off-expected",
        "by &#60;anna&#62;: lost &#38; found",
        "<svg class=bar",
        "<data value=\"3600\">1 h</data>",
        "<td>1.5 s</td>",
        "id=\"expectation\"",
        "id=\"actions\"",
    ] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    assert!(!html.contains("<anna>"));
}

#[test]
fn input_that_only_an_inventory_has_gets_the_same_page_and_an_unknown_one_404() {
    let mut world = World::new(at(100), &[]);
    let listed = Listed { name: "Chapel".into(), enabled: Some(false) };
    let account_id = crate::event::AccountId::from_bytes([0xac; 16]);
    world.fold.set_accounts([(account_id, "".into())].into());
    world.fold.set_inventory(Inventory { account_id, inputs: [(input_id(7), listed)].into() });
    let history = Ok(InputHistory::default());
    let (status, html) = render(&world, input_id(7), &history, None);
    assert_eq!(status, StatusCode::OK);
    for part in ["Chapel", "badge unknown", "https://dash.cloudflare.com/"] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    let (status, html) = render(&world, input_id(8), &history, None);
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(html.contains("href=\"../\""), "{html}");
    let starting = Snapshot::default();
    assert_eq!(page(&starting, input_id(7), &history, None, &Ok(())).status, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn unreadable_journal_leaves_the_rest_of_the_page() {
    let world = World::new(at(100), &[(1, "Main", Expectation::Never)]).event(1, "connected", at(0));
    let (status, html) = render(&world, input_id(1), &Err(HistoryError::TooSlow), None);
    assert_eq!(status, StatusCode::OK);
    for part in ["badge live", "id=\"sessions\"", "id=\"records\"", &HistoryError::TooSlow.to_string()] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
}
