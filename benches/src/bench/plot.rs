//! Pictures as SVG, readable on light and on dark pages.

use std::fmt::Write;

use crate::figures::number;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 240.0;
const TOP: f64 = 48.0;
const HEIGHT: f64 = 300.0;
const BAR: f64 = 26.0;
const COLORS: [&str; 6] = ["#d9730d", "#3b82c4", "#4a9d5b", "#a35fc0", "#c44e52", "#7f7f7f"];
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:16px;font-weight:600}\
    .grid{stroke:#8884;fill:none}.line{fill:none;stroke-width:2}.end{text-anchor:end}.middle{text-anchor:middle}\
    .range{stroke:#24292f}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.range{stroke:#e6edf3}}";

#[derive(Debug, Clone, Copy)]
pub struct Axis<'a> {
    pub label: &'a str,
    pub logarithmic: bool,
}

/// A line for each series, or a bar for each of its names.
pub struct Plot<'a> {
    pub title: &'a str,
    pub shape: Shape<'a>,
}

pub enum Shape<'a> {
    Lines {
        x: Axis<'a>,
        y: Axis<'a>,
        series: Vec<(String, Vec<(f64, f64)>)>,
    },
    /// Names and values, of which the first `ours` is drawn in the first color.
    Bars {
        unit: &'a str,
        ours: &'a str,
        bars: Vec<(String, f64)>,
    },
}

impl Plot<'_> {
    pub fn svg(&self) -> String {
        let (body, height) = match &self.shape {
            Shape::Lines { x, y, series } => (lines(*x, *y, series), TOP + HEIGHT + 52.0),
            Shape::Bars { unit, ours, bars } => (self::bars(unit, ours, bars), TOP + 24.0 + BAR * bars.len() as f64),
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\"><title>{0}</title>\
             <style>{STYLE}</style><text class=\"title\" x=\"16\" y=\"24\">{0}</text>{body}</svg>\n",
            escaped(self.title)
        )
    }
}

fn bars(unit: &str, ours: &str, bars: &[(String, f64)]) -> String {
    let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = String::new();
    for (index, (name, value)) in bars.iter().enumerate() {
        let (y, color) = (TOP + BAR * index as f64, COLORS[usize::from(name != ours)]);
        let width = (value / most * 430.0).max(1.0);
        let _ = write!(
            svg,
            "<text class=\"end\" x=\"256\" y=\"{0}\">{1}</text><rect x=\"264\" y=\"{y}\" width=\"{width:.1}\" height=\"18\" \
             rx=\"2\" fill=\"{color}\"/><text x=\"{2:.1}\" y=\"{0}\">{3} {unit}</text>",
            y + 14.0,
            escaped(name),
            270.0 + width,
            number(*value)
        );
    }
    svg
}

fn lines(x: Axis<'_>, y: Axis<'_>, series: &[(String, Vec<(f64, f64)>)]) -> String {
    let points: Vec<_> = series.iter().flat_map(|(_, points)| points).collect();
    let (across, up) = (x.scale(points.iter().map(|point| point.0)), y.scale(points.iter().map(|point| point.1)));
    let right = WIDTH - RIGHT;
    let place_x = |value: f64| LEFT + across.part(value) * (right - LEFT);
    let place_y = |value: f64| TOP + (1.0 - up.part(value)) * HEIGHT;
    let bottom = TOP + HEIGHT;
    let mut svg = String::new();
    for tick in across.ticks() {
        let (at, text) = (place_x(tick), short(tick));
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom}\"/><text class=\"middle\" x=\"{at:.1}\" y=\"{}\">{text}</text>",
            bottom + 18.0
        );
    }
    for tick in up.ticks() {
        let (at, text) = (place_y(tick), short(tick));
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/><text class=\"end\" x=\"{}\" y=\"{:.1}\">{text}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    let middle = LEFT.midpoint(right);
    let _ = write!(
        svg,
        "<text class=\"middle\" x=\"{middle}\" y=\"{}\">{}</text><text x=\"16\" y=\"42\">{}</text>",
        bottom + 40.0,
        escaped(x.label),
        escaped(y.label)
    );
    for (index, (name, points)) in series.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{:.1} {:.1}", place_x(*x), place_y(*y))).collect();
        let _ = write!(svg, "<path class=\"line\" stroke=\"{color}\" d=\"M{}\"/>", path.join("L"));
        for point in &path {
            let (x, y) = point.split_once(' ').unwrap_or_default();
            let _ = write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{color}\"/>");
        }
        let at = TOP + 12.0 + 22.0 * index as f64;
        let _ = write!(
            svg,
            "<path class=\"line\" stroke=\"{color}\" d=\"M{0} {at}h18\"/><text x=\"{1}\" y=\"{2}\">{3}</text>",
            right + 14.0,
            right + 38.0,
            at + 4.0,
            escaped(name)
        );
    }
    svg
}

struct Scale {
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis<'_> {
    /// From 0, or from a power of ten.
    fn scale(self, values: impl Iterator<Item = f64> + Clone) -> Scale {
        let most = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        let least = values.filter(|value| *value > 0.0).fold(most, f64::min);
        match self.logarithmic {
            true => {
                let (from, to) = (least.log10().floor(), most.log10() + 0.02);
                Scale { from, to: to.max(from + 1.0), logarithmic: true }
            }
            false => Scale { from: 0.0, to: most * 1.05, logarithmic: false },
        }
    }
}

impl Scale {
    fn part(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value };
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let step = match self.logarithmic {
            true => 1.0,
            false => {
                let rough = self.to / 6.0;
                let magnitude = 10_f64.powf(rough.log10().floor());
                [1.0, 2.0, 5.0, 10.0]
                    .map(|factor| factor * magnitude)
                    .into_iter()
                    .find(|step| *step >= rough)
                    .unwrap_or(rough)
            }
        };
        let values =
            (0..).map(|index| self.from + step * f64::from(index)).take_while(|value| *value <= self.to + 1e-9);
        values.map(|value| if self.logarithmic { 10_f64.powf(value) } else { value }).collect()
    }
}

/// A tick: 1k is 1,000.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        1e6.. => (value / 1e6, "M"),
        1e3.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    format!("{}{unit}", (value * 1e4).round() / 1e4)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let axis = |logarithmic| Axis { label: "", logarithmic };
        assert_eq!(axis(true).scale([3.0, 900.0].into_iter()).ticks().rounded(), [1, 10, 100]);
        assert_eq!(axis(false).scale([3.0, 900.0].into_iter()).ticks().rounded(), [0, 200, 400, 600, 800]);
    }

    trait Rounded {
        fn rounded(&self) -> Vec<i64>;
    }

    impl Rounded for Vec<f64> {
        #[expect(clippy::cast_possible_truncation, reason = "they are small")]
        fn rounded(&self) -> Vec<i64> {
            self.iter().map(|value| value.round() as i64).collect()
        }
    }
}
