//! Whole networks on the CPU: PyTorch's results, pieces, and refusals.

#[path = "../common/chains.rs"]
mod chains;
#[path = "../common/attention.rs"]
mod decoders;
#[path = "../common/networks.rs"]
mod networks;
#[path = "../common/random_networks.rs"]
mod random_networks;

mod attention;
mod fixtures;
mod frames;
mod pools;
mod random;
mod reference;
mod refusals;
