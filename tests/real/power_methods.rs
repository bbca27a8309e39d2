//! Nodes whose power is switched by other methods than the cluster's usual one, beside those that have
//! it: every method on its real wire, and tools of others for a second opinion.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use tests::chassis::outlet::{OUTLET_FILE, RESTORE_FILE};
use tests::chassis::qmp;
use tests::cluster::layout::RunDir;
use tests::cluster::network::BRIDGE;
use tests::cluster::power_methods::{self, CERTIFICATE, Method, REDFISH_ADDRESS, SECURE_ON};
use tests::cluster::site::PARTITION;
use tests::cluster::{Fault, Node};
use tests::product::record::whole;
use tests::product::{bmc, check, wait_until};

/// What the cluster starts with, and where a case writes its own; as seen inside.
const USUAL: &str = "/etc/bare-metal-container/generated/nodes.toml";
const CHANGED: &str = "/etc/bare-metal-container/site/nodes-of-case.toml";
/// Longest until a node is known to be off whose silence alone shows it, in seconds: its agent hears
/// of it, shuts down, and is silent for 35 s.
const SILENT: u64 = 120;

/// IPMI with cipher suites 3 and 17, Redfish and Wake-on-LAN: one job over all of them.
pub(crate) fn one_job_over_all_power_methods(case: &Case<'_>) -> Result<()> {
    let methods = [(2, Method::Redfish), (3, Method::WakeOnLan), (4, Method::Suite17)];
    with_methods(case, &methods, None, || {
        only_its_own_packet_wakes(case)?;
        let job = over_all(case, 4, || {
            all_say(case, "on")?;
            redfish_says(case, "On")?;
            suite_17_says(case, "on")
        })?;
        redfish_says(case, "Off")?;
        suite_17_says(case, "off")?;
        energy(case, job, &[true, false, false, true])?;
        a_packet_of_others_wakes(case)
    })
}

/// AMT, an outlet of a power distribution unit, and a program of the site's own: one job over these.
pub(crate) fn one_job_by_amt_outlet_and_program(case: &Case<'_>) -> Result<()> {
    let methods = [(1, Method::Exec), (2, Method::Amt), (3, Method::Pdu)];
    let outlet_says = |expected| outlet_says(case, 3, expected);
    with_methods(case, &methods, None, || {
        // A node that starts when its power comes back is off while it has none.
        check_words(case, &power_methods::outlet_off(3))?;
        fs::write(node_dir(case, case.node(3)?).join(RESTORE_FILE), "")?;
        let job = over_all(case, 3, || {
            all_say(case, "on")?;
            outlet_says("1")
        })?;
        outlet_says("2")?;
        energy(case, job, &[false, false, false])
    })
}

/// A controller that takes "off" and does nothing: its node goes off by its outlet, and the next job
/// runs on it.
pub(crate) fn an_outlet_is_the_last_resort(case: &Case<'_>) -> Result<()> {
    let hard = |conf: &str| conf.replacen("[limits]\n", "[limits]\nsoft_off_seconds = 0\n", 1);
    let result = case.with_changed("etc/bootsrv.toml", hard, || {
        case.restart_bootsrv()?;
        with_methods(case, &[], Some(1), || last_resort(case))
    });
    case.restart_bootsrv()?;
    result
}

fn last_resort(case: &Case<'_>) -> Result<()> {
    let node = case.node(1)?;
    case.cluster.fault(node, Fault::IgnoreOff)?;
    let job = case.submit(&["-w", "n1"], "sleep 5")?;
    case.wait(job, "RUNNING", BOOT_SECONDS)?;
    case.cluster.ipmitool(node, &["chassis", "power", "off"])?;
    // Its operating system shuts down when the job is over, and has no effect on the power either.
    let socket = node_dir(case, node).join("qmp");
    qmp::command(&socket, "set-action", json!({ "shutdown": "pause" }))?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    // Longer than it takes to shut down.
    std::thread::sleep(Duration::from_secs(3));
    ensure!(case.cluster.is_on(node), "n1 went off by itself: this case proves nothing");
    wait_until(Duration::from_secs(60), "n1 has no power", || Ok(!case.cluster.is_on(node)))?;
    outlet_says(case, 1, "2")?;
    case.wait_all_off()?;
    let reason = case.reason(node)?;
    ensure!(reason.is_empty(), "n1 is out of use: {reason}");
    case.cluster.fault(node, Fault::None)?;
    ensure!(case.run(&["-w", "n1"], "hostname")?.trim() == "n1", "not on n1");
    outlet_says(case, 1, "1")?;
    case.wait_all_off()
}

