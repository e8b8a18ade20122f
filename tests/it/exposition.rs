//! What Prometheus gets to read: both formats, held against their own tools and against the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use stream_live_exporter::metrics::catalogue::{CHAPTERS, Family, Kind, Label};

use crate::daemon::{Daemon, command, fixture};
use crate::tls::Pair;
use crate::tools::tool;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names with everything that a label's value must escape, and what must stay as it is.
const NAMES: [(&str, &str); 3] = [
    ("2c28dd2cc444cb77578c4840b51e43a8", r#"The "Main" stage \ Hauptbühne 東京 🎥"#),
    ("eb222fcca08eeb1ae84c981ebe8aeeb6", r#"\n is no "line feed", nor is \\" a quote, # no comment"#),
    ("00000000000000000000000000000001", r#"{le="1"} 5"#),
];

/// A sample of the text format.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
}

/// A daemon with awkwardly named inputs, of which every family has something to say.
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

/// The samples of a text, with the labels unescaped.
fn samples(text: &str) -> Vec<Sample> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| sample(line).unwrap_or_else(|| panic!("{line}")))
        .collect()
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = (line[..end].to_owned(), &line[end..]);
    let mut labels = BTreeMap::new();
    if let Some(first) = rest.strip_prefix('{') {
        rest = first;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = unescaped(quoted)?;
            assert_eq!(labels.insert(label.to_owned(), value), None, "a label is there twice: {line}");
            rest = after;
        }
        rest = &rest[1..];
    }
    rest.strip_prefix(' ')?.parse::<f64>().ok()?;
    Some(Sample { name, labels })
}

/// A label's value up to its closing quote, and what comes after that.
fn unescaped(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped => escaped,
            }),
            _ => value.push(c),
        }
    }
    None
}

fn families() -> impl Iterator<Item = &'static Family> {
    CHAPTERS.into_iter().flat_map(|(_, families)| families.iter().copied())
}

/// The values of a label whose catalogue entry lists them all.
fn closed_set(label: &Label) -> Option<BTreeSet<&'static str>> {
    label.values.split(", ").map(|value| value.trim().strip_prefix('`')?.strip_suffix('`')).collect()
}

#[test]
fn the_exposition_has_the_families_of_the_catalogue_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), false);
    for (content_type, openmetrics) in [(TEXT, false), (OPENMETRICS, true)] {
        let text = scrape(&daemon, content_type);
        let described = |keyword: &str| -> BTreeMap<String, String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(keyword)?.split_once(' '));
            let lines: Vec<_> = lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect();
            let described: BTreeMap<_, _> = lines.iter().cloned().collect();
            assert_eq!(described.len(), lines.len(), "{keyword}of one family is there twice");
            described
        };
        let name = |family: &Family| match family.kind {
            Kind::Counter if openmetrics => family.name.strip_suffix("_total").expect("a counter's suffix").to_owned(),
            Kind::Counter | Kind::Gauge | Kind::Histogram => family.name.to_owned(),
        };
        let types = families().map(|family| (name(family), family.kind.name().to_owned())).collect();
        assert_eq!(described("# TYPE "), types, "{content_type}");
        let help = families().map(|family| (name(family), family.help.to_owned())).collect();
        assert_eq!(described("# HELP "), help, "{content_type}");
    }
}

#[test]
fn every_family_has_the_labels_and_series_of_the_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), false);
    let samples = samples(&scrape(&daemon, TEXT));
    let mut described = 0;
    for family in families() {
        let suffixes: &[&str] = if family.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        let own: Vec<_> = samples
            .iter()
            .filter(|sample| suffixes.iter().any(|suffix| sample.name.strip_suffix(suffix) == Some(family.name)))
            .collect();
        assert!(!own.is_empty(), "{} has no sample", family.name);
        described += own.len();
        let expected: BTreeSet<_> = family.labels.iter().map(|label| label.name).collect();
        for sample in &own {
            let labels = sample.labels.keys().map(String::as_str).filter(|label| *label != "le");
            assert_eq!(labels.collect::<BTreeSet<_>>(), expected, "{}", sample.name);
        }
        check_series(family, &own);
    }
    assert_eq!(described, samples.len(), "a sample belongs to no family of the catalogue");
}

/// Holds the numbers of series and the closed sets of values against what is there.
fn check_series(family: &Family, samples: &[&Sample]) {
    let inputs: BTreeSet<_> = samples.iter().map(|sample| sample.labels.get("input_id")).collect();
    if let Ok(series) = family.series.parse::<usize>() {
        assert_eq!(samples.len(), series * inputs.len(), "{} has other series than documented", family.name);
    }
    for label in family.labels {
        let Some(values) = closed_set(label) else { continue };
        for input in &inputs {
            let own = samples.iter().filter(|sample| sample.labels.get("input_id") == *input);
            let found: BTreeSet<_> = own.map(|sample| sample.labels[label.name].as_str()).collect();
            assert!(found.is_subset(&values), "{}: {} is one of {found:?}", family.name, label.name);
            let complete = family.kind == Kind::Gauge || found == values;
            assert!(
                complete,
                "{}: {} is only {found:?}, from the start it must be {values:?}",
                family.name, label.name
            );
        }
    }
}

#[test]
fn awkward_names_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), false);
    for content_type in [TEXT, OPENMETRICS] {
        let samples = samples(&scrape(&daemon, content_type));
        let info = samples.iter().filter(|sample| sample.name == "cloudflare_stream_live_input_info");
        let names: BTreeMap<_, _> = info.map(|sample| (&*sample.labels["input_id"], &*sample.labels["name"])).collect();
        let configured = NAMES.iter().filter(|(id, _)| names.contains_key(id));
        for (id, name) in configured.clone() {
            assert_eq!(names[id], *name, "{content_type}");
        }
        assert!(configured.count() >= 2, "{names:?}");
    }
}

#[test]
fn promtool_has_nothing_to_say() {
    let Some(promtool) = tool("PROMTOOL", Path::new("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), false);
    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]);
    let (succeeded, output) = run(check, &scrape(&daemon, TEXT));
    assert_eq!((succeeded, output.as_str()), (true, ""));
}

#[test]
fn openmetrics_passes_the_strict_parser_and_says_what_the_text_says() {
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

/// Gives the program this input; whether it succeeded, and all that it said.
fn run(mut program: Command, input: &str) -> (bool, String) {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?} does not run: {error}"));
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let input = input.to_owned();
    // From another thread: it may want to talk before it has read everything. It may also end early.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("the program can be waited for");
    writer.join().expect("the writer did not panic");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
