//! What becomes of recordings: consent, crashes, removal, erasure.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use meetmind_core::*;
use meetmind_media::KeptIndex;
use meetmind_media::driver::DriverConfig;
use meetmind_media::record::index::{FileKind, IndexedFile};
use meetmind_media::record::ogg::{OggOptions, OggOpusWriter, SILENT_PACKET};
use meetmind_media::record::spec::RecordingSpec;
use meetmind_store::testing::TestDb;
use sha2::{Digest as _, Sha256};

use crate::testing::TestApp;
use crate::{ConsentChange, MeetingJoin, MeetingNew, Rooms, Settings};

/// A folder of a test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A live meeting of a host and a guest by account, with a folder for recordings.
struct Room {
    test: TestApp,
    host: Actor,
    ben: Actor,
    meeting: MeetingId,
    host_place: ParticipantId,
    ben_place: ParticipantId,
    folder: Folder,
}

impl Room {
    async fn new(db: TestDb, mut settings: Settings) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("meetmind-app-{}-{number}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        settings.recordings.directory = folder.0.clone();
        let test = TestApp::on(db, settings).await;
        let (host, ben) = (test.user("host").await, test.user("ben").await);
        let new = MeetingNew {
            title: "Weekly".to_owned(),
            access: Some(MeetingAccess::Open),
            ..MeetingNew::default()
        };
        let meeting = test.app.meeting_create(&test.ctx(&host), new).await;
        let meeting = meeting.expect("a meeting").id;
        let mut places = Vec::new();
        for who in [&host, &ben] {
            test.clock.advance(Duration::from_millis(1));
            let join = MeetingJoin::default();
            let joined = test.app.meeting_join(&test.ctx(who), meeting, join).await;
            places.push(joined.expect("let in").participant.id);
        }
        Self {
            test,
            host,
            ben,
            meeting,
            host_place: places[0],
            ben_place: places[1],
            folder,
        }
    }

    fn ctx(&self, who: &Actor) -> Ctx {
        self.test.clock.advance(Duration::from_millis(1));
        self.test.ctx(who)
    }

    async fn rooms(&self) -> Rooms {
        let driver = DriverConfig {
            listen: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            udp_port: 0,
            tcp_port: None,
            shards: 1,
            ..DriverConfig::default()
        };
        let rooms = self.test.app.rooms_open(driver, None).await;
        rooms.expect("a media server")
    }

    async fn consent(&self, who: &Actor, place: ParticipantId, word: ConsentState) {
        let said = ConsentChange {
            recording: Some(word),
            ..ConsentChange::default()
        };
        let ctx = self.ctx(who);
        let set = self.test.app.consent_set(&ctx, self.meeting, place, said);
        set.await.expect("an entry");
    }

    /// The row of a recording that runs, or ran when its process died, and its folder.
    async fn begun(&self) -> (Recording, PathBuf) {
        let ctx = self.ctx(&self.host);
        let recording = Recording {
            id: self.test.app.id(&ctx),
            meeting_id: self.meeting,
            mode: RecordingMode::Both,
            status: RecordingStatus::Recording,
            reason: None,
            started_by: "system".to_owned(),
            stopped_by: None,
            started_at: ctx.now,
            ended_at: None,
            duration_ms: 0,
            size_bytes: 0,
            dropped_packets: 0,
            participants: Vec::new(),
            skipped: Vec::new(),
        };
        let mut tx = self.test.app.store().begin().await.expect("a transaction");
        tx.recording_insert(&recording).await.expect("a row");
        tx.commit().await.expect("a commit");
        let folder = self
            .test
            .app
            .recording_directory(self.meeting, recording.id);
        std::fs::create_dir_all(folder.join("tracks")).expect("a folder");
        (recording, folder)
    }

