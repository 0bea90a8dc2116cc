use bootlace_control::{
    FunctionQuery, InvokeQuery, ListFunctions, UpdateFunctionCode, check_invoke,
};

use crate::world::{FUNCTION_NAME, NAMESPACED, World, at_most, members, pattern, violation};

#[tokio::test]
async fn names_and_queries_out_of_their_constraints() {
    let World {
        plane,
        scope,
        _temp,
    } = World::new();
    let query = |name: &str, qualifier: Option<&str>| FunctionQuery {
        function_name: name.into(),
        qualifier: qualifier.map(Into::into),
    };
    for bad in [
        "*",
        "my-function!",
        "invalid-account:function:f",
        "f:1:2",
        "f:$LATES",
        "arn:aws:lambda:us-east-11:000000000000:function:f",
        "arn:aws:lambda:us-east-1:function:f",
        "arn:aws:lambda:000000000000:function:f",
        "arn:aws:s3:us-east-1:000000000000:function:f",
    ] {
        let value = format!("Value '{bad}'");
        let error = plane
            .get_function(&scope, &query(bad, None))
            .await
            .unwrap_err();
        violation(&error, &value, "functionName", &pattern(NAMESPACED));
        let error = plane
            .delete_function(&scope, &query(bad, None))
            .await
            .unwrap_err();
        violation(&error, &value, "functionName", &pattern(NAMESPACED));
        let invoke = InvokeQuery {
            function_name: bad,
            qualifier: None,
            invocation_type: None,
            log_type: None,
        };
        let error = check_invoke(&scope, invoke).unwrap_err();
        violation(&error, &value, "functionName", &pattern(NAMESPACED));
        let command = UpdateFunctionCode {
            function_name: bad.into(),
            ..Default::default()
        };
        let error = plane
            .update_function_code(&scope, command)
            .await
            .unwrap_err();
        violation(&error, &value, "functionName", &pattern(FUNCTION_NAME));
    }
    let long = "x".repeat(257);
    let error = plane
        .get_function(&scope, &query(&long, None))
        .await
        .unwrap_err();
    violation(
        &error,
        &format!("Value '{long}'"),
        "functionName",
        &at_most(256),
    );
    let error = plane
        .get_function(&scope, &query("f", Some("invalid!")))
        .await
        .unwrap_err();
    let qualifier = pattern(r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+");
    violation(&error, "Value 'invalid!'", "qualifier", &qualifier);
    let long = "q".repeat(129);
    let error = plane
        .get_function(&scope, &query("f", Some(&long)))
        .await
        .unwrap_err();
    violation(
        &error,
        &format!("Value '{long}'"),
        "qualifier",
        &at_most(128),
    );

    let list = |change: fn(&mut ListFunctions)| {
        let mut query = ListFunctions::default();
        change(&mut query);
        query
    };
    for (query, value, path, rule) in [
        (
            list(|q| q.max_items = Some(0)),
            "0",
            "maxItems",
            "Member must have value greater than or equal to 1".to_owned(),
        ),
        (
            list(|q| q.max_items = Some(10_001)),
            "10001",
            "maxItems",
            "Member must have value less than or equal to 10000".to_owned(),
        ),
        (
            list(|q| q.function_version = Some("SOME".into())),
            "SOME",
            "functionVersion",
            members("ALL"),
        ),
        (
            list(|q| q.master_region = Some("here".into())),
            "here",
            "masterRegion",
            pattern(r"ALL|(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}"),
        ),
    ] {
        let error = plane.list_functions(&scope, &query).await.unwrap_err();
        violation(&error, &format!("Value '{value}'"), path, &rule);
    }
}
