//! A row of the list of inputs.

use std::borrow::Cow;

use askama::Template;

use crate::event::{ErrorClass, ErrorCode};
use crate::http::private::page::expected::Expected;
use crate::http::private::page::fragment::Fragment;
use crate::http::private::page::overview::{KnownInput, Status};
use crate::http::private::page::snapshot::Snapshot;
use crate::http::private::page::time::ShortTime;
use crate::http::private::page::today::{HoursAndMinutes, today};
use crate::live::View;
use crate::timeline::Today;

#[derive(Template)]
#[template(path = "input_row.html", config = "src/http/private/page/askama.toml")]
struct Row<'a> {
    id: &'a str,
    /// Empty if it has none.
    name: &'a str,
    /// Empty if all inputs have the same.
    account: Cow<'a, str>,
    status: Status,
    /// Whether an encoder cannot connect, by Cloudflare's API.
    is_disabled: bool,
    since: Option<ShortTime>,
    expected: Expected<'a>,
    error: Option<LastError>,
    /// `None` until the last day was read.
    today: Option<Today>,
    bar: String,
    has_grafana: bool,
    /// Whether its page in Cloudflare's dashboard is known.
    has_cloudflare: bool,
}

struct LastError {
    code: ErrorCode,
    at: ShortTime,
    /// Its meaning and remedy, unless a row above has them.
    explanation: Option<ErrorClass>,
}

/// The row of an input. The first row with an error of a class explains it: `explained` has the classes of rows above.
pub(super) fn row(
    known: &KnownInput<'_>,
    view: &View,
    snapshot: &Snapshot,
    has_accounts: bool,
    explained: &mut Vec<ErrorClass>,
) -> Fragment {
    let KnownInput { id, name, input, status, since, .. } = *known;
    let (state, short) = (view.gauge_state(), |at| ShortTime { at, now: snapshot.now });
    let plan = state.plan(&id);
    let days = snapshot.days.as_ref();
    let digits = id.digits();
    let row = Row {
        id: str::from_utf8(&digits).unwrap_or_default(),
        name,
        account: if has_accounts { state.account(&id, input) } else { Cow::Borrowed("") },
        status,
        is_disabled: state.listed(&id).is_some_and(|(_, listed)| listed.enabled == Some(false)),
        since: since.map(short),
        expected: Expected::of(&plan, state.exception(&id, snapshot.now), snapshot.now),
        error: input.errors.newest().map(|(at, code)| {
            let class = code.class();
            let is_new = !explained.contains(&class);
            explained.extend(is_new.then_some(class));
            LastError { code, at: short(at), explanation: is_new.then_some(class) }
        }),
        today: days.map(|days| known.today.unwrap_or_else(|| today(known, days, state, snapshot.now))),
        bar: days.map(|days| days.of(&id, input).bar(snapshot.now, &plan).svg()).unwrap_or_default(),
        has_grafana: snapshot.configuration.grafana_url.is_some(),
        has_cloudflare: state.account_id(&id, input).is_some(),
    };
    Fragment::new(format!("row-{id}"), &row)
}

impl Row<'_> {
    fn on_air(&self, today: &Today) -> HoursAndMinutes {
        HoursAndMinutes(today.time_on_air)
    }
}

impl LastError {
    fn code(&self) -> &str {
        Some(self.code.as_str()).filter(|code| !code.is_empty()).unwrap_or("no code")
    }
}
