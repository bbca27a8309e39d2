//! What a site lets its users run as an application image. Pure.

use super::settings::{ReferenceRule, Site};
use protocol::application::{BindMount, RootMode};
use protocol::error::{ApiError, ErrorKind};
use protocol::image_reference::ImageReference;
use protocol::job_options::JobOptions;
use protocol::profile::Asker;

/// Refuses a reference that a rule for this partition and account forbids. A rule whose partition or
/// account is not known yet, at submit time, is left to the job's start.
///
/// # Errors
/// When a rule forbids it: with what is allowed.
pub fn reference(site: &Site, image: &ImageReference, asker: Asker<'_>) -> Result<(), ApiError> {
    let subject = subject(image);
    for rule in site.rules.iter().filter(|rule| applies(rule, asker)) {
        let matches = |list: &[String]| list.iter().any(|glob| is_like(&subject, glob));
        let refuse = |why: String| {
            Err(ApiError::new(ErrorKind::Forbidden, format!("image {image} is not allowed{why}")))
        };
        let place = place(rule);
        if let Some(glob) = rule.deny.iter().find(|glob| is_like(&subject, glob)) {
            return refuse(format!("{place}: the site denies {glob}"));
        }
        if !rule.allow.is_empty() && !matches(&rule.allow) {
            return refuse(format!("{place}: the site allows {}", rule.allow.join(", ")));
        }
    }
    Ok(())
}

/// What globs are compared with: `registry/repository`, or a file's format with its path. A path is
/// what the user says; a rule can rely on the format only.
fn subject(image: &ImageReference) -> String {
    match image {
        ImageReference::Docker(docker) => format!("{}/{}", docker.registry, docker.repository),
        ImageReference::File(file) => format!("{}:{}", file.format.prefix(), file.path),
    }
}

fn applies(rule: &ReferenceRule, asker: Asker<'_>) -> bool {
    let named = |list: &[String], name: Option<&str>| {
        list.is_empty() || name.is_some_and(|name| list.iter().any(|one| one == name))
    };
    named(&rule.partitions, asker.partition) && named(&rule.accounts, asker.account)
}

fn place(rule: &ReferenceRule) -> String {
    let part = |word: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!(" {word} {}", names.join(", ")),
    };
    part("in partition", &rule.partitions) + &part("with account", &rule.accounts)
}

