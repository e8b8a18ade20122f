//! The table of inputs.

use serde::Deserialize;

use crate::cli::listed_inputs::{ListedException, listed_inputs};
use crate::text::escaped;

/// An input, as far as the table shows it.
#[derive(Deserialize)]
struct Input {
    id: String,
    name: String,
    state: String,
    since: Option<String>,
    last_event_at: Option<String>,
    expected: bool,
    #[serde(default)]
    expected_change_at: Option<String>,
    #[serde(default)]
    exception: Option<ListedException>,
}

const HEADER: [&str; 8] = ["ID", "NAME", "STATE", "SINCE", "LAST EVENT", "EXPECTED", "CHANGES AT", "EXCEPTION"];

/// A line for each input of the JSON document.
pub(super) fn table(json: &str) -> anyhow::Result<String> {
    let rows: Vec<[String; HEADER.len()]> = listed_inputs(json)?.into_iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADER[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; HEADER.len()] = std::array::from_fn(width);
    let header = HEADER.map(str::to_owned);
    let lines = std::iter::once(&header).chain(&rows).map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    });
    Ok(lines.collect())
}

fn row(input: Input) -> [String; HEADER.len()] {
    let Input { id, name, state, since, last_event_at, expected, expected_change_at, exception } = input;
    let or_never = |time: Option<String>| time.unwrap_or_else(|| "-".to_owned());
    let expected = if expected { "yes" } else { "no" };
    [
        id,
        escaped(&name).into_owned(),
        state,
        or_never(since),
        or_never(last_event_at),
        expected.to_owned(),
        or_never(expected_change_at),
        or_never(exception.map(in_words)),
    ]
}

/// `on until 2026-11-29T22:00:00Z by anna: extra service`.
fn in_words(exception: ListedException) -> String {
    let ListedException { expected, until, user, reason } = exception;
    let user = user.map_or_else(String::new, |user| format!(" by {}", escaped(&user)));
    let reason = reason.map_or_else(String::new, |reason| format!(": {}", escaped(&reason)));
    format!("{} until {until}{user}{reason}", if expected { "on" } else { "off" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_a_line_for_each_input_in_aligned_columns() {
        let json = r#"{"as_of": "x", "inputs": [
            {"id": "a", "name": "Main stage", "state": "connected", "since": "2026-11-20T18:00:00Z",
             "last_event_at": "2026-11-20T18:00:01Z", "expected": true, "sessions": 1,
             "expected_change_at": "2026-11-20T22:00:00Z",
             "exception": {"expected": true, "until": "2026-11-20T22:00:00Z", "user": "anna", "reason": "\u001b[31m"}},
            {"id": "b", "name": "\u001b[31m", "state": "unknown", "since": null, "last_event_at": null, "expected": false}
        ]}"#;
        let expected = "\
ID  NAME        STATE      SINCE                 LAST EVENT            EXPECTED  CHANGES AT            EXCEPTION
a   Main stage  connected  2026-11-20T18:00:00Z  2026-11-20T18:00:01Z  yes       2026-11-20T22:00:00Z  on until 2026-11-20T22:00:00Z by anna: \\u001b[31m
b   \\u001b[31m  unknown    -                     -                     no        -                     -
";
        assert_eq!(table(json).unwrap(), expected);
        assert!(table("{}").is_err());
    }
}
