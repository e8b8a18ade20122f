//! Listening sockets that a service manager opens and passes: a restart refuses no connection and loses no request.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use socket2::{Domain, SockRef, Socket, Type};

use crate::connection::{Connection, RawAnswer, request, webhook_request};
use crate::daemon::{Daemon, OverWhenDropped, PATIENCE, command, ended, eventually, ran};
use crate::faults::{event, journaled, updated_at};

const SECRET: &str = "of-the-test";
const SWITCHES: [&str; 2] = ["--webhook.systemd-socket", "--web.systemd-socket"];

/// The command that runs the binary with two sockets as descriptors 3 and 4, as systemd passes them.
fn activated(folder: &Path, sockets: [OwnedFd; 2], names: &str, switches: &[&str]) -> Command {
    // LISTEN_PID is that of the shell, which becomes the daemon.
    const SCRIPT: &str = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$@\"";
    let daemon = command(folder);
    let mut command = Command::new("sh");
    command.current_dir(folder).args(["-c", SCRIPT, "sh"]).arg(daemon.get_program()).args(daemon.get_args());
    command.args(switches).env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", names);
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__TEST", SECRET);
    let [first, second] = sockets;
    command.stdin(Stdio::from(first)).stdout(Stdio::from(second));
    command
}

/// A socket whose queue has room for all clients of a test.
fn listening() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(1024).unwrap();
    socket.into()
}

/// The sockets of a service, which its processes inherit one after the other.
struct Activator {
    webhook: TcpListener,
    web: TcpListener,
}

impl Activator {
    fn new() -> Self {
        Self { webhook: listening(), web: listening() }
    }

    fn start(&self, folder: &Path) -> Daemon {
        let sockets = [&self.webhook, &self.web].map(|socket| socket.try_clone().unwrap().into());
        Daemon::spawn(activated(folder, sockets, "webhook:web", &SWITCHES), folder)
    }

    fn webhook_address(&self) -> String {
        self.webhook.local_addr().unwrap().to_string()
    }

    fn web_address(&self) -> String {
        self.web.local_addr().unwrap().to_string()
    }
}

/// Sends on a kept connection, or on a new one if the last response has ended it.
#[derive(Default)]
struct Client(Option<Connection>);

impl Client {
    fn send(&mut self, address: &str, bytes: &[u8]) -> RawAnswer {
        let connection = self.0.get_or_insert_with(|| Connection::open(address).expect("no connection is refused"));
        connection.send(bytes).expect("the connection is open");
        let answer = connection.read_answer().expect("every request is answered");
        if answer.header("connection") == "close" {
            self.0 = None;
        }
        answer
    }
}

