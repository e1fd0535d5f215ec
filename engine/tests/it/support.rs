//! One lane over one store, driven by hand: no threads, and a clock that only the test moves.
//!
//! The store is a SQLite file, or with `TEST_DATABASE=postgres` a PostgreSQL database: what a [`Bench`]
//! shows is shown of either.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use requite_core::currency::Currency;
use requite_core::decide::{Amount, Ask, Target};
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, RefundId};
use requite_core::money::Minor;
use requite_core::refund::{Fault, Status};
use requite_core::settle::{Finding, Outcome};
use requite_engine::audit::Report;
use requite_engine::command::{
    Answer, Booking, BookingRequest, Command, CommandError, Details, NewLeg, Reason, RefundRef,
    RefundReply, RefundRequest, Registration, Reply, Trace, Wait,
};
use requite_engine::key::{Key, Lifetime, digest};
use requite_engine::lane::Lane;
use requite_engine::psp::{BookingAsked, Connectors, Instruction};
use requite_engine::read::{PaymentView, Reads};
use requite_engine::store::postgres::{self, Address, Postgres};
use requite_engine::store::sqlite::{self, Open, Sqlite};
use requite_engine::store::{SqlReads, SqlRegistry, Store};

pub(crate) const MERCHANT: MerchantId = MerchantId::new(1);
pub(crate) const PAYMENT: PaymentId = PaymentId::new(7);
pub(crate) const NOW: i64 = 1_700_000_000_000;

pub(crate) type Heard = Arc<Mutex<Vec<Result<Reply, CommandError>>>>;

/// `manual` needs no PSP; `strict` declines what is for 6.66.
pub(crate) struct TestConnectors;

impl Connectors for TestConnectors {
    fn is_immediate(&self, connector: &str) -> bool {
        connector == "manual"
    }

    fn decline(&self, asked: &BookingAsked<'_>) -> Option<Fault> {
        let is_declined = asked.connector == "strict" && asked.amount.units() == 666;
        is_declined.then(|| Fault { code: "05".to_owned(), text: "do not honour".to_owned() })
    }
}

/// Where a test's store is.
pub(crate) enum Place {
    /// In a folder of its own.
    File(tempfile::TempDir),
    Database {
        text: String,
        address: Box<Address>,
        is_intact: Cell<bool>,
    },
}

/// Databases with our schema and without a row, which are nobody's. Making one takes longer than a test.
static IDLE: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Database { text, is_intact, .. } = self
            && is_intact.get()
            && !std::thread::panicking()
        {
            crate::nodes::client(text).batch_execute(EMPTY).expect("a superuser may");
            IDLE.lock().expect("no panic").push(text.clone());
        }
    }
}

/// Deletes every row but the schema's version, whoever it refers to.
const EMPTY: &str = "set session_replication_role = replica;
    do $$ declare it record; begin
        for it in select tablename from pg_tables
            where schemaname = 'public' and tablename <> 'requite_schema'
        loop execute format('delete from %I', it.tablename);
        end loop; end $$";

/// Drops every check, so that what they forbid can be written.
const UNCHECKED: &str = "do $$ declare it record; begin
    for it in select conrelid::regclass as its, conname from pg_constraint
        where contype = 'c' and connamespace = 'public'::regnamespace
    loop execute format('alter table %s drop constraint %I', it.its, it.conname);
    end loop; end $$";

/// So many idempotency keys are brought into their index together.
pub(crate) const KEYS_RUN: usize = 5;

impl Place {
    /// A new store, ready to be used.
    pub(crate) fn new() -> Place {
        if !requite_cluster::is_postgres() {
            let place = Place::File(tempfile::tempdir().expect("a temporary folder"));
            drop(Sqlite::open(&place.path(), Open::OrCreate).expect("a new file"));
            return place;
        }
        let idle = IDLE.lock().expect("no panic").pop();
        let text = idle.unwrap_or_else(|| crate::nodes::database().0);
        let address = Box::new(Address::parse(&text).expect("an address"));
        Place::Database { text, address, is_intact: Cell::new(true) }
    }

    /// Of a test that is about the file.
    pub(crate) fn path(&self) -> PathBuf {
        let Place::File(folder) = self else { panic!("it is no file") };
        folder.path().join("requite.db")
    }

    pub(crate) fn store(&self) -> Box<dyn Store + Send> {
        match self {
            Place::File(_) => {
                let mut store = Sqlite::open(&self.path(), Open::Existing).expect("ours");
                // Tests have few keys: so some are in the index, some on the way, some not yet.
                store.index_keys_by(KEYS_RUN);
                Box::new(store)
            }
            Place::Database { address, .. } => Box::new(Postgres::new(address)),
        }
    }

    pub(crate) fn reads(&self) -> SqlReads {
        match self {
            Place::File(_) => sqlite::reads(&self.path()).expect("our own file"),
            Place::Database { address, .. } => postgres::reads(address),
        }
    }

