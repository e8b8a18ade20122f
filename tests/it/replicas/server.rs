//! PostgreSQL and PgBouncer, each in a namespace of its own.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::network::{Host, Net};
use crate::daemon::{Ran, eventually, ran};
use crate::tools::tool;

/// Debian's `nobody`: PostgreSQL refuses to run as root.
const USER: u32 = 65_534;
pub const PORT: u16 = 5432;
/// The name of the database and of its owner.
pub const DATABASE: &str = "exporter";
const STANDBY: &str = "standby";

/// A process that is killed when dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with its data.
pub struct Server {
    programs: PathBuf,
    host: Host,
    folder: PathBuf,
    running: Option<Running>,
}

impl Server {
    /// A new server with an empty database.
    pub fn primary(programs: &Path, host: &Host, folder: &Path) -> Self {
        let mut server = Self::new(programs, host, folder);
        server.run(
            "initdb",
            &["--username=postgres", "--auth=trust", "--no-sync", "--locale=C.UTF-8", "--encoding=UTF8"],
        );
        let access = server.data().join("pg_hba.conf");
        let anyone = "local all all trust\nhost all all 10.0.0.0/8 trust\nhost replication all 10.0.0.0/8 trust\n";
        fs::write(access, anyone).expect("the folder can be written");
        server.start();
        let psql = |sql: &str| server.psql_of("postgres", sql);
        psql(&format!("CREATE ROLE {DATABASE} LOGIN"));
        psql(&format!("CREATE DATABASE {DATABASE} OWNER {DATABASE}"));
        server
    }

