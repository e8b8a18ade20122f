//! METRICS.md.

use std::fmt::Write;

use super::{CHAPTERS, Family, Kind};

const INTRODUCTION: &str = "\
# Metrics

<!-- Made from src/metrics/catalogue. After a change there: UPDATE_METRICS_MD=1 cargo test --lib metrics_md -->

Operators write alerts against these names: a change here is a breaking change.

- Times are seconds since the Unix epoch, never ages; durations are seconds; sizes are bytes.
- A series exists only when its value is known: *absent* has a meaning of its own, and is never 0.
- Every value of a label with a closed set is present from the moment its input is known.
- Counters of live inputs and of events about them survive restarts, because they are computed from the
  journal. The exporter's own counters (`stream_live_exporter_*`, `process_*`) begin at 0 with the process;
  `stream_live_exporter_events_out_of_order_total` is computed from the journal too.
- Both formats are served, by `Accept`: Prometheus text 0.0.4 and OpenMetrics 1.0. With
  `web.created_samples = true`, OpenMetrics output has a `_created` sample for every counter and histogram.
- Names join on the inventory:
  `cloudflare_stream_live_input_connected * on (instance, input_id) group_left (name) cloudflare_stream_live_input_info`.
";

/// The whole document.
pub fn markdown() -> String {
    let mut document = INTRODUCTION.to_owned();
    for (title, families) in CHAPTERS {
        write!(document, "\n## {title}\n").expect("a String takes everything");
        for family in families {
            document.push_str(&section(family));
        }
    }
    document
}

fn section(family: &Family) -> String {
    let mut lines = vec![format!("\n### {}\n", family.name), format!("{}\n", family.help)];
    lines.push(format!("- type: {}", family.kind.name()));
    lines.extend(family.labels.iter().map(|label| format!("- label `{}`: {}", label.name, label.values)));
    if family.kind != Kind::Histogram {
        lines.push(format!("- 0 means: {}", family.zero));
    }
    lines.push(format!("- absent means: {}", family.absent));
    let per = if family.labels.iter().any(|label| label.name == "input_id") { "series per input" } else { "series" };
    lines.push(format!("- {per}: {}", family.series));
    lines.push(format!("- query: `{}`\n", family.query));
    lines.join("\n")
}
