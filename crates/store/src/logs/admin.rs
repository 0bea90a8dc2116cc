//! Groups and streams: made, listed, changed, deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use bootlace_types::{Scope, limits};

use super::catalog::{Group, Stream};
use super::media::Media;
use super::segment::Summary;
use super::state::State;
use super::{Fsync, LogError, LogStore, StreamName};

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    pub name: Arc<str>,
    pub created_ms: u64,
    pub retention_days: Option<u32>,
    pub stored_bytes: u64,
    pub tags: BTreeMap<String, String>,
}

/// A log stream; it has no times while it has no events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    pub name: Arc<str>,
    pub created_ms: u64,
    pub first_ms: Option<u64>,
    pub last_ms: Option<u64>,
    pub ingested_ms: Option<u64>,
    pub stored_bytes: u64,
}

impl StreamInfo {
    fn of(stream: &Stream) -> Self {
        let summary = stream.summary.as_ref();
        let of = |part: fn(&Summary) -> u64| summary.map(part);
        Self {
            name: Arc::clone(&stream.name),
            created_ms: stream.created_ms,
            first_ms: of(|summary| summary.first_ms),
            last_ms: of(|summary| summary.last_ms),
            ingested_ms: of(|summary| summary.ingested_ms),
            stored_bytes: summary.map_or(0, |summary| summary.bytes),
        }
    }
}

impl LogStore {
    /// Makes an empty group.
    ///
    /// # Errors
    ///
    /// It is there, there are too many, or it cannot be written.
    pub async fn create_group(
        &self,
        scope: &Scope,
        name: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), LogError> {
        let (scope, name) = (scope.clone(), name.to_owned());
        let now_ms = self.shared.clock.now_ms();
        self.change(move |state| {
            if state.catalog.group(&scope, &name).is_some() {
                return Err(LogError::GroupExists);
            }
            if state.catalog.group_count() >= limits::LOG_GROUPS {
                return Err(LogError::TooMany("log groups"));
            }
            let made = state.catalog.add_group(&scope, &name, now_ms);
            let id = made.map_err(|error| LogError::failed(&error))?;
            if tags.is_empty() {
                return Ok(());
            }
            written(state.catalog.change(id, |group| group.tags = tags))
        })
        .await
    }

    /// Makes an empty stream.
    ///
    /// # Errors
    ///
    /// It is there or its group is not, there are too many, or it cannot be written.
    pub async fn create_stream(&self, name: StreamName<'_>) -> Result<(), LogError> {
        let now_ms = self.shared.clock.now_ms();
        let names = Names::of(name);
        self.change(move |state| {
            let group = state.find_group(names.borrow())?;
            if group.streams.contains_key(names.stream.as_str()) {
                return Err(LogError::StreamExists);
            }
            let group = group.id;
            if state.catalog.stream_count() >= limits::LOG_STREAMS {
                return Err(LogError::TooMany("log streams"));
            }
            written(
                state
                    .catalog
                    .add_stream(group, &names.stream, now_ms)
                    .map(drop),
            )
        })
        .await
    }

    /// Deletes a group with everything in it.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be written.
    pub async fn delete_group(&self, scope: &Scope, name: &str) -> Result<(), LogError> {
        // What was logged before goes with it, and does not make it anew.
        self.flush().await;
        let names = Names::of_group(scope, name);
        self.change(move |state| {
            let id = state.find_group(names.borrow())?.id;
            written(state.catalog.remove_group(id))
        })
        .await
    }

    /// Deletes a stream with everything in it.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be written.
    pub async fn delete_stream(&self, name: StreamName<'_>) -> Result<(), LogError> {
        self.flush().await;
        let names = Names::of(name);
        self.change(move |state| {
            let id = state.find_stream(names.borrow())?.id;
            written(state.catalog.remove_stream(id))
        })
        .await
    }

    /// Says how long a group's events are kept; `None`: as long as the configuration says.
    ///
    /// # Errors
    ///
    /// There is no such group, or it cannot be written.
    pub async fn set_retention(
        &self,
        scope: &Scope,
        name: &str,
        days: Option<u32>,
    ) -> Result<(), LogError> {
        self.change_group(scope, name, move |group| group.retention_days = days)
            .await
    }

