//! A real baseboard controller simulator (ipmi_sim of OpenIPMI) on a free loopback port, ipmitool as
//! the second opinion on it, and a lossy network in front of it.

pub(crate) mod capture;
pub(crate) mod ipmitool;
pub(crate) mod network;

use crate::support::ipmitool::Ipmitool;
use ipmi::{Client, ClientConfig, ControllerAddress, Error};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const ADMIN: (&str, &str) = ("admin", "s3cretpw");
pub(crate) const OPERATOR: (&str, &str) = ("oper", "operpass");
pub(crate) const CONTROLLER_KEY: &[u8] = b"key-of-the-site";
pub(crate) const PROGRAMS: [&str; 3] = ["ipmi_sim", "ipmitool", "sdrcomp"];
/// The simulator answers at once or, while it starts, never.
pub(crate) const IMPATIENT: ClientConfig = ClientConfig {
    reply_timeout: Duration::from_millis(200),
    tries: 8,
    busy_tries: 3,
    busy_pause: Duration::from_millis(20),
    keep_alive: Duration::from_millis(500),
};
const START_SECONDS_MAX: u64 = 10;

const LAN: &str = r#"name "sim"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 @PORT@
    priv_limit admin
    allowed_auths_callback md5
    allowed_auths_user md5
    allowed_auths_operator md5
    allowed_auths_admin md5
    guid a123456789abcdefa123456789abcdef
    @KEY@
  endlan
  @SERIAL@
  chassis_control "@DIR@/chassis.sh @DIR@"
  user 2 true "admin" "s3cretpw" admin 10 none md2 md5 straight
  user 3 true "oper" "operpass" operator 10 none md2 md5 straight
"#;

const EMULATOR: &str = r#"mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
sensor_add 0x20 0 0 35 0x6f event-only
sensor_set_event_support 0x20 0 0 enable scanning per-state 000000000001111 000000000000000 000000000001111 000000000000000
sensor_add 0x20 0 1 0x01 0x01
sensor_set_value 0x20 0 1 0x2a 0
sensor_set_event_support 0x20 0 1 enable scanning per-state 000111111000000 000111111000000 000111111000000 000111111000000
sensor_add 0x20 0 2 0x0b 0x01 poll 100 file "@DIR@/watts" div=4
sensor_set_event_support 0x20 0 2 enable scanning per-state 000111111000000 000111111000000 000111111000000 000111111000000
mc_enable 0x20
"#;

/// Keeps the power in a file instead of a machine.
const CHASSIS: &str = include_str!("chassis.sh");

/// Three records: the controller, a temperature, and the power meter with 4 W a step.
const RECORDS: &str = include_str!("records.sdrs");

/// A running simulator; ends with the value.
pub(crate) struct Simulator {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Simulator {
    pub(crate) async fn start() -> Self {
        Self::start_with("", "").await
    }

    /// With the serial port's other end at `serial`, where somebody must listen already.
    pub(crate) async fn start_with_serial(serial: SocketAddr) -> Self {
        let (ip, port) = (serial.ip(), serial.port());
        Self::start_with("", &format!("sol \"tcp:{ip}:{port}\" 115200")).await
    }

    /// Lines for the site's controller key and for a serial port, or nothing.
    pub(crate) async fn start_with(key: &str, serial: &str) -> Self {
        let dir = TempDir::new().unwrap();
        // A port that is free now; the simulator can bind to a fixed one only.
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let fill = |text: &str| {
            text.replace("@DIR@", dir.path().to_str().unwrap())
                .replace("@PORT@", &port.to_string())
                .replace("@KEY@", key)
                .replace("@SERIAL@", serial)
        };
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), fill(text)).unwrap();
        write("lan.conf", LAN);
        write("sim.emu", EMULATOR);
        write("records.sdrs", RECORDS);
        write("chassis.sh", CHASSIS);
        write("power", "0");
        write("boot", "default");
        write("watts", "236");
        let script = dir.path().join("chassis.sh");
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        let records = dir.path().join("state/ipmi_sim/sim");
        fs::create_dir_all(&records).unwrap();
        let compiled = Command::new("sdrcomp")
            .arg("-o")
            .arg(records.join("sdr.20.main"))
            .arg(dir.path().join("records.sdrs"))
            .status()
            .unwrap();
        assert!(compiled.success(), "sdrcomp");
        let child = spawn(dir.path());
        let mut simulator = Self { dir, port, child };
        simulator.wait(key.is_empty()).await;
        simulator
    }

    /// Kills the simulator and starts it anew: it forgets its sessions.
    pub(crate) async fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.dir.path());
        self.wait(true).await;
    }

    async fn wait(&mut self, plain: bool) {
        let mut address = self.address(ADMIN);
        if !plain {
            address.controller_key = Some(CONTROLLER_KEY.to_vec());
        }
        let begun = Instant::now();
        while let Err(error) = Client::connect_with(&address, IMPATIENT).await {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ipmi_sim ended: {ended:?}; {}", self.file("sim.log"));
            assert!(begun.elapsed().as_secs() < START_SECONDS_MAX, "ipmi_sim is silent: {error:?}");
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn address(&self, (user, password): (&str, &str)) -> ControllerAddress {
        ControllerAddress::new(self.addr(), user.to_owned(), password.to_owned())
    }

    pub(crate) async fn connect(&self, account: (&str, &str)) -> Result<Client, Error> {
        Client::connect_with(&self.address(account), IMPATIENT).await
    }

    /// What the chassis script wrote.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default().trim().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// ipmitool on the same controller.
    pub(crate) fn tool(&self) -> Ipmitool {
        Ipmitool::new(self.addr(), ADMIN, 3)
    }

    /// What ipmitool prints about the same controller.
    pub(crate) async fn ipmitool(&self, arguments: &str) -> String {
        self.tool().run(arguments).await
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing left to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(dir: &Path) -> Child {
    let log = fs::File::create(dir.join("sim.log")).unwrap();
    Command::new("ipmi_sim")
        .arg("-c")
        .arg(dir.join("lan.conf"))
        .arg("-f")
        .arg(dir.join("sim.emu"))
        .arg("-s")
        .arg(dir.join("state"))
        .arg("-n")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
