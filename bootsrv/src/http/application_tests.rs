//! What a node may ask about its job's application image, and when.

use super::artifact::{self, fetcher};
use super::auth::{Booting, Caller, Signed};
use super::{App, application, report};
use crate::application::request::tests::{example, prepared};
use crate::application::uploads;
use crate::clock::now_unix_ns;
use crate::config::{Config, Limits};
use crate::deployment::engine::Engine;
use crate::deployment::transition::Event;
use crate::deployment::{Deployment, State};
use crate::examples::{CONFIG, asked};
use crate::hub::Hub;
use crate::pin::Pin;
use crate::power::{Fleet, Site};
use crate::slurm_queue::SlurmQueue;
use crate::store::{NewTry, Store};
use crate::token;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, Request, State as AppState};
use protocol::api::CheckRequest;
use protocol::application::ApplicationPlan;
use protocol::error::ErrorKind;
use protocol::names::{Digest, JobId};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NODE: &str = r#"{"name":"n1","mac":"52:54:00:00:00:01","address":"10.77.0.11/24","cpus":1,
    "power":{"method":"ipmi","address":"10.77.1.11","user":"u","password":"p"}}"#;

pub(super) struct Fixture {
    _directory: tempfile::TempDir,
    pub(super) app: App,
    try_id: i64,
}

impl Fixture {
    /// Job 7 of alice on n1.
    pub(super) fn new(with_image: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = CONFIG.replace("STATE", &directory.path().to_string_lossy());
        let config: Arc<Config> = Arc::new(toml::from_str(&text).unwrap());
        let store = Arc::new(Store::in_memory().unwrap());
        store.put_nodes(&[serde_json::from_str(NODE).unwrap()]).unwrap();
        let asked = NewTry { application: with_image.then(example), ..asked(7) };
        let (kernel, image) = (asked.kernel.clone(), asked.image.clone());
        let node = "n1".parse().unwrap();
        let node = token::new_deployment(node, kernel, image, Pin::of_nothing());
        let try_id = store.add_try(&asked, &[node], 1).unwrap();
        let hub = Arc::new(Hub::open(&config, "/none".as_ref()).unwrap());
        let upload_dir = uploads::directory(&config);
        let (slurm, _words) = SlurmQueue::recorded();
        let engine = Arc::new(Engine::new(store, config, Fleet::default(), slurm));
        let site = Arc::new(Site::new(&Limits::default()));
        std::fs::create_dir_all(&upload_dir).unwrap();
        let senders = Arc::new(uploads::Senders::new(2));
        let app = App { engine, hub, site, slurm_uid: 0, senders, upload_dir };
        Self { _directory: directory, app, try_id }
    }

    pub(super) fn in_state(&self, state: State) -> Deployment {
        let store = &self.app.engine.store;
        let id = store.deployments_of_try(self.try_id).unwrap()[0].id;
        store.change(id, Some(state), None, &[], 2).unwrap();
        store.deployment(id).unwrap().unwrap()
    }

    /// Status code and body.
    async fn plan(&self, state: State) -> Option<(u16, Vec<u8>)> {
        let booting = Booting(self.in_state(state));
        let answer = application::plan(AppState(self.app.clone()), booting).await.ok()?;
        let status = answer.status().as_u16();
        Some((status, to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()))
    }
}

#[tokio::test]
async fn the_plan_is_there_when_the_image_is_prepared() {
    let without = Fixture::new(false);
    assert_eq!(without.plan(State::Starting).await.unwrap().0, 204);
    let fixture = Fixture::new(true);
    assert_eq!(fixture.plan(State::Starting).await.unwrap().0, 202);
    fixture.app.engine.store.set_application_image(fixture.try_id, &prepared(5)).unwrap();
    for state in [State::Booting, State::Registering, State::FetchingImage, State::Ready] {
        let (status, body) = fixture.plan(state).await.unwrap();
        assert_eq!(status, 200, "{state:?}");
        let plan: ApplicationPlan = serde_json::from_slice(&body).unwrap();
        assert_eq!((plan.job, plan.uid, plan.user.as_str()), (JobId(7), 2001, "alice"));
        assert_eq!(plan.layers, prepared(5).layers);
    }
    for state in [State::Waiting, State::PoweringOn, State::Ended, State::PoweringOff] {
        assert!(fixture.plan(state).await.is_none(), "{state:?}");
    }
}

