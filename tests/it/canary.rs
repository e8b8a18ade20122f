//! What must not be found anywhere: secrets and bodies in logs, pages and files, and lines that strangers wrote.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::connection::exchange;
use crate::daemon::{Daemon, eventually, fixture};

const INPUT: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const PAGES: [&str; 7] =
    ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/inputs", "/api/v1/events?limit=1000", "/nowhere"];

/// Whether these bytes have this text in them.
fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A body of which only what is told is used, with this text everywhere else.
fn with_unused(text: &str) -> String {
    let body = serde_json::json!({
        "name": text, "text": text, "policy_name": text, "account_id": text, text: text,
        "data": {
            "notification_name": text, "input_id": INPUT, "event_type": "live_input.errored",
            "updated_at": "2026-11-20T18:00:00Z", text: [text],
            "live_input_errored": {
                "error": {"code": "ERR_UNHEALTHY", "message": "told", text: text},
                "video_codec": "told", "audio_codec": "told", text: text,
            },
        },
    });
    body.to_string()
}

/// At the level trace, which holds for the daemon's own lines alone: what it is built on is capped at warnings, on
/// purpose, because the HTTP library quotes what strangers write in the place of a length. The cap is what is tested here
/// as much as the daemon's own discretion.
#[test]
fn private_texts_appear_in_no_log_page_or_file() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--log.level=trace"]);
    // In what is understood, in what is not, and in the place of a secret.
    let (understood, private, guess) = ("discreet-77e2", "confidential-8d1f", "guessed-secret-51c0");
    let test = fixture("save-and-test-properly").replace("webhook", understood);
    assert!(test.contains(understood));
    for (body, outcome) in [(with_unused(understood), "recorded"), (test, "test")] {
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
    let everything = [understood, private, guess, &secret];
    for page in PAGES {
        let body = daemon.get(page).body;
        assert!(!everything.iter().any(|unmentionable| body.contains(unmentionable)), "{page}:\n{body}");
    }
    // To its end: what it says while it stops is part of it, and so is what is no line of the log.
    daemon.signal("TERM");
    let (ended, written) = daemon.wait_and_read();
    assert!(ended.success());
    assert!(written.contains(INPUT) && written.contains("ERR_UNHEALTHY") && written.contains("DEBUG"), "{written}");
    for unmentionable in everything {
        assert!(!written.contains(unmentionable), "{unmentionable} in\n{written}");
    }
    let files: Vec<_> = fs::read_dir(folder.path().join("data")).unwrap().map(|file| file.unwrap().path()).collect();
    let others = files.iter().filter(|file| !file.ends_with("webhook-secret"));
    let mut kept = false;
    for (file, content) in others.map(|file| (file, fs::read(file).unwrap())) {
        for unmentionable in [understood, guess, &secret] {
            assert!(!has(&content, unmentionable), "{unmentionable} in {}", file.display());
        }
        kept |= has(&content, private);
    }
    // Bodies that were not understood are kept in the journal, for the one who looks into them. So the search finds.
    assert!(kept, "the journal is there: {files:?}");
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
    let forged = "X\u{1b}[2K\r\nlevel=error message=\"forged\"\u{2028}{\"level\":\"ERROR\"}\u{9b}31m";
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
            written().lines().any(|line| line.ends_with("message=ready") || line.contains("\"ready\""))
        });
        let address = address(&written());
        let secret = fs::read_to_string(folder.path().join("data/webhook-secret")).unwrap();
        let body = errored(forged);
        let head = format!("POST /webhook | cf-webhook-auth: {} | content-length: {}", secret.trim(), body.len());
        assert_eq!(exchange(&address, &head, body.as_bytes()).text(), r#"{"outcome":"recorded"}"#);
        eventually("the error is told", || written().contains("input errored"));
        child.kill().unwrap();
        child.wait().unwrap();
        let text = written();
        // JSON is for machines, and escapes what JSON must; logfmt is for a terminal, which obeys more.
        let control = |character: char| character != '\n' && character.is_control();
        let obeyed = |character: char| control(character) && (format == "logfmt" || character.is_ascii());
        assert!(!text.contains(obeyed), "{text:?}");
        for line in text.lines() {
            let ours = match format {
                "json" => serde_json::from_str::<Value>(line).is_ok(),
                _ => line.starts_with("ts=") && !line.contains(" message=\"forged\""),
            };
            assert!(ours, "{line:?}");
        }
    }
}

/// The public listener's address, in whichever format.
fn address(log: &str) -> String {
    let (_, url) = log.split_once("http://").expect("it says where it listens");
    url.split('/').next().unwrap_or_default().to_owned()
}
