//! METRICS.md is generated from the catalogue.

use std::path::Path;

use super::super::catalogue::{Family, Kind, Label, LabelValues, chapters};

const INTRODUCTION: &str = "\
# Metrics

<!-- Generated from src/metrics. To update: UPDATE_METRICS_MD=1 cargo test --lib metrics_md -->

Operators write alerts against these names: a change here is a breaking change.

- Times are seconds since the Unix epoch, never ages. Durations are in seconds, sizes in bytes.
- A series exists only if its value is known. Absence has its own meaning and is not the same as 0.
- Each value of a label with a closed set of values is present as soon as the input is known.
- Counters of live inputs and of their events survive restarts, because they are computed from the journal.
  `stream_live_exporter_events_out_of_order_total` is one of them. All other counters of the exporter
  (`stream_live_exporter_*`, `process_*`) start at 0 with the process.
- The `Accept` header selects the format: Prometheus text 0.0.4 or OpenMetrics 1.0. With
  `web.created_samples = true`, OpenMetrics output has a `_created` sample for each counter and histogram.
- To add the names of inputs to a query, join it with the info metric:
  `cloudflare_stream_live_input_connected * on (instance, input_id) group_left (name) cloudflare_stream_live_input_info`.
";

#[test]
fn metrics_md_equals_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("METRICS.md");
    let generated = markdown();
    #[expect(clippy::disallowed_methods, reason = "reads whether to update the file")]
    if std::env::var("UPDATE_METRICS_MD").is_ok() {
        std::fs::write(&path, &generated).unwrap();
    }
    let document = std::fs::read_to_string(&path).unwrap();
    assert!(document == generated, "METRICS.md is out of date: UPDATE_METRICS_MD=1 cargo test --lib metrics_md");
}

fn markdown() -> String {
    let mut document = INTRODUCTION.to_owned();
    for (title, families) in chapters() {
        document += &format!("\n## {title}\n");
        document.extend(families.into_iter().map(section));
    }
    document
}

fn section(family: &Family) -> String {
    let mut lines = vec![format!("\n### {}\n", family.name), format!("{}\n", family.help)];
    lines.push(format!("- type: {}", family.kind.name()));
    lines.extend(family.labels.iter().map(|label| format!("- label `{}`: {}", label.name, values(label))));
    if family.kind != Kind::Histogram {
        lines.push(format!("- 0 means: {}", family.zero));
    }
    lines.push(format!("- absent means: {}", family.absent));
    let per = if family.labels.iter().any(|label| label.name == "input_id") { "series per input" } else { "series" };
    lines.push(format!("- {per}: {}", family.series));
    lines.push(format!("- query: `{}`\n", family.query));
    lines.join("\n")
}

fn values(label: &Label) -> String {
    match label.values {
        LabelValues::Closed(values) => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
        LabelValues::Open(description) => description.to_owned(),
    }
}
