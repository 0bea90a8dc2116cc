//! A Linux driver on a temporary directory, and what tests ask of it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bootlace_sandbox::{
    Connector, Driver, ExitStatus, LinuxDriver, LinuxOptions, Process, ProcessSpec, Sandbox,
    SandboxError, SandboxSpec, SpawnerCommand, TreeMount,
};
use bootlace_types::clock;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

/// Nothing in these tests takes longer, on a busy machine either.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A driver with a data directory of its own.
pub(crate) struct Host {
    pub(crate) driver: Driver,
    pub(crate) linux: LinuxDriver,
    pub(crate) instance: String,
    pub(crate) trees: PathBuf,
    _dir: tempfile::TempDir,
}

/// Fails, rather than skips, where sandboxes cannot be made.
pub(crate) fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "the sandbox tests make namespaces and cgroups: run them as root (sudo cargo nextest run)"
    );
}

pub(crate) fn spawner() -> SpawnerCommand {
    SpawnerCommand {
        exe: env!("CARGO_BIN_EXE_spawner").into(),
        args: Vec::new(),
    }
}

/// Unique on this host, also among tests that run at the same time.
pub(crate) fn unique_instance() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("bootlace-{:08x}{number:04x}", std::process::id())
}

impl Host {
    pub(crate) fn start() -> Self {
        require_root();
        let dir = tempfile::Builder::new()
            .prefix("secret-data-dir-")
            .tempdir()
            .unwrap();
        // Real servers keep their data where others may not look.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let trees = dir.path().join("trees");
        fs::create_dir(&trees).unwrap();
        let instance = unique_instance();
        let options = LinuxOptions::new(
            spawner(),
            instance.clone(),
            dir.path().join("run"),
            trees.clone(),
        );
        let linux = LinuxDriver::start(options).expect("the spawner starts");
        Self {
            driver: Driver::Linux(linux.clone()),
            linux,
            instance,
            trees,
            _dir: dir,
        }
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.trees.parent().unwrap()
    }

    /// A tree of files: path, content, mode.
    pub(crate) fn tree(&self, files: &[(&str, &[u8], u32)]) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let root = self
            .trees
            .join(format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&root).unwrap();
        for (path, content, mode) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        root
    }

    pub(crate) async fn sandbox(&self, task: &Path) -> Sandbox {
        self.driver
            .create(spec(&[task.to_owned()]))
            .await
            .expect("the sandbox starts")
    }

    /// A sandbox of the spawner that takes over from one that was killed.
    pub(crate) async fn again(&self) -> Sandbox {
        let begin = clock::now();
        loop {
            match self.driver.create(spec(&[])).await {
                Ok(sandbox) => return sandbox,
                Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A sandbox whose `/var/task` is empty.
    pub(crate) async fn empty(&self) -> Sandbox {
        self.driver
            .create(spec(&[]))
            .await
            .expect("the sandbox starts")
    }
}

pub(crate) fn spec(task: &[PathBuf]) -> SandboxSpec {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    SandboxSpec {
        id: format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        trees: vec![
            TreeMount {
                target: "/var/task".into(),
                layers: task.to_vec(),
            },
            TreeMount {
                target: "/opt".into(),
                layers: Vec::new(),
            },
        ],
        memory_bytes: 256 << 20,
        tmp_bytes: 64 << 20,
        processes: 64,
        listen_port: 9001,
        cpu: None,
    }
}

pub(crate) fn program(program: &str, args: &[&str]) -> ProcessSpec {
    let mut all = vec![program.to_owned()];
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    ProcessSpec {
        program: program.into(),
        args: all,
        env: vec![
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("LANG".into(), "en_US.UTF-8".into()),
        ],
        cwd: "/var/task".into(),
    }
}

pub(crate) fn bash(script: &str) -> ProcessSpec {
    program("/bin/bash", &["-c", script])
}

/// Waits for the end of a process and reads everything it wrote.
pub(crate) async fn finish(mut process: Process) -> (ExitStatus, String) {
    let output = tokio::task::spawn_blocking(move || read_all(process.output));
    let status = tokio::time::timeout(PATIENCE, process.exit.wait())
        .await
        .expect("it ends");
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .expect("its output ends")
        .unwrap();
    (status, output)
}

/// Runs a script and returns its output; fails when the script does.
pub(crate) async fn output_of(sandbox: &Sandbox, script: &str) -> String {
    let process = sandbox.spawn(bash(script)).await.expect("bash starts");
    let (status, output) = finish(process).await;
    assert_eq!(status, ExitStatus::exited(0), "of `{script}`: {output}");
    output
}

fn read_all(pipe: OwnedFd) -> String {
    rustix::io::ioctl_fionbio(&pipe, false).unwrap();
    assert!(pipe.as_raw_fd() > 2);
    let mut output = Vec::new();
    fs::File::from(pipe).read_to_end(&mut output).unwrap();
    String::from_utf8_lossy(&output).into_owned()
}

/// The output of a process that still runs, line by line.
pub(crate) struct Tail {
    reader: tokio::io::BufReader<tokio::net::unix::pipe::Receiver>,
}

impl Tail {
    pub(crate) fn new(output: OwnedFd) -> Self {
        let pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(output).unwrap();
        Self {
            reader: tokio::io::BufReader::new(pipe),
        }
    }

    /// The next line, without its end.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line);
        let read = tokio::time::timeout(PATIENCE, read).await;
        assert!(read.expect("it says something").unwrap() > 0, "it ended");
        line.trim_end().to_owned()
    }

    /// What comes until nobody can write any more.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = String::new();
        let read = self.reader.read_to_string(&mut rest);
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.expect("its output ends").unwrap();
        rest
    }
}

