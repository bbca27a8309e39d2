//! The two networks of the cluster as texts: the commands for `ip -batch`, and the site's dnsmasq.conf.

use crate::cluster::node::{HEAD_ADDRESS, HEAD_ADDRESS_V6, HEAD_MANAGEMENT_ADDRESS, Node};
use std::fmt::Write as _;
use std::path::Path;

/// The provisioning bridge.
pub const BRIDGE: &str = "br0";
/// The management bridge, with the addresses of the baseboard controllers.
pub const MANAGEMENT_BRIDGE: &str = "br-bmc";

/// The lines for `ip -batch` that make both networks in an empty network namespace.
#[must_use]
pub fn ip_batch(count: u8) -> String {
    let mut text = format!(
        "link set lo up\n\
         link add {BRIDGE} type bridge stp_state 0 forward_delay 0\n\
         address add {HEAD_ADDRESS}/24 dev {BRIDGE}\n\
         address add {HEAD_ADDRESS_V6}/64 dev {BRIDGE} nodad\n\
         link set {BRIDGE} up\n\
         link add {MANAGEMENT_BRIDGE} type bridge stp_state 0 forward_delay 0\n\
         address add {HEAD_MANAGEMENT_ADDRESS}/24 dev {MANAGEMENT_BRIDGE}\n\
         link set {MANAGEMENT_BRIDGE} up\n"
    );
    for node in Node::first(count) {
        let (tap, address) = (node.tap(), node.controller_address());
        // Writing to a String cannot fail.
        write!(
            text,
            "address add {address}/24 dev {MANAGEMENT_BRIDGE}\n\
             tuntap add dev {tap} mode tap\n\
             link set {tap} master {BRIDGE} up\n"
        )
        .ok();
    }
    text
}

/// The dnsmasq.conf that a site has before it knows of us: who it runs as, and where it keeps things.
/// What it answers comes from the files in `parts`.
#[must_use]
pub fn dnsmasq_conf(lease_file: &Path, parts: &Path) -> String {
    format!(
        "# Written by `vcluster up`.\n\
         user=root\n\
         group=root\n\
         log-dhcp\n\
         log-facility=-\n\
         dhcp-leasefile={}\n\
         conf-dir={},*.conf\n",
        lease_file.display(),
        parts.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_a_tap_and_a_controller_address() {
        let batch = ip_batch(2);
        assert!(batch.ends_with(
            "address add 10.77.1.12/24 dev br-bmc\n\
             tuntap add dev tap2 mode tap\n\
             link set tap2 master br0 up\n"
        ));
    }
}
