use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

const EVERY_DAY: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn clock(text: &str) -> Time {
    text.parse().unwrap()
}

fn weekly(days: &[Weekday], from: &str, to: &str, zone: &str) -> Window {
    let days = days.iter().copied().collect();
    Window::weekly(days, clock(from), clock(to), TimeZone::get(zone).unwrap())
}

fn dated(from: &str, until: &str) -> Window {
    Window::dated(at(from), at(until)).unwrap()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// The first changes of these windows after `after`: `+` marks an instant from which the input is
/// expected, `-` one from which it is not.
fn check(windows: &[Window], after: &str, changes: &str) {
    let schedule = Schedule::new(windows.to_vec());
    let count = changes.split_whitespace().count();
    let found: Vec<String> = schedule
        .changes(at(after), count.max(1))
        .iter()
        .map(|change| format!("{}{}", if change.expected { '+' } else { '-' }, change.at))
        .collect();
    assert_eq!(found.join(" "), changes.split_whitespace().collect::<Vec<_>>().join(" "), "after {after}");
}

#[test]
fn weekly_window_opens_and_closes_in_local_time() {
    let sunday = weekly(&[Weekday::Sunday], "10:00", "12:00", "Europe/London");
    check(
        &[sunday],
        "2026-03-21T00:00:00Z",
        "+2026-03-22T10:00:00Z -2026-03-22T12:00:00Z +2026-03-29T09:00:00Z -2026-03-29T11:00:00Z",
    );
}

#[test]
fn window_includes_its_start_and_excludes_its_end() {
    let schedule = Schedule::new(vec![weekly(&[Weekday::Monday], "10:00", "12:00", "UTC")]);
    for (time, open) in [
        ("2026-11-23T09:59:59.999999999Z", false),
        ("2026-11-23T10:00:00Z", true),
        ("2026-11-23T11:59:59.999999999Z", true),
        ("2026-11-23T12:00:00Z", false),
        ("2026-11-24T11:00:00Z", false),
    ] {
        assert_eq!(schedule.at(at(time)), open, "{time}");
    }
}

#[test]
fn window_can_cross_midnight() {
    let night = weekly(&[Weekday::Friday], "22:00", "02:00", "America/New_York");
    check(&[night], "2026-11-20T12:00:00Z", "+2026-11-21T03:00:00Z -2026-11-21T07:00:00Z");
    let night = weekly(&[Weekday::Friday], "22:00", "02:00", "America/New_York");
    assert!(Schedule::new(vec![night]).at(at("2026-11-21T06:00:00Z")));
}

#[test]
fn adjacent_days_form_one_window() {
    let weekend = weekly(&[Weekday::Saturday, Weekday::Sunday], "00:00", "00:00", "UTC");
    check(&[weekend], "2026-11-23T00:00:00Z", "+2026-11-28T00:00:00Z -2026-11-30T00:00:00Z +2026-12-05T00:00:00Z");
    check(&[weekly(&EVERY_DAY, "06:00", "06:00", "Europe/Berlin")], "2026-03-28T00:00:00Z", "");
}

/// In Berlin, 2:00 becomes 3:00 on 2026-03-29, and 3:00 becomes 2:00 on 2026-10-25.
#[test]
fn daylight_saving_change_shortens_or_lengthens_a_night() {
    let night = || weekly(&[Weekday::Saturday], "22:00", "06:00", "Europe/Berlin");
    check(&[night()], "2026-03-28T12:00:00Z", "+2026-03-28T21:00:00Z -2026-03-29T04:00:00Z");
    check(&[night()], "2026-10-24T12:00:00Z", "+2026-10-24T20:00:00Z -2026-10-25T05:00:00Z");
}

/// In London, 1:00 becomes 2:00 on 2027-03-28.
#[test]
fn skipped_start_or_end_is_the_moment_of_the_jump() {
    let london = |from, to| [weekly(&[Weekday::Sunday], from, to, "Europe/London")];
    let check = |from, to, changes| check(&london(from, to), "2027-03-27T12:00:00Z", changes);
    check("01:30", "02:30", "+2027-03-28T01:00:00Z -2027-03-28T01:30:00Z");
    check("01:00", "03:00", "+2027-03-28T01:00:00Z -2027-03-28T02:00:00Z");
    check("00:30", "01:30", "+2027-03-28T00:30:00Z -2027-03-28T01:00:00Z");
    check("00:30", "02:00", "+2027-03-28T00:30:00Z -2027-03-28T01:00:00Z");
    check("01:59", "01:30", "+2027-03-28T01:00:00Z -2027-03-29T00:30:00Z");
}

#[test]
fn skipped_window_lasts_no_time() {
    let skipped = || weekly(&[Weekday::Sunday], "01:15", "01:45", "Europe/London");
    let next = "+2027-04-04T00:15:00Z -2027-04-04T00:45:00Z";
    check(&[skipped()], "2027-03-27T12:00:00Z", next);
    let graced = skipped().with_grace(minutes(10), minutes(10)).unwrap();
    check(&[graced], "2027-03-27T12:00:00Z", "+2027-04-04T00:05:00Z -2027-04-04T00:55:00Z");
    let exact = weekly(&[Weekday::Sunday], "01:00", "02:00", "Europe/London");
    check(&[exact], "2027-03-27T12:00:00Z", "+2027-04-04T00:00:00Z -2027-04-04T01:00:00Z");
}

#[test]
fn graces_count_from_the_moment_of_the_jump() {
    let graced = |before, after| {
        let window = weekly(&[Weekday::Sunday], "01:30", "02:30", "Europe/London");
        window.with_grace(minutes(before), minutes(after)).unwrap()
    };
    check(&[graced(10, 5)], "2027-03-27T12:00:00Z", "+2027-03-28T00:50:00Z -2027-03-28T01:35:00Z");
    check(&[graced(-2, -5)], "2027-03-27T12:00:00Z", "+2027-03-28T01:02:00Z -2027-03-28T01:25:00Z");
    // The negative graces leave nothing of the half hour.
    check(&[graced(-20, -20)], "2027-03-27T12:00:00Z", "+2027-04-04T00:50:00Z");
}

#[test]
fn skipped_times_of_other_zones_are_the_moment_of_the_jump() {
    // 2:00 becomes 2:30.
    let half_hour = weekly(&[Weekday::Sunday], "02:10", "03:00", "Australia/Lord_Howe");
    check(&[half_hour], "2026-10-03T00:00:00Z", "+2026-10-03T15:30:00Z -2026-10-03T16:00:00Z");
    // 0:00 becomes 1:00.
    for (zone, after, opens, closes) in [
        ("America/Asuncion", "2023-09-30T12:00:00Z", "+2023-10-01T04:00:00Z", "-2023-10-01T05:00:00Z"),
        ("Asia/Beirut", "2026-03-28T12:00:00Z", "+2026-03-28T22:00:00Z", "-2026-03-28T23:00:00Z"),
    ] {
        let midnight = weekly(&[Weekday::Sunday], "00:00", "02:00", zone);
        check(&[midnight], after, &format!("{opens} {closes}"));
        let skipped = weekly(&[Weekday::Sunday], "00:10", "00:50", zone);
        let next = Schedule::new(vec![skipped]).changes(at(after), 1)[0].at;
        assert!(next > at(after).plus(Duration::from_secs(6 * 86_400)), "{zone}: {next}");
        let evening = weekly(&[Weekday::Saturday], "22:00", "00:00", zone);
        let changes = Schedule::new(vec![evening]).changes(at(after), 2);
        assert_eq!(format!("+{}", changes[1].at), opens, "{zone}: an end at midnight is the moment of the jump");
    }
}

/// Samoa crossed the date line: 2011-12-29 was followed by 2011-12-31, at 10:00 UTC on the 30th.
#[test]
fn skipped_day_has_no_windows() {
    let friday = weekly(&[Weekday::Friday], "09:00", "17:00", "Pacific/Apia");
    check(&[friday], "2011-12-28T00:00:00Z", "+2012-01-05T19:00:00Z -2012-01-06T03:00:00Z");
    let night = weekly(&[Weekday::Thursday], "22:00", "06:00", "Pacific/Apia");
    check(&[night], "2011-12-28T00:00:00Z", "+2011-12-30T08:00:00Z -2011-12-30T10:00:00Z");
    let saturday = weekly(&[Weekday::Saturday], "00:00", "06:00", "Pacific/Apia");
    check(std::slice::from_ref(&saturday), "2011-12-28T00:00:00Z", "+2011-12-30T10:00:00Z -2011-12-30T16:00:00Z");
    let early = saturday.with_grace(minutes(720), minutes(0)).unwrap();
    check(&[early], "2011-12-28T00:00:00Z", "+2011-12-29T22:00:00Z -2011-12-30T16:00:00Z");
}

#[test]
fn repeated_local_time_means_its_first_occurrence() {
    let twice = weekly(&[Weekday::Sunday], "02:15", "02:45", "Europe/Berlin");
    check(&[twice], "2026-10-24T12:00:00Z", "+2026-10-25T00:15:00Z -2026-10-25T00:45:00Z +2026-11-01T01:15:00Z");
    let around = weekly(&[Weekday::Sunday], "01:30", "03:00", "Europe/Berlin");
    check(&[around], "2026-10-24T12:00:00Z", "+2026-10-24T23:30:00Z -2026-10-25T02:00:00Z");
    // In Lord Howe, 2:00 becomes 1:30 on 2026-04-05.
    let half_hour = weekly(&[Weekday::Sunday], "01:45", "02:15", "Australia/Lord_Howe");
    check(&[half_hour], "2026-04-04T00:00:00Z", "+2026-04-04T14:45:00Z -2026-04-04T15:45:00Z");
}

#[test]
fn dated_window_opens_once() {
    let show = || dated("2026-12-24T18:00:00+01:00", "2026-12-24T20:00:00+01:00");
    check(&[show()], "2026-11-23T00:00:00Z", "+2026-12-24T17:00:00Z -2026-12-24T19:00:00Z");
    check(&[show()], "2026-12-24T18:00:00Z", "-2026-12-24T19:00:00Z");
    check(&[show()], "2026-12-24T19:00:00Z", "");
}

#[test]
fn grace_extends_or_shortens_a_window() {
    let widened = dated("2026-12-24T18:00:00Z", "2026-12-24T20:00:00Z").with_grace(minutes(10), minutes(5)).unwrap();
    check(&[widened], "2026-11-23T00:00:00Z", "+2026-12-24T17:50:00Z -2026-12-24T20:05:00Z");
    let narrowed = weekly(&[Weekday::Monday], "00:00", "06:00", "UTC").with_grace(minutes(-3), minutes(-2)).unwrap();
    check(&[narrowed], "2026-11-23T00:00:00Z", "+2026-11-23T00:03:00Z -2026-11-23T05:58:00Z");
    let hours = |hours| SignedDuration::from_hours(hours);
    let long = weekly(&[Weekday::Monday], "23:00", "23:00", "UTC").with_grace(hours(12), hours(12)).unwrap();
    check(&[long], "2026-11-20T00:00:00Z", "+2026-11-23T11:00:00Z -2026-11-25T11:00:00Z");
}

#[test]
fn overlapping_windows_cause_one_change() {
    let windows = [
        weekly(&EVERY_DAY, "09:00", "12:00", "UTC"),
        weekly(&[Weekday::Tuesday], "11:00", "13:00", "UTC"),
        dated("2026-11-25T12:00:00Z", "2026-11-25T14:00:00Z"),
    ];
    check(
        &windows,
        "2026-11-23T10:00:00Z",
        "-2026-11-23T12:00:00Z +2026-11-24T09:00:00Z -2026-11-24T13:00:00Z +2026-11-25T09:00:00Z -2026-11-25T14:00:00Z",
    );
}

#[test]
fn changes_are_found_after_a_year_without_one() {
    let windows =
        [weekly(&[Weekday::Monday], "09:00", "10:00", "UTC"), dated("2026-11-01T00:00:00Z", "2027-11-01T00:00:00Z")];
    check(&windows, "2026-11-23T00:00:00Z", "-2027-11-01T00:00:00Z +2027-11-01T09:00:00Z -2027-11-01T10:00:00Z");
}

#[test]
fn dated_window_is_found_however_far_ahead() {
    let games = || dated("2030-02-08T18:00:00Z", "2030-02-24T20:00:00Z");
    let next = dated("2034-02-10T18:00:00Z", "2034-02-26T20:00:00Z");
    check(
        &[next, games()],
        "2026-11-25T00:00:00Z",
        "+2030-02-08T18:00:00Z -2030-02-24T20:00:00Z +2034-02-10T18:00:00Z",
    );
    let early = games().with_grace(minutes(10), minutes(5)).unwrap();
    check(&[early], "2026-11-25T00:00:00Z", "+2030-02-08T17:50:00Z -2030-02-24T20:05:00Z");
    check(&[weekly(&EVERY_DAY, "00:00", "00:00", "UTC"), games()], "2026-11-25T00:00:00Z", "");
}

#[test]
fn weekly_changes_are_found_between_dated_windows_years_apart() {
    let windows = [
        weekly(&[Weekday::Monday], "09:00", "10:00", "UTC"),
        dated("2026-11-01T00:00:00Z", "2029-11-01T00:00:00Z"),
        dated("2034-02-10T18:00:00Z", "2034-02-26T20:00:00Z"),
    ];
    check(&windows, "2026-11-23T00:00:00Z", "-2029-11-01T00:00:00Z +2029-11-05T09:00:00Z -2029-11-05T10:00:00Z");
}

#[test]
fn window_that_is_never_open_is_invalid() {
    let eve = || dated("2026-12-24T18:00:00Z", "2026-12-24T20:00:00Z");
    let reversed = Window::dated(at("2026-12-24T18:00:00Z"), at("2026-12-24T18:00:00Z"));
    assert_eq!(reversed, Err(InvalidWindow::Reversed));
    assert_eq!(eve().with_grace(minutes(-60), minutes(-60)), Err(InvalidWindow::Empty));
    assert_eq!(eve().with_grace(minutes(0), minutes(721)), Err(InvalidWindow::LongGrace));
    let night = weekly(&[Weekday::Monday], "23:30", "00:30", "UTC");
    assert_eq!(night.clone().with_grace(minutes(-30), minutes(-30)), Err(InvalidWindow::Empty));
    assert!(night.with_grace(minutes(-30), minutes(-29)).is_ok());
}

#[test]
fn window_is_displayed_in_one_line() {
    let weekend = weekly(&[Weekday::Sunday, Weekday::Saturday], "10:00", "12:00", "Europe/London");
    assert_eq!(
        weekend.with_grace(minutes(10), minutes(-5)).unwrap().to_string(),
        "sat,sun 10:00-12:00 Europe/London, before 10m, after -5m"
    );
    let eve = dated("2026-12-24T18:00:00Z", "2026-12-24T20:00:00Z");
    assert_eq!(eve.to_string(), "2026-12-24T18:00:00Z to 2026-12-24T20:00:00Z");
}

fn any_clock() -> impl Strategy<Value = Time> {
    (0..24_i8, 0..60_i8).prop_map(|(hour, minute)| jiff::civil::time(hour, minute, 0, 0))
}

fn any_window() -> impl Strategy<Value = Window> {
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Asia/Kathmandu"];
    let weekly = (1..128_u8, any_clock(), any_clock(), prop::sample::select(zones.to_vec())).prop_map(
        |(days, from, to, zone)| {
            let days = EVERY_DAY.iter().enumerate().filter(|(day, _)| days & (1 << day) != 0).map(|(_, day)| *day);
            Window::weekly(days.collect(), from, to, TimeZone::get(zone).unwrap())
        },
    );
    let dated = (1_790_000_000..1_800_000_000_i64, 60..1_000_000_i64).prop_map(|(from, length)| {
        Window::dated(Timestamp::from_seconds(from), Timestamp::from_seconds(from + length)).unwrap()
    });
    (prop_oneof![3 => weekly, 1 => dated], -720..=720_i64, -720..=720_i64).prop_map(|(window, before, after)| {
        window.clone().with_grace(minutes(before), minutes(after)).unwrap_or(window)
    })
}

fn any_expectation() -> impl Strategy<Value = Expectation> {
    let scheduled = prop::collection::vec(any_window(), 1..4)
        .prop_map(|windows| Expectation::Scheduled(Arc::new(Schedule::new(windows))));
    prop_oneof![1 => Just(Expectation::Always), 1 => Just(Expectation::Never), 4 => scheduled]
}

/// Whether a window is open, searched in all openings of the weeks around.
fn open_by_brute_force(windows: &[Window], time: Timestamp) -> bool {
    windows.iter().any(|window| {
        let around = Duration::from_secs(15 * 86_400);
        let edges: Vec<Timestamp> = window.edges(time.minus(around), time.plus(around)).collect();
        edges.chunks(2).any(|edge| edge[0] <= time && edge.get(1).is_none_or(|closes| time < *closes))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The expectation is constant between two changes, and differs at each of them.
    #[test]
    fn changes_and_state_agree(windows in prop::collection::vec(any_window(), 1..4), start in 1_790_000_000..1_800_000_000_i64) {
        let schedule = Schedule::new(windows);
        let start = Timestamp::from_seconds(start);
        prop_assert_eq!(open_by_brute_force(&schedule.windows, start), schedule.at(start));
        // From here on, the schedule may answer from what it remembers.
        let next = schedule.next_change(start);
        prop_assert_eq!(next, schedule.changes(start, 1).pop());
        prop_assert_eq!(schedule.next_change(start), next);
        for hours in 0..48 {
            let earlier = start.minus(Duration::from_secs(hours * 3600));
            prop_assert_eq!(open_by_brute_force(&schedule.windows, earlier), schedule.at(earlier));
        }
        let mut from = start;
        let mut expected = schedule.at(start);
        for change in schedule.changes(start, 6) {
            let quarter = change.at.since(from).unwrap() / 4;
            for step in 0..4 {
                prop_assert_eq!(schedule.at(from.plus(quarter * step)), expected);
            }
            prop_assert_ne!(change.expected, expected);
            prop_assert_eq!(schedule.at(change.at), change.expected);
            prop_assert_eq!(open_by_brute_force(&schedule.windows, change.at), change.expected);
            (from, expected) = (change.at, change.expected);
        }
    }

    /// The same of a plan: with any configuration, and an exception before, around or after the start.
    #[test]
    fn changes_and_state_of_a_plan_agree(
        expectation in any_expectation(),
        start in 1_790_000_000..1_800_000_000_i64,
        exception in prop::option::of((any::<bool>(), -2_000_000..2_000_000_i64, 1..2_000_000_i64)),
    ) {
        let exception = exception.map(|(expected, from, length)| {
            let from = start + from;
            let [from, until] = [from, from + length].map(Timestamp::from_seconds);
            Exception { expected, from, until }
        });
        let plan = Plan::new(Some(&expectation), exception);
        // A copy does not remember answers.
        let forgetful = match &expectation {
            Expectation::Scheduled(schedule) => Expectation::Scheduled(Arc::new(schedule.as_ref().clone())),
            other @ (Expectation::Always | Expectation::Never) => other.clone(),
        };
        let by_definition = |time: Timestamp| match exception {
            Some(Exception { expected, from, until }) if from <= time && time < until => expected,
            _ => forgetful.at(time),
        };
        let start = Timestamp::from_seconds(start);
        let changes = plan.changes(start, 6);
        for count in 0..6 {
            prop_assert_eq!(plan.changes(start, count), &changes[..count.min(changes.len())]);
        }
        prop_assert_eq!(plan.next_change(start), changes.first().copied());
        let (mut from, mut expected) = (start, by_definition(start));
        // After the last change, nothing changes for years.
        let last = (changes.len() < 6).then(|| Change { at: Timestamp::from_seconds(1_900_000_000), expected: !expected });
        for (index, change) in changes.iter().copied().chain(last).enumerate() {
            let quarter = change.at.since(from).unwrap() / 4;
            for time in (0..4).map(|step| from.plus(quarter * step)) {
                prop_assert_eq!((plan.at(time), by_definition(time)), (expected, expected));
            }
            if index < changes.len() {
                prop_assert!(start < change.at);
                prop_assert_ne!(change.expected, expected);
                prop_assert_eq!((plan.at(change.at), by_definition(change.at)), (change.expected, change.expected));
                (from, expected) = (change.at, change.expected);
            }
        }
    }
}
