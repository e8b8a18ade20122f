//! The web configuration file and the clients of the private listener: curl, many guessing clients, `healthcheck`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::authority::Authority;
use crate::connection::exchange;
use crate::daemon::{Daemon, OverWhenDropped, command, eventually, run};
use crate::tls::Pair;
use crate::tools::{report, tool};
use crate::web_config::{TLS, UNUSABLE, ask, user};

/// Number of concurrent clients that guess passwords.
const GUESSERS: usize = 50;

fn start(folder: &Path, web_config: &str) -> Daemon {
    fs::write(folder.join("web.yml"), web_config).unwrap();
    Daemon::start_with(folder, ["--web.config.file=web.yml", "--log.level=trace"])
}

/// curl's output for `/metrics`: status and HTTP version, or the number of its error.
fn curl(program: &Path, folder: &Path, daemon: &Daemon, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.current_dir(folder).args(["-q", "--silent", "--noproxy", "*", "--output", "page", "--cacert", "ca.crt"]);
    command.args(["--write-out", "%{http_code} HTTP/%{http_version}"]).args(arguments);
    let output = command.arg(format!("{}/metrics", daemon.private)).output().unwrap();
    match output.status.code() {
        Some(0) => String::from_utf8(output.stdout).unwrap(),
        code => format!("error {}", code.unwrap_or_default()),
    }
}

#[test]
fn curl_needs_everything_that_the_file_requires() {
    let Some(program) = tool("CURL", Path::new("curl")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.identity("127.0.0.1", 2040).write_as(folder.path(), "tls");
    authority.identity("curl", 2040).write_as(folder.path(), "client");
    Authority::new().identity("curl", 2040).write_as(folder.path(), "stranger");
    fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    let daemon = start(
        folder.path(),
        &format!(
            "{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt, client_allowed_sans: [curl], \
             cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384], curve_preferences: [CurveP384]}}\n\
             basic_auth_users: {{{}}}\n",
            user("curl", "its password")
        ),
    );
    let certificate = ["--cert", "client.crt", "--key", "client.key"];
    let all = [&certificate[..], &["--user", "curl:its password"]].concat();
    let get = |more: &[&str]| curl(&program, folder.path(), &daemon, more);
    let with = |more: &[&str]| get(&[&all[..], more].concat());
    assert_eq!(get(&all), "200 HTTP/1.1");
    assert!(fs::read_to_string(folder.path().join("page")).unwrap().contains("stream_live_exporter_build_info{"));
    assert_eq!(with(&["--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384"]), "200 HTTP/1.1");
    assert_eq!(with(&["--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"]), "error 35");
    assert_eq!(with(&["--curves", "P-384"]), "200 HTTP/1.1");
    assert_eq!(with(&["--curves", "P-256"]), "error 35");
    assert_eq!(get(&[&certificate[..], &["--user", "curl:another"]].concat()), "401 HTTP/1.1");
    assert_eq!(get(&certificate), "401 HTTP/1.1");
    for incomplete in [&["--user", "curl:its password"][..], &["--cert", "stranger.crt", "--key", "stranger.key"]] {
        let wrong = get(incomplete);
        assert!(wrong.starts_with("error "), "{incomplete:?}: {wrong}");
    }
}

/// The status for a client with another address.
fn from_elsewhere(curl: &Path, daemon: &Daemon, user: &str) -> String {
    let mut command = Command::new(curl);
    command.args(["-q", "--silent", "--noproxy", "*", "--interface", "127.0.0.2", "--user", user]);
    command.args(["--output", "/dev/null", "--write-out", "%{http_code}"]);
    let output = command.arg(format!("{}/-/healthy", daemon.private)).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn flood_of_wrong_passwords_does_not_block_other_clients() {
    let folder = tempfile::tempdir().unwrap();
    let daemon =
        start(folder.path(), &format!("basic_auth_users: {{{}, {}}}", user("anna", "right"), user("bert", "right")));
    assert_eq!(ask(daemon.private_address(), "GET /metrics", "anna", "right"), "200 OK");
    // From here on a comparison is slow. The password of anna is verified once more and cached.
    let slow = |name: &str| format!("{name}: '{}'", bcrypt::hash("right", 11).unwrap());
    fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{{}, {}}}", slow("anna"), slow("bert")))
        .unwrap();
    assert_eq!(ask(daemon.private_address(), "GET /metrics", "anna", "right"), "200 OK");
    let other_client = tool("CURL", Path::new("curl"));
    let (over, wrong, rejected) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _over = OverWhenDropped(&over);
        for guesser in 0..GUESSERS {
            let (address, over, wrong, rejected) = (daemon.private_address(), &over, &wrong, &rejected);
            scope.spawn(move || {
                // Nothing is sent on this channel: receiving with a timeout slows rejected clients down, which leaves
                // the processor to the comparisons.
                let (_sender, pace) = channel::<()>();
                for guess in 0.. {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    match ask(address, "GET /metrics", "bert", &format!("{guesser}-{guess}")).as_str() {
                        "401 Unauthorized" => _ = wrong.fetch_add(1, Ordering::AcqRel),
                        "429 Too Many Requests" => {
                            rejected.fetch_add(1, Ordering::AcqRel);
                            let _ = pace.recv_timeout(Duration::from_millis(100));
                        }
                        other => panic!("{other}"),
                    }
                }
            });
        }
        let waiting = || wrong.load(Ordering::Acquire) > 8 && rejected.load(Ordering::Acquire) > GUESSERS;
        eventually("some clients wait and others get 429", waiting);
        for _ in 0..5 {
            // The cached password needs no comparison. If it did, it would have to wait.
            assert_eq!(ask(daemon.private_address(), "GET /metrics", "anna", "right"), "200 OK");
        }
        let before = wrong.load(Ordering::Acquire);
        let other_client = other_client.as_ref().map(|curl| from_elsewhere(curl, &daemon, "bert:right"));
        let turns = wrong.load(Ordering::Acquire) - before;
        assert!(other_client.is_none_or(|status| status == "200"), "a client with another address gets its turn");
        // Some comparisons run while curl starts. Without the limit per peer, all waiting ones would come first.
        assert!(turns < GUESSERS / 2, "more comparisons than the limit per peer came first: {turns}");
    });
    assert_eq!(ask(daemon.private_address(), "GET /metrics", "bert", "right"), "200 OK", "after the flood");
}

