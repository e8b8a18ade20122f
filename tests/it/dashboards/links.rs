//! Links: between the dashboards, to Cloudflare's dashboard, and to Grafana's form for a silence.

use std::collections::BTreeSet;

use super::document::{Dashboard, dashboards, list, text};
use super::promql::parse;
use super::{RUNBOOKS, UIDS};

/// The start of links to Cloudflare's dashboard and to Grafana's form for a silence.
const CLOUDFLARE: &str = "https://dash.cloudflare.com/$";
const SILENCES: &str = "/alerting/silence/new?";

/// The dashboard uid of a link, and the variables that the link sets.
pub fn follow(url: &str) -> Option<(&str, Vec<&str>)> {
    let (uid, query) = url.split_once("/d/")?.1.split_once('?').unwrap_or((url.split_once("/d/")?.1, ""));
    let set = query.split('&').filter_map(|part| {
        let named = part.strip_prefix("var-").and_then(|part| part.split_once('='));
        named.map(|(name, _)| name).or_else(|| part.strip_prefix("${")?.strip_suffix(":queryparam}"))
    });
    Some((uid, set.collect()))
}

#[test]
fn links_keep_the_time_range_and_set_existing_variables() {
    let dashboards = dashboards();
    for dashboard in &dashboards {
        let mut targets = BTreeSet::new();
        let other_pages = [RUNBOOKS, CLOUDFLARE, SILENCES];
        let is_dashboard = |url: &str| !other_pages.iter().any(|page| url.starts_with(page));
        let links = dashboard.links().into_iter().filter(|(url, _)| is_dashboard(url));
        // The link of an alert row can lead to any dashboard.
        for (url, keeps_time) in links.flat_map(|(url, keeps_time)| {
            let each = UIDS.map(|uid| (url.replace("stream-live-${__data.fields.dashboard}", uid), keeps_time));
            each.into_iter().collect::<BTreeSet<_>>()
        }) {
            let (uid, set) =
                follow(&url).unwrap_or_else(|| panic!("{}: {url} is not a dashboard link", dashboard.file));
            let target = dashboards.iter().find(|target| target.file == uid);
            let target = target.unwrap_or_else(|| panic!("{}: there is no {uid}", dashboard.file));
            assert!(
                keeps_time || url.contains("${__url_time_range}"),
                "{}: {url} drops the time range",
                dashboard.file
            );
            for variable in ["datasource", "job", "instance", "account", "input", "cloudflare"] {
                assert!(set.contains(&variable), "{}: {url} drops {variable}", dashboard.file);
            }
            for variable in set {
                assert!(target.variable(variable).is_some(), "{uid} has no variable {variable}");
            }
            targets.insert(uid.to_owned());
        }
        let others = UIDS.into_iter().filter(|uid| *uid != dashboard.file).map(str::to_owned);
        assert!(others.collect::<BTreeSet<_>>().is_subset(&targets), "{} only links to {targets:?}", dashboard.file);
    }
}

/// The columns of a table, or labels of series, that the links of a panel refer to.
fn referred(url: &str) -> Vec<&str> {
    let references = ["${__data.fields.", "${__field.labels."];
    let found = references.into_iter().flat_map(|start| url.split(start).skip(1));
    found.map(|rest| rest.split(['}', ':']).next().unwrap()).collect()
}

/// The dashboard of an input links to it by the variables, all others by the labels of a query.
#[test]
fn inputs_link_to_cloudflare_and_alerts_to_the_form_for_a_silence() {
    let (mut inputs, mut silences) = (0, 0);
    for dashboard in dashboards() {
        for panel in dashboard.charts() {
            let made: BTreeSet<_> = list(&panel["targets"])
                .iter()
                .flat_map(|target| {
                    let parsed = parse(text(target, "expr")).unwrap();
                    parsed.made.into_iter().chain(parsed.named).collect::<Vec<_>>()
                })
                .collect();
            for (url, _) in Dashboard::links_of(panel) {
                let unknown: Vec<_> = referred(&url).into_iter().filter(|name| !made.contains(*name)).collect();
                assert!(unknown.is_empty(), "{}: {url} refers to {unknown:?}", dashboard.place(panel));
                inputs += usize::from(url.starts_with(CLOUDFLARE) && url.contains("}/stream/inputs/${"));
                let names_manager = url.contains("?alertmanager=${alertmanager:text}&matcher=${__data.fields.silence");
                silences += usize::from(url.starts_with(SILENCES) && names_manager);
            }
        }
        assert_eq!(dashboard.variable("alertmanager").unwrap()["type"], "datasource", "{}", dashboard.file);
        assert_eq!(
            dashboard.variable("cloudflare").unwrap()["current"]["value"],
            "?to=/:account",
            "{}",
            dashboard.file
        );
    }
    assert_eq!((inputs, silences), (4, 2), "links to Cloudflare and to silences");
}
