//! A PostgreSQL server of a test, with a cluster of its own on loopback.
//!
//! Tests of the library include this file too, so it uses nothing of the other tests.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// The user `nobody`. PostgreSQL does not run as root.
const UNPRIVILEGED: u32 = 65534;
/// Time limit for everything that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// Attempts to start a server, and the time between them.
const ATTEMPTS: u32 = 120;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);
const READY: &str = "database system is ready to accept";

/// The user who owns the database, and the database.
pub const USER: &str = "exporter";
pub const DATABASE: &str = "journal";
/// The user's password at first.
pub const PASSWORD: &str = "first-p4ssword";

/// A running or stopped server with its data. It is killed and deleted when it is dropped.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    settings: Vec<String>,
    server: Option<Running>,
}

struct Running {
    process: Child,
    log: Receiver<String>,
}

impl Cluster {
    /// A server without TLS. `None`, with a SKIPPED line, if there is no PostgreSQL.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// A server with TLS. Its certificate is for the name `localhost`, and its authority is [`Self::authority`].
    pub fn start_with_tls() -> Option<Self> {
        let mut cluster = Self::create()?;
        let data = cluster.data();
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        cluster.write(&data.join("server.crt"), &certificate.cert.pem());
        cluster.write(&data.join("server.key"), &certificate.signing_key.serialize_pem());
        fs::write(cluster.authority(), certificate.cert.pem()).expect("the folder can be written");
        cluster.settings.push("ssl=on".to_owned());
        Some(cluster.started())
    }

