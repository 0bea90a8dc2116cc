//! Sockets of a sandbox's network, made by the spawner for the server.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use super::link::{Answer, Link};
use super::{LinuxDriver, Shared};
use crate::SandboxError;
use crate::protocol::{Command, Report};

/// Asks for sockets of one sandbox. It keeps neither the sandbox nor the spawner alive, and its
/// number is never another sandbox's. A network that gave a socket away serves no other sandbox
/// afterwards, so one that arrives late reaches nobody.
#[derive(Debug, Clone)]
pub(crate) struct SocketSource {
    shared: Weak<Shared>,
    link: Weak<Link>,
    sandbox: u64,
}

impl SocketSource {
    pub(super) fn new(driver: &LinuxDriver, link: &Arc<Link>, sandbox: u64) -> Self {
        Self {
            shared: Arc::downgrade(&driver.shared),
            link: Arc::downgrade(link),
            sandbox,
        }
    }

    /// An unconnected, non-blocking stream socket.
    pub(crate) async fn socket(&self) -> Result<OwnedFd, SandboxError> {
        let (Some(shared), Some(link)) = (self.shared.upgrade(), self.link.upgrade()) else {
            return Err(SandboxError::SpawnerGone);
        };
        let request = LinuxDriver { shared }.number();
        let command = Command::Connect {
            request,
            sandbox: self.sandbox,
        };
        let answer = link.expect(request, &command, None).await?;
        match answer.await {
            Ok(Answer {
                report: Report::Socket { .. },
                fd: Some(socket),
            }) => Ok(socket),
            Ok(answer) => Err(answer.into_error()),
            Err(_) => Err(SandboxError::SpawnerGone),
        }
    }
}
