//! Text from outside, made safe to print.
//!
//! A control or format character can move the cursor, reverse the order of letters, hide text or begin a new line in a
//! terminal or a log viewer. The log, and every command that prints what the journal or the network contains, escape
//! these characters with the functions of this module.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// Whether a character is a control or format character, or a line or paragraph separator: the Unicode categories `Cc`,
/// `Cf`, `Zl` and `Zp`.
pub fn is_control_or_format(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
                | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text with every control or format character as an escape sequence of JSON, such as `\u202e`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, is_control_or_format)
}

/// Like [`escaped`], but keeps line feeds, for a text of several lines.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escape(text, |character| character != '\n' && is_control_or_format(character))
}

fn escape(text: &str, needs_escape: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if needs_escape(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").expect("writing to a String does not fail");
            }
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Writes a value as one line of JSON without control or format characters.
///
/// # Errors
///
/// The writer fails.
pub fn write_json(writer: impl io::Write, value: &(impl Serialize + ?Sized)) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(writer, Escaping))
}

/// A value as one line of JSON without control or format characters.
///
/// # Panics
///
/// If the value has a form that JSON does not have.
pub fn to_json(value: &(impl Serialize + ?Sized)) -> String {
    let mut json = Vec::new();
    write_json(&mut json, value).expect("plain data serializes");
    String::from_utf8(json).expect("JSON is UTF-8")
}

/// Escapes more characters than JSON requires.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        writer.write_all(escaped(fragment).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_and_format_characters_are_escaped_and_others_are_kept() {
        for (text, expected) in [
            ("plain, \u{e9}\u{301}, \u{4e2d}\u{6587}, \u{939}\u{93f}\u{928}\u{94d}", None),
            ("\u{2764}\u{fe0f} \u{a0}\u{3000}", None),
            ("a\u{1b}[2K\r\n\t\u{0}\u{7f}", Some("a\\u001b[2K\\u000d\\u000a\\u0009\\u0000\\u007f")),
            ("\u{9b}31m\u{85}", Some("\\u009b31m\\u0085")),
            ("\u{2028}\u{2029}", Some("\\u2028\\u2029")),
            ("\u{202a}\u{202e}\u{2066}\u{2069}\u{61c}", Some("\\u202a\\u202e\\u2066\\u2069\\u061c")),
            ("\u{200b}\u{200d}\u{200e}\u{200f}\u{2060}\u{feff}", Some("\\u200b\\u200d\\u200e\\u200f\\u2060\\ufeff")),
            ("\u{ad}\u{180e}\u{e0041}", Some("\\u00ad\\u180e\\udb40\\udc41")),
        ] {
            assert_eq!(escaped(text), expected.unwrap_or(text));
            assert_eq!(serde_json::from_str::<String>(&to_json(text)).unwrap(), text);
        }
        assert_eq!(escaped_lines("a\nb\u{2028}\r\n"), "a\nb\\u2028\\u000d\n");
    }

    /// Any text with many control and format characters. `any::<String>()` has none.
    fn hostile_text() -> impl Strategy<Value = String> {
        let hostile = prop::sample::select(
            "\u{0}\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{202e}\u{2028}\u{feff}\u{e0041}\"\\ ".chars().collect::<Vec<_>>(),
        );
        prop::collection::vec(prop_oneof![hostile, any::<char>()], 0..12).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn json_reads_back_and_has_no_control_or_format_character(text in hostile_text(), key in hostile_text()) {
            let value = serde_json::json!({ &key: [&text] });
            let json = to_json(&value);
            prop_assert!(!json.contains(is_control_or_format), "{json:?}");
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        }

        #[test]
        fn escaped_text_has_no_control_or_format_character(text in hostile_text()) {
            prop_assert!(!escaped(&text).contains(is_control_or_format));
            prop_assert!(!escaped_lines(&text).contains(|c| c != '\n' && is_control_or_format(c)));
        }
    }
}
