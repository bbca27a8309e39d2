//! The kernel hub.

use super::App;
use super::answer::{Answer, blocking, parse, refuse};
use super::auth::Signed;
use super::image::used_by;
use super::upload;
use crate::catalog::{self, Choice};
use crate::hub::Hub;
use axum::Json;
use axum::extract::{Path, Request, State as AppState};
use protocol::api::KernelView;
use protocol::boot::Setting;
use protocol::error::ErrorKind;
use protocol::names::KernelName;
use std::path::Path as FilePath;

/// `GET`: all kernels and profiles.
pub(super) async fn list(
    AppState(app): AppState<App>,
    _: Signed<()>,
) -> Answer<Json<Vec<KernelView>>> {
    let choices = catalog::choices(&app.engine.config, &app.hub)?;
    Ok(Json(choices.into_values().map(|choice| show(&app, choice)).collect::<Answer<_>>()?))
}

/// `GET …/{name}`: one of them.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    _: Signed<()>,
) -> Answer<Json<KernelView>> {
    let name: KernelName = parse(&name)?;
    let choice =
        catalog::find(&app.engine.config, &app.hub, &name, protocol::profile::Asker::default())?;
    show(&app, choice).map(Json)
}

/// `PUT …/{name}`: imports a Debian kernel package.
pub(super) async fn import(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    request: Request,
) -> Answer<Json<KernelView>> {
    let name: KernelName = parse(&name)?;
    let import = move |hub: &Hub, file: &FilePath| hub.import_kernel(&name, file);
    let imported = upload::import(&app, request, import).await?;
    let choice = catalog::find(
        &app.engine.config,
        &app.hub,
        &imported.name,
        protocol::profile::Asker::default(),
    )?;
    show(&app, choice).map(Json)
}

/// `DELETE …/{name}`: refused while a profile, a partition or a job needs it.
pub(super) async fn remove(
    AppState(app): AppState<App>,
    Path(name): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<()>> {
    caller.require_admin()?;
    let name: KernelName = parse(&name)?;
    let choices = catalog::choices(&app.engine.config, &app.hub)?;
    let on_top: Vec<&KernelName> = choices
        .values()
        .filter(|choice| choice.kernel.name == name)
        .map(|choice| &choice.name)
        .collect();
    let busy =
        |why: String| Err(refuse(ErrorKind::Busy, format!("kernel {name} is in use: {why}")));
    if let Some(profile) = on_top.iter().find(|profile| ***profile != name) {
        return busy(format!("profile {profile} boots it"));
    }
    if let Some(partition) =
        app.engine.config.partitions.iter().find(|p| on_top.contains(&&p.default_kernel))
    {
        return busy(format!("it is the default of partition {}", partition.name));
    }
    if let Some(job) = used_by(&app, |one| on_top.contains(&&one.kernel))?.first() {
        return busy(format!("job {job} runs on it"));
    }
    blocking(move || Ok(app.hub.remove_kernel(&name, &app.engine.store)?)).await.map(Json)
}

fn show(app: &App, choice: Choice) -> Answer<KernelView> {
    let settings = crate::plan::settings(&choice.profile);
    let used = used_by(app, |one| one.kernel == choice.name)?;
    let kernel = &choice.kernel;
    Ok(KernelView {
        kernel: kernel.name.clone(),
        release: kernel.release.clone(),
        description: choice.profile.description,
        arguments: choice.profile.arguments,
        settings: settings.iter().map(line).collect(),
        bytes: kernel.vmlinuz.bytes + kernel.initrd.bytes + kernel.modules.bytes,
        allow: choice.profile.allow,
        used_by: used,
        name: choice.name,
    })
}

fn line(setting: &Setting) -> String {
    match setting {
        Setting::Module(name) => format!("module {name}"),
        Setting::Sysfs { path, value } => format!("/sys/{path} = {value}"),
        Setting::Sysctl { key, value } => format!("{key} = {value}"),
        Setting::CpuOffline(cpu) => format!("cpu {cpu} off-line"),
    }
}
