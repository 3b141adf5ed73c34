//! Statements and schemas: what replaces compile-time checked queries.

use std::collections::BTreeMap;

use meetmind_store::testing::TestDb;
use meetmind_store::{Engine, both_engines};

both_engines!(every_statement_prepares, db => {
    let engine = db.store.engine();
    let faults = db.store.prepare_all().await.expect("a connection");
    assert!(faults.is_empty(), "on {}:\n{}", engine.as_str(), faults.join("\n"));
});

#[test]
fn both_engines_have_the_same_migrations() {
    let names = |engine: &str| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("migrations")
            .join(engine);
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("a folder of migrations")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

#[tokio::test]
async fn both_engines_have_the_same_tables_and_columns() {
    let mut shapes: Vec<BTreeMap<String, Vec<String>>> = Vec::new();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let Some(db) = TestDb::new(engine).await.expect("a test database") else {
            return;
        };
        shapes.push(db.store.table_columns().await.expect("the columns"));
    }
    assert!(
        shapes[0].len() > 25,
        "too few tables: {:?}",
        shapes[0].keys()
    );
    assert_eq!(shapes[0], shapes[1]);
}

both_engines!(a_newer_schema_is_refused_untouched, db => {
    db.store.migrate("2.0.0").await.expect("nothing to do");
    db.store.pretend_schema(9999).await.expect("a row");
    let error = db.store.migrate("1.0.0").await.expect_err("a newer schema");
    assert!(error.to_string().contains("9999") && error.to_string().contains("2.0.0"), "{error}");
});
