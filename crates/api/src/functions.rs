//! Handlers of the operations on functions.

use bootlace_control::{FunctionQuery, ListFunctions};
use hyper::StatusCode;

use crate::answer;
use crate::call::Call;
use crate::routes::Answered;
use crate::wire::function::{
    Configuration, CreateFunction, FunctionList, GetFunction, UpdateFunctionCode,
    UpdateFunctionConfiguration,
};

fn query(call: &Call) -> FunctionQuery {
    FunctionQuery {
        function_name: call.param("FunctionName").to_owned(),
        qualifier: call.query("Qualifier"),
    }
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let command = call.document_with_zip::<CreateFunction>().await?.command();
    let created = call
        .shared
        .control
        .create_function(&call.scope, command)
        .await?;
    call.reached(created.rev).await;
    answer::json(StatusCode::CREATED, &Configuration::of(&created.value))
}

pub(crate) async fn get(call: Call) -> Answered {
    let details = call
        .shared
        .control
        .get_function(&call.scope, &query(&call))
        .await?;
    let digest = &details.function.config.code.digest;
    let location = call.shared.signer.location(&call.authority, digest);
    answer::json(StatusCode::OK, &GetFunction::of(&details, &location))
}

pub(crate) async fn get_configuration(call: Call) -> Answered {
    let view = call
        .shared
        .control
        .get_function_configuration(&call.scope, &query(&call))
        .await?;
    answer::json(StatusCode::OK, &Configuration::of(&view))
}

pub(crate) async fn update_code(mut call: Call) -> Answered {
    let document = call.document_with_zip::<UpdateFunctionCode>().await?;
    let command = document.command(call.param("FunctionName"));
    let updated = call
        .shared
        .control
        .update_function_code(&call.scope, command)
        .await?;
    call.reached(updated.rev).await;
    answer::json(StatusCode::OK, &Configuration::of(&updated.value))
}

pub(crate) async fn update_configuration(mut call: Call) -> Answered {
    let document = call.small_document::<UpdateFunctionConfiguration>().await?;
    let command = document.command(call.param("FunctionName"));
    let updated = call
        .shared
        .control
        .update_function_configuration(&call.scope, command)
        .await?;
    call.reached(updated.rev).await;
    answer::json(StatusCode::OK, &Configuration::of(&updated.value))
}

pub(crate) async fn delete(call: Call) -> Answered {
    let deleted = call
        .shared
        .control
        .delete_function(&call.scope, &query(&call))
        .await?;
    call.reached(deleted.rev).await;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn list(call: Call) -> Answered {
    let query = ListFunctions {
        master_region: call.query("MasterRegion"),
        function_version: call.query("FunctionVersion"),
        marker: call.query("Marker"),
        max_items: call.query_number("MaxItems")?,
    };
    let listing = call
        .shared
        .control
        .list_functions(&call.scope, &query)
        .await?;
    answer::json(StatusCode::OK, &FunctionList::of(&listing))
}
