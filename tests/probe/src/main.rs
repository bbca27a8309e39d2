//! What a task sees from inside its image, printed one fact a line. Linked statically and without a
//! dependency, because it is the only program of an image that has neither shell nor C library.

mod tree;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: probe look | env NAME… | mounts | read FILE… | open FILE… | write FILE | tree DIRECTORY";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] | ["look"] => look(),
        ["env", names @ ..] => env(names),
        ["mounts"] => fs::read_to_string("/proc/self/mountinfo").map(|text| print!("{text}")),
        ["read", files @ ..] => {
            files.iter().try_for_each(|file| fs::read_to_string(file).map(|text| print!("{text}")))
        }
        ["open", files @ ..] => {
            files.iter().for_each(|file| open(file));
            Ok(())
        }
        ["write", file] => fs::write(file, "written\n"),
        ["tree", directory] => tree::print(Path::new(directory)),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Image, kernel, place, and which rights this process has.
fn look() -> io::Result<()> {
    // An image need not say what it is.
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    println!("image {}", name.unwrap_or("unknown").trim_matches('"'));
    println!("kernel {}", fs::read_to_string("/proc/sys/kernel/osrelease")?.trim());
    println!("node {}", fs::read_to_string("/proc/sys/kernel/hostname")?.trim());
    println!("directory {}", std::env::current_dir()?.display());
    for line in fs::read_to_string("/proc/self/status")?.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if ["Uid", "Gid", "NoNewPrivs", "CapEff", "CapBnd"].contains(&name) {
            println!("{name} {}", value.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    Ok(())
}

fn env(names: &[&str]) -> io::Result<()> {
    for name in names {
        match std::env::var_os(name) {
            Some(value) => println!("{name}={}", value.to_string_lossy()),
            None => println!("{name} is not set"),
        }
    }
    Ok(())
}

/// Whether each file can be opened for reading; a device of the image must not.
fn open(file: &str) {
    match fs::File::open(file) {
        Ok(_) => println!("{file}: opened"),
        Err(error) => println!("{file}: {error}"),
    }
}
