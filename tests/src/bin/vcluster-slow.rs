//! A slow way to a server: `vcluster-slow LISTEN SERVER BYTES-A-SECOND MILLISECONDS`. What the server
//! says comes so many bytes a second, on all connections together, and each connection waits before its
//! first byte.

use anyhow::{Context, bail};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Passed on at once, in bytes.
const PIECE: usize = 16 * 1024;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vcluster-slow: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, server, rate, delay] = words.as_slice() else {
        bail!("usage: LISTEN SERVER BYTES-A-SECOND MILLISECONDS")
    };
    let pace = Arc::new(Pace::new(rate.parse().context("bytes a second")?));
    let delay = Duration::from_millis(delay.parse().context("milliseconds")?);
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    for client in listener.incoming() {
        let (server, pace) = (server.clone(), Arc::clone(&pace));
        std::thread::spawn(move || {
            // A connection that breaks is over; the next one is tried again.
            client.and_then(|client| pass(client, &server, delay, &pace)).ok();
        });
    }
    Ok(())
}

fn pass(client: TcpStream, server: &str, delay: Duration, pace: &Pace) -> io::Result<()> {
    std::thread::sleep(delay);
    let server = TcpStream::connect(server)?;
    let (mut asks, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        io::copy(&mut asks, &mut to_server).ok();
        to_server.shutdown(Shutdown::Write).ok();
    });
    let (mut from, mut to) = (server, client);
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece)?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else {
            return to.shutdown(Shutdown::Both);
        };
        pace.wait(count);
        to.write_all(read)?;
    }
}

/// When the next byte may go.
struct Pace {
    bytes_a_second: f64,
    next: Mutex<Instant>,
}

impl Pace {
    fn new(bytes_a_second: u32) -> Self {
        Self { bytes_a_second: f64::from(bytes_a_second.max(1)), next: Mutex::new(Instant::now()) }
    }

    fn wait(&self, bytes: usize) {
        let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        let until = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next =
                (*next).max(Instant::now()) + Duration::from_secs_f64(bytes / self.bytes_a_second);
            *next
        };
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }
}
