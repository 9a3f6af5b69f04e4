//! The plots, as SVG: percentiles per contestant, and cumulative distributions.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::microseconds;
use crate::contestants::FLOOR;
use crate::error::Error;
use crate::recorder::PERCENTILES;
use crate::results::{Entry, Experiment};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Pixels of one panel, and of the title above them all.
const PANEL: (u32, u32) = (560, 420);
const TITLE: u32 = 64;
/// Pixels of one line of the table below a panel.
const LINE: u32 = 20;
/// Panels beside each other.
const COLUMNS: usize = 2;

const INK: RGBColor = RGBColor(31, 41, 55);
const FAINT: RGBColor = RGBColor(229, 231, 235);
const QUIET: RGBColor = RGBColor(107, 114, 128);
/// Told apart by readers who cannot tell red from green.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Latency at p50 to p99.99, one panel per scenario: what the README shows.
///
/// # Errors
/// When the plot cannot be drawn.
pub fn percentiles(experiments: &[Experiment]) -> Result<String, Error> {
    let subtitle = "Round trip in microseconds at each percentile; lower is better. The floor is a hand-written \
                    busy loop on bare sockets; the same client drives all.";
    panels("How long an echo takes", subtitle, experiments, percentile_panel)
}

/// The fraction of messages answered within a time, one panel per scenario.
///
/// # Errors
/// When the plot cannot be drawn.
pub fn distributions(experiments: &[Experiment]) -> Result<String, Error> {
    let subtitle =
        "Share of messages echoed within so many microseconds, logarithmic; further left is better.";
    panels("Cumulative distribution", subtitle, experiments, distribution_panel)
}

type Panel = fn(&Area<'_>, &Experiment) -> Result<(), Error>;

fn panels(title: &str, subtitle: &str, experiments: &[Experiment], draw: Panel) -> Result<String, Error> {
    let columns = experiments.len().clamp(1, COLUMNS);
    let rows = experiments.len().div_ceil(columns).max(1);
    let size = (PANEL.0 * columns as u32, TITLE + PANEL.1 * rows as u32);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let heading = ("sans-serif", 22, &INK).into_text_style(&root);
        root.draw(&Text::new(title, (24, 14), heading)).map_err(failed)?;
        let small = ("sans-serif", 13, &QUIET).into_text_style(&root);
        root.draw(&Text::new(subtitle, (24, 42), small)).map_err(failed)?;
        let (_, below) = root.split_vertically(TITLE);
        for (area, experiment) in below.split_evenly((rows, columns)).iter().zip(experiments) {
            draw(area, experiment)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

/// The curves, and below them the figures as a table that is the legend too.
fn percentile_panel(area: &Area<'_>, experiment: &Experiment) -> Result<(), Error> {
    let curves: Vec<Vec<(f64, f64)>> = experiment.entries.iter().map(percentile_points).collect();
    let (low, high) = range(curves.iter().flatten().map(|point| point.1));
    let table = LINE * experiment.entries.len() as u32 + 12;
    let (upper, _) = area.split_vertically(area.dim_in_pixel().1 - table);
    let mut chart = ChartBuilder::on(&upper)
        .caption(experiment.scenario.to_string(), ("sans-serif", 16, &INK))
        .margin(14)
        .margin_bottom(4)
        .x_label_area_size(26)
        .y_label_area_size(94)
        .build_cartesian_2d(-0.25..PERCENTILES.len() as f64 - 0.75, (low..high).log_scale())
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(QUIET)
        .x_labels(PERCENTILES.len())
        .x_label_formatter(&|at| percentile_label(*at))
        // The ticks of a logarithmic axis are drawn below.
        .y_labels(0)
        .y_label_formatter(&|_| String::new())
        .label_style(("sans-serif", 13, &INK))
        .draw()
        .map_err(failed)?;
    let (left, top) = area.get_base_pixel();
    for tick in ticks(low, high) {
        let line = [-0.25, PERCENTILES.len() as f64 - 0.75].map(|x| (x, tick));
        let (x, y) = chart.backend_coord(&line[0]);
        let anchor = Pos::new(HPos::Right, VPos::Center);
        let label = ("sans-serif", 13, &INK).into_text_style(area).pos(anchor);
        area.draw(&Text::new(tick_label(tick), (x - left - 8, y - top), label)).map_err(failed)?;
        chart.draw_series([PathElement::new(line, FAINT)]).map_err(failed)?;
    }
    for (index, (entry, points)) in experiment.entries.iter().zip(curves).enumerate() {
        let style = style(entry, index);
        let y = upper.dim_in_pixel().1 as i32 + LINE as i32 * index as i32 + 6;
        let name =
            ("sans-serif", 13, &style.color).into_text_style(area).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(entry.name.clone(), (20, y), name)).map_err(failed)?;
        for &point in &points {
            let x = chart.backend_coord(&point).0 - left;
            let centred = Pos::new(HPos::Center, VPos::Center);
            let figure = ("sans-serif", 13, &style.color).into_text_style(area).pos(centred);
            area.draw(&Text::new(microseconds(point.1 * 1e3), (x, y), figure)).map_err(failed)?;
        }
        let dots = points.iter().map(|&point| Circle::new(point, 4, style.filled()));
        chart.draw_series(dots).map_err(failed)?;
        chart.draw_series(LineSeries::new(points, style)).map_err(failed)?;
    }
    Ok(())
}

fn distribution_panel(area: &Area<'_>, experiment: &Experiment) -> Result<(), Error> {
    // Beyond that a distribution is a flat line with a few stray messages.
    let shortest = experiment.entries.iter().map(|entry| entry.merged.percentile(0.0) as f64 / 1e3);
    let longest = experiment.entries.iter().map(|entry| entry.merged.percentile(99.9) as f64 / 1e3);
    let (low, high) = range(shortest.chain(longest));
    let mut chart = ChartBuilder::on(area)
        .caption(experiment.scenario.to_string(), ("sans-serif", 16, &INK))
        .margin(14)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d((low..high).log_scale(), 0.0..1.0)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .max_light_lines(0)
        .bold_line_style(FAINT)
        .axis_style(QUIET)
        .x_labels(0)
        .x_label_formatter(&|_| String::new())
        .y_label_formatter(&|share| format!("{:.0} %", share * 100.0))
        .label_style(("sans-serif", 13, &INK))
        .draw()
        .map_err(failed)?;
    let (left, top) = area.get_base_pixel();
    for tick in ticks(low, high) {
        let line = [0.0, 1.0].map(|y| (tick, y));
        let (x, y) = chart.backend_coord(&line[0]);
        let label = ("sans-serif", 13, &INK).into_text_style(area).pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(tick_label(tick), (x - left, y - top + 8), label)).map_err(failed)?;
        chart.draw_series([PathElement::new(line, FAINT)]).map_err(failed)?;
    }
    for (index, entry) in experiment.entries.iter().enumerate() {
        let style = style(entry, index);
        let points =
            entry.merged.cdf().into_iter().map(|(nanoseconds, share)| (nanoseconds as f64 / 1e3, share));
        chart
            .draw_series(LineSeries::new(points.filter(|point| point.0 <= high), style))
            .map_err(failed)?
            .label(&entry.name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 18, y + 2)], style.filled()));
    }
    legend(&mut chart)
}

