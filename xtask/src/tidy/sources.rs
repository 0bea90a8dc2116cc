//! What no Rust file may hold, and how long one may be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A file of more lines holds more than one idea.
const LINES_PER_FILE: usize = 600;
const FOLDERS: &[&str] = &["crates", "bench", "xtask", "examples", "fuzz"];

struct Rule {
    text: &'static str,
    why: &'static str,
    /// Where it may stand, as a part of the path.
    except: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        text: "#[ignore",
        why: "a test runs or it goes",
        except: &[],
    },
    Rule {
        text: "todo!(",
        why: "nothing pretends to be there",
        except: &[],
    },
    Rule {
        text: "unimplemented!(",
        why: "nothing pretends to be there",
        except: &[],
    },
    Rule {
        text: "tokio::spawn(",
        why: "tasks are spawned by the supervisor, with a kind",
        except: &["crates/tasks/", "bench/", "/tests/"],
    },
    Rule {
        text: "unsafe {",
        why: "unsafe code lives in the sandbox crate",
        except: &["crates/sandbox/", "crates/testkit/"],
    },
];

/// A sentence for each breach in the workspace at `root`.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut complaints = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let path = file.strip_prefix(root).unwrap_or(&file).to_string_lossy();
        complaints.extend(complaints_of(&path, &text));
    }
    Ok(complaints)
}

fn complaints_of(path: &str, text: &str) -> Vec<String> {
    // The rules themselves stand here.
    if path.ends_with("tidy/sources.rs") {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_PER_FILE {
        complaints.push(format!(
            "{path} has {lines} lines, more than {LINES_PER_FILE}"
        ));
    }
    let rules: Vec<&Rule> = RULES
        .iter()
        .filter(|rule| !rule.except.iter().any(|part| path.contains(part)))
        .collect();
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        for rule in rules.iter().filter(|rule| code.contains(rule.text)) {
            let number = number + 1;
            complaints.push(format!("{path}:{number}: `{}`: {}", rule.text, rule.why));
        }
    }
    complaints
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{LINES_PER_FILE, check, complaints_of};

    #[test]
    fn each_forbidden_call_is_found_with_its_line() {
        let text = "fn f() {\n    tokio::spawn(async {});\n}\n";
        let found = complaints_of("crates/store/src/a.rs", text);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("crates/store/src/a.rs:2: "),
            "{found:?}"
        );
        assert_eq!(
            complaints_of("crates/tasks/src/lib.rs", text),
            Vec::<String>::new()
        );
        assert_eq!(
            complaints_of("crates/api/src/a.rs", "#[ignore]\nfn f() { todo!() }").len(),
            2
        );
    }

    #[test]
    fn comments_may_speak_of_anything() {
        let text = "// never tokio::spawn( here\n/// nor todo!() here\n";
        assert_eq!(
            complaints_of("crates/store/src/a.rs", text),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_long_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("crates/store/src");
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("fits.rs"), "\n".repeat(LINES_PER_FILE)).unwrap();
        assert_eq!(check(folder.path()).unwrap(), Vec::<String>::new());
        fs::write(source.join("long.rs"), "\n".repeat(LINES_PER_FILE + 1)).unwrap();
        assert_eq!(check(folder.path()).unwrap().len(), 1);
    }
}
