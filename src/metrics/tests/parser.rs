//! A strict parser of both exposition formats. The unit tests, the integration tests and the fuzz target share it.

use std::collections::{BTreeMap, BTreeSet};

/// A family.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The name in `# TYPE` and `# HELP`.
    pub name: String,
    /// The type.
    pub kind: String,
    /// The HELP text, unescaped.
    pub help: String,
    /// The samples, in order.
    pub samples: Vec<Sample>,
}

/// A sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The name and the labels as they are written.
    pub series: String,
    /// The name with its suffix.
    pub name: String,
    /// The labels, unescaped.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// Returns the families of an exposition, or a description of the first invalid line.
pub fn parse(text: &str, openmetrics: bool) -> Result<Vec<Family>, String> {
    let body = match text.strip_suffix("# EOF\n") {
        Some(body) if openmetrics => body,
        None if !openmetrics => text,
        _ => return Err("# EOF is missing or not allowed".into()),
    };
    let mut lines = body.strip_suffix('\n').ok_or("the last line has no line feed")?.split('\n').peekable();
    let (mut families, mut seen): (Vec<Family>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    while let Some(line) = lines.next() {
        let problem = || format!("invalid: {line:?}");
        let (name, help) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).ok_or_else(problem)?;
        let help = unescape(help, openmetrics).ok_or_else(problem)?;
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} "))).ok_or_else(problem)?;
        let mut family = Family { name: name.into(), kind: kind.into(), help, samples: Vec::new() };
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let sample = sample(line).ok_or_else(|| format!("not a sample: {line:?}"))?;
            if !belongs(&family, &sample, openmetrics) || !seen.insert(sample.series.clone()) {
                return Err(format!("in the wrong family or duplicate: {line:?}"));
            }
            family.samples.push(sample);
        }
        check(&family)?;
        if !is_name(name) || families.iter().any(|known| known.name == name) {
            return Err(problem());
        }
        families.push(family);
    }
    Ok(families)
}

fn belongs(family: &Family, sample: &Sample, openmetrics: bool) -> bool {
    let suffixes: &[&str] = match (family.kind.as_str(), openmetrics) {
        ("counter", true) => &["_total", "_created"],
        ("histogram", true) => &["_bucket", "_sum", "_count", "_created"],
        ("histogram", false) => &["_bucket", "_sum", "_count"],
        ("counter", false) | ("gauge", _) => &[""],
        _ => &[],
    };
    sample.name.strip_prefix(&family.name).is_some_and(|suffix| suffixes.contains(&suffix))
}

/// Counters and histograms are not negative; the buckets of a histogram are cumulative, up to its count.
fn check(family: &Family) -> Result<(), String> {
    if family.kind != "gauge" && family.samples.iter().any(|sample| sample.value < 0.0) {
        return Err(format!("{} is negative", family.name));
    }
    if family.kind != "histogram" {
        return Ok(());
    }
    let of = |suffix: &str| -> Vec<&Sample> {
        family.samples.iter().filter(|sample| sample.name == format!("{}{suffix}", family.name)).collect()
    };
    let bounds: Option<Vec<f64>> = of("_bucket").iter().map(|sample| number(sample.labels.get("le")?)).collect();
    let counts: Vec<f64> = of("_bucket").iter().map(|sample| sample.value).collect();
    let ascend = bounds.is_some_and(|bounds| bounds.is_sorted() && bounds.last() == Some(&f64::INFINITY));
    let total = of("_count").first().map(|sample| sample.value);
    if !ascend || !counts.is_sorted() || counts.last().copied() != total || of("_sum").len() != 1 {
        return Err(format!("{} is not a valid histogram", family.name));
    }
    Ok(())
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, quoted) = rest.split_once("=\"")?;
            let end = closing_quote(quoted)?;
            let value = unescape(&quoted[..end], true)?;
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = &quoted[end + 1..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let series = line[..line.len() - rest.len()].to_owned();
    let value = number(rest.strip_prefix(' ')?)?;
    is_name(name).then(|| Sample { series, name: name.to_owned(), labels, value })
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// Returns `None` if a character should be escaped or an escape is invalid.
fn unescape(text: &str, quotes: bool) -> Option<String> {
    let (mut plain, mut characters) = (String::new(), text.chars());
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next()? {
                'n' => '\n',
                '\\' => '\\',
                '"' if quotes => '"',
                _ => return None,
            },
            '"' if quotes => return None,
            character => character,
        });
    }
    Some(plain)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b".-e+".contains(&byte)) => text.parse().ok(),
        _ => None,
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
