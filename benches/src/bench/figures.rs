//! Measured figures: every value of every round, and their medians.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Figures of a part by row and column of its table: one value per round.
#[derive(Default)]
pub struct Figures(BTreeMap<(String, String), Vec<f64>>);

impl Figures {
    pub fn add(&mut self, row: &str, column: &str, value: f64) {
        self.0.entry((row.to_owned(), column.to_owned())).or_default().push(value);
    }

    /// Whether the row has a figure.
    pub fn has(&self, row: &str) -> bool {
        self.0.keys().any(|(name, _)| name == row)
    }

    /// Every figure of every round.
    pub fn json(&self) -> Value {
        self.0.iter().map(|((row, column), rounds)| json!({ "of": row, "figure": column, "rounds": rounds })).collect()
    }

    fn sorted(&self, row: &str, column: &str) -> Option<Vec<f64>> {
        let mut values = self.0.get(&(row.to_owned(), column.to_owned()))?.clone();
        values.sort_by(f64::total_cmp);
        Some(values)
    }

    /// Median over the rounds; NaN if not measured.
    pub fn median(&self, row: &str, column: &str) -> f64 {
        self.sorted(row, column).map_or(f64::NAN, |sorted| median(&sorted))
    }

    /// Maximum over the rounds.
    pub fn largest(&self, row: &str, column: &str) -> f64 {
        self.sorted(row, column).and_then(|sorted| sorted.last().copied()).unwrap_or(f64::NAN)
    }

    /// Median, minimum and maximum, for a table.
    pub fn cell(&self, row: &str, column: &str) -> String {
        match self.sorted(row, column) {
            None => "–".to_owned(),
            Some(sorted) if sorted.len() == 1 => number(sorted[0]),
            Some(sorted) => {
                let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
                format!("{} ({}–{})", number(median(&sorted)), number(min), number(max))
            }
        }
    }
}

pub fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Formats with three significant digits; from 1,000 on with all digits.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_is_the_median_of_its_rounds() {
        let mut figures = Figures::default();
        [3.0, 1.0, 1234.5].into_iter().for_each(|value| figures.add("a", "b", value));
        assert_eq!(figures.cell("a", "b"), "3.00 (1.00–1,234)");
        assert!(figures.median("a", "c").is_nan());
    }
}
