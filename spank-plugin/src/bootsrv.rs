//! What the user's process asks bootsrv at submit time, and the files it sends. The check is courtesy
//! only: a refusal spares the user the wait, and a bootsrv that is silent costs a second, because
//! prolog asks again with authority. A file must be sent, with the user's own rights, or the job could
//! not start.

use crate::context::{After, Process};
use crate::options::{Given, PREFIX};
use bootsrv_client::{
    Client, ClientConfig, ClientError, FileProgress, Timeouts, chain, registry_login,
};
use protocol::api::{CatalogEntry, CheckRequest};
use protocol::error::ErrorKind;
use protocol::image_reference::{FileReference, ImageChoice, ImageReference};
use protocol::job_env::CLIENT_CONFIG_PATH;
use protocol::job_options::{JobOptions, OptionName};
use protocol::names::Digest;
use std::time::{Duration, Instant};

/// A user who submits a hundred jobs to a silent bootsrv waits this long for each.
const CHECK_LIMIT: Duration = Duration::from_secs(1);
/// Somebody who asks for a list waits for it.
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// Between two lines about a file on its way.
const PROGRESS_PAUSE: Duration = Duration::from_millis(500);
const MEGABYTE: u64 = 1_000_000;

/// Accepts unless bootsrv says that the choice is wrong or not allowed; answers with the choice,
/// pinned as far as it can be now, and with the features that its job is to prefer. The partition and the account are left open: SPANK offers neither
/// before the job is submitted.
pub(crate) fn check(
    mut options: JobOptions,
    process: &dyn Process,
    given: &Given,
) -> Result<(JobOptions, Vec<String>), String> {
    if let Some(ImageChoice::Reference(ImageReference::File(file))) = &mut options.image {
        file.digest = Some(send(file, process, given)?);
    }
    let mut request = CheckRequest { options, partition: None, account: None, credential: None };
    let unchecked = |request: CheckRequest, reason: &str| {
        process.note(&format!("{PREFIX} accepted without a check: {reason}"));
        Ok((request.options, Vec::new()))
    };
    let (config, client) = match client(CHECK_LIMIT, process, given) {
        Ok(both) => both,
        Err(reason) => return unchecked(request, &reason),
    };
    if let Some(ImageChoice::Reference(ImageReference::Docker(image))) = &request.options.image {
        let variable = |name: &str| process.variable(name);
        // Without it a public image can be had all the same.
        request.credential = registry_login(&config, image, &variable).unwrap_or_else(|reason| {
            process.warn(&format!("{PREFIX} no registry credential goes along: {reason}"));
            None
        });
    }
    match client.check_options(&request) {
        // An older bootsrv answers with nothing.
        Ok(checked) if checked.options == JobOptions::default() => {
            Ok((request.options, checked.prefer))
        }
        Ok(checked) => Ok((checked.options, checked.prefer)),
        Err(ClientError::Refused(refused))
            if matches!(refused.kind, ErrorKind::User | ErrorKind::Forbidden) =>
        {
            Err(format!("{PREFIX} {refused}"))
        }
        Err(error) => unchecked(request, &error.chain()),
    }
}

/// A file's bytes go to bootsrv now: nobody else may read it in the user's name later.
fn send(file: &FileReference, process: &dyn Process, given: &Given) -> Result<Digest, String> {
    let (_, client) = client(LIST_LIMIT, process, given)
        .map_err(|reason| format!("{PREFIX} the image cannot be sent: {reason}"))?;
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let mut told = None;
    let mut tell = |progress| {
        let text = match progress {
            FileProgress::Hashing(bytes) => format!("reading {name}: {} MB", bytes / MEGABYTE),
            FileProgress::Sending(bytes, of) => {
                format!("sending {name}: {} of {} MB", bytes / MEGABYTE, of / MEGABYTE)
            }
        };
        let now = Instant::now();
        let since = now.duration_since(*told.get_or_insert(now));
        if since > PROGRESS_PAUSE {
            told = Some(now);
            process.progress(Some(&format!("{PREFIX} {text}")));
        }
    };
    let sent = client.send_file(file, &mut tell);
    process.progress(None);
    sent.map_err(|error| format!("{PREFIX} the image cannot be sent: {}", error.chain()))
}

/// Whether the site has a list of what it takes.
pub(crate) fn has_list(name: OptionName) -> bool {
    matches!(name, OptionName::Kernel | OptionName::Image | OptionName::NodeImage)
}

/// The catalog as this user may choose from it.
pub(crate) fn print_choices(name: OptionName, process: &dyn Process, given: &Given) -> After {
    let catalog = client(LIST_LIMIT, process, given)
        .and_then(|(_, client)| client.catalog(None, None).map_err(|error| error.chain()));
    match (catalog, name) {
        (Err(reason), _) => After::Refuse(format!("{PREFIX} no list: {reason}")),
        (Ok(catalog), OptionName::Kernel) => After::Print(table("KERNEL", &catalog.kernels)),
        (Ok(catalog), OptionName::NodeImage) => After::Print(table("IMAGE", &catalog.images)),
        (Ok(mut catalog), _) => {
            catalog.images.append(&mut catalog.application_images);
            After::Print(table("IMAGE", &catalog.images))
        }
    }
}

fn client(
    limit: Duration,
    process: &dyn Process,
    given: &Given,
) -> Result<(ClientConfig, Client), String> {
    let path = given.config.clone().unwrap_or_else(|| {
        ClientConfig::path(process.variable(CLIENT_CONFIG_PATH).map(Into::into))
    });
    let config = ClientConfig::load(&path).map_err(|error| chain(&error))?;
    let client = Client::new(&config, Timeouts::total(limit));
    Ok((config, client))
}

/// One line a choice, the default marked.
pub(crate) fn table(title: &str, entries: &[CatalogEntry]) -> String {
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let width = width.max(title.len());
    let line = |mark: char, name: &str, text: &str| {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        format!("{mark} {name:width$}  {text}").trim_end().to_owned() + "\n"
    };
    let mut out = line(' ', title, "DESCRIPTION (* is booted when a job names none)");
    for entry in entries {
        out += &line(if entry.default { '*' } else { ' ' }, &entry.name, &entry.description);
    }
    out
}
