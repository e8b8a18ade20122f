//! The banner: whether everything is on air, and if not, which input, since when, why, and what to do.
//!
//! The worst problem comes first: if the exporter cannot record notifications, or receives none, what the page says about
//! inputs may be out of date. Requests with a wrong secret come after it, because anyone can send them.

mod reception;

use std::cmp::Reverse;

use askama::Template;

use self::reception::{NotReceiving, Reception};
use super::fragment::Fragment;
use super::list_query::{ListQuery, Sort, StateFilter};
use super::order::worse;
use super::overview::{KnownInput, Overview, RECENT_ERROR, Urgency};
use super::runbook;
use super::snapshot::Snapshot;
use super::time::Time;
use crate::event::{ErrorCode, InputId, Timestamp};
use crate::live::SharedStatus;

/// Number of inputs that a problem names.
const NAMED: usize = 3;

/// What the banner says.
#[derive(Debug, PartialEq, Template)]
#[template(path = "banner.html", config = "src/http/private/page/askama.toml")]
pub(super) struct Banner<'a> {
    /// The worst first.
    problems: Vec<Problem<'a>>,
    known: usize,
    on_air: usize,
    expected: usize,
    /// Number of inputs that are not among the problems and had an error within the last minutes.
    recent_errors: usize,
    /// Rejected requests without a secret since the last accepted delivery, and the newest one. Anyone can send them.
    without_secret: Option<(usize, Time)>,
}

/// What is wrong.
#[derive(Debug, PartialEq)]
enum Problem<'a> {
    /// The journal is being read.
    Restoring(&'a str),
    Draining,
    /// Notifications cannot be recorded.
    NotReady {
        cause: &'a str,
        since: Option<Time>,
        /// The journal is shared, so the disk of this replica may not be the cause.
        is_shared: bool,
    },
    /// The shared journal is away. Notifications wait in the spool.
    JournalAway {
        since: Option<Time>,
        spooled: u64,
        limit: u64,
    },
    NotReceiving(NotReceiving<'a>),
    /// Inputs are off air while they are expected, the longest outage first.
    OffAir {
        named: Vec<Named<'a>>,
        count: usize,
    },
    /// Nothing is known of inputs that are expected.
    Unknown {
        named: Vec<Named<'a>>,
        count: usize,
    },
}

/// An input that a problem names.
#[derive(Debug, PartialEq)]
struct Named<'a> {
    id: InputId,
    name: &'a str,
    since: Option<Time>,
    /// The newest error, if the input has been off air since it or the error came after.
    error: Option<(ErrorCode, Time)>,
}

/// How bad the worst problem is: the class of the banner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warn,
    Bad,
}

/// The banner of a snapshot.
pub(super) fn fragment(snapshot: &Snapshot, overview: &Overview<'_>) -> Fragment {
    Fragment::new("banner", &Banner::of(snapshot, overview))
}

impl<'a> Banner<'a> {
    fn of(snapshot: &'a Snapshot, overview: &Overview<'a>) -> Self {
        let mut problems: Vec<_> = not_ready(snapshot).into_iter().collect();
        let mut without_secret = None;
        if let Some(view) = &snapshot.view {
            problems.extend(view.shared.and_then(journal_away));
            let reception = Reception::of(&view.state, &snapshot.rejected, &snapshot.api_accounts);
            // While the exporter is not ready, it rejects everything.
            problems.extend(reception.problem.filter(|_| snapshot.failing.is_none()).map(Problem::NotReceiving));
            without_secret = reception.without_secret.map(|(count, newest)| (count, Time(newest)));
        }
        let (named, count) = name_worst(overview, Urgency::OffAirWhileExpected);
        problems.extend((count > 0).then_some(Problem::OffAir { named, count }));
        let (named, count) = name_worst(overview, Urgency::UnknownWhileExpected);
        problems.extend((count > 0).then_some(Problem::Unknown { named, count }));
        problems.sort_by_key(|problem| Reverse(problem.level()));
        Self {
            problems,
            known: overview.inputs.len(),
            on_air: overview.on_air,
            expected: overview.expected,
            recent_errors: overview.inputs.iter().filter(|input| input.urgency() == Urgency::RecentError).count(),
            without_secret,
        }
    }

    fn level(&self) -> Level {
        self.problems.iter().map(Problem::level).max().unwrap_or(Level::Ok)
    }

