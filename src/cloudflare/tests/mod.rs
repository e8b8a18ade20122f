//! The engine with a mock of the API, the fold, and one simulated clock. No I/O, no threads.

mod bad_days;
mod destination;
mod hour;
mod inventory;
mod order;
mod sweep;
mod world;
