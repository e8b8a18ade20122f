//! Measured figures: every value of every round, and their medians.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The figures of a part: what was measured, of whom, in every round.
#[derive(Default)]
pub struct Figures(BTreeMap<(String, String), Vec<f64>>);

impl Figures {
    pub fn add(&mut self, whose: &str, what: &str, value: f64) {
        self.0.entry((whose.to_owned(), what.to_owned())).or_default().push(value);
    }

    /// Whether anything was measured for this row.
    pub fn has(&self, whose: &str) -> bool {
        self.0.keys().any(|(name, _)| name == whose)
    }

    /// Every figure of every round.
    pub fn json(&self) -> Value {
        let figure = |((whose, what), rounds): (&(String, String), &Vec<f64>)| json!({ "of": whose, "figure": what, "rounds": rounds });
        self.0.iter().map(figure).collect()
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
    pub fn cell(&self, whose: &str, what: &str) -> String {
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
