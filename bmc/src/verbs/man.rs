//! `bmc man`: the manual pages, made from the command line itself.

use crate::cli::Cli;
use anyhow::Context;
use clap::CommandFactory;
use std::path::Path;

/// Writes `bmc.1` and one page for each verb.
pub(crate) fn write(directory: &Path) -> anyhow::Result<String> {
    clap_mangen::generate_to(Cli::command(), directory)
        .with_context(|| format!("cannot write manual pages into {}", directory.display()))?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_has_its_page_with_its_examples() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        let page = std::fs::read_to_string(directory.path().join("bmc-node-power.1")).unwrap();
        assert!(page.contains("bmc node power n1 status"), "{page}");
        assert!(directory.path().join("bmc.1").exists());
        assert!(write(&directory.path().join("missing")).is_err());
    }
}
