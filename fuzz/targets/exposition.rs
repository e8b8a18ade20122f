//! Arbitrary events, names and names of secrets, in both formats, compressed or not: the exposition can be parsed line by
//! line and contains the given names.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Duration;

use arbitrary::Arbitrary;
use flate2::read::GzDecoder;
use libfuzzer_sys::fuzz_target;
use stream_live_exporter::event::{
    ErrorCode, ErrorDetail, Event, EventKind, InputId, Origin, Record, RecordKind, Rules, Timestamp,
};
use stream_live_exporter::live::{Fold, LastSeen, View, apply};
use stream_live_exporter::metrics::{Exporter, Exposition, Format, Gzip};
use stream_live_exporter::schedule::{Configured, Expectation};

#[path = "../../src/metrics/tests/parser.rs"]
mod parser;

#[derive(Debug, Arbitrary)]
struct World<'a> {
    names: Vec<(u8, &'a str, bool)>,
    events: Vec<Change<'a>>,
    secrets: Vec<(&'a str, i64)>,
    listener: &'a str,
    as_of: i64,
    numbers: (u64, u64, usize),
    reconnect_window: Duration,
    created_samples: bool,
    compressed: bool,
}

#[derive(Debug, Arbitrary)]
struct Change<'a> {
    input: u8,
    kind: Kind<'a>,
    updated_at: i64,
    sent_at: Option<i64>,
    received_at: i64,
    shown_until: i64,
}

#[derive(Debug, Arbitrary)]
enum Kind<'a> {
    Connected,
    Disconnected,
    Errored(&'a str),
}

impl Change<'_> {
    fn event(&self) -> Event {
        let kind = match self.kind {
            Kind::Connected => EventKind::Connected,
            Kind::Disconnected => EventKind::Disconnected,
            Kind::Errored(code) => {
                EventKind::Errored(Box::new(ErrorDetail { code: ErrorCode::from(code), ..ErrorDetail::default() }))
            }
        };
        Event {
            input_id: InputId::from_bytes([self.input; 16]),
            kind,
            updated_at: Timestamp::from_nanos(self.updated_at),
            sent_at: self.sent_at.map(Timestamp::from_nanos),
            received_at: Timestamp::from_nanos(self.received_at),
            origin: Origin::default(),
        }
    }
}

fuzz_target!(|world: World<'_>| {
    let configured: BTreeMap<InputId, Configured> = world
        .names
        .iter()
        .map(|(input, name, expected)| {
            let expectation = if *expected { Expectation::Always } else { Expectation::Never };
            (InputId::from_bytes([*input; 16]), Configured { name: (*name).into(), expectation })
        })
        .collect();
    let configured_ids = configured.keys().copied().collect();
    let reorder_window = world.reconnect_window.saturating_mul(2);
    let rules =
        Rules { reconnect_window: world.reconnect_window, reorder_window, max_inputs: 100, configured: configured_ids };
    let mut fold = Fold::new(rules);
    fold.set_configured(configured.clone());
    for change in &world.events {
        let shown_until = Timestamp::from_nanos(change.shown_until);
        let record = Record { shown_until, ..Record::new(RecordKind::Event(change.event(), None)) };
        let (changes, _) = apply(&fold, &[record]);
        fold.adopt(changes);
    }
    let mut last_seen = LastSeen::default();
    for (secret, seen_at) in &world.secrets {
        last_seen.record(Timestamp::from_nanos(*seen_at), Some(secret), false);
    }
    fold.set_last_seen(last_seen);
    let format = if world.numbers.0.is_multiple_of(2) { Format::Text } else { Format::OpenMetrics };
    check(&world, &fold, &configured, format);
});

fn check(world: &World<'_>, fold: &Fold, configured: &BTreeMap<InputId, Configured>, format: Format) {
    let exporter = Exporter::new(Timestamp::EPOCH, world.created_samples);
    let expiry = Timestamp::from_nanos(world.as_of);
    exporter.watch_certificate(world.listener, move || expiry);
    let (journal_events, journal_size_bytes, restored_inputs) = world.numbers;
    let as_of = Timestamp::from_nanos(world.as_of);
    let view = View {
        state: fold.state().clone(),
        gauges: None,
        as_of,
        wall_clock: as_of,
        journal_events,
        journal_size_bytes,
        oldest_event: None,
        committed_at: None,
        restored_inputs,
        downtime: None,
        pending: Default::default(),
        shared: None,
    };
    let exposition = Exposition::new(view, &exporter, format);
    let mut text = String::new();
    if world.compressed {
        let compressed: Vec<u8> = Gzip::new(exposition).flatten().collect();
        GzDecoder::new(&compressed[..]).read_to_string(&mut text).expect("an exposition is UTF-8, in gzip");
    } else {
        text = String::from_utf8(exposition.flatten().collect()).expect("an exposition is UTF-8");
    }
    let families =
        parser::parse(&text, format == Format::OpenMetrics).unwrap_or_else(|error| panic!("{error}\n{text}"));

    let labels = |family: &str, label: &str| -> BTreeSet<String> {
        let family = families.iter().find(|known| known.name == family).expect("every family is there");
        family.samples.iter().map(|sample| sample.labels[label].clone()).collect()
    };
    let inputs = fold.state().inputs().keys();
    let names = inputs.map(|id| configured.get(id).map_or(String::new(), |input| input.name.to_string()));
    assert_eq!(labels("cloudflare_stream_live_input_info", "name"), names.collect());
    let secrets: BTreeSet<String> = world.secrets.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(labels("stream_live_exporter_secret_last_used_timestamp_seconds", "secret"), secrets);
    let listener = BTreeSet::from([world.listener.to_owned()]);
    assert_eq!(labels("stream_live_exporter_tls_certificate_expiry_timestamp_seconds", "listener"), listener);
}
