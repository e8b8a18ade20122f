//! The thresholds are in one file of the rules. Documents, alerts and dashboards that repeat them state the same numbers.
//!
//! Sentences are not compared: each text must contain the numbers.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use regex_lite::Regex;
use serde_json::Value;
use stream_live_exporter::event::ErrorClass;

fn shipped(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(shipped(path)).unwrap()
}

/// The rules of one file, as Prometheus reads them.
fn rules(file: &str) -> Vec<Value> {
    let source = config::File::from(shipped("deploy/prometheus/rules").join(file)).format(config::FileFormat::Yaml);
    let read: Value = config::Config::builder().add_source(source).build().unwrap().try_deserialize().unwrap();
    let groups = read["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn alerts() -> Vec<Value> {
    let rules =
        ["inputs.yml", "notifications.yml", "cloudflare.yml", "exporter.yml"].iter().flat_map(|file| rules(file));
    rules.filter(|rule| rule["alert"].is_string()).collect()
}

#[test]
fn messages_have_the_same_meaning_and_remedy_of_an_error_as_the_status_page() {
    let of_rules = rules("settings.yml").into_iter().filter(|rule| rule["record"] == "stream_live:error");
    let label = |rule: &Value, name: &str| rule["labels"][name].as_str().unwrap().to_owned();
    let of_rules = of_rules.map(|rule| ["code", "meaning", "remedy"].map(|name| label(&rule, name)));
    let of_page = ErrorClass::ALL.map(|class| [class.label(), class.meaning(), class.remedy()].map(str::to_owned));
    assert_eq!(of_rules.collect::<Vec<_>>(), of_page);
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

/// A number as texts write it.
fn number(value: f64) -> String {
    // 100 * (1 - 0.995) is not exactly 0.5.
    format!("{}", (value * 1e6).round() / 1e6)
}

fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share))
}

