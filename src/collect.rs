//! What is done with the sockets of a dump.

pub mod connections;
pub mod counts;
pub mod details;
pub mod ports;
pub mod queues;

pub use collector::{Collector, Within};

mod collector;
