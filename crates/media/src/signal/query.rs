//! The query of a URL.

use std::collections::BTreeMap;

/// The pairs of a URL's query, decoded; of a name that comes twice the first counts.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let mut pairs = BTreeMap::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs
                .entry(percent_decode(name))
                .or_insert_with(|| percent_decode(value));
        }
        Self(pairs)
    }

    /// The value; empty if it is absent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// `1` and `true` are yes, other texts no; `None` if it is absent or empty.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let value = self.get(name);
        (!value.is_empty()).then(|| value == "1" || value == "true")
    }
}

/// `application/x-www-form-urlencoded`: `+` is a space; a `%` that starts no byte stays as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |at: usize| {
                    tail.get(at)
                        .and_then(|digit| char::from(*digit).to_digit(16))
                };
                match (digit(0), digit(1)) {
                    (Some(high), Some(low)) => {
                        bytes.push((high * 16 + low) as u8);
                        rest = tail.get(2..).unwrap_or_default();
                    }
                    _ => bytes.push(b'%'),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
