//! The site's files, and what an admin does once: kernels, an image, nodes.

use crate::artifacts;
use crate::options::Options;
use anyhow::{Context as _, Result};
use bootsrv_client::{Client, ClientConfig, Timeouts};
use protocol::api::{Firmware, NodeDefinition};
use protocol::names::{MacAddress, NodeName, Secret};
use protocol::power::{PowerDefinition, Privilege};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::simulated::slurmctld::Partition;

/// For iPXE and the API.
pub(crate) const HTTP: &str = "http://127.0.0.1:8080";
/// Kernels by name, with their release; the first is the default.
pub(crate) const KERNELS: [(&str, &str); 2] = [("k1", "6.1.0-1-storm"), ("k2", "6.12.0-1-storm")];
/// What no log may show.
pub(crate) const PASSWORD: &str = "storm-ipmi-secret";
/// What nodes get once each; it stands in one file only.
pub(crate) const SECRET: &str = "storm-munge-key-that-nobody-may-see";
/// CPUs of each node.
const CPUS: u32 = 4;

/// Of bootsrv.toml.
const QUICK_LIMITS: &str = "firmware_seconds = 40
boot_seconds = 40
register_seconds = 40
power_seconds = 40
soft_off_seconds = 4
";

/// Where everything is.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    pub(crate) programs: PathBuf,
    pub(crate) partitions: Vec<Partition>,
}

impl Site {
    /// Writes the files of a site.
    pub(crate) fn write(options: &Options, directory: &Path) -> Result<Self> {
        let own = std::env::current_exe()?;
        let beside = own.parent().context("this program is nowhere")?.to_owned();
        let programs = options.programs.clone().unwrap_or(beside);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 10,000"
        )]
        let staying = (f64::from(options.nodes) * options.stay_on.clamp(0.0, 1.0)) as usize;
        let nodes = usize::try_from(options.nodes)?;
        let partition = |place: usize, nodes, stays_on| Partition {
            name: format!("p{place}"),
            nodes,
            stays_on,
        };
        let partitions = vec![partition(0, nodes - staying, false), partition(1, staying, true)];
        let site = Self { directory: directory.to_owned(), programs, partitions };
        for name in ["state", "profiles", "bin"] {
            fs::create_dir_all(site.path(name))?;
        }
        symlink(own, site.path("bin/scontrol")).context("linking scontrol")?;
        fs::write(site.path("agent"), artifacts::agent())?;
        fs::write(site.path("secret"), SECRET)?;
        fs::write(site.path("slurm.conf"), "# for the stand-in\n")?;
        fs::write(
            site.path("bootsrv.toml"),
            site.bootsrv_toml(options.faults > 0.0 || options.kill_every > 0),
        )?;
        fs::write(site.path("client.toml"), site.client_toml())?;
        Ok(site)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where nodes hang, limits are a simulated node's, which is quick, with room for a loaded machine;
    /// else they are as a site has them.
    fn bootsrv_toml(&self, hangs: bool) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        let limits = if hangs { QUICK_LIMITS } else { "" };
        let mut text = format!(
            r#"state_dir = "{state}"
profiles_dir = "{profiles}"
listen = {{ http = "127.0.0.1:8080", https = "127.0.0.1:8443" }}
url = {{ http = "{HTTP}", https = "https://127.0.0.1:8443" }}
slurm = {{ scontrol = "{scontrol}", conf = "{conf}", user = "root", conf_server = "127.0.0.1:6817" }}
initrd = {{ agent = "{agent}", modules = ["loop"] }}

[limits]
power_on_per_second = 500
{limits}
[[site_file]]
path = "/etc/munge/munge.key"
source = "{secret}"
mode = "0400"
secret = true
"#,
            state = path("state"),
            profiles = path("profiles"),
            scontrol = path("bin/scontrol"),
            conf = path("slurm.conf"),
            agent = path("agent"),
            secret = path("secret"),
        );
        for partition in self.partitions.iter().filter(|partition| partition.nodes > 0) {
            let after = if partition.stays_on { "stay_on" } else { "off" };
            text += &format!(
                "\n[[partition]]\nname = \"{}\"\ndefault_kernel = \"k1\"\ndefault_image = \"i\"\n\
                 after_job = \"{after}\"\n",
                partition.name
            );
        }
        text
    }

    fn client_toml(&self) -> String {
        format!(
            "server = \"{HTTP}\"\npartitions = [\"p0\", \"p1\"]\nscontrol = \"{}\"\n\
             prolog_timeout_seconds = 280\nslurm_user = \"root\"\n",
            self.path("bin/scontrol").display()
        )
    }

    /// A client for what an admin does.
    pub(crate) fn client(&self) -> Result<Client> {
        let config = ClientConfig::load(&self.path("client.toml"))?;
        Ok(Client::new(&config, Timeouts::total(Duration::from_secs(60))))
    }

    /// Imports kernels, image and nodes, as `bmc` does.
    pub(crate) fn import(&self, definitions: &[NodeDefinition]) -> Result<()> {
        let client = self.client()?;
        let file = self.path("upload");
        for (seed, (name, release)) in (10..).zip(KERNELS) {
            fs::write(&file, artifacts::package(release, seed)?)?;
            client.put_kernel(&name.parse()?, &file).with_context(|| format!("kernel {name}"))?;
        }
        fs::write(&file, artifacts::image()?)?;
        client.put_image(&"i".parse()?, &file).context("the node image")?;
        fs::remove_file(&file)?;
        client.put_nodes(definitions).context("the nodes")
    }
}

/// The node of that place, from 0: its own address below 127.1, its controller's below 127.2.
pub(crate) fn definition(place: u16) -> Result<NodeDefinition> {
    let [high, low] = place.to_be_bytes();
    Ok(NodeDefinition {
        name: name(place)?,
        mac: MacAddress([0x52, 0x54, 0, 1, high, low]),
        address: format!("{}/8", Ipv4Addr::new(127, 1, high, low)),
        gateway: None,
        cpus: CPUS,
        threads_per_core: 1,
        memory_mib: None,
        power: PowerDefinition::Ipmi {
            address: controller(place).to_string(),
            user: "admin".into(),
            password: Secret::new(PASSWORD.into()),
            cipher_suite: None,
            kg: None,
            privilege: Privilege::default(),
        },
        outlet: None,
        firmware: Firmware::Bios,
        console_log: None,
        console: None,
    })
}

pub(crate) fn controller(place: u16) -> Ipv4Addr {
    let [high, low] = place.to_be_bytes();
    Ipv4Addr::new(127, 2, high, low)
}

pub(crate) fn name(place: u16) -> Result<NodeName> {
    Ok(format!("n{}", place + 1).parse()?)
}
