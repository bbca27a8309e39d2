//! The services of a cluster, in the order of their start, and how we know that each is ready.

use crate::cluster::error::{ClusterError, Result};
use crate::cluster::inside::Inside;
use crate::cluster::layout::{PROGRAM_DIR, RunDir};
use crate::cluster::node::Node;
use crate::cluster::on_demand::{self, OnDemand, Ready};
use crate::cluster::options::Options;
use crate::cluster::serial;
use std::time::{Duration, Instant};

/// How long each service may need; generous, because nodes may be booting on the same processors.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(50);

/// One long-living program of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: String,
    user: &'static str,
    words: Vec<String>,
}

/// The services of a cluster, in the order of their start. `bootsrv` is among them only where it
/// has been built and configured.
pub(crate) fn services(run: &RunDir, options: &Options) -> Vec<Service> {
    let path = |name: &str| run.join(name).display().to_string();
    let service = |name: &str, user, words: &[&str]| Service {
        name: name.to_owned(),
        user,
        words: words.iter().map(|&word| word.to_owned()).collect(),
    };
    let dnsmasq_conf = format!("--conf-file={}", path("network/dnsmasq.conf"));
    let mut all = vec![
        service("dnsmasq", "root", &["dnsmasq", "--keep-in-foreground", &dnsmasq_conf]),
        service(
            "munged",
            "munge",
            &["munged", "--foreground", "--seed-file=/run/munge/munged.seed"],
        ),
        service("power", "root", &[&format!("{PROGRAM_DIR}/vcluster-power"), &path("")]),
    ];
    all.extend(Node::first(options.nodes).filter_map(|node| cable(run, options, node)));
    all.extend(Node::first(options.nodes).map(|node| controller(run, node)));
    if bootsrv_is_here(run) {
        let program = format!("{PROGRAM_DIR}/bootsrv");
        let words: Vec<&str> = std::iter::once(program.as_str())
            .chain(options.bootsrv_arguments.iter().map(String::as_str))
            .collect();
        all.push(service("bootsrv", "slurm", &words));
    }
    all.push(service("slurmctld", "slurm", &["slurmctld", "-D", "-f", "/etc/slurm/slurm.conf"]));
    all
}

/// Services that are started only when somebody asks.
pub(crate) fn on_demand(run: &RunDir) -> Vec<Service> {
    let service =
        |one: OnDemand| Service { name: one.name.to_owned(), user: "root", words: one.words };
    on_demand::all(run).into_iter().map(service).collect()
}

/// The name of the service that is a node's baseboard controller.
pub(crate) fn controller_name(node: Node) -> String {
    format!("controller-{node}")
}

fn controller(run: &RunDir, node: Node) -> Service {
    let path = |name: &str| run.node(node).join(name).display().to_string();
    let words = ["ipmi_sim", "-n", "-c", &path("lan.conf"), "-f", &path("emulator"), "-s"];
    let words = words.into_iter().chain([path("simulator").as_str()]).map(str::to_owned).collect();
    Service { name: controller_name(node), user: "root", words }
}

/// A cable where the node's console goes over LAN: the controller connects to it when it starts.
fn cable(run: &RunDir, options: &Options, node: Node) -> Option<Service> {
    let (address, port) = serial::cable(node);
    let file = run.node(node).join("console.log").display().to_string();
    let words = vec![format!("{PROGRAM_DIR}/vcluster-serial"), format!("{address}:{port}"), file];
    let name = serial::SERVICE.to_owned();
    serial::is_over_lan(node, options.nodes).then_some(Service { name, user: "root", words })
}

/// Whether `bootsrv` is built and has its configuration.
pub(crate) fn bootsrv_is_here(run: &RunDir) -> bool {
    run.programs().join("bootsrv").is_file() && run.join("etc/bootsrv.toml").is_file()
}

