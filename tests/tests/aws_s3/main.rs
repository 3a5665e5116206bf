//! The plugin for Amazon S3: its requests, what it makes of every fault, and what only Amazon has.
//!
//! SeaweedFS stands in for the data path and ministack for what only Amazon has; a proxy before them records the
//! requests, so that what a server takes without looking at it is seen all the same.

mod amazon;
mod completion;
mod conditions;
mod hosts;
mod ministack;
mod multi_region;
mod rig;
mod seaweedfs;
