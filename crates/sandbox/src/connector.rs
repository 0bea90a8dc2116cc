//! Connections from the server to what listens inside a sandbox.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::SandboxError;
use crate::linux::SocketSource;

/// How long a connection may take: on loopback only a full backlog takes time at all.
const CONNECT: Duration = Duration::from_secs(2);

/// Reaches the loopback interface of one sandbox, and never another's. Cheap to clone; it may
/// outlive the sandbox and is refused from then on.
#[derive(Debug, Clone)]
pub struct Connector {
    way: Way,
}

#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// By a socket that was made in the sandbox's network.
    Linux(SocketSource),
    /// The host's loopback is the sandbox's.
    Host,
}

impl Connector {
    pub(crate) fn new(way: Way) -> Self {
        Self { way }
    }

    /// Connects to `127.0.0.1:<port>` inside. Whoever answers there is code of the sandbox.
    pub async fn connect(&self, port: u16) -> Result<TcpStream, SandboxError> {
        let connecting = async {
            let socket = match &self.way {
                Way::Linux(source) => adopt(source.socket().await?),
                Way::Host => TcpSocket::new_v4(),
            };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let connected = match socket {
                Ok(socket) => socket.connect(address).await,
                Err(error) => Err(error),
            };
            connected.map_err(SandboxError::io("cannot connect into the sandbox"))
        };
        let connected = tokio::time::timeout(CONNECT, connecting).await;
        connected.unwrap_or_else(|_| {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(SandboxError::io("cannot connect into the sandbox")(late))
        })
    }
}

/// The socket was made non-blocking.
fn adopt(socket: OwnedFd) -> std::io::Result<TcpSocket> {
    Ok(TcpSocket::from_std_stream(std::net::TcpStream::from(
        socket,
    )))
}
