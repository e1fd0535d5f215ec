// @medusajs/js-sdk on what surrounds a refund: reasons, payment collections, providers, API keys, and the
// three ways in which the SDK says who asks. See medusa_v2.test.mjs for refunds.

import assert from "node:assert/strict";
import { test } from "node:test";

import Medusa, { FetchError } from "@medusajs/js-sdk";

import { access, mounts, registered } from "./shop.mjs";

const ULID = "[0-9A-HJKMNP-TV-Z]{26}";
const NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

function fetchError(status, message) {
  return (error) => {
    assert.ok(error instanceof FetchError, `${error}`);
    assert.deepEqual([error.status, error.message], [status, message]);
    return true;
  };
}

async function payment(fields) {
  const { ids } = await registered(fields);
  return ids.medusa;
}

/** The id of an order that a payment of it makes known. */
async function order(where) {
  const id = `order_${where.replaceAll(/[^a-z0-9]/g, "_")}_${Math.random().toString(36).slice(2)}`;
  await registered({ order: id });
  return id;
}

/** Runs `work` with a fetch that keeps cookies, as a browser's does. */
async function inBrowser(work) {
  const plain = globalThis.fetch;
  const kept = new Map();
  globalThis.fetch = async (input, init) => {
    const headers = new Headers(init.headers);
    const cookies = [...kept].map(([name, value]) => `${name}=${value}`);
    if (cookies.length > 0) headers.set("cookie", cookies.join("; "));
    const answer = await plain(input, { ...init, headers });
    for (const cookie of answer.headers.getSetCookie()) {
      const [name, value] = cookie.split(";")[0].split("=");
      kept.set(name, value);
    }
    return answer;
  };
  try {
    await work();
  } finally {
    globalThis.fetch = plain;
  }
}

