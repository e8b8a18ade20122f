//! Tests of the whole exposition.

mod markdown;
mod parser;
mod properties;

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;

use super::catalogue::{Family, Kind, families};
use super::*;
use crate::event::{AccountId, Event, EventKind, InputId, Origin, Record, RecordKind, Rules, Timestamp};
use crate::live::{Downtime, Fold, SharedStatus, View, apply};
use crate::schedule::{Configured, Expectation};

fn at(millis: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_millis(1_795_000_000_000 + millis))
}

fn view(inputs: u8) -> View {
    let configured = [InputId::from_bytes([1; 16])].into();
    let mut fold = Fold::new(Rules {
        reconnect_window: Duration::from_secs(60),
        reorder_window: Duration::from_secs(300),
        max_inputs: 10_000,
        configured,
    });
    let name = "Back\\slash \"stage\"\n".into();
    let configured = Configured { name, expectation: Expectation::Always };
    fold.set_configured([(InputId::from_bytes([1; 16]), configured)].into());
    let account_id = AccountId::from_bytes([0xac; 16]);
    fold.set_accounts([(account_id, "broadcast".into())].into());
    for input in 1..=inputs {
        let input_id = InputId::from_bytes([input; 16]);
        let event = Event {
            input_id,
            kind: EventKind::Connected,
            updated_at: at(1234),
            sent_at: Some(at(3000)),
            received_at: at(4000),
            origin: Origin { account_id: Some(account_id), ..Origin::default() },
        };
        let (changes, _) = apply(&fold, &[Record::new(RecordKind::Event(event, None))]);
        fold.adopt(changes);
    }
    let state = fold.state().clone();
    let as_of = at(61_234);
    View {
        state,
        gauges: None,
        as_of,
        wall_clock: as_of,
        journal_events: 1,
        journal_size_bytes: 4096,
        oldest_event: None,
        committed_at: None,
        restored_inputs: 0,
        downtime: Some(Downtime { from: at(1000), until: at(3500), backfill_from: Some(at(1000)) }),
        pending: Arc::default(),
        shared: None,
    }
}

fn exposition(view: View, format: Format, created_samples: bool) -> String {
    let exporter = Exporter::new(at(500), created_samples);
    exporter.watch_certificate("webhook", || at(0));
    exporter.watch_journal_write(|| Some(at(0)));
    exporter.watch_dropped_log_lines(|| 3);
    // Their series exist only while Cloudflare's API is used.
    exporter.cloudflare_requests.with_label_values(&["inputs", "ok"]);
    exporter.cloudflare_last_success.with_label_values(&["", "inventory"]);
    for gauge in [
        &exporter.cloudflare_oldest_status,
        &exporter.cloudflare_destination_success,
        &exporter.cloudflare_destination_failure,
        &exporter.cloudflare_policy_delivering,
    ] {
        gauge.with_label_values(&[""]);
    }
    let chunks: Vec<_> = Exposition::new(view, &exporter, format).collect();
    String::from_utf8(chunks.concat()).unwrap()
}

/// The lines about these families, without HELP.
fn input_lines(text: &str, families: &[&str]) -> String {
    let wanted = |line: &&str| !line.starts_with("# HELP") && families.iter().any(|family| line.contains(family));
    text.lines().filter(wanted).collect::<Vec<_>>().join("\n")
}

