//! A UDP relay that loses and delays packets, from a fixed seed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What a network does to packets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Of 100 packets in either direction, so many are lost.
    pub(crate) lost_percent: u64,
    /// Of 100 answers, so many come late.
    pub(crate) late_percent: u64,
    /// How late.
    pub(crate) delay: Duration,
}

/// A running relay for one client at a time; ends with the value.
pub(crate) struct Network {
    pub(crate) addr: SocketAddr,
    lost: Arc<AtomicU32>,
    late: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Network {
    pub(crate) async fn to(controller: SocketAddr, weather: Weather) -> Self {
        let near = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        far.connect(controller).await.unwrap();
        let addr = near.local_addr().unwrap();
        let (lost, late) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let counters = (Arc::clone(&lost), Arc::clone(&late));
        let task = tokio::spawn(relay(near, far, weather, counters));
        Self { addr, lost, late, task }
    }

    pub(crate) fn lost(&self) -> u32 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn late(&self) -> u32 {
        self.late.load(Ordering::Relaxed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    near: Arc<UdpSocket>,
    far: UdpSocket,
    weather: Weather,
    (lost, late): (Arc<AtomicU32>, Arc<AtomicU32>),
) {
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    let mut happens = move |percent: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 20) % 100 < percent
    };
    let mut client = None;
    let (mut question, mut answer) = ([0; 2048], [0; 2048]);
    loop {
        tokio::select! {
            Ok((length, from)) = near.recv_from(&mut question) => {
                client = Some(from);
                if happens(weather.lost_percent) {
                    lost.fetch_add(1, Ordering::Relaxed);
                } else {
                    far.send(&question[..length]).await.unwrap();
                }
            }
            Ok(length) = far.recv(&mut answer) => {
                let Some(client) = client else { continue };
                if happens(weather.lost_percent) {
                    lost.fetch_add(1, Ordering::Relaxed);
                } else if happens(weather.late_percent) {
                    late.fetch_add(1, Ordering::Relaxed);
                    let (near, packet) = (Arc::clone(&near), answer[..length].to_vec());
                    tokio::spawn(async move {
                        tokio::time::sleep(weather.delay).await;
                        near.send_to(&packet, client).await.unwrap();
                    });
                } else {
                    near.send_to(&answer[..length], client).await.unwrap();
                }
            }
        }
    }
}
