//! A PostgreSQL server on loopback, for journals that replicas share.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};

use crate::interrupt;
use crate::setup::Setup;

/// The user `nobody`. PostgreSQL does not run as root.
const UNPRIVILEGED: u32 = 65534;
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server with default settings: it syncs. It is stopped when it is dropped.
pub struct Cluster {
    server: Child,
    /// For `storage.url`.
    pub url: String,
    runtime: Runtime,
}

/// A connection.
pub struct Connection<'a> {
    client: Client,
    runtime: &'a Runtime,
}

impl Cluster {
    /// Creates a database and starts its server. `None` without PostgreSQL.
    pub fn start(setup: &Setup) -> anyhow::Result<Option<Self>> {
        let Some(programs) = &setup.postgres else { return Ok(None) };
        let folder = setup.work().join("postgres");
        fs::create_dir_all(&folder)?;
        open_path_to(&folder)?;
        if rustix::process::geteuid().is_root() {
            chown(&folder, Some(UNPRIVILEGED), Some(UNPRIVILEGED))?;
        }
        let data = folder.join("data");
        let mut initdb = program(programs, "initdb", &folder);
        initdb.args(["--username=bench", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"]);
        let created = initdb.arg(&data).output()?;
        ensure!(created.status.success(), "initdb: {}", String::from_utf8_lossy(&created.stderr));
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = program(programs, "postgres", &folder);
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        server.args(["-c", "unix_socket_directories="]).stderr(File::create(setup.work().join("postgres.log"))?);
        let server = server.stdout(Stdio::null()).spawn()?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let url = format!("postgres://bench@127.0.0.1:{port}/postgres?sslmode=disable");
        let mut cluster = Self { server, url, runtime };
        cluster.wait_until_ready()?;
        Ok(Some(cluster))
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.connect().is_err() {
            interrupt::check()?;
            if let Some(status) = self.server.try_wait()? {
                bail!("PostgreSQL exited with {status}");
            }
            ensure!(began.elapsed() < START_TIMEOUT, "PostgreSQL is not ready after {START_TIMEOUT:?}");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub fn connect(&self) -> anyhow::Result<Connection<'_>> {
        let (client, connection) = self.runtime.block_on(tokio_postgres::connect(&self.url, NoTls))?;
        self.runtime.spawn(connection);
        Ok(Connection { client, runtime: &self.runtime })
    }
}

impl Connection<'_> {
    /// Runs statements.
    pub fn run(&self, sql: &str) -> anyhow::Result<()> {
        self.runtime.block_on(self.client.batch_execute(sql)).with_context(|| sql.to_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A fast shutdown. The process may have exited already.
        let _ = kill_process(Pid::from_child(&self.server), Signal::INT);
        let _ = self.server.wait();
    }
}

fn program(programs: &Path, name: &str, folder: &Path) -> Command {
    let mut command = Command::new(programs.join(name));
    command.current_dir(folder).stdin(Stdio::null()).process_group(0);
    if rustix::process::geteuid().is_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    command
}

/// Lets the unprivileged user pass the folders of the report.
fn open_path_to(folder: &Path) -> anyhow::Result<()> {
    let closed: Vec<PathBuf> = folder
        .ancestors()
        .skip(1)
        .filter(|path| path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o001 == 0))
        .map(Path::to_owned)
        .collect();
    ensure!(closed.is_empty(), "{}: the user nobody cannot enter it; choose another target folder", closed[0].display());
    Ok(())
}
