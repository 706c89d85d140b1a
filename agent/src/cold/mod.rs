//! Cold files: they stand in a snapshot with all their metadata, but their bytes have not come yet.
//!
//! Each is open here and under a write lease (`fcntl(2)`), so that any other open of it, through overlayfs too, waits in
//! the kernel until the lease is given up, which happens when the file is hydrated. The kernel tells
//! who waits by a signal that names the descriptor.
//!
//! | module | what it does |
//! |---|---|
//! | `table` | the cold files of one deployment |
//! | `limit` | how many there may be |
//! | `break_time` | keeps the kernel from ending leases by force |
//! | `self_test` | whether leases do here what they should |

mod break_time;
mod limit;
mod self_test;
mod table;

pub use break_time::BreakTime;
pub use limit::most_cold_files;
pub use self_test::leases_hold;
pub use table::{Cold, GivenUp, Inode};
