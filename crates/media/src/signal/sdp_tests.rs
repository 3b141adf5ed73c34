use proptest::prelude::*;

use super::*;

/// The head of what a browser offers: microphone, camera with three layers, a place for a track, data.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2 3\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:0\r\na=sendonly\r\na=msid:stream cid-mic\r\na=rtpmap:111 opus/48000/2\r\n\
a=fmtp:111 minptime=10;useinbandfec=1; usedtx=1;stereo=1\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\na=sendonly\r\na=msid:- cid-cam\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n\
a=fmtp:97 apt=96\r\na=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:2\r\na=recvonly\r\na=rtpmap:111 opus/48000/2\r\n\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\na=sctp-port:5000\r\n";

const ANSWER: &str = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\na=rtpmap:111 opus/48000/2\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:2\r\na=sendonly\r\na=msid:- old\r\na=ssrc:7 cname:x\r\na=ssrc:7 msid:- old\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:4\r\na=sendonly\r\na=msid:- other\r\na=ssrc:8 cname:x\r\na=ssrc-group:FID 8 9\r\n\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\n";

fn track() -> AssignedTrack {
    AssignedTrack {
        participant_sid: "PA_1".to_owned(),
        track_sid: "TR_2".to_owned(),
    }
}

#[test]
fn the_facts_of_an_offer_are_listed() {
    let sections = sections(OFFER).expect("read");
    assert_eq!(sections.len(), 4);
    let [mic, camera, free, data] = sections.as_slice() else {
        panic!("four sections")
    };
    assert_eq!(
        (mic.mid.as_str(), mic.kind, mic.direction),
        ("0", SectionKind::Audio, Direction::SendOnly)
    );
    assert_eq!(
        (mic.stream_id.as_str(), mic.track_id.as_str()),
        ("stream", "cid-mic")
    );
    assert!(mic.stereo() && mic.dtx() && mic.red() && !mic.rejected);
    assert_eq!(
        (
            mic.codecs[0].name.as_str(),
            mic.codecs[0].clock_rate_hz,
            mic.codecs[0].channels
        ),
        ("opus", 48_000, 2)
    );
    assert_eq!(camera.send_rids, ["q", "h", "f"]);
    assert_eq!(
        (camera.track_id.as_str(), camera.codecs[1].fmtp.as_str()),
        ("cid-cam", "apt=96")
    );
    assert!(!camera.dtx() && !camera.red());
    assert_eq!(
        (free.direction, free.track_id.as_str()),
        (Direction::RecvOnly, "")
    );
    assert!(!free.stereo());
    assert_eq!(
        (data.kind, data.mid.as_str()),
        (SectionKind::Application, "3")
    );
}

#[test]
fn an_old_clients_track_id_on_the_ssrc_line_is_found() {
    let sections = sections("a=sendonly\nm=audio 0 X 0\na=ssrc:5 cname:c\na=ssrc:5 msid:s cid\n")
        .expect("read");
    assert_eq!(
        (
            sections[0].stream_id.as_str(),
            sections[0].track_id.as_str()
        ),
        ("s", "cid")
    );
    assert_eq!(sections[0].direction, Direction::SendOnly);
    assert!(sections[0].rejected);
}

#[test]
fn an_answer_names_the_publisher_and_silences_what_is_free() {
    let out = rewrite_answer(ANSWER, &[("2".to_owned(), track())].into()).expect("rewritten");
    let expected = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\na=rtpmap:111 opus/48000/2\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:2\r\na=sendonly\r\na=msid:PA_1|TR_2 TR_2\r\na=ssrc:7 cname:x\r\na=ssrc:7 msid:PA_1|TR_2 TR_2\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:4\r\na=inactive\r\n\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:3\r\n";
    assert_eq!(out, expected);
}

#[test]
fn a_section_that_both_send_on_still_receives_when_it_is_silenced() {
    let answer = "m=audio 9 X 111\r\na=mid:0\r\nm=audio 9 X 111\r\na=mid:1\r\na=sendrecv\r\n";
    let out = rewrite_answer(answer, &HashMap::new()).expect("rewritten");
    assert_eq!(
        out,
        "m=audio 9 X 111\r\na=mid:0\r\na=recvonly\r\nm=audio 9 X 111\r\na=mid:1\r\na=recvonly\r\n"
    );
}

#[test]
fn a_sid_cannot_write_lines_of_its_own() {
    for bad in ["PA_1\r\na=x", "PA 1", "", "PA|1", "PÄ"] {
        let assigned = AssignedTrack {
            participant_sid: bad.to_owned(),
            ..track()
        };
        assert_eq!(
            rewrite_answer(ANSWER, &[("2".to_owned(), assigned)].into()),
            Err(SdpError::BadSid)
        );
    }
}

#[test]
fn size_and_sections_are_bounded() {
    assert_eq!(
        sections(&"x".repeat(MAX_SDP_BYTES + 1)),
        Err(SdpError::TooLong)
    );
    assert_eq!(
        sections(&"m=audio 9 X 0\n".repeat(MAX_SECTIONS + 1)),
        Err(SdpError::TooManySections)
    );
    let many = format!(
        "m=video 9 X{}\n{}",
        " 96".repeat(1000),
        "a=rid:q send\n".repeat(1000)
    );
    let section = &sections(&many).expect("read")[0];
    assert_eq!(
        (section.codecs.len(), section.send_rids.len()),
        (MAX_PER_SECTION, MAX_PER_SECTION)
    );
}

fn hostile() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "\\PC{0,20}",
        Just("m=audio 9 X 111".to_owned()),
        Just("m=video 0".to_owned()),
        Just("m=".to_owned()),
        Just("a=mid:2".to_owned()),
        Just("a=mid:".to_owned()),
        Just("a=sendonly".to_owned()),
        Just("a=sendrecv".to_owned()),
        Just("a=msid:x".to_owned()),
        Just("a=ssrc:1 msid:".to_owned()),
        Just("a=rid:q send".to_owned()),
        Just("a=rtpmap:111 opus/48000".to_owned()),
        Just("a=fmtp:111 stereo=1".to_owned()),
    ];
    let end = prop_oneof![Just("\r\n"), Just("\n"), Just("\r"), Just("\n\r")];
    proptest::collection::vec((line, end), 0..30)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
}

proptest! {
    #[test]
    fn any_text_is_rewritten_into_one_with_the_same_sections(sdp in hostile()) {
        let before = sections(&sdp).expect("small");
        let out = rewrite_answer(&sdp, &[("2".to_owned(), track())].into()).expect("small");
        let after = sections(&out).expect("small");
        prop_assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            prop_assert_eq!((&before.mid, before.kind, &before.codecs), (&after.mid, after.kind, &after.codecs));
            let media = matches!(after.kind, SectionKind::Audio | SectionKind::Video);
            if media && after.direction.sends() {
                prop_assert_eq!((after.mid.as_str(), after.track_id.as_str(), after.stream_id.as_str()), ("2", "TR_2", "PA_1|TR_2"));
            }
        }
        prop_assert_eq!(rewrite_answer(&out, &[("2".to_owned(), track())].into()).expect("small"), out);
    }
}
