//! Properties: the parser reads back what the encoder writes, with any names.

use proptest::prelude::*;

use super::super::encode::{Encoder, Value};
use super::*;
use crate::live::{Histogram, LastSeen};

/// Texts, with characters that must be escaped.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,12}", "[\\\\\"\n,{}=# a]{0,12}"]
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Text), Just(Format::OpenMetrics)]
}

fn written(mut encoder: Encoder) -> String {
    encoder.finish();
    String::from_utf8(encoder.take()).unwrap()
}

proptest! {
    #[test]
    fn labels_and_help_are_read_back(
        format in format(),
        created_samples in any::<bool>(),
        kind in prop_oneof![Just(Kind::Gauge), Just(Kind::Counter)],
        help in text(),
        labels in proptest::collection::btree_set((text(), text()), 0..6),
        number in any::<u64>(),
    ) {
        let mut encoder = Encoder::new(format, created_samples);
        let (name, value) = match kind {
            Kind::Counter => ("things_total", Value::Integer(number)),
            Kind::Gauge | Kind::Histogram => ("things", Value::Millis(number)),
        };
        let mut family = encoder.begin(name, kind, &help, at(0));
        for (one, other) in &labels {
            family.sample(&[("one", one.as_str()), ("other", other.as_str())], value);
        }
        let text = written(encoder);
        let families = parser::parse(&text, format == Format::OpenMetrics).map_err(TestCaseError::fail)?;
        let read = families[0].samples.iter().map(|sample| {
            (sample.labels["one"].clone(), sample.labels["other"].clone())
        });
        prop_assert_eq!(read.collect::<BTreeSet<_>>(), labels, "{}", text);
        prop_assert_eq!(&families[0].help, &help);
        let whole = if kind == Kind::Counter { number as f64 } else { number as f64 / 1000.0 };
        let values = families[0].samples.iter().filter(|sample| !sample.name.ends_with("_created"));
        prop_assert!(values.clone().all(|sample| (sample.value - whole).abs() <= whole * 1e-12), "{}", text);
    }

    #[test]
    fn histograms_are_read_back(
        format in format(),
        durations in proptest::collection::vec(0u64..20_000_000_000, 0..20),
    ) {
        let mut histogram = Histogram::new(&[1, 5, 10, 3600]);
        durations.iter().for_each(|micros| histogram.observe(Duration::from_micros(*micros)));
        let mut encoder = Encoder::new(format, true);
        encoder.begin("things", Kind::Histogram, "", at(0)).durations(&histogram);
        let families = parser::parse(&written(encoder), format == Format::OpenMetrics).map_err(TestCaseError::fail)?;
        let of = |suffix: &str| {
            families[0].samples.iter().filter(|sample| sample.name == format!("things{suffix}")).collect::<Vec<_>>()
        };
        for bucket in of("_bucket") {
            let bound = bucket.labels["le"].replace("+Inf", "inf").parse::<f64>().unwrap();
            let up_to = durations.iter().filter(|micros| **micros as f64 <= bound * 1e6);
            prop_assert_eq!(bucket.value, up_to.count() as f64);
        }
        let sum = durations.iter().sum::<u64>() as f64 / 1e6;
        prop_assert!((of("_sum")[0].value - sum).abs() <= sum * 1e-12);
    }

    #[test]
    fn exposition_with_any_names_is_valid(
        format in format(),
        created_samples in any::<bool>(),
        name in text(),
        secret in text(),
        listener in text(),
        error in text(),
        millis in any::<u32>(),
    ) {
        let mut view = view(2);
        let id = InputId::from_bytes([7; 16]);
        let mut fold = Fold::new(Rules { configured: [id].into(), ..view.state.rules().clone() });
        fold.set_configured([(id, Configured { name: name.as_str().into(), expectation: Expectation::Never })].into());
        let detail = crate::event::ErrorDetail { code: error.as_str().into(), ..Default::default() };
        let kind = EventKind::Errored(Box::new(detail));
        let time = at(millis.into());
        let event = Event { input_id: id, kind, updated_at: time, sent_at: None, received_at: time, origin: Origin::default() };
        let (changes, _) = apply(&fold, &[Record::new(RecordKind::Event(event, None))]);
        fold.adopt(changes);
        let mut last_seen = LastSeen::default();
        last_seen.record(time, Some(&secret), true);
        fold.set_last_seen(last_seen);
        view.state = fold.state().clone();
        let exporter = Exporter::new(at(500), created_samples);
        exporter.watch_certificate(&listener, || at(0));
        let chunks: Vec<_> = Exposition::new(view, &exporter, format).collect();
        let text = String::from_utf8(chunks.concat()).unwrap();
        let families = parser::parse(&text, format == Format::OpenMetrics).map_err(TestCaseError::fail)?;
        for (family, label, value) in [
            ("cloudflare_stream_live_input_info", "name", &name),
            ("stream_live_exporter_secret_last_used_timestamp_seconds", "secret", &secret),
            ("stream_live_exporter_tls_certificate_expiry_timestamp_seconds", "listener", &listener),
        ] {
            let family = families.iter().find(|known| known.name == family).unwrap();
            prop_assert_eq!(family.samples[0].labels.get(label), Some(value), "{}", text);
        }
    }
}
