//! A real Alertmanager with the shipped configuration: who is told what, in which words, and what is kept
//! silent because its cause is told already.

mod process;
mod sink;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use std::{fs, slice, thread};

use serde_json::{Value, json};
use stream_live_exporter::clock::now;

use crate::tools::tool;
use process::{Alertmanager, can_run, shipped};

/// Which alert silences which others, and whether only those of the same input; all of the same job.
const SILENCES: [(&str, &[&str], bool); 7] = [
    ("StreamLiveExporterDown", WHAT_AN_EXPORTER_SAYS, false),
    ("StreamLiveExporterAbsent", WHAT_AN_EXPORTER_SAYS, false),
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
    ("StreamLiveNotificationsRejected", &["StreamLiveNotificationsOnlyRejected"], false),
];

const WHAT_AN_EXPORTER_SAYS: &[&str] = &[
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
    "StreamLiveNotificationsInconsistent",
    "StreamLiveNotificationsDelayed",
    "StreamLiveNotificationsRejected",
    "StreamLiveNotificationsOnlyRejected",
    "StreamLiveNotificationsSilentWhileExpected",
    "StreamLiveClockSkew",
    "StreamLiveSecretUnused",
];

/// The labels of each alert of the rules, as the table of routes has them: by name.
fn labels() -> BTreeMap<String, BTreeMap<String, String>> {
    let table = fs::read_to_string(shipped().join("routes.tsv")).expect("the table is shipped");
    let rows = table.lines().filter(|row| row.starts_with("alertname=StreamLive") && !row.contains("LocalRule"));
    let labels = rows.map(|row| row.split('\t').next().unwrap_or_default()).map(|labels| {
        let pairs = labels.split(' ').filter_map(|label| label.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
    });
    labels.map(|labels| (labels["alertname"].clone(), labels)).collect()
}

/// An alert that fires from now on, with the labels that it has in the table but for these.
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
    firing("StreamLiveInputOffAirWhileExpected", &changed, &format!("{name} is off air and should be live."))
}

/// The same alert, ended now.
fn ended(alert: &Value) -> Value {
    let mut alert = alert.clone();
    alert["endsAt"] = json!(now().to_string());
    alert
}

/// How a message writes the instant under this key of an alert.
fn minute(alert: &Value, key: &str) -> String {
    let instant = alert[key].as_str().expect("the alert has the instant");
    format!("{} UTC", instant[..16].replace('T', " "))
}

#[test]
fn the_right_people_hear_the_right_words() {
    let Some(program) = tool("ALERTMANAGER", Path::new("alertmanager")).filter(|program| can_run(program)) else {
        return;
    };
    // Each waits most of the time, on an Alertmanager of its own: all at once take as long as the longest.
    let scenarios: [fn(&Alertmanager); 7] = [
        a_page_and_its_end_word_for_word,
        inputs_that_drop_together_are_one_page,
        a_dead_exporter_silences_what_it_said,
        many_inputs_off_air_silence_each_of_them,
        off_air_silences_flapping_of_the_same_input,
        every_pair_of_alerts_silences_as_it_should,
        the_dead_mans_switch_hears_of_the_watchdog_each_minute,
    ];
    thread::scope(|scope| {
        for scenario in scenarios {
            let program = &program;
            scope.spawn(move || scenario(&Alertmanager::start(program)));
        }
    });
}

fn a_page_and_its_end_word_for_word(alertmanager: &Alertmanager) {
    let changed = [("input_id", "8f1e"), ("name", "R&D <main>")];
    let summary = "R&D <main> is off air and should be live.";
    let mut alert = firing("StreamLiveInputOffAirWhileExpected", &changed, summary);
    alert["annotations"]["description"] = json!("Live input R&D <main> (8f1e) has been disconnected.");
    alert["annotations"]["runbook_url"] = json!("https://example.org/runbooks#off-air");
    alert["annotations"]["dashboard_url"] = json!("https://grafana.example.org/d/input?a=1&b=2");

    alertmanager.post(slice::from_ref(&alert));
    for receiver in ["pager", "chat"] {
        let message = alertmanager.message(receiver, 1);
        let title = "CRITICAL: R&amp;D &lt;main&gt; is off air and should be live.";
        let text = format!(
            "Live input R&amp;D &lt;main&gt; (8f1e) has been disconnected.\n\
             CRITICAL since {} · <https://example.org/runbooks#off-air|Runbook> \
             · <https://grafana.example.org/d/input?a=1&amp;b=2|Dashboard>",
            minute(&alert, "startsAt")
        );
        assert_eq!(message.words(), [title, &text, title, "danger"], "{receiver}");
    }

    let alert = ended(&alert);
    alertmanager.post(slice::from_ref(&alert));
    for receiver in ["pager", "chat"] {
        let message = alertmanager.message(receiver, 2);
        let title = "Ended: StreamLiveInputOffAirWhileExpected (R&amp;D &lt;main&gt;)";
        let text = format!(
            "Ended {}: StreamLiveInputOffAirWhileExpected (R&amp;D &lt;main&gt;)\n\
             It had said: R&amp;D &lt;main&gt; is off air and should be live.\n\
             <https://grafana.example.org/d/input?a=1&amp;b=2|Dashboard>\n\n\
             No longer reported does not mean live: look at the dashboard.",
            minute(&alert, "endsAt")
        );
        assert_eq!(message.words(), [title, &text, title, "#9e9e9e"], "{receiver}");
    }
}

