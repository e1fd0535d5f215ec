//! Puts the parts together: store, engine, desk, faces and the listener, and takes them apart again
//! in order. The only place where the machine's clock and randomness enter.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use requite_core::settle::Outcome;
use requite_engine::clock::{Clock, SharedClock};
use requite_engine::engine::{self, Engine, QUEUE_MAX, Running};
use requite_engine::lane::Lane;
use requite_engine::psp::{Instruction, Psp};
use requite_engine::read::Reads;
use requite_engine::registry::Registry;
use requite_engine::store::sqlite::{Checkpoints, Open, ServerLock};
use requite_engine::store::{SqlReads, SqlRegistry};
use tokio::net::TcpListener;

use crate::config::{Config, PSP_CALL_DEADLINE_MS_MAX};
use crate::connectors::account::Account;
use crate::connectors::{self, Lists, ServerPsp};
use crate::crypto::entropy::{Entropy, SystemEntropy};
use crate::database::{Database, LaneStore};
use crate::desk::{Collector, Desk, Ids, LOGIN_SECRET, Parts, Settings};
use crate::hooks::{Arrivals, Doors, Hooks, sweep, worker};
use crate::webhooks::courier::Courier;
use crate::{faces, http, jobs};

/// How much longer a face waits for an outcome than a call to a PSP may take.
const WAIT_BEYOND_CALL: Duration = Duration::from_millis(500);

/// The machine's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn steady_ms(&self) -> i64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        i64::try_from(START.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Ids of the machine's time and randomness. Each is above all before it, so that lists by id are
/// in the order of creation, also within a millisecond. Their lower half has no part in that: a refund's tells
/// of its key (`requite_engine::key::marked`).
pub(crate) struct SystemIds {
    entropy: SystemEntropy,
    last: Mutex<u128>,
}

impl SystemIds {
    pub(crate) fn new() -> SystemIds {
        SystemIds { entropy: SystemEntropy::new(), last: Mutex::default() }
    }

    /// The source itself, for making secrets.
    pub(crate) fn entropy(&self) -> &(dyn Entropy + 'static) {
        &self.entropy
    }
}

impl Ids for SystemIds {
    fn next(&self) -> u128 {
        let fresh = self.entropy().uuid_v7(SystemClock.now_ms());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = if fresh >> 64 > *last >> 64 { fresh } else { after(*last, fresh) };
        *last
    }
}

/// The next id after `last` in the half that holds the order, with `fresh`'s other half.
fn after(last: u128, fresh: u128) -> u128 {
    // A UUID version 7: 48 bits of time, four of the version, 12 bits; then the variant and 62 bits.
    let (time, count) = (last >> 80, last >> 64 & 0xfff);
    let next = (time << 12 | count).wrapping_add(1);
    let half = next >> 12 << 16 | 7 << 12 | next & 0xfff;
    half << 64 | fresh & u128::from(u64::MAX)
}

/// The store as the command line uses it: everything but the lane.
pub(crate) struct Office {
    database: Database,
    pub reads: SqlReads,
    pub registry: SqlRegistry,
    pub ids: SystemIds,
}

impl Office {
    pub(crate) fn open(database: &Database, open: Open) -> anyhow::Result<Office> {
        database.prepare(open)?;
        let (registry, reads) = (database.registry()?, database.reads()?);
        Ok(Office { database: database.clone(), reads, registry, ids: SystemIds::new() })
    }

    pub(crate) fn now_ms(&self) -> i64 {
        SystemClock.now_ms()
    }

    /// A lane of this process. The store orders its batches with those of servers that use it.
    pub(crate) fn lane(&self) -> anyhow::Result<Lane<LaneStore>> {
        Ok(lane(self.database.lane_store()?, PSP_CALL_DEADLINE_MS_MAX))
    }

