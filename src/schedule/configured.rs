//! Configured inputs.

use std::sync::Arc;

use super::Schedule;
use crate::event::Timestamp;

/// An input of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Display name.
    pub name: Arc<str>,
    /// When it is expected to be live.
    pub expectation: Expectation,
}

/// When an input is expected to be live.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expectation {
    /// Always.
    Always,
    /// Never: its absence causes no alert.
    #[default]
    Never,
    /// In the windows of a schedule.
    Scheduled(Arc<Schedule>),
}

impl Expectation {
    /// Whether the input is expected to be live at this time.
    pub fn at(&self, time: Timestamp) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Scheduled(schedule) => schedule.at(time),
        }
    }
}
