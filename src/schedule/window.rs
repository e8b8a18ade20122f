//! A single window: when it opens and closes.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use thiserror::Error;

use crate::event::Timestamp;

/// Maximum length of a grace.
const MAX_GRACE: SignedDuration = SignedDuration::from_hours(12);
/// A window that opened this many dates ago can still be open: it lasts up to a day, plus half a day of grace, and a
/// time zone that moves across the date line skips a date.
const DAYS_BACK: i32 = 3;
/// A window that opens this many dates ahead can be open already because of its grace, with one skipped date.
const DAYS_AHEAD: i32 = 2;
const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

/// A window of a [`super::Schedule`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    span: Span,
    before: SignedDuration,
    after: SignedDuration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Span {
    Weekly { days: Days, from: Time, to: Time, time_zone: TimeZone },
    Dated { from: Timestamp, until: Timestamp },
}

/// Why a window is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidWindow {
    /// The end is not after the start.
    #[error("the end must be after the start")]
    Reversed,
    /// Negative graces leave nothing of the window.
    #[error("negative graces leave nothing of the window")]
    Empty,
    /// A grace is longer than 12 hours.
    #[error("a grace must be at most 12 hours")]
    LongGrace,
}

/// A set of weekdays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Days(u8);

impl Window {
    /// A window that opens at `from` on each of these days and closes at `to`, on the next day if `to`
    /// is not later than `from`.
    pub fn weekly(days: Days, from: Time, to: Time, time_zone: TimeZone) -> Self {
        Self::of(Span::Weekly { days, from, to, time_zone })
    }

    /// A window between two instants.
    ///
    /// # Errors
    ///
    /// [`InvalidWindow::Reversed`] if `until` is not later than `from`.
    pub fn dated(from: Timestamp, until: Timestamp) -> Result<Self, InvalidWindow> {
        if until <= from { Err(InvalidWindow::Reversed) } else { Ok(Self::of(Span::Dated { from, until })) }
    }

    fn of(span: Span) -> Self {
        Self { span, before: SignedDuration::ZERO, after: SignedDuration::ZERO }
    }

    /// The window, opened `before` earlier and closed `after` later, up to 12 hours each. Negative
    /// graces open it later and close it earlier.
    ///
    /// # Errors
    ///
    /// [`InvalidWindow::LongGrace`], or [`InvalidWindow::Empty`] if nothing is left.
    pub fn with_grace(self, before: SignedDuration, after: SignedDuration) -> Result<Self, InvalidWindow> {
        let length = match &self.span {
            Span::Weekly { from, to, .. } if to <= from => from.duration_until(*to) + SignedDuration::from_hours(24),
            Span::Weekly { from, to, .. } => from.duration_until(*to),
            Span::Dated { from, until } => until.to_jiff().duration_since(from.to_jiff()),
        };
        match () {
            () if before.abs() > MAX_GRACE || after.abs() > MAX_GRACE => Err(InvalidWindow::LongGrace),
            () if length + before + after <= SignedDuration::ZERO => Err(InvalidWindow::Empty),
            () => Ok(Self { before, after, ..self }),
        }
    }

    pub(super) fn contains(&self, time: Timestamp) -> bool {
        self.openings(time, time).any(|(opens, closes)| opens <= time && time < closes)
    }

    /// Opening and closing times between these times, and possibly a few around them.
    pub(super) fn edges(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        let open = self.openings(after, until).filter(|(opens, closes)| opens < closes);
        open.flat_map(|(opens, closes)| [opens, closes]).filter(move |edge| *edge <= until)
    }

    /// When the window closes for the last time; `None` if it is weekly.
    pub fn ends(&self) -> Option<Timestamp> {
        self.dated_edges().map(|[_, end]| end)
    }

    pub(super) fn dated_edges(&self) -> Option<[Timestamp; 2]> {
        match &self.span {
            Span::Weekly { .. } => None,
            Span::Dated { from, until } => Some([shift(*from, -self.before), shift(*until, self.after)]),
        }
    }

    pub(super) fn time_zone(&self) -> Option<TimeZone> {
        match &self.span {
            Span::Weekly { time_zone, .. } => Some(time_zone.clone()),
            Span::Dated { .. } => None,
        }
    }