    /// A recording that has ended: a mix with both, and a track of each.
    async fn ended(&self) -> (Recording, PathBuf) {
        let (recording, folder) = self.begun().await;
        let mut kept = KeptIndex::default();
        let track = |who: ParticipantId| format!("tracks/{who}-TR_AMx.ogg");
        silence(&folder.join("mixed.ogg"), 100);
        kept.index
            .files
            .push(indexed("mixed.ogg", FileKind::Mixed, None));
        for who in [self.host_place, self.ben_place] {
            silence(&folder.join(track(who)), 50);
            kept.index
                .files
                .push(indexed(&track(who), FileKind::Audio, Some(who)));
            kept.index.participants.push(
                serde_json::from_value(serde_json::json!({
                    "identity": who, "consent": [{ "from_ms": 0, "to_ms": null }]
                }))
                .expect("a participant"),
            );
        }
        let ctx = self.ctx(&Actor::System);
        let (status, reason) = (RecordingStatus::Completed, RecordingReason::Requested);
        let app = &self.test.app;
        app.recording_enter_end(&ctx, self.meeting, recording.id, status, reason, Some(kept))
            .await
            .expect("an end");
        (recording, folder)
    }

    async fn files(&self, id: RecordingId) -> Vec<RecordingFile> {
        let ctx = self.ctx(&self.host);
        let found = self.test.app.recording_get(&ctx, self.meeting, id).await;
        found.expect("a recording").1
    }

    async fn work(&self) {
        let ctx = self.ctx(&Actor::System);
        self.test.app.run_due_jobs(&ctx).await.expect("the jobs");
    }

    async fn told(&self) -> Vec<EventKind> {
        let mut conn = self.test.app.store().read().await.expect("a connection");
        let topic = EventTopic::Meeting(self.meeting);
        let events = conn.event_list(topic, 0, 1_000).await.expect("events");
        events.into_iter().map(|event| event.kind).collect()
    }
}

fn indexed(name: &str, kind: FileKind, who: Option<ParticipantId>) -> IndexedFile {
    IndexedFile {
        name: name.to_owned(),
        kind,
        participant: who.map(|who| who.to_string()),
        track: who.map(|_| "TR_AMx".to_owned()),
        start_ms: 0,
        duration_ms: 1_000,
        size_bytes: 0,
    }
}

/// An Ogg file with so many frames of 20 ms.
fn silence(path: &Path, frames: u64) -> Vec<u8> {
    let options = OggOptions {
        layout: RecordingSpec::default().mixed_layout,
        pre_skip: 312,
        serial: 1,
        comments: Vec::new(),
    };
    let mut writer = OggOpusWriter::new(Vec::new(), &options).expect("a writer");
    for frame in 0..frames {
        writer.packet(frame * 960, &SILENT_PACKET).expect("written");
    }
    writer.flush().expect("written");
    let bytes = std::mem::take(writer.sink());
    std::fs::write(path, &bytes).expect("a file");
    bytes
}

