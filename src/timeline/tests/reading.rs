//! Days and histories, read from real journals.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::event::{Corrected, Correction, Rules, ScheduleException};
use crate::journal::{Checkpoint, Location, Reader, SqliteJournal};
use crate::live::{Fold, Input, State, Verdict, apply};
use crate::schedule::{Expectation, Plan};
use crate::timeline::reader::read_days;
use crate::timeline::scan::read_since;
use crate::timeline::{BarState, Day, Days, InputHistory, Reach, Timelines, Today};

const CONNECTED: EventKind = EventKind::Connected;
const DISCONNECTED: EventKind = EventKind::Disconnected;

/// A journal, and the state that its records lead to.
struct World {
    journal: SqliteJournal,
    fold: Fold,
}

impl World {
    fn new(folder: &Path) -> Self {
        let mut journal = SqliteJournal::open(folder).unwrap();
        journal.recover_wal().unwrap();
        let minute = Duration::from_secs(60);
        let rules = Rules { reconnect_window: minute, reorder_window: minute, max_inputs: 10, ..Rules::default() };
        Self { journal, fold: Fold::new(rules) }
    }

    fn record(&mut self, mut record: Record) {
        let (changes, verdicts) = apply(&self.fold, std::slice::from_ref(&record));
        self.fold.adopt(changes);
        let Verdict::Recorded(note) = verdicts[0] else { panic!("{verdicts:?}") };
        if let RecordKind::Event(_, noted) = &mut record.kind {
            *noted = note;
        }
        self.journal.append(&mut [record]).unwrap();
    }

    fn events(&mut self, events: &[(EventKind, &str)]) {
        events.iter().for_each(|(kind, clock)| self.record(event(kind.clone(), at(clock))));
    }

    fn state(&self) -> &State {
        self.fold.state()
    }

    fn input(&self) -> Input {
        self.state().known_input(&INPUT).map(|entry| entry.input.clone()).unwrap_or_default()
    }

    fn day<'d>(&self, days: &'d Days) -> Day<'d> {
        days.of(&INPUT, &self.input())
    }

    /// Minutes unknown, off air, on air, off air while expected, up to this time.
    fn minutes(&self, days: &Days, now: &str, plan: &Plan<'_>) -> [u64; 4] {
        let bar = self.day(days).bar(at(now), plan);
        BarState::ALL.map(|state| bar.duration(state).as_secs() / 60)
    }

    fn today(&self, days: &Days, now: &str) -> Today {
        self.day(days).today(at("00:00:00"), at(now), self.state().rules())
    }
}

fn correction(to: Corrected, clock: &str) -> Record {
    let correction =
        Correction { input_id: INPUT, to, at: at(clock), user: Some("anna".into()), reason: Some("lost".into()) };
    Record { recorded_at: at(clock), ..Record::new(RecordKind::Correction(correction)) }
}

fn never() -> Plan<'static> {
    Plan::new(None, None)
}

#[test]
fn day_follows_late_events_and_corrections_and_is_unknown_before_and_after_the_input_was_known() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path());
    world.events(&[(CONNECTED, "06:00:00"), (DISCONNECTED, "08:00:00")]);
    let timelines = Timelines::new(Location::Folder(folder.path().to_owned()));
    let days = timelines.days(at("12:00:00")).expect("a small journal is read at once");
    assert_eq!(world.minutes(&days, "12:00:00", &never()), [12 * 60 - 5 + 6 * 60, 4 * 60, 2 * 60, 0]);

    // Late: it was off air from 06:30 to 07:00.
    world.record(Record { recorded_at: at("09:00:00"), ..event(DISCONNECTED, at("06:30:00")) });
    world.record(Record { recorded_at: at("09:00:00"), ..event(CONNECTED, at("07:00:00")) });
    world.record(correction(Corrected::Connected, "10:00:00"));
    let days = timelines.days(at("12:00:00")).unwrap();
    assert_eq!(world.minutes(&days, "12:00:00", &never()), [18 * 60 - 5, 150, 210, 0]);
    let today = Today { disconnects: 2, reconnects: 0, time_on_air: Duration::from_secs(210 * 60) };
    assert_eq!(world.today(&days, "12:00:00"), today);

    world.record(correction(Corrected::Forgotten, "11:00:00"));
    let days = timelines.days(at("12:00:00")).unwrap();
    assert_eq!(world.minutes(&days, "12:00:00", &never()), [19 * 60 - 5, 150, 150, 0]);
    assert_eq!(timelines.problem(), None);
}

#[test]
fn expectation_of_a_bar_is_the_configured_one_with_the_exceptions_of_the_day() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path());
    world.events(&[(CONNECTED, "00:00:00"), (DISCONNECTED, "06:00:00")]);
    let always = Expectation::Always;
    let plan = Plan::new(Some(&always), None);
    let read = || read_days(&SqliteJournal::open_to_read(folder.path()).unwrap(), at("12:00:00")).unwrap();
    assert_eq!(world.minutes(&read(), "12:00:00", &plan)[1..], [0, 360, 360]);
    let except = |expected, until: &str, clock: &str| {
        let (user, reason) = (None, None);
        let exception = ScheduleException { input_id: INPUT, expected, until: at(until), at: at(clock), user, reason };
        Record { recorded_at: at(clock), ..Record::new(RecordKind::Exception(exception)) }
    };
    world.record(except(Some(false), "08:00:00", "07:00:00"));
    assert_eq!(world.minutes(&read(), "12:00:00", &plan)[1..], [60, 360, 300]);
    world.record(except(Some(false), "20:00:00", "09:00:00"));
    world.record(except(None, "09:30:00", "09:30:00"));
    assert_eq!(world.minutes(&read(), "12:00:00", &plan)[1..], [90, 360, 270]);

    // Without its records, what the state has is used.
    let unread = Days::new(0, at("00:00:00"), false);
    let current = world.state().plan(&INPUT).newest_exception();
    let bar = world.day(&unread).bar(at("12:00:00"), &Plan::new(Some(&always), current));
    assert_eq!(bar.duration(BarState::Off), Duration::from_secs(30 * 60));
}

