//! Precedence, bad input, and the promise of the commented default file.

use super::*;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, file).unwrap();
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::load(&path, &environment, |_| {})
}

fn problems(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment).unwrap_err().to_string()
}

/// Removes the `#` in front of each key and of the lines of its list.
fn uncommented(text: &str) -> String {
    let is_prose =
        |line: &str| line == "#" || (line.starts_with("# ") && !line.starts_with("#  \""));
    let lines = text.lines().filter(|line| !is_prose(line));
    lines
        .map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line)))
        .collect()
}

#[test]
fn the_commented_file_holds_every_key_with_its_default() {
    let text = uncommented(DEFAULT_FILE);
    assert_eq!(
        file::parse("default", &text),
        (Config::default(), Vec::new())
    );
    for (key, _) in file::known_keys() {
        let last = key.rsplit('.').next().unwrap();
        assert!(
            text.contains(&format!("{last} = ")),
            "{key} is not documented"
        );
    }
    assert_eq!(text.matches(" = ").count(), file::known_keys().len());
    // Switched off, it says nothing.
    assert_eq!(
        file::parse("default", DEFAULT_FILE),
        (Config::default(), Vec::new())
    );
}

#[test]
fn a_new_file_holds_the_clinic_and_the_hosts() {
    let text = Config::new_file("La \"Paz\"", &["pi.example.org".into()]);
    let (config, problems) = file::parse("new", &text);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(config.clinic, "La \"Paz\"");
    assert_eq!(config.hosts, ["pi.example.org"]);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(
        &path,
        "clinic = \"file\"\nworkers = 3\n[tokens]\nrefresh_days = 3\n",
    )
    .unwrap();
    let environment = [
        ("ISLET_CLINIC".to_owned(), "environment".to_owned()),
        ("ISLET_WORKERS".to_owned(), "4".to_owned()),
        ("ISLET_LOG".to_owned(), String::new()),
        ("ISLET_DATA".to_owned(), "/somewhere".to_owned()),
        ("ISLET_HOSTS".to_owned(), "a.local, 10.0.0.1".to_owned()),
    ];
    let config = Config::load(&path, &environment, |config| config.clinic = "flag".into()).unwrap();
    assert_eq!(config.clinic, "flag");
    assert_eq!(config.workers, 4);
    assert_eq!(config.tokens.refresh_days, 3);
    assert_eq!(config.tokens.access_minutes, 30);
    assert_eq!(config.log, "info");
    assert_eq!(config.hosts, ["a.local", "10.0.0.1"]);
}

