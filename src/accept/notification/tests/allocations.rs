//! Parsing a notification allocates only the memory that its event keeps.

use allocation_counter::{AllocationInfo, measure};

use super::*;

fn read_fixture(name: &str) -> (AllocationInfo, Reading) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/notifications/{name}.json"));
    let body = fs::read(path).unwrap();
    let mut reading = None;
    let allocated = measure(|| reading = Some(read(&body, Timestamp::from_seconds(RECEIVED_AT))));
    (allocated, reading.unwrap().unwrap())
}

#[test]
fn parsing_allocates_only_what_is_kept() {
    for (name, event) in [
        ("docs-disconnected", "disconnected"),
        ("connected", "connected"),
        ("disconnected", "disconnected"),
        ("errored-unhealthy", "errored"),
        ("errored-unknown-code", "errored"),
        ("errored-without-details", "errored"),
        ("errored-at-top-level", "errored"),
    ] {
        let (allocated, reading) = read_fixture(name);
        let Notification::Event(read) = &reading.notification else { panic!("{name} is not an event") };
        assert_eq!(read.kind.name(), event, "{name}");
        // A clone allocates exactly the kept memory.
        let mut copy = None;
        let kept = measure(|| copy = Some(reading.clone()));
        assert_eq!(copy, Some(reading), "{name}");
        assert_eq!((allocated.count_total, allocated.bytes_total), (kept.count_total, kept.bytes_total), "{name}");
    }
    for name in ["save-and-test-correctly", "unknown-event-type", "other-alert-type", "video-webhook-by-mistake"] {
        let (allocated, reading) = read_fixture(name);
        assert!(!matches!(reading.notification, Notification::Event(_)), "{name} is an event");
        assert_eq!(allocated.count_total, 0, "{name}");
    }
}

#[test]
fn kept_texts_are_counted() {
    let (allocated, _) = read_fixture("errored-unhealthy");
    assert!(allocated.count_total >= 2, "the detail and its message were not counted: {allocated:?}");
}
