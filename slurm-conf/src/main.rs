//! The command `slurm-conf`: arguments, printing, exit codes. What is written and what is wrong is
//! decided in the library.

mod cli;

use clap::Parser as _;
use cli::{Check, Cli, Generate, Verb};
use slurm_conf::check::{Severity, as_json, as_text, check};
use slurm_conf::generate::{generate, next_steps};
use slurm_conf::live::{LiveSite, Paths, ProgramView};
use slurm_conf::site::{Site, SlurmVersion};
use slurm_conf::write::{self, Change, Planned};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Findings of error severity.
const EXIT_FINDINGS: u8 = 1;
/// The call or a file it needs is wrong.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Generate(args) => run_generate(&args),
        Verb::Check(args) => run_check(&args),
    };
    match done {
        Ok((text, code)) => print(std::io::stdout().lock(), &text, code),
        Err(error) => {
            print(std::io::stderr().lock(), &format!("slurm-conf: {error:#}\n"), EXIT_USAGE)
        }
    }
}

fn print(mut out: impl std::io::Write, text: &str, code: u8) -> ExitCode {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::from(code),
        // Whoever read our output has gone.
        Err(_) => ExitCode::from(EXIT_USAGE),
    }
}

fn run_generate(args: &Generate) -> anyhow::Result<(String, u8)> {
    let site = Site::read(&args.site)?;
    let files = generate(&site, args.full);
    let planned = write::plan(&args.output, &files)?;
    if args.dry_run {
        return Ok((planned.iter().map(shown).collect(), 0));
    }
    write::write(&args.output, &planned, args.force)?;
    let mut text: String = planned.iter().map(|planned| outcome(planned) + "\n").collect();
    text.push_str(&next_steps(&site, &args.output, args.full));
    Ok((text, 0))
}

fn outcome(planned: &Planned<'_>) -> String {
    let word = match planned.change {
        Change::New => "written",
        Change::Same => "unchanged",
        Change::Different => "overwritten",
    };
    format!("{word}: {}", planned.path.display())
}

fn shown(planned: &Planned<'_>) -> String {
    let word = match planned.change {
        Change::New => "would be written",
        Change::Same => "is there already, the same",
        Change::Different => "is there already, and differs: needs --force",
    };
    format!("==> {} {word} <==\n{}\n", planned.path.display(), planned.file.content)
}

fn run_check(args: &Check) -> anyhow::Result<(String, u8)> {
    let paths = Paths {
        slurm_conf: args.slurm_conf.clone(),
        bootsrv: args.bootsrv.clone(),
        client: args.client.clone(),
    };
    let mut site = LiveSite::read(&paths, ProgramView::of_this_machine())
        .map_err(|error| anyhow::anyhow!("cannot read {}: {error}", args.slurm_conf.display()))?;
    site.version = args.slurm_version.or_else(|| installed_version(&site));
    let findings = check(&site);
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let code = if errors > 0 { EXIT_FINDINGS } else { 0 };
    if args.json {
        return Ok((format!("{:#}\n", as_json(&findings)), code));
    }
    let version = match site.version {
        Some(version) => format!("for Slurm {version}"),
        None => "without the rules that depend on Slurm's version (--slurm-version)".to_owned(),
    };
    let warnings = findings.len() - errors;
    let sum = format!("{errors} error(s), {warnings} warning(s), {version}\n");
    Ok((as_text(&findings) + &sum, code))
}

/// What the site's own scontrol says; `None` if there is none.
fn installed_version(site: &LiveSite) -> Option<SlurmVersion> {
    let scontrol = site.bootsrv.get().and_then(|bootsrv| bootsrv.slurm.scontrol.as_deref());
    let scontrol = scontrol.unwrap_or_else(|| Path::new("/usr/bin/scontrol"));
    // Without a slurm.conf it does not even say its version.
    let output = Command::new(scontrol)
        .arg("--version")
        .env_clear()
        .env(protocol::job_env::SLURM_CONF, &site.slurm_conf)
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.parse().ok()
}
