//! TLS on the public listener, and certificates that are renewed while it runs.

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
const KEPT: &str = "the certificate cannot be renewed; the one before stays in force";

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

    /// Writes both files, and has the daemon use them.
    pub fn write(&self, folder: &Path, command: &mut Command) {
        self.renew(folder);
        Self::name(command);
    }

    /// Has the daemon use the files, wherever they come from.
    fn name(command: &mut Command) {
        for (key, file) in [("CERT", "tls.crt"), ("KEY", "tls.key")] {
            command.env(format!("STREAM_LIVE_EXPORTER__WEBHOOK__TLS_{key}_FILE"), file);
        }
    }

    fn renew(&self, folder: &Path) {
        fs::write(folder.join("tls.crt"), self.certificate.pem()).expect("the folder can be written");
        fs::write(folder.join("tls.key"), &self.key).expect("the folder can be written");
    }

    /// What a client that trusts this certificate alone gets from the health check.
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
fn a_handshake_that_dawdles_is_given_up_by_either_listener() {
    const LIMIT: Duration = Duration::from_secs(3);
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    Pair::new().write(folder.path(), &mut command);
    fs::write(folder.path().join("web.yml"), "tls_server_config: {cert_file: tls.crt, key_file: tls.key}").unwrap();
    command.arg("--web.config.file=web.yml");
    // It is not the limit for idle connections that ends them.
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
                    assert_eq!(connection.read_to_end().unwrap(), b"", "{address}: nothing is said before a handshake");
                    let took = since.elapsed();
                    assert!(took > LIMIT / 2 && took < LIMIT + LATENESS, "{address}: {beginning:?}: {took:?}");
                });
            }
        }
    });
}

/// Somebody else.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Checks that something happens beside more handshakes of a stranger than actix has room for by itself, and before
/// the first of them is given up.
fn check_beside_stalled_handshakes(address: &str, happens: impl Fn()) {
    let workers = thread::available_parallelism().unwrap().get();
    let at_once = || {
        let stalled: Vec<_> =
            (0..256 * workers + 64).map(|_| Connection::open_from(STRANGER, address).unwrap()).collect();
        happens();
        stalled[0].is_open()
    };
    // A busy machine may need more than one try.
    assert!((0..5).any(|_| at_once()), "it never happens while the handshakes stall");
}

#[test]
fn handshakes_of_a_stranger_that_stall_keep_nobody_else_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    Pair::new().write(folder.path(), &mut command);
    fs::write(folder.path().join("web.yml"), "tls_server_config: {cert_file: tls.crt, key_file: tls.key}").unwrap();
    command.arg("--web.config.file=web.yml");
    let daemon = Daemon::spawn(command, folder.path());
    check_beside_stalled_handshakes(daemon.public_address(), || {
        assert_eq!(daemon.post(&fixture("save-and-test-properly")).status, 200);
    });
    check_beside_stalled_handshakes(daemon.private_address(), || assert_eq!(daemon.get("/metrics").status, 200));
}

#[test]
fn a_handshake_takes_one_of_the_places_of_its_peer() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    Pair::new().write(folder.path(), &mut command);
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__MAX_CONNECTIONS_PER_PEER", "3");
    let daemon = Daemon::spawn(command, folder.path());
    let address = daemon.public_address();
    let shut_out = || {
        let stalled: Vec<_> = (0..3).map(|_| Connection::open_from(STRANGER, address).unwrap()).collect();
        let beyond = Connection::open_from(STRANGER, address).unwrap().read_to_end().unwrap();
        assert_eq!(beyond, b"", "it is told nothing");
        stalled.iter().all(Connection::is_open)
    };
    assert!((0..5).any(|_| shut_out()), "a fourth is never shut out before the others are");
}

#[test]
fn a_renewed_certificate_takes_over_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Pair::until(2040), Pair::until(2041));
    let daemon = daemon(folder.path(), &old);
    assert_eq!(old.healthy(&daemon), Ok(200));
    for (file, content, problem) in [
        ("tls.crt", new.certificate.pem(), "tls.crt and tls.key do not belong together"),
        ("tls.crt", new.certificate.pem()[..300].to_owned(), "tls.crt: no certificate in PEM format"),
        ("tls.key", String::new(), "tls.key: no private key in PEM format"),
    ] {
        let told = daemon.log().iter().filter(|line| line["message"] == KEPT).count();
        old.renew(folder.path());
        fs::write(folder.path().join(file), content).unwrap();
        eventually("the files are looked at again", || {
            assert_eq!(old.healthy(&daemon), Ok(200), "{problem}");
            daemon.log().iter().filter(|line| line["message"] == KEPT).count() > told
        });
        assert_eq!(daemon.wait_for_count(KEPT, told + 1)["problem"], problem);
    }
    new.renew(folder.path());
    eventually("the new certificate is served", || new.healthy(&daemon) == Ok(200));
    daemon.wait_for(RENEWED);
    assert!(old.healthy(&daemon).is_err(), "the old one is not served any more");
    assert_eq!(daemon.metric(EXPIRY), Some(2_240_611_200.0));
}

#[test]
fn a_certificate_is_renewed_although_no_time_and_no_length_tells_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Pair::until(2040), Pair::until(2041));
    let write = |file: &str, content: &str| {
        let path = folder.path().join(file);
        // Blank lines behind PEM are nothing.
        fs::write(&path, format!("{content:\n<2000}")).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    };
    write("tls.crt", &old.certificate.pem());
    write("tls.key", &old.key);
    let mut command = command(folder.path());
    Pair::name(&mut command);
    let daemon = Daemon::spawn(command, folder.path());
    assert_eq!(old.healthy(&daemon), Ok(200));
    // The key is written first, and seen before its certificate.
    write("tls.key", &new.key);
    eventually("the files are looked at again", || {
        assert_eq!(old.healthy(&daemon), Ok(200));
        daemon.log().iter().any(|line| line["message"] == KEPT)
    });
    write("tls.crt", &new.certificate.pem());
    eventually("the new certificate is served", || new.healthy(&daemon) == Ok(200));
    daemon.wait_for(RENEWED);
}

#[test]
fn a_start_with_half_a_pair_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let start = |arguments: &[(&str, &str)]| {
        let mut command = command(folder.path());
        command.envs(arguments.iter().map(|(key, value)| (format!("STREAM_LIVE_EXPORTER__WEBHOOK__{key}"), value)));
        let ran = ran(&mut command);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        ran.stderr.lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(
        start(&[("TLS_CERT_FILE", "tls.crt")]),
        "stream-live-exporter: configuration: webhook.tls_key_file: is missing beside webhook.tls_cert_file"
    );
    assert_eq!(
        start(&[("TLS_CERT_FILE", "tls.crt"), ("TLS_KEY_FILE", "tls.key")]),
        "stream-live-exporter: webhook.tls_cert_file, webhook.tls_key_file: tls.crt: No such file or directory (os error 2)"
    );
}
