use bootlace_store::record::{FunctionRecord, function_key};
use bootlace_types::{Qualifier, Scope};

use super::{FunctionDetails, FunctionView};
use crate::names::{self, Target, no_such_function};
use crate::validation::{Given, Member, check, table};
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

/// Invoke's members as they came: all of them may be anything.
#[derive(Debug, Clone, Copy)]
pub struct InvokeQuery<'a> {
    pub function_name: &'a str,
    pub qualifier: Option<&'a str>,
    pub invocation_type: Option<&'a str>,
    pub log_type: Option<&'a str>,
}

/// Checks the constraints on Invoke's members, and says which function they mean in the caller's
/// own account and region.
///
/// # Errors
///
/// See [`ControlError`].
pub fn check_invoke<'a>(
    scope: &Scope,
    query: InvokeQuery<'a>,
) -> Result<(Box<str>, Option<Qualifier>), ControlError> {
    check_against(table::INVOKE, scope, query)
}

/// The same for InvokeWithResponseStream, which has fewer invocation types.
///
/// # Errors
///
/// See [`ControlError`].
pub fn check_invoke_with_response_stream<'a>(
    scope: &Scope,
    query: InvokeQuery<'a>,
) -> Result<(Box<str>, Option<Qualifier>), ControlError> {
    check_against(table::INVOKE_WITH_RESPONSE_STREAM, scope, query)
}

fn check_against<'a>(
    members: &'static [Member],
    scope: &Scope,
    query: InvokeQuery<'a>,
) -> Result<(Box<str>, Option<Qualifier>), ControlError> {
    let text = |given: Option<&'a str>| given.map_or(Given::Absent, Given::Text);
    let given = |path| match path {
        "functionName" => Given::Text(query.function_name),
        "qualifier" => text(query.qualifier),
        "invocationType" => text(query.invocation_type),
        "logType" => text(query.log_type),
        _ => Given::Absent,
    };
    check(&[members], given)?;
    let target = names::function(
        scope,
        "InvokeFunction",
        query.function_name,
        query.qualifier,
    )?;
    Ok((target.name, target.qualifier))
}
