//! The two cipher suites we speak, and the keys of a session (IPMI 2.0, sections 13.28 to 13.32).
//!
//! Suites without encryption or integrity do not exist here, so nothing can fall back to them.

use crate::error::Malformed;
use aes::Aes128;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;
use std::fmt;

/// The block of AES, also the length of its initialization vector and of our key.
pub(crate) const AES_BLOCK: usize = 16;
/// The block of SHA-1 and of SHA-256: what HMAC pads its key to.
const HASH_BLOCK: usize = 64;

/// A set of algorithms for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CipherSuite {
    /// Number 17: HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    Sha256,
    /// Number 3: HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128.
    Sha1,
}

impl CipherSuite {
    /// All suites, the stronger first.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha1];

    /// The suite with this number; none if it is not one of ours.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.number() == number)
    }

    /// Its number in IPMI's table 22-20.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Sha256 => 17,
            Self::Sha1 => 3,
        }
    }

    /// Its algorithms for authentication, integrity and encryption, as Open Session names them.
    pub(crate) fn algorithms(self) -> [u8; 3] {
        match self {
            Self::Sha256 => [3, 4, 1],
            Self::Sha1 => [1, 1, 1],
        }
    }

    /// Length of the proof in RAKP 2 and 3.
    pub(crate) fn proof_length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha1 => 20,
        }
    }

    /// Length of a packet's integrity code and of the proof in RAKP 4, which are cut.
    pub(crate) fn integrity_length(self) -> usize {
        match self {
            Self::Sha256 => 16,
            Self::Sha1 => 12,
        }
    }

    pub(crate) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256 => fed::<Hmac<Sha256>>(Mac::new(&padded(key).into()), parts)
                .finalize()
                .into_bytes()
                .to_vec(),
            Self::Sha1 => fed::<Hmac<Sha1>>(Mac::new(&padded(key).into()), parts)
                .finalize()
                .into_bytes()
                .to_vec(),
        }
    }

    /// Compares in constant time with the first `code.len()` bytes of the HMAC.
    pub(crate) fn hmac_is(self, key: &[u8], parts: &[&[u8]], code: &[u8]) -> bool {
        match self {
            Self::Sha256 => fed::<Hmac<Sha256>>(Mac::new(&padded(key).into()), parts)
                .verify_truncated_left(code)
                .is_ok(),
            Self::Sha1 => fed::<Hmac<Sha1>>(Mac::new(&padded(key).into()), parts)
                .verify_truncated_left(code)
                .is_ok(),
        }
    }
}

fn fed<M: Mac>(mut mac: M, parts: &[&[u8]]) -> M {
    for part in parts {
        mac.update(part);
    }
    mac
}

/// HMAC pads short keys with zeros itself; done here, its constructor cannot fail. Our keys have at
/// most 32 bytes.
fn padded(key: &[u8]) -> [u8; HASH_BLOCK] {
    let mut block = [0; HASH_BLOCK];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    block
}

/// The keys of one session. `Debug` shows no secret.
#[derive(Clone)]
pub(crate) struct Keys {
    suite: CipherSuite,
    /// K1.
    integrity: Vec<u8>,
    /// The first 16 bytes of K2.
    encryption: [u8; AES_BLOCK],
}

impl Keys {
    /// Derives them from the session integrity key.
    pub(crate) fn derive(suite: CipherSuite, session_integrity_key: &[u8]) -> Self {
        let second = suite.hmac(session_integrity_key, &[&[0x02; 20]]);
        let mut encryption = [0; AES_BLOCK];
        for (to, from) in encryption.iter_mut().zip(&second) {
            *to = *from;
        }
        Self { suite, integrity: suite.hmac(session_integrity_key, &[&[0x01; 20]]), encryption }
    }

    pub(crate) fn suite(&self) -> CipherSuite {
        self.suite
    }