    /// A server with these settings, such as `fsync=off`.
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        let mut cluster = Self::create()?;
        cluster.settings.extend(settings.iter().map(|setting| (*setting).to_owned()));
        Some(cluster.started())
    }

    /// A cluster whose server does not run.
    fn create() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("the folder is ours");
        let (port, data) = (free_port(), folder.path().join("data"));
        fs::create_dir(&data).expect("the folder can be written");
        let cluster = Self { folder, programs, port, settings: Vec::new(), server: None };
        own(&data);
        cluster.write(&cluster.file("superuser"), "superuser-p4ssword\n");
        cluster.write(&cluster.file("password"), &format!("{PASSWORD}\n"));
        // Only the creation is not synced. The server syncs.
        let mut initdb = cluster.program("initdb");
        initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb.arg("--pwfile").arg(cluster.file("superuser")).arg("--pgdata").arg(&data);
        let created = initdb.output().expect("initdb runs");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        Some(cluster)
    }

    fn started(mut self) -> Self {
        self.run();
        self.psql_in("postgres", &format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"));
        self.psql_in("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {USER}"));
        self
    }

    /// `storage.url`, without TLS.
    pub fn url(&self) -> String {
        self.url_with("sslmode=disable")
    }

    /// `storage.url` with these parameters.
    pub fn url_with(&self, parameters: &str) -> String {
        format!("postgres://{USER}@localhost:{}/{DATABASE}?{parameters}", self.port)
    }

    /// `storage.password_file`.
    pub fn password_file(&self) -> PathBuf {
        self.file("password")
    }

    /// File with the certificate of the authority, of a server with TLS.
    pub fn authority(&self) -> PathBuf {
        self.file("authority.crt")
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the cluster's data.
    pub fn data(&self) -> PathBuf {
        self.file("data")
    }

    /// A file or folder beside the data, which is deleted with the cluster.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs statements as the superuser in the database. Returns the rows, with `|` between columns.
    ///
    /// # Panics
    ///
    /// If a statement fails.
    pub fn psql(&self, sql: &str) -> String {
        self.psql_in(DATABASE, sql)
    }

    /// The same in this database.
    pub fn psql_in(&self, database: &str, sql: &str) -> String {
        let password = fs::read_to_string(self.file("superuser")).expect("the file was written");
        let mut psql = self.program("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--host=127.0.0.1", "--username=postgres", &format!("--port={}", self.port)]);
        psql.args(["--dbname", database, "--command", sql]).env("PGPASSWORD", password.trim());
        let output = psql.output().expect("psql runs");
        assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// Changes the password of the user, without the file.
    pub fn change_password(&self, password: &str) {
        self.psql(&format!("ALTER ROLE {USER} PASSWORD '{password}'"));
    }

    /// Stops the server: it ends all sessions, and writes everything.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    /// Kills the server, as a crash does.
    pub fn kill(&mut self) {
        self.end("KILL");
    }

    /// Starts the server again, or for the first time after a stop.
    pub fn restart(&mut self) {
        self.end("INT");
        self.run();
    }

    /// One of PostgreSQL's programs, run by an unprivileged user.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path()).env("LC_ALL", "C").env_remove("PGPASSFILE").env("HOME", "/nonexistent");
        if is_root() {
            command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
        command
    }

    /// Writes a file that only PostgreSQL's user can read.
    pub fn write(&self, path: &Path, text: &str) {
        let mut file = File::create(path).expect("the folder can be written");
        file.set_permissions(Permissions::from_mode(0o600)).expect("the file is ours");
        file.write_all(text.as_bytes()).expect("the folder can be written");
        own(path);
    }

    fn run(&mut self) {
        let mut attempts = ATTEMPTS;
        loop {
            match self.try_run() {
                Ok(server) => return self.server = Some(server),
                // Processes of a killed server end a little later.
                Err(log) => assert!(attempts > 0, "{log}"),
            }
            attempts -= 1;
            thread::sleep(BETWEEN_ATTEMPTS);
        }
    }

    fn try_run(&self) -> Result<Running, String> {
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        postgres.arg("-c").arg(format!("unix_socket_directories={}", self.data().display()));
        for setting in ["listen_addresses=127.0.0.1", "fsync=on", "logging_collector=off", "lc_messages=C"] {
            postgres.args(["-c", setting]);
        }
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        let mut process = postgres.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("postgres runs");
        let (send, log) = channel();
        let lines = BufReader::new(process.stderr.take().expect("standard error is piped")).lines();
        thread::spawn(move || {
            // To the end: a full pipe blocks the server.
            for line in lines.map_while(Result::ok) {
                _ = send.send(line);
            }
        });
        let server = Running { process, log };
        server.wait_for(READY)?;
        Ok(server)
    }

    fn end(&mut self, signal: &str) {
        let Some(mut server) = self.server.take() else { return };
        let sent = Command::new("kill").args([&format!("-{signal}"), &server.process.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "SIG{signal} was sent");
        server.process.wait().expect("postgres can be waited for");
    }
}

impl Running {
    fn wait_for(&self, text: &str) -> Result<String, String> {
        let mut all = String::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(line) => all += &(line + "\n"),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Err(all),
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // Immediate shutdown: all of its processes end.
            _ = Command::new("kill").args(["-QUIT", &server.process.id().to_string()]).status();
            _ = server.process.wait();
        }
    }
}

/// The folder of PostgreSQL's programs: `POSTGRES_BIN`, or that of the newest installed version.
pub fn programs() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(reason) = variable("SKIP_POSTGRES") {
        // The test harness captures `eprintln`, but not standard error itself.
        _ = std::io::stderr().write_all(format!("SKIPPED: PostgreSQL: {}\n", reason.display()).as_bytes());
        return None;
    }
    let installed = || {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().map_while(Result::ok);
        let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
        let newest = versions.map(|version| version.path()).max_by_key(version)?;
        Some(newest.join("bin"))
    };
    let folder = variable("POSTGRES_BIN").map(PathBuf::from).or_else(installed);
    let folder = folder.filter(|folder| folder.join("initdb").is_file());
    Some(folder.expect("PostgreSQL not found: run the tests with tests/run, which provides it, or set POSTGRES_BIN"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a file or folder to the user who runs PostgreSQL.
fn own(path: &Path) {
    if is_root() {
        chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).expect("root may");
    }
}
