//! Each format with what real files hold.

use super::*;

pub(super) fn read(text: &str, format: Format) -> ImportedTranscript {
    parse(text.as_bytes(), Some(format), None).expect("a sound file")
}

pub(super) fn said(transcript: &ImportedTranscript) -> Vec<(&str, &str)> {
    transcript
        .segments
        .iter()
        .map(|s| (s.speaker.as_str(), s.text.as_str()))
        .collect()
}

fn times(transcript: &ImportedTranscript) -> Vec<(i64, i64)> {
    transcript
        .segments
        .iter()
        .map(|s| (s.start_ms, s.end_ms))
        .collect()
}

pub(super) fn fails(text: &str, format: Format) -> FormatError {
    parse(text.as_bytes(), Some(format), None).expect_err("a broken file")
}

pub(super) fn turn(speaker: &str, text: &str, start_ms: i64, end_ms: i64) -> ExportSegment {
    ExportSegment {
        id: "seg_01k".to_owned(),
        speaker: speaker.to_owned(),
        text: text.to_owned(),
        start_ms,
        end_ms,
        corrected: false,
    }
}

pub(super) fn export(title: &str, segments: &[ExportSegment], format: Format) -> String {
    let people = [ImportedParticipant {
        name: "Ana Ruiz".to_owned(),
        email: Some("ana@example.com".to_owned()),
        role_title: Some("Lead".to_owned()),
    }];
    let (series, starts_at) = (Some("Weekly"), Some("2026-09-07T09:00:00Z"));
    render(
        &ExportMeeting {
            title,
            series,
            starts_at,
            participants: &people,
            segments,
        },
        format,
    )
}

#[test]
fn normalising_is_one_line_and_idempotent() {
    let once = normalise_text(" a\u{0}b\r\n\tc\u{2028}d\u{feff}\u{7}  \u{200f}e ");
    assert_eq!(once, "ab c d \u{200f}e");
    assert_eq!(normalise_text(&once), once);
    assert_eq!(normalise_speaker(" \n"), "Unknown");
    assert_eq!(normalise_speaker(&"x".repeat(500)).len(), 120);
}

#[test]
fn formats_are_found_by_name_type_and_content() {
    for format in Format::ALL {
        assert_eq!(Format::from_extension(format.extension()), Some(format));
        assert_eq!(Format::from_content_type(format.media_type()), Some(format));
        let file = export("T", &[turn("A", "b", 0, 400)], format);
        assert_eq!(Format::detect(file.as_bytes(), None), format, "{file}");
    }
    assert_eq!(Format::from_extension("a.b/c.VTT"), Some(Format::Vtt));
    assert_eq!(Format::from_extension("pdf"), None);
    assert_eq!(
        Format::detect(b"\xef\xbb\xbfWEBVTT\n", Some("x.txt")),
        Format::Vtt
    );
    assert_eq!(Format::detect(b"[00:00:01] Bo: hi", None), Format::Txt);
    assert_eq!(Format::detect(b"", Some("x.md")), Format::Markdown);
}

#[test]
fn vtt_reads_what_the_specification_allows() {
    let file = "\u{feff}WEBVTT - A &amp; B\r\nKind: captions\r\n\r\nNOTE a --> b\r\n\r\nSTYLE\r\n::cue { color: red }\r\n\r\n\
        REGION\r\nid:fred\r\n\r\nid-1\r\n00:01.000 --> 00:02.500 align:start line:0\r\n<v.loud.x Ana Ruiz>Hi <i>there</i>\r\n\
        &lt;you&gt;&nbsp;R&amp;D</v>\r\n\r\n01:00:00.000 --> 01:00:01.000\r\n<v A>one</v> <v B>two\r\n\r\n\
        01:00:02.000 --> 01:00:03.000\r\nBo Li: <00:00:02.000>a < b\r\n";
    let transcript = read(file, Format::Vtt);
    assert_eq!(transcript.title.as_deref(), Some("A & B"));
    assert_eq!(
        said(&transcript),
        [
            ("Ana Ruiz", "Hi there <you> R&D"),
            ("A", "one"),
            ("B", "two"),
            ("Bo Li", "a < b")
        ]
    );
    assert_eq!(times(&transcript)[0], (1000, 2500));
    assert_eq!(times(&transcript)[3], (3_602_000, 3_603_000));
    assert_eq!(read(&file.replace("\r\n", "\r"), Format::Vtt), transcript);
    assert_eq!(read(&file.replace("\r\n", "\n"), Format::Vtt), transcript);
}

