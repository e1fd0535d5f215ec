//! Passwords of people who log in: hashed with argon2id, checked a few at a time.
//!
//! Invariants:
//! - At most [`PASSWORD_CHECKS_MAX`] hashes are computed at once, so logins take at most that many
//!   times [`MEMORY_KIB`] of memory and cannot starve refunds of it, whoever knocks and how often.
//! - At most [`PASSWORD_WAITS_MAX`] wait their turn; further ones are turned away at once.
//! - An unknown e-mail address costs the same time as a wrong password.
//!
//! Start at [`PasswordChecks::verify`].

use std::sync::Arc;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::secret::Secret;

/// Memory, passes and lanes of one hash: OWASP's recommendation for argon2id (19 MiB, 2, 1).
/// Raising them later is safe: each stored hash names the ones it was made with.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The largest costs that a stored hash may demand: four times ours. A hash that was put into the
/// store from elsewhere must not be able to claim gigabytes.
const MEMORY_KIB_MAX: u32 = 4 * MEMORY_KIB;
const PASSES_MAX: u32 = 4 * PASSES;
const LANES_MAX: u32 = 4;

/// Longer passwords are refused; a passphrase of twenty words is a tenth of this.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// Hashes computed at the same time: 4 x 19 MiB. More would not finish sooner on the machines
/// this runs on.
pub(crate) const PASSWORD_CHECKS_MAX: usize = 4;

/// Logins that wait for their turn, besides those being checked: a second or two of work.
pub(crate) const PASSWORD_WAITS_MAX: usize = 64;

/// A hash of 16 and 32 zero bytes with today's costs, which no known password has. It is checked
/// against when there is no such user.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                     $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password was neither right nor wrong. Says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordFault {
    #[error("the password is longer than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    #[error("the stored password hash cannot be used; set the user's password again")]
    StoredHash,
    #[error("{PASSWORD_WAITS_MAX} logins are waiting already; try again in a few seconds")]
    Busy,
    #[error("the server is stopping; try again")]
    Stopping,
}

/// The string to store for a password (PHC form, about 100 characters). `salt` is fresh random
/// bytes. Takes tens of milliseconds and 19 MiB: on a server, use [`PasswordChecks::hash`].
///
/// # Errors
/// [`PasswordFault::TooLong`].
pub(crate) fn hash(password: &Secret, salt: &[u8; 16]) -> Result<String, PasswordFault> {
    let password = bounded(password)?;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the costs are in range");
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password, salt)
        .expect("salt, password and costs are of sizes that argon2 takes");
    Ok(hash.to_string())
}

/// Whether `stored` was made from `password`. As dear as [`hash`].
///
/// # Errors
/// [`PasswordFault::TooLong`]; [`PasswordFault::StoredHash`] if `stored` is not an argon2id string
/// of today's version, or demands more than this server gives.
pub(crate) fn verify(password: &Secret, stored: &str) -> Result<bool, PasswordFault> {
    let password = bounded(password)?;
    let stored = PasswordHash::new(stored).map_err(|_| PasswordFault::StoredHash)?;
    let params = affordable(&stored).ok_or(PasswordFault::StoredHash)?;
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else {
        return Err(PasswordFault::StoredHash);
    };
    let mut computed = [0; Output::MAX_LENGTH];
    let computed = &mut computed[..expected.as_ref().len()];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt.as_ref(), computed)
        .map_err(|_| PasswordFault::StoredHash)?;
    Ok(computed.ct_eq(expected.as_ref()).into())
}

fn bounded(password: &Secret) -> Result<&[u8], PasswordFault> {
    let bytes = password.expose().as_bytes();
    if bytes.len() > PASSWORD_BYTES_MAX { Err(PasswordFault::TooLong) } else { Ok(bytes) }
}

/// The costs of a stored hash, if it is one we make or could have made.
fn affordable(stored: &PasswordHash) -> Option<Params> {
    let is_ours = stored.algorithm.as_str() == "argon2id" && stored.version == Some(0x13);
    let params = Params::try_from(stored).ok()?;
    let is_affordable = params.m_cost() <= MEMORY_KIB_MAX
        && params.t_cost() <= PASSES_MAX
        && params.p_cost() <= LANES_MAX;
    (is_ours && is_affordable).then_some(params)
}

/// The one door to password hashing on a server. Clones share its limits.
#[derive(Clone, Debug)]
pub(crate) struct PasswordChecks {
    /// Places for all that run or wait.
    places: Arc<Semaphore>,
    /// Those of them that run.
    running: Arc<Semaphore>,
}

impl PasswordChecks {
    pub(crate) fn new() -> PasswordChecks {
        PasswordChecks {
            places: Arc::new(Semaphore::new(PASSWORD_CHECKS_MAX + PASSWORD_WAITS_MAX)),
            running: Arc::new(Semaphore::new(PASSWORD_CHECKS_MAX)),
        }
    }

    /// Whether the password is right; `stored` is `None` when there is no such user, which takes
    /// as long and is never right.
    ///
    /// # Errors
    /// See [`PasswordFault`].
    pub(crate) async fn verify(
        &self,
        password: Secret,
        stored: Option<String>,
    ) -> Result<bool, PasswordFault> {
        self.run(move || {
            let is_known = stored.is_some();
            let is_equal = verify(&password, stored.as_deref().unwrap_or(DECOY))?;
            Ok(is_known && is_equal)
        })
        .await
    }

