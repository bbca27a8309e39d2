//! The task inside its image, as the user, just before its command starts: directory, environment
//! and entry point.

use crate::context::{Job, Process};
use crate::options::PREFIX;
use protocol::application::{ImageConfig, NodeApplication, SLURM_COMMANDS_DIRECTORY};
use protocol::image_reference::ImageChoice;
use protocol::job_env::{IMAGE, JOB_INSIDE};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The search path of an image that names none, as Docker has it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where slurmstepd goes when a task's directory does not exist.
const FALLBACK: &str = "/tmp";

/// Sets up what slurmstepd leaves to the image.
pub(crate) fn arrive(
    application: &NodeApplication,
    came_from: Option<&Path>,
    process: &dyn Process,
    job: &dyn Job,
) -> Result<(), String> {
    let has = |name: &str| job.task_variable(name);
    let mut variables = environment(application, &has);
    if let Some(directory) = directory(application, process.directory(), came_from) {
        let at = [directory, PathBuf::from("/")]
            .into_iter()
            .find(|directory| std::env::set_current_dir(directory).is_ok());
        variables.extend(at.map(|at| ("PWD".to_owned(), at.display().to_string())));
    }
    variables.extend(pmix(&has));
    for (name, value) in variables {
        job.set_for_tasks(&name, &value)
            .map_err(|reason| format!("{PREFIX} cannot set {name}: {reason}"))?;
    }
    entry_point(&application.config, job)?;
    // Once a step.
    if has("PMIX_RANK").as_deref() == Some("0")
        && let Some(library) = old_pmix(Path::new("/"), &has("LD_LIBRARY_PATH").unwrap_or_default())
    {
        let version =
            has("PMIX_VERSION").map(|version| format!(" ({version})")).unwrap_or_default();
        job.tell(&format!(
            "{PREFIX} the image's PMIx library, {library}, is older than PMIx 3 and may not understand \
             this Slurm's{version}: if the program hangs or fails in MPI_Init, start it with srun \
             --mpi=pmi2 or use a newer image"
        ));
    }
    Ok(())
}

/// Puts the entry point before the command. Its program is looked for in the image, as the user, with
/// the search path that was just set.
fn entry_point(config: &ImageConfig, job: &dyn Job) -> Result<(), String> {
    let Some((program, arguments)) = config.entrypoint.split_first() else { return Ok(()) };
    let path = job.task_variable("PATH").unwrap_or_default();
    let found = if program.contains('/') {
        Some(Path::new(config.working_directory.as_deref().unwrap_or("/")).join(program))
    } else {
        path.split(':').map(|folder| Path::new(folder).join(program)).find(|file| file.is_file())
    };
    let missing = || format!("{PREFIX} the image's entry point {program} is not in the image");
    let found = found.ok_or_else(missing)?;
    let words = std::iter::once(found.as_os_str().as_bytes())
        .chain(arguments.iter().map(String::as_bytes))
        .map(CString::new)
        .collect::<Result<_, _>>()
        .map_err(|_| missing())?;
    job.prepend_command(words).map_err(|reason| {
        format!(
            "{PREFIX} the image's entry point {program} cannot be put before the command: {reason}"
        )
    })
}

/// Where the task is to start; none: where it is.
fn directory(
    application: &NodeApplication,
    is_at: Option<PathBuf>,
    came_from: Option<&Path>,
) -> Option<PathBuf> {
    let fallen = is_at.as_deref().is_none_or(|at| at == Path::new(FALLBACK));
    if !fallen || came_from == Some(Path::new(FALLBACK)) {
        return None;
    }
    let came_from = came_from.filter(|directory| directory.is_dir()).map(Path::to_owned);
    let working = application.config.working_directory.as_ref().map(PathBuf::from);
    Some(came_from.or(working).unwrap_or_else(|| PathBuf::from("/")))
}

/// The image's variables that the job does not have, and a search path that fits the image.
fn environment(
    application: &NodeApplication,
    has: &dyn Fn(&str) -> Option<String>,
) -> Vec<(String, String)> {
    let job = application.job.to_string();
    let mut path = DEFAULT_PATH;
    let mut out = Vec::new();
    for (name, value) in application.config.environment.iter().filter_map(|one| one.split_once('='))
    {
        if name == "PATH" {
            path = value;
        } else if !is_slurms(name) && has(name).is_none() {
            out.push((name.to_owned(), value.to_owned()));
        }
    }
    // The submitting host's search path means nothing inside, but one that was made inside or named
    // for the job does.
    let own =
        has("PATH").filter(|_| has(JOB_INSIDE).as_deref() == Some(&*job) || is_path_exported(has));
    let path = own.unwrap_or_else(|| path.to_owned());
    let found = path.split(':').any(|directory| directory == SLURM_COMMANDS_DIRECTORY);
    let path = if found { path } else { format!("{path}:{SLURM_COMMANDS_DIRECTORY}") };
    out.push(("PATH".to_owned(), path));
    // A name of the catalog stays as it was typed.
    let named =
        has(IMAGE.job).is_some_and(|has| matches!(has.parse(), Ok(ImageChoice::Catalog(_))));
    if !named {
        out.push((IMAGE.job.to_owned(), application.reference.clone()));
    }
    out.push((JOB_INSIDE.to_owned(), job));
    out
}

