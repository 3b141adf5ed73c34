//! What happens at the same time, on both engines; and guests, whose tokens no endpoint of this
//! part makes.

use std::time::Duration;

use meetmind_core::{
    Actor, Code, Ctx, Id, MeetingRole, Participant, ParticipantState, Result, SessionId, UserId,
};
use meetmind_store::both_engines;
use meetmind_store::testing::TestDb;

use crate::testing::TestApp;
use crate::{AccountNew, App, MeetingNew, Settings, SignedIn, UserNew};

const PASSWORD: &str = "sparrows on the roof at dawn";

async fn on(db: TestDb) -> TestApp {
    TestApp::on(db, Settings::default()).await
}

fn nobody(app: &App) -> Ctx {
    app.ctx(Actor::Anonymous, app.entropy().id(app.now()))
}

async fn register(app: &App, email: &str) -> Result<SignedIn> {
    let new = AccountNew {
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        ..AccountNew::default()
    };
    app.account_register(&nobody(app), new).await
}

both_engines!(of_two_who_register_one_address_one_gets_it, db => {
    let test = on(db).await;
    let (one, two) = tokio::join!(register(&test.app, "Anna@example.com"), register(&test.app, "anna@EXAMPLE.com"));
    let failed = [one, two].into_iter().filter_map(|outcome| outcome.err()).map(|error| error.code).collect::<Vec<_>>();
    assert_eq!(failed, [Code::EmailTaken]);
});

both_engines!(two_refreshes_at_once_both_get_working_tokens, db => {
    let test = on(db).await;
    let app = &test.app;
    let anna = register(app, "anna@example.com").await.expect("an account");
    let ctx = nobody(app);
    let (one, two) = tokio::join!(app.session_refresh(&ctx, &anna.refresh_token), app.session_refresh(&ctx, &anna.refresh_token));
    let (one, two) = (one.expect("tokens"), two.expect("tokens"));
    assert_ne!(one.refresh_token, two.refresh_token);
    for tokens in [&one, &two] {
        app.authenticate(&tokens.access_token).await.expect("good");
        app.session_refresh(&ctx, &tokens.refresh_token).await.expect("good");
    }
    test.clock.advance(Duration::from_secs(60));
    let late = nobody(app);
    let (one, two) = tokio::join!(app.session_refresh(&late, &anna.refresh_token), app.session_refresh(&late, &one.refresh_token));
    assert!([&one, &two].iter().all(|outcome| outcome.is_err()), "a copied token ends the session");
});

both_engines!(many_guesses_at_once_do_not_slip_through, db => {
    let test = on(db).await;
    let app = &test.app;
    register(app, "anna@example.com").await.expect("an account");
    let guesses = (0..40).map(|number| {
        let app = app.clone();
        tokio::spawn(async move { app.sign_in(&nobody(&app), "anna@example.com", format!("guess {number}"), None).await })
    });
    let guesses: Vec<_> = guesses.collect();
    let mut heard = 0;
    for guess in guesses {
        match guess.await.expect("a task").expect_err("wrong").code {
            Code::InvalidCredentials => heard += 1,
            other => assert_eq!(other, Code::TooManyAttempts),
        }
    }
    assert_eq!(heard, 10);
});

both_engines!(a_ticket_opens_one_socket_even_when_two_try, db => {
    let test = on(db).await;
    let app = &test.app;
    let anna = test.user("anna").await;
    let ticket = app.ws_ticket_create(&test.ctx(&anna)).await.expect("a ticket").ticket;
    let (one, two) = tokio::join!(app.ws_ticket_redeem(&ticket), app.ws_ticket_redeem(&ticket));
    assert_eq!([one, two].iter().filter(|outcome| outcome.is_ok()).count(), 1);
});

both_engines!(of_two_administrators_who_demote_each_other_one_stays, db => {
    let test = on(db).await;
    let app = &test.app;
    let ctx = app.system_ctx();
    let mut ids: Vec<UserId> = Vec::new();
    for name in ["one", "two"] {
        let new = UserNew { email: format!("{name}@example.com"), name: None, role: meetmind_core::UserRole::Admin, password: None };
        ids.push(app.user_create(&ctx, new).await.expect("an account").0.id);
    }
    let (one, two) = tokio::join!(app.user_demote(&ctx, ids[0]), app.user_demote(&ctx, ids[1]));
    assert_eq!([one, two].iter().filter(|outcome| outcome.is_ok()).count(), 1);
});

both_engines!(leaving_works_on_both_engines, db => {
    let test = on(db).await;
    let app = &test.app;
    let anna = register(app, "anna@example.com").await.expect("an account");
    let actor = app.authenticate(&anna.access_token).await.expect("good");
    let ctx = test.ctx(&actor);
    app.meeting_create(&ctx, MeetingNew { title: "Mine".to_owned(), ..MeetingNew::default() }).await.expect("a meeting");
    let mut export = app.account_export(&ctx).await.expect("an export");
    let mut whole = String::new();
    while let Some(piece) = export.next().await {
        whole.push_str(&piece.expect("a piece"));
    }
    let data: serde_json::Value = serde_json::from_str(&whole).expect("JSON");
    assert_eq!(data["meetings"][0]["title"], "Mine");
    let receipt = app.account_erase(&ctx, PASSWORD.to_owned()).await.expect("a receipt");
    assert_eq!((receipt.erased["meetings"], receipt.erased["participants"]), (1, 1));
    assert_eq!(app.authenticate(&anna.access_token).await.expect_err("gone").code, Code::SessionRevoked);
    app.auth_trim().await.expect("tidied");
});

