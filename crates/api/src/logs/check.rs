//! Whether the members of a request are what the service model allows, in AWS's words.

use std::fmt::Display;

use bootlace_types::Scope;

use super::error::LogsError;

/// What is repeated of a value that is refused, characters.
const SHOWN: usize = 1_024;
const MAX_NAME: usize = 512;
/// Days that a retention may have. AWS.
const RETENTIONS: [i64; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1_096, 1_827, 2_192, 2_557,
    2_922, 3_288, 3_653,
];

/// What is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn finish(self) -> Result<(), LogsError> {
        let count = self.0.len();
        let (noun, all) = match count {
            0 => return Ok(()),
            1 => ("error", self.0.join("; ")),
            _ => ("errors", self.0.join("; ")),
        };
        Err(LogsError::invalid(format!(
            "{count} validation {noun} detected: {all}"
        )))
    }

    fn add(&mut self, value: impl Display, at: &str, constraint: impl Display) {
        let value: String = value.to_string().chars().take(SHOWN).collect();
        self.0.push(format!(
            "Value '{value}' at '{at}' failed to satisfy constraint: {constraint}"
        ));
    }

    fn missing(&mut self, at: &str) {
        self.0.push(format!(
            "Value null at '{at}' failed to satisfy constraint: Member must not be null"
        ));
    }

    pub(super) fn required<'a, T>(&mut self, at: &str, value: Option<&'a T>) -> Option<&'a T> {
        if value.is_none() {
            self.missing(at);
        }
        value
    }

    fn length(&mut self, at: &str, value: &str, least: usize, most: usize) {
        let length = value.chars().count();
        if length < least {
            let constraint = format!("Member must have length greater than or equal to {least}");
            self.add(value, at, constraint);
        }
        if length > most {
            let constraint = format!("Member must have length less than or equal to {most}");
            self.add(value, at, constraint);
        }
    }

    fn pattern(&mut self, at: &str, value: &str, pattern: &str, allowed: impl Fn(char) -> bool) {
        if !value.chars().all(allowed) {
            let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
            self.add(value, at, constraint);
        }
    }

    pub(super) fn group_name(&mut self, at: &str, value: Option<&String>) {
        let Some(value) = value else { return };
        self.length(at, value, 1, MAX_NAME);
        self.pattern(at, value, r"[\.\-_/#A-Za-z0-9]+", is_group_char);
    }

    pub(super) fn group_name_pattern(&mut self, value: Option<&String>) {
        let (Some(value), at) = (value, "logGroupNamePattern") else {
            return;
        };
        self.length(at, value, 0, MAX_NAME);
        self.pattern(at, value, r"[\.\-_/#A-Za-z0-9]*", is_group_char);
    }

    pub(super) fn stream_name(&mut self, at: &str, value: Option<&String>) {
        let Some(value) = value else { return };
        self.length(at, value, 1, MAX_NAME);
        self.pattern(at, value, "[^:*]*", |c| !matches!(c, ':' | '*'));
    }

    pub(super) fn stream_names(&mut self, at: &str, values: Option<&Vec<String>>) {
        let Some(values) = values else { return };
        self.count(at, values.len(), 1, 100);
        for value in values.iter().take(100) {
            self.stream_name(at, Some(value));
        }
    }

    pub(super) fn count(&mut self, at: &str, count: usize, least: usize, most: usize) {
        let constraint = match count {
            count if count < least => format!("greater than or equal to {least}"),
            count if count > most => format!("less than or equal to {most}"),
            _ => return,
        };
        self.0.push(format!(
            "Value at '{at}' failed to satisfy constraint: Member must have length {constraint}"
        ));
    }

    pub(super) fn identifier(&mut self, at: &str, value: Option<&String>) {
        let Some(value) = value else { return };
        self.length(at, value, 1, 2_048);
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_#+=/:,.@-*".contains(c);
        self.pattern(at, value, r"[\w#+=/:,.@-]*", allowed);
    }

    pub(super) fn limit(&mut self, value: Option<i64>, most: i64) {
        let Some(value) = value else { return };
        if value < 1 {
            let constraint = "Member must have value greater than or equal to 1";
            self.add(value, "limit", constraint);
        }
        if value > most {
            let constraint = format!("Member must have value less than or equal to {most}");
            self.add(value, "limit", constraint);
        }
    }

    pub(super) fn time(&mut self, at: &str, value: Option<i64>) {
        if let Some(value) = value.filter(|value| *value < 0) {
            let constraint = "Member must have value greater than or equal to 0";
            self.add(value, at, constraint);
        }
    }

    pub(super) fn filter_pattern(&mut self, at: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.length(at, value, 0, super::pattern::LONGEST);
        }
    }

    pub(super) fn one_of(&mut self, at: &str, value: Option<&String>, words: &[&str]) {
        if let Some(value) = value.filter(|value| !words.contains(&value.as_str())) {
            let words = words.join(", ");
            let constraint = format!("Member must satisfy enum value set: [{words}]");
            self.add(value, at, constraint);
        }
    }

    pub(super) fn retention(&mut self, value: Option<i64>) {
        let at = "retentionInDays";
        if let Some(value) = self.required(at, value.as_ref())
            && !RETENTIONS.contains(value)
        {
            let words: Vec<_> = RETENTIONS.iter().map(i64::to_string).collect();
            let words = words.join(", ");
            let constraint = format!("Member must satisfy enum value set: [{words}]");
            self.add(value, at, constraint);
        }
    }

    pub(super) fn tag(&mut self, key: &str, value: Option<&String>) {
        const PATTERN: &str = r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$";
        let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
        self.length("tags", key, 1, 128);
        self.pattern("tags", key, PATTERN, allowed);
        if let Some(value) = value {
            self.length("tags", value, 0, 256);
            self.pattern("tags", value, PATTERN, allowed);
        }
    }
}

