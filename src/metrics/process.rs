//! The standard process metrics, with fractional CPU seconds, which the `prometheus` crate's own
//! collector does not have.

use procfs::WithCurrentSystemInfo;
use procfs::process::LimitValue;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

use super::catalogue::Family;
use super::catalogue::exporter::{
    CPU_SECONDS, MAX_FDS, OPEN_FDS, RESIDENT_MEMORY, START_TIME, THREADS, VIRTUAL_MEMORY,
};

/// Reads `/proc/self` when it is gathered. Without it there are no series.
#[derive(Debug, Clone)]
pub(super) struct Process {
    cpu_seconds: Counter,
    open_fds: Gauge,
    max_fds: Gauge,
    virtual_memory: Gauge,
    resident_memory: Gauge,
    start_time: Gauge,
    threads: Gauge,
}

impl Process {
    pub(super) fn new() -> Self {
        const VALID: &str = "the catalogue's names are valid";
        let gauge = |family: &Family| Gauge::new(family.name, family.help).expect(VALID);
        Self {
            cpu_seconds: Counter::new(CPU_SECONDS.name, CPU_SECONDS.help).expect(VALID),
            open_fds: gauge(&OPEN_FDS),
            max_fds: gauge(&MAX_FDS),
            virtual_memory: gauge(&VIRTUAL_MEMORY),
            resident_memory: gauge(&RESIDENT_MEMORY),
            start_time: gauge(&START_TIME),
            threads: gauge(&THREADS),
        }
    }

    fn collectors(&self) -> [&dyn Collector; 7] {
        let Self { cpu_seconds, open_fds, max_fds, virtual_memory, resident_memory, start_time, threads } = self;
        [cpu_seconds, open_fds, max_fds, virtual_memory, resident_memory, start_time, threads]
    }

    fn read(&self) -> procfs::ProcResult<()> {
        let process = procfs::process::Process::myself()?;
        let stat = process.stat()?;
        let ticks_per_second = procfs::ticks_per_second() as f64;
        let cpu_seconds = (stat.utime + stat.stime) as f64 / ticks_per_second;
        self.cpu_seconds.inc_by((cpu_seconds - self.cpu_seconds.get()).max(0.0));
        self.open_fds.set(process.fd_count()? as f64);
        self.max_fds.set(match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => limit as f64,
            LimitValue::Unlimited => f64::INFINITY,
        });
        self.virtual_memory.set(stat.vsize as f64);
        self.resident_memory.set(stat.rss_bytes().get() as f64);
        let boot_time = procfs::boot_time_secs()? as f64;
        self.start_time.set(boot_time + stat.starttime as f64 / ticks_per_second);
        self.threads.set(stat.num_threads as f64);
        Ok(())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        match self.read() {
            Ok(()) => self.collectors().into_iter().flat_map(Collector::collect).collect(),
            Err(error) => {
                tracing::debug!(%error, "no process metrics");
                Vec::new()
            }
        }
    }
}
