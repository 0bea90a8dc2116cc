//! The processes of one environment, from one start to the next: starting them, seeing their ends.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use bootlace_sandbox::{Exit, ExitStatus, ProcessSpec, Sandbox, Signals, SpawnError};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::bootstrap;
use crate::environment::Environment;
use crate::extension_files::ExtensionFile;
use crate::failure::{ExtensionFault, Failure};
use crate::log::LogOrigin;
use crate::spec::Trees;
use crate::start::platform;
use crate::variables::{Place, extension_variables, variables};

/// Which process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    Runtime,
    Extension(Box<str>),
}

/// One that was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) who: Who,
    pub(crate) exit: Exit,
    pub(crate) signals: Signals,
}

type End = Pin<Box<dyn Future<Output = (Who, ExitStatus)> + Send>>;

/// All that were started since the last stop.
pub(crate) struct Processes {
    environment: Arc<Environment>,
    sandbox: Arc<Sandbox>,
    pub(crate) started: Vec<Started>,
    ends: FuturesUnordered<End>,
}

impl Processes {
    pub(crate) fn new(environment: Arc<Environment>, sandbox: Arc<Sandbox>) -> Self {
        Self {
            environment,
            sandbox,
            started: Vec::new(),
            ends: FuturesUnordered::new(),
        }
    }

    /// The next end of one of them; pending while none runs. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Failure {
        let Some((who, status)) = self.ends.next().await else {
            return std::future::pending().await;
        };
        match who {
            Who::Runtime => Failure::of_exit(status),
            Who::Extension(_) => Failure::of_extension_exit(status),
        }
    }

    /// They were stopped.
    pub(crate) fn forget(&mut self) {
        self.started.clear();
        self.ends.clear();
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub(crate) async fn start_runtime(&mut self, trees: &Trees) -> Result<(), Failure> {
        let program = bootstrap::find(trees).ok_or(Failure::NoBootstrap)?;
        // The path that the code's author knows, whatever the driver makes of it.
        let known_as = program.to_string_lossy().into_owned();
        let env = self.place(variables);
        let spec = process(program, env, "/var/task");
        let started = self.sandbox.spawn(spec).await;
        let process = started.map_err(|error| match error {
            SpawnError::Exec { errno, .. } => Failure::Exec {
                program: known_as,
                errno,
            },
            SpawnError::Sandbox(error) => platform("cannot start the runtime", &error),
        })?;
        self.add(Who::Runtime, LogOrigin::Function, process)
    }

    /// Starts them all at the same time.
    pub(crate) async fn start_extensions(
        &mut self,
        files: Vec<ExtensionFile>,
    ) -> Result<(), Failure> {
        let starting = files.into_iter().map(|file| {
            let env = self.place(extension_variables);
            let spec = process(file.program.clone(), env, "/");
            let sandbox = Arc::clone(&self.sandbox);
            async move { (file, sandbox.spawn(spec).await) }
        });
        let started = futures_util::future::join_all(starting).await;
        let mut first_failure = None;
        for (file, process) in started {
            let added = match process {
                Ok(process) => self.add(Who::Extension(file.name), LogOrigin::Extension, process),
                Err(SpawnError::Exec { errno, .. }) => {
                    let text = Failure::exec_text(&file.program.to_string_lossy(), errno);
                    Err(Failure::extension(ExtensionFault::Launch, text))
                }
                Err(SpawnError::Sandbox(error)) => {
                    Err(platform("cannot start an extension", &error))
                }
            };
            if let Err(failure) = added {
                first_failure.get_or_insert(failure);
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    fn add(
        &mut self,
        who: Who,
        origin: LogOrigin,
        process: bootlace_sandbox::Process,
    ) -> Result<(), Failure> {
        let mut exit = process.exit.clone();
        let ends = who.clone();
        self.ends
            .push(Box::pin(async move { (ends, exit.wait().await) }));
        self.started.push(Started {
            who,
            exit: process.exit,
            signals: process.signals,
        });
        let attached = self.environment.log.attach(origin, process.output);
        attached.map_err(|error| platform("cannot read a process's output", &error))
    }

    fn place<T>(&self, make: impl FnOnce(&crate::spec::EnvironmentSpec, &Place<'_>) -> T) -> T {
        let inside = |path: &str| self.sandbox.inside(path);
        let place = Place {
            runtime_api: self.sandbox.address(),
            log_stream: self.environment.log.stream(),
            inside: &inside,
        };
        make(&self.environment.spec, &place)
    }
}

fn process(program: PathBuf, env: Vec<(String, String)>, cwd: &str) -> ProcessSpec {
    ProcessSpec {
        args: vec![program.to_string_lossy().into_owned()],
        program,
        env,
        cwd: Path::new(cwd).to_owned(),
    }
}