/// A duration in its largest whole unit.
fn duration(seconds: f64) -> String {
    let units = [(86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second")];
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds % unit == 0.0).expect("whole seconds");
    let count = seconds / unit;
    if count > 1.0 { format!("{count} {name}s") } else { name.to_owned() }
}

/// A threshold as texts write it: the end of its name tells the unit.
fn written(name: &str, value: f64) -> String {
    match name.rsplit('_').next() {
        Some("seconds") => duration(value),
        Some("ratio" | "objective") => percent(value),
        _ => number(value),
    }
}

/// Whether the text contains the number, not as a part of a longer one.
fn states(text: &str, number: &str) -> bool {
    let pattern = format!(r"(^|[^0-9.]){}($|[^0-9.]|[.]($|[^0-9]))", number.replace('.', "[.]"));
    Regex::new(&pattern).unwrap().is_match(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The part of an alert's section in the runbooks that says what the alert means.
fn meaning<'a>(runbooks: &'a str, alert: &str) -> &'a str {
    let section = runbooks.split(&format!("\n### {alert}\n")).nth(1).unwrap_or_else(|| panic!("{alert} has a section"));
    section.split("**Impact.**").next().unwrap()
}

/// Derived from the burn rates: shares of the time, and of a budget for 30 days.
#[test]
fn runbooks_state_the_shipped_thresholds() {
    let (of, runbooks) = (thresholds(), read("docs/runbooks.md"));
    let read_by = Regex::new(r"stream_live:threshold:(\w+)").unwrap();
    let mut expected: Vec<_> = alerts()
        .iter()
        .flat_map(|alert| {
            let (name, expr) = (alert["alert"].as_str().unwrap().to_owned(), alert["expr"].as_str().unwrap());
            let names = read_by.captures_iter(expr).map(|found| found[1].to_owned()).collect::<Vec<_>>();
            let of = &of;
            names.into_iter().map(move |threshold| (name.clone(), written(&threshold, of[&threshold])))
        })
        .collect();
    assert!(expected.len() > of.len(), "{expected:?}");
    let allowed = 1.0 - of["on_air_objective"];
    let (fast, slow, budget_days) = (of["fast_burn_rate"], of["slow_burn_rate"], 30.0);
    let (on_fast, on_slow) = ("StreamLiveInputOnAirBudgetBurningFast", "StreamLiveInputOnAirBudgetBurningSlowly");
    expected.extend(
        [
            (on_fast, percent(fast * allowed)),
            (on_fast, format!("{:.0} %", 100.0 * fast / budget_days / 24.0)),
            (on_fast, format!("{} days", (budget_days / fast).floor())),
            (on_fast, number(slow)),
            (on_fast, percent(slow / budget_days)),
            (on_slow, percent(slow * allowed)),
        ]
        .map(|(alert, number)| (alert.to_owned(), number)),
    );
    for (alert, number) in expected {
        assert!(states(meaning(&runbooks, &alert), &number), "docs/runbooks.md: {alert} does not state {number}");
    }
    for (alert, rate) in [(on_fast, fast), (on_slow, slow)] {
        let days = format!("{} days", (budget_days / rate).floor());
        let impact = runbooks.split(&format!("\n### {alert}\n")).nth(1).unwrap().split("**Impact.**").nth(1).unwrap();
        let impact = impact.split("\n\n").next().unwrap();
        assert!(states(impact, &days), "docs/runbooks.md: the impact of {alert} does not state {days}");
        let rule = alerts().into_iter().find(|rule| rule["alert"] == alert).unwrap();
        let description = rule["annotations"]["description"].as_str().unwrap();
        assert!(states(description, &days), "{alert} does not state {days}: {description}");
    }
    let row = runbooks.lines().find(|line| line.starts_with(&format!("| [{on_fast}]"))).unwrap();
    assert!(states(row, &format!("{:.0} %", (100.0 * fast * allowed).floor())), "{row}");
}

/// Comments in settings.yml explain the on-air objective in seconds of an hour.
#[test]
fn settings_state_what_the_objective_allows() {
    let allowed = 1.0 - thresholds()["on_air_objective"];
    let settings = read("deploy/prometheus/rules/settings.yml");
    let comment = settings.split("- record: stream_live:threshold:on_air_objective").next().unwrap();
    let comment = comment.rsplit("\n\n").next().unwrap();
    assert!(states(comment, &duration(number(3600.0 * allowed).parse().unwrap())), "{comment}");
}

/// Durations in a description are windows or waiting times of the rule itself.
#[test]
fn alerts_state_their_own_durations() {
    // Limits of Cloudflare and of the exporter, and what follows from burn rates.
    let known = [
        ("StreamLiveInputConnectedTooLong", "7 days"),
        ("StreamLiveInputEncoderMisconfigured", "2 seconds"),
        ("StreamLiveInputEncoderMisconfigured", "10 seconds"),
        ("StreamLiveInputOnAirBudgetBurningFast", "2 days"),
        ("StreamLiveInputOnAirBudgetBurningSlowly", "10 days"),
        ("StreamLiveClockSkew", "5 minutes"),
        ("StreamLiveKeyframeInterval", "8 seconds"),
    ];
    let stated = Regex::new(r"\b(?:([0-9]+) (second|minute|hour|day)s?|last (hour|day))\b").unwrap();
    let mut found = 0;
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let (expr, waits) = (alert["expr"].as_str().unwrap(), alert["for"].as_str().unwrap_or_default());
        let description = alert["annotations"]["description"].as_str().unwrap();
        for words in stated.captures_iter(description) {
            let count = words.get(1).map_or("1", |count| count.as_str());
            let unit = words.get(2).or(words.get(3)).unwrap().as_str();
            let duration = format!("{count}{}", &unit[..1]);
            let of_the_rule = waits == duration
                || expr.contains(&format!("[{duration}]"))
                || expr.contains(&format!("ratio{duration}"))
                // The bucket of late notifications is in the recorded series.
                || (duration == "30s" && expr.contains("notification_late"));
            let is_known = known.contains(&(name, &words[0]));
            assert!(of_the_rule || is_known, "{name} says {:?}: {expr} for {waits:?}", &words[0]);
            found += 1;
        }
    }
    assert!(found > 15, "only {found} durations were found");
}

