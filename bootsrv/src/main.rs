//! bootsrv: flags, configuration, parts, servers. Wiring only.

use anyhow::{Context, Result};
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::serve::ListenerExt;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use bootsrv::application::uploads::{self, Senders};
use bootsrv::application::{self, fitness, keeping};
use bootsrv::config::Config;
use bootsrv::deployment::engine::Engine;
use bootsrv::deployment::reconciler;
use bootsrv::http::{self, App};
use bootsrv::hub::Hub;
use bootsrv::power::{Fleet, Listener, Site};
use bootsrv::scheduler;
use bootsrv::slurm::Scontrol;
use bootsrv::slurm_queue::SlurmQueue;
use bootsrv::store::Store;
use bootsrv::{damage, descriptors, logging, readings, tls, users};
use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The boot server of bare-metal containers for Slurm.
///
/// It powers nodes on and off for Slurm's jobs, tells them what to boot, and measures the energy
/// they take. It runs as SlurmUser beside slurmctld.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file.
    #[arg(long, default_value = "/etc/bare-metal-container/bootsrv.toml")]
    config: PathBuf,
    /// Check the configuration and stop.
    #[arg(long)]
    check: bool,
    /// Log to standard error instead of syslog.
    #[arg(long)]
    foreground: bool,
    /// Log every event.
    #[arg(long)]
    debug: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bootsrv: {error:#}");
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> Result<()> {
    let config = Config::read(&arguments.config)?;
    let missing = fitness::missing_tools();
    if arguments.check {
        missing.iter().for_each(|missing| eprintln!("bootsrv: warning: {missing}"));
        println!("{} is valid", arguments.config.display());
        return Ok(());
    }
    logging::start(arguments.foreground, arguments.debug)?;
    missing.iter().for_each(|missing| log::warn!("{missing}"));
    match descriptors::raise() {
        Ok(most) => {
            log::info!("at most {most} files and connections are open at once (LimitNOFILE)");
        }
        Err(error) => log::warn!("raising the limit of open files (LimitNOFILE): {error}"),
    }
    // Every thread of the process may use TLS: one provider for all.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        log::debug!("a TLS provider was installed before");
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(Arc::new(config)))
}

async fn serve(config: Arc<Config>) -> Result<()> {
    std::fs::create_dir_all(&config.state_dir)
        .with_context(|| format!("making {}", config.state_dir.display()))?;
    let identity = tls::identity(&config.state_dir.join("tls"), &config.url.https)?;
    let store = Arc::new(Store::open(&config.state_dir.join("store.sqlite"))?);
    let upload_dir = uploads::directory(&config);
    std::fs::create_dir_all(&upload_dir)
        .with_context(|| format!("making {}", upload_dir.display()))?;
    uploads::clean(&upload_dir, &store)
        .with_context(|| format!("cleaning {}", upload_dir.display()))?;
    let hub = Arc::new(Hub::open(&config, &identity.certificate)?);
    hub.refresh()?;
    hub.sweep(&store)?;
    let slurm_uid = users::uid_of(&config.slurm.user).with_context(|| {
        format!("slurm.user = {:?} is not a user of this machine", config.slurm.user)
    })?;

    let scontrol = Scontrol::new(config.slurm.scontrol.clone(), config.slurm.conf.clone());
    let site = Arc::new(Site::new(&config.limits));
    let fleet = Fleet::default();
    let slurm = SlurmQueue::start(scontrol.clone(), Arc::clone(&store));
    let engine =
        Arc::new(Engine::new(Arc::clone(&store), Arc::clone(&config), fleet.clone(), slurm));
    if site.listener.set(Arc::clone(&engine) as Arc<dyn Listener>).is_err() {
        anyhow::bail!("the listener was set twice");
    }
    let definitions: Vec<_> = store.nodes()?.into_iter().map(|row| row.definition).collect();
    fleet.start(&definitions, &site);
    engine.take_up_again()?;
    readings::start(&store);
    reconciler::start(Arc::clone(&engine), scontrol.clone());
    scheduler::start(&engine, Arc::clone(&hub), scontrol);
    application::start(Arc::clone(&engine), Arc::clone(&hub));
    keeping::start(Arc::clone(&engine), Arc::clone(&hub));

    let senders = Arc::new(Senders::new(config.application_images.site.uploads_at_once));
    let app = App { engine, hub, site, slurm_uid, senders, upload_dir };
    let served = tokio::select! {
        served = listen(&config, app, &identity) => served,
        // Nothing more is written to it.
        damaged = damage::of_store(&store) => return Err(damaged.into()),
    };
    // Whatever ends it, both are tried.
    let (written, ended) = (store.write_samples(), store.end_preparations());
    served?;
    written?;
    Ok(ended?)
}

/// Serves both doors until a signal ends the program. Nothing is lost by a harder end.
async fn listen(config: &Config, app: App, identity: &tls::Identity) -> Result<()> {
    let listener = TcpListener::bind(config.listen.http)
        .await
        .with_context(|| format!("listening on listen.http = {}", config.listen.http))?;
    // Head and body go out as two segments; without this, Nagle holds the second one back 40 ms.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let rustls = RustlsConfig::from_pem_file(&identity.certificate, &identity.key)
        .await
        .context("reading the certificate and key in the state directory")?;
    let acceptor = RustlsAcceptor::new(rustls).acceptor(NoDelayAcceptor);
    let public = http::public(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let nodes: IntoMakeServiceWithConnectInfo<_, SocketAddr> =
        http::nodes(app).into_make_service_with_connect_info::<SocketAddr>();
    let secure = axum_server::bind(config.listen.https).acceptor(acceptor).serve(nodes);
    log::info!("listening on {} and {}", config.listen.http, config.listen.https);
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        log::debug!("not under systemd: {error}");
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        ended = axum::serve(listener, public) => ended.context("serving HTTP"),
        ended = secure => ended.with_context(|| format!("listening on listen.https = {}", config.listen.https)),
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
