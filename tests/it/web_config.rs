//! The web configuration file of the private listener: who gets in, and when that changes.

use std::fs;
use std::path::Path;

use crate::authority::{Authority, Identity};
use crate::connection::exchange;
use crate::daemon::{Daemon, PATIENCE, command, ran, run};

pub const TLS: &str = "tls_server_config: {cert_file: tls.crt, key_file: tls.key";
const ANEW: &str = "web configuration read anew";
const UNUSABLE: &str =
    "the web configuration cannot be used: requests are answered 500 and handshakes fail until it can";
const NO_HANDSHAKE: &str = "the web configuration cannot be used: handshakes fail until they can";

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

    /// A client that trusts our authority, and has a certificate itself or not.
    fn client(&self, identity: Option<&Identity>) -> ureq::Agent {
        let root = ureq::tls::Certificate::from_der(self.authority.der()).to_owned();
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::new_with_certs(&[root]))
            .client_cert(identity.map(Identity::client_cert))
            .build();
        let config = ureq::Agent::config_builder().proxy(None).tls_config(tls).http_status_as_error(false);
        // Every request has a handshake of its own.
        config.timeout_global(Some(PATIENCE)).max_idle_connections(0).build().into()
    }
}

/// What becomes of a request: its status, or no answer.
fn status(daemon: &Daemon, client: &ureq::Agent) -> Option<u16> {
    let answer = client.get(format!("{}/-/healthy", daemon.private)).call();
    answer.ok().map(|answer| answer.status().as_u16())
}

/// `user: hash` for the file, as cheap as bcrypt can be.
pub fn user(name: &str, password: &str) -> String {
    format!("{name}: '{}'", bcrypt::hash(password, 4).expect("it can be hashed"))
}

/// The answer to these credentials over plain HTTP.
pub fn ask(address: &str, path: &str, user: &str, password: &str) -> String {
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{user}:{password}"));
    exchange(address, &format!("{path} | authorization: Basic {basic}"), b"").status
}

/// Bad files, each with what is told of it.
const BAD: &[(&str, &str)] = &[
    ("tls_sever_config: {}", "tls_sever_config: unknown key"),
    ("tls_server_config: {cert: a, ca: b}", "tls_server_config.key_file: is missing, and so is key"),
    ("tls_server_config: {cert_file: tls.crt, key_file: tls.key, ca: b}", "tls_server_config.ca: unknown key"),
    ("tls_server_config: on", "tls_server_config: must be a mapping"),
    ("basic_auth_users: hunter2", "basic_auth_users: must be a mapping"),
    ("basic_auth_users: {a: [hunter2]}", "basic_auth_users.a: must be a single value"),
    ("basic_auth_users: {A.b: hunter2}", "basic_auth_users.A.b: not a bcrypt hash"),
    ("basic_auth_users: {a: hunter2, a: hunter2}", "line 1 column 35: the key is there twice"),
    ("basic_auth_users: [hunter2", "line 2 column 1: while parsing a flow sequence, expected ',' or ']'"),
    ("- hunter2", "not a mapping in YAML"),
    ("tls_server_config: {key_file: k}", "tls_server_config.cert_file: is missing, and so is cert"),
    ("tls_server_config: {cert_file: no.crt, key: k}", "no.crt: No such file or directory (os error 2)"),
    ("tls_server_config: {cert_file: empty.pem, key: k}", "empty.pem: no certificate in PEM format"),
    ("tls_server_config: {key_file: \"a\\nb\"}", "tls_server_config.key_file: must be a path"),
    ("tls_server_config: {cert: hunter2, key: k}", "tls_server_config.cert: no certificate in PEM format"),
    ("tls_server_config: {cert_file: tls.crt, key: hunter2}", "tls_server_config.key: no private key in PEM format"),
    ("tls_server_config: {cert_file: tls.crt, key_file: other.key}", "tls.crt and other.key do not belong together"),
    (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_auth_type: Ask}",
        "tls_server_config.client_auth_type: \"Ask\" is not supported (expected NoClientCert, RequestClientCert, \
         RequireAnyClientCert, RequireClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert)",
    ),
    (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_auth_type: RequireAndVerifyClientCert}",
        "tls_server_config.client_ca_file: is missing, and so is client_ca",
    ),
    (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_auth_type: VerifyClientCertIfGiven, \
         client_ca_file: empty.pem}",
        "empty.pem: no certificate in PEM format",
    ),
    (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_ca_file: ca.crt}",
        "tls_server_config.client_auth_type: must ask for certificates when there is a client CA",
    ),
    (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_allowed_sans: [a], client_auth_type: \
         RequestClientCert}",
        "tls_server_config.client_allowed_sans: needs the client_auth_type RequireAnyClientCert or \
             RequireAndVerifyClientCert",
    ),
    (
        "tls_server_config: {min_version: TLS10}",
        "tls_server_config.min_version: \"TLS10\" is not supported (expected TLS12, TLS13)",
    ),
    (
        "tls_server_config: {min_version: TLS13, max_version: TLS12}",
        "tls_server_config.min_version: is newer than max_version",
    ),
    (
        "tls_server_config: {cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]}",
        "tls_server_config.cipher_suites: \"TLS_RSA_WITH_AES_128_CBC_SHA\" is not supported (expected \
         TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, \
         TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, \
         TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, \
         TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)",
    ),
    (
        "tls_server_config: {curve_preferences: [CurveP521]}",
        "tls_server_config.curve_preferences: \"CurveP521\" is not supported (expected CurveP256, CurveP384, X25519)",
    ),
    ("http_server_config: {http2: hunter2}", "http_server_config.http2: neither true nor false"),
    ("http_server_config: {headers: {Server: x}}", "http_server_config.headers.Server: unknown key"),
    (
        "http_server_config: {headers: {X-Frame-Options: ALLOW}}",
        "http_server_config.headers.X-Frame-Options: \"ALLOW\" is not supported (expected deny, sameorigin)",
    ),
    (
        "http_server_config: {headers: {X-XSS-Protection: \"a\\nb\"}}",
        "http_server_config.headers.X-XSS-Protection: not a header's value",
    ),
    (
        "rate_limit: {interval: fast}",
        "rate_limit.interval: not a duration: \"fast\" (expected for example 100ms or 1s)",
    ),
    ("rate_limit: {interval: 1s}", "rate_limit.burst: must be more than 0"),
];

