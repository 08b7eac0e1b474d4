//! Whole networks on the CPU: PyTorch's results, pieces, and refusals.

#[path = "../common/chains.rs"]
mod chains;
#[path = "../common/attention.rs"]
mod decoders;
#[path = "../common/networks.rs"]
mod networks;

mod attention;
mod fixtures;
mod frames;
mod pools;
mod reference;
mod refusals;
