//! Kernels and images as administrators bring them, and as they replace them.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tests::cluster::Options;
use tests::product::{Assets, bmc, check, wait_until};

/// A kernel file and its modules, as they lie on a disk.
struct Parts {
    vmlinuz: PathBuf,
    modules: PathBuf,
    release: String,
}

/// A file that the virtual cluster was brought up with.
fn asset(name: &str) -> PathBuf {
    Assets::beside(&Options::default().program_dir).directory.join(name)
}

/// Unpacks a package of the virtual cluster without installing it.
fn unpack(case: &Case<'_>, name: &str) -> Result<Parts> {
    let package = asset(&format!("{name}.deb"));
    let to = case.cluster.dir().join("parts").join(name);
    std::fs::create_dir_all(&to)?;
    let unpacked = Command::new("dpkg-deb").arg("--extract").arg(package).arg(&to).output()?;
    check(unpacked).with_context(|| format!("unpacking {name}"))?;
    let tree = ["lib/modules", "usr/lib/modules"].map(|tree| to.join(tree));
    let tree = tree.iter().find(|tree| tree.is_dir()).context("the package has no modules")?;
    let modules = std::fs::read_dir(tree)?.next().context("the tree is empty")??.path();
    let release = modules.file_name().context("no release")?.to_string_lossy().into_owned();
    Ok(Parts { vmlinuz: to.join(format!("boot/vmlinuz-{release}")), modules, release })
}

fn import(case: &Case<'_>, name: &str, vmlinuz: &Path, modules: &Path) -> Result<Output> {
    let (vmlinuz, modules) = (vmlinuz.to_string_lossy(), modules.to_string_lossy());
    bmc(case.cluster, &["kernel", "import", name, "--vmlinuz", &vmlinuz, "--modules", &modules])
}

/// A vmlinuz and its compressed modules become a kernel that jobs boot; what does not belong
/// together is refused.
pub(crate) fn kernel_from_parts_boots(case: &Case<'_>) -> Result<()> {
    let new = unpack(case, "6.12-cloud")?;
    let old = unpack(case, "6.1-cloud")?;
    let imported = check(import(case, "by-hand", &new.vmlinuz, &new.modules)?)?;
    ensure_contains(&imported, &new.release)?;
    let script = "uname -r; /usr/sbin/modprobe --show-depends dummy; \
                  ls /usr/lib/modules/$(uname -r)/kernel/drivers/net/dummy.ko*";
    let printed = case.run(&["--bmc-kernel=by-hand"], script)?;
    ensure_contains(&printed, &new.release)?;
    ensure!(printed.contains("insmod /") && printed.contains("dummy.ko"), "{printed}");

    // A kernel with the modules of another, under their own name and under a false one.
    let refused = import(case, "mixed", &old.vmlinuz, &new.modules)?;
    ensure_refused(&refused, &["kernel file is release", &old.release, &new.release])?;
    let disguised = new.modules.with_file_name(&old.release);
    std::fs::rename(&new.modules, &disguised)?;
    let refused = import(case, "mixed", &old.vmlinuz, &disguised)?;
    ensure_refused(&refused, &["was built for", &new.release])?;

    check(bmc(case.cluster, &["kernel", "rm", "by-hand"])?)?;
    let listed = check(bmc(case.cluster, &["kernel", "list"])?)?;
    ensure!(!listed.contains("by-hand") && !listed.contains("mixed"), "{listed}");
    Ok(std::fs::remove_dir_all(case.cluster.dir().join("parts"))?)
}

/// What a job boots is fixed when it gets its nodes: names that are imported again while its node
/// boots count for the next job.
pub(crate) fn reimport_leaves_a_boot_alone(case: &Case<'_>) -> Result<()> {
    let package = asset("6.1-cloud.deb");
    let image = asset("debian12.tar");
    check(bmc(case.cluster, &["kernel", "import", "moving", &package.to_string_lossy()])?)?;
    check(bmc(case.cluster, &["image", "import", "moving", &image.to_string_lossy()])?)?;
    let before = case.json(&["image", "show", "moving"])?;
    let (vmlinuz, modules, root) = useless(case)?;

    let options = ["--bmc-kernel=moving", "--bmc-image=moving"];
    let job = case.submit(&options, "uname -r")?;
    wait_until(Duration::from_secs(30), "the job has its node", || {
        Ok(bmc(case.cluster, &["status", &job.to_string()])?.status.success())
    })?;
    check(import(case, "moving", &vmlinuz, &modules)?)?;
    check(bmc(case.cluster, &["image", "import", "moving", &root.to_string_lossy()])?)?;
    let state = case.field(job, "JobState")?;
    ensure!(state == "CONFIGURING", "the imports came too late: job {job} is {state}");
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(job), "-cloud-amd64")?;

    let after = case.json(&["image", "show", "moving"])?;
    ensure!(before.get("layers") != after.get("layers"), "the image was not replaced");
    let shown = check(bmc(case.cluster, &["kernel", "show", "moving"])?)?;
    ensure_contains(&shown, "9.9.9-useless")?;
    case.wait_all_off()?;
    check(bmc(case.cluster, &["kernel", "rm", "moving"])?)?;
    check(bmc(case.cluster, &["image", "rm", "moving"])?)?;
    Ok(())
}

/// A kernel and an image that can be imported within a second, and boot nothing.
fn useless(case: &Case<'_>) -> Result<(PathBuf, PathBuf, PathBuf)> {
    const RELEASE: &str = "9.9.9-useless";
    let directory = case.cluster.dir().join("useless");
    let modules = directory.join("modules").join(RELEASE);
    std::fs::create_dir_all(modules.join("kernel"))?;
    // A module of the kernel that runs the test would do too; an empty object file is enough.
    std::fs::write(modules.join("kernel/useless.ko"), empty_object())?;
    let vmlinuz = directory.join("bzImage");
    std::fs::write(&vmlinuz, empty_kernel(RELEASE))?;
    let root = directory.join("root");
    std::fs::create_dir_all(root.join("sbin"))?;
    std::fs::copy("/bin/false", root.join("sbin/init"))?;
    Ok((vmlinuz, modules, root))
}

/// The header that the x86 boot protocol wants (Documentation/arch/x86/boot.rst), and a version.
fn empty_kernel(release: &str) -> Vec<u8> {
    let text = format!("{release} (nobody) #1\0");
    let head = [&[0; 0x202][..], b"HdrS", &[0; 8], &0x100_u16.to_le_bytes()].concat();
    let gap = vec![0; 0x300 - head.len()];
    [head, gap, text.into_bytes(), vec![0; 512]].concat()
}

/// An ELF object without sections of its own: enough for depmod.
fn empty_object() -> Vec<u8> {
    let identity: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0";
    // Type, machine, version, entry, program headers, section headers, flags, sizes and counts:
    // two sections follow the header, the second with their (no) names.
    let header = [
        identity,
        &[1, 0, 62, 0, 1, 0, 0, 0],
        &[0; 16],
        &[64, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0, 2, 0, 1, 0],
    ]
    .concat();
    let mut sections = vec![0; 128];
    for (at, byte) in [(68, 3), (88, 192), (96, 1)] {
        if let Some(place) = sections.get_mut(at) {
            *place = byte;
        }
    }
    [header, sections, vec![0]].concat()
}