/// Whether a text is what a glob says; `*` stands for any text, slashes too.
fn is_like(text: &str, glob: &str) -> bool {
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part).and_then(|at| rest.get(at.saturating_add(part.len())..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// How nodes get at the image: the user's word, else the site's.
///
/// # Errors
/// When the user wants NFS and the site has no export.
pub fn root(
    site: &Site,
    partition: Option<RootMode>,
    asked: Option<RootMode>,
) -> Result<RootMode, ApiError> {
    let root = asked.or(partition).unwrap_or(site.root);
    if root == RootMode::Nfs && site.nfs.is_none() {
        let text = "--bmc-root=nfs cannot be had: this site has no NFS export of its images";
        return Err(ApiError::new(ErrorKind::User, text).hint("Use --bmc-root=ram."));
    }
    Ok(root)
}

/// The site's mounts and the user's, each checked against what the site allows.
///
/// # Errors
/// When the user's is not allowed: with what is.
pub fn mounts(site: &Site, asked: &[BindMount]) -> Result<Vec<BindMount>, ApiError> {
    for mount in asked {
        if !site.mounts_allowed.iter().any(|allowed| is_below(&mount.source, allowed)) {
            let allowed = match &site.mounts_allowed[..] {
                [] => "This site allows none.".to_owned(),
                some => format!("What is below {} may be mounted.", some.join(", ")),
            };
            let text = format!("mount {mount} is not allowed");
            return Err(ApiError::new(ErrorKind::Forbidden, text).hint(allowed));
        }
    }
    let mut mounts = site.mounts.clone();
    // Once more the same target: the user's own counts, it comes later.
    mounts.extend(asked.iter().cloned());
    Ok(mounts)
}

/// Whether a path is that directory or below it; both are absolute and without `..`.
fn is_below(path: &str, directory: &str) -> bool {
    let parts = |path: &str| {
        let named = path.split('/').filter(|part| !part.is_empty() && *part != ".");
        named.map(str::to_owned).collect::<Vec<String>>()
    };
    parts(path).starts_with(&parts(directory))
}

/// Refuses options that mean something only with an application image, where there is none.
///
/// # Errors
/// When one of them is given: with which.
pub fn none(options: &JobOptions) -> Result<(), ApiError> {
    let given = [
        ("--bmc-root", options.root.is_some()),
        ("--bmc-mounts", !options.mounts.is_empty()),
        ("--bmc-entrypoint", options.entrypoint),
    ];
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((option, _)) => {
            let text = format!("{option} is for application images, and the job has none");
            Err(ApiError::new(ErrorKind::User, text)
                .hint("Name one with --bmc-image, e.g. --bmc-image=docker://debian:12."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(text: &str) -> Site {
        toml::from_str(text).unwrap()
    }

    fn asker<'a>(partition: Option<&'a str>, account: Option<&'a str>) -> Asker<'a> {
        Asker { user: Some("alice"), account, partition }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (glob, text, expected) in [
            ("docker.io/*", "docker.io/library/x", true),
            ("docker.io/*", "docker.io.evil/x", false),
            ("*/team/*", "r.io/team/a/b", true),
            ("r.io/x", "r.io/x", true),
            ("r.io/x", "r.io/xy", false),
            ("r.io/*-dev", "r.io/a-dev", true),
            ("r.io/*-dev", "r.io/a-dev2", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("sif:*", "sif:/a/b", true),
        ] {
            assert_eq!(is_like(text, glob), expected, "{glob} {text}");
        }
    }

    #[test]
    fn every_rule_for_the_partition_and_the_account_must_agree() {
        let site = site(
            "[[rule]]\ndeny = [\"*/evil\"]\n\
             [[rule]]\npartitions = [\"gpu\"]\nallow = [\"r.io/*\"]\n\
             [[rule]]\naccounts = [\"guests\"]\ndeny = [\"sif:*\"]\n",
        );
        let may = |image: &str, partition, account| {
            reference(&site, &image.parse().unwrap(), asker(partition, account)).is_ok()
        };
        assert!(!may("docker://r.io/evil", None, None));
        assert!(may("docker://debian", Some("cpu"), None));
        assert!(!may("docker://debian", Some("gpu"), None));
        assert!(may("docker://debian", None, None), "prolog knows the partition");
        assert!(may("docker://r.io/a", Some("gpu"), Some("guests")));
        assert!(!may("sif:/x.sif", Some("cpu"), Some("guests")));
        let image = "docker://debian".parse().unwrap();
        let refused = reference(&site, &image, asker(Some("gpu"), None)).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("in partition gpu: the site allows r.io/*"), "{text}");
        assert_eq!(refused.kind, ErrorKind::Forbidden);
    }

    #[test]
    fn a_rule_counts_however_the_registry_is_spelled() {
        let site = site("[[rule]]\ndeny = [\"evil.io/*\", \"docker.io/*\", \"r.io:5000/*\"]");
        for image in [
            "EVIL.io/x",
            "evil.io./x",
            "evil.io:443/x",
            "Evil.IO.:0443/x",
            "debian",
            "index.docker.io/library/debian",
            "registry-1.docker.io:443/library/debian",
            "r.io:05000/x",
        ] {
            let image = format!("docker://{image}").parse().unwrap();
            assert!(reference(&site, &image, asker(None, None)).is_err(), "{image}");
        }
    }

    #[test]
    fn the_users_root_counts_and_nfs_needs_an_export() {
        let without = site("");
        let (ram, nfs) = (Some(RootMode::Ram), Some(RootMode::Nfs));
        assert_eq!(root(&without, None, None).unwrap(), RootMode::Ram);
        assert!(root(&without, None, nfs).is_err());
        let with = site("root = \"nfs\"\nnfs = { source = \"10.0.0.1:/images\" }");
        assert_eq!(root(&with, None, None).unwrap(), RootMode::Nfs);
        assert_eq!(root(&with, ram, None).unwrap(), RootMode::Ram);
        assert_eq!(root(&with, ram, nfs).unwrap(), RootMode::Nfs);
    }

    #[test]
    fn only_what_the_site_allows_is_mounted_and_its_own_always() {
        let site = site("mounts = [\"/home\"]\nmounts_allowed = [\"/scratch/\"]");
        let mount = |text: &str| vec![text.parse::<BindMount>().unwrap()];
        let texts = |asked: Vec<BindMount>| {
            mounts(&site, &asked).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(texts(vec![]).unwrap(), ["/home:/home"]);
        assert_eq!(texts(mount("/scratch/a:/data:ro")).unwrap()[1], "/scratch/a:/data:ro");
        for bad in ["/scratchy:/x", "/etc:/x", "/:/x"] {
            let refused = texts(mount(bad)).unwrap_err().to_string();
            assert!(refused.contains("What is below /scratch/ may be mounted."), "{refused}");
        }
    }

    #[test]
    fn options_of_an_application_image_need_one() {
        assert!(none(&JobOptions::default()).is_ok());
        let options = JobOptions { entrypoint: true, ..JobOptions::default() };
        assert!(none(&options).unwrap_err().to_string().contains("--bmc-entrypoint"));
    }
}
