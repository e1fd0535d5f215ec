// @medusajs/medusa-js, the official client of Medusa v1. Amounts are in minor units.

import assert from "node:assert/strict";
import { test } from "node:test";

import Medusa from "@medusajs/medusa-js";

import { access, losesFirstAnswer, mounts, registered } from "./shop.mjs";

/** What the SDK throws: an axios error that holds the answer. */
function axiosError(status, body) {
  return (error) => {
    assert.ok(error.isAxiosError, `${error}`);
    assert.deepEqual(error.response?.data, body);
    assert.equal(error.response.status, status);
    return true;
  };
}

async function payment(fields) {
  const { ids } = await registered(fields);
  return ids.medusa;
}

for (const { where, url } of mounts("/medusa/v1")) {
  const medusa = new Medusa({ baseUrl: url, apiKey: access.medusa_v1, maxRetries: 0 });
  const payments = medusa.admin.payments;

  test(`v1 ${where}: a full refund`, async () => {
    const id = await payment();

    const { refund } = await payments.refundPayment(id, { amount: 10000, reason: "return" });

    assert.match(refund.id, /^ref_[0-9A-HJKMNP-TV-Z]{26}$/);
    assert.match(refund.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    const { id: _id, created_at, updated_at, ...rest } = refund;
    assert.equal(updated_at, created_at);
    assert.deepEqual(rest, {
      order_id: null,
      payment_id: id,
      amount: 10000,
      note: null,
      reason: "return",
      metadata: null,
      idempotency_key: null,
    });
  });

  test(`v1 ${where}: partial refunds add up when the payment is read`, async () => {
    const order = `order_${where}`.replaceAll(/[^a-z_]/g, "");
    const id = await payment({ order });

    const first = await payments.refundPayment(id, {
      amount: 4000,
      reason: "discount",
      note: "box was open",
    });
    assert.equal(first.refund.note, "box was open");
    assert.equal(first.refund.order_id, order);
    await payments.refundPayment(id, { amount: 999, reason: "other" });

    const { payment: read } = await payments.retrieve(id);
    assert.equal(read.id, id);
    assert.equal(read.amount, 10000);
    assert.equal(read.amount_refunded, 4999);
    assert.equal(read.currency_code, "usd");
    assert.equal(read.order_id, order);
    assert.notEqual(read.captured_at, null);
  });

  test(`v1 ${where}: a payment is captured and then refunded`, async () => {
    const id = await payment({ captures: [] });
    await assert.rejects(
      payments.refundPayment(id, { amount: 1, reason: "other" }),
      axiosError(400, { type: "not_allowed", message: `Payment ${id} is not captured` }),
    );

    const captured = await payments.capturePayment(id);
    assert.notEqual(captured.payment.captured_at, null);

    const { refund } = await payments.refundPayment(id, { amount: 1, reason: "other" });
    assert.equal(refund.amount, 1);
  });

  test(`v1 ${where}: more than is left is refused, and nothing is refunded`, async () => {
    const id = await payment();
    const only = (left) =>
      axiosError(400, {
        type: "not_allowed",
        message: `Only ${left} can be refunded from Payment ${id}`,
      });

    await assert.rejects(payments.refundPayment(id, { amount: 10001, reason: "other" }), only(10000));
    await payments.refundPayment(id, { amount: 10000, reason: "other" });
    await assert.rejects(payments.refundPayment(id, { amount: 1, reason: "other" }), only(0));

    const { payment: read } = await payments.retrieve(id);
    assert.equal(read.amount_refunded, 10000);
  });

  test(`v1 ${where}: an unknown payment is not found`, async () => {
    const id = "pay_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const notFound = axiosError(404, {
      type: "not_found",
      message: `Payment with id ${id} was not found`,
    });

    await assert.rejects(payments.refundPayment(id, { amount: 1, reason: "other" }), notFound);
    await assert.rejects(payments.retrieve(id), notFound);
  });

  test(`v1 ${where}: another merchant's payment is not found either`, async () => {
    const id = await payment();
    const other = new Medusa({ baseUrl: url, apiKey: access.other.medusa_v1, maxRetries: 0 });
    await assert.rejects(
      other.admin.payments.refundPayment(id, { amount: 1, reason: "other" }),
      axiosError(404, { type: "not_found", message: `Payment with id ${id} was not found` }),
    );
  });

  test(`v1 ${where}: bodies that are no refund are refused`, async () => {
    const id = await payment();
    for (const [body, message] of [
      [{ amount: 0, reason: "other" }, "amount must not be less than 1"],
      [{ amount: -5, reason: "other" }, "amount must not be less than 1"],
      [{ amount: 10.5, reason: "other" }, "amount must be an integer number"],
      [{ amount: "1000", reason: "other" }, "amount must be an integer number"],
      [
        { amount: 1, reason: "broken" },
        "reason must be one of the following values: discount, return, swap, claim, other",
      ],
      [
        {},
        "amount should not be empty, amount must be an integer number, reason should not be empty, " +
          "reason must be one of the following values: discount, return, swap, claim, other",
      ],
    ]) {
      await assert.rejects(
        payments.refundPayment(id, body),
        axiosError(400, { type: "invalid_data", message }),
      );
    }

    const { payment: read } = await payments.retrieve(id);
    assert.equal(read.amount_refunded, 0);
  });

  test(`v1 ${where}: a token that does not exist is unauthorized`, async () => {
    const id = await payment();
    const stranger = new Medusa({ baseUrl: url, apiKey: "no-such-token", maxRetries: 0 });
    await assert.rejects(
      stranger.admin.payments.refundPayment(id, { amount: 1, reason: "other" }),
      axiosError(401, "Unauthorized"),
    );
  });

  test(`v1 ${where}: a person logs in and refunds`, async () => {
    const id = await payment();
    const person = new Medusa({ baseUrl: url, maxRetries: 0 });

    const { access_token } = await person.admin.auth.getToken(access.person);

    // The SDK keeps a token only in a browser; elsewhere callers pass it on.
    const { refund } = await person.admin.payments.refundPayment(
      id,
      { amount: 5, reason: "claim" },
      { authorization: `Bearer ${access_token}` },
    );
    assert.equal(refund.amount, 5);
    await assert.rejects(
      person.admin.auth.getToken({ ...access.person, password: "not the password" }),
      axiosError(401, "Unauthorized"),
    );
  });

  test(`v1 ${where}: a refund that the payment provider declines is an error, and the money is free again`, async () => {
    const id = await payment({ sandbox: ["decline:51"] });

    await assert.rejects(
      payments.refundPayment(id, { amount: 10000, reason: "other" }),
      axiosError(500, { type: "unexpected_state", message: `Failed to refund Payment ${id}` }),
    );
    const { payment: read } = await payments.retrieve(id);
    assert.equal(read.amount_refunded, 0);

    const { refund } = await payments.refundPayment(id, { amount: 10000, reason: "other" });
    assert.equal(refund.amount, 10000);
  });

  test(`v1 ${where}: a refund whose outcome is unknown is answered, and its money stays reserved`, async () => {
    const id = await payment({ sandbox: ["lost:never"] });

    const { refund } = await payments.refundPayment(id, { amount: 6000, reason: "other" });

    assert.equal(refund.amount, 6000);
    await assert.rejects(
      payments.refundPayment(id, { amount: 6000, reason: "other" }),
      axiosError(400, {
        type: "not_allowed",
        message: `Only 4000 can be refunded from Payment ${id}`,
      }),
    );
  });

  test(`v1 ${where}: the same idempotency key gives the same refund, once`, async () => {
    const id = await payment();
    const key = `v1-${where}-${id}`;
    const header = { "Idempotency-Key": key };
    const body = { amount: 1000, reason: "return" };

    const first = await payments.refundPayment(id, body, header);
    const again = await payments.refundPayment(id, body, header);
    assert.equal(first.refund.idempotency_key, key);
    assert.deepEqual(again.refund, first.refund);

    await assert.rejects(
      payments.refundPayment(id, { ...body, amount: 1001 }, header),
      (error) =>
        error.response.status === 422 &&
        error.response.data.code === "invalid_request_error" &&
        error.response.data.type === "duplicate_error",
    );
    const { payment: read } = await payments.retrieve(id);
    assert.equal(read.amount_refunded, 1000);
  });

  test(`v1 ${where}: an answer lost on the way is asked for again, and the money moves once`, async (t) => {
    const id = await payment();
    const way = await losesFirstAnswer();
    t.after(way.close);
    // With retries on, the SDK draws a key for each POST and resends it.
    const retrying = new Medusa({
      baseUrl: url.replace(access.url, way.url),
      apiKey: access.medusa_v1,
      maxRetries: 2,
    });

    const { refund } = await retrying.admin.payments.refundPayment(id, {
      amount: 1000,
      reason: "return",
    });

    assert.equal(way.sent, 2);
    assert.match(refund.idempotency_key, /^[0-9a-f-]{36}$/);
    const { payment: read } = await payments.retrieve(id);
    assert.equal(read.amount_refunded, 1000);
  });

  test(`v1 ${where}: of twenty full refunds at once, exactly one is made`, async () => {
    const id = await payment();

    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, () => payments.refundPayment(id, { amount: 10000, reason: "other" })),
    );

    assert.equal(answers.filter(({ status }) => status === "fulfilled").length, 1);
    for (const { reason } of answers.filter(({ status }) => status === "rejected")) {
      assert.equal(reason.response.data.message, `Only 0 can be refunded from Payment ${id}`);
    }
    const { payment: read } = await payments.retrieve(id);
    assert.equal(read.amount_refunded, 10000);
  });
}
