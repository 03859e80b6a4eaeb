//! Tables as docker's and podman's: columns as wide as their widest cell, two spaces between them.

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading; none when it is not wanted.
    pub(crate) fn new(heading: &[&str], is_wanted: bool) -> Self {
        let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
        Self {
            rows: if is_wanted { vec![heading] } else { Vec::new() },
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        // A name or command must not draw on the terminal, nor break the lines of the table.
        let printable = |cell: String| {
            cell.chars()
                .map(|c| if c.is_control() { '?' } else { c })
                .collect()
        };
        self.rows.push(cells.into_iter().map(printable).collect());
    }

    /// The table's text.
    pub(crate) fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(column) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - cell.chars().count() + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.pop();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let mut table = Table::new(&["A", "LONG"], true);
        table.row(vec!["xyz".into(), "\x1b[31m".into()]);
        assert_eq!(table.render(), "A    LONG\nxyz  ?[31m");
    }
}
