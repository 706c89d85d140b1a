//! Plots, in SVG, in `target/bench`. Those that the README shows are copied to `docs/bench`.
//!
//! All that a plot shows is a line of the results: `plot` is its file, and `make bench PARTS=plots` draws from the last line of each.

use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SIZE: (u32, u32) = (760, 300);
/// Of a bar.
const THICKNESS: u32 = 20;
const FONT: (&str, u32) = ("sans-serif", 13);
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x1f, 0x5f, 0x8b),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x2a, 0x7f, 0x4f),
    RGBColor(0x7b, 0x3f, 0x8c),
];

/// Draws all plots of the results again.
pub fn again() {
    let results = std::fs::read_to_string(super::directory().join("results.jsonl"));
    let results = results.unwrap_or_else(|error| panic!("there are no results to draw: {error}"));
    let lines = results.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let plots: BTreeMap<String, Value> =
        lines.filter_map(|line| Some((line["plot"].as_str()?.to_owned(), line))).collect();
    for plot in plots.values() {
        draw(plot);
        println!("{}", plot["plot"].as_str().unwrap());
    }
}

/// A horizontal bar for each name: the median, with a line from the least to the largest.
pub fn bars(file: &str, title: &str, unit: &str, bars: &[(String, Vec<f64>)]) {
    show(json!({ "plot": file, "title": title, "unit": unit, "bars": bars }));
}

/// A line for each name, both axes in powers of ten.
pub fn lines(file: &str, title: &str, axes: [&str; 2], lines: &[(&str, Vec<(f64, f64)>)]) {
    show(json!({ "plot": file, "title": title, "axes": axes, "lines": lines }));
}

fn show(plot: Value) {
    super::say(&plot);
    draw(&plot);
}

fn draw(plot: &Value) {
    let text = |name: &str| plot[name].as_str().unwrap();
    match plot["bars"].clone() {
        Value::Null => {
            let [x, y] = ["0", "1"].map(|axis| plot.pointer(&format!("/axes/{axis}")).unwrap());
            let axes = [x, y].map(|axis| axis.as_str().unwrap());
            let lines = serde_json::from_value(plot["lines"].clone()).unwrap();
            draw_lines(text("plot"), text("title"), axes, lines);
        }
        bars => {
            let bars = serde_json::from_value(bars).unwrap();
            draw_bars(text("plot"), text("title"), text("unit"), bars);
        }
    }
}

fn draw_bars(file: &str, title: &str, unit: &str, bars: Vec<(String, Vec<f64>)>) {
    let largest = bars.iter().flat_map(|(_, values)| values).copied().fold(0.0, f64::max);
    let rows = i32::try_from(bars.len()).unwrap();
    let path = super::directory().join(file);
    let area = SVGBackend::new(&path, SIZE).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&area)
        .caption(title, FONT)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(190)
        .build_cartesian_2d(0.0..largest * 1.12, (0..rows - 1).into_segmented())
        .unwrap();
    let name = |place: &SegmentValue<i32>| match place {
        SegmentValue::CenterOf(row) => {
            // The first is the topmost.
            let place = usize::try_from(rows - 1 - row).unwrap_or(usize::MAX);
            bars.get(place).map_or(String::new(), |(name, _)| name.clone())
        }
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_desc(unit)
        .y_label_formatter(&name)
        .y_labels(bars.len())
        .label_style(FONT)
        .draw()
        .unwrap();
    for (row, (_, values)) in (0..rows).rev().zip(&bars) {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let (least, middle) = (sorted[0], sorted[sorted.len() / 2]);
        let last = sorted[sorted.len() - 1];
        let place = SegmentValue::CenterOf(row);
        let ends = vec![(0.0, place.clone()), (middle, place.clone())];
        let bar = PathElement::new(ends, COLOURS[0].stroke_width(THICKNESS));
        let line = PathElement::new(vec![(least, place.clone()), (last, place.clone())], BLACK);
        let style = TextStyle::from(FONT).pos(Pos::new(HPos::Left, VPos::Center));
        let text = Text::new(format!("  {middle:.1}"), (last, place), style);
        chart.draw_series([bar]).unwrap();
        chart.draw_series([line]).unwrap();
        chart.draw_series([text]).unwrap();
    }
    area.present().unwrap();
}

fn draw_lines(file: &str, title: &str, axes: [&str; 2], lines: Vec<(String, Vec<(f64, f64)>)>) {
    let all = || lines.iter().flat_map(|(_, points)| points);
    let least = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(f64::MAX, f64::min) / 1.5;
    let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(0.0, f64::max) * 1.5;
    let (x, y) = (least(|p| p.0)..most(|p| p.0), least(|p| p.1)..most(|p| p.1));
    let path = super::directory().join(file);
    let area = SVGBackend::new(&path, SIZE).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&area)
        .caption(title, FONT)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(x.log_scale(), y.log_scale())
        .unwrap();
    mesh(&mut chart, axes);
    for ((name, points), colour) in lines.iter().zip(COLOURS) {
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
        chart.draw_series(line).unwrap().label(name).legend(move |(x, y)| {
            PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2))
        });
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .label_font(FONT)
        .draw()
        .unwrap();
    area.present().unwrap();
}

fn mesh<X, Y>(chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>, [x, y]: [&str; 2])
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart.configure_mesh().x_desc(x).y_desc(y).label_style(FONT).draw().unwrap();
}