#[test]
fn vtt_errors_name_the_line() {
    assert_eq!(
        fails("WEBVTTX\n", Format::Vtt).to_string(),
        "line 1: expected `WEBVTT`"
    );
    let error = fails("WEBVTT\n\n1\n00:zz --> 00:02.000\nx\n", Format::Vtt);
    assert!(
        matches!(
            error,
            FormatError::Syntax {
                at: Place::Line(4),
                ..
            }
        ),
        "{error}"
    );
    let error = fails(
        "WEBVTT\n\n169:00:00.000 --> 169:00:01.000\nx\n",
        Format::Vtt,
    );
    assert!(
        matches!(
            error,
            FormatError::Time {
                at: Place::Line(3),
                ..
            }
        ),
        "{error}"
    );
    assert!(matches!(
        fails("WEBVTT\n", Format::Vtt),
        FormatError::Empty { .. }
    ));
}

#[test]
fn srt_reads_commas_dots_tags_and_labels() {
    let file = "\u{feff}1\n00:00:01,000 --> 00:00:02,000\n<b>ANA:</b> {\\an8}Hi\n\n2\n0:00:03.5 --> 0:00:04.000 X1:10\n>> Bo Li: \
        yes,\nfive\n7\n\n00:00:05,000 --> 00:00:06,000\n- more\n>> who?\n\n00:00:09,000 --> 00:00:08,000\nlast word: one";
    let transcript = read(file, Format::Srt);
    assert_eq!(
        said(&transcript),
        [
            ("ANA", "Hi"),
            ("Bo Li", "yes, five 7"),
            ("Bo Li", "more"),
            ("Unknown", "who?"),
            ("Unknown", "last word: one")
        ]
    );
    assert_eq!(times(&transcript)[1], (3500, 4000));
    assert_eq!(
        times(&transcript)[4],
        (9000, 10_200),
        "an end before its start counts as none"
    );
    assert!(matches!(
        fails("1\n00:00:01 -> 2\nx", Format::Srt),
        FormatError::Empty { .. }
    ));
    let error = fails("1\n00:00:0x,000 --> 00:00:02,000\nx", Format::Srt);
    assert!(
        matches!(
            error,
            FormatError::Syntax {
                at: Place::Line(2),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn txt_reads_the_habits_of_other_tools() {
    let file = "[00:12:04] Ana Ruiz: hello\nand more\n\n00:12:10 Bo Li\nyes: sure\n\nAna Ruiz  00:12:20\n\nwords here\n\n[Bo Li] 00:12:30\nok\n\
        00:12:40 Fine\n12:50 - the end of it\n\nCy (13:00): hm\nDee: a b c d e\n\nand then";
    let transcript = read(file, Format::Txt);
    assert_eq!(
        said(&transcript),
        [
            ("Ana Ruiz", "hello and more"),
            ("Bo Li", "yes: sure"),
            ("Ana Ruiz", "words here"),
            ("Bo Li", "ok"),
            ("Bo Li", "Fine"),
            ("Bo Li", "the end of it"),
            ("Cy", "hm"),
            ("Dee", "a b c d e"),
            ("Dee", "and then"),
        ]
    );
    assert_eq!(times(&transcript)[0], (724_000, 725_200));
    assert_eq!(
        times(&transcript)[7],
        (780_400, 782_400),
        "no time: after the one before, 400 ms a word"
    );
    let plain = read(
        "So the point is: we go.\nAlways.\n\nAnd that is all.",
        Format::Txt,
    );
    assert_eq!(
        said(&plain),
        [
            ("Unknown", "So the point is: we go. Always."),
            ("Unknown", "And that is all.")
        ]
    );
    assert!(plain.participants.is_empty());
}

#[test]
fn markdown_reads_notes_kept_by_hand() {
    let file = "# Sync \\#3\n\n## Attendees\n* Ana Ruiz — Lead\n* Bo Li\n\n## Talk\n\n- **Ana Ruiz:** hi *there*\n1. Bo Li: yes\n> Cy: quoted\n---\n\
        ### Later\n**Bo Li**: snake\\_case\n";
    let transcript = read(file, Format::Markdown);
    assert_eq!(transcript.title.as_deref(), Some("Sync #3"));
    assert_eq!(
        transcript.participants[0].role_title.as_deref(),
        Some("Lead")
    );
    assert_eq!(
        said(&transcript),
        [
            ("Ana Ruiz", "hi *there*"),
            ("Bo Li", "yes"),
            ("Cy", "quoted"),
            ("Bo Li", "snake_case")
        ]
    );
    assert_eq!(transcript.participants.len(), 3);
}

#[test]
fn json_shapes_are_told_apart_by_keys() {
    let own = r#"{"format":"meetmind.meeting/1","title":"T","participants":[{"name":"A","email":"a@example.com"},"B"],
        "segments":[{"speaker":"A","start_ms":5,"end_ms":9,"text":"x","confidence":0.5},{"text":"y z","start":1.5},{"speaker":"C","text":" "}]}"#;
    let transcript = read(own, Format::Json);
    assert_eq!(said(&transcript), [("A", "x"), ("Unknown", "y z")]);
    assert_eq!(times(&transcript), [(5, 9), (1500, 2300)]);
    assert_eq!(transcript.segments[0].confidence, Some(0.5));
    assert_eq!(transcript.participants.len(), 2);
    let bare = read(
        r#"[{"speaker":"A","text":"a b"},{"speaker":"B","text":"c"}]"#,
        Format::Json,
    );
    assert_eq!(times(&bare), [(0, 800), (800, 1200)]);
}

#[test]
fn json_errors_say_where_and_never_quote() {
    for (file, message) in [
        ("{\"segments\":\n[}", "line 2, column 2: "),
        (
            "{\"segments\":[{\"text\":\"a\",\"start_ms\":-1}]}",
            "segment 1: a time of -1 ms; expected 0",
        ),
        (
            "[{\"text\":\"secret\",\"end_ms\":1e300}]",
            "segment 1: a time of",
        ),
        ("[{\"text\":7}]", "segment 1: expected `text`"),
        (
            "[{\"text\":\"a\",\"start_ms\":\"secret\"}]",
            "segment 1: expected times",
        ),
        ("{\"a\":1}", "the document: expected an object"),
        (
            "{\"format\":\"meetmind.meeting/2\",\"segments\":[]}",
            "format: expected",
        ),
        (
            "{\"meeting_transcripts\":{}}",
            "meeting_transcripts: expected an array",
        ),
        ("[{\"text\":\"a\",\"start_ms\":1e999}]", "line 1, column"),
        ("\"secret\"", "the document"),
        ("[]", "no turn with words"),
        ("  ", "no turn with words"),
    ] {
        let error = fails(file, Format::Json).to_string();
        assert!(
            error.starts_with(message) && !error.contains("secret"),
            "{file}: {error}"
        );
    }
}

#[test]
fn qmsum_speech_becomes_words() {
    for (content, clean) in [
        (
            "Okay Right {vocalsound} Um this is our project . Um",
            "Okay Right Um this is our project. Um",
        ),
        (
            "I ' m sure it 's a T_V_ , an L_C_D_ or T_V_'s .",
            "I'm sure it's a TV, an LCD or TV's.",
        ),
        (
            "Did {disfmarker} did it {disfmarker} ? Mm - hmm , {pause} .",
            "Did did it? Mm-hmm.",
        ),
        (
            "He said \" well \" , and left .",
            "He said \"well\", and left.",
        ),
        ("{vocalsound} . {gap}", ""),
        ("a {b c} d_e 'Kay don 't", "a {b c} d_e 'Kay don't"),
    ] {
        assert_eq!(qmsum::clean(content), clean);
    }
    let file = r#"{"meeting_transcripts":[{"speaker":"PM","content":"Okay ."},{"speaker":"UI","content":"{pause} ."}]}"#;
    assert_eq!(said(&read(file, Format::Json)), [("PM", "Okay.")]);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test data is the machine's, there is no configuration here"
)]
fn real_meetings_are_read() {
    let Some(folder) = std::env::var_os("MEETMIND_TEST_DATA") else {
        println!("skipped: MEETMIND_TEST_DATA names no folder with meetings/*.json");
        return;
    };
    let entries = std::fs::read_dir(std::path::Path::new(&folder).join("meetings"))
        .expect("the meetings folder");
    let mut meetings = 0;
    for entry in entries {
        let path = entry.expect("a folder entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let bytes = std::fs::read(&path).expect("a meeting");
        let transcript = parse(&bytes, None, path.to_str()).expect("QMSum's shape");
        assert!(transcript.segments.len() > 100, "{}", path.display());
        assert!(transcript.participants.len() >= 4);
        for segment in &transcript.segments {
            let leftover = ["{", " .", " ,", " ?", "_", " 's ", " 'm "]
                .iter()
                .find(|mark| segment.text.contains(**mark));
            assert_eq!(leftover, None, "{}: {}", path.display(), segment.text);
        }
        meetings += 1;
    }
    assert!(meetings >= 1);
}

#[test]
fn the_demo_series_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../meetmind/demo");
    let mut turns = 0;
    for entry in std::fs::read_dir(folder).expect("the demo series") {
        let path = entry.expect("a folder entry").path();
        if path
            .file_name()
            .is_some_and(|name| name != "questions.json")
        {
            let transcript = parse(
                &std::fs::read(&path).expect("a meeting"),
                None,
                path.to_str(),
            )
            .expect("our shape");
            assert_eq!(transcript.participants.len(), 4, "{}", path.display());
            assert!(
                transcript.title.is_some()
                    && transcript.series.is_some()
                    && transcript.starts_at.is_some()
            );
            turns += transcript.segments.len();
        }
    }
    assert!(turns >= 300, "{turns}");
}
