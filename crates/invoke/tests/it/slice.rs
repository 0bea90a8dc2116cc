//! The first way through: a call comes in, a runtime answers.

use bootlace_testkit::guest::Guest;

use crate::world::{World, text};

#[tokio::test]
async fn an_echo_answers() {
    let world = World::new(Guest::echo()).await;
    world.put("f", &world.record()).await;
    for round in 0..3 {
        let payload = format!("{{\"round\":{round}}}");
        let answer = world.invoke("f", &payload).await.expect("an answer");
        assert_eq!(text(&answer), payload);
        assert_eq!(answer.function_error, None);
        assert_eq!(&*answer.executed_version, "$LATEST");
        assert_eq!(answer.log_tail, None);
    }
    assert_eq!(world.processes(), 1, "the environment is used again");
}
