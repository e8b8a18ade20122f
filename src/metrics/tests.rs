//! The exposition as a whole, and the document that describes it.

mod parser;
mod properties;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;

use super::catalogue::{CHAPTERS, Family, Kind, markdown};
use super::*;
use crate::event::{Event, EventKind, InputId, Timestamp};
use crate::live::{Fold, Rules, View};
use crate::schedule::{Configured, Expectation};

const VALUES: LabelValues = LabelValues { outcomes: &["recorded"], rejections: &["secret"] };

fn at(millis: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_millis(1_795_000_000_000 + millis))
}

fn snapshot(inputs: u8) -> View {
    let mut fold = Fold::new(Rules { reconnect_window: Duration::from_secs(60), max_inputs: 10_000 });
    let name = "Back\\slash \"stage\"\n".into();
    let configured = Configured { name, expectation: Expectation::Always };
    fold.configure([(InputId::from_bytes([1; 16]), configured)].into());
    for input in 1..=inputs {
        let input_id = InputId::from_bytes([input; 16]);
        let event = Event {
            input_id,
            kind: EventKind::Connected,
            updated_at: at(1234),
            sent_at: Some(at(3000)),
            received_at: at(4000),
        };
        fold.replay(&event, at(0), true);
    }
    let state = fold.state().clone();
    View { state, as_of: at(61_234), journal_events: 1, journal_size_bytes: 4096, restored_inputs: 0 }
}

fn exposition(snapshot: View, format: Format, created_samples: bool) -> String {
    let exporter = Exporter::new(at(500), created_samples, VALUES);
    exporter.watch_certificate("webhook", || at(0));
    let chunks: Vec<_> = Exposition::new(snapshot, &exporter, format).collect();
    String::from_utf8(chunks.concat()).unwrap()
}

/// The lines about live inputs, which depend on the snapshot alone.
fn input_lines(text: &str, families: &[&str]) -> String {
    let wanted = |line: &&str| families.iter().any(|family| line.contains(family));
    text.lines().filter(wanted).collect::<Vec<_>>().join("\n")
}

#[test]
fn metrics_md_is_what_the_catalogue_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("METRICS.md");
    #[expect(clippy::disallowed_methods, reason = "asks whether the file is to be made anew")]
    if std::env::var("UPDATE_METRICS_MD").is_ok() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let document = std::fs::read_to_string(&path).unwrap();
    assert!(document == markdown(), "METRICS.md is out of date: UPDATE_METRICS_MD=1 cargo test --lib metrics_md");
}

