//! Corrections through the API of the private listener: who may make them, and what they change.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::authority::{Authority, Identity};
use crate::connection::{Connection, exchange, request};
use crate::daemon::{Daemon, PATIENCE, notification, run};
use crate::web_config::{TLS, user};

pub const MAIN: &str = "2c28dd2cc444cb77578c4840b51e43a8";
pub const CHAPEL: &str = "eb222fcca08eeb1ae84c981ebe8aeeb6";
const DISCONNECTED: &str = r#"{"state": "disconnected", "reason": "the encoder is in its box"}"#;
const AS_JSON: &str = " | content-type: application/json";

/// Sends a request over plain HTTP. Returns the number of the status and the answer.
pub fn send(daemon: &Daemon, head: &str, body: &str) -> (u16, Value) {
    let head = format!("{head} | content-length: {}", body.len());
    let answer = exchange(daemon.private_address(), &head, body.as_bytes());
    let status = answer.status.split(' ').next().unwrap().parse().unwrap();
    (status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn set(daemon: &Daemon, headers: &str, body: &str) -> u16 {
    send(daemon, &format!("POST /api/v1/inputs/{MAIN}/state{headers}"), body).0
}

/// The corrections in the journal.
pub fn corrections(folder: &Path) -> Vec<Value> {
    let exported = run(folder, &["journal", "export"]).stdout;
    let lines = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["record"] == "correction").collect()
}

pub fn connected(daemon: &Daemon, input: &str) -> Option<f64> {
    daemon.metric(&format!("cloudflare_stream_live_input_connected{{input_id=\"{input}\"}}"))
}

pub fn connect(daemon: &Daemon, input: &str) {
    assert_eq!(daemon.post(&notification(input, "connected", "2026-11-20T18:00:00Z")).status, 200);
}

fn corrections_total(daemon: &Daemon, to: &str) -> Option<f64> {
    daemon.metric(&format!("stream_live_exporter_corrections_total{{source=\"operator\",to=\"{to}\"}}"))
}

fn forgotten_total(daemon: &Daemon, reason: &str) -> Option<f64> {
    daemon.metric(&format!("stream_live_exporter_inputs_forgotten_total{{reason=\"{reason}\"}}"))
}

#[test]
fn state_that_is_set_by_hand_is_counted_and_survives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    let before = ["connected", "disconnected", "forgotten"].map(|to| corrections_total(&daemon, to));
    assert_eq!(before, [Some(0.0); 3]);
    for changed in [true, false] {
        let answer = send(&daemon, &format!("POST /api/v1/inputs/{MAIN}/state{AS_JSON}"), DISCONNECTED);
        assert_eq!(answer, (200, json!({"id": MAIN, "state": "disconnected", "changed": changed})));
        assert_eq!(connected(&daemon, MAIN), Some(0.0));
        assert_eq!(corrections_total(&daemon, "disconnected"), Some(1.0));
    }
    let input = |name: &str, event: &str| {
        daemon.metric(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{MAIN}\",event=\"{event}\"}}"))
    };
    assert_eq!(input("events_total", "disconnected"), Some(0.0));
    assert_eq!(input("inconsistent_events_total", "disconnected"), Some(0.0));
    daemon.kill();
    let daemon = Daemon::start(folder.path());
    assert_eq!(connected(&daemon, MAIN), Some(0.0));
    let [correction] = &corrections(folder.path())[..] else { panic!("one correction") };
    let fields = ["input_id", "to", "user", "reason"].map(|field| correction[field].clone());
    assert_eq!(fields, [json!(MAIN), json!("disconnected"), Value::Null, json!("the encoder is in its box")]);
    // The next event counts.
    let later = time_of(&daemon);
    assert_eq!(daemon.post(&notification(MAIN, "connected", &later)).status, 200);
    assert_eq!(connected(&daemon, MAIN), Some(1.0));
    assert_eq!(run(folder.path(), &["journal", "verify"]).code, Some(0));
}

/// The time that the daemon shows, as RFC 3339.
fn time_of(daemon: &Daemon) -> String {
    let inputs: Value = serde_json::from_str(&daemon.get("/api/v1/inputs").body).unwrap();
    inputs["as_of"].as_str().unwrap().to_owned()
}

