//! The QEMU process of one node: its command line, its start, its end.

use crate::chassis::fault::Fault;
use crate::chassis::{Chassis, ChassisError};
use crate::process;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const QEMU: &str = "/usr/bin/qemu-system-x86_64";
const VIRTIOFSD: &str = "/usr/lib/qemu/virtiofsd";
/// How long QEMU may need to be gone after SIGKILL.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How long virtiofsd may need for its socket.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(3);
/// A console log larger than this, in bytes, is set aside at the next start.
const CONSOLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The running QEMU of the node, or `None`. A pid file whose process is another one counts as none.
#[must_use]
pub fn running(node_dir: &Path) -> Option<u32> {
    let pid = process::read_pid_file(&node_dir.join("qemu.pid"))?;
    process::stat(pid)?;
    let pid_file = node_dir.join("qemu.pid").display().to_string();
    process::arguments(pid).contains(&pid_file).then_some(pid)
}

/// A kernel that QEMU itself puts into memory: no network boot, and no firmware worth speaking of.
#[derive(Debug, Clone, Copy)]
pub struct DirectKernel<'a> {
    /// The kernel's file.
    pub kernel: &'a str,
    /// Its initrd's file.
    pub initrd: &'a str,
    /// The kernel arguments.
    pub arguments: &'a str,
}

impl Chassis {
    /// Starts QEMU and returns when it has its pid file and its control socket.
    pub(crate) fn start(&self, fault: Fault) -> Result<(), ChassisError> {
        self.launch(&self.qemu_arguments(fault))
    }

    /// Starts the very same machine with a kernel in its memory already, for comparisons.
    pub(crate) fn start_directly(&self, direct: DirectKernel<'_>) -> Result<(), ChassisError> {
        let mut arguments = self.qemu_arguments(Fault::NoBoot);
        let DirectKernel { kernel, initrd, arguments: append } = direct;
        for (name, value) in [("kernel", kernel), ("initrd", initrd), ("append", append)] {
            arguments.extend([format!("-{name}"), value.to_owned()]);
        }
        self.launch(&arguments)
    }

    fn launch(&self, arguments: &[String]) -> Result<(), ChassisError> {
        for stale in ["qemu.pid", "qmp", "virtiofs.sock", "debugger"] {
            self.forget(stale)?;
        }
        self.set_console_aside()?;
        self.start_file_system()?;
        let log = self.file("qemu.log");
        let output = open_log(&log)?;
        let status = Command::new(QEMU)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .status()
            .map_err(|source| ChassisError::Start { program: QEMU, source })?;
        if status.success() && running(&self.run.node(self.node)).is_some() {
            return Ok(());
        }
        Err(ChassisError::NotStarted { node: self.node, log })
    }