#[test]
fn a_bad_file_is_refused_with_what_is_wrong() {
    let site = Site::new("");
    fs::write(site.path().join("empty.pem"), "").unwrap();
    fs::write(site.path().join("other.key"), site.authority.identity("other", 2040).key_pem()).unwrap();
    for (text, problem) in BAD {
        site.write(text);
        let told = run(site.path(), &["check-config", "--web.config.file=web.yml"]);
        let told = (told.code, told.stdout.as_str(), told.stderr.as_str());
        let expected = format!("stream-live-exporter: web.config_file: web.yml: {problem}\n");
        assert_eq!(told, (Some(1), "", expected.as_str()), "{text}");
    }
    let served = ran(command(site.path()).arg("--web.config.file=nowhere.yml"));
    let problem =
        "stream-live-exporter: web.config_file: nowhere.yml: cannot be read: No such file or directory (os error 2)";
    assert_eq!((served.code, served.stderr.lines().last()), (Some(1), Some(problem)));
}

#[test]
fn every_path_is_for_users_only_and_users_come_and_go() {
    let (anna, bert) = (user("Anna.B", "her:password"), user("bert", ""));
    let headers = "http_server_config: {http2: false, headers: {X-Frame-Options: deny, Content-Security-Policy: ''}}";
    let site = Site::new(&format!("{headers}\nbasic_auth_users: {{{anna}}}"));
    let daemon = site.start();
    for path in ["GET /metrics", "GET /-/healthy", "GET /", "POST /-/reload", "GET /nowhere", "GET /api/v1/inputs"] {
        let answer = exchange(daemon.private_address(), path, b"");
        assert_eq!((answer.status.as_str(), answer.text()), ("401 Unauthorized", "Unauthorized\n"), "{path}");
        assert_eq!(answer.header("www-authenticate"), "Basic", "{path}");
        assert_eq!(answer.header("x-frame-options"), "deny", "{path}: the file's word counts");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}: blank is ours");
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
        "her password has changed"
    );
    assert_eq!(ask(daemon.private_address(), healthy, "Anna.B", "another"), "200 OK");
    assert_eq!(ask(daemon.private_address(), healthy, "bert", ""), "200 OK");
    site.write(&format!("basic_auth_users: {{{anna}, bert: hunter2}}"));
    assert_eq!(ask(daemon.private_address(), healthy, "bert", ""), "401 Unauthorized", "his hash is none");
    assert_eq!(ask(daemon.private_address(), healthy, "Anna.B", "her:password"), "200 OK", "that is not her fault");
    assert_eq!(daemon.wait_for("this user is refused")["problem"], "basic_auth_users.bert: not a bcrypt hash");
    site.write("");
    assert_eq!(exchange(daemon.private_address(), healthy, b"").status, "200 OK", "nobody is asked any more");
    daemon.wait_for_count(ANEW, 3);
    assert_eq!(daemon.log().iter().filter(|line| line["message"] == ANEW).count(), 3, "it was read when it changed");
}

