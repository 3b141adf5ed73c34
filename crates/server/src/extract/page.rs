//! `?limit=` and `?cursor=`.

use meetmind_core::{Code, Error, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, PageQuery, cursor_bytes};
use serde::Deserialize;

use crate::reply::Failure;

/// The page a caller wants. A list takes it as a second `Query` extractor beside its filters.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// Rows per page, 1 to 100; 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
}

impl PageParams {
    /// Checks them.
    pub(crate) fn query(&self) -> Result<PageQuery, Failure> {
        let limit = self.limit.unwrap_or(PAGE_LIMIT_DEFAULT);
        if !(1..=PAGE_LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid("limit", "must be 1 to 100").into());
        }
        let after = match &self.cursor {
            None => None,
            Some(text) => Some(cursor_bytes(text).ok_or_else(|| {
                Error::new(Code::InvalidCursor, "the cursor was not made by this list")
            })?),
        };
        Ok(PageQuery { limit, after })
    }
}