meetmind_store::both_engines!(what_a_dead_process_left_is_kept_and_said_to_be_interrupted, db => {
    let room = Room::new(db, Settings::default()).await;
    let app = &room.test.app;
    let (recording, folder) = room.begun().await;
    let whole = silence(&folder.join("mixed.ogg"), 250);
    // The process died in the middle of a page, and before the track was in the table of contents.
    let mut cut = whole.clone();
    cut.extend_from_slice(&whole[..100]);
    std::fs::write(folder.join("mixed.ogg"), &cut).expect("a file");
    let track = format!("tracks/{}-TR_AMx.ogg", room.ben_place);
    silence(&folder.join(&track), 50);
    let mut kept = KeptIndex::default();
    kept.index.duration_ms = 4_000;
    kept.index.files.push(indexed("mixed.ogg", FileKind::Mixed, None));
    std::fs::write(folder.join("index.json"), serde_json::to_vec(&kept).expect("JSON")).expect("a file");
    std::fs::write(folder.join("tracks/nothing.ogg"), b"").expect("a file");

    room.test.clock.advance(Duration::from_secs(60));
    assert_eq!(app.recordings_recover(&app.system_ctx()).await.expect("a look"), 1);
    assert_eq!(app.recordings_recover(&app.system_ctx()).await.expect("a look"), 0);
    let ctx = room.ctx(&room.host);
    let (found, files) = app.recording_get(&ctx, room.meeting, recording.id).await.expect("a recording");
    assert_eq!((found.status, found.reason), (RecordingStatus::Interrupted, Some(RecordingReason::ProcessDied)));
    assert!(found.duration_ms >= 5_000, "{found:?}");
    let ended_at = found.ended_at.expect("an end");
    assert_eq!(ended_at.millis_since(found.started_at), found.duration_ms);
    let [mix, ben] = &files[..] else { panic!("{files:?}") };
    assert_eq!((mix.kind, mix.duration_ms, mix.size_bytes), (RecordingFileKind::Mix, 5_000, whole.len() as i64));
    assert_eq!(std::fs::read(folder.join("mixed.ogg")).expect("a file"), whole, "the half page is cut off");
    let sum: String = Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(mix.sha256, sum);
    assert_eq!((ben.kind, ben.participant_id, ben.track.as_deref()), (RecordingFileKind::Audio, Some(room.ben_place), Some("TR_AMx")));
    assert_eq!(found.size_bytes, mix.size_bytes + ben.size_bytes);
    assert_eq!(room.told().await.last(), Some(&EventKind::RecordingStopped));
});

meetmind_store::both_engines!(a_recording_of_another_process_is_left_to_it, db => {
    let room = Room::new(db, Settings::default()).await;
    let app = &room.test.app;
    let (recording, folder) = room.begun().await;
    std::fs::remove_dir_all(&folder).expect("a folder");
    room.test.clock.advance(Duration::from_secs(60));
    assert_eq!(app.recordings_recover(&app.system_ctx()).await.expect("a look"), 0);
    let ctx = room.ctx(&room.host);
    let stop = app.recording_stop(&ctx, room.meeting, recording.id).await;
    assert_eq!(stop.map_err(|error| error.code), Err(Code::Conflict));
    // Longer than the longest it cannot take.
    room.test.clock.advance(Duration::from_secs(10 * 3_600));
    assert_eq!(app.recordings_recover(&app.system_ctx()).await.expect("a look"), 1);
});

meetmind_store::both_engines!(consent_decides_from_moment_to_moment, db => {
    let room = Room::new(db, Settings::default()).await;
    let app = &room.test.app;
    let rooms = room.rooms().await;
    room.consent(&room.host, room.host_place, ConsentState::Granted).await;
    let ctx = room.ctx(&room.ben);
    let started = app.recording_start(&ctx, room.meeting, RecordingMode::Mix).await.expect("a recording");
    room.consent(&room.ben, room.ben_place, ConsentState::Granted).await;
    room.consent(&room.ben, room.ben_place, ConsentState::Denied).await;
    let ctx = room.ctx(&room.host);
    let stopped = app.recording_stop(&ctx, room.meeting, started.id).await.expect("an end");
    assert_eq!(stopped.status, RecordingStatus::Completed);
    let spans = |place: ParticipantId| -> Vec<Option<i64>> {
        let person = stopped.participants.iter().find(|it| it.identity == place.to_string());
        person.map_or(Vec::new(), |it| it.consent.iter().map(|span| span.to_ms).collect())
    };
    assert_eq!(spans(room.host_place), [None], "{stopped:?}");
    assert!(matches!(spans(room.ben_place)[..], [Some(_)]), "{stopped:?}");

    // With the policy everybody's word changes: nobody else's is asked for any more.
    let ctx = room.ctx(&room.host);
    let patch = crate::MeetingPatch { consent_policy: Some(ConsentPolicy::Off), ..crate::MeetingPatch::default() };
    app.meeting_update(&ctx, room.meeting, patch, None).await.expect("a change");
    let ctx = room.ctx(&room.host);
    let refused = app.recording_start(&ctx, room.meeting, RecordingMode::Mix).await;
    assert_eq!(refused.map_err(|error| error.code), Err(Code::ConsentDenied));
    rooms.stop(Duration::from_secs(1)).await;
});