#[test]
fn unknown_user_takes_as_long_as_the_highest_cost() {
    let folder = tempfile::tempdir().unwrap();
    let costly = format!("bert: '{}'", bcrypt::hash("right", 12).unwrap());
    let daemon = start(folder.path(), &format!("basic_auth_users: {{{}, {costly}}}", user("anna", "right")));
    let address = daemon.private_address();
    let guesses = |name: &str| {
        thread::scope(|scope| {
            let guess = |number: u32| ask(address, "GET /metrics", name, &format!("a guess {number}"));
            let guesses: Vec<_> = (0..40).map(|number| scope.spawn(move || guess(number))).collect();
            guesses.into_iter().filter_map(|guess| guess.join().ok()).collect::<Vec<_>>()
        })
    };
    // Without a comparison no request would wait, and none would get 429.
    for name in ["unknown", "bert"] {
        let answers = guesses(name);
        let count = |status: &str| answers.iter().filter(|answer| *answer == status).count();
        let (wrong, rejected) = (count("401 Unauthorized"), count("429 Too Many Requests"));
        assert!(wrong >= 8 && rejected > 0 && wrong + rejected == 40, "{name}: {answers:?}");
    }
}

#[test]
fn requests_beyond_the_rate_limit_get_429() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path(), "rate_limit: {interval: 1h, burst: 3}");
    let answers = [(); 5].map(|()| exchange(daemon.private_address(), "GET /-/healthy", b"").status);
    assert_eq!(answers, ["200 OK", "200 OK", "200 OK", "429 Too Many Requests", "429 Too Many Requests"]);
}

#[test]
fn passwords_hashes_and_keys_are_never_logged() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1", 2040);
    identity.write_as(folder.path(), "tls");
    let hash = bcrypt::hash("the password", 4).unwrap();
    let key = identity.key_pem().replace('\n', "\\n");
    let web_config =
        format!("tls_server_config: {{cert_file: tls.crt, key: \"{key}\"}}\nbasic_auth_users: {{anna: '{hash}'}}");
    let daemon = start(folder.path(), &web_config);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(ureq::tls::TlsConfig::builder().disable_verification(true).build())
        .http_status_as_error(false)
        .max_idle_connections(0)
        .proxy(None)
        .build()
        .into();
    let get = |password: &str| {
        let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("anna:{password}"));
        let request =
            agent.get(format!("{}/-/healthy", daemon.private)).header("authorization", format!("Basic {basic}"));
        request.call().ok().map(|answer| answer.status().as_u16())
    };
    assert_eq!([get("the password"), get("a guess")], [Some(200), Some(401)]);
    for bad in [
        web_config.replace("{anna:", "{anna: {hash:") + "}",
        web_config.replace("{anna:", "[anna:"),
        web_config.replace("{anna:", "{").replace('}', ": }"),
        web_config.replace("cert_file", "min_version"),
        web_config.replace("key: ", "key_file: "),
        web_config.replace("BEGIN", "BEGUN"),
        web_config.replace("$2b$", "$9z$"),
    ] {
        assert_ne!(bad, web_config);
        fs::write(folder.path().join("web.yml"), bad).unwrap();
        get("the password");
    }
    fs::write(folder.path().join("web.yml"), &web_config).unwrap();
    assert_eq!(get("the password"), Some(200));
    let lines: String = daemon.log().iter().map(|line| format!("{line}\n")).collect();
    assert!(lines.matches(UNUSABLE).count() >= 5, "{lines}");
    let body = identity.key_pem().lines().nth(1).unwrap().to_owned();
    for secret in ["the password", "a guess", "YW5uYTp0aGUg", &hash[7..], &body] {
        assert!(!lines.contains(secret), "{secret} in\n{lines}");
    }
}

