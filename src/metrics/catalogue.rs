//! All metric families with their documentation.
//!
//! The names are an interface: operators write alerts against them.

use super::{exporter, inputs, overall, process, shared};

pub use super::family::{Family, Kind, Label, LabelValues};

/// The chapters of METRICS.md with their families.
pub fn chapters() -> [(&'static str, Vec<&'static Family>); 5] {
    let overall = overall::FAMILIES.iter().map(|entry| &entry.family);
    let (all_inputs, own): (Vec<_>, Vec<_>) = overall.partition(|family| family.name.starts_with("cloudflare_"));
    let watched = [&exporter::CERTIFICATE_EXPIRY, &exporter::JOURNAL_WRITE_STARTED, &exporter::LOG_LINES_DROPPED];
    let observed = exporter::FAMILIES.iter().chain(watched);
    [
        ("Each live input", inputs::FAMILIES.iter().map(|entry| &entry.family).collect()),
        ("All live inputs", all_inputs),
        ("The exporter", own.into_iter().chain(observed).collect()),
        ("The shared journal", shared::FAMILIES.iter().map(|entry| &entry.family).collect()),
        ("The process", process::FAMILIES.iter().map(|entry| &entry.family).collect()),
    ]
}

/// All families, each once.
pub fn families() -> impl Iterator<Item = &'static Family> {
    chapters().into_iter().flat_map(|(_, families)| families)
}
