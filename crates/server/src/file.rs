//! Serving a file: whole, in part, or not again (RFC 9110, 13 and 14).

use axum::body::{Body, Bytes};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use meetmind_core::{Code, Error};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};

use crate::reply::Failure;

/// Bytes read at a time.
const PIECE: u64 = 64 << 10;

/// What the headers say of a file.
pub(crate) struct Served<'a> {
    /// Such as `audio/ogg`.
    pub(crate) content_type: &'a str,
    /// The name to save it under: letters, digits, `_`, `-`, `.`.
    pub(crate) name: String,
    /// What changes whenever the bytes do.
    pub(crate) tag: &'a str,
}

/// What of the file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the first to the last byte, both within the file.
    Range(u64, u64),
    /// Nothing that the file has.
    Beyond,
}

/// The headers that are looked at, for the document.
pub(crate) struct RangeHeaders;

impl utoipa::IntoParams for RangeHeaders {
    fn into_params(
        _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        let header = |name: &str, about: &str, example: &str| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .description(Some(about))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .example(Some(serde_json::json!(example)))
                .build()
        };
        vec![
            header(
                "Range",
                "One range of bytes. Several ranges, and what is no range of bytes, give the whole file.",
                "bytes=0-65535",
            ),
            header(
                "If-Range",
                "The `ETag` of the file whose range is wanted: of another file you get the whole.",
                "\"3b1f\"",
            ),
            header(
                "If-None-Match",
                "The `ETag` that you have: if it is still the file's, the answer is 304.",
                "\"3b1f\"",
            ),
        ]
    }
}

/// Answers with an open file, or the part that the headers ask for.
///
/// # Errors
/// `RANGE_NOT_SATISFIABLE`, with the headers that belong to it, comes as an answer of its own; an error is
/// a file that cannot be read.
pub(crate) async fn serve(
    mut file: File,
    served: &Served<'_>,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let length = file.metadata().await.map_err(Error::internal)?.len();
    let tag = format!("\"{}\"", served.tag);
    let mut answer = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            answer.insert(name, value);
        }
    };
    set(header::ACCEPT_RANGES, "bytes");
    set(header::ETAG, &tag);
    set(header::CACHE_CONTROL, "private, no-cache");
    if matches_any(headers.get(header::IF_NONE_MATCH), &tag) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    let (status, first, count) = match part(headers, &tag, length) {
        Part::Whole => (StatusCode::OK, 0, length),
        Part::Range(first, last) => {
            set(
                header::CONTENT_RANGE,
                &format!("bytes {first}-{last}/{length}"),
            );
            (StatusCode::PARTIAL_CONTENT, first, last - first + 1)
        }
        Part::Beyond => {
            set(header::CONTENT_RANGE, &format!("bytes */{length}"));
            let error = Error::new(
                Code::RangeNotSatisfiable,
                format!("the file has {length} bytes"),
            );
            return Ok((answer, Failure::from(error)).into_response());
        }
    };
    set(header::CONTENT_TYPE, served.content_type);
    set(header::CONTENT_LENGTH, &count.to_string());
    set(
        header::CONTENT_DISPOSITION,
        &format!("attachment; filename=\"{}\"", served.name),
    );
    file.seek(SeekFrom::Start(first))
        .await
        .map_err(Error::internal)?;
    Ok((status, answer, Body::from_stream(pieces(file, count))).into_response())
}

/// The next `count` bytes of a file. One that is shorter breaks the answer off, because its length was
/// promised.
fn pieces(file: File, count: u64) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    stream::try_unfold((file, count), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let size = usize::try_from(left.min(PIECE)).unwrap_or(usize::MAX);
        let mut piece = vec![0; size];
        let got = file.read(&mut piece).await?;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(got);
        Ok(Some((Bytes::from(piece), (file, left - got as u64))))
    })
}

