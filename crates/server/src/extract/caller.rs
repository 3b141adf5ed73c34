//! Who calls.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use meetmind_app::App;
use meetmind_core::{Actor, Ctx, Error, Once, RequestId};

use crate::reply::Failure;

/// What the outermost layer knows of every request.
#[derive(Debug, Clone)]
pub(crate) struct RequestMeta {
    pub(crate) request_id: RequestId,
    pub(crate) address: Option<String>,
}

/// What the authenticating layer found: somebody, or why the credential was refused.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    Known(Actor),
    Refused(Arc<Error>),
}

/// The circumstances of the call. A refused credential fails here; none at all is
/// [`Actor::Anonymous`], which the policy refuses where it must.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) Ctx);

fn ctx(parts: &Parts, app: &App, actor: Actor) -> Ctx {
    let meta = parts.extensions.get::<RequestMeta>();
    let request_id = meta.map_or_else(|| app.entropy().id(app.now()), |meta| meta.request_id);
    Ctx {
        actor,
        request_id,
        now: app.now(),
        address: meta.and_then(|meta| meta.address.clone()),
        once: parts.extensions.get::<Arc<Once>>().cloned(),
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::Known(actor)) => Ok(Self(ctx(parts, app, actor.clone()))),
            Some(Identity::Refused(error)) => {
                let mut copy = Error::new(error.code, error.message.clone());
                copy.details = error.details.clone();
                Err(copy.into())
            }
            None => Ok(Self(ctx(parts, app, Actor::Anonymous))),
        }
    }
}

/// For doors that let everybody in: a refused credential counts as none.
impl OptionalFromRequestParts<App> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Infallible> {
        let actor = match parts.extensions.get::<Identity>() {
            Some(Identity::Known(actor)) => actor.clone(),
            _ => Actor::Anonymous,
        };
        Ok(Some(Self(ctx(parts, app, actor))))
    }
}