fn legend<'a, X, Y>(chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>) -> Result<(), Error>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .margin(12)
        .background_style(WHITE.mix(0.85))
        .label_font(("sans-serif", 14, &INK))
        .draw()
        .map_err(failed)
}

/// The floor in grey, the others in colours.
fn style(entry: &Entry, index: usize) -> ShapeStyle {
    let colour = if entry.name == FLOOR { QUIET } else { COLOURS[index % COLOURS.len()] };
    colour.stroke_width(2)
}

/// (place, microseconds) of each percentile that the messages carry.
fn percentile_points(entry: &Entry) -> Vec<(f64, f64)> {
    let carried =
        PERCENTILES.iter().enumerate().filter(|(_, percentile)| entry.merged.supports(**percentile));
    carried
        .map(|(place, &percentile)| (place as f64, (entry.percentile(percentile) / 1e3).max(0.001)))
        .collect()
}

fn percentile_label(at: f64) -> String {
    let place = at.round();
    let percentile = PERCENTILES.get(place as usize).filter(|_| (at - place).abs() < 0.01 && place >= 0.0);
    percentile.map_or_else(String::new, |percentile| format!("p{percentile}"))
}

/// 1, 2, 5, 10, 20, 50, ... within the range; of a long range only the powers of ten.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let steps: &[f64] = if high / low > 1_000.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let all = (-3..=8).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
    all.filter(|tick| (low..=high).contains(tick)).collect()
}

fn tick_label(microseconds: f64) -> String {
    let digits = if microseconds < 1.0 { 3 } else { 0 };
    format!("{microseconds:.digits$} \u{b5}s")
}

/// A little more than what the values span, so that no curve runs along an edge.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    if high <= 0.0 { (1.0, 10.0) } else { ((low / 1.4).max(0.001), high.max(low * 2.0) * 1.6) }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Plot(error.to_string())
}