/// Whether a list of tags has this one; `*` has every one. For this comparison weak tags are as good.
fn matches_any(value: Option<&HeaderValue>, tag: &str) -> bool {
    let Some(text) = value.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    text.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// What a request asks for of a file of this length.
fn part(headers: &HeaderMap, tag: &str, length: u64) -> Part {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(header::RANGE) else {
        return Part::Whole;
    };
    // A date, or the tag of another file, or a weak one: the range may be of something else.
    if headers.contains_key(header::IF_RANGE) && text(header::IF_RANGE) != Some(tag) {
        return Part::Whole;
    }
    let Some((unit, range)) = range.split_once('=') else {
        return Part::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    let Some((first, last)) = range.trim().split_once('-') else {
        return Part::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
        // A number that is too large lies beyond every file.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            None => Part::Whole,
            Some(0) => Part::Beyond,
            Some(_) if length == 0 => Part::Beyond,
            Some(suffix) => Part::Range(length.saturating_sub(suffix), length - 1),
        },
        (first, last) => {
            let Some(first) = number(first) else {
                return Part::Whole;
            };
            let last = match last {
                "" => u64::MAX,
                last => match number(last) {
                    Some(last) if last >= first => last,
                    // Several ranges, or none that is valid.
                    _ => return Part::Whole,
                },
            };
            if first >= length {
                return Part::Beyond;
            }
            Part::Range(first, last.min(length - 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, if_range: Option<&str>, length: u64) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().expect("a value"));
        if let Some(value) = if_range {
            headers.insert(header::IF_RANGE, value.parse().expect("a value"));
        }
        part(&headers, "\"tag\"", length)
    }

    #[test]
    fn a_range_is_what_rfc_9110_says_it_is() {
        let table = [
            ("bytes=0-0", 10, Part::Range(0, 0)),
            ("bytes=0-", 10, Part::Range(0, 9)),
            ("bytes=3-5", 10, Part::Range(3, 5)),
            ("bytes=3-500", 10, Part::Range(3, 9)),
            ("bytes=-4", 10, Part::Range(6, 9)),
            ("bytes=-400", 10, Part::Range(0, 9)),
            ("Bytes = 2-3", 10, Part::Range(2, 3)),
            ("bytes=9-", 10, Part::Range(9, 9)),
            ("bytes=10-", 10, Part::Beyond),
            ("bytes=10-12", 10, Part::Beyond),
            ("bytes=-0", 10, Part::Beyond),
            ("bytes=99999999999999999999-", 10, Part::Beyond),
            ("bytes=0-", 0, Part::Beyond),
            ("bytes=-5", 0, Part::Beyond),
            // What is no range of bytes is ignored, as are several.
            ("bytes=5-3", 10, Part::Whole),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("bytes=a-b", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("bytes=+1-2", 10, Part::Whole),
            ("bytes", 10, Part::Whole),
            ("lines=0-1", 10, Part::Whole),
        ];
        for (range, length, expected) in table {
            assert_eq!(asked(range, None, length), expected, "{range} of {length}");
        }
    }

    #[test]
    fn a_range_of_another_file_is_the_whole_of_this_one() {
        let table = [
            ("\"tag\"", Part::Range(0, 1)),
            ("\"other\"", Part::Whole),
            ("W/\"tag\"", Part::Whole),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Part::Whole),
        ];
        for (value, expected) in table {
            assert_eq!(asked("bytes=0-1", Some(value), 10), expected, "{value}");
        }
    }

    #[test]
    fn tags_are_compared_one_by_one() {
        let table = [
            ("\"tag\"", true),
            ("\"a\", W/\"tag\"", true),
            ("*", true),
            ("\"a\"", false),
            ("tag", false),
        ];
        for (value, expected) in table {
            let value: HeaderValue = value.parse().expect("a value");
            assert_eq!(matches_any(Some(&value), "\"tag\""), expected, "{value:?}");
        }
    }
}