#[test]
fn restart_under_load_refuses_no_connection_and_records_every_notification_once() {
    const RESTARTS: usize = 4;
    let folder = tempfile::tempdir().unwrap();
    let activator = Activator::new();
    let mut started = activator.start(folder.path());
    let (over, sent, scraped) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let last = thread::scope(|scope| {
        let end = OverWhenDropped(&over);
        for number in 0..8 {
            scope.spawn({
                let (over, sent, address) = (&over, &sent, activator.webhook_address());
                move || {
                    let mut client = Client::default();
                    while !over.load(Ordering::Acquire) {
                        let event = event(sent.fetch_add(1, Ordering::Relaxed) + 1);
                        let answer = client.send(&address, &webhook_request(SECRET, &event));
                        assert_eq!(answer.text(), r#"{"outcome":"recorded"}"#);
                        if number % 2 == 0 {
                            client = Client::default();
                        }
                    }
                }
            });
        }
        scope.spawn({
            let (over, scraped, address) = (&over, &scraped, activator.web_address());
            move || {
                let mut client = Client::default();
                while !over.load(Ordering::Acquire) {
                    let status = client.send(&address, &request("GET /metrics", b"")).status;
                    assert!(["200 OK", "503 Service Unavailable"].contains(&&*status), "{status}");
                    scraped.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for _ in 0..RESTARTS {
            for counter in [&sent, &scraped] {
                let before = counter.load(Ordering::Relaxed);
                eventually("clients are served", || counter.load(Ordering::Relaxed) > before + 20);
            }
            assert!(started.stop().success());
            started = activator.start(folder.path());
        }
        drop(end);
        started
    });
    assert!(last.stop().success());
    let sent = sent.load(Ordering::Relaxed);
    assert_eq!(journaled(folder.path(), "data"), (1..=sent).map(updated_at).collect::<BTreeSet<_>>());
}

#[test]
fn stop_answers_the_request_in_flight_closes_idle_connections_and_leaves_new_ones_to_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let activator = Activator::new();
    let daemon = activator.start(folder.path());
    let address = activator.webhook_address();
    let first = webhook_request(SECRET, &event(1));
    let (begin, rest) = first.split_at(first.len() - 10);
    let mut busy = Connection::open(&address).unwrap();
    busy.send(begin).unwrap();
    let mut idle = TcpStream::connect(&address).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    let gauge = r#"stream_live_exporter_connections{listener="webhook"}"#;
    eventually("the connections are admitted", || daemon.metric(gauge) == Some(2.0));

    daemon.signal("TERM");
    daemon.wait_for("shutting down: finishing in-flight requests");
    // A reset would be an error.
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    // Accepting has ended before idle connections are closed.
    let mut waiting = Connection::open(&address).unwrap();
    waiting.send(&webhook_request(SECRET, &event(2))).unwrap();
    busy.send(rest).unwrap();
    let answer = busy.read_answer().unwrap();
    assert_eq!((answer.status.as_str(), answer.header("connection")), ("200 OK", "close"));
    assert!(daemon.wait().success());
    assert_eq!(journaled(folder.path(), "data").len(), 1);

    let daemon = activator.start(folder.path());
    assert_eq!(waiting.read_answer().unwrap().text(), r#"{"outcome":"recorded"}"#);
    assert!(daemon.stop().success());
}

#[test]
fn passed_sockets_get_the_buffer_sizes_of_own_ones_and_keep_their_queue() {
    let folder = tempfile::tempdir().unwrap();
    let activator = Activator::new();
    let _passed = activator.start(folder.path());
    // The kernel doubles the sizes.
    for (socket, send_buffer) in [(&activator.webhook, 32 << 10), (&activator.web, 256 << 10)] {
        let socket = SockRef::from(socket);
        assert_eq!(socket.recv_buffer_size().unwrap(), 32 << 10);
        assert_eq!(socket.send_buffer_size().unwrap(), send_buffer);
    }
}

#[test]
fn single_listener_takes_all_sockets_that_have_no_name_of_a_listener() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = [listening(), listening()];
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    let passed = sockets.map(OwnedFd::from);
    let daemon = Daemon::spawn(activated(folder.path(), passed, "a.socket:b.socket", &SWITCHES[1..]), folder.path());
    let urls = daemon.wait_for("listening")["metrics"].as_str().unwrap().to_owned();
    assert_eq!(urls, addresses.map(|address| format!("http://{address}/metrics")).join(", "));
    for address in addresses {
        assert_eq!(Client::default().send(&address.to_string(), &request("GET /-/ready", b"")).status, "200 OK");
    }
}

#[test]
fn socket_of_a_listener_that_does_not_use_it_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let passed = [listening(), listening()].map(OwnedFd::from);
    let daemon = Daemon::spawn(activated(folder.path(), passed, "webhook:web", &SWITCHES[..1]), folder.path());
    let warning = daemon.wait_for("systemd passed a socket that is not used; connections to it are not answered");
    assert_eq!(warning["name"], "web");
}

#[test]
fn unusable_sockets_stop_the_start_with_the_key_that_expects_them() {
    let folder = tempfile::tempdir().unwrap();
    let unix = || OwnedFd::from(UnixListener::bind(tempfile::tempdir().unwrap().path().join("socket")).unwrap());
    let udp = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let connected = || OwnedFd::from(TcpStream::connect(listening().local_addr().unwrap()).unwrap());
    let good = || OwnedFd::from(listening());
    let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    for (sockets, names, key) in [
        ([unix(), good()], "webhook:web", "webhook.systemd_socket: "),
        ([good(), udp()], "webhook:web", "web.systemd_socket: "),
        ([good(), connected()], "webhook:web", "web.systemd_socket: "),
        ([good(), file()], "webhook:web", "web.systemd_socket: "),
        ([good(), good()], "webhook:webhook", "web.systemd_socket: "),
        ([good(), good()], "webhook:other", "webhook.systemd_socket: "),
        ([good(), good()], "webhook", "webhook.systemd_socket: "),
    ] {
        let mut command = activated(folder.path(), sockets, names, &SWITCHES);
        let failed = ended(command.stderr(Stdio::piped()).spawn().unwrap());
        assert_eq!(failed.code, Some(1), "{names}");
        let [error] = &failed.logged_errors()[..] else { panic!("{names}: {}", failed.stderr) };
        assert!(error.starts_with(key), "{names}: {error}");
    }
    let mut without = command(folder.path());
    let failed = ran(without.arg(SWITCHES[0]));
    let [error] = &failed.logged_errors()[..] else { panic!("{}", failed.stderr) };
    assert!(error.starts_with("webhook.systemd_socket: ") && error.contains("FileDescriptorName=webhook"), "{error}");
}