    pub(crate) fn registry(&self) -> SqlRegistry {
        match self {
            Place::File(_) => sqlite::registry(&self.path(), Open::Existing).expect("our own file"),
            Place::Database { address, .. } => postgres::registry(address),
        }
    }

    pub(crate) fn audit(&self) -> Report {
        let progress = &mut |_, _| ();
        match self {
            Place::File(_) => sqlite::audit(&self.path(), progress).expect("readable"),
            Place::Database { address, .. } => {
                postgres::audit(address, progress).expect("readable")
            }
        }
    }

    /// Everything that is kept, in pieces to search in.
    pub(crate) fn contents(&self) -> Vec<Vec<u8>> {
        match self {
            Place::File(folder) => {
                let files = std::fs::read_dir(folder.path()).expect("readable");
                let read = |file: std::io::Result<std::fs::DirEntry>| {
                    std::fs::read(file.expect("readable").path()).expect("a file of ours")
                };
                files.map(read).collect()
            }
            Place::Database { text, .. } => {
                requite_cluster::contents(text).into_iter().map(|(_, bytes)| bytes).collect()
            }
        }
    }

    /// Writes what no program of ours would write. How many rows there are of it.
    pub(crate) fn tamper(&self, sql: &str) -> u64 {
        match self {
            Place::File(_) => {
                let file = rusqlite::Connection::open(self.path()).expect("a file");
                file.execute_batch("pragma ignore_check_constraints = on").expect("allowed");
                file.execute(sql, []).expect(sql).try_into().expect("not many")
            }
            Place::Database { text, is_intact, .. } => {
                is_intact.set(false);
                let mut client = crate::nodes::client(text);
                client.batch_execute(UNCHECKED).expect("an owner may");
                client.execute(sql, &[]).expect(sql)
            }
        }
    }
}

pub(crate) struct Bench {
    lane: Option<Lane<Box<dyn Store + Send>>>,
    pub place: Place,
    pub sent: Vec<Instruction>,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let mut bench = Bench { lane: None, place: Place::new(), sent: Vec::new() };
        bench.restart();
        bench
    }

    /// With one captured payment of 100.00 USD at the named connector.
    pub(crate) fn with_payment(connector: &str) -> Bench {
        let mut bench = Bench::new();
        let reply = bench.ask(Command::Register(Box::new(registration(connector, &[10_000]))));
        assert!(matches!(reply, Ok(Reply::Registered(_))), "{reply:?}");
        bench
    }

    /// The process dies and starts again: whoever waited is gone.
    pub(crate) fn restart(&mut self) {
        self.lane = None;
        self.lane = Some(Lane::new(self.place.store(), TestConnectors));
    }

    /// The same, on what counts as a restored backup.
    pub(crate) fn restart_restored(&mut self) {
        self.restart();
        self.lane = self.lane.take().map(|lane| lane.restored(true));
    }

    pub(crate) fn lane(&mut self) -> &mut Lane<Box<dyn Store + Send>> {
        self.lane.as_mut().expect("restart made one")
    }

    /// One batch; what each command heard so far, in order.
    pub(crate) fn batch(&mut self, commands: Vec<Command>) -> Vec<Heard> {
        let (heard, instructions) = send_batch(self.lane(), commands);
        self.sent.extend(instructions);
        heard
    }

    /// A command that is answered at once.
    pub(crate) fn ask(&mut self, command: Command) -> Result<Reply, CommandError> {
        let heard = self.batch(vec![command]);
        only(heard.first().expect("one command")).expect("answered at once")
    }

    pub(crate) fn refund(&mut self, request: RefundRequest) -> Result<RefundReply, CommandError> {
        match self.ask(Command::Refund(Box::new(request)))? {
            Reply::Refund(reply) => Ok(reply),
            other => panic!("a refund is answered with one, not {other:?}"),
        }
    }

    /// A refund whose requester waits for its outcome.
    pub(crate) fn start(&mut self, request: RefundRequest) -> Heard {
        let heard = self.batch(vec![Command::Refund(Box::new(request))]);
        heard.into_iter().next().expect("one command")
    }

    /// The newest call's answer.
    pub(crate) fn answer(&mut self, outcome: Outcome) {
        let instruction = self.sent.last().expect("a call was made").clone();
        let finding = Finding { attempt: instruction.attempt, outcome, at_ms: NOW + 10 };
        let settled = self.ask(Command::Settle { refund: instruction.refund, finding });
        assert_eq!(settled, Ok(Reply::Noted));
    }

    pub(crate) fn reads(&self) -> SqlReads {
        self.place.reads()
    }

    pub(crate) fn view(&self, as_of: Option<u32>) -> PaymentView {
        let view = self.reads().payment(MERCHANT, PAYMENT, as_of).expect("readable");
        view.expect("the payment is registered")
    }

    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.view(None).refunds.iter().map(|refund| refund.status).collect()
    }

    /// Every invariant that can be read back holds.
    pub(crate) fn check(&self) {
        assert_eq!(self.place.audit().violations, Vec::new());
    }
}

