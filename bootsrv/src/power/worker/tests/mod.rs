//! Workers before fake drivers, under paused time.

mod network;
mod off;
mod on;
mod word;

use super::{Lines, Worker};
use crate::deployment::State;
use crate::deployment::transition::Event;
use crate::power::driver::{Abilities, Driver};
use crate::power::drivers::Drivers;
use crate::power::testing::{ALL, Ear, Fake, Machine, definition};
use crate::power::{Listener, Observed, Order, Power, PowerOff, Site};
use protocol::api::PowerAction;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

/// A running worker and everything around it.
struct Bench {
    node: Fake,
    outlet: Option<Fake>,
    ear: Ear,
    orders: mpsc::UnboundedSender<Order>,
    active: watch::Sender<State>,
    observed: watch::Receiver<Observed>,
    site: Arc<Site>,
}

impl Bench {
    fn new(machine: Machine) -> Self {
        Self::at(&site(), "n1", Fake::new(machine), None)
    }

    /// With an outlet that feeds the node.
    fn with_outlet(machine: Machine) -> Self {
        let node = Fake::new(machine);
        let feeds = Some(node.clone());
        let outlet = Fake::new(Machine { is_on: true, feeds, ..Machine::default() });
        Self::at(&site(), "n1", node, Some(outlet))
    }

    fn at(site: &Arc<Site>, name: &str, node: Fake, outlet: Option<Fake>) -> Self {
        let ear = Ear::default();
        // The first worker of a site brings the listener that all have.
        drop(site.listener.set(Arc::new(ear.clone()) as Arc<dyn Listener>));
        let (orders, orders_receiver) = mpsc::unbounded_channel();
        let (active, active_receiver) = watch::channel(State::Released);
        let (observed_sender, observed) = watch::channel(Observed::default());
        let lines =
            Lines { orders: orders_receiver, active: active_receiver, observed: observed_sender };
        let boxed = |fake: &Fake| Box::new(fake.clone()) as Box<dyn Driver>;
        let drivers = Drivers { node: boxed(&node), outlet: outlet.as_ref().map(boxed) };
        tokio::spawn(Worker::new(definition(name), drivers, Arc::clone(site), lines).run());
        Self { node, outlet, ear, orders, active, observed, site: Arc::clone(site) }
    }

    fn on(&self) {
        self.orders.send(Order::On(1)).unwrap();
    }

    fn off(&self, gently: bool) {
        let order = PowerOff { deployment: Some(1), gently, explain: true };
        self.orders.send(Order::Off(order)).unwrap();
    }

    async fn by_hand(&self, action: PowerAction) -> Result<Power, String> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Admin(action, answer)).unwrap();
        answered.await.unwrap()
    }

    /// Orders power-on and waits for what comes of it; gives the reason of the failure.
    async fn power_on(&self) -> Option<String> {
        self.on();
        // Carried out after it; there may be nothing to see.
        drop(self.by_hand(PowerAction::Status).await);
        self.ear.failure()
    }

    /// Waits until the power was told to be off; gives after how many seconds.
    async fn seconds_to_off(&self) -> u64 {
        let start = Instant::now();
        while !self.ear.events().contains(&Event::PowerSeenOff) {
            assert!(start.elapsed() < Duration::from_secs(3600), "not off in an hour");
            sleep(Duration::from_millis(100)).await;
        }
        start.elapsed().as_secs()
    }
}

fn site() -> Arc<Site> {
    Arc::new(Site::new(&crate::config::Limits::default()))
}

fn on() -> Machine {
    Machine { is_on: true, ..Machine::default() }
}

async fn seconds(number: u64) {
    sleep(Duration::from_secs(number)).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_node_is_looked_at_every_half_minute_and_an_active_one_is_metered() {
    let bench = Bench::new(Machine::default());
    seconds(91).await;
    let looks = bench.node.machine().looks;
    assert_eq!(looks, 4);
    assert_eq!(bench.observed.borrow().power, Some(Power::Off));
    bench.node.machine().abilities.meter = true;
    bench.active.send_replace(State::Ready);
    seconds(91).await;
    let looks = bench.node.machine().looks - looks;
    assert!((3..=4).contains(&looks), "its power is looked at as often: {looks} times");
    let readings = bench.node.machine().readings;
    assert!((88..=94).contains(&readings), "{readings}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_meter_gives_way_to_commands() {
    let abilities = Abilities { meter: true, ..ALL };
    let reading_takes = Duration::from_secs(4);
    let bench =
        Bench::new(Machine { abilities, reading_takes, ignores_first: 3, ..Machine::default() });
    bench.active.send_replace(State::PoweringOn);
    seconds(20).await;
    assert_eq!(bench.power_on().await, None);
    let times: Vec<u64> = bench.node.machine().commands.iter().map(|(_, at)| *at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 6), "{times:?}");
}
