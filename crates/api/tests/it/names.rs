use hyper::Method;
use serde_json::json;

use crate::world::{FUNCTIONS, World, arn};

#[tokio::test]
async fn a_function_answers_to_every_form_of_its_name() {
    let world = World::new().await;
    world.created("f").await;
    for (name, shown) in [
        ("f", arn("f")),
        ("f:$LATEST", arn("f:$LATEST")),
        ("function:f", arn("f")),
        ("000000000000:function:f", arn("f")),
        (arn("f").as_str(), arn("f")),
        (arn("f:$LATEST").as_str(), arn("f:$LATEST")),
    ] {
        let encoded = name.replace(':', "%3A").replace('$', "%24");
        for name in [name, &encoded] {
            let path = format!("{FUNCTIONS}/{name}/configuration");
            let config = world.get(&path).await.expect(200).json();
            assert_eq!(config["FunctionArn"], shown, "{name}");
            world.invoke(name, &[], "{}").await.expect(200);
            let path = format!("{FUNCTIONS}/{name}/invocations/");
            world.send(Method::POST, &path, &[], "{}").await.expect(200);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_as_aws_does() {
    let world = World::new().await;
    world.created("f").await;
    let not_found = "ResourceNotFoundException";
    let invalid = "InvalidParameterValueException";
    let long = "n".repeat(65);
    let abroad = "arn:aws:lambda:eu-west-1:000000000000:function:f";
    let foreign = "arn:aws:lambda:us-east-1:111122223333:function:f";
    let cases: &[(Method, String, u16, &str, String)] = &[
        (
            Method::GET,
            "f:1".into(),
            404,
            not_found,
            format!("Function not found: {}", arn("f:1")),
        ),
        (
            Method::GET,
            "f?Qualifier=1".into(),
            404,
            not_found,
            format!("Function not found: {}", arn("f:1")),
        ),
        (
            Method::GET,
            "f?Qualifier=$latest".into(),
            404,
            not_found,
            format!("Function not found: {}", arn("f:$latest")),
        ),
        (
            Method::GET,
            long.clone(),
            404,
            not_found,
            format!("Function not found: {}", arn(&long)),
        ),
        (
            Method::GET,
            "arn:aws:lambda:us-east-1:000000000000:function".into(),
            404,
            not_found,
            format!("Function not found: {}", arn("function")),
        ),
        (
            Method::GET,
            "f:1?Qualifier=2".into(),
            400,
            invalid,
            "The derived qualifier from the function name does not match the specified qualifier."
                .into(),
        ),
        (
            Method::GET,
            "f:$LATEST?Qualifier=1".into(),
            400,
            invalid,
            "The derived qualifier from the function name does not match the specified qualifier."
                .into(),
        ),
        (
            Method::GET,
            abroad.into(),
            404,
            not_found,
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')".into(),
        ),
        (
            Method::DELETE,
            "f?Qualifier=$LATEST".into(),
            400,
            invalid,
            "$LATEST version cannot be deleted without deleting the function.".into(),
        ),
        (
            Method::DELETE,
            "f?Qualifier=live".into(),
            400,
            invalid,
            "Deletion of aliases is not currently supported.".into(),
        ),
        (
            Method::DELETE,
            "f?Qualifier=$latest".into(),
            404,
            not_found,
            format!("Function not found: {}", arn("f")),
        ),
        (
            Method::DELETE,
            "f?Qualifier=7".into(),
            404,
            not_found,
            format!("Function not found: {}", arn("f")),
        ),
        (
            Method::GET,
            foreign.into(),
            403,
            "AccessDeniedException",
            format!(
                "User: arn:aws:iam::000000000000:root is not authorized to perform: lambda:GetFunction on resource: {foreign} because no resource-based policy allows the lambda:GetFunction action"
            ),
        ),
    ];
    for (method, name, status, kind, text) in cases {
        let path = format!("{FUNCTIONS}/{name}");
        let refusal = world.send(method.clone(), &path, &[], "").await.refusal();
        assert_eq!(
            refusal,
            (*status, (*kind).to_owned(), text.clone()),
            "{method} {name}"
        );
    }
    for (name, qualifier) in [("f:1", "f:1"), ("f:live", "f:live"), ("g", "g:$LATEST")] {
        let refusal = world.invoke(name, &[], "{}").await.refusal();
        let text = format!("Function not found: {}", arn(qualifier));
        assert_eq!(refusal, (404, not_found.to_owned(), text));
    }
    for path in ["f:1/code", "f:1/configuration"] {
        let refusal = world
            .put(&format!("{FUNCTIONS}/{path}"), &json!({}))
            .await
            .refusal();
        let text = format!("Function not found: {}", arn("f:1"));
        assert_eq!(refusal, (404, not_found.to_owned(), text));
    }
}

#[tokio::test]
async fn patterns_and_lengths_of_names_are_told_with_the_value() {
    let world = World::new().await;
    for (name, shown) in [
        ("*", "*"),
        ("my-function!", "my-function!"),
        ("a%20b", "a b"),
        ("f:1:2", "f:1:2"),
    ] {
        for (method, tail, body) in [
            (Method::GET, "", ""),
            (Method::DELETE, "", ""),
            (Method::POST, "/invocations", "{}"),
        ] {
            let path = format!("{FUNCTIONS}/{name}{tail}");
            let (status, kind, message) = world.send(method, &path, &[], body).await.refusal();
            assert_eq!((status, kind.as_str()), (400, "ValidationException"));
            let start = format!(
                "1 validation error detected: Value '{shown}' at 'functionName' failed to satisfy \
                 constraint: Member must satisfy regular expression pattern: (arn:"
            );
            assert!(message.starts_with(&start), "{message}");
        }
        let refusal = world.create(shown, json!({})).await.refusal();
        assert_eq!(
            (refusal.0, refusal.1.as_str()),
            (400, "ValidationException"),
            "{shown}"
        );
    }
    let path = format!("{FUNCTIONS}/f?Qualifier={}", "q".repeat(129));
    assert_eq!(
        world.get(&path).await.refusal().2,
        format!(
            "1 validation error detected: Value '{}' at 'qualifier' failed to satisfy constraint: \
             Member must have length less than or equal to 128",
            "q".repeat(129)
        )
    );
    let long = "n".repeat(65);
    assert_eq!(
        world.create(&long, json!({})).await.refusal(),
        (
            400,
            "InvalidParameterValueException".into(),
            format!(
                "1 validation error detected: Value '{long}' at 'functionName' failed to satisfy \
                 constraint: Member must have length less than or equal to 64"
            )
        )
    );
}
