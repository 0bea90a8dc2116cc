//! The host uids of a server's sandboxes: a range that no other server on the host uses.
//!
//! Ranges lie where neither people nor container tools allocate. Which one a server gets follows
//! from its instance name, so it is the same after a restart; that no other has it is a name in
//! the abstract socket space, which the kernel frees when the holder dies.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The lowest uid; systemd's list of uid ranges names the space from here on as unused.
const LOWEST: u32 = 0x7000_0000;
/// Uids of one range, count.
const LENGTH: u32 = 0x1_0000;
/// Ranges, count.
const RANGES: u64 = 0x0FFF;

/// A range, ours while this lives.
#[derive(Debug)]
pub(super) struct UidRange {
    pub(super) first: u32,
    _claim: UnixDatagram,
}

impl UidRange {
    pub(super) fn claim(instance: &str) -> io::Result<Self> {
        let mut hasher = DefaultHasher::new();
        instance.hash(&mut hasher);
        let start = hasher.finish() % RANGES;
        for step in 0..RANGES {
            let index = u32::try_from((start + step) % RANGES).unwrap_or(0);
            let first = LOWEST + index * LENGTH;
            let address = SocketAddr::from_abstract_name(format!("bootlace-uids-{first:08x}"))?;
            match UnixDatagram::bind_addr(&address) {
                Ok(claim) => {
                    return Ok(Self {
                        first,
                        _claim: claim,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("every range of user ids is taken"))
    }
}
