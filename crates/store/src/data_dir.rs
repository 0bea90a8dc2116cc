use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock, statfs};

use crate::blobs::sha256;
use crate::{StoreError, files};

/// The form of the whole directory; a directory of a later form is refused.
const FORMAT: u32 = 1;

/// File systems that do not keep the promises of locks and of fsync between machines.
const NETWORK_FILE_SYSTEMS: [(u32, &str); 5] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0BD0_0BD0, "Lustre"),
];

/// The directory of one server, locked for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    instance: String,
    lock: Arc<Lock>,
}

/// The lock goes with the file.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held, not read")] File);

impl DataDir {
    /// Makes what is missing, takes the lock, and removes what a former life left half done.
    ///
    /// # Errors
    ///
    /// Another server uses the directory, a later Bootlace has written it, it lies on a network
    /// file system, or it cannot be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make(path)?;
        let failed =
            |error: io::Error| StoreError::new(format!("opening {}", path.display()), error);
        let path = &path.canonicalize().map_err(failed)?;
        refuse_network(path)?;
        make(&path.join("run"))?;
        let lock = lock(path)?;
        check_format(path)?;
        for part in [
            "blobs",
            "blobs/sha256",
            "trees",
            "trees/sha256",
            "trees/staging",
            "logs",
        ] {
            make(&path.join(part))?;
        }
        files::sync_dir(path).map_err(failed)?;
        sweep(path)?;
        let digest = sha256(path.as_os_str().as_encoded_bytes()).to_string();
        let instance = format!("bootlace-{}", &digest[..12]);
        Ok(Self {
            path: path.clone(),
            instance,
            lock: Arc::new(lock),
        })
    }

    /// The canonical path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of everything this server makes on the host outside its directory.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Where sockets, the lock and the pid go.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.path.join("run")
    }

    /// Where the extracted trees are.
    #[must_use]
    pub fn trees_dir(&self) -> PathBuf {
        self.path.join("trees")
    }

    pub(crate) fn lock(&self) -> Arc<Lock> {
        Arc::clone(&self.lock)
    }
}

fn make(path: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StoreError::new(format!("making {}", path.display()), error))
}

fn refuse_network(path: &Path) -> Result<(), StoreError> {
    let context = || format!("opening {}", path.display());
    let found = statfs(path).map_err(|error| StoreError::new(context(), error))?;
    let magic = u32::try_from(found.f_type).unwrap_or(0);
    match NETWORK_FILE_SYSTEMS
        .iter()
        .find(|(number, _)| *number == magic)
    {
        None => Ok(()),
        Some((_, name)) => Err(StoreError::new(
            context(),
            format_args!("it lies on {name}, which loses locks and writes: name a local directory"),
        )),
    }
}

fn lock(path: &Path) -> Result<Lock, StoreError> {
    let name = path.join("run/lock");
    let failed = |error: &dyn std::fmt::Display| {
        StoreError::new(format!("locking {}", name.display()), error)
    };
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let mut file = options.open(&name).map_err(|error| failed(&error))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let _ = (&file).take(16).read_to_string(&mut holder);
        return Err(failed(&format_args!(
            "another Bootlace (process {}) uses this directory: stop it, or name another directory",
            holder.trim()
        )));
    }
    let pid = std::process::id();
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{pid}"));
    written.map_err(|error| failed(&error))?;
    Ok(Lock(file))
}

fn check_format(path: &Path) -> Result<(), StoreError> {
    let name = path.join("format");
    let failed = |error: &dyn std::fmt::Display| {
        StoreError::new(format!("reading {}", name.display()), error)
    };
    let text = match fs::read_to_string(&name) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let written = files::write_durably(&name, format!("{FORMAT}\n").as_bytes());
            return written.map_err(|error| failed(&error));
        }
        Err(error) => return Err(failed(&error)),
    };
    match text.trim().parse::<u32>() {
        Ok(found) if found <= FORMAT => Ok(()),
        Ok(found) => Err(failed(&format_args!(
            "the directory has format {found}, and this Bootlace knows formats up to {FORMAT}: \
             start the Bootlace that wrote it, or a later one"
        ))),
        Err(_) => Err(failed(&"the format is not a number")),
    }
}

/// Removes what only a crash leaves behind: trees not yet renamed, blobs not yet named.
fn sweep(path: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::new(format!("tidying {}", path.display()), error);
    let staging = path.join("trees/staging");
    for entry in fs::read_dir(&staging).map_err(failed)? {
        files::remove_tree(&entry.map_err(failed)?.path()).map_err(failed)?;
    }
    for shard in fs::read_dir(path.join("blobs/sha256")).map_err(failed)? {
        let shard = shard.map_err(failed)?.path();
        for blob in fs::read_dir(&shard).map_err(failed)? {
            let blob = blob.map_err(failed)?;
            // The blob store writes to `<digest>#<number>` before it gives a blob its name.
            if blob.file_name().as_encoded_bytes().contains(&b'#') {
                fs::remove_file(blob.path()).map_err(failed)?;
            }
        }
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .ends_with(files::TEMPORARY.as_bytes())
        {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
