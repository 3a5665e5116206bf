//! The chart: a page with a drawing for each row, in which a mark on each bar shows what the last run gave.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report::Report;
use crate::row::{Contender, Row};

const WIDTH: f64 = 860.0;
const LABEL_WIDTH: f64 = 190.0;
const FIGURE_WIDTH: f64 = 150.0;
const BAR_HEIGHT: f64 = 18.0;
const LINE_HEIGHT: f64 = 26.0;

const STYLE: &str = "body{font:15px system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#1b1b1b}\
h2{font-size:1em;margin:2em 0 .2em}p{margin:.2em 0;color:#555}.missed{color:#b3261e}.held{color:#1b6e3c}\
svg{font:13px system-ui,sans-serif}.ours{fill:#1f6feb}.peer{fill:#b8c0cc}.spread{stroke:#1b1b1b;stroke-width:1}\
.last{stroke:#e8590c;stroke-width:2;stroke-dasharray:3 2}";

/// Writes the page and gives its path.
///
/// # Errors
///
/// It cannot be written.
pub(crate) fn write(report: &Report, before: Option<&Report>, folder: &Path) -> Result<PathBuf> {
    let path = folder.join("index.html");
    std::fs::write(&path, page(report, before)).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn page(report: &Report, before: Option<&Report>) -> String {
    let compared = before.map_or_else(
        || "There was no run before to compare with.".to_owned(),
        |before| format!("The dashed mark is the run of {}.", before.taken_at),
    );
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Benchmarks</title><style>{STYLE}</style>\
         <h1>Benchmarks</h1><p>{} · {} · medians of {} rounds; the thin line is the spread. {compared}</p>",
        report.taken_at,
        escaped(&report.machine),
        report.rounds,
    );
    for row in &report.rows {
        html.push_str(&section(row, before.and_then(|before| before.row(&row.name))));
    }
    for left_out in &report.left_out {
        let (group, reason) = (escaped(&left_out.group), escaped(&left_out.reason));
        html.push_str(&format!("<h2>{group}</h2><p class=\"missed\">left out: {reason}</p>"));
    }
    html.push_str("</html>\n");
    html
}

fn section(row: &Row, before: Option<&Row>) -> String {
    let mut html = format!("<h2>{}: {}</h2>", escaped(&row.name), escaped(&row.work));
    for standing in row.standings() {
        let class = if standing.holds { "held" } else { "missed" };
        let against = standing.against.map(|name| format!(" against {name}")).unwrap_or_default();
        let text = format!("{}{against}, asked: {}", standing.reached, standing.asked);
        html.push_str(&format!("<p class=\"{class}\">{}</p>", escaped(&text)));
    }
    html.push_str(&drawing(row, before));
    html
}

/// The bars of a row, all to one scale that starts at zero.
fn drawing(row: &Row, before: Option<&Row>) -> String {
    let last = |contender: &Contender| before.and_then(|before| before.contender(&contender.name)?.median());
    let largest = row
        .contenders
        .iter()
        .flat_map(|contender| [contender.spread().map(|(_, largest)| largest), last(contender)])
        .flatten()
        .fold(f64::MIN_POSITIVE, f64::max);
    let x = |figure: f64| LABEL_WIDTH + (figure.max(0.0) / largest) * (WIDTH - LABEL_WIDTH - FIGURE_WIDTH);
    let height = LINE_HEIGHT * row.contenders.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">"
    );
    for (index, contender) in row.contenders.iter().enumerate() {
        let (Some(median), Some((smallest, most))) = (contender.median(), contender.spread()) else {
            continue;
        };
        let top = LINE_HEIGHT * index as f64 + (LINE_HEIGHT - BAR_HEIGHT) / 2.0;
        let middle = top + BAR_HEIGHT / 2.0;
        let class = if index == 0 { "ours" } else { "peer" };
        let bar = [
            text(LABEL_WIDTH - 8.0, middle, "end", &contender.name),
            format!(
                "<rect class=\"{class}\" x=\"{LABEL_WIDTH}\" y=\"{top}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\"/>",
                x(median) - LABEL_WIDTH
            ),
            line("spread", x(smallest), middle, x(most), middle),
            last(contender)
                .map(|last| line("last", x(last), top - 3.0, x(last), top + BAR_HEIGHT + 3.0))
                .unwrap_or_default(),
            text(x(most) + 8.0, middle, "start", &row.unit.show(median)),
        ];
        svg.push_str(&bar.concat());
    }
    svg.push_str("</svg>");
    svg
}

fn text(x: f64, y: f64, anchor: &str, content: &str) -> String {
    let content = escaped(content);
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" dominant-baseline=\"central\">{content}</text>"
    )
}

fn line(class: &str, x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    format!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' | '>' | '&' | '"' => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "&#{};", u32::from(character));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Unit;

    fn report(figure: f64) -> Report {
        let mut report = Report::new(1);
        let contender = |name: &str, figure| Contender { name: name.to_owned(), rounds: vec![figure] };
        report.rows.push(Row {
            name: "a<b".to_owned(),
            work: "c".to_owned(),
            unit: Unit::CallsPerSecond,
            contenders: vec![contender("ours", figure), contender("theirs", 100.0)],
            floors: Vec::new(),
        });
        report
    }

    #[test]
    fn bars_are_to_scale_and_the_last_run_is_marked() {
        let room = WIDTH - LABEL_WIDTH - FIGURE_WIDTH;
        let page = page(&report(50.0), Some(&report(200.0)));
        assert!(page.contains(&format!("width=\"{:.1}\" height=\"{BAR_HEIGHT}\"", room / 4.0)), "{page}");
        assert!(page.contains(&format!("class=\"last\" x1=\"{:.1}\"", LABEL_WIDTH + room)), "{page}");
        assert!(page.contains("a&#60;b") && !page.contains("a<b"), "{page}");
    }

    #[test]
    fn a_first_run_is_compared_with_none() {
        assert!(page(&report(50.0), None).contains("no run before"));
    }
}
