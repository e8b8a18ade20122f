//! Both exposition formats, compared with the catalogue and checked with their own tools.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use stream_live_exporter::metrics::catalogue::{Family, Kind, families};
use stream_live_exporter::recorder::Outcome;

use crate::daemon::{Daemon, command, fixture};
use crate::parser::{self, Sample};
use crate::tls::Pair;
use crate::tools::tool;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names with all characters that a label value must escape, and with text that looks like an escape.
const NAMES: [(&str, &str); 3] = [
    ("2c28dd2cc444cb77578c4840b51e43a8", r#"The "Main" stage \ Hauptbühne 東京 🎥"#),
    ("eb222fcca08eeb1ae84c981ebe8aeeb6", r#"\n is no "line feed", nor is \\" a quote, # no comment"#),
    ("00000000000000000000000000000001", r#"{le="1"} 5"#),
];

/// A daemon with inputs of these names, after events that give every family a sample.
fn daemon(folder: &Path, created_samples: bool) -> Daemon {
    let names = NAMES.map(|(id, name)| format!("[[inputs]]\nid = \"{id}\"\nname = '{name}'\n"));
    std::fs::write(folder.join("site.toml"), names.concat()).expect("the folder can be written");
    let mut command = command(folder);
    command.arg("--config.file=site.toml");
    command.env("STREAM_LIVE_EXPORTER__WEB__CREATED_SAMPLES", created_samples.to_string());
    Pair::new().write(folder, &mut command);
    let daemon = Daemon::spawn(command, folder);
    for name in [
        "connected",
        "disconnected",
        "docs-disconnected",
        "errored-unhealthy",
        "errored-unknown-code",
        "save-and-test-properly",
        "unknown-event-type",
    ] {
        assert_eq!(daemon.post(&fixture(name)).status, 200, "{name}");
    }
    assert_eq!(daemon.post_with("not the secret", &fixture("connected")).status, 401);
    daemon
}

/// The metrics in the format of this content type.
fn scrape(daemon: &Daemon, content_type: &str) -> String {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let accept = content_type.split("; charset").next().expect("there is a first part");
    let request = agent.get(format!("{}/metrics", daemon.private)).header("accept", accept);
    let mut response = request.call().expect("the daemon answers");
    assert_eq!(response.headers()["content-type"], content_type);
    response.body_mut().read_to_string().expect("the metrics are text")
}

/// Whether a family may have no series: without Cloudflare's API or a shared journal, before a restart, without schedules,
/// and while the disk is not being used.
fn may_be_absent(name: &str) -> bool {
    const ABSENT: [&str; 17] = [
        "stream_live_exporter_journal_position",
        "stream_live_exporter_journal_applied_position",
        "stream_live_exporter_journal_connected",
        "stream_live_exporter_journal_lease_holder",
        "stream_live_exporter_journal_synchronous_commit",
        "stream_live_exporter_journal_reloads",
        "stream_live_exporter_journal_reloads_total",
        "stream_live_exporter_spooled_records",
        "stream_live_exporter_spool_limit_records",
        "cloudflare_stream_live_input_expected_change_timestamp_seconds",
        "stream_live_exporter_last_downtime_seconds",
        "stream_live_exporter_last_downtime_backfilled",
        "stream_live_exporter_journal_write_started_timestamp_seconds",
        "cloudflare_stream_live_input_enabled",
        "cloudflare_stream_live_input_gop_duration_seconds",
        "cloudflare_stream_live_input_upload_duration_ratio",
        "cloudflare_stream_live_input_bitrate_bits_per_second",
    ];
    name.starts_with("stream_live_exporter_cloudflare_") || ABSENT.contains(&name)
}

#[test]
fn exposed_families_equal_the_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), false);
    for (content_type, openmetrics) in [(TEXT, false), (OPENMETRICS, true)] {
        let described = |family: &parser::Family| (family.name.clone(), family.kind.clone(), family.help.clone());
        let exposed = parser::parse(&scrape(&daemon, content_type), openmetrics).unwrap();
        let exposed: BTreeSet<_> = exposed.iter().map(described).collect();
        let name = |family: &Family| match family.kind {
            Kind::Counter if openmetrics => family.name.strip_suffix("_total").expect("a counter's suffix").to_owned(),
            Kind::Counter | Kind::Gauge | Kind::Histogram => family.name.to_owned(),
        };
        let documented: BTreeSet<_> =
            families().map(|family| (name(family), family.kind.name().to_owned(), family.help.to_owned())).collect();
        assert!(exposed.is_subset(&documented), "{content_type}: {:?}", exposed.difference(&documented));
        let absent: Vec<_> = documented.difference(&exposed).map(|(name, ..)| name.as_str()).collect();
        assert!(absent.iter().all(|name| may_be_absent(name)), "{content_type}: {absent:?}");
    }
}

