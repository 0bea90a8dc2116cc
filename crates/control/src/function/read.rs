use bootlace_store::record::{FunctionRecord, function_key};
use bootlace_types::{Qualifier, Scope};

use super::{FunctionDetails, FunctionView};
use crate::names::{self, Target, no_such_function};
use crate::validation::{Given, check, table};
use crate::{ControlError, ControlPlane, FunctionQuery};

impl FunctionQuery {
    /// Checks the members and takes the name apart.
    pub(super) fn resolve(&self, scope: &Scope, operation: &str) -> Result<Target, ControlError> {
        let given = |path| match path {
            "functionName" => Given::Text(&self.function_name),
            "qualifier" => self.qualifier.as_ref().into(),
            _ => Given::Absent,
        };
        check(&[table::EXISTING_FUNCTION], given)?;
        names::function(
            scope,
            operation,
            &self.function_name,
            self.qualifier.as_deref(),
        )
    }
}

impl ControlPlane {
    /// GetFunction.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn get_function(
        &self,
        scope: &Scope,
        query: &FunctionQuery,
    ) -> Result<FunctionDetails, ControlError> {
        let (view, record) = self.find(scope, query, "GetFunction").await?;
        Ok(FunctionDetails::new(view, record))
    }

    /// GetFunctionConfiguration.
    ///
    /// # Errors
    ///
    /// See [`ControlError`].
    pub async fn get_function_configuration(
        &self,
        scope: &Scope,
        query: &FunctionQuery,
    ) -> Result<FunctionView, ControlError> {
        Ok(self.find(scope, query, "GetFunctionConfiguration").await?.0)
    }

    async fn find(
        &self,
        scope: &Scope,
        query: &FunctionQuery,
        operation: &str,
    ) -> Result<(FunctionView, FunctionRecord), ControlError> {
        let target = query.resolve(scope, operation)?;
        let known = matches!(target.qualifier, None | Some(Qualifier::Latest));
        let key = function_key(scope, &target.name);
        let found = self.read::<FunctionRecord>(&key).await?;
        let Some((record, _)) = found.filter(|_| known) else {
            return Err(no_such_function(scope, &target));
        };
        let config = record.latest.clone();
        let view = FunctionView::latest(scope, &target.name, target.qualifier, config);
        Ok((view, record))
    }
}

/// The constraints on Invoke's members, and which function they mean in the caller's own account
/// and region. `invocation_type` and `log_type` are headers that may be anything.
///
/// # Errors
///
/// See [`ControlError`].
pub fn check_invoke(
    scope: &Scope,
    query: &FunctionQuery,
    invocation_type: Option<&str>,
    log_type: Option<&str>,
) -> Result<(Box<str>, Option<Qualifier>), ControlError> {
    let given = |path| match path {
        "functionName" => Given::Text(&query.function_name),
        "qualifier" => query.qualifier.as_ref().into(),
        "invocationType" => invocation_type.map_or(Given::Absent, Given::Text),
        "logType" => log_type.map_or(Given::Absent, Given::Text),
        _ => Given::Absent,
    };
    check(&[table::INVOKE], given)?;
    let qualifier = query.qualifier.as_deref();
    let target = names::function(scope, "InvokeFunction", &query.function_name, qualifier)?;
    Ok((target.name, target.qualifier))
}
