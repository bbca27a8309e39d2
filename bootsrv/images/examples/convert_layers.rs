//! Converts the layers of an OCI image layout: figures for docs/adr/0013.
//! `convert_layers OUTPUT LAYER…` prints seconds, bytes and peak memory.

use images::layer::stack::{self, StackedLayer};
use images::layer::{LayerLimits, convert};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let output = arguments.next().ok_or("which directory?")?;
    let limits = LayerLimits::default();
    let begun = Instant::now();
    let mut stacked = Vec::new();
    for (number, path) in arguments.enumerate() {
        let squashfs = Path::new(&output).join(format!("{number}.squashfs"));
        let one = Instant::now();
        let converted = convert(std::fs::File::open(&path)?, None, &squashfs, &limits)?;
        let bytes = std::fs::metadata(&squashfs)?.len();
        let entries = converted.index.entries.len();
        println!(
            "{path}: {} bytes unpacked, {entries} entries, {bytes} bytes squashfs, {:.2} s",
            converted.unpacked_bytes,
            one.elapsed().as_secs_f64()
        );
        converted.index.save(&Path::new(&output).join(format!("{number}.index")))?;
        stacked.push(StackedLayer { index: converted.index, squashfs });
    }
    let two = Instant::now();
    let corrected = stack::correct(&stacked, &Path::new(&output).join("correction"), &limits)?;
    println!("correction: {corrected:?} in {:.2} s", two.elapsed().as_secs_f64());
    println!("whole: {:.2} s", begun.elapsed().as_secs_f64());
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    Ok(())
}
