use std::fmt;

use serde::{Deserialize, Serialize};

use crate::GrammarError;
use crate::account::serde_as_text;

macro_rules! runtimes {
    ($($variant:ident $id:literal $support:ident),* $(,)?) => {
        /// A runtime identifier of the service model.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Runtime { $($variant),* }

        impl Runtime {
            /// All identifiers in the model's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $id),* }
            }

            /// Whether functions may still be created with it.
            #[must_use]
            pub fn is_supported(self) -> bool {
                match self { $(Self::$variant => support::$support),* }
            }
        }
    };
}

mod support {
    pub(super) const SUPPORTED: bool = true;
    pub(super) const DEPRECATED: bool = false;
}

runtimes! {
    Nodejs "nodejs" DEPRECATED,
    Nodejs43 "nodejs4.3" DEPRECATED,
    Nodejs610 "nodejs6.10" DEPRECATED,
    Nodejs810 "nodejs8.10" DEPRECATED,
    Nodejs10 "nodejs10.x" DEPRECATED,
    Nodejs12 "nodejs12.x" DEPRECATED,
    Nodejs14 "nodejs14.x" DEPRECATED,
    Nodejs16 "nodejs16.x" DEPRECATED,
    Java8 "java8" DEPRECATED,
    Java8Al2 "java8.al2" SUPPORTED,
    Java11 "java11" SUPPORTED,
    Python27 "python2.7" DEPRECATED,
    Python36 "python3.6" DEPRECATED,
    Python37 "python3.7" DEPRECATED,
    Python38 "python3.8" DEPRECATED,
    Python39 "python3.9" DEPRECATED,
    Dotnetcore10 "dotnetcore1.0" DEPRECATED,
    Dotnetcore20 "dotnetcore2.0" DEPRECATED,
    Dotnetcore21 "dotnetcore2.1" DEPRECATED,
    Dotnetcore31 "dotnetcore3.1" DEPRECATED,
    Dotnet6 "dotnet6" DEPRECATED,
    Dotnet8 "dotnet8" SUPPORTED,
    Nodejs43Edge "nodejs4.3-edge" DEPRECATED,
    Go1 "go1.x" DEPRECATED,
    Ruby25 "ruby2.5" DEPRECATED,
    Ruby27 "ruby2.7" DEPRECATED,
    Provided "provided" SUPPORTED,
    ProvidedAl2 "provided.al2" SUPPORTED,
    Nodejs18 "nodejs18.x" DEPRECATED,
    Python310 "python3.10" SUPPORTED,
    Java17 "java17" SUPPORTED,
    Ruby32 "ruby3.2" DEPRECATED,
    Ruby33 "ruby3.3" SUPPORTED,
    Ruby34 "ruby3.4" SUPPORTED,
    Python311 "python3.11" SUPPORTED,
    Nodejs20 "nodejs20.x" DEPRECATED,
    ProvidedAl2023 "provided.al2023" SUPPORTED,
    Python312 "python3.12" SUPPORTED,
    Java21 "java21" SUPPORTED,
    Python313 "python3.13" SUPPORTED,
    Nodejs22 "nodejs22.x" SUPPORTED,
    Nodejs24 "nodejs24.x" SUPPORTED,
    Python314 "python3.14" SUPPORTED,
    Java25 "java25" SUPPORTED,
    Dotnet10 "dotnet10" SUPPORTED,
    Ruby40 "ruby4.0" SUPPORTED,
    Java8Al2023 "java8.al2023" SUPPORTED,
    Java11Al2023 "java11.al2023" SUPPORTED,
    Java17Al2023 "java17.al2023" SUPPORTED,
    Nodejs26 "nodejs26.x" SUPPORTED,
    Python315 "python3.15" SUPPORTED,
    Custom "custom" DEPRECATED,
}

impl Runtime {
    /// Whether the function brings its own `bootstrap`: these run here without anything installed.
    #[must_use]
    pub fn is_provided(self) -> bool {
        matches!(
            self,
            Self::Provided | Self::ProvidedAl2 | Self::ProvidedAl2023
        )
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Runtime {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let found = Self::ALL.iter().find(|runtime| runtime.as_str() == text);
        found
            .copied()
            .ok_or_else(|| GrammarError::new("runtime", text))
    }
}

serde_as_text!(Runtime);

/// The instruction set of a function or layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Architecture {
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "arm64")]
    Arm64,
}

impl Architecture {
    /// The one of this machine, if Lambda knows it.
    #[must_use]
    pub fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Architecture {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        match text {
            "x86_64" => Ok(Self::X86_64),
            "arm64" => Ok(Self::Arm64),
            _ => Err(GrammarError::new("architecture", text)),
        }
    }
}
