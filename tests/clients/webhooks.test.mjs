// standardwebhooks, the verifier of the Standard Webhooks specification, on what merchants are told.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Webhook } from "standardwebhooks";

import { eventually, native, receiver, registered } from "./shop.mjs";

async function done(method, path, body) {
  const answer = await native(method, path, body);
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status}`);
  return answer.body;
}

test("webhooks: the specification's verifier takes them, also while a secret is rotated", async () => {
  const told = await receiver();
  const { id, secret } = await done("POST", "/webhook-endpoints", { url: told.url });
  const payment = await registered();
  const succeeded = async (amount) => {
    const refund = await done("POST", `/payments/${payment.id}/refunds`, { amount });
    const isIt = ({ payload }) => {
      const { type, data } = JSON.parse(payload);
      return type === "refund.succeeded" && data.refund.id === refund.id;
    };
    return eventually(() => told.heard.find(isIt), Boolean);
  };
  const verified = ({ payload, headers }, key) => new Webhook(key).verify(payload, headers);

  const first = await succeeded(100);
  assert.equal(verified(first, secret).id, first.headers["webhook-id"]);
  const another = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
  assert.throws(() => verified(first, another), /No matching signature/);
  assert.throws(() => verified({ ...first, payload: `${first.payload} ` }, secret));
  const later = { ...first.headers, "webhook-timestamp": `${Date.now()}` };
  assert.throws(() => verified({ ...first, headers: later }, secret));

  const rotated = await done("POST", `/webhook-endpoints/${id}/rotate`, { minutes: 60 });
  const second = await succeeded(200);
  assert.equal(verified(second, secret).data.refund.amount, 200);
  assert.equal(verified(second, rotated.secret).data.refund.amount, 200);

  await done("POST", `/webhook-endpoints/${id}/rotate`, { minutes: 0 });
  const third = await succeeded(300);
  assert.throws(() => verified(third, secret), /No matching signature/);
  await done("DELETE", `/webhook-endpoints/${id}`);
  told.close();
});
