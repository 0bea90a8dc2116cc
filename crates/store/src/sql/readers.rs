use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bootlace_types::limits;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::dialect;
use super::statements::{self, Counters};
use crate::watch::Commit;
use crate::{Compacted, Rev, StoreError};

/// A few connections that read beside the writer.
#[derive(Debug, Clone)]
pub(crate) struct Readers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    path: Box<Path>,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        let places = Semaphore::new(limits::STORE_READERS);
        Self(Arc::new(Pool {
            path: path.into(),
            idle: Mutex::default(),
            places,
        }))
    }

    /// Runs a few statements on one connection, all of them as of one moment.
    pub(super) async fn read<T, F>(&self, what: &'static str, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let failed = |error: &dyn std::fmt::Display| StoreError::new(what, error);
        let _place = self
            .0
            .places
            .acquire()
            .await
            .map_err(|_| failed(&"the store is closed"))?;
        let pool = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || pool.run(query)).await;
        read.map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))
    }

    /// The commits after a revision that the database still remembers, the oldest of them first.
    pub(crate) async fn history(&self, after: Rev) -> Result<Vec<Arc<Commit>>, Compacted> {
        let read = self.read("reading the history", move |connection| {
            let counters = Counters::read(connection)?;
            if after.0 < counters.compacted {
                return Ok(None);
            }
            let (changes, all) =
                statements::changes(connection, after, limits::WATCH_BATCH_CHANGES)?;
            let mut commits: Vec<Commit> = Vec::new();
            for change in changes {
                match commits.last_mut() {
                    Some(commit) if commit.rev == change.rev => commit.changes.push(change),
                    _ => commits.push(Commit {
                        rev: change.rev,
                        changes: vec![change],
                    }),
                }
            }
            // The last commits may have changed nothing.
            if all
                && commits
                    .last()
                    .is_none_or(|commit| commit.rev.0 < counters.rev)
            {
                commits.push(Commit {
                    rev: Rev(counters.rev),
                    changes: Vec::new(),
                });
            }
            Ok(Some(commits.into_iter().map(Arc::new).collect()))
        });
        match read.await {
            Ok(commits) => commits.ok_or(Compacted),
            Err(error) => {
                tracing::warn!(%error, "a watcher must scan again");
                Err(Compacted)
            }
        }
    }

    pub(super) fn close(&self) {
        self.0.places.close();
        self.0
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Pool {
    fn run<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => dialect::open_reader(&self.path)?,
        };
        // Deferred: the first statement fixes the moment that all of them see.
        let transaction = connection.transaction()?;
        let found = query(&transaction)?;
        transaction.finish()?;
        if !self.places.is_closed() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
        Ok(found)
    }
}
