//! The samples of one family about all live inputs, line by line.
//!
//! Lines of different inputs differ in the id and the value. What is the same is put together once
//! per scrape, so a line is three copies and a number: a fifth of the instructions that labels one by
//! one would take.

use super::catalogue::{Family, Kind};
use super::encode::{Encoder, Value};
use super::inputs::InputView;
use crate::event::Timestamp;

/// How the samples of a family are written for an input.
pub(super) type Write = fn(&mut Samples<'_>, &InputView<'_>);

/// A family with the same series for every live input.
#[derive(Debug)]
pub(super) struct Lines {
    samples: Vec<Line>,
    /// The `_created` samples of a counter, when they are wanted.
    created: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    /// Up to the input's id.
    before: Vec<u8>,
    /// From there to the value, or to the next label's value.
    after: Vec<u8>,
}

/// Takes the values of one input.
pub(super) struct Samples<'a> {
    pub(super) encoder: &'a mut Encoder,
    pub(super) lines: &'a Lines,
    pub(super) input_id: &'a [u8; 32],
    /// When counting began.
    pub(super) created: Timestamp,
}

impl Lines {
    /// A series for each of the values that the family's second label has; one when it has no such label.
    pub(super) fn new(family: &Family, values: &[&str], created_samples: bool) -> Self {
        let lines = |name: &str| match (family.labels, values) {
            ([_, label], []) => vec![Line::new(name, &format!("\",{}=\"", label.name))],
            ([_, label], values) => {
                values.iter().map(|value| Line::new(name, &format!("\",{}=\"{value}\"}} ", label.name))).collect()
            }
            _ => vec![Line::new(name, "\"} ")],
        };
        let created_name =
            family.name.strip_suffix("_total").filter(|_| created_samples && family.kind == Kind::Counter);
        Self {
            samples: lines(family.name),
            created: created_name.map_or_else(Vec::new, |name| lines(&format!("{name}_created"))),
        }
    }
}

impl Line {
    fn new(name: &str, after: &str) -> Self {
        Self { before: format!("{name}{{input_id=\"").into(), after: after.into() }
    }
}

impl Samples<'_> {
    /// Writes the sample of the series with this index.
    pub(super) fn put(&mut self, index: usize, value: impl Into<Value>) {
        let Self { encoder, lines, input_id, created } = self;
        let line = &lines.samples[index];
        encoder.line([&line.before, *input_id, &line.after], value.into());
        if let Some(line) = lines.created.get(index) {
            encoder.line([&line.before, *input_id, &line.after], (*created).into());
        }
    }

    /// Writes the samples of all series.
    pub(super) fn put_all(&mut self, values: impl IntoIterator<Item = impl Into<Value>>) {
        values.into_iter().enumerate().for_each(|(index, value)| self.put(index, value));
    }

    /// Writes the samples of those series that have a value.
    pub(super) fn put_known(&mut self, values: impl IntoIterator<Item = Option<impl Into<Value>>>) {
        let known = values.into_iter().enumerate().filter_map(|(index, value)| Some((index, value?)));
        known.for_each(|(index, value)| self.put(index, value));
    }

    /// Writes a sample whose second label has this value.
    pub(super) fn put_labelled(&mut self, label: &str, value: impl Into<Value>) {
        let line = &self.lines.samples[0];
        self.encoder.escaped_line([&line.before, self.input_id, &line.after], label, value.into());
    }
}
