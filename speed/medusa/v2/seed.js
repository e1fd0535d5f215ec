// Paid orders of 1,000.00 each, as a refund asks for: PAYMENTS of them, their payments' ids in the file IDS.
const fs = require("node:fs");

exports.default = async function seed({ container }) {
  const [orders, payments, link] = ["order", "payment", "link"].map((name) => container.resolve(name));
  const money = { currency_code: "eur", amount: 1000 };
  const ids = [];
  while (ids.length < Number(process.env.PAYMENTS)) {
    const items = [{ title: "Chair", quantity: 1, unit_price: money.amount }];
    const order = await orders.createOrders({ currency_code: money.currency_code, email: "a@example.test", items });
    const collection = await payments.createPaymentCollections(money);
    const ends = { order: { order_id: order.id }, payment: { payment_collection_id: collection.id } };
    await link.create(ends);
    const session = { provider_id: "pp_system_default", data: {}, ...money };
    const { id } = await payments.createPaymentSession(collection.id, session);
    const payment = await payments.authorizePaymentSession(id, {});
    await payments.capturePayment({ payment_id: payment.id });
    const paid = { order_id: order.id, reference: "capture", reference_id: payment.id, ...money };
    await orders.addOrderTransactions(paid);
    ids.push(payment.id);
  }
  fs.writeFileSync(process.env.IDS, ids.join("\n") + "\n");
};
