//! A command's end of the socket. Must never send a request twice: it may have been carried out.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::socket::SocketPath;
use super::{Request, Response, execute};
use crate::cli::network;
use crate::cli::node::{self, OpenError};
use crate::cli::{DataDir, Failure};
use crate::limits;
use crate::peer::PeerNode;
use crate::service::mail::Mailer;

/// Has `request` carried out: by the node that serves `data`, or here when none does. Waits a
/// bounded time for a node that is starting or stopping.
///
/// # Errors
/// When it was refused, or another process holds the directory and does not answer.
pub fn perform(data: &DataDir, request: Request) -> Result<Response, Failure> {
    data.require_node()?;
    match node::block_on(find_and_perform(data, request))? {
        Response::Refused { exit, text } => Err(Failure { exit, text }),
        response => Ok(response),
    }
}

async fn find_and_perform(data: &DataDir, request: Request) -> Result<Response, Failure> {
    let (patience, pause) = limits::CONTROL_SETTLE;
    let began = Instant::now();
    loop {
        if let Some(response) = ask_running(data, &request).await? {
            return Ok(response);
        }
        match open_here(data).await {
            Ok(node) => {
                let response = execute(&node, request).await;
                close(node);
                return Ok(response);
            }
            Err(OpenError::Locked) if began.elapsed() < patience => {
                tokio::time::sleep(pause).await;
            }
            Err(error) => return Err(error.into_failure(data)),
        }
    }
}

/// The answer of the node that serves `data`; `None` when none does.
///
/// # Errors
/// When it does not answer.
pub async fn ask_running(data: &DataDir, request: &Request) -> Result<Option<Response>, Failure> {
    let Some(stream) = connect(data).await? else {
        return Ok(None);
    };
    let response = exchange(stream, request).await.map_err(|error| {
        Failure::new(format!(
            "the running node did not answer ({error}); the command may have been \
             carried out: look with `islet user list` or `islet audit log`"
        ))
    })?;
    Ok(Some(response))
}

/// Opens the node for a command; it listens to nobody.
///
/// # Errors
/// As [`node::open`].
pub async fn open_here(data: &DataDir) -> Result<Arc<PeerNode>, OpenError> {
    let config = data.config(|_| {})?;
    let app = Arc::new(node::open(data, &config, Mailer::default()).await?);
    let made = network::node(data, &config, Arc::clone(&app), CancellationToken::new());
    if made.is_err()
        && let Some(app) = Arc::into_inner(app)
    {
        app.store.close();
    }
    Ok(made?)
}

/// Closes what [`open_here`] opened.
pub(in crate::cli) fn close(node: Arc<PeerNode>) {
    node.stop.cancel();
    let app = Arc::into_inner(node).map(|node| node.app);
    match app.and_then(Arc::into_inner) {
        Some(app) => app.store.close(),
        None => tracing::error!("something still uses the database; it is left to recover"),
    }
}

/// `None` when nobody listens.
async fn connect(data: &DataDir) -> Result<Option<UnixStream>, Failure> {
    let failed = |error: io::Error| Failure::io("use", &data.join(super::socket::NAME), &error);
    let path = SocketPath::of(data).map_err(failed)?;
    match UnixStream::connect(&path.path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(failed(error)),
        },
    }
}

async fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Response> {
    let bytes = Zeroizing::new(serde_json::to_vec(request)?);
    let answer = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        let mut answer = Zeroizing::new(Vec::new());
        let most = limits::CONTROL_ANSWER_BYTES_MAX;
        stream.take(most).read_to_end(&mut answer).await?;
        io::Result::Ok(serde_json::from_slice(&answer)?)
    };
    timeout(limits::CONTROL_ANSWER_TIMEOUT, answer).await?
}
