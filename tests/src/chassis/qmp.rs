//! QEMU's control socket (QMP): one command, one answer.

use crate::chassis::ChassisError;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take; the controller is blocked meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Most lines (events) before the answer.
const LINES_MAX: usize = 100;

/// Sends one command and gives its result.
///
/// # Errors
/// When the socket does not answer, or answers with an error.
pub fn command(socket: &Path, name: &str, arguments: Value) -> Result<Value, ChassisError> {
    talk(socket, name, arguments)
        .map_err(|source| ChassisError::Control { command: name.to_owned(), source })
}

/// Sends a command of QEMU's human monitor and gives what it prints.
///
/// # Errors
/// As [`command`].
pub fn human_command(socket: &Path, line: &str) -> Result<String, ChassisError> {
    let answer = command(socket, "human-monitor-command", json!({ "command-line": line }))?;
    Ok(answer.as_str().unwrap_or_default().to_owned())
}

fn talk(socket: &Path, name: &str, arguments: Value) -> io::Result<Value> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut greeting = String::new();
    reader.read_line(&mut greeting)?;
    execute(&stream, &mut reader, "qmp_capabilities", json!({}))?;
    execute(&stream, &mut reader, name, arguments)
}

fn execute(
    mut stream: &UnixStream,
    reader: &mut impl BufRead,
    name: &str,
    arguments: Value,
) -> io::Result<Value> {
    writeln!(stream, "{}", json!({ "execute": name, "arguments": arguments }))?;
    for _ in 0..LINES_MAX {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
        let mut answer: Value = serde_json::from_str(&line)?;
        if let Some(error) = answer.get("error") {
            return Err(io::Error::other(error.to_string()));
        }
        if let Some(result) = answer.get_mut("return") {
            return Ok(result.take());
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// Plays QEMU: greets, then answers each line with the next of `answers`.
    fn play(answers: &'static [&'static str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            stream.write_all(b"{\"QMP\":{}}\n").unwrap();
            for answer in answers {
                lines.next();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (dir, path)
    }

    #[test]
    fn events_before_the_answer_are_passed_over() {
        let (_dir, path) =
            play(&["{\"return\":{}}\n", "{\"event\":\"RESET\"}\n{\"return\":\"done\"}\n"]);
        assert_eq!(human_command(&path, "x").unwrap(), "done");
    }

    #[test]
    fn a_refusal_and_an_end_are_errors() {
        let (_dir, path) = play(&["{\"return\":{}}\n", "{\"error\":{\"class\":\"X\"}}\n"]);
        assert!(command(&path, "x", json!({})).is_err());
        let (_dir, path) = play(&["{\"return\":{}}\n", ""]);
        assert!(command(&path, "x", json!({})).is_err());
    }
}
