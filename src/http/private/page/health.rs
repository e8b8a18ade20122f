//! How the exporter is: every value with its state, and what to do if it is not ok.
//!
//! A value is the same as the metric of the same meaning, and the limits are those of the alerts.

mod api;
mod item;
mod items;
mod shared;

use askama::Template;

use super::fragment::Fragment;
use super::snapshot::Snapshot;
use crate::http::configuration::Configuration;

/// Number of settings of inputs up to which they are shown: with more, the page would be too large.
const INPUT_SETTINGS: usize = 30;
/// Number of warnings that are shown.
const WARNINGS: usize = 20;

#[derive(Template)]
#[template(path = "health.html", config = "src/http/private/page/askama.toml")]
struct Health;

#[derive(Template)]
#[template(path = "configuration.html", config = "src/http/private/page/askama.toml")]
struct Settings<'a> {
    configuration: &'a Configuration,
    warnings: &'a [String],
    more_warnings: usize,
    shows_inputs: bool,
}

/// The health section, and the configuration in force.
pub(super) fn fragments(snapshot: &Snapshot) -> Vec<Fragment> {
    let rows = items::all(snapshot).iter().map(item::Item::fragment).collect();
    let health = Fragment::with_rows("health", &Health, rows, "</tbody>\n</table>\n</section>\n");
    let configuration = &*snapshot.configuration;
    let (warnings, more) = configuration.warnings.split_at(configuration.warnings.len().min(WARNINGS));
    let settings = Settings {
        configuration,
        warnings,
        more_warnings: more.len(),
        shows_inputs: configuration.input_settings.len() <= INPUT_SETTINGS,
    };
    vec![health, Fragment::new("configuration", &settings)]
}
