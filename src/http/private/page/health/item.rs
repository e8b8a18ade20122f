//! A line of the health section.

use std::borrow::Cow;

use askama::Template;
use bytesize::ByteSize;

use crate::event::Timestamp;
use crate::http::private::page::fragment::Fragment;
use crate::http::private::page::runbook;
use crate::http::private::page::time::Time;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Level {
    #[default]
    Ok,
    Warn,
    Bad,
}

impl Level {
    /// The class of the style sheet, which is also the word for people.
    fn class(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// A part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(Cow<'static, str>),
    /// Something to copy, such as a path.
    Code(String),
    Number(String),
    Bytes(u64),
    Time(Time),
}

/// What to do, and the alert whose runbook says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) text: &'static str,
    pub(super) alert: Option<&'static str>,
}

/// A line: what it is about, its value, how it is, and what to do if it is not ok.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "health_item.html", config = "src/http/private/page/askama.toml")]
pub(super) struct Item {
    id: String,
    name: Cow<'static, str>,
    value: Vec<Part>,
    level: Level,
    advice: Option<Advice>,
}

impl Item {
    /// A line without a value yet. The id is unique on the page.
    pub(super) fn new(id: impl Into<String>, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: format!("health-{}", id.into()),
            name: name.into(),
            value: Vec::new(),
            level: Level::Ok,
            advice: None,
        }
    }

    pub(super) fn text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.value.push(Part::Text(text.into()));
        self
    }

    pub(super) fn code(mut self, text: impl Into<String>) -> Self {
        self.value.push(Part::Code(text.into()));
        self
    }

    pub(super) fn number(mut self, number: &impl ToString) -> Self {
        self.value.push(Part::Number(number.to_string()));
        self
    }

    /// A number of bytes.
    pub(super) fn bytes(mut self, bytes: u64) -> Self {
        self.value.push(Part::Bytes(bytes));
        self
    }

    pub(super) fn time(mut self, time: Timestamp) -> Self {
        self.value.push(Part::Time(Time(time)));
        self
    }

    /// Not ok if the condition holds. The last call that holds decides.
    pub(super) fn when(mut self, holds: bool, level: Level, text: &'static str, alert: Option<&'static str>) -> Self {
        if holds {
            (self.level, self.advice) = (level, Some(Advice { text, alert }));
        }
        self
    }

    pub(super) fn fragment(&self) -> Fragment {
        Fragment::new(self.id.clone(), self)
    }

    #[cfg(test)]
    pub(super) fn state(&self) -> (&str, Level, Option<&'static str>) {
        (&self.id, self.level, self.advice.and_then(|advice| advice.alert))
    }
}

impl Advice {
    /// The section of the runbook.
    fn runbook(&self) -> Option<String> {
        self.alert.map(runbook::section)
    }
}
