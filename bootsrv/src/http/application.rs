//! What the node agent asks about its job's application image.

use super::App;
use super::answer::{Answer, refuse};
use super::auth::Booting;
use crate::application::request::{self, Owner};
use crate::store::Try;
use axum::Json;
use axum::extract::State as AppState;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::application::ApplicationPlan;
use protocol::error::ErrorKind;

/// `GET`: the plan; 202 while the image is on its way, 204 if the job has none.
pub(super) async fn plan(AppState(app): AppState<App>, Booting(one): Booting) -> Answer<Response> {
    if !one.state.may_fetch_application() || one.failure.is_some() {
        let text = format!("{} is not booting for a job", one.node);
        return Err(refuse(ErrorKind::Forbidden, text));
    }
    let of = one.try_id.map(|id| app.engine.store.one_try(id)).transpose()?.flatten();
    Ok(match of.map_or(Told::Nothing, |of| told(&app, of)) {
        Told::Nothing => StatusCode::NO_CONTENT.into_response(),
        Told::Later => StatusCode::ACCEPTED.into_response(),
        Told::Plan(plan) => Json(plan).into_response(),
    })
}

enum Told {
    Nothing,
    Later,
    Plan(Box<ApplicationPlan>),
}

fn told(app: &App, of: Try) -> Told {
    let Some(asked) = of.asked.application else { return Told::Nothing };
    let Some(image) = of.asked.application_image else { return Told::Later };
    let owner = Owner { job: of.asked.job, user: &of.asked.user, uid: of.asked.uid };
    let export = app.engine.config.application_images.site.export();
    Told::Plan(Box::new(request::plan(owner, &asked, &image, export)))
}
