//! A control plane on a memory store, and the words of AWS's rules.

use std::io::Write as _;
use std::sync::Arc;

use bootlace_control::{
    CodeSource, ControlError, ControlOptions, ControlPlane, CreateFunction, Settings,
    UpdateFunctionConfiguration,
};
use bootlace_store::Store;
use bootlace_types::Scope;
use bytes::Bytes;

pub(crate) const ROLE_PATTERN: &str =
    r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";
pub(crate) const FUNCTION_NAME: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";
pub(crate) const NAMESPACED: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
pub(crate) const LAYER_VERSION_ARN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)";
pub(crate) const LAYER_NAME: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]{1,140}|[a-zA-Z0-9-_]{1,140})";

pub(crate) struct World {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) scope: Scope,
    pub(crate) _temp: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let plane = ControlPlane::new(Store::memory(temp.path()), ControlOptions::default());
        Self {
            plane,
            scope: Scope::default(),
            _temp: temp,
        }
    }

    pub(crate) async fn create(&self, change: impl FnOnce(&mut CreateFunction)) -> ControlError {
        let mut command = good();
        change(&mut command);
        self.plane
            .create_function(&self.scope, command)
            .await
            .map(drop)
            .unwrap_err()
    }

    pub(crate) async fn update(&self, settings: Settings) -> ControlError {
        let function_name = "f".into();
        let command = UpdateFunctionConfiguration {
            function_name,
            settings,
            revision_id: None,
        };
        let updated = self
            .plane
            .update_function_configuration(&self.scope, command)
            .await;
        updated.map(drop).unwrap_err()
    }
}

/// A CreateFunction that nothing is wrong with.
pub(crate) fn good() -> CreateFunction {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file("bootstrap", zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(b"x").unwrap();
    let zip = Bytes::from(writer.finish().unwrap().into_inner());
    CreateFunction {
        function_name: Some("f".into()),
        code: Some(CodeSource {
            zip_file: Some(zip),
            ..CodeSource::default()
        }),
        settings: Settings {
            runtime: Some("provided.al2023".into()),
            role: Some("arn:aws:iam::000000000000:role/lambda".into()),
            handler: Some("h".into()),
            ..Settings::default()
        },
        ..CreateFunction::default()
    }
}

pub(crate) fn text(length: usize) -> Option<String> {
    Some("x".repeat(length))
}

/// The text of a `ValidationException` with one item.
#[track_caller]
pub(crate) fn violation(error: &ControlError, value: &str, path: &str, rule: &str) {
    assert!(matches!(error, ControlError::Validation(_)), "{error}");
    let expect = format!(
        "1 validation error detected: {value} at '{path}' failed to satisfy constraint: {rule}"
    );
    assert_eq!(error.to_string(), expect);
}

pub(crate) fn at_most(limit: u32) -> String {
    format!("Member must have length less than or equal to {limit}")
}

pub(crate) fn pattern(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

pub(crate) fn members(set: &str) -> String {
    format!("Member must satisfy enum value set: [{set}]")
}
