//! Tables as aligned columns.

/// A heading and its cells; numbers stand to the right.
pub struct Column {
    heading: &'static str,
    right: bool,
    cells: Vec<String>,
}

impl Column {
    pub fn text(heading: &'static str, cells: impl IntoIterator<Item = String>) -> Column {
        Column { heading, right: false, cells: cells.into_iter().collect() }
    }

    pub fn number(heading: &'static str, cells: impl IntoIterator<Item = String>) -> Column {
        Column { heading, right: true, cells: cells.into_iter().collect() }
    }
}

/// The lines of a table, each with its end; all columns have the same number of cells.
pub fn table(columns: &[Column]) -> String {
    let width = |column: &Column| {
        let cells = column.cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        cells.max(column.heading.chars().count())
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let line = |cell: &dyn Fn(&Column) -> String| {
        let cells = columns.iter().zip(&widths).map(|(column, &width)| match column.right {
            true => format!("{:>width$}", cell(column)),
            false => format!("{:<width$}", cell(column)),
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let mut text = line(&|column| column.heading.to_owned());
    (0..rows).for_each(|row| text += &line(&|column| column.cells[row].clone()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let names = Column::text("NAME", ["é".into(), "longer".into()]);
        let counts = Column::number("COUNT", ["1".into(), "1,000".into()]);
        assert_eq!(table(&[names, counts]), "NAME    COUNT\né           1\nlonger  1,000\n");
    }
}
