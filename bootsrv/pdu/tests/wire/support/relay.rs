//! What lies between us and a unit: loses, changes or adds packets.

use std::net::SocketAddr;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Turns a packet into what arrives of it.
pub(crate) type Weather = Box<dyn FnMut(Vec<u8>) -> Vec<Vec<u8>> + Send>;

/// Lets everything through.
pub(crate) fn fair() -> Weather {
    Box::new(|packet| vec![packet])
}

/// A running relay for one question at a time; ends with the value.
pub(crate) struct Relay {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(unit: &str, questions: Weather, answers: Weather) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        far.connect(unit).await.unwrap();
        let addr = near.local_addr().unwrap();
        Self { addr, task: tokio::spawn(relay(near, far, questions, answers)) }
    }

    pub(crate) fn address(&self) -> String {
        self.addr.to_string()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(near: UdpSocket, far: UdpSocket, mut questions: Weather, mut answers: Weather) {
    let mut client = None;
    let (mut question, mut answer) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            Ok((length, from)) = near.recv_from(&mut question) => {
                client = Some(from);
                for packet in questions(question[..length].to_vec()) {
                    far.send(&packet).await.unwrap();
                }
            }
            Ok(length) = far.recv(&mut answer) => {
                let Some(client) = client else { continue };
                for packet in answers(answer[..length].to_vec()) {
                    // Who has given up does not listen any more.
                    drop(near.send_to(&packet, client).await);
                }
            }
        }
    }
}
