//! The job `score` on several machines: Apache DataFusion Ballista has the parts of the fleet computed, by the functions by which one
//! machine computes all of it.
//!
//! | module | what |
//! |---|---|
//! | [`plan`] | the plan of a day: one row for each part of the fleet, made to the trips of that part |
//! | [`codec`] | how the plan travels |
//! | [`trips`] | trips as columns, and whether all of them came back |
//! | [`engine`] | who asks for a day |
//! | [`serve`] | scheduler and executor |

pub mod codec;
pub mod engine;
pub mod plan;
pub mod serve;
pub mod trips;
