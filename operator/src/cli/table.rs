//! Columns for people.

use std::io::{self, Write};

use serde_json::Value;

/// Writes rows under their headings, each column as wide as its widest cell.
///
/// # Errors
/// The output is closed.
pub fn write(out: &mut impl Write, headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(headings[column].len())
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(&format!("{cell:width$}   "));
        }
        text.trim_end().to_owned()
    };
    writeln!(out, "{}", line(&mut headings.iter().copied()))?;
    for row in rows {
        writeln!(out, "{}", line(&mut row.iter().map(String::as_str)))?;
    }
    Ok(())
}

/// A field as a person reads it; empty when absent.
#[must_use]
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // One row is one line, whatever was sent.
        Value::String(text) => text.replace(char::is_control, " "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut out = Vec::new();
        let rows = [
            vec!["a".into(), "long cell".into()],
            vec!["bbbb".into(), "x".into()],
        ];
        write(&mut out, &["ID", "WHAT"], &rows).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ID     WHAT\na      long cell\nbbbb   x\n"
        );
    }

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(cell(&Value::String("a\nb\u{1b}[2J".into())), "a b [2J");
    }
}
