//! The next kernel, started by this one: no firmware, no boot loader.
//!
//! It is fetched and loaded while everything still runs; only then the node's programs end.

pub(crate) mod ahead;
mod bzimage;
mod identity;
mod load;
mod place;
mod token_archive;

use crate::console::say;
use crate::limit::within;
use crate::machine::memory;
use crate::orders::Node;
use crate::server::Server;
use crate::{download, ending};
use ahead::Ahead;
use anyhow::{Context as _, Result, anyhow, bail};
use protocol::boot::{AgentStage, KernelFiles, Kexec};
use rustix::system::{RebootCommand, reboot};
use std::convert::Infallible;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use token_archive::token_archive;

/// How long kernel and initrd may take to come; bootsrv may have less patience.
const FETCH: Duration = Duration::from_secs(120);
/// How long bootsrv's word that it has heard of the jump is waited for.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Largest kernel, and largest initrd, in bytes: both are kept in memory.
const BYTES_MAX: u64 = 1 << 30;
/// Memory that must be left, in KiB.
const RESERVE_KIB: u64 = 32 << 10;

/// Comes back only with the reason why the next kernel was not started.
pub(crate) fn start(
    node: &Node,
    next: &Arc<Server>,
    order: &Kexec,
    ahead: &Ahead,
) -> Result<Infallible> {
    let begin = Instant::now();
    let ahead = ahead.take(&order.files);
    let was_there = if ahead.is_some() { ", which was there already" } else { "" };
    let [kernel, initrd] = ahead.map_or_else(|| fetch(next, &order.files), Ok)?;
    let initrd = [token_archive(&order.token), initrd].concat();
    say(format_args!("has the next kernel after {} ms{was_there}", begin.elapsed().as_millis()));
    load::load(&kernel, &initrd, &order.command_line)?;
    drop((kernel, initrd));
    let text = format!("the next kernel is loaded after {} ms", begin.elapsed().as_millis());
    if !node.reporter.reached(AgentStage::Jumping, &text) {
        bail!("the node shuts down");
    }
    ending::end_programs(node.slurmd);
    if !node.reporter.wait_until_delivered(LAST_WORD) {
        say(format_args!("bootsrv has not heard of the jump"));
    }
    ending::leave_file_systems();
    say(format_args!(
        "starting the next kernel {} ms after the order",
        begin.elapsed().as_millis()
    ));
    reboot(RebootCommand::Kexec).context("the kernel refused to start it")?;
    bail!("the kernel came back from starting it");
}

/// Kernel and initrd.
fn fetch(server: &Arc<Server>, files: &KernelFiles) -> Result<[Vec<u8>; 2]> {
    if files.kernel.bytes.max(files.initrd.bytes) > BYTES_MAX {
        bail!("kernel or initrd has more than {} MiB", BYTES_MAX >> 20);
    }
    // And the initrd once more, behind its token.
    check_memory(files.kernel.bytes + 2 * files.initrd.bytes)?;
    let (server, files) = (server.clone(), files.clone());
    let fetched = within(FETCH, move || {
        thread::scope(|scope| {
            let kernel = scope.spawn(|| download::fetch_to_memory(&server, &files.kernel));
            let initrd = download::fetch_to_memory(&server, &files.initrd)?;
            let kernel = kernel.join().map_err(|_| anyhow!("a download ended unexpectedly"))??;
            Ok([kernel, initrd])
        })
    });
    fetched.map_err(|_| anyhow!("it has not come after {} s", FETCH.as_secs()))?
}

/// Says clearly what would otherwise end some of the node's programs in the middle of it.
fn check_memory(bytes: u64) -> Result<()> {
    is_enough(bytes, memory("MemAvailable"))
}

fn is_enough(bytes: u64, available_kib: u64) -> Result<()> {
    let needed_kib = (bytes / 1024).saturating_add(RESERVE_KIB);
    if available_kib > 0 && needed_kib > available_kib {
        bail!("it needs {} MiB of memory, {} are available", needed_kib >> 10, available_kib >> 10);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_said() {
        is_enough(60 << 20, 100 << 10).unwrap();
        is_enough(60 << 20, 0).unwrap();
        let error = is_enough(60 << 20, 80 << 10).unwrap_err();
        assert_eq!(error.to_string(), "it needs 92 MiB of memory, 80 are available");
    }
}
