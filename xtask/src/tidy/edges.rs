//! Which crate may use which. The picture is in docs/ARCHITECTURE.md; this is what holds it.

use crate::workspace::{Metadata, Package};

/// Each crate, without its prefix, and the crates it may use. `bootlace` wires all of them.
const EDGES: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("tasks", &["types"]),
    ("store", &["types", "tasks"]),
    ("sandbox", &["types", "tasks"]),
    ("environment", &["sandbox", "types", "tasks"]),
    ("invoke", &["environment", "store", "types", "tasks"]),
    ("control", &["store", "types", "tasks"]),
    ("api", &["control", "invoke", "types", "tasks"]),
];

/// Nothing that is delivered is built on these.
const FOR_DEVELOPERS: &[&str] = &[
    "testkit",
    "bench",
    "xtask",
    "extension",
    "rust-echo",
    "rust-stream",
];

/// A sentence for each edge that is not in the design.
pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    metadata.packages.iter().flat_map(complaints).collect()
}

fn complaints(package: &Package) -> Vec<String> {
    let from = short(&package.name);
    if FOR_DEVELOPERS.contains(&from) {
        return Vec::new();
    }
    let allowed = EDGES
        .iter()
        .find(|(name, _)| *name == from)
        .map(|(_, allowed)| *allowed);
    if allowed.is_none() && from != "bootlace" {
        return vec![format!(
            "the crate {from} is not in the design: give it a place in EDGES"
        )];
    }
    let ordinary = package.dependencies.iter().filter(|dependency| {
        dependency.path.is_some() && dependency.kind.as_deref() != Some("dev")
    });
    ordinary
        .map(|dependency| short(&dependency.name))
        .filter(|to| match allowed {
            Some(allowed) => !allowed.contains(to),
            None => FOR_DEVELOPERS.contains(to),
        })
        .map(|to| format!("the crate {from} must not use {to} (docs/ARCHITECTURE.md)"))
        .collect()
}

fn short(name: &str) -> &str {
    name.strip_prefix("bootlace-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::{self, Metadata};

    fn metadata(from: &str, to: &str, kind: Option<&str>) -> Metadata {
        let text = serde_json::json!({
            "target_directory": "/nowhere",
            "packages": [{
                "name": from,
                "dependencies": [
                    { "name": to, "kind": kind, "path": "/nowhere" },
                    { "name": "serde", "kind": null },
                ],
            }],
        });
        serde_json::from_value(text).unwrap()
    }

    fn allowed(from: &str, to: &str, kind: Option<&str>) -> bool {
        check(&metadata(from, to, kind)).is_empty()
    }

    #[test]
    fn edges_of_the_design_pass() {
        assert!(allowed("bootlace-api", "bootlace-control", None));
        assert!(allowed("bootlace-invoke", "bootlace-environment", None));
        assert!(allowed("bootlace", "bootlace-sandbox", None));
        assert!(allowed("bootlace-store", "bootlace-testkit", Some("dev")));
        assert!(allowed("bootlace-bench", "bootlace-types", None));
    }

    #[test]
    fn other_edges_are_found() {
        assert!(!allowed("bootlace-sandbox", "bootlace-environment", None));
        assert!(!allowed("bootlace-api", "bootlace-store", None));
        assert!(!allowed("bootlace-control", "bootlace-invoke", None));
        assert!(!allowed("bootlace-types", "bootlace-tasks", None));
        assert!(!allowed("bootlace", "bootlace-testkit", None));
        assert!(!allowed(
            "bootlace-store",
            "bootlace-sandbox",
            Some("build")
        ));
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert!(!allowed("bootlace-helpers", "bootlace-types", None));
    }

    #[test]
    fn this_workspace_is_as_designed() {
        assert_eq!(check(&workspace::metadata().unwrap()), Vec::<String>::new());
    }
}
