//! Thresholds stand in one file of the rules. Whatever states such a number elsewhere, for people or as a colour on a
//! dashboard, states the shipped one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use regex_lite::Regex;
use serde_json::Value;

const SMALL: [&str; 11] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

fn shipped(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A document's text with every run of white space as one space, so that a phrase is found over its line's end.
fn prose(path: &str) -> String {
    let text = fs::read_to_string(shipped(path)).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The rules of one file, as Prometheus reads them.
fn rules(file: &str) -> Vec<Value> {
    let source = config::File::from(shipped("deploy/prometheus/rules").join(file)).format(config::FileFormat::Yaml);
    let read: Value = config::Config::builder().add_source(source).build().unwrap().try_deserialize().unwrap();
    let groups = read["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn alerts() -> Vec<Value> {
    let rules = ["inputs.yml", "notifications.yml", "exporter.yml"].iter().flat_map(|file| rules(file));
    rules.filter(|rule| rule["alert"].is_string()).collect()
}

/// The value of each threshold. They are written as `vector(a * b)`.
fn thresholds() -> BTreeMap<String, f64> {
    let recorded = rules("settings.yml").into_iter().filter_map(|rule| {
        let name = rule["record"].as_str()?.strip_prefix("stream_live:threshold:")?.to_owned();
        let product = rule["expr"].as_str()?.strip_prefix("vector(")?.strip_suffix(')')?.to_owned();
        let factors = product.split('*').map(|factor| factor.trim().parse::<f64>().unwrap());
        Some((name, factors.product()))
    });
    recorded.collect()
}

/// A number as a text has it.
fn number(value: f64) -> String {
    // What is left of 100 * (1 - 0.995) is not quite a half.
    format!("{}", (value * 1e6).round() / 1e6)
}

fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share))
}

/// A small number as a word.
fn word(value: f64) -> &'static str {
    SMALL.into_iter().enumerate().find(|(small, _)| number(value) == small.to_string()).expect("it is small").1
}

/// A share as a word: of the shipped ones only a half has one.
fn share(value: f64) -> &'static str {
    assert!((value - 0.5).abs() < f64::EPSILON, "there is no word for {value}: change the text and this test");
    "half"
}

/// A time as words.
fn hours(seconds: f64) -> String {
    match word(seconds / 3600.0) {
        "one" => "an hour".to_owned(),
        several => format!("{several} hours"),
    }
}

/// Documents, and what each must say with the shipped numbers.
#[test]
fn texts_state_the_shipped_thresholds() {
    let of = thresholds();
    let minutes = |name: &str| number(of[name] / 60.0);
    let allowed = 1.0 - of["on_air_objective"];
    let (fast, slow) = (of["fast_burn_rate"], of["slow_burn_rate"]);
    let month = 30.0;
    let runbooks = prose("docs/runbooks.md");
    for phrase in [
        format!(
            "more than {} times the allowed share was lost ({} with the shipped objective of {})",
            number(fast),
            percent(fast * allowed),
            percent(of["on_air_objective"])
        ),
        format!("over {:.0} % of an hour", (100.0 * fast * allowed).floor()),
        format!(
            "At {} an hour costs {:.0} % of what 30 days allow, and {} days cost all of it",
            number(fast),
            100.0 * fast / month / 24.0,
            word((month / fast).floor())
        ),
        format!(
            "at {}, the factor of [BurningSlowly](#streamliveinputonairbudgetburningslowly), a day costs {:.0} %",
            number(slow),
            100.0 * slow / month
        ),
        format!(
            "more than {} times the allowed share was lost ({} with the shipped objective)",
            number(slow),
            percent(slow * allowed)
        ),
        format!("A month's budget is gone in {} days. Short gaps", word((month / fast).floor())),
        format!("A month's budget is gone in {} days. **Check.**", word((month / slow).floor())),
        format!(
            "At least {} inputs that should be live are off air, and they are at least {}",
            word(of["many_off_air_inputs"]),
            share(of["many_off_air_ratio"])
        ),
        format!(
            "Within the last {} minutes Cloudflare reported an error that the encoder",
            minutes("error_age_seconds")
        ),
        format!("In an hour at least {} events repeated the state", word(of["lost_notifications"])),
        format!(
            "In 30 minutes at least {} notifications came, and over {} of them took longer than 30 seconds",
            word(of["late_notifications_count"]),
            share(of["late_notifications_ratio"])
        ),
        format!("In 15 minutes at least {} requests to the webhook had a wrong secret", word(of["rejected_requests"])),
        format!("In {} hours at least one request to the webhook", word(of["only_rejected_seconds"] / 3600.0)),
        format!("Nothing at all has arrived for {} minutes", minutes("silence_seconds")),
        format!("In an hour at least {} notifications arrived before they were sent", word(of["skewed_notifications"])),
        format!("Connected for {} days, and no event since", word(of["connected_seconds"] / 86400.0)),
        format!("The alert stays for {} after the last refusal", hours(of["account_blocked_age_seconds"])),
        format!("One secret has been idle for {} days longer", word(of["secret_idle_seconds"] / 86400.0)),
        format!("The process started at least {} times in 30 minutes", word(of["restarts"])),
        format!("The exporter knows {} of the inputs that `inputs.max` allows", percent(of["inputs_ratio"])),
    ] {
        assert!(runbooks.contains(&phrase), "docs/runbooks.md does not say: {phrase}");
    }
    let settings = prose("deploy/prometheus/rules/settings.yml");
    let phrase = format!("{} leaves {} seconds off air in an hour", number(1.0 - allowed), number(3600.0 * allowed));
    assert!(settings.contains(&phrase), "settings.yml does not say: {phrase}");
}

