use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::account::serde_as_text;
use crate::{AccountId, GrammarError, Qualifier, Region, Scope};

/// `arn:aws:lambda:<region>:<account>:function:<name>[:<qualifier>]`
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionArn {
    pub scope: Scope,
    pub name: Box<str>,
    pub qualifier: Option<Qualifier>,
}

impl FunctionArn {
    #[must_use]
    pub fn new(scope: &Scope, name: &str, qualifier: Option<Qualifier>) -> Self {
        Self {
            scope: scope.clone(),
            name: name.into(),
            qualifier,
        }
    }
}

impl fmt::Display for FunctionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope { account, region } = &self.scope;
        write!(
            f,
            "arn:aws:lambda:{region}:{account}:function:{}",
            self.name
        )?;
        match &self.qualifier {
            Some(qualifier) => write!(f, ":{qualifier}"),
            None => Ok(()),
        }
    }
}

/// `arn:aws:lambda:<region>:<account>:layer:<name>`
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerArn {
    pub scope: Scope,
    pub name: Box<str>,
}

impl LayerArn {
    #[must_use]
    pub fn version(self, version: u64) -> LayerVersionArn {
        LayerVersionArn {
            layer: self,
            version,
        }
    }
}

impl fmt::Display for LayerArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope { account, region } = &self.scope;
        write!(f, "arn:aws:lambda:{region}:{account}:layer:{}", self.name)
    }
}

impl FromStr for LayerArn {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let wrong = || GrammarError::new("layer ARN", text);
        let (scope, rest) = lambda_resource(text).ok_or_else(wrong)?;
        let name = rest
            .strip_prefix("layer:")
            .filter(|name| is_name(name))
            .ok_or_else(wrong)?;
        Ok(Self {
            scope,
            name: name.into(),
        })
    }
}

/// `arn:aws:lambda:<region>:<account>:layer:<name>:<version>`
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerVersionArn {
    pub layer: LayerArn,
    pub version: u64,
}

impl fmt::Display for LayerVersionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.layer, self.version)
    }
}

impl FromStr for LayerVersionArn {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let wrong = || GrammarError::new("layer version ARN", text);
        let (layer, version) = text.rsplit_once(':').ok_or_else(wrong)?;
        let layer = layer.parse().map_err(|_| wrong())?;
        if version.is_empty() || !version.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        Ok(Self {
            layer,
            version: version.parse().map_err(|_| wrong())?,
        })
    }
}

serde_as_text!(LayerArn, LayerVersionArn);

/// `[a-zA-Z0-9-_]+`, the grammar shared by function, layer and alias names.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// `aws[a-zA-Z-]*`
pub(crate) fn is_partition(text: &str) -> bool {
    text.strip_prefix("aws")
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'))
}

/// Splits `arn:<partition>:lambda:<region>:<account>:<rest>`.
fn lambda_resource(text: &str) -> Option<(Scope, &str)> {
    let mut parts = text.splitn(6, ':');
    let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    if arn != "arn" || !(partition.is_empty() || is_partition(partition)) || service != "lambda" {
        return None;
    }
    let region: Region = parts.next()?.parse().ok()?;
    let account: AccountId = parts.next()?.parse().ok()?;
    Some((Scope { account, region }, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_version_arns_round_trip() {
        let text = "arn:aws:lambda:us-east-1:000000000000:layer:runtime-shell:3";
        let arn: LayerVersionArn = text.parse().expect("valid");
        assert_eq!((arn.layer.name.as_ref(), arn.version), ("runtime-shell", 3));
        assert_eq!(arn.to_string(), text);
    }

    #[test]
    fn what_is_no_layer_version_is_refused() {
        for bad in [
            "arn:aws:lambda:us-east-1:000000000000:layer:x",
            "arn:aws:lambda:us-east-1:000000000000:layer:x:",
            "arn:aws:lambda:us-east-1:000000000000:layer:x:+1",
            "arn:aws:lambda:us-east-1:000000000000:layer::1",
            "arn:aws:lambda:us-east-1:00000000000:layer:x:1",
            "arn:aws:s3:us-east-1:000000000000:layer:x:1",
            "arn:aws:lambda:us-east-1:000000000000:layer:x:99999999999999999999999",
        ] {
            assert!(bad.parse::<LayerVersionArn>().is_err(), "{bad}");
        }
    }
}
