//! All rows out of one database and into another.

use std::collections::BTreeMap;

use meetmind_core::{Id, Timestamp, UserId};
use meetmind_store::testing::TestDb;
use meetmind_store::{Engine, Store, backup_columns, both_engines};

async fn dumped(store: &Store) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let mut sink = |table, row| {
        rows.push((table, row));
        Ok(())
    };
    store.dump(&mut sink).await.expect("a dump");
    rows
}

/// Rows of every hard kind: text with quotes and line breaks, JSON with big numbers, bytes, reals,
/// times, absent values, rows that refer to later ones.
async fn fill(db: &TestDb) {
    let user_id = UserId::from_uuid(uuid::Uuid::from_u128(7));
    let mut tx = db.store.begin().await.expect("a transaction");
    db.store
        .seed_user(&mut tx, user_id, "ada@example.com")
        .await
        .expect("a user");
    tx.commit().await.expect("a commit");
    let id = |number: u128| uuid::Uuid::from_u128(number).to_string();
    let rows = [
        (
            "series",
            format!(
                r#"["{}","{}","A \"series\"\n\u00e5\u4f1a",-5,1772442000000001]"#,
                id(1),
                id(7)
            ),
        ),
        (
            "meetings",
            format!(
                r#"["{}","{}","{}","One",null,"live",null,null,null,1,null,"invite",false,true,"ask","auto",null,[],{{"n":12345678901234567890.5}},"code",1,1,1,null]"#,
                id(2),
                id(7),
                id(1)
            ),
        ),
        (
            "decisions",
            format!(
                r#"["{}","{}","first","superseded","pattern","{}",[],false,false,1,1,1]"#,
                id(10),
                id(2),
                id(11)
            ),
        ),
        (
            "decisions",
            format!(
                r#"["{}","{}","second","proposed","pattern",null,[],false,false,1,1,1]"#,
                id(11),
                id(2)
            ),
        ),
        (
            "highlights",
            format!(
                r#"["{}","{}","x","Ada",0,[],"0.30000000000000004",false,1,"confirmed"]"#,
                id(12),
                id(2)
            ),
        ),
    ];
    // Through a load into the same kind of database: that is what is tested, and it needs no other SQL.
    let kept = dumped(&db.store).await;
    let other = TestDb::new(db.store.engine())
        .await
        .expect("a database")
        .expect("the same engine");
    let mut load = other.store.load().await.expect("an empty database");
    for (table, row) in kept {
        load.row(table, &row).await.expect("a row");
    }
    for (table, row) in &rows {
        load.row(table, row).await.expect(table);
    }
    load.finish().await.expect("whole");
    let all = dumped(&other.store).await;
    let refilled = TestDb::new(db.store.engine())
        .await
        .expect("a database")
        .expect("the same engine");
    let mut load = refilled.store.load().await.expect("an empty database");
    for (table, row) in &all {
        load.row(table, row).await.expect("a row");
    }
    let counts = load.finish().await.expect("whole");
    assert_eq!(counts["decisions"], 2);
    assert_eq!(dumped(&refilled.store).await, all);
    assert!(refilled.store.damage().await.expect("a check").is_empty());
    let highlight = all
        .iter()
        .find(|(table, _)| *table == "highlights")
        .expect("a highlight");
    assert!(
        highlight.1.contains("0.30000000000000004"),
        "{}",
        highlight.1
    );
    let first = all
        .iter()
        .find(|(table, row)| *table == "decisions" && row.contains("first"))
        .expect("a decision");
    assert!(
        first.1.contains(&id(11)),
        "the reference to a later row is kept: {}",
        first.1
    );
    let meeting = all
        .iter()
        .find(|(table, _)| *table == "meetings")
        .expect("a meeting");
    assert!(
        meeting.1.contains("12345678901234567890.5"),
        "{}",
        meeting.1
    );
}

both_engines!(a_dump_loads_into_an_equal_database, db => {
    fill(&db).await;
});

both_engines!(a_database_with_rows_is_not_loaded_into, db => {
    let mut tx = db.store.begin().await.expect("a transaction");
    db.store.seed_user(&mut tx, UserId::from_uuid(uuid::Uuid::from_u128(1)), "a@example.com").await.expect("a user");
    tx.commit().await.expect("a commit");
    let error = db.store.load().await.expect_err("it has a user");
    assert!(error.to_string().contains("users"), "{error}");
});

both_engines!(an_unfinished_load_leaves_nothing, db => {
    let user = format!(r#"["{}","a@example.com","A","member",null,{{}},null,1,1]"#, uuid::Uuid::from_u128(1));
    let mut load = db.store.load().await.expect("an empty database");
    load.row("users", &user).await.expect("a row");
    assert!(load.row("users", "[1]").await.is_err());
    assert!(load.row("strangers", "[]").await.is_err());
    drop(load);
    let rows = dumped(&db.store).await;
    assert!(rows.iter().all(|(table, _)| *table == "instance"), "{rows:?}");
});

both_engines!(every_table_and_column_is_in_the_backup, db => {
    let mut schema = db.store.table_columns().await.expect("the columns");
    schema.remove("_sqlx_migrations");
    let ours: BTreeMap<String, Vec<String>> = backup_columns()
        .into_iter()
        .map(|(table, columns)| {
            let mut columns: Vec<String> = columns.into_iter().map(str::to_owned).collect();
            columns.sort();
            (table.to_owned(), columns)
        })
        .collect();
    assert_eq!(ours, schema);
});

#[tokio::test]
async fn a_dump_of_one_engine_loads_into_the_other() {
    let (Some(lite), Some(post)) = (
        TestDb::new(Engine::Sqlite).await.expect("a database"),
        TestDb::new(Engine::Postgres).await.expect("a database"),
    ) else {
        return;
    };
    let mut tx = lite.store.begin().await.expect("a transaction");
    let user_id = UserId::from_uuid(uuid::Uuid::from_u128(9));
    lite.store
        .seed_user(&mut tx, user_id, "åsa@example.com")
        .await
        .expect("a user");
    tx.commit().await.expect("a commit");
    lite.store
        .instance_set("moved_at", &Timestamp::from_micros(1).to_string())
        .await
        .expect("a value");
    let rows = dumped(&lite.store).await;
    let mut load = post.store.load().await.expect("an empty database");
    for (table, row) in &rows {
        load.row(table, row).await.expect("a row");
    }
    load.finish().await.expect("whole");
    assert_eq!(dumped(&post.store).await, rows);
}
