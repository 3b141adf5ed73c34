//! Who may do what, operation by operation: the table of `rows`, held against the document and
//! against the service.

mod rows;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use futures_util::StreamExt;
use meetmind_server::openapi_document;

use rows::{Caller, Effect, OK, REFUSED, Row, mistaken, rows};
use world::{Player, World};

/// A path with its parameters' names left out: the document and the table name them differently.
fn shape(path: &str) -> String {
    let path = path.split('?').next().unwrap_or(path);
    let part = |part: &str| match part.starts_with('{') {
        true => "{}".to_owned(),
        false => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn the_table_has_every_operation_of_the_document() {
    let document = serde_json::to_value(openapi_document()).expect("JSON");
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "patch", "delete", "head", "options"] {
            if item.get(method).is_some() {
                documented.insert((method.to_uppercase(), shape(path)));
            }
        }
    }
    let listed: BTreeSet<_> = rows()
        .iter()
        .map(|row| (row.method.to_owned(), shape(row.path)))
        .collect();
    let missing: Vec<_> = documented.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "operations without a row in authz/rows.rs: {missing:#?}"
    );
    let surplus: Vec<_> = listed.difference(&documented).collect();
    assert!(
        surplus.is_empty(),
        "rows for operations that there are not: {surplus:#?}"
    );
    let callers = Caller::COUNT;
    println!(
        "authorisation: {} operations in {} rows × {callers} callers = {} checks",
        documented.len(),
        rows().len(),
        rows().len() * callers
    );
}

/// What came of one call, when it is not what the table says.
async fn call(world: &World, player: &Player, row: &Row) -> Option<String> {
    // No two changes are of one moment.
    world.server.app.clock.advance(Duration::from_millis(1));
    let path = world.fill(player, row.path);
    let request = Request::builder().method(row.method).uri(&path);
    let request = match row.body {
        "" => request.body(Body::empty()),
        body => request
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(world.fill(player, body))),
    };
    let request = request.expect("a request");
    let expected = row.rule.of(player.caller);
    let status = world.server.status(&player.actor, request).await.as_u16();
    if expected == OK && !(200..300).contains(&status) {
        println!("{} {path} by {:?}: {status}", row.method, player.caller);
    }
    let is_as_said = match expected {
        // Past the door: what is there may still be in the way.
        OK => !matches!(status, 401 | 403 | 404 | 405) && status < 500,
        REFUSED => matches!(status, 403 | 404),
        refusal => status == refusal,
    };
    (!is_as_said).then(|| {
        let Row {
            method, path, body, ..
        } = row;
        format!(
            "{method} {path} {body}: {:?} got {status}, not {expected}",
            player.caller
        )
    })
}

/// Runs a row for every caller. Refusals change nothing, so they share a world.
async fn check(row: Row, shared: Arc<World>) -> Vec<String> {
    let mut wrong = Vec::new();
    let let_in = |player: &Player| row.rule.of(player.caller) == OK;
    for player in &shared.players {
        if row.effect == Effect::Reads || !let_in(player) {
            wrong.extend(call(&shared, player, &row).await);
        }
    }
    match row.effect {
        Effect::Reads => {}
        Effect::Writes => {
            let own = World::new().await;
            for player in own.players.iter().filter(|player| let_in(player)) {
                wrong.extend(call(&own, player, &row).await);
            }
        }
        Effect::Spends => {
            for (at, player) in shared.players.iter().enumerate() {
                if let_in(player) {
                    let own = World::new().await;
                    wrong.extend(call(&own, &own.players[at], &row).await);
                }
            }
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_gets_what_the_table_says_and_nothing_else() {
    let shared = Arc::new(World::new().await);
    let callers: BTreeMap<String, usize> = shared
        .players
        .iter()
        .enumerate()
        .map(|(at, player)| (format!("{:?}", player.caller), at))
        .collect();
    assert_eq!(callers.len(), Caller::COUNT);
    let before = shared.history().await;
    let wrong: Vec<String> = futures_util::stream::iter(rows())
        .map(|row| tokio::spawn(check(row, shared.clone())))
        .buffer_unordered(4)
        .flat_map(|wrong| futures_util::stream::iter(wrong.expect("a row that was run")))
        .collect()
        .await;
    assert!(
        wrong.is_empty(),
        "{} calls went otherwise:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // Only reads and refusals went to the shared world.
    assert_eq!(
        shared.history().await,
        before,
        "a refused call left a trace"
    );
}

#[tokio::test]
async fn a_mistake_in_the_table_is_noticed_for_each_caller_it_concerns() {
    let shared = Arc::new(World::new().await);
    let wrong = check(mistaken(), shared).await;
    let callers = ["Guest", "Viewer", "Participant", "Agent", "Cohost", "Host"];
    let noticed = |name: &str| {
        let caller = format!(": {name} got 200, not 403");
        wrong.iter().any(|line| line.ends_with(&caller))
    };
    assert!(callers.into_iter().all(noticed), "{wrong:#?}");
    assert!(
        wrong
            .iter()
            .any(|line| line.ends_with(": Admin got 404, not 200")),
        "{wrong:#?}"
    );
    assert!(!wrong.iter().any(|line| line.contains("Anonymous")));
}
