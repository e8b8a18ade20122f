//! The response to one scrape, in chunks.

use bytes::Bytes;
use prometheus::proto::MetricFamily;

use super::encode::{Encoder, Format, Value};
use super::family::{Entry, Family, Kind};
use super::inputs::{InputView, Read, Values};
use super::overall::Overall;
use super::{Exporter, inputs, overall, process, registry, shared};
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
    Inputs(usize, Lines, Option<InputId>),
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
        Step::Inputs(index, lines, None)
    }

    fn write_inputs(&mut self, index: usize, lines: Lines, after: Option<InputId>) -> Step {
        let View { as_of, wall_clock, pending, .. } = &self.view;
        let state = match lines.kind {
            Kind::Gauge => self.view.gauge_state(),
            Kind::Counter | Kind::Histogram => &self.view.state,
        };
        if let Read::ValuesIf(can_have, _) = lines.read
            && !can_have(state)
        {
            return Step::Family(index + 1);
        }
        let inputs = state.known(after).take(INPUTS_AT_ONCE);
        let views: Vec<_> = inputs
            .map(|(input_id, known)| InputView {
                input_id,
                input: &known.input,
                pending: pending.get(&input_id).copied(),
                state,
                as_of: *as_of,
                wall_clock: *wall_clock,
            })
            .collect();
        lines.write(&mut self.encoder, &views);
        match views.last() {
            Some(last) => Step::Inputs(index, lines, Some(last.input_id)),
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
        if let Some(status) = &self.view.shared {
            for Entry { family, read } in &shared::FAMILIES {
                self.encoder.begin_family(family, self.started_at).value(read(status));
            }
        }
        for family in &self.gathered {
            registry::write(family, &mut self.encoder, self.started_at);
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

/// Writes the samples of one family for all live inputs.
///
/// The lines of different inputs differ only in the id and the value. The constant parts are built once per scrape, so
/// writing a line is three copies and a number. That takes a fifth of the instructions of writing label by label.
#[derive(Debug)]
struct Lines {
    read: Read,
    kind: Kind,
    /// The lines of one input, in the order of their values.
    samples: Vec<Line>,
    /// The `_created` samples of a counter, if they are enabled.
    created: Vec<Line>,
    /// The name of the third label; empty if there is none.
    third_label: &'static str,
    /// When counting began for an input without events.
    started_at: Timestamp,
}

/// The constant parts of a line.
#[derive(Debug)]
struct Line {
    /// The part before the id of the input.
    before: Vec<u8>,
    /// The part between the id and the value, or between the id and the value of the second label.
    after: Vec<u8>,
}

impl Lines {
    fn new(entry: &Entry<Read>, created_samples: bool, started_at: Timestamp) -> Self {
        let Entry { family, read } = entry;
        let created_name =
            family.name.strip_suffix("_total").filter(|_| created_samples && family.kind == Kind::Counter);
        let created = created_name.map_or_else(Vec::new, |name| lines(family, &format!("{name}_created")));
        let third_label = family.labels.get(2).map_or("", |label| label.name);
        Self { read: *read, kind: family.kind, samples: lines(family, family.name), created, third_label, started_at }
    }

    fn write(&self, encoder: &mut Encoder, views: &[InputView<'_>]) {
        match self.read {
            Read::Values(read) | Read::ValuesIf(_, read) => {
                let mut values = Values(Vec::with_capacity(views.len() * self.samples.len()));
                // Inputs are far apart in memory. Reading them in one loop lets the processor fetch several at a time.
                views.iter().for_each(|view| read(view, &mut values));
                for (view, values) in views.iter().zip(values.0.chunks_exact(self.samples.len())) {
                    self.write_input(encoder, view, values);
                }
            }
            Read::LabelValues(read) => {
                for view in views {
                    let [second, third] = read(view);
                    self.samples[0].begin(encoder, &view.input_id.digits());
                    encoder.label_value(&second);
                    encoder.last_label(self.third_label, &third);
                    encoder.end_line(Value::Integer(1));
                }
            }
        }
    }

    fn write_input(&self, encoder: &mut Encoder, view: &InputView<'_>, values: &[Option<Value>]) {
        let input_id = view.input_id.digits();
        for (index, (line, value)) in self.samples.iter().zip(values).enumerate() {
            let Some(value) = value else { continue };
            line.begin(encoder, &input_id);
            encoder.end_line(*value);
            if let Some(line) = self.created.get(index) {
                let created = view.input.known_since.unwrap_or(self.started_at);
                line.begin(encoder, &input_id);
                encoder.end_line(created.into());
            }
        }
    }
}

/// The lines of one input: one for each value of a closed second label, otherwise a single one.
fn lines(family: &Family, name: &str) -> Vec<Line> {
    let Some(label) = family.labels.get(1) else { return vec![Line::new(name, "\"} ")] };
    match label.closed_set() {
        Some(values) => {
            values.iter().map(|value| Line::new(name, &format!("\",{}=\"{value}\"}} ", label.name))).collect()
        }
        None => vec![Line::new(name, &format!("\",{}=\"", label.name))],
    }
}

impl Line {
    fn new(name: &str, after: &str) -> Self {
        Self { before: format!("{name}{{input_id=\"").into(), after: after.into() }
    }

    /// Writes the line up to the value, or up to the value of the second label.
    fn begin(&self, encoder: &mut Encoder, input_id: &[u8]) {
        encoder.begin_line([&self.before, input_id, &self.after]);
    }
}
