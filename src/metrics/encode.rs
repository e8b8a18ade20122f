//! Encodes samples as text: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! The formats are specified in <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>. OpenMetrics differs in this:
//! the family name of a counter has no `_total`, bucket bounds have a decimal point, quotes in HELP texts are escaped,
//! `_created` samples are allowed, and the text ends with `# EOF`.

use std::io::Write;

use super::family::{Family, Kind, Label};
use crate::event::Timestamp;
use crate::live::Histogram;

/// An exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, version 0.0.4.
    Text,
    /// OpenMetrics text, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The value of a sample. Integer variants are written exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Integer(u64),
    /// Thousandths, written as seconds.
    Millis(u64),
    /// Millionths, written as seconds.
    Micros(u64),
    Float(f64),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Integer(count)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Integer(u64::from(truth))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<Timestamp> for Value {
    fn from(timestamp: Timestamp) -> Self {
        Self::Millis(timestamp.as_millis().unsigned_abs())
    }
}

pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Writes families one after the other.
#[derive(Debug)]
pub(super) struct Encoder {
    format: Format,
    created_samples: bool,
    output: Vec<u8>,
}

/// Writes the samples of one family.
pub(super) struct FamilyWriter<'a> {
    encoder: &'a mut Encoder,
    name: &'a str,
    kind: Kind,
    labels: &'static [Label],
    /// When counters and histograms started, for `_created` samples.
    created: Timestamp,
}

impl Encoder {
    pub(super) fn new(format: Format, created_samples: bool) -> Self {
        let created_samples = created_samples && format == Format::OpenMetrics;
        Self { format, created_samples, output: Vec::new() }
    }

    pub(super) fn created_samples(&self) -> bool {
        self.created_samples
    }

    /// Number of bytes written since the last [`Encoder::take`].
    pub(super) fn len(&self) -> usize {
        self.output.len()
    }

    /// Takes the bytes written since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let capacity = self.output.capacity();
        std::mem::replace(&mut self.output, Vec::with_capacity(capacity))
    }

    /// Begins a family of the catalogue.
    pub(super) fn begin_family<'a>(&'a mut self, family: &'static Family, created: Timestamp) -> FamilyWriter<'a> {
        let Family { name, kind, help, labels, .. } = *family;
        FamilyWriter { labels, ..self.begin(name, kind, help, created) }
    }

    /// Begins a family whose samples contain the names of their labels.
    pub(super) fn begin<'a>(
        &'a mut self,
        name: &'a str,
        kind: Kind,
        help: &str,
        created: Timestamp,
    ) -> FamilyWriter<'a> {
        let exposed = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        self.text(&["# HELP ", exposed, " "]);
        self.escaped(help, self.format == Format::OpenMetrics);
        self.text(&["\n# TYPE ", exposed, " ", kind.name(), "\n"]);
        FamilyWriter { encoder: self, name, kind, labels: &[], created }
    }

    /// Writes the parts of a line up to its value, or up to the value of its last label.
    pub(super) fn begin_line(&mut self, parts: [&[u8]; 3]) {
        for part in parts {
            self.output.extend_from_slice(part);
        }
    }

    /// Writes the value of a label that is not the last.
    pub(super) fn label_value(&mut self, value: &str) {
        self.escaped(value, true);
        self.text(&["\","]);
    }

    /// Writes the last label of a line.
    pub(super) fn last_label(&mut self, name: &str, value: &str) {
        self.text(&[name, "=\""]);
        self.escaped(value, true);
        self.text(&["\"} "]);
    }

    pub(super) fn end_line(&mut self, value: Value) {
        match value {
            Value::Integer(value) => self.integer(value),
            Value::Millis(value) => self.decimal(value, 1000),
            Value::Micros(value) => self.decimal(value, 1_000_000),
            Value::Float(value) => self.float(value, false),
        }
        self.output.push(b'\n');
    }

    pub(super) fn finish(&mut self) {
        if self.format == Format::OpenMetrics {
            self.text(&["# EOF\n"]);
        }
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: Labels<'_>, bound: Option<f64>, value: Value) {
        self.text(&[name, suffix]);
        let mut separator = "{";
        for (label, value) in labels {
            self.text(&[separator, label, "=\""]);
            self.escaped(value, true);
            self.text(&["\""]);
            separator = ",";
        }
        if let Some(bound) = bound {
            self.text(&[separator, "le=\""]);
            self.float(bound, self.format == Format::OpenMetrics);
            self.text(&["\""]);
            separator = ",";
        }
        self.text(&[if separator == "," { "} " } else { " " }]);
        self.end_line(value);
    }

    fn integer(&mut self, value: u64) {
        self.output.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Writes `value / parts` as a decimal number; `parts` is a power of ten.
    fn decimal(&mut self, value: u64, parts: u64) {
        self.integer(value / parts);
        // The leading 1 of `parts + remainder` is replaced by the decimal point.
        let point = self.output.len();
        self.integer(parts + value % parts);
        self.output[point] = b'.';
    }

    /// Writes a number; if `pointed`, whole numbers get a decimal point too.
    fn float(&mut self, value: f64, pointed: bool) {
        let written = match value {
            f64::INFINITY => write!(self.output, "+Inf"),
            f64::NEG_INFINITY => write!(self.output, "-Inf"),
            _ if pointed => write!(self.output, "{value:?}"),
            _ => write!(self.output, "{value}"),
        };
        written.expect("writing to a Vec does not fail");
    }

    fn text(&mut self, parts: &[&str]) {
        for part in parts {
            self.output.extend_from_slice(part.as_bytes());
        }
    }

    fn escaped(&mut self, text: &str, quotes: bool) {
        for byte in text.bytes() {
            match byte {
                b'\\' => self.output.extend_from_slice(b"\\\\"),
                b'\n' => self.output.extend_from_slice(b"\\n"),
                b'"' if quotes => self.output.extend_from_slice(b"\\\""),
                _ => self.output.push(byte),
            }
        }
    }
}

