//! One vocabulary over the drivers.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use tokio::sync::watch;

use crate::fake::FakeSandbox;
use crate::linux::LinuxSandbox;
use crate::local::LocalSandbox;
use crate::{
    Connector, CpuShare, ExitStatus, FakeDriver, LinuxDriver, LinuxOptions, LocalDriver,
    LocalOptions, ProcessSpec, SandboxError, SandboxSpec, Signals, SpawnError, Stats, probe,
};

/// Makes sandboxes. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Driver {
    /// Namespaces, cgroups and seccomp.
    Linux(LinuxDriver),
    /// Ordinary child processes, no barrier at all.
    Local(LocalDriver),
    /// Scripts of a test.
    Fake(FakeDriver),
}

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The strongest that works; never `Local`.
    Auto,
    Namespaces,
    Local,
}

/// A driver and the reason for it, for people.
#[derive(Debug, Clone)]
pub struct Selected {
    pub driver: Driver,
    pub why: String,
}

impl Driver {
    /// Starts the driver that was asked for, or says exactly what this host lacks. Isolation is
    /// never weakened silently: `Auto` does not fall back to `Local`. Needs a running Tokio runtime.
    pub fn select(isolation: Isolation, options: LinuxOptions) -> Result<Selected, SandboxError> {
        match isolation {
            Isolation::Local => {
                let local = LocalOptions {
                    run_dir: options.run_dir,
                };
                Ok(Selected {
                    driver: Self::Local(LocalDriver::start(local)?),
                    why: "asked for by name: code runs as the server's own user, without isolation"
                        .into(),
                })
            }
            Isolation::Auto | Isolation::Namespaces => {
                probe::require_namespaces()?;
                let driver = Self::Linux(LinuxDriver::start(options)?);
                let why = match isolation {
                    Isolation::Namespaces => "asked for by name",
                    _ => "the strongest that this host offers: namespaces, cgroups, seccomp",
                };
                Ok(Selected {
                    driver,
                    why: why.into(),
                })
            }
        }
    }

    /// Makes a sandbox; no process of the caller's runs in it yet.
    pub async fn create(&self, spec: SandboxSpec) -> Result<Sandbox, SandboxError> {
        Ok(Sandbox {
            inner: match self {
                Self::Linux(driver) => Inner::Linux(driver.create(spec).await?),
                Self::Local(driver) => Inner::Local(driver.create(spec).await?),
                Self::Fake(driver) => Inner::Fake(driver.create(&spec).await?),
            },
        })
    }

    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Linux(_) => "namespaces",
            Self::Local(_) => "local",
            Self::Fake(_) => "fake",
        }
    }

    /// Whether a sandbox could be made now.
    #[must_use]
    pub fn ready(&self) -> bool {
        match self {
            Self::Linux(driver) => driver.ready(),
            Self::Local(_) | Self::Fake(_) => true,
        }
    }

    /// Ends every sandbox and returns when nothing is left of them.
    pub async fn shutdown(&self) {
        match self {
            Self::Linux(driver) => driver.shutdown().await,
            Self::Local(driver) => driver.shutdown().await,
            Self::Fake(_) => {}
        }
    }
}

/// One sandbox. Dropped, it is destroyed in the background.
#[derive(Debug)]
pub struct Sandbox {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Linux(LinuxSandbox),
    Local(LocalSandbox),
    Fake(FakeSandbox),
}

impl Sandbox {
    /// The listener inside the sandbox, non-blocking; once.
    pub fn take_listener(&mut self) -> Option<std::net::TcpListener> {
        match &mut self.inner {
            Inner::Linux(sandbox) => sandbox.take_listener(),
            Inner::Local(sandbox) => sandbox.take_listener(),
            Inner::Fake(sandbox) => sandbox.take_listener(),
        }
    }

    /// The listener's address as code inside sees it.
    #[must_use]
    pub fn address(&self) -> &str {
        match &self.inner {
            Inner::Linux(sandbox) => sandbox.address(),
            Inner::Local(sandbox) => sandbox.address(),
            Inner::Fake(sandbox) => sandbox.address(),
        }
    }

    /// Where code inside finds a path of the sandbox: the same on Linux, a host path on `Local`.
    #[must_use]
    pub fn inside(&self, path: &str) -> PathBuf {
        match &self.inner {
            Inner::Local(sandbox) => sandbox.inside(path),
            Inner::Linux(_) | Inner::Fake(_) => PathBuf::from(path),
        }
    }

    /// Starts a process; returns when it runs its program or cannot.
    pub async fn spawn(&self, spec: ProcessSpec) -> Result<Process, SpawnError> {
        match &self.inner {
            Inner::Linux(sandbox) => sandbox.spawn(spec).await,
            Inner::Local(sandbox) => sandbox.spawn(&spec).await,
            Inner::Fake(sandbox) => sandbox.spawn(spec),
        }
    }

