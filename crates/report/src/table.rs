//! Tables as markdown.

/// A markdown table; `|` in a cell is escaped, and a line break becomes a space.
pub(crate) fn markdown(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells = cells.iter().map(|cell| cell.replace('|', "\\|").replace(['\n', '\r'], " "));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = format!("|{}\n", "---|".repeat(header.len()));
    line(header) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_cell_cannot_break_the_table() {
        insta::assert_snapshot!(markdown(&row(&["a", "b"]), &[row(&["x|y", "two\nlines"])]), @r"
        | a | b |
        |---|---|
        | x\|y | two lines |
        ");
    }
}
