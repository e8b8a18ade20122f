//! Every metric with everything that its users need to know.
//!
//! The names are an interface: people write alerts against them. METRICS.md is made from here, and a
//! test holds it equal.

pub mod exporter;
pub mod inputs;
mod markdown;

pub use markdown::markdown;

/// A metric family.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The name of its samples, of a counter with `_total`, of a histogram without suffix.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// What it is: its `HELP` text.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [Label],
    /// What the value 0 means; empty for a histogram.
    pub zero: &'static str,
    /// What it means that there is no such series.
    pub absent: &'static str,
    /// How many series there are: per input for those of inputs, else in all.
    pub series: &'static str,
    /// An expression to begin with.
    pub query: &'static str,
}

/// A metric's type, the same word in both formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows, but for a restart of what it counts.
    Counter,
    /// Any value.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
}

/// A label and what its values are.
#[derive(Debug, PartialEq, Eq)]
pub struct Label {
    /// The name.
    pub name: &'static str,
    /// Its values, for people.
    pub values: &'static str,
}

impl Kind {
    /// The type's name in the formats.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The chapters of the catalogue with their families, in the order of the documentation.
pub const CHAPTERS: [(&str, &[&Family]); 4] = [
    ("Live inputs", &inputs::PER_INPUT),
    ("All live inputs together", &inputs::OVERALL),
    ("Notifications and journal", &exporter::OWN),
    ("Process", &exporter::PROCESS),
];

const ALWAYS: &str = "never absent";
