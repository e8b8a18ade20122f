//! Addresses of both IP versions.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::connection::{Connection, exchange};
use crate::daemon::{Daemon, run};
use crate::tools::tool;

/// The command that runs the binary on these addresses.
fn listening_on(folder: &Path, webhook: &str, web: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder).stdout(Stdio::null()).arg("--log.format=json");
    command.arg(format!("--webhook.listen-address={webhook}")).arg(format!("--web.listen-address={web}"));
    command
}

fn started(folder: &Path, address: &str, settings: &[(&str, &str)]) -> Daemon {
    let mut command = listening_on(folder, address, address);
    for (key, value) in settings {
        command.env(format!("STREAM_LIVE_EXPORTER__WEBHOOK__{key}"), value);
    }
    Daemon::spawn(command, folder)
}

fn port(address: &str) -> &str {
    address.rsplit_once(':').expect("an address has a port").1
}

#[test]
fn address_without_host_accepts_both_ip_versions() {
    for address in [":0", "[::]:0"] {
        let folder = tempfile::tempdir().unwrap();
        let daemon = started(folder.path(), address, &[]);
        for listening in [daemon.public_address(), daemon.private_address()] {
            assert!(listening.starts_with("[::]:"), "{listening}");
            for host in ["127.0.0.1", "[::1]"] {
                let answer = exchange(&format!("{host}:{}", port(listening)), "GET /-/healthy", b"");
                assert_eq!(answer.status, "200 OK", "{address} {host}");
            }
        }
    }
}

#[test]
fn ipv4_address_accepts_only_ipv4() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = started(folder.path(), "0.0.0.0:0", &[]);
    let address = format!("[::1]:{}", port(daemon.private_address()));
    assert!(Connection::open(&address).is_err());
    assert!(daemon.private_address().starts_with("0.0.0.0:"));
}

#[test]
fn ipv4_client_of_a_dual_stack_listener_counts_as_ipv4() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("TRUSTED_PROXIES", "127.0.0.1"), ("MAX_FAILURES_PER_PEER", "1")];
    let daemon = started(folder.path(), ":0", &settings);
    let over_ipv4 = format!("127.0.0.1:{}", port(daemon.public_address()));
    let over_ipv6 = format!("[::1]:{}", port(daemon.public_address()));
    let wrong = |address: &str, client: &str| {
        exchange(address, &format!("POST /webhook | cf-webhook-auth: wrong | x-forwarded-for: {client}"), b"").status
    };
    // The proxy is trusted by its IPv4 address, so each client has a limit of its own.
    assert_eq!(wrong(&over_ipv4, "198.51.100.1"), "401 Unauthorized");
    assert_eq!(wrong(&over_ipv4, "198.51.100.2"), "401 Unauthorized");
    assert_eq!(wrong(&over_ipv4, "::ffff:198.51.100.2"), "429 Too Many Requests");
    // This client is no trusted proxy.
    assert_eq!(wrong(&over_ipv6, "198.51.100.3"), "401 Unauthorized");
    assert_eq!(wrong(&over_ipv6, "198.51.100.4"), "429 Too Many Requests");
}

/// Starts the daemon on a host without IPv6: sockets of IPv6 fail. Returns the line that says where it listens.
fn without_ipv6(strace: &Path, folder: &Path, socket: u32) -> serde_json::Value {
    let daemon = listening_on(folder, "127.0.0.1:0", ":0");
    let mut command = Command::new(strace);
    command.current_dir(folder).args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=socket", "-e"]);
    command.arg(format!("inject=socket:error=EAFNOSUPPORT:when={socket}"));
    command.arg(daemon.get_program()).args(daemon.get_args());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let listening = lines.find(|line| line["msg"] == "listening").expect("the daemon listens");
    let pid = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    for pid in pid.split_whitespace().chain([child.id().to_string().as_str()]) {
        let _ = Command::new("kill").args(["-KILL", pid]).status();
    }
    child.wait().unwrap();
    listening
}

#[test]
fn address_without_host_is_ipv4_where_there_is_no_ipv6() {
    let Some(strace) = tool("STRACE", Path::new("strace")) else { return };
    let folder = tempfile::tempdir().unwrap();
    // The first socket is the public listener's, on 127.0.0.1.
    let listening = without_ipv6(&strace, folder.path(), 2);
    assert!(listening["metrics"].as_str().unwrap().starts_with("http://0.0.0.0:"), "{listening}");
    // The check opens the same sockets: of both addresses, and again after the fallback.
    for (error, code) in [("EAFNOSUPPORT", 0), ("EACCES", 1)] {
        let mut command = Command::new(&strace);
        command.current_dir(folder.path()).args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=socket", "-e"]);
        command.arg(format!("inject=socket:error={error}:when=2")).arg(env!("CARGO_BIN_EXE_stream-live-exporter"));
        command.args(["--webhook.listen-address=127.0.0.1:0", "--web.listen-address=:0", "check-config"]);
        let ran = command.output().unwrap();
        assert_eq!(ran.status.code(), Some(code), "{error}: {ran:?}");
    }
}

#[test]
fn commands_reach_an_address_without_host_where_there_is_no_ipv6() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = started(folder.path(), "0.0.0.0:0", &[]);
    let flag = format!("--web.listen-address=:{}", port(daemon.private_address()));
    for command in [&["healthcheck"][..], &["inputs", "list"]] {
        let ran = run(folder.path(), &[&[flag.as_str()], command].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{command:?}");
    }
}

#[test]
fn listener_with_a_list_of_addresses_accepts_on_each_of_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("list.toml"), "[web]\nlisten_address = [\"127.0.0.1:0\", \"127.0.0.2:0\"]\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder.path()).stdout(Stdio::null()).args(["--log.format=json", "--config.file=list.toml"]);
    command.args(["--webhook.listen-address=127.0.0.3:0", "--webhook.listen-address=127.0.0.4:0"]);
    let daemon = Daemon::spawn(command, folder.path());
    let listening = daemon.wait_for("listening");
    let mut hosts = Vec::new();
    for key in ["metrics", "webhook"] {
        for url in listening[key].as_str().unwrap().split(", ") {
            let address = url.split('/').nth(2).unwrap();
            assert_eq!(exchange(address, "GET /-/healthy", b"").status, "200 OK", "{url}");
            hosts.push(address.split(':').next().unwrap().to_owned());
        }
    }
    assert_eq!(hosts, ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]);
}
