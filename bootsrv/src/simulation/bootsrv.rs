//! bootsrv itself: the real parts, put together as `main` does; killed, and started again.

use super::machine::Machines;
use super::scontrol::Simulated;
use super::world::{Shared, World, with};
use crate::application::uploads::{self, Senders};
use crate::config::Config;
use crate::deployment::engine::Engine;
use crate::deployment::reconciler;
use crate::examples::CONFIG;
use crate::http::App;
use crate::hub::Hub;
use crate::power::{Fleet, Listener, Site, simulated};
use crate::slurm::Scontrol;
use crate::slurm_queue::SlurmQueue;
use crate::store::Store;
use artifacts::Image;
use protocol::boot::ArtifactRef;
use protocol::names::Digest;
use std::path::Path;
use std::sync::Arc;

/// A site with one partition, a kernel and an image.
pub(super) fn site(directory: &Path) -> (Arc<Config>, Arc<Hub>) {
    let partition =
        "[[partition]]\nname = \"bmc\"\ndefault_kernel = \"k\"\ndefault_image = \"i\"\n";
    let text = CONFIG.replace("STATE", &directory.to_string_lossy()) + partition;
    let config: Arc<Config> = Arc::new(toml::from_str(&text).unwrap());
    let hub = Hub::open(&config, "/none".as_ref()).unwrap();
    let artifact = |byte| ArtifactRef { sha256: Digest([byte; 32]), bytes: 1 };
    let init = vec!["/sbin/init".into()];
    let image = Image::node("i".parse().unwrap(), artifact(4), init);
    let kernel = artifacts::Kernel {
        name: "k".parse().unwrap(),
        release: "6.1.0".into(),
        vmlinuz: artifact(1),
        initrd: artifact(2),
        modules: artifact(3),
        bytes: 3,
        initrd_inputs: Digest([5; 32]),
        initrd_modules: vec![],
        initrd_builtin: vec![],
        initrd_missing: vec![],
    };
    // Their artifacts are not there, and nobody fetches them.
    let text = serde_json::to_string(&kernel).unwrap();
    std::fs::write(directory.join("kernels/k.json"), text).unwrap();
    let text = serde_json::to_string(&image).unwrap();
    std::fs::write(directory.join("images/i.json"), text).unwrap();
    (config, Arc::new(hub))
}

/// Starts bootsrv on the store that it left.
pub(super) fn start(shared: &Shared) {
    simulated::switch(Some(Machines(Arc::clone(shared))));
    let (config, store, hub) = with(shared, |world: &mut World| {
        world.note("bootsrv starts".into());
        (Arc::clone(&world.config), Arc::clone(&world.store), Arc::clone(&world.hub))
    });
    let scontrol = Scontrol::over(Arc::new(Simulated(Arc::clone(shared))));
    let site = Arc::new(Site::new(&config.limits));
    let fleet = Fleet::default();
    let slurm = SlurmQueue::start(scontrol.clone(), Arc::clone(&store));
    let engine =
        Arc::new(Engine::new(Arc::clone(&store), Arc::clone(&config), fleet.clone(), slurm));
    assert!(site.listener.set(Arc::clone(&engine) as Arc<dyn Listener>).is_ok());
    let definitions: Vec<_> =
        store.nodes().unwrap().into_iter().map(|row| row.definition).collect();
    fleet.start(&definitions, &site);
    engine.take_up_again().unwrap();
    reconciler::start(Arc::clone(&engine), scontrol);
    let upload_dir = uploads::directory(&config);
    let senders = Arc::new(Senders::new(1));
    let app = App { engine, hub, site, slurm_uid: 0, senders, upload_dir };
    with(shared, |world| world.app = Some(app));
}

/// Ends it between two instants: what it was about to do is lost.
pub(super) fn kill(shared: &Shared) {
    with(shared, |world| {
        world.note("bootsrv is killed".into());
        world.app = None;
    });
    crate::essential::kill_all();
}

/// A store with so many nodes.
pub(super) fn store(nodes: usize) -> Arc<Store> {
    let store = Store::in_memory().unwrap();
    let definition = |number: usize| {
        let text = format!(
            "name = \"n{number}\"\nmac = \"52:54:00:00:00:{number:02x}\"\n\
             address = \"10.77.0.{number}/24\"\ncpus = 1\n\
             power = {{ method = \"ipmi\", address = \"10.77.1.{number}\", user = \"u\", password = \"p\" }}"
        );
        toml::from_str(&text).unwrap()
    };
    let definitions: Vec<_> = (1..=nodes).map(definition).collect();
    store.put_nodes(&definitions).unwrap();
    Arc::new(store)
}
