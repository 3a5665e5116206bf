//! The plugin for Google Cloud Storage against fake-gcs-server, with a proxy between the two: what is asked for, and
//! what becomes of faults.

mod fake_gcs;
