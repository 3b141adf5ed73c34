//! Consent, its ledger, and taking words back.

use axum::http::Method;
use meetmind_core::{Actor, Attribution, EventKind, ParticipantId, Segment, SegmentId};
use meetmind_server::testing::TestServer;
use serde_json::{Value, json};

use crate::people::{Gathering, People, events, servers, text};

#[tokio::test]
async fn consent_is_ones_own_and_the_ledger_only_grows() {
    for server in servers().await {
        let people = People::new(&server).await;
        let gathering = people.gather(&server, json!({})).await;
        let consent = format!(
            "{}/consent",
            gathering
                .participant_path(&server, &people.participant)
                .await
        );
        let nothing = server.get(&people.participant, &consent).await.data();
        assert_eq!(
            nothing,
            json!({ "transcript": "pending", "recording": "pending", "memory": "pending", "at": null, "erasure_offered": false, "erasure_url": null })
        );
        let put = async |actor: &Actor, path: &str, body: Value| {
            server.call(actor, Method::PUT, path, body).await
        };
        let given = put(
            &people.participant,
            &consent,
            json!({ "transcript": "granted", "memory": "granted" }),
        )
        .await
        .data();
        assert_eq!(
            (&given["recording"], &given["erasure_offered"]),
            (&json!("pending"), &json!(false))
        );
        put(
            &people.participant,
            &consent,
            json!({ "memory": "granted" }),
        )
        .await;
        let withdrawn = put(&people.participant, &consent, json!({ "memory": "denied" }))
            .await
            .data();
        assert_eq!(
            (
                &withdrawn["transcript"],
                &withdrawn["memory"],
                &withdrawn["erasure_offered"]
            ),
            (&json!("granted"), &json!("denied"), &json!(true))
        );
        let offered = server
            .post(
                &people.participant,
                &text(&withdrawn["erasure_url"]),
                Value::Null,
            )
            .await;
        assert_eq!(offered.status.as_u16(), 200, "{}", offered.json());

        let Actor::Guest { participant_id, .. } = &gathering.guest else {
            panic!("not a guest");
        };
        let guests = format!("{}/participants/{participant_id}/consent", gathering.path);
        assert_eq!(
            put(&gathering.guest, &guests, json!({ "recording": "denied" }))
                .await
                .status
                .as_u16(),
            200
        );
        assert_eq!(
            put(&people.host, &guests, json!({ "recording": "granted" }))
                .await
                .code(),
            "FORBIDDEN"
        );
        assert_eq!(
            put(
                &people.participant,
                &consent,
                json!({ "memory": "pending" })
            )
            .await
            .code(),
            "VALIDATION_FAILED"
        );

        let ledger = format!("{}/consents?limit=2", gathering.path);
        let first = server.get(&people.cohost, &ledger).await.data();
        let next = format!("{ledger}&cursor={}", text(&first["next_cursor"]));
        let second = server.get(&people.cohost, &next).await.data();
        let words: Vec<&Value> = first["items"]
            .as_array()
            .into_iter()
            .chain(second["items"].as_array())
            .flatten()
            .map(|entry| &entry["memory"])
            .collect();
        assert_eq!(words.len(), 3);
        let told = events(&server, &format!("meeting:{}", gathering.meeting_id)).await;
        assert_eq!(
            told.iter()
                .filter(|(kind, _)| kind == "consent.changed")
                .count(),
            3
        );
    }
}

fn segment(
    server: &TestServer,
    gathering: &Gathering,
    who: ParticipantId,
    start_ms: i64,
    text: &str,
) -> Segment {
    let now = server.app.app.now();
    let id: SegmentId = server.app.app.entropy().id(now);
    Segment {
        id,
        meeting_id: gathering.meeting_id,
        participant_id: Some(who),
        speaker: "Other".to_owned(),
        text: text.to_owned(),
        start_ms,
        end_ms: start_ms + 10,
        confidence: None,
        language: None,
        is_final: true,
        external_id: None,
        attribution: Attribution::Declared,
        version: 1,
        corrected_at: None,
        created_at: now,
        updated_at: now,
    }
}

#[tokio::test]
async fn erasing_words_takes_only_ones_own_and_leaves_no_copy() {
    for server in servers().await {
        let people = People::new(&server).await;
        let gathering = people.gather(&server, json!({})).await;
        let topic = format!("meeting:{}", gathering.meeting_id);
        let (mine, kept) = (
            gathering.participant_id(&server, &people.other).await,
            gathering.participant_id(&server, &people.participant).await,
        );
        let mut tx = server.app.db.store.begin().await.expect("a transaction");
        for (who, start_ms, words) in [
            (mine, 0, "the secret word"),
            (mine, 10, "the secret word"),
            (kept, 20, "the plain word"),
        ] {
            let segment = segment(&server, &gathering, who, start_ms, words);
            tx.segment_insert(&segment).await.expect("a segment");
            let data = serde_json::to_value(&segment).expect("JSON");
            tx.event_append(
                topic.parse().expect("a topic"),
                EventKind::SegmentFinalized,
                segment.created_at,
                data,
            )
            .await
            .expect("an event");
            let cited = json!({ "id": "act_1", "text": words, "segment_ids": [segment.id] });
            tx.event_append(
                topic.parse().expect("a topic"),
                EventKind::ActionProposed,
                segment.created_at,
                cited,
            )
            .await
            .expect("an event");
        }
        tx.commit().await.expect("a commit");

        let path = format!("{}/participants/{mine}/erase-words", gathering.path);
        assert_eq!(
            server.post(&people.cohost, &path, Value::Null).await.code(),
            "FORBIDDEN"
        );
        let receipt = server.post(&people.other, &path, Value::Null).await;
        assert_eq!(receipt.status.as_u16(), 200, "{}", receipt.json());
        assert_eq!(
            (
                &receipt.data()["erased"]["segments"],
                &receipt.data()["erased"]["events"]
            ),
            (&json!(2), &json!(4))
        );
        let mut conn = server.app.db.store.read().await.expect("a connection");
        let left = conn
            .segment_finals(gathering.meeting_id)
            .await
            .expect("segments");
        assert_eq!(
            left.iter()
                .map(|segment| segment.participant_id)
                .collect::<Vec<_>>(),
            [Some(kept)]
        );
        let told = events(&server, &topic).await;
        let having = |word: &str| {
            told.iter()
                .filter(|(_, data)| data.to_string().contains(word))
                .count()
        };
        assert_eq!(having("secret"), 0);
        // Notes made anew from what is left may add to these.
        assert!(having("plain") >= 2);
        assert_eq!(
            told.iter()
                .filter(|(kind, _)| kind == "segment.erased")
                .count(),
            2
        );
        let again = server.post(&people.host, &path, Value::Null).await.data();
        assert_eq!(again["erased"]["segments"], 0);
    }
}
