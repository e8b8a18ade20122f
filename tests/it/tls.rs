//! TLS on the public listener, and renewal of its certificate.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use stream_live_exporter::clock::Stopwatch;

use crate::connection::Connection;
use crate::daemon::{Daemon, LATENESS, command, eventually, fixture, ran};
use crate::slow_clients::HANDSHAKE;

const EXPIRY: &str = "stream_live_exporter_tls_certificate_expiry_timestamp_seconds{listener=\"webhook\"}";
const RENEWED: &str = "certificate renewed";
const INVALID: &str = "certificate files cannot be used; the previous certificate stays in use";

/// A certificate for loopback, signed by its own key.
pub struct Pair {
    certificate: rcgen::Certificate,
    key: String,
}

impl Pair {
    pub fn new() -> Self {
        Self::until(2040)
    }

    fn until(year: i32) -> Self {
        let key = rcgen::KeyPair::generate().expect("ring makes keys");
        let mut parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address is a name");
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = parameters.self_signed(&key).expect("the key can sign");
        Self { certificate, key: key.serialize_pem() }
    }

    /// Writes both files, and configures the daemon to use them.
    pub fn write(&self, folder: &Path, command: &mut Command) {
        self.renew(folder);
        Self::configure(command);
    }

    /// Configures the daemon to use the files.
    fn configure(command: &mut Command) {
        for (key, file) in [("CERT", "tls.crt"), ("KEY", "tls.key")] {
            command.env(format!("STREAM_LIVE_EXPORTER__WEBHOOK__TLS_{key}_FILE"), file);
        }
    }

    /// The configuration of a client that trusts only this certificate.
    pub fn client(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("it is a certificate");
        let ring = rustls::crypto::ring::default_provider();
        let config = rustls::ClientConfig::builder_with_provider(ring.into()).with_safe_default_protocol_versions();
        config.expect("ring has them").with_root_certificates(roots).with_no_client_auth()
    }

    fn renew(&self, folder: &Path) {
        fs::write(folder.join("tls.crt"), self.certificate.pem()).expect("the folder can be written");
        fs::write(folder.join("tls.key"), &self.key).expect("the folder can be written");
    }

    /// The status of a health check by a client that trusts only this certificate.
    fn healthy(&self, daemon: &Daemon) -> Result<u16, String> {
        let root = ureq::tls::Certificate::from_der(self.certificate.der()).to_owned();
        let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&[root])).build();
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).tls_config(tls).build().into();
        let answer = agent.get(format!("https://{}/-/healthy", daemon.public_address())).call();
        answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
    }
}

fn daemon(folder: &Path, pair: &Pair) -> Daemon {
    let mut command = command(folder);
    pair.write(folder, &mut command);
    Daemon::spawn(command, folder)
}

#[test]
fn notifications_arrive_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new();
    let daemon = daemon(folder.path(), &pair);
    assert!(daemon.webhook().starts_with("https://"), "{}", daemon.webhook());
    assert_eq!(daemon.post(&fixture("connected")).body, r#"{"outcome":"recorded"}"#);
    assert_eq!(pair.healthy(&daemon), Ok(200));
    assert_eq!(daemon.metric(EXPIRY), Some(2_208_988_800.0));
    let mut plain = Connection::open(daemon.public_address()).unwrap();
    plain.send(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(!plain.read_to_end().unwrap().starts_with(b"HTTP"), "plain HTTP is not answered");
}

#[test]
fn slow_handshake_is_closed_by_both_listeners() {
    const LIMIT: Duration = Duration::from_secs(3);
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    Pair::new().write(folder.path(), &mut command);
    fs::write(folder.path().join("web.yml"), "tls_server_config: {cert_file: tls.crt, key_file: tls.key}").unwrap();
    command.arg("--web.config.file=web.yml");
    // Long enough that the idle timeout cannot close the connections first.
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__IDLE_TIMEOUT", "1h");
    let daemon = Daemon::spawn(command, folder.path());
    assert_eq!((daemon.get("/-/healthy").status, daemon.post(&fixture("connected")).status), (200, 200));
    thread::scope(|scope| {
        for address in [daemon.public_address(), daemon.private_address()] {
            for beginning in [b"", HANDSHAKE] {
                scope.spawn(move || {
                    let since = Stopwatch::start();
                    let mut connection = Connection::open(address).unwrap();
                    connection.send(beginning).unwrap();
                    assert_eq!(connection.read_to_end().unwrap(), b"", "{address}: nothing is sent before a handshake");
                    let took = since.elapsed();
                    assert!(took > LIMIT / 2 && took < LIMIT + LATENESS, "{address}: {beginning:?}: {took:?}");
                });
            }
        }
    });
}

/// Another peer than the tests' own clients.
const OTHER_PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Checks that something happens during more handshakes of another peer than actix allows by default, and before the
/// first of them times out.
fn check_during_stalled_handshakes(address: &str, happens: impl Fn()) {
    let workers = thread::available_parallelism().unwrap().get();
    let at_once = || {
        let stalled: Vec<_> =
            (0..256 * workers + 64).map(|_| Connection::open_from(OTHER_PEER, address).unwrap()).collect();
        happens();
        // The oldest of those that one peer may have.
        stalled[stalled.len() - 64].is_open()
    };
    // A busy machine may need several attempts.
    assert!((0..5).any(|_| at_once()), "it does not happen while the handshakes are stalled");
}

#[test]
fn stalled_handshakes_of_one_peer_do_not_block_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    Pair::new().write(folder.path(), &mut command);
    fs::write(folder.path().join("web.yml"), "tls_server_config: {cert_file: tls.crt, key_file: tls.key}").unwrap();
    command.arg("--web.config.file=web.yml");
    let daemon = Daemon::spawn(command, folder.path());
    check_during_stalled_handshakes(daemon.public_address(), || {
        assert_eq!(daemon.post(&fixture("save-and-test-properly")).status, 200);
    });
    check_during_stalled_handshakes(daemon.private_address(), || assert_eq!(daemon.get("/metrics").status, 200));
}

