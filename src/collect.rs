//! Collectors: counts, details and other values of the sockets of a dump.

pub mod apart;
pub mod breakdown;
pub mod buffers;
pub mod certain;
pub mod chosen;
pub mod columns;
pub mod connections;
pub mod counts;
pub mod directions;
pub mod inodes;
pub mod limits;
pub mod listeners;
pub mod ports;
pub mod queues;
pub mod stuck_counts;
pub mod syn_queues;
pub mod waits;

pub use collector::{Collector, NetnsFacts};

pub mod collector;