    /// Whether [`Self::freeze`] works.
    #[must_use]
    pub fn can_freeze(&self) -> bool {
        match &self.inner {
            Inner::Linux(sandbox) => sandbox.can_freeze(),
            Inner::Local(_) => false,
            Inner::Fake(_) => true,
        }
    }

    /// Stops every process inside where it stands; takes one small write and no waiting but for the
    /// kernel's one lock of all cgroups, so invocations that follow each other at once should go
    /// without. It is refused while a process is being started or [`Self::kill_all`] runs.
    pub fn freeze(&self) -> Result<(), SandboxError> {
        match &self.inner {
            Inner::Linux(sandbox) => sandbox.freeze(),
            Inner::Local(_) => Err(LocalSandbox::cannot_freeze()),
            Inner::Fake(sandbox) => sandbox.freeze(),
        }
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<(), SandboxError> {
        match &self.inner {
            Inner::Linux(sandbox) => sandbox.thaw(),
            Inner::Local(_) => Ok(()),
            Inner::Fake(sandbox) => sandbox.thaw(),
        }
    }

    /// Gives another share of the processor to a sandbox that was made with one. Where nothing is
    /// limited, or kept to, it does nothing.
    pub fn share_cpu(&self, share: CpuShare) -> Result<(), SandboxError> {
        match &self.inner {
            Inner::Linux(sandbox) => sandbox.share_cpu(share),
            Inner::Local(_) | Inner::Fake(_) => Ok(()),
        }
    }

    /// Kills all processes inside, frozen ones too, and whatever they started; returns when they
    /// are gone. The sandbox, its files, its listener and its limits stay, and it is thawed.
    pub async fn kill_all(&self) -> Result<(), SandboxError> {
        match &self.inner {
            Inner::Linux(sandbox) => sandbox.kill_all().await,
            Inner::Local(sandbox) => {
                sandbox.kill_all().await;
                Ok(())
            }
            Inner::Fake(sandbox) => {
                sandbox.kill_all().await;
                Ok(())
            }
        }
    }

    /// Makes connections to what listens inside.
    #[must_use]
    pub fn connector(&self) -> Connector {
        match &self.inner {
            Inner::Linux(sandbox) => sandbox.connector(),
            Inner::Local(sandbox) => sandbox.connector(),
            Inner::Fake(sandbox) => sandbox.connector(),
        }
    }

    /// The stages of its start. Only the Linux driver tells them.
    #[must_use]
    pub fn stages_us(&self) -> &[(String, u32)] {
        match &self.inner {
            Inner::Linux(sandbox) => sandbox.stages_us(),
            Inner::Local(_) | Inner::Fake(_) => &[],
        }
    }

    /// What the sandbox uses now; reads two small files.
    pub fn stats(&self) -> Result<Stats, SandboxError> {
        match &self.inner {
            Inner::Linux(sandbox) => sandbox.stats(),
            Inner::Local(sandbox) => sandbox.stats(),
            Inner::Fake(sandbox) => Ok(sandbox.stats()),
        }
    }

    /// Kills everything inside; returns when all of it is gone.
    pub async fn destroy(self) -> Result<(), SandboxError> {
        match self.inner {
            Inner::Linux(sandbox) => sandbox.destroy().await,
            Inner::Local(sandbox) => sandbox.destroy().await,
            Inner::Fake(sandbox) => {
                drop(sandbox);
                Ok(())
            }
        }
    }
}

/// A running process of a sandbox.
#[derive(Debug)]
pub struct Process {
    /// Non-blocking read end of the one pipe that is both standard output and standard error.
    pub output: OwnedFd,
    pub exit: Exit,
    /// Ends it from outside.
    pub signals: Signals,
    /// See [`Sandbox::stages_us`].
    pub stages_us: Stages,
}

/// Names of the stages of a start, each with the microseconds from its begin to the stage's end.
pub type Stages = Vec<(String, u32)>;

/// The end of a process, now or later. Clones see the same end.
#[derive(Debug, Clone)]
pub struct Exit {
    status: watch::Receiver<Option<ExitStatus>>,
}

impl Exit {
    pub(crate) fn new(status: watch::Receiver<Option<ExitStatus>>) -> Self {
        Self { status }
    }

    /// Waits for the end. Cancel-safe; may be called again.
    pub async fn wait(&mut self) -> ExitStatus {
        match self.status.wait_for(Option::is_some).await {
            Ok(status) => (*status).unwrap_or(ExitStatus::lost()),
            Err(_) => ExitStatus::lost(),
        }
    }

    /// The end if it has come already.
    #[must_use]
    pub fn now(&self) -> Option<ExitStatus> {
        *self.status.borrow()
    }
}