#[test]
fn text_format_matches_the_golden_samples() {
    let text = exposition(view(1), Format::Text, false);
    let golden = r#"# TYPE cloudflare_stream_live_input_connected gauge
cloudflare_stream_live_input_connected{input_id="01010101010101010101010101010101"} 1
# TYPE cloudflare_stream_live_input_connected_seconds_total counter
cloudflare_stream_live_input_connected_seconds_total{input_id="01010101010101010101010101010101"} 60.000
# TYPE cloudflare_stream_live_input_info gauge
cloudflare_stream_live_input_info{input_id="01010101010101010101010101010101",name="Back\\slash \"stage\"\n",account="broadcast"} 1"#;
    assert_eq!(input_lines(&text, &["input_connected", "input_info"]), golden);
    let golden = "# TYPE cloudflare_stream_live_notification_source_delay_seconds histogram
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
fn openmetrics_names_counters_without_total_and_ends_with_eof() {
    let text = exposition(view(1), Format::OpenMetrics, false);
    let golden = r#"# TYPE cloudflare_stream_live_input_sessions counter
cloudflare_stream_live_input_sessions_total{input_id="01010101010101010101010101010101"} 1"#;
    assert_eq!(input_lines(&text, &["input_sessions"]), golden);
    assert!(text.contains("session_duration_seconds_bucket{le=\"10.0\"} 0\n"), "{text}");
    assert!(text.contains("journal_batch_size_bucket{le=\"1.0\"} 0\n"), "{text}");
    assert!(text.ends_with("\n# EOF\n") && !text.contains("_created"));
}

#[test]
fn created_samples_follow_counters_and_histograms() {
    let text = exposition(view(1), Format::OpenMetrics, true);
    let id = "01010101010101010101010101010101";
    for line in [
        format!("cloudflare_stream_live_input_sessions_created{{input_id=\"{id}\"}} 1795000004.000"),
        "cloudflare_stream_live_notification_source_delay_seconds_created 1795000004.000".to_owned(),
        "stream_live_exporter_notifications_created{outcome=\"recorded\"} 1795000000.500".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!exposition(view(1), Format::Text, true).contains("_created"));
}

#[test]
fn batch_without_events_counts_as_commit_but_has_no_size() {
    let exporter = Exporter::new(at(500), false);
    exporter.committed(0, Duration::from_millis(3));
    exporter.committed(2, Duration::from_millis(3));
    let chunks: Vec<_> = Exposition::new(view(1), &exporter, Format::Text).collect();
    let text = String::from_utf8(chunks.concat()).unwrap();
    for line in ["appends_total 2", "commit_duration_seconds_count 2", "batch_size_sum 2", "batch_size_count 1"] {
        assert!(text.contains(&format!("\nstream_live_exporter_journal_{line}\n")), "{line}\n{text}");
    }
}

#[test]
fn families_of_a_shared_journal_are_exposed_only_with_one() {
    let shared = SharedStatus {
        position: 12,
        applied_position: 11,
        connected: true,
        away_since: None,
        spooled_records: 3,
        spool_limit_records: 100,
        lease_holder: true,
        synchronous_commit: false,
        reloads: 2,
    };
    let samples = [
        "journal_position 12",
        "journal_applied_position 11",
        "journal_connected 1",
        "spooled_records 3",
        "spool_limit_records 100",
        "journal_lease_holder 1",
        "journal_synchronous_commit 0",
        "journal_reloads_total 2",
        "journal_reloads_created 1795000000.500",
    ];
    let local = exposition(view(1), Format::OpenMetrics, true);
    let text = exposition(View { shared: Some(shared), ..view(1) }, Format::OpenMetrics, true);
    let added = text.lines().filter(|line| !local.contains(line));
    let added: Vec<_> = added.filter_map(|line| line.strip_prefix("stream_live_exporter_")).collect();
    assert_eq!(added, samples);
}

#[test]
fn exposed_families_equal_the_catalogue() {
    let view = View { shared: Some(SharedStatus::default()), ..view(2) };
    let text = exposition(view, Format::Text, false);
    let exposed: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let listed: Vec<&Family> = families().collect();
    let names: BTreeSet<_> = exposed.iter().copied().collect();
    assert_eq!(names.len(), exposed.len(), "a family is exposed twice");
    assert_eq!(names, listed.iter().map(|family| (family.name, family.kind.name())).collect());
    for family in listed {
        assert_eq!(family.kind == Kind::Counter, family.name.ends_with("_total"), "{}", family.name);
        assert!(text.contains(&format!("# HELP {} {}\n", family.name, family.help)), "{}", family.name);
    }
}

#[test]
fn decompressed_exposition_equals_the_uncompressed_one() {
    let exporter = Exporter::new(at(500), true);
    for format in [Format::Text, Format::OpenMetrics] {
        // Up to one input is a single chunk, 255 inputs are many. With few inputs, most of the text is documentation,
        // which is hard to compress.
        for (inputs, factor) in [(0, 4), (1, 4), (255, 15)] {
            let exposition = || Exposition::new(view(inputs), &exporter, format);
            let plain = exposition().collect::<Vec<_>>().concat();
            let compressed = Gzip::new(exposition()).collect::<Vec<_>>().concat();
            let mut text = String::new();
            GzDecoder::new(&compressed[..]).read_to_string(&mut text).unwrap();
            let of_inputs = ["cloudflare_stream_live_"];
            assert_eq!(input_lines(&text, &of_inputs), input_lines(str::from_utf8(&plain).unwrap(), &of_inputs));
            assert_eq!(text.ends_with("\n# EOF\n"), format == Format::OpenMetrics);
            let times = plain.len() / compressed.len();
            assert!(times >= factor, "{inputs} inputs: {times} times smaller");
        }
    }
}

#[test]
fn chunks_end_with_a_line_and_repeat_none() {
    let exporter = Exporter::new(at(500), false);
    let view = view(255);
    let chunks: Vec<_> = Exposition::new(view.clone(), &exporter, Format::Text).collect();
    assert!(chunks.len() > 2 && chunks.iter().all(|chunk| chunk.ends_with(b"\n")), "{}", chunks.len());
    let text = String::from_utf8(chunks.concat()).unwrap();
    let lines: BTreeSet<_> = text.lines().collect();
    assert_eq!(lines.len(), text.lines().count(), "a line is there twice");
    assert_eq!(text.matches("cloudflare_stream_live_input_info{").count(), 255);
}

#[test]
fn gauges_of_inputs_show_what_waits_for_a_shared_journal_and_counters_do_not() {
    let durable = view(1);
    let waiting = view(3).state;
    let samples = |view: View| {
        let text = exposition(view, Format::OpenMetrics, true);
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = samples(durable.clone());
    let after = samples(View { gauges: Some(waiting), ..durable });
    let lines = |samples: &[String], name: &str| {
        let prefix = format!("{name}{{");
        samples.iter().filter(|line| line.starts_with(&prefix)).count()
    };
    let families = inputs::FAMILIES.iter().map(|entry| &entry.family);
    for family in families.filter(|family| family.kind == Kind::Gauge && lines(&before, family.name) > 0) {
        assert_eq!(lines(&after, family.name), 3 * lines(&before, family.name), "{}", family.name);
    }
    let is_gauge = |line: &&String| {
        let mut gauges = inputs::FAMILIES.iter().filter(|entry| entry.family.kind == Kind::Gauge);
        let name = line.split('{').next().unwrap_or_default();
        name.starts_with("stream_live_exporter_inputs ") || gauges.any(|entry| entry.family.name == name)
    };
    let counters = |samples: &[String]| {
        let of_inputs = samples.iter().filter(|line| line.starts_with("cloudflare_stream_live_input_"));
        of_inputs.filter(|line| !is_gauge(line)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(counters(&after), counters(&before));
    assert!(after.contains(&"stream_live_exporter_inputs 3".to_owned()));
}