/// A guest of a meeting, its token, and the meeting's host.
async fn guest(test: &TestApp) -> (Actor, Participant, String) {
    let host = test.user("host").await;
    let ctx = test.ctx(&host);
    let new = MeetingNew {
        title: "Weekly".to_owned(),
        ..MeetingNew::default()
    };
    let meeting = test.app.meeting_create(&ctx, new).await.expect("a meeting");
    let participant = Participant {
        id: test.app.entropy().id(ctx.now),
        meeting_id: meeting.id,
        user_id: None,
        agent_id: None,
        name: "Gast".to_owned(),
        role: MeetingRole::Viewer,
        state: ParticipantState::Joined,
        muted: false,
        joined_at: Some(ctx.now),
        left_at: None,
        created_at: ctx.now,
        updated_at: ctx.now,
    };
    let mut tx = test.db.store.begin().await.expect("a transaction");
    tx.participant_insert(&participant)
        .await
        .expect("a participant");
    tx.commit().await.expect("a commit");
    let token = test.app.guest_token(&ctx, &participant).expect("a token");
    (host, participant, token)
}

both_engines!(a_guest_token_is_good_for_one_meeting_and_as_long_as_the_guest_may_stay, db => {
    let test = on(db).await;
    let app = &test.app;
    let (host, mut participant, token) = guest(&test).await;
    let actor = app.authenticate(&token).await.expect("good");
    assert_eq!(actor, Actor::Guest { participant_id: participant.id, meeting_id: participant.meeting_id, role: MeetingRole::Viewer });
    app.meeting_get(&test.ctx(&actor), participant.meeting_id).await.expect("the meeting");
    let other = app.meeting_create(&test.ctx(&host), MeetingNew { title: "Other".to_owned(), ..MeetingNew::default() }).await.expect("a meeting");
    assert_eq!(app.meeting_get(&test.ctx(&actor), other.id).await.expect_err("not theirs").code, Code::NotFound);
    assert_eq!(app.profile_get(&test.ctx(&actor)).await.expect_err("no account").code, Code::Forbidden);
    let ticket = app.ws_ticket_create(&test.ctx(&actor)).await.expect("a ticket").ticket;
    assert_eq!(app.ws_ticket_redeem(&ticket).await.expect("good"), actor);

    participant.state = ParticipantState::Removed;
    let mut tx = test.db.store.begin().await.expect("a transaction");
    tx.participant_update(&participant).await.expect("an update");
    tx.commit().await.expect("a commit");
    test.clock.advance(crate::RECHECK);
    assert_eq!(app.authenticate(&token).await.expect_err("removed").code, Code::SessionRevoked);

    participant.state = ParticipantState::Joined;
    let mut tx = test.db.store.begin().await.expect("a transaction");
    tx.participant_update(&participant).await.expect("an update");
    tx.commit().await.expect("a commit");
    test.clock.advance(crate::RECHECK);
    app.authenticate(&token).await.expect("back");
    test.clock.advance(Duration::from_secs(12 * 3600));
    assert_eq!(app.authenticate(&token).await.expect_err("late").code, Code::TokenExpired);
});

both_engines!(a_guest_token_ends_with_its_meeting, db => {
    let test = on(db).await;
    let (host, participant, token) = guest(&test).await;
    test.app.meeting_delete(&test.ctx(&host), participant.meeting_id).await.expect("deleted");
    assert_eq!(test.app.authenticate(&token).await.expect_err("deleted").code, Code::SessionRevoked);
});

#[tokio::test]
async fn a_token_of_a_session_that_is_another_users_is_refused() {
    let test = TestApp::new().await;
    let anna = register(&test.app, "anna@example.com")
        .await
        .expect("an account");
    let Actor::User { user_id: other, .. } = test.user("ben").await else {
        panic!("a user");
    };
    let signer = &test.app.inner.auth.signer;
    let ttl = Duration::from_secs(60);
    let now = test.app.now();
    let mut claims = signer.claims(
        super::TokenKind::Access,
        other.to_string(),
        &[0; 16],
        now,
        ttl,
    );
    claims.sid = Some(anna.session_id);
    let token = signer.sign(&claims).expect("a token");
    assert_eq!(
        test.app.authenticate(&token).await.expect_err("mixed").code,
        Code::TokenInvalid
    );
    claims.sid = Some(SessionId::from_uuid(other.uuid()));
    let token = signer.sign(&claims).expect("a token");
    test.app.authenticate(&token).await.expect("good");
}
