//! The serving node's end of the socket. Must never wait for a command without bound, nor answer
//! anyone but this user.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::socket::SocketPath;
use super::{Request, Response, execute};
use crate::cli::failure::Exit;
use crate::cli::{DataDir, Failure};
use crate::limits;
use crate::peer::PeerNode;

/// A bound socket. The caller holds the lock on the directory, so a socket that is there already
/// was left by a process that has ended.
pub struct Control {
    listener: UnixListener,
    path: SocketPath,
}

impl Control {
    /// Makes the socket.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn bind(data: &DataDir) -> Result<Self, Failure> {
        let make = || {
            let path = SocketPath::of(data)?;
            remove(&path)?;
            let listener = UnixListener::bind(&path.path)?;
            fs::set_permissions(&path.path, Permissions::from_mode(0o600))?;
            Ok(Self { listener, path })
        };
        make().map_err(|error| {
            Failure::io("make the socket", &data.join(super::socket::NAME), &error)
        })
    }

    /// Answers commands until `stop`, then finishes those that were accepted and removes the
    /// socket.
    pub async fn serve(self, node: Arc<PeerNode>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_MAX));
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.accept(&places) => accepted,
            };
            let (stream, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a command");
                    tokio::time::sleep(limits::ACCEPT_PAUSE.0).await;
                    continue;
                }
            };
            let node = Arc::clone(&node);
            tasks.spawn(async move {
                let _place = place;
                if let Err(error) = converse(stream, &node).await {
                    tracing::warn!(%error, "a command was not answered");
                }
            });
        }
        // Nobody new finds it; those that were accepted are finished.
        if let Err(error) = remove(&self.path) {
            tracing::warn!(%error, "cannot remove the control socket");
        }
        tasks.close();
        let _ = timeout(limits::STOP_TIMEOUT, tasks.wait()).await;
    }

    async fn accept(
        &self,
        places: &Arc<Semaphore>,
    ) -> io::Result<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
        let place = Arc::clone(places).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, place))
    }
}

fn remove(path: &SocketPath) -> io::Result<()> {
    match fs::remove_file(&path.path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// One request, one response.
async fn converse(mut stream: UnixStream, node: &Arc<PeerNode>) -> io::Result<()> {
    let response = match timeout(limits::CONTROL_REQUEST_TIMEOUT, receive(&mut stream)).await {
        Ok(Ok(request)) => execute(node, request).await,
        Ok(Err(error)) => refuse(&format!(
            "the running node does not understand this command ({error}): is it of another \
             version?"
        )),
        Err(_) => refuse("the command sent nothing for too long"),
    };
    let bytes = Zeroizing::new(serde_json::to_vec(&response)?);
    let send = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    };
    timeout(limits::CONTROL_REQUEST_TIMEOUT, send).await?
}

async fn receive(stream: &mut UnixStream) -> io::Result<Request> {
    // Large enough for any real request, so that no copy of a password is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let most = limits::CONTROL_REQUEST_BYTES_MAX;
    stream.take(most + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other("it is too long"));
    }
    Ok(serde_json::from_slice(&bytes)?)
}

fn refuse(text: &str) -> Response {
    Response::Refused {
        exit: Exit::Failure,
        text: text.to_owned(),
    }
}
