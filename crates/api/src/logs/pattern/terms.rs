//! Messages as mere text: words and phrases that must be there, must not, or of which one must.

use regex::Regex;

use super::NoPattern;
use super::scan::Scanner;

#[derive(Debug, Default)]
pub(in crate::logs) struct Terms {
    all: Vec<Term>,
    none: Vec<Term>,
    any: Vec<Term>,
}

#[derive(Debug)]
enum Term {
    Text(String),
    Regex(Regex),
}

impl Terms {
    pub(super) fn match_text(&self, message: &str) -> bool {
        let has = |term: &Term| term.match_text(message);
        if self.none.iter().any(has) || !self.all.iter().all(has) {
            return false;
        }
        // Beside terms of another kind those with a question mark have no effect.
        self.any.is_empty()
            || !self.all.is_empty()
            || !self.none.is_empty()
            || self.any.iter().any(has)
    }
}

impl Term {
    fn match_text(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Regex(regex) => regex.is_match(message.trim_end_matches('\n')),
        }
    }
}

pub(super) fn parse(scanner: &mut Scanner<'_>) -> Result<Terms, NoPattern> {
    let mut terms = Terms::default();
    loop {
        scanner.space();
        let into = match scanner.peek() {
            None => return Ok(terms),
            Some('-') => {
                scanner.eat("-");
                &mut terms.none
            }
            Some('?') => {
                scanner.eat("?");
                &mut terms.any
            }
            Some(_) => &mut terms.all,
        };
        into.push(term(scanner)?);
    }
}

fn term(scanner: &mut Scanner<'_>) -> Result<Term, NoPattern> {
    if scanner.eat("\"") {
        return scanner.quoted('"').map(Term::Text);
    }
    if scanner.eat("%") {
        return scanner.regex().map(Term::Regex);
    }
    match scanner.take(|c| !c.is_whitespace() && c != '"') {
        "" => Err(NoPattern),
        word => Ok(Term::Text(word.to_owned())),
    }
}
