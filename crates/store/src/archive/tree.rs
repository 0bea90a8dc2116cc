use std::collections::HashMap;

use bootlace_types::limits;

/// The tree that an archive will become, in memory: what is where, and where links lead.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    link_steps_left: usize,
}

/// The place of a node; parents come before their children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(usize);

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) parent: NodeId,
    pub(crate) name: Box<[u8]>,
    pub(crate) kind: Kind,
    children: HashMap<Box<[u8]>, NodeId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder {
        mode: u32,
        modified_s: Option<i64>,
    },
    File {
        mode: u32,
        modified_s: Option<i64>,
        bytes: u64,
    },
    Link {
        target: Box<[u8]>,
    },
}

/// Why something cannot be placed in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misplaced {
    TooMany,
    Unsafe(&'static str),
}

const ROOT: NodeId = NodeId(0);
/// As many links as Linux follows in one path.
const LINKS_FOLLOWED: usize = 40;

impl Tree {
    pub(crate) fn new() -> Self {
        let kind = Kind::Folder {
            mode: 0o755,
            modified_s: None,
        };
        let root = Node {
            parent: ROOT,
            name: Box::default(),
            kind,
            children: HashMap::new(),
        };
        Self {
            nodes: vec![root],
            link_steps_left: limits::ZIP_LINK_STEPS,
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// All nodes, parents first; the first is the root.
    pub(crate) fn nodes(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (NodeId(index), node))
    }

    /// Adds something at a path, with the folders above it. A folder may be named again.
    pub(crate) fn place(&mut self, path: &[&[u8]], kind: Kind) -> Result<NodeId, Misplaced> {
        let Some((name, above)) = path.split_last() else {
            return match kind {
                Kind::Folder { .. } => Ok(ROOT),
                _ => Err(Misplaced::Unsafe("it has no name")),
            };
        };
        let mut folder = ROOT;
        for part in above {
            folder = match self.child(folder, part) {
                Some(id) => id,
                None => self.add(
                    folder,
                    part,
                    Kind::Folder {
                        mode: 0o755,
                        modified_s: None,
                    },
                )?,
            };
            match self.node(folder).kind {
                Kind::Folder { .. } => {}
                Kind::File { .. } => return Err(Misplaced::Unsafe("a file is used as a folder")),
                Kind::Link { .. } => {
                    return Err(Misplaced::Unsafe("it would be written through a link"));
                }
            }
        }
        let Some(present) = self.child(folder, name) else {
            return self.add(folder, name, kind);
        };
        match (&self.node(present).kind, &kind) {
            (Kind::Folder { .. }, Kind::Folder { .. }) => {
                self.nodes[present.0].kind = kind;
                Ok(present)
            }
            _ => Err(Misplaced::Unsafe("it is in the archive twice")),
        }
    }

    /// Follows a link as the system would, through other links, and refuses one that leaves the
    /// tree at any step. What it leads to need not exist.
    pub(crate) fn check_link(&mut self, link: NodeId) -> Result<(), &'static str> {
        let Kind::Link { target } = &self.nodes[link.0].kind else {
            return Ok(());
        };
        let mut steps: Vec<&[u8]> = target.rsplit(|byte| *byte == b'/').collect();
        let mut here = self.nodes[link.0].parent;
        // How many folders deep we are below `here` in what does not exist.
        let mut missing = 0_usize;
        let mut links = 1;
        while let Some(step) = steps.pop() {
            self.link_steps_left = self
                .link_steps_left
                .checked_sub(1)
                .ok_or("following the links takes too long")?;
            match step {
                b"" | b"." => {}
                b".." if missing > 0 => missing -= 1,
                b".." if here == ROOT => return Err("the link leaves the archive"),
                b".." => here = self.nodes[here.0].parent,
                _ if missing > 0 => missing += 1,
                name => {
                    let next = self.nodes[here.0].children.get(name).copied();
                    match next.map(|id| (id, &self.nodes[id.0].kind)) {
                        None | Some((_, Kind::File { .. })) => missing = 1,
                        Some((id, Kind::Folder { .. })) => here = id,
                        Some((_, Kind::Link { target })) => {
                            links += 1;
                            if links > LINKS_FOLLOWED {
                                return Err("the link leads in a circle");
                            }
                            steps.extend(target.rsplit(|byte| *byte == b'/'));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn child(&self, folder: NodeId, name: &[u8]) -> Option<NodeId> {
        self.nodes[folder.0].children.get(name).copied()
    }

    fn add(&mut self, parent: NodeId, name: &[u8], kind: Kind) -> Result<NodeId, Misplaced> {
        // Folders that only paths imply count too, so that paths cannot make more than entries.
        if self.nodes.len() > limits::ZIP_ENTRIES {
            return Err(Misplaced::TooMany);
        }
        let id = NodeId(self.nodes.len());
        self.nodes[parent.0].children.insert(name.into(), id);
        self.nodes.push(Node {
            parent,
            name: name.into(),
            kind,
            children: HashMap::new(),
        });
        Ok(id)
    }
}