/// Starts one service and returns when it answers.
pub(crate) fn start(run: &RunDir, inside: &Inside, service: &Service) -> Result<()> {
    let words: Vec<&str> = service.words.iter().map(String::as_str).collect();
    inside.start_service(&service.name, service.user, &words)?;
    let deadline = Instant::now() + READY_TIMEOUT;
    while !is_ready(run, inside, service)? {
        // A service that ends at once will not become ready; slurmctld writes its pid file late.
        let ended =
            inside.service_pid(&service.name).is_some() && !inside.is_running(&service.name);
        if ended || Instant::now() > deadline {
            return Err(ClusterError::NotReady {
                what: service.name.clone(),
                seconds: READY_TIMEOUT.as_secs(),
                hint: format!(
                    "{}see {}",
                    if ended { "it ended by itself; " } else { "" },
                    run.join("log/services").join(format!("{}.log", service.name)).display()
                ),
            });
        }
        std::thread::sleep(INTERVAL);
    }
    Ok(())
}

fn is_ready(run: &RunDir, inside: &Inside, service: &Service) -> Result<bool> {
    let succeeds = |words: &[&str]| Ok(inside.output("root", words)?.status.success());
    match service.name.as_str() {
        "munged" => succeeds(&["sh", "-c", "munge -n | unmunge"]),
        "power" => Ok(Node::first(1).all(|node| run.node(node).join("watts").exists())),
        "slurmctld" => {
            // scontrol prints "is UP" and succeeds also when it prints "is DOWN".
            let output = inside.output("root", &["scontrol", "ping"])?;
            Ok(String::from_utf8_lossy(&output.stdout).contains(" is UP"))
        }
        name if name.starts_with("controller-") => {
            let node = name.trim_start_matches("controller-").parse::<Node>();
            node.map_or(Ok(true), |node| {
                let status = ["chassis", "power", "status"];
                let words = ipmitool(run, node, &status);
                let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
                words.splice(1..1, ["-N", "1", "-R", "1"]);
                succeeds(&words)
            })
        }
        serial::SERVICE => service
            .words
            .get(1)
            .map_or(Ok(false), |address| succeeds(&["bash", "-c", &connect(address)])),
        name => match on_demand::all(run).into_iter().find(|one| one.name == name) {
            Some(OnDemand { ready: Ready::Accepts(address), .. }) => {
                succeeds(&["bash", "-c", &connect(&address)])
            }
            Some(OnDemand { ready: Ready::Succeeds(words), .. }) => {
                succeeds(&words.iter().map(String::as_str).collect::<Vec<_>>())
            }
            None => Ok(inside.is_running(name)),
        },
    }
}

/// For bash, which opens the connection itself.
fn connect(address: &str) -> String {
    format!("exec 3<>/dev/tcp/{}", address.replacen(':', "/", 1))
}

/// `ipmitool` for the node's controller. Suite 3 is the best that the simulator has; the password
/// is read from its file, so that no command line shows it.
pub(crate) fn ipmitool(run: &RunDir, node: Node, words: &[&str]) -> Vec<String> {
    let password = run.node(node).join("password").display().to_string();
    ["ipmitool", "-I", "lanplus", "-C", "3", "-H", &node.controller_address(), "-U", "admin", "-f"]
        .into_iter()
        .chain([password.as_str()])
        .chain(words.iter().copied())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn bootsrv_starts_before_slurmctld_and_only_where_it_is_configured() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path()).unwrap();
        let names = || {
            let options = Options { nodes: 2, ..Options::default() };
            services(&run, &options).into_iter().map(|service| service.name).collect::<Vec<_>>()
        };
        let mut expected =
            ["dnsmasq", "munged", "power", "serial", "controller-n1", "controller-n2", "slurmctld"]
                .to_vec();
        assert_eq!(names(), expected);
        for name in ["bin/bootsrv", "etc/bootsrv.toml"] {
            std::fs::create_dir_all(run.join(name).parent().unwrap()).unwrap();
            std::fs::write(run.join(name), "").unwrap();
        }
        expected.insert(6, "bootsrv");
        assert_eq!(names(), expected);
    }

    #[test]
    fn no_command_line_shows_a_password() {
        let run = RunDir::new(Path::new("/var/tmp/x")).unwrap();
        let words = ipmitool(&run, "n1".parse().unwrap(), &["chassis", "status"]).join(" ");
        assert!(words.ends_with("-U admin -f /var/tmp/x/nodes/n1/password chassis status"));
    }
}
