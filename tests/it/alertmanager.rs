//! A real Alertmanager with the shipped configuration: receivers, messages, inhibition.
//!
//! The sentences of messages are not compared, only what is inserted into them: names, times, links, numbers,
//! summaries.

mod messages;
mod process;
mod sink;
mod smtp;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use std::{fs, slice, thread};

use serde_json::{Value, json};
use stream_live_exporter::clock::now;

use crate::tools::tool;
use process::{Alertmanager, can_run, shipped};
use sink::ENDED;

/// Inhibition within one job: source, targets, and whether only targets about the same input are inhibited.
const INHIBITED: [(&str, &[&str], bool); 10] = [
    ("StreamLiveExporterDown", FROM_EXPORTER_DATA, false),
    ("StreamLiveExporterAbsent", FROM_EXPORTER_DATA, false),
    ("StreamLiveAccountBlocked", &["StreamLiveInputEncoderMisconfigured", "StreamLiveInputUnknownError"], false),
    ("StreamLiveManyInputsOffAir", &["StreamLiveInputOffAirWhileExpected"], false),
    (
        "StreamLiveInputOffAirWhileExpected",
        &[
            "StreamLiveInputFlapping",
            "StreamLiveInputOnAirBudgetBurningFast",
            "StreamLiveInputOnAirBudgetBurningSlowly",
        ],
        true,
    ),
    ("StreamLiveInputOnAirBudgetBurningFast", &["StreamLiveInputOnAirBudgetBurningSlowly"], true),
    (
        "StreamLiveExporterJournalWriteHanging",
        &["StreamLiveExporterJournalFailing", "StreamLiveExporterOverloaded"],
        false,
    ),
    ("StreamLiveExporterSpoolFull", &["StreamLiveExporterSpoolFilling"], false),
    ("StreamLiveReplicasNotReady", &["StreamLiveExporterSpoolFull", "StreamLiveExporterJournalLagging"], false),
    ("StreamLiveNotificationsRejected", &["StreamLiveNotificationsOnlyRejected"], false),
];

/// Alerts that are stale while no exporter is scraped.
const FROM_EXPORTER_DATA: &[&str] = &[
    "StreamLiveInputOffAirWhileExpected",
    "StreamLiveInputStateUnknownWhileExpected",
    "StreamLiveInputEncoderMisconfigured",
    "StreamLiveInputUnknownError",
    "StreamLiveInputFlapping",
    "StreamLiveInputConnectedTooLong",
    "StreamLiveInputOnAirBudgetBurningFast",
    "StreamLiveInputOnAirBudgetBurningSlowly",
    "StreamLiveManyInputsOffAir",
    "StreamLiveAccountBlocked",
    "StreamLiveKeyframeInterval",
    "StreamLiveUploadTooSlow",
    "StreamLiveNotificationsInconsistent",
    "StreamLiveNotificationsLost",
    "StreamLiveNotificationsDelayed",
    "StreamLiveNotificationsRejected",
    "StreamLiveNotificationsOnlyRejected",
    "StreamLiveNotificationsUnreadable",
    "StreamLiveNotificationsIgnored",
    "StreamLiveNotificationsOnlyIgnored",
    "StreamLiveNotificationsSilentWhileExpected",
    "StreamLiveClockSkew",
    "StreamLiveSecretUnused",
];

/// The labels of each alert in routes.tsv, by alert name.
fn labels() -> BTreeMap<String, BTreeMap<String, String>> {
    let table = fs::read_to_string(shipped().join("routes.tsv")).expect("the table is shipped");
    let rows = table.lines().filter(|row| row.starts_with("alertname=StreamLive") && !row.contains("LocalRule"));
    let labels = rows.map(|row| row.split('\t').next().unwrap_or_default()).map(|labels| {
        let pairs = labels.split(' ').filter_map(|label| label.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
    });
    labels.map(|labels| (labels["alertname"].clone(), labels)).collect()
}

/// An alert that fires from now on, with its labels from routes.tsv and the given changes.
fn firing(name: &str, changed: &[(&str, &str)], summary: &str) -> Value {
    let mut labels = labels().remove(name).expect("the table has the alert");
    for (label, value) in changed {
        assert!(labels.insert((*label).to_owned(), (*value).to_owned()).is_some(), "{name} has the label {label}");
    }
    json!({
        "labels": labels,
        "annotations": {"summary": summary},
        "startsAt": now().to_string(),
        "endsAt": now().plus(Duration::from_secs(240)).to_string(),
    })
}

fn off_air(name: &str) -> Value {
    let changed = [("input_id", name), ("name", name)];
    firing("StreamLiveInputOffAirWhileExpected", &changed, &format!("summary of {name}"))
}

/// The same alert, ended now.
fn ended(alert: &Value) -> Value {
    let mut alert = alert.clone();
    alert["endsAt"] = json!(now().to_string());
    alert
}

/// The time under this key of an alert, as messages write it.
fn minute(alert: &Value, key: &str) -> String {
    let instant = alert[key].as_str().expect("the alert has the instant");
    format!("{} UTC", instant[..16].replace('T', " "))
}

/// Asserts that the text contains the parts in this order.
fn assert_contains(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let (_, after) = rest.split_once(part).unwrap_or_else(|| panic!("no {part:?} in {rest:?} of {text:?}"));
        rest = after;
    }
}

