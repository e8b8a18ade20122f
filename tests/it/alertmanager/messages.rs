//! Messages to every service, about alerts whose inputs have hostile names: what they contain, and the limits of the
//! services.

use std::path::Path;

use mail_parser::MessageParser;
use serde_json::{Value, json};

use super::process::{Alertmanager, can_run};
use super::sink::{Arrival, ENDED};
use super::smtp::MailServer;
use super::{ended, firing};
use crate::tools::tool;

/// Names with markup, line breaks and bidirectional text. Another one is long.
const NAMES: [&str; 5] = [
    "R&D <main> | \"A\"",
    "one\r\nBcc: someone@example.org\u{2028}two\u{0}three",
    "\u{202e}desrever\u{202c} \u{2066}isolated\u{2069}\u{200f}",
    "<script>alert(1)</script><!channel>",
    "{{ .Labels }} *bold* `code`",
];

/// Limits in characters: of the services, and for titles of what a phone shows.
const SLACK_TEXT: usize = 8000;
const SUMMARY: usize = 1024;
/// Larger mails are cut by some mail programs.
const MAIL: usize = 100_000;

/// Alerts about `count` inputs, in a job of their own.
fn alerts(job: &str, count: usize) -> Vec<Value> {
    let alert = |number: usize| {
        let name = NAMES.get(number % (NAMES.len() + 1)).map_or_else(|| "long ".repeat(600), ToString::to_string);
        let input_id = format!("{number:032x}");
        let changed = [("job", job), ("name", &name), ("input_id", &input_id)];
        let mut alert = firing("StreamLiveInputOffAirWhileExpected", &changed, &format!("{name} is off air"));
        let annotations = json!({
            "description": format!("{name} has been disconnected. {}", "x".repeat(1000)),
            "since": "2026-11-29 18:00:12 UTC",
            "last_error": "ERR_GOP_OUT_OF_RANGE (2026-11-29 17:58:03 UTC): meaning of <it>",
            "remedy": "remedy of <it>",
            "dashboard_url": format!("http://grafana.example.org/d/stream-live-input?var-input={input_id}&job={job}"),
            "status_url": format!("http://status.example.org/inputs/{input_id}"),
            "runbook_url": "http://runbooks.example.org/#streamliveinputoffairwhileexpected",
        });
        for (name, value) in annotations.as_object().expect("annotations are an object") {
            alert["annotations"][name] = value.clone();
        }
        alert
    };
    (0..count).map(alert).collect()
}

/// Whether a mark of direction, a line break or another invisible character is in the text.
fn hides_something(text: &str) -> bool {
    text.contains(|c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

fn assert_one_line(text: &str, limit: usize) {
    assert!(!text.contains('\n') && !hides_something(text) && !text.is_empty(), "{text:?}");
    assert!(text.chars().count() <= limit, "{} characters: {text}", text.chars().count());
}

fn assert_has(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "no {part:?} in {text}"));
}

#[test]
fn messages_to_every_service_have_the_facts_and_keep_the_limits_with_hostile_names() {
    let Some(program) = tool("ALERTMANAGER", Path::new("alertmanager")).filter(|program| can_run(program)) else {
        return;
    };
    let mails = MailServer::start();
    let alertmanager = Alertmanager::start_with_all(&program, &mails.address);
    let groups = [("job-one", 1), ("job-three", 3), ("job-fifty", 50)].map(|(job, count)| (job, alerts(job, count)));
    groups.iter().for_each(|(_, alerts)| alertmanager.post(alerts));
    for (job, alerts) in &groups {
        check_slack(&of_job(&alertmanager, "pager", job, "firing"), alerts.len());
        check_pagerduty(&of_job(&alertmanager, "pagerduty", job, "firing"), alerts.len());
        check_webhook(&of_job(&alertmanager, "webhook", job, "firing"), alerts);
    }
    let mail = |job: &str, status: &str| mails.wait_for(&[format!("X-Job: {job}"), format!("X-Status: {status}")]);
    for (job, alerts) in &groups {
        check_mail(&mail(job, "firing"), alerts.len() == 1);
    }

    groups.iter().for_each(|(_, alerts)| alertmanager.post(&alerts.iter().map(ended).collect::<Vec<_>>()));
    for (job, _) in &groups {
        let [title, text, ..] = of_job(&alertmanager, "pager", job, "resolved").texts().map(str::to_owned);
        assert_one_line(&title, SUMMARY);
        assert!(text.chars().count() <= SLACK_TEXT && !hides_something(&text), "{text}");
        assert_eq!(of_job(&alertmanager, "pagerduty", job, "resolve").body["event_action"], "resolve");
        check_parts(&mail(job, "resolved"));
    }
}

