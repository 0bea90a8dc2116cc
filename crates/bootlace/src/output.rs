//! Data on stdout, all else on stderr. A reader that went away is not an error of ours: what is
//! left to say is dropped, and the exit code stays the verb's own.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::ValueEnum;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Writes data to stdout.
pub(crate) fn data(bytes: &[u8]) -> anyhow::Result<()> {
    data_if_read(bytes).map(drop)
}

/// The same; gives false when nobody reads any more, for a verb that would go on for ever.
pub(crate) fn data_if_read(bytes: &[u8]) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result
            .map(|()| true)
            .context("cannot write to standard output"),
    }
}

/// Writes one line of data to stdout.
pub(crate) fn line(text: impl fmt::Display) -> anyhow::Result<()> {
    data(format!("{text}\n").as_bytes())
}

/// Writes a JSON document to stdout, indented.
pub(crate) fn json(value: &serde_json::Value) -> anyhow::Result<()> {
    line(format_args!("{value:#}"))
}

/// Writes bytes as they are, and a line end if a person is reading and there is none.
pub(crate) fn raw(bytes: &[u8]) -> anyhow::Result<()> {
    data(bytes)?;
    if io::stdout().is_terminal() && !bytes.is_empty() && !bytes.ends_with(b"\n") {
        data(b"\n")?;
    }
    Ok(())
}

/// After data in pieces: a line end if a person is reading.
pub(crate) fn raw_end() -> anyhow::Result<()> {
    if io::stdout().is_terminal() {
        data(b"\n")?;
    }
    Ok(())
}

/// Writes a line for people to stderr.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes rows as aligned columns, the heading first.
pub(crate) fn table<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
) -> anyhow::Result<()> {
    let mut widths = heading.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut push = |cells: [&str; N]| {
        let mut line = String::new();
        for (cell, width) in cells.into_iter().zip(widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    push(heading);
    for row in rows {
        push(row.each_ref().map(String::as_str));
    }
    data(text.as_bytes())
}
