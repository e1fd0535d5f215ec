// Two programs that stand in for Stripe, written by others: stripe-stateful-mock, which honours
// idempotency keys and refuses over-refunds, and localstripe, which does neither. Behind the Loop face,
// whose refunds are Stripe's. Their books are the judge of what was paid.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { after, test } from "node:test";

import { access, eventually, registered, relay } from "./shop.mjs";

const require = createRequire(import.meta.url);
const KEY = "sk_test_requite0001";

/** Adds a connector account for a stand-in; the program runs beside the server on the same store. */
function account(name, baseUrl, ...more) {
  const words = ["connector", "add", "--merchant", access.slug, "--kind", "stripe"];
  words.push("--name", name, "--base-url", baseUrl, "--database", access.database, ...more);
  execFileSync(access.requite, words, { input: KEY });
}

/** A request to a stand-in, as Stripe's clients make it. */
async function stripe(base, method, path, form) {
  const response = await fetch(base + path, {
    method,
    headers: { authorization: `Bearer ${KEY}` },
    body: form && new URLSearchParams(form),
  });
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return body;
}

/** A refund through the Loop face. */
async function refund(body, key) {
  const response = await fetch(`${access.url}/loop/v1/admin/refunds`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${access.loop}`,
      "content-type": "application/json",
      ...(key && { "idempotency-key": key }),
    },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

/**
 * A way to a stand-in that can be told to lose the answers to POSTs (they are carried out, then the
 * connection breaks), or to be gone. `posts` counts those that arrived.
 */
async function way(port) {
  const way = { posts: 0, loses: 0 };
  const server = relay({ host: "127.0.0.1", port }, ({ method }) => {
    const isPost = method === "POST";
    way.posts += isPost;
    const isLost = isPost && way.loses > 0;
    if (isLost) way.loses -= 1;
    return isLost;
  });
  const listen = (port) => new Promise((listening) => server.listen(port, "127.0.0.1", listening));
  await listen(0);
  const { port: own } = server.address();
  way.url = `http://127.0.0.1:${own}`;
  way.close = () => {
    server.closeAllConnections();
    return new Promise((closed) => server.close(closed));
  };
  way.reopen = () => listen(own);
  after(() => server.listening && way.close());
  return way;
}

// stripe-stateful-mock, in this process.
process.env.LOG_LEVEL = "silent";
const mock = require("stripe-stateful-mock").createExpressApp().listen(0, "127.0.0.1");
await once(mock, "listening");
after(() => mock.close());
const toMock = await way(mock.address().port);
account("mock", toMock.url);

// localstripe, in a process of its own.
const local = spawn(access.python, ["localstripe_loopback.py"], { stdio: ["ignore", "pipe", "ignore"] });
after(() => local.kill());
const [port] = await once(local.stdout, "data");
const toLocal = await way(Number(port));
account("local", toLocal.url, "--no-reason");

/** A captured charge at the mock, registered with us. */
async function charge(fields = {}) {
  const made = await stripe(toMock.url, "POST", "/v1/charges", {
    amount: 10000,
    currency: "usd",
    source: "tok_visa",
  });
  toMock.posts = 0;
  await registered({ connector: "mock", connector_payment: made.id, ...fields });
  return made.id;
}

async function refunded(base, id) {
  const { data } = await stripe(base, "GET", `/v1/refunds?charge=${id}&limit=100`);
  return data.map((refund) => refund.amount);
}

test("stripe: a refund is paid once, under Stripe's id, with our mark and the reason", async () => {
  const id = await charge();
  const made = await refund({ charge_id: id, amount_cents: 4000, reason: "duplicate" });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  assert.equal(made.body.status, "succeeded");
  const shown = await stripe(toMock.url, "GET", `/v1/refunds/${made.body.stripe_refund_id}`);
  assert.equal(shown.amount, 4000);
  assert.equal(shown.reason, "duplicate");
  assert.match(shown.metadata.requite_refund, /^[0-9a-f-]{36}$/);
  const rest = await refund({ charge_id: id, full: true });
  assert.equal(rest.body.amount_cents, 6000);
  assert.deepEqual((await refunded(toMock.url, id)).sort(), [4000, 6000]);
  assert.equal((await refund({ charge_id: id, full: true })).status, 409);
  assert.equal(toMock.posts, 2, "what is refused here is not asked there");
});

test("stripe: a lost answer is looked up, never sent again, and a retry joins", async () => {
  const id = await charge();
  toMock.loses = 1;
  const first = await refund({ charge_id: id, amount_cents: 2500 }, "once");
  assert.ok([201, 503].includes(first.status), JSON.stringify(first.body));
  const last = await eventually(
    () => refund({ charge_id: id, amount_cents: 2500 }, "once"),
    (answer) => answer.status === 201,
  );
  assert.equal(last.status, 201, JSON.stringify(last.body));
  assert.deepEqual(await refunded(toMock.url, id), [2500]);
  assert.equal(toMock.posts, 1);
});

test("stripe: while it cannot be reached nothing is unknown, and later it is paid once", async () => {
  const id = await charge();
  await toMock.close();
  const first = await refund({ charge_id: id, amount_cents: 700 }, "late");
  assert.equal(first.status, 503, JSON.stringify(first.body));
  await toMock.reopen();
  const last = await eventually(
    () => refund({ charge_id: id, amount_cents: 700 }, "late"),
    (answer) => answer.status === 201,
  );
  assert.equal(last.status, 201, JSON.stringify(last.body));
  assert.deepEqual(await refunded(toMock.url, id), [700]);
});

test("stripe: what was given back behind our back is told as Stripe tells it", async () => {
  const id = await charge();
  await stripe(toMock.url, "POST", "/v1/refunds", { charge: id });
  const refused = await refund({ charge_id: id, full: true });
  assert.equal(refused.status, 409, JSON.stringify(refused.body));
  assert.equal(refused.body.error, "already_refunded");
});

/** A captured charge at localstripe. */
async function localCharge() {
  const base = toLocal.url;
  const customer = await stripe(base, "POST", "/v1/customers", { description: "x" });
  const card = {
    "card[number]": "4242424242424242",
    "card[exp_month]": "12",
    "card[exp_year]": "2040",
    "card[cvc]": "123",
  };
  const token = await stripe(base, "POST", "/v1/tokens", card);
  await stripe(base, "POST", `/v1/customers/${customer.id}/sources`, { source: token.id });
  const form = { amount: 10000, currency: "usd", customer: customer.id };
  const made = await stripe(base, "POST", "/v1/charges", form);
  toLocal.posts = 0;
  await registered({ connector: "local", connector_payment: made.id });
  return made.id;
}

test("localstripe would pay too much and twice: the limit and the once are ours", async () => {
  const id = await localCharge();
  // Forty wishes for 3,000 of 10,000 at once, each with a key of its own, each sent twice, with every
  // other answer lost on the way.
  toLocal.loses = 2;
  const wishes = Array.from({ length: 40 }, (_, n) => n);
  const ask = (n) => refund({ charge_id: id, amount_cents: 3000, reason: "duplicate" }, `wish ${n}`);
  await Promise.all(wishes.flatMap((n) => [ask(n), ask(n)]));
  const ended = [];
  for (const n of wishes) {
    ended.push(await eventually(() => ask(n), ({ status, body }) => status === 201 || (status !== 503 && body.error !== "conflict")));
  }
  const paid = ended.filter((answer) => answer.status === 201);
  assert.equal(paid.length, 3, JSON.stringify(ended.map((answer) => answer.status)));
  assert.deepEqual(await refunded(toLocal.url, id), [3000, 3000, 3000]);
  assert.equal(toLocal.posts, 3);
});
