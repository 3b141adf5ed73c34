//! The wires: REST, WebSocket, SSE, OpenAPI, the web page.
//!
//! A handler reads the request, calls one use case of `meetmind_app`, and gives back a
//! [`Reply`]; it decides nothing.

mod extract;
mod file;
mod gate;
mod health;
mod idempotency;
mod middleware;
mod openapi;
mod reply;
mod rest;
mod router;
mod rtc;
pub mod testing;
mod web;
mod ws;

pub use health::{metrics_install, metrics_upkeep};
pub use openapi::{asyncapi_document, error_reference, openapi_document};
pub use reply::{Failure, Reply};
pub use router::{Settings, router, router_as};
pub use ws::Place;
