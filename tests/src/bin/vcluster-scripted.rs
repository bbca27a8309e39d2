//! A registry that follows a script: `vcluster-scripted LISTEN SERVER`. The first part of a repository
//! says what it does; SERVER is a real registry, to which it sends on who is to have an image after all.

use anyhow::{Context, bail};
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tests::product::scripted::{Fake, Kind};

/// Longest line of a request, in bytes, and most of them.
const LINE_BYTES_MAX: u64 = 8192;
const LINES_MAX: usize = 100;
/// Longest silence of a client.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vcluster-scripted: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, server] = words.as_slice() else { bail!("usage: LISTEN SERVER") };
    // Who can connect gets answers at once.
    let script = Arc::new(Script::new(server));
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    for client in listener.incoming() {
        let script = Arc::clone(&script);
        std::thread::spawn(move || {
            // A connection that breaks is over; the next one is tried again.
            client.and_then(|client| script.serve(client)).ok();
        });
    }
    Ok(())
}

struct Script {
    server: String,
    /// What was asked for before, where the first question is put off.
    asked: Mutex<HashSet<String>>,
    /// By the first part of their repository.
    images: [(&'static str, Fake); 4],
}

/// What is said to a request.
enum Answer {
    /// Status with its words, further headers, body.
    Whole(&'static str, String, Vec<u8>),
    /// 200; the connection ends after half of the body.
    Half(Vec<u8>),
}

impl Script {
    fn new(server: &str) -> Self {
        let images = [
            ("half", Kind::Plain),
            ("lie", Kind::Lie),
            ("bomb", Kind::Bomb),
            ("million", Kind::Million),
        ];
        let images = images.map(|(act, kind)| (act, Fake::new(kind)));
        Self { server: server.to_owned(), asked: Mutex::default(), images }
    }

    /// One request a connection.
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(client.try_clone()?);
        let mut request = String::new();
        lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut request)?;
        for _ in 0..LINES_MAX {
            let mut header = String::new();
            if lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut header)? <= 2 {
                break;
            }
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let answer = self.answer(path);
        println!("{method} {path}");
        say(client, &answer, method == "HEAD")
    }

    fn answer(&self, path: &str) -> Answer {
        let unknown = || Answer::Whole("404 Not Found", String::new(), Vec::new());
        let mut parts = path.trim_start_matches("/v2/").splitn(4, '/');
        let (Some(act), Some(_), Some(what), Some(name)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return unknown();
        };
        match act {
            "limit" => refuse("3600", "you have pulled enough for today"),
            "loop" => redirect(path.to_owned()),
            "polite" => {
                let first = || {
                    let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                    asked.insert(path.to_owned())
                };
                if what == "blobs" && first() {
                    return refuse("1", "one at a time");
                }
                redirect(format!("http://{}/v2/test/musl/{what}/{name}", self.server))
            }
            act => {
                let image = self.images.iter().find(|(name, _)| *name == act);
                let answer = image.and_then(|(_, image)| part(image, what, name));
                let answer = answer.unwrap_or_else(unknown);
                // The layer, and not the configuration.
                match (act, answer) {
                    ("half", Answer::Whole(_, _, body)) if body.len() > 10_000 => {
                        Answer::Half(body)
                    }
                    (_, answer) => answer,
                }
            }
        }
    }
}

fn refuse(seconds: &str, words: &str) -> Answer {
    let body = format!(r#"{{"errors": [{{"code": "TOOMANYREQUESTS", "message": "{words}"}}]}}"#);
    Answer::Whole("429 Too Many Requests", format!("Retry-After: {seconds}\r\n"), body.into())
}

fn redirect(to: String) -> Answer {
    Answer::Whole("307 Temporary Redirect", format!("Location: {to}\r\n"), Vec::new())
}

/// A part of an image by the name it is asked for.
fn part(image: &Fake, what: &str, name: &str) -> Option<Answer> {
    let (body, headers) = match what {
        "manifests" => {
            let digest = image.manifest_digest();
            (image.manifest.clone(), format!("Docker-Content-Digest: {digest}\r\n"))
        }
        _ => (image.blob(name)?.to_vec(), String::new()),
    };
    let headers = format!("{headers}Content-Type: application/vnd.oci.image.manifest.v1+json\r\n");
    Some(Answer::Whole("200 OK", headers, body))
}

fn say(mut client: TcpStream, answer: &Answer, head_only: bool) -> io::Result<()> {
    let (status, headers, body) = match answer {
        Answer::Whole(status, headers, body) => (*status, headers.as_str(), body),
        Answer::Half(body) => ("200 OK", "", body),
    };
    let length = body.len();
    write!(client, "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n")?;
    client.write_all(b"Connection: close\r\n\r\n")?;
    let end = if matches!(answer, Answer::Half(_)) { length / 2 } else { length };
    match body.get(..end) {
        Some(body) if !head_only => client.write_all(body),
        _ => Ok(()),
    }
}
