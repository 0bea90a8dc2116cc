//! Runs other programs, showing each command line before it runs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, bail};

#[allow(
    clippy::disallowed_methods,
    reason = "running programs is what a task runner does"
)]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// The cargo that runs this program, in the root of the workspace.
pub(crate) fn cargo(verb: &str) -> anyhow::Result<Command> {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(verb).current_dir(crate::workspace::root()?);
    Ok(cargo)
}

/// Runs it and insists on success.
pub(crate) fn run(mut command: Command) -> anyhow::Result<()> {
    let status = status(&mut command)?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(&command));
    }
    Ok(())
}

pub(crate) fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    eprintln!("$ {}", shown(command));
    command
        .status()
        .with_context(|| format!("cannot run `{}`", shown(command)))
}

/// What the program prints on stdout; its stderr is dropped. `None` when it cannot run or fails.
pub(crate) fn output(mut command: Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it with both streams shown as one, and gives each line to `see` as it comes.
pub(crate) fn watch(mut command: Command, mut see: impl FnMut(&str)) -> anyhow::Result<ExitStatus> {
    eprintln!("$ {}", shown(&command));
    let (reader, writer) = std::io::pipe()?;
    command
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .stdin(Stdio::null());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run `{}`", shown(&command)))?;
    // It holds the writing ends, and the lines below would never end.
    drop(command);
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        see(text.trim_end());
        line.clear();
    }
    Ok(child.wait()?)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::{command, output, watch};

    #[test]
    fn watching_sees_both_streams_and_the_exit_status() {
        let mut shell = command("sh");
        shell.args(["-c", "echo one; echo two >&2; exit 3"]);
        let mut lines = Vec::new();
        let status = watch(shell, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn a_program_that_is_not_there_has_no_output() {
        assert_eq!(output(command("/no/such/program")), None);
    }
}
