//! The table: contender beside contender, and how we stand to what is asked.

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::report::Report;
use crate::row::{Row, Standing};

/// The report as a table in plain text, which is also valid in Markdown.
pub(crate) fn render(report: &Report, before: Option<&Report>) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "work",
        "contender",
        "median",
        "smallest – largest",
        "ours ÷ theirs",
        "asked",
        "",
        "last run",
    ]);
    for row in &report.rows {
        add_row(&mut table, row, before.and_then(|before| before.row(&row.name)));
    }
    for column in [2, 3, 4, 5, 7] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("{}\n{table}\n", report.machine);
    for left_out in &report.left_out {
        text.push_str(&format!("left out: {}: {}\n", left_out.group, left_out.reason));
    }
    let standings = report.rows.iter().flat_map(|row| row.standings().into_iter().map(move |one| (row, one)));
    let missed: Vec<_> = standings
        .filter(|(_, standing)| !standing.holds)
        .map(|(row, standing)| format!("{} ({})", row.name, standing.against.unwrap_or_default()))
        .collect();
    if !missed.is_empty() {
        text.push_str(&format!("not reached: {}\n", missed.join(", ")));
    }
    text
}

fn add_row(table: &mut Table, row: &Row, before: Option<&Row>) {
    let standings = row.standings();
    for (index, contender) in row.contenders.iter().enumerate() {
        let figure = |figure: Option<f64>| figure.map_or_else(String::new, |figure| row.unit.show(figure));
        let spread = contender.spread().map_or_else(String::new, |(smallest, largest)| {
            format!("{} – {}", row.unit.show(smallest), row.unit.show(largest))
        });
        // A floor that names nobody is that of the first contender's own figure.
        let name = (index > 0).then_some(&contender.name);
        let standing = standings.iter().find(|standing| standing.against.as_ref() == name);
        let ratio = match standing {
            Some(standing) => standing.reached.clone(),
            None if index > 0 => {
                row.ratio_to(contender).map_or_else(String::new, |ratio| format!("{ratio:.2}"))
            }
            None => String::new(),
        };
        let last = before.and_then(|before| before.contender(&contender.name)?.median());
        let title = if index == 0 { format!("{}: {}", row.name, row.work) } else { String::new() };
        table.add_row(
            [
                title,
                contender.name.clone(),
                figure(contender.median()),
                spread,
                ratio,
                standing.map_or_else(String::new, |standing| standing.asked.clone()),
                standing.map_or("", mark).to_owned(),
                figure(last),
            ]
            .map(Cell::new),
        );
    }
}

fn mark(standing: &Standing) -> &'static str {
    if standing.holds { "✓" } else { "✗" }
}