#[test]
fn alerts_compare_with_recorded_thresholds_instead_of_numbers() {
    let compared = Regex::new(r"(?:[<>]=?|[!=]=) *(?:bool +)?([0-9.]+)").unwrap();
    for alert in alerts() {
        let (name, expr) = (alert["alert"].as_str().unwrap(), alert["expr"].as_str().unwrap());
        for number in compared.captures_iter(expr) {
            let counts_thresholds =
                name == "StreamLiveThresholdsMissing" && number[1] == thresholds().len().to_string();
            assert!(
                counts_thresholds || ["0", "1"].contains(&&number[1]),
                "{name} compares with {}: {expr}",
                &number[1]
            );
        }
    }
}

/// All panels of a dashboard, including those in collapsed rows.
fn panels(json: &Value) -> Vec<&Value> {
    let own = json["panels"].as_array().into_iter().flatten();
    own.flat_map(|panel| std::iter::once(panel).chain(panels(panel))).collect()
}

fn dashboards() -> Vec<Value> {
    let names = ["exporter", "input", "overview"];
    let read = |name| serde_json::from_str(&read(&format!("grafana/dashboards/stream-live-{name}.json"))).unwrap();
    names.map(read).into()
}

/// Grafana cannot read colour thresholds from Prometheus, so the dashboards repeat some.
#[test]
fn dashboards_change_colour_at_the_shipped_thresholds() {
    let of = thresholds();
    let mut colours = 0;
    for json in dashboards() {
        for panel in panels(&json) {
            let (title, defaults) = (&panel["title"], &panel["fieldConfig"]["defaults"]);
            let queries = panel["targets"].to_string();
            let steps = defaults["thresholds"]["steps"].as_array().cloned().unwrap_or_default();
            // 0 and 1 are not thresholds of a share.
            let shares =
                steps.iter().filter_map(|step| step["value"].as_f64()).filter(|step| *step > 0.0 && *step < 1.0);
            for step in shares.filter(|_| defaults["unit"] == "percentunit") {
                let threshold = if queries.contains("stream_live_exporter_inputs_limit") {
                    of["inputs_ratio"]
                } else if queries.contains("cloudflare_stream_live_input_expected") {
                    of["on_air_objective"]
                } else {
                    panic!("{title} changes its colour at {step}, which is not a threshold")
                };
                assert!((step - threshold).abs() < 1e-9, "{title} changes its colour at {step}, not at {threshold}");
                colours += 1;
            }
        }
    }
    assert!(colours >= 3, "only {colours} colours were found");
}

#[test]
fn panel_descriptions_state_the_shipped_thresholds() {
    let of = thresholds();
    let objective = of["on_air_objective"];
    let on_air = || vec![percent(objective), duration(number(3600.0 * (1.0 - objective)).parse().unwrap())];
    let dashboards = dashboards();
    for (uid, id, numbers) in [
        ("stream-live-overview", 9, on_air()),
        ("stream-live-input", 7, on_air()),
        ("stream-live-input", 22, vec![number(of["flapping_reconnects"])]),
        ("stream-live-exporter", 4, vec![number(of["restarts"]), "30 minutes".to_owned()]),
    ] {
        let json = dashboards.iter().find(|json| json["uid"] == uid).unwrap();
        let panel = panels(json).into_iter().find(|panel| panel["id"] == id).unwrap();
        let description = panel["description"].as_str().unwrap();
        for number in numbers {
            assert!(states(description, &number), "{uid}, panel {id} does not state {number}: {description}");
        }
    }
}
