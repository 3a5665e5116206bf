//! The HTTP interface against a host that listens, over a real catalog.

#![allow(missing_docs, reason = "tests are named, not documented")]

mod auth;
mod batch;
mod document;
mod health;
mod limits;
mod links;
mod read;
mod replace;
mod save;
mod server;
mod users;