    /// Changes the tags of a group.
    ///
    /// # Errors
    ///
    /// There is no such group, or it cannot be written.
    pub async fn change_tags(
        &self,
        scope: &Scope,
        name: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>) + Send + 'static,
    ) -> Result<(), LogError> {
        self.change_group(scope, name, move |group| change(&mut group.tags))
            .await
    }

    /// A group by its name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn group(&self, scope: &Scope, name: &str) -> Result<GroupInfo, LogError> {
        let state = self.lock();
        let group = state.catalog.group(scope, name);
        group
            .map(|group| group_info(&state, group))
            .ok_or(LogError::NoGroup)
    }

    /// Up to `limit` groups by name: those that begin with `prefix`, follow `after` and are `wanted`.
    #[must_use]
    pub fn groups(
        &self,
        scope: &Scope,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<GroupInfo> {
        let state = self.lock();
        let groups = state.catalog.groups_of(scope, prefix);
        groups
            .filter(|group| after.is_none_or(|after| &*group.name > after) && wanted(&group.name))
            .take(limit)
            .map(|group| group_info(&state, group))
            .collect()
    }

    /// Up to `limit` streams of a group by name: those that begin with `prefix`, from `after` on,
    /// itself not included.
    ///
    /// # Errors
    ///
    /// There is no such group.
    pub fn streams_by_name(
        &self,
        name: StreamName<'_>,
        after: Option<&str>,
        descending: bool,
        limit: usize,
    ) -> Result<Vec<StreamInfo>, LogError> {
        let state = self.lock();
        let group = state.find_group(name)?;
        let prefix = name.stream;
        let wanted = |name: &Arc<str>| {
            name.starts_with(prefix)
                && after.is_none_or(|after| match descending {
                    false => &**name > after,
                    true => &**name < after,
                })
        };
        let mut names: Vec<_> = group
            .streams
            .iter()
            .filter(|(name, _)| wanted(name))
            .collect();
        if descending {
            names.reverse();
        }
        let streams = names.into_iter().take(limit);
        let streams = streams.filter_map(|(_, id)| state.catalog.stream(*id));
        Ok(streams.map(StreamInfo::of).collect())
    }

    /// Up to `limit` streams of a group by the time of their last event, those without one first,
    /// from `after` on, itself not included.
    ///
    /// # Errors
    ///
    /// There is no such group.
    pub fn streams_by_time(
        &self,
        name: StreamName<'_>,
        after: Option<(u64, &str)>,
        descending: bool,
        limit: usize,
    ) -> Result<Vec<StreamInfo>, LogError> {
        let state = self.lock();
        let group = state.find_group(name)?;
        let streams = group
            .streams
            .values()
            .filter_map(|id| state.catalog.stream(*id));
        let last = |stream: &Stream| stream.summary.map_or(0, |summary| summary.last_ms);
        let mut streams: Vec<_> = streams
            .map(|stream| (last(stream), &*stream.name, stream))
            .filter(|(last, name, _)| {
                after.is_none_or(|after| match descending {
                    false => (*last, *name) > after,
                    true => (*last, *name) < after,
                })
            })
            .collect();
        streams.sort_unstable_by_key(|(last, name, _)| (*last, *name));
        if descending {
            streams.reverse();
        }
        let streams = streams.into_iter().take(limit);
        Ok(streams
            .map(|(_, _, stream)| StreamInfo::of(stream))
            .collect())
    }

    /// Deletes everything, for tests.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub async fn clear(&self) -> Result<(), LogError> {
        self.flush().await;
        self.change(|state| written(state.clear())).await
    }

    async fn change_group(
        &self,
        scope: &Scope,
        name: &str,
        change: impl FnOnce(&mut Group) + Send + 'static,
    ) -> Result<(), LogError> {
        let names = Names::of_group(scope, name);
        self.change(move |state| {
            let id = state.find_group(names.borrow())?.id;
            written(state.catalog.change(id, change))
        })
        .await
    }

    /// Changes the catalog and makes the change lasting, off the asynchronous threads.
    async fn change(
        &self,
        change: impl FnOnce(&mut State) -> Result<(), LogError> + Send + 'static,
    ) -> Result<(), LogError> {
        let shared = Arc::clone(&self.shared);
        let task = move || {
            let mut state = shared.lock();
            change(&mut state)?;
            let journal: Arc<Media> = state.catalog.journal();
            drop(state);
            match shared.fsync {
                Fsync::Never => Ok(()),
                Fsync::Interval | Fsync::Always => written(journal.sync()),
            }
        };
        let done = tokio::task::spawn_blocking(task).await;
        done.unwrap_or_else(|error| Err(LogError::failed(&error)))
    }
}

/// Names that a task on another thread can take along.
struct Names {
    scope: Scope,
    group: String,
    stream: String,
}

impl Names {
    fn of(name: StreamName<'_>) -> Self {
        Self {
            scope: name.scope.clone(),
            group: name.group.to_owned(),
            stream: name.stream.to_owned(),
        }
    }

    fn of_group(scope: &Scope, group: &str) -> Self {
        Self::of(StreamName {
            scope,
            group,
            stream: "",
        })
    }

    fn borrow(&self) -> StreamName<'_> {
        StreamName {
            scope: &self.scope,
            group: &self.group,
            stream: &self.stream,
        }
    }
}

fn group_info(state: &State, group: &Group) -> GroupInfo {
    let streams = group
        .streams
        .values()
        .filter_map(|id| state.catalog.stream(*id));
    let bytes = streams.map(|stream| stream.summary.map_or(0, |summary| summary.bytes));
    GroupInfo {
        name: Arc::clone(&group.name),
        created_ms: group.created_ms,
        retention_days: group.retention_days,
        stored_bytes: bytes.fold(0, u64::saturating_add),
        tags: group.tags.clone(),
    }
}

fn written(result: std::io::Result<()>) -> Result<(), LogError> {
    result.map_err(|error| LogError::failed(&error))
}
