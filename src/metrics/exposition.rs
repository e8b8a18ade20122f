//! The response to one scrape, in chunks.

use std::ops::Bound;

use bytes::Bytes;
use prometheus::proto::MetricFamily;

use super::encode::{Encoder, Format};
use super::family::Entry;
use super::gzip::Gzip;
use super::inputs::InputView;
use super::overall::Overall;
use super::samples::Lines;
use super::{Exporter, exporter, inputs, overall, process};
use crate::event::{InputId, Timestamp};
use crate::live::View;

/// Size of a chunk before compression, in bytes. Larger ones are hardly faster, and a slow reader occupies several.
const CHUNK: usize = 32 << 10;
/// Number of inputs that are written before the size of the chunk is checked.
const INPUTS_AT_ONCE: usize = 128;

/// The response to one scrape: an iterator over its chunks.
#[derive(Debug)]
pub struct Exposition {
    view: View,
    gathered: Vec<MetricFamily>,
    started_at: Timestamp,
    encoder: Encoder,
    step: Step,
}

/// The part to write next.
#[derive(Debug)]
enum Step {
    /// The header of the family of inputs with this index.
    Family(usize),
    /// The samples of that family, starting with the inputs after the bound.
    Inputs(usize, Lines, Bound<InputId>),
    /// All other families.
    Rest,
    Done,
}

impl Exposition {
    /// An exposition of the view and of the exporter's own metrics at this moment.
    pub fn new(view: View, exporter: &Exporter, format: Format) -> Self {
        Self {
            view,
            gathered: exporter.registry.gather(),
            started_at: exporter.started_at,
            encoder: Encoder::new(format, exporter.created_samples),
            step: Step::Family(0),
        }
    }

    /// Compresses the exposition with gzip, at the fastest level.
    pub fn compressed(self) -> Gzip<Self> {
        Gzip::new(self)
    }

    fn advance(&mut self) {
        self.step = match std::mem::replace(&mut self.step, Step::Done) {
            Step::Family(index) => self.begin_family(index),
            Step::Inputs(index, lines, after) => self.write_inputs(index, lines, after),
            Step::Rest => {
                self.write_rest();
                Step::Done
            }
            Step::Done => Step::Done,
        }
    }

    fn begin_family(&mut self, index: usize) -> Step {
        let Some(entry) = inputs::FAMILIES.get(index) else { return Step::Rest };
        self.encoder.begin_family(&entry.family, self.started_at);
        let lines = Lines::new(entry, self.encoder.created_samples(), self.started_at);
        Step::Inputs(index, lines, Bound::Unbounded)
    }

    fn write_inputs(&mut self, index: usize, lines: Lines, after: Bound<InputId>) -> Step {
        let View { state, as_of, wall_clock, .. } = &self.view;
        let inputs = state.inputs().range((after, Bound::Unbounded)).take(INPUTS_AT_ONCE);
        let views: Vec<_> = inputs
            .map(|(input_id, known)| InputView {
                input_id: *input_id,
                input: &known.input,
                state,
                as_of: *as_of,
                wall_clock: *wall_clock,
            })
            .collect();
        lines.write(&mut self.encoder, &views);
        match views.last() {
            Some(last) => Step::Inputs(index, lines, Bound::Excluded(last.input_id)),
            None => Step::Family(index + 1),
        }
    }

    fn write_rest(&mut self) {
        let View { state, as_of, .. } = &self.view;
        let counted_since = state.totals().counted_since.unwrap_or(self.started_at);
        let overall = Overall { view: &self.view, durations: state.durations(*as_of) };
        for Entry { family, read: write } in &overall::FAMILIES {
            write(&overall, &mut self.encoder.begin_family(family, counted_since));
        }
        for family in &self.gathered {
            exporter::write(family, &mut self.encoder, self.started_at);
        }
        process::write(&mut self.encoder, self.started_at);
        self.encoder.finish();
    }
}

impl Iterator for Exposition {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while !matches!(self.step, Step::Done) && self.encoder.len() < CHUNK {
            self.advance();
        }
        let text = self.encoder.take();
        (!text.is_empty()).then(|| text.into())
    }
}
