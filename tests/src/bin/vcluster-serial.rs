//! A serial cable: `vcluster-serial LISTEN FILE`. Whoever connects is sent what the file grows by, as it
//! comes. A connection's other direction is not read: nobody types.

use anyhow::{Context, bail};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vcluster-serial: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, file] = words.as_slice() else { bail!("usage: LISTEN FILE") };
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    for client in listener.incoming() {
        let path = PathBuf::from(file);
        // A connection that breaks is over.
        std::thread::spawn(move || client.and_then(|client| send(client, &path)).ok());
    }
    Ok(())
}

fn send(mut client: TcpStream, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(0))?;
    loop {
        if io::copy(&mut file, &mut client)? == 0 {
            client.flush()?;
            std::thread::sleep(LOOK);
        }
        // The file was set aside, and another one begun.
        if let Ok(now) = path.metadata()
            && now.ino() != file.metadata()?.ino()
        {
            file = File::open(path)?;
        }
    }
}