/// Runs `body` with some nodes switched by other methods, and one with an outlet; then, also after a
/// failure, the nodes are again what they were.
fn with_methods(
    case: &Case<'_>,
    methods: &[(usize, Method)],
    outlet: Option<usize>,
    body: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let outlets = outlet.map(|number| (number, Method::Pdu));
    let used = methods.iter().chain(&outlets).filter_map(|(_, method)| method.service());
    let used: Vec<&str> = used.collect();
    let changed = || {
        used.iter().try_for_each(|service| case.cluster.start_service(service))?;
        import_changed(case, methods, outlets)?;
        body()
    };
    let result = changed();
    let back = as_usual(case, &used).context("making the nodes what they were");
    result.and(back)
}

fn import_changed(
    case: &Case<'_>,
    methods: &[(usize, Method)],
    outlet: Option<(usize, Method)>,
) -> Result<()> {
    let run = RunDir::new(case.cluster.dir())?;
    let text = fs::read_to_string(run.join("etc/generated/nodes.toml"))?;
    let mut file: toml::Table = toml::from_str(&text)?;
    let nodes = file.get_mut("node").and_then(toml::Value::as_array_mut).context("no nodes")?;
    let fingerprint = fingerprint(case)?;
    let powers = methods.iter().map(|one| (*one, "power"));
    for ((number, method), key) in powers.chain(outlet.map(|one| (one, "outlet"))) {
        let text = format!("{key} = {}", method.definition(&run, case.node(number)?, &fingerprint));
        let node = nodes.get_mut(number - 1).and_then(toml::Value::as_table_mut);
        node.context("fewer nodes")?.extend(toml::from_str::<toml::Table>(&text)?);
    }
    fs::write(run.join("etc/site/nodes-of-case.toml"), toml::to_string(&file)?)?;
    check(bmc(case.cluster, &["node", "import", CHANGED])?)?;
    Ok(())
}

fn fingerprint(case: &Case<'_>) -> Result<String> {
    let words = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", CERTIFICATE];
    let printed = case.cluster.check(&words)?;
    Ok(printed.trim().split_once('=').context("openssl shows no fingerprint")?.1.to_owned())
}

fn as_usual(case: &Case<'_>, used: &[&str]) -> Result<()> {
    case.cluster.check(&["scancel", &format!("--partition={PARTITION}")])?;
    for node in case.cluster.nodes() {
        for name in [OUTLET_FILE, RESTORE_FILE] {
            fs::remove_file(node_dir(case, node).join(name)).or_else(|error| {
                if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
            })?;
        }
    }
    check(bmc(case.cluster, &["node", "import", USUAL])?)?;
    used.iter().try_for_each(|service| case.cluster.stop_service(service, "TERM"))?;
    Ok(())
}

/// Runs a job over the first nodes: each runs the asked kernel, is on while the job is there, looked at
/// by `meanwhile`, and really off afterwards. Gives the job.
fn over_all(case: &Case<'_>, count: usize, meanwhile: impl FnOnce() -> Result<()>) -> Result<u32> {
    let thp = "/sys/kernel/mm/transparent_hugepage/enabled";
    let script = format!(
        "srun sh -c 'echo $(hostname) $(cat {thp})'; until test -e go-on; do sleep 1; done; rm go-on"
    );
    let nodes = format!("n[1-{count}]");
    let job = case.submit(&["-w", &nodes, "--bmc-kernel=thp-off"], &script)?;
    case.wait(job, "RUNNING", BOOT_SECONDS)?;
    meanwhile().with_context(|| case.describe(job))?;
    // As who may remove it.
    check(case.alice(&["touch", "/home/alice/go-on"])?)?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    let printed = case.output(job);
    for node in case.cluster.nodes().take(count) {
        ensure_contains(&printed, &format!("{node} always madvise [never]"))?;
    }
    wait_until(Duration::from_secs(SILENT), "every machine is gone", || {
        Ok(!case.cluster.nodes().any(|node| case.cluster.is_on(node)))
    })
    .with_context(|| case.describe(job))?;
    case.wait_all_off()?;
    all_say(case, "off")?;
    Ok(job)
}

/// What `bmc node list` says of the nodes agrees with what they are.
fn all_say(case: &Case<'_>, expected: &str) -> Result<()> {
    let limit = Duration::from_secs(60);
    let so = || {
        let shown = case.json(&["node", "list"])?;
        let nodes = shown.as_array().context("bmc node list --json is no list")?;
        Ok(case.cluster.nodes().zip(nodes).all(|(node, view)| {
            let is = if case.cluster.is_on(node) { "on" } else { "off" };
            view.pointer("/power") == Some(&Value::from(is))
        }))
    };
    wait_until(limit, "bmc node list agrees with the machines", so).with_context(|| {
        let shown = bmc(case.cluster, &["node", "list"]).and_then(check);
        format!("{expected}: {shown:?}")
    })?;
    let on = case.cluster.nodes().filter(|node| case.cluster.is_on(*node)).count();
    ensure!((on == 0) == (expected == "off"), "{on} nodes are on");
    Ok(())
}