#[test]
fn handshake_counts_towards_the_connections_of_its_peer() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    Pair::new().write(folder.path(), &mut command);
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__MAX_CONNECTIONS_PER_PEER", "3");
    let daemon = Daemon::spawn(command, folder.path());
    let address = daemon.public_address();
    let is_replaced = || {
        let mut stalled: Vec<_> = (0..4).map(|_| Connection::open_from(OTHER_PEER, address).unwrap()).collect();
        assert_eq!(stalled[0].read_to_end().unwrap(), b"", "nothing is sent");
        stalled[1..].iter().all(Connection::is_open)
    };
    assert!((0..5).any(|_| is_replaced()), "a fourth connection does not replace the first one");
}

#[test]
fn renewed_certificate_is_used_once_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Pair::until(2040), Pair::until(2041));
    let daemon = daemon(folder.path(), &old);
    assert_eq!(old.healthy(&daemon), Ok(200));
    for (file, content, named) in [
        ("tls.crt", new.certificate.pem(), &["tls.crt", "tls.key"][..]),
        ("tls.crt", new.certificate.pem()[..300].to_owned(), &["tls.crt", "certificate"]),
        ("tls.key", String::new(), &["tls.key", "key"]),
    ] {
        let logged = daemon.log().iter().filter(|line| line["msg"] == INVALID).count();
        old.renew(folder.path());
        fs::write(folder.path().join(file), content).unwrap();
        eventually("the files are read again", || {
            assert_eq!(old.healthy(&daemon), Ok(200), "{file}");
            daemon.log().iter().filter(|line| line["msg"] == INVALID).count() > logged
        });
        let line = daemon.wait_for_count(INVALID, logged + 1);
        let problem = line["problem"].as_str().unwrap_or_default();
        assert!(named.iter().all(|name| problem.contains(name)), "{named:?}: {line}");
    }
    new.renew(folder.path());
    eventually("the new certificate is used", || new.healthy(&daemon) == Ok(200));
    daemon.wait_for(RENEWED);
    assert!(old.healthy(&daemon).is_err(), "the old certificate is not used any more");
    assert_eq!(daemon.metric(EXPIRY), Some(2_240_611_200.0));
}

#[test]
fn certificate_of_same_size_and_modification_time_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Pair::until(2040), Pair::until(2041));
    let write = |file: &str, content: &str| {
        let path = folder.path().join(file);
        // Blank lines after PEM are ignored.
        fs::write(&path, format!("{content:\n<2000}")).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    };
    write("tls.crt", &old.certificate.pem());
    write("tls.key", &old.key);
    let mut command = command(folder.path());
    Pair::configure(&mut command);
    let daemon = Daemon::spawn(command, folder.path());
    assert_eq!(old.healthy(&daemon), Ok(200));
    // The key is written first and read before its certificate.
    write("tls.key", &new.key);
    eventually("the files are read again", || {
        assert_eq!(old.healthy(&daemon), Ok(200));
        daemon.log().iter().any(|line| line["msg"] == INVALID)
    });
    write("tls.crt", &new.certificate.pem());
    eventually("the new certificate is used", || new.healthy(&daemon) == Ok(200));
    daemon.wait_for(RENEWED);
}

#[test]
fn start_without_certificate_or_key_fails() {
    let folder = tempfile::tempdir().unwrap();
    let start = |arguments: &[(&str, &str)]| {
        let mut command = command(folder.path());
        command.envs(arguments.iter().map(|(key, value)| (format!("STREAM_LIVE_EXPORTER__WEBHOOK__{key}"), value)));
        let ran = ran(&mut command);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        ran.logged_errors().concat()
    };
    let without_key = start(&[("TLS_CERT_FILE", "tls.crt")]);
    assert!(
        without_key.contains("webhook.tls_key_file") && without_key.contains("webhook.tls_cert_file"),
        "{without_key}"
    );
    let unreadable = start(&[("TLS_CERT_FILE", "tls.crt"), ("TLS_KEY_FILE", "tls.key")]);
    assert!(unreadable.contains("webhook.tls_cert_file"), "{unreadable}");
    assert!(unreadable.ends_with("tls.crt: No such file or directory (os error 2)"), "{unreadable}");
}
