//! What an action did, on the page that it leads to.

use askama::Template;

use crate::http::private::page::fragment::Fragment;

/// What an action did. Its name is the value of the query parameter `done`, so that the page has a fixed text for it and
/// nothing of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Recorded,
    Unchanged,
    EventRecorded,
    Duplicate,
    Test,
    Ignored,
    NotUnderstood,
    Reloaded,
}

#[derive(Template)]
#[template(path = "notice.html", config = "src/http/private/page/askama.toml")]
struct Notice {
    class: &'static str,
    text: &'static str,
}

impl Done {
    const ALL: [Self; 8] = [
        Self::Recorded,
        Self::Unchanged,
        Self::EventRecorded,
        Self::Duplicate,
        Self::Test,
        Self::Ignored,
        Self::NotUnderstood,
        Self::Reloaded,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Unchanged => "unchanged",
            Self::EventRecorded => "event-recorded",
            Self::Duplicate => "duplicate",
            Self::Test => "test",
            Self::Ignored => "ignored",
            Self::NotUnderstood => "not-understood",
            Self::Reloaded => "reloaded",
        }
    }

    fn notice(self) -> Notice {
        let (class, text) = match self {
            Self::Recorded => ("ok", "Done: it is recorded."),
            Self::Unchanged => ("warn", "Nothing was recorded: this was so already."),
            Self::EventRecorded => ("ok", "Done: the event of the body is recorded, and the body is no longer kept."),
            Self::Duplicate => ("ok", "The event of the body was recorded before. The body is no longer kept."),
            Self::Test => ("ok", "The body is a test message. It is no longer kept."),
            Self::Ignored => ("warn", "The event of the body is not of use any more. The body is still kept."),
            Self::NotUnderstood => ("warn", "This release does not understand the body either. It is still kept."),
            Self::Reloaded => ("ok", "Done: the configuration was read again and is in force."),
        };
        Notice { class, text }
    }
}

/// The notice for the value of the query parameter `done`; `None` for a value that no action has.
pub(in crate::http::private::page) fn notice(done: Option<&str>) -> Option<Fragment> {
    let done = Done::ALL.into_iter().find(|each| Some(each.name()) == done)?;
    Some(Fragment::new("notice", &done.notice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_exists_for_the_names_of_outcomes_only() {
        for done in Done::ALL {
            assert!(notice(Some(done.name())).is_some(), "{done:?}");
        }
        for other in [None, Some(""), Some("<b>"), Some("Recorded")] {
            assert!(notice(other).is_none(), "{other:?}");
        }
    }
}
