//! Consoles with a real engine, store and files: what is quoted for which boot.

use crate::config::Config;
use crate::deployment::engine::Engine;
use crate::deployment::transition::Event;
use crate::deployment::{DeploymentId, State, view};
use crate::examples::{CONFIG, asked};
use crate::pin::Pin;
use crate::power::{Fleet, supported};
use crate::slurm_queue::SlurmQueue;
use crate::store::Store;
use crate::token;
use protocol::api::{ConsoleSource, NodeDefinition};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

const OLD_PANIC: &str = "[ 3.1] Kernel panic - of another boot\r\n";

struct Site {
    directory: tempfile::TempDir,
    store: Arc<Store>,
    engine: Engine,
}

impl Site {
    /// n1, whose console is logged by the site.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::in_memory().unwrap());
        let engine = Self::start(&directory, &store);
        let site = Self { directory, store, engine };
        site.define(None);
        site
    }

    fn start(directory: &tempfile::TempDir, store: &Arc<Store>) -> Engine {
        let text = CONFIG.replace("STATE", &directory.path().to_string_lossy());
        let config: Config = toml::from_str(&text).unwrap();
        let (slurm, _words) = SlurmQueue::recorded();
        Engine::new(Arc::clone(store), Arc::new(config), Fleet::default(), slurm)
    }

    fn restart(&mut self) {
        self.engine = Self::start(&self.directory, &self.store);
        self.engine.take_up_again().unwrap();
    }

    fn define(&self, console: Option<ConsoleSource>) {
        self.store.put_nodes(&[self.node(console)]).unwrap();
    }

    fn node(&self, console: Option<ConsoleSource>) -> NodeDefinition {
        let log = self.log().to_string_lossy().into_owned();
        let console_log = console.is_none().then_some(log);
        let node = crate::examples::node("n1", "52:54:00:00:00:01", "10.77.0.11/24");
        NodeDefinition { console_log, console, ..node }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("n1.log")
    }

    fn writes(&self, text: &str) {
        let mut log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        log.write_all(text.as_bytes()).unwrap();
    }

    fn job(&self, number: u32) -> DeploymentId {
        let asked = asked(number);
        let (kernel, image) = (asked.kernel.clone(), asked.image.clone());
        let node = token::new_deployment("n1".parse().unwrap(), kernel, image, Pin::of_nothing());
        let try_id = self.store.add_try(&asked, &[node], 1).unwrap();
        self.store.deployments_of_try(try_id).unwrap()[0].id
    }

    fn happens(&self, id: DeploymentId, events: &[Event]) {
        events.iter().for_each(|event| self.engine.apply(id, event).unwrap());
    }

    /// Its reason, and the lines that its job shows.
    fn failure(&self, id: DeploymentId) -> (String, Vec<String>) {
        let failed = self.store.deployment(id).unwrap().unwrap();
        let of = self.store.one_try(failed.try_id.unwrap()).unwrap().unwrap();
        let job = view::job(&self.engine, &of).unwrap();
        (failed.failure.unwrap().reason, job.nodes[0].console.clone())
    }
}

#[test]
fn a_panic_of_an_earlier_boot_is_not_quoted_for_a_later_one() {
    let mut site = Site::new();
    site.writes(OLD_PANIC);
    let id = site.job(7);
    site.happens(id, &[Event::NodeFree, Event::PowerOnAccepted, Event::TimedOut]);
    let (reason, lines) = site.failure(id);
    assert!(!reason.contains("console") && lines.is_empty(), "{reason} {lines:?}");

    let id = site.job(8);
    site.happens(id, &[Event::NodeFree, Event::PowerOnAccepted, Event::ScriptAsked]);
    site.writes("\x1b[2J\x1b[01;01H\x1b[0miPXE\r\n");
    site.restart();
    site.writes("[ 1.0] \x1b[31mKernel panic - of this boot\x1b[0m\r\n[ 1.1] Rebooting\r\n");
    site.happens(id, &[Event::TimedOut]);
    let (reason, lines) = site.failure(id);
    assert!(reason.ends_with("; console: [ 1.0] Kernel panic - of this boot"), "{reason}");
    assert_eq!(lines, ["iPXE", "[ 1.0] Kernel panic - of this boot", "[ 1.1] Rebooting"]);

    // What comes later changes nothing for the boot that has failed.
    site.writes("later\n");
    assert_eq!(site.failure(id).1, lines);
}

#[test]
fn a_power_on_begins_anew_and_what_is_not_known_is_not_quoted() {
    let site = Site::new();
    let id = site.job(7);
    site.happens(id, &[Event::NodeFree]);
    // The worker found the node on, with something in it, and switched it off.
    site.writes(OLD_PANIC);
    site.happens(id, &[Event::PowerOnAccepted, Event::ScriptAsked]);
    site.writes("loading\n");
    site.happens(id, &[Event::TimedOut]);
    assert!(site.failure(id).0.ends_with("; console: loading"));

    let id = site.job(8);
    site.happens(id, &[Event::NodeFree, Event::PowerOnAccepted, Event::ScriptAsked]);
    site.store.forget_console_begin(id).unwrap();
    site.writes(OLD_PANIC);
    site.happens(id, &[Event::TimedOut]);
    let (reason, lines) = site.failure(id);
    assert!(!reason.contains("console") && lines.is_empty(), "{reason}");
}

#[test]
fn a_console_has_one_source_and_goes_over_ipmi() {
    let site = Site::new();
    supported(&site.node(None)).unwrap();
    let refused = supported(&site.node(Some(ConsoleSource::Sol))).unwrap_err();
    assert_eq!(refused, "console = \"sol\" goes over IPMI: power.method is not \"ipmi\"");
    let both = NodeDefinition { console: Some(ConsoleSource::Sol), ..site.node(None) };
    assert!(supported(&both).unwrap_err().ends_with("leave one out"));
}

/// Where a capture is no more than its file: the boots share it, and each begins with none of it.
#[test]
fn a_captured_console_has_one_boot() {
    let mut site = Site::new();
    site.define(Some(ConsoleSource::Sol));
    let kept = site.directory.path().join("consoles/n1.log");
    let id = site.job(7);
    site.happens(id, &[Event::NodeFree, Event::PowerOnAccepted, Event::ScriptAsked]);
    std::fs::write(&kept, OLD_PANIC).unwrap();
    let node = site.node(Some(ConsoleSource::Sol));
    let (_, text) = site.engine.consoles.newest(&node).unwrap();
    assert_eq!(text.unwrap(), "[ 3.1] Kernel panic - of another boot\n");
    // A boot that goes on keeps what it has.
    site.restart();
    site.happens(id, &[Event::TimedOut]);
    assert!(site.failure(id).0.contains("; console: [ 3.1] Kernel panic"));
    let id = site.job(8);
    site.happens(id, &[Event::NodeFree, Event::PowerOnAccepted, Event::TimedOut]);
    assert!(!site.failure(id).0.contains("console"));
    // In use it is not captured: its last line says nothing of a crash.
    let id = site.job(9);
    site.happens(id, &[Event::NodeFree, Event::PowerOnAccepted, Event::ScriptAsked]);
    std::fs::write(&kept, "slurmd started\n").unwrap();
    site.happens(id, &[Event::Registered]);
    let boot = site.store.deployment(id).unwrap().unwrap();
    assert!(boot.state.is_before_ready());
    let in_use = crate::deployment::Deployment { state: State::Ready, ..boot.clone() };
    assert!(site.engine.consoles.seen(&in_use).last.is_empty());
    assert_eq!(site.engine.consoles.seen(&boot).last, ["slurmd started"]);
}