    /// Ends QEMU as a power cut does, and returns when it is gone.
    pub(crate) fn kill(&self) -> Result<(), ChassisError> {
        let Some(pid) = running(&self.run.node(self.node)) else { return Ok(()) };
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may have ended by itself meanwhile; what counts is the look below.
            kill_process(id, Signal::KILL).ok();
        }
        let deadline = Instant::now() + END_TIMEOUT;
        while process::stat(pid).is_some() {
            if Instant::now() > deadline {
                return Err(ChassisError::StillThere(pid));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn forget(&self, name: &str) -> Result<(), ChassisError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(ChassisError::File { doing: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    fn set_console_aside(&self) -> Result<(), ChassisError> {
        let path = self.file("console.log");
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > CONSOLE_BYTES_MAX) {
            fs::rename(&path, self.file("console.log.1")).map_err(|source| ChassisError::File {
                doing: "rename",
                path,
                source,
            })?;
        }
        Ok(())
    }

    /// Starts the process that shares the home directory with the node; it ends with QEMU.
    fn start_file_system(&self) -> Result<(), ChassisError> {
        let socket = self.file("virtiofs.sock");
        let log = open_log(&self.file("virtiofsd.log"))?;
        Command::new(VIRTIOFSD)
            .arg(format!("--socket-path={}", socket.display()))
            .arg("-o")
            .arg(format!("source={}", self.run.join("home").display()))
            .args(["-o", "cache=auto", "-o", "sandbox=chroot"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(|source| ChassisError::Start { program: VIRTIOFSD, source })?;
        let deadline = Instant::now() + SOCKET_TIMEOUT;
        while !socket.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// QEMU's arguments. Software emulation on purpose: with hardware help guests crash on some
    /// hosts, and the cluster must be the same everywhere.
    pub(crate) fn qemu_arguments(&self, fault: Fault) -> Vec<String> {
        let node = self.node;
        let path = |name: &str| self.file(name).display().to_string();
        let memory = self.hardware.memory_mib;
        let rom = if fault == Fault::NoBoot { "romfile=" } else { "bootindex=1" };
        let options = [
            ("name", node.to_string()),
            ("machine", "q35,accel=tcg,graphics=off,memory-backend=memory".to_owned()),
            ("object", format!("memory-backend-memfd,id=memory,size={memory}M,share=on")),
            ("m", memory.to_string()),
            ("smp", format!("{0},threads={0}", self.hardware.threads)),
            ("display", "none".to_owned()),
            ("uuid", format!("00000000-0000-4000-8000-5254007700{:02x}", node.number())),
            ("smbios", format!("type=1,serial={node}")),
            ("rtc", "base=utc,clock=host".to_owned()),
            ("netdev", format!("tap,id=net0,ifname={},script=no,downscript=no", node.tap())),
            ("device", format!("virtio-net-pci,netdev=net0,mac={},{rom}", node.mac())),
            ("object", "rng-random,id=random0,filename=/dev/urandom".to_owned()),
            ("device", "virtio-rng-pci,rng=random0".to_owned()),
            ("chardev", format!("socket,id=home0,path={}", path("virtiofs.sock"))),
            ("device", "vhost-user-fs-pci,chardev=home0,tag=home".to_owned()),
            ("chardev", format!("file,id=console0,path={},append=on", path("console.log"))),
            ("serial", "chardev:console0".to_owned()),
            ("qmp", format!("unix:{},server=on,wait=off", path("qmp"))),
            ("pidfile", path("qemu.pid")),
        ];
        let mut arguments: Vec<String> =
            ["-nodefaults", "-no-user-config", "-daemonize"].map(str::to_owned).into();
        if let Some(model) = &self.hardware.cpu_model {
            arguments.extend(["-cpu".to_owned(), model.clone()]);
        }
        for (name, value) in options {
            arguments.extend([format!("-{name}"), value]);
        }
        if fault == Fault::SlowFirmware {
            // On, and standing still.
            arguments.push("-S".to_owned());
        }
        if fault == Fault::Panic {
            let socket = path("debugger");
            arguments.extend([
                "-chardev".to_owned(),
                format!("socket,id=debugger0,path={socket},server=on,wait=off"),
                "-gdb".to_owned(),
                "chardev:debugger0".to_owned(),
            ]);
        }
        arguments
    }
}

fn open_log(path: &Path) -> Result<File, ChassisError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|source| ChassisError::File {
        doing: "open",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::layout::RunDir;
    use crate::cluster::node::Hardware;

    fn arguments(fault: Fault) -> String {
        let run = RunDir::new(Path::new("/var/tmp/x")).unwrap();
        let node = "n2".parse().unwrap();
        Chassis { run, node, hardware: Hardware::of(node, 2, 512) }.qemu_arguments(fault).join(" ")
    }

    #[test]
    fn the_card_boots_unless_the_fault_says_otherwise() {
        let good = arguments(Fault::None);
        assert!(good.contains("mac=52:54:00:77:00:02,bootindex=1"));
        assert!(good.contains("-cpu Nehalem") && good.contains("-smp 2,threads=2"));
        assert!(arguments(Fault::NoBoot).contains("mac=52:54:00:77:00:02,romfile= "));
    }
}
