//! The formats of a function's log, and which lines its levels let through.

use std::borrow::Cow;

use serde::Deserialize;

/// How a function's log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    /// Platform lines are JSON, and both kinds of lines are filtered by level.
    Json {
        application: ApplicationLevel,
        system: SystemLevel,
    },
}

/// The level of what the function writes, by AWS's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ApplicationLevel {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
    Fatal,
}

/// The level of what the platform writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum SystemLevel {
    Debug,
    #[default]
    Info,
    Warn,
}

impl LogFormat {
    /// From the words of a function's `LoggingConfig`; what is missing or unknown is the default.
    #[must_use]
    pub fn of(format: &str, application: Option<&str>, system: Option<&str>) -> Self {
        if format != "JSON" {
            return Self::Text;
        }
        Self::Json {
            application: application
                .and_then(ApplicationLevel::of)
                .unwrap_or_default(),
            system: match system {
                Some("DEBUG") => SystemLevel::Debug,
                Some("WARN") => SystemLevel::Warn,
                _ => SystemLevel::Info,
            },
        }
    }

    /// `AWS_LAMBDA_LOG_FORMAT`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "Text",
            Self::Json { .. } => "JSON",
        }
    }

    /// `AWS_LAMBDA_LOG_LEVEL`, which only JSON has.
    pub(crate) fn level_name(self) -> Option<&'static str> {
        match self {
            Self::Text => None,
            Self::Json { application, .. } => Some(application.name()),
        }
    }

    /// Whether a line of the function's stays.
    pub(crate) fn keeps(self, line: &[u8]) -> bool {
        match self {
            Self::Text
            | Self::Json {
                application: ApplicationLevel::Trace,
                ..
            } => true,
            Self::Json { application, .. } => ApplicationLevel::of_line(line) >= application,
        }
    }
}

impl ApplicationLevel {
    fn of(word: &str) -> Option<Self> {
        let all = [
            Self::Trace,
            Self::Debug,
            Self::Info,
            Self::Warn,
            Self::Error,
            Self::Fatal,
        ];
        let mut all = all.into_iter();
        all.find(|level| word.eq_ignore_ascii_case(level.name()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    /// A line that is not an object with a text `level` that has one of the names counts as INFO.
    pub(crate) fn of_line(line: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Leveled<'a> {
            #[serde(borrow)]
            level: Cow<'a, str>,
        }
        // An array would be taken for an object without names.
        if !is_object(line) {
            return Self::Info;
        }
        let leveled = serde_json::from_slice::<Leveled<'_>>(line).ok();
        let level = leveled.and_then(|line| Self::of(&line.level));
        level.unwrap_or_default()
    }
}

/// Whether a line can only be a JSON object, if it is JSON.
pub(crate) fn is_object(line: &[u8]) -> bool {
    line.trim_ascii_start().first() == Some(&b'{')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WARN: LogFormat = LogFormat::Json {
        application: ApplicationLevel::Warn,
        system: SystemLevel::Info,
    };

    #[track_caller]
    fn check(line: &str, want: ApplicationLevel) {
        assert_eq!(ApplicationLevel::of_line(line.as_bytes()), want, "{line}");
    }

    #[test]
    fn a_line_has_the_level_that_it_says() {
        use ApplicationLevel as L;
        check(r#"{"level":"ERROR","message":"x"}"#, L::Error);
        check(
            r#"  {"message":{"level":"ERROR"},"level":"TRACE"}"#,
            L::Trace,
        );
        check(r#"{"level":"f\u0061tal"}"#, L::Fatal);
        check(r#"{"level":"LOUD"}"#, L::Info);
        check(r#"{"level":7}"#, L::Info);
        check(r#"{"level":"ERROR""#, L::Info);
        check(r#"["ERROR"]"#, L::Info);
        check("ERROR", L::Info);
        check("", L::Info);
    }

    #[test]
    fn words_that_nobody_defined_are_the_defaults() {
        let json = LogFormat::of("JSON", Some("x"), None);
        let want = LogFormat::Json {
            application: ApplicationLevel::Info,
            system: SystemLevel::Info,
        };
        assert_eq!(json, want);
        assert_eq!(LogFormat::of("Text", Some("DEBUG"), None), LogFormat::Text);
        assert_eq!(LogFormat::of("Text", None, None).level_name(), None);
        assert_eq!(json.level_name(), Some("INFO"));
    }

    proptest! {
        /// Whatever bytes come, text keeps them, and JSON keeps exactly what is JSON with a level.
        #[test]
        fn any_bytes_have_a_level(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(LogFormat::Text.keeps(&line));
            let parsed = serde_json::from_slice::<serde_json::Value>(&line).ok();
            let said = parsed.as_ref().and_then(|value| value.get("level")?.as_str());
            let want = said.and_then(ApplicationLevel::of).unwrap_or_default();
            prop_assert_eq!(ApplicationLevel::of_line(&line), want);
        }

        #[test]
        fn any_text_may_be_a_level(level in ".*", other in ".*") {
            let line = serde_json::json!({ "other": other, "level": level }).to_string();
            let want = ApplicationLevel::of(&level).unwrap_or_default();
            prop_assert_eq!(WARN.keeps(line.as_bytes()), want >= ApplicationLevel::Warn);
        }
    }
}
