//! What is stored: transitions, what a crash leaves open, and the count of stored code.

#![allow(clippy::unwrap_used, reason = "a surprise ends a test")]

use std::io::Write as _;
use std::sync::Arc;

use bootlace_control::{
    CodeSource, ControlError, ControlOptions, ControlPlane, CreateFunction, FunctionQuery,
    LastUpdate, PublishLayerVersion, Settings, State, UpdateFunctionCode,
};
use bootlace_store::record::{self, FunctionRecord};
use bootlace_store::{Store, Txn};
use bootlace_types::Scope;
use bytes::Bytes;

fn zip(content: &[u8]) -> CodeSource {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file("bootstrap", zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(content).unwrap();
    let zip = writer.finish().unwrap().into_inner();
    CodeSource {
        zip_file: Some(Bytes::from(zip)),
        ..CodeSource::default()
    }
}

fn create(name: &str, content: &[u8]) -> CreateFunction {
    CreateFunction {
        function_name: Some(name.into()),
        code: Some(zip(content)),
        settings: Settings {
            runtime: Some("provided".into()),
            role: Some("arn:aws:iam::000000000000:role/r".into()),
            handler: Some("h".into()),
            ..Settings::default()
        },
        ..CreateFunction::default()
    }
}

async fn settled(plane: &ControlPlane, name: &str) -> State {
    let query = FunctionQuery {
        function_name: name.into(),
        qualifier: None,
    };
    loop {
        let view = plane
            .get_function_configuration(&Scope::default(), &query)
            .await
            .unwrap();
        if view.config.last_update == Some(LastUpdate::Successful) {
            return view.config.state;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_crash_left_open_is_finished_at_the_next_start() {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::memory(temp.path());
    let plane = ControlPlane::new(store.clone(), ControlOptions::default());
    let scope = Scope::default();
    plane
        .create_function(&scope, create("f", b"x"))
        .await
        .unwrap();
    settled(&plane, "f").await;

    let key = record::function_key(&scope, "f");
    let entry = store.kv.get(&key).await.unwrap().unwrap();
    for (state, last_update) in [
        (State::Pending, None),
        (State::Active, Some(LastUpdate::InProgress)),
    ] {
        let mut record: FunctionRecord = serde_json::from_slice(&entry.value).unwrap();
        record.latest.state = state;
        record.latest.last_update = last_update;
        let old_revision = record.latest.revision_id;
        let value = Bytes::from(serde_json::to_vec(&record).unwrap());
        let txn = Txn {
            puts: vec![(key.clone(), value)],
            ..Txn::default()
        };
        store.kv.commit(txn).await.unwrap();

        let plane = ControlPlane::new(store.clone(), ControlOptions::default());
        plane.recover().await.unwrap();
        let entry = store.kv.get(&key).await.unwrap().unwrap();
        let record: FunctionRecord = serde_json::from_slice(&entry.value).unwrap();
        assert_eq!(record.latest.state, State::Active);
        assert_eq!(record.latest.last_update, Some(LastUpdate::Successful));
        assert_ne!(record.latest.revision_id, old_revision);
        let settings = plane.get_account_settings(&scope);
        assert_eq!(settings.function_count, 1);
        assert_eq!(settings.total_code_size, record.latest.code.zip_bytes);
    }
}

#[tokio::test]
async fn code_storage_has_a_limit_and_deleting_makes_room() {
    let temp = tempfile::tempdir().unwrap();
    let code = zip(b"x").zip_file.unwrap().len() as u64;
    let options = ControlOptions {
        code_storage_bytes: 2 * code,
        ..ControlOptions::default()
    };
    let plane = ControlPlane::new(Store::memory(temp.path()), options);
    let scope = Scope::default();
    plane
        .create_function(&scope, create("f", b"x"))
        .await
        .unwrap();
    settled(&plane, "f").await;
    let layer = PublishLayerVersion {
        layer_name: "l".into(),
        content: Some(zip(b"y")),
        ..PublishLayerVersion::default()
    };
    plane.publish_layer_version(&scope, layer).await.unwrap();
    assert_eq!(plane.get_account_settings(&scope).total_code_size, 2 * code);
    let full = plane
        .create_function(&scope, create("g", b"z"))
        .await
        .unwrap_err();
    assert!(matches!(full, ControlError::CodeStorageExceeded), "{full}");
    let update = UpdateFunctionCode {
        function_name: "f".into(),
        code: zip(b"z"),
        ..UpdateFunctionCode::default()
    };
    // New code takes the place of the old.
    plane.update_function_code(&scope, update).await.unwrap();
    plane.delete_layer_version(&scope, "l", 1).await.unwrap();
    plane
        .create_function(&scope, create("g", b"z"))
        .await
        .unwrap();
    assert_eq!(plane.get_account_settings(&scope).total_code_size, 2 * code);
}

#[tokio::test]
async fn a_write_goes_on_when_its_caller_hangs_up() {
    let temp = tempfile::tempdir().unwrap();
    let plane = ControlPlane::new(Store::memory(temp.path()), ControlOptions::default());
    let scope = Scope::default();
    for n in 0..50_u32 {
        let name = format!("f{n}");
        let creation = plane.create_function(&scope, create(&name, b"x"));
        let mut creation = Box::pin(creation);
        // Polled so often, then dropped: wherever it stands, the function is whole or absent.
        for _ in 0..n {
            if futures_util::poll!(creation.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(creation);
        let query = FunctionQuery {
            function_name: name.clone(),
            qualifier: None,
        };
        if plane.get_function(&scope, &query).await.is_ok() {
            assert_eq!(settled(&plane, &name).await, State::Active);
        }
    }
}

#[tokio::test]
async fn concurrent_updates_are_told_that_one_is_in_progress() {
    let temp = tempfile::tempdir().unwrap();
    let plane = ControlPlane::new(Store::memory(temp.path()), ControlOptions::default());
    let scope = Scope::default();
    plane
        .create_function(&scope, create("f", b"x"))
        .await
        .unwrap();
    settled(&plane, "f").await;
    let updates = (0..20_u8).map(|n| {
        let (plane, scope) = (Arc::clone(&plane), scope.clone());
        async move {
            let update = UpdateFunctionCode {
                function_name: "f".into(),
                code: zip(&[n]),
                ..UpdateFunctionCode::default()
            };
            plane.update_function_code(&scope, update).await
        }
    });
    let results = futures_util::future::join_all(updates).await;
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert!(won >= 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(
            error.to_string(),
            "The operation cannot be performed at this time. An update is in progress for \
             resource: arn:aws:lambda:us-east-1:000000000000:function:f"
        );
    }
    let settings = plane.get_account_settings(&scope);
    let shown = settled_bytes(&plane).await;
    assert_eq!(settings.total_code_size, shown);
}

async fn settled_bytes(plane: &ControlPlane) -> u64 {
    settled(plane, "f").await;
    let query = FunctionQuery {
        function_name: "f".into(),
        qualifier: None,
    };
    let view = plane
        .get_function_configuration(&Scope::default(), &query)
        .await
        .unwrap();
    view.config.code.zip_bytes
}
