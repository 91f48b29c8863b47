//! What the fault matrix is made of.

pub mod load;
pub mod receiver;
