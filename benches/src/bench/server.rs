//! Server processes under test: start, load, measure, stop.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::load::{self, Outcome, Plan};
use crate::payload::{Cycle, Dialect, Payload};
use crate::setup::Setup;
use crate::{interrupt, scrape};

const SECRET: &str = "a-secret-of-the-benchmark";
const INGEST_CONNECTIONS: usize = 64;
const START_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Ours,
    /// With the default log level, info: one line per event, into a file.
    OursLogging,
    /// Another build of the exporter.
    Other,
    Raw,
    Bare,
    Fastify,
    FastApi,
    Pushgateway,
    Preencoded,
    PrometheusCrate,
}

impl Kind {
    pub const INGEST: [Self; 7] =
        [Self::Raw, Self::Bare, Self::Ours, Self::OursLogging, Self::Fastify, Self::FastApi, Self::Pushgateway];
    pub const SCRAPE: [Self; 6] =
        [Self::Preencoded, Self::Ours, Self::PrometheusCrate, Self::Fastify, Self::FastApi, Self::Pushgateway];
    pub const PEERS: [Self; 3] = [Self::Fastify, Self::FastApi, Self::Pushgateway];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "stream-live-exporter",
            Self::OursLogging => "stream-live-exporter, log.level=info",
            Self::Other => "other build",
            Self::Raw => "raw epoll (limit of the load generator)",
            Self::Bare => "bare actix",
            Self::Fastify => "fastify + prom-client",
            Self::FastApi => "FastAPI + prometheus_client",
            Self::Pushgateway => "Pushgateway",
            Self::Preencoded => "preencoded bytes, actix",
            Self::PrometheusCrate => "prometheus crate, actix",
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursLogging | Self::Other)
    }

    pub fn is_available(self, setup: &Setup) -> bool {
        match self {
            Self::Fastify => setup.node.is_some(),
            Self::FastApi => setup.python.is_some(),
            Self::Pushgateway => setup.pushgateway.is_some(),
            _ => true,
        }
    }

    fn command(self, setup: &Setup, exposition: Option<&Path>, port: u16, second: u16) -> anyhow::Result<Command> {
        let program =
            |program: &Option<PathBuf>| program.clone().context("its program is not available").map(Command::new);
        let mut command = match self {
            Self::Ours | Self::OursLogging => ours(Command::new(&setup.exporter), self, port, second),
            Self::Other => ours(program(&setup.against)?, self, port, second),
            Self::Raw | Self::Bare | Self::Preencoded | Self::PrometheusCrate => {
                let mut command = Command::new(std::env::current_exe()?.with_file_name("reference"));
                command.args(match self {
                    Self::Raw => ["raw"].as_slice(),
                    Self::Bare => &["bare"],
                    Self::Preencoded => &["preencoded"],
                    _ => &["prometheus"],
                });
                command.args(exposition);
                command
            }
            Self::Fastify => {
                let mut command = program(&setup.node)?;
                command.args(&setup.node_server);
                command
            }
            Self::FastApi => {
                let mut command = program(&setup.python)?;
                command.args(&setup.python_server);
                command
            }
            Self::Pushgateway => {
                let mut command = program(&setup.pushgateway)?;
                command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
                command.args(["--push.disable-consistency-check", "--log.level=warn"]);
                command
            }
        };
        command.env("PORT", port.to_string()).env("SECRET", SECRET).env("NODE_ENV", "production");
        if let Some(file) = exposition {
            command.env("EXPOSITION", file);
        }
        Ok(command)
    }
}

fn ours(mut command: Command, kind: Kind, port: u16, second: u16) -> Command {
    command.arg(format!("--webhook.listen-address=127.0.0.1:{port}"));
    command.arg(format!("--web.listen-address=127.0.0.1:{second}"));
    command.args(["--storage.path=data", "--inputs.max=2000000", "--log.format=logfmt"]);
    let level = if kind == Kind::OursLogging { "info" } else { "warn" };
    let variables = [
        ("WEBHOOK__SECRETS__BENCH", SECRET),
        ("WEBHOOK__MAX_CONNECTIONS", "4096"),
        ("WEBHOOK__MAX_CONNECTIONS_PER_PEER", "4096"),
        ("LOG__LEVEL", level),
    ];
    for (name, value) in variables {
        command.env(format!("STREAM_LIVE_EXPORTER__{name}"), value);
    }
    command
}

/// A running server.
pub struct Server {
    pub kind: Kind,
    child: Child,
    /// Its working folder.
    pub folder: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    /// Address of `/metrics`.
    pub private: SocketAddr,
    pub payload: Payload,
    /// From the start of the process until it is ready.
    pub ready_after: Duration,
}

impl Server {
    /// Starts a server in an empty folder.
    pub fn fresh(setup: &Setup, kind: Kind, exposition: Option<&Path>) -> anyhow::Result<Self> {
        let folder = setup.work().join(format!("fresh-{kind:?}"));
        // Left over from an earlier start.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        Self::start(setup, kind, &folder, exposition)
    }

    /// Starts a server in this folder. Peers first load the samples of the exposition.
    pub fn start(setup: &Setup, kind: Kind, folder: &Path, exposition: Option<&Path>) -> anyhow::Result<Self> {
        Self::configured(setup, kind, folder, exposition, &[])
    }