/// An alert's own numbers are of its windows and of how long it waits: those stand in its rule, beside the words.
#[test]
fn alerts_state_their_own_durations() {
    // What is no property of the rule: Cloudflare's and the exporter's limits, and what follows from burn rates.
    let known = [
        ("StreamLiveInputConnectedTooLong", "7 days"),
        ("StreamLiveInputEncoderMisconfigured", "2 seconds"),
        ("StreamLiveInputOnAirBudgetBurningFast", "two days"),
        ("StreamLiveInputOnAirBudgetBurningSlowly", "ten days"),
        ("StreamLiveClockSkew", "five minutes"),
    ];
    let stated = Regex::new(r"\b(?:([0-9]+|[a-z]+) (second|minute|hour|day)s|last (hour|day))\b").unwrap();
    let mut found = 0;
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let (expr, patience) = (alert["expr"].as_str().unwrap(), alert["for"].as_str().unwrap_or_default());
        let description = alert["annotations"]["description"].as_str().unwrap();
        for words in stated.captures_iter(description) {
            let count = words.get(1).map_or("1", |count| count.as_str());
            let Some(count) = SMALL.iter().position(|small| *small == count).or_else(|| count.parse().ok()) else {
                continue; // "some minutes"
            };
            let unit = words.get(2).or(words.get(3)).unwrap().as_str();
            let duration = format!("{count}{}", &unit[..1]);
            let of_the_rule = patience == duration
                || expr.contains(&format!("[{duration}]"))
                || expr.contains(&format!("ratio{duration}"))
                // The bucket of what is late is in the recorded series.
                || (duration == "30s" && expr.contains("notification_late"));
            let is_known = known.contains(&(name, &words[0]));
            assert!(of_the_rule || is_known, "{name} says {:?}: {expr} for {patience:?}", &words[0]);
            found += 1;
        }
    }
    assert!(found > 15, "only {found} durations were found");
}

/// No alert compares with a number that could be a threshold.
#[test]
fn alerts_read_their_thresholds() {
    let compared = Regex::new(r"(?:[<>]=?|[!=]=) *(?:bool +)?([0-9.]+)").unwrap();
    for alert in alerts() {
        let (name, expr) = (alert["alert"].as_str().unwrap(), alert["expr"].as_str().unwrap());
        for number in compared.captures_iter(expr) {
            let counts_them = name == "StreamLiveThresholdsMissing" && number[1] == thresholds().len().to_string();
            assert!(counts_them || ["0", "1"].contains(&&number[1]), "{name} compares with {}: {expr}", &number[1]);
        }
    }
}

/// Every panel of a dashboard, those in folded rows too.
fn panels(json: &Value) -> Vec<&Value> {
    let own = json["panels"].as_array().into_iter().flatten();
    own.flat_map(|panel| std::iter::once(panel).chain(panels(panel))).collect()
}

/// Grafana cannot read a threshold from Prometheus everywhere, so the dashboards repeat some.
#[test]
fn dashboards_state_the_shipped_thresholds() {
    let of = thresholds();
    let objective = of["on_air_objective"];
    let sentences = [
        (
            "off air in an hour",
            format!("{} leaves {} seconds off air in an hour", percent(objective), number(3600.0 * (1.0 - objective))),
        ),
        (
            "alert on flapping fires at",
            format!("alert on flapping fires at {} unless", number(of["flapping_reconnects"])),
        ),
        ("starts within 30 minutes", format!("{} starts within 30 minutes", word(of["restarts"]))),
    ];
    let (mut colours, mut told) = (0, 0);
    for entry in fs::read_dir(shipped("grafana/dashboards")).unwrap() {
        let json: Value = serde_json::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        for panel in panels(&json) {
            let (title, defaults) = (&panel["title"], &panel["fieldConfig"]["defaults"]);
            let queries = panel["targets"].to_string();
            let steps = defaults["thresholds"]["steps"].as_array().cloned().unwrap_or_default();
            // All or nothing is no threshold of a share.
            let shares =
                steps.iter().filter_map(|step| step["value"].as_f64()).filter(|step| *step > 0.0 && *step < 1.0);
            for step in shares.filter(|_| defaults["unit"] == "percentunit") {
                let threshold = if queries.contains("stream_live_exporter_inputs_limit") {
                    of["inputs_ratio"]
                } else if queries.contains("cloudflare_stream_live_input_expected") {
                    objective
                } else {
                    panic!("{title} changes its colour at {step}, which is no threshold")
                };
                assert!((step - threshold).abs() < 1e-9, "{title} changes its colour at {step}, not at {threshold}");
                colours += 1;
            }
            let description = panel["description"].as_str().unwrap_or_default().to_lowercase();
            for (part, sentence) in sentences.iter().filter(|(part, _)| description.contains(part)) {
                assert!(description.contains(&sentence.to_lowercase()), "{title} says of {part:?}: {description}");
                told += 1;
            }
        }
    }
    assert!(colours >= 3 && told >= 3, "{colours} colours, {told} sentences");
}
