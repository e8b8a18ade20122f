//! The web configuration file and those who come to the private listener: programs, crowds, ourselves.

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
use crate::web_config::{TLS, ask, user};

/// So many guess passwords at a time.
const GUESSERS: usize = 150;

fn start(folder: &Path, web_config: &str) -> Daemon {
    fs::write(folder.join("web.yml"), web_config).unwrap();
    Daemon::start_with(folder, ["--web.config.file=web.yml", "--log.level=trace"])
}

/// What curl prints for the status of a page, or the number of its error.
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
fn curl_gets_in_with_what_the_file_asks_for_and_nothing_less() {
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
    for uninvited in [&["--user", "curl:its password"][..], &["--cert", "stranger.crt", "--key", "stranger.key"]] {
        let refused = get(uninvited);
        assert!(refused.starts_with("error "), "{uninvited:?}: {refused}");
    }
}

/// The status that a client at another address gets.
fn from_elsewhere(curl: &Path, daemon: &Daemon, user: &str) -> String {
    let mut command = Command::new(curl);
    command.args(["-q", "--silent", "--noproxy", "*", "--interface", "127.0.0.2", "--user", user]);
    command.args(["--output", "/dev/null", "--write-out", "%{http_code}"]);
    let output = command.arg(format!("{}/-/healthy", daemon.private)).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_crowd_of_wrong_passwords_holds_up_nobody_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let daemon =
        start(folder.path(), &format!("basic_auth_users: {{{}, {}}}", user("anna", "right"), user("bert", "right")));
    assert_eq!(ask(daemon.private_address(), "GET /metrics", "anna", "right"), "200 OK");
    // From now on a comparison takes long, but hers will have been made.
    let slow = |name: &str| format!("{name}: '{}'", bcrypt::hash("right", 11).unwrap());
    fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{{}, {}}}", slow("anna"), slow("bert")))
        .unwrap();
    assert_eq!(ask(daemon.private_address(), "GET /metrics", "anna", "right"), "200 OK");
    let newcomer = tool("CURL", Path::new("curl"));
    let (over, refused, crowded) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _over = OverWhenDropped(&over);
        for guesser in 0..GUESSERS {
            let (address, over, refused, crowded) = (daemon.private_address(), &over, &refused, &crowded);
            scope.spawn(move || {
                // Nobody sends: receiving from here is how to wait, so that those who are sent away leave the machine to
                // those who have their turn.
                let (_nobody, pace) = channel::<()>();
                for guess in 0.. {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    match ask(address, "GET /metrics", "bert", &format!("{guesser}-{guess}")).as_str() {
                        "401 Unauthorized" => _ = refused.fetch_add(1, Ordering::AcqRel),
                        "429 Too Many Requests" => {
                            crowded.fetch_add(1, Ordering::AcqRel);
                            let _ = pace.recv_timeout(Duration::from_millis(100));
                        }
                        other => panic!("{other}"),
                    }
                }
            });
        }
        let waiting = || refused.load(Ordering::Acquire) > 8 && crowded.load(Ordering::Acquire) > GUESSERS;
        eventually("they wait for their turns and are sent away", waiting);
        for _ in 0..5 {
            // Her password was right before. If it needed a turn, there would hardly be one.
            assert_eq!(ask(daemon.private_address(), "GET /metrics", "anna", "right"), "200 OK");
        }
        let before = refused.load(Ordering::Acquire);
        let newcomer = newcomer.as_ref().map(|curl| from_elsewhere(curl, &daemon, "bert:right"));
        let turns = refused.load(Ordering::Acquire) - before;
        assert!(newcomer.is_none_or(|status| status == "200"), "who comes from elsewhere gets a turn");
        // Some pass while curl starts; if all waited, all of theirs would be before his.
        assert!(turns < GUESSERS / 2, "eight turns were before his, not those of all: {turns}");
    });
    assert_eq!(ask(daemon.private_address(), "GET /metrics", "bert", "right"), "200 OK", "the crowd has gone");
}