#[test]
fn text_is_as_prometheus_describes_it() {
    let text = exposition(snapshot(1), Format::Text, false);
    let golden = r#"# HELP cloudflare_stream_live_input_connected Whether the newest evidence says that the live input is connected (1) or disconnected (0).
# TYPE cloudflare_stream_live_input_connected gauge
cloudflare_stream_live_input_connected{input_id="01010101010101010101010101010101"} 1
# HELP cloudflare_stream_live_input_connected_seconds_total Time that the live input is known to have been connected, the running connection included.
# TYPE cloudflare_stream_live_input_connected_seconds_total counter
cloudflare_stream_live_input_connected_seconds_total{input_id="01010101010101010101010101010101"} 60.000
# HELP cloudflare_stream_live_input_info A known live input and its configured name; the value is always 1.
# TYPE cloudflare_stream_live_input_info gauge
cloudflare_stream_live_input_info{input_id="01010101010101010101010101010101",name="Back\\slash \"stage\"\n"} 1"#;
    assert_eq!(input_lines(&text, &["input_connected", "input_info"]), golden);
    let golden = "# HELP cloudflare_stream_live_notification_source_delay_seconds Time from an event to Cloudflare's notification of it (ts - updated_at), over recorded events.
# TYPE cloudflare_stream_live_notification_source_delay_seconds histogram
cloudflare_stream_live_notification_source_delay_seconds_bucket{le=\"1\"} 0
cloudflare_stream_live_notification_source_delay_seconds_bucket{le=\"2\"} 1";
    assert!(input_lines(&text, &["source_delay"]).starts_with(golden));
    assert!(text.contains("source_delay_seconds_sum 1.766000\n"), "{text}");
    assert!(!text.contains("_created") && !text.contains("# EOF"));
    assert!(
        text.contains("\ncloudflare_stream_live_input_expected{input_id=\"01010101010101010101010101010101\"} 1\n")
    );
}

#[test]
fn openmetrics_names_families_without_total_and_says_when_it_is_over() {
    let text = exposition(snapshot(1), Format::OpenMetrics, false);
    let golden = r#"# HELP cloudflare_stream_live_input_sessions Broadcasts started: connects that do not follow a disconnect within the reconnect window.
# TYPE cloudflare_stream_live_input_sessions counter
cloudflare_stream_live_input_sessions_total{input_id="01010101010101010101010101010101"} 1"#;
    assert_eq!(input_lines(&text, &["input_sessions"]), golden);
    assert!(text.contains("session_duration_seconds_bucket{le=\"10.0\"} 0\n"), "{text}");
    assert!(text.contains("journal_batch_size_bucket{le=\"1.0\"} 0\n"), "{text}");
    assert!(text.ends_with("\n# EOF\n") && !text.contains("_created"));
}

#[test]
fn created_samples_follow_what_counts() {
    let text = exposition(snapshot(1), Format::OpenMetrics, true);
    let id = "01010101010101010101010101010101";
    for line in [
        format!("cloudflare_stream_live_input_sessions_created{{input_id=\"{id}\"}} 1795000004.000"),
        "cloudflare_stream_live_notification_source_delay_seconds_created 1795000004.000".to_owned(),
        "stream_live_exporter_notifications_created{outcome=\"recorded\"} 1795000000.500".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!exposition(snapshot(1), Format::Text, true).contains("_created"));
}

#[test]
fn a_batch_without_events_is_committed_and_has_no_size() {
    let exporter = Exporter::new(at(500), false, VALUES);
    exporter.committed(0, Duration::from_millis(3));
    exporter.committed(2, Duration::from_millis(3));
    let chunks: Vec<_> = Exposition::new(snapshot(1), &exporter, Format::Text).collect();
    let text = String::from_utf8(chunks.concat()).unwrap();
    for line in ["appends_total 2", "commit_duration_seconds_count 2", "batch_size_sum 2", "batch_size_count 1"] {
        assert!(text.contains(&format!("\nstream_live_exporter_journal_{line}\n")), "{line}\n{text}");
    }
}

#[test]
fn what_is_exposed_is_what_the_catalogue_lists() {
    let text = exposition(snapshot(2), Format::Text, false);
    let exposed: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let listed: Vec<&Family> = CHAPTERS.iter().flat_map(|(_, families)| families.iter().copied()).collect();
    let names: BTreeSet<_> = exposed.iter().copied().collect();
    assert_eq!(names.len(), exposed.len(), "a family is exposed twice");
    assert_eq!(names, listed.iter().map(|family| (family.name, family.kind.name())).collect());
    for family in listed {
        assert_eq!(family.kind == Kind::Counter, family.name.ends_with("_total"), "{}", family.name);
        assert!(text.contains(&format!("# HELP {} {}\n", family.name, family.help)), "{}", family.name);
    }
}

#[test]
fn what_is_compressed_is_the_same_text() {
    let exporter = Exporter::new(at(500), true, VALUES);
    for format in [Format::Text, Format::OpenMetrics] {
        // Few are one piece, 255 are many.
        for inputs in [0, 1, 255] {
            let exposition = || Exposition::new(snapshot(inputs), &exporter, format);
            let plain = exposition().collect::<Vec<_>>().concat();
            let compressed = exposition().compressed().collect::<Vec<_>>().concat();
            let mut text = String::new();
            GzDecoder::new(&compressed[..]).read_to_string(&mut text).unwrap();
            let of_inputs = ["cloudflare_stream_live_"];
            assert_eq!(input_lines(&text, &of_inputs), input_lines(str::from_utf8(&plain).unwrap(), &of_inputs));
            assert_eq!(text.ends_with("\n# EOF\n"), format == Format::OpenMetrics);
            let times = plain.len() / compressed.len();
            assert!(times >= 5, "{inputs} inputs: {times} times smaller");
        }
    }
}

#[test]
fn chunks_break_nothing() {
    let exporter = Exporter::new(at(500), false, VALUES);
    let snapshot = snapshot(255);
    let chunks: Vec<_> = Exposition::new(snapshot.clone(), &exporter, Format::Text).collect();
    assert!(chunks.len() > 2 && chunks.iter().all(|chunk| chunk.ends_with(b"\n")), "{}", chunks.len());
    let text = String::from_utf8(chunks.concat()).unwrap();
    let lines: BTreeSet<_> = text.lines().collect();
    assert_eq!(lines.len(), text.lines().count(), "a line is there twice");
    assert_eq!(text.matches("cloudflare_stream_live_input_info{").count(), 255);
}
