//! One sandbox as the server holds it.

use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};

use super::LinuxDriver;
use super::link::{Answer, Link};
use super::pace::Pace;
use super::socket::SocketSource;
use crate::connector::{Connector, Way};
use crate::driver::{Exit, Process, Stages};
use crate::protocol::{CgroupPaths, Command, Report};
use crate::signals::{Signals, Target};
use crate::{CpuShare, ProcessSpec, SandboxError, SpawnError, Stats};

/// Dropped, it is destroyed in the background.
#[derive(Debug)]
pub(crate) struct LinuxSandbox {
    driver: LinuxDriver,
    link: Arc<Link>,
    key: u64,
    id: String,
    address: String,
    listener: Option<TcpListener>,
    cgroup: CgroupPaths,
    stages_us: Stages,
    pace: Pace,
    /// Of the processor.
    has_share: bool,
    /// Whether the spawner must still be told to end it.
    owed: bool,
}

impl LinuxSandbox {
    pub(super) fn new(
        driver: LinuxDriver,
        link: Arc<Link>,
        key: u64,
        id: String,
        address: String,
        has_share: bool,
    ) -> Self {
        let cgroup = CgroupPaths::default();
        Self {
            driver,
            link,
            key,
            id,
            address,
            listener: None,
            cgroup,
            stages_us: Vec::new(),
            pace: Pace::default(),
            has_share,
            owed: true,
        }
    }

    pub(super) fn begin(&mut self, listener: TcpListener, cgroup: CgroupPaths, stages_us: Stages) {
        self.listener = Some(listener);
        self.cgroup = cgroup;
        self.stages_us = stages_us;
    }

