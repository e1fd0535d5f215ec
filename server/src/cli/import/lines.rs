//! JSON Lines, and what makes a registration of a line.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::SyncSender;

use requite_core::id::{MerchantId, PaymentId, parse_uuid};
use requite_engine::command::Registration;
use requite_engine::key::digest;
use requite_engine::read::Reads;

use super::{Batch, Collector, Item};
use crate::app::{Office, SystemIds};
use crate::faces::native::registration::{self, Origin};
use crate::json::{self, Json};

/// Longest line, in bytes: as much as POST /api/payments takes.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// What stands for the creation time, 2020-01-01, in the id of content that has none.
const UNDATED_MS: i64 = 1_577_836_800_000;
/// How the books name who imports.
const ACTOR: &str = "cli";

/// Makes registrations of lines.
pub(crate) struct Reader {
    /// The merchant of every line, where one was named.
    only: Option<MerchantId>,
    /// By id and by slug.
    merchants: HashMap<String, MerchantId>,
    /// Connector accounts, by merchant and name.
    accounts: HashSet<(MerchantId, String)>,
    at_ms: i64,
    ids: SystemIds,
    /// How often content without an identity of its own has come.
    seen: HashMap<[u8; 16], u64>,
}

impl Reader {
    pub(crate) fn new(office: &Office, only: Option<MerchantId>) -> anyhow::Result<Reader> {
        let mut merchants = HashMap::new();
        for merchant in office.reads.merchants()? {
            merchants.insert(requite_core::id::uuid_text(merchant.id.bits()), merchant.id);
            merchants.insert(merchant.slug, merchant.id);
        }
        let accounts = office.reads.connectors()?.into_iter();
        Ok(Reader {
            only,
            merchants,
            accounts: accounts.map(|account| (account.merchant, account.name)).collect(),
            at_ms: office.now_ms(),
            ids: SystemIds::new(),
            seen: HashMap::new(),
        })
    }

    /// A line's registration, or everything that is wrong with it.
    pub(crate) fn registration(&mut self, line: &[u8]) -> Result<Box<Registration>, Vec<String>> {
        let body = json::read(line).map_err(|fault| vec![format!("is not JSON: {fault}")])?;
        let merchant = self.merchant(body).map_err(|complaint| vec![complaint])?;
        let origin = Origin { merchant, actor: ACTOR, at_ms: self.at_ms, ids: &self.ids };
        let read = registration::read_line(body, &origin);
        let mut registration = read.map_err(|faults| {
            let complaints = faults.into_iter();
            complaints
                .map(|fault| format!("{} {}", fault.pointer, fault.message))
                .collect::<Vec<_>>()
        })?;
        let account = (merchant, registration.connector.clone());
        if registration::names_account(&registration) && !self.accounts.contains(&account) {
            let fault = registration::account_unknown();
            return Err(vec![format!("{} {}", fault.pointer, fault.message)]);
        }
        if !has(body, "id") && registration.external_identifier.is_none() {
            let created_at_ms =
                if has(body, "created_at") { registration.created_at_ms } else { UNDATED_MS };
            registration.payment = self.identity(&registration, created_at_ms);
        }
        Ok(Box::new(registration))
    }

    fn merchant(&self, body: Json<'_>) -> Result<MerchantId, String> {
        let named = body.object().and_then(|object| object.member("merchant"));
        let text = match named.filter(|value| !value.is_null()) {
            None => {
                let rule = "names no merchant; add one to it, or give --merchant for all lines";
                return self.only.ok_or_else(|| rule.to_owned());
            }
            Some(value) => value.string().unwrap_or_default(),
        };
        let canonical = parse_uuid(&text).map(requite_core::id::uuid_text);
        let found = self.merchants.get(canonical.as_ref().unwrap_or(&text)).copied();
        match (found, self.only) {
            (Some(found), Some(only)) if found != only => {
                Err("names another merchant than --merchant does".to_owned())
            }
            (Some(found), _) => Ok(found),
            (None, _) => Err("/merchant is no merchant's id or slug".to_owned()),
        }
    }

    /// An id that the same content gets again in the next run: a UUID (version 8) of its creation
    /// time and a hash.
    fn identity(&mut self, registration: &Registration, created_at_ms: i64) -> PaymentId {
        let merchant = registration.merchant.bits().to_be_bytes();
        let content = digest(&[&merchant, &registration.fingerprint]);
        let seen = self.seen.entry(content).or_default();
        let hash = u128::from_be_bytes(digest(&[b"import", &content, &seen.to_be_bytes()]));
        *seen = seen.saturating_add(1);
        let time = u128::try_from(created_at_ms).unwrap_or_default() & ((1 << 48) - 1);
        let fixed = (time << 80) | (0x8 << 76) | (0b10 << 62);
        let free = (0xfff_u128 << 64) | (u128::from(u64::MAX) >> 2);
        PaymentId::new(fixed | (hash & free))
    }
}

fn has(body: Json<'_>, name: &str) -> bool {
    let object = body.object();
    let member = object.and_then(|object| object.member(name));
    member.is_some_and(|value| !value.is_null())
}

/// Reads a file of JSON Lines to its end. Empty lines are passed over.
pub(super) fn read(
    file: Box<dyn Read + Send>,
    mut reader: Reader,
    sender: &SyncSender<Batch>,
) -> anyhow::Result<()> {
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut collector = Collector::new(sender);
    let (mut line, mut bytes) = (0_u64, 0_u64);
    let mut text = Vec::new();
    loop {
        let read = take_line(&mut file, &mut text)?;
        if read == 0 {
            break;
        }
        line = line.saturating_add(1);
        bytes = bytes.saturating_add(read);
        if text.trim_ascii().is_empty() {
            continue;
        }
        let registration = if text.len() > LINE_BYTES_MAX {
            Err(vec![format!("is longer than {LINE_BYTES_MAX} bytes")])
        } else {
            reader.registration(text.trim_ascii())
        };
        if !collector.add(Item { line, registration }, bytes) {
            return Ok(());
        }
    }
    collector.send(bytes);
    Ok(())
}

/// Reads up to and with the next line end, and returns how many bytes that were; of a line that is
/// too long only the beginning is kept.
fn take_line(file: &mut impl BufRead, text: &mut Vec<u8>) -> std::io::Result<u64> {
    text.clear();
    let mut read = 0_u64;
    loop {
        let here = file.fill_buf()?;
        let end = here.iter().position(|&byte| byte == b'\n');
        let length = end.map_or(here.len(), |end| end + 1);
        let room = (LINE_BYTES_MAX + 2).saturating_sub(text.len());
        text.extend_from_slice(&here[..length.min(room)]);
        read = read.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        file.consume(length);
        if length == 0 || end.is_some() {
            return Ok(read);
        }
    }
}
