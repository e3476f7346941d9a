//! HTTP server: routes, access rules, answers and limits.

pub(crate) mod answer;
pub(crate) mod events;
pub(crate) mod guard;
pub(crate) mod openapi;
pub(crate) mod routes;
pub(crate) mod server;