#[test]
fn healthcheck_works_without_a_password() {
    for public_tls in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{{}}}", user("anna", "password")))
            .unwrap();
        let mut command = command(folder.path());
        command.arg("--web.config.file=web.yml");
        if public_tls {
            Pair::new().write(folder.path(), &mut command);
        }
        let daemon = Daemon::spawn(command, folder.path());
        let mut arguments = vec![
            "healthcheck".to_owned(),
            "--web.config.file=web.yml".to_owned(),
            format!("--web.listen-address={}", daemon.private_address()),
            format!("--webhook.listen-address={}", daemon.public_address()),
        ];
        if public_tls {
            fs::write(
                folder.path().join("x.toml"),
                "[webhook]\ntls_cert_file = \"tls.crt\"\ntls_key_file = \"tls.key\"",
            )
            .unwrap();
            arguments.push("--config.file=x.toml".to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let checked = run(folder.path(), &arguments);
        assert_eq!((checked.code, checked.stdout.as_str(), checked.stderr.as_str()), (Some(0), "healthy\n", ""));
        assert!(daemon.stop().success());
        assert_eq!(run(folder.path(), &arguments).code, Some(1));
    }
}

const EXPOSED: &str = "private listener is not on loopback";
/// The setting that the warning's field `exposure` recommends.
const EVERYTHING: &str = "client certificates";
const CLEAR_TEXT: &str = "tls_server_config";

/// A daemon with this web configuration, whose private listener is at this address.
fn start_at(folder: &Path, web_config: &str, address: &str) -> Daemon {
    fs::write(folder.join("web.yml"), web_config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder).args(["--webhook.listen-address=127.0.0.1:0", "--log.format=json"]);
    command.args(["--web.config.file=web.yml", &format!("--web.listen-address={address}")]);
    Daemon::spawn(command, folder)
}

/// The setting that each warning about an unprotected listener recommends.
fn exposures(daemon: &Daemon) -> Vec<&'static str> {
    let lines = daemon.log().into_iter().filter(|line| line["msg"] == EXPOSED);
    let recommends = |line: serde_json::Value| {
        assert_eq!(line["level"], "WARN");
        let exposure = line["exposure"].as_str().expect("the field is a string").to_owned();
        let recommended: Vec<_> = [EVERYTHING, CLEAR_TEXT].into_iter().filter(|text| exposure.contains(text)).collect();
        assert_eq!(recommended.len(), 1, "{line}");
        recommended[0]
    };
    lines.map(recommends).collect()
}

#[test]
fn unprotected_listener_beyond_loopback_is_warned_about() {
    let anna = format!("basic_auth_users: {{{}}}", user("anna", "password"));
    let known = format!("{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: tls.crt}}");
    for (address, web_config, exposure) in [
        ("0.0.0.0:0", "", Some(EVERYTHING)),
        ("[::]:0", "", Some(EVERYTHING)),
        ("0.0.0.0:0", &format!("{TLS}}}"), Some(EVERYTHING)),
        ("0.0.0.0:0", &anna, Some(CLEAR_TEXT)),
        ("0.0.0.0:0", &format!("{TLS}}}\n{anna}"), None),
        ("0.0.0.0:0", &known, None),
        ("127.0.0.2:0", "", None),
        ("[::1]:0", "", None),
    ] {
        if address.starts_with('[') && TcpListener::bind("[::1]:0").is_err() {
            report(&format!("SKIPPED: {address}: this machine has no IPv6"));
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        Authority::new().identity("127.0.0.1", 2040).write_as(folder.path(), "tls");
        let daemon = start_at(folder.path(), web_config, address);
        assert_eq!(exposures(&daemon), Vec::from_iter(exposure), "{address} {web_config}");
    }
}

#[test]
fn file_change_that_removes_protection_is_warned_about() {
    let anna = format!("basic_auth_users: {{{}}}", user("anna", "password"));
    for (address, expected) in
        [("0.0.0.0:0", vec![CLEAR_TEXT, EVERYTHING, CLEAR_TEXT, EVERYTHING]), ("127.0.0.1:0", vec![])]
    {
        let folder = tempfile::tempdir().unwrap();
        let daemon = start_at(folder.path(), &anna, address);
        let private = daemon.private_address().replace("0.0.0.0", "127.0.0.1");
        for (web_config, status) in [("", "200 OK"), (&anna, "401 Unauthorized"), ("", "200 OK")] {
            fs::write(folder.path().join("web.yml"), web_config).unwrap();
            for _ in 0..2 {
                assert_eq!(exchange(&private, "GET /-/healthy", b"").status, status);
            }
        }
        daemon.wait_for_count("web configuration changed", 3);
        assert_eq!(exposures(&daemon), expected, "{address}");
    }
}
