//! Random and broken packets against every decoder: none may panic, and none may be taken for an
//! answer. The numbers come from a fixed seed, so a failure can be repeated.

use super::message::{Request, Response};
use super::packet::{Envelope, Payload, decode_plain, encode_plain, seal, unseal};
use super::rakp::{Console, Controller};
use super::suite::{CipherSuite, Keys};

/// A xorshift generator: quick, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 11).unwrap() % limit
    }

    fn bytes(&mut self, length_max: usize) -> Vec<u8> {
        (0..self.below(length_max)).map(|_| self.byte()).collect()
    }

    /// A good packet with a few bytes changed, cut off, or doubled.
    fn broken(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..=self.below(3) {
            let index = self.below(bytes.len());
            bytes[index] = self.byte();
        }
        if self.below(2) == 0 {
            bytes.truncate(self.below(bytes.len()).max(1));
        }
        bytes
    }
}

fn console(suite: CipherSuite) -> Console<'static> {
    Console {
        suite,
        session: 7,
        random: [1; 16],
        privilege: 4,
        user: "admin",
        password: "password",
        controller_key: None,
    }
}

fn decode_everything(keys: &Keys, console: &Console<'_>, bytes: &[u8]) {
    for kind in [Payload::OpenResponse, Payload::Rakp2, Payload::Rakp4] {
        std::hint::black_box(decode_plain(kind, bytes).is_ok());
    }
    assert!(!matches!(unseal(keys, 7, bytes), Ok(Some(_))), "taken for an answer: {bytes:02x?}");
    drop(Response::decode(bytes));
    std::hint::black_box(console.open_response(1, bytes).is_ok());
    drop(console.rakp2(1, 9, bytes));
    drop(console.rakp4(1, bytes));
    drop(keys.decrypt(bytes));
}

#[test]
fn no_packet_makes_a_decoder_panic() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for suite in CipherSuite::ALL {
        let keys = Keys::derive(suite, &[5; 20]);
        let console = console(suite);
        let controller = Controller { session: 9, random: [2; 16], guid: [3; 16] };
        let request = Request { net_fn: 0, lun: 0, command: 1, data: &[1, 2, 3] }.encode(1);
        let open =
            [&[1, 0, 4, 0, 7, 0, 0, 0, 9, 0, 0, 0][..], &console.open_request(1)[8..]].concat();
        let envelope = Envelope { session: 7, sequence: 1, kind: Payload::Message };
        let good = [
            seal(&keys, envelope, [4; 16], &request),
            encode_plain(Payload::OpenResponse, &open),
            encode_plain(Payload::Rakp2, &console.rakp3(1, &controller)),
            open,
            request,
        ];
        for round in 0..40_000 {
            let bytes = match good.get(round % 8) {
                Some(good) => random.broken(good),
                None => random.bytes(200),
            };
            // A random change may change nothing at all, or only the two bytes without meaning.
            if good.iter().any(|good| bytes.get(3..) == good.get(3..)) {
                continue;
            }
            decode_everything(&keys, &console, &bytes);
        }
    }
}
