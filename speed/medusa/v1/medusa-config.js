// Medusa as it comes, without its admin pages. DATABASE_URL names an empty PostgreSQL database.
const cors = "http://localhost:7000";

module.exports = {
  projectConfig: {
    database_url: process.env.DATABASE_URL,
    jwt_secret: "only-for-a-bench",
    cookie_secret: "only-for-a-bench",
    store_cors: cors,
    admin_cors: cors,
  },
  plugins: [],
};
