//! HTTP from a node's own address, in plain or over TLS. bootsrv believes nobody else.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io::Error as IoError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// For a connection, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// For an answer of some lines, as the node agent has it.
pub const ANSWER_MAX: Duration = Duration::from_secs(10);
/// For the begin of a download, and between two pieces of it: iPXE waits as long as the connection
/// stands.
const PIECE_MAX: Duration = Duration::from_secs(60);
/// Longest answer that is taken, in bytes.
const BYTES_MAX: usize = 64 << 20;

/// Why something was not had.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No connection, a broken one, or silence.
    #[error("no answer: {0}")]
    Away(String),
    /// bootsrv does not give it.
    #[error("refused with {status}: {message}")]
    Refused {
        /// The status code.
        status: StatusCode,
        /// What it says.
        message: String,
    },
    /// This end dropped the connection on purpose; so much had come.
    #[error("cut after {} bytes", .0.len())]
    Cut(Vec<u8>),
}

impl WireError {
    /// Whether the answer would be the same the next time (`is_refused` of the node agent).
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { status, .. }
            if status.is_client_error() && !matches!(status.as_u16(), 408 | 409 | 429))
    }
}

fn away(error: impl std::fmt::Display) -> WireError {
    WireError::Away(error.to_string())
}

/// Where a node's connections come from, and whom they trust.
#[derive(Debug, Clone)]
pub struct Wire {
    source: IpAddr,
    tls: Arc<ClientConfig>,
}

impl Wire {
    /// From the node's own address.
    #[must_use]
    pub fn new(source: IpAddr, tls: Arc<ClientConfig>) -> Self {
        Self { source, tls }
    }

    /// Connects to the server of a URL.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn connect(&self, url: &str) -> Result<Line, WireError> {
        let uri: Uri = url.parse().map_err(away)?;
        let host = uri.host().unwrap_or_default();
        let address: IpAddr = host.parse().map_err(away)?;
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let connected = timeout(CONNECT_MAX, self.open(SocketAddr::new(address, port), is_tls));
        let (sender, connection) = connected.await.map_err(away)??;
        Ok(Line { sender, connection, host: format!("{host}:{port}") })
    }

    async fn open(
        &self,
        to: SocketAddr,
        is_tls: bool,
    ) -> Result<(SendRequest<Full<Bytes>>, AbortHandle), WireError> {
        let stream = self.tcp(to).await.map_err(away)?;
        if !is_tls {
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(away)?;
            return Ok((sender, tokio::spawn(connection).abort_handle()));
        }
        let name = ServerName::from(to.ip());
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        let stream = tls.connect(name, stream).await.map_err(away)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(away)?;
        Ok((sender, tokio::spawn(connection).abort_handle()))
    }

    async fn tcp(&self, to: SocketAddr) -> Result<TcpStream, IoError> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(self.source, 0))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Everything of a URL from a byte on. `cut`: this end breaks the connection after so many bytes.
    ///
    /// # Errors
    /// When it is not all there.
    pub async fn download(
        &self,
        url: &str,
        offset: u64,
        cut: Option<usize>,
    ) -> Result<Vec<u8>, WireError> {
        let mut line = self.connect(url).await?;
        let range = format!("bytes={offset}-");
        let headers: &[(&str, &str)] = if offset > 0 { &[("range", &range)] } else { &[] };
        let request = line.request(Method::GET, url, headers, Bytes::new())?;
        let response = line.send(request, PIECE_MAX).await?;
        let expected = if offset > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        if response.status() != expected {
            return Err(refusal(response).await);
        }
        body(response, cut).await
    }
}

/// A connection; broken when it is dropped.
#[derive(Debug)]
pub struct Line {
    sender: SendRequest<Full<Bytes>>,
    connection: AbortHandle,
    host: String,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Line {
    fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, WireError> {
        let uri: Uri = url.parse().map_err(away)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Full::new(body)).map_err(away)
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Response<Incoming>, WireError> {
        let answered = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        timeout(limit, answered).await.map_err(away)?.map_err(away)
    }

    /// Asks, and reads the whole answer.
    ///
    /// # Errors
    /// When there is none, or it is a refusal.
    pub async fn ask(
        &mut self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        content: Bytes,
        limit: Duration,
    ) -> Result<Vec<u8>, WireError> {
        let request = self.request(method, url, headers, content)?;
        let response = self.send(request, limit).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        body(response, None).await
    }
}

async fn refusal(response: Response<Incoming>) -> WireError {
    let status = response.status();
    let bytes = body(response, None).await.unwrap_or_default();
    let message = String::from_utf8_lossy(&bytes).chars().take(300).collect();
    WireError::Refused { status, message }
}

async fn body(response: Response<Incoming>, cut: Option<usize>) -> Result<Vec<u8>, WireError> {
    let mut incoming = response.into_body();
    let mut taken = Vec::new();
    while let Some(frame) = timeout(PIECE_MAX, incoming.frame()).await.map_err(away)? {
        if let Ok(data) = frame.map_err(away)?.into_data() {
            taken.extend_from_slice(&data);
        }
        if let Some(cut) = cut.filter(|cut| taken.len() >= *cut) {
            taken.truncate(cut);
            return Err(WireError::Cut(taken));
        }
        if taken.len() > BYTES_MAX {
            return Err(WireError::Away(format!("more than {BYTES_MAX} bytes")));
        }
    }
    Ok(taken)
}
