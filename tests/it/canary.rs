//! Secrets and bodies do not appear in logs, pages or files, and clients cannot forge log lines.

use std::fs;
use std::process::Command;

use serde_json::Value;
use stream_live_exporter::text::is_control_or_format;

use crate::connection::{Connection, exchange, webhook_request};
use crate::daemon::{Daemon, eventually, fixture};

const INPUT: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const PAGES: [&str; 8] = [
    "/",
    "/metrics",
    "/-/healthy",
    "/-/ready",
    "/api/v1/inputs",
    "/api/v1/events?limit=1000",
    "/api/v1/cloudflare",
    "/nowhere",
];

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A body with `text` in every member that the exporter does not use.
fn with_unused(text: &str) -> String {
    let body = serde_json::json!({
        "name": text, "text": text, "policy_name": text, "account_id": text, text: text,
        "data": {
            "notification_name": text, "input_id": INPUT, "event_type": "live_input.errored",
            "updated_at": "2026-11-20T18:00:00Z", text: [text],
            "live_input_errored": {
                "error": {"code": "ERR_UNHEALTHY", "message": "used", text: text},
                "video_codec": "used", "audio_codec": "used", text: text,
            },
        },
    });
    body.to_string()
}

/// The level trace applies only to the daemon's own log lines. Libraries are capped at warnings, because the HTTP library
/// logs invalid values of headers. This test covers the cap too.
#[test]
fn private_texts_appear_in_no_log_page_or_file() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--log.level=trace"]);
    // In accepted bodies, in rejected ones, and as a secret.
    let (accepted, private, guess) = ("discreet-77e2", "confidential-8d1f", "guessed-secret-51c0");
    let test = fixture("save-and-test-properly").replace("webhook", accepted);
    assert!(test.contains(accepted));
    for (body, outcome) in [(with_unused(accepted), "recorded"), (test, "test")] {
        assert_eq!(daemon.post(&body).body, format!("{{\"outcome\":\"{outcome}\"}}"));
    }
    for body in [
        format!("{{\"data\": {{\"input_id\": \"{private}\", \"event_type\": \"live_input.connected\"}}}}"),
        format!("{{\"data\": {{\"event_type\": \"{private}\"}}}}"),
        format!("{{\"alert_type\": \"{private}\", \"data\": \"{private}\"}}"),
        format!("{{\"{private}\": nothing"),
        private.to_owned(),
    ] {
        let answer = daemon.post(&body);
        assert!(!answer.body.contains(private), "{answer:?}");
    }
    for head in [
        format!("POST /webhook?{private} | cf-webhook-auth: {guess} | x-{private}: {private} | content-length: 0"),
        format!("GET /{private}?{private} | user-agent: {private}"),
        format!("{private} /webhook | cf-webhook-auth: {guess}"),
        format!("POST /webhook | content-length: {private}"),
        format!("POST /webhook | transfer-encoding: {private}"),
    ] {
        let answer = exchange(daemon.public_address(), &head, b"").to_string();
        assert!(!answer.contains(private) && !answer.contains(guess), "{answer}");
    }
    let secret = daemon.secret().to_owned();
    let everything = [accepted, private, guess, &secret];
    for page in PAGES {
        let body = daemon.get(page).body;
        assert!(!everything.iter().any(|text| body.contains(text)), "{page}:\n{body}");
    }
    // Until the exit, including lines of the shutdown and lines that are not log lines.
    daemon.signal("TERM");
    let (ended, written) = daemon.wait_and_read();
    assert!(ended.success());
    assert!(written.contains(INPUT) && written.contains("ERR_UNHEALTHY") && written.contains("DEBUG"), "{written}");
    for text in everything {
        assert!(!written.contains(text), "{text} in\n{written}");
    }
    let files: Vec<_> = fs::read_dir(folder.path().join("data")).unwrap().map(|file| file.unwrap().path()).collect();
    let others = files.iter().filter(|file| !file.ends_with("webhook-secret"));
    let mut kept = false;
    for (file, content) in others.map(|file| (file, fs::read(file).unwrap())) {
        for text in [accepted, guess, &secret] {
            assert!(!has(&content, text), "{text} in {}", file.display());
        }
        kept |= has(&content, private);
    }
    // The journal keeps bodies that were not recognized. This also shows that the search works.
    assert!(kept, "no file has the unrecognized bodies: {files:?}");
}

/// An errored event with this code.
fn errored(code: &str) -> String {
    serde_json::json!({
        "data": {
            "input_id": INPUT, "event_type": "live_input.errored", "updated_at": "2026-11-20T18:00:00Z",
            "live_input_errored": {"error": {"code": code, "message": ""}},
        },
    })
    .to_string()
}

#[test]
fn notifications_cannot_forge_log_lines() {
    let forged = "X\u{1b}[2K\r\ntime=now level=ERROR msg=\"forged\"\u{2028}{\"level\":\"ERROR\"}\u{9b}31m\u{202e}\u{200b}\u{feff}\u{7f}";
    for format in ["logfmt", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
        command.current_dir(folder.path()).stderr(fs::File::create(&log).unwrap());
        command.args(["--webhook.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"]);
        command.args([&format!("--log.format={format}"), "--log.level=trace"]);
        let mut child = command.spawn().unwrap();
        let written = || fs::read_to_string(&log).unwrap();
        eventually("it is ready", || {
            written().lines().any(|line| line.ends_with("msg=ready") || line.contains("\"ready\""))
        });
        let address = address(&written());
        let secret = fs::read_to_string(folder.path().join("data/webhook-secret")).unwrap();
        let body = errored(forged);
        let mut connection = Connection::open(&address).unwrap();
        connection.send(&webhook_request(secret.trim(), &body)).unwrap();
        assert_eq!(connection.read_answer().unwrap().text(), r#"{"outcome":"recorded"}"#);
        eventually("the error is logged", || written().contains("input errored"));
        child.kill().unwrap();
        child.wait().unwrap();
        let text = written();
        let forbidden = |character: char| character != '\n' && is_control_or_format(character);
        assert!(!text.contains(forbidden), "{text:?}");
        for line in text.lines() {
            let ours = match format {
                "json" => serde_json::from_str::<Value>(line).is_ok(),
                _ => line.starts_with("time=") && !line.contains(" msg=\"forged\""),
            };
            assert!(ours, "{line:?}");
        }
    }
}

/// The address of the public listener, in both log formats.
fn address(log: &str) -> String {
    let (_, url) = log.split_once("http://").expect("a line with the URL");
    url.split('/').next().unwrap_or_default().to_owned()
}
