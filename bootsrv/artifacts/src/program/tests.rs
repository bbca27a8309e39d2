//! Programs are started, watched and confined.

use super::*;
use std::io::{self, Read, Write};

fn shell(script: &str, limit: Duration) -> Result<(), ProgramError> {
    Program::find("sh", limit)?.args(["-c", script]).run()
}

#[test]
fn each_line_is_told_once() {
    let mut lines = Vec::new();
    let script = "echo one >&2; sleep 0.1; echo two >&2; printf half >&2";
    let program = Program::find("sh", Duration::from_secs(60)).unwrap().args(["-c", script]);
    program.run_telling(&mut |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(lines, ["one", "two"]);
}

#[test]
fn a_hanging_program_holds_nobody_who_reads_from_it_or_writes_to_it() {
    let sleeping = || {
        let limit = Duration::from_millis(100);
        Program::find("sh", limit).unwrap().args(["-c", "sleep 50 & wait"])
    };
    let mut reading = sleeping().read().unwrap();
    let read = reading.output().unwrap().read_to_end(&mut Vec::new());
    assert_eq!(read.unwrap(), 0);
    assert!(matches!(reading.finish(), Err(ProgramError::TooSlow { .. })));

    let mut feeding = sleeping().feed().unwrap();
    let written = feeding.input().unwrap().write_all(&vec![0; 1 << 20]);
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert!(matches!(feeding.finish(), Err(ProgramError::TooSlow { .. })));
}

/// Needs a kernel with Landlock.
#[test]
fn a_confined_program_has_its_file_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let [mine, other, new] = ["mine", "other", "new"].map(|name| directory.path().join(name));
    std::fs::write(&mine, "hello\n").unwrap();
    std::fs::write(&other, "secret\n").unwrap();
    let script = format!(
        "read a < {STANDARD_INPUT}; echo $a; (read a < {other}) 2>&- && echo reads; \
         (echo a > {new}) 2>&- && echo writes; (echo a >> {mine}) 2>&- && echo appends; \
         sleep 0.3; ulimit -v; ulimit -n",
        other = other.display(),
        new = new.display(),
        mine = mine.display(),
    );
    let program = Program::find("sh", Duration::from_secs(60)).unwrap().args(["-c", &script]);
    let mut running = program.confined_to(File::open(&mine).unwrap()).read().unwrap();
    let mut said = String::new();
    running.output().unwrap().read_to_string(&mut said).unwrap();
    running.finish().unwrap();
    assert_eq!(said, format!("hello\n{}\n64\n", 4_u64 * 1024 * 1024));
}

#[test]
fn failures_are_told_in_one_line_and_slow_programs_are_killed() {
    let minute = Duration::from_secs(60);
    shell("true", minute).unwrap();
    let error = shell("echo 'no  space\nleft' >&2; exit 3", minute).unwrap_err().to_string();
    assert!(error.ends_with("(exit status: 3): no space left"), "{error}");
    let error = shell("sleep 50 & wait", Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, ProgramError::TooSlow { .. }), "{error}");
    assert!(matches!(Program::find("no-such-program", minute), Err(ProgramError::Missing { .. })));
}
