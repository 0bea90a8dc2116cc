use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bootlace_types::limits;
use tokio::sync::watch;

use crate::sql::Readers;
use crate::{Change, Compacted, Rev};

/// Follows the commits that touch a prefix, each of them once and in order.
#[derive(Debug)]
pub struct Watch {
    prefix: Box<str>,
    position: Rev,
    hub: Arc<Hub>,
    latest: watch::Receiver<Rev>,
    history: Option<Readers>,
}

impl Watch {
    pub(crate) fn new(hub: &Arc<Hub>, history: Option<Readers>, prefix: &str, from: Rev) -> Self {
        let latest = hub.latest.subscribe();
        Self {
            prefix: prefix.into(),
            position: from,
            hub: Arc::clone(hub),
            latest,
            history,
        }
    }

    /// The revision up to which every change has been handed out.
    #[must_use]
    pub fn position(&self) -> Rev {
        self.position
    }

    /// Waits for commits after [`position`](Self::position) and gives their changes, deletions
    /// included, in commit order; the changes of one commit are never split between two calls.
    /// The list is empty when none of the commits touched the prefix: the position moved all the
    /// same. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The changes are no longer remembered, or could not be read: scan again.
    pub async fn next(&mut self) -> Result<Vec<Change>, Compacted> {
        loop {
            self.latest.borrow_and_update();
            match self.hub.since(self.position) {
                Since::Nothing => {
                    // The hub lives as long as this watch, so the channel cannot be closed.
                    let _ = self.latest.changed().await;
                }
                Since::Commits(commits) => return Ok(self.take(&commits)),
                Since::Forgotten => {
                    let readers = self.history.clone().ok_or(Compacted)?;
                    let commits = readers.history(self.position).await?;
                    return Ok(self.take(&commits));
                }
            }
        }
    }

    fn take(&mut self, commits: &[Arc<Commit>]) -> Vec<Change> {
        if let Some(last) = commits.last() {
            self.position = last.rev;
        }
        let changes = commits.iter().flat_map(|commit| &commit.changes);
        let mine = changes.filter(|change| change.key.as_str().starts_with(&*self.prefix));
        mine.cloned().collect()
    }
}

/// All that one commit changed.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) rev: Rev,
    pub(crate) changes: Vec<Change>,
}

impl Commit {
    pub(crate) fn bytes(&self) -> usize {
        let size = |change: &Change| {
            change.key.as_str().len() + change.value.as_ref().map_or(0, bytes::Bytes::len)
        };
        self.changes.iter().map(size).sum()
    }
}

/// Where the writer tells of commits; it remembers the last of them.
#[derive(Debug)]
pub(crate) struct Hub {
    ring: Mutex<Ring>,
    latest: watch::Sender<Rev>,
}

#[derive(Debug)]
struct Ring {
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    /// Every commit after this one, up to `last`, is in the ring.
    base: Rev,
    last: Rev,
}

enum Since {
    Nothing,
    Commits(Vec<Arc<Commit>>),
    Forgotten,
}

impl Hub {
    pub(crate) fn new(last: Rev) -> Arc<Self> {
        let ring = Ring {
            commits: VecDeque::new(),
            bytes: 0,
            base: last,
            last,
        };
        Arc::new(Self {
            ring: Mutex::new(ring),
            latest: watch::Sender::new(last),
        })
    }

    pub(crate) fn publish(&self, commits: Vec<Commit>) {
        let Some(last) = commits.last().map(|commit| commit.rev) else {
            return;
        };
        let mut ring = self.lock();
        for commit in commits {
            ring.bytes += commit.bytes();
            ring.commits.push_back(Arc::new(commit));
        }
        ring.last = last;
        while ring.commits.len() > limits::WATCH_RING_COMMITS
            || ring.bytes > limits::WATCH_RING_BYTES
        {
            let Some(oldest) = ring.commits.pop_front() else {
                break;
            };
            ring.bytes -= oldest.bytes();
            ring.base = oldest.rev;
        }
        drop(ring);
        self.latest.send_replace(last);
    }

    /// Commits up to `last` happened that nobody told of (an answer was lost): watchers read them
    /// from the database.
    pub(crate) fn catch_up(&self, last: Rev) {
        let mut ring = self.lock();
        if last <= ring.last {
            return;
        }
        *ring = Ring {
            commits: VecDeque::new(),
            bytes: 0,
            base: last,
            last,
        };
        drop(ring);
        self.latest.send_replace(last);
    }

    fn since(&self, position: Rev) -> Since {
        let ring = self.lock();
        if position >= ring.last {
            return Since::Nothing;
        }
        if position < ring.base {
            return Since::Forgotten;
        }
        let first = ring
            .commits
            .partition_point(|commit| commit.rev <= position);
        let mut changes = 0;
        let fits = |commit: &&Arc<Commit>| {
            let before = changes;
            changes += commit.changes.len();
            before == 0 || changes <= limits::WATCH_BATCH_CHANGES
        };
        Since::Commits(
            ring.commits
                .range(first..)
                .take_while(fits)
                .cloned()
                .collect(),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // The ring is changed by steps that do not panic halfway.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
