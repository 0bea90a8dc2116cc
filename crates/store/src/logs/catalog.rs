//! The names of groups and streams: in memory, and in a journal of changes from which a start makes
//! them again. Events name a stream by number; a number that is not here was deleted.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use bootlace_types::Scope;
use serde::{Deserialize, Serialize};

use super::codec::{Frames, encode_frame};
use super::media::{Media, Place};
use super::segment::Summary;

const JOURNAL: &str = "catalog";
/// The journal is written anew when it is twice as long as need be, and longer than this.
const JOURNAL_BYTES: u64 = 1 << 20;

/// What is kept of a group beside its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) id: u64,
    pub(super) scope: Scope,
    pub(super) name: Arc<str>,
    pub(super) created_ms: u64,
    pub(super) retention_days: Option<u32>,
    pub(super) tags: BTreeMap<String, String>,
    #[serde(skip)]
    pub(super) streams: BTreeMap<Arc<str>, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) id: u64,
    pub(super) group: u64,
    pub(super) name: Arc<str>,
    pub(super) created_ms: u64,
    /// Of all segments together; none while it has no events.
    #[serde(skip)]
    pub(super) summary: Option<Summary>,
}

/// One change, as the journal has it.
#[derive(Debug, Serialize, Deserialize)]
enum Entry {
    Group(Group),
    NoGroup(u64),
    Stream(Stream),
    NoStream(u64),
    /// Numbers below this were given away, even if nothing has them now.
    Next(u64),
}

#[derive(Debug)]
pub(super) struct Catalog {
    place: Place,
    journal: Arc<Media>,
    length: u64,
    /// Length when it was last written anew.
    compact_length: u64,
    next_id: u64,
    ids: BTreeMap<Scope, BTreeMap<Arc<str>, u64>>,
    groups: HashMap<u64, Group>,
    streams: BTreeMap<u64, Stream>,
}

impl Catalog {
    pub(super) fn open(place: &Place) -> io::Result<Self> {
        let contents = place.read(JOURNAL)?.unwrap_or_default();
        let mut catalog = Self {
            place: place.clone(),
            journal: Arc::new(place.open(JOURNAL)?),
            length: 0,
            compact_length: 0,
            next_id: 1,
            ids: BTreeMap::new(),
            groups: HashMap::new(),
            streams: BTreeMap::new(),
        };
        for payload in Frames::new(&contents) {
            match serde_json::from_slice(payload) {
                Ok(entry) => catalog.apply(entry),
                Err(error) => tracing::warn!(%error, "a line of the log catalog is not understood"),
            }
        }
        catalog.compact()?;
        Ok(catalog)
    }

    pub(super) fn group(&self, scope: &Scope, name: &str) -> Option<&Group> {
        let id = self.ids.get(scope)?.get(name)?;
        self.groups.get(id)
    }

    /// By name, those that begin with `prefix`.
    pub(super) fn groups_of(&self, scope: &Scope, prefix: &str) -> impl Iterator<Item = &Group> {
        let names = self.ids.get(scope);
        let from = names.into_iter().flat_map(move |names| {
            let from: Arc<str> = prefix.into();
            names.range(from..)
        });
        from.take_while(move |(name, _)| name.starts_with(prefix))
            .filter_map(|(_, id)| self.groups.get(id))
    }

    pub(super) fn group_count(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn group_by_id(&self, id: u64) -> Option<&Group> {
        self.groups.get(&id)
    }

    pub(super) fn stream(&self, id: u64) -> Option<&Stream> {
        self.streams.get(&id)
    }

    pub(super) fn stream_mut(&mut self, id: u64) -> Option<&mut Stream> {
        self.streams.get_mut(&id)
    }

    pub(super) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// The stream made before all others.
    pub(super) fn oldest_stream(&self) -> Option<u64> {
        self.streams.keys().next().copied()
    }

    pub(super) fn add_group(&mut self, scope: &Scope, name: &str, now_ms: u64) -> io::Result<u64> {
        let id = self.next_id;
        let group = Group {
            id,
            scope: scope.clone(),
            name: name.into(),
            created_ms: now_ms,
            retention_days: None,
            tags: BTreeMap::new(),
            streams: BTreeMap::new(),
        };
        self.record(Entry::Group(group))?;
        Ok(id)
    }

    pub(super) fn add_stream(&mut self, group: u64, name: &str, now_ms: u64) -> io::Result<u64> {
        let id = self.next_id;
        let stream = Stream {
            id,
            group,
            name: name.into(),
            created_ms: now_ms,
            summary: None,
        };
        self.record(Entry::Stream(stream))?;
        Ok(id)
    }

    /// Changes what is kept of a group.
    pub(super) fn change(&mut self, id: u64, change: impl FnOnce(&mut Group)) -> io::Result<()> {
        let Some(mut group) = self.groups.get(&id).cloned() else {
            return Ok(());
        };
        change(&mut group);
        self.record(Entry::Group(group))
    }

    /// The group with all its streams.
    pub(super) fn remove_group(&mut self, id: u64) -> io::Result<()> {
        self.record(Entry::NoGroup(id))
    }

    pub(super) fn remove_stream(&mut self, id: u64) -> io::Result<()> {
        self.record(Entry::NoStream(id))
    }

    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.groups.clear();
        self.streams.clear();
        self.ids.clear();
        self.compact()
    }

