//! Everything that Prometheus sees, in chunks.

use std::io::Write;
use std::ops::Bound;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus::proto::MetricFamily;

use super::Exporter;
use super::catalogue::exporter::{
    INPUTS, INPUTS_LIMIT, JOURNAL_EVENTS, JOURNAL_SIZE, LAST_NOTIFICATION, LAST_TEST, OUT_OF_ORDER, RESTORED_INPUTS,
    SECRET_LAST_USED,
};
use super::catalogue::inputs::{CLOCK_SKEW, DELIVERY_DELAY, RECONNECT_DELAY, SESSION_DURATION, SOURCE_DELAY};
use super::encode::{Encoder, Format, Value};
use super::inputs::{FAMILIES, InputView};
use super::samples::Lines;
use crate::event::{InputId, Timestamp};
use crate::live::View;

/// A chunk is handed out when it has grown to this size, in bytes.
const CHUNK: usize = 128 << 10;
/// So many inputs are written before the chunk's size is looked at.
const INPUTS_AT_ONCE: usize = 128;

/// One answer to one scrape: an iterator over its chunks.
#[derive(Debug)]
pub struct Exposition {
    view: View,
    own: Vec<MetricFamily>,
    started_at: Timestamp,
    encoder: Encoder,
    gzip: Option<GzEncoder<Vec<u8>>>,
    step: Step,
}

/// What is written next.
#[derive(Debug)]
enum Step {
    /// The family of inputs with this index.
    Family(usize),
    /// Its samples, from the inputs after this one on.
    Inputs(usize, Lines, Bound<InputId>),
    /// Everything else.
    Rest,
    Done,
}

impl Exposition {
    /// Begins to write the view and the exporter's own metrics as they are now.
    pub fn new(view: View, exporter: &Exporter, format: Format) -> Self {
        Self {
            view,
            own: exporter.gather(),
            started_at: exporter.started_at(),
            encoder: Encoder::new(format, exporter.created_samples()),
            gzip: None,
            step: Step::Family(0),
        }
    }

    /// Compresses the exposition with gzip, at the fastest level.
    pub fn compressed(mut self) -> Self {
        self.gzip = Some(GzEncoder::new(Vec::new(), Compression::fast()));
        self
    }

    fn advance(&mut self) {
        self.step = match std::mem::replace(&mut self.step, Step::Done) {
            Step::Family(index) => self.begin_family(index),
            Step::Inputs(index, lines, after) => self.write_inputs(index, lines, after),
            Step::Rest => {
                self.write_overall();
                for family in &self.own {
                    self.encoder.gathered(family, self.started_at);
                }
                self.encoder.finish();
                Step::Done
            }
            Step::Done => Step::Done,
        }
    }

    fn begin_family(&mut self, index: usize) -> Step {
        let Some((family, series)) = FAMILIES.get(index) else { return Step::Rest };
        self.encoder.begin(family);
        let lines = Lines::new(family, *series, self.encoder.created_samples(), self.started_at);
        Step::Inputs(index, lines, Bound::Unbounded)
    }

    fn write_inputs(&mut self, index: usize, lines: Lines, after: Bound<InputId>) -> Step {
        let View { state, as_of, .. } = &self.view;
        let inputs = state.inputs().range((after, Bound::Unbounded)).take(INPUTS_AT_ONCE);
        let views: Vec<_> = inputs
            .map(|(input_id, known)| InputView { input_id: *input_id, input: &known.input, state, as_of: *as_of })
            .collect();
        lines.write(&mut self.encoder, &views);
        match views.last() {
            Some(last) => Step::Inputs(index, lines, Bound::Excluded(last.input_id)),
            None => Step::Family(index + 1),
        }
    }

    fn write_overall(&mut self) {
        let View { state, as_of, .. } = &self.view;
        let totals = state.totals();
        let created = totals.counted_since.unwrap_or(self.started_at);
        let histograms = [
            (&SESSION_DURATION, &state.session_durations(*as_of)),
            (&RECONNECT_DELAY, &totals.reconnect_delay),
            (&SOURCE_DELAY, &totals.source_delay),
            (&DELIVERY_DELAY, &totals.delivery_delay),
        ];
        for (family, histogram) in histograms {
            self.encoder.begin(family);
            self.encoder.histogram(family, histogram, created);
        }
        for (family, count) in [(&CLOCK_SKEW, totals.clock_skew), (&OUT_OF_ORDER, totals.out_of_order)] {
            self.encoder.begin(family);
            self.encoder.counter(family, &[], Value::Integer(count), created);
        }
        self.write_gauges();
    }

    fn write_gauges(&mut self) {
        let View { state, journal_events, journal_size_bytes, restored_inputs, .. } = &self.view;
        let deliveries = state.last_seen();
        for (family, time) in [(&LAST_NOTIFICATION, deliveries.last), (&LAST_TEST, deliveries.last_test)] {
            self.encoder.begin(family);
            if let Some(time) = time {
                self.encoder.gauge(family, &[], time);
            }
        }
        self.encoder.begin(&SECRET_LAST_USED);
        for (secret, time) in &deliveries.by_secret {
            self.encoder.gauge(&SECRET_LAST_USED, &[("secret", secret)], *time);
        }
        for (family, value) in [
            (&JOURNAL_SIZE, *journal_size_bytes),
            (&JOURNAL_EVENTS, *journal_events),
            (&RESTORED_INPUTS, *restored_inputs as u64),
            (&INPUTS, state.inputs().len() as u64),
            (&INPUTS_LIMIT, state.rules().max_inputs as u64),
        ] {
            self.encoder.begin(family);
            self.encoder.gauge(family, &[], Value::Integer(value));
        }
    }
}

impl Iterator for Exposition {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            while !matches!(self.step, Step::Done) && self.encoder.len() < CHUNK {
                self.advance();
            }
            let text = self.encoder.take();
            let Some(gzip) = &mut self.gzip else {
                return (!text.is_empty()).then(|| text.into());
            };
            if text.is_empty() {
                let end = self.gzip.take()?.finish().expect("writing to a Vec does not fail");
                return Some(end.into());
            }
            gzip.write_all(&text).expect("writing to a Vec does not fail");
            let compressed = std::mem::take(gzip.get_mut());
            if !compressed.is_empty() {
                return Some(compressed.into());
            }
        }
    }
}
