//! Texts with U+0000, which PostgreSQL cannot store.
//!
//! Senders choose texts of events, and JSON allows U+0000 in them. It is stored as ␀0, and ␀ itself as ␀␀. Other texts
//! stay as they are.

use std::borrow::Cow;

/// U+2400, which looks like what it stands for.
const MARK: char = '␀';

pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', MARK]) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '\0' => escaped.extend([MARK, '0']),
            MARK => escaped.extend([MARK, MARK]),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// Reverses [`escape`]. A mark that it did not write stays.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains(MARK) {
        return Cow::Borrowed(text);
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let next = if char == MARK { chars.next_if(|next| [MARK, '0'].contains(next)) } else { None };
        unescaped.push(if next == Some('0') { '\0' } else { char });
    }
    Cow::Owned(unescaped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_without_nul_is_stored_as_it_is() {
        for text in ["", "opus", "it's \"broken\"\n", "\u{1}\u{10ffff}", "0"] {
            assert_eq!(escape(text), text);
            assert_eq!(unescape(text), text);
        }
    }

    #[test]
    fn nul_is_readable_and_a_foreign_mark_stays() {
        assert_eq!(escape("a\0b"), "a␀0b");
        assert_eq!(escape("␀0"), "␀␀0");
        for foreign in ["␀", "a␀b"] {
            assert_eq!(unescape(foreign), foreign);
        }
    }

    proptest! {
        #[test]
        fn every_text_is_read_as_it_was_written(text in "[a0\0␀\u{10ffff}]{0,12}") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains('\0'));
            prop_assert_eq!(unescape(&escaped), text.as_str());
        }
    }
}