/// One batch through a lane: what each command heard so far, and what is to be sent.
pub(crate) fn send_batch<S: Store>(
    lane: &mut Lane<S>,
    commands: Vec<Command>,
) -> (Vec<Heard>, Vec<Instruction>) {
    let heard: Vec<Heard> = commands.iter().map(|_| Heard::default()).collect();
    let batch = commands.into_iter().zip(&heard).map(|(command, heard)| {
        let heard = Arc::clone(heard);
        let answer: Answer = Box::new(move |reply| {
            heard.lock().expect("one thread").push(reply);
        });
        (command, answer)
    });
    let instructions = lane.step(batch.collect());
    (heard, instructions)
}

pub(crate) fn only(heard: &Heard) -> Option<Result<Reply, CommandError>> {
    let heard = heard.lock().expect("one thread");
    assert!(heard.len() <= 1, "answered more than once: {heard:?}");
    heard.first().cloned()
}

pub(crate) fn told(heard: &Heard) -> Option<RefundReply> {
    match only(heard)? {
        Ok(Reply::Refund(reply)) => Some(reply),
        other => panic!("expected a refund, heard {other:?}"),
    }
}

pub(crate) fn minor(units: i64) -> Minor {
    Minor::new(units).expect("an amount of money")
}

pub(crate) fn booking(booking: Booking, id: u128, amount: Option<i64>) -> Command {
    Command::Book(Box::new(BookingRequest {
        merchant: MERCHANT,
        payment: PAYMENT,
        booking,
        id,
        amount,
        trace: Trace { face: "test".to_owned(), ..Trace::default() },
        keys: Vec::new(),
        actor: "test".to_owned(),
        at_ms: NOW,
    }))
}

pub(crate) fn registration(connector: &str, captures: &[i64]) -> Registration {
    let captures = captures.iter().zip(100_u128..);
    Registration {
        merchant: MERCHANT,
        payment: PAYMENT,
        currency: Currency::parse("USD").expect("listed"),
        primary: NewLeg { id: LegId::new(50), amount: minor(10_000) },
        gift_cards: vec![NewLeg { id: LegId::new(51), amount: minor(2_500) }],
        captures: captures.map(|(&units, id)| (CaptureId::new(id), minor(units))).collect(),
        connector: connector.to_owned(),
        connector_payment: Some("pi_1".to_owned()),
        connector_settings: None,
        external_identifier: Some("order-1001".to_owned()),
        order: None,
        customer: None,
        description: None,
        aliases: vec!["ch_3Oabc".to_owned()],
        profile: "{}".to_owned(),
        fingerprint: [1; 16],
        created_at_ms: NOW - 1_000,
        cancelled_at_ms: None,
        decline: None,
        trace: None,
        keys: Vec::new(),
        actor: "test".to_owned(),
        at_ms: NOW - 1_000,
    }
}

pub(crate) fn request(refund: u128, amount: i64) -> RefundRequest {
    RefundRequest {
        merchant: MERCHANT,
        payment: PAYMENT,
        ask: Ask {
            refund: RefundId::new(refund),
            target: Target::Primary,
            amount: Amount::Minor(amount),
            currency: None,
            at_ms: NOW,
        },
        details: Details {
            face: "test".to_owned(),
            actor: "apk_1".to_owned(),
            reason_code: None,
            reason_text: None,
            reason: Reason::None,
            note: None,
            external_identifier: None,
            given_id: None,
            key_text: None,
            metadata: None,
            wants_reference: false,
        },
        keys: Vec::new(),
        wait: Wait::Outcome,
        answers_unknown: true,
    }
}

pub(crate) fn key(text: &str, meaning: &str) -> Key {
    Key {
        hash: digest(&[text.as_bytes()]),
        fingerprint: digest(&[meaning.as_bytes()]),
        lifetime: Lifetime::Kept,
        answers_present: false,
    }
}

/// How often something is done; a variable asks for more.
pub(crate) fn times(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().expect("it is a number"))
}

/// [`request`] under a key whose meaning is its amount.
pub(crate) fn keyed(refund: u128, amount: i64, text: &str) -> RefundRequest {
    let keys = vec![key(text, &amount.to_string())];
    RefundRequest { keys, ..request(refund, amount) }
}

pub(crate) fn of(refund: u128) -> RefundRef {
    RefundRef { merchant: MERCHANT, payment: PAYMENT, refund: RefundId::new(refund) }
}

pub(crate) fn succeeded() -> Outcome {
    Outcome::Succeeded { psp_refund: Some("re_1".to_owned()) }
}

pub(crate) fn lost() -> Outcome {
    Outcome::Unknown { fault: Fault { code: "timeout".to_owned(), text: "no answer".to_owned() } }
}

pub(crate) fn declined() -> Outcome {
    let fault = Fault { code: "51".to_owned(), text: "insufficient funds".to_owned() };
    Outcome::Declined { psp_refund: None, fault }
}
