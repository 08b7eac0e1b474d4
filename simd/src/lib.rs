//! The vector arithmetic of wgpu-rnn's CPU engine: matrix products, gates and activations.
//!
//! The engine decides what is computed; the functions of this crate compute it, on one thread, with
//! the widest vectors of the machine. The bits of an element depend neither on its position nor on
//! its neighbours.
//!
//! This is a part of `wgpu-rnn`, not a library for others: its interface may change in every
//! version.
//!
//! Public functions are not generic, or are inlined into every caller. So the loops are compiled
//! here, with the options of this crate: a caller that is compiled for size does not slow them
//! down.

pub mod activation;
mod cell;
mod function;
mod panels;
mod product;
mod scaled;

pub use cell::{Gru, Lstm, Rnn};
pub use function::Function;
pub use panels::{Panels, halves};
pub use product::{Product, Rows, TILE_PANELS, TILE_ROWS};
pub use pulp::Arch;
pub use scaled::add_scaled;
