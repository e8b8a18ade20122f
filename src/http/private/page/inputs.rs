//! The list of inputs: a form to search and filter it, and a table in pages, the worst input first.

mod row;

use std::borrow::Cow;
use std::collections::BTreeSet;

use askama::Template;

use self::row::row;
use super::fragment::Fragment;
use super::list_query::{ListQuery, MAX_TEXT, Sort, StateFilter};
use super::order::{PAGE_SIZE, Selection};
use super::overview::Overview;
use super::snapshot::Snapshot;
use crate::live::View;

/// What a column is sorted by, and its head.
const COLUMNS: [(Sort, &str); 8] = [
    (Sort::Name, "Input"),
    (Sort::Status, "State"),
    (Sort::Since, "Since"),
    (Sort::Expected, "Expected"),
    (Sort::Error, "Last error"),
    (Sort::Disconnects, "Disconnects today"),
    (Sort::Reconnects, "Reconnects today"),
    (Sort::OnAir, "On air today"),
];

const STATES: [(StateFilter, &str); 4] = [
    (StateFilter::Live, "on air"),
    (StateFilter::Off, "off air"),
    (StateFilter::OffExpected, "off air while expected"),
    (StateFilter::Unknown, "unknown"),
];

/// The heading and the form. They change only with the query and the accounts, so that an update does not replace a form
/// that is being filled in.
#[derive(Template)]
#[template(path = "inputs_head.html", config = "src/http/private/page/askama.toml")]
struct Head<'a> {
    query: &'a ListQuery,
    /// The names of the accounts, if there are several.
    accounts: BTreeSet<Cow<'a, str>>,
}

/// How many inputs there are, and links to other pages.
#[derive(Template)]
#[template(path = "inputs_count.html", config = "src/http/private/page/askama.toml")]
struct Count<'a> {
    id: &'static str,
    label: &'static str,
    query: &'a ListQuery,
    selection: &'a Selection<'a>,
    known: usize,
}

/// The table up to its rows.
#[derive(Template)]
#[template(path = "inputs.html", config = "src/http/private/page/askama.toml")]
struct Table<'a> {
    query: &'a ListQuery,
    columns: [(Sort, &'static str); 8],
}

/// The list as a query asks for it; nothing until the state is restored.
pub(super) fn fragments(snapshot: &Snapshot, overview: &Overview<'_>, query: &ListQuery) -> Vec<Fragment> {
    let Some(view) = &snapshot.view else { return Vec::new() };
    let accounts = accounts(overview, view);
    let selection = Selection::of(overview, query, view, snapshot.days.as_ref());
    let mut explained = Vec::new();
    let rows =
        selection.inputs.iter().map(|input| row(input, view, snapshot, !accounts.is_empty(), &mut explained)).collect();
    let count = |id, label| {
        let known = overview.inputs.len();
        Fragment::new(id, &Count { id, label, query, selection: &selection, known })
    };
    let mut fragments = vec![
        Fragment::new("inputs-head", &Head { query, accounts }),
        count("inputs-pages", "Pages of inputs"),
        Fragment::with_rows("inputs", &Table { query, columns: COLUMNS }, rows, "</tbody></table>"),
    ];
    if selection.pages > 1 {
        fragments.push(count("inputs-pages-below", "Pages of inputs, below"));
    }
    fragments
}

/// The accounts of the inputs; empty if all have the same.
fn accounts<'a>(overview: &Overview<'a>, view: &'a View) -> BTreeSet<Cow<'a, str>> {
    let ids: BTreeSet<_> =
        overview.inputs.iter().filter_map(|known| view.gauge_state().account_id(&known.id, known.input)).collect();
    if ids.len() < 2 {
        BTreeSet::new()
    } else {
        ids.into_iter().map(|id| view.gauge_state().account_name(id)).collect()
    }
}

impl Head<'_> {
    fn sort(&self) -> &'static str {
        self.query.sort.label()
    }

    /// All inputs in the same order.
    fn all_link(&self) -> String {
        ListQuery { sort: self.query.sort, descending: self.query.descending, ..ListQuery::default() }.link()
    }
}

impl Table<'_> {
    fn aria_sort(&self, sort: &Sort) -> Option<&'static str> {
        self.query.aria_sort(*sort)
    }

    fn sort_link(&self, sort: &Sort) -> String {
        self.query.sort_link(*sort)
    }
}

impl Count<'_> {
    fn first(&self) -> String {
        self.query.page_link(1)
    }

    fn previous(&self) -> String {
        self.query.page_link(self.selection.page - 1)
    }

    fn next(&self) -> String {
        self.query.page_link(self.selection.page + 1)
    }

    fn last(&self) -> String {
        self.query.page_link(self.selection.pages)
    }

    /// Positions of the first and the last input of the page, from 1.
    fn range(&self) -> (usize, usize) {
        let before = (self.selection.page - 1) * PAGE_SIZE;
        (before + 1, before + self.selection.inputs.len())
    }
}

#[cfg(test)]
mod tests;
