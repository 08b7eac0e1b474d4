//! ONNX models: their nodes RNN, GRU and LSTM.
//!
//! | file | its part |
//! |---|---|
//! | `wire` | reads values from bytes, and never leaves them |
//! | `survey` | checks the structure of a file before it is decoded |
//! | `graphs` | finds the makers and readers of values, in bodies of nodes too |
//! | `external` | reads tensors in files beside the model |
//! | `tensors` | reads the values of tensors |
//! | `folded` | finds tensors that nodes only move |
//! | `attributes`, `activation` | read the attributes of a node by name and type |
//! | `operators` | names the operators and their directions |
//! | `states` | finds the origin of initial states |
//! | `node` | reads a node, and refuses by name |
//! | `weights` | converts weights to PyTorch's names and order |
//! | `module` | names the module that nodes make |
//! | `chain` | finds the layers of a network |
//! | `network` | loads a network with its states and lengths |
//! | `model` | opens a model |
//!
//! Every attribute and input of a node is honoured, or the node is refused with its name.

mod activation;
mod attributes;
mod chain;
mod external;
mod folded;
mod graphs;
mod model;
mod module;
mod network;
mod node;
mod operators;
mod states;
mod survey;
mod tensors;
mod weights;
mod wire;

pub use chain::{Chain, Origin};
pub use model::OnnxModel;
pub use network::OnnxNetwork;
pub use node::{Operand, RecurrentNode};
pub use operators::{Direction, Operator};
pub use tensors::Constant;
pub use weights::Named;
