//! Which function or layer a caller means, and what AWS says when it cannot be meant.

use bootlace_types::{FunctionArn, FunctionRef, LayerArn, Qualifier, Scope};

use crate::ControlError;
use crate::validation::broken_pattern;

/// A function in the caller's own account and region.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: Box<str>,
    pub(crate) qualifier: Option<Qualifier>,
}

/// Takes a function name of any form apart. `operation` is for the refusal of another account's.
pub(crate) fn function(
    scope: &Scope,
    operation: &str,
    name: &str,
    qualifier: Option<&str>,
) -> Result<Target, ControlError> {
    let wrong = |value: &str| broken_pattern("functionName", value);
    let function: FunctionRef = name.parse().map_err(|_| wrong(name))?;
    if let Some(region) = function
        .region
        .as_ref()
        .filter(|region| **region != scope.region)
    {
        return Err(ControlError::NotFound(format!(
            "Functions from '{region}' are not reachable in this region ('{}')",
            scope.region
        )));
    }
    let given: Option<Qualifier> = qualifier
        .map(str::parse)
        .transpose()
        .map_err(|_| wrong(name))?;
    let qualifier = match (function.qualifier, given) {
        (Some(derived), Some(given)) if derived != given => {
            return Err(ControlError::InvalidParameter(
                "The derived qualifier from the function name does not match the specified \
                 qualifier."
                    .into(),
            ));
        }
        (derived, given) => derived.or(given),
    };
    if let Some(account) = function.account.filter(|account| *account != scope.account) {
        let owner = Scope {
            account,
            region: scope.region.clone(),
        };
        let arn = FunctionArn::new(&owner, &function.name, qualifier);
        return Err(not_authorized(scope, operation, &arn.to_string()));
    }
    Ok(Target {
        name: function.name,
        qualifier,
    })
}

/// Takes a layer's name or ARN apart.
pub(crate) fn layer(scope: &Scope, operation: &str, name: &str) -> Result<LayerArn, ControlError> {
    if !name.starts_with("arn:") {
        return Ok(LayerArn {
            scope: scope.clone(),
            name: name.into(),
        });
    }
    let arn: LayerArn = name.parse().map_err(|_| no_such_resource())?;
    own_layer(scope, operation, &arn, name)?;
    Ok(arn)
}

/// Refuses a layer of another region or account.
pub(crate) fn own_layer(
    scope: &Scope,
    operation: &str,
    arn: &LayerArn,
    resource: &str,
) -> Result<(), ControlError> {
    if arn.scope.account != scope.account {
        return Err(not_authorized(scope, operation, resource));
    }
    if arn.scope.region != scope.region {
        Err(no_such_resource())
    } else {
        Ok(())
    }
}

/// What AWS says of a layer, mapping or policy that is not there.
pub(crate) fn no_such_resource() -> ControlError {
    ControlError::NotFound("The resource you requested does not exist.".into())
}

/// `Function not found: <arn>`, with the qualifier when one was given.
pub(crate) fn no_such_function(scope: &Scope, target: &Target) -> ControlError {
    let arn = FunctionArn::new(scope, &target.name, target.qualifier.clone());
    ControlError::NotFound(format!("Function not found: {arn}"))
}

pub(crate) fn not_authorized(scope: &Scope, operation: &str, resource: &str) -> ControlError {
    let account = scope.account;
    ControlError::AccessDenied(format!(
        "User: arn:aws:iam::{account}:root is not authorized to perform: lambda:{operation} on \
         resource: {resource} because no resource-based policy allows the lambda:{operation} action"
    ))
}
