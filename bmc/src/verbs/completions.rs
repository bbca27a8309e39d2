//! `bmc completions`: a script for the user's shell.

use crate::cli::Cli;
use clap::CommandFactory;

/// The completion script.
pub(crate) fn script(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bmc", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_every_verb() {
        for shell in
            [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish]
        {
            let script = script(shell);
            for word in ["kernel", "status", "energy", "maintenance", "--watch"] {
                let word = if shell == clap_complete::Shell::Fish {
                    word.trim_start_matches('-')
                } else {
                    word
                };
                assert!(script.contains(word), "{shell} {word}");
            }
        }
    }
}
