//! What a check found, and how it is printed.

/// Something that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What was checked, in one word.
    pub(super) subject: &'static str,
    pub(super) text: String,
    /// What to do.
    pub(super) fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Ok,
    /// It works, but can hardly be meant.
    Warning,
    /// Notifications are lost, or a feature does not work.
    Error,
}

impl Finding {
    pub(super) fn ok(subject: &'static str, text: String) -> Self {
        Self { level: Level::Ok, subject, text, fix: None }
    }

    pub(super) fn warning(subject: &'static str, text: String, fix: impl Into<String>) -> Self {
        Self { level: Level::Warning, subject, text, fix: Some(fix.into()) }
    }

    pub(super) fn error(subject: &'static str, text: String, fix: impl Into<String>) -> Self {
        Self { level: Level::Error, subject, text, fix: Some(fix.into()) }
    }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A line for each finding, and one for its fix.
pub(super) fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { level, subject, text: found, fix } in findings {
        text += &format!("  {:8} {subject:12} {found}\n", level.name());
        if let Some(fix) = fix.as_deref().filter(|fix| !fix.is_empty()) {
            text += &format!("  {:8} {:12} fix: {fix}\n", "", "");
        }
    }
    text
}

pub(super) fn summary(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}\n", counted(count(Level::Error), "error"), counted(count(Level::Warning), "warning"))
}
