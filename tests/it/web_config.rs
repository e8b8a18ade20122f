//! The web configuration file of the private listener: access, and changes of the file.

use std::fs;
use std::path::Path;

use crate::authority::{Authority, Identity};
use crate::connection::exchange;
use crate::daemon::{Daemon, PATIENCE, command, path_in, ran, run};

pub const TLS: &str = "tls_server_config: {cert_file: tls.crt, key_file: tls.key";
const CHANGED: &str = "web configuration changed";
pub const UNUSABLE: &str = "web configuration cannot be used";

/// A folder with a web configuration, and the authority that signs its certificates.
struct Site {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Site {
    fn new(web_config: &str) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new() };
        site.authority.identity("127.0.0.1", 2040).write(site.path());
        fs::write(site.path().join("ca.crt"), site.authority.pem()).unwrap();
        site.write(web_config);
        site
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, web_config: &str) {
        fs::write(self.path().join("web.yml"), web_config).unwrap();
    }

    fn start(&self) -> Daemon {
        Daemon::start_with(self.path(), ["--web.config.file=web.yml", "--log.level=trace"])
    }

    /// A client that trusts the site's authority, with or without a client certificate.
    fn client(&self, identity: Option<&Identity>) -> ureq::Agent {
        let root = ureq::tls::Certificate::from_der(self.authority.der()).to_owned();
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::new_with_certs(&[root]))
            .client_cert(identity.map(Identity::client_cert))
            .build();
        let config = ureq::Agent::config_builder().proxy(None).tls_config(tls).http_status_as_error(false);
        // A new handshake for each request.
        config.timeout_global(Some(PATIENCE)).max_idle_connections(0).build().into()
    }
}

/// The status of a request, or `None` without a response.
fn status(daemon: &Daemon, client: &ureq::Agent) -> Option<u16> {
    let answer = client.get(format!("{}/-/healthy", daemon.private)).call();
    answer.ok().map(|answer| answer.status().as_u16())
}

/// `user: hash` for the file, with bcrypt's lowest cost.
pub fn user(name: &str, password: &str) -> String {
    format!("{name}: '{}'", bcrypt::hash(password, 4).expect("it can be hashed"))
}

/// The status of a request with these credentials over plain HTTP.
pub fn ask(address: &str, path: &str, user: &str, password: &str) -> String {
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{user}:{password}"));
    exchange(address, &format!("{path} | authorization: Basic {basic}"), b"").status
}

/// Invalid files, each with the key, the place or the file that the error begins with, and the identifiers in it.
const INVALID: &[(&str, &str, &[&str])] = &[
    ("tls_sever_config: {}", "tls_sever_config", &[]),
    ("tls_server_config: {cert: a, ca: b}", "tls_server_config.key_file", &["key"]),
    ("tls_server_config: {cert_file: tls.crt, key_file: tls.key, ca: b}", "tls_server_config.ca", &[]),
    ("tls_server_config: on", "tls_server_config", &[]),
    ("basic_auth_users: hunter2", "basic_auth_users", &[]),
    ("basic_auth_users: {a: [hunter2]}", "basic_auth_users.a", &[]),
    ("basic_auth_users: {A.b: hunter2}", "basic_auth_users.A.b", &["bcrypt"]),
    ("basic_auth_users: {a: hunter2, a: hunter2}", "line 1 column 35", &[]),
    ("basic_auth_users: [hunter2", "line 2 column 1", &["','", "']'"]),
    ("- hunter2", "", &["YAML"]),
    ("tls_server_config: {key_file: k}", "tls_server_config.cert_file", &["cert"]),
    ("tls_server_config: {cert_file: no.crt, key: k}", "no.crt", &["(os error 2)"]),
    ("tls_server_config: {cert_file: empty.pem, key: k}", "empty.pem", &["PEM"]),
    ("tls_server_config: {key_file: \"a\\nb\"}", "tls_server_config.key_file", &[]),
    ("tls_server_config: {cert: hunter2, key: k}", "tls_server_config.cert", &["PEM"]),
    ("tls_server_config: {cert_file: tls.crt, key: hunter2}", "tls_server_config.key", &["PEM"]),
    ("tls_server_config: {cert_file: tls.crt, key_file: other.key}", "", &["tls.crt", "other.key"]),
    (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_auth_type: Ask}",
        "tls_server_config.client_auth_type",
        &[
            "\"Ask\"",
            "NoClientCert, RequestClientCert, RequireAnyClientCert, RequireClientCert, VerifyClientCertIfGiven, \
             RequireAndVerifyClientCert",
        ],
    ),
    (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_auth_type: RequireAndVerifyClientCert}",
        "tls_server_config.client_ca_file",
        &["client_ca"],
    ),
    (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_auth_type: VerifyClientCertIfGiven, \
         client_ca_file: empty.pem}",
        "empty.pem",
        &["PEM"],
    ),
    (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_ca_file: ca.crt}",
        "tls_server_config.client_auth_type",
        &[],
    ),
    (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_allowed_sans: [a], client_auth_type: \
         RequestClientCert}",
        "tls_server_config.client_allowed_sans",
        &["client_auth_type", "RequireAnyClientCert", "RequireAndVerifyClientCert"],
    ),
    ("tls_server_config: {min_version: TLS10}", "tls_server_config.min_version", &["\"TLS10\"", "TLS12, TLS13"]),
    ("tls_server_config: {min_version: TLS13, max_version: TLS12}", "tls_server_config.min_version", &["max_version"]),
    (
        "tls_server_config: {cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]}",
        "tls_server_config.cipher_suites",
        &[
            "\"TLS_RSA_WITH_AES_128_CBC_SHA\"",
            "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, \
             TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, \
             TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, \
             TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ],
    ),
    (
        "tls_server_config: {curve_preferences: [CurveP521]}",
        "tls_server_config.curve_preferences",
        &["\"CurveP521\"", "CurveP256, CurveP384, X25519"],
    ),
    ("http_server_config: {http2: hunter2}", "http_server_config.http2", &["true", "false"]),
    ("http_server_config: {headers: {Server: x}}", "http_server_config.headers.Server", &[]),
    (
        "http_server_config: {headers: {X-Frame-Options: ALLOW}}",
        "http_server_config.headers.X-Frame-Options",
        &["\"ALLOW\"", "deny, sameorigin"],
    ),
    (
        "http_server_config: {headers: {X-XSS-Protection: \"a\\nb\"}}",
        "http_server_config.headers.X-XSS-Protection",
        &[],
    ),
    ("rate_limit: {interval: fast}", "rate_limit.interval", &["\"fast\"", "100ms", "1s"]),
    ("rate_limit: {interval: 1s}", "rate_limit.burst", &["0"]),
];

