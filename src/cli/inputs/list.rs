//! The table of inputs.

use anyhow::Context;
use serde::Deserialize;

use crate::text::escaped;

/// The answer of `/api/v1/inputs`, as far as the table shows it.
#[derive(Deserialize)]
struct Inputs {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    id: String,
    name: String,
    state: String,
    since: Option<String>,
    last_event_at: Option<String>,
    expected: bool,
}

const HEADER: [&str; 6] = ["ID", "NAME", "STATE", "SINCE", "LAST EVENT", "EXPECTED"];

/// A line for each input of the JSON document.
pub(super) fn table(json: &str) -> anyhow::Result<String> {
    let Inputs { inputs } = serde_json::from_str(json).context("this is not the list of stream-live-exporter")?;
    let rows: Vec<[String; 6]> = inputs.into_iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADER[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let header = HEADER.map(str::to_owned);
    let lines = std::iter::once(&header).chain(&rows).map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    });
    Ok(lines.collect())
}

fn row(input: Input) -> [String; 6] {
    let Input { id, name, state, since, last_event_at, expected } = input;
    let or_never = |time: Option<String>| time.unwrap_or_else(|| "-".to_owned());
    let expected = if expected { "yes" } else { "no" };
    [id, escaped(&name).into_owned(), state, or_never(since), or_never(last_event_at), expected.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_a_line_for_each_input_in_aligned_columns() {
        let json = r#"{"as_of": "x", "inputs": [
            {"id": "a", "name": "Main stage", "state": "connected", "since": "2026-11-20T18:00:00Z",
             "last_event_at": "2026-11-20T18:00:01Z", "expected": true, "sessions": 1},
            {"id": "b", "name": "\u001b[31m", "state": "unknown", "since": null, "last_event_at": null, "expected": false}
        ]}"#;
        let expected = "\
ID  NAME        STATE      SINCE                 LAST EVENT            EXPECTED
a   Main stage  connected  2026-11-20T18:00:00Z  2026-11-20T18:00:01Z  yes
b   \\u001b[31m  unknown    -                     -                     no
";
        assert_eq!(table(json).unwrap(), expected);
        assert!(table("{}").is_err());
    }
}
