// @medusajs/medusa-js beside payments: sessions, orders and return reasons.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import Medusa from "@medusajs/medusa-js";

import { access, losesFirstAnswer, mounts, registered } from "./shop.mjs";

/** Is it an axios error with this status and, in its body, these members? */
function refused(status, body) {
  return (error) => {
    assert.equal(error.response?.status, status, `${error}`);
    if (typeof body === "string") assert.equal(error.response.data, body);
    else assert.deepEqual({ ...error.response.data, ...body }, error.response.data);
    return true;
  };
}

/** Payments of one new order, captured, of so many minor units each; the order's id. */
async function ordered(amounts, fields = {}) {
  const order = `order_${randomUUID()}`;
  for (const amount of amounts) {
    await registered({ amount, captures: [{ amount }], order, ...fields });
  }
  return order;
}

for (const { where, url } of mounts("/medusa/v1")) {
  const medusa = new Medusa({ baseUrl: url, apiKey: access.medusa_v1, maxRetries: 0 });
  const { orders, payments, returnReasons } = medusa.admin;

  test(`v1 ${where}: a person logs in for a session, refunds with it, and logs out`, async () => {
    const { ids } = await registered();
    const person = new Medusa({ baseUrl: url, maxRetries: 0 });

    const made = await person.admin.auth.createSession(access.person);
    assert.equal(made.user.email, access.person.email);
    assert.match(made.user.id, /^usr_/);
    // A browser keeps the cookie; elsewhere callers pass it on.
    const [set] = made.response.headers["set-cookie"];
    assert.match(set, /^connect\.sid=[^;]+; Path=\/; Expires=[^;]+ GMT; HttpOnly; SameSite=Lax$/);
    const session = { cookie: set.split(";")[0] };

    const { user } = await person.admin.auth.getSession(session);
    assert.deepEqual(user, made.user);
    const body = { amount: 5, reason: "return" };
    const { refund } = await person.admin.payments.refundPayment(ids.medusa, body, session);
    assert.equal(refund.amount, 5);

    const ended = await person.admin.auth.deleteSession(session);
    assert.equal(ended.response.status, 200);
    const unauthorized = refused(401, "Unauthorized");
    await assert.rejects(person.admin.auth.getSession(session), unauthorized);
    await assert.rejects(person.admin.payments.refundPayment(ids.medusa, body, session), unauthorized);
    await assert.rejects(
      person.admin.auth.createSession({ ...access.person, password: "wrong" }),
      unauthorized,
    );
  });

  test(`v1 ${where}: an order is refunded from its payments, oldest first`, async () => {
    const id = await ordered([3000, 7000]);

    const { order } = await orders.refundPayment(id, { amount: 5000, reason: "return", note: "n" });
    assert.equal(order.payment_status, "partially_refunded");
    assert.deepEqual(order.payments.map((payment) => payment.amount_refunded), [3000, 2000]);
    assert.deepEqual(
      order.refunds.map(({ amount, payment_id, note }) => ({ amount, payment_id, note })),
      [{ amount: 5000, payment_id: null, note: "n" }],
    );
    await assert.rejects(
      orders.refundPayment(id, { amount: 5001, reason: "other" }),
      refused(400, {
        type: "not_allowed",
        message: "Cannot refund more than the original order amount",
      }),
    );
    await orders.refundPayment(id, { amount: 5000, reason: "other", no_notification: true });

    const query = { fields: "id,payment_status,refunded_total,refundable_amount", expand: "refunds" };
    const read = await orders.retrieve(id, query);
    assert.equal(read.order.payment_status, "refunded");
    assert.equal(read.order.refunded_total, 10000);
    assert.equal(read.order.refundable_amount, 0);
    assert.equal(read.order.refunds.length, 2);
  });

  test(`v1 ${where}: an order is captured and then refunded`, async () => {
    const id = await ordered([10000], { captures: [] });
    await assert.rejects(
      orders.refundPayment(id, { amount: 100, reason: "return" }),
      refused(400, {
        type: "not_allowed",
        message: "Refund amount is greater that the refundable amount",
      }),
    );

    const { order } = await orders.capturePayment(id);
    assert.equal(order.payment_status, "captured");
    const made = await orders.refundPayment(id, { amount: 10000, reason: "return" });
    assert.equal(made.order.payment_status, "refunded");
  });

  test(`v1 ${where}: an answer to an order's refund is lost, and the money moves once`, async (t) => {
    const id = await ordered([3000, 7000]);
    const way = await losesFirstAnswer();
    t.after(way.close);
    const retrying = new Medusa({
      baseUrl: url.replace(access.url, way.url),
      apiKey: access.medusa_v1,
      maxRetries: 2,
    });

    const { order } = await retrying.admin.orders.refundPayment(id, { amount: 4000, reason: "swap" });

    assert.equal(way.sent, 2);
    assert.equal(order.refunded_total, 4000);
    const read = await orders.retrieve(id);
    assert.equal(read.order.refunded_total, 4000);
    assert.equal(read.order.refunds.length, 1);
  });

  test(`v1 ${where}: another merchant's order is not found`, async () => {
    const id = await ordered([1000]);
    const other = new Medusa({ baseUrl: url, apiKey: access.other.medusa_v1, maxRetries: 0 });
    const unknown = refused(404, {
      type: "not_found",
      message: `Order with id: ${id} was not found`,
    });
    await assert.rejects(other.admin.orders.retrieve(id), unknown);
    await assert.rejects(other.admin.orders.refundPayment(id, { amount: 1, reason: "other" }), unknown);
    await assert.rejects(other.admin.orders.capturePayment(id), unknown);
  });

  test(`v1 ${where}: a captured payment is captured once under its key`, async () => {
    const { ids } = await registered({ captures: [] });
    const key = { "Idempotency-Key": `capture-${ids.medusa}-${where}` };
    const first = await payments.capturePayment(ids.medusa, key);
    await payments.refundPayment(ids.medusa, { amount: 1, reason: "other" });
    const again = await payments.capturePayment(ids.medusa, key);
    assert.deepEqual(again.payment, first.payment);
    assert.equal(again.response.headers["idempotent-replayed"], "true");
  });

  test(`v1 ${where}: return reasons are kept`, async () => {
    const value = `damaged-${randomUUID()}`;
    const { return_reason: made } = await returnReasons.create({ value, label: "Damaged" });
    assert.match(made.id, /^rr_[0-9A-HJKMNP-TV-Z]{26}$/);
    await assert.rejects(
      returnReasons.create({ value, label: "Again" }),
      refused(422, {
        type: "duplicate_error",
        message: `Return_reason with value ${value} already exists.`,
      }),
    );
    const { return_reason: changed } = await returnReasons.update(made.id, { description: "broken" });
    assert.equal(changed.description, "broken");
    const read = await returnReasons.retrieve(made.id);
    assert.deepEqual(read.return_reason, changed);
    const listed = await returnReasons.list();
    assert.ok(listed.return_reasons.some(({ id }) => id === made.id));
    const gone = await returnReasons.delete(made.id);
    assert.equal(gone.deleted, true);
    await assert.rejects(
      returnReasons.retrieve(made.id),
      refused(404, { message: `Return Reason with id: ${made.id} was not found.` }),
    );
  });
}