fn inputs_that_drop_together_are_one_page(alertmanager: &Alertmanager) {
    let names: Vec<_> = (1..=50).map(|number| format!("Hall {number:02}")).collect();
    let alerts: Vec<_> = names.iter().map(|name| off_air(name)).collect();
    let journal = firing("StreamLiveExporterJournalFailing", &[], "The exporter cannot write its journal.");
    alertmanager.post(&[alerts.as_slice(), slice::from_ref(&journal)].concat());
    let page = alertmanager.message_with("pager", "CRITICAL: StreamLiveInputOffAirWhileExpected (50 alerts)");
    assert!(page.has("Not all are shown: 50 alerts, 0 ended."), "{page:?}");
    let told: Vec<_> =
        names.iter().filter(|name| page.has(&format!("*{name} is off air and should be live.*"))).collect();
    assert_eq!(told.len(), 20, "{page:?}");

    alertmanager.message_with("pager", "CRITICAL: The exporter cannot write its journal.");
    let journal = ended(&journal);
    alertmanager.post(&[ended(&alerts[0]), journal.clone()]);
    let page = alertmanager.message_with("pager", "Ended: StreamLiveExporterJournalFailing (127.0.0.1:10419)");
    let text = format!(
        "Ended {}: StreamLiveExporterJournalFailing (127.0.0.1:10419)\nIt had said: The exporter cannot write its \
         journal.\n\nNo longer reported does not mean mended: look at the dashboard.",
        minute(&journal, "endsAt")
    );
    assert_eq!(page.words()[1], text);
    // Of one that ended while others fire, the same page tells.
    let page = alertmanager.message_with("pager", "CRITICAL: StreamLiveInputOffAirWhileExpected (49 alerts)");
    assert!(page.has(": StreamLiveInputOffAirWhileExpected (Hall 01)\nIt had said: Hall 01 is off air"), "{page:?}");
    assert_eq!(page.words()[3], "danger");
}

fn a_dead_exporter_silences_what_it_said(alertmanager: &Alertmanager) {
    let chapel = off_air("Chapel");
    // The pages about the journal are the clock: in their group a tick takes as long as in the input's.
    let tick = |instance: &str| {
        let summary = format!("{instance} cannot write its journal.");
        firing("StreamLiveExporterJournalFailing", &[("instance", instance)], &summary)
    };
    alertmanager.post(&[chapel.clone(), tick("the first")]);
    alertmanager.message_with("chat", "CRITICAL: Chapel is off air and should be live.");
    alertmanager.message_with("pager", "CRITICAL: Chapel is off air and should be live.");
    alertmanager.message_with("pager", "CRITICAL: the first cannot write its journal.");

    alertmanager.post(&[firing("StreamLiveExporterDown", &[], "No stream-live-exporter answers.")]);
    alertmanager.message_with("pager", "CRITICAL: No stream-live-exporter answers.");
    let silent = ("stream-live-exporter", "StreamLiveInputOffAirWhileExpected");
    alertmanager.wait_for_inhibited(&BTreeSet::from([(silent.0.to_owned(), silent.1.to_owned())]));

    // Between two ticks of one group there is one of the other, which could tell of the end; and one of the chat's, which
    // come half as often, in three.
    alertmanager.post(&[ended(&chapel)]);
    for instance in ["the second", "the third", "the fourth"] {
        alertmanager.post(&[tick(instance)]);
        alertmanager.message_with("pager", &format!("*{instance} cannot write its journal.*"));
    }
    let told = alertmanager.sink.arrivals().into_iter().filter(|message| message.has("Chapel"));
    let told: Vec<_> = told.map(|message| message.words()[3].to_owned()).collect();
    assert_eq!(told, ["danger", "danger"], "only the first page and the first message speak of the input");
}