    /// What becomes of a call that a lane of this process committed.
    pub(crate) fn call(
        &self,
        config: &Config,
        instruction: Instruction,
    ) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Runtime::new().context("the runtime could not be started")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let deadline = Duration::from_millis(u64::from(config.psp_call_deadline_ms));
        let reads: Arc<dyn Reads> = Arc::new(self.database.reads()?);
        let key = config.sealing_key.clone();
        let psp = ServerPsp::new(runtime.handle().clone(), deadline, clock, reads, key)
            .context("no way out to payment providers could be made")?;
        let (sender, answer) = std::sync::mpsc::channel();
        psp.call(instruction, Box::new(move |outcome| drop(sender.send(outcome))));
        answer.recv().context("the call ended without an outcome")
    }
}

fn lane(store: LaneStore, deadline_ms: u32) -> Lane<LaneStore> {
    Lane::new(store, connectors::Rules::within(deadline_ms))
}

/// Serves until SIGTERM or Ctrl-C, then finishes what is in flight. `on_ready` is told the address.
pub(crate) fn serve(
    config: &Config,
    on_ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")?;
    let lock = config.database.lock()?;
    runtime.block_on(async {
        // Signals are listened for before anybody learns that there is a server.
        let stop = Stop::listen()?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        // The store blocks, and so keeps off the threads that run asynchronous tasks.
        let settings = config.clone();
        let house = tokio::task::spawn_blocking(move || House::open(&settings, lock)).await??;
        let (router, limits) = (house.router(), config.limits);
        on_ready(listener.local_addr()?)?;
        let courier = Courier::new(house.desk.clone(), &faces::VOICES)
            .context("no way out to merchants could be made")?;
        let (courier, gone) = (Arc::new(courier), Arc::clone(&house.is_stopping));
        let deliver = move || Arc::clone(&courier).run(Arc::clone(&gone));
        let courier = jobs::start("courier", deliver);
        let gone = Arc::clone(&house.is_stopping);
        let stopped = http::serve(listener, router, limits, async move {
            stop.asked().await;
            gone.store(true, Ordering::Release);
            tracing::info!("stopping: finishing what is in flight");
        })
        .await;
        if stopped.cut_off > 0 {
            tracing::warn!(connections = stopped.cut_off, "cut off at the end of the drain");
        }
        courier.await?;
        let House { running, checkpoints, lock, .. } = house;
        let stop = move || {
            running.stop();
            drop(checkpoints);
            lock.map(ServerLock::close)
        };
        tokio::task::spawn_blocking(stop).await?;
        tracing::info!("stopped");
        Ok(())
    })
}

/// A running server but for its listener.
struct House {
    desk: Desk,
    engine: Engine,
    running: Running,
    hooks: Hooks,
    /// Where the store has a log that is copied back.
    checkpoints: Option<Checkpoints>,
    /// Where the store is one server's alone.
    lock: Option<ServerLock>,
    is_stopping: Arc<AtomicBool>,
}

