//! What slurmctld is told of nodes that stay on; it stands in for itself here with the lines that 22.05
//! prints.

use super::*;
use crate::config::Config;
use crate::deployment::State;
use crate::deployment::transition::Event;
use crate::examples::{CONFIG, asked, node};
use crate::pin::Pin;
use crate::power::Fleet;
use crate::scheduler::hint;
use crate::slurm::Carrier;
use crate::slurm_queue::SlurmQueue;
use crate::store::NewDeployment;
use crate::token;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::node_list::expand;

/// Features of each node, and what was said about them.
#[derive(Debug, Default)]
struct Slurmctld {
    nodes: Mutex<BTreeMap<NodeName, [String; 2]>>,
    said: Mutex<Vec<String>>,
}

impl Slurmctld {
    fn answer(&self, words: &[&str]) -> String {
        let nodes = |list: &str| expand(list).unwrap();
        match words {
            ["show", "config"] => "SchedulerParameters = ignore_prefer_validation\n".into(),
            ["show", "node", "-o", list] => {
                let known = self.nodes.lock().unwrap();
                let line = |name: &NodeName| {
                    let [available, active] = known.get(name).cloned().unwrap_or_default();
                    format!(
                        "NodeName={name} AvailableFeatures={available} ActiveFeatures={active} X=y\n"
                    )
                };
                nodes(list).iter().map(line).collect()
            }
            ["update", list, available, active] => {
                self.said.lock().unwrap().push(words.join(" "));
                let value = |word: &str| word.split_once('=').unwrap().1.to_owned();
                for name in nodes(&value(list)) {
                    let features = [value(available), value(active)];
                    self.nodes.lock().unwrap().insert(name, features);
                }
                String::new()
            }
            other => panic!("{other:?}"),
        }
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap())
    }
}

impl Carrier for Slurmctld {
    fn carry<'a>(&'a self, words: &'a [&'a str]) -> BoxFuture<'a, Result<String, SlurmError>> {
        std::future::ready(Ok(self.answer(words))).boxed()
    }
}

fn engine(more: &str) -> Engine {
    let partition = "[[partition]]\nname = \"bmc\"\ndefault_kernel = \"k\"\ndefault_image = \"i\"\n\
                     after_job = \"stay_on\"\n";
    let slurm = "conf_server = \"a:1\"";
    let text = CONFIG.replace("STATE", "/s").replace(slurm, &format!("{slurm}{more}"));
    let config: Config = toml::from_str(&format!("{text}{partition}")).unwrap();
    let store = Arc::new(Store::in_memory().unwrap());
    let nodes = [("n1", "52:54:00:00:00:01"), ("n2", "52:54:00:00:00:02")];
    store.put_nodes(&nodes.map(|(name, mac)| node(name, mac, "10.0.0.1/24"))).unwrap();
    let (queue, _words) = SlurmQueue::recorded();
    Engine::new(store, Arc::new(config), Fleet::default(), queue)
}

/// Alice's job runs on both nodes; gives its deployments.
fn running(engine: &Engine) -> Vec<DeploymentId> {
    let of = |name: &str| NewDeployment {
        stays_on: true,
        ..token::new_deployment(
            name.parse().unwrap(),
            "k".parse().unwrap(),
            "i".parse().unwrap(),
            Pin::of_nothing(),
        )
    };
    let id = engine.store.add_try(&asked(7), &[of("n1"), of("n2")], 1).unwrap();
    let nodes = engine.store.deployments_of_try(id).unwrap();
    let ids: Vec<DeploymentId> = nodes.iter().map(|one| one.id).collect();
    for id in &ids {
        engine.store.change(*id, Some(State::Ready), None, &[], 2).unwrap();
    }
    ids
}

const NONE: BTreeMap<NodeName, BTreeSet<String>> = BTreeMap::new();

#[tokio::test]
async fn a_nodes_features_are_there_while_it_is_on_for_nobody() {
    let (engine, slurmctld) = (engine(""), Arc::new(Slurmctld::default()));
    let scontrol = Scontrol::over(slurmctld.clone());
    let rack = || ["rack7".to_owned(), "rack7".to_owned()];
    slurmctld.nodes.lock().unwrap().insert("n1".parse().unwrap(), rack());
    slurmctld.nodes.lock().unwrap().insert("n2".parse().unwrap(), rack());
    let told = round(&engine, &scontrol, &NONE, true).await.unwrap().unwrap();
    assert!(told.is_empty() && slurmctld.said().is_empty());
    assert!(engine.warmth.forgives.load(Ordering::Relaxed));

    let ids = running(&engine);
    let told = round(&engine, &scontrol, &told, false).await.unwrap().unwrap();
    assert!(told.is_empty() && slurmctld.said().is_empty(), "a job has them");
    ids.iter().for_each(|id| engine.apply(*id, &Event::JobEnded).unwrap());
    let told = round(&engine, &scontrol, &told, false).await.unwrap().unwrap();
    let [said] = slurmctld.said().try_into().unwrap();
    let pin = features::boot(&Pin::of_nothing());
    let hers = features::name(&pin, Domain::User(2001));
    let both = format!("availablefeatures=rack7,{hers} activefeatures=rack7,{hers}");
    assert_eq!(said, format!("update nodename=n[1-2] {both}"), "one call for both");
    round(&engine, &scontrol, &told, false).await.unwrap();
    assert!(slurmctld.said().is_empty(), "nothing has changed");

    // It was restarted, with the features of slurm.conf.
    slurmctld.nodes.lock().unwrap().insert("n2".parse().unwrap(), rack());
    round(&engine, &scontrol, &told, true).await.unwrap();
    assert_eq!(slurmctld.said(), [format!("update nodename=n2 {both}")]);

    engine.apply(ids[0], &Event::GivenBack).unwrap();
    round(&engine, &scontrol, &told, false).await.unwrap();
    let bare = "update nodename=n1 availablefeatures=rack7 activefeatures=rack7";
    assert_eq!(slurmctld.said(), [bare]);
}

#[tokio::test]
async fn a_site_that_does_not_want_it_gets_rid_of_what_is_left() {
    let (engine, slurmctld) = (engine(", prefer_warm = false"), Arc::new(Slurmctld::default()));
    running(&engine);
    let ours = || "bmc_0123456789ab".to_owned();
    slurmctld.nodes.lock().unwrap().insert("n1".parse().unwrap(), [ours(), ours()]);
    run(Arc::new(engine), Scontrol::over(slurmctld.clone())).await;
    assert_eq!(slurmctld.said(), ["update nodename=n1 availablefeatures= activefeatures="]);
}

#[test]
fn a_job_prefers_the_nodes_that_it_can_have_as_they_are() {
    let engine = engine("");
    running(&engine).iter().for_each(|id| engine.apply(*id, &Event::JobEnded).unwrap());
    let warm = engine.warmth.warm(&engine.store).unwrap();
    let shown = warm.first().unwrap().1.feature(ShareWith::User).unwrap();
    let partition = engine.config.partition("bmc").unwrap();
    let names = |runs: &Digest, uid| hint::names(runs, uid, &BTreeSet::new(), partition);
    let same = features::boot(&Pin::of_nothing());
    assert!(names(&same, 2001).contains(&shown));
    assert!(!names(&same, 2002).contains(&shown), "another user's memory is on it");
    let other = Pin { release: "6.12.0".into(), ..Pin::of_nothing() };
    assert!(!names(&features::boot(&other), 2001).contains(&shown));
    let nobodys = features::name(&same, Domain::Anybody);
    assert!(names(&same, 2002).contains(&nobodys), "one that was booted ahead");
}
