//! The one table that a run prints.

use crate::stats::Pair;

/// What a promise is measured by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// A ratio over the floor that must not be exceeded.
    RatioAtMost(f64),
    /// A ratio over the floor that must be reached.
    RatioAtLeast(f64),
    /// A value of ours that must not be exceeded.
    AtMost(f64),
    /// Shown for information.
    None,
}

#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    ours: f64,
    floor: Option<f64>,
    ratio: Option<f64>,
    target: Target,
}

impl Row {
    pub(crate) fn pair(what: &str, unit: &'static str, pair: &Pair, target: Target) -> Self {
        Self {
            what: what.into(),
            unit,
            ours: pair.ours(),
            floor: Some(pair.floor()),
            ratio: Some(pair.ratio()),
            target,
        }
    }

    pub(crate) fn alone(what: &str, unit: &'static str, ours: f64, target: Target) -> Self {
        Self {
            what: what.into(),
            unit,
            ours,
            floor: None,
            ratio: None,
            target,
        }
    }

    fn verdict(&self) -> &'static str {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        let met = match self.target {
            Target::RatioAtMost(limit) => ratio <= limit,
            Target::RatioAtLeast(limit) => ratio >= limit,
            Target::AtMost(limit) => self.ours <= limit,
            Target::None => return "",
        };
        if met { "met" } else { "MISSED" }
    }

    fn target(&self) -> String {
        match self.target {
            Target::RatioAtMost(limit) => format!("<= {limit}x"),
            Target::RatioAtLeast(limit) => format!(">= {limit}x"),
            Target::AtMost(limit) => format!("<= {limit} {}", self.unit),
            Target::None => String::new(),
        }
    }

    fn cells(&self) -> [String; 6] {
        [
            self.what.clone(),
            value(self.ours, self.unit),
            self.floor
                .map_or(String::new(), |floor| value(floor, self.unit)),
            self.ratio
                .map_or(String::new(), |ratio| format!("{ratio:.2}x")),
            self.target(),
            self.verdict().into(),
        ]
    }
}

/// Prints the rows in aligned columns, as a table in Markdown.
pub(crate) fn print(rows: &[Row]) {
    let heads = ["what", "ours", "floor", "ratio", "target", ""].map(String::from);
    let cells: Vec<[String; 6]> = rows.iter().map(Row::cells).collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let widest = cells
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0);
            widest.max(heads[column].len())
        })
        .collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        println!("| {} |", cells.join(" | "));
    };
    line(&heads);
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    println!("|{}|", rules.join("|"));
    cells.iter().for_each(line);
}

fn value(number: f64, unit: &str) -> String {
    let digits = if number < 10.0 {
        2
    } else {
        usize::from(number < 1_000.0)
    };
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::{Row, Target};
    use crate::stats::Pair;

    #[test]
    fn a_row_says_whether_its_target_is_met() {
        let mut pair = Pair::default();
        pair.push(200.0, 100.0);
        let verdict = |target| Row::pair("x", "us", &pair, target).verdict();
        assert_eq!(verdict(Target::RatioAtMost(2.0)), "met");
        assert_eq!(verdict(Target::RatioAtMost(1.9)), "MISSED");
        assert_eq!(verdict(Target::RatioAtLeast(2.1)), "MISSED");
        assert_eq!(
            Row::alone("x", "MiB", 26.0, Target::AtMost(25.0)).verdict(),
            "MISSED"
        );
    }
}
