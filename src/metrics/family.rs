//! A metric family and its documentation.

/// A metric family.
#[derive(Debug, PartialEq)]
pub struct Family {
    /// The name of its samples: of a counter with `_total`, of a histogram without suffix.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The HELP text.
    pub help: &'static str,
    /// The labels, except `le`.
    pub labels: &'static [Label],
    /// The upper bounds of a histogram that [`Exporter`](super::Exporter) observes; empty for all others.
    pub buckets: &'static [f64],
    /// The meaning of the value 0; empty for a histogram.
    pub zero: &'static str,
    /// The meaning of an absent series.
    pub absent: &'static str,
    /// The number of series: per input if there is a label `input_id`, otherwise in total.
    pub series: &'static str,
    /// An example query.
    pub query: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Increases, or restarts at 0.
    Counter,
    /// Any value.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
}

/// A label.
#[derive(Debug, PartialEq, Eq)]
pub struct Label {
    /// The name.
    pub name: &'static str,
    /// The values.
    pub values: LabelValues,
}

/// The values of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelValues {
    /// A closed set. A counter has a series for each of them from the start.
    Closed(&'static [&'static str]),
    /// Other values, described for the reader.
    Open(&'static str),
}

pub(super) const NEVER_ABSENT: &str = "never absent";

/// Defaults of a gauge, counter or histogram without labels.
pub(super) const GAUGE: Family = Family {
    name: "",
    kind: Kind::Gauge,
    help: "",
    labels: &[],
    buckets: &[],
    zero: "does not occur",
    absent: NEVER_ABSENT,
    series: "1",
    query: "",
};
pub(super) const COUNTER: Family = Family { kind: Kind::Counter, zero: "none yet", ..GAUGE };
pub(super) const HISTOGRAM: Family = Family { kind: Kind::Histogram, zero: "", ..GAUGE };

/// A family of the catalogue with the function that reads its values.
#[derive(Debug)]
pub(super) struct Entry<R> {
    pub(super) family: Family,
    pub(super) read: R,
}

impl Family {
    pub(super) const fn with<R>(self, read: R) -> Entry<R> {
        Entry { family: self, read }
    }
}

impl Kind {
    /// The name of the type in both formats.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Label {
    /// All values of a closed set, otherwise none.
    pub fn closed_set(&self) -> Option<&'static [&'static str]> {
        match self.values {
            LabelValues::Closed(values) => Some(values),
            LabelValues::Open(_) => None,
        }
    }
}
