//! A node whose power is about to be cut asks what to boot.

use super::bootsrv::{site, store};
use crate::application::uploads::{self, Senders};
use crate::deployment::State;
use crate::deployment::engine::Engine;
use crate::http::{App, doors};
use crate::pin::Pin;
use crate::power::{Fleet, Observed, Site};
use crate::slurm_queue::SlurmQueue;
use crate::token::new_deployment;
use protocol::names::NodeName;
use std::sync::Arc;

#[tokio::test]
async fn a_node_that_is_about_to_lose_its_power_gets_nothing_to_boot() {
    let directory = tempfile::tempdir().unwrap();
    let (config, hub) = site(directory.path());
    let (store, fleet) = (store(1), Fleet::default());
    let (slurm, _words) = SlurmQueue::recorded();
    let engine = Engine::new(Arc::clone(&store), Arc::clone(&config), fleet.clone(), slurm);
    let app = App {
        engine: Arc::new(engine),
        hub,
        site: Arc::new(Site::new(&config.limits)),
        slurm_uid: 0,
        senders: Arc::new(Senders::new(1)),
        upload_dir: uploads::directory(&config),
    };
    let name: NodeName = "n1".parse().unwrap();
    let node = store.node(&name).unwrap().unwrap().definition;
    let (kernel, image) = ("k".parse().unwrap(), "i".parse().unwrap());
    let new = new_deployment(name, kernel, image, Pin::of_nothing());
    let id = store.add_jobless(&new, 1).unwrap();
    store.change(id, Some(State::PoweringOn), None, &[], 2).unwrap();
    let state = || store.deployment(id).unwrap().unwrap().state;
    let show = |is_being_cut| {
        fleet.show(&node, Observed { is_being_cut, ..Observed::default() });
    };
    let boots = |script: Option<String>| script.unwrap().contains("/artifacts/");

    show(true);
    assert!(!boots(doors::script(&app, &node).await));
    assert_eq!(state(), State::PoweringOn, "its question moves nothing on");
    show(false);
    assert!(boots(doors::script(&app, &node).await));
    assert_eq!(state(), State::Booting);
    show(true);
    assert!(doors::token(&app, &node).await.is_none());
    show(false);
    assert!(doors::token(&app, &node).await.is_some(), "it was not given before");
}
