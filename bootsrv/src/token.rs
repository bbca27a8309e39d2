//! Boot tokens: 32 random bytes that prove for one boot that a node is the one that was powered on.

use crate::pin::Pin;
use crate::store::NewDeployment;
use protocol::names::{Digest, ImageName, KernelName, NodeName, Secret};
use sha2::{Digest as _, Sha256};

/// A token and its hash.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token itself.
    pub secret: Secret,
    /// By which it is found again.
    pub sha256: Digest,
}

/// A token that nobody has seen.
#[must_use]
pub fn fresh() -> Token {
    let bytes: [u8; 32] = rand::random();
    let token = Digest(bytes).to_string();
    Token { sha256: hash(&token), secret: Secret::new(token) }
}

/// A deployment with a fresh token.
#[must_use]
pub fn new_deployment(
    node: NodeName,
    kernel: KernelName,
    image: ImageName,
    pin: Pin,
) -> NewDeployment {
    let Token { secret: token, sha256: token_sha256 } = fresh();
    NewDeployment { node, kernel, image, pin, stays_on: false, token, token_sha256 }
}

/// By which a token is found again.
#[must_use]
pub fn hash(token: &str) -> Digest {
    Digest(Sha256::digest(token.as_bytes()).into())
}
