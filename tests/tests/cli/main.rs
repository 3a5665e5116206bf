//! The command line: the binary itself, run as a person or a script would, with the real plugin for local files.

mod backends;
mod catalog;
mod examples;
mod faults;
mod files;
mod hot;
mod inspection;
mod keys;
mod limits;
mod new_plugin;
mod sandbox;
mod scrub;
mod serve;
mod shell;
mod third_party;
mod transfers;
mod verify;
