//! The graphs of a model: the main one, and the bodies of `If`, `Loop` and `Scan`.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use rten_onnx::onnx::{
    AttributeProto, DataType, GraphProto, NodeProto, TensorProto, ValueInfoProto,
};

/// The place of a node: the index of its graph, and its index there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub graph: usize,
    pub node: usize,
}

/// The origin of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// An input of a graph.
    Input,
    /// A tensor of the file: an initialiser or a `Constant`.
    Tensor(usize),
    /// An output of a node.
    Node { place: Place, output: usize },
}

/// One graph.
#[derive(Debug)]
pub struct Graph {
    /// The graph around it, and the body's name: `If_3/then_branch`.
    outer: Option<(usize, String)>,
    nodes: Vec<NodeProto>,
    makers: HashMap<String, Maker>,
    outputs: HashSet<String>,
    /// The declared shapes of values. A size that changes is `None`.
    shapes: HashMap<String, Vec<Option<i64>>>,
}

/// All graphs of a model, and their tensors.
#[derive(Debug, Default)]
pub struct Graphs {
    graphs: Vec<Graph>,
    pub tensors: Vec<TensorProto>,
    /// Whether a tensor was found to hold only zeros.
    pub zeros: RefCell<HashMap<usize, bool>>,
    /// The nodes that read the outputs of a node.
    readers: HashMap<(Place, usize), Vec<Place>>,
}

/// Returns the operator of a node.
pub fn operator(node: &NodeProto) -> &str {
    node.op_type.as_deref().unwrap_or_default()
}

/// Returns whether a node's operator is one of ONNX.
pub fn is_standard(node: &NodeProto) -> bool {
    matches!(node.domain.as_deref(), None | Some("" | "ai.onnx"))
}

/// Returns the name of a node, or its operator and its index in the graph: `LSTM_0`.
fn label(node: &NodeProto, index: usize) -> String {
    match node.name.as_deref() {
        None | Some("") => format!("{}_{index}", operator(node)),
        Some(name) => name.to_owned(),
    }
}

/// Returns the tensor of a `Constant` node; `None` for text and sparse tensors.
fn constant(node: &mut NodeProto) -> Option<TensorProto> {
    if operator(node) != "Constant" || !is_standard(node) {
        return None;
    }
    let [attribute] = node.attribute.as_mut_slice() else { return None };
    let AttributeProto { f, i, t, floats, ints, .. } = attribute;
    let made = |data_type, dims| TensorProto {
        data_type: Some(data_type),
        dims,
        ..TensorProto::default()
    };
    let list = |count: usize| vec![i64::try_from(count).unwrap_or(i64::MAX)];
    match attribute.name.as_deref()? {
        "value" => t.take(),
        "value_float" => {
            Some(TensorProto { float_data: vec![(*f)?], ..made(DataType::FLOAT, vec![]) })
        }
        "value_int" => {
            Some(TensorProto { int64_data: vec![(*i)?], ..made(DataType::INT64, vec![]) })
        }
        "value_floats" => {
            let float_data = std::mem::take(floats);
            Some(TensorProto { ..made(DataType::FLOAT, list(float_data.len())) })
                .map(|tensor| TensorProto { float_data, ..tensor })
        }
        "value_ints" => {
            let int64_data = std::mem::take(ints);
            Some(made(DataType::INT64, list(int64_data.len())))
                .map(|tensor| TensorProto { int64_data, ..tensor })
        }
        _ => None,
    }
}

/// Returns the name and the shape of a value, if the file declares it.
fn declared_shape(value: &ValueInfoProto) -> Option<(String, Vec<Option<i64>>)> {
    let shape = value.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    Some((value.name.clone()?, shape.dim.iter().map(|size| size.dim_value).collect()))
}

impl Graphs {
    /// Takes the graph of a model apart.
    ///
    /// # Errors
    /// A message when two nodes or tensors of one graph make the same value.
    pub fn new(graph: GraphProto) -> Result<Self, String> {
        let mut graphs = Self::default();
        let mut waiting = vec![(graph, None)];
        while let Some((graph, outer)) = waiting.pop() {
            graphs.add(graph, outer, &mut waiting)?;
        }
        graphs.readers = graphs.find_readers();
        Ok(graphs)
    }

