//! From the environments to the log store, which the API reads through this crate.

use std::sync::Arc;

use bootlace_environment::{LogEvent, LogSink};
use bootlace_types::clock;

pub use bootlace_store::logs::{
    Direction, GroupInfo, LogError, LogLine, LogPage, LogPosition, LogQuery, LogStore, Matches,
    StreamInfo, StreamName, TailQuery, Which,
};

/// The sink that was asked for, or one that feeds the store.
pub(crate) fn sink(asked: LogSink, store: &LogStore) -> LogSink {
    let LogSink::None = asked else { return asked };
    let store = store.clone();
    LogSink::Each(Arc::new(move |event: &LogEvent<'_>| {
        let name = StreamName {
            scope: event.scope,
            group: event.log_group,
            stream: event.log_stream,
        };
        store.push(name, clock::epoch_ms(event.time), event.line);
    }))
}
