//! JSON: our own shape, QMSum's (handed on) and a bare array of turns, told apart by their keys.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::turns::{Turn, Turns, normalise_speaker, normalise_text, some_text};
use super::{ExportMeeting, FormatError, ImportedParticipant, ImportedTranscript, Place, qmsum};

const FORMAT: &str = "meetmind.meeting/1";
const EXPECTED: &str = "an object with `segments` or `meeting_transcripts`, or an array of {speaker, text, start_ms?, end_ms?}";

pub(super) fn parse(text: &str) -> Result<ImportedTranscript, FormatError> {
    if text.trim().is_empty() {
        return Err(FormatError::Empty { expected: EXPECTED });
    }
    let value: Value = serde_json::from_str(text).map_err(|error| FormatError::Json {
        line: error.line(),
        column: error.column(),
        // Into a `Value` only syntax can fail, so the message holds no words of the file.
        reason: error
            .to_string()
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned(),
    })?;
    match value {
        Value::Array(list) => Ok(ImportedTranscript {
            segments: segments(list)?.finish(EXPECTED)?,
            ..Default::default()
        }),
        Value::Object(mut object) => {
            if let Some(list) = object.remove("meeting_transcripts") {
                let turns = qmsum::turns(array(list, "meeting_transcripts")?)?;
                return Ok(ImportedTranscript {
                    segments: turns.finish(EXPECTED)?,
                    ..Default::default()
                });
            }
            meeting(object)
        }
        _ => Err(shape("the document", EXPECTED)),
    }
}

fn meeting(mut object: Map<String, Value>) -> Result<ImportedTranscript, FormatError> {
    if let Some(format) = object.get("format")
        && format.as_str() != Some(FORMAT)
    {
        return Err(shape(
            "format",
            "\"meetmind.meeting/1\", the one version there is",
        ));
    }
    let list = object
        .remove("segments")
        .ok_or_else(|| shape("the document", EXPECTED))?;
    let people = match object.remove("participants") {
        None | Some(Value::Null) => Vec::new(),
        Some(people) => participants(array(people, "participants")?)?,
    };
    Ok(ImportedTranscript {
        title: string(&object, "title", "title")?,
        series: string(&object, "series", "series")?,
        starts_at: string(&object, "starts_at", "starts_at")?,
        participants: people,
        segments: segments(array(list, "segments")?)?.finish(EXPECTED)?,
    })
}

fn participants(list: Vec<Value>) -> Result<Vec<ImportedParticipant>, FormatError> {
    let mut people = Vec::with_capacity(list.len().min(1024));
    for (index, value) in list.into_iter().enumerate() {
        let at = format!("participant {}", index + 1);
        let person = match value {
            Value::String(name) => ImportedParticipant {
                name: normalise_speaker(&name),
                ..Default::default()
            },
            Value::Object(person) => ImportedParticipant {
                name: string(&person, "name", &at)?
                    .map(|name| normalise_speaker(&name))
                    .ok_or_else(|| shape(&at, "a `name`"))?,
                email: string(&person, "email", &at)?,
                role_title: string(&person, "role_title", &at)?,
            },
            _ => {
                return Err(shape(
                    &at,
                    "an object {name, email?, role_title?} or a name",
                ));
            }
        };
        people.push(person);
    }
    Ok(people)
}

