//! Durability, tried for real: the program itself is killed, its disks fill up or freeze, and its system calls are
//! watched. What was answered must hold.
#![cfg(target_os = "linux")]

mod disk;
mod kill;
mod order;
