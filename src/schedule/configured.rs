//! What the configuration says of an input.

use std::sync::Arc;

use super::Schedule;
use crate::event::Timestamp;

/// An input of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Its name, for people.
    pub name: Arc<str>,
    /// When it should be live.
    pub expectation: Expectation,
}

/// When an input should be live.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expectation {
    /// At all times.
    Always,
    /// Nobody misses it.
    #[default]
    Never,
    /// In these windows.
    Scheduled(Arc<Schedule>),
}

impl Expectation {
    /// Whether the input should be live at this time.
    pub fn at(&self, time: Timestamp) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Scheduled(schedule) => schedule.at(time),
        }
    }
}
