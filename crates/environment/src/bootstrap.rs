//! Which program is the runtime.

use std::path::{Path, PathBuf};

use crate::spec::Trees;

const NAME: &str = "bootstrap";

/// Looks where Lambda looks: in the code, then in the layers as they lie over each other.
///
/// It is decided from the host's trees without following links (their targets mean something only
/// inside); whether the kernel can run what is found, it says itself.
pub(crate) fn find(trees: &Trees) -> Option<PathBuf> {
    if is_file(&trees.code.join(NAME)) == Some(true) {
        return Some(Path::new("/var/task").join(NAME));
    }
    let layers = trees.layers.iter().rev();
    let topmost = layers.filter_map(|layer| is_file(&layer.join(NAME))).next();
    (topmost == Some(true)).then(|| Path::new("/opt").join(NAME))
}

/// `None` when nothing is there.
fn is_file(path: &Path) -> Option<bool> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some(!metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(root: &Path, name: &str, bootstrap: Option<&str>) -> PathBuf {
        let path = root.join(name);
        std::fs::create_dir(&path).unwrap();
        match bootstrap {
            Some("file") => std::fs::write(path.join(NAME), "x").unwrap(),
            Some("link") => std::os::unix::fs::symlink("/opt/none", path.join(NAME)).unwrap(),
            Some(_) => std::fs::create_dir(path.join(NAME)).unwrap(),
            None => {}
        }
        path
    }

    #[test]
    fn the_code_comes_before_the_layers_and_the_last_layer_before_the_first() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        let without = tree(root, "without", None);
        let file = tree(root, "file", Some("file"));
        let link = tree(root, "link", Some("link"));
        let folder = tree(root, "folder", Some("folder"));
        let find = |code: &PathBuf, layers: &[&PathBuf]| {
            let layers = layers.iter().map(|path| (*path).clone()).collect();
            find(&Trees {
                code: code.clone(),
                layers,
            })
        };
        assert_eq!(find(&file, &[&file]), Some("/var/task/bootstrap".into()));
        assert_eq!(find(&link, &[]), Some("/var/task/bootstrap".into()));
        assert_eq!(
            find(&without, &[&file, &without]),
            Some("/opt/bootstrap".into())
        );
        assert_eq!(
            find(&folder, &[&folder, &file]),
            Some("/opt/bootstrap".into())
        );
        assert_eq!(find(&without, &[&file, &folder]), None);
        assert_eq!(find(&without, &[&without]), None);
    }
}
