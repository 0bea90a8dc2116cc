//! The server reaches what listens inside a sandbox, and nothing else by the same way.
#![allow(
    clippy::unwrap_used,
    reason = "a test says what went wrong by failing there"
)]

mod sandbox_common;

use bootlace_sandbox::SandboxError;
use sandbox_common::{Host, PATIENCE, Tail, ask, output_of, program, serving};

#[tokio::test]
async fn the_server_reaches_what_listens_inside_and_nothing_else() {
    let host = Host::start();
    let (one, two) = (host.empty().await, host.empty().await);
    let _first = serving(&one, 8080, "one").await;
    let _second = serving(&two, 8080, "two").await;
    let (to_one, to_two) = (one.connector(), two.connector());
    for _ in 0..3 {
        assert_eq!(ask(&to_one, 8080).await.unwrap(), "one:hello");
        assert_eq!(ask(&to_two, 8080).await.unwrap(), "two:hello");
    }
    // A port of the host is not one of the sandbox.
    let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let refused = to_one.connect(port).await.unwrap_err();
    assert!(matches!(refused, SandboxError::Io { .. }), "{refused}");
    // Many at once, each answered.
    let kind = bootlace_tasks::TaskKind::disposable("test connection");
    let asking = (0..32).map(|_| {
        let connector = to_one.clone();
        bootlace_tasks::spawn(kind, async move { ask(&connector, 8080).await })
    });
    for task in asking.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap().unwrap().unwrap(), "one:hello");
    }
    host.driver.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_nobody_takes_ends_in_time() {
    let host = Host::start();
    let sandbox = host.empty().await;
    // The queue is full and stays so.
    let script = "import socket,time\ns=socket.socket()\ns.bind(('127.0.0.1',8081))\ns.listen(0)\n\
        kept=[socket.socket() for _ in range(4)]\n\
        [k.setblocking(False) for k in kept]\n[k.connect_ex(('127.0.0.1',8081)) for k in kept]\n\
        print('full',flush=True)\ntime.sleep(600)";
    let process = sandbox
        .spawn(program("/usr/bin/python3", &["-c", script]))
        .await
        .unwrap();
    assert_eq!(Tail::new(process.output).line().await, "full");
    let connecting = sandbox.connector();
    let refused = tokio::time::timeout(PATIENCE, connecting.connect(8081)).await;
    let refused = refused.unwrap().unwrap_err();
    assert!(refused.to_string().contains("timed out"), "{refused}");
    // The spawner was busy with it at no time.
    assert_eq!(output_of(&sandbox, "echo well").await, "well\n");
    host.driver.shutdown().await;
}

#[tokio::test]
async fn a_connector_outlives_its_sandbox_without_reaching_another() {
    let host = Host::start();
    let task = host.tree(&[("file", b"", 0o644)]);
    let sandbox = host.sandbox(&task).await;
    let _old = serving(&sandbox, 8080, "old").await;
    let connector = sandbox.connector();
    assert_eq!(ask(&connector, 8080).await.unwrap(), "old:hello");
    let held = connector.connect(8080).await.unwrap();
    let network = "readlink /proc/self/ns/net";
    let before = output_of(&sandbox, network).await;
    sandbox.destroy().await.unwrap();

    // The same code again, which would get the same network if nobody had been given a socket of it.
    let sandbox = host.sandbox(&task).await;
    let _new = serving(&sandbox, 8080, "new").await;
    assert_ne!(output_of(&sandbox, network).await, before);
    let refused = connector.connect(8080).await.unwrap_err();
    assert!(refused.to_string().contains("gone"), "{refused}");
    drop(held);
    assert_eq!(ask(&sandbox.connector(), 8080).await.unwrap(), "new:hello");
    let connector = sandbox.connector();
    drop(sandbox);
    host.driver.shutdown().await;
    let refused = connector.connect(8080).await.unwrap_err();
    assert!(refused.to_string().contains("gone"), "{refused}");
}
