//! What the user's process asks bootsrv at submit time. Courtesy only: a refusal spares the user the
//! wait, and a bootsrv that is silent costs a second, because prolog asks again with authority.

use crate::context::{After, Process};
use crate::options::{Given, OptionName, PREFIX};
use bootsrv_client::{Client, ClientConfig, ClientError, Timeouts, chain};
use protocol::api::{CatalogEntry, CheckRequest};
use protocol::error::ErrorKind;
use protocol::job_env::CLIENT_CONFIG_PATH;
use protocol::job_options::JobOptions;
use std::time::Duration;

/// A user who submits a hundred jobs to a silent bootsrv waits this long for each.
const CHECK_LIMIT: Duration = Duration::from_secs(1);
/// Somebody who asks for a list waits for it.
const LIST_LIMIT: Duration = Duration::from_secs(5);

/// Accepts unless bootsrv says that the choice is wrong or not allowed. The partition and the
/// account are left open: SPANK offers neither before the job is submitted.
pub(crate) fn check(
    choice: &JobOptions,
    process: &dyn Process,
    given: &Given,
) -> Result<(), String> {
    let request = CheckRequest { options: choice.clone(), partition: None, account: None };
    let unchecked = |reason: &str| {
        process.note(&format!("{PREFIX} accepted without a check: {reason}"));
        Ok(())
    };
    let client = match client(CHECK_LIMIT, process, given) {
        Ok(client) => client,
        Err(reason) => return unchecked(&reason),
    };
    match client.check_options(&request) {
        Ok(_) => Ok(()),
        Err(ClientError::Refused(refused))
            if matches!(refused.kind, ErrorKind::User | ErrorKind::Forbidden) =>
        {
            Err(format!("{PREFIX} {refused}"))
        }
        Err(error) => unchecked(&error.chain()),
    }
}

/// The catalog as this user may choose from it.
pub(crate) fn print_choices(name: OptionName, process: &dyn Process, given: &Given) -> After {
    let catalog = client(LIST_LIMIT, process, given)
        .and_then(|client| client.catalog(None, None).map_err(|error| error.chain()));
    match (catalog, name) {
        (Err(reason), _) => After::Refuse(format!("{PREFIX} no list: {reason}")),
        (Ok(catalog), OptionName::Kernel) => After::Print(table("KERNEL", &catalog.kernels)),
        (Ok(catalog), OptionName::Image) => After::Print(table("IMAGE", &catalog.images)),
    }
}

fn client(limit: Duration, process: &dyn Process, given: &Given) -> Result<Client, String> {
    let path = given.config.clone().unwrap_or_else(|| {
        ClientConfig::path(process.variable(CLIENT_CONFIG_PATH).map(Into::into))
    });
    let config = ClientConfig::load(&path).map_err(|error| chain(&error))?;
    Ok(Client::new(&config, Timeouts::total(limit)))
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
