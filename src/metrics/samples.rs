//! The samples of one family about all live inputs, line by line.
//!
//! Lines of different inputs differ in the id and the value. What is the same is put together once
//! per scrape, so a line is three copies and a number: a fifth of the instructions that labels one by
//! one would take.

use super::catalogue::{Family, Kind};
use super::encode::{Encoder, Value};
use super::inputs::InputView;
use crate::event::Timestamp;

/// The series that a family has for every live input.
#[derive(Debug, Clone, Copy)]
pub(super) enum Series {
    /// One for each of these values of the family's second label, or a single one without such a label; and how their
    /// values are read.
    Of(&'static [&'static str], fn(&InputView<'_>, &mut Values)),
    /// One whose second label is the configured name, with the value 1.
    Named,
}

/// The values of an input's series, in their order. What has none has no sample.
#[derive(Debug)]
pub(super) struct Values(Vec<Option<Value>>);

/// How the samples of a family are written.
#[derive(Debug)]
pub(super) struct Lines {
    series: Series,
    samples: Vec<Line>,
    /// The `_created` samples of a counter, when they are wanted.
    created: Vec<Line>,
    /// When counting began for an input without any event.
    started_at: Timestamp,
}

#[derive(Debug)]
struct Line {
    /// Up to the input's id.
    before: Vec<u8>,
    /// From there to the value, or to the next label's value.
    after: Vec<u8>,
}

impl Values {
    pub(super) fn put(&mut self, value: impl Into<Value>) {
        self.0.push(Some(value.into()));
    }

    pub(super) fn put_all(&mut self, values: impl IntoIterator<Item = impl Into<Value>>) {
        self.0.extend(values.into_iter().map(|value| Some(value.into())));
    }

    pub(super) fn put_known(&mut self, values: impl IntoIterator<Item = Option<impl Into<Value>>>) {
        self.0.extend(values.into_iter().map(|value| value.map(Into::into)));
    }
}

impl Lines {
    pub(super) fn new(family: &Family, series: Series, created_samples: bool, started_at: Timestamp) -> Self {
        let lines = |name: &str| match (family.labels, series) {
            ([_, label], Series::Named) => vec![Line::new(name, &format!("\",{}=\"", label.name))],
            ([_, label], Series::Of(values, _)) => {
                values.iter().map(|value| Line::new(name, &format!("\",{}=\"{value}\"}} ", label.name))).collect()
            }
            _ => vec![Line::new(name, "\"} ")],
        };
        let created_name =
            family.name.strip_suffix("_total").filter(|_| created_samples && family.kind == Kind::Counter);
        let created = created_name.map_or_else(Vec::new, |name| lines(&format!("{name}_created")));
        Self { series, samples: lines(family.name), created, started_at }
    }

    /// Writes the samples of these inputs.
    pub(super) fn write(&self, encoder: &mut Encoder, views: &[InputView<'_>]) {
        match self.series {
            Series::Of(_, read) => {
                let mut values = Values(Vec::with_capacity(views.len() * self.samples.len()));
                // Inputs lie far apart in memory: asked for one after the other, they come together.
                views.iter().for_each(|view| read(view, &mut values));
                for (view, values) in views.iter().zip(values.0.chunks_exact(self.samples.len())) {
                    self.write_input(encoder, view, values);
                }
            }
            Series::Named => {
                let line = &self.samples[0];
                for view in views {
                    line.begin(encoder, &view.input_id.digits());
                    encoder.end_label(view.state.name(&view.input_id));
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

impl Line {
    fn new(name: &str, after: &str) -> Self {
        Self { before: format!("{name}{{input_id=\"").into(), after: after.into() }
    }

    /// Writes everything up to the value, or to the next label's value.
    fn begin(&self, encoder: &mut Encoder, input_id: &[u8]) {
        encoder.begin_line([&self.before, input_id, &self.after]);
    }
}