fn is_group_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '#')
}

/// The group that a request names, by its name or its ARN.
pub(super) fn group(
    scope: &Scope,
    name: Option<String>,
    identifier: Option<String>,
) -> Result<String, LogsError> {
    match (name, identifier) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => of_identifier(scope, &identifier),
        _ => Err(LogsError::invalid(
            "Either logGroupName or logGroupIdentifier must be given, and not both.",
        )),
    }
}

/// A group's name, or `arn:aws:logs:<region>:<account>:log-group:<name>[:*]`
pub(super) fn of_identifier(scope: &Scope, identifier: &str) -> Result<String, LogsError> {
    let Some(rest) = identifier.strip_prefix("arn:") else {
        return Ok(identifier.to_owned());
    };
    let wrong = || LogsError::invalid(format!("{} is no ARN of a log group", shown(identifier)));
    let mut parts = rest.splitn(6, ':');
    let mut part = || parts.next().ok_or_else(wrong);
    let (_partition, service) = (part()?, part()?);
    let (region, account) = (part()?, part()?);
    let (kind, name) = (part()?, part()?);
    if service != "logs" || kind != "log-group" {
        return Err(wrong());
    }
    // What belongs to others is not there for this caller.
    if region != scope.region.as_str() || account != scope.account.as_str() {
        return Err(LogsError::no_group());
    }
    Ok(name.strip_suffix(":*").unwrap_or(name).to_owned())
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_as_aws_tells_them() {
        let mut problems = Problems::default();
        problems.group_name("logGroupName", Some(&"a b".to_owned()));
        let refused = problems.finish().unwrap_err();
        assert_eq!(
            refused.message,
            "1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
        );
        let mut problems = Problems::default();
        problems.limit(Some(0), 50);
        problems.required::<String>("logStreamName", None);
        let refused = problems.finish().unwrap_err();
        assert_eq!(
            refused.message,
            "2 validation errors detected: Value '0' at 'limit' failed to satisfy constraint: \
             Member must have value greater than or equal to 1; Value null at 'logStreamName' \
             failed to satisfy constraint: Member must not be null"
        );
    }

    #[test]
    fn a_group_is_named_by_its_name_or_its_arn() {
        let scope = Scope::default();
        let check = |identifier: &str| of_identifier(&scope, identifier);
        let arn = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/f";
        assert_eq!(check(arn), Ok("/aws/lambda/f".into()));
        assert_eq!(check(&format!("{arn}:*")), Ok("/aws/lambda/f".into()));
        assert_eq!(check("/aws/lambda/f"), Ok("/aws/lambda/f".into()));
        let other = "arn:aws:logs:us-east-1:111122223333:log-group:/aws/lambda/f";
        assert_eq!(check(other), Err(LogsError::no_group()));
        assert!(check("arn:aws:lambda:us-east-1:0:function:f").is_err());
    }
}
