//! Samples over time, and the file of them that `promtool tsdb create-blocks-from openmetrics` reads.

use std::collections::BTreeMap;
use std::io::{self, Write};

use stream_live_exporter::event::Timestamp;

/// Families of series, each with its samples in the order of time.
#[derive(Debug, Default)]
pub struct Samples {
    families: Vec<Family>,
    position: BTreeMap<String, usize>,
}

#[derive(Debug, Default)]
struct Family {
    name: String,
    help: String,
    kind: String,
    /// By the series as it is written.
    series: BTreeMap<String, Vec<(i64, f64)>>,
}

impl Samples {
    /// Takes over a scrape: its exposition, with the labels that Prometheus adds to a target's.
    pub fn scrape(&mut self, exposition: &str, target: &[(&str, &str)], at: Timestamp) {
        let target = labels(target);
        let mut position = None;
        for line in exposition.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
                let family = self.family(name);
                help.clone_into(&mut self.families[family].help);
                position = Some(family);
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
                let family = self.family(name);
                kind.clone_into(&mut self.families[family].kind);
                position = Some(family);
            } else if let Some((series, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) {
                let series = match series.strip_suffix('}') {
                    Some(labelled) => format!("{labelled},{target}}}"),
                    None => format!("{series}{{{target}}}"),
                };
                let value = value.parse().expect("a sample's value is a number");
                let family = position.expect("a sample follows the head of its family");
                self.families[family].series.entry(series).or_default().push((at.as_millis(), value));
            }
        }
    }

    /// Adds a sample of a gauge.
    pub fn gauge(&mut self, name: &str, labelled: &[(&str, &str)], at: Timestamp, value: f64) {
        let family = self.family(name);
        let family = &mut self.families[family];
        "gauge".clone_into(&mut family.kind);
        let series = format!("{name}{{{}}}", labels(labelled));
        family.series.entry(series).or_default().push((at.as_millis(), value));
    }

    fn family(&mut self, name: &str) -> usize {
        if let Some(position) = self.position.get(name) {
            return *position;
        }
        self.families.push(Family { name: name.to_owned(), ..Family::default() });
        self.position.insert(name.to_owned(), self.families.len() - 1);
        self.families.len() - 1
    }

    /// Writes them, one family after the other.
    pub fn write(&self, mut output: impl Write) -> io::Result<()> {
        for Family { name, help, kind, series } in &self.families {
            if !help.is_empty() {
                writeln!(output, "# HELP {name} {help}")?;
            }
            writeln!(output, "# TYPE {name} {kind}")?;
            for (series, samples) in series {
                for (millis, value) in samples {
                    writeln!(output, "{series} {value} {}.{:03}", millis / 1000, millis % 1000)?;
                }
            }
        }
        writeln!(output, "# EOF")?;
        output.flush()
    }
}

fn labels(labels: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let written: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    written.join(",")
}
