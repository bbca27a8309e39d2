//! QEMU's debugger socket (the GDB remote protocol): stop the machine, change its instruction
//! pointer, let it go on. Only nodes that are to panic have that socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest answer, in bytes; all registers together take about 1,100.
const ANSWER_BYTES_MAX: u64 = 16_384;
/// Most reports that may come before an answer.
const REPORTS_MAX: u32 = 8;
/// Where the instruction pointer stands among the hexadecimal digits of all registers: after 16
/// registers of 8 bytes.
const POINTER: std::ops::Range<usize> = 256..272;

/// A machine that stands still. It goes on when this is let go or dropped.
#[derive(Debug)]
pub(crate) struct Stopped {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Stopped {
    /// Stops the machine; QEMU does so as soon as a debugger connects.
    pub(crate) fn stop(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader })
    }

    /// Makes the first processor go on at address 0, where no kernel has code.
    pub(crate) fn jump_to_nowhere(&mut self) -> io::Result<()> {
        let mut registers = self.ask("g")?;
        if registers.len() < POINTER.end {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too few registers"));
        }
        registers.replace_range(POINTER, &"0".repeat(POINTER.len()));
        match self.ask(&format!("G{registers}"))?.as_str() {
            "OK" => Ok(()),
            answer => Err(io::Error::other(format!("the registers were refused: {answer:?}"))),
        }
    }

    /// Lets the machine go on.
    pub(crate) fn release(mut self) -> io::Result<()> {
        self.ask("D").map(drop)
    }

    fn ask(&mut self, packet: &str) -> io::Result<String> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.stream, "${packet}#{sum:02x}")?;
        for _ in 0..=REPORTS_MAX {
            let answer = self.read_packet()?;
            // A report that the machine has stopped comes unasked, at a moment of its own.
            if !answer.starts_with(['T', 'S']) {
                return Ok(answer);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "only reports, no answer"))
    }

    /// Reads "$TEXT#SUM" and what stands before it; the sum is not needed on a local socket.
    fn read_packet(&mut self) -> io::Result<String> {
        let mut text = Vec::new();
        self.reader.by_ref().take(ANSWER_BYTES_MAX).read_until(b'$', &mut text)?;
        text.clear();
        self.reader.by_ref().take(ANSWER_BYTES_MAX).read_until(b'#', &mut text)?;
        self.reader.read_exact(&mut [0; 2])?;
        // After the last answer nobody may be there to take it.
        self.stream.write_all(b"+").ok();
        text.pop();
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_the_instruction_pointer_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("debugger");
        let listener = UnixListener::bind(&path).unwrap();
        let qemu = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let registers = "1".repeat(300);
            let report_and_registers = format!("T05thread:01;#00+${registers}");
            let mut asked = Vec::new();
            // QEMU reports the stop by itself, between a question and its answer.
            for answer in [report_and_registers.as_str(), "OK", "OK"] {
                let mut packet = Vec::new();
                reader.read_until(b'#', &mut packet).unwrap();
                reader.read_exact(&mut [0; 2]).unwrap();
                asked.push(String::from_utf8(packet).unwrap());
                write!(stream, "+${answer}#00").unwrap();
            }
            asked
        });
        let mut stopped = Stopped::stop(&path).unwrap();
        stopped.jump_to_nowhere().unwrap();
        stopped.release().unwrap();
        let expected = format!("++$G{}{}{}#", "1".repeat(256), "0".repeat(16), "1".repeat(28));
        assert_eq!(qemu.join().unwrap(), ["$g#", &expected, "+$D#"]);
    }
}
