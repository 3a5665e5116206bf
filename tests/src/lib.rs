//! What the tests of the storage service share: the conformance suite, the backends that it is run
//! against, hosts to talk to, and content to save.

pub mod answers;
pub mod conformance;
pub mod crash;
pub mod examples;
pub mod faults;
pub mod faulty;
pub mod fixture;
pub mod http_host;
pub mod plugins;
pub mod rig;
pub mod target;
pub mod torture;