#[test]
fn shipped_configuration_routes_inhibits_and_writes_messages() {
    let Some(program) = tool("ALERTMANAGER", Path::new("alertmanager")).filter(|program| can_run(program)) else {
        return;
    };
    // The scenarios mostly wait, so they run in parallel, each with its own Alertmanager.
    let scenarios: [fn(&Alertmanager); 8] = [
        messages_contain_the_alert_and_escape_it,
        inputs_that_drop_together_share_one_page,
        exporter_down_inhibits_alerts_about_inputs,
        many_inputs_off_air_inhibits_the_single_pages,
        off_air_inhibits_flapping_of_the_same_input,
        blocked_account_inhibits_errors_of_its_own_inputs,
        every_pair_of_alerts_inhibits_as_expected,
        watchdog_is_sent_each_minute_and_its_end_is_not,
    ];
    thread::scope(|scope| {
        for scenario in scenarios {
            let program = &program;
            scope.spawn(move || scenario(&Alertmanager::start(program)));
        }
    });
}

fn messages_contain_the_alert_and_escape_it(alertmanager: &Alertmanager) {
    let changed = [("input_id", "8f1e"), ("name", "R&D <main>")];
    let mut alert = firing("StreamLiveInputOffAirWhileExpected", &changed, "summary of R&D <main>");
    alert["annotations"]["description"] = json!("description of R&D <main>");
    alert["annotations"]["runbook_url"] = json!("https://example.org/runbooks#off-air");
    alert["annotations"]["dashboard_url"] = json!("https://grafana.example.org/d/input?a=1&b=2");
    let dashboard = "<https://grafana.example.org/d/input?a=1&amp;b=2|";

    alertmanager.post(slice::from_ref(&alert));
    for receiver in ["pager", "chat"] {
        let [title, text, fallback, color] = alertmanager.message(receiver, 1).texts().map(str::to_owned);
        assert_eq!(title, "CRITICAL: summary of R&amp;D &lt;main&gt;", "{receiver}");
        assert_contains(
            &text,
            &[
                "description of R&amp;D &lt;main&gt;\n",
                "CRITICAL",
                &minute(&alert, "startsAt"),
                dashboard,
                "<https://example.org/runbooks#off-air|",
            ],
        );
        assert!(!text.contains("summary of"), "{receiver}: the title already has the summary: {text}");
        assert_eq!((&*fallback, &*color), (&*title, "danger"), "{receiver}");
    }

    let alert = ended(&alert);
    alertmanager.post(slice::from_ref(&alert));
    for receiver in ["pager", "chat"] {
        let [title, text, fallback, color] = alertmanager.message(receiver, 2).texts().map(str::to_owned);
        let subject = "StreamLiveInputOffAirWhileExpected (R&amp;D &lt;main&gt;)";
        assert!(title.ends_with(subject) && !title.contains("CRITICAL"), "{receiver}: {title}");
        assert_contains(
            &text,
            &[
                &minute(&alert, "endsAt"),
                subject,
                "summary of R&amp;D &lt;main&gt;",
                dashboard,
                // The note on what an end proves: not that the input is live.
                "\n\n",
                "live",
            ],
        );
        assert_eq!((&*fallback, &*color), (&*title, ENDED), "{receiver}");
    }
}