    /// All openings that overlap these times, and possibly a few more, as pairs of start and end.
    fn openings(&self, first: Timestamp, last: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let (weekly, dated) = match &self.span {
            Span::Weekly { days, from, to, time_zone } => {
                let date = |time: Timestamp| time_zone.to_datetime(time.to_jiff()).date();
                let next_day = to <= from;
                let openings =
                    dates(date(first), date(last)).filter(|date| days.contain(date.weekday())).map(move |date| {
                        let closing_date = if next_day { shifted(date, 1) } else { date };
                        (instant(date, *from, time_zone), instant(closing_date, *to, time_zone))
                    });
                (Some(openings), None)
            }
            Span::Dated { from, until } => (None, Some((*from, *until))),
        };
        let opening = |(from, until)| (shift(from, -self.before), shift(until, self.after));
        // A window that a time change skips is not opened by its grace either.
        weekly.into_iter().flatten().chain(dated).filter(|(from, until)| from < until).map(opening)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.span {
            Span::Weekly { days, from, to, time_zone } => {
                let zone = time_zone.iana_name().unwrap_or("?");
                write!(f, "{days} {}-{} {zone}", from.strftime("%H:%M"), to.strftime("%H:%M"))?;
            }
            Span::Dated { from, until } => write!(f, "{from} to {until}")?,
        }
        for (name, grace) in [("before", self.before), ("after", self.after)] {
            if !grace.is_zero() {
                let sign = if grace.is_negative() { "-" } else { "" };
                write!(f, ", {name} {sign}{}", humantime::format_duration(grace.unsigned_abs()))?;
            }
        }
        Ok(())
    }
}

impl Days {
    const ALL: [(Weekday, &'static str); 7] = [
        (Weekday::Monday, "mon"),
        (Weekday::Tuesday, "tue"),
        (Weekday::Wednesday, "wed"),
        (Weekday::Thursday, "thu"),
        (Weekday::Friday, "fri"),
        (Weekday::Saturday, "sat"),
        (Weekday::Sunday, "sun"),
    ];

    /// Whether the set contains this day.
    pub fn contain(self, day: Weekday) -> bool {
        self.0 & Self::bit(day) != 0
    }

    fn bit(day: Weekday) -> u8 {
        1 << day.to_monday_zero_offset()
    }
}

impl FromIterator<Weekday> for Days {
    fn from_iter<I: IntoIterator<Item = Weekday>>(days: I) -> Self {
        Self(days.into_iter().map(Self::bit).fold(0, |set, bit| set | bit))
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Self::ALL.iter().filter(|(day, _)| self.contain(*day)).map(|(_, name)| *name).collect();
        f.write_str(&names.join(","))
    }
}

/// The dates from `first` to `last`, and those around them whose windows can overlap.
fn dates(first: Date, last: Date) -> impl Iterator<Item = Date> {
    let last = shifted(last, DAYS_AHEAD);
    std::iter::successors(Some(shifted(first, -DAYS_BACK)), move |date| (*date < last).then(|| shifted(*date, 1)))
}

fn shifted(date: Date, days: i32) -> Date {
    date.checked_add(jiff::Span::new().days(days)).expect("timestamps end in 2262, dates in 9999")
}

/// The first moment at which local clocks show this time or a later one. A time that occurs twice means its first
/// occurrence, and a skipped time means the moment of the jump.
fn instant(date: Date, time: Time, time_zone: &TimeZone) -> Timestamp {
    let local = time_zone.to_ambiguous_timestamp(date.to_datetime(time));
    let skipped = matches!(local.offset(), AmbiguousOffset::Gap { .. });
    // With the offset before the jump, a skipped time lies after the jump or at it.
    let instant = local.compatible().expect("timestamps end in 2262, dates in 9999");
    let jump = skipped.then(|| time_zone.preceding(instant + NANOSECOND).next()).flatten();
    Timestamp::from_jiff(jump.map_or(instant, |jump| jump.timestamp()))
}

fn shift(instant: Timestamp, by: SignedDuration) -> Timestamp {
    let distance: Duration = by.unsigned_abs();
    if by.is_negative() { instant.minus(distance) } else { instant.plus(distance) }
}