impl House {
    fn open(config: &Config, mut lock: Option<ServerLock>) -> anyhow::Result<House> {
        let database = &config.database;
        database.prepare(Open::OrCreate)?;
        lock.as_mut().map_or(Ok(()), ServerLock::serve)?;
        let deadline_ms = config.psp_call_deadline_ms;
        // On a database that several servers use, its time is everybody's.
        let clock: Arc<dyn Clock> = Arc::new(SharedClock::new(Arc::new(SystemClock)));
        let (registry, reads) = (database.registry()?, database.reads()?);
        let restored_since_ms = registry.restored_since(clock.now_ms())?;
        let is_restored = restored_since_ms.is_some();
        let open_lane =
            |_| database.lane_store().map(|store| lane(store, deadline_ms).restored(is_restored));
        let lanes = (0..database.lanes()).map(open_lane).collect::<anyhow::Result<Vec<_>>>()?;
        let sweep = database.lane_store()?;
        let ids = SystemIds::new();
        registry.keep_secret(LOGIN_SECRET, &ids.entropy().bytes::<32>())?;
        let deadline = Duration::from_millis(u64::from(deadline_ms));
        let reads: Arc<dyn Reads> = Arc::new(reads);
        check_accounts(reads.as_ref(), config)?;
        let runtime = tokio::runtime::Handle::current();
        let key = config.sealing_key.clone();
        let psp = ServerPsp::new(runtime, deadline, Arc::clone(&clock), Arc::clone(&reads), key)
            .context("no way out to payment providers could be made")?;
        let lists = psp.lists();
        let (engine, running) = engine::start(lanes, sweep, Arc::new(psp), Arc::clone(&clock))?;
        let desk = Desk::new(Parts {
            engine: engine.clone(),
            reads,
            registry: Arc::new(registry) as Arc<dyn Registry>,
            inbox: Arc::new(database.registry()?),
            clock,
            ids: Arc::new(ids),
            restored_since_ms,
            entropy: Arc::new(SystemEntropy::new()),
            settings: Settings {
                wait: deadline.saturating_add(WAIT_BEYOND_CALL),
                cors_origins: config.cors_origins.clone(),
                mpg_shows_allocation: config.mpg_shows_allocation,
                gr4vy_connector: config.gr4vy_connector,
                mpg_refunds_remaining: config.mpg_refunds_remaining,
                mpg_connector: config.mpg_connector,
                gr4vy_id: config.gr4vy_id.clone(),
                gr4vy_environment: config.gr4vy_environment,
                webhook_addresses: config.webhook_addresses,
                sealing_key: config.sealing_key.clone(),
                requests_per_second_max: config.requests_per_second_max,
                duplicate_guard_ms: i64::from(config.duplicate_guard_ms),
                loop_collector: Collector {
                    connector: config.loop_connector,
                    takes_at_once: connectors::takes_at_once(config.loop_connector),
                },
            },
        });
        let hooks = open_hooks(&desk, config, lists);
        let checkpoints = database.checkpoints()?;
        Ok(House { desk, engine, running, hooks, checkpoints, lock, is_stopping: Arc::default() })
    }

    fn router(&self) -> axum::Router {
        let readiness = faces::Readiness {
            is_stopping: Arc::clone(&self.is_stopping),
            queued: {
                let engine = self.engine.clone();
                Arc::new(move || engine.queued())
            },
            queue_max: QUEUE_MAX,
        };
        let ids = SystemIds::new();
        let request_id = Arc::new(move || requite_core::id::prefixed_text("req_", ids.next()));
        let router = faces::router(&self.desk, readiness);
        let router = router.nest("/hooks", self.hooks.clone().router());
        http::with_request_ids(router, request_id)
    }
}

/// The way in for webhooks, the worker on what came, and the reader of PSPs' own lists.
fn open_hooks(desk: &Desk, config: &Config, lists: Lists) -> Hooks {
    let doors = Arc::new(Doors::new(desk.clone(), config.sealing_key.clone()));
    let arrivals = Arrivals::default();
    let work = {
        let (desk, doors, arrivals) = (desk.clone(), Arc::clone(&doors), Arc::clone(&arrivals));
        move || worker::work(desk.clone(), Arc::clone(&doors), Arc::clone(&arrivals))
    };
    jobs::start("inbox", work);
    // Of a restored store they are read once also where they are not read otherwise.
    if config.psp_sweep_ms > 0 || desk.is_reconciling() {
        let every_ms = i64::from(config.psp_sweep_ms);
        let (desk, doors) = (desk.clone(), Arc::clone(&doors));
        let read = move || sweep::sweep(desk.clone(), Arc::clone(&doors), lists.clone(), every_ms);
        jobs::start("lists", read);
    }
    Hooks::open(desk.clone(), doors, arrivals)
}

/// A server that cannot open one of its accounts would leave refunds lying: it does not start.
fn check_accounts(reads: &dyn Reads, config: &Config) -> anyhow::Result<()> {
    for account in reads.connectors()? {
        Account::open(&account, config.sealing_key.as_ref()).with_context(|| {
            let merchant = requite_core::id::uuid_text(account.merchant.bits());
            format!("connector {:?} of merchant {merchant} cannot be used", account.name)
        })?;
    }
    Ok(())
}

/// The two signals that end a server.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> anyhow::Result<Stop> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Stop {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns at the first signal; a second one ends the process at once, as everything that was
    /// answered is on disk.
    async fn asked(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("asked to stop twice: ending at once");
            std::process::exit(1);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
