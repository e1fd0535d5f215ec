// Paid payments of 1,000.00 each: PAYMENTS of them, their ids in the file IDS.
const fs = require("node:fs");

exports.default = async function seed({ container }) {
  const payments = container.resolve("payment");
  const money = { currency_code: "eur", amount: 1000 };
  const ids = [];
  while (ids.length < Number(process.env.PAYMENTS)) {
    const collection = await payments.createPaymentCollections(money);
    const session = { provider_id: "pp_system_default", data: {}, ...money };
    const { id } = await payments.createPaymentSession(collection.id, session);
    const payment = await payments.authorizePaymentSession(id, {});
    await payments.capturePayment({ payment_id: payment.id });
    ids.push(payment.id);
  }
  fs.writeFileSync(process.env.IDS, ids.join("\n") + "\n");
};
