//! What our own programs read: bootsrv.toml and client.toml.

use super::{Derived, header};
use crate::site::{AfterJob, Partition, ShareWith, Site, SiteFile};
use crate::toml_text::{array, quoted};
use protocol::boot::Mount;
use protocol::energy::AccuracyBasis;
use protocol::energy_settings::EnergySettings;
use std::fmt::Write as _;
use std::path::Path;

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// What the site knows of its meters and of a kilowatt-hour; empty: nothing.
fn energy(known: &EnergySettings) -> String {
    let stated = known.accuracy.basis == AccuracyBasis::Stated;
    let accuracy = stated.then_some(known.accuracy.parts_per_million);
    let lines = [
        ("meter_accuracy_percent", accuracy, 1e4),
        ("pue", known.pue_thousandths, 1e3),
        ("carbon_grams_per_kwh", known.carbon_milligrams_per_kwh, 1e3),
        ("price_per_kwh", known.price_millionths_per_kwh, 1e6),
    ];
    let lines = lines.into_iter().filter_map(|(key, number, scale)| {
        Some(format!("{key} = {:?}\n", f64::from(number?) / scale))
    });
    let currency = known.currency.iter().map(|code| format!("currency = {}\n", quoted(code)));
    let lines: String = lines.chain(currency).collect();
    if lines.is_empty() { lines } else { format!("\n[energy]\n{lines}") }
}

/// bootsrv's configuration.
pub(super) fn bootsrv(site: &Site) -> String {
    let (server, limits) = (&site.server, site.timeouts);
    let (address, http, https) = (server.address, server.http_port, server.https_port);
    let mut text = header(site, "bootsrv.");
    let prefer_warm =
        server.prefer_warm.map_or_else(String::new, |on| format!("prefer_warm = {on}\n"));
    let energy = energy(&site.energy);
    // Writing to a String cannot fail.
    write!(
        text,
        r#"state_dir = {}
profiles_dir = {}
kernel_arguments = {}

[listen]
http = "{address}:{http}"
https = "{address}:{https}"

[url]
http = "http://{address}:{http}"
https = "https://{address}:{https}"

[slurm]
scontrol = {}
conf = {}
user = {}
conf_server = "{}:{}"
{prefer_warm}
[limits]
power_on_per_second = {}
firmware_seconds = {}
boot_seconds = {}
register_seconds = {}
image_seconds = {}
power_seconds = {}
{energy}
[initrd]
agent = {}
"#,
        path(&server.state_dir),
        path(&server.profiles_dir),
        array(server.kernel_arguments.iter().map(String::as_str)),
        path(&site.programs.scontrol),
        path(&site.slurm.conf),
        quoted(&site.slurm.user),
        site.slurm.address,
        site.slurm.port,
        server.power_on_per_second,
        limits.firmware_seconds,
        limits.boot_seconds,
        limits.register_seconds,
        limits.image_seconds,
        limits.power_seconds,
        path(&site.programs.libexec.join("node-agent")),
    )
    .ok();
    let lists = [("modules", &server.initrd_modules), ("left_out", &server.initrd_left_out)];
    for (key, list) in lists {
        if let Some(list) = list {
            writeln!(text, "{key} = {}", array(list.iter().map(String::as_str))).ok();
        }
    }
    site.partitions.iter().for_each(|partition| partition_table(partition, &mut text));
    site.site_files.iter().for_each(|file| file_table(file, &mut text));
    site.mounts.iter().for_each(|mount| mount_table(mount, &mut text));
    let mut images = site.application_images.clone();
    images.insert("prepare_seconds".to_owned(), limits.prepare_seconds.into());
    let images = [("application_images".to_owned(), toml::Value::Table(images))];
    write!(text, "\n{}", toml::Table::from_iter(images)).ok();
    text
}

fn partition_table(partition: &Partition, text: &mut String) {
    let after_job = match partition.after_job {
        AfterJob::Off => "off",
        AfterJob::StayOn => "stay_on",
    };
    write!(
        text,
        "\n[[partition]]\nname = {}\nnodes = {}\ndefault_kernel = {}\ndefault_image = {}\nafter_job = {}\n",
        quoted(&partition.name),
        quoted(&partition.nodes),
        quoted(partition.default_kernel.as_str()),
        quoted(partition.default_image.as_str()),
        quoted(after_job),
    )
    .ok();
    if let Some(share_with) = partition.share_with {
        let share_with = match share_with {
            ShareWith::User => "user",
            ShareWith::Account => "account",
            ShareWith::Anybody => "anybody",
        };
        writeln!(text, "share_with = {}", quoted(share_with)).ok();
    }
    if let Some(kexec) = partition.kexec {
        writeln!(text, "kexec = {kexec}").ok();
    }
    if let Some(preboot) = partition.preboot {
        writeln!(text, "preboot = {preboot}").ok();
    }
    if let Some(root) = partition.root {
        writeln!(text, "root = {}", quoted(root.name())).ok();
    }
    if let Some(canary) = &partition.canary {
        let (kernel, nodes) = (quoted(canary.kernel.as_str()), quoted(&canary.nodes));
        writeln!(text, "canary = {{ kernel = {kernel}, nodes = {nodes} }}").ok();
    }
}

fn file_table(file: &SiteFile, text: &mut String) {
    write!(
        text,
        "\n[[site_file]]\npath = {}\nsource = {}\nmode = {}\nowner = {}\ngroup = {}\nsecret = {}\n",
        quoted(&file.path),
        path(&file.source),
        quoted(&file.mode),
        quoted(&file.owner),
        quoted(&file.group),
        file.secret,
    )
    .ok();
}

fn mount_table(mount: &Mount, text: &mut String) {
    write!(
        text,
        "\n[[mount]]\nsource = {}\ntarget = {}\nfstype = {}\noptions = {}\n",
        quoted(&mount.source),
        quoted(&mount.target),
        quoted(&mount.fstype),
        quoted(&mount.options),
    )
    .ok();
}

/// The configuration of plugin, hooks and command.
pub(super) fn client(site: &Site) -> String {
    let mut text = header(site, "Plugin, prolog, epilog and the command bmc; world-readable.");
    write!(
        text,
        "server = \"http://{}:{}\"\n\
         # Jobs of any other partition cost the hooks a look into this file, no network.\n\
         partitions = {}\n\
         scontrol = {}\n\
         # Who reads the registry logins that users' jobs bring.\n\
         slurm_user = {}\n\
         # Below PrologEpilogTimeout of slurm.conf.\n\
         prolog_timeout_seconds = {}\n\
         # After so many starts on faulty nodes a job is held.\n\
         tries_max = {}\n",
        site.server.address,
        site.server.http_port,
        array(site.partitions.iter().map(|partition| partition.name.as_str())),
        path(&site.programs.scontrol),
        quoted(&site.slurm.user),
        Derived::of(&site.timeouts).prolog_timeout,
        site.timeouts.tries_max,
    )
    .ok();
    let hooks =
        [("site_prolog", &site.programs.site_prolog), ("site_epilog", &site.programs.site_epilog)];
    for (key, program) in hooks {
        if let Some(program) = program {
            writeln!(text, "{key} = {}", path(program)).ok();
        }
    }
    text
}
