//! Collectors: counts, details and other values of the sockets of a dump.

pub mod breakdown;
pub mod connections;
pub mod counts;
pub mod listeners;
pub mod ports;
pub mod queues;

pub use collector::{Collector, NetnsFacts};

mod collector;
