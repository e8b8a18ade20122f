//! A strict body gives the same result after trailing commas and comments are inserted anywhere.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stream_live_exporter::accept;
use stream_live_exporter::event::Timestamp;

#[path = "../../src/accept/notification/tests/leniency.rs"]
mod leniency;

fuzz_target!(|input: &[u8]| {
    let received_at = Timestamp::from_seconds(1_795_300_000);
    // The first bytes choose the insertions, repeatedly.
    let Some((choices, body)) = input.split_at_checked(8) else { return };
    if !serde_json::from_slice::<Value>(body).is_ok_and(|value| value.is_object()) {
        return;
    }
    let strict = accept::read(body, received_at).expect("a JSON object is read");
    let mut chosen = choices.iter().cycle();
    let (lenient, differs) = leniency::lenient(body, || *chosen.next().expect("there are eight bytes"));
    let reading = accept::read(&lenient, received_at).expect("commas and comments are accepted");
    assert_eq!((reading.notification, reading.lenient), (strict.notification, differs));
    assert_eq!(accept::read(&leniency::strict(&lenient), received_at).map(|reading| reading.lenient), Ok(false));
});