fn many_inputs_off_air_silence_each_of_them(alertmanager: &Alertmanager) {
    let many = firing("StreamLiveManyInputsOffAir", &[], "3 live inputs are off air at once and should be live.");
    // Prometheus sends what each rule gives by itself: the many come last, and yet in time.
    alertmanager.post(&[off_air("Chapel"), off_air("Hall"), off_air("Yard")]);
    alertmanager.post(slice::from_ref(&many));
    for receiver in ["pager", "chat"] {
        alertmanager.message_with(receiver, "CRITICAL: 3 live inputs are off air at once and should be live.");
    }
    let before = alertmanager.sink.arrivals();

    // Only when the one has ended, those that are still off air speak for themselves.
    alertmanager.post(&[ended(&many)]);
    alertmanager.message_with("pager", "CRITICAL: StreamLiveInputOffAirWhileExpected (3 alerts)");
    alertmanager.message_with("pager", "Ended: StreamLiveManyInputsOffAir");
    assert_eq!(before.len(), 2, "{before:?}");
}

fn off_air_silences_flapping_of_the_same_input(alertmanager: &Alertmanager) {
    let flapping = |name: &str| {
        let changed = [("input_id", name), ("name", name)];
        firing("StreamLiveInputFlapping", &changed, &format!("{name} reconnects again and again."))
    };
    alertmanager.post(&[off_air("Chapel"), flapping("Chapel"), flapping("Hall")]);
    let message = alertmanager.message_with("chat", "WARNING:");
    assert_eq!(message.words()[0], "WARNING: Hall reconnects again and again.");
    assert!(!message.has("Chapel"), "{message:?}");
    assert_eq!(message.words()[3], "warning");
    let pages = alertmanager.sink.arrivals().into_iter().filter(|message| message.to == "pager");
    assert_eq!(
        pages.map(|page| page.words()[0].to_owned()).collect::<Vec<_>>(),
        ["CRITICAL: Chapel is off air and should be live."]
    );
}

/// Whether the first alert silences the second.
fn silences(source: &str, target: &str, same_input: bool) -> bool {
    let mut rules = SILENCES.iter().filter(|(name, ..)| *name == source);
    rules.any(|(_, targets, only_same_input)| targets.contains(&target) && (same_input || !only_same_input))
}

/// Each pair fires in a job of its own, with the same input and with different ones. Of one alert there is
/// one instance: it must not silence itself.
fn every_pair_of_alerts_silences_as_it_should(alertmanager: &Alertmanager) {
    let labels = labels();
    assert_eq!(labels.len(), 27, "the rules have so many alerts");
    let (mut alerts, mut expected) = (Vec::new(), BTreeSet::new());
    for (one, same_input) in labels.keys().flat_map(|one| [(one, true), (one, false)]) {
        for other in labels.keys().filter(|other| *other >= one) {
            let job = format!("{one} and {other}, same input: {same_input}");
            for (name, partner, input) in [(one, other, "one"), (other, one, if same_input { "one" } else { "other" })]
            {
                let changes = [("job", job.as_str()), ("input_id", input), ("name", input)];
                let changes: Vec<_> = changes.into_iter().filter(|(key, _)| labels[name].contains_key(*key)).collect();
                alerts.push(firing(name, &changes, "A summary."));
                if silences(partner, name, same_input) {
                    expected.insert((job.clone(), name.clone()));
                }
            }
        }
    }
    assert!(expected.len() > 70, "{expected:?}");
    alertmanager.post(&alerts);
    alertmanager.wait_for_inhibited(&expected);
}

fn the_dead_mans_switch_hears_of_the_watchdog_each_minute(alertmanager: &Alertmanager) {
    let watchdog = firing("StreamLiveWatchdog", &[], "The way from Prometheus to you works.");
    let mut other = watchdog.clone();
    other["labels"]["job"] = json!("a group of its own");
    for (number, watchdog) in [(1, &other), (2, &watchdog)] {
        alertmanager.post(slice::from_ref(watchdog));
        alertmanager.message("deadman", number);
    }
    alertmanager.post(&[ended(&other)]);

    // The group of the one that ended is always a moment ahead: had it told of the end, that would come first.
    let (first, second) = (alertmanager.message("deadman", 2), alertmanager.message("deadman", 3));
    for message in [&first, &second] {
        assert_eq!(message.body["status"], "firing");
        assert_eq!(message.body["groupLabels"], json!({"alertname": "StreamLiveWatchdog"}));
    }
    let between = second.at.since(first.at).expect("the second came later");
    // It is told at every second interval. A third one would be late.
    assert!(between < Duration::from_secs(3 * 25), "{between:?}");
    assert_eq!(alertmanager.sink.arrivals().len(), 3, "nobody else hears of it, and nobody of an end");
}