    /// [`hash`], within the same limits.
    ///
    /// # Errors
    /// See [`PasswordFault`].
    pub(crate) async fn hash(
        &self,
        password: Secret,
        salt: [u8; 16],
    ) -> Result<String, PasswordFault> {
        self.run(move || hash(&password, &salt)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordFault> + Send + 'static,
    ) -> Result<T, PasswordFault> {
        let places = Arc::clone(&self.places);
        let place = places.try_acquire_owned().map_err(|_| PasswordFault::Busy)?;
        let running = Arc::clone(&self.running);
        let turn = running.acquire_owned().await.expect("the semaphore is never closed");
        // The permits go with the work: a client that leaves drops this future, but not the
        // thread that computes, and its memory must stay counted until it is done.
        let task = tokio::task::spawn_blocking(move || {
            let answer = work();
            drop((turn, place));
            answer
        });
        task.await.unwrap_or(Err(PasswordFault::Stopping))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn only_the_password_itself_is_right() {
        let stored = hash(&secret("correct horse"), b"sixteen bytes ok").expect("short enough");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        for (password, is_right) in [
            ("correct horse", true),
            ("Correct horse", false),
            ("correct horse ", false),
            ("correct horse\0", false),
            ("", false),
        ] {
            assert_eq!(verify(&secret(password), &stored), Ok(is_right), "{password:?}");
        }
    }

    /// From the tests of the reference implementation (phc-winner-argon2, src/test.c).
    #[test]
    fn strings_of_other_programs_are_read() {
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
                      $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(verify(&secret("password"), stored), Ok(true));
        assert_eq!(verify(&secret("passwore"), stored), Ok(false));
    }

    #[test]
    fn stored_hashes_that_are_not_ours_to_compute_are_refused() {
        let (salt, output) = ("AAAAAAAAAAAAAAAAAAAAAA", "A".repeat(43));
        let tail = format!("{salt}${output}");
        for stored in [
            String::new(),
            "plain text".to_owned(),
            "$2b$10$abcdefghijklmnopqrstuv".to_owned(),
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}"),
            format!("$argon2i$v=19$m=19456,t=2,p=1${tail}"),
            format!("$argon2d$v=19$m=19456,t=2,p=1${tail}"),
            format!("$argon2id$v=16$m=19456,t=2,p=1${tail}"),
            format!("$argon2id$v=19$m=4194304,t=2,p=1${tail}"),
            format!("$argon2id$v=19$m=19456,t=1000000,p=1${tail}"),
            format!("$argon2id$v=19$m=19456,t=2,p=64${tail}"),
            format!("$argon2id$v=19$m=0,t=2,p=1${tail}"),
        ] {
            let answer = verify(&secret("x"), &stored);
            assert_eq!(answer, Err(PasswordFault::StoredHash), "{stored}");
        }
    }

    #[test]
    fn a_very_long_password_is_refused_before_any_work() {
        let long = secret(&"x".repeat(PASSWORD_BYTES_MAX + 1));
        assert_eq!(hash(&long, &[0; 16]), Err(PasswordFault::TooLong));
        assert_eq!(verify(&long, DECOY), Err(PasswordFault::TooLong));
        assert!(hash(&secret(&"x".repeat(PASSWORD_BYTES_MAX)), &[0; 16]).is_ok());
    }

    #[test]
    fn the_decoy_costs_what_a_real_hash_costs() {
        let real = hash(&secret("x"), &[0; 16]).expect("short enough");
        let costs = |text: &str| text.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(costs(DECOY), costs(&real));
        assert_eq!(DECOY.len(), real.len());
        assert_eq!(verify(&secret("x"), DECOY), Ok(false));
    }

    #[tokio::test]
    async fn an_unknown_user_is_never_right() {
        let checks = PasswordChecks::new();
        let stored = checks.hash(secret("open"), [7; 16]).await.expect("there is room");
        assert_eq!(checks.verify(secret("open"), Some(stored.clone())).await, Ok(true));
        assert_eq!(checks.verify(secret("shut"), Some(stored)).await, Ok(false));
        assert_eq!(checks.verify(secret("open"), None).await, Ok(false));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_run_or_wait_than_the_limits_say() {
        let checks = PasswordChecks::new();
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let hold = || {
            let (checks, blocked) = (checks.clone(), Arc::clone(&blocked));
            let wait = move || {
                let ended = blocked.lock().expect("nobody panics while holding it").recv();
                ended.map_err(|_| PasswordFault::Stopping)
            };
            tokio::spawn(async move { checks.run(wait).await })
        };
        let all: Vec<_> = (0..PASSWORD_CHECKS_MAX + PASSWORD_WAITS_MAX).map(|_| hold()).collect();
        let settled =
            || checks.running.available_permits() == 0 && checks.places.available_permits() == 0;
        for _ in 0..1_000 {
            if settled() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(settled());
        assert_eq!(checks.verify(secret("x"), None).await, Err(PasswordFault::Busy));

        for _ in &all {
            release.send(()).expect("the work listens");
        }
        for task in all {
            assert_eq!(task.await.expect("no panic"), Ok(()));
        }
        assert_eq!(checks.verify(secret("x"), None).await, Ok(false));
        assert_eq!(checks.places.available_permits(), PASSWORD_CHECKS_MAX + PASSWORD_WAITS_MAX);
    }
}