#[test]
fn a_name_that_nobody_has_takes_the_turn_of_the_dearest_one() {
    let folder = tempfile::tempdir().unwrap();
    let dear = format!("bert: '{}'", bcrypt::hash("right", 12).unwrap());
    let daemon = start(folder.path(), &format!("basic_auth_users: {{{}, {dear}}}", user("anna", "right")));
    let address = daemon.private_address();
    let crowd = |name: &str| {
        thread::scope(|scope| {
            let guess = |number: u32| ask(address, "GET /metrics", name, &format!("a guess {number}"));
            let guesses: Vec<_> = (0..40).map(|number| scope.spawn(move || guess(number))).collect();
            guesses.into_iter().filter_map(|guess| guess.join().ok()).collect::<Vec<_>>()
        })
    };
    // Who is answered without a comparison waits for no turn, so there would be no crowd to be sent away from.
    for name in ["nobody", "bert"] {
        let answers = crowd(name);
        let count = |status: &str| answers.iter().filter(|answer| *answer == status).count();
        let (refused, crowded) = (count("401 Unauthorized"), count("429 Too Many Requests"));
        assert!(refused >= 8 && crowded > 0 && refused + crowded == 40, "{name}: {answers:?}");
    }
}

#[test]
fn so_many_requests_pass() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path(), "rate_limit: {interval: 1h, burst: 3}");
    let answers = [(); 5].map(|()| exchange(daemon.private_address(), "GET /-/healthy", b"").status);
    assert_eq!(answers, ["200 OK", "200 OK", "200 OK", "429 Too Many Requests", "429 Too Many Requests"]);
}

#[test]
fn passwords_hashes_and_keys_are_found_in_no_line_of_the_log() {
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
    assert!(lines.matches("the web configuration cannot be used").count() >= 5, "{lines}");
    let body = identity.key_pem().lines().nth(1).unwrap().to_owned();
    for secret in ["the password", "a guess", "YW5uYTp0aGUg", &hash[7..], &body] {
        assert!(!lines.contains(secret), "{secret} in\n{lines}");
    }
}

#[test]
fn a_health_check_works_although_it_knows_no_password() {
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
        let told = run(folder.path(), &arguments);
        assert_eq!((told.code, told.stdout.as_str(), told.stderr.as_str()), (Some(0), "healthy\n", ""));
        assert!(daemon.stop().success());
        assert_eq!(run(folder.path(), &arguments).code, Some(1));
    }
}

const EXPOSED: &str = "the private listener is not on loopback";
const EVERYTHING: &str = "whoever reaches the private listener reads everything and reloads the configuration; \
                          set web.config_file with users or client certificates, or listen on loopback";
const CLEAR: &str = "passwords cross the network in clear text; add tls_server_config to web.config_file";

/// A daemon with this web configuration, whose private listener is at this address.
fn start_at(folder: &Path, web_config: &str, address: &str) -> Daemon {
    fs::write(folder.join("web.yml"), web_config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder).args(["--webhook.listen-address=127.0.0.1:0", "--log.format=json"]);
    command.args(["--web.config.file=web.yml", &format!("--web.listen-address={address}")]);
    Daemon::spawn(command, folder)
}

/// What the log says to be open to others, time after time.
fn exposures(daemon: &Daemon) -> Vec<String> {
    let lines = daemon.log().into_iter().filter(|line| line["message"] == EXPOSED);
    let exposure = lines.inspect(|line| assert_eq!(line["level"], "WARN")).map(|line| line["exposure"].clone());
    exposure.map(|exposure| exposure.as_str().expect("it says what").to_owned()).collect()
}

#[test]
fn a_listener_that_others_can_reach_says_what_is_open_to_them() {
    let anna = format!("basic_auth_users: {{{}}}", user("anna", "password"));
    let known = format!("{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: tls.crt}}");
    for (address, web_config, exposure) in [
        ("0.0.0.0:0", "", Some(EVERYTHING)),
        ("[::]:0", "", Some(EVERYTHING)),
        ("0.0.0.0:0", &format!("{TLS}}}"), Some(EVERYTHING)),
        ("0.0.0.0:0", &anna, Some(CLEAR)),
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
fn a_file_that_opens_the_listener_while_it_runs_says_so_once_more() {
    let anna = format!("basic_auth_users: {{{}}}", user("anna", "password"));
    for (address, told) in [("0.0.0.0:0", vec![CLEAR, EVERYTHING, CLEAR, EVERYTHING]), ("127.0.0.1:0", vec![])] {
        let folder = tempfile::tempdir().unwrap();
        let daemon = start_at(folder.path(), &anna, address);
        let private = daemon.private_address().replace("0.0.0.0", "127.0.0.1");
        for (web_config, status) in [("", "200 OK"), (&anna, "401 Unauthorized"), ("", "200 OK")] {
            fs::write(folder.path().join("web.yml"), web_config).unwrap();
            for _ in 0..2 {
                assert_eq!(exchange(&private, "GET /-/healthy", b"").status, status);
            }
        }
        daemon.wait_for_count("web configuration read anew", 3);
        assert_eq!(exposures(&daemon), told, "{address}");
    }
}
