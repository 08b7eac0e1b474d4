//! The vector arithmetic of wgpu-rnn's CPU engine: matrix products, gates and activations.
//!
//! The engine decides what is computed; the functions of this crate compute it, on one thread, with
//! the widest vectors of the machine. The bits of an element depend neither on its position nor on
//! its neighbours.
//!
//! This is a part of `wgpu-rnn`, not a library for others: its interface changes without notice.
//!
//! No public function is generic, but for what is inlined into every caller. So all vector code is
//! compiled in this crate, with the options of this crate, whatever those of its users are.

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
