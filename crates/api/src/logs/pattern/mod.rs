//! CloudWatch's filter patterns: which messages a client wants to see.
//!
//! `ERROR "quoted phrase" -without`, `?any ?of`, `%regular expression%`, `{ $.level = "ERROR" }` and
//! `[ip, user = root, ...]`. A pattern is short and is read once; matching takes time in proportion
//! to the message, whatever the pattern is.

mod columns;
mod expression;
mod json;
mod scan;
mod terms;

use regex::{Regex, RegexBuilder};

use columns::Columns;
use json::Condition;
use scan::Scanner;
use terms::Terms;

/// The longest pattern, characters. AWS.
pub(super) const LONGEST: usize = 1_024;
/// What a regular expression may need once it is compiled, bytes.
const REGEX_BYTES: usize = 1 << 20;
/// Regular expressions in one pattern, count. AWS.
const REGEXES: usize = 2;

/// A pattern that could be read.
#[derive(Debug)]
pub(super) enum Pattern {
    Terms(Terms),
    Json(Condition),
    Columns(Columns),
}

/// The text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPattern;

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, NoPattern> {
        if text.chars().count() > LONGEST {
            return Err(NoPattern);
        }
        let mut scanner = Scanner::new(text);
        scanner.space();
        let pattern = match scanner.peek() {
            Some('{') => Self::Json(json::parse(&mut scanner)?),
            Some('[') => Self::Columns(columns::parse(&mut scanner)?),
            _ => Self::Terms(terms::parse(&mut scanner)?),
        };
        scanner.space();
        match scanner.peek() {
            None => Ok(pattern),
            Some(_) => Err(NoPattern),
        }
    }

    /// What is no UTF-8 of a message is compared as the client will see it.
    pub(super) fn matches(&self, message: &[u8]) -> bool {
        let message = String::from_utf8_lossy(message);
        match self {
            Self::Terms(terms) => terms.match_text(&message),
            Self::Json(condition) => condition.match_text(&message),
            Self::Columns(columns) => columns.match_text(&message),
        }
    }
}

