//! What people ask: energy, and what they may choose.

use super::App;
use super::answer::{Answer, parse};
use super::auth::Signed;
use super::job::tries;
use super::pinning;
use crate::application::{choice, fitness};
use crate::scheduler::hint;
use crate::{catalog, energy_record};
use axum::Json;
use axum::extract::{Path, Query, State as AppState};
use protocol::api::{Catalog, CheckRequest, Checked};
use protocol::energy::JobEnergy;
use protocol::image_reference::ImageChoice;
use protocol::profile::Asker;
use serde::Deserialize;

/// `GET /v1/energy/{job}`: each try of the job, oldest first.
pub(super) async fn energy(
    AppState(app): AppState<App>,
    Path(job): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<Vec<JobEnergy>>> {
    let tries = tries(&app, parse(&job)?, &caller)?;
    let (store, known) = (&app.engine.store, &app.engine.config.energy);
    let records = tries.iter().map(|one| energy_record::of_try(store, one, known));
    Ok(Json(records.collect::<Result<_, _>>()?))
}

/// Query of the catalog.
#[derive(Debug, Deserialize)]
pub(super) struct CatalogQuery {
    partition: Option<String>,
    account: Option<String>,
}

/// `GET /v1/catalog`: what the caller may choose.
pub(super) async fn catalog(
    AppState(app): AppState<App>,
    Query(query): Query<CatalogQuery>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<Catalog>> {
    let asker = Asker {
        user: caller.user.as_deref(),
        account: query.account.as_deref(),
        partition: query.partition.as_deref(),
    };
    Ok(Json(catalog::list(&app.engine.config, &app.hub, asker)?))
}

/// `POST /v1/check`: would a job of the caller with these options be accepted? Answers with the
/// options pinned, for the job to go on with.
pub(super) async fn check(
    AppState(app): AppState<App>,
    Signed { caller, body }: Signed<CheckRequest>,
) -> Answer<Json<Checked>> {
    let asker = Asker {
        user: caller.user.as_deref(),
        account: body.account.as_deref(),
        partition: body.partition.as_deref(),
    };
    if let Some(kernel) = &body.options.kernel {
        let choice = catalog::find(&app.engine.config, &app.hub, kernel, asker)?;
        // The plugin may not know partition or account; then only prolog can decide.
        let allow = &choice.profile.allow;
        let undecided = (asker.account.is_none() && !allow.accounts.is_empty())
            || (asker.partition.is_none() && !allow.partitions.is_empty());
        if !undecided {
            catalog::kernel(&app.engine.config, &app.hub, kernel, asker)?;
        }
    }
    let config = &app.engine.config;
    let partition = body.partition.as_deref().and_then(|name| config.partition(name));
    let images = choice::images(config, &app.hub, &body.options, partition, asker)?;
    let wish = hint::Wish {
        uid: caller.uid,
        kernel: body.options.kernel.as_ref(),
        image: images.node.as_ref(),
    };
    let prefer = hint::features(&app.engine, &app.hub, wish, asker);
    let default = || Some(partition?.default_kernel.clone());
    if let Some(application) = &images.application
        && let Some(name) = body.options.kernel.clone().or_else(default)
        // A default that is missing is the site's fault, told when the job starts.
        && let Ok(choice) = catalog::find(config, &app.hub, &name, asker)
    {
        fitness::check(&app.hub, &choice.kernel, &application.request)?;
    }
    let mut options = body.options.clone();
    let asked = images.application.map(|application| application.request.reference);
    if let (Some(reference), Some(ImageChoice::Reference(_))) = (asked, &options.image) {
        let pinned = pinning::pin(&app, &caller, reference, body.credential).await?;
        options.image = Some(ImageChoice::Reference(pinned));
    }
    Ok(Json(Checked { options, prefer }))
}
