//! Whoever has a copy of the store has nothing that opens a door (F82): no credential, nothing that makes one,
//! and sealed records that open nowhere but in their own place.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use crate::support::{
    Face, Gr4vyClaims, Options, Request, Response, SEALING_KEY, Server, Shop, sign_gr4vy_token,
};

const PASSWORD: &str = "correct horse battery staple";
const PSP_SECRETS: [&str; 2] = ["sk_test_fifty_one_first", "sk_test_fifty_one_second"];
const HOOK_SECRET: &str = "whsec_of_the_psps_own";

struct House {
    server: Server,
    shop: Shop,
    /// What opens something, by what it is.
    secrets: Vec<(&'static str, String)>,
}

impl House {
    /// A shop with a credential of every kind in use.
    fn open() -> House {
        let options = Options::default()
            .env("REQUITE_SEALING_KEY", SEALING_KEY)
            .env("REQUITE_LOG", "trace")
            .env("REQUITE_WEBHOOKS_ADDRESSES", "any");
        let server = Server::start(options);
        let cli = server.cli().env("REQUITE_SEALING_KEY", SEALING_KEY);
        let shop = Shop::open(&cli, "Shop");
        let merchant = shop.merchant.id.as_str();
        let mut secrets = vec![("the sealing key", SEALING_KEY.to_owned())];
        for (what, key) in [
            ("a key of the native API", &shop.native),
            ("a key of Medusa v1", &shop.v1),
            ("a key of Medusa v2", &shop.v2),
            ("a key of MPG", &shop.mpg),
            ("a key of Loop", &shop.loop_payments),
        ] {
            secrets.push((what, key.token.clone()));
        }
        let gr4vy = cli.key(&shop.merchant, "gr4vy");
        let pem = gr4vy.private_key_pem.expect("it is shown once");
        secrets.push(("a token of Gr4vy", sign_gr4vy_token(&pem, &Gr4vyClaims::default())));
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        secrets.push(("a private key of Gr4vy", body));
        assert_eq!(cli.user(&shop.merchant, "ann@example.com", PASSWORD).code, Some(0));
        secrets.push(("a password", PASSWORD.to_owned()));
        for (name, secret) in ["first", "second"].iter().zip(PSP_SECRETS) {
            let words = ["connector", "add", "--merchant", merchant, "--kind", "stripe"];
            let more = ["--name", name, "--base-url", "http://127.0.0.1:9"];
            let run = cli.run(&[&words[..], &more].concat(), secret);
            assert_eq!(run.code, Some(0), "{run:?}");
            secrets.push(("a PSP's key", secret.to_owned()));
        }
        let words = ["connector", "hook", "--merchant", merchant, "--name", "first"];
        let run = cli.run(&words, HOOK_SECRET);
        assert_eq!(run.code, Some(0), "{run:?}");
        secrets.push(("what signs a PSP's webhooks", HOOK_SECRET.to_owned()));
        let mut house = House { server, shop, secrets };
        house.log_in();
        house
    }

    /// Log-ins at both Medusas, as tokens and as cookies, and an endpoint of the merchant's.
    fn log_in(&mut self) {
        let who = json!({"email": "ann@example.com", "password": PASSWORD});
        let token = |answer: Response, name: &str| {
            let body = answer.json();
            body[name].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
        };
        let v1 = self.server.send(&Request::post("/medusa/v1/admin/auth/token").json(&who));
        let v2 = self.server.send(&Request::post("/medusa/v2/auth/user/emailpass").json(&who));
        let (v1, v2) = (token(v1, "access_token"), token(v2, "token"));
        let cookies = [
            Request::post("/medusa/v1/admin/auth").json(&who),
            Request::post("/medusa/v2/auth/session").bearer(&v2).json(&json!({})),
        ];
        for request in cookies {
            let answer = self.server.send(&request);
            let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
            let value = cookie.split(['=', ';']).nth(1).expect("a value");
            self.secrets.push(("a session", value.to_owned()));
        }
        self.secrets.extend([("a log-in at Medusa v1", v1), ("a log-in at Medusa v2", v2)]);
        let made = Request::post("/api/webhook-endpoints").bearer(&self.shop.native.token);
        let made = self.server.send(&made.json(&json!({"url": "http://127.0.0.1:9/"})));
        let secret = token(made, "secret");
        self.secrets.push(("what signs webhooks", secret));
        let made = Request::post("/medusa/v2/admin/api-keys").basic(&self.shop.v2.token);
        let made = made.header("idempotency-key", "easy to guess");
        let made = self.server.send(&made.json(&json!({"title": "a", "type": "secret"})));
        let api_key = made.json()["api_key"]["token"].as_str().expect("shown once").to_owned();
        self.secrets.push(("a key that was made with a key", api_key));
    }

