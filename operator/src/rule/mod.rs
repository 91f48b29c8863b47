//! Rule: what runs at each event of a trigger in an OpenWhisk.

pub mod crd;
