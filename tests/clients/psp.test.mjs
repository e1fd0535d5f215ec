// `requite psp` as a Stripe that Stripe's own clients believe: the official SDK and the official command line.
// No server takes part but the simulator.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { promisify } from "node:util";

import Stripe from "stripe";

import { access, eventually } from "./shop.mjs";

const KEY = "sk_test_requite0001";

const psp = spawn(access.requite, ["psp", "--listen", "127.0.0.1:0"], {
  stdio: ["ignore", "pipe", "inherit"],
});
after(() => psp.kill());
const [ready] = await once(createInterface({ input: psp.stdout }), "line");
const url = ready.replace("listening on ", "");
const { hostname: host, port } = new URL(url);
const stripe = new Stripe(KEY, { host, port, protocol: "http", maxNetworkRetries: 0 });

async function control(path, body) {
  const init = body && { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`${url}/_psp/${path}`, init);
  assert.equal(response.status, 200);
  return response.json();
}

const script = (...rules) => control("script", { rules });

const charge = (fields = {}) =>
  stripe.charges.create({ amount: 5000, currency: "usd", source: "tok_visa", ...fields });

// Stripe's command line keeps its settings in the home directory; it gets one of its own.
const home = mkdtempSync(join(tmpdir(), "requite-stripe-cli-"));
after(() => rmSync(home, { recursive: true, force: true }));
const run = promisify(execFile);
async function cli(...words) {
  const line = [...words, "--api-base", url, "--api-key", KEY];
  const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: home, STRIPE_CLI_TELEMETRY_OPTOUT: "1" };
  const { stdout } = await run(join("node_modules", ".bin", "stripe"), line, { env });
  return JSON.parse(stdout);
}

test("psp: the SDK charges, refunds, reads, pages and updates", async () => {
  const made = await charge();
  assert.equal(made.status, "succeeded");
  const amounts = [700, 800, 900];
  for (const amount of amounts) {
    await stripe.refunds.create({ charge: made.id, amount, metadata: { amount: String(amount) } });
  }
  const seen = [];
  for await (const refund of stripe.refunds.list({ charge: made.id, limit: 2 })) seen.push(refund);
  assert.deepEqual(seen.map((refund) => refund.amount), [900, 800, 700], "newest first");
  const updated = await stripe.refunds.update(seen[0].id, { metadata: { note: "späte Rückgabe" } });
  assert.deepEqual(updated.metadata, { amount: "900", note: "späte Rückgabe" });
  const shown = await stripe.refunds.retrieve(seen[0].id, { expand: ["charge"] });
  assert.equal(shown.charge.amount_refunded, 2400);
  const balance = await stripe.balance.retrieve();
  assert.equal(balance.available[0].amount, 2600);
});

test("psp: the SDK refunds a payment intent, held and captured in part", async () => {
  const intent = await stripe.paymentIntents.create({
    amount: 5000,
    currency: "eur",
    payment_method: "pm_card_visa",
    capture_method: "manual",
    confirm: true,
  });
  assert.equal(intent.status, "requires_capture");
  const taken = await stripe.paymentIntents.capture(intent.id, { amount_to_capture: 3000 });
  assert.deepEqual([taken.status, taken.amount_received], ["succeeded", 3000]);
  const refund = await stripe.refunds.create({ payment_intent: intent.id });
  assert.deepEqual([refund.amount, refund.payment_intent], [3000, intent.id]);
});

