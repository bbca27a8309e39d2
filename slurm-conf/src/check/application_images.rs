//! Application images: bootsrv's section, the partitions' ways to the root, and users' logins.

use super::{Finding, Place};
use crate::application_images::{has_export, wrong};
use crate::live::LiveSite;
use protocol::application::RootMode;

const SECTION: &str = "[application_images]";

pub(super) fn section(site: &LiveSite) -> Vec<Finding> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    let partitions: Vec<&str> = bootsrv.partitions.iter().map(|one| one.name.as_str()).collect();
    let finding = |wrong: crate::application_images::Wrong| {
        let place = Place::bootsrv(site, SECTION, &wrong.key);
        place.error(&format!("application_images.{}", wrong.key), wrong.what, wrong.instead)
    };
    wrong(&bootsrv.application_images, &partitions).into_iter().map(finding).collect()
}

pub(super) fn partition_root(site: &LiveSite) -> Vec<Finding> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    if has_export(&bootsrv.application_images) {
        return Vec::new();
    }
    let by_nfs = (0..).zip(&bootsrv.partitions).filter(|(_, one)| one.root == Some(RootMode::Nfs));
    let finding = |(index, partition): (usize, &crate::live::BootsrvPartition)| {
        let line = crate::toml_text::line_of(&site.bootsrv.text, "[[partition]]", index, "root");
        let wrong = format!(
            "is \"nfs\" in partition {}, and no application_images.nfs names the export: bootsrv does not start",
            partition.name
        );
        Place { file: site.bootsrv.path.clone(), line }.error(
            "root",
            wrong,
            "nfs = { source = \"SERVER:/PATH\" } in [application_images], or root = \"ram\"",
        )
    };
    by_nfs.map(finding).collect()
}

/// The plugin and `bmc` seal a user's registry login for this user alone.
pub(super) fn registry_logins(site: &LiveSite) -> Vec<Finding> {
    let (Some(client), Some(bootsrv)) = (site.client.get(), site.bootsrv.get()) else {
        return Vec::new();
    };
    let user = &bootsrv.slurm.user;
    // A number may be the same user: only the host knows.
    let is_number = client.slurm_user.parse::<u32>().is_ok();
    // Where bootsrv is the one that is wrong, the rule about it says so.
    let is_slurms = client.slurm_user == super::controller::slurm_user_name(site);
    if is_number || is_slurms || client.slurm_user == *user {
        return Vec::new();
    }
    let wrong = format!(
        "is {:?}, bootsrv runs as {user:?}: it cannot open users' registry logins, and images are asked \
         for without",
        client.slurm_user
    );
    let key = "slurm_user";
    vec![Place::client(site, key).error(key, wrong, format!("{key} = {user:?}"))]
}
