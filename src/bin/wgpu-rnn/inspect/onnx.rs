//! `wgpu-rnn inspect` of an ONNX model.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use wgpu_rnn::Error;
use wgpu_rnn::internals::error::printable;
use wgpu_rnn::internals::params::onnx::{Chain, Origin};
use wgpu_rnn::onnx::OnnxModel;

use crate::output::JsonArgs;
use crate::terminal::{BAD, FAINT, STRONG, line};

#[derive(Serialize)]
struct ModelReport {
    path: String,
    /// The type of the file, with the version of ONNX's operator set.
    #[serde(rename = "type")]
    file_type: String,
    networks: Vec<NetworkEntry>,
    nodes: Vec<NodeEntry>,
    /// The recurrent operators in functions, which are not read.
    in_functions: Vec<String>,
}

/// The layers of one module.
#[derive(Serialize)]
struct NetworkEntry {
    /// The paths of its nodes, the first layer first.
    nodes: Vec<String>,
    /// The module, as PyTorch prints it.
    module: Option<String>,
    /// The values that the file holds: `h_0`, `c_0` or `lengths`.
    holds: Vec<&'static str>,
    /// The values that the caller gives, with their names in the model.
    inputs: BTreeMap<&'static str, String>,
    /// The reason why the network cannot be loaded.
    error: Option<String>,
}

#[derive(Serialize)]
struct NodeEntry {
    path: String,
    operator: String,
    input_size: Option<usize>,
    hidden_size: Option<usize>,
    /// The attributes that differ from their defaults.
    attributes: BTreeMap<&'static str, String>,
    /// The source of X.
    source: String,
    /// The readers of each output.
    readers: Vec<ReaderEntry>,
    /// The reason why the node is not read.
    error: Option<String>,
}

#[derive(Serialize)]
struct ReaderEntry {
    output: &'static str,
    reader: String,
}

pub fn inspect(path: &Path, model: &OnnxModel, json: &JsonArgs) -> Result<(), Error> {
    let report = ModelReport {
        path: path.display().to_string(),
        file_type: format!("ONNX (operator set {})", model.opset()),
        networks: model.chains().iter().map(|chain| network(model, chain)).collect(),
        nodes: (0..model.len()).map(|index| node(model, index)).collect(),
        in_functions: model.in_functions().to_vec(),
    };
    if json.leaves_stdout() {
        print(&report);
    }
    json.write(&report)
}

fn network(model: &OnnxModel, chain: &Chain) -> NetworkEntry {
    let config = model.config(&chain.nodes).map(|c| c.batch_first(chain.batch_first).to_string());
    let (module, error) = match config {
        Ok(module) => (Some(module), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let origins = || chain.origins().into_iter();
    NetworkEntry {
        nodes: chain.nodes.iter().map(|&index| model.name(index)).collect(),
        module,
        holds: origins()
            .filter(|(_, origin)| matches!(origin, Origin::Stored(_)))
            .map(|(role, _)| role)
            .collect(),
        inputs: origins()
            .filter_map(|(role, origin)| Some((role, origin.given()?.to_owned())))
            .collect(),
        error,
    }
}

fn node(model: &OnnxModel, index: usize) -> NodeEntry {
    let node = model.node(index);
    let readers = model.readers(index).into_iter();
    NodeEntry {
        path: model.name(index),
        operator: model.operator(index).to_owned(),
        input_size: node.as_ref().map(|node| node.input_size).ok(),
        hidden_size: node.as_ref().map(|node| node.hidden_size).ok(),
        attributes: node
            .as_ref()
            .map(|node| node.attributes().into_iter().collect())
            .unwrap_or_default(),
        source: model.source(index),
        readers: readers.map(|(output, reader)| ReaderEntry { output, reader }).collect(),
        error: node.err().map(|error| error.to_string()),
    }
}

fn print(report: &ModelReport) {
    line!("{STRONG}{}{STRONG:#}", printable(&report.path));
    line!("  {FAINT}{}{FAINT:#}", report.file_type);
    for NetworkEntry { nodes, module, holds, inputs, error } in &report.networks {
        let name = printable(&nodes[0]);
        match (module, error) {
            (Some(module), _) => line!("  {name}: {STRONG}{module}{STRONG:#}"),
            (None, error) => {
                line!("  {name}: {BAD}{}{BAD:#}", error.as_deref().unwrap_or_default())
            }
        }
        if nodes.len() > 1 {
            line!("    {FAINT}layers: {}{FAINT:#}", printable(&nodes.join(", ")));
        }
        for role in holds {
            line!("    {FAINT}the file holds {role}{FAINT:#}");
        }
        for (role, name) in inputs {
            line!("    {FAINT}the caller gives {role}: '{}'{FAINT:#}", printable(name));
        }
    }
    line!("\n{FAINT}nodes{FAINT:#}");
    for node in &report.nodes {
        print_node(node);
    }
    for operator in &report.in_functions {
        line!("  {BAD}{} in a function, which is not read{BAD:#}", printable(operator));
    }
}

fn print_node(node: &NodeEntry) {
    let sizes = node.input_size.zip(node.hidden_size);
    let sizes = sizes.map(|(input, hidden)| format!("  {input} -> {hidden}")).unwrap_or_default();
    let attributes = node.attributes.iter().map(|(name, value)| format!("  {name}={value}"));
    line!(
        "  {}  {}{sizes}{}",
        printable(&node.path),
        printable(&node.operator),
        attributes.collect::<String>()
    );
    if let Some(error) = &node.error {
        line!("    {BAD}{error}{BAD:#}");
    }
    let readers =
        node.readers.iter().map(|entry| format!("; {} to {}", entry.output, entry.reader));
    let readers = readers.collect::<String>();
    line!("    {FAINT}X from {}{}{FAINT:#}", printable(&node.source), printable(&readers));
}
