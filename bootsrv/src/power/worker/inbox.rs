//! A worker's orders: taken one by one, and looked at while one is being carried out.

use crate::deployment::DeploymentId;
use crate::power::Order;
use std::collections::VecDeque;
use tokio::sync::mpsc::UnboundedReceiver;

/// Orders that came, and those to come.
#[derive(Debug)]
pub(super) struct Inbox {
    receiver: UnboundedReceiver<Order>,
    waiting: VecDeque<Order>,
}

impl Inbox {
    pub(super) fn new(receiver: UnboundedReceiver<Order>) -> Self {
        Self { receiver, waiting: VecDeque::new() }
    }

    /// The next order; `None`: there will be none. Nothing is lost if it is dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Order> {
        match self.waiting.pop_front() {
            Some(order) => Some(order),
            None => self.receiver.recv().await,
        }
    }

    /// Whether a later order has put an end to that of this deployment (`None`: an admin's).
    pub(super) fn overrules(&mut self, id: Option<DeploymentId>) -> bool {
        while let Ok(order) = self.receiver.try_recv() {
            self.waiting.push_back(order);
        }
        self.waiting.iter().any(|order| ends(order, id))
    }

    /// Waits until [`Self::overrules`].
    pub(super) async fn overruled(&mut self, id: Option<DeploymentId>) {
        while !self.overrules(id) {
            match self.receiver.recv().await {
                Some(order) => self.waiting.push_back(order),
                // Nobody is left to overrule anything.
                None => std::future::pending().await,
            }
        }
    }

    /// Whether nobody can give an order any more: the node's definition was replaced, and another worker
    /// has it now.
    pub(super) fn is_abandoned(&self) -> bool {
        self.receiver.is_closed() && self.waiting.is_empty()
    }

    /// Takes the orders that can be dealt with while a node is being switched off.
    pub(super) fn take_during_off(&mut self) -> Vec<Order> {
        while let Ok(order) = self.receiver.try_recv() {
            self.waiting.push_back(order);
        }
        let is_on = |order: &Order| matches!(order, Order::On(_));
        let before_on = self.waiting.iter().position(is_on).unwrap_or(self.waiting.len());
        self.waiting.drain(..before_on).collect()
    }
}

fn ends(order: &Order, id: Option<DeploymentId>) -> bool {
    match order {
        Order::Off(_) => true,
        Order::On(other) => Some(*other) != id,
        Order::Admin(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::{Power, PowerOff};
    use protocol::api::PowerAction;
    use tokio::sync::{mpsc, oneshot};

    #[tokio::test]
    async fn an_on_is_overruled_by_off_and_by_another_on_only() {
        let admin =
            || Order::Admin(PowerAction::Off, oneshot::channel::<Result<Power, String>>().0);
        for (order, expected) in [
            (Order::Off(PowerOff::default()), true),
            (Order::On(2), true),
            (Order::On(1), false),
            (admin(), false),
        ] {
            let (sender, receiver) = mpsc::unbounded_channel();
            let mut inbox = Inbox::new(receiver);
            sender.send(order).unwrap();
            assert_eq!(inbox.overrules(Some(1)), expected);
            assert!(inbox.next().await.is_some(), "it is still to be carried out");
        }
    }
}