#[test]
fn labels_and_series_equal_the_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), false);
    let exposed = parser::parse(&scrape(&daemon, TEXT), false).unwrap();
    for family in families() {
        let Some(samples) = exposed.iter().find(|exposed| exposed.name == family.name) else {
            assert!(may_be_absent(family.name), "{}", family.name);
            continue;
        };
        let samples = &samples.samples;
        if samples.is_empty() && may_be_absent(family.name) {
            continue;
        }
        assert!(!samples.is_empty(), "{} has no sample", family.name);
        let expected: BTreeSet<_> = family.labels.iter().map(|label| label.name).collect();
        for sample in samples {
            let labels = sample.labels.keys().map(String::as_str).filter(|label| *label != "le");
            assert_eq!(labels.collect::<BTreeSet<_>>(), expected, "{}", sample.series);
        }
        check_series(family, samples);
    }
}

#[test]
fn outcomes_of_the_catalogue_equal_those_in_the_code() {
    let name = "stream_live_exporter_notifications_total";
    let family = families().find(|family| family.name == name).unwrap();
    assert_eq!(family.labels[0].closed_set(), Some(&Outcome::NAMES[..]));
}

/// Compares the number of series and the values of closed labels with the catalogue.
fn check_series(family: &Family, samples: &[Sample]) {
    let inputs: BTreeSet<_> = samples.iter().map(|sample| sample.labels.get("input_id")).collect();
    if let Ok(series) = family.series.parse::<usize>() {
        assert_eq!(samples.len(), series * inputs.len(), "number of series of {}", family.name);
    }
    for label in family.labels {
        let Some(values) = label.closed_set() else { continue };
        let values: BTreeSet<_> = values.iter().copied().collect();
        for input in &inputs {
            let own = samples.iter().filter(|sample| sample.labels.get("input_id") == *input);
            let found: BTreeSet<_> = own.map(|sample| sample.labels[label.name].as_str()).collect();
            assert!(found.is_subset(&values), "{}: {} is one of {found:?}", family.name, label.name);
            // Counters have a series for each value from the start.
            assert!(family.kind == Kind::Gauge || found == values, "{}: {} is only {found:?}", family.name, label.name);
        }
    }
}

#[test]
fn names_with_special_characters_are_exposed_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), false);
    for (content_type, openmetrics) in [(TEXT, false), (OPENMETRICS, true)] {
        let families = parser::parse(&scrape(&daemon, content_type), openmetrics).unwrap();
        let info = families.iter().find(|family| family.name == "cloudflare_stream_live_input_info").unwrap();
        let info = info.samples.iter();
        let names: BTreeMap<_, _> = info.map(|sample| (&*sample.labels["input_id"], &*sample.labels["name"])).collect();
        let configured = NAMES.iter().filter(|(id, _)| names.contains_key(id));
        for (id, name) in configured.clone() {
            assert_eq!(names[id], *name, "{content_type}");
        }
        assert!(configured.count() >= 2, "{names:?}");
    }
}

#[test]
fn promtool_check_metrics_reports_no_problem() {
    let Some(promtool) = tool("PROMTOOL", Path::new("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), false);
    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]);
    let (succeeded, output) = run(check, &scrape(&daemon, TEXT));
    assert_eq!((succeeded, output.as_str()), (true, ""));
}

#[test]
fn openmetrics_passes_the_strict_parser_and_equals_the_text_format() {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python3");
    let Some(python) = tool("OPENMETRICS_PYTHON", &default) else { return };
    for created_samples in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let daemon = daemon(folder.path(), created_samples);
        let (before, after) = (folder.path().join("before.txt"), folder.path().join("after.txt"));
        std::fs::write(&before, scrape(&daemon, TEXT)).unwrap();
        let openmetrics = scrape(&daemon, OPENMETRICS);
        std::fs::write(&after, scrape(&daemon, TEXT)).unwrap();
        let mut check = Command::new(&python);
        check.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openmetrics.py"));
        check.args(created_samples.then_some("--created")).args([before, after]);
        let (succeeded, output) = run(check, &openmetrics);
        assert!(succeeded, "created samples {created_samples}: {output}");
    }
}

/// Runs a program with this input. Returns whether it succeeded, and its output.
fn run(mut program: Command, input: &str) -> (bool, String) {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?} does not run: {error}"));
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let input = input.to_owned();
    // Another thread writes, because the program may write before it has read everything. It may also exit early.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("the program can be waited for");
    writer.join().expect("the writer did not panic");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