#[test]
fn invalid_file_is_rejected_with_its_problem() {
    let site = Site::new("");
    fs::write(site.path().join("empty.pem"), "").unwrap();
    fs::write(site.path().join("other.key"), site.authority.identity("other", 2040).key_pem()).unwrap();
    for (text, place, named) in INVALID {
        site.write(text);
        let checked = run(
            site.path(),
            &[
                "check-config",
                "--web.config.file=web.yml",
                "--webhook.listen-address=127.0.0.1:0",
                "--web.listen-address=127.0.0.1:0",
            ],
        );
        assert_eq!((checked.code, checked.stdout.as_str()), (Some(1), ""), "{text}");
        let prefix = format!("stream-live-exporter: web.config_file: {}: ", path_in(site.path(), "web.yml"));
        let problem = checked.stderr.strip_prefix(&prefix).unwrap_or_else(|| panic!("{text}: {}", checked.stderr));
        assert_eq!(problem.lines().count(), 1, "{text}: {problem}");
        let begins = place.is_empty()
            || problem.trim_start_matches(&path_in(site.path(), "")).starts_with(&format!("{place}: "));
        assert!(begins && named.iter().all(|name| problem.contains(name)), "{text}: {problem}");
        assert!(!problem.contains("hunter2"), "a value that may be secret is quoted: {problem}");
    }
    let served = ran(command(site.path()).arg("--web.config.file=nowhere.yml"));
    let error = served.logged_errors().concat();
    assert_eq!(served.code, Some(1));
    assert!(
        error.starts_with(&format!("web.config_file: {}: ", path_in(site.path(), "nowhere.yml")))
            && error.ends_with("(os error 2)"),
        "{error}"
    );
}

