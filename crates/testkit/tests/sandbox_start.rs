//! Sandboxes start programs, speak through their listener, and end.

mod sandbox_common;

use std::io::{Read, Write};

use bootlace_sandbox::{End, ExitStatus, SpawnError, TreeMount};
use sandbox_common::{Host, bash, finish, output_of, program, spec};

#[tokio::test]
async fn a_script_runs_and_its_output_and_end_arrive() {
    let host = Host::start();
    let task = host.tree(&[(
        "bootstrap",
        b"#!/bin/bash\necho out; echo err >&2; exit 3\n",
        0o755,
    )]);
    let sandbox = host.sandbox(&task).await;
    let process = sandbox
        .spawn(program("/var/task/bootstrap", &[]))
        .await
        .unwrap();
    let (status, output) = finish(process).await;
    assert_eq!(status, ExitStatus::exited(3));
    assert_eq!(output, "out\nerr\n");
    sandbox.destroy().await.unwrap();
    host.driver.shutdown().await;
}