    /// The same with settings for the exporter: names of environment variables without the prefix, and values.
    pub fn configured(
        setup: &Setup,
        kind: Kind,
        folder: &Path,
        exposition: Option<&Path>,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        interrupt::check()?;
        let (port, second) = free_ports()?;
        let log = setup.work().join(format!("{kind:?}.log"));
        let mut command = kind.command(setup, exposition, port, second)?;
        for (key, value) in settings {
            command.env(format!("STREAM_LIVE_EXPORTER__{key}"), value);
        }
        command.current_dir(folder).stdin(Stdio::null()).stderr(File::create(&log)?).stdout(Stdio::null());
        // Ctrl-C must reach this program only.
        command.process_group(0);
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("{} cannot be started", kind.name()))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let private = if kind.is_ours() { SocketAddr::from(([127, 0, 0, 1], second)) } else { address };
        let dialect = if kind == Kind::Pushgateway { Dialect::Pushgateway } else { Dialect::Webhook };
        let payload = Payload::new(dialect, setup.inputs, SECRET);
        let mut server = Self {
            kind,
            child,
            folder: folder.to_owned(),
            log,
            address,
            private,
            payload,
            ready_after: Duration::ZERO,
        };
        while !server.is_ready() {
            interrupt::check()?;
            server.check_alive()?;
            ensure!(began.elapsed() < START_TIMEOUT, "{} is not ready after {START_TIMEOUT:?}", kind.name());
            thread::sleep(Duration::from_millis(1));
        }
        server.ready_after = began.elapsed();
        if let (Kind::Pushgateway, Some(file)) = (kind, exposition) {
            scrape::push(address, &fs::read_to_string(file)?)?;
        }
        Ok(server)
    }

    fn is_ready(&self) -> bool {
        match self.kind.is_ours() {
            true => scrape::get(self.private, "/-/ready", "").is_ok(),
            false => TcpStream::connect(self.address).is_ok(),
        }
    }

    /// Posts notifications at this rate, or in a closed loop.
    pub fn load(&mut self, connections: usize, rate: Option<f64>, duration: Duration) -> anyhow::Result<Outcome> {
        self.run(&Plan { address: self.address, connections, rate, duration, requests: u64::MAX })
    }

    /// Posts this number of events for each input.
    pub fn ingest(&mut self, inputs: u64, events_per_input: u64, cycle: Cycle) -> anyhow::Result<Outcome> {
        self.payload = Payload::round_robin(cycle, usize::try_from(inputs)?, SECRET);
        let (address, connections, duration) = (self.address, INGEST_CONNECTIONS, Duration::MAX);
        // Each connection starts with one request that does not count.
        let requests = (inputs * events_per_input).saturating_sub(connections as u64);
        self.run(&Plan { address, connections, rate: None, duration, requests })
    }

    fn run(&mut self, plan: &Plan) -> anyhow::Result<Outcome> {
        let outcome = load::run(plan, &mut self.payload);
        self.check_alive()?;
        outcome.with_context(|| format!("{} with {} connections", self.kind.name(), plan.connections))
    }

    /// Its log so far.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    fn check_alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} exited with {status}:\n{}", self.kind.name(), fs::read_to_string(&self.log)?);
        }
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn status(&self, name: &str) -> anyhow::Result<u64> {
        number_in(&fs::read_to_string(format!("/proc/{}/status", self.pid()))?, name)
    }

    /// Resident memory in megabytes.
    pub fn memory(&self) -> anyhow::Result<f64> {
        Ok(self.status("VmRSS")? as f64 / 1e3)
    }

    /// Peak resident memory since [`Server::reset_peak`], in megabytes.
    pub fn peak(&self) -> anyhow::Result<f64> {
        Ok(self.status("VmHWM")? as f64 / 1e3)
    }

    pub fn reset_peak(&self) -> anyhow::Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.pid()), "5")?)
    }

    /// Ids and names of its threads.
    pub fn threads(&self) -> anyhow::Result<Vec<(u32, String)>> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid()))?;
        let name = |id: u32| fs::read_to_string(format!("/proc/{}/task/{id}/comm", self.pid()));
        tasks
            .map(|task| Ok(task?.file_name().to_string_lossy().parse()?))
            .map(|id| id.and_then(|id| Ok((id, name(id)?))))
            .collect()
    }

    /// Voluntary context switches of its threads so far.
    pub fn sleeps(&self) -> anyhow::Result<u64> {
        let status = |(id, _)| fs::read_to_string(format!("/proc/{}/task/{id}/status", self.pid()));
        self.threads()?.into_iter().map(|thread| number_in(&status(thread)?, "voluntary_ctxt_switches")).sum()
    }

    /// CPU time of all its threads in microseconds.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let fields: Vec<_> = stat.rsplit_once(')').context("no name")?.1.split_whitespace().collect();
        let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks * 1e6 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Stops it with SIGTERM and waits.
    pub fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        ensure!(self.child.wait()?.success(), "{} did not shut down cleanly", self.kind.name());
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Value of a line of `/proc/PID/status`.
pub fn number_in(status: &str, name: &str) -> anyhow::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {name}"))?.parse()?)
}

/// Two unused ports.
fn free_ports() -> anyhow::Result<(u16, u16)> {
    let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok((listeners[0].local_addr()?.port(), listeners[1].local_addr()?.port()))
}