fn inputs_that_drop_together_share_one_page(alertmanager: &Alertmanager) {
    let names: Vec<_> = (1..=50).map(|number| format!("Hall {number:02}")).collect();
    let alerts: Vec<_> = names.iter().map(|name| off_air(name)).collect();
    let journal = firing("StreamLiveExporterJournalFailing", &[], "summary of the journal");
    alertmanager.post(&[alerts.as_slice(), slice::from_ref(&journal)].concat());
    let page = alertmanager.message_with("pager", "CRITICAL: StreamLiveInputOffAirWhileExpected (50 ");
    let [_, text, ..] = page.texts();
    let listed = names.iter().filter(|name| text.contains(&format!("*summary of {name}*")));
    assert_eq!(listed.count(), 15, "{page:?}");
    assert_contains(text.rsplit('\n').next().unwrap_or_default(), &["50", "0"]);

    alertmanager.message_with("pager", "CRITICAL: summary of the journal");
    let journal = ended(&journal);
    alertmanager.post(&[ended(&alerts[0]), journal.clone()]);
    let page = alertmanager.end_of("pager", "StreamLiveExporterJournalFailing (127.0.0.1:10419)");
    let [_, text, ..] = page.texts();
    let subject = "StreamLiveExporterJournalFailing (127.0.0.1:10419)\n";
    assert_contains(text, &[&minute(&journal, "endsAt"), subject, "summary of the journal", "\n\n"]);
    assert!(!text.contains("live"), "only messages about the end of an input's alert have the note: {text}");
    // The same page lists the alert that ended and those that still fire.
    let page = alertmanager.message_with("pager", "CRITICAL: StreamLiveInputOffAirWhileExpected (49 ");
    let [_, text, _, color] = page.texts();
    assert_contains(text, &["StreamLiveInputOffAirWhileExpected (Hall 01)\n", "summary of Hall 01"]);
    assert_eq!(color, "danger");
}

fn exporter_down_inhibits_alerts_about_inputs(alertmanager: &Alertmanager) {
    let chapel = off_air("Chapel");
    // Pages about the journal serve as the clock: their group has the same interval as the input's.
    let tick = |instance: &str| {
        let summary = format!("summary of {instance}");
        firing("StreamLiveExporterJournalFailing", &[("instance", instance)], &summary)
    };
    alertmanager.post(&[chapel.clone(), tick("the first")]);
    alertmanager.message_with("chat", "CRITICAL: summary of Chapel");
    alertmanager.message_with("pager", "CRITICAL: summary of Chapel");
    alertmanager.message_with("pager", "CRITICAL: summary of the first");

    alertmanager.post(&[firing("StreamLiveExporterDown", &[], "summary of down")]);
    alertmanager.message_with("pager", "CRITICAL: summary of down");
    let inhibited = ("stream-live-exporter".to_owned(), "StreamLiveInputOffAirWhileExpected".to_owned());
    alertmanager.wait_for_inhibited(&BTreeSet::from([inhibited]));

    // Between two ticks of the journal's group the pager's group of the input has one, which could send the end. The
    // chat's interval is twice as long, so the test waits for three ticks.
    alertmanager.post(&[ended(&chapel)]);
    for instance in ["the second", "the third", "the fourth"] {
        alertmanager.post(&[tick(instance)]);
        alertmanager.message_with("pager", &format!("*summary of {instance}*"));
    }
    let about_chapel = alertmanager.sink.arrivals().into_iter().filter(|message| message.has("Chapel"));
    let colors: Vec<_> = about_chapel.map(|message| message.texts()[3].to_owned()).collect();
    assert_eq!(colors, ["danger", "danger"], "only the first message to each receiver is about the input");
}

fn many_inputs_off_air_inhibits_the_single_pages(alertmanager: &Alertmanager) {
    let many = firing("StreamLiveManyInputsOffAir", &[], "summary of many");
    // Prometheus sends the alerts of each rule separately, so that this one comes last; group_wait bridges that.
    alertmanager.post(&[off_air("Chapel"), off_air("Hall"), off_air("Yard")]);
    alertmanager.post(slice::from_ref(&many));
    for receiver in ["pager", "chat"] {
        alertmanager.message_with(receiver, "CRITICAL: summary of many");
    }
    let before = alertmanager.sink.arrivals();

    // The inputs that are still off air page once the inhibiting alert has ended.
    alertmanager.post(&[ended(&many)]);
    alertmanager.message_with("pager", "CRITICAL: StreamLiveInputOffAirWhileExpected (3 ");
    alertmanager.end_of("pager", "StreamLiveManyInputsOffAir");
    assert_eq!(before.len(), 2, "{before:?}");
}

