//! Chance from a seed: the same seed gives the same ids and the same faults.

/// SplitMix64. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Letters of an id behind its prefix.
const ID_LETTERS: usize = 24;

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// True so many times of a thousand.
    pub(crate) fn hits(&mut self, per_mille: u32) -> bool {
        self.next() % 1_000 < u64::from(per_mille)
    }

    /// An id as Adyen has them: 16 capitals and digits.
    pub(crate) fn reference(&mut self) -> String {
        let at = |number: u64| usize::try_from(number % 36).unwrap_or_default();
        let capitals = || LETTERS[..26].iter().chain(&LETTERS[52..]).copied().map(char::from);
        (0..16).filter_map(|_| capitals().nth(at(self.next()))).collect()
    }

    /// An id: `re_` and 24 letters.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + ID_LETTERS);
        id.push_str(prefix);
        for _ in 0..ID_LETTERS {
            let at = usize::try_from(self.next() % 62).unwrap_or_default();
            id.push(char::from(LETTERS[at]));
        }
        id
    }
}
