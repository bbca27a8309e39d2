//! A registry that answers as a test says, over real connections.

use super::sample::{MANIFEST, Sample};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(super) method: String,
    /// As in the request line.
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first byte of `Range`.
    pub(super) fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Closes the connection after so many bytes of the body.
    pub(super) cut: Option<usize>,
    /// Is silent after so many bytes of the body.
    pub(super) stall: Option<usize>,
    /// Sends the body at 10 kB/s.
    pub(super) trickle: bool,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// A refusal in the specification's form.
    pub(super) fn refusal(status: u16, message: &str) -> Self {
        let body = serde_json::json!({"errors": [{"code": "X", "message": message}]});
        Self::new(status, body.to_string())
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

type Script = dyn FnMut(&Received) -> Reply + Send;

/// Answers until it is dropped.
pub(crate) struct Scripted {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Scripted {
    pub(crate) fn start(script: impl FnMut(&Received) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ended, received) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        let (stop, log) = (ended.clone(), Arc::clone(&received));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (stop, log, script) = (stop.clone(), Arc::clone(&log), script.clone());
                std::thread::spawn(move || drop(answer(&stream.unwrap(), &stop, &log, &script)));
            }
        });
        Self { address, ended, received }
    }

    /// Serves one image in every repository, but for what `script` answers itself.
    pub(super) fn serve(
        sample: Sample,
        mut script: impl FnMut(&Received) -> Option<Reply> + Send + 'static,
    ) -> Self {
        Self::start(move |request| script(request).unwrap_or_else(|| from_sample(&sample, request)))
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn image(&self) -> String {
        format!("docker://{}/x:1", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Requests whose path has this in it.
    pub(super) fn count(&self, path: &str) -> usize {
        self.received().iter().filter(|one| one.path.contains(path)).count()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

/// What a good registry says.
pub(super) fn from_sample(sample: &Sample, request: &Received) -> Reply {
    let (_, rest) = request.path.split_once("/x/").unwrap_or_default();
    if rest.starts_with("manifests/") {
        return Reply::new(200, sample.manifest.clone())
            .header("content-type", MANIFEST)
            .header("docker-content-digest", format!("sha256:{}", sample.digest()));
    }
    let Some(blob) = sample.blobs.get(rest.trim_start_matches("blobs/")) else {
        return Reply::refusal(404, "blob unknown to registry");
    };
    match request.from() {
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
            Reply::new(206, &blob[from..]).header("content-range", range)
        }
        None => Reply::new(200, blob.clone()),
    }
}

fn answer(
    stream: &TcpStream,
    ended: &AtomicBool,
    log: &Mutex<Vec<Received>>,
    script: &Mutex<Box<Script>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut received = Received { method, path, headers, body: String::new() };
    let length = received.header("content-length").and_then(|length| length.parse().ok());
    (&mut reader).take(length.unwrap_or(0)).read_to_string(&mut received.body)?;
    log.lock().unwrap().push(received.clone());
    let reply = script.lock().unwrap()(&received);
    send(stream, &received, &reply, ended)
}

fn send(
    mut stream: &TcpStream,
    received: &Received,
    reply: &Reply,
    ended: &AtomicBool,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !reply.headers.iter().any(|(name, _)| name == "content-length") {
        head += &format!("content-length: {}\r\n", reply.body.len());
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if received.method == "HEAD" {
        return Ok(());
    }
    if reply.trickle {
        for part in reply.body.chunks(100) {
            stream.write_all(part)?;
            std::thread::sleep(Duration::from_millis(10));
        }
        return Ok(());
    }
    let length = reply.cut.or(reply.stall).unwrap_or(reply.body.len());
    stream.write_all(&reply.body[..length])?;
    while reply.stall.is_some() && !ended.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