#[test]
fn a_running_node_fetches_its_own_layers_and_nothing_else() {
    let fixture = Fixture::new(true);
    fixture.app.engine.store.set_application_image(fixture.try_id, &prepared(5)).unwrap();
    let may = |address: &str, byte| {
        let from = address.parse().unwrap();
        fetcher(&fixture.app, from, &Digest([byte; 32])).unwrap().is_some()
    };
    for (state, layer, other) in [
        (State::PoweringOn, true, true),
        (State::Starting, true, true),
        (State::Registering, true, false),
        (State::FetchingImage, true, false),
        (State::Ready, true, false),
        (State::Ended, false, false),
        (State::PoweringOff, false, false),
    ] {
        fixture.in_state(state);
        assert_eq!((may("10.77.0.11", 5), may("10.77.0.11", 6)), (layer, other), "{state:?}");
        assert!(!may("10.77.0.12", 5), "{state:?}");
    }
}

/// A node that gets some of a large image again and again is not given up.
#[tokio::test]
async fn bytes_of_the_image_are_a_sign_of_progress() {
    let fixture = Fixture::new(true);
    let app = &fixture.app;
    app.engine.store.set_application_image(fixture.try_id, &prepared(5)).unwrap();
    let layer = Digest([5; 32]);
    std::fs::write(app.hub.path(&layer), vec![7; 100_000]).unwrap();
    let one = fixture.in_state(State::FetchingImage);
    let from: SocketAddr = "10.77.0.11:700".parse().unwrap();
    let request = Request::builder().extension(ConnectInfo(from)).body(Body::empty()).unwrap();
    let path = Path(layer.to_string());
    let answer = artifact::get(AppState(app.clone()), path, request).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "100000");
    assert_eq!(app.engine.last_fetch(one.id), 0, "nothing is on its way yet");
    let before = now_unix_ns();
    assert_eq!(to_bytes(answer.into_body(), 1 << 20).await.unwrap().len(), 100_000);
    assert!(app.engine.last_fetch(one.id) >= before);
    app.engine.apply(one.id, &Event::ApplicationReady).unwrap();
    assert_eq!(app.engine.last_fetch(one.id), 0, "no longer of interest");
}

/// iPXE does not load what comes without its length.
#[tokio::test]
async fn a_node_with_an_image_is_told_how_long_an_artifact_is() {
    let fixture = Fixture::new(true);
    let app = &fixture.app;
    let here = NODE.replace("10.77.0.11/24", "127.0.0.1/8");
    app.engine.store.put_nodes(&[serde_json::from_str(&here).unwrap()]).unwrap();
    let kernel = Digest([6; 32]);
    std::fs::write(app.hub.path(&kernel), vec![7; 100_000]).unwrap();
    fixture.in_state(State::PoweringOn);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = super::public(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let served = tokio::spawn(async move { axum::serve(listener, routes).await });
    for range in ["", "Range: bytes=40000-\r\n"] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let asked = format!(
            "GET /artifacts/{kernel} HTTP/1.1\r\nHost: a\r\n{range}Connection: close\r\n\r\n"
        );
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let bytes = answer.len() - end - 4;
        assert_eq!(bytes, if range.is_empty() { 100_000 } else { 60_000 }, "{head}");
        assert!(head.contains(&format!("content-length: {bytes}")), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
    served.abort();
}

#[tokio::test]
async fn a_kernel_too_old_for_images_is_refused_when_the_job_is_submitted() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    let sha256 = Digest([1; 32]);
    let file = serde_json::json!({"sha256": sha256, "bytes": 1});
    let kernel = serde_json::json!({
        "name": "old", "release": "5.10.0-30-amd64", "vmlinuz": file, "initrd": file, "modules": file,
        "bytes": 3, "initrd_inputs": sha256, "initrd_modules": [], "initrd_builtin": [],
        "initrd_missing": [],
    });
    let hub = app.engine.config.state_dir.join("kernels/old.json");
    std::fs::write(hub, kernel.to_string()).unwrap();
    let check = |options: &str| {
        let options = serde_json::from_str(options).unwrap();
        let body = CheckRequest { options, partition: None, account: None, credential: None };
        let caller = Caller { uid: 1, user: None, admin: false };
        report::check(AppState(app.clone()), Signed { caller, body })
    };
    assert!(check(r#"{"kernel":"old"}"#).await.is_ok());
    // Nobody listens there: the registry is not even asked.
    let options = r#"{"kernel":"old","image":"docker://127.0.0.1:1/x:1"}"#;
    let refused = check(options).await.unwrap_err();
    assert_eq!(refused.0.kind, ErrorKind::User);
    assert!(refused.0.message.contains("an application image needs 5.12 or newer"), "{refused:?}");
}
