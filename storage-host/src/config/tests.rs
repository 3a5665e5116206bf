//! How the sources come together.
