//! What was measured: every figure of every round, tables of medians, pictures.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::plot::Plot;

/// The figures of a part: what was measured, of whom, in every round.
#[derive(Default)]
pub struct Figures(BTreeMap<(String, String), Vec<f64>>);

impl Figures {
    pub fn add(&mut self, whose: &str, what: &str, value: f64) {
        self.0.entry((whose.to_owned(), what.to_owned())).or_default().push(value);
    }

    fn sorted(&self, whose: &str, what: &str) -> Option<Vec<f64>> {
        let mut values = self.0.get(&(whose.to_owned(), what.to_owned()))?.clone();
        values.sort_by(f64::total_cmp);
        Some(values)
    }

    /// Over the rounds; NaN when it was not measured.
    pub fn median(&self, whose: &str, what: &str) -> f64 {
        self.sorted(whose, what).map_or(f64::NAN, |sorted| median(&sorted))
    }

    /// The largest over the rounds, for what must never be more.
    pub fn largest(&self, whose: &str, what: &str) -> f64 {
        self.sorted(whose, what).and_then(|sorted| sorted.last().copied()).unwrap_or(f64::NAN)
    }

    /// The median with the extremes, for a table.
    fn cell(&self, whose: &str, what: &str) -> String {
        match self.sorted(whose, what) {
            None => "–".to_owned(),
            Some(sorted) if sorted.len() == 1 => number(sorted[0]),
            Some(sorted) => {
                let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
                format!("{} ({}–{})", number(median(&sorted)), number(least), number(most))
            }
        }
    }
}

pub fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Three digits that matter.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "–".to_owned(),
        0.0 => "0".to_owned(),
        1000.0.. => {
            let digits = format!("{value:.0}");
            let group = |(place, digit)| {
                if place > 0 && (digits.len() - place) % 3 == 0 { format!(",{digit}") } else { format!("{digit}") }
            };
            digits.chars().enumerate().map(group).collect()
        }
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

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
        for row in rows.iter().filter(|row| figures.0.keys().any(|(whose, _)| whose == *row)) {
            let cells: Vec<_> = columns.iter().map(|column| figures.cell(row, column)).collect();
            let ratio = ratio_to.map(|(whose, what)| {
                let ratio = figures.median(row, what) / figures.median(whose, what);
                if ratio.is_nan() { " – |".to_owned() } else { format!(" {ratio:.2} |") }
            });
            let _ = writeln!(self.text, "| {row} | {} |{}", cells.join(" | "), ratio.unwrap_or_default());
        }
        self.text.push('\n');
        let flat =
            figures.0.iter().map(|((whose, what), values)| json!({ "of": whose, "figure": what, "rounds": values }));
        self.results.insert(name.to_owned(), flat.collect());
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
        Ok(fs::write(self.folder.join(file).with_extension("svg"), plot.svg())?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_of_its_rounds() {
        let mut figures = Figures::default();
        [3.0, 1.0, 1234.5].into_iter().for_each(|value| figures.add("a", "b", value));
        assert_eq!(figures.cell("a", "b"), "3.00 (1.00–1,234)");
        assert!(figures.median("a", "c").is_nan());
    }
}
