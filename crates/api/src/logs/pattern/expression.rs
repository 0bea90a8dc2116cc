//! Comparisons joined by `&&`, `||` and parentheses, and what is compared with.

use regex::Regex;

use super::NoPattern;
use super::scan::Scanner;

/// Parentheses in parentheses, count.
const DEPTH: usize = 32;

#[derive(Debug)]
pub(super) enum Expression<T> {
    Is(T),
    All(Vec<Expression<T>>),
    Any(Vec<Expression<T>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The right side of a comparison.
#[derive(Debug)]
pub(super) enum Operand {
    /// Parts between wildcards, with the number that the text is, if it is one.
    Text {
        parts: Vec<String>,
        number: Option<f64>,
    },
    Regex(Regex),
}

impl<T> Expression<T> {
    pub(super) fn holds(&self, is: &impl Fn(&T) -> bool) -> bool {
        match self {
            Self::Is(one) => is(one),
            Self::All(all) => all.iter().all(|one| one.holds(is)),
            Self::Any(any) => any.iter().any(|one| one.holds(is)),
        }
    }
}

/// `a && b || (c && d)`, where `one` reads a single comparison.
pub(super) fn parse<'a, T>(
    scanner: &mut Scanner<'a>,
    one: &impl Fn(&mut Scanner<'a>) -> Result<T, NoPattern>,
) -> Result<Expression<T>, NoPattern> {
    any(scanner, one, DEPTH)
}

fn any<'a, T>(
    scanner: &mut Scanner<'a>,
    one: &impl Fn(&mut Scanner<'a>) -> Result<T, NoPattern>,
    depth: usize,
) -> Result<Expression<T>, NoPattern> {
    let mut parts = vec![all(scanner, one, depth)?];
    while joined(scanner, "||") {
        parts.push(all(scanner, one, depth)?);
    }
    Ok(Expression::Any(parts))
}

fn all<'a, T>(
    scanner: &mut Scanner<'a>,
    one: &impl Fn(&mut Scanner<'a>) -> Result<T, NoPattern>,
    depth: usize,
) -> Result<Expression<T>, NoPattern> {
    let mut parts = vec![single(scanner, one, depth)?];
    while joined(scanner, "&&") {
        parts.push(single(scanner, one, depth)?);
    }
    Ok(Expression::All(parts))
}

fn single<'a, T>(
    scanner: &mut Scanner<'a>,
    one: &impl Fn(&mut Scanner<'a>) -> Result<T, NoPattern>,
    depth: usize,
) -> Result<Expression<T>, NoPattern> {
    scanner.space();
    if !scanner.eat("(") {
        return one(scanner).map(Expression::Is);
    }
    let depth = depth.checked_sub(1).ok_or(NoPattern)?;
    let inner = any(scanner, one, depth)?;
    scanner.expect(")")?;
    Ok(inner)
}

fn joined(scanner: &mut Scanner<'_>, by: &str) -> bool {
    scanner.space();
    scanner.eat(by)
}

impl Operator {
    /// After space, if there is one.
    pub(super) fn parse(scanner: &mut Scanner<'_>) -> Option<Self> {
        scanner.space();
        let all = [
            ("!=", Self::Unequal),
            ("<=", Self::LessOrEqual),
            (">=", Self::GreaterOrEqual),
            ("<", Self::Less),
            (">", Self::Greater),
            ("=", Self::Equal),
        ];
        all.into_iter()
            .find(|(text, _)| scanner.eat(text))
            .map(|(_, operator)| operator)
    }

    fn compares(self, left: f64, right: f64) -> bool {
        match self {
            // Both come from decimal texts, and equal texts give equal numbers.
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl Operand {
    /// `ends` are the characters that end a word without quotes.
    pub(super) fn parse(scanner: &mut Scanner<'_>, ends: &str) -> Result<Self, NoPattern> {
        scanner.space();
        if scanner.eat("%") {
            return scanner.regex().map(Self::Regex);
        }
        if scanner.eat("\"") {
            let text = scanner.quoted('"')?;
            return Ok(Self::text(&text, None));
        }
        let word = scanner.take(|c| !c.is_whitespace() && !ends.contains(c));
        if word.is_empty() || word.starts_with(['=', '<', '>', '!']) {
            return Err(NoPattern);
        }
        Ok(Self::text(word, number(word)))
    }

    fn text(text: &str, number: Option<f64>) -> Self {
        let parts = text.split('*').map(str::to_owned).collect();
        Self::Text { parts, number }
    }

    /// Whether a value stands in a relation to this; `as_number` if it is to be taken for one.
    pub(super) fn is_met(&self, operator: Operator, value: &str, as_number: Option<f64>) -> bool {
        match (self, operator) {
            (Self::Regex(regex), Operator::Equal) => regex.is_match(value),
            (Self::Regex(regex), Operator::Unequal) => !regex.is_match(value),
            (Self::Regex(_), _) => false,
            (Self::Text { parts, number }, operator) => match (number, as_number, operator) {
                (Some(number), Some(value), operator) => operator.compares(value, *number),
                (_, _, Operator::Equal) => fits(parts, value),
                (_, _, Operator::Unequal) => !fits(parts, value),
                _ => false,
            },
        }
    }
}

/// A decimal number, as JSON and log lines write it.
pub(super) fn number(text: &str) -> Option<f64> {
    let digits = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E');
    let plain = text.chars().all(digits) && text.contains(|c: char| c.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Whether a text is the parts in their order, with anything between them.
fn fits(parts: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = parts else {
        return parts.first().is_some_and(|whole| whole == text);
    };
    let Some(rest) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    let Some(mut rest) = rest.strip_suffix(last.as_str()) else {
        return false;
    };
    for part in middle {
        match rest.split_once(part.as_str()) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    true
}
