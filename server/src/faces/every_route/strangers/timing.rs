//! Time tells nothing of what is another's either: at every route the median time of the answer to an id of
//! another merchant's and to an id of nothing differ by less than a tenth.

use std::time::{Duration, Instant};

use super::*;

/// Pairs of requests in a round.
const PAIRS: usize = 31;
/// A machine that is busy with something else spoils a round; a difference that there is would spoil all.
const ROUNDS_MAX: usize = 20;

impl Asker {
    async fn time(&self, call: &Call<'_>, ids: &[String]) -> Duration {
        let began = Instant::now();
        let (status, _) = self.told(call, ids).await;
        assert!(status < 500, "{} {}", call.method, call.path);
        began.elapsed()
    }

    /// The medians of one round: of another's id, and of an id of nothing.
    async fn round(&self, call: &Call<'_>, theirs: &[String], nothing: &[String]) -> [Duration; 2] {
        let (mut foreign, mut unknown) = (Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            // Neither is always the second one, whose way the first has paved.
            if pair % 2 == 0 {
                foreign.push(self.time(call, theirs).await);
                unknown.push(self.time(call, nothing).await);
            } else {
                unknown.push(self.time(call, nothing).await);
                foreign.push(self.time(call, theirs).await);
            }
        }
        [foreign, unknown].map(|mut times| {
            times.sort_unstable();
            times[PAIRS / 2]
        })
    }
}

#[tokio::test]
async fn the_answer_to_an_id_of_anothers_takes_as_long_as_to_an_id_of_nothing() {
    let asker = Asker { house: House::open() };
    let house = &asker.house;
    let theirs = asker.things(OTHER_SHOP).await;
    let ours = asker.things(SHOP).await;
    let (mut tested, mut rounds) = (0, 0);
    for route in declared() {
        let Some(kinds) = kinds(&route) else {
            continue;
        };
        let credential = house.credential(SHOP, route.face, None);
        let call = Call::marked(&route, kinds.len(), &credential);
        for (place, kind) in kinds.iter().enumerate() {
            let with = |id: String| {
                let own = kinds.iter().map(|kind| ours.named(route.face, *kind));
                let mut ids: Vec<String> = own.collect();
                ids[place] = id;
                ids
            };
            let foreign = with(theirs.named(route.face, *kind));
            let unknown = with(spelt(route.face, *kind, house.draw()));
            let mut seen = Vec::new();
            loop {
                let [one, other] = asker.round(&call, &foreign, &unknown).await;
                seen.push([one, other]);
                if one * 10 < other * 11 && other * 10 < one * 11 {
                    break;
                }
                assert!(seen.len() < ROUNDS_MAX, "{} {}: {seen:?}", call.method, call.path);
            }
            rounds += seen.len();
            tested += 1;
        }
    }
    assert!(tested > 15, "only {tested} ids stand in paths");
    println!("{tested} ids in paths, {rounds} rounds of {PAIRS} pairs, medians within a tenth");
}
