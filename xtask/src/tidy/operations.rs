//! docs/COMPATIBILITY.md promises what the route table keeps: both name the same operations, with
//! the same request and the same status.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;

const ROUTES: &str = "crates/api/src/routes.rs";
const TABLE: &str = "docs/COMPATIBILITY.md";

/// An operation's request and status, as a row of the table writes them.
type Operations = BTreeMap<String, (String, String)>;

/// A sentence for each difference.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let read = |path: &str| fs::read_to_string(root.join(path)).context(path.to_owned());
    Ok(compare(&routed(&read(ROUTES)?), &documented(&read(TABLE)?)))
}

fn compare(routed: &Operations, documented: &Operations) -> Vec<String> {
    if routed.is_empty() {
        return vec![format!(
            "no operation is to be found in {ROUTES}: has its form changed?"
        )];
    }
    let mut complaints = Vec::new();
    for (name, is) in routed {
        match documented.get(name) {
            Some(said) if said == is => {}
            Some(said) => complaints.push(format!(
                "{name} is `{}`, {} in {ROUTES}, but `{}`, {} in {TABLE}",
                is.0, is.1, said.0, said.1
            )),
            None => complaints.push(format!("{TABLE} does not name {name}")),
        }
    }
    let extra = documented.keys().filter(|name| !routed.contains_key(*name));
    complaints.extend(extra.map(|name| format!("{TABLE} names {name}, which has no route")));
    complaints
}

/// `built("Name", "METHOD", "/path", …` and `planned(…)`, one to a line.
fn routed(text: &str) -> Operations {
    let entry = |line: &str| {
        let (constructor, arguments) = line.trim_start().split_once("(\"")?;
        let status = match constructor {
            "built" => "works",
            "planned" => "not yet",
            _ => return None,
        };
        let mut quoted = arguments.split('"').step_by(2);
        let (name, method, path) = (quoted.next()?, quoted.next()?, quoted.next()?);
        Some((
            name.to_owned(),
            (format!("{method} {path}"), status.to_owned()),
        ))
    };
    text.lines().filter_map(entry).collect()
}

/// ``| Name | `METHOD /path` | status |``
fn documented(text: &str) -> Operations {
    let row = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let (name, request, status) = (cells.next()?, cells.next()?, cells.next()?);
        let request = request.strip_prefix('`')?.strip_suffix('`')?;
        // Other tables of the page tell of deviations, not of operations.
        if !name.chars().all(char::is_alphanumeric) || !request.contains(" /") {
            return None;
        }
        Some((name.to_owned(), (request.to_owned(), status.to_owned())))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::{check, compare, documented, routed};

    const CODE: &str = r#"
        built("Invoke", "POST", "/functions/{Name}/invocations", |call| Box::pin(invoke(call))),
        planned("GetPolicy", "GET", "/functions/{Name}/policy"),
        own("Health", "GET", "/health", AuthClass::Public),
    "#;

    #[test]
    fn the_same_operations_pass() {
        let table = "| operation | request | status |\n| --- | --- | --- |\n\
            | Invoke | `POST /functions/{Name}/invocations` | works |\n\
            | GetPolicy | `GET /functions/{Name}/policy` | not yet |\n\
            | Invoke | `InvocationType: Event` | 501 |\n";
        assert_eq!(
            compare(&routed(CODE), &documented(table)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_difference_is_found() {
        let table = "| Invoke | `POST /functions/{Name}/invocations` | not yet |\n\
            | Dream | `GET /dreams` | works |\n";
        let found = compare(&routed(CODE), &documented(table));
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn a_table_that_is_not_understood_is_a_complaint() {
        assert_eq!(compare(&routed("nothing"), &documented("")).len(), 1);
    }

    #[test]
    fn this_repository_keeps_its_promise() {
        let root = crate::workspace::root().unwrap();
        assert_eq!(check(&root).unwrap(), Vec::<String>::new());
    }
}