fn segments(list: Vec<Value>) -> Result<Turns, FormatError> {
    let mut turns = Turns::default();
    for (index, value) in list.into_iter().enumerate() {
        let at = Place::Segment(index + 1);
        let Value::Object(segment) = value else {
            return Err(FormatError::Syntax {
                at,
                expected: "an object {speaker, text, start_ms?, end_ms?}",
            });
        };
        let speaker = ["speaker", "name"].iter().find_map(|key| segment.get(*key));
        let text = ["text", "content"].iter().find_map(|key| segment.get(*key));
        let speaker = match speaker {
            None | Some(Value::Null) => "",
            Some(Value::String(name)) => name,
            Some(_) => {
                return Err(FormatError::Syntax {
                    at,
                    expected: "`speaker` to be a string",
                });
            }
        };
        let Some(Value::String(text)) = text else {
            return Err(FormatError::Syntax {
                at,
                expected: "`text` to be a string",
            });
        };
        let turn = Turn {
            speaker: speaker.to_owned(),
            text: text.clone(),
            start_ms: time(&segment, "start_ms", "start", at)?,
            end_ms: time(&segment, "end_ms", "end", at)?,
            confidence: segment.get("confidence").and_then(Value::as_f64),
        };
        turns.push(at, turn)?;
    }
    Ok(turns)
}

/// Milliseconds under the first key, else seconds under the second, as speech recognisers write them.
fn time(
    segment: &Map<String, Value>,
    ms: &str,
    seconds: &str,
    at: Place,
) -> Result<Option<i64>, FormatError> {
    let (value, scale) = match (segment.get(ms), segment.get(seconds)) {
        (Some(value), _) => (value, 1.0),
        (None, Some(value)) => (value, 1000.0),
        (None, None) => return Ok(None),
    };
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => {
            if let (Some(whole), 1.0) = (number.as_i64(), scale) {
                return Ok(Some(whole));
            }
            // Beyond 2^53 the cast is coarse and beyond i64 it saturates: either way past the 7 days.
            Ok(number.as_f64().map(|value| (value * scale).round() as i64))
        }
        _ => Err(FormatError::Syntax {
            at,
            expected: "times to be numbers (`start_ms`, `end_ms`)",
        }),
    }
}

fn array(value: Value, at: &str) -> Result<Vec<Value>, FormatError> {
    match value {
        Value::Array(list) => Ok(list),
        _ => Err(shape(at, "an array")),
    }
}

fn string(object: &Map<String, Value>, key: &str, at: &str) -> Result<Option<String>, FormatError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(some_text(text)),
        Some(_) => Err(shape(at, "strings")),
    }
}

fn shape(at: &str, expected: &'static str) -> FormatError {
    FormatError::Shape {
        at: at.to_owned(),
        expected,
    }
}

/// One line per person and per turn, so that two exports compare well.
pub(super) fn render(meeting: &ExportMeeting<'_>) -> String {
    let mut out = format!(
        "{{\"format\":{},\n\"title\":{}",
        quoted(FORMAT),
        quoted(&normalise_text(meeting.title))
    );
    let field = |out: &mut String, key: &str, value: Option<&str>| {
        if let Some(value) = value.and_then(some_text) {
            let _ = write!(out, ",{key}:{}", quoted(&value));
        }
    };
    field(&mut out, "\n\"series\"", meeting.series);
    field(&mut out, "\n\"starts_at\"", meeting.starts_at);
    out.push_str(",\n\"participants\":[");
    for (index, person) in meeting.participants.iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        let _ = write!(
            out,
            "{{\"name\":{}",
            quoted(&normalise_speaker(&person.name))
        );
        field(&mut out, "\"email\"", person.email.as_deref());
        field(&mut out, "\"role_title\"", person.role_title.as_deref());
        out.push('}');
    }
    out.push_str("],\n\"segments\":[");
    let mut between = "\n";
    for segment in meeting.segments {
        let Some(text) = some_text(&segment.text) else {
            continue;
        };
        let _ = write!(
            out,
            "{between}{{\"id\":{},\"speaker\":{},\"start_ms\":{},\"end_ms\":{},\"text\":{}{}}}",
            quoted(&segment.id),
            quoted(&normalise_speaker(&segment.speaker)),
            segment.start_ms,
            segment.end_ms,
            quoted(&text),
            if segment.corrected {
                ",\"corrected\":true"
            } else {
                ""
            },
        );
        between = ",\n";
    }
    out.push_str("]}\n");
    out
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
