//! Where random bytes come from, and what is made of them.
//!
//! `main` makes the one [`SystemEntropy`] and passes it on; tests pass bytes they know. Functions
//! that need a few random bytes take the bytes, not the source.

use std::fmt;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// A source of bytes that nobody can guess.
pub(crate) trait Entropy: Send + Sync {
    /// Overwrites all of `bytes`. Panics if the operating system gives no random bytes: there is
    /// no safe way to go on without them.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Entropy {
    /// `N` fresh bytes.
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A fresh version 7 UUID of the moment `now_ms`; see [`uuid_v7`].
    pub(crate) fn uuid_v7(&self, now_ms: i64) -> u128 {
        uuid_v7(now_ms, self.bytes())
    }
}

/// The operating system's generator, through aws-lc's.
pub(crate) struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    pub(crate) fn new() -> SystemEntropy {
        SystemEntropy(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes).expect("the operating system provides random bytes");
    }
}

impl fmt::Debug for SystemEntropy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SystemEntropy")
    }
}

/// A UUID version 7 (RFC 9562) as its 128 bits, most significant first: 48 bits of Unix time in
/// milliseconds, then 74 random bits (the lowest 12 of `random[..2]`, the lowest 62 of
/// `random[2..]`). UUIDs of one millisecond are in no particular order.
///
/// Panics unless `now_ms` is in `0..2^48` (until the year 10889).
pub(crate) fn uuid_v7(now_ms: i64, random: [u8; 10]) -> u128 {
    assert!((0..1 << 48).contains(&now_ms), "a version 7 UUID cannot hold the time {now_ms} ms");
    let time = u128::try_from(now_ms).expect("checked above: now_ms is not negative");
    let [a, b, rest @ ..] = random;
    let random_a = u128::from(u16::from_be_bytes([a, b]) & 0x0fff);
    let random_b = u128::from(u64::from_be_bytes(rest) & (u64::MAX >> 2));
    (time << 80) | (0x7 << 76) | (random_a << 64) | (0b10 << 62) | random_b
}

/// Bytes that are the same in every run: SHA-256 of a seed and a counter.
#[cfg(test)]
pub(crate) struct SeededEntropy {
    seed: u64,
    drawn: std::sync::atomic::AtomicU64,
}

#[cfg(test)]
impl SeededEntropy {
    pub(crate) fn new(seed: u64) -> SeededEntropy {
        SeededEntropy { seed, drawn: 0.into() }
    }
}

#[cfg(test)]
impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let drawn = self.drawn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let block = [self.seed.to_be_bytes(), drawn.to_be_bytes()].concat();
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &block);
            chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in appendix A.6 of RFC 9562.
    #[test]
    fn a_version_7_uuid_is_the_one_of_the_rfc() {
        let random = [0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f];
        assert_eq!(uuid_v7(0x017f_22e2_79b0, random), 0x017f22e2_79b0_7cc3_98c4_dc0c0c07398f);
    }

    #[test]
    fn version_and_variant_hold_whatever_the_random_bytes_are() {
        for (now_ms, random) in [(0, [0; 10]), ((1 << 48) - 1, [0xff; 10]), (1, [0xff; 10])] {
            let uuid = uuid_v7(now_ms, random);
            assert_eq!((uuid >> 76) & 0xf, 7);
            assert_eq!((uuid >> 62) & 0b11, 0b10);
            assert_eq!(i64::try_from(uuid >> 80).expect("48 bits fit"), now_ms);
        }
    }

    #[test]
    fn later_milliseconds_sort_later() {
        assert!(uuid_v7(1_000, [0xff; 10]) < uuid_v7(1_001, [0; 10]));
    }

    #[test]
    fn the_system_never_gives_the_same_bytes_twice_and_a_seed_always_does() {
        let system: &dyn Entropy = &SystemEntropy::new();
        assert_ne!(system.bytes::<32>(), system.bytes::<32>());
        assert_ne!(system.uuid_v7(1_000), system.uuid_v7(1_000));
        let (one, other): (&dyn Entropy, &dyn Entropy) =
            (&SeededEntropy::new(7), &SeededEntropy::new(7));
        assert_eq!(one.bytes::<70>(), other.bytes::<70>());
        assert_ne!(one.bytes::<32>(), [0; 32]);
    }
}
