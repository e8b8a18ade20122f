//! The whole program through its ports: the real binary, on ports of its own choosing, on loopback.

mod daemon;
mod smoke;
mod unwritable;
