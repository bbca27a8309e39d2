//! `bmc kernel`: the site's kernel hub.

use super::kernel_parts;
use crate::cli::{KernelImport, KernelVerb};
use crate::output;
use crate::server::Server;
use crate::table::{Table, bytes, fields, words};
use protocol::api::KernelView;
use protocol::profile::Allow;

/// Does what was asked and returns what to print.
pub(crate) fn run(verb: KernelVerb, server: &dyn Server) -> anyhow::Result<String> {
    match verb {
        KernelVerb::List(args) => output::show(args.json, &server.kernels()?, |all| list(all)),
        KernelVerb::Show { name, json } => output::show(json.json, &server.kernel(&name)?, show),
        KernelVerb::Import(args) => import(&args, server),
        KernelVerb::Rm { name } => {
            server.remove_kernel(&name)?;
            Ok(format!("kernel {name} is removed\n"))
        }
    }
}

fn import(args: &KernelImport, server: &dyn Server) -> anyhow::Result<String> {
    let view = match (&args.package, &args.vmlinuz, &args.modules) {
        (None, Some(vmlinuz), Some(modules)) => {
            let package = kernel_parts::package(vmlinuz, modules)?;
            server.import_kernel(&args.name, package.path())?
        }
        (Some(package), _, _) => server.import_kernel(&args.name, package)?,
        (None, _, _) => anyhow::bail!("neither a package nor --vmlinuz and --modules are given"),
    };
    output::show(args.json.json, &view, show)
}

fn list(kernels: &[KernelView]) -> String {
    if kernels.is_empty() {
        return "no kernel is imported yet: see `bmc kernel import --help`\n".to_owned();
    }
    let mut table = Table::new(["NAME", "KERNEL", "RELEASE", ">SIZE", ">JOBS", "DESCRIPTION"]);
    for view in kernels {
        let kernel = if view.kernel == view.name { "-" } else { view.kernel.as_str() };
        table.row([
            view.name.as_str(),
            kernel,
            &view.release,
            &bytes(view.bytes),
            &view.used_by.len().to_string(),
            &view.description,
        ]);
    }
    table.text()
}

fn show(view: &KernelView) -> String {
    let mut text = fields(&[
        ("name", view.name.to_string()),
        ("description", view.description.clone()),
        ("kernel", view.kernel.to_string()),
        ("release", view.release.clone()),
        ("size", bytes(view.bytes)),
        ("arguments", view.arguments.join(" ")),
        ("allowed", allowed(&view.allow)),
        ("used by", words(&view.used_by, " ")),
    ]);
    if !view.settings.is_empty() {
        let mut table = Table::new(["", "SETTINGS"]);
        view.settings.iter().for_each(|setting| table.row(["", setting]));
        text += &table.text();
    }
    text
}

fn allowed(allow: &Allow) -> String {
    let lists =
        [("users", &allow.users), ("accounts", &allow.accounts), ("partitions", &allow.partitions)];
    let named: Vec<String> = lists
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what} {}", names.join(" ")))
        .collect();
    if named.is_empty() { "everybody".to_owned() } else { named.join(", or ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::names::JobId;

    fn thp_off() -> KernelView {
        KernelView {
            name: "thp-off".parse().unwrap(),
            kernel: "6.1-cloud".parse().unwrap(),
            release: "6.1.0-38-cloud-amd64".into(),
            description: "no transparent huge pages".into(),
            arguments: vec!["nosmt".into(), "mitigations=off".into()],
            settings: vec![
                "/sys/kernel/mm/transparent_hugepage/enabled = never".into(),
                "vm.swappiness = 1".into(),
            ],
            bytes: 64_250_000,
            allow: Allow {
                users: vec![],
                accounts: vec!["physics".into()],
                partitions: vec!["bmc".into()],
            },
            used_by: vec![JobId(42), JobId(43)],
        }
    }

    fn plain() -> KernelView {
        KernelView {
            name: "6.1-cloud".parse().unwrap(),
            description: String::new(),
            arguments: vec![],
            settings: vec![],
            allow: Allow::default(),
            used_by: vec![],
            ..thp_off()
        }
    }

    #[test]
    fn a_list_tells_profiles_from_kernels() {
        let expected = "\
NAME       KERNEL     RELEASE                   SIZE  JOBS  DESCRIPTION
6.1-cloud  -          6.1.0-38-cloud-amd64  61.3 MiB     0
thp-off    6.1-cloud  6.1.0-38-cloud-amd64  61.3 MiB     2  no transparent huge pages
";
        assert_eq!(list(&[plain(), thp_off()]), expected);
        assert!(list(&[]).contains("bmc kernel import"));
    }

    #[test]
    fn one_shows_everything() {
        let expected = "\
name         thp-off
description  no transparent huge pages
kernel       6.1-cloud
release      6.1.0-38-cloud-amd64
size         61.3 MiB
arguments    nosmt mitigations=off
allowed      accounts physics, or partitions bmc
used by      42 43
  SETTINGS
  /sys/kernel/mm/transparent_hugepage/enabled = never
  vm.swappiness = 1
";
        assert_eq!(show(&thp_off()), expected);
        let expected = "\
name         6.1-cloud
description  -
kernel       6.1-cloud
release      6.1.0-38-cloud-amd64
size         61.3 MiB
arguments    -
allowed      everybody
used by      -
";
        assert_eq!(show(&plain()), expected);
    }
}