/// The message to a receiver about the group of this job, in this state. The links to dashboards have the job.
fn of_job(alertmanager: &Alertmanager, to: &str, job: &str, state: &str) -> Arrival {
    let state = if to == "pagerduty" && state == "firing" { "trigger" } else { state };
    let is_it = |message: &Arrival| {
        let found = match to {
            "pager" if message.texts()[3] == ENDED => "resolved",
            "pager" => "firing",
            "pagerduty" => message.body["event_action"].as_str().unwrap_or_default(),
            _ => message.body["status"].as_str().unwrap_or_default(),
        };
        message.body.to_string().contains(job) && found == state
    };
    let what = format!("{job}, {state}");
    alertmanager.sink.wait_for(to, &what, |messages| messages.into_iter().find(is_it))
}

fn check_slack(message: &Arrival, count: usize) {
    let [title, text, fallback, _] = message.texts();
    assert_one_line(title, SUMMARY);
    assert_eq!(title, fallback);
    assert!(text.chars().count() <= SLACK_TEXT, "{count} alerts: {} characters", text.chars().count());
    assert!(!hides_something(text), "{text:?}");
    assert_has(
        text,
        &[
            "since 2026-11-29 18:00:12 UTC",
            "R&amp;D &lt;main&gt; | \"A\" (00000000000000000000000000000000)",
            "ERR_GOP_OUT_OF_RANGE (2026-11-29 17:58:03 UTC): meaning of &lt;it&gt;",
            "remedy of &lt;it&gt;",
            "<http://grafana.example.org/d/stream-live-input?var-input=00000000000000000000000000000000&amp;job=",
            "<http://status.example.org/inputs/00000000000000000000000000000000|",
            "<http://runbooks.example.org/#streamliveinputoffairwhileexpected|",
        ],
    );
    assert_eq!(text.matches('<').count(), text.matches("<http://").count(), "markup of a name: {text}");
}

fn check_pagerduty(message: &Arrival, count: usize) {
    let payload = &message.body["payload"];
    let summary = payload["summary"].as_str().expect("the event has a summary");
    assert_one_line(summary, SUMMARY);
    if count == 1 {
        assert_has(summary, &["R&D <main> | \"A\""]);
    }
    let text = payload["custom_details"]["text"].as_str().expect("the event has the text");
    assert!(!hides_something(text), "{text:?}");
    assert_has(text, &["since 2026-11-29 18:00:12 UTC", "ERR_GOP_OUT_OF_RANGE", "remedy of <it>"]);
    let links = message.body["links"].as_array().expect("the event has links");
    let hrefs: Vec<_> = links.iter().map(|link| link["href"].as_str().expect("a link has an address")).collect();
    let hosts = ["http://grafana.example.org/", "http://status.example.org/", "http://runbooks.example.org/"];
    assert!(hrefs.len() == 3 && hrefs.iter().zip(hosts).all(|(href, host)| href.starts_with(host)), "{hrefs:?}");
}

/// A generic webhook gets all labels and annotations as they are.
fn check_webhook(message: &Arrival, alerts: &[Value]) {
    let received = message.body["alerts"].as_array().expect("the message has alerts");
    assert_eq!(received.len(), alerts.len());
    for alert in received {
        let sent = alerts.iter().find(|sent| sent["labels"] == alert["labels"]);
        assert_eq!(alert["annotations"], sent.expect("it was sent")["annotations"]);
    }
}

fn check_mail(mail: &[u8], single: bool) {
    let [html, text] = check_parts(mail);
    for (part, open) in [(&html, "&lt;"), (&text, "<")] {
        let name = if part == &html { "R&amp;D &lt;main&gt; | &#34;A&#34; (0000" } else { "R&D <main> | \"A\" (0000" };
        let remedy = format!("remedy of {open}it");
        assert_has(part, &["since 2026-11-29 18:00:12 UTC", name, "ERR_GOP_OUT_OF_RANGE (2026", &remedy]);
    }
    assert_has(
        &html,
        &[
            "<a href=\"http://grafana.example.org/d/stream-live-input?var-input=00000000000000000000000000000000&amp;job=",
            "<a href=\"http://status.example.org/inputs/00000000000000000000000000000000\"",
            "<a href=\"http://runbooks.example.org/#streamliveinputoffairwhileexpected\"",
        ],
    );
    assert_eq!(single, !text.contains("00000000000000000000000000000001"));
}

/// HTML and text of a mail whose headers no name has changed.
fn check_parts(mail: &[u8]) -> [String; 2] {
    let parsed = MessageParser::default().parse(mail).expect("it is a mail");
    assert_one_line(parsed.subject().expect("the mail has a subject"), SUMMARY);
    let names: Vec<_> = parsed.headers().iter().map(|header| header.name().to_lowercase()).collect();
    assert_eq!(names.iter().filter(|name| *name == "subject").count(), 1, "{names:?}");
    assert!(!names.contains(&"bcc".to_owned()), "{names:?}");
    let html = parsed.body_html(0).expect("the mail has HTML").into_owned();
    let text = parsed.body_text(0).expect("the mail has text").into_owned();
    assert!(html.len() <= MAIL && text.len() <= MAIL, "{} and {} bytes", html.len(), text.len());
    assert!(!html.contains("<script") && !hides_something(&html.replace('\r', "")), "{html}");
    assert!(!hides_something(&text.replace('\r', "")), "{text}");
    [html, text]
}