/// Directories of this name anywhere below the cgroup mounts.
pub(crate) fn cgroups(name: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, name: &str, depth: usize, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name() == name {
                found.push(entry.path());
            } else if depth > 0 {
                walk(&entry.path(), name, depth - 1, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), name, 6, &mut found);
    found
}

/// A program of one line that answers each connection with what it was told to say.
pub(crate) fn server(port: u16, says: &str) -> ProcessSpec {
    let script = format!(
        "import socket\ns=socket.create_server(('127.0.0.1',{port}))\nprint('ready',flush=True)\n\
         while True:\n c,_=s.accept()\n c.sendall(b'{says}:'+c.recv(64))\n c.close()"
    );
    program("/usr/bin/python3", &["-c", &script])
}

pub(crate) async fn ask(connector: &Connector, port: u16) -> Result<String, SandboxError> {
    let mut connection = connector.connect(port).await?;
    let mut answer = String::new();
    connection.write_all(b"hello").await.unwrap();
    connection.read_to_string(&mut answer).await.unwrap();
    Ok(answer)
}

pub(crate) async fn serving(sandbox: &Sandbox, port: u16, says: &str) -> Process {
    let process = sandbox.spawn(server(port, says)).await.unwrap();
    let output = process.output.try_clone().unwrap();
    assert_eq!(Tail::new(output).line().await, "ready");
    assert_eq!(process.exit.now(), None);
    process
}

/// Waits until something holds, because the kernel does it in its own time.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begin = clock::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The only group of this host with a task in it.
pub(crate) fn group(host: &Host, controller: &str) -> PathBuf {
    let groups = groups(host, controller);
    assert_eq!(groups.len(), 1, "{groups:?}");
    groups[0].clone()
}

/// All groups of this host with a task in them.
pub(crate) fn groups(host: &Host, controller: &str) -> Vec<PathBuf> {
    let all = cgroups(&host.instance);
    let here = all
        .iter()
        .filter(|dir| dir.components().any(|part| part.as_os_str() == controller));
    let inner = here.flat_map(|dir| fs::read_dir(dir).unwrap().flatten());
    let busy = |dir: &Path| {
        fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|list| !list.is_empty())
    };
    inner
        .map(|entry| entry.path())
        .filter(|dir| dir.is_dir() && busy(dir))
        .collect()
}

pub(crate) fn frozen(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("cgroup.events")).unwrap();
    events.lines().any(|line| line == "frozen 1")
}