#[test]
fn forgotten_input_has_no_series_and_a_late_repeat_does_not_bring_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    connect(&daemon, CHAPEL);
    for changed in [true, false] {
        let answer = send(&daemon, &format!("DELETE /api/v1/inputs/{MAIN}?reason=deleted"), "");
        assert_eq!(answer, (200, json!({"id": MAIN, "state": "forgotten", "changed": changed})));
    }
    let known = |daemon: &Daemon| {
        let series = daemon.metrics().into_keys();
        let ids: std::collections::BTreeSet<_> =
            series.filter_map(|series| Some(series.split_once("input_id=\"")?.1[..32].to_owned())).collect();
        ids.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(known(&daemon), [CHAPEL]);
    assert_eq!((corrections_total(&daemon, "forgotten"), forgotten_total(&daemon, "operator")), (Some(1.0), Some(1.0)));
    assert_eq!((forgotten_total(&daemon, "silent"), forgotten_total(&daemon, "deleted")), (Some(0.0), Some(0.0)));
    daemon.kill();
    let daemon = Daemon::start(folder.path());
    let repeat = daemon.post(&notification(MAIN, "connected", "2026-11-20T18:00:00Z"));
    assert_eq!(repeat.body, r#"{"outcome":"ignored"}"#);
    assert_eq!(known(&daemon), [CHAPEL]);
    assert_eq!(corrections(folder.path()).len(), 1);
}

#[test]
fn configured_input_that_is_forgotten_is_known_without_a_state_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("exporter.toml"), format!("[[inputs]]\nid = \"{MAIN}\"\nname = \"Main\"\n")).unwrap();
    let start = || Daemon::start_with(folder.path(), ["--config.file=exporter.toml"]);
    let mut daemon = start();
    connect(&daemon, MAIN);
    assert_eq!(send(&daemon, &format!("DELETE /api/v1/inputs/{MAIN}"), "").0, 200);
    for _ in 0..2 {
        assert_eq!(connected(&daemon, MAIN), None);
        assert_eq!(daemon.samples("cloudflare_stream_live_input_info").len(), 1);
        assert!(daemon.stop().success());
        daemon = start();
    }
}

#[test]
fn request_that_is_not_understood_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    let long = format!(r#"{{"state": "disconnected", "reason": "{}"}}"#, "x".repeat(501));
    let longer = format!(r#"{{"state": "disconnected", "reason": "{}"}}"#, "x".repeat(5000));
    for (head, body, status) in [
        (format!("POST /api/v1/inputs/{MAIN}/state"), DISCONNECTED, 415),
        (format!("POST /api/v1/inputs/{MAIN}/state | content-type: text/plain"), DISCONNECTED, 415),
        (format!("POST /api/v1/inputs/{MAIN}/state{AS_JSON}"), "", 400),
        (format!("POST /api/v1/inputs/{MAIN}/state{AS_JSON}"), "{}", 400),
        (format!("POST /api/v1/inputs/{MAIN}/state{AS_JSON}"), r#"{"state": "forgotten"}"#, 400),
        (format!("POST /api/v1/inputs/{MAIN}/state{AS_JSON}"), r#"{"state": "disconnected", "until": 1}"#, 400),
        (format!("POST /api/v1/inputs/{MAIN}/state{AS_JSON}"), r#"{"state": "disconnected", "reason": "a\nb"}"#, 400),
        (format!("POST /api/v1/inputs/{MAIN}/state{AS_JSON}"), &long, 400),
        (format!("POST /api/v1/inputs/{MAIN}/state{AS_JSON}"), &longer, 413),
        (format!("POST /api/v1/inputs/main/state{AS_JSON}"), DISCONNECTED, 400),
        (format!("POST /api/v1/inputs/{CHAPEL}/state{AS_JSON}"), DISCONNECTED, 404),
        ("DELETE /api/v1/inputs/main".to_owned(), "", 400),
        (format!("DELETE /api/v1/inputs/{CHAPEL}"), "", 404),
        (format!("DELETE /api/v1/inputs/{MAIN}?until=1"), "", 400),
        (format!("POST /api/v1/inputs/{MAIN}/state?until=1{AS_JSON}"), DISCONNECTED, 400),
    ] {
        let (answered, answer) = send(&daemon, &head, body);
        assert_eq!((answered, answer["error"].is_string()), (status, true), "{head} {body}: {answer}");
    }
    assert_eq!((connected(&daemon, MAIN), corrections(folder.path()).len()), (Some(1.0), 0));
    assert_eq!(set(&daemon, " | content-type: Application/JSON; charset=utf-8", r#"{"state": "disconnected"}"#), 200);
    assert_eq!(send(&daemon, &format!("DELETE /api/v1/inputs/{}", MAIN.to_uppercase()), "").0, 200);
}

#[test]
fn browser_may_correct_inputs_only_from_pages_of_the_listener_itself() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    let from = |host: &str, headers: &str| {
        let head = format!("POST /api/v1/inputs/{MAIN}/state{AS_JSON}{headers}");
        let mut bytes = request(&format!("{head} | content-length: {}", DISCONNECTED.len()), b"");
        bytes = String::from_utf8(bytes).unwrap().replace("stream.example.com", host).into_bytes();
        bytes.extend_from_slice(DISCONNECTED.as_bytes());
        let mut connection = Connection::open(daemon.private_address()).unwrap();
        connection.send(&bytes).unwrap();
        connection.read_answer().unwrap().status
    };
    for (host, headers) in [
        ("localhost", " | origin: https://evil.example.com"),
        ("localhost", " | origin: null"),
        ("localhost", " | sec-fetch-site: cross-site"),
        ("localhost", " | sec-fetch-site: same-site"),
        // A page whose name was changed to a loopback address.
        ("evil.example.com:10419", " | origin: http://evil.example.com:10419"),
        ("evil.example.com", " | sec-fetch-site: same-origin"),
        ("127.0.0.1.example.com", " | origin: http://127.0.0.1.example.com"),
    ] {
        assert_eq!(from(host, headers), "403 Forbidden", "{host}{headers}");
        let head = format!("DELETE /api/v1/inputs/{MAIN}{headers}");
        if host == "localhost" {
            assert_eq!(send(&daemon, &head, "").0, 403, "{head}");
        }
    }
    assert_eq!(corrections(folder.path()).len(), 0);
    for (host, headers) in [
        ("localhost:10419", " | origin: http://localhost:10419"),
        ("127.0.0.1", " | origin: http://127.0.0.1 | sec-fetch-site: same-origin"),
        ("[::1]:10419", " | origin: http://[::1]:10419"),
        ("[::1]", " | sec-fetch-site: none"),
        ("anything.example.com", ""),
    ] {
        assert_eq!(from(host, headers), "200 OK", "{host}{headers}");
    }
}

/// A daemon whose private listener is not on loopback.
pub fn start_beyond_loopback(folder: &Path, arguments: &[&str]) -> Daemon {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder).args(["--webhook.listen-address=127.0.0.1:0", "--web.listen-address=0.0.0.0:0"]);
    command.arg("--log.format=json").args(arguments);
    Daemon::spawn(command, folder)
}

#[test]
fn listener_beyond_loopback_needs_users_or_the_flag() {
    for (arguments, web_config, status) in [
        (&[][..], "", 403),
        (&["--web.enable-admin-api"], "", 200),
        (&["--web.enable-admin-api=false"], "", 403),
        (&["--web.config.file=web.yml"], "http_server_config: {headers: {X-Frame-Options: deny}}", 403),
        (&["--web.config.file=web.yml"], "USERS", 200),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let web_config = web_config.replace("USERS", &format!("basic_auth_users: {{{}}}", user("anna", "right")));
        fs::write(folder.path().join("web.yml"), web_config).unwrap();
        let daemon = start_beyond_loopback(folder.path(), arguments);
        connect(&daemon, MAIN);
        let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, "anna:right");
        let answered = set(&daemon, &format!("{AS_JSON} | authorization: Basic {basic}"), DISCONNECTED);
        assert_eq!(answered, status, "{arguments:?}");
        assert_eq!(corrections(folder.path()).len(), usize::from(status == 200), "{arguments:?}");
    }
}

#[test]
fn correction_needs_a_user_if_there_are_users_and_has_its_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{{}}}", user("anna", "right"))).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--web.config.file=web.yml"]);
    connect(&daemon, MAIN);
    for (credentials, status) in [("", 401), ("anna:wrong", 401), ("bert:right", 401), ("anna:right", 200)] {
        let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, credentials);
        assert_eq!(set(&daemon, &format!("{AS_JSON} | authorization: Basic {basic}"), DISCONNECTED), status);
    }
    let users: Vec<_> = corrections(folder.path()).iter().map(|correction| correction["user"].clone()).collect();
    assert_eq!(users, ["anna"]);
}

