use std::fmt;

use serde::{Deserialize, Serialize};

use crate::GrammarError;

/// A 12-digit AWS account id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// The account of every request that names none.
    pub const DEFAULT: Self = Self(*b"000000000000");

    /// Local clouds' convention: a 12-digit access key id *is* the account; any other is the default.
    #[must_use]
    pub fn of_access_key(access_key_id: &str) -> Self {
        access_key_id.parse().unwrap_or(Self::DEFAULT)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("000000000000")
    }
}

impl std::str::FromStr for AccountId {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        match <[u8; 12]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(Self(digits)),
            _ => Err(GrammarError::new("account id", text)),
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An AWS region name such as `us-east-1`, in the grammar of the service model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Box<str>);

impl Region {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}`
    pub(crate) fn matches(text: &str) -> bool {
        let text = text.strip_prefix("eusc-").unwrap_or(text);
        let mut parts: Vec<&str> = text.split('-').collect();
        let lower = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
        if parts.len() == 4 {
            let middle = parts.remove(1);
            let iso = middle.strip_prefix("iso").is_some_and(|rest| {
                rest.len() <= 1 && rest.bytes().all(|b| b.is_ascii_lowercase())
            });
            if middle != "gov" && !iso {
                return false;
            }
        }
        matches!(parts[..], [country, area, number] if country.len() == 2 && lower(country)
            && lower(area) && number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl Default for Region {
    fn default() -> Self {
        Self("us-east-1".into())
    }
}

impl std::str::FromStr for Region {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        if Self::matches(text) {
            Ok(Self(text.into()))
        } else {
            Err(GrammarError::new("region", text))
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What all state is keyed by: an account in a region.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    pub account: AccountId,
    pub region: Region,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            account: AccountId::DEFAULT,
            region: Region::default(),
        }
    }
}

macro_rules! serde_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
pub(crate) use serde_as_text;

serde_as_text!(AccountId, Region);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_follow_the_model() {
        for good in [
            "us-east-1",
            "eusc-de-east-1",
            "us-gov-west-1",
            "us-iso-east-1",
            "us-isob-east-1",
        ] {
            assert!(Region::matches(good), "{good}");
        }
        for bad in [
            "",
            "us",
            "us-east",
            "us-east-11",
            "US-east-1",
            "us-foo-east-1",
            "us-isobb-east-1",
        ] {
            assert!(!Region::matches(bad), "{bad}");
        }
    }

    #[test]
    fn a_twelve_digit_key_is_the_account() {
        assert_eq!(
            AccountId::of_access_key("111122223333").as_str(),
            "111122223333"
        );
        assert_eq!(AccountId::of_access_key("test"), AccountId::DEFAULT);
        assert_eq!(
            AccountId::of_access_key("AKIAIOSFODNN7EXAMPLE"),
            AccountId::DEFAULT
        );
    }
}
