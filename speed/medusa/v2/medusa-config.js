// Medusa as it comes, without its admin pages. DATABASE_URL names an empty PostgreSQL database.
const { defineConfig } = require("@medusajs/framework/utils");

const cors = "http://localhost:7000";

module.exports = defineConfig({
  admin: { disable: true },
  projectConfig: {
    databaseUrl: process.env.DATABASE_URL,
    databaseDriverOptions: { connection: { ssl: false } },
    http: {
      storeCors: cors,
      adminCors: cors,
      authCors: cors,
      jwtSecret: "only-for-a-bench",
      cookieSecret: "only-for-a-bench",
    },
  },
});
