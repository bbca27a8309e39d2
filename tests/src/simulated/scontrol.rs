//! `scontrol` for the stand-in: the same program under that name carries its arguments over a socket
//! that lies beside the slurm.conf its environment names, prints the answer, and ends as scontrol does.

use crate::simulated::slurmctld::Slurmctld;
use serde::{Deserialize, Serialize};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::time::{sleep, timeout};

/// The socket's name, beside slurm.conf.
pub const SOCKET: &str = "slurmctld.socket";
/// Longest question, in bytes: a list of ten thousand nodes has 100 KiB.
const QUESTION_BYTES_MAX: u64 = 1 << 20;
/// How long scontrol tries to reach a slurmctld that is away.
const AWAY: Duration = Duration::from_secs(3);
/// Longest a question may take to arrive.
const QUESTION_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    printed: Result<String, String>,
}

/// The program. Without a slurmctld it fails as scontrol does.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    let answer = ask(arguments).unwrap_or_else(|error| Answer {
        printed: Err(format!("Unable to contact slurm controller ({error})")),
    });
    match answer.printed {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn ask(arguments: &[String]) -> std::io::Result<Answer> {
    let conf = std::env::var_os("SLURM_CONF").unwrap_or_default();
    let mut socket = UnixStream::connect(Path::new(&conf).with_file_name(SOCKET))?;
    serde_json::to_writer(&mut socket, arguments)?;
    socket.flush()?;
    socket.shutdown(Shutdown::Write)?;
    let mut text = Vec::new();
    socket.read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Answers for ever.
///
/// # Errors
/// When the socket cannot be made.
pub async fn serve(slurmctld: Arc<Slurmctld>, directory: &Path) -> std::io::Result<()> {
    let listener = UnixListener::bind(directory.join(SOCKET))?;
    tokio::spawn(async move {
        loop {
            let Ok((mut socket, _)) = listener.accept().await else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            let slurmctld = Arc::clone(&slurmctld);
            tokio::spawn(async move {
                let mut text = Vec::new();
                let mut question = (&mut socket).take(QUESTION_BYTES_MAX);
                let read = timeout(QUESTION_MAX, question.read_to_end(&mut text));
                if !matches!(read.await, Ok(Ok(_))) {
                    return;
                }
                let arguments: Vec<String> = serde_json::from_slice(&text).unwrap_or_default();
                let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let printed = slurmctld.scontrol(&words);
                if printed.as_ref().is_err_and(|text| text.starts_with("Unable to contact")) {
                    sleep(AWAY).await;
                }
                let text = serde_json::to_vec(&Answer { printed }).unwrap_or_default();
                // A scontrol that was killed does not read.
                socket.write_all(&text).await.ok();
            });
        }
    });
    Ok(())
}