#[test]
fn every_path_requires_a_user_and_users_change_with_the_file() {
    let (anna, bert) = (user("Anna.B", "her:password"), user("bert", ""));
    let headers = "http_server_config: {http2: false, headers: {X-Frame-Options: deny, Content-Security-Policy: ''}}";
    let site = Site::new(&format!("{headers}\nbasic_auth_users: {{{anna}}}"));
    let daemon = site.start();
    for path in ["GET /metrics", "GET /-/healthy", "GET /", "POST /-/reload", "GET /nowhere", "GET /api/v1/inputs"] {
        let answer = exchange(daemon.private_address(), path, b"");
        assert_eq!((answer.status.as_str(), answer.text()), ("401 Unauthorized", "Unauthorized\n"), "{path}");
        assert_eq!(answer.header("www-authenticate"), "Basic", "{path}");
        assert_eq!(answer.header("x-frame-options"), "deny", "{path}: the file's value takes precedence");
        assert!(
            answer.header("content-security-policy").starts_with("default-src 'none'"),
            "{path}: an empty value keeps the default"
        );
    }
    let healthy = "GET /-/healthy";
    for (user, password) in [("Anna.B", "her"), ("anna.b", "her:password"), ("", "her:password"), ("bert", "")] {
        assert_eq!(ask(daemon.private_address(), healthy, user, password), "401 Unauthorized", "{user}");
    }
    for _ in 0..2 {
        assert_eq!(ask(daemon.private_address(), healthy, "Anna.B", "her:password"), "200 OK");
    }
    assert_eq!(ask(daemon.private_address(), "POST /-/reload", "Anna.B", "her:password"), "200 OK");
    let odd =
        |value: &str| exchange(daemon.private_address(), &format!("{healthy} | authorization: {value}"), b"").status;
    assert_eq!(odd("bAsIc QW5uYS5COmhlcjpwYXNzd29yZA=="), "200 OK");
    for value in [
        "Basic QW5uYS5COmhlcjpwYXNzd29yZA",
        "Bearer QW5uYS5COmhlcjpwYXNzd29yZA==",
        "Basic",
        "Basic \u{ff}/8=",
        "Basic //8=",
    ] {
        assert_eq!(odd(value), "401 Unauthorized", "{value}");
    }

    site.write(&format!("basic_auth_users: {{{}, {bert}}}", user("Anna.B", "another")));
    assert_eq!(
        ask(daemon.private_address(), healthy, "Anna.B", "her:password"),
        "401 Unauthorized",
        "the password has changed"
    );
    assert_eq!(ask(daemon.private_address(), healthy, "Anna.B", "another"), "200 OK");
    assert_eq!(ask(daemon.private_address(), healthy, "bert", ""), "200 OK");
    site.write(&format!("basic_auth_users: {{{anna}, bert: hunter2}}"));
    assert_eq!(ask(daemon.private_address(), healthy, "bert", ""), "401 Unauthorized", "the hash is invalid");
    assert_eq!(
        ask(daemon.private_address(), healthy, "Anna.B", "her:password"),
        "200 OK",
        "other users are not affected"
    );
    let line = daemon.wait_for("user cannot log in");
    assert!(line["problem"].as_str().is_some_and(|problem| problem.starts_with("basic_auth_users.bert: ")), "{line}");
    site.write("");
    assert_eq!(exchange(daemon.private_address(), healthy, b"").status, "200 OK", "no user is required any more");
    daemon.wait_for_count(CHANGED, 3);
    assert_eq!(daemon.log().iter().filter(|line| line["msg"] == CHANGED).count(), 3, "one line per change");
}

