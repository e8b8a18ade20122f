//! The standard process metrics, with fractional CPU seconds. The collector of the `prometheus` crate has whole ones.

use std::time::Duration;

use procfs::process::{LimitValue, Limits, Stat};
use procfs::{ProcResult, WithCurrentSystemInfo};

use super::encode::{Encoder, Value};
use super::family::{COUNTER, Entry, Family, GAUGE};
use crate::event::Timestamp;

/// Values read from `/proc/self`.
pub(super) struct Process {
    stat: Stat,
    limits: Limits,
    open_fds: usize,
    boot_time: u64,
    ticks_per_second: f64,
}

const NO_PROC: &str = "the system has no `/proc`";
const PROCESS_GAUGE: Family = Family { absent: NO_PROC, ..GAUGE };

type Read = fn(&Process) -> f64;

pub(super) static FAMILIES: [Entry<Read>; 7] = [
    Family {
        name: "process_cpu_seconds_total",
        help: "Total user and system CPU time spent in seconds.",
        zero: "less than a clock tick",
        absent: NO_PROC,
        query: "rate(process_cpu_seconds_total{job=\"stream-live-exporter\"}[5m])",
        ..COUNTER
    }
    .with(|process| (process.stat.utime + process.stat.stime) as f64 / process.ticks_per_second),
    Family {
        name: "process_open_fds",
        help: "Number of open file descriptors.",
        query: "process_open_fds{job=\"stream-live-exporter\"} / process_max_fds",
        ..PROCESS_GAUGE
    }
    .with(|process| process.open_fds as f64),
    Family {
        name: "process_max_fds",
        help: "Maximum number of open file descriptors.",
        query: "process_max_fds{job=\"stream-live-exporter\"}",
        ..PROCESS_GAUGE
    }
    .with(|process| match process.limits.max_open_files.soft_limit {
        LimitValue::Value(limit) => limit as f64,
        LimitValue::Unlimited => f64::INFINITY,
    }),
    Family {
        name: "process_virtual_memory_bytes",
        help: "Virtual memory size in bytes.",
        query: "process_virtual_memory_bytes{job=\"stream-live-exporter\"}",
        ..PROCESS_GAUGE
    }
    .with(|process| process.stat.vsize as f64),
    Family {
        name: "process_resident_memory_bytes",
        help: "Resident memory size in bytes.",
        query: "process_resident_memory_bytes{job=\"stream-live-exporter\"}",
        ..PROCESS_GAUGE
    }
    .with(|process| process.stat.rss_bytes().get() as f64),
    Family {
        name: "process_start_time_seconds",
        help: "Start time of the process since the Unix epoch in seconds.",
        query: "time() - process_start_time_seconds{job=\"stream-live-exporter\"}",
        ..PROCESS_GAUGE
    }
    .with(start_time),
    Family {
        name: "process_threads",
        help: "Number of threads of the process.",
        query: "process_threads{job=\"stream-live-exporter\"}",
        ..PROCESS_GAUGE
    }
    .with(|process| process.stat.num_threads as f64),
];

/// When the process started, as its metric says; `None` without `/proc`.
pub fn started_at() -> Option<Timestamp> {
    let seconds = start_time(&Process::read().ok()?);
    Some(Timestamp::EPOCH.plus(Duration::try_from_secs_f64(seconds).ok()?))
}

fn start_time(process: &Process) -> f64 {
    process.boot_time as f64 + process.stat.starttime as f64 / process.ticks_per_second
}

/// Writes the process metrics, or nothing if `/proc` cannot be read.
pub(super) fn write(encoder: &mut Encoder, started_at: Timestamp) {
    match Process::read() {
        Ok(process) => {
            for Entry { family, read } in &FAMILIES {
                encoder.begin_family(family, started_at).value(Value::Float(read(&process)));
            }
        }
        Err(error) => tracing::debug!(%error, "no process metrics"),
    }
}

impl Process {
    fn read() -> ProcResult<Self> {
        let process = procfs::process::Process::myself()?;
        Ok(Self {
            stat: process.stat()?,
            limits: process.limits()?,
            open_fds: process.fd_count()?,
            boot_time: procfs::boot_time_secs()?,
            ticks_per_second: procfs::ticks_per_second() as f64,
        })
    }
}