#[test]
fn no_file_means_the_defaults() {
    let config = Config::load(Path::new("/nonexistent/config.toml"), &[], |_| {}).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn unknown_keys_are_all_named_with_line_and_likely_key() {
    let text = problems(
        "clinik = \"x\"\n\n[token]\naccess_minutes = 5\n[mail]\nhots = \"a\"\nwindow_s = 3\nzzzzzzz = 1\n",
        &[],
    );
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(
        lines[0].contains("line 1: unknown key clinik; did you mean clinic?"),
        "{text}"
    );
    assert!(lines[1].contains("line 3: unknown key token"), "{text}");
    assert!(
        lines[2].contains("line 6: unknown key mail.hots; did you mean mail.host?"),
        "{text}"
    );
    assert!(lines[3].contains("did you mean login.window_s?"), "{text}");
    assert!(
        lines[4].contains("line 8: unknown key mail.zzzzzzz; `islet config show`"),
        "{text}"
    );
}

#[test]
fn wrong_types_and_broken_syntax_name_their_line() {
    assert!(problems("\nworkers = \"two\"\n", &[]).contains("line 2: workers: invalid type"));
    assert!(problems("workers = -1\n", &[]).contains("line 1"));
    assert!(problems("a = \n", &[]).contains("line 1"));
    assert!(problems("tokens = 3\n", &[]).contains("line 1"));
    assert!(problems("http = \"everywhere\"\n", &[]).contains("such as 127.0.0.1:8000"));
}

#[test]
fn bad_variables_are_named() {
    let text = problems("", &[("ISLET_HTPP", "127.0.0.1:1")]);
    assert!(
        text.contains("ISLET_HTPP is unknown; did you mean ISLET_HTTP?"),
        "{text}"
    );
    let text = problems(
        "",
        &[("ISLET_WORKERS", "many"), ("ISLET_ALLOW_PLAIN_LAN", "yes")],
    );
    assert!(
        text.contains("ISLET_WORKERS: \"many\" is not a whole number"),
        "{text}"
    );
    assert!(
        text.contains("ISLET_ALLOW_PLAIN_LAN: \"yes\" is neither true nor false"),
        "{text}"
    );
    assert!(problems("", &[("ISLET_LOG_FORMAT", "xml")]).contains("ISLET_LOG_FORMAT"));
}

#[test]
fn values_that_cannot_work_are_refused_with_advice() {
    for (file, expected) in [
        ("http = \"0.0.0.0:8000\"", "--allow-plain-lan"),
        (
            "http = \"off\"\nbackoffice = \"off\"\nhttps = \"off\"",
            "nothing listens",
        ),
        (
            "backoffice = \"127.0.0.1:8000\"",
            "127.0.0.1:8000 is given twice",
        ),
        ("clinic = \" \"", "clinic: must not be empty"),
        ("hosts = [\"*.example.org\"]", "hosts: "),
        (
            "cors_origins = [\"*\"]",
            "cors_origins: \"*\" must look like",
        ),
        ("cors_origins = [\"https://a.b/c\"]", "without a path"),
        ("workers = 0", "workers: 0 must be from 1"),
        ("log = \"loud=\"", "log: "),
        ("log = \"inffo\"", "log: "),
        (
            "[tokens]\naccess_minutes = 0",
            "tokens.access_minutes: 0 must be from 1 to 1440",
        ),
        (
            "[connections]\nper_address_max = 500",
            "connections.per_address_max: 500",
        ),
        ("[mail]\nhost = \"a.b\"", "mail.from: "),
        ("[mail]\nhost = \"a.b\"", "mail.patient_url: "),
        (
            "[mail]\nhost = \"a.b\"\nuser = \"x\"\npassword_file = \"p\"\ntls = \"none\"",
            "mail.tls: ",
        ),
    ] {
        let text = problems(file, &[]);
        assert!(text.contains(expected), "{file}: {text}");
    }
}

#[test]
fn a_sender_is_an_address_with_or_without_a_name() {
    let of = |from: &str| {
        problems(&format!("[mail]\nhost = \"a.b\"\nfrom = '{from}'\n"), &[]).contains("mail.from")
    };
    assert!(!of("no-responder@example.org"));
    assert!(!of("Clínica La Paz <no-responder@example.org>"));
    for bad in [
        "",
        "Clínica",
        "Clínica <no>",
        "<a@b.c> x",
        "a@b.c, d@e.f",
        "a@b.c <a@b.c>",
    ] {
        assert!(of(bad), "{bad}");
    }
}

#[test]
fn what_is_shown_can_be_read_back() {
    let mut config = Config {
        https: Address::Off,
        ..Config::default()
    };
    config.mail.tls = MailTls::Starttls;
    let text = config.to_toml().unwrap();
    assert_eq!(file::parse("shown", &text), (config, Vec::new()));
}

#[test]
fn all_mistakes_are_named_at_once() {
    let file = "clinic = 3\nhttps_port = 1\nworkers = 0\n[tokens]\naccess_minutes = \"x\"\nrefresh_days = 999\n";
    let found = problems(file, &[("ISLET_HTPP", "x"), ("ISLET_HTTP", "nonsense")]);
    let lines: Vec<_> = found.lines().collect();
    let expected = [
        "line 1: clinic: ",
        "line 2: unknown key https_port",
        "line 5: tokens.access_minutes: ",
        "ISLET_HTPP is unknown",
        "ISLET_HTTP: ",
        "workers: 0 must be",
        "tokens.refresh_days: 999 must be",
    ];
    assert_eq!(lines.len(), expected.len(), "{found}");
    for (line, part) in lines.iter().zip(expected) {
        assert!(line.contains(part), "{part}: {line}");
    }
    let found = problems("mail = 3\nworkers = 0\n", &[]);
    assert!(
        found.contains("mail must be a section") && found.contains("workers: 0"),
        "{found}"
    );
}
