//! Messages as columns between spaces, of which those in quotes or brackets have spaces themselves.

use super::NoPattern;
use super::expression::{self, Expression, Operand, Operator, number};
use super::scan::Scanner;

/// What ends a word without quotes in a comparison.
const ENDS: &str = "\",()[]&|%";

#[derive(Debug)]
pub(in crate::logs) struct Columns {
    before: Vec<Column>,
    /// Those behind `...`, if it is there.
    after: Option<Vec<Column>>,
}

/// A column of any value, or with conditions on it.
type Column = Option<Expression<(Operator, Operand)>>;

impl Columns {
    pub(super) fn match_text(&self, message: &str) -> bool {
        let values = split(message);
        let (before, after) = (&self.before, self.after.as_deref().unwrap_or_default());
        let needed = before.len() + after.len();
        let fits = match self.after {
            Some(_) => values.len() >= needed,
            None => values.len() == needed,
        };
        if !fits {
            return false;
        }
        let last = &values[values.len() - after.len()..];
        let pairs = before.iter().zip(&values).chain(after.iter().zip(last));
        pairs
            .filter_map(|(column, value)| Some((column.as_ref()?, *value)))
            .all(|(column, value)| {
                column.holds(&|(operator, operand)| operand.is_met(*operator, value, number(value)))
            })
    }
}

fn split(message: &str) -> Vec<&str> {
    let mut values = Vec::new();
    let mut rest = message.trim();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => Some('"'),
            '[' => Some(']'),
            _ => None,
        };
        let inside = end.and_then(|end| rest[1..].split_once(end));
        let (value, behind) = match inside {
            Some(parts) => parts,
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        values.push(value);
        rest = behind.trim_start();
    }
    values
}

/// `[ip, user = root, ..., size > 10]`
pub(super) fn parse(scanner: &mut Scanner<'_>) -> Result<Columns, NoPattern> {
    scanner.expect("[")?;
    let mut columns = Columns {
        before: Vec::new(),
        after: None,
    };
    loop {
        scanner.space();
        if scanner.eat("...") {
            if columns.after.replace(Vec::new()).is_some() {
                return Err(NoPattern);
            }
        } else {
            let column = column(scanner)?;
            columns
                .after
                .as_mut()
                .unwrap_or(&mut columns.before)
                .push(column);
        }
        scanner.space();
        if scanner.eat("]") {
            return Ok(columns);
        }
        scanner.expect(",")?;
    }
}

fn column(scanner: &mut Scanner<'_>) -> Result<Column, NoPattern> {
    let name = |c: char| c.is_alphanumeric() || c == '_';
    let start = scanner.peek();
    if start != Some('(') && scanner.take(name).is_empty() {
        return Err(NoPattern);
    }
    if start != Some('(') {
        scanner.space();
        if matches!(scanner.peek(), Some(',' | ']')) {
            return Ok(None);
        }
    }
    // The name has been read of the first comparison only.
    let first = std::cell::Cell::new(start != Some('('));
    let one = |scanner: &mut Scanner<'_>| {
        scanner.space();
        if !first.replace(false) && scanner.take(name).is_empty() {
            return Err(NoPattern);
        }
        let operator = Operator::parse(scanner).ok_or(NoPattern)?;
        Ok((operator, Operand::parse(scanner, ENDS)?))
    };
    expression::parse(scanner, &one).map(Some)
}
