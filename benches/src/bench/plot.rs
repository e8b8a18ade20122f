//! Pictures as SVG, readable on light and on dark pages.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figures::number;

const WIDTH: i32 = 860;
const HEIGHT: i32 = 400;
/// Height that the title takes.
const TOP: i32 = 44;
/// Width of the legend to the right of the lines.
const LEGEND: i32 = 240;
/// Distance between two bars, and from the left edge to their names and to their lengths.
const BAR: i32 = 26;
const BAR_NAMES: i32 = 256;
const BAR_START: i32 = 264;
const LONGEST_BAR: f64 = 430.0;
const COLORS: [RGBColor; 6] = [
    RGBColor(0xd9, 0x73, 0x0d),
    RGBColor(0x3b, 0x82, 0xc4),
    RGBColor(0x4a, 0x9d, 0x5b),
    RGBColor(0xa3, 0x5f, 0xc0),
    RGBColor(0xc4, 0x4e, 0x52),
    RGBColor(0x7f, 0x7f, 0x7f),
];
const GRID: RGBAColor = RGBAColor(0x88, 0x88, 0x88, 0.27);
/// Overrides the text color that plotters writes, which cannot depend on the page.
const STYLE: &str = "<style>text{font-family:system-ui,sans-serif;fill:#24292f}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>";

pub struct Plot<'a> {
    pub title: &'a str,
    pub shape: Shape<'a>,
}

pub enum Shape<'a> {
    /// A line for each named series, on logarithmic axes.
    Lines { x: &'a str, y: &'a str, series: Vec<(String, Vec<(f64, f64)>)> },
    /// Named bars. The one named `ours` has the first color.
    Bars { unit: &'a str, ours: &'a str, bars: Vec<(String, f64)> },
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Plot<'_> {
    pub fn svg(&self) -> anyhow::Result<String> {
        let mut svg = String::new();
        let height = match &self.shape {
            Shape::Lines { .. } => HEIGHT,
            Shape::Bars { bars, .. } => TOP + 16 + BAR * bars.len() as i32,
        };
        let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
        area.draw_text(self.title, &font(20).style(FontStyle::Bold).into(), (16, 12))?;
        match &self.shape {
            Shape::Lines { x, y, series } => lines(&area, x, y, series)?,
            Shape::Bars { unit, ours, bars } => self::bars(&area, unit, ours, bars)?,
        }
        area.present()?;
        drop(area);
        let opened = svg.find('>').map_or(0, |end| end + 1);
        svg.insert_str(opened, STYLE);
        Ok(svg)
    }
}

fn font<'a>(size: i32) -> FontDesc<'a> {
    ("sans-serif", size).into_font()
}

fn text(horizontal: HPos) -> TextStyle<'static> {
    TextStyle::from(font(16)).pos(Pos::new(horizontal, VPos::Center))
}

fn bars(area: &Area<'_>, unit: &str, ours: &str, bars: &[(String, f64)]) -> anyhow::Result<()> {
    let longest = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    for (top, (name, value)) in (TOP..).step_by(BAR as usize).zip(bars) {
        let end = BAR_START + (value / longest * LONGEST_BAR).max(1.0) as i32;
        let color = COLORS[usize::from(name != ours)];
        area.draw_text(name, &text(HPos::Right), (BAR_NAMES, top + 9))?;
        area.draw(&Rectangle::new([(BAR_START, top), (end, top + 18)], color.filled()))?;
        area.draw_text(&format!("{} {unit}", number(*value)), &text(HPos::Left), (end + 6, top + 9))?;
    }
    Ok(())
}

fn lines(area: &Area<'_>, x: &str, y: &str, series: &[(String, Vec<(f64, f64)>)]) -> anyhow::Result<()> {
    let points = || series.iter().flat_map(|(_, points)| points);
    let mut chart = ChartBuilder::on(area)
        .margin_top(TOP)
        .margin_left(12)
        .margin_bottom(4)
        .margin_right(LEGEND)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(
            decades(points().map(|point| point.0)).log_scale(),
            decades(points().map(|point| point.1)).log_scale(),
        )?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .x_labels(8)
        .y_labels(8)
        .x_label_formatter(&|tick| short(*tick))
        .y_label_formatter(&|tick| short(*tick))
        .label_style(font(16))
        .x_desc(x)
        .y_desc(y)
        .draw()?;
    let legend = WIDTH - LEGEND + 14;
    for (index, (name, points)) in series.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
        let at = TOP + 12 + 22 * index as i32;
        area.draw(&PathElement::new([(legend, at), (legend + 18, at)], color.stroke_width(2)))?;
        area.draw_text(name, &text(HPos::Left), (legend + 24, at))?;
    }
    Ok(())
}

/// From the power of ten below the least value to the largest value, at least one decade.
fn decades(values: impl Iterator<Item = f64> + Clone) -> std::ops::Range<f64> {
    let most = values.clone().fold(f64::MIN_POSITIVE, f64::max);
    let least = values.filter(|value| *value > 0.0).fold(most, f64::min);
    let from = 10_f64.powf(least.log10().floor());
    from..(most * 1.05).max(from * 10.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_cover_whole_decades_and_ticks_are_short() {
        assert_eq!(decades([3.0, 900.0].into_iter()), 1.0..945.0);
        assert_eq!([0.1, 10.0, 1000.0, 1e6].map(short), ["0.1", "10", "1k", "1M"]);
    }
}
