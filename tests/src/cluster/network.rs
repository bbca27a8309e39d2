//! The two networks of the cluster as texts: the commands for `ip -batch`, and dnsmasq.conf.

use crate::cluster::node::{
    HEAD_ADDRESS, HEAD_ADDRESS_V6, HEAD_MANAGEMENT_ADDRESS, HEAD_NAME, Node,
};
use std::fmt::Write as _;
use std::path::Path;

/// The provisioning bridge.
pub const BRIDGE: &str = "br0";
/// The management bridge, with the addresses of the baseboard controllers.
pub const MANAGEMENT_BRIDGE: &str = "br-bmc";
/// The port where the boot server answers iPXE.
pub const BOOT_PORT: u16 = 8080;

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

/// dnsmasq.conf: fixed addresses by hardware address, and the boot server's URL for iPXE.
///
/// Debian 12's iPXE takes 16 s for DHCP unless it is told not to wait for a ProxyDHCP offer
/// (option 175.176) and gets a router advertisement at once; with both it takes well under one.
#[must_use]
pub fn dnsmasq_conf(count: u8, lease_file: &Path) -> String {
    let mut text = format!(
        "# Written by `vcluster up`.\n\
         port=0\n\
         interface={BRIDGE}\n\
         bind-dynamic\n\
         except-interface=lo\n\
         user=root\n\
         group=root\n\
         log-dhcp\n\
         log-facility=-\n\
         dhcp-authoritative\n\
         dhcp-no-override\n\
         dhcp-leasefile={}\n\
         dhcp-range=10.77.0.0,static,255.255.255.0,1h\n\
         dhcp-option=option:router\n\
         dhcp-match=set:ipxe,175\n\
         dhcp-boot=tag:ipxe,http://{HEAD_ADDRESS}:{BOOT_PORT}/boot/${{net0/mac:hexhyp}},{HEAD_NAME},{HEAD_ADDRESS}\n\
         dhcp-option=encap:175,176,1b\n\
         enable-ra\n\
         dhcp-range=fd77::,ra-only,64,1h\n",
        lease_file.display()
    );
    for node in Node::first(count) {
        writeln!(text, "dhcp-host={},{},{node},infinite", node.mac(), node.address()).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_a_tap_a_controller_address_and_a_lease() {
        let batch = ip_batch(2);
        assert!(batch.ends_with(
            "address add 10.77.1.12/24 dev br-bmc\n\
             tuntap add dev tap2 mode tap\n\
             link set tap2 master br0 up\n"
        ));
        let conf = dnsmasq_conf(2, Path::new("/x/leases"));
        assert!(conf.contains("dhcp-leasefile=/x/leases\n"));
        assert!(conf.contains("http://10.77.0.1:8080/boot/${net0/mac:hexhyp},head,10.77.0.1\n"));
        assert!(conf.ends_with("dhcp-host=52:54:00:77:00:02,10.77.0.12,n2,infinite\n"));
    }
}
