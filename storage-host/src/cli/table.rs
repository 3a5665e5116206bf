//! Tables and figures for people.

use std::time::SystemTime;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;

/// A table without frames: columns that `cut` and `awk` can take apart. Columns whose header is a number's are
/// aligned on the right.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| printable(&cell)));
    }
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        if matches!(name, "SIZE" | "LATENCY" | "NUMBER" | "USED" | "LIMIT" | "RESERVED") {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The text without anything that would steer a terminal or break a line.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A number of bytes for people: exact while it is small.
pub(super) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// A number of things: `1 file`, `2 files`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A moment, in UTC and RFC 3339, to the second.
pub(super) fn moment(time: SystemTime) -> String {
    let timestamp =
        Timestamp::try_from(time).ok().and_then(|time| Timestamp::from_second(time.as_second()).ok());
    timestamp.map_or_else(|| "?".to_owned(), |timestamp| timestamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_end_together() {
        let rows = [["a.txt", "3 B"], ["long name.pdf", "1.00 MiB"]].map(|row| row.map(str::to_owned));
        assert_eq!(
            table(["NAME", "SIZE"], rows),
            "NAME               SIZE\na.txt               3 B\nlong name.pdf  1.00 MiB"
        );
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let text = table(["NAME"], [["\u{1b}[2Jcv\n.pdf".to_owned()]]);
        assert_eq!(text, "NAME\n\u{FFFD}[2Jcv\u{FFFD}.pdf");
    }
}