meetmind_store::both_engines!(a_shutdown_completes_what_runs_and_says_so, db => {
    let room = Room::new(db, Settings::default()).await;
    let app = &room.test.app;
    let rooms = room.rooms().await;
    let ctx = room.ctx(&room.host);
    let started = app.recording_start(&ctx, room.meeting, RecordingMode::Both).await.expect("a recording");
    app.recordings_end(Duration::from_secs(10)).await;
    let ctx = room.ctx(&room.host);
    let (found, files) = app.recording_get(&ctx, room.meeting, started.id).await.expect("a recording");
    assert_eq!((found.status, found.reason), (RecordingStatus::Interrupted, Some(RecordingReason::ServerStopped)));
    assert_eq!(files.len(), 1);
    rooms.stop(Duration::from_secs(1)).await;
});

meetmind_store::both_engines!(limits_and_full_disks_refuse_with_a_reason, db => {
    let mut settings = Settings::default();
    settings.recordings.max_running = 0;
    let room = Room::new(db, settings).await;
    let app = &room.test.app;
    let rooms = room.rooms().await;
    let ctx = room.ctx(&room.host);
    let refused = app.recording_start(&ctx, room.meeting, RecordingMode::Mix).await;
    assert_eq!(refused.map_err(|error| error.code), Err(Code::QuotaExceeded));
    rooms.stop(Duration::from_secs(1)).await;

    let db = TestDb::new(meetmind_store::Engine::Sqlite).await.expect("a database").expect("SQLite");
    let mut settings = Settings::default();
    settings.recordings.min_free_bytes = u64::MAX;
    let room = Room::new(db, settings).await;
    let app = &room.test.app;
    let rooms = room.rooms().await;
    let ctx = room.ctx(&room.host);
    let refused = app.recording_start(&ctx, room.meeting, RecordingMode::Mix).await;
    assert_eq!(refused.map_err(|error| error.code), Err(Code::StorageFull));
    let page = PageQuery { limit: 10, after: None };
    let listed = app.recording_list(&ctx, room.meeting, &page).await.expect("a list");
    assert!(listed.items.is_empty(), "nothing began");
    assert!(!room.told().await.contains(&EventKind::RecordingStarted));
    rooms.stop(Duration::from_secs(1)).await;
});

meetmind_store::both_engines!(files_that_cannot_be_removed_are_tried_again, db => {
    let room = Room::new(db, Settings::default()).await;
    let app = &room.test.app;
    let (recording, folder) = room.ended().await;
    let ctx = room.ctx(&room.host);
    // In the place of the folder stands something below which nothing can be removed.
    let aside = room.folder.0.with_extension("aside");
    let parent = folder.parent().expect("a folder").to_owned();
    std::fs::rename(&parent, &aside).expect("moved");
    std::fs::write(&parent, b"in the way").expect("a file");
    app.recording_delete(&ctx, room.meeting, recording.id).await.expect("deleted");
    room.work().await;
    let left = async || {
        let mut conn = app.store().read().await.expect("a connection");
        conn.removal_list(None, 10).await.expect("marks").len()
    };
    assert_eq!(left().await, 1, "it is still marked");
    std::fs::remove_file(&parent).expect("removed");
    std::fs::rename(&aside, &parent).expect("moved back");
    room.test.clock.advance(Duration::from_secs(10));
    room.work().await;
    assert_eq!(left().await, 0);
    assert!(!parent.exists(), "the meeting's folder went with its last recording");
});