    /// A streaming standby, which every commit waits for if it is synchronous.
    pub fn standby(&self, host: &Host, folder: &Path, synchronous: bool) -> Self {
        let mut standby = Self::new(&self.programs, host, folder);
        let address = self.host.address(Net::Database);
        let from = format!("host={address} port={PORT} user=postgres application_name={STANDBY}");
        let data = standby.data().display().to_string();
        standby.run(
            "pg_basebackup",
            &["--pgdata", &data, "--dbname", &from, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
        );
        standby.start();
        if synchronous {
            self.psql(&format!("ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'"));
            self.psql("SELECT pg_reload_conf()");
        }
        let state = if synchronous { "sync" } else { "async" };
        let query =
            format!("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '{state}'");
        eventually("the standby receives the journal", || self.psql(&query) == "1");
        standby
    }

    fn new(programs: &Path, host: &Host, folder: &Path) -> Self {
        fs::create_dir(folder).expect("the folder can be created");
        chown(folder, Some(USER), Some(USER)).expect("root may do this");
        Self { programs: programs.to_owned(), host: host.clone(), folder: folder.to_owned(), running: None }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts it, and waits until it answers queries.
    pub fn start(&mut self) {
        let log = self.folder.join("log");
        eventually("PostgreSQL answers", || {
            // After a kill, its other processes hold the shared memory for a moment, and a start fails.
            let exited = self.running.as_mut().is_none_or(|Running(child)| matches!(child.try_wait(), Ok(Some(_))));
            if exited {
                let log = File::options().create(true).append(true).open(&log).expect("the folder can be written");
                let mut command = self.command("postgres");
                command.args(["-c", &format!("unix_socket_directories={}", self.folder.display())]);
                command.args(["-c", &format!("listen_addresses={}", self.host.address(Net::Database))]);
                command.args(["-c", "wal_sender_timeout=5s", "-c", "wal_receiver_timeout=5s"]);
                command.args(["-c", "wal_retrieve_retry_interval=500ms", "-c", "fsync=on"]);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
                self.running = Some(Running(command.spawn().expect("PostgreSQL runs")));
            }
            self.try_psql("postgres", "SELECT 1").code == Some(0)
        });
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Ends its sessions and stops it.
    pub fn stop(&mut self) {
        self.run("pg_ctl", &["stop", "--mode=fast", "--wait"]);
        self.running = None;
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.run("pg_ctl", &["promote", "--wait"]);
        self.psql_of("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
        self.psql_of("postgres", "SELECT pg_reload_conf()");
    }

    /// It runs and can be written.
    pub fn is_primary(&self) -> bool {
        self.running.is_some() && self.psql_of("postgres", "SELECT pg_is_in_recovery()") == "f"
    }

    /// Positions that are missing, and a head that is not the last one.
    pub fn position_faults(&self) -> Vec<String> {
        let rows = self.psql(
            "SELECT min(position), max(position), count(*), (SELECT position FROM stream_live_exporter.head) \
            FROM stream_live_exporter.records",
        );
        let numbers: Vec<u64> = rows.split('|').map(|number| number.parse().unwrap_or_default()).collect();
        let is_gapless = numbers == [1, numbers[2], numbers[2], numbers[2]];
        if is_gapless { Vec::new() } else { vec![format!("first, last, count and head are {rows}")] }
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The result of a query in the exporter's database: values separated by `|`, one row on each line.
    pub fn psql(&self, sql: &str) -> String {
        self.psql_of(DATABASE, sql)
    }

    fn psql_of(&self, database: &str, sql: &str) -> String {
        let Ran { code, stdout, stderr } = self.try_psql(database, sql);
        assert_eq!(code, Some(0), "{sql}: {stderr}");
        stdout.trim_end().to_owned()
    }

    fn try_psql(&self, database: &str, sql: &str) -> Ran {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--username=postgres", "--host"]);
        command.arg(&self.folder).args(["--dbname", database, "--set=ON_ERROR_STOP=1", "--command", sql]);
        ran(&mut command)
    }

    /// Runs one of PostgreSQL's programs on the data.
    fn run(&self, program: &str, arguments: &[&str]) {
        let Ran { code, stderr, .. } = ran(self.command(program).args(arguments));
        assert_eq!(code, Some(0), "{program}: {stderr}");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.host.unprivileged(USER, &self.programs.join(program).display().to_string());
        command.env("PGDATA", self.data()).current_dir(&self.folder);
        command
    }
}

/// PgBouncer in transaction mode.
pub struct Pooler {
    program: PathBuf,
    host: Host,
    folder: PathBuf,
    running: Option<Running>,
}

impl Pooler {
    /// Starts it in front of a server; `None` if tests that need it are skipped.
    pub fn new(host: &Host, folder: &Path, server: &Server) -> Option<Self> {
        let program = tool("PGBOUNCER", Path::new("pgbouncer"))?;
        fs::create_dir(folder).expect("the folder can be created");
        chown(folder, Some(USER), Some(USER)).expect("root may do this");
        let users = folder.join("users");
        fs::write(&users, format!("\"{DATABASE}\" \"\"\n")).expect("the folder can be written");
        let settings = format!(
            "[databases]\n{DATABASE} = host={} port={PORT}\n[pgbouncer]\nlisten_addr = {}\nlisten_port = {PORT}\n\
             unix_socket_dir =\npool_mode = transaction\nauth_type = trust\nauth_file = {}\nlogfile = {}\n",
            server.host.address(Net::Database),
            host.address(Net::Database),
            users.display(),
            folder.join("log").display()
        );
        fs::write(folder.join("pgbouncer.ini"), settings).expect("the folder can be written");
        let mut pooler = Self { program, host: host.clone(), folder: folder.to_owned(), running: None };
        pooler.restart();
        Some(pooler)
    }

    /// Kills it, and starts it again.
    pub fn restart(&mut self) {
        self.running = None;
        let mut command = self.host.unprivileged(USER, &self.program.display().to_string());
        command.arg(self.folder.join("pgbouncer.ini")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(Running(command.spawn().expect("PgBouncer runs")));
    }

    pub fn address(&self) -> String {
        self.host.address(Net::Database)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}
