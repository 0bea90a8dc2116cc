use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::GrammarError;
use crate::account::serde_as_text;

macro_rules! uuid_noun {
    ($(#[$doc:meta])* $name:ident, $noun:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// A new random one.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = GrammarError;

            /// Only the hyphenated form, which is the one we hand out.
            fn from_str(text: &str) -> Result<Self, GrammarError> {
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    _ => Err(GrammarError::new($noun, text)),
                }
            }
        }

        serde_as_text!($name);
    };
}

uuid_noun!(
    /// The id of one invocation: `x-amzn-RequestId` outside, `Lambda-Runtime-Aws-Request-Id` inside.
    RequestId,
    "request id"
);
impl RequestId {
    /// Never zero, nor are the lower 64 bits.
    pub(crate) fn bits(self) -> u128 {
        // A random one has a variant in there; one that was parsed may be anything.
        self.0.as_u128() | 1
    }
}

uuid_noun!(
    /// Changes with every change of a function or alias; a precondition for updates.
    RevisionId,
    "revision id"
);
