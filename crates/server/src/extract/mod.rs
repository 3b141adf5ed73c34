//! Reading requests; every rejection becomes the envelope.

mod body;
mod caller;
mod conditional;
mod optional;
mod page;
mod path;
mod query;
mod strict;

pub(crate) use body::{Json, patch_field};
pub(crate) use caller::{Caller, Identity, RequestMeta};
pub(crate) use conditional::IfMatch;
pub(crate) use page::PageParams;
pub(crate) use path::Path;
pub(crate) use query::Query;