#[test]
fn input_without_records_of_the_day_is_as_its_state_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path());
    world.record(event(CONNECTED, at("06:00:00").minus(hours(48))));
    let days = Days::new(1, at("00:00:00").minus(hours(12)), false);
    assert_eq!(world.minutes(&days, "12:00:00", &never()), [0, 0, 24 * 60 - 5, 0]);
    assert_eq!(world.today(&days, "12:00:00").time_on_air, hours(12));
}

#[test]
fn changes_of_earlier_days_are_dropped_and_lead_to_the_same_bar() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path());
    let old = |clock: &str| at(clock).minus(hours(48));
    world.record(event(CONNECTED, old("06:00:00")));
    world.record(event(DISCONNECTED, old("07:00:00")));
    world.record(event(CONNECTED, old("08:00:00")));
    world.events(&[(DISCONNECTED, "06:00:00")]);
    let reader = SqliteJournal::open_to_read(folder.path()).unwrap();
    let days = read_days(&reader, at("12:00:00")).unwrap();
    assert_eq!(world.minutes(&days, "12:00:00", &never()), [0, 6 * 60, 18 * 60 - 5, 0]);
    let today = Today { disconnects: 1, reconnects: 0, time_on_air: hours(6) };
    assert_eq!(world.today(&days, "12:00:00"), today);
}

#[test]
fn unreadable_journal_is_a_problem_of_the_page_only() {
    let folder = tempfile::tempdir().unwrap();
    let timelines = Timelines::new(Location::Folder(folder.path().to_owned()));
    assert!(timelines.days(at("12:00:00")).is_none());
    assert!(timelines.problem().is_some_and(|problem| problem.contains("journal.db")));
}

/// Connects and disconnects in turn, a second apart.
fn flaps(count: u64) -> Vec<Record> {
    let kind = |second: u64| if second.is_multiple_of(2) { DISCONNECTED } else { CONNECTED };
    (1..=count).map(|second| event(kind(second), after(second))).collect()
}

fn after(seconds: u64) -> Timestamp {
    at("00:00:00").plus(Duration::from_secs(seconds))
}

#[test]
fn first_record_since_a_time_is_found_also_after_older_ones_were_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path());
    let reader = SqliteJournal::open_to_read(folder.path()).unwrap();
    assert_eq!(reader.first_since(after(0)).unwrap(), None);
    world.journal.append(&mut flaps(100)).unwrap();
    let first_since = |second| reader.first_since(after(second)).unwrap().map(|(position, _)| position);
    assert_eq!([0, 1, 50, 100, 101].map(first_since), [Some(1), Some(1), Some(50), Some(100), None]);

    let checkpoint = Checkpoint { position: 100, rules: Rules::default(), version: 1, state: "{}".to_owned() };
    world.journal.save_checkpoint(&checkpoint, std::iter::empty()).unwrap();
    assert_eq!(world.journal.expire(after(40), after(1000), 1000).unwrap(), 39);
    assert_eq!([0, 40, 50, 100, 101].map(first_since), [Some(40), Some(40), Some(50), Some(100), None]);
}

#[test]
fn history_of_an_input_is_read_once_and_then_only_its_new_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path());
    world.journal.append(&mut flaps(100)).unwrap();
    let reader = SqliteJournal::open_to_read(folder.path()).unwrap();
    let read = |known: &InputHistory| read_since(&reader, INPUT, known).unwrap().0;
    let history = read(&InputHistory::default());
    assert_eq!((history.records().len(), history.reach()), (100, Reach::Everything));
    let sessions = history.sessions(&Input::default(), Duration::ZERO);
    assert_eq!(sessions.len(), 50);
    assert_eq!(sessions[0].length(), Some(Duration::from_secs(1)));
    assert_eq!(history.sessions(&Input::default(), Duration::from_secs(60))[0].session.reconnects, 49);

    world.journal.append(&mut flaps(101)[100..]).unwrap();
    // Only what is remembered has this record.
    let remembered = InputHistory { records: Arc::new(flaps(3)), ..history };
    let longer = read(&remembered);
    assert_eq!(longer.records().map(|record| record.position).collect::<Vec<_>>(), [101, 0, 0, 0]);
    assert_eq!(longer.sessions(&Input::default(), Duration::ZERO)[0].session.ended, None);
}

#[test]
fn history_of_an_input_that_flaps_all_day_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path());
    world.journal.append(&mut flaps(25_001)).unwrap();
    let reader = SqliteJournal::open_to_read(folder.path()).unwrap();
    let (history, is_whole) = read_since(&reader, INPUT, &InputHistory::default()).unwrap();
    assert_eq!((history.records().len(), history.reach(), is_whole), (1000, Reach::Limit, true));
    let sessions = history.sessions(&Input::default(), Duration::ZERO);
    // The oldest record is a disconnect: its session began before.
    assert_eq!((sessions.len(), sessions.last().unwrap().session.began), (501, None));
    let (other, _) = read_since(&reader, InputId::from_bytes([2; 16]), &InputHistory::default()).unwrap();
    assert_eq!((other.records().len(), other.reach()), (0, Reach::Everything));
}