for (const { where, url } of mounts("/medusa/v2")) {
  const medusa = new Medusa({ baseUrl: url, apiKey: access.medusa_v2 });
  const { refundReason: reasons, paymentCollection: collections, apiKey: keys } = medusa.admin;

  test(`v2 ${where}: refund reasons are made, read, changed, found and deleted`, async () => {
    const code = `code_${Math.random().toString(36).slice(2)}`;
    const { refund_reason: made } = await reasons.create({ label: "Late", code });
    assert.match(made.id, new RegExp(`^refr_${ULID}$`));
    assert.deepEqual([made.label, made.code, made.description], ["Late", code, null]);

    const { refund_reason: read } = await reasons.retrieve(made.id, { fields: "id,code" });
    assert.deepEqual(read, { id: made.id, code });

    const { refund_reason: changed } = await reasons.update(made.id, { description: "Weeks late" });
    assert.deepEqual([changed.label, changed.description], ["Late", "Weeks late"]);

    const found = await reasons.list({ q: code, order: "-created_at", limit: 5 });
    assert.deepEqual([found.count, found.offset, found.limit], [1, 0, 5]);
    assert.deepEqual(found.refund_reasons.map(({ id }) => id), [made.id]);

    const gone = { id: made.id, object: "refund_reason", deleted: true };
    assert.deepEqual(await reasons.delete(made.id), gone);
    assert.deepEqual(await reasons.delete(made.id), gone);
    assert.equal((await reasons.list({ q: code })).count, 0);
    const unknown = fetchError(404, `RefundReason with id "${made.id}" not found`);
    await assert.rejects(reasons.retrieve(made.id), unknown);
    await assert.rejects(reasons.update(made.id, { label: "x" }), unknown);
  });

  test(`v2 ${where}: a refund keeps the id of its reason when that is deleted`, async () => {
    const id = await payment();
    const { refund_reason } = await reasons.create({ label: "Once", code: "once" });
    await medusa.admin.payment.refund(id, { amount: 1, refund_reason_id: refund_reason.id });

    await reasons.delete(refund_reason.id);

    const { payment: read } = await medusa.admin.payment.retrieve(id);
    assert.equal(read.refunds[0].refund_reason_id, refund_reason.id);
    assert.equal(read.refunds[0].refund_reason, null);
  });

  test(`v2 ${where}: a reason that does not fit is refused`, async () => {
    for (const [body, message] of [
      [{ code: "x" }, "Field 'label' is required"],
      [{ label: null, code: "x" }, "Expected type: 'string' for field 'label', got: 'null'"],
      [{ label: "a", code: "b", foo: 1 }, "Unrecognized fields: 'foo'"],
    ]) {
      await assert.rejects(reasons.create(body), fetchError(400, `Invalid request: ${message}`));
    }
  });

  test(`v2 ${where}: what is sent twice with one key is made once`, async () => {
    const code = `code_${Math.random().toString(36).slice(2)}`;
    const key = { "idempotency-key": `reason-${code}` };
    const first = await reasons.create({ label: "Late", code }, {}, key);
    assert.deepEqual(await reasons.create({ code, label: "Late" }, {}, key), first);
    assert.equal((await reasons.list({ q: code })).count, 1);
    await assert.rejects(
      reasons.create({ label: "Later", code }, {}, key),
      (error) => error instanceof FetchError && error.status === 422,
    );
  });

  test(`v2 ${where}: a collection is asked for an order, marked as paid, and refunded`, async () => {
    const order_id = await order(where);
    const { payment_collection: asked } = await collections.create({ order_id, amount: 60.5 });
    assert.deepEqual(asked, {
      id: asked.id,
      currency_code: "usd",
      amount: 60.5,
      status: "not_paid",
      authorized_amount: null,
      captured_amount: null,
      refunded_amount: null,
      payment_sessions: [],
      payments: [],
    });
    assert.match(asked.id, new RegExp(`^pay_col_${ULID}$`));

    const { payment_collection: paid } = await collections.markAsPaid(asked.id, { order_id });
    assert.equal(paid.status, "completed");
    assert.deepEqual([paid.authorized_amount, paid.captured_amount, paid.refunded_amount], [60.5, 60.5, 0]);
    const [{ id, provider_id }] = paid.payments;
    assert.equal(provider_id, "pp_system_default");
    assert.equal(paid.payment_sessions[0].payment.id, id);

    await medusa.admin.payment.refund(id, { amount: 20 });
    const { payment: read } = await medusa.admin.payment.retrieve(id, {
      fields: "*payment_collection,payment_collection.order.id",
    });
    assert.equal(read.payment_collection.id, asked.id);
    assert.equal(read.payment_collection.refunded_amount, 20);
    assert.equal(read.payment_collection.order.id, order_id);

    await assert.rejects(
      collections.markAsPaid(asked.id, { order_id }),
      fetchError(400, "Can only mark 'not_paid' payment collection as paid"),
    );
    await assert.rejects(
      collections.delete(asked.id),
      fetchError(400, "Can only delete payment collections where status is not_paid"),
    );
  });

  test(`v2 ${where}: however often a collection is marked as paid, it is paid once`, async () => {
    const order_id = await order(where);
    const { payment_collection } = await collections.create({ order_id, amount: 10 });
    const mark = (key) =>
      collections.markAsPaid(payment_collection.id, { order_id }, {}, { "idempotency-key": key });

    const answers = await Promise.allSettled(
      Array.from({ length: 8 }, (_, number) => mark(`${order_id}-${number % 2}`)),
    );

    const made = answers.filter(({ status }) => status === "fulfilled");
    assert.equal(made.length, 4, "one key made it, and its repeats are told so");
    for (const { value } of made) assert.deepEqual(value, made[0].value);
  });

  test(`v2 ${where}: a collection has a session, and is deleted while it is not paid`, async () => {
    const order_id = await order(where);
    const { payment_collection: asked } = await collections.create({ order_id, amount: 1 });

    const { payment_collection: opened } = await collections.createPaymentSession(asked.id, {
      provider_id: "pp_system_default",
    });
    assert.equal(opened.payment_sessions[0].status, "pending");
    assert.equal(opened.payment_sessions[0].payment, null);

    const gone = { id: asked.id, object: "payment-collection", deleted: true };
    assert.deepEqual(await collections.delete(asked.id), gone);
    const unknown = fetchError(404, `PaymentCollection id not found: ${asked.id}`);
    await assert.rejects(collections.delete(asked.id), unknown);
    await assert.rejects(collections.markAsPaid(asked.id, { order_id }), unknown);
  });

  test(`v2 ${where}: an order that nobody knows is asked for nothing`, async () => {
    await assert.rejects(
      collections.create({ order_id: "order_nope", amount: 1 }),
      fetchError(404, "Order id not found: order_nope"),
    );
  });

  test(`v2 ${where}: providers are listed`, async () => {
    const { payment_providers, count } = await medusa.admin.payment.listPaymentProviders();
    assert.deepEqual(payment_providers, [
      { id: "pp_sandbox_sandbox", is_enabled: true },
      { id: "pp_system_default", is_enabled: true },
    ]);
    assert.equal(count, 2);
    const disabled = await medusa.admin.payment.listPaymentProviders({ is_enabled: false });
    assert.deepEqual(disabled.payment_providers, []);
  });

  test(`v2 ${where}: an API key opens what its maker may, until it is revoked`, async () => {
    const id = await payment();
    const { api_key: made } = await keys.create({ title: "Refunds", type: "secret" });
    assert.match(made.token, /^sk_[0-9a-f]{64}$/);
    const holder = new Medusa({ baseUrl: url, apiKey: made.token });

    await holder.admin.payment.refund(id, { amount: 5 });
    const { payment: read } = await medusa.admin.payment.retrieve(id, { fields: "*refunds" });
    assert.equal(read.refunds[0].created_by, made.id);

    const { api_key: revoked } = await keys.revoke(made.id);
    assert.equal(revoked.token, "");
    assert.ok(revoked.revoked_at);
    await assert.rejects(
      holder.admin.payment.refund(id, { amount: 5 }),
      fetchError(401, "Unauthorized"),
    );
    await assert.rejects(
      keys.revoke(`apk_${NOBODY}`),
      fetchError(404, `ApiKey with id: apk_${NOBODY} was not found`),
    );
  });

  test(`v2 ${where}: in jwt mode the token is sent, refreshed and forgotten`, async () => {
    const id = await payment();
    const person = new Medusa({
      baseUrl: url,
      auth: { type: "jwt", jwtTokenStorageMethod: "memory" },
    });
    const token = await person.auth.login("user", "emailpass", access.person);
    assert.equal(token.split(".").length, 3);
    await person.admin.payment.refund(id, { amount: 1 });

    const refreshed = await person.auth.refresh();
    assert.equal(refreshed.token.split(".").length, 3);
    await person.admin.payment.refund(id, { amount: 1 });

    await person.auth.logout();
    await assert.rejects(
      person.admin.payment.refund(id, { amount: 1 }),
      fetchError(401, "Unauthorized"),
    );
  });

  test(`v2 ${where}: in session mode a cookie stands for the person, until the log-out`, async () => {
    const id = await payment();
    await inBrowser(async () => {
      const person = new Medusa({ baseUrl: url, auth: { type: "session" } });
      await assert.rejects(
        person.auth.login("user", "emailpass", { ...access.person, password: "not the password" }),
        fetchError(401, "Invalid email or password"),
      );
      await person.auth.login("user", "emailpass", access.person);

      const { payment: refunded } = await person.admin.payment.refund(
        id,
        { amount: 5 },
        { fields: "*refunds" },
      );
      assert.match(refunded.refunds[0].created_by, new RegExp(`^user_${ULID}$`));

      await person.auth.logout();
      await assert.rejects(
        person.admin.payment.refund(id, { amount: 5 }),
        fetchError(401, "Unauthorized"),
      );
    });
  });
}
