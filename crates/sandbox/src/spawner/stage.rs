//! The stages of a start: where it failed, and how long each took.
//!
//! A child notes its stage in memory that it shares with the spawner, so an error needs no pipe.

use std::time::Instant;

use bootlace_types::clock;

/// Most stages that one start may have.
const STAGES: usize = 32;

/// What a child did, stage by stage.
#[derive(Debug)]
pub(super) struct Stages {
    begin: Instant,
    names: [(&'static str, u32); STAGES],
    count: usize,
    errno: Option<i32>,
}

/// A stage failed; which one is in [`Stages`].
#[derive(Debug)]
pub(super) struct Failed;

impl Stages {
    pub(super) fn new() -> Self {
        Self {
            begin: clock::now(),
            names: [("", 0); STAGES],
            count: 0,
            errno: None,
        }
    }

    /// Notes the result of a stage.
    pub(super) fn step<T>(
        &mut self,
        name: &'static str,
        result: rustix::io::Result<T>,
    ) -> Result<T, Failed> {
        let elapsed = clock::now().duration_since(self.begin).as_micros();
        if let Some(entry) = self.names.get_mut(self.count) {
            *entry = (name, u32::try_from(elapsed).unwrap_or(u32::MAX));
            self.count += 1;
        }
        result.map_err(|error| {
            self.errno = Some(error.raw_os_error());
            Failed
        })
    }

    /// The stage that failed, and the kernel's reason.
    pub(super) fn failure(&self) -> Option<(&'static str, i32)> {
        let errno = self.errno?;
        let (name, _) = self.names[..self.count].last()?;
        Some((name, errno))
    }

    /// Microseconds since the begin at the end of each stage.
    pub(super) fn clock(&self) -> Vec<(String, u32)> {
        self.names[..self.count]
            .iter()
            .map(|(name, us)| ((*name).to_owned(), *us))
            .collect()
    }
}