    /// What must be synced for the changes to survive a loss of power.
    pub(super) fn journal(&self) -> Arc<Media> {
        Arc::clone(&self.journal)
    }

    /// Numbers up to this one are not given again.
    pub(super) fn reserve(&mut self, id: u64) {
        self.next_id = self.next_id.max(id.saturating_add(1));
    }

    fn record(&mut self, entry: Entry) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode_frame(&serde_json::to_vec(&entry)?, &mut bytes);
        self.journal.write(self.length, &bytes)?;
        self.length += bytes.len() as u64;
        self.apply(entry);
        if self.length > JOURNAL_BYTES.max(2 * self.compact_length) {
            self.compact()?;
        }
        Ok(())
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Next(id) => self.next_id = self.next_id.max(id),
            Entry::Group(mut group) => {
                self.reserve(group.id);
                let names = self.ids.entry(group.scope.clone()).or_default();
                names.insert(Arc::clone(&group.name), group.id);
                if let Some(before) = self.groups.remove(&group.id) {
                    group.streams = before.streams;
                }
                self.groups.insert(group.id, group);
            }
            Entry::Stream(stream) => {
                self.reserve(stream.id);
                if let Some(group) = self.groups.get_mut(&stream.group) {
                    group.streams.insert(Arc::clone(&stream.name), stream.id);
                    self.streams.insert(stream.id, stream);
                }
            }
            Entry::NoStream(id) => {
                if let Some(stream) = self.streams.remove(&id)
                    && let Some(group) = self.groups.get_mut(&stream.group)
                {
                    group.streams.remove(&stream.name);
                }
            }
            Entry::NoGroup(id) => {
                let Some(group) = self.groups.remove(&id) else {
                    return;
                };
                for stream in group.streams.values() {
                    self.streams.remove(stream);
                }
                if let Some(names) = self.ids.get_mut(&group.scope) {
                    names.remove(&group.name);
                    if names.is_empty() {
                        self.ids.remove(&group.scope);
                    }
                }
            }
        }
    }

    /// Writes the journal anew, with what there is now.
    fn compact(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut push = |entry: &Entry| -> io::Result<()> {
            encode_frame(&serde_json::to_vec(entry)?, &mut bytes);
            Ok(())
        };
        push(&Entry::Next(self.next_id))?;
        for group in self.groups.values() {
            push(&Entry::Group(group.clone()))?;
        }
        for stream in self.streams.values() {
            push(&Entry::Stream(stream.clone()))?;
        }
        self.place.replace(JOURNAL, &bytes)?;
        // The name now means another file.
        self.journal = Arc::new(self.place.open(JOURNAL)?);
        self.length = bytes.len() as u64;
        self.compact_length = self.length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_numbers_do_not() {
        let temp = tempfile::tempdir().unwrap();
        let place = Place::Directory(temp.path().to_owned());
        let scope = Scope::default();
        let mut catalog = Catalog::open(&place).unwrap();
        let kept = catalog.add_group(&scope, "kept", 1).unwrap();
        let gone = catalog.add_group(&scope, "gone", 2).unwrap();
        let stream = catalog.add_stream(kept, "s", 3).unwrap();
        let lost = catalog.add_stream(gone, "s", 3).unwrap();
        catalog
            .change(kept, |group| group.retention_days = Some(7))
            .unwrap();
        catalog.remove_group(gone).unwrap();
        for _ in 0..2 {
            let catalog = Catalog::open(&place).unwrap();
            let group = catalog.group(&scope, "kept").unwrap();
            assert_eq!((group.id, group.retention_days), (kept, Some(7)));
            assert_eq!(group.streams["s"], stream);
            assert!(catalog.group(&scope, "gone").is_none() && catalog.stream(lost).is_none());
        }
        let mut catalog = Catalog::open(&place).unwrap();
        assert!(catalog.add_group(&scope, "gone", 4).unwrap() > lost);
    }

    #[test]
    fn the_journal_does_not_grow_without_end() {
        let temp = tempfile::tempdir().unwrap();
        let place = Place::Directory(temp.path().to_owned());
        let scope = Scope::default();
        let mut catalog = Catalog::open(&place).unwrap();
        for _ in 0..6_000 {
            let id = catalog.add_group(&scope, &"g".repeat(300), 1).unwrap();
            catalog.remove_group(id).unwrap();
            assert!(catalog.length <= JOURNAL_BYTES);
        }
        let length = std::fs::metadata(temp.path().join(JOURNAL)).unwrap().len();
        assert_eq!(length, catalog.length);
    }

    #[test]
    fn a_torn_journal_keeps_what_precedes() {
        let temp = tempfile::tempdir().unwrap();
        let place = Place::Directory(temp.path().to_owned());
        let scope = Scope::default();
        let mut catalog = Catalog::open(&place).unwrap();
        catalog.add_group(&scope, "whole", 1).unwrap();
        let whole = catalog.length;
        catalog.add_group(&scope, "torn", 1).unwrap();
        catalog.journal.cut(whole + 5).unwrap();
        let catalog = Catalog::open(&place).unwrap();
        assert!(catalog.group(&scope, "whole").is_some());
        assert!(catalog.group(&scope, "torn").is_none());
    }
}
