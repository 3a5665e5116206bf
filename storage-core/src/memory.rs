//! The reference backend: everything in memory, every optional family supported.
