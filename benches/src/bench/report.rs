//! The report: tables of medians, limits and pictures, and every figure as JSON.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::figures::{Figures, number};
use crate::plot::Plot;

pub struct Report {
    folder: PathBuf,
    text: String,
    limits: Vec<[String; 4]>,
    results: Map<String, Value>,
}

impl Report {
    pub fn new(folder: PathBuf, header: &str) -> Self {
        Self { folder, text: header.to_owned(), limits: Vec::new(), results: Map::new() }
    }

    pub fn heading(&mut self, title: &str, words: &str) {
        let _ = write!(self.text, "\n## {title}\n\n{words}\n\n");
    }

    /// A table of medians. `ratio_to`, a row and a column, adds the ratio of that column to its value in that row.
    pub fn table(
        &mut self,
        name: &str,
        figures: &Figures,
        rows: &[String],
        columns: &[&str],
        ratio_to: Option<(&str, &str)>,
    ) {
        let ratio = ratio_to.map(|(row, column)| format!(" {column}, ratio to {row} |"));
        let rule = "---|".repeat(columns.len() + usize::from(ratio.is_some()));
        let _ = writeln!(self.text, "| | {} |{}\n|---|{rule}", columns.join(" | "), ratio.unwrap_or_default());
        for row in rows.iter().filter(|row| figures.has(row)) {
            let cells: Vec<_> = columns.iter().map(|column| figures.cell(row, column)).collect();
            let ratio = ratio_to.map(|(base, column)| {
                let ratio = figures.median(row, column) / figures.median(base, column);
                if ratio.is_nan() { " – |".to_owned() } else { format!(" {ratio:.2} |") }
            });
            let _ = writeln!(self.text, "| {row} | {} |{}", cells.join(" | "), ratio.unwrap_or_default());
        }
        self.text.push('\n');
        self.results.insert(name.to_owned(), figures.json());
    }

    /// A table with a row for each figure: `other`, `ours`, and their ratio.
    pub fn comparison(&mut self, name: &str, figures: &Figures, rows: &[String], other: &str, ours: &str) {
        let _ = writeln!(self.text, "| | {other} | {ours} | ratio |\n|---|---|---|---|");
        for row in rows {
            let ratio = number(figures.median(ours, row) / figures.median(other, row));
            let [other, ours] = [other, ours].map(|build| figures.cell(build, row));
            let _ = writeln!(self.text, "| {row} | {other} | {ours} | {ratio} |");
        }
        self.text.push('\n');
        self.results.insert(name.to_owned(), figures.json());
    }

    /// A figure that must not exceed the limit.
    pub fn at_most(&mut self, what: &str, measured: f64, limit: f64) {
        self.limit(what, measured, format!("at most {}", number(limit)), measured <= limit);
    }

    /// A figure that must reach the limit.
    pub fn at_least(&mut self, what: &str, measured: f64, limit: f64) {
        self.limit(what, measured, format!("at least {}", number(limit)), measured >= limit);
    }

    fn limit(&mut self, what: &str, measured: f64, limit: String, is_met: bool) {
        let verdict = match is_met {
            _ if measured.is_nan() => "not measured",
            true => "met",
            false => "**missed**",
        };
        self.limits.push([what.to_owned(), limit, number(measured), verdict.to_owned()]);
    }

    pub fn picture(&mut self, file: &str, plot: &Plot) -> anyhow::Result<()> {
        let _ = writeln!(self.text, "![{}]({file}.svg)\n", plot.title);
        Ok(fs::write(self.folder.join(file).with_extension("svg"), plot.svg()?)?)
    }

    /// Writes the report so far and returns its text.
    pub fn write(&self) -> anyhow::Result<String> {
        let mut text = self.text.clone();
        if !self.limits.is_empty() {
            text += "\n## Limits\n\n| | limit | measured | |\n|---|---|---|---|\n";
            for limit in &self.limits {
                let _ = writeln!(text, "| {} |", limit.join(" | "));
            }
        }
        let limits: Vec<_> = self
            .limits
            .iter()
            .map(|[what, limit, measured, verdict]| json!([what, limit, measured, verdict]))
            .collect();
        let results = json!({ "figures": self.results, "limits": limits });
        fs::write(self.folder.join("results.json"), serde_json::to_string_pretty(&results)?)?;
        fs::write(self.folder.join("report.md"), &text)?;
        Ok(text)
    }
}
