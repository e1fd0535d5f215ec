//! How many requests a credential may make in a second, so that one integration gone wild does not
//! slow down the others. Off unless a setting says otherwise.
//!
//! Each credential has room for one second's requests at once, which comes back evenly. Only who was let
//! in is counted, so nobody spends another's share, and what was accepted goes on, whoever is turned away.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use requite_core::id::MerchantId;

/// Largest limit a setting may have, in requests a second.
pub(crate) const PER_SECOND_MAX: u32 = 1_000_000;
/// Credentials that are remembered at once. Beyond it, those with all their room back are forgotten.
const REMEMBERED_MAX: usize = 65_536;
const SECOND_US: i64 = 1_000_000;

/// A credential: its merchant, and its name in the books.
type Who = (MerchantId, String);

/// What is left of each credential's second.
#[derive(Debug)]
pub(crate) struct Rates {
    /// 0 is no limit.
    per_second: u32,
    /// When, in microseconds, a credential has all its room back.
    full_at_us: Mutex<HashMap<Who, i64>>,
}

impl Rates {
    /// `per_second`: 0 is no limit, [`PER_SECOND_MAX`] the most.
    pub(crate) fn new(per_second: u32) -> Rates {
        Rates { per_second, full_at_us: Mutex::default() }
    }

    /// Is there room for one more request? It is taken if so. After a second there always is.
    pub(crate) fn admits(&self, merchant: MerchantId, name: &str, now_ms: i64) -> bool {
        if self.per_second == 0 {
            return true;
        }
        let cost_us = SECOND_US.checked_div(self.per_second.into()).unwrap_or(SECOND_US);
        let now_us = now_ms.saturating_mul(1_000);
        let full_us = now_us.saturating_add(SECOND_US);
        let mut all = self.full_at_us.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX {
            all.retain(|_, at_us| (now_us..=full_us).contains(at_us));
        }
        let full_at_us = all.entry((merchant, name.to_owned())).or_insert(now_us);
        // Later than any request could have made it: the clock was set back.
        let from_us = if *full_at_us > full_us { now_us } else { now_us.max(*full_at_us) };
        let after_us = from_us.saturating_add(cost_us.max(1));
        let is_room = after_us <= full_us;
        if is_room {
            *full_at_us = after_us;
        }
        is_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: MerchantId = MerchantId::new(1);

    #[test]
    fn a_second_has_room_for_so_many_and_it_comes_back_evenly() {
        let rates = Rates::new(4);
        let taken = |now_ms: i64| (0..20).filter(|_| rates.admits(SHOP, "a", now_ms)).count();
        assert_eq!(taken(10_000), 4);
        assert_eq!(taken(10_249), 0);
        assert_eq!(taken(10_250), 1);
        assert_eq!(taken(10_750), 2);
        assert_eq!(taken(60_000), 4, "no more than a second's worth is saved up");
    }

    #[test]
    fn each_credential_has_its_own_room() {
        let rates = Rates::new(1);
        let other = MerchantId::new(2);
        for (merchant, name, is_let_in) in [
            (SHOP, "a", true),
            (SHOP, "a", false),
            (SHOP, "b", true),
            (other, "a", true),
            (other, "a", false),
        ] {
            assert_eq!(rates.admits(merchant, name, 0), is_let_in, "{merchant:?} {name}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_shuts_nobody_out() {
        let rates = Rates::new(1);
        assert!(rates.admits(SHOP, "a", 100_000));
        assert!(rates.admits(SHOP, "a", 5_000));
        assert!(!rates.admits(SHOP, "a", 5_500));
        assert!(rates.admits(SHOP, "a", 6_000));
    }

    #[test]
    fn without_a_limit_everybody_is_let_in_and_nobody_remembered() {
        let rates = Rates::new(0);
        assert!((0..1_000).all(|_| rates.admits(SHOP, "a", 0)));
        assert!(rates.full_at_us.lock().expect("no panic").is_empty());
    }

    #[test]
    fn no_more_are_remembered_than_the_limit_when_they_come_one_after_another() {
        let rates = Rates::new(1_000);
        for number in 0..i64::try_from(REMEMBERED_MAX).expect("small") + 50_000 {
            assert!(rates.admits(SHOP, &number.to_string(), number));
        }
        assert!(rates.full_at_us.lock().expect("no panic").len() <= REMEMBERED_MAX);
    }
}