    /// K1 and the part of K2 in use.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (&[u8], &[u8]) {
        (&self.integrity, &self.encryption)
    }

    /// The code that ends a packet.
    pub(crate) fn sign(&self, signed: &[u8]) -> Vec<u8> {
        let mut code = self.suite.hmac(&self.integrity, &[signed]);
        code.truncate(self.suite.integrity_length());
        code
    }

    pub(crate) fn verify(&self, signed: &[u8], code: &[u8]) -> Result<(), Malformed> {
        let good = code.len() == self.suite.integrity_length()
            && self.suite.hmac_is(&self.integrity, &[signed], code);
        if good { Ok(()) } else { Err(Malformed::Integrity) }
    }

    /// Vector, then the encrypted payload with its pad bytes 1, 2, 3, … and their count.
    pub(crate) fn encrypt(&self, vector: [u8; AES_BLOCK], payload: &[u8]) -> Vec<u8> {
        let mut text = payload.to_vec();
        let pad = (AES_BLOCK - 1) - payload.len() % AES_BLOCK;
        text.extend((1u8..).take(pad));
        text.extend(u8::try_from(pad));
        let sealed = cbc::Encryptor::<Aes128>::new(&self.encryption.into(), &vector.into())
            .encrypt_padded_vec_mut::<NoPadding>(&text);
        [&vector[..], &sealed].concat()
    }

    pub(crate) fn decrypt(&self, payload: &[u8]) -> Result<Vec<u8>, Malformed> {
        let field = "encrypted payload";
        let (vector, sealed) =
            payload.split_first_chunk::<AES_BLOCK>().ok_or(Malformed::Short { field })?;
        let mut text = cbc::Decryptor::<Aes128>::new(&self.encryption.into(), vector.into())
            .decrypt_padded_vec_mut::<NoPadding>(sealed)
            .map_err(|_not_whole_blocks| Malformed::Length { field })?;
        // Only the count is looked at: the integrity code has vouched for the bytes already, and
        // some controllers fill the pad with other values than the specified ones.
        let pad = text.pop().ok_or(Malformed::Short { field })?;
        let kept =
            text.len().checked_sub(pad.into()).ok_or(Malformed::Length { field: "padding" })?;
        text.truncate(kept);
        Ok(text)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 2202 and RFC 4231, test case 2 of both.
    #[test]
    fn hmac_gives_the_published_values() {
        let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        assert_eq!(
            hex(&CipherSuite::Sha1.hmac(b"Jefe", &parts)),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert_eq!(
            hex(&CipherSuite::Sha256.hmac(b"Jefe", &parts)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    /// NIST SP 800-38A, F.2.1 (CBC-AES128), first block; the second block is our padding.
    #[test]
    fn encryption_gives_the_published_values() {
        let keys = Keys {
            suite: CipherSuite::Sha1,
            integrity: vec![0; 20],
            encryption: [
                0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf,
                0x4f, 0x3c,
            ],
        };
        let vector = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let text = [
            0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93,
            0x17, 0x2a,
        ];
        let sealed = keys.encrypt(vector, &text);
        assert_eq!(sealed.len(), 48);
        assert_eq!(hex(&sealed[16..32]), "7649abac8119b246cee98e9b12e9197d");
        assert_eq!(keys.decrypt(&sealed), Ok(text.to_vec()));
    }

    #[test]
    fn every_length_survives_encryption() {
        let keys = Keys::derive(CipherSuite::Sha256, &[7; 32]);
        for length in 0..70 {
            let text = vec![0xA5; length];
            let sealed = keys.encrypt([9; AES_BLOCK], &text);
            assert_eq!(sealed.len() % AES_BLOCK, 0);
            assert_eq!(keys.decrypt(&sealed), Ok(text), "length {length}");
        }
    }

    #[test]
    fn only_the_two_encrypting_suites_exist() {
        let known: Vec<u8> =
            (0..=u8::MAX).filter(|n| CipherSuite::from_number(*n).is_some()).collect();
        assert_eq!(known, [3, 17]);
    }
}
