//! Hostile input, and exports that read back.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::tests::{export, fails, read, said, turn};
use super::*;

#[test]
fn bytes_that_are_no_text_are_refused() {
    let error = parse(b"a: b\nc\xff", None, None).expect_err("bad UTF-8");
    assert_eq!(error, FormatError::NotText { line: 2 });
    let wide: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("Bo: hi".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    assert_eq!(
        said(&parse(&wide, None, None).expect("UTF-16")),
        [("Bo", "hi")]
    );
    assert!(parse(b"\xff\xfea", None, None).is_err());
    for format in Format::ALL {
        assert!(parse(b"", Some(format), None).is_err());
        assert!(parse(b"\0\0\n\0", Some(format), None).is_err());
    }
}

#[test]
fn too_many_turns_are_refused() {
    let file = "A: b\n".repeat(MAX_SEGMENTS + 1);
    // 200,001 words of 400 ms fit into a day, so the limit that speaks is the number of turns.
    assert_eq!(
        fails(&file, Format::Txt),
        FormatError::TooMany {
            at: Place::Line(MAX_SEGMENTS + 1)
        }
    );
}

#[test]
fn hostile_input_is_read_in_linear_time() {
    const LONG: usize = 250_000;
    let began = Instant::now();
    let runs = [
        "<", "<v ", "<v", "&", "&amp", "{\\", "**", "\\", ":", "[", "- ", "00:00 ", "--> ", ">>",
        "\0", "#", "a: ", "a:\n", "1\n", "-->\n", "\r",
    ];
    for run in runs {
        let long = run.repeat(LONG / run.len());
        for format in Format::ALL {
            let head = match format {
                Format::Vtt => "WEBVTT\n\n00:00.000 --> 00:01.000\n",
                Format::Srt => "1\n00:00:00,000 --> 00:00:01,000\n",
                Format::Json => "[\"",
                Format::Txt | Format::Markdown => "",
            };
            let _ = parse(format!("{head}{long}").as_bytes(), Some(format), None);
        }
    }
    for deep in ["[", "{\"segments\":[", "[{\"text\":"] {
        assert!(parse(deep.repeat(100_000).as_bytes(), Some(Format::Json), None).is_err());
    }
    // A few seconds of work unoptimised; quadratic reading of one run alone would take minutes.
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn exports_cannot_be_injected_into() {
    let name = "</v><b>\n\n00:00:09.000 --> 00:00:10.000\nEve";
    let segments = [turn(
        name,
        "x\n\n2\n00:00:01,000 --> 00:00:02,000\n# head <script>\n**Eve**: y",
        0,
        900,
    )];
    for format in Format::ALL {
        let file = export("T\n\n00:00.000 --> 00:01.000", &segments, format);
        let transcript = read(&file, format);
        assert_eq!(
            said(&transcript),
            [(
                &*normalise_speaker(name),
                &*normalise_text(&segments[0].text)
            )],
            "{file}"
        );
        if matches!(format, Format::Vtt | Format::Srt) {
            assert_eq!(file.matches("-->").count(), 1, "{file}");
        }
        if format != Format::Json {
            assert!(
                !file.contains("ana@example.com"),
                "addresses stay out of what is handed on"
            );
        }
    }
    let ids = [
        ExportSegment {
            id: "NOTE".to_owned(),
            ..turn("A", "b", 0, 1)
        },
        ExportSegment {
            id: "a\n\nb".to_owned(),
            ..turn("A", "c", 1, 2)
        },
    ];
    assert_eq!(
        read(&export("T", &ids, Format::Vtt), Format::Vtt)
            .segments
            .len(),
        2
    );
}

#[test]
fn the_head_of_an_export_reads_back() {
    for format in [Format::Json, Format::Txt, Format::Markdown] {
        let transcript = read(
            &export("A: *b* #1", &[turn("Ana Ruiz", "x", 0, 1)], format),
            format,
        );
        assert_eq!(transcript.title.as_deref(), Some("A: *b* #1"), "{format:?}");
        assert_eq!(transcript.series.as_deref(), Some("Weekly"));
        assert_eq!(
            transcript.starts_at.as_deref(),
            Some("2026-09-07T09:00:00Z")
        );
        assert_eq!(transcript.participants.len(), 1);
        assert_eq!(
            transcript.participants[0].role_title.as_deref(),
            Some("Lead")
        );
    }
    let file = export("T", &[turn("A", "b", 0, 1)], Format::Json);
    assert!(file.contains("\"id\":\"seg_01k\"") && file.contains("ana@example.com"));
}

/// Words and names made of what the formats use as syntax.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "\n",
            "\r\n",
            "\n\n",
            "-->",
            "<b>",
            "</v>",
            "<v Eve>",
            ":",
            ": ",
            "#",
            "# ",
            "*",
            "**",
            "_",
            "`",
            "\\",
            "\\:",
            "[",
            "]",
            "(",
            ")",
            "[00:00:01] ",
            "00:00:01,000 --> 00:00:02,000",
            "12:04",
            "&amp;",
            "&",
            "&#58;",
            "lt;",
            "<",
            ">",
            ">>",
            "- ",
            "{\\an8}",
            "{",
            "}",
            "\u{200f}",
            "\u{202e}",
            "\u{feff}",
            "\0",
            "\t",
            "NOTE",
            "WEBVTT",
            "1",
            "é",
            "名前",
            "🙂",
            "Title: ",
            "Participant: ",
            "MeetMind transcript",
            "\"",
            "'",
            "|",
            "~",
            "$",
            " ",
            " — ",
            "1. ",
            "\u{2028}",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z ]{1,8}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exports_read_back(turns in prop::collection::vec((hostile(), hostile(), 0..86_000_000_i64, 0..90_000_i64), 1..6), title in hostile()) {
        let segments: Vec<ExportSegment> = turns
            .iter()
            .map(|(speaker, text, start, length)| turn(speaker, text, *start, start + length))
            .collect();
        let wanted: Vec<_> = segments
            .iter()
            .map(|s| (normalise_speaker(&s.speaker), normalise_text(&s.text), s.start_ms, s.end_ms))
            .filter(|(_, text, ..)| !text.is_empty())
            .collect();
        for format in Format::ALL {
            let file = export(&title, &segments, format);
            let read = parse(file.as_bytes(), Some(format), None);
            if wanted.is_empty() {
                let empty = matches!(read, Err(FormatError::Empty { .. }));
                prop_assert!(empty, "{:?}: {}", format, file);
                continue;
            }
            let read = read.map_err(|error| TestCaseError::fail(format!("{format:?}: {error}\n{file}")))?;
            prop_assert_eq!(read.segments.len(), wanted.len(), "{:?}: {}", format, file);
            for (got, (speaker, text, start, end)) in read.segments.iter().zip(&wanted) {
                prop_assert_eq!((&got.speaker, &got.text), (speaker, text), "{:?}: {}", format, file);
                if !matches!(format, Format::Txt | Format::Markdown) {
                    prop_assert_eq!((got.start_ms, got.end_ms), (*start, *end));
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in hostile()) {
        for format in Format::ALL {
            let _ = parse(&bytes, Some(format), None);
            let _ = parse(text.as_bytes(), Some(format), None);
            let _ = parse(format!("WEBVTT\n\n00:00.000 --> 00:01.000\n{text}").as_bytes(), None, None);
        }
    }
}