/// The status of a correction over TLS.
fn set_over_tls(daemon: &Daemon, authority: &Authority, identity: Option<&Identity>) -> u16 {
    let root = ureq::tls::Certificate::from_der(authority.der()).to_owned();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[root]))
        .client_cert(identity.map(Identity::client_cert))
        .build();
    let config = ureq::Agent::config_builder().proxy(None).tls_config(tls).http_status_as_error(false);
    let agent: ureq::Agent = config.timeout_global(Some(PATIENCE)).build().into();
    let url = daemon.private.replace("0.0.0.0", "127.0.0.1");
    let request = agent.post(format!("{url}/api/v1/inputs/{MAIN}/state")).header("content-type", "application/json");
    request.send(DISCONNECTED).unwrap().status().as_u16()
}

#[test]
fn only_a_verified_client_certificate_counts_and_its_subject_is_recorded() {
    let ca = ", client_ca_file: ca.crt";
    for (client_auth, presented, status) in [
        (format!("VerifyClientCertIfGiven{ca}"), false, 403),
        (format!("VerifyClientCertIfGiven{ca}"), true, 200),
        (format!("RequireAndVerifyClientCert{ca}"), true, 200),
        ("RequireAnyClientCert".to_owned(), true, 403),
        ("RequestClientCert".to_owned(), true, 403),
        ("NoClientCert".to_owned(), true, 403),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.identity("127.0.0.1", 2040).write(folder.path());
        fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
        fs::write(folder.path().join("web.yml"), format!("{TLS}, client_auth_type: {client_auth}}}")).unwrap();
        let daemon = start_beyond_loopback(folder.path(), &["--web.config.file=web.yml"]);
        connect(&daemon, MAIN);
        let identity = authority.identity("operator", 2040);
        let answered = set_over_tls(&daemon, &authority, presented.then_some(&identity));
        assert_eq!(answered, status, "{client_auth}, {presented}");
        let users: Vec<_> = corrections(folder.path()).iter().map(|correction| correction["user"].clone()).collect();
        let subject = users.iter().all(|user| user.as_str().is_some_and(|user| user.contains("CN=operator")));
        assert_eq!((users.len(), subject), (usize::from(status == 200), true), "{client_auth}: {users:?}");
    }
}
