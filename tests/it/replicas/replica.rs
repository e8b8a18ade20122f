//! A replica: the real binary in its namespace, with a folder for its spool.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::network::{Host, Net};
use super::sender::SECRET;
use crate::daemon::{Answer, Daemon, eventually};

/// A place for a process, which can be started again.
pub struct Replica {
    pub host: Host,
    folder: PathBuf,
    settings: String,
    /// The offset of its clock in seconds, and the library that fakes it.
    skew: Option<(i64, PathBuf)>,
    daemon: Option<Daemon>,
}

impl Replica {
    /// Prepares a replica with this address of the journal and further settings.
    pub fn new(host: Host, folder: &Path, storage: &str) -> Self {
        fs::create_dir(folder).expect("the folder can be created");
        fs::write(folder.join("secret"), SECRET).expect("the folder can be written");
        fs::set_permissions(folder.join("secret"), Permissions::from_mode(0o600)).expect("the file is ours");
        let settings = format!(
            "[webhook]\nlisten_address = \"{}:10418\"\nsecret_files.suite = \"{}\"\n\
             [web]\nlisten_address = \"{}:10419\"\ncompression = false\n[storage]\n{storage}\n",
            host.address(Net::Webhook),
            folder.join("secret").display(),
            host.address(Net::Scrapes)
        );
        Self { host, folder: folder.to_owned(), settings, skew: None, daemon: None }
    }

    /// Its clock is ahead by this many seconds from the next start on.
    pub fn skew(&mut self, seconds: i64, library: &Path) {
        self.skew = Some((seconds, library.to_owned()));
    }

    /// Starts it with further settings, and waits until it listens.
    pub fn start_with(&mut self, settings: &str) {
        fs::write(self.folder.join("site.toml"), format!("{}{settings}", self.settings)).expect("it can be written");
        let mut command = self.host.command(env!("CARGO_BIN_EXE_stream-live-exporter"));
        command.args(["--config.file=site.toml", "--log.format=json"]).current_dir(&self.folder);
        if let Some((seconds, library)) = &self.skew {
            command.env("LD_PRELOAD", library).env("FAKETIME", format!("{seconds:+}s"));
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        }
        self.daemon = Some(Daemon::spawn_unready(command, &self.folder));
    }

    /// Starts it and waits until it listens.
    pub fn start(&mut self) {
        self.start_with("");
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.keep_log();
        self.daemon.take().expect("it runs").kill();
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        self.daemon().signal("TERM");
        let (ended, log) = self.daemon.take().expect("it runs").wait_and_read();
        assert!(ended.success(), "{}: {ended}\n{log}", self.folder.display());
    }

    /// Waits until it is ready for notifications.
    pub fn wait_until_ready(&self) {
        eventually("the replica is ready", || self.is_ready());
    }

    pub fn is_ready(&self) -> bool {
        self.daemon().get("/-/ready").status == 200
    }

    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it runs")
    }

    /// Posts a body with the secret.
    pub fn post(&self, body: &str) -> Answer {
        self.daemon().post_with(SECRET, body)
    }

    /// The URLs of its webhook and its metrics.
    pub fn urls(&self) -> (String, String) {
        let url = |net, port, path| format!("http://{}:{port}{path}", self.host.address(net));
        (url(Net::Webhook, 10_418, "/webhook"), url(Net::Scrapes, 10_419, "/metrics"))
    }

    /// Appends what it logged to a file, for a look at what went wrong.
    pub fn keep_log(&self) {
        let Some(daemon) = &self.daemon else { return };
        let lines: String = daemon.log().iter().map(|line| format!("{line}\n")).collect();
        let file = self.folder.join("log");
        let before = fs::read_to_string(&file).unwrap_or_default();
        // The folder may be deleted already.
        let _ = fs::write(file, before + &lines);
    }
}
