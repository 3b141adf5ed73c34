//! The layers and their order.

use super::super::tests::from_variables;
use super::*;

fn error_of(variables: &[(&str, &str)]) -> String {
    format!("{:#}", from_variables(variables).expect_err("an error"))
}

#[test]
fn no_two_keys_share_a_variable() {
    let layers = Layers::read(&Sources::default()).expect("the defaults");
    let mut names: Vec<String> = layers.values.keys().map(|key| variable_of(key)).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
    for (_, key) in VENDOR_NAMES {
        assert!(layers.values.contains_key(key), "{key}");
    }
}

#[test]
fn each_layer_wins_over_the_one_below() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    let mut sources = Sources {
        folder: Some(folder.path().to_path_buf()),
        ..Sources::default()
    };
    let log = |sources: &Sources| Config::load(sources).expect("valid").log;
    assert_eq!(log(&sources), "info");
    set(
        "meetmind.toml",
        "log = \"file\"\n[http]\nheader_timeout_s = 3\n",
    );
    assert_eq!(log(&sources), "file");
    set(".env", "MEETMIND_LOG=dotenv\n");
    assert_eq!(log(&sources), "dotenv");
    sources
        .variables
        .insert("MEETMIND_LOG".to_owned(), "environment".to_owned());
    assert_eq!(log(&sources), "environment");
    sources.flags.push(("log", "flag".to_owned()));
    assert_eq!(log(&sources), "flag");
    assert_eq!(
        Config::load(&sources).expect("valid").http.header_timeout_s,
        3
    );
}

#[test]
fn vendors_names_work_and_our_own_win() {
    let config = from_variables(&[("DATABASE_URL", "postgres://a/b")]).expect("valid");
    assert_eq!(config.database.url, "postgres://a/b");
    let config = from_variables(&[
        ("DATABASE_URL", "postgres://a/b"),
        ("MEETMIND_DATABASE_URL", "postgres://c/d"),
    ]);
    assert_eq!(config.expect("valid").database.url, "postgres://c/d");
    let config = from_variables(&[
        ("SUPABASE_URL", "https://x.supabase.co"),
        ("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x"),
    ]);
    assert_eq!(
        config.expect("valid").supabase.public_key,
        "sb_publishable_x"
    );
}

#[test]
fn an_unknown_name_stops_and_the_nearest_is_told() {
    let error = error_of(&[("MEETMIND_LISTN", "x")]);
    assert!(
        error.contains("MEETMIND_LISTN") && error.contains("MEETMIND_LISTEN"),
        "{error}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("own.toml");
    fs::write(&file, "[database]\nurll = \"x\"\n").expect("a file");
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    let error = format!("{:#}", Config::load(&sources).expect_err("an unknown key"));
    assert!(
        error.contains("database.urll") && error.contains("`database.url`"),
        "{error}"
    );
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    assert!(error_of(&[("MEETMIND_HTTP_HEADER_TIMEOUT_S", "soon")]).contains("a whole number"));
    let error = error_of(&[("MEETMIND_AUTH_REGISTRATION", "maybe")]);
    assert!(
        error.contains("auth.registration") && error.contains("MEETMIND_AUTH_REGISTRATION"),
        "{error}"
    );
    let error = error_of(&[("MEETMIND_LISTEN", "8000")]);
    assert!(error.contains("listen"), "{error}");
}

#[test]
fn a_broken_file_is_named_without_its_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("own.toml");
    fs::write(&file, "log = \"info\"\nmetrics_token = s3cret\n").expect("a file");
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    let error = format!("{:#}", Config::load(&sources).expect_err("broken"));
    assert!(
        error.contains("line 2") && !error.contains("s3cret"),
        "{error}"
    );
}

#[test]
fn lists_are_separated_by_commas_and_empty_means_not_set() {
    let config = from_variables(&[
        (
            "MEETMIND_CORS_ORIGINS",
            "https://a.example, https://b.example",
        ),
        ("MEETMIND_PUBLIC_URL", ""),
    ])
    .expect("valid");
    assert_eq!(
        config.cors_origins,
        ["https://a.example", "https://b.example"]
    );
    assert!(config.public_url.is_empty());
}

#[test]
fn distances_count_edits() {
    assert_eq!(distance("listen", "listn"), 1);
    assert_eq!(distance("", "abc"), 3);
    assert_eq!(distance("kitten", "sitting"), 3);
}
