//! Linux: owners from `/proc`, the cgroup2 file system and the user database.

mod cgroups;
mod interfaces;
mod processes;
mod users;

pub use cgroups::{members, names as units};
pub use interfaces::names as interfaces;
pub use processes::holders as processes;
pub use users::{id as user_id, names as users};
