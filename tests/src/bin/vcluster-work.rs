//! The same work again and again, for a comparison inside and outside of an image: `vcluster-work ROUNDS
//! FILE` prints `cost NAME NANOSECONDS` for each kind of work of each round.

use anyhow::{Context, bail};
use std::hint::black_box;
use std::io::Read;
use std::process::ExitCode;
use std::time::Instant;

/// Given a file that can be read.
type Work = fn(&str) -> anyhow::Result<()>;

/// What a program pays for: numbers, memory, and asking the kernel by a path.
const KINDS: [(&str, Work); 4] =
    [("compute", compute), ("memory", memory), ("paths", paths), ("files", files)];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vcluster-work: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [rounds, file] = words.as_slice() else { bail!("usage: ROUNDS FILE") };
    let rounds: u32 = rounds.parse().context("rounds")?;
    // The first round warms every cache and does not count.
    for round in 0..=rounds {
        for (name, work) in KINDS {
            let start = Instant::now();
            work(file)?;
            let nanoseconds = start.elapsed().as_nanos();
            if round > 0 {
                println!("cost {name} {nanoseconds}");
            }
        }
    }
    Ok(())
}

fn compute(_: &str) -> anyhow::Result<()> {
    let mut state = black_box(88_172_645_463_325_252_u64);
    for _ in 0..20_000_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
    Ok(())
}

/// New pages, each touched.
fn memory(_: &str) -> anyhow::Result<()> {
    for _ in 0..4 {
        let mut pages = vec![0_u8; 32 << 20];
        pages.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        black_box(&pages);
    }
    Ok(())
}

fn paths(file: &str) -> anyhow::Result<()> {
    for _ in 0..20_000 {
        black_box(std::fs::metadata(file)?);
    }
    Ok(())
}

/// A file of the root, from the page cache.
fn files(file: &str) -> anyhow::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    for _ in 0..4_000 {
        let mut file = std::fs::File::open(file)?;
        black_box(file.read(&mut bytes)?);
    }
    Ok(())
}