test("psp: the SDK knows every error by its class", async () => {
  const { id } = await charge();
  const caught = async (what) => what.then(assert.fail, (error) => error);
  const more = await caught(stripe.refunds.create({ charge: id, amount: 5001 }));
  assert.deepEqual([more.type, more.param, more.code], ["StripeInvalidRequestError", "amount", undefined]);
  const declined = await caught(charge({ source: "tok_chargeDeclinedInsufficientFunds" }));
  assert.deepEqual([declined.type, declined.decline_code], ["StripeCardError", "insufficient_funds"]);
  const missing = await caught(stripe.refunds.retrieve("re_nope"));
  assert.deepEqual([missing.statusCode, missing.code], [404, "resource_missing"]);
  const idempotencyKey = "one";
  await stripe.refunds.create({ charge: id, amount: 1 }, { idempotencyKey });
  const other = await caught(stripe.refunds.create({ charge: id, amount: 2 }, { idempotencyKey }));
  assert.equal(other.type, "StripeIdempotencyError");
  const stranger = new Stripe("sk_live_0123456789abcdef", { host, port, protocol: "http" });
  assert.equal((await caught(stranger.refunds.list())).type, "StripeAuthenticationError");
  await script({ on: "refund.create", times: 1, answer: { error: { status: 429 } } });
  assert.equal((await caught(stripe.refunds.create({ charge: id }))).type, "StripeRateLimitError");
  assert.match(more.requestId, /^req_/);
});

test("psp: the SDK's own retries pay once, whatever is lost", async () => {
  const retrying = new Stripe(KEY, { host, port, protocol: "http", maxNetworkRetries: 3 });
  for (const answer of ["lost", "reset", { error: { status: 409 } }]) {
    const { id } = await charge();
    await script({ on: "refund.create", charge: id, times: 2, answer });
    await retrying.refunds.create({ charge: id, amount: 1200 });
    const { data } = await stripe.refunds.list({ charge: id });
    assert.deepEqual(data.map((refund) => refund.amount), [1200], JSON.stringify(answer));
  }
  const books = await control("books");
  assert.deepEqual([books.doubled, books.overpaid], [[], []]);
});

test("psp: webhooks are what the SDK's verifier takes, and come again until they are taken", async () => {
  const heard = [];
  const hook = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      heard.push({ body: Buffer.concat(parts), signature: request.headers["stripe-signature"] });
      response.writeHead(heard.length === 1 ? 500 : 200).end();
    });
  });
  await new Promise((listening) => hook.listen(0, "127.0.0.1", listening));
  after(() => hook.close());
  const endpoint = await stripe.webhookEndpoints.create({
    url: `http://127.0.0.1:${hook.address().port}/`,
    enabled_events: ["refund.created", "refund.failed"],
  });
  const { id } = await charge({ source: "tok_refundFail" });
  const refund = await stripe.refunds.create({ charge: id });
  const event = ({ body, signature }) =>
    stripe.webhooks.constructEvent(body, signature, endpoint.secret);
  await eventually(async () => heard.length, (count) => count >= 3);
  const kinds = heard.map((post) => event(post).type);
  assert.deepEqual(kinds, ["refund.created", "refund.created", "refund.failed"]);
  assert.equal(event(heard[0]).id, event(heard[1]).id, "the same event again");
  assert.equal(event(heard[2]).data.object.id, refund.id);
  assert.throws(() => stripe.webhooks.constructEvent(heard[0].body, heard[0].signature, "whsec_other"));
  const again = await stripe.events.retrieve(event(heard[2]).id);
  assert.equal(again.type, "refund.failed");
  assert.equal((await stripe.webhookEndpoints.del(endpoint.id)).deleted, true);
});

test("psp: Stripe's command line creates, reads and lists refunds and events", async () => {
  const { id } = await charge();
  const made = await cli("refunds", "create", "--charge", id, "--amount", "1500", "-d", "metadata[order]=7");
  assert.deepEqual([made.object, made.amount, made.metadata], ["refund", 1500, { order: "7" }]);
  const shown = await cli("refunds", "retrieve", made.id);
  assert.equal(shown.status, "succeeded");
  const listed = await cli("refunds", "list", "--charge", id, "--limit", "5");
  assert.deepEqual(listed.data.map((refund) => refund.id), [made.id]);
  const events = await cli("events", "list", "--limit", "1", "--type", "refund.created");
  assert.equal(events.data[0].data.object.id, made.id);
  const event = await cli("events", "retrieve", events.data[0].id);
  assert.equal(event.type, "refund.created");
  const balance = await cli("balance", "retrieve");
  assert.equal(balance.object, "balance");
});
