//! Settings as the program takes them.

use std::fs;

use crate::program::{meetmind, run, stderr, stdout};

#[test]
fn an_unknown_key_stops_the_start_with_a_line_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("meetmind.toml"),
        "[http]\nheader_timeout_sec = 3\n",
    )
    .expect("a file");
    let output = run(meetmind(folder.path()).arg("serve"));
    assert!(!output.status.success());
    let line = stderr(&output);
    assert!(
        line.contains("http.header_timeout_sec") && line.contains("http.header_timeout_s"),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1, "{line}");

    fs::remove_file(folder.path().join("meetmind.toml")).expect("the file");
    let output = run(meetmind(folder.path())
        .arg("serve")
        .env("MEETMIND_LISTNE", "x"));
    assert!(
        stderr(&output).contains("MEETMIND_LISTNE"),
        "{}",
        stderr(&output)
    );
    assert!(
        !folder.path().join("data").exists(),
        "nothing is made before the settings are sound"
    );
}

#[test]
fn a_set_up_that_fits_no_mode_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(meetmind(folder.path())
        .arg("serve")
        .env("LIVEKIT_URL", "wss://x.example"));
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("LIVEKIT_API_KEY"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn flags_win_over_the_environment_over_dotenv_over_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = run(meetmind(folder.path())
            .arg("config")
            .args(arguments)
            .envs(variables.iter().copied()));
        assert!(output.status.success(), "{}", stderr(&output));
        let text = stdout(&output);
        let line = text
            .lines()
            .find(|line| line.starts_with("log = "))
            .expect("the key");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown(&[], &[]), "log = \"info\" # default");
    fs::write(folder.path().join("meetmind.toml"), "log = \"warn\"\n").expect("a file");
    assert!(shown(&[], &[]).starts_with("log = \"warn\" # /"));
    fs::write(folder.path().join(".env"), "MEETMIND_LOG=error\n").expect("a file");
    assert_eq!(shown(&[], &[]), "log = \"error\" # MEETMIND_LOG in .env");
    let debug = [("MEETMIND_LOG", "debug")];
    assert_eq!(shown(&[], &debug), "log = \"debug\" # MEETMIND_LOG");
    assert_eq!(
        shown(&["--log", "trace"], &debug),
        "log = \"trace\" # --log"
    );
}

#[test]
fn a_check_says_what_has_no_effect_yet() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(meetmind(folder.path())
        .args(["config", "check"])
        .env("SUPABASE_URL", "https://x.supabase.co")
        .env("SUPABASE_ANON_KEY", "s3cret"));
    assert!(output.status.success());
    let text = stdout(&output);
    assert!(
        text.contains("accounts are local") && !text.contains("s3cret"),
        "{text}"
    );
}

#[test]
fn the_generated_pages_are_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = |arguments: &[&str]| stdout(&run(meetmind(folder.path()).args(arguments)));
    assert!(printed(&["docs", "configuration"]).contains("`MEETMIND_LISTEN`"));
    assert!(printed(&["docs", "errors"]).contains("`NOT_FOUND`"));
    for document in ["openapi", "asyncapi"] {
        serde_json::from_str::<serde_json::Value>(&printed(&[document])).expect(document);
    }
    assert!(printed(&["--version"]).starts_with("meetmind "));
}

#[test]
fn doctor_is_content_with_the_defaults_and_names_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = meetmind(folder.path());
    let output = run(command.arg("doctor").env("MEETMIND_LISTEN", "127.0.0.1:0"));
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(stdout(&output).contains("✓ configuration: valid"));
    let mut command = meetmind(folder.path());
    let output = run(command
        .arg("doctor")
        .env("MEETMIND_LISTEN", "0.0.0.0:0")
        .env("DATABASE_URL", "postgres://nobody:s3cret@127.0.0.1:1/none"));
    assert!(!output.status.success());
    let text = stdout(&output);
    assert!(
        text.contains("✗ database:") && text.contains("✗ public_url:"),
        "{text}"
    );
    assert!(!text.contains("s3cret"), "{text}");
}
