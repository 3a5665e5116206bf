//! The Azure plugin through its loaded library, on Azurite: faults, requests, credentials and signed URLs.
//!
//! What Azurite takes without checking, or does at once that takes Azure hours, is seen on the requests that a proxy
//! before it records and on the answers that the proxy alters.

mod azurite;
mod azurite_tls;
mod rig;
