//! Prepared mount namespaces: the base with one set of trees, made once and copied by each start.
//!
//! A start enters a template and copies it; what a template holds costs a start almost nothing.
//! Trees appear only as overlays of neutrally named lower directories, so that the mount table
//! inside does not tell where the server keeps its data.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::base::{Base, STAGED, c_path};
use super::child::{self, Birth, Stack};
use super::stage::{Failed, Stages};
use super::sys;
use crate::TreeMount;

/// Templates by the trees they hold, the least recently used dropped first.
#[derive(Debug)]
pub(super) struct Templates {
    limit: usize,
    /// Oldest use first.
    ready: Vec<Template>,
}

#[derive(Debug)]
struct Template {
    trees: Vec<TreeMount>,
    /// Which directories these were: a tree may be removed and made again at the same place.
    were: Vec<Identity>,
    namespace: OwnedFd,
}

/// Device, inode and the time of the last change of its metadata.
type Identity = (u64, u64, i64, i64);

/// A host directory and where it is bound.
type Bind = (CString, CString);

/// One overlay to mount: options and where.
struct Overlay {
    options: CString,
    target: CString,
}

impl Templates {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            ready: Vec::new(),
        }
    }

    /// The template with these trees, made now if there is none.
    pub(super) fn get(
        &mut self,
        trees: &[TreeMount],
        base: &Base,
        proc: BorrowedFd<'_>,
        stack: &mut Stack,
    ) -> Result<BorrowedFd<'_>, (String, io::Error)> {
        let are = identities(trees).map_err(|error| ("template trees".to_owned(), error))?;
        let known = self
            .ready
            .iter()
            .position(|template| template.trees == trees);
        let known = known
            .map(|at| self.ready.remove(at))
            .filter(|template| template.were == are);
        let template = match known {
            Some(template) => template,
            None => {
                let namespace = build(trees, base, proc, stack)?;
                Template {
                    trees: trees.to_vec(),
                    were: are,
                    namespace,
                }
            }
        };
        if self.ready.len() >= self.limit {
            self.ready.remove(0);
        }
        self.ready.push(template);
        Ok(self.ready[self.ready.len() - 1].namespace.as_fd())
    }
}

fn identities(trees: &[TreeMount]) -> io::Result<Vec<Identity>> {
    let layers = trees.iter().flat_map(|tree| &tree.layers);
    let identity = |layer: &PathBuf| {
        let meta = std::fs::metadata(layer)?;
        Ok((meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec()))
    };
    layers.map(identity).collect()
}

/// Makes a template in a child that enters it and leaves us a descriptor of it.
fn build(
    trees: &[TreeMount],
    base: &Base,
    proc: BorrowedFd<'_>,
    stack: &mut Stack,
) -> Result<OwnedFd, (String, io::Error)> {
    let plan = |error| ("template plan".to_owned(), error);
    let (binds, overlays) = arrange(trees, base).map_err(plan)?;
    let root = c_path(&base.root).map_err(plan)?;
    let stage = c_path(&base.stage).map_err(plan)?;
    let mut stages = Stages::new();
    let mut made = None;
    let birth = Birth {
        flags: libc::CLONE_FILES,
        ..Birth::default()
    };
    let born = child::run(&birth, stack, || {
        let steps = || -> Result<OwnedFd, Failed> {
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            stages.step("template namespace", sys::unshare(libc::CLONE_NEWNS))?;
            stages.step("template private", mount_change(c"/", private))?;
            for (host, staged) in &binds {
                stages.step("template bind", mount_bind(host, staged))?;
            }
            stages.step("template stage", chdir(&stage))?;
            let read_only = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
            for overlay in &overlays {
                let mounted = mount(
                    c"tree",
                    &overlay.target,
                    c"overlay",
                    read_only,
                    &*overlay.options,
                );
                stages.step("template overlay", mounted)?;
            }
            let sealed = mount_remount(&root, read_only | MountFlags::BIND, c"");
            stages.step("template read-only", sealed)?;
            stages.step("template root", chdir(&root))?;
            // The old root lands on top of the new one at the same place and is taken off it.
            stages.step("template pivot", pivot_root(c".", c"."))?;
            stages.step("template detach", unmount(c".", UnmountFlags::DETACH))?;
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            stages.step(
                "template keep",
                openat(proc, c"self/ns/mnt", flags, Mode::empty()),
            )
        };
        let mut steps = steps;
        made = steps().ok();
        0
    });
    let born = born.map_err(|error| ("template clone".to_owned(), error))?;
    sys::reap(Some(born.pid), true);
    match (made, stages.failure()) {
        (Some(fd), _) => Ok(fd),
        (None, Some((stage, errno))) => {
            Err((stage.to_owned(), io::Error::from_raw_os_error(errno)))
        }
        (None, None) => Err(("template".into(), io::Error::other("the helper died"))),
    }
}

/// Which host directory is bound where, and which overlays are made of them.
fn arrange(trees: &[TreeMount], base: &Base) -> io::Result<(Vec<Bind>, Vec<Overlay>)> {
    let mut binds = Vec::new();
    let mut overlays = Vec::new();
    for tree in trees {
        let target = base.mount_point(&tree.target)?;
        let mut names: Vec<String> = Vec::new();
        for layer in &tree.layers {
            let name = format!("l{}", binds.len());
            let staged: PathBuf = base.stage.join(&name);
            binds.push((c_path(layer)?, c_path(&staged)?));
            names.push(name);
        }
        // Highest first; an overlay without an upper directory wants two lower ones.
        names.reverse();
        match names.len() {
            0 => continue,
            1 => names.push("none".into()),
            _ => {}
        }
        let options = CString::new(format!("lowerdir={}", names.join(":")))?;
        overlays.push(Overlay {
            options,
            target: c_path(&target)?,
        });
    }
    if binds.len() > STAGED {
        return Err(io::Error::other(format!("more than {STAGED} trees")));
    }
    Ok((binds, overlays))
}
