use super::*;

fn read_with(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Config, Fault> {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let environment = move |name: &str| {
        let found = variables.iter().find(|(variable, _)| variable == name);
        Ok(found.map(|(_, text)| text.clone()))
    };
    let flags: Flags = flags.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    overlay(Some((file, "requite.toml")), &environment, &flags)
}

#[test]
fn an_option_is_over_the_environment_which_is_over_the_file_which_is_over_the_default() {
    let file = "listen = \"127.0.0.1:1\"";
    let variable = ("REQUITE_LISTEN", "127.0.0.1:2");
    for (file, variables, flags, port) in [
        ("", vec![], vec![], 8080),
        (file, vec![], vec![], 1),
        (file, vec![variable], vec![], 2),
        (file, vec![variable], vec![("listen", "127.0.0.1:3")], 3),
    ] {
        let config = read_with(file, &variables, &flags).expect("fine settings");
        assert_eq!(config.listen.port(), port);
    }
}

#[test]
fn every_setting_can_stand_in_the_file() {
    let file = r#"
        database = "sqlite:/var/lib/requite/requite.db"
        listen = "[::1]:9000"
        log = "warn,requite=debug"
        cors_origins = ["https://a.example", "http://localhost:7001"]
        psp_call_deadline_ms = 1500
        duplicate_guard_ms = 10000
        [mpg]
        capture_refunded_amount = "allocated"
        refund_amount = "remaining"
        connector = "manual"
        [loop]
        connector = "manual"
        [gr4vy]
        connector = "manual"
        [limits]
        connections_max = 100
        first_byte_max_ms = 1
        head_max_ms = 2
        idle_max_ms = 3
        body_max_ms = 4
        write_stall_max_ms = 5
        drain_max_ms = 6
    "#;
    let config = read_with(file, &[], &[]).expect("fine settings");
    let path = "/var/lib/requite/requite.db";
    assert!(
        matches!(config.database, Database::Sqlite(kept) if kept == std::path::Path::new(path))
    );
    assert_eq!(config.cors_origins, ["https://a.example", "http://localhost:7001"]);
    assert_eq!((config.psp_call_deadline_ms, config.duplicate_guard_ms), (1500, 10_000));
    assert!(config.mpg_shows_allocation && config.mpg_refunds_remaining);
    assert_eq!(config.loop_connector, "manual");
    assert_eq!(config.gr4vy_connector, "manual");
    assert_eq!(config.mpg_connector, "manual");
    assert_eq!(config.limits.connections_max, 100);
    assert_eq!(config.limits.drain_max, Duration::from_millis(6));
}

#[test]
fn what_cannot_be_used_is_named() {
    for (file, setting, problem) in [
        ("lisen = \"x\"", "lisen in requite.toml", "there is no setting \"lisen\""),
        ("[limits]\nmax = 1", "limits.max in requite.toml", "there is no setting \"limits.max\""),
        ("[other]\nlisten = \"x\"", "other.listen in requite.toml", "there is no setting"),
        ("listen = \"localhost\"", "listen in requite.toml", "\"localhost\" is no address"),
        ("listen = 8080", "listen in requite.toml", "\"8080\" is no address"),
        ("listen = true", "listen in requite.toml", "give a text"),
        ("listen = 1\nlisten = 2", "requite.toml", "not TOML"),
        ("log = \"a=b=c\"", "log in requite.toml", "is no log filter"),
        ("database = \"requite.db\"", "database in requite.toml", "give sqlite:PATH"),
        ("database = \"sqlite:\"", "database in requite.toml", "give sqlite:PATH"),
        ("psp_call_deadline_ms = 0", "psp_call_deadline_ms in requite.toml", "from 1 to 30000"),
        ("psp_call_deadline_ms = 30001", "psp_call_deadline_ms in requite.toml", "from 1 to 30000"),
        ("psp_call_deadline_ms = 1.5", "psp_call_deadline_ms in requite.toml", "give a text"),
        ("duplicate_guard_ms = -1", "duplicate_guard_ms in requite.toml", "from 0 to"),
        ("cors_origins = [\"example.com\"]", "cors_origins in requite.toml", "is no origin"),
        ("cors_origins = [\"https://a/b\"]", "cors_origins in requite.toml", "is no origin"),
        ("cors_origins = [\"*\"]", "cors_origins in requite.toml", "is no origin"),
        (
            "[mpg]\ncapture_refunded_amount = \"x\"",
            "mpg.capture_refunded_amount in requite.toml",
            "neither",
        ),
        ("[limits]\nconnections_max = 0", "limits.connections_max in requite.toml", "from 1 to"),
    ] {
        let fault = read_with(file, &[], &[]).expect_err(file);
        assert_eq!(fault.setting, setting, "{file}");
        assert!(fault.problem.contains(problem), "{file}: {}", fault.problem);
        assert!(!fault.is_flag, "{file}");
    }
}

#[test]
fn a_fault_names_where_the_setting_was_given() {
    let fault =
        read_with("", &[("REQUITE_LIMITS_IDLE_MAX_MS", "soon")], &[]).expect_err("no number");
    assert_eq!(fault.setting, "REQUITE_LIMITS_IDLE_MAX_MS");
    let fault = read_with("", &[], &[("listen", "here")]).expect_err("no address");
    assert_eq!((fault.setting.as_str(), fault.is_flag), ("--listen", true));
}

#[test]
fn a_name_that_is_nearly_a_settings_is_taken_for_it_and_a_stranger_s_is_not() {
    for (name, meant) in [
        ("REQUITE_LISTN", Some("REQUITE_LISTEN")),
        ("REQUITE_LITSEN", Some("REQUITE_LISTEN")),
        ("REQUITE_LIMITS_CONNECTION_MAX", Some("REQUITE_LIMITS_CONNECTIONS_MAX")),
        ("REQUITE_SEALINGKEY", Some("REQUITE_SEALING_KEY")),
        ("REQUITE_CONFG", Some("REQUITE_CONFIG")),
        // What a cluster tells every program of a service that is called requite.
        ("REQUITE_PORT", None),
        ("REQUITE_SERVICE_HOST", None),
        ("REQUITE_SERVICE_PORT", None),
        ("REQUITE_SERVICE_PORT_HTTP", None),
        ("REQUITE_PORT_8080_TCP", None),
        ("REQUITE_PORT_8080_TCP_ADDR", None),
        ("REQUITE_PORT_8080_TCP_PROTO", None),
        ("REQUITE_NAME", None),
    ] {
        let fault = misspelt(name);
        assert_eq!(fault.is_some(), meant.is_some(), "{name}: {fault:?}");
        if let (Some(fault), Some(meant)) = (fault, meant) {
            assert_eq!(fault.setting, name);
            assert!(fault.problem.contains(&format!("{meant} is meant")), "{}", fault.problem);
        }
    }
}

#[test]
fn every_setting_is_in_the_documentation() {
    let page = include_str!("../../../docs/settings.md");
    for (key, _) in SETTINGS {
        let row = format!("| `{key}` | `{}` |", variable(key));
        assert!(page.contains(&row), "{row}");
    }
}

/// What a node that died had under way is another's within 15 s, and within the longest grace however long
/// calls may take.
#[test]
fn as_it_is_configured_by_default_what_a_dead_node_had_under_way_is_taken_over_within_15_s() {
    use requite_core::schedule::DISPATCH_GRACE;
    use requite_engine::engine::SWEEP_EVERY_MS;
    use requite_engine::psp::over_after_ms;
    let usual = over_after_ms(i64::from(Config::default().psp_call_deadline_ms));
    assert!(usual + SWEEP_EVERY_MS <= 15_000, "{usual} ms");
    let longest = over_after_ms(i64::from(PSP_CALL_DEADLINE_MS_MAX));
    assert!(longest <= DISPATCH_GRACE, "{longest} ms");
}
