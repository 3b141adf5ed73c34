//! Lists: keyset pages with an opaque cursor.

use serde::{Deserialize, Serialize};

/// The largest page that is served.
pub const PAGE_LIMIT_MAX: i64 = 100;
/// The page served when nothing is asked.
pub const PAGE_LIMIT_DEFAULT: i64 = 50;

/// Which page a caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// Rows wanted, 1 to [`PAGE_LIMIT_MAX`].
    pub limit: i64,
    /// Where the page before ended; what it holds is the business of the list that made it.
    pub after: Option<Vec<u8>>,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self {
            limit: PAGE_LIMIT_DEFAULT,
            after: None,
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Ask again with this as `cursor` for the next page; `null` at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page from up to `limit + 1` rows: the extra row only tells that there are more.
    /// `key` gives the bytes of the row that ends the page.
    pub fn from_rows(mut rows: Vec<T>, limit: i64, key: impl Fn(&T) -> Vec<u8>) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if more {
            rows.last().map(|row| cursor_text(&key(row)))
        } else {
            None
        };
        Self {
            items: rows,
            next_cursor,
        }
    }

    /// The same page with each row changed.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(change).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// Writes cursor bytes as lower-case hexadecimal.
pub fn cursor_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what [`cursor_text`] wrote; `None` when the text is not such a cursor.
pub fn cursor_bytes(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || text.len() > 128 || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| hex_pair(&text.as_bytes()[at..at + 2]))
        .collect()
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |letter: u8| (letter as char).to_digit(16).map(|value| value as u8);
    Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_knows_whether_more_follow() {
        let page = Page::from_rows(vec![1u8, 2, 3], 2, |row| vec![*row]);
        assert_eq!(
            (page.items.as_slice(), page.next_cursor.as_deref()),
            ([1, 2].as_slice(), Some("02"))
        );
        assert_eq!(
            Page::from_rows(vec![1u8, 2], 2, |row| vec![*row]).next_cursor,
            None
        );
    }

    #[test]
    fn foreign_text_is_no_cursor() {
        assert_eq!(cursor_bytes("02"), Some(vec![2]));
        for text in ["", "0", "zz", "+1", "é0", &"00".repeat(65)] {
            assert_eq!(cursor_bytes(text), None, "{text}");
        }
    }
}