#[test]
fn file_that_becomes_invalid_blocks_all_requests_and_is_logged_once() {
    let anna = format!("basic_auth_users: {{{}}}", user("anna", "password"));
    let site = Site::new(&anna);
    let daemon = site.start();
    let healthy =
        |expected: &str| assert_eq!(ask(daemon.private_address(), "GET /-/healthy", "anna", "password"), expected);
    healthy("200 OK");
    for (round, (bad, place)) in [
        ("basic_auth_users: {anna: hunter2", "line 2 column 1: "),
        (
            "http_server_config: {headers: {X-Frame-Options: hunter2}}",
            "http_server_config.headers.X-Frame-Options: \"hunter2\" ",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        site.write(bad);
        for _ in 0..3 {
            healthy("500 Internal Server Error");
        }
        let line = daemon.wait_for_count(UNUSABLE, round + 1);
        assert!(line["problem"].as_str().is_some_and(|problem| problem.starts_with(place)), "{line}");
        assert_eq!(daemon.log().iter().filter(|line| line["msg"] == UNUSABLE).count(), round + 1);
        site.write(&anna);
        healthy("200 OK");
    }
    fs::remove_file(site.path().join("web.yml")).unwrap();
    healthy("500 Internal Server Error");
    site.write(&anna);
    healthy("200 OK");
}

#[test]
fn client_certificates_are_required_as_the_current_file_says() {
    let site = Site::new(&format!("{TLS}}}"));
    let daemon = site.start();
    assert!(daemon.private.starts_with("https://"), "{}", daemon.private);
    let stranger = Authority::new().identity("client.example.com", 2040);
    let ours = site.authority.identity("client.example.com", 2040);
    let [without, stranger, ours] = [None, Some(&stranger), Some(&ours)].map(|identity| site.client(identity));
    // The clients now have TLS sessions, which must not be resumed.
    for client in [&without, &stranger, &ours] {
        assert_eq!(status(&daemon, client), Some(200));
    }
    let yes = Some(200);
    let verified = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt";
    let inline = site.authority.pem().replace('\n', "\\n");
    for (policy, expected) in [
        ("client_auth_type: NoClientCert", [yes, yes, yes]),
        ("client_auth_type: RequestClientCert", [yes, yes, yes]),
        ("client_auth_type: RequireAnyClientCert", [None, yes, yes]),
        ("client_auth_type: RequireClientCert", [None, yes, yes]),
        ("client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.crt", [yes, None, yes]),
        (verified, [None, None, yes]),
        (&format!("client_auth_type: RequireAndVerifyClientCert, client_ca: \"{inline}\""), [None, None, yes]),
        (&format!("{verified}, client_allowed_sans: [other, client.example.com]"), [None, None, yes]),
        (&format!("{verified}, client_allowed_sans: [example.com, '*.example.com']"), [None; 3]),
        (&format!("{verified}, client_allowed_sans: []"), [None; 3]),
        ("client_auth_type: RequireAnyClientCert, client_allowed_sans: [client.example.com]", [None, yes, yes]),
        (verified, [None, None, yes]),
    ] {
        site.write(&format!("{TLS}, {policy}}}"));
        assert_eq!([&without, &stranger, &ours].map(|client| status(&daemon, client)), expected, "{policy}");
    }
    // After a change of the authority, certificates of the old one are rejected.
    fs::write(site.path().join("ca.crt"), Authority::new().pem()).unwrap();
    assert_eq!(status(&daemon, &ours), None);
    fs::write(site.path().join("ca.crt"), site.authority.pem()).unwrap();
    assert_eq!(status(&daemon, &ours), yes);
    for (name, allowed) in [("192.0.2.7", true), ("2001:db8::7", true), ("192.0.2.8", false)] {
        site.write(&format!("{TLS}, {verified}, client_allowed_sans: ['192.0.2.7', '2001:db8::7']}}"));
        let client = site.client(Some(&site.authority.identity(name, 2040)));
        assert_eq!(status(&daemon, &client).is_some(), allowed, "{name}");
    }
}

#[test]
fn renewed_certificate_is_used_and_an_invalid_one_fails_handshakes() {
    let expiry = "stream_live_exporter_tls_certificate_expiry_timestamp_seconds{listener=\"web\"}";
    let site = Site::new(&format!("{TLS}}}"));
    let daemon = site.start();
    let client = site.client(None);
    assert_eq!((status(&daemon, &client), daemon.metric(expiry)), (Some(200), Some(2_208_988_800.0)));
    let whole = fs::read(site.path().join("tls.crt")).unwrap();
    for (file, content) in [("tls.crt", &whole[..300]), ("tls.key", b"".as_slice())] {
        let logged = daemon.log().iter().filter(|line| line["msg"] == UNUSABLE).count();
        fs::write(site.path().join(file), content).unwrap();
        assert_eq!([(); 2].map(|()| status(&daemon, &client)), [None, None], "{file}");
        let line = daemon.wait_for_count(UNUSABLE, logged + 1);
        let problem = line["problem"].as_str().unwrap_or_default();
        assert!(problem.starts_with(&path_in(site.path(), file)) && problem.contains("PEM"), "{line}");
        assert_eq!(daemon.log().iter().filter(|line| line["msg"] == UNUSABLE).count(), logged + 1);
        site.authority.identity("127.0.0.1", 2041).write(site.path());
        assert_eq!(status(&daemon, &client), Some(200));
    }
    assert_eq!(daemon.metric(expiry), Some(2_240_611_200.0));
    site.write("");
    assert_eq!(status(&daemon, &client), None, "a listener with TLS never uses plain HTTP");
    let restart = "turning TLS on or off and changing its versions, cipher suites or curves requires a restart";
    daemon.wait_for(restart);
    site.write(&format!("{TLS}, min_version: TLS13, curve_preferences: [CurveP384]}}"));
    assert_eq!(status(&daemon, &client), Some(200));
    daemon.wait_for_count(restart, 2);
    site.write("basic_auth_users: {a: [b]}");
    assert_eq!(status(&daemon, &client), None);
    let line = daemon.wait_for_count(UNUSABLE, 3);
    assert!(line["problem"].as_str().is_some_and(|problem| problem.starts_with("basic_auth_users.a: ")), "{line}");
}

#[test]
fn documented_example_admits_its_prometheus() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/web-config.md");
    let document = fs::read_to_string(document).unwrap();
    let example = document.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let site = Site::new(example);
    site.authority.identity("127.0.0.1", 2040).write_as(site.path(), "exporter");
    let daemon = site.start();
    let client = site.client(Some(&site.authority.identity("prometheus.example.com", 2040)));
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, "prometheus:its password");
    let request = client.get(format!("{}/metrics", daemon.private)).header("authorization", format!("Basic {basic}"));
    assert_eq!(request.call().unwrap().status(), 200);
    assert_eq!(status(&daemon, &client), Some(401));
    assert_eq!(status(&daemon, &site.client(Some(&site.authority.identity("other.example.com", 2040)))), None);
}