    /// The spawner refused to make it.
    pub(super) fn never_was(&mut self) {
        self.owed = false;
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn stages_us(&self) -> &[(String, u32)] {
        &self.stages_us
    }

    pub(crate) fn take_listener(&mut self) -> Option<TcpListener> {
        self.listener.take()
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn spawn(&self, spec: ProcessSpec) -> Result<Process, SpawnError> {
        let fail = SandboxError::io;
        let (output, inner) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(|error| fail("cannot make a pipe")(error.into()))?;
        fcntl_setfl(&output, OFlags::NONBLOCK)
            .map_err(|error| fail("cannot use a pipe")(error.into()))?;
        let program = spec.program.display().to_string();
        let (request, process) = (self.driver.number(), self.driver.number());
        let command = Command::Spawn {
            request,
            sandbox: self.key,
            process,
            spec,
        };
        let under_way = Some(self.pace.starting()?);
        let exit = Exit::new(self.link.watch_exit(process));
        let answer = self
            .link
            .expect_while(request, &command, Some(inner), under_way)
            .await;
        let answer = match answer {
            Ok(answer) => answer.await.map_err(|_| SandboxError::SpawnerGone),
            Err(error) => Err(error),
        };
        match answer {
            Ok(Answer {
                report: Report::Spawned { stages_us, .. },
                ..
            }) => {
                tracing::debug!(sandbox = self.id, program, ?stages_us, "process started");
                Ok(Process {
                    output,
                    exit,
                    signals: self.signals(process),
                    stages_us,
                })
            }
            Ok(Answer {
                report: Report::NoExec { errno, .. },
                ..
            }) => {
                self.link.forget_exit(process);
                Err(SpawnError::Exec { program, errno })
            }
            Ok(answer) => {
                self.link.forget_exit(process);
                Err(answer.into_error().into())
            }
            Err(error) => {
                self.link.forget_exit(process);
                Err(error.into())
            }
        }
    }

    fn signals(&self, process: u64) -> Signals {
        Signals::new(Target::Linux {
            link: Arc::downgrade(&self.link),
            sandbox: self.key,
            process,
        })
    }

    fn spawner_lives(&self) -> Result<(), SandboxError> {
        if self.link.alive() {
            Ok(())
        } else {
            Err(SandboxError::SpawnerGone)
        }
    }

    pub(crate) fn can_freeze(&self) -> bool {
        self.cgroup.v2.is_some()
    }

    pub(crate) fn freeze(&self) -> Result<(), SandboxError> {
        self.spawner_lives()?;
        self.pace.freeze(|| self.write_freeze("1"))
    }

    pub(crate) fn thaw(&self) -> Result<(), SandboxError> {
        self.spawner_lives()?;
        self.pace.thaw(|| self.write_freeze("0"))
    }

    /// The kernel stops or wakes the processes by itself after the write. A frozen process still
    /// dies at once of SIGKILL, which is why version 1 is never used for this.
    fn write_freeze(&self, value: &str) -> Result<(), SandboxError> {
        let Some(dir) = &self.cgroup.v2 else {
            return Err(SandboxError::Unavailable {
                what: "freezing",
                why: "no cgroup v2 is mounted".into(),
                remedy: "see `bootlace doctor`".into(),
            });
        };
        write(&dir.join("cgroup.freeze"), value)
    }

    pub(crate) fn share_cpu(&self, share: CpuShare) -> Result<(), SandboxError> {
        share.validate()?;
        self.spawner_lives()?;
        if !self.has_share {
            let none = "the sandbox was made without a share of the processor";
            return Err(SandboxError::Invalid(none.into()));
        }
        let (quota, period) = (share.quota_us, share.period_us);
        match (&self.cgroup.v1_cpu, &self.cgroup.v2) {
            (Some(dir), _) => {
                write(&dir.join("cpu.cfs_period_us"), &period.to_string())?;
                write(&dir.join("cpu.cfs_quota_us"), &quota.to_string())
            }
            (None, Some(dir)) => write(&dir.join("cpu.max"), &format!("{quota} {period}")),
            (None, None) => Err(SandboxError::SandboxGone),
        }
    }

    pub(crate) async fn kill_all(&self) -> Result<(), SandboxError> {
        let request = self.driver.number();
        let command = Command::KillAll {
            request,
            sandbox: self.key,
        };
        let under_way = Some(self.pace.emptying());
        let answer = self
            .link
            .expect_while(request, &command, None, under_way)
            .await?;
        match answer.await {
            Ok(Answer {
                report: Report::Emptied { .. },
                ..
            }) => Ok(()),
            Ok(answer) => Err(answer.into_error()),
            Err(_) => Err(SandboxError::SpawnerGone),
        }
    }

    pub(crate) fn connector(&self) -> Connector {
        let source = SocketSource::new(&self.driver, &self.link, self.key);
        Connector::new(Way::Linux(source))
    }

    /// What code in the sandbox uses. File pages that the kernel may drop at any time are not
    /// memory in use, and what lies in `/tmp` is counted against its own size.
    pub(crate) fn stats(&self) -> Result<Stats, SandboxError> {
        self.spawner_lives()?;
        let (memory_dir, usage_file, cache_key) = match (&self.cgroup.v1_memory, &self.cgroup.v2) {
            (Some(dir), _) => (dir, "memory.usage_in_bytes", "total_cache "),
            (None, Some(dir)) => (dir, "memory.current", "file "),
            (None, None) => return Err(SandboxError::SandboxGone),
        };
        let usage = read_number(&memory_dir.join(usage_file))?;
        let cache = read_line(&memory_dir.join("memory.stat"), cache_key)?;
        let pids_dir = self.cgroup.v1_pids.as_ref().or(self.cgroup.v2.as_ref());
        let processes = match pids_dir {
            Some(dir) => read_number(&dir.join("pids.current"))?,
            None => 0,
        };
        Ok(Stats {
            memory_bytes: usage.saturating_sub(cache),
            processes: u32::try_from(processes).unwrap_or(u32::MAX),
        })
    }

    pub(crate) async fn destroy(mut self) -> Result<(), SandboxError> {
        self.listener = None;
        let request = self.driver.number();
        let command = Command::Destroy {
            request,
            sandbox: self.key,
        };
        let answer = match self.link.expect(request, &command, None).await {
            // A spawner that is gone took the sandbox with it.
            Err(SandboxError::SpawnerGone) => None,
            Err(error) => return Err(error),
            Ok(answer) => {
                self.owed = false;
                answer.await.ok()
            }
        };
        self.owed = false;
        match answer {
            None
            | Some(Answer {
                report: Report::Destroyed { .. },
                ..
            }) => Ok(()),
            Some(answer) => Err(answer.into_error()),
        }
    }
}

impl Drop for LinuxSandbox {
    fn drop(&mut self) {
        if self.owed {
            let request = self.driver.number();
            self.link.send_soon(&Command::Destroy {
                request,
                sandbox: self.key,
            });
        }
    }
}

fn cgroup_error(what: &'static str, error: io::Error) -> SandboxError {
    match (error.kind(), error.raw_os_error()) {
        // What cgroupfs answers while a directory is being removed is the latter.
        (io::ErrorKind::NotFound, _) | (_, Some(libc::ENODEV)) => SandboxError::SandboxGone,
        _ => SandboxError::io(what)(error),
    }
}

fn write(path: &Path, value: &str) -> Result<(), SandboxError> {
    let file = fs::OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|error| cgroup_error("cannot write a cgroup", error))
}

fn read_text(path: &Path) -> Result<String, SandboxError> {
    fs::read_to_string(path).map_err(|error| cgroup_error("cannot read a cgroup", error))
}

fn read_number(path: &Path) -> Result<u64, SandboxError> {
    let text = read_text(path)?;
    Ok(text.trim().parse().unwrap_or(0))
}

fn read_line(path: &Path, key: &str) -> Result<u64, SandboxError> {
    let text = read_text(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    Ok(line
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0))
}