    fn class(&self) -> &'static str {
        match self.level() {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Bad => "bad",
        }
    }

    fn headline(&self, problem: &Problem<'_>) -> String {
        let expected = self.expected;
        match problem {
            Problem::Restoring(_) => "Starting: the journal is being restored".to_owned(),
            Problem::Draining => "Not ready: the daemon is shutting down".to_owned(),
            Problem::NotReady { .. } => "Not ready: notifications cannot be recorded".to_owned(),
            Problem::JournalAway { .. } => "The journal is away: notifications wait in the spool".to_owned(),
            Problem::NotReceiving(NotReceiving::Rejected { is_authenticated: true, .. }) => {
                "Not receiving: deliveries are rejected".to_owned()
            }
            Problem::NotReceiving(NotReceiving::Rejected { is_authenticated: false, .. }) => {
                "Requests are rejected for their secret".to_owned()
            }
            Problem::NotReceiving(NotReceiving::DestinationFailing { .. }) => {
                "Not receiving: Cloudflare's last delivery failed".to_owned()
            }
            Problem::NotReceiving(NotReceiving::PolicyNotDelivering { .. }) => {
                "Not receiving: the notification policy does not deliver".to_owned()
            }
            Problem::NotReceiving(NotReceiving::NothingReceived) => {
                "Not receiving: nothing was received yet".to_owned()
            }
            Problem::OffAir { count, .. } => format!("{count} of {expected} expected inputs off air"),
            Problem::Unknown { count, .. } => format!("{count} of {expected} expected inputs in an unknown state"),
        }
    }

    /// The headline without a problem.
    fn all_well(&self) -> &'static str {
        if self.expected > 0 { "All expected inputs on air" } else { "No input is expected now" }
    }

    /// The runbook of a shared journal that is away.
    fn runbook() -> String {
        runbook::section(runbook::JOURNAL_AWAY)
    }

    /// Whether anything is known of the inputs.
    fn is_restored(&self) -> bool {
        !self.problems.iter().any(|problem| matches!(problem, Problem::Restoring(_)))
    }

    /// The list with one state only.
    fn link(state: StateFilter) -> String {
        ListQuery { state: Some(state), ..ListQuery::default() }.link()
    }

    /// The list with the newest errors first.
    fn errors_link() -> String {
        ListQuery { sort: Sort::Error, descending: true, ..ListQuery::default() }.link()
    }
}

impl Problem<'_> {
    fn level(&self) -> Level {
        match self {
            Self::Restoring(_)
            | Self::Draining
            | Self::NotReceiving(
                NotReceiving::NothingReceived | NotReceiving::Rejected { is_authenticated: false, .. },
            )
            | Self::Unknown { .. } => Level::Warn,
            Self::NotReady { .. } | Self::JournalAway { .. } | Self::NotReceiving(_) | Self::OffAir { .. } => {
                Level::Bad
            }
        }
    }
}

/// Why the daemon is not ready, from the check that fails.
fn not_ready(snapshot: &Snapshot) -> Option<Problem<'_>> {
    let failing = snapshot.failing.as_deref();
    let (check, cause) = match failing {
        Some(failing) => failing.split_once(": ").unwrap_or(("", failing)),
        None if snapshot.view.is_none() => ("restoring", "the journal is being read"),
        None => return None,
    };
    Some(match check {
        "restoring" => Problem::Restoring(cause),
        "draining" => Problem::Draining,
        _ => {
            let is_shared = snapshot.view.as_ref().is_some_and(|view| view.shared.is_some());
            Problem::NotReady { cause, since: snapshot.failing_since.map(Time), is_shared }
        }
    })
}

/// Whether the shared journal is away.
fn journal_away(shared: SharedStatus) -> Option<Problem<'static>> {
    let SharedStatus { connected, away_since, spooled_records, spool_limit_records, .. } = shared;
    (!connected).then(|| Problem::JournalAway {
        since: away_since.map(Time),
        spooled: spooled_records,
        limit: spool_limit_records,
    })
}

/// The worst inputs of this urgency, and the number of all of them.
fn name_worst<'a>(overview: &Overview<'a>, urgency: Urgency) -> (Vec<Named<'a>>, usize) {
    let mut inputs: Vec<&KnownInput<'a>> = overview.inputs.iter().filter(|input| input.urgency() == urgency).collect();
    inputs.sort_by(|a, b| worse(a, b));
    (inputs.iter().take(NAMED).map(|input| Named::of(input)).collect(), inputs.len())
}

impl<'a> Named<'a> {
    fn label(&self) -> String {
        if self.name.is_empty() { self.id.to_string() } else { self.name.to_owned() }
    }

    fn of(input: &KnownInput<'a>) -> Self {
        let KnownInput { id, name, since, .. } = *input;
        let newest = input.input.errors.newest();
        let is_cause = |at: Timestamp| since.is_none_or(|since| at.plus(RECENT_ERROR) > since);
        let error = newest.filter(|(at, _)| is_cause(*at)).map(|(at, code)| (code, Time(at)));
        Self { id, name, since: since.map(Time), error }
    }
}

#[cfg(test)]
mod tests;
