//! The standard process metrics of a process of the timeline. The product reads them from the system, and
//! there they are those of the program that makes the history.

use std::fmt::Write;

use stream_live_exporter::event::Timestamp;
use stream_live_exporter::metrics::catalogue::{Family, Kind, families};

/// A process.
pub struct Process {
    started_at: Timestamp,
}

impl Process {
    /// A process that started then.
    pub fn new(started_at: Timestamp) -> Self {
        Self { started_at }
    }

    /// The exposition with this process's metrics in place of our own.
    pub fn in_place_of_ours(&self, exposition: &str, at: Timestamp) -> String {
        let is_ours = |line: &str| {
            let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
            let name = name.split([' ', '{']).next().unwrap_or_default();
            process_families().any(|family| name == family.name || name == exposed(family))
        };
        let mut made = String::with_capacity(exposition.len());
        for line in exposition.lines().filter(|line| !is_ours(line) && *line != "# EOF") {
            made.push_str(line);
            made.push('\n');
        }
        for family in process_families() {
            let (name, kind, value) = (exposed(family), family.kind.name(), self.value(family, at));
            writeln!(made, "# HELP {name} {}\n# TYPE {name} {kind}\n{} {value}", family.help, family.name)
                .expect("a text takes everything");
        }
        made + "# EOF\n"
    }

    /// A small daemon with little to do: it warms up, then nothing changes much.
    fn value(&self, family: &Family, at: Timestamp) -> f64 {
        let age = at.since(self.started_at).unwrap_or_default().as_secs_f64();
        // Scrapes come and go, and leave traces.
        let ripple = (age / 700.0).sin() + (age / 113.0).cos();
        let value = match family.name {
            "process_cpu_seconds_total" => 0.09 + age * 0.0021,
            "process_open_fds" => 21.0 + (1.5 * ripple).round(),
            "process_max_fds" => 524_288.0,
            "process_virtual_memory_bytes" => 158.0 * 1_048_576.0,
            "process_resident_memory_bytes" => {
                4096.0 * (3300.0 + 420.0 * (1.0 - (-age / 900.0).exp()) + 12.0 * ripple).round()
            }
            "process_start_time_seconds" => self.started_at.as_millis() as f64 / 1000.0,
            "process_threads" => 8.0,
            other => unreachable!("the catalogue has a metric of processes that the timeline does not know: {other}"),
        };
        (value * 1000.0).round() / 1000.0
    }
}

fn process_families() -> impl Iterator<Item = &'static Family> {
    families().filter(|family| family.name.starts_with("process_"))
}

/// The family's name as OpenMetrics has it.
fn exposed(family: &Family) -> &'static str {
    match family.kind {
        Kind::Counter => family.name.strip_suffix("_total").unwrap_or(family.name),
        Kind::Gauge | Kind::Histogram => family.name,
    }
}
