//! Which inputs a page of the list shows, and in which order.

use std::cmp::Ordering;
use std::ops::Range;

use super::list_query::{ListQuery, Sort, StateFilter};
use super::overview::{KnownInput, Overview, Urgency};
use super::today::today;
use crate::http::private::input_summary::InputState;
use crate::live::View;
use crate::timeline::{Days, Today};

/// Number of inputs on a page.
pub(super) const PAGE_SIZE: usize = 100;

/// A page of the list.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    /// The inputs of the page, in order.
    pub(super) inputs: Vec<KnownInput<'a>>,
    /// The page, from 1: the last one if the query asks for a later one, because inputs can be forgotten.
    pub(super) page: usize,
    /// Number of pages, at least 1.
    pub(super) pages: usize,
    /// Number of inputs that the filters leave.
    pub(super) matching: usize,
}

impl<'a> Selection<'a> {
    /// The inputs that a query asks for.
    pub(super) fn of(overview: &Overview<'a>, query: &ListQuery, view: &View, days: Option<&Days>) -> Self {
        let state = view.gauge_state();
        let search = query.search.to_lowercase();
        let matches = |input: &&KnownInput<'a>| {
            query.state.is_none_or(|filter| has_state(input, filter))
                && (query.account.is_empty() || state.account(&input.id, input.input) == query.account)
                && (search.is_empty() || contains(input, &search))
        };
        let mut inputs: Vec<KnownInput<'a>> = overview.inputs.iter().filter(matches).copied().collect();
        if let Some(days) = days.filter(|_| query.sort.needs_today()) {
            for input in &mut inputs {
                input.today = Some(today(input, days, state, view.wall_clock));
            }
        }
        let matching = inputs.len();
        let pages = matching.div_ceil(PAGE_SIZE).max(1);
        let page = query.page.min(pages);
        let first = (page - 1) * PAGE_SIZE;
        sort_part(&mut inputs, first..matching.min(first + PAGE_SIZE), |a, b| compare(a, b, query));
        Self { inputs, page, pages, matching }
    }
}

fn has_state(input: &KnownInput<'_>, filter: StateFilter) -> bool {
    match filter {
        StateFilter::Live => input.status.state == InputState::Connected,
        StateFilter::Off => input.status.state == InputState::Disconnected,
        StateFilter::OffExpected => input.status.state == InputState::Disconnected && input.status.expected,
        StateFilter::Unknown => input.status.state == InputState::Unknown,
    }
}

/// Whether name or id contain this text, in lower case.
fn contains(input: &KnownInput<'_>, search: &str) -> bool {
    let digits = input.id.digits();
    let id = str::from_utf8(&digits).unwrap_or_default();
    id.contains(search) || (!input.name.is_empty() && input.name.to_lowercase().contains(search))
}

/// Leaves the part of the list that sorting all of it would put at these positions. To sort ten thousand inputs takes
/// longer than all the rest of the page.
fn sort_part<T>(list: &mut Vec<T>, part: Range<usize>, compare: impl Fn(&T, &T) -> Ordering) {
    if part.end < list.len() {
        list.select_nth_unstable_by(part.end, &compare);
        list.truncate(part.end);
    }
    if part.start > 0 {
        list.select_nth_unstable_by(part.start, &compare);
        list.drain(..part.start);
    }
    list.sort_unstable_by(compare);
}

/// Inputs without a value are last in both orders; equal inputs are in the order of their names.
fn compare(a: &KnownInput<'_>, b: &KnownInput<'_>, query: &ListQuery) -> Ordering {
    let unnamed = |input: &KnownInput<'_>| input.name.is_empty();
    let counts = |of: fn(&Today) -> u64| a.today.as_ref().map(of).cmp(&b.today.as_ref().map(of));
    let ordered = |ordering: Ordering| if query.descending { ordering.reverse() } else { ordering };
    let primary = match query.sort {
        Sort::Status => ordered(a.urgency().cmp(&b.urgency()).then_with(|| worse(a, b))),
        Sort::Name => unnamed(a).cmp(&unnamed(b)).then_with(|| ordered(compare_names(a.name, b.name))),
        Sort::Since => a.since.is_none().cmp(&b.since.is_none()).then_with(|| ordered(a.since.cmp(&b.since))),
        Sort::Expected => ordered(b.status.expected.cmp(&a.status.expected)),
        Sort::Disconnects => ordered(counts(|today| today.disconnects)),
        Sort::Reconnects => ordered(counts(|today| today.reconnects)),
        Sort::OnAir => ordered(counts(|today| today.time_on_air.as_secs() / 60)),
        Sort::Error => {
            a.error_at.is_none().cmp(&b.error_at.is_none()).then_with(|| ordered(a.error_at.cmp(&b.error_at)))
        }
    };
    let by_name = || unnamed(a).cmp(&unnamed(b)).then_with(|| compare_names(a.name, b.name));
    primary.then_with(by_name).then_with(|| a.id.cmp(&b.id))
}

/// The order of inputs with the same urgency: the longest outage first, then the newest error.
pub(super) fn worse(a: &KnownInput<'_>, b: &KnownInput<'_>) -> Ordering {
    match a.urgency() {
        Urgency::OffAirWhileExpected => a.since.cmp(&b.since),
        Urgency::RecentError => b.error_at.cmp(&a.error_at),
        Urgency::UnknownWhileExpected | Urgency::OnAir | Urgency::OffAir | Urgency::Unknown => Ordering::Equal,
    }
}

/// Without regard to the case of ASCII letters.
fn compare_names(a: &str, b: &str) -> Ordering {
    let a = a.bytes().map(|byte| byte.to_ascii_lowercase());
    a.cmp(b.bytes().map(|byte| byte.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests;
