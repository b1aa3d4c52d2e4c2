//! One test for each failure of a network that needs no disk, no socket and no cloud, with a link to
//! where others fail.

mod clock;
mod edit;
mod hostile;
mod identity;
mod places;
mod transport;
