//! The last day of each input, and the history of one, read from the journal for people.
//!
//! Readers have connections and threads of their own. Nothing that must not wait waits for them: a journal that cannot be
//! read, or a disk that hangs, only leaves a gap on a page.
//!
//! [`Timelines`] reads the last day of all inputs once, and then only new records, while pages are open. [`Days`] is the
//! result, and [`Day`] that of one input: its [`Bar`], and what happened [`Today`]. [`InputHistory`] is the history of one
//! input, as far as the journal has it.

mod bar;
mod day;
mod days;
mod history;
mod reader;
mod scan;

pub use bar::{Bar, BarState, in_words};
pub use day::{Day, Today, midnight};
pub use days::Days;
pub use history::{InputHistory, Reach, SessionRow};
pub use reader::Timelines;
pub use scan::HistoryError;

#[cfg(test)]
mod tests;
