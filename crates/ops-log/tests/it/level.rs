use ops_log::Level;

#[test]
fn every_slog_level_prints_under_the_overviews_name_and_parses_back() {
    let names = ["critical", "error", "warning", "info", "debug", "trace"];
    for (number, name) in (1..).zip(names) {
        let level = Level::from(slog::Level::from_usize(number).unwrap());
        assert_eq!(level.as_str(), name);
        assert_eq!(name.to_uppercase().parse::<Level>().unwrap(), level);
    }
}

#[test]
fn console_padding_is_nine_wide() {
    assert_eq!(format!("[{:<9}]", Level::Info), "[info     ]");
}

#[test]
fn an_unknown_level_is_refused_with_the_accepted_names() {
    let error = "loud\n".parse::<Level>().unwrap_err().to_string();
    assert!(
        error.starts_with(r#"unknown log level "loud\n": expected trace"#),
        "{error}"
    );
}