/// What AWS allows of regular expressions, without its delimiters.
fn regex(text: &str, count: &mut usize) -> Result<Regex, NoPattern> {
    *count += 1;
    let allowed = |c: char| c.is_ascii_alphanumeric() || " :_#=@/;,-^$?[]{}|\\*+.".contains(c);
    if *count > REGEXES || text.is_empty() || !text.chars().all(allowed) {
        return Err(NoPattern);
    }
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES);
    builder.build().map_err(|_| NoPattern)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap_or_else(|_| panic!("{pattern} is a pattern"));
        for message in yes {
            assert!(parsed.matches(message.as_bytes()), "{pattern} <- {message}");
        }
        for message in no {
            assert!(
                !parsed.matches(message.as_bytes()),
                "{pattern} <- {message}"
            );
        }
    }

    #[test]
    fn words_phrases_and_what_must_not_be() {
        check("", &["", "anything"], &[]);
        check("  ", &["anything"], &[]);
        check("ERROR", &["[ERROR 400]", "anERRORs"], &["error", ""]);
        check("ERROR ARGUMENTS", &["ARGUMENTS: ERROR"], &["ERROR"]);
        check(
            r#""INTERNAL SERVER ERROR""#,
            &["x INTERNAL SERVER ERROR y"],
            &["SERVER INTERNAL ERROR", "INTERNAL  SERVER ERROR"],
        );
        check(
            r#""say \"hi\"" there"#,
            &[r#"say "hi" there"#],
            &["say hi there"],
        );
        check("ERROR -ARGUMENTS", &["ERROR x"], &["ERROR ARGUMENTS"]);
        check(r#"-"two words" x"#, &["x two"], &["x two words"]);
        check("-only", &["x"], &["only"]);
    }

    #[test]
    fn any_of_some_words_unless_others_are_there() {
        check("?ERROR ?WARN", &["ERROR", "a WARN"], &["INFO"]);
        check(r#"?"two words" ?x"#, &["two words", "x"], &["two"]);
        // As on AWS, which then passes over them.
        check("?ERROR ?WARN REQUEST", &["REQUEST"], &["ERROR"]);
    }

    #[test]
    fn regular_expressions_have_limits() {
        check("%AUTHORIZED%", &["UNAUTHORIZED"], &["authorized"]);
        check(r"%\d{1,3}\.\d{1,3}%", &["10.0"], &["10-0"]);
        check(
            "%^[Ee]rr|fatal$%",
            &["Error", "it was fatal"],
            &["an Error"],
        );
        for bad in [
            "%(a)%",
            "%a!%",
            "%[%",
            "%",
            "%%",
            "%a",
            "%x{99999}{99999}%",
            "%ä%",
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        assert!(Pattern::parse(r"{ $.a = %a% && $.b = %b% && $.c = %c% }").is_err());
    }

    #[test]
    fn members_of_json_messages_are_compared() {
        let event = r#" {"level":"ERROR","code":500,"took":0.25,"ok":true,"none":null,
            "user":{"name":"Ann Lee","roles":["admin","dev"]},"a.b":"dotted"}"#;
        let (yes, no) = (&[event][..], &["ERROR", "{", "[1]", "{}"][..]);
        for pattern in [
            r#"{ $.level = "ERROR" }"#,
            "{ $.level = ERROR }",
            "{$.level=ERROR}",
            "{ $.level = ERR* }",
            r#"{ $.user.name = "*Lee" }"#,
            r#"{ $.user.name = "A*L*e" }"#,
            "{ $.user.roles[1] = dev }",
            "{ $.user.roles[*] = dev }",
            "{ $.user.* = Ann* }",
            r#"{ $.['a.b'] = "dotted" }"#,
            "{ $.code = 500 }",
            "{ $.code >= 5e2 && $.code < 501 }",
            "{ $.took > .2 && $.took < 0.3 }",
            "{ $.code != 404 }",
            "{ $.ok IS TRUE }",
            "{ $.none IS NULL }",
            "{ $.missing NOT EXISTS }",
            "{ ($.code = 1 || $.code = 500) && $.level = %^ERR% }",
            "{ $.code = 1 && $.code = 2 || $.code = 500 }",
            "{ $.code = 5* }",
        ] {
            check(
                pattern,
                yes,
                if pattern.contains("EXISTS") {
                    &no[..3]
                } else {
                    no
                },
            );
        }
        for pattern in [
            r#"{ $.level = "error" }"#,
            "{ $.code = 501 }",
            "{ $.code > 500 }",
            "{ $.level > 1 }",
            "{ $.level != ERROR }",
            "{ $.missing != 1 }",
            "{ $.missing = * }",
            "{ $.user = Ann* }",
            "{ $.ok IS FALSE }",
            "{ $.code IS NULL }",
            "{ $.code NOT EXISTS }",
            "{ $.code = 1 && ($.code = 2 || $.code = 500) }",
        ] {
            check(pattern, &[], yes);
        }
    }

    #[test]
    fn columns_are_compared_by_place() {
        let line =
            r#"127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /x.gif HTTP/1.0" 404 5324"#;
        for pattern in [
            "[ip, id, user, time, request, status, size]",
            "[ip, id, user, time, request, status = 404, size]",
            "[ip, id, user, time, request, status = 4*, size > 5000]",
            "[ip = 127.*, ..., size]",
            "[..., status = 404, size]",
            "[ip, ..., request = *x.gif*, status, size]",
            "[ip, id, user != root, ...]",
            "[ip = %^127%, ...]",
            r#"[ip, id, user, time, request, status, size = 1 || size = 5324]"#,
            "[ip, id, user = fr* && user != fred, ...]",
        ] {
            check(pattern, &[line], &["", "one two"]);
        }
        check("[ip, id]", &["a b"], &[line, "a"]);
        check(
            "[ip, id, user, time, request, status = 200, ...]",
            &[],
            &[line],
        );
        for bad in ["[", "[]", "[a,]", "[a = ]", "[..., ...]", "[a, b"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(500), ")".repeat(500));
        for bad in [
            "{",
            "{}",
            "{ $ }",
            "{ $.a }",
            "{ $.a = }",
            "{ $.a = 1 ",
            "{ $.a = 1 } x",
            "{ $.a == 1 }",
            "{ $.a = 1 && }",
            "{ $.a[x] = 1 }",
            "{ ($.a = 1 }",
            "{ $.a IS 1 }",
            "\"open",
            "{ a = 1 }",
            "-",
            "?",
            &deep,
            &"x".repeat(1_025),
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(pattern in r#"[{}\[\]$.a-c*%"'()&|=!<>?0-9 \\,-]{0,60}"#, message: Vec<u8>) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let _ = pattern.matches(&message);
                let _ = pattern.matches(br#"{"a":{"b":[1,"c",null,true]}}"#);
            }
        }

        #[test]
        fn arbitrary_text_does_not_either(pattern: String, message: String) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let _ = pattern.matches(message.as_bytes());
            }
        }
    }
}
