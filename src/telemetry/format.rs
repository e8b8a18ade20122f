//! Log lines with the keys of Prometheus' own programs: `time`, `level`, `source`, `msg`, then the fields of the event.
//!
//! Both formats escape control and format characters, so that text from outside can neither begin a new line nor change
//! how others are shown.

use std::fmt::{self, Debug, Write};
use std::path::Path;

use serde::{Serialize, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::event::Timestamp;
use crate::text::{is_control_or_format, to_json};

/// Formats each event as one line. Spans are not used.
pub(super) struct Lines {
    /// JSON instead of logfmt.
    pub(super) json: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let line = Line::new(event, clock::now());
        if self.json { writeln!(writer, "{}", to_json(&line)) } else { line.write_logfmt(&mut writer) }
    }
}

/// The keys and values of a line, in their order.
struct Line(Vec<(&'static str, Value)>);

impl Line {
    fn new(event: &Event<'_>, now: Timestamp) -> Self {
        let metadata = event.metadata();
        // RFC 3339 in UTC with exactly three digits after the point.
        let time = format!("{:.3}", now.to_jiff());
        let mut line = Self(vec![("time", time.into()), ("level", metadata.level().as_str().into())]);
        if let (Some(file), Some(number)) = (metadata.file(), metadata.line()) {
            let file = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
            line.0.push(("source", format!("{file}:{number}").into()));
        }
        event.record(&mut line);
        line
    }

    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        let key = if field.name() == "message" { "msg" } else { field.name() };
        self.0.push((key, value.into()));
    }

    fn write_logfmt(&self, out: &mut impl Write) -> fmt::Result {
        for (position, (key, value)) in self.0.iter().enumerate() {
            let space = if position > 0 { " " } else { "" };
            match value.as_str() {
                Some(text) if needs_quotes(text) => write!(out, "{space}{key}={}", to_json(text))?,
                Some(text) => write!(out, "{space}{key}={text}")?,
                None => write!(out, "{space}{key}={value}")?,
            }
        }
        out.write_char('\n')
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }
}

fn needs_quotes(text: &str) -> bool {
    let special = |c: char| c.is_whitespace() || matches!(c, '"' | '=') || is_control_or_format(c);
    text.is_empty() || text.contains(special)
}

#[cfg(test)]
mod tests;
