//! Jobs inside container images: which image, on which kernel, with which rights and names.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use tests::cluster::Options;
use tests::product::{Assets, check, registry};

/// Where the images of `tests/images/build` lie; a tag of the layout for each.
pub(crate) fn layout() -> std::path::PathBuf {
    Assets::beside(&Options::default().program_dir).images()
}

/// Pushes an image and gives the option that asks for it.
pub(crate) fn pushed(case: &Case<'_>, image: &str) -> Result<String> {
    let reference = registry::push(case.cluster, &layout(), image, registry::TAG)?;
    Ok(format!("--bmc-image={reference}"))
}

/// `srun` as alice, started but not waited for.
pub(crate) fn start(case: &Case<'_>, words: &[&str]) -> Result<Child> {
    let mut command: Command =
        case.cluster.command("alice", &[&["srun", "--chdir=/"], words].concat());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command.spawn()?)
}

/// Image, its first line of `probe look`, and where the program lies.
const IMAGES: [(&str, &str, &str); 3] = [
    ("static", "image Nothing but a program", "/probe"),
    ("musl", "image Busybox with musl", "/bin/probe"),
    ("systemd", "image Debian GNU/Linux 13 (trixie)", "/usr/bin/probe"),
];

/// A program alone, busybox with musl, and a distribution newer than the node's, each on two kernels.
pub(crate) fn three_images_on_two_kernels(case: &Case<'_>) -> Result<()> {
    let options = IMAGES.map(|(image, ..)| pushed(case, image));
    let mut started = Vec::new();
    for kernel in ["6.1-cloud", "6.12-cloud"] {
        for ((image, line, probe), option) in IMAGES.iter().zip(&options) {
            let option = option.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
            let on = format!("--bmc-kernel={kernel}");
            started.push((*image, kernel, *line, start(case, &[option, &on, probe, "look"])?));
        }
    }
    for (image, kernel, line, child) in started {
        let printed = check(child.wait_with_output()?)
            .with_context(|| format!("image {image} on {kernel}"))?;
        let release = kernel.split_once('-').map_or(kernel, |(release, _)| release);
        for expected in [line, &format!("\nkernel {release}."), "\nUid 2001 2001 2001 2001\n"] {
            ensure_contains(&printed, expected).with_context(|| format!("{image} on {kernel}"))?;
        }
        ensure_contains(&printed, "\nNoNewPrivs 1\n")?;
    }
    Ok(())
}

/// A batch script: the image's own shell, the user's home, and names in an image that has neither
/// passwd nor hosts; `srun` inside an image without Slurm; the same for each task of an array.
pub(crate) fn a_script_runs_inside(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "musl")?;
    let script = "cat /etc/os-release; busybox pwd; id; names head n1; echo mine >from-inside; \
                  touch /tmp/x /open/x && echo writable; srun names head; echo $BMC_IMAGE; \
                  ls -d /sys/kernel /dev/shm /dev/null; grep ' /dev/hugepages ' /proc/mounts";
    let options = [&*image, "--array=0-1", "--output=/home/alice/%A_%a.out"];
    let array = case.submit(&options, script)?;
    for task in [format!("{array}_0"), format!("{array}_1")] {
        case.wait(&task, "COMPLETED", BOOT_SECONDS)?;
        let printed = case.output(&task);
        let names = "user alice home /home/alice group alice\nhost head 10.77.0.1\n";
        for expected in [
            "ID=musl\n",
            "\n/home/alice\n",
            "uid=2001(alice) gid=2001(alice)",
            &format!("{names}host n1 10.77.0.11\n"),
            &format!("writable\n{names}docker://registry:5000/test/musl:1@sha256:"),
            "/dev/null\n",
            " /dev/hugepages hugetlbfs ",
        ] {
            ensure_contains(&printed, expected)?;
        }
    }
    let written = case.cluster.dir().join("home/alice/from-inside");
    ensure!(std::fs::read_to_string(&written)? == "mine\n", "the home directory is another one");
    Ok(())
}

/// A terminal inside the image: of `srun --pty`, and of salloc where it gives a shell on the node.
pub(crate) fn a_terminal_inside(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "musl")?;
    let show = "tty; id -un; cat /etc/os-release; hostname";
    let srun = format!("srun --pty --chdir=/ {image} sh -c '{show}'");
    let typed = |words: &str| {
        let words = ["env", "SHELL=/bin/sh", "script", "-qec", words, "/dev/null"];
        let mut command = case.cluster.command("alice", &words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    };
    let (srun, mut salloc) = (typed(&srun)?, typed(&format!("salloc --chdir=/ {image}"))?);
    // Read by the shell when it is there; its end ends the allocation.
    let mut keys = salloc.stdin.take().context("no input")?;
    writeln!(keys, "{show}; exit")?;
    for terminal in [srun, salloc] {
        let printed = check(terminal.wait_with_output()?)?;
        for expected in ["/dev/pts/", "alice", "ID=musl", "\nn"] {
            ensure_contains(&printed, expected)?;
        }
    }
    Ok(())
}

/// The image says where and with what it is run; the job's own word wins.
pub(crate) fn an_image_says_how_it_is_run(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "config")?;
    let show = "echo $GREETING $HOME $PATH; pwd; ls; id -u";
    let own = format!("export GREETING=job; srun --chdir=/home/alice sh -c '{show}'");
    let job = case.submit(&[&image, "--chdir=/opt"], &format!("{show}; {own}"))?;
    let entered = start(case, &[&image, "--bmc-entrypoint", "busybox", "id", "-u"])?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    let printed = case.output(job);
    ensure_contains(&printed, "image /home/alice /bin:/image/bin")?;
    ensure_contains(&printed, "\n/place\nmarker\n2001\n")?;
    let (_, of_step) = printed.split_once("job /home/alice /bin:/image/bin").context("no step")?;
    ensure_contains(of_step, "\n/home/alice\n")?;
    let printed = check(entered.wait_with_output()?)?;
    ensure!(printed == "entered with busybox id -u\n2001\n", "{printed}");
    Ok(())
}