/// curl at the Redfish service.
fn redfish_says(case: &Case<'_>, expected: &str) -> Result<()> {
    let url = format!("https://{REDFISH_ADDRESS}/redfish/v1/Systems/n2");
    // The password comes by curl's configuration, and stands in no command line.
    let script = "printf 'user = \"admin:%s\"\\n' \"$(cat \"$0\")\" | \
                  curl --silent --show-error --fail --noproxy '*' --cacert \"$1\" --config - \"$2\"";
    let password = node_dir(case, case.node(2)?).join("password").display().to_string();
    let printed = case.cluster.check(&["sh", "-c", script, &password, CERTIFICATE, &url])?;
    let system: Value = serde_json::from_str(&printed)?;
    ensure!(system.pointer("/PowerState") == Some(&Value::from(expected)), "{printed}");
    Ok(())
}

/// ipmitool at the controller with cipher suite 17.
fn suite_17_says(case: &Case<'_>, expected: &str) -> Result<()> {
    let run = RunDir::new(case.cluster.dir())?;
    let printed =
        check_words(case, &power_methods::ipmitool(&run, &["chassis", "power", "status"]))?;
    ensure_contains(&printed, &format!("Chassis Power is {expected}"))
}

/// snmpget at the power distribution unit.
fn outlet_says(case: &Case<'_>, outlet: u8, expected: &str) -> Result<()> {
    let printed = check_words(case, &power_methods::outlet_status(outlet))?;
    ensure!(printed.trim() == expected, "outlet {outlet} is {printed}, not {expected}");
    Ok(())
}

/// A magic packet without the card's password is seen, and wakes nobody.
fn only_its_own_packet_wakes(case: &Case<'_>) -> Result<()> {
    let node = case.node(3)?;
    let log = case.cluster.dir().join("log/services/wake.log");
    wait_until(Duration::from_secs(10), "the card refuses a packet", || {
        case.cluster.check(&["etherwake", "-b", "-i", BRIDGE, &node.mac()])?;
        Ok(fs::read_to_string(&log)?.contains("not woken: not its password"))
    })?;
    ensure!(!case.cluster.is_on(node), "n3 was woken without its password");
    Ok(())
}

/// With its password another sender's packet wakes the node too; its controller switches it off again.
fn a_packet_of_others_wakes(case: &Case<'_>) -> Result<()> {
    let node = case.node(3)?;
    case.cluster.check(&["etherwake", "-i", BRIDGE, "-p", SECURE_ON, &node.mac()])?;
    wait_until(Duration::from_secs(20), "n3 is on", || Ok(case.cluster.is_on(node)))?;
    case.cluster.ipmitool(node, &["chassis", "power", "off"])?;
    Ok(())
}

/// Nodes with a meter have a whole record; of the others nothing is known, so of the sum neither.
fn energy(case: &Case<'_>, job: u32, metered: &[bool]) -> Result<()> {
    let name = job.to_string();
    let complete = |record: &Value| {
        let nodes = record.pointer("/0/nodes").and_then(Value::as_array).into_iter().flatten();
        nodes.into_iter().all(|node| node.get("complete") == Some(&Value::Bool(true)))
    };
    let limit = Duration::from_secs(60);
    wait_until(limit, "the energy record is complete", || {
        Ok(complete(&case.json(&["energy", &name])?))
    })?;
    let record = case.json(&["energy", &name])?;
    let nodes = record.pointer("/0/nodes").and_then(Value::as_array).context("no nodes")?;
    ensure!(nodes.len() == metered.len(), "{record}");
    for (node, metered) in nodes.iter().zip(metered) {
        if *metered {
            whole(node)?;
            ensure!(node.get("source") == Some(&Value::from("ipmi-dcmi")), "{node}");
        } else {
            ensure!(node.get("source") == Some(&Value::Null), "{node}");
            ensure!(node.get("total_millijoules") == Some(&Value::Null), "{node}");
        }
    }
    ensure!(record.pointer("/0/total_millijoules") == Some(&Value::Null), "{record}");
    let text = check(bmc(case.cluster, &["energy", &name])?)?;
    ensure_contains(&text, &format!("total of {} node(s): unknown", metered.len()))
}

fn check_words(case: &Case<'_>, words: &[String]) -> Result<String> {
    Ok(case.cluster.check(&words.iter().map(String::as_str).collect::<Vec<_>>())?)
}

fn node_dir(case: &Case<'_>, node: Node) -> std::path::PathBuf {
    case.cluster.dir().join("nodes").join(node.to_string())
}
