//! Linux: owners from `/proc`, the cgroup2 file system and the user database.

mod cgroups;
mod links;
mod processes;
mod rights;
mod users;

pub use cgroups::{members, names as units, unit_of_process};
pub use processes::{by_id, descriptors, holders as processes};
pub use rights::needed;
pub use users::{id as user_id, names as users};
