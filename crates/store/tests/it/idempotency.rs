//! Idempotency keys: one request wins, the others learn how it went.

use meetmind_core::Timestamp;
use meetmind_store::{IdempotencyClaim, both_engines};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn claim(hash: u8, seconds: i64) -> IdempotencyClaim {
    IdempotencyClaim {
        actor: "user:a".to_owned(),
        key: "k".to_owned(),
        request_hash: vec![hash; 32],
        created_at: at(seconds),
    }
}

both_engines!(of_racing_requests_one_wins, db => {
    let mut tasks = Vec::new();
    for number in 0..8 {
        let store = db.store.clone();
        tasks.push(tokio::spawn(async move {
            let mut tx = store.begin().await.expect("a transaction");
            let won = tx.idempotency_reserve(&claim(1, 100 + number), at(0), at(0)).await.expect("an answer");
            tx.commit().await.expect("a commit");
            won
        }));
    }
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.expect("a request"));
    }
    assert_eq!(winners, 1);
});

both_engines!(a_key_is_taken_over_only_from_the_dead_and_the_expired, db => {
    let mut tx = db.store.begin().await.expect("a transaction");
    assert!(tx.idempotency_reserve(&claim(1, 100), at(0), at(0)).await.expect("an answer"));
    // Young, or another request: no.
    assert!(!tx.idempotency_reserve(&claim(1, 110), at(0), at(50)).await.expect("an answer"));
    assert!(!tx.idempotency_reserve(&claim(2, 200), at(0), at(140)).await.expect("an answer"));
    // The same request, abandoned.
    assert!(tx.idempotency_reserve(&claim(1, 200), at(0), at(140)).await.expect("an answer"));
    // Who was thought dead cannot write any more.
    assert!(!tx.idempotency_complete(&claim(1, 100), 201, None, "old").await.expect("an answer"));
    tx.idempotency_release(&claim(1, 100)).await.expect("an answer");
    assert!(tx.idempotency_complete(&claim(1, 200), 201, Some("/x"), "{}").await.expect("an answer"));
    // An answer stays until it expires.
    assert!(!tx.idempotency_reserve(&claim(1, 300), at(0), at(299)).await.expect("an answer"));
    let row = tx.idempotency_find("user:a", "k").await.expect("an answer").expect("a row");
    assert_eq!((row.status, row.location.as_deref(), row.response.as_deref()), (Some(201), Some("/x"), Some("{}")));
    assert!(tx.idempotency_find("user:b", "k").await.expect("an answer").is_none());
    assert!(tx.idempotency_reserve(&claim(2, 90_000), at(300), at(0)).await.expect("an answer"));
    assert_eq!(tx.idempotency_find("user:a", "k").await.expect("an answer").expect("a row").status, None);
    assert_eq!(tx.idempotency_trim(at(90_001)).await.expect("a trim"), 1);
});
