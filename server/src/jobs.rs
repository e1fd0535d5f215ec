//! Jobs that run beside requests for as long as the server does. One that panics is begun again: what it had
//! claimed and not done is done after its claim is over, and nothing lies for ever because of one bad row.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Pauses before a job that panicked is begun again; twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Runs a job to its end, and again each time that it panics. Needs a runtime.
pub(crate) fn start<F>(name: &'static str, job: impl Fn() -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(tend(name, job))
}

async fn tend<F>(name: &'static str, job: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut last = None;
    loop {
        let began = Instant::now();
        match tokio::spawn(job()).await {
            Ok(()) => return,
            // The runtime ends.
            Err(fault) if fault.is_cancelled() => return,
            Err(fault) => {
                let pause = pause(last, began.elapsed());
                last = Some(pause);
                let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                tracing::error!(job = name, %fault, ms, "a job panicked and is begun again");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// How long to wait after a job that ran for `lasted`, and had been waited for `last` before that.
fn pause(last: Option<Duration>, lasted: Duration) -> Duration {
    match last {
        Some(last) if lasted <= PAUSE_MAX => last.saturating_mul(2).min(PAUSE_MAX),
        _ => PAUSE_MIN,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::{PAUSE_MAX, PAUSE_MIN, pause, start};

    #[tokio::test]
    async fn a_job_that_panics_is_begun_again() {
        let runs = Arc::new(AtomicU32::new(0));
        let job = {
            let runs = Arc::clone(&runs);
            move || {
                let run = runs.fetch_add(1, Ordering::SeqCst);
                async move { assert!(run >= 1, "a bad row") }
            }
        };
        start("test", job).await.expect("it ends");
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn it_is_begun_again_ever_more_rarely_and_soon_after_a_good_while() {
        let at_once = Duration::ZERO;
        for (last, lasted, then) in [
            (None, at_once, PAUSE_MIN),
            (Some(PAUSE_MIN), at_once, 2 * PAUSE_MIN),
            (Some(PAUSE_MAX), PAUSE_MAX, PAUSE_MAX),
            (Some(PAUSE_MAX / 2 + PAUSE_MIN), at_once, PAUSE_MAX),
            (Some(PAUSE_MAX), PAUSE_MAX + PAUSE_MIN, PAUSE_MIN),
        ] {
            assert_eq!(pause(last, lasted), then, "{last:?} {lasted:?}");
        }
    }
}
