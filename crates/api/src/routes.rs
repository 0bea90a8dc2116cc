//! The route table: every operation of AWS's interface, built or not, and our own. Nothing is
//! routed that is not in it, and nothing is in it without an auth class.

use std::future::Future;
use std::pin::Pin;

use hyper::Response;

use crate::answer::Body;
use crate::call::Call;
use crate::error::ApiError;
use crate::{account, admin, content, function_metrics, functions, invoke, invoke_stream, layers};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthClass {
    /// Whoever signs the request, once signatures are verified.
    Sigv4,
    /// As the function URL's own configuration says.
    UrlConfig,
    /// Whoever has the address, which carries a signature of ours.
    UrlToken,
    /// Everybody who reaches the port.
    Public,
}

/// An operation of AWS's Lambda API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationInfo {
    pub name: &'static str,
    pub method: &'static str,
    /// With the query by which the operation differs from another of the same path, if it does.
    pub path: &'static str,
    /// Whether it is built; the others answer 501 by name.
    pub works: bool,
    pub auth: AuthClass,
}

/// All operations of the service model, in its order.
pub fn operations() -> impl Iterator<Item = OperationInfo> {
    OPERATIONS.iter().map(|route| OperationInfo {
        name: route.operation,
        method: route.method,
        path: route.path,
        works: route.handler.is_some(),
        auth: route.auth,
    })
}

pub(crate) type Answered = Result<Response<Body>, ApiError>;
pub(crate) type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Answered> + Send>>;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) operation: &'static str,
    pub(crate) method: &'static str,
    path: &'static str,
    pub(crate) auth: AuthClass,
    /// `None`: not built yet.
    pub(crate) handler: Option<Handler>,
}

impl Route {
    /// The path in the router's grammar.
    pub(crate) fn pattern(&self) -> &'static str {
        self.path
            .split_once('?')
            .map_or(self.path, |(pattern, _)| pattern)
    }

    /// The query that the operation is recognized by.
    pub(crate) fn query(&self) -> Option<(&'static str, &'static str)> {
        self.path.split_once('?')?.1.split_once('=')
    }
}

const fn built(
    operation: &'static str,
    method: &'static str,
    path: &'static str,
    handler: Handler,
) -> Route {
    Route {
        operation,
        method,
        path,
        auth: AuthClass::Sigv4,
        handler: Some(handler),
    }
}

const fn planned(operation: &'static str, method: &'static str, path: &'static str) -> Route {
    Route {
        operation,
        method,
        path,
        auth: AuthClass::Sigv4,
        handler: None,
    }
}

const fn own(
    operation: &'static str,
    method: &'static str,
    path: &'static str,
    auth: AuthClass,
    handler: Handler,
) -> Route {
    Route {
        operation,
        method,
        path,
        auth,
        handler: Some(handler),
    }
}

/// Bootlace's own.
#[rustfmt::skip]
pub(crate) static OWN: &[Route] = &[
    own("Health", "GET", "/bootlace/v1/health", AuthClass::Public, |call| Box::pin(admin::health(call))),
    own("Ready", "GET", "/bootlace/v1/ready", AuthClass::Public, |call| Box::pin(admin::ready(call))),
    own("Metrics", "GET", "/bootlace/v1/metrics", AuthClass::Public, |call| Box::pin(admin::metrics(call))),
    own("Environments", "GET", "/bootlace/v1/environments", AuthClass::Sigv4, |call| Box::pin(admin::environments(call))),
    own("FunctionMetrics", "GET", "/bootlace/v1/functions/{FunctionName}/metrics", AuthClass::Sigv4, |call| Box::pin(function_metrics::read(call))),
    own("Reset", "POST", "/bootlace/v1/reset", AuthClass::Sigv4, |call| Box::pin(admin::reset(call))),
    own("Content", "GET", "/bootlace/v1/content/{Digest}", AuthClass::UrlToken, |call| Box::pin(content::download(call))),
];