#[test]
fn a_file_that_has_become_invalid_lets_nobody_in_and_is_told_once() {
    let anna = format!("basic_auth_users: {{{}}}", user("anna", "password"));
    let site = Site::new(&anna);
    let daemon = site.start();
    let healthy =
        |expected: &str| assert_eq!(ask(daemon.private_address(), "GET /-/healthy", "anna", "password"), expected);
    healthy("200 OK");
    for (round, (bad, problem)) in [
        (
            "basic_auth_users: {anna: hunter2",
            "line 2 column 1: while parsing a flow mapping, did not find expected ',' or '}'",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: hunter2}}",
            "http_server_config.headers.X-Frame-Options: \"hunter2\" is not supported (expected deny, sameorigin)",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        site.write(bad);
        for _ in 0..3 {
            healthy("500 Internal Server Error");
        }
        assert_eq!(daemon.wait_for_count(UNUSABLE, round + 1)["problem"], problem);
        assert_eq!(daemon.log().iter().filter(|line| line["message"] == UNUSABLE).count(), round + 1);
        site.write(&anna);
        healthy("200 OK");
    }
    fs::remove_file(site.path().join("web.yml")).unwrap();
    healthy("500 Internal Server Error");
    site.write(&anna);
    healthy("200 OK");
}

#[test]
fn clients_are_asked_for_certificates_as_the_file_says_at_the_time() {
    let site = Site::new(&format!("{TLS}}}"));
    let daemon = site.start();
    assert!(daemon.private.starts_with("https://"), "{}", daemon.private);
    let stranger = Authority::new().identity("client.example.com", 2040);
    let ours = site.authority.identity("client.example.com", 2040);
    let [nobody, stranger, ours] = [None, Some(&stranger), Some(&ours)].map(|identity| site.client(identity));
    // Before the sessions of these clients are any good, they have had some.
    for client in [&nobody, &stranger, &ours] {
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
        assert_eq!([&nobody, &stranger, &ours].map(|client| status(&daemon, client)), expected, "{policy}");
    }
    // Another authority takes over, and whoever the old one has signed is out.
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
fn a_certificate_is_renewed_and_one_that_is_none_fails_handshakes() {
    let expiry = "stream_live_exporter_tls_certificate_expiry_timestamp_seconds{listener=\"web\"}";
    let site = Site::new(&format!("{TLS}}}"));
    let daemon = site.start();
    let client = site.client(None);
    assert_eq!((status(&daemon, &client), daemon.metric(expiry)), (Some(200), Some(2_208_988_800.0)));
    let whole = fs::read(site.path().join("tls.crt")).unwrap();
    for (file, content, problem) in [
        ("tls.crt", &whole[..300], "tls.crt: no certificate in PEM format"),
        ("tls.key", b"".as_slice(), "tls.key: no private key in PEM format"),
    ] {
        let told = daemon.log().iter().filter(|line| line["message"] == NO_HANDSHAKE).count();
        fs::write(site.path().join(file), content).unwrap();
        assert_eq!([(); 2].map(|()| status(&daemon, &client)), [None, None], "{problem}");
        assert_eq!(daemon.wait_for_count(NO_HANDSHAKE, told + 1)["problem"], problem);
        assert_eq!(daemon.log().iter().filter(|line| line["message"] == NO_HANDSHAKE).count(), told + 1);
        site.authority.identity("127.0.0.1", 2041).write(site.path());
        assert_eq!(status(&daemon, &client), Some(200));
    }
    assert_eq!(daemon.metric(expiry), Some(2_240_611_200.0));
    site.write("");
    assert_eq!(status(&daemon, &client), None, "a listener with TLS never speaks without");
    let restart = "TLS or not, its versions, suites and curves change on restart only";
    daemon.wait_for(restart);
    site.write(&format!("{TLS}, min_version: TLS13, curve_preferences: [CurveP384]}}"));
    assert_eq!(status(&daemon, &client), Some(200));
    daemon.wait_for_count(restart, 2);
    site.write("basic_auth_users: {a: [b]}");
    assert_eq!(status(&daemon, &client), None);
    assert_eq!(daemon.wait_for(UNUSABLE)["problem"], "basic_auth_users.a: must be a single value");
}

#[test]
fn the_example_of_the_documents_lets_its_prometheus_in() {
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
