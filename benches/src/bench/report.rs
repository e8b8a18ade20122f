//! The report: tables of medians, goals and pictures, and every figure as JSON.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::figures::{Figures, number};
use crate::plot::Plot;

pub struct Report {
    folder: PathBuf,
    text: String,
    goals: Vec<[String; 4]>,
    results: Map<String, Value>,
}

impl Report {
    pub fn new(folder: PathBuf, header: &str) -> Self {
        Self { folder, text: header.to_owned(), goals: Vec::new(), results: Map::new() }
    }

    pub fn heading(&mut self, title: &str, words: &str) {
        let _ = write!(self.text, "\n## {title}\n\n{words}\n\n");
    }

    /// A row of each, a column of each figure; a figure that is given `ratio_to` somebody has a second column.
    pub fn table(
        &mut self,
        name: &str,
        figures: &Figures,
        rows: &[String],
        columns: &[&str],
        ratio_to: Option<(&str, &str)>,
    ) {
        let ratio = ratio_to.map(|(whose, what)| format!(" of {whose}'s {what} |"));
        let rule = "---|".repeat(columns.len() + usize::from(ratio.is_some()));
        let _ = writeln!(self.text, "| | {} |{}\n|---|{rule}", columns.join(" | "), ratio.unwrap_or_default());
        for row in rows.iter().filter(|row| figures.has(row)) {
            let cells: Vec<_> = columns.iter().map(|column| figures.cell(row, column)).collect();
            let ratio = ratio_to.map(|(whose, what)| {
                let ratio = figures.median(row, what) / figures.median(whose, what);
                if ratio.is_nan() { " – |".to_owned() } else { format!(" {ratio:.2} |") }
            });
            let _ = writeln!(self.text, "| {row} | {} |{}", cells.join(" | "), ratio.unwrap_or_default());
        }
        self.text.push('\n');
        self.results.insert(name.to_owned(), figures.json());
    }

    /// A row for each figure of `ours`, beside `other` and as a ratio to it.
    pub fn comparison(&mut self, name: &str, figures: &Figures, rows: &[String], other: &str, ours: &str) {
        let _ = writeln!(self.text, "| | {other} | {ours} | ratio |\n|---|---|---|---|");
        for row in rows {
            let ratio = number(figures.median(ours, row) / figures.median(other, row));
            let [other, ours] = [other, ours].map(|whose| figures.cell(whose, row));
            let _ = writeln!(self.text, "| {row} | {other} | {ours} | {ratio} |");
        }
        self.text.push('\n');
        self.results.insert(name.to_owned(), figures.json());
    }

    /// Something that is to hold: at most, or at least, so much.
    pub fn goal(&mut self, what: &str, measured: f64, at_most: bool, limit: f64) {
        let verdict = match measured {
            _ if measured.is_nan() => "not measured",
            _ if (measured <= limit) == at_most => "met",
            _ => "**missed**",
        };
        let limit = format!("{} {}", if at_most { "at most" } else { "at least" }, number(limit));
        self.goals.push([what.to_owned(), limit, number(measured), verdict.to_owned()]);
    }

    pub fn picture(&mut self, file: &str, plot: &Plot) -> anyhow::Result<()> {
        let _ = writeln!(self.text, "![{}]({file}.svg)\n", plot.title);
        Ok(fs::write(self.folder.join(file).with_extension("svg"), plot.svg()?)?)
    }

    /// Writes what there is by now; returns its text.
    pub fn write(&self) -> anyhow::Result<String> {
        let mut text = self.text.clone();
        if !self.goals.is_empty() {
            text += "\n## Goals\n\n| | goal | measured | |\n|---|---|---|---|\n";
            for goal in &self.goals {
                let _ = writeln!(text, "| {} |", goal.join(" | "));
            }
        }
        let goals: Vec<_> =
            self.goals.iter().map(|[what, limit, measured, verdict]| json!([what, limit, measured, verdict])).collect();
        let results = json!({ "figures": self.results, "goals": goals });
        fs::write(self.folder.join("results.json"), serde_json::to_string_pretty(&results)?)?;
        fs::write(self.folder.join("report.md"), &text)?;
        Ok(text)
    }
}
