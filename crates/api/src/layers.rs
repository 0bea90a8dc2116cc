//! Handlers of the operations on layers.

use bootlace_control::{LayerQuery, LayerVersionView};
use hyper::StatusCode;

use crate::answer;
use crate::call::Call;
use crate::error::ApiError;
use crate::routes::Answered;
use crate::wire::layer::{LayerList, LayerVersion, LayerVersionList, PublishLayerVersion};

fn show(call: &Call, status: StatusCode, view: &LayerVersionView) -> Answered {
    let location = call
        .shared
        .signer
        .location(&call.authority, &view.record.code.digest);
    answer::json(status, &LayerVersion::of(view, &location))
}

fn version(call: &Call) -> Result<i64, ApiError> {
    let wrong = |_| ApiError::serialization("VersionNumber is no whole number.");
    call.param("VersionNumber").parse().map_err(wrong)
}

fn query(call: &Call) -> Result<LayerQuery, ApiError> {
    Ok(LayerQuery {
        compatible_architecture: call.query("CompatibleArchitecture"),
        compatible_runtime: call.query("CompatibleRuntime"),
        marker: call.query("Marker"),
        max_items: call.query_number("MaxItems")?,
    })
}

pub(crate) async fn publish(mut call: Call) -> Answered {
    let document = call.document_with_zip::<PublishLayerVersion>().await?;
    let command = document.command(call.param("LayerName"));
    let published = call
        .shared
        .control
        .publish_layer_version(&call.scope, command)
        .await?;
    call.reached(published.rev).await;
    show(&call, StatusCode::CREATED, &published.value)
}

pub(crate) async fn get(call: Call) -> Answered {
    let (name, version) = (call.param("LayerName"), version(&call)?);
    let view = call
        .shared
        .control
        .get_layer_version(&call.scope, name, version)
        .await?;
    show(&call, StatusCode::OK, &view)
}

pub(crate) async fn get_by_arn(call: Call) -> Answered {
    let arn = call.query("Arn");
    let view = call
        .shared
        .control
        .get_layer_version_by_arn(&call.scope, arn.as_deref())
        .await?;
    show(&call, StatusCode::OK, &view)
}

pub(crate) async fn list(call: Call) -> Answered {
    let listing = call
        .shared
        .control
        .list_layers(&call.scope, &query(&call)?)
        .await?;
    answer::json(StatusCode::OK, &LayerList::of(&listing))
}

pub(crate) async fn list_versions(call: Call) -> Answered {
    let (name, query) = (call.param("LayerName"), query(&call)?);
    let listing = call
        .shared
        .control
        .list_layer_versions(&call.scope, name, &query)
        .await?;
    answer::json(StatusCode::OK, &LayerVersionList::of(&listing))
}

pub(crate) async fn delete(call: Call) -> Answered {
    let (name, version) = (call.param("LayerName"), version(&call)?);
    let deleted = call
        .shared
        .control
        .delete_layer_version(&call.scope, name, version)
        .await?;
    if let Some(rev) = deleted {
        call.reached(rev).await;
    }
    Ok(answer::empty(StatusCode::NO_CONTENT))
}