fn off_air_inhibits_flapping_of_the_same_input(alertmanager: &Alertmanager) {
    let flapping = |name: &str| {
        let changed = [("input_id", name), ("name", name)];
        firing("StreamLiveInputFlapping", &changed, &format!("flapping of {name}"))
    };
    alertmanager.post(&[off_air("Chapel"), flapping("Chapel"), flapping("Hall")]);
    let message = alertmanager.message_with("chat", "WARNING:");
    assert_eq!(message.texts()[0], "WARNING: flapping of Hall");
    assert!(!message.has("Chapel"), "{message:?}");
    assert_eq!(message.texts()[3], "warning");
    let pages = alertmanager.sink.arrivals().into_iter().filter(|message| message.to == "pager");
    let titles: Vec<_> = pages.map(|page| page.texts()[0].to_owned()).collect();
    assert_eq!(titles, ["CRITICAL: summary of Chapel"]);
}

/// Without a known account both alerts lack the label. Each case has its own job.
fn blocked_account_inhibits_errors_of_its_own_inputs(alertmanager: &Alertmanager) {
    let with_account = |name: &str, job: &str, account: Option<&str>| {
        let mut alert = firing(name, &[("job", job)], "summary");
        let labels = alert["labels"].as_object_mut().expect("labels are an object");
        match account {
            Some(account) => labels.insert("account".to_owned(), json!(account)),
            None => labels.remove("account"),
        };
        alert
    };
    let (mut alerts, mut expected) = (Vec::new(), BTreeSet::new());
    let accounts = [None, Some("main"), Some("second")];
    for (blocked, of_input) in accounts.iter().flat_map(|one| accounts.map(|other| (*one, other))) {
        let job = format!("{blocked:?} and {of_input:?}");
        alerts.push(with_account("StreamLiveAccountBlocked", &job, blocked));
        alerts.push(with_account("StreamLiveInputUnknownError", &job, of_input));
        if blocked == of_input {
            expected.insert((job, "StreamLiveInputUnknownError".to_owned()));
        }
    }
    alertmanager.post(&alerts);
    alertmanager.wait_for_inhibited(&expected);
}

/// Whether the first alert inhibits the second.
fn inhibits(source: &str, target: &str, same_input: bool) -> bool {
    let mut rules = INHIBITED.iter().filter(|(name, ..)| *name == source);
    rules.any(|(_, targets, only_same_input)| targets.contains(&target) && (same_input || !only_same_input))
}

/// Each pair of alerts fires in its own job, once about the same input and once about different inputs. The pair of an
/// alert with itself is one alert, which must not inhibit itself.
fn every_pair_of_alerts_inhibits_as_expected(alertmanager: &Alertmanager) {
    let labels = labels();
    assert_eq!(labels.len(), 51, "number of alerts in the rules");
    let (mut alerts, mut expected) = (Vec::new(), BTreeSet::new());
    for (one, same_input) in labels.keys().flat_map(|one| [(one, true), (one, false)]) {
        for other in labels.keys().filter(|other| *other >= one) {
            let job = format!("{one} and {other}, same input: {same_input}");
            for (name, partner, input) in [(one, other, "one"), (other, one, if same_input { "one" } else { "other" })]
            {
                let changes = [("job", job.as_str()), ("input_id", input), ("name", input)];
                let changes: Vec<_> = changes.into_iter().filter(|(key, _)| labels[name].contains_key(*key)).collect();
                alerts.push(firing(name, &changes, "summary"));
                if inhibits(partner, name, same_input) {
                    expected.insert((job.clone(), name.clone()));
                }
            }
        }
    }
    assert!(expected.len() > 70, "{expected:?}");
    alertmanager.post(&alerts);
    alertmanager.wait_for_inhibited(&expected);
}

fn watchdog_is_sent_each_minute_and_its_end_is_not(alertmanager: &Alertmanager) {
    let watchdog = firing("StreamLiveWatchdog", &[], "summary of the watchdog");
    let mut other = watchdog.clone();
    other["labels"]["job"] = json!("a second group");
    for (number, watchdog) in [(1, &other), (2, &watchdog)] {
        alertmanager.post(slice::from_ref(watchdog));
        alertmanager.message("deadman", number);
    }
    alertmanager.post(&[ended(&other)]);

    // The group of the ended alert flushes first, so that a message about its end would arrive before the next one.
    let (first, second) = (alertmanager.message("deadman", 2), alertmanager.message("deadman", 3));
    for message in [&first, &second] {
        assert_eq!(message.body["status"], "firing");
        assert_eq!(message.body["groupLabels"], json!({"alertname": "StreamLiveWatchdog"}));
    }
    let between = second.at.since(first.at).expect("the second came later");
    // It is sent at every second group_interval; at the third it would be too late.
    assert!(between < Duration::from_secs(3 * 25), "{between:?}");
    assert_eq!(alertmanager.sink.arrivals().len(), 3, "no other receiver gets it, and no message is about an end");
}