meetmind_store::both_engines!(recordings_go_when_their_time_is_over, db => {
    let mut settings = Settings::default();
    settings.recordings.retention = Some(Duration::from_secs(30 * 86_400));
    let room = Room::new(db, settings).await;
    let app = &room.test.app;
    let (old, old_folder) = room.ended().await;
    room.test.clock.advance(Duration::from_secs(20 * 86_400));
    let (new, new_folder) = room.ended().await;
    room.test.clock.advance(Duration::from_secs(11 * 86_400));
    app.cleanup_queue(&app.system_ctx()).await.expect("a job");
    room.work().await;
    let ctx = room.ctx(&room.host);
    let found = app.recording_get(&ctx, room.meeting, old.id).await;
    assert_eq!(found.map_err(|error| error.code), Err(Code::NotFound));
    app.recording_get(&ctx, room.meeting, new.id).await.expect("a recording");
    assert_eq!((old_folder.exists(), new_folder.exists()), (false, true));
    assert!(room.told().await.contains(&EventKind::RecordingDeleted));
});

meetmind_store::both_engines!(erasing_a_meeting_takes_its_recordings_and_says_so, db => {
    let room = Room::new(db, Settings::default()).await;
    let app = &room.test.app;
    let rooms = room.rooms().await;
    room.ended().await;
    let ctx = room.ctx(&room.host);
    app.recording_start(&ctx, room.meeting, RecordingMode::Mix).await.expect("a recording");
    let ctx = room.ctx(&room.host);
    let receipt = app.meeting_erase(&ctx, room.meeting).await.expect("a receipt");
    assert_eq!((receipt.erased["recordings"], receipt.erased["recording_files"]), (2, 4));
    room.work().await;
    let left = std::fs::read_dir(&room.folder.0).expect("a folder").count();
    assert_eq!(left, 0);
    rooms.stop(Duration::from_secs(1)).await;
});

meetmind_store::both_engines!(erasing_a_persons_words_takes_their_tracks_and_every_mix_they_are_in, db => {
    let room = Room::new(db, Settings::default()).await;
    let app = &room.test.app;
    let (recording, folder) = room.ended().await;
    let ctx = room.ctx(&room.ben);
    let receipt = app.words_erase(&ctx, room.meeting, room.ben_place).await.expect("a receipt");
    assert_eq!(receipt.erased["recording_files"], 2);
    room.work().await;
    let files = room.files(recording.id).await;
    let [left] = &files[..] else { panic!("{files:?}") };
    assert_eq!(left.participant_id, Some(room.host_place));
    assert!(folder.join(&left.name).exists() && !folder.join("mixed.ogg").exists());
    let ctx = room.ctx(&room.host);
    let (found, _) = app.recording_get(&ctx, room.meeting, recording.id).await.expect("a recording");
    assert_eq!(found.size_bytes, left.size_bytes);
    let people: Vec<_> = found.participants.iter().map(|it| it.identity.clone()).collect();
    assert_eq!(people, [room.host_place.to_string()]);
});

meetmind_store::both_engines!(an_export_lists_recordings_and_an_erased_account_leaves_no_track, db => {
    let room = Room::new(db, Settings::default()).await;
    let app = &room.test.app;
    let (recording, folder) = room.ended().await;
    let export = async |who: &Actor| -> serde_json::Value {
        let mut pieces = app.account_export(&room.ctx(who)).await.expect("an export");
        let mut text = String::new();
        while let Some(piece) = pieces.next().await {
            text.push_str(&piece.expect("a piece"));
        }
        serde_json::from_str(&text).expect("JSON")
    };
    let (hosts, bens) = (export(&room.host).await, export(&room.ben).await);
    assert_eq!(hosts["recordings"][0]["id"], serde_json::json!(recording.id));
    assert_eq!(bens["recordings"], serde_json::json!([]), "the meeting is not his");
    assert_eq!(bens["recording_files"][0]["participant_id"], serde_json::json!(room.ben_place));

    let user = room.ben.user_id().expect("a user");
    let ctx = room.ctx(&Actor::System);
    let mut change = app.change(&ctx).await.expect("a change");
    assert_eq!(app.recordings_erase_user(&mut change, &ctx, user).await.expect("a count"), 1);
    change.commit().await.expect("a commit");
    room.work().await;
    let names: Vec<_> = room.files(recording.id).await.into_iter().map(|file| file.name).collect();
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|name| !name.contains(&room.ben_place.to_string()) && folder.join(name).exists()));
});
