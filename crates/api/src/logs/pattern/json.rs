//! Messages that are JSON objects: comparisons of their members.

use serde_json::Value;

use super::NoPattern;
use super::expression::{self, Expression, Operand, Operator};
use super::scan::Scanner;

/// What ends a word without quotes in a comparison.
const ENDS: &str = "\"(){}&|%";

#[derive(Debug)]
pub(in crate::logs) struct Condition(Expression<Comparison>);

#[derive(Debug)]
struct Comparison {
    path: Vec<Step>,
    test: Test,
}

#[derive(Debug)]
enum Step {
    Member(String),
    Element(usize),
    /// Each member or element.
    Every,
}

#[derive(Debug)]
enum Test {
    Compare(Operator, Operand),
    Null,
    Bool(bool),
    Missing,
}

impl Condition {
    pub(super) fn match_text(&self, message: &str) -> bool {
        let text = message.trim_start();
        if !text.starts_with('{') {
            return false;
        }
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return false;
        };
        self.0.holds(&|comparison| comparison.holds(&value))
    }
}

impl Comparison {
    fn holds(&self, value: &Value) -> bool {
        let found = select(value, &self.path);
        match &self.test {
            Test::Missing => found.is_empty(),
            Test::Null => found.iter().any(|value| value.is_null()),
            Test::Bool(wanted) => found.iter().any(|value| value.as_bool() == Some(*wanted)),
            Test::Compare(operator, operand) => found.iter().any(|value| match value {
                Value::String(text) => operand.is_met(*operator, text, None),
                Value::Number(number) => {
                    operand.is_met(*operator, &number.to_string(), number.as_f64())
                }
                Value::Bool(is) => operand.is_met(*operator, &is.to_string(), None),
                Value::Null | Value::Array(_) | Value::Object(_) => false,
            }),
        }
    }
}

/// No value is selected twice, so there are never more than the message has.
fn select<'a>(value: &'a Value, path: &[Step]) -> Vec<&'a Value> {
    let mut found = vec![value];
    for step in path {
        let mut next = Vec::new();
        for value in found {
            match (step, value) {
                (Step::Member(name), Value::Object(members)) => next.extend(members.get(name)),
                (Step::Element(index), Value::Array(elements)) => next.extend(elements.get(*index)),
                (Step::Every, Value::Object(members)) => next.extend(members.values()),
                (Step::Every, Value::Array(elements)) => next.extend(elements),
                _ => {}
            }
        }
        found = next;
    }
    found
}

/// `{ $.a.b = "x" && … }`
pub(super) fn parse(scanner: &mut Scanner<'_>) -> Result<Condition, NoPattern> {
    scanner.expect("{")?;
    let expression = expression::parse(scanner, &comparison)?;
    scanner.expect("}")?;
    Ok(Condition(expression))
}

fn comparison(scanner: &mut Scanner<'_>) -> Result<Comparison, NoPattern> {
    let path = path(scanner)?;
    let test = match Operator::parse(scanner) {
        Some(operator) => {
            let operand = Operand::parse(scanner, ENDS)?;
            Test::Compare(operator, operand)
        }
        None => words(scanner)?,
    };
    Ok(Comparison { path, test })
}

fn path(scanner: &mut Scanner<'_>) -> Result<Vec<Step>, NoPattern> {
    scanner.expect("$")?;
    let mut path = Vec::new();
    loop {
        if scanner.eat("[") || scanner.eat(".[") {
            path.push(bracket(scanner)?);
        } else if scanner.eat(".") {
            let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '/' | '#');
            path.push(match scanner.take(name) {
                "" if scanner.eat("*") => Step::Every,
                "" => return Err(NoPattern),
                name => Step::Member(name.to_owned()),
            });
        } else if path.is_empty() {
            return Err(NoPattern);
        } else {
            return Ok(path);
        }
    }
}

/// `0]`, `*]` or `'name']`
fn bracket(scanner: &mut Scanner<'_>) -> Result<Step, NoPattern> {
    let step = if scanner.eat("*") {
        Step::Every
    } else if scanner.eat("'") {
        Step::Member(scanner.quoted('\'')?)
    } else if scanner.eat("\"") {
        Step::Member(scanner.quoted('"')?)
    } else {
        let index = scanner.take(|c| c.is_ascii_digit());
        Step::Element(index.parse().map_err(|_| NoPattern)?)
    };
    match scanner.eat("]") {
        true => Ok(step),
        false => Err(NoPattern),
    }
}

/// `IS NULL`, `IS TRUE`, `IS FALSE`, `NOT EXISTS`
fn words(scanner: &mut Scanner<'_>) -> Result<Test, NoPattern> {
    let mut word = || {
        scanner.space();
        scanner
            .take(|c| c.is_ascii_alphabetic())
            .to_ascii_uppercase()
    };
    let (first, second) = (word(), word());
    match (first.as_str(), second.as_str()) {
        ("IS", "NULL") => Ok(Test::Null),
        ("IS", "TRUE") => Ok(Test::Bool(true)),
        ("IS", "FALSE") => Ok(Test::Bool(false)),
        ("NOT", "EXISTS") => Ok(Test::Missing),
        _ => Err(NoPattern),
    }
}
