//! Process metrics of a simulated replica. The exporter's own collector would report the process that
//! generates the history.

use stream_live_exporter::event::Timestamp;

pub struct Process {
    started_at: Timestamp,
}

impl Process {
    pub fn new(started_at: Timestamp) -> Self {
        Self { started_at }
    }

    /// The exposition with the values of this process.
    pub fn replace_in(&self, exposition: &str, at: Timestamp) -> String {
        let replaced = exposition.lines().map(|line| match line.split_once(' ') {
            Some((name, _)) if name.starts_with("process_") => format!("{name} {}\n", self.value(name, at)),
            _ => format!("{line}\n"),
        });
        replaced.collect()
    }

    /// The values of a small daemon with little load.
    fn value(&self, name: &str, at: Timestamp) -> f64 {
        let age = at.since(self.started_at).unwrap_or_default().as_secs_f64();
        let variation = (age / 700.0).sin() + (age / 113.0).cos();
        let value = match name {
            "process_cpu_seconds_total" => 0.09 + age * 0.0021,
            "process_open_fds" => 21.0 + (1.5 * variation).round(),
            "process_max_fds" => 524_288.0,
            "process_virtual_memory_bytes" => 158.0 * 1_048_576.0,
            "process_resident_memory_bytes" => {
                4096.0 * (3300.0 + 420.0 * (1.0 - (-age / 900.0).exp()) + 12.0 * variation).round()
            }
            "process_start_time_seconds" => self.started_at.as_millis() as f64 / 1000.0,
            "process_threads" => 8.0,
            other => unreachable!("no value for the process metric {other}"),
        };
        (value * 1000.0).round() / 1000.0
    }
}
