//! Builds a node image from a Debian mirror: slurmd, munge, and an init of our own instead of
//! systemd, because a node runs for one job and every started program costs its boot.
//!
//! No secret gets into it: keys and identities come from bootsrv at each boot.

use crate::program::{Program, ProgramError};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The image's first process; its path in the image is [`crate::image::DEFAULT_INITS`]`[0]`.
pub const INIT: &str = include_str!("../../node-image/init");
/// What is done to the root after the packages are there.
const FINISH: &str = include_str!("../../node-image/finish");

/// Always in the image: what init, the settings and Slurm itself need.
pub const PACKAGES: [&str; 6] = ["slurmd", "slurm-client", "munge", "iproute2", "kmod", "procps"];
/// Longest a build may take; one from a mirror nearby takes a minute.
const LIMIT: Duration = Duration::from_secs(3600);
/// With this package and these hooks of mmdebstrap's the root is made with merged directories from
/// the start. Else Debian 12 installs usrmerge, and with it Perl: a third of the image.
const MERGED_PACKAGE: &str = "usr-is-merged";
const MERGED_HOOKS: &str = "/usr/share/mmdebstrap/hooks/merged-usr";
/// Never unpacked.
const EXCLUDED_PATHS: [&str; 6] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/share/bug/*",
];

/// What is built.
#[derive(Debug, Clone)]
pub struct NodeImageOptions {
    /// Debian's suite, e.g. `bookworm`; its slurmd must fit the site's slurmctld.
    pub suite: String,
    /// Where packages come from, e.g. `http://deb.debian.org/debian`.
    pub mirror: String,
    /// Packages beside [`PACKAGES`].
    pub packages: Vec<String>,
    /// The tar archive to write; an absolute path.
    pub output: PathBuf,
}

/// Why an image cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeImageError {
    /// The builder's own files cannot be written.
    #[error("prepare the build")]
    Prepare(#[source] io::Error),
    /// A name or a source that would be an option or a second argument to a program.
    #[error("{value:?} is not a {what}")]
    Invalid {
        /// What it should have been.
        what: &'static str,
        /// What it is.
        value: String,
    },
    /// mmdebstrap failed.
    #[error("build the node image")]
    Build(#[source] ProgramError),
}

/// Builds an image. Needs root or user namespaces, and the network; `tell` gets a line for each
/// step.
///
/// # Errors
/// When an option is refused or `mmdebstrap` fails; a half-made output is mmdebstrap's to remove.
pub fn build(options: &NodeImageOptions, tell: &mut dyn FnMut(&str)) -> Result<(), NodeImageError> {
    check(options)?;
    let files = tempfile::tempdir().map_err(NodeImageError::Prepare)?;
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok::<PathBuf, io::Error>(path)
    };
    // In a user namespace the hooks run as somebody else.
    let prepare = || -> io::Result<(PathBuf, PathBuf)> {
        fs::set_permissions(files.path(), Permissions::from_mode(0o755))?;
        Ok((write("init", INIT)?, write("finish", FINISH)?))
    };
    let (init, finish) = prepare().map_err(NodeImageError::Prepare)?;
    Program::find("mmdebstrap", LIMIT)
        .map_err(NodeImageError::Build)?
        .env("TMPDIR", std::env::temp_dir())
        .args(arguments(options, &init, &finish))
        .run_telling(&mut |line| step(line).into_iter().for_each(&mut *tell))
        .map_err(NodeImageError::Build)
}

/// A line of mmdebstrap's, if it names a step; the others tell of its temporary files.
fn step(line: &str) -> Option<&str> {
    line.strip_prefix("I: ").filter(|text| text.ends_with("...") && !text.contains('/'))
}

fn arguments(options: &NodeImageOptions, init: &Path, finish: &Path) -> Vec<String> {
    let [target, ..] = crate::image::DEFAULT_INITS;
    let own = PACKAGES.iter().copied().chain([MERGED_PACKAGE]);
    let packages = own.chain(options.packages.iter().map(String::as_str));
    let mut arguments = vec![
        "--variant=minbase".to_owned(),
        format!("--hook-dir={MERGED_HOOKS}"),
        format!("--include={}", packages.collect::<Vec<_>>().join(",")),
        "--aptopt=Acquire::Languages \"none\"".to_owned(),
        "--aptopt=APT::Install-Recommends \"false\"".to_owned(),
    ];
    arguments.extend(EXCLUDED_PATHS.map(|path| format!("--dpkgopt=path-exclude={path}")));
    let directory = Path::new(target).parent().unwrap_or_else(|| Path::new("/"));
    arguments.push(format!("--customize-hook=mkdir -p \"$1{}\"", directory.display()));
    arguments.push(format!("--customize-hook=upload {} {target}", init.display()));
    arguments.push(format!("--customize-hook=chmod 0755 \"$1{target}\""));
    arguments.push(format!("--customize-hook={}", finish.display()));
    arguments.extend(["--format=tar".to_owned(), options.suite.clone()]);
    arguments.push(options.output.to_string_lossy().into_owned());
    arguments.push(format!("deb {} {} main", options.mirror, options.suite));
    arguments
}

/// Refuses what mmdebstrap would take for something else than it is meant to be.
fn check(options: &NodeImageOptions) -> Result<(), NodeImageError> {
    let name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || ".+-:=~_".contains(c))
    };
    let refuse = |what, value: &str| Err(NodeImageError::Invalid { what, value: value.to_owned() });
    if !name(&options.suite) {
        return refuse("suite", &options.suite);
    }
    if let Some(package) = options.packages.iter().find(|package| !name(package)) {
        return refuse("package", package);
    }
    let is_url = options.mirror.contains("://")
        && options.mirror.starts_with(|c: char| c.is_ascii_lowercase())
        && !options.mirror.contains(|c: char| c.is_whitespace() || c.is_control());
    if !is_url {
        return refuse("mirror's URL", &options.mirror);
    }
    match options.output.to_str() {
        Some(text) if options.output.is_absolute() && !text.contains('\n') => Ok(()),
        Some(_) | None => refuse("absolute path", &options.output.to_string_lossy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> NodeImageOptions {
        NodeImageOptions {
            suite: "bookworm".into(),
            mirror: "http://deb.debian.org/debian".into(),
            packages: vec!["libpmix2".into()],
            output: "/tmp/image.tar".into(),
        }
    }

    #[test]
    fn only_names_become_arguments() {
        check(&options()).unwrap();
        check(&NodeImageOptions { suite: "--help".into(), ..options() }).unwrap_err();
        check(&NodeImageOptions { packages: vec!["a,b".into()], ..options() }).unwrap_err();
        for mirror in ["/etc/shadow", "http://a b", "-o://x", ""] {
            check(&NodeImageOptions { mirror: mirror.into(), ..options() }).unwrap_err();
        }
        check(&NodeImageOptions { output: "image.tar".into(), ..options() }).unwrap_err();
        let arguments = arguments(&options(), Path::new("/t/init"), Path::new("/t/finish"));
        assert!(
            arguments.contains(
                &"--include=slurmd,slurm-client,munge,iproute2,kmod,procps,usr-is-merged,libpmix2"
                    .into()
            )
        );
    }

    #[test]
    fn the_last_arguments_are_suite_file_and_source() {
        let arguments = arguments(&options(), Path::new("/t/init"), Path::new("/t/finish"));
        let expected =
            ["bookworm", "/tmp/image.tar", "deb http://deb.debian.org/debian bookworm main"];
        assert_eq!(arguments[arguments.len() - 3..], expected);
    }

    #[test]
    fn only_steps_are_told() {
        assert_eq!(step("I: extracting archives..."), Some("extracting archives..."));
        for line in ["I: removing tempdir /tmp/mmdebstrap.x...", "Get:1 http://a...", "I: done"] {
            assert_eq!(step(line), None, "{line}");
        }
    }

    #[test]
    fn both_scripts_are_what_dash_understands() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [("init", INIT), ("finish", FINISH)] {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            let minute = Duration::from_secs(60);
            Program::find("sh", minute)
                .unwrap()
                .args(["-n".as_ref(), path.as_os_str()])
                .run()
                .unwrap();
        }
    }
}
