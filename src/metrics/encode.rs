//! Samples as text: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! Sources: <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>. What
//! differs: OpenMetrics names a counter's family without `_total`, writes bounds with a decimal
//! point, escapes quotes in help texts, may have `_created` samples, and says when it is over.

use std::io::Write;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::catalogue::{Family, Kind};
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

/// A sample's value, exact for what is counted in whole units.
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

impl Encoder {
    pub(super) fn new(format: Format, created_samples: bool) -> Self {
        let created_samples = created_samples && format == Format::OpenMetrics;
        Self { format, created_samples, output: Vec::new() }
    }

    /// Whether counters are followed by when they began.
    pub(super) fn created_samples(&self) -> bool {
        self.created_samples
    }

    /// How much has been written since the last [`Encoder::take`], in bytes.
    pub(super) fn len(&self) -> usize {
        self.output.len()
    }

    /// Takes what has been written.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let capacity = self.output.capacity();
        std::mem::replace(&mut self.output, Vec::with_capacity(capacity))
    }

    /// Begins a family; its samples follow.
    pub(super) fn begin(&mut self, family: &Family) {
        self.header(family.name, family.kind, family.help);
    }

    fn header(&mut self, name: &str, kind: Kind, help: &str) {
        let name = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        self.text(&["# HELP ", name, " "]);
        self.escaped(help, self.format == Format::OpenMetrics);
        self.text(&["\n# TYPE ", name, " ", kind.name(), "\n"]);
    }

    /// Writes the parts of a line up to its value, or up to the value of its last label.
    pub(super) fn begin_line(&mut self, parts: [&[u8]; 3]) {
        for part in parts {
            self.output.extend_from_slice(part);
        }
    }

    /// Writes the value of the last label, after whose opening quote the line is broken off.
    pub(super) fn end_label(&mut self, label: &str) {
        self.escaped(label, true);
        self.text(&["\"} "]);
    }

    /// Writes the value of a line that is written up to there.
    pub(super) fn end_line(&mut self, value: Value) {
        self.value(value);
        self.output.push(b'\n');
    }

    /// Writes a sample of a gauge.
    pub(super) fn gauge(&mut self, family: &Family, labels: Labels<'_>, value: impl Into<Value>) {
        self.sample(family.name, "", labels, None, value.into());
    }

    /// Writes a counter's sample, and since when it counts.
    pub(super) fn counter(&mut self, family: &Family, labels: Labels<'_>, value: Value, created: Timestamp) {
        self.sample(family.name, "", labels, None, value);
        self.created(family.name, labels, created);
    }

    /// Writes a histogram's samples.
    pub(super) fn histogram(&mut self, family: &Family, histogram: &Histogram, created: Timestamp) {
        for (bound, count) in histogram.buckets() {
            self.sample(family.name, "_bucket", &[], Some(f64::from(bound)), Value::Integer(count));
        }
        self.sample(family.name, "_bucket", &[], Some(f64::INFINITY), Value::Integer(histogram.count()));
        self.sample(family.name, "_sum", &[], None, Value::Micros(histogram.sum_micros()));
        self.sample(family.name, "_count", &[], None, Value::Integer(histogram.count()));
        self.created(family.name, &[], created);
    }

    /// Writes a family that the `prometheus` crate has gathered.
    pub(super) fn gathered(&mut self, family: &MetricFamily, created: Timestamp) {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => Kind::Counter,
            MetricType::HISTOGRAM => Kind::Histogram,
            MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => Kind::Gauge,
        };
        self.header(family.name(), kind, family.help());
        for metric in family.get_metric() {
            let labels: Vec<(&str, &str)> =
                metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
            match kind {
                Kind::Gauge => {
                    self.sample(family.name(), "", &labels, None, Value::Float(metric.get_gauge().get_value()));
                }
                Kind::Counter => {
                    self.sample(family.name(), "", &labels, None, Value::Float(metric.get_counter().get_value()));
                    self.created(family.name(), &labels, created);
                }
                Kind::Histogram => self.gathered_histogram(family.name(), metric, &labels, created),
            }
        }
    }

    fn gathered_histogram(&mut self, name: &str, metric: &Metric, labels: Labels<'_>, created: Timestamp) {
        let histogram = metric.get_histogram();
        for bucket in histogram.get_bucket() {
            let count = Value::Integer(bucket.cumulative_count());
            self.sample(name, "_bucket", labels, Some(bucket.upper_bound()), count);
        }
        let count = Value::Integer(histogram.get_sample_count());
        self.sample(name, "_bucket", labels, Some(f64::INFINITY), count);
        self.sample(name, "_sum", labels, None, Value::Float(histogram.get_sample_sum()));
        self.sample(name, "_count", labels, None, count);
        self.created(name, labels, created);
    }

    /// Ends the exposition.
    pub(super) fn finish(&mut self) {
        if self.format == Format::OpenMetrics {
            self.text(&["# EOF\n"]);
        }
    }

    fn created(&mut self, name: &str, labels: Labels<'_>, created: Timestamp) {
        if self.created_samples {
            let name = name.strip_suffix("_total").unwrap_or(name);
            self.sample(name, "_created", labels, None, created.into());
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
        self.value(value);
        self.text(&["\n"]);
    }

    fn value(&mut self, value: Value) {
        match value {
            Value::Integer(value) => self.integer(value),
            Value::Millis(value) => self.decimal(value, 1000),
            Value::Micros(value) => self.decimal(value, 1_000_000),
            Value::Float(value) => self.float(value, false),
        }
    }

    fn integer(&mut self, value: u64) {
        self.output.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Writes so many parts of a unit that has `parts` of them, a power of ten.
    fn decimal(&mut self, value: u64, parts: u64) {
        self.integer(value / parts);
        // The digit before those of the parts becomes the point.
        let point = self.output.len();
        self.integer(parts + value % parts);
        self.output[point] = b'.';
    }

    /// Writes a number; `pointed` with a decimal point also when it is whole.
    fn float(&mut self, value: f64, pointed: bool) {
        let written = match value {
            f64::INFINITY => write!(self.output, "+Inf"),
            f64::NEG_INFINITY => write!(self.output, "-Inf"),
            _ if pointed => write!(self.output, "{value:?}"),
            _ => write!(self.output, "{value}"),
        };
        written.expect("a Vec takes everything");
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
