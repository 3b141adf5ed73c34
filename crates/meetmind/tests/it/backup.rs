//! Backup and restore with the program itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::program::{Serving, meetmind, run, stderr, stdout};

/// Makes a database by one start and stop.
fn fill(folder: &Path) {
    let (code, _) = Serving::start(folder).terminate();
    assert_eq!(code, Some(0));
}

fn rows(backup: &Path) -> Vec<String> {
    let text = fs::read_to_string(backup).expect("a backup");
    let rows = text.lines().filter(|line| line.starts_with('['));
    rows.map(str::to_owned).collect()
}

#[test]
fn a_backup_of_a_running_server_restores_into_an_empty_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path());
    let file = folder.path().join("all.backup");
    let output = run(meetmind(folder.path()).arg("backup").arg(&file));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        fs::metadata(&file).expect("a file").permissions().mode() & 0o777,
        0o600
    );
    let again = run(meetmind(folder.path()).arg("backup").arg(&file));
    assert!(
        stderr(&again).contains("overwrites nothing"),
        "{}",
        stderr(&again)
    );
    drop(serving);

    let other = tempfile::tempdir().expect("a folder");
    let output = run(meetmind(other.path()).arg("restore").arg(&file));
    assert!(output.status.success(), "{}", stderr(&output));
    let second = other.path().join("again.backup");
    assert!(
        run(meetmind(other.path()).arg("backup").arg(&second))
            .status
            .success()
    );
    assert_eq!(rows(&second), rows(&file));
    let serving = Serving::start(other.path());
    assert_eq!(serving.http().get("/readyz").0, 200);
}

#[test]
fn a_restore_replaces_nothing_unless_it_is_forced_and_then_keeps_the_old() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path());
    let file = folder.path().join("all.backup");
    assert!(
        run(meetmind(folder.path()).arg("backup").arg(&file))
            .status
            .success()
    );
    let refused = run(meetmind(folder.path()).arg("restore").arg(&file));
    assert!(
        !refused.status.success() && stderr(&refused).contains("--force"),
        "{}",
        stderr(&refused)
    );
    let forced = run(meetmind(folder.path())
        .args(["restore", "--force"])
        .arg(&file));
    assert!(forced.status.success(), "{}", stderr(&forced));
    assert!(
        stdout(&forced).contains("before-restore"),
        "{}",
        stdout(&forced)
    );
    let kept = fs::read_dir(folder.path().join("data"))
        .expect("a folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains("before-restore"))
        .count();
    assert_eq!(kept, 1);
}

#[test]
fn a_running_server_is_not_restored_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = Serving::start(folder.path());
    let file = folder.path().join("all.backup");
    assert!(
        run(meetmind(folder.path()).arg("backup").arg(&file))
            .status
            .success()
    );
    let refused = run(meetmind(folder.path())
        .args(["restore", "--force"])
        .arg(&file));
    assert!(
        !refused.status.success() && stderr(&refused).contains("in use"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(serving.http().get("/readyz").0, 200);
}

#[test]
fn a_damaged_backup_is_refused_before_anything_is_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path());
    let file = folder.path().join("all.backup");
    assert!(
        run(meetmind(folder.path()).arg("backup").arg(&file))
            .status
            .success()
    );
    let whole = fs::read_to_string(&file).expect("a backup");
    let schema: Value = serde_json::from_str(whole.lines().next().expect("a head")).expect("JSON");
    let schema = format!("\"schema\":{},", schema["schema"]);
    let last = whole.trim_end().rfind('\n').expect("several lines");
    let cases = [
        ("cut off", whole[..last].to_owned()),
        (
            "checksum",
            whole.replacen("written_by\",\"", "written_by\",\"x", 1),
        ),
        ("no backup", "{\"format\":\"other\"}\n".to_owned()),
        ("schema 999", whole.replacen(&schema, "\"schema\":999,", 1)),
    ];
    for (named, text) in cases {
        assert_ne!(text, whole, "the case `{named}` changes something");
        let damaged = folder.path().join("damaged.backup");
        fs::write(&damaged, text).expect("a file");
        let other = tempfile::tempdir().expect("a folder");
        let output = run(meetmind(other.path()).arg("restore").arg(&damaged));
        assert!(!output.status.success(), "{named}");
        assert!(
            stderr(&output).contains(named),
            "{named}: {}",
            stderr(&output)
        );
        assert!(!other.path().join("data/meetmind.db").exists(), "{named}");
    }
}

#[test]
fn everything_moves_to_another_database_file() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path());
    let target = folder.path().join("moved.db");
    let url = format!("sqlite:{}", target.display());
    let output = run(meetmind(folder.path()).args(["migrate", "--to", &url]));
    assert!(output.status.success(), "{}", stderr(&output));
    let (from, to) = (
        folder.path().join("from.backup"),
        folder.path().join("to.backup"),
    );
    assert!(
        run(meetmind(folder.path()).arg("backup").arg(&from))
            .status
            .success()
    );
    assert!(
        run(meetmind(folder.path())
            .arg("backup")
            .arg(&to)
            .env("DATABASE_URL", &url))
        .status
        .success()
    );
    assert_eq!(rows(&to), rows(&from));
    assert!(!folder.path().join("data/moving.jsonl").exists());
}
