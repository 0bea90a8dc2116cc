use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::account::serde_as_text;
use crate::arn::{is_name, is_partition};
use crate::{AccountId, GrammarError, Region};

/// What follows a function's name: the unpublished version, a published one or an alias.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Qualifier {
    /// `$LATEST`
    Latest,
    /// `$LATEST.PUBLISHED`
    LatestPublished,
    /// A published version's number.
    Version(u64),
    /// An alias, or any other text that the qualifier pattern lets through.
    Alias(Box<str>),
}

impl FromStr for Qualifier {
    type Err = GrammarError;

    /// `\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`, 1 to 128 characters
    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$');
        match text {
            "$LATEST" => Ok(Self::Latest),
            "$LATEST.PUBLISHED" => Ok(Self::LatestPublished),
            _ if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) => {
                Err(GrammarError::new("qualifier", text))
            }
            _ if text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0') => text
                .parse()
                .map(Self::Version)
                .or_else(|_| Ok(Self::Alias(text.into()))),
            _ => Ok(Self::Alias(text.into())),
        }
    }
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("$LATEST"),
            Self::LatestPublished => f.write_str("$LATEST.PUBLISHED"),
            Self::Version(number) => write!(f, "{number}"),
            Self::Alias(name) => f.write_str(name),
        }
    }
}

serde_as_text!(Qualifier);

/// How a caller names a function: `name`, `name:qualifier`, `account:function:name[:q]`,
/// `function:name[:q]` or a whole ARN. What the caller left out is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionRef {
    pub region: Option<Region>,
    pub account: Option<AccountId>,
    pub name: Box<str>,
    pub qualifier: Option<Qualifier>,
}

impl FromStr for FunctionRef {
    type Err = GrammarError;

    /// The grammar of the model's `NamespacedFunctionName`, without its length limits.
    fn from_str(text: &str) -> Result<Self, GrammarError> {
        Self::parse(text).ok_or_else(|| GrammarError::new("function name", text))
    }
}

impl FunctionRef {
    fn parse(text: &str) -> Option<Self> {
        if is_dotted_name(text) {
            return Some(Self::unplaced(text, None));
        }
        let whole_arn = text.starts_with("arn:");
        let (region, account, rest) = if let Some(rest) = text.strip_prefix("arn:") {
            let (partition, rest) = rest.split_once(':')?;
            if !(partition.is_empty() || is_partition(partition)) {
                return None;
            }
            let (region, rest) = rest.strip_prefix("lambda:")?.split_once(':')?;
            let (account, rest) = rest.split_once(':')?;
            (
                Some(region.parse().ok()?),
                Some(account.parse().ok()?),
                rest,
            )
        } else {
            match text.split_once(':') {
                Some((first, rest)) if Region::matches(first) && rest.contains(':') => {
                    let (account, rest) = rest.split_once(':')?;
                    (Some(first.parse().ok()?), Some(account.parse().ok()?), rest)
                }
                Some((first, rest)) if first.parse::<AccountId>().is_ok() => {
                    (None, first.parse().ok(), rest)
                }
                _ => (None, None, text),
            }
        };
        let named = match rest.strip_prefix("function:") {
            // The prefix may be a name as well.
            Some(after) => name_and_qualifier(after).or_else(|| name_and_qualifier(rest)),
            // AWS reads `arn:…:<account>:function` as the function named "function".
            None if whole_arn && rest != "function" => None,
            None => name_and_qualifier(rest),
        };
        if let (None, None, Some(_)) = (&named, &region, &account) {
            // Twelve digits may be a name, too.
            let (name, qualifier) = name_and_qualifier(text)?;
            return Some(Self::unplaced(name, qualifier));
        }
        let (name, qualifier) = named?;
        Some(Self {
            region,
            account,
            ..Self::unplaced(name, qualifier)
        })
    }

    fn unplaced(name: &str, qualifier: Option<Qualifier>) -> Self {
        Self {
            region: None,
            account: None,
            name: name.into(),
            qualifier,
        }
    }
}

fn name_and_qualifier(text: &str) -> Option<(&str, Option<Qualifier>)> {
    let (name, qualifier) = match text.split_once(':') {
        Some((name, qualifier)) => (name, Some(arn_qualifier(qualifier)?)),
        None => (text, None),
    };
    is_dotted_name(name).then_some((name, qualifier))
}

/// `[a-zA-Z0-9-_\.]+`
fn is_dotted_name(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(|part| part.is_empty() || is_name(part))
}

/// In a name only `$LATEST`, `$LATEST.PUBLISHED` and `[a-zA-Z0-9-_]+` may follow the colon.
fn arn_qualifier(text: &str) -> Option<Qualifier> {
    let qualifier: Qualifier = text.parse().ok()?;
    match &qualifier {
        Qualifier::Alias(name) if !is_name(name) => None,
        _ => Some(qualifier),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: Option<(&str, Option<&str>)>) {
        let found = input.parse::<FunctionRef>().ok();
        let found = found.map(|f| (f.name.to_string(), f.qualifier.map(|q| q.to_string())));
        let expect = expect.map(|(name, q)| (name.to_owned(), q.map(str::to_owned)));
        assert_eq!(found, expect, "{input}");
    }

    #[test]
    fn every_form_of_a_name_is_read() {
        check("f", Some(("f", None)));
        check("f:1", Some(("f", Some("1"))));
        check("f:$LATEST", Some(("f", Some("$LATEST"))));
        check("function:f", Some(("f", None)));
        check("function:f:live", Some(("f", Some("live"))));
        check("function:$LATEST", Some(("function", Some("$LATEST"))));
        check(
            "123456789012:$LATEST",
            Some(("123456789012", Some("$LATEST"))),
        );
        check("function:function:1", Some(("function", Some("1"))));
        check("123456789012:function:f", Some(("f", None)));
        check("123456789012:function:f:2", Some(("f", Some("2"))));
        check(
            "arn:aws:lambda:us-east-1:123456789012:function:f",
            Some(("f", None)),
        );
        check(
            "arn:aws:lambda:us-east-1:123456789012:function:f:v",
            Some(("f", Some("v"))),
        );
        check(
            "arn:aws:lambda:us-east-1:123456789012:function",
            Some(("function", None)),
        );
    }

    #[test]
    fn what_the_pattern_refuses_is_refused() {
        for bad in [
            "",
            "*",
            "my-function!",
            "invalid-account:function:f",
            "f:1:2",
            "f:$LATES",
            "f:",
            "arn:aws:lambda:us-east-11:123456789012:function:f",
            "arn:aws:lambda::123456789012:function:f",
            "arn:aws:lambda:us-east-1:function:f",
            "arn:aws:s3:us-east-1:123456789012:function:f",
        ] {
            check(bad, None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<FunctionRef>();
            let _ = text.parse::<Qualifier>();
            let _ = text.parse::<crate::LayerVersionArn>();
        }
    }
}