fn is_slurms(name: &str) -> bool {
    name.is_empty() || ["SLURM_", "SPANK_", "BMC_"].iter().any(|prefix| name.starts_with(prefix))
}

/// `--export=PATH=…` and `--export=PATH` name it for the job.
fn is_path_exported(has: &dyn Fn(&str) -> Option<String>) -> bool {
    ["SRUN_EXPORT_ENV", "SLURM_EXPORT_ENV"].iter().any(|name| {
        has(name).is_some_and(|list| {
            list.split(',').any(|item| item == "PATH" || item.starts_with("PATH="))
        })
    })
}

/// The PMIx library of an image may be built with other defaults than the node's, and looks for
/// modules the node's server does not have: it is told what that has chosen.
fn pmix(has: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    [
        ("PMIX_PTL_MODULE", "PMIX_MCA_ptl"),
        ("PMIX_SECURITY_MODE", "PMIX_MCA_psec"),
        ("PMIX_GDS_MODULE", "PMIX_MCA_gds"),
    ]
    .into_iter()
    .filter(|(_, ours)| has(ours).is_none())
    .filter_map(|(theirs, ours)| Some((ours.to_owned(), has(theirs)?)))
    .collect()
}

/// The file of the image's PMIx library, if it has only such as later servers need not understand: of the
/// releases 1 and 2 not all do. Their files are `libpmix.so.1`, `libpmix.so.2.0.*` and `libpmix.so.2.1.*`.
fn old_pmix(root: &Path, library_path: &str) -> Option<String> {
    let usual =
        ["usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib", "usr/local/lib64", "usr/local/lib"];
    let named = library_path.split(':').map(|folder| folder.trim_start_matches('/'));
    let folders = named.filter(|folder| !folder.is_empty()).chain(usual);
    let links = folders.flat_map(|folder| {
        ["libpmix.so.2", "libpmix.so.1"].map(|link| root.join(folder).join(link))
    });
    let files = links.filter_map(|link| std::fs::canonicalize(link).ok());
    let names: Vec<String> =
        files.filter_map(|file| Some(file.file_name()?.to_str()?.to_owned())).collect();
    let is_old = |name: &String| {
        ["libpmix.so.1", "libpmix.so.2.0.", "libpmix.so.2.1."]
            .iter()
            .any(|old| name.starts_with(old))
    };
    names.iter().all(is_old).then(|| names.first().cloned()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enter::TaskOf;
    use protocol::names::JobId;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    fn application(environment: &[&str], working_directory: Option<&str>) -> NodeApplication {
        NodeApplication {
            job: JobId(7),
            uid: 2001,
            reference: "docker://r.io/x:1@sha256:".to_owned() + &"ab".repeat(32),
            config: ImageConfig {
                environment: environment.iter().map(|text| (*text).to_owned()).collect(),
                working_directory: working_directory.map(str::to_owned),
                entrypoint: Vec::new(),
            },
        }
    }

    fn set(image: &[&str], job: &[(&str, &str)]) -> BTreeMap<String, String> {
        let job: BTreeMap<&str, &str> = job.iter().copied().collect();
        let has = |name: &str| job.get(name).map(|value| (*value).to_owned());
        environment(&application(image, None), &has).into_iter().collect()
    }

    #[test]
    fn the_jobs_variables_win_and_the_images_path() {
        let set = set(
            &["PATH=/opt/bin:/bin", "A=image", "B=image=2", "SLURM_JOB_ID=1", "=x", "novalue"],
            &[("A", "job"), ("PATH", "/host/bin")],
        );
        let commands = SLURM_COMMANDS_DIRECTORY;
        assert_eq!(set["PATH"], format!("/opt/bin:/bin:{commands}"));
        assert_eq!(set["B"], "image=2");
        assert_eq!(set["BMC_INSIDE"], "7");
        assert!(set["BMC_IMAGE"].starts_with("docker://r.io/x:1@sha256:ab"));
        assert_eq!(set.len(), 4, "{set:?}");
    }

    #[test]
    fn a_path_made_inside_or_named_for_the_job_stays() {
        let commands = SLURM_COMMANDS_DIRECTORY;
        let path = |job: &[(&str, &str)]| set(&["PATH=/image"], job)["PATH"].clone();
        let own = ("PATH", "/mine");
        assert_eq!(path(&[own, ("BMC_INSIDE", "7")]), format!("/mine:{commands}"));
        assert_eq!(path(&[own, ("BMC_INSIDE", "6")]), format!("/image:{commands}"));
        assert_eq!(
            path(&[own, ("SLURM_EXPORT_ENV", "ALL,PATH=/mine")]),
            format!("/mine:{commands}")
        );
        assert_eq!(path(&[own, ("SLURM_EXPORT_ENV", "NONE")]), format!("/image:{commands}"));
        let inside = format!("/a:{commands}");
        assert_eq!(path(&[("PATH", &inside), ("BMC_INSIDE", "7")]), inside);
        assert_eq!(set(&[], &[])["PATH"], format!("{DEFAULT_PATH}:{commands}"));
    }

    #[test]
    fn a_catalog_name_stays_what_the_job_sees() {
        assert!(!set(&[], &[("BMC_IMAGE", "pytorch")]).contains_key("BMC_IMAGE"));
        assert!(set(&[], &[("BMC_IMAGE", "docker://x")]).contains_key("BMC_IMAGE"));
    }

    #[test]
    fn a_task_starts_where_it_was_or_where_the_image_says() {
        let at = |is_at: &str, came_from: &str| {
            let application = application(&[], Some("/start"));
            directory(&application, Some(is_at.into()), Some(Path::new(came_from)))
        };
        assert_eq!(at("/home/a", "/home/a"), None);
        assert_eq!(at("/tmp", "/tmp"), None);
        assert_eq!(at("/tmp", "/nonexistent"), Some("/start".into()));
        assert_eq!(at("/tmp", "/usr"), Some("/usr".into()));
        let none = application(&[], None);
        assert_eq!(directory(&none, Some("/tmp".into()), None), Some("/".into()));
    }

    #[test]
    fn an_entry_point_is_looked_for_in_the_images_search_path() {
        struct Words(RefCell<String>);
        impl Job for Words {
            fn set_for_hooks(&self, _: &str, _: Option<&str>) -> Result<(), String> {
                Err("not here".into())
            }
            fn set_for_tasks(&self, _: &str, _: &str) -> Result<(), String> {
                Ok(())
            }
            fn task_variable(&self, name: &str) -> Option<String> {
                (name == "PATH").then(|| "/nonexistent:/bin".into())
            }
            fn prepend_command(&self, words: Vec<CString>) -> Result<(), String> {
                let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
                *self.0.borrow_mut() = words.join(" ");
                Ok(())
            }
            fn tell(&self, _: &str) {}
            fn task_of(&self) -> Result<TaskOf, String> {
                Err("not here".into())
            }
        }
        let prepended = |entry: &[&str]| {
            let words = Words(RefCell::default());
            let mut config = application(&[], Some("/start")).config;
            config.entrypoint = entry.iter().map(|word| (*word).to_owned()).collect();
            entry_point(&config, &words).map(|()| words.0.into_inner())
        };
        assert_eq!(prepended(&[]).unwrap(), "");
        assert_eq!(prepended(&["sh", "-c"]).unwrap(), "/bin/sh -c");
        assert_eq!(prepended(&["./run"]).unwrap(), "/start/./run");
        assert_eq!(prepended(&["/x/run", "a"]).unwrap(), "/x/run a");
        assert!(prepended(&["nowhere", "--"]).unwrap_err().contains("nowhere is not in the image"));
    }

    #[test]
    fn pmix_is_told_what_the_server_has_chosen() {
        let has = |name: &str| match name {
            "PMIX_SECURITY_MODE" => Some("munge,native".to_owned()),
            "PMIX_GDS_MODULE" | "PMIX_MCA_gds" => Some("hash".to_owned()),
            _ => None,
        };
        assert_eq!(pmix(&has), [("PMIX_MCA_psec".to_owned(), "munge,native".to_owned())]);
    }

    #[test]
    fn an_old_pmix_library_is_told_by_its_file() {
        let root = tempfile::tempdir().unwrap();
        let place = |folder: &str, file: &str, link: &str| {
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(file), "").unwrap();
            std::os::unix::fs::symlink(file, folder.join(link)).unwrap();
        };
        let old = |library_path: &str| old_pmix(root.path(), library_path);
        assert_eq!(old(""), None);
        place("opt/a", "libpmix.so.1.0.1", "libpmix.so.1");
        assert_eq!(old(""), None);
        assert_eq!(old("/none::/opt/a").as_deref(), Some("libpmix.so.1.0.1"));
        place("usr/lib64", "libpmix.so.2.1.4", "libpmix.so.2");
        assert_eq!(old("").as_deref(), Some("libpmix.so.2.1.4"));
        place("opt/b", "libpmix.so.2.13.3", "libpmix.so.2");
        assert_eq!(old("/opt/a:/opt/b"), None);
    }
}
