//! A running node: heartbeats, and the question for orders that is always open.

use super::{Agent, End, Step};
use crate::simulated::node::{Kernel, release};
use crate::simulated::wire::{ANSWER_MAX, Wire, WireError};
use bytes::Bytes;
use hyper::Method;
use protocol::boot::{
    Adoption, AgentStage, BOOT_ID_HEADER, BootFailure, Kexec, ORDERS_PATH, ORDERS_SECONDS, Orders,
    TOKEN_HEADER,
};
use protocol::names::Secret;
use std::time::{Duration, Instant};
use tokio::time::{interval, sleep, sleep_until};

/// Between two questions when something is wrong (node-agent: `orders.rs`, which doubles it).
const PAUSE: Duration = Duration::from_secs(1);

/// Asks on a connection of its own until there is something to do.
struct Questions {
    wire: Wire,
    url: String,
    token: Secret,
    boot_id: String,
}

impl Questions {
    async fn ask(&self) -> Result<Orders, WireError> {
        let mut line = self.wire.connect(&self.url).await?;
        let headers =
            [(TOKEN_HEADER, self.token.expose()), (BOOT_ID_HEADER, self.boot_id.as_str())];
        let limit = ANSWER_MAX + Duration::from_secs(ORDERS_SECONDS.into());
        loop {
            let asked = Instant::now();
            let answer = line.ask(Method::GET, &self.url, &headers, Bytes::new(), limit).await?;
            match serde_json::from_slice(&answer) {
                Ok(Orders::Nothing) if asked.elapsed() >= PAUSE => {}
                Ok(Orders::Nothing) => sleep(PAUSE).await,
                Ok(orders) => return Ok(orders),
                Err(error) => return Err(WireError::Away(error.to_string())),
            }
        }
    }

    async fn next(self) -> Orders {
        loop {
            match self.ask().await {
                Ok(orders) => return orders,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

impl Agent<'_> {
    /// Until the boot ends.
    pub(super) async fn serve(&mut self, beats: Duration) -> End {
        match self.obey(beats).await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn obey(&mut self, beats: Duration) -> Step<End> {
        let node = self.node;
        let mut beat = interval(beats);
        beat.tick().await;
        let crash =
            node.dice.happens(node.around.odds.crashes).then(|| node.dice.seconds(0.5, 8.0));
        let crash = tokio::time::Instant::now() + crash.unwrap_or(Duration::from_secs(1 << 30));
        loop {
            let orders = self.questions().next();
            tokio::pin!(orders);
            let order = loop {
                tokio::select! {
                    order = &mut orders => break order,
                    _ = beat.tick() => self.report().await?,
                    () = sleep_until(crash) => return Ok(self.crash()),
                }
            };
            node.around.tally.count("orders that were not empty");
            match order {
                // It does not say that it can, so it is not told to.
                Orders::Nothing | Orders::FetchAhead(_) => {}
                Orders::ShutDown => return self.shut_down("ordered").await,
                Orders::Adopt(order) => self.adopt(order).await?,
                Orders::Kexec(order) => return self.jump(order).await,
            }
        }
    }

    fn questions(&self) -> Questions {
        Questions {
            wire: self.wire.clone(),
            url: format!("{}{ORDERS_PATH}", self.server),
            token: self.token.clone(),
            boot_id: self.boot_id.clone(),
        }
    }

    fn crash(&self) -> End {
        if self.node.bad("running node freezes", 0.5) {
            return End::Hang;
        }
        let panics = self.node.bad("running node panics", 1.0);
        if panics { End::Reset } else { End::Hang }
    }

    async fn adopt(&mut self, order: Adoption) -> Step<()> {
        self.node.around.note_token(&order.token);
        self.token = order.token;
        if self.node.bad("adoption fails", self.node.around.odds.take_over_fails) {
            return self.take_over_failed("a process of the job before does not end").await;
        }
        self.start_slurmd(order.job.map(|job| job.0));
        self.node.around.tally.count("nodes that went on without a boot: adopted");
        self.report().await
    }

    async fn jump(&mut self, order: Kexec) -> Step<End> {
        let own = std::mem::replace(&mut self.token, order.token.clone());
        let kernel = self.fetch(&order.files.kernel).await?;
        self.fetch(&order.files.initrd).await?;
        if self.node.bad("kexec fails", self.node.around.odds.take_over_fails) {
            return self.take_over_failed("the kernel is not loaded").await;
        }
        self.token = own;
        self.reach(AgentStage::Jumping);
        drop(self.tell(None).await);
        if self.node.bad("kexec hangs", self.node.around.odds.take_over_fails) {
            return Ok(End::Hang);
        }
        self.node.around.tally.count("nodes that went on without a boot: kexec");
        let release = release(&kernel).unwrap_or_default();
        Ok(End::Jump(Kernel { token: order.token, release, command_line: order.command_line }))
    }

    async fn take_over_failed<T>(&mut self, reason: &str) -> Step<T> {
        self.stages.retain(|known| known.stage < AgentStage::SlurmdStarted);
        let reason = format!("simulated: {reason}");
        self.fail_with(BootFailure { setting: false, reason }).await
    }
}
