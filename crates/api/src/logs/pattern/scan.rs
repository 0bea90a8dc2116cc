use super::NoPattern;

/// Goes through a pattern's text.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    rest: &'a str,
    /// Regular expressions seen so far.
    pub(super) regexes: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            regexes: 0,
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Passes over a text if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The same, after space, or it is no pattern.
    pub(super) fn expect(&mut self, text: &str) -> Result<(), NoPattern> {
        self.space();
        match self.eat(text) {
            true => Ok(()),
            false => Err(NoPattern),
        }
    }

    /// What comes as long as its characters are `wanted`; it may be nothing.
    pub(super) fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// A word in quotes, of which the first was seen; a backslash takes the next character as it is.
    pub(super) fn quoted(&mut self, quote: char) -> Result<String, NoPattern> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.push(chars.next().ok_or(NoPattern)?.1),
                c if c == quote => {
                    self.rest = &self.rest[at + c.len_utf8()..];
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(NoPattern)
    }

    /// A regular expression, of which the first `%` was seen.
    pub(super) fn regex(&mut self) -> Result<regex::Regex, NoPattern> {
        let (text, rest) = self.rest.split_once('%').ok_or(NoPattern)?;
        self.rest = rest;
        super::regex(text, &mut self.regexes)
    }
}