impl FamilyWriter<'_> {
    /// Writes the sample of a family without labels.
    pub(super) fn value(&mut self, value: impl Into<Value>) {
        self.sample(&[], value.into());
    }

    pub(super) fn known(&mut self, value: Option<impl Into<Value>>) {
        value.into_iter().for_each(|value| self.value(value));
    }

    /// Writes a sample with these values of the labels.
    pub(super) fn labelled(&mut self, label_values: &[&str], value: impl Into<Value>) {
        let labels: Vec<_> = self.labels.iter().map(|label| label.name).zip(label_values.iter().copied()).collect();
        self.sample(&labels, value.into());
    }

    pub(super) fn durations(&mut self, durations: &Histogram) {
        let buckets = durations.buckets().map(|(bound, count)| (f64::from(bound), count));
        self.histogram(&[], buckets, Value::Micros(durations.sum_micros()), durations.count());
    }

    /// Writes a sample of a gauge or counter.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: Value) {
        self.encoder.sample(self.name, "", labels, None, value);
        if self.kind == Kind::Counter {
            self.created(labels);
        }
    }

    /// Writes the samples of a histogram.
    pub(super) fn histogram(
        &mut self,
        labels: Labels<'_>,
        buckets: impl Iterator<Item = (f64, u64)>,
        sum: Value,
        count: u64,
    ) {
        for (bound, count) in buckets.chain([(f64::INFINITY, count)]) {
            self.encoder.sample(self.name, "_bucket", labels, Some(bound), Value::Integer(count));
        }
        self.encoder.sample(self.name, "_sum", labels, None, sum);
        self.encoder.sample(self.name, "_count", labels, None, Value::Integer(count));
        self.created(labels);
    }

    fn created(&mut self, labels: Labels<'_>) {
        if self.encoder.created_samples {
            let name = self.name.strip_suffix("_total").unwrap_or(self.name);
            self.encoder.sample(name, "_created", labels, None, self.created.into());
        }
    }
}
