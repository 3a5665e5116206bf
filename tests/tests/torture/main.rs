//! Plugins that do harm, each with a manifest like any other's: the host lives on, or a child process dies in its
//! place, and it is known how far it came.

mod running;
mod startup;