/// AWS's.
#[rustfmt::skip]
pub(crate) static OPERATIONS: &[Route] = &[
    // Functions
    built("CreateFunction", "POST", "/2015-03-31/functions", |call| Box::pin(functions::create(call))),
    built("GetFunction", "GET", "/2015-03-31/functions/{FunctionName}", |call| Box::pin(functions::get(call))),
    built("GetFunctionConfiguration", "GET", "/2015-03-31/functions/{FunctionName}/configuration", |call| Box::pin(functions::get_configuration(call))),
    built("UpdateFunctionCode", "PUT", "/2015-03-31/functions/{FunctionName}/code", |call| Box::pin(functions::update_code(call))),
    built("UpdateFunctionConfiguration", "PUT", "/2015-03-31/functions/{FunctionName}/configuration", |call| Box::pin(functions::update_configuration(call))),
    built("DeleteFunction", "DELETE", "/2015-03-31/functions/{FunctionName}", |call| Box::pin(functions::delete(call))),
    built("ListFunctions", "GET", "/2015-03-31/functions", |call| Box::pin(functions::list(call))),
    built("GetAccountSettings", "GET", "/2016-08-19/account-settings", |call| Box::pin(account::get_settings(call))),
    planned("PutRuntimeManagementConfig", "PUT", "/2021-07-20/functions/{FunctionName}/runtime-management-config"),
    planned("GetRuntimeManagementConfig", "GET", "/2021-07-20/functions/{FunctionName}/runtime-management-config"),
    // Versions and aliases
    planned("PublishVersion", "POST", "/2015-03-31/functions/{FunctionName}/versions"),
    planned("ListVersionsByFunction", "GET", "/2015-03-31/functions/{FunctionName}/versions"),
    planned("CreateAlias", "POST", "/2015-03-31/functions/{FunctionName}/aliases"),
    planned("GetAlias", "GET", "/2015-03-31/functions/{FunctionName}/aliases/{Name}"),
    planned("UpdateAlias", "PUT", "/2015-03-31/functions/{FunctionName}/aliases/{Name}"),
    planned("DeleteAlias", "DELETE", "/2015-03-31/functions/{FunctionName}/aliases/{Name}"),
    planned("ListAliases", "GET", "/2015-03-31/functions/{FunctionName}/aliases"),
    // Layers
    built("PublishLayerVersion", "POST", "/2018-10-31/layers/{LayerName}/versions", |call| Box::pin(layers::publish(call))),
    built("GetLayerVersion", "GET", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", |call| Box::pin(layers::get(call))),
    built("GetLayerVersionByArn", "GET", "/2018-10-31/layers?find=LayerVersion", |call| Box::pin(layers::get_by_arn(call))),
    built("ListLayers", "GET", "/2018-10-31/layers", |call| Box::pin(layers::list(call))),
    built("ListLayerVersions", "GET", "/2018-10-31/layers/{LayerName}/versions", |call| Box::pin(layers::list_versions(call))),
    built("DeleteLayerVersion", "DELETE", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", |call| Box::pin(layers::delete(call))),
    planned("AddLayerVersionPermission", "POST", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy"),
    planned("GetLayerVersionPolicy", "GET", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy"),
    planned("RemoveLayerVersionPermission", "DELETE", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy/{StatementId}"),
    // Invoke
    built("Invoke", "POST", "/2015-03-31/functions/{FunctionName}/invocations", |call| Box::pin(invoke::routed(call))),
    built("InvokeWithResponseStream", "POST", "/2021-11-15/functions/{FunctionName}/response-streaming-invocations", |call| Box::pin(invoke_stream::answer(call))),
    planned("InvokeAsync", "POST", "/2014-11-13/functions/{FunctionName}/invoke-async"),
    // Asynchronous invocation configuration
    planned("PutFunctionEventInvokeConfig", "PUT", "/2019-09-25/functions/{FunctionName}/event-invoke-config"),
    planned("UpdateFunctionEventInvokeConfig", "POST", "/2019-09-25/functions/{FunctionName}/event-invoke-config"),
    planned("GetFunctionEventInvokeConfig", "GET", "/2019-09-25/functions/{FunctionName}/event-invoke-config"),
    planned("DeleteFunctionEventInvokeConfig", "DELETE", "/2019-09-25/functions/{FunctionName}/event-invoke-config"),
    planned("ListFunctionEventInvokeConfigs", "GET", "/2019-09-25/functions/{FunctionName}/event-invoke-config/list"),
    // Event source mappings
    planned("CreateEventSourceMapping", "POST", "/2015-03-31/event-source-mappings"),
    planned("GetEventSourceMapping", "GET", "/2015-03-31/event-source-mappings/{UUID}"),
    planned("UpdateEventSourceMapping", "PUT", "/2015-03-31/event-source-mappings/{UUID}"),
    planned("DeleteEventSourceMapping", "DELETE", "/2015-03-31/event-source-mappings/{UUID}"),
    planned("ListEventSourceMappings", "GET", "/2015-03-31/event-source-mappings"),
    // Concurrency
    planned("PutFunctionConcurrency", "PUT", "/2017-10-31/functions/{FunctionName}/concurrency"),
    planned("GetFunctionConcurrency", "GET", "/2019-09-30/functions/{FunctionName}/concurrency"),
    planned("DeleteFunctionConcurrency", "DELETE", "/2017-10-31/functions/{FunctionName}/concurrency"),
    planned("PutProvisionedConcurrencyConfig", "PUT", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency"),
    planned("GetProvisionedConcurrencyConfig", "GET", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency"),
    planned("DeleteProvisionedConcurrencyConfig", "DELETE", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency"),
    planned("ListProvisionedConcurrencyConfigs", "GET", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency?List=ALL"),
    planned("PutFunctionRecursionConfig", "PUT", "/2024-08-31/functions/{FunctionName}/recursion-config"),
    planned("GetFunctionRecursionConfig", "GET", "/2024-08-31/functions/{FunctionName}/recursion-config"),
    // Function URLs
    planned("CreateFunctionUrlConfig", "POST", "/2021-10-31/functions/{FunctionName}/url"),
    planned("GetFunctionUrlConfig", "GET", "/2021-10-31/functions/{FunctionName}/url"),
    planned("UpdateFunctionUrlConfig", "PUT", "/2021-10-31/functions/{FunctionName}/url"),
    planned("DeleteFunctionUrlConfig", "DELETE", "/2021-10-31/functions/{FunctionName}/url"),
    planned("ListFunctionUrlConfigs", "GET", "/2021-10-31/functions/{FunctionName}/urls"),
    // Resource policies
    planned("AddPermission", "POST", "/2015-03-31/functions/{FunctionName}/policy"),
    planned("RemovePermission", "DELETE", "/2015-03-31/functions/{FunctionName}/policy/{StatementId}"),
    planned("GetPolicy", "GET", "/2015-03-31/functions/{FunctionName}/policy"),
    planned("PutResourcePolicy", "PUT", "/2026-07-09/resource-policy/{ResourceArn}"),
    planned("GetResourcePolicy", "GET", "/2026-07-09/resource-policy/{ResourceArn}"),
    planned("DeleteResourcePolicy", "DELETE", "/2026-07-09/resource-policy/{ResourceArn}"),
    // Tags
    planned("TagResource", "POST", "/2017-03-31/tags/{Resource}"),
    planned("UntagResource", "DELETE", "/2017-03-31/tags/{Resource}"),
    planned("ListTags", "GET", "/2017-03-31/tags/{Resource}"),
    // Code signing
    planned("CreateCodeSigningConfig", "POST", "/2020-04-22/code-signing-configs"),
    planned("GetCodeSigningConfig", "GET", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}"),
    planned("UpdateCodeSigningConfig", "PUT", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}"),
    planned("DeleteCodeSigningConfig", "DELETE", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}"),
    planned("ListCodeSigningConfigs", "GET", "/2020-04-22/code-signing-configs"),
    planned("ListFunctionsByCodeSigningConfig", "GET", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}/functions"),
    planned("PutFunctionCodeSigningConfig", "PUT", "/2020-06-30/functions/{FunctionName}/code-signing-config"),
    planned("GetFunctionCodeSigningConfig", "GET", "/2020-06-30/functions/{FunctionName}/code-signing-config"),
    planned("DeleteFunctionCodeSigningConfig", "DELETE", "/2020-06-30/functions/{FunctionName}/code-signing-config"),
    // Durable executions
    planned("CheckpointDurableExecution", "POST", "/2025-12-01/durable-executions/{DurableExecutionArn}/checkpoint"),
    planned("GetDurableExecutionState", "GET", "/2025-12-01/durable-executions/{DurableExecutionArn}/state"),
    planned("GetDurableExecution", "GET", "/2025-12-01/durable-executions/{DurableExecutionArn}"),
    planned("GetDurableExecutionHistory", "GET", "/2025-12-01/durable-executions/{DurableExecutionArn}/history"),
    planned("ListDurableExecutionsByFunction", "GET", "/2025-12-01/functions/{FunctionName}/durable-executions"),
    planned("StopDurableExecution", "POST", "/2025-12-01/durable-executions/{DurableExecutionArn}/stop"),
    planned("PauseDurableExecution", "POST", "/2025-12-01/durable-executions/{DurableExecutionArn}/pause"),
    planned("ResumeDurableExecution", "POST", "/2025-12-01/durable-executions/{DurableExecutionArn}/resume"),
    planned("DeleteDurableExecution", "DELETE", "/2025-12-01/durable-executions/{DurableExecutionArn}"),
    planned("SendDurableExecutionCallbackSuccess", "POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/succeed"),
    planned("SendDurableExecutionCallbackFailure", "POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/fail"),
    planned("SendDurableExecutionCallbackHeartbeat", "POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/heartbeat"),
    // Capacity providers / Lambda Managed Instances
    planned("CreateCapacityProvider", "POST", "/2025-11-30/capacity-providers"),
    planned("GetCapacityProvider", "GET", "/2025-11-30/capacity-providers/{CapacityProviderName}"),
    planned("UpdateCapacityProvider", "PUT", "/2025-11-30/capacity-providers/{CapacityProviderName}"),
    planned("DeleteCapacityProvider", "DELETE", "/2025-11-30/capacity-providers/{CapacityProviderName}"),
    planned("ListCapacityProviders", "GET", "/2025-11-30/capacity-providers"),
    planned("ListFunctionVersionsByCapacityProvider", "GET", "/2025-11-30/capacity-providers/{CapacityProviderName}/function-versions"),
    planned("PutFunctionScalingConfig", "PUT", "/2025-11-30/functions/{FunctionName}/function-scaling-config"),
    planned("GetFunctionScalingConfig", "GET", "/2025-11-30/functions/{FunctionName}/function-scaling-config"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_whole_interface_is_in_the_table() {
        assert_eq!(operations().count(), 91);
        let names: HashSet<_> = operations().map(|operation| operation.name).collect();
        assert_eq!(names.len(), 91);
        let routes: HashSet<_> = operations().map(|o| (o.method, o.path)).collect();
        assert_eq!(routes.len(), 91);
        assert_eq!(operations().filter(|operation| operation.works).count(), 16);
    }

    #[test]
    fn every_route_has_a_class_that_fits_it() {
        assert!(
            OPERATIONS
                .iter()
                .all(|route| route.auth == AuthClass::Sigv4)
        );
        for route in OWN {
            let public = ["Health", "Ready", "Metrics"].contains(&route.operation);
            assert_eq!(
                route.auth == AuthClass::Public,
                public,
                "{}",
                route.operation
            );
        }
    }

    #[test]
    fn our_own_routes_are_documented() {
        let document = include_str!("../../../docs/openapi.yaml");
        let paths = document.lines().filter(|line| line.starts_with("  /"));
        let documented: Vec<_> = paths
            .map(|line| line.trim().trim_end_matches(':'))
            .collect();
        let mut routed: Vec<_> = OWN.iter().map(Route::pattern).collect();
        assert_eq!(documented.len(), routed.len());
        routed.retain(|path| !documented.contains(path));
        assert_eq!(routed, Vec::<&str>::new());
        for route in OWN {
            let id = format!("      operationId: {}\n", route.operation);
            assert!(document.contains(&id), "{}", route.operation);
        }
    }
}
