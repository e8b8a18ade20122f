//! The daemon under test, with a clock that can be changed.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::dist_binary;

pub const SECRET: &str = "of-the-soak-test-0123456789";

/// A data folder, addresses and a binary.
pub struct Site {
    folder: tempfile::TempDir,
    binary: PathBuf,
    libfaketime: PathBuf,
    /// Address of the public listener.
    pub public: String,
    /// Address of the private listener.
    pub private: String,
}

/// A running daemon. Killed when dropped.
pub struct Daemon(Child);

impl Site {
    pub fn new(libfaketime: PathBuf) -> anyhow::Result<Self> {
        ensure!(libfaketime.is_file(), "{} does not exist: install faketime", libfaketime.display());
        let free_address = || anyhow::Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string());
        let (public, private) = (free_address()?, free_address()?);
        let site = Self { folder: tempfile::tempdir()?, binary: dist_binary::build()?, libfaketime, public, private };
        site.set_clock(0)?;
        Ok(site)
    }

    /// Sets the offset of the daemon's clock.
    pub fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        let file = self.folder.path().join("offset");
        let new = file.with_extension("new");
        fs::write(&new, format!("{seconds:+}s\n"))?;
        // Atomic, because the library reads the file on every clock call.
        Ok(fs::rename(new, file)?)
    }

    /// Starts the daemon, which appends to the same log each time.
    pub fn start(&self) -> anyhow::Result<Daemon> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let mut command = self.command();
        command.env("LD_PRELOAD", &self.libfaketime).env("FAKETIME_TIMESTAMP_FILE", self.folder.path().join("offset"));
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command.env("DONT_FAKE_MONOTONIC", "1").stdout(Stdio::null()).stderr(log);
        Ok(Daemon(command.spawn().context("cannot start the daemon")?))
    }

    /// Runs a command of the binary and returns its output.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command().args(arguments).output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(self.folder.path()).env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__SOAK", SECRET);
        command.env("STREAM_LIVE_EXPORTER__WEBHOOK__LISTEN_ADDRESS", &self.public);
        command.env("STREAM_LIVE_EXPORTER__WEB__LISTEN_ADDRESS", &self.private);
        command
    }

    /// Keeps the folder, for a look at what went wrong. Returns its path.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The response to a scrape; `None` if the daemon is down or not restored yet.
    pub fn scrape(&self, agent: &ureq::Agent) -> Option<String> {
        let mut response = agent.get(format!("http://{}/metrics", self.private)).call().ok()?;
        if response.status() != 200 {
            return None;
        }
        response.body_mut().with_config().limit(1 << 28).read_to_string().ok()
    }
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn kill(mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Stops it with SIGTERM.
    pub fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill").args(["-TERM", &self.pid().to_string()]).status()?;
        let ended = self.0.wait()?;
        ensure!(ended.success(), "the daemon ended with {ended}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client that reports every status and gives up after a few seconds.
pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10)));
    config.http_status_as_error(false).proxy(None).build().into()
}