    /// All rows of a query, whose one column is bytes.
    fn column(&self, sql: &str) -> Vec<Vec<u8>> {
        match self.server.database.strip_prefix("sqlite:") {
            Some(path) => {
                let store = rusqlite::Connection::open(path).expect("the store");
                let mut statement = store.prepare(sql).expect("a query that works");
                let rows = statement.query_map([], |row| row.get(0)).expect("rows");
                rows.collect::<Result<_, _>>().expect("bytes")
            }
            None => {
                let rows = requite_cluster::ask(&self.server.database, sql);
                let bytes = |row: &Vec<String>| {
                    HEXLOWER.decode(row[0].trim_start_matches("\\x").as_bytes())
                };
                rows.iter().map(|row| bytes(row).expect("hex")).collect()
            }
        }
    }
}

fn holds(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}

#[test]
fn a_stolen_store_holds_no_credential_of_any_kind() {
    let mut house = House::open();
    let check = |house: &House| {
        let files = house.server.files();
        assert!(files.iter().any(|(_, bytes)| holds(bytes, b"ann@example.com")), "it looks well");
        for (what, secret) in &house.secrets {
            let mut forms =
                vec![secret.as_bytes().to_vec(), HEXLOWER.encode(secret.as_bytes()).into()];
            // What stands behind a prefix is often the secret itself, as text.
            let tail = secret.rsplit(['_', '.']).next().expect("a last part");
            forms.extend(
                [BASE64.decode(tail.as_bytes()).ok(), HEXLOWER.decode(tail.as_bytes()).ok()]
                    .into_iter()
                    .flatten(),
            );
            for form in forms.iter().filter(|form| form.len() >= 8) {
                for (name, bytes) in &files {
                    assert!(!holds(bytes, form), "{what} stands in {name}");
                }
            }
        }
    };
    check(&house);
    house.server.restart();
    check(&house);
}

/// A JWT with HS256, as both Medusas' log-ins are.
fn signed(claims: &Value, secret: &[u8]) -> String {
    use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let parts =
        format!("{}.{}", encode(r#"{"alg":"HS256","typ":"JWT"}"#), encode(&claims.to_string()));
    let tag = sign(&Key::new(HMAC_SHA256, secret), parts.as_bytes());
    format!("{parts}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
}

/// What a log-in's token says, without its signature.
fn claims(token: &str) -> Value {
    let said = token.split('.').nth(1).expect("three parts");
    let bytes = BASE64URL_NOPAD.decode(said.as_bytes()).expect("base64");
    serde_json::from_slice(&bytes).expect("claims")
}

#[test]
fn what_a_stolen_store_holds_makes_no_credential() {
    let house = House::open();
    let secret = |what: &str| {
        let found = house.secrets.iter().find(|(name, _)| *name == what);
        found.expect("it is one of them").1.clone()
    };
    let kept = house.column("select secret from secret where name = 'login'");
    assert_eq!(kept.len(), 1, "there is one");
    let ask = |path: &str, token: &str| house.server.send(&Request::get(path).bearer(token)).status;
    for (what, path) in [
        ("a log-in at Medusa v1", "/medusa/v1/admin/auth"),
        ("a log-in at Medusa v2", "/medusa/v2/admin/payments"),
    ] {
        let good = secret(what);
        assert_eq!(ask(path, &good), 200, "{what}");
        for key in
            [&kept[0][..], HEXLOWER.encode(&kept[0]).as_bytes(), BASE64.encode(&kept[0]).as_bytes()]
        {
            assert_eq!(ask(path, &signed(&claims(&good), key)), 401, "{what}, made from the store");
        }
    }
    // The hash that finds a credential is none.
    let mut hashes = house.column("select lookup from key_lookup");
    hashes.extend(house.column("select lookup from session"));
    assert!(hashes.len() >= 8, "{} hashes", hashes.len());
    let payment =
        house.server.register(&house.shop.native, &json!({"amount": 5, "currency": "EUR"}));
    for hash in &hashes {
        for text in
            [HEXLOWER.encode(hash), BASE64.encode(hash), format!("sk_{}", HEXLOWER.encode(hash))]
        {
            for face in [Face::MedusaV1, Face::MedusaV2, Face::Mpg, Face::Gr4vy, Face::Loop] {
                let post = Request::post(&crate::support::path(face, &payment))
                    .json(&json!({"amount": 1}));
                let post = match face {
                    Face::MedusaV1 => post.api_token(&text),
                    Face::MedusaV2 => post.basic(&text),
                    Face::Mpg | Face::Gr4vy | Face::Loop => post.bearer(&text),
                };
                assert_eq!(house.server.send(&post).status, 401, "{face:?}: {text}");
            }
            for mark in ["sid_v1_", "sid_v2_"] {
                let cookie = format!("connect.sid={mark}{text}");
                let request = Request::get("/medusa/v2/admin/payments").header("cookie", &cookie);
                assert_eq!(house.server.send(&request).status, 401, "{cookie}");
            }
        }
    }
}

#[test]
fn a_sealed_record_opens_in_no_other_s_place() {
    let mut house = House::open();
    house.server.sigterm();
    house.server.change_store(
        "create table swapped as select name, sealed from connector_account;
         update connector_account set sealed =
            (select sealed from swapped where swapped.name <> connector_account.name);
         drop table swapped",
    );
    assert_eq!(house.server.try_start_again().expect_err("it does not open").code(), Some(1));
    let log = house.server.log();
    assert!(log.contains("belongs to another account"), "{log}");
}
