//! What the sandbox crate says to a server that is not root.

use bootlace_sandbox::probe;
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

fn main() -> anyhow::Result<()> {
    let (uid, gid) = (Uid::from_raw(65_534), Gid::from_raw(65_534));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    match probe::require_namespaces() {
        Ok(()) => println!("possible"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}