    fn add(
        &mut self,
        graph: GraphProto,
        outer: Option<(usize, String)>,
        waiting: &mut Vec<(GraphProto, Option<(usize, String)>)>,
    ) -> Result<(), String> {
        let index = self.graphs.len();
        let declared = graph.input.iter().chain(&graph.value_info);
        let shapes = declared.filter_map(declared_shape).collect();
        let mut makers = HashMap::new();
        for input in graph.input {
            makers.insert(input.name.unwrap_or_default(), Maker::Input);
        }
        let mut made = |name: String, maker: Maker| match makers.insert(name.clone(), maker) {
            // An initialiser may be the default of an input.
            None | Some(Maker::Input) => Ok(()),
            Some(_) => Err(format!("the value '{name}' is made twice in one graph")),
        };
        for mut tensor in graph.initializer {
            made(tensor.name.take().unwrap_or_default(), Maker::Tensor(self.tensors.len()))?;
            self.tensors.push(tensor);
        }
        let mut nodes = graph.node;
        for (node, found) in nodes.iter_mut().enumerate() {
            let tensor = constant(found);
            let place = Place { graph: index, node };
            for (output, name) in found.output.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
                let maker = match tensor {
                    Some(_) if output == 0 => Maker::Tensor(self.tensors.len()),
                    _ => Maker::Node { place, output },
                };
                made(name.clone(), maker)?;
            }
            self.tensors.extend(tensor);
            let label = label(found, node);
            for attribute in &mut found.attribute {
                if let Some(body) = attribute.g.take() {
                    let name = attribute.name.as_deref().unwrap_or_default();
                    waiting.push((body, Some((index, format!("{label}/{name}")))));
                }
            }
        }
        let outputs = graph.output.into_iter().filter_map(|output| output.name).collect();
        self.graphs.push(Graph { outer, nodes, makers, outputs, shapes });
        Ok(())
    }

    fn find_readers(&self) -> HashMap<(Place, usize), Vec<Place>> {
        let mut readers: HashMap<_, Vec<Place>> = HashMap::new();
        for place in self.places() {
            for input in &self.node(place).input {
                if let Some(Maker::Node { place: maker, output }) = self.maker(place.graph, input) {
                    readers.entry((maker, output)).or_default().push(place);
                }
            }
        }
        readers
    }

    /// Returns the places of all nodes, graph by graph.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.graphs.iter().enumerate().flat_map(|(graph, found)| {
            (0..found.nodes.len()).map(move |node| Place { graph, node })
        })
    }

    /// Returns the node of a place.
    pub fn node(&self, place: Place) -> &NodeProto {
        &self.graphs[place.graph].nodes[place.node]
    }

    /// Returns the origin of a value that a node of `graph` reads: there, or in a graph around it.
    pub fn maker(&self, graph: usize, name: &str) -> Option<Maker> {
        let mut graph = &self.graphs[graph];
        loop {
            if let Some(maker) = graph.makers.get(name) {
                return Some(*maker);
            }
            graph = &self.graphs[graph.outer.as_ref()?.0];
        }
    }

    /// Returns the nodes that read an output, in bodies too; a node is listed once for each input.
    pub fn readers(&self, place: Place, output: usize) -> &[Place] {
        self.readers.get(&(place, output)).map_or(&[], Vec::as_slice)
    }

    /// Returns the declared size of one axis of a value of `graph`.
    pub fn declared(&self, graph: usize, name: &str, axis: usize) -> Option<i64> {
        *self.graphs[graph].shapes.get(name)?.get(axis)?
    }

    /// Returns whether a graph returns the value.
    pub fn is_output(&self, graph: usize, name: &str) -> bool {
        self.graphs[graph].outputs.contains(name)
    }

    /// Returns the path of a node: its name, behind the bodies that it is in:
    /// `If_3/then_branch/LSTM_0`.
    pub fn path(&self, place: Place) -> String {
        let mut parts = vec![label(self.node(place), place.node)];
        let mut graph = place.graph;
        while let Some((outer, name)) = &self.graphs[graph].outer {
            parts.push(name.clone());
            graph = *outer;
        }
        parts.reverse();
        parts.join("/")
    }
}
