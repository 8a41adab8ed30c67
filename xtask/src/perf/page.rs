//! The report as one self-contained page.

use super::results::{Part, Results, Row};
use plotters::prelude::*;
use std::fmt::Write as _;

const SIZE: (u32, u32) = (860, 240);
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}\
table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #d8dee4}\
td.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#b42318;font-weight:600}.good{color:#1a7f37}\
code{background:#f3f5f7;padding:.1rem .3rem;overflow-wrap:anywhere}h2{margin-top:2.5rem}svg{max-width:100%;height:auto}";

/// Renders the page of a run, with its trend over earlier runs.
pub(super) fn html(run: &Results, earlier: &[Results]) -> Result<String, String> {
    let mut page = String::new();
    let changed = if run.is_changed { " with changes" } else { "" };
    let title = format!("Performance of {}{changed}", run.commit);
    let _ = write!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1><p>{}</p>",
        escaped(&run.machine)
    );
    let failed = run.failed();
    let _ = match failed.is_empty() {
        true => write!(
            page,
            "<p class=good>No threshold failed. Missed goals: {}.</p>",
            run.missed().count()
        ),
        false => write!(
            page,
            "<p class=bad>Failed: {}</p>",
            escaped(&failed.join("; "))
        ),
    };
    let _ = write!(page, "<h2>Where the other way is quicker</h2>");
    table(&mut page, run.behind());
    let _ = write!(page, "<h2>Goals that are missed</h2>");
    table(&mut page, run.missed());
    for part in &run.parts {
        let _ = write!(
            page,
            "<h2>{}</h2><p>{} {:.0} s.</p><p><code>{}</code></p>",
            escaped(&part.name),
            escaped(&part.method),
            part.seconds,
            escaped(&part.command)
        );
        if part.over_time.len() > 1 {
            page += &over_time(part)?;
        }
        table(&mut page, part.rows.iter().map(|row| ("", row)));
    }
    let _ = write!(page, "<h2>Earlier runs</h2>");
    if earlier.is_empty() {
        page += "<p>None in this target folder.</p>";
    } else {
        page += &trend(run, earlier)?;
    }
    Ok(page)
}

fn table<'a>(page: &mut String, rows: impl Iterator<Item = (&'a str, &'a Row)>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        *page += "<p>None.</p>";
        return;
    }
    *page += "<table><tr><th>what<th>figure<th>beside<th>ratio<th>goal</tr>";
    for (part, row) in rows {
        let part = if part.is_empty() {
            String::new()
        } else {
            format!("{}: ", escaped(part))
        };
        let beside = row.beside.as_ref();
        let beside =
            beside.map(|(name, value)| format!("{} {}", escaped(name), figure(*value, &row.unit)));
        let ratio = row.ratio.map(|ratio| format!("{ratio:.3}"));
        let sign = if row.is_at_least { '≥' } else { '≤' };
        let goal = row.goal.map(|goal| format!("{sign} {}", plain(goal)));
        let class = if row.is_missed() { "n bad" } else { "n" };
        let _ = write!(
            page,
            "<tr><td>{part}{}<td class=n>{}<td class=n>{}<td class='{class}'>{}<td class=n>{}</tr>",
            escaped(&row.what),
            figure(row.value, &row.unit),
            beside.unwrap_or_default(),
            ratio.unwrap_or_default(),
            goal.unwrap_or_default()
        );
    }
    *page += "</table>";
}

/// Draws median and 95th percentile of each second of a run.
fn over_time(part: &Part) -> Result<String, String> {
    let median = part
        .over_time
        .iter()
        .map(|(second, median, _)| (*second, *median));
    let high = part
        .over_time
        .iter()
        .map(|(second, _, high)| (*second, *high));
    chart(
        "milliseconds by second of the run",
        &[
            ("median", median.collect()),
            ("95th percentile", high.collect()),
        ],
    )
}

/// Draws the representative figures of the parts over all runs.
fn trend(run: &Results, earlier: &[Results]) -> Result<String, String> {
    let runs: Vec<&Results> = earlier.iter().chain([run]).collect();
    let mut page = format!(
        "<p>{} runs, oldest first; including those on other machines.</p>",
        runs.len()
    );
    for (part, what) in [
        ("api, 5 users", "95th percentile"),
        ("api, 50 users", "95th percentile"),
        ("ladder", "off: more than bare"),
        ("ladder", "sampled-100: more than bare"),
        ("ratios of ops-log", "10 fields, JSON"),
    ] {
        let found = runs.iter().enumerate().filter_map(|(at, run)| {
            let row = run
                .rows()
                .find(|(name, row)| *name == part && row.what == what);
            row.map(|(_, row)| (at as f64, row.ratio.unwrap_or(row.value)))
        });
        let found: Vec<_> = found.collect();
        if found.len() > 1 {
            page += &chart(&format!("{part}: {what}"), &[(what, found)])?;
        }
    }
    Ok(page)
}

fn chart(title: &str, lines: &[(&str, Vec<(f64, f64)>)]) -> Result<String, String> {
    let mut svg = String::new();
    let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let last = points().map(|(x, _)| x).fold(1.0, f64::max);
    let top = points().map(|(_, y)| y).fold(0.0, f64::max);
    // the legend is above the curves: each of its rows takes an eighth of the height
    let top = top / (0.85 - lines.len() as f64 / 8.0);
    let mut drawn = || -> Result<(), Box<dyn std::error::Error + '_>> {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(28)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..last, 0.0..top.max(f64::MIN_POSITIVE))?;
        chart.configure_mesh().light_line_style(WHITE).draw()?;
        for (at, (name, points)) in lines.iter().enumerate() {
            let color = [RGBColor(9, 105, 218), RGBColor(191, 57, 137)][at % 2];
            chart
                .draw_series(LineSeries::new(
                    points.iter().copied(),
                    color.stroke_width(2),
                ))?
                .label(*name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .draw()?;
        area.present()?;
        Ok(())
    };
    drawn().map_err(|error| format!("cannot draw {title}: {error}"))?;
    Ok(svg)
}

/// Formats a figure with its unit, with significant digits only.
pub(super) fn figure(value: f64, unit: &str) -> String {
    let unit = if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    };
    format!("{}{unit}", plain(value))
}

pub(super) fn plain(value: f64) -> String {
    match value.abs() {
        size if value.fract() == 0.0 && size < 1e15 => format!("{value:.0}"),
        size if size < 1.0 => format!("{value:.4}"),
        size if size < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
}
