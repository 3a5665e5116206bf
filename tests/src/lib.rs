//! What the tests of the storage service share: the backends that the conformance suite is run against,
//! hosts to talk to, and content to save.

pub mod answers;
mod aws_s3_waivers;
pub mod crash;
pub mod directory_bucket;
pub mod examples;
pub mod faults;
pub mod gcs;
pub mod home;
pub mod http_host;
pub mod kill;
mod minio_waivers;
pub mod plugins;
pub mod proxy;
pub mod rig;
pub mod servers;
pub mod skew;
pub mod target;
pub mod torture;
pub mod waiver;

pub use storage_conformance::fixture;
